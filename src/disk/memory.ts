/** Files and disks in memory: for tests, and for a disk that is forgotten with its machine. */
import type { ByteFile, FilePart, ImageFolder, OpenMode } from './byte-file.ts'
import { DiskError } from './disk.ts'
import { RawDisk } from './raw.ts'

/** Bytes that are kept together; those never written take no memory. */
const CHUNK = 65536

/** A file in memory. It keeps its content when it is closed. */
export class MemoryFile implements ByteFile {
  readonly name: string
  readonly readOnly: boolean
  readonly #content: { size: number; chunks: Map<number, Uint8Array> }

  /** @param of a file whose content this one shares: the same file, opened another time */
  constructor(name = 'memory', options: { size?: number; readOnly?: boolean; of?: MemoryFile } = {}) {
    this.name = name
    this.readOnly = options.readOnly ?? false
    this.#content = options.of ? options.of.#content : { size: options.size ?? 0, chunks: new Map() }
  }

  get size(): number {
    return this.#content.size
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const { chunks } = this.#content
    for (const { chunk, from, to, at } of pieces(offset, buffer.length)) {
      const bytes = chunks.get(chunk)
      if (bytes) buffer.set(bytes.subarray(from, to), at)
      else buffer.fill(0, at, at + to - from)
    }
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    if (this.readOnly) throw new DiskError('read-only', `file '${this.name}' is read-only`)
    const { chunks } = this.#content
    for (const { chunk, from, to, at } of pieces(offset, buffer.length)) {
      let bytes = chunks.get(chunk)
      if (!bytes) chunks.set(chunk, (bytes = new Uint8Array(CHUNK)))
      bytes.set(buffer.subarray(at, at + to - from), from)
    }
    this.#content.size = Math.max(this.#content.size, offset + buffer.length)
  }

  async writeInOrder(parts: readonly FilePart[]): Promise<void> {
    for (const { offset, bytes } of parts) await this.write(offset, bytes)
  }

  async truncate(size: number): Promise<void> {
    const { chunks } = this.#content
    for (const index of chunks.keys()) if (index * CHUNK >= size) chunks.delete(index)
    chunks.get(Math.floor(size / CHUNK))?.fill(0, size % CHUNK)
    this.#content.size = size
  }

  async punch(offset: number, length: number): Promise<boolean> {
    const { chunks } = this.#content
    for (const { chunk, from, to } of pieces(offset, length)) {
      if (to - from === CHUNK) chunks.delete(chunk)
      else chunks.get(chunk)?.fill(0, from, to)
    }
    return true
  }

  async flush(): Promise<void> {}

  async allocated(): Promise<number> {
    return this.#content.chunks.size * CHUNK
  }

  async close(): Promise<void> {}
}

/** A range of a file, chunk by chunk; `at` is where the piece lies in the range. */
function* pieces(
  offset: number,
  length: number,
): Generator<{ chunk: number; from: number; to: number; at: number }, void> {
  for (let at = 0; at < length; ) {
    const from = (offset + at) % CHUNK
    const to = Math.min(CHUNK, from + length - at)
    yield { chunk: Math.floor((offset + at) / CHUNK), from, to, at }
    at += to - from
  }
}

/** A folder of files in memory; names are as they are written. */
export class MemoryFolder implements ImageFolder {
  readonly files = new Map<string, MemoryFile>()

  async open(_image: string, name: string, mode: OpenMode): Promise<ByteFile> {
    const there = this.files.get(name)
    if (mode.create) {
      if (there) throw new DiskError('exists', `file '${name}' is there already`)
      const made = new MemoryFile(name)
      this.files.set(name, made)
      return made
    }
    if (!there) throw new DiskError('not-found', `file '${name}' does not exist`)
    return new MemoryFile(name, { readOnly: mode.readOnly, of: there })
  }

  async resolve(_image: string, name: string): Promise<string> {
    return name
  }
}

/** A disk in memory, at first all zeros. Only what was written takes memory. */
export class MemoryDisk extends RawDisk {
  /** @param size in bytes, a multiple of the sector size */
  constructor(size: number, options: { name?: string; sectorSize?: number; readOnly?: boolean } = {}) {
    super(new MemoryFile(options.name ?? 'memory', { size, readOnly: options.readOnly }), {
      sectorSize: options.sectorSize,
    })
  }
}
