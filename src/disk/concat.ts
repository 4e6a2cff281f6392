/** Disks one behind the other as one. */
import { checkRange, checkWrite, type Disk, DiskError, type ImmediateAccess } from './disk.ts'

/** The disks in a row; it closes them with itself. */
export class ConcatDisk implements Disk {
  readonly name: string
  readonly size: number
  readonly sectorSize = 512
  readonly parts: readonly Disk[]
  /** For requests within one part that has such access. */
  readonly immediate: ImmediateAccess = {
    read: (offset, into) => this.#within(offset, into)?.read(offset - this.#startOf(offset), into) ?? false,
    write: (offset, from) => this.#within(offset, from)?.write(offset - this.#startOf(offset), from) ?? false,
  }
  /** Where each part begins. */
  readonly #starts: number[]
  #closed: Promise<void> | undefined

  constructor(name: string, parts: readonly Disk[]) {
    this.name = name
    this.parts = parts
    let end = 0
    this.#starts = parts.map(part => (end += part.size) - part.size)
    this.size = end
  }

  get readOnly(): boolean {
    return this.parts.some(part => part.readOnly)
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#checkOpen()
    checkRange(this, offset, buffer.length)
    await this.#each(offset, buffer.length, (part, at, from, length) =>
      part.read(at, buffer.subarray(from, from + length)),
    )
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, buffer.length)
    await this.#each(offset, buffer.length, (part, at, from, length) =>
      part.write(at, buffer.subarray(from, from + length)),
    )
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, length)
    await this.#each(offset, length, (part, at, _, count) => part.writeZeroes(at, count))
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#checkOpen()
    checkWrite(this, offset, length)
    await this.#each(offset, length, (part, at, _, count) => part.discard(at, count))
  }

  async flush(): Promise<void> {
    this.#checkOpen()
    await Promise.all(this.parts.map(part => part.flush()))
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    const results = await Promise.allSettled(this.parts.map(part => part.close()))
    const failed = results.find(result => result.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** The access of the part that has all of a range. */
  #within(offset: number, buffers: readonly Uint8Array[]): ImmediateAccess | undefined {
    this.#checkOpen()
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    checkRange(this, offset, length)
    const part = this.parts[this.#starts.indexOf(this.#startOf(offset))]
    return offset + length <= this.#startOf(offset) + part.size ? part.immediate : undefined
  }

  #startOf(offset: number): number {
    return this.#starts.findLast((start, i) => start <= offset && this.parts[i].size > 0) ?? 0
  }

  #checkOpen(): void {
    if (this.#closed) throw new DiskError('closed', `disk '${this.name}' is closed`)
  }

  /** Calls `request` for each part that a range meets: with the offset in the part, in the range, and the length. */
  async #each(
    offset: number,
    length: number,
    request: (part: Disk, at: number, from: number, length: number) => Promise<void>,
  ): Promise<void> {
    const requests: Promise<void>[] = []
    for (const [i, part] of this.parts.entries()) {
      const from = Math.max(offset, this.#starts[i])
      const to = Math.min(offset + length, this.#starts[i] + part.size)
      if (from < to) requests.push(request(part, from - this.#starts[i], from - offset, to - from))
    }
    await Promise.all(requests)
  }
}
