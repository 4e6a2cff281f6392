/** Copies what a disk holds to another one. */
import type { Disk } from './disk.ts'
import { Qcow2Disk } from './qcow2/disk.ts'

/** Bytes that are read at once. */
const CHUNK = 2 ** 20
/** Chunks under way at a time. */
const DEPTH = 4
/** Zeros in pieces of this many bytes are not written. */
const PIECE = 4096

/** How {@link copyDisk} copies. */
export interface CopyOptions {
  /** Whether clusters are compressed; the target is a new qcow2 image then. */
  isCompressed?: boolean
  /** Hears how many bytes are done, and may throw to end it. */
  onProgress?: (done: number) => void
}

/**
 * Copies a disk to one at least as large that reads as zeros. Zeros are not written.
 * @throws DiskError of either disk
 */
export async function copyDisk(source: Disk, target: Disk, options: CopyOptions = {}): Promise<void> {
  const { onProgress = () => {} } = options
  const packed = options.isCompressed && target instanceof Qcow2Disk ? target : undefined
  const chunk = packed?.clusterSize ?? CHUNK
  let next = 0
  let done = 0
  const copyChunks = async () => {
    const buffer = new Uint8Array(chunk)
    while (next < source.size) {
      const offset = next
      next += chunk
      const bytes = buffer.subarray(0, Math.min(chunk, source.size - offset))
      await source.read(offset, bytes)
      if (packed) {
        buffer.fill(0, bytes.length)
        if (!isZero(buffer)) await packed.writePacked(offset / chunk, buffer)
      } else {
        for (const [from, to] of runs(bytes)) await target.write(offset + from, bytes.subarray(from, to))
      }
      done += bytes.length
      onProgress(done)
    }
  }
  const results = await Promise.allSettled(Array.from({ length: DEPTH }, copyChunks))
  const failed = results.find(result => result.status === 'rejected')
  if (failed) throw failed.reason
  await target.flush()
}

/** The ranges that are not zeros. */
function* runs(bytes: Uint8Array): Generator<[from: number, to: number], void> {
  let start = -1
  for (let at = 0; at < bytes.length; at += PIECE) {
    const isEmpty = isZero(bytes.subarray(at, at + PIECE))
    if (!isEmpty && start < 0) start = at
    if (isEmpty && start >= 0) {
      yield [start, at]
      start = -1
    }
  }
  if (start >= 0) yield [start, bytes.length]
}

/** Whether all bytes, a multiple of four at a multiple of four, are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false
  return true
}
