/** Hextile: RFC 6143 section 7.7.4. Tiles of 16 × 16, each a background with rectangles on it, or raw. */
import type { ByteWriter } from '../byte-writer.ts'
import { ENCODING } from '../protocol.ts'
import { type Block, Palette, writeHeader } from './encoder.ts'

const TILE = 16

/** Bits of a tile's subencoding. */
const RAW = 1
const BACKGROUND_SPECIFIED = 2
const FOREGROUND_SPECIFIED = 4
const ANY_SUBRECTS = 8
const SUBRECTS_COLOURED = 16

/** More colours than this are raw: finding rectangles would take longer than it is worth. */
const MOST_COLOURS = 16

/** Writes a rectangle by Hextile. */
export function encodeHextile(block: Block, writer: ByteWriter): void {
  writeHeader(writer, block, ENCODING.hextile)
  const tile = new HextileWriter(block, writer)
  for (let y = 0; y < block.height; y += TILE)
    for (let x = 0; x < block.width; x += TILE)
      tile.write(x, y, Math.min(TILE, block.width - x), Math.min(TILE, block.height - y))
}

/** One colour within a tile: its place and size. */
interface Subrectangle {
  x: number
  y: number
  width: number
  height: number
  colour: number
}

class HextileWriter {
  readonly #block: Block
  readonly #writer: ByteWriter
  readonly #palette = new Palette()
  readonly #pixels = new Uint32Array(TILE * TILE)
  /** Colours that the client still has from the tile before; undefined after a raw tile. */
  #background: number | undefined
  #foreground: number | undefined

  constructor(block: Block, writer: ByteWriter) {
    this.#block = block
    this.#writer = writer
  }

  write(x: number, y: number, width: number, height: number): void {
    const { pixels: all, width: stride } = this.#block
    const pixels = this.#pixels.subarray(0, width * height)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      pixels.set(all.subarray(from, from + width), row * width)
    }
    if (!this.#palette.gather(pixels, MOST_COLOURS)) {
      this.#raw(pixels)
      return
    }
    const background = this.#commonest(pixels)
    const isTwo = this.#palette.count === 2
    const rectangles = this.#palette.count === 1 ? [] : subrectangles(pixels, width, height, background)
    const { size } = this.#block.format
    if (rectangles.length * (isTwo ? 2 : 2 + size) + 2 + 2 * size >= pixels.length * size || rectangles.length > 255) {
      this.#raw(pixels)
      return
    }
    let flags = 0
    if (background !== this.#background) flags |= BACKGROUND_SPECIFIED
    if (rectangles.length > 0) flags |= ANY_SUBRECTS
    const foreground = isTwo ? rectangles[0].colour : undefined
    if (rectangles.length > 0 && !isTwo) flags |= SUBRECTS_COLOURED
    if (isTwo && foreground !== this.#foreground) flags |= FOREGROUND_SPECIFIED
    this.#writer.u8(flags)
    if (flags & BACKGROUND_SPECIFIED) this.#pixel(background)
    if (flags & FOREGROUND_SPECIFIED) this.#pixel(foreground!)
    this.#background = background
    if (isTwo) this.#foreground = foreground
    // A tile of coloured rectangles leaves no foreground to count on.
    if (flags & SUBRECTS_COLOURED) this.#foreground = undefined
    if (rectangles.length === 0) return
    this.#writer.u8(rectangles.length)
    for (const { x, y, width, height, colour } of rectangles) {
      if (flags & SUBRECTS_COLOURED) this.#pixel(colour)
      this.#writer.u8((x << 4) | y).u8(((width - 1) << 4) | (height - 1))
    }
  }

  #raw(pixels: Uint32Array): void {
    const { format } = this.#block
    this.#writer.u8(RAW)
    format.putRow(this.#writer.room(pixels.length * format.size), 0, pixels)
    this.#background = undefined
    this.#foreground = undefined
  }

  #pixel(pixel: number): void {
    const { format } = this.#block
    format.put(this.#writer.room(format.size), 0, pixel)
  }

  #commonest(pixels: Uint32Array): number {
    const counts = new Uint16Array(this.#palette.count)
    for (const pixel of pixels) counts[this.#palette.indexOf(pixel)]++
    return this.#palette.colours[counts.indexOf(Math.max(...counts))]
  }
}

/** Covers all that is not background: each pixel that is left starts a rectangle, as wide and then as high as it can be. */
function subrectangles(pixels: Uint32Array, width: number, height: number, background: number): Subrectangle[] {
  const done = new Uint8Array(pixels.length)
  const found: Subrectangle[] = []
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const colour = pixels[y * width + x]
      if (colour === background || done[y * width + x]) continue
      const is = (column: number, row: number) => pixels[row * width + column] === colour && !done[row * width + column]
      let right = x + 1
      while (right < width && is(right, y)) right++
      let bottom = y + 1
      const runs = (row: number) => {
        for (let column = x; column < right; column++) if (!is(column, row)) return false
        return true
      }
      while (bottom < height && runs(bottom)) bottom++
      for (let row = y; row < bottom; row++) done.fill(1, row * width + x, row * width + right)
      found.push({ x, y, width: right - x, height: bottom - y, colour })
    }
  return found
}
