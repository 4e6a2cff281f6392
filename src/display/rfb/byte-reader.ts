/** Reads what a peer sends, in the order of the network: big-endian. */
import { ProtocolError } from './protocol.ts'

/** The most bytes that are asked for at once. */
const MOST = 4 * 1024 * 1024

/** The peer has gone. */
export class Gone extends Error {
  override name = 'Gone'
}

/** Bytes in order, kept only until they are read; more than one chunk beyond what is asked for is never held. */
export class ByteReader {
  readonly #read: () => Promise<Uint8Array | undefined>
  #buffer: Uint8Array = new Uint8Array(0)
  #at = 0

  /** @param read gives the next bytes, or undefined when there will be none */
  constructor(read: () => Promise<Uint8Array | undefined>) {
    this.#read = read
  }

  /** Bytes that are here already. */
  get available(): number {
    return this.#buffer.length - this.#at
  }

  /**
   * Waits until so many bytes are here.
   * @throws Gone when the peer ends before
   */
  async need(count: number): Promise<void> {
    if (this.available >= count) return
    if (count > MOST) throw new ProtocolError(`a message of ${count} bytes is too long`)
    const parts = [this.#buffer.subarray(this.#at)]
    let total = parts[0].length
    while (total < count) {
      const chunk = await this.#read()
      if (!chunk) throw new Gone('the peer has gone')
      parts.push(chunk)
      total += chunk.length
    }
    this.#at = 0
    if (parts.length === 2 && parts[0].length === 0) {
      this.#buffer = parts[1]
      return
    }
    const joined = new Uint8Array(total)
    let at = 0
    for (const part of parts) {
      joined.set(part, at)
      at += part.length
    }
    this.#buffer = joined
  }

  /** Reads one byte, after {@link need}. */
  u8(): number {
    return this.#buffer[this.#at++]
  }

  /** Reads 16 bits, after {@link need}. */
  u16(): number {
    return (this.u8() << 8) | this.u8()
  }

  /** Reads 32 bits, after {@link need}. */
  u32(): number {
    return (this.s32() >>> 0) as number
  }

  /** Reads 32 bits with a sign, after {@link need}. */
  s32(): number {
    return (this.u16() << 16) | this.u16()
  }

  /** Waits for bytes and reads them: a copy. @throws Gone, ProtocolError for more than 4 MiB */
  async bytes(count: number): Promise<Uint8Array> {
    await this.need(count)
    const bytes = this.#buffer.slice(this.#at, this.#at + count)
    this.#at += count
    return bytes
  }

  /** Reads over so many bytes, keeping none of them. @throws Gone */
  async skip(count: number): Promise<void> {
    while (count > 0) {
      await this.need(1)
      const part = Math.min(count, this.available)
      this.#at += part
      count -= part
    }
  }
}
