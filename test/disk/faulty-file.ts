/** Files in memory that lose power, or run out of space. */
import { MemoryFile } from '../../src/disk/memory.ts'
import { type ByteFile, DiskError, type FilePart } from '../../src/index.ts'

const SECTOR = 512

/** A change that has not reached the medium. */
type Change = { offset: number; bytes: Uint8Array } | { size: number }

/** A file of which, at a power failure, any of the sectors written since the last flush may be lost. */
export class VolatileFile implements ByteFile {
  readonly name: string
  readonly readOnly = false
  /** Bytes that the file may have; beyond them the disk is full. */
  limit = Number.POSITIVE_INFINITY
  /** Changes and flushes that are left until the power fails: then nothing works any more. */
  left = Number.POSITIVE_INFINITY
  readonly #seen: MemoryFile
  readonly #durable: MemoryFile
  #pending: Change[] = []

  /** @param durable what is on the medium; it becomes this file's */
  constructor(durable: MemoryFile, seen: MemoryFile) {
    this.name = durable.name
    this.#durable = durable
    this.#seen = seen
  }

  /** An empty file. */
  static make(name: string): VolatileFile {
    return new VolatileFile(new MemoryFile(name), new MemoryFile(name))
  }

  get size(): number {
    return this.#seen.size
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#seen.read(offset, buffer)
  }

  #count(): void {
    if (this.left-- <= 0) throw new DiskError('input-output', 'the power has failed')
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.#count()
    if (offset + buffer.length > Math.max(this.limit, this.size)) {
      throw new DiskError('no-space', `file '${this.name}' cannot be written: the disk is full`)
    }
    const bytes = new Uint8Array(buffer)
    await this.#seen.write(offset, bytes)
    this.#pending.push({ offset, bytes })
  }

  async writeInOrder(parts: readonly FilePart[]): Promise<void> {
    for (const { offset, bytes } of parts) await this.write(offset, bytes)
  }

  async truncate(size: number): Promise<void> {
    this.#count()
    await this.#seen.truncate(size)
    this.#pending.push({ size })
  }

  async punch(): Promise<boolean> {
    return false
  }

  async flush(): Promise<void> {
    this.#count()
    const pending = this.#pending
    this.#pending = []
    for (const change of pending) {
      if ('size' in change) await this.#durable.truncate(change.size)
      else await this.#durable.write(change.offset, change.bytes)
    }
  }

  async allocated(): Promise<undefined> {
    return undefined
  }

  async close(): Promise<void> {}

  /** The power fails: of what was not flushed some sectors are on the medium, others not. @returns the file after that */
  async fail(random: () => number): Promise<VolatileFile> {
    const share = random()
    for (const change of this.#pending) {
      if ('size' in change) {
        if (random() < share) await this.#durable.truncate(change.size)
        continue
      }
      for (let at = 0; at < change.bytes.length; ) {
        const next = at + SECTOR - ((change.offset + at) % SECTOR)
        if (random() < share) await this.#durable.write(change.offset + at, change.bytes.subarray(at, next))
        at = next
      }
    }
    const after = VolatileFile.make(this.name)
    const bytes = new Uint8Array(this.#durable.size)
    await this.#durable.read(0, bytes)
    await after.write(0, bytes)
    await after.truncate(bytes.length)
    await after.flush()
    return after
  }
}
