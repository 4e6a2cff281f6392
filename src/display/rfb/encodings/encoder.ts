/** What encodings have in common. */
import type { Rectangle } from '../../damage.ts'
import type { ByteWriter } from '../byte-writer.ts'
import type { PixelWriter } from '../pixel-format.ts'

/** A stream of zlib (RFC 1950) that goes on from rectangle to rectangle. */
export interface Deflater {
  /** Compresses bytes so that the other side can unpack all of them (Z_SYNC_FLUSH). Calls come one after another. */
  deflate(bytes: Uint8Array): Promise<Uint8Array>
  /** Frees it. */
  close(): void
}

/** Compresses bytes at once, as a stream of zlib of their own that is flushed but not ended. */
export type DeflateOnce = (bytes: Uint8Array, level: number) => Uint8Array

/** Makes a stream. @param level 1 (quick) to 9 (small) */
export type MakeDeflater = (level: number) => Deflater

/** Pixels of a rectangle, without gaps, and how the client wants them. */
export interface Block extends Rectangle {
  readonly pixels: Uint32Array
  readonly format: PixelWriter
}

/** Writes a rectangle's header. RFC 6143 section 7.6.1 */
export function writeHeader(writer: ByteWriter, { x, y, width, height }: Rectangle, encoding: number): void {
  writer
    .u16(x)
    .u16(y)
    .u16(width)
    .u16(height)
    .u32(encoding >>> 0)
}

/** Whether eight pixels from `n` on are all the same one. */
function isRun(pixels: Uint32Array, n: number, pixel: number): boolean {
  const first = (pixels[n] ^ pixel) | (pixels[n + 1] ^ pixel) | (pixels[n + 2] ^ pixel) | (pixels[n + 3] ^ pixel)
  if (first !== 0) return false
  return ((pixels[n + 4] ^ pixel) | (pixels[n + 5] ^ pixel) | (pixels[n + 6] ^ pixel) | (pixels[n + 7] ^ pixel)) === 0
}

/** The colours of a block, as long as they are few. */
export class Palette {
  /** The colours in the order in which they were met. */
  readonly colours = new Uint32Array(256)
  /** How many there are; more than `most` means too many. */
  count = 0
  /** As signed numbers: unsigned ones are floating-point to V8 where they are not all small. */
  readonly #keys = new Int32Array(1024)
  readonly #indices = new Int16Array(1024)
  readonly #used: number[] = []

  /** Counts the colours of pixels. @returns whether there are no more than `most`, which is 256 or less */
  gather(pixels: Uint32Array, most: number): boolean {
    for (const slot of this.#used) this.#indices[slot] = 0
    this.#used.length = 0
    this.count = 0
    const { length } = pixels
    let last = ~pixels[0]
    for (let n = 0; n < length; n++) {
      const pixel = pixels[n] | 0
      if (pixel === last) {
        while (n + 8 < length && isRun(pixels, n + 1, last)) n += 8
        continue
      }
      last = pixel
      let slot = Math.imul(pixel, 0x9e3779b1) >>> 22
      while (this.#indices[slot] !== 0 && this.#keys[slot] !== pixel) slot = (slot + 1) & 1023
      if (this.#indices[slot] !== 0) continue
      if (this.count === most) return false
      this.#keys[slot] = pixel
      this.colours[this.count++] = pixel
      this.#indices[slot] = this.count
      this.#used.push(slot)
    }
    return true
  }

  /** A colour's place. */
  indexOf(pixel: number): number {
    const key = pixel | 0
    let slot = Math.imul(key, 0x9e3779b1) >>> 22
    while (this.#keys[slot] !== key || this.#indices[slot] === 0) slot = (slot + 1) & 1023
    return this.#indices[slot] - 1
  }
}
