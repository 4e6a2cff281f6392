/** How a client wants its pixels: RFC 6143 section 7.4. */
import type { ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { ProtocolError } from './protocol.ts'

/** PIXEL_FORMAT. */
export interface PixelFormatFields {
  bitsPerPixel: number
  depth: number
  bigEndian: boolean
  trueColour: boolean
  redMax: number
  greenMax: number
  blueMax: number
  redShift: number
  greenShift: number
  blueShift: number
}

/** The server's own: what most viewers ask for, blue in the lowest byte. */
export const SERVER_FORMAT: PixelFormatFields = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  trueColour: true,
  redMax: 255,
  greenMax: 255,
  blueMax: 255,
  redShift: 16,
  greenShift: 8,
  blueShift: 0,
}

/** What is used inside where the client wants a map of colours: 3 bits of red and green, 2 of blue, and a map that says so. */
const MAPPED = { redMax: 7, greenMax: 7, blueMax: 3, redShift: 5, greenShift: 2, blueShift: 0 }

/** Writes the 16 bytes of a format. */
export function writePixelFormat(writer: ByteWriter, format: PixelFormatFields): void {
  writer
    .u8(format.bitsPerPixel)
    .u8(format.depth)
    .u8(format.bigEndian ? 1 : 0)
    .u8(format.trueColour ? 1 : 0)
  writer.u16(format.redMax).u16(format.greenMax).u16(format.blueMax)
  writer.u8(format.redShift).u8(format.greenShift).u8(format.blueShift)
  writer.u8(0).u16(0)
}

/**
 * Reads the 16 bytes of a format, which are here.
 * @throws ProtocolError for one that no picture can be in
 */
export function readPixelFormat(reader: ByteReader): PixelFormatFields {
  const format: PixelFormatFields = {
    bitsPerPixel: reader.u8(),
    depth: reader.u8(),
    bigEndian: reader.u8() !== 0,
    trueColour: reader.u8() !== 0,
    redMax: reader.u16(),
    greenMax: reader.u16(),
    blueMax: reader.u16(),
    redShift: reader.u8(),
    greenShift: reader.u8(),
    blueShift: reader.u8(),
  }
  reader.u8()
  reader.u16()
  const { bitsPerPixel, trueColour } = format
  if (![8, 16, 32].includes(bitsPerPixel)) throw new ProtocolError(`there are no pixels of ${bitsPerPixel} bits`)
  if (!trueColour) {
    if (bitsPerPixel !== 8) throw new ProtocolError(`there is no map of colours for pixels of ${bitsPerPixel} bits`)
    return { ...format, ...MAPPED }
  }
  for (const name of ['red', 'green', 'blue'] as const) {
    const max = format[`${name}Max`]
    const shift = format[`${name}Shift`]
    if (max === 0 || (max & (max + 1)) !== 0 || max * 2 ** shift >= 2 ** bitsPerPixel)
      throw new ProtocolError(`${name} has a maximum of ${max}, shifted by ${shift}, in pixels of ${bitsPerPixel} bits`)
  }
  return format
}

/** The map of colours for a client that has one: 256 entries of 16-bit red, green and blue. */
export function writeColourMap(writer: ByteWriter): void {
  for (let index = 0; index < 256; index++)
    writer
      .u16(Math.round(((index >> MAPPED.redShift) & MAPPED.redMax) * (65535 / MAPPED.redMax)))
      .u16(Math.round(((index >> MAPPED.greenShift) & MAPPED.greenMax) * (65535 / MAPPED.greenMax)))
      .u16(Math.round((index & MAPPED.blueMax) * (65535 / MAPPED.blueMax)))
}

/** Pixels that are turned at a time. */
const WORDS = 1024

/** Turns pixels of the picture (red in the lowest byte, then green, blue, 255) into a client's. */
export class PixelWriter {
  /** Bytes of a PIXEL. */
  readonly size: number
  /** Bytes of a CPIXEL of ZRLE. */
  readonly compactSize: number
  /** Whether Tight's TPIXEL is three bytes: red, green, blue. */
  readonly isTightCompact: boolean
  readonly #red: Uint32Array
  readonly #green: Uint32Array
  readonly #blue: Uint32Array
  readonly #bigEndian: boolean
  /** A CPIXEL is the upper three bytes of a PIXEL's value. */
  readonly #compactUpper: boolean
  /** The client's pixels are the picture's. */
  readonly #same: boolean
  /** They are with red and blue exchanged. */
  readonly #isReversed: boolean
  /** Some of the client's pixels, on their way to where they need not lie at a multiple of four bytes. */
  readonly #words = new Uint32Array(WORDS)
  readonly #wordBytes = new Uint8Array(this.#words.buffer)

