/** Tight, without JPEG and gradients: a fill, a palette, or pixels, compressed by zlib. rfbproto.rst, "Tight Encoding". */
import { ByteWriter } from '../byte-writer.ts'
import { ENCODING } from '../protocol.ts'
import { type Block, type DeflateOnce, type Deflater, Palette, writeHeader } from './encoder.ts'

/** Compression control: a fill; or basic compression with the stream in bits 4 and 5, and bit 6 where a filter is named. */
const FILL = 0x80
const EXPLICIT_FILTER = 0x40
const STREAM_SHIFT = 4

const FILTER_PALETTE = 1

/** The streams that are used. */
const FULL_COLOUR = 0
const INDEXED = 1
/** Begins anew with each rectangle, so that a small one needs no stream and nobody else's time. */
const ALONE = 2

/** Bytes up to which a rectangle is compressed alone. */
const MOST_ALONE = 8192

/** Less is not compressed. */
const LEAST_COMPRESSED = 12

/** The widest rectangle. */
export const TIGHT_MOST_WIDTH = 2048

/** Encodes by Tight for one client. */
export class TightEncoder {
  readonly #deflaters: Deflater[] = []
  readonly #make: () => Deflater
  readonly #once: (bytes: Uint8Array) => Uint8Array
  readonly #palette = new Palette()

  /**
   * @param make makes a stream, of which there are up to two, when they are needed
   * @param once compresses what is small
   */
  constructor(make: () => Deflater, once: (bytes: Uint8Array) => ReturnType<DeflateOnce>) {
    this.#make = make
    this.#once = once
  }

  /** Frees the streams. */
  close(): void {
    for (const deflater of this.#deflaters) deflater?.close()
  }

  /**
   * Writes a rectangle, no wider than 2048 and of no more than 2²⁰ pixels.
   * @param plain writes it in place of compressed pixels of many colours, where that is given
   */
  async encode(block: Block, writer: ByteWriter, plain?: (block: Block, writer: ByteWriter) => void): Promise<void> {
    const { pixels, format, width, height } = block
    const size = format.tightSize
    // A palette of more colours than a quarter of the pixels is no gain.
    const few = this.#palette.gather(pixels, Math.max(2, Math.min(256, pixels.length >> 2)))
    const { count, colours } = this.#palette
    if (few && count === 1) {
      writeHeader(writer, block, ENCODING.tight)
      writer.u8(FILL)
      format.putTight(writer.room(size), 0, pixels[0])
      return
    }
    if (few) {
      const header = new ByteWriter(2 + count * size + 1)
      header
        .u8((INDEXED << STREAM_SHIFT) | EXPLICIT_FILTER)
        .u8(FILTER_PALETTE)
        .u8(count - 1)
      const to = header.room(count * size)
      for (let n = 0; n < count; n++) format.putTight(to, n * size, colours[n])
      const indices = count === 2 ? this.#bits(pixels, width, height, colours[1]) : this.#bytes(pixels)
      await this.#compressed(block, writer, header.view(), INDEXED, indices)
      return
    }
    if (plain) {
      plain(block, writer)
      return
    }
    const bytes = new Uint8Array(pixels.length * size)
    for (let n = 0, at = 0; n < pixels.length; n++, at += size) format.putTight(bytes, at, pixels[n])
    await this.#compressed(block, writer, Uint8Array.of(FULL_COLOUR << STREAM_SHIFT), FULL_COLOUR, bytes)
  }

  async #compressed(
    block: Block,
    writer: ByteWriter,
    header: Uint8Array,
    stream: number,
    bytes: Uint8Array,
  ): Promise<void> {
    if (bytes.length < LEAST_COMPRESSED) {
      writeHeader(writer, block, ENCODING.tight)
      writer.bytes(header).bytes(bytes)
      return
    }
    const isAlone = bytes.length <= MOST_ALONE
    if (isAlone) {
      header = header.slice()
      header[0] = (header[0] & EXPLICIT_FILTER) | (ALONE << STREAM_SHIFT) | (1 << ALONE)
    }
    const packed = isAlone ? this.#once(bytes) : await (this.#deflaters[stream] ??= this.#make()).deflate(bytes)
    writeHeader(writer, block, ENCODING.tight)
    writer.bytes(header)
    const { length } = packed
    // Seven bits a byte, the lowest first, and all eight of the third.
    if (length < 0x80) writer.u8(length)
    else if (length < 0x4000) writer.u8((length & 0x7f) | 0x80).u8(length >> 7)
    else
      writer
        .u8((length & 0x7f) | 0x80)
        .u8(((length >> 7) & 0x7f) | 0x80)
        .u8(length >> 14)
    writer.bytes(packed)
  }

  /** One bit a pixel, set where it has the second colour; rows begin at a byte. */
  #bits(pixels: Uint32Array, width: number, height: number, second: number): Uint8Array {
    const stride = (width + 7) >> 3
    const bits = new Uint8Array(stride * height)
    const key = second | 0
    for (let row = 0, n = 0; row < height; row++)
      for (let x = 0; x < width; x++, n++) if ((pixels[n] | 0) === key) bits[row * stride + (x >> 3)] |= 0x80 >> (x & 7)
    return bits
  }

  #bytes(pixels: Uint32Array): Uint8Array {
    const indices = new Uint8Array(pixels.length)
    let last = ~pixels[0]
    let index = 0
    for (let n = 0; n < pixels.length; n++) {
      const pixel = pixels[n] | 0
      if (pixel !== last) {
        last = pixel
        index = this.#palette.indexOf(pixel)
      }
      indices[n] = index
    }
    return indices
  }
}
