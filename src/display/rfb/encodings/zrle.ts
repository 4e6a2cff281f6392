/** ZRLE: RFC 6143 section 7.7.6. Tiles of 64 × 64 with palettes and run lengths, through one zlib stream. */
import { ByteWriter } from '../byte-writer.ts'
import { ENCODING } from '../protocol.ts'
import { type Block, type Deflater, Palette, writeHeader } from './encoder.ts'

const TILE = 64

/** Subencodings of a tile. */
const RAW = 0
const SOLID = 1
const PLAIN_RLE = 128

/** The most colours of a palette that is packed, and of one with run lengths. */
const MOST_PACKED = 16
const MOST_RLE = 127

/** Encodes by ZRLE for one client. */
export class ZrleEncoder {
  readonly #deflater: Deflater
  readonly #palette = new Palette()
  readonly #pixels = new Uint32Array(TILE * TILE)

  /** @param deflater this client's stream */
  constructor(deflater: Deflater) {
    this.#deflater = deflater
  }

  /** Writes a rectangle. */
  async encode(block: Block, writer: ByteWriter): Promise<void> {
    const tiles = new ByteWriter(block.width * block.height)
    for (let y = 0; y < block.height; y += TILE)
      for (let x = 0; x < block.width; x += TILE)
        this.#tile(block, tiles, x, y, Math.min(TILE, block.width - x), Math.min(TILE, block.height - y))
    const packed = await this.#deflater.deflate(tiles.view())
    writeHeader(writer, block, ENCODING.zrle)
    writer.u32(packed.length).bytes(packed)
  }

  #tile(block: Block, writer: ByteWriter, x: number, y: number, width: number, height: number): void {
    const { pixels: all, format, width: stride } = block
    const pixels = this.#pixels.subarray(0, width * height)
    let runs = 0
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      pixels.set(all.subarray(from, from + width), row * width)
    }
    for (let n = 0; n < pixels.length; n++) if (n === 0 || pixels[n] !== pixels[n - 1]) runs++
    const { compactSize } = format
    const hasPalette = this.#palette.gather(pixels, MOST_RLE)
    const { count } = this.#palette
    if (hasPalette && count === 1) {
      writer.u8(SOLID)
      format.putCompact(writer.room(compactSize), 0, pixels[0])
      return
    }
    // Sizes before zlib; what is smaller there is nearly always smaller after it.
    const bits = count === 2 ? 1 : count <= 4 ? 2 : 4
    const raw = pixels.length * compactSize
    const packed =
      hasPalette && count <= MOST_PACKED ? count * compactSize + Math.ceil((width * bits) / 8) * height : raw + 1
    const paletteRle = hasPalette ? count * compactSize + runs * 2 : raw + 1
    const plainRle = runs * (compactSize + 1)
    const least = Math.min(raw, packed, paletteRle, plainRle)
    if (least === raw) {
      writer.u8(RAW)
      const to = writer.room(raw)
      for (let n = 0, at = 0; n < pixels.length; n++, at += compactSize) format.putCompact(to, at, pixels[n])
    } else if (least === packed) {
      writer.u8(count)
      this.#colours(block, writer)
      this.#packed(pixels, writer, width, bits)
    } else {
      const isPalette = least === paletteRle
      writer.u8(isPalette ? PLAIN_RLE + count : PLAIN_RLE)
      if (isPalette) this.#colours(block, writer)
      this.#runs(block, pixels, writer, isPalette)
    }
  }

  #colours({ format }: Block, writer: ByteWriter): void {
    const { colours, count } = this.#palette
    for (let n = 0; n < count; n++) format.putCompact(writer.room(format.compactSize), 0, colours[n])
  }

  #packed(pixels: Uint32Array, writer: ByteWriter, width: number, bits: number): void {
    for (let from = 0; from < pixels.length; from += width) {
      let byte = 0
      let filled = 0
      for (let n = from; n < from + width; n++) {
        byte = (byte << bits) | this.#palette.indexOf(pixels[n])
        filled += bits
        if (filled === 8) {
          writer.u8(byte)
          byte = filled = 0
        }
      }
      if (filled > 0) writer.u8((byte << (8 - filled)) & 0xff)
    }
  }

  #runs({ format }: Block, pixels: Uint32Array, writer: ByteWriter, isPalette: boolean): void {
    for (let n = 0; n < pixels.length; ) {
      const pixel = pixels[n]
      let end = n + 1
      while (end < pixels.length && pixels[end] === pixel) end++
      let length = end - n
      n = end
      if (isPalette) {
        const index = this.#palette.indexOf(pixel)
        if (length === 1) {
          writer.u8(index)
          continue
        }
        writer.u8(index | 0x80)
      } else format.putCompact(writer.room(format.compactSize), 0, pixel)
      for (length--; length >= 255; length -= 255) writer.u8(255)
      writer.u8(length)
    }
  }
}
