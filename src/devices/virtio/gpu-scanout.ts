/** What a GPU device shows: a part of a picture, and a cursor in front of it. */
import type { Picture, PictureArea } from '../vga/picture.ts'
import { GPU_FORMAT, type GpuRectangle } from './gpu-protocol.ts'
import type { GpuResource } from './gpu-resources.ts'

const BLACK = 0xff000000 | 0
/** A cursor's picture, each way. */
const CURSOR_PIXELS = 64
/** What is shown before there was anything. */
const NOTHING = { width: 640, height: 480 }

/** Which part of which picture is shown. */
export interface Scanout extends GpuRectangle {
  resource: number
}

/** A cursor: where its left upper corner is, and what it looks like, 64 × 64 pixels; undefined is invisible. */
export interface GpuCursor {
  x: number
  y: number
  image: { format: number; pixels: Uint8Array } | undefined
}

/** Turns pixels of a format into RGBA, red in the lowest byte. */
type Convert = (from: Int32Array, at: number, count: number, to: Int32Array) => void

/** Blue, green, red, alpha. */
const fromBgra: Convert = (from, at, count, to) => {
  for (let x = 0; x < count; x++) {
    const pixel = from[at + x]
    to[x] = (pixel & 0xff00ff00) | ((pixel & 0xff) << 16) | ((pixel >> 16) & 0xff)
  }
}
/** Alpha, red, green, blue. */
const fromArgb: Convert = (from, at, count, to) => {
  for (let x = 0; x < count; x++) to[x] = (from[at + x] >>> 8) | (from[at + x] << 24)
}
/** Alpha, blue, green, red. */
const fromAbgr: Convert = (from, at, count, to) => {
  for (let x = 0; x < count; x++) {
    const pixel = from[at + x]
    to[x] = (pixel >>> 24) | ((pixel >> 8) & 0xff00) | ((pixel & 0xff00) << 8) | (pixel << 24)
  }
}
const fromRgba: Convert = (from, at, count, to) => {
  to.set(from.subarray(at, at + count))
}

const CONVERT: Readonly<Record<number, Convert>> = {
  [GPU_FORMAT.B8G8R8A8]: fromBgra,
  [GPU_FORMAT.B8G8R8X8]: fromBgra,
  [GPU_FORMAT.A8R8G8B8]: fromArgb,
  [GPU_FORMAT.X8R8G8B8]: fromArgb,
  [GPU_FORMAT.R8G8B8A8]: fromRgba,
  [GPU_FORMAT.R8G8B8X8]: fromRgba,
  [GPU_FORMAT.A8B8G8R8]: fromAbgr,
  [GPU_FORMAT.X8B8G8R8]: fromAbgr,
}

/** Draws it. */
export class GpuScanout {
  #scanout: Scanout | undefined
  #cursor: GpuCursor = { x: 0, y: 0, image: undefined }
  /** The cursor's pixels, RGBA. */
  readonly #cursorPixels = new Int32Array(CURSOR_PIXELS * CURSOR_PIXELS)
  /** Lines of the scanout that are to be drawn, from the first to behind the last. */
  #dirty: Uint8Array = new Uint8Array(0)
  #everything = true

  get scanout(): Scanout | undefined {
    return this.#scanout
  }

  get cursor(): GpuCursor {
    return this.#cursor
  }

  /** Shows a part of a picture from now on, or nothing. */
  show(scanout: Scanout | undefined): void {
    this.#scanout = scanout
    this.#everything = true
    const lines = scanout?.height ?? 0
    if (this.#dirty.length < lines) this.#dirty = new Uint8Array(lines)
  }

  /** A rectangle of a picture has changed. */
  changed(resource: number, { y, height }: GpuRectangle): void {
    const { scanout: shown } = this
    if (shown?.resource !== resource) return
    this.#mark(y - shown.y, height)
  }

  /** The cursor is elsewhere, or another. */
  setCursor(cursor: GpuCursor): void {
    if (this.#cursor.image) this.#mark(this.#cursor.y, CURSOR_PIXELS)
    const { image } = cursor
    if (image && image !== this.#cursor.image) {
      const { pixels } = image
      const words = new Int32Array(pixels.buffer, pixels.byteOffset, CURSOR_PIXELS * CURSOR_PIXELS)
      CONVERT[image.format](words, 0, words.length, this.#cursorPixels)
    }
    this.#cursor = cursor
    if (image) this.#mark(cursor.y, CURSOR_PIXELS)
  }

  /** Lines of the scanout are to be drawn, as far as they are in it. */
  #mark(first: number, count: number): void {
    const lines = this.#scanout?.height ?? 0
    this.#dirty.fill(1, Math.max(0, Math.min(first, lines)), Math.max(0, Math.min(first + count, lines)))
  }

  /**
   * Draws what has changed.
   * @param resource the picture that the scanout is a part of
   * @returns its areas
   */
  update(picture: Picture, resource: GpuResource | undefined, everything: boolean): PictureArea[] {
    const all = everything || this.#everything
    this.#everything = false
    const { scanout: shown } = this
    if (!shown || !resource) {
      if (all) this.#blank(picture)
      return picture.take()
    }
    const { pixels, width: stride, format } = resource
    const words = pixels && new Int32Array(pixels.buffer, pixels.byteOffset, pixels.length / 4)
    const convert = CONVERT[format]
    picture.resize(shown.width, shown.height)
    const { line } = picture
    for (let y = 0; y < shown.height; y++) {
      if (!all && this.#dirty[y] === 0) continue
      const from = (shown.y + y) * stride + shown.x
      if (words && convert === fromBgra && !this.#hasCursor(y)) {
        line.set(words.subarray(from, from + shown.width))
        picture.storeSwapped(y)
        continue
      }
      if (words) convert(words, from, shown.width, line)
      for (let x = 0; x < shown.width; x++) line[x] = words ? line[x] | BLACK : BLACK
      this.#drawCursor(line, y, shown.width)
      picture.store(y)
    }
    this.#dirty.fill(0)
    return picture.take()
  }

  #blank(picture: Picture): void {
    if (picture.width === 0) picture.resize(NOTHING.width, NOTHING.height)
    picture.line.fill(BLACK)
    for (let y = 0; y < picture.height; y++) picture.store(y)
  }

  /** Whether the cursor may be in a line of the scanout. */
  #hasCursor(y: number): boolean {
    const { y: top, image } = this.#cursor
    return image !== undefined && y >= top && y < top + CURSOR_PIXELS
  }

  /** Puts the cursor's line in front of one of the scanout; its colors are multiplied by its alpha already. */
  #drawCursor(line: Int32Array, y: number, width: number): void {
    const { x: left, y: top, image } = this.#cursor
    if (!image || !this.#hasCursor(y)) return
    const from = (y - top) * CURSOR_PIXELS
    const pixels = this.#cursorPixels
    const last = Math.min(CURSOR_PIXELS, width - left)
    for (let i = Math.max(0, -left); i < last; i++) {
      const over = pixels[from + i]
      const alpha = over >>> 24
      if (alpha === 0) continue
      const under = line[left + i]
      const mix = (shift: number) => {
        const color = ((over >>> shift) & 0xff) + Math.round((((under >>> shift) & 0xff) * (255 - alpha)) / 255)
        return Math.min(255, color) << shift
      }
      line[left + i] = alpha === 255 ? over : BLACK | mix(0) | mix(8) | mix(16)
    }
  }
}
