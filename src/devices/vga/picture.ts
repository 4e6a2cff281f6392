/** What is drawn into: a picture of RGBA words, and which of its areas changed. */
import { type LineStores, lineStores, MOST_PAGES, type StoreLine } from './store-line.ts'

/** x, y, width, height. */
export type PictureArea = readonly [x: number, y: number, width: number, height: number]

/** Areas of one update; with more of them lines between are sent along. */
const MOST_AREAS = 32
/** Lines that did not change are sent along where so few lie between others. */
const CLOSE = 3

/** Bytes of a page of WebAssembly's memories. */
const PAGE = 65_536

/** Is told where the pixels of a picture lie: at first, and when they lie elsewhere. */
export type PicturePlaced = (pixels: Int32Array<SharedArrayBuffer>) => void

/** A picture that is drawn line by line, and remembers what differs from the last one. */
export class Picture {
  width = 0
  height = 0
  /** Pixels, red in the lowest byte; at least `width` × `height`. */
  pixels: Int32Array<ArrayBufferLike> = new Int32Array(0)
  readonly #widest: number
  readonly #placed: PicturePlaced
  /** The line, and behind it the pixels. */
  #memory: WebAssembly.Memory | undefined
  #line: Int32Array<ArrayBufferLike> = new Int32Array(0)
  #stores: LineStores | undefined
  #areas: [x: number, y: number, right: number, bottom: number][] = []
  #whole = true

  /**
   * @param placed is told where the pixels lie
   * @param widest most pixels of a line, with what is drawn beyond its ends
   */
  constructor(placed: PicturePlaced, widest: number) {
    this.#placed = placed
    // Pixels begin at a multiple of 64 bytes.
    this.#widest = (widest + 15) & ~15
  }

  /** A line before it is stored. */
  get line(): Int32Array<ArrayBufferLike> {
    if (this.#memory === undefined) this.#place(0)
    return this.#line
  }

  /** The picture is so large from now on. @throws RangeError beyond what a picture may have */
  resize(width: number, height: number): void {
    if (width === this.width && height === this.height) return
    if (this.pixels.length < width * height) this.#place(width * height)
    this.width = width
    this.height = height
    this.#whole = true
  }

  /** Finds a place for so many pixels. */
  #place(pixels: number): void {
    const pages = Math.ceil(((this.#widest + pixels) * 4) / PAGE)
    if (this.#memory === undefined) {
      this.#memory = new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES, shared: true })
      this.#stores = lineStores(this.#memory)
    } else this.#memory.grow(Math.max(0, pages - this.#memory.buffer.byteLength / PAGE))
    const buffer = this.#memory.buffer as unknown as SharedArrayBuffer
    this.#line = new Int32Array(buffer, 0, this.#widest)
    if (pixels === 0) return
    const placed = new Int32Array(buffer, this.#widest * 4, pixels)
    this.pixels = placed
    this.#placed(placed)
  }

  /** Stores {@link line}, from `skip` pixels on, as line `y`. @returns whether it differs from what was there */
  store(y: number, skip = 0): boolean {
    return this.#store(this.#stores!.plain, y, skip)
  }

  /** The same of a line whose pixels have blue in the lowest byte, and something in the highest. */
  storeSwapped(y: number): boolean {
    return this.#store(this.#stores!.swapped, y, 0)
  }

  #store(store: StoreLine, y: number, skip: number): boolean {
    const { width } = this
    const differs = store(skip * 4, (this.#widest + y * width) * 4, width)
    if (this.#whole) return true
    if (differs === 0) return false
    this.#note(differs & 0xffff, y, differs >>> 16)
    return true
  }

  /** Line `y` is as the one above it. @returns whether it differs from what was there */
  repeat(y: number): boolean {
    const { width, pixels, line } = this
    line.set(pixels.subarray((y - 1) * width, y * width))
    return this.store(y)
  }

  #note(left: number, y: number, right: number): void {
    const area = this.#areas.at(-1)
    if (area && (y - area[3] < CLOSE || this.#areas.length >= MOST_AREAS)) {
      area[0] = Math.min(area[0], left)
      area[2] = Math.max(area[2], right)
      area[3] = y + 1
    } else this.#areas.push([left, y, right, y + 1])
  }

  /** What changed since this was last asked; undefined stands for a picture that is new as a whole. */
  take(): PictureArea[] {
    const areas: PictureArea[] = this.#whole
      ? [[0, 0, this.width, this.height]]
      : this.#areas.map(([x, y, right, bottom]) => [x, y, right - x, bottom - y])
    this.#areas = []
    this.#whole = false
    return areas
  }
}
