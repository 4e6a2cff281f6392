/** Buffers of what is sent in large pieces, used again and again: new ones cost their pages, and the garbage collector's time. */

/** Bytes of a buffer: two of the largest rectangles, and their headers. */
const SIZE = (512 + 4) * 1024

/** Less has a buffer of its own. */
const LEAST = 64 * 1024

/** Buffers that wait for the next piece. */
const MOST_SPARE = 4

/** The buffers of one server. */
export class SendBuffers {
  readonly #spare: Uint8Array[] = []

  /** A buffer of no less than `least` bytes, whatever is in it; undefined for sizes that are not kept here. */
  take(least: number): Uint8Array | undefined {
    if (least < LEAST || least > SIZE) return undefined
    return this.#spare.pop() ?? new Uint8Array(SIZE)
  }

  /** Whether bytes are part of such a buffer. */
  has({ buffer }: Uint8Array): boolean {
    return buffer.byteLength === SIZE
  }

  /** Nobody has these bytes any more: their buffer is for others. */
  give({ buffer }: Uint8Array): void {
    if (this.#spare.length < MOST_SPARE) this.#spare.push(new Uint8Array(buffer))
  }
}
