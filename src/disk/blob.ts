/** Files that a program was handed as a `Blob`: read in place, piece by piece, and never written. */
import type { ByteFile } from './byte-file.ts'
import { DiskError, type ImmediateAccess } from './disk.ts'

/** Bytes that are read together: a request for a sector brings its neighbours along. */
const BLOCK = 2 ** 17
/** Blocks that are kept. */
const MOST_BLOCKS = 96
/** Larger requests go past what is kept. */
const LARGE = 4 * BLOCK

/** Reads a part of a blob before it returns, as workers of a page can. */
export type ReadNow = (part: Blob) => ArrayBuffer

/** What {@link blobFile} may be told. */
export interface BlobFileOptions {
  /** For messages and the format; default: the name of a `File`, else `blob`. */
  name?: string
  /** Default: reads go by promises. */
  readNow?: ReadNow
}

/** A `Blob` or `File` as image formats see files. It is read-only, and of the size that it has now. */
export function blobFile(blob: Blob, options: BlobFileOptions = {}): ByteFile {
  const name = options.name ?? nameOf(blob)
  const blocks = new Map<number, Uint8Array>()
  const { readNow } = options
  const refuse = async (): Promise<never> => {
    throw new DiskError('read-only', `file '${name}' is read-only`)
  }

  const keep = (index: number, bytes: Uint8Array): Uint8Array => {
    blocks.set(index, bytes)
    if (blocks.size > MOST_BLOCKS) blocks.delete(blocks.keys().next().value!)
    return bytes
  }
  const kept = (index: number): Uint8Array | undefined => {
    const bytes = blocks.get(index)
    // What was looked at last goes last.
    if (bytes) {
      blocks.delete(index)
      blocks.set(index, bytes)
    }
    return bytes
  }
  const partOf = (index: number) => blob.slice(index * BLOCK, (index + 1) * BLOCK)
  const blockNow = (index: number, read: ReadNow): Uint8Array => {
    const bytes = kept(index)
    if (bytes) return bytes
    try {
      return keep(index, new Uint8Array(read(partOf(index))))
    } catch (error) {
      throw unreadable(name, error)
    }
  }

  const immediate: ImmediateAccess = {
    read(offset, into) {
      let at = offset
      for (const buffer of into) {
        for (const piece of pieces(at, buffer.length)) {
          const bytes = readNow ? blockNow(piece.block, readNow) : kept(piece.block)
          if (!bytes) return false
          copy(buffer, piece, bytes)
        }
        at += buffer.length
      }
      return true
    },
    write() {
      throw new DiskError('read-only', `file '${name}' is read-only`)
    },
  }

  return {
    name,
    readOnly: true,
    size: blob.size,
    immediate,
    async read(offset, buffer) {
      try {
        if (buffer.length > LARGE) {
          const bytes = new Uint8Array(await blob.slice(offset, offset + buffer.length).arrayBuffer())
          buffer.set(bytes)
          buffer.fill(0, bytes.length)
          return
        }
        for (const piece of pieces(offset, buffer.length)) {
          const bytes = kept(piece.block) ?? keep(piece.block, new Uint8Array(await partOf(piece.block).arrayBuffer()))
          copy(buffer, piece, bytes)
        }
      } catch (error) {
        throw unreadable(name, error)
      }
    },
    write: refuse,
    writeInOrder: refuse,
    truncate: refuse,
    punch: async () => false,
    flush: async () => {},
    allocated: async () => blob.size,
    close: async () => blocks.clear(),
  }
}

/** The name of a `File`. */
function nameOf(blob: Blob): string {
  const { name } = blob as Blob & { name?: unknown }
  return typeof name === 'string' && name !== '' ? name : 'blob'
}

interface Piece {
  block: number
  /** Within the block. */
  from: number
  length: number
  /** Within the request. */
  at: number
}

function* pieces(offset: number, length: number): Generator<Piece, void> {
  for (let at = 0; at < length; ) {
    const from = (offset + at) % BLOCK
    const count = Math.min(BLOCK - from, length - at)
    yield { block: Math.floor((offset + at) / BLOCK), from, length: count, at }
    at += count
  }
}

/** What lies behind the end of the file reads as zeros. */
function copy(buffer: Uint8Array, { from, length, at }: Piece, bytes: Uint8Array): void {
  const there = bytes.subarray(from, from + length)
  buffer.set(there, at)
  buffer.fill(0, at + there.length, at + length)
}

function unreadable(name: string, cause: unknown): DiskError {
  return new DiskError(
    'input-output',
    `file '${name}' cannot be read any more: it was changed, moved or removed since it was chosen; choose it again`,
    { cause },
  )
}
