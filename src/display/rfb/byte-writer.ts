/** Puts together what is sent, in the order of the network: big-endian. */
import type { SendBuffers } from './send-buffers.ts'

/** Bytes that a buffer grows to at least. */
const LEAST = 64

/** A buffer that grows. */
export class ByteWriter {
  #bytes: Uint8Array
  /** Bytes that were written. */
  length = 0

  readonly #buffers: SendBuffers | undefined

  /** @param capacity bytes to begin with; @param buffers where large buffers come from, whoever takes them gives them back */
  constructor(capacity = 256, buffers?: SendBuffers) {
    this.#bytes = new Uint8Array(capacity)
    this.#buffers = buffers
  }

  /** Room for more bytes, which count as written: the caller fills them. */
  room(count: number): Uint8Array {
    const start = this.length
    this.length += count
    if (this.length > this.#bytes.length) {
      const least = Math.max(this.length, this.#bytes.length * 2, LEAST)
      const larger = this.#buffers?.take(least) ?? new Uint8Array(least)
      larger.set(this.#bytes.subarray(0, start))
      this.#bytes = larger
    }
    return this.#bytes.subarray(start, this.length)
  }

  /** Writes a byte. */
  u8(value: number): this {
    if (this.length >= this.#bytes.length) this.room(1)[0] = value
    else this.#bytes[this.length++] = value
    return this
  }

  /** Writes 16 bits. */
  u16(value: number): this {
    return this.u8((value >> 8) & 0xff).u8(value & 0xff)
  }

  /** Writes 32 bits. */
  u32(value: number): this {
    return this.u16((value >>> 16) & 0xffff).u16(value & 0xffff)
  }

  /** Writes bytes. */
  bytes(bytes: Uint8Array): this {
    this.room(bytes.length).set(bytes)
    return this
  }

  /** Writes a text of 8-bit characters with its length in front, as reasons and names are sent. */
  text(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u32(bytes.length).bytes(bytes)
  }

  /** Puts another value in place of a byte that was written. */
  setU8(at: number, value: number): void {
    this.#bytes[at] = value
  }

  /** What was written: a view, which later writing may change. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }

  /** What was written, which is the caller's; the writer is empty then. */
  take(): Uint8Array {
    const bytes = this.view()
    this.#bytes = new Uint8Array(0)
    this.length = 0
    return bytes
  }
}