  /** @param format as {@link readPixelFormat} gives it */
  constructor(format: PixelFormatFields) {
    const { bitsPerPixel, depth, redMax, greenMax, blueMax, redShift, greenShift, blueShift } = format
    const channel = (max: number, shift: number) =>
      Uint32Array.from({ length: 256 }, (_, value) => (Math.round((value * max) / 255) << shift) >>> 0)
    this.#red = channel(redMax, redShift)
    this.#green = channel(greenMax, greenShift)
    this.#blue = channel(blueMax, blueShift)
    this.#bigEndian = format.bigEndian
    this.size = bitsPerPixel / 8
    const all = (redMax << redShift) | (greenMax << greenShift) | (blueMax << blueShift)
    const lower = (all & 0xff00_0000) === 0
    const upper = (all & 0xff) === 0
    const isCompact = bitsPerPixel === 32 && depth <= 24 && (lower || upper)
    this.compactSize = isCompact ? 3 : this.size
    this.#compactUpper = isCompact && !lower
    this.isTightCompact = bitsPerPixel === 32 && depth === 24 && redMax === 255 && greenMax === 255 && blueMax === 255
    const isByteOrder = redShift === 0 && greenShift === 8 && blueShift === 16
    this.#same = this.isTightCompact && !format.bigEndian && isByteOrder
    this.#isReversed = this.isTightCompact && redShift === 16 && greenShift === 8 && blueShift === 0
  }

  /** A pixel's value for the client. */
  value(pixel: number): number {
    return (this.#red[pixel & 0xff] | this.#green[(pixel >> 8) & 0xff] | this.#blue[(pixel >> 16) & 0xff]) >>> 0
  }

  /** Writes a PIXEL at a place. */
  put(to: Uint8Array, at: number, pixel: number): void {
    this.#store(to, at, this.value(pixel), this.size)
  }

  /** Writes a CPIXEL at a place. */
  putCompact(to: Uint8Array, at: number, pixel: number): void {
    const value = this.value(pixel)
    this.#store(to, at, this.#compactUpper ? value >>> 8 : value, this.compactSize)
  }

  /** Writes a TPIXEL at a place, where {@link isTightCompact} says that it is three bytes. */
  putTight(to: Uint8Array, at: number, pixel: number): void {
    if (!this.isTightCompact) {
      this.put(to, at, pixel)
      return
    }
    to[at] = pixel
    to[at + 1] = pixel >> 8
    to[at + 2] = pixel >> 16
  }

  /** Bytes of a TPIXEL. */
  get tightSize(): number {
    return this.isTightCompact ? 3 : this.size
  }

  /** Writes a row of PIXELs. */
  putRow(to: Uint8Array, at: number, pixels: Uint32Array): void {
    if (this.#same) {
      to.set(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length * 4), at)
      return
    }
    const { size } = this
    if (this.#isReversed && !this.#bigEndian) {
      // Signed, as V8 has numbers of 32 bits; and not a function of its own, which as a part of this one is not compiled as well.
      const { length } = pixels
      const from = new Int32Array(pixels.buffer, pixels.byteOffset, length)
      // A piece of an update begins with its headers, of a multiple of four bytes mostly.
      const isAligned = (to.byteOffset + at) % 4 === 0
      const turned = isAligned ? new Int32Array(to.buffer, to.byteOffset + at, length) : new Int32Array(length)
      for (let n = 0; n < length; n++) {
        const pixel = from[n]
        turned[n] = (((pixel << 16) | (pixel >>> 16)) & 0xff00ff) | (pixel & 0xff00)
      }
      if (!isAligned) to.set(new Uint8Array(turned.buffer), at)
      return
    }
    if (size === 4 && !this.#bigEndian) {
      for (let first = 0; first < pixels.length; first += WORDS) {
        const count = Math.min(WORDS, pixels.length - first)
        for (let n = 0; n < count; n++) this.#words[n] = this.value(pixels[first + n])
        to.set(this.#wordBytes.subarray(0, count * 4), at + first * 4)
      }
      return
    }
    for (let n = 0; n < pixels.length; n++, at += size) this.#store(to, at, this.value(pixels[n]), size)
  }

  #store(to: Uint8Array, at: number, value: number, size: number): void {
    if (this.#bigEndian) for (let n = size - 1; n >= 0; n--, value >>>= 8) to[at + n] = value
    else for (let n = 0; n < size; n++, value >>>= 8) to[at + n] = value
  }
}
