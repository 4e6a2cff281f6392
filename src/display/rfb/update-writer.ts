/** Makes rectangles of one client's encodings. */
import { intersect, type Rectangle } from '../damage.ts'
import type { ScreenFollower } from '../follower.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { Block, DeflateOnce, Deflater, MakeDeflater } from './encodings/encoder.ts'
import { encodeHextile } from './encodings/hextile.ts'
import { encodeRaw } from './encodings/raw.ts'
import { TightEncoder } from './encodings/tight.ts'
import { ZrleEncoder } from './encodings/zrle.ts'
import { type PixelFormatFields, PixelWriter, SERVER_FORMAT } from './pixel-format.ts'
import { ENCODING } from './protocol.ts'

/** The most pixels of a rectangle: what is encoded at once. */
export const MOST_PIXELS = 1 << 16

/** Pixels up to which a rectangle is not worth the help of another thread, which comes late where the host is busy. */
const SMALL = 2048

/** Encodings of pictures, of which a client's first is used. */
const PICTURES: readonly number[] = [ENCODING.tight, ENCODING.zrle, ENCODING.hextile, ENCODING.raw]

/** Encodes for one client. */
export class UpdateWriter {
  /** How the client wants its pixels. */
  format = new PixelWriter(SERVER_FORMAT)
  #encoding: number = ENCODING.raw
  #hasHextile = false
  #level = 1
  readonly #makeDeflater: MakeDeflater
  readonly #deflateOnce: DeflateOnce
  /** Bytes are cheap: nothing that does not compress well is compressed. */
  readonly #isLocal: boolean
  #zrle: ZrleEncoder | undefined
  #zrleStream: Deflater | undefined
  #tight: TightEncoder | undefined

  /** Raw, until the client says more. */
  constructor(makeDeflater: MakeDeflater, deflateOnce: DeflateOnce, isLocal: boolean) {
    this.#makeDeflater = makeDeflater
    this.#deflateOnce = deflateOnce
    this.#isLocal = isLocal
  }

  /** The client wants other pixels. */
  setFormat(format: PixelFormatFields): void {
    this.format = new PixelWriter(format)
  }

  /** The client knows these encodings, the best first. */
  setEncodings(encodings: readonly number[]): void {
    this.#encoding = encodings.find(encoding => PICTURES.includes(encoding)) ?? ENCODING.raw
    this.#hasHextile = encodings.includes(ENCODING.hextile)
    for (const encoding of encodings)
      if (encoding >= ENCODING.compressionLevel0 && encoding <= ENCODING.compressionLevel9) {
        // Levels are the client's wish; beyond 6 they cost much and bring little.
        this.#level = Math.min(6, Math.max(1, encoding - ENCODING.compressionLevel0))
      }
  }

  /** Frees what the streams hold. */
  close(): void {
    this.#zrleStream?.close()
    this.#tight?.close()
  }

  /** Writes a rectangle of the picture; what lies outside of it by now is black. */
  async write(screen: ScreenFollower, rectangle: Rectangle, writer: ByteWriter): Promise<void> {
    const block = { ...rectangle, pixels: pixelsOf(screen, rectangle), format: this.format }
    switch (this.#encoding) {
      case ENCODING.tight:
        this.#tight ??= new TightEncoder(
          () => this.#makeDeflater(this.#level),
          bytes => this.#deflateOnce(bytes, this.#level),
        )
        return this.#tight.encode(block, writer, this.#isLocal ? encodeRaw : undefined)
      case ENCODING.zrle:
        if (this.#hasHextile && block.pixels.length <= SMALL) return encodeHextile(block, writer)
        this.#zrle ??= new ZrleEncoder((this.#zrleStream = this.#makeDeflater(this.#level)))
        return this.#zrle.encode(block, writer)
      case ENCODING.hextile:
        encodeHextile(block, writer)
        return
      default:
        encodeRaw(block, writer)
    }
  }
}

/** Pixels without gaps: those of the picture itself where they are so, to be read before anybody else has a turn. */
function pixelsOf({ pixels, width: stride, height }: ScreenFollower, rectangle: Rectangle): Block['pixels'] {
  const part = intersect(rectangle, { x: 0, y: 0, width: stride, height })
  const start = rectangle.y * stride + rectangle.x
  if (part.width === stride && part.height === rectangle.height && rectangle.width === stride)
    return pixels.subarray(start, start + rectangle.width * rectangle.height)
  const copy = new Uint32Array(rectangle.width * rectangle.height)
  for (let row = 0; row < part.height; row++) {
    const from = (part.y + row) * stride + part.x
    copy.set(pixels.subarray(from, from + part.width), row * rectangle.width)
  }
  return copy
}
