/** A growing array of bytes with WebAssembly's number encodings (WebAssembly core specification, section 5.2.2). */
export class ByteWriter {
  bytes: Uint8Array
  length = 0

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity)
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  /** Gives back the room that is not used. */
  trim(): void {
    this.bytes = this.bytes.slice(0, this.length)
  }

  /** One byte. */
  byte(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1)
    this.bytes[this.length++] = value
  }

  /** Raw bytes. */
  raw(bytes: ArrayLike<number>): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Unsigned LEB128 of a value below 2^32. */
  unsigned(value: number): void {
    value >>>= 0
    while (value >= 0x80) {
      this.byte((value & 0x7f) | 0x80)
      value >>>= 7
    }
    this.byte(value)
  }

  /** Signed LEB128 of a 32-bit value. */
  signed32(value: number): void {
    value |= 0
    for (;;) {
      const low = value & 0x7f
      value >>= 7
      if ((value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)) {
        this.byte(low)
        return
      }
      this.byte(low | 0x80)
    }
  }

  /** Signed LEB128 of the 64-bit value with these halves. */
  signed64(low: number, high: number): void {
    low |= 0
    high |= 0
    if (high === low >> 31) {
      this.signed32(low)
      return
    }
    for (;;) {
      const part = low & 0x7f
      low = (low >>> 7) | (high << 25)
      high >>= 7
      if ((high === 0 && low === 0 && (part & 0x40) === 0) || (high === -1 && low === -1 && (part & 0x40) !== 0)) {
        this.byte(part)
        return
      }
      this.byte(part | 0x80)
    }
  }

  /** A UTF-8 name with its length. */
  name(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.unsigned(bytes.length)
    this.raw(bytes)
  }

  /** What was written so far. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>
  }
}
