/** A disk for tests. */
import assert from 'node:assert/strict'
import type { Disk } from '../../disk/disk.ts'

/**
 * A disk that answers at once, as raw files do. Each sector begins with its number in 32 bits. It says how often it was flushed.
 */
export function immediateDisk(bytes: number, readOnly = false): Disk & { bytes: Uint8Array; flushes: number } {
  const memory = new Uint8Array(bytes)
  for (let i = 0; i < bytes; i += 512) new DataView(memory.buffer).setUint32(i, i / 512, true)
  const disk = {
    name: 'test',
    size: bytes,
    sectorSize: 512,
    readOnly,
    bytes: memory,
    flushes: 0,
    immediate: {
      read(offset: number, into: readonly Uint8Array[]) {
        for (const part of into) {
          part.set(memory.subarray(offset, offset + part.length))
          offset += part.length
        }
        return true
      },
      write(offset: number, from: readonly Uint8Array[]) {
        for (const part of from) {
          memory.set(part, offset)
          offset += part.length
        }
        return true
      },
    },
    async read() {
      assert.fail()
    },
    async write() {
      assert.fail()
    },
    async writeZeroes() {},
    async discard() {},
    async flush() {
      disk.flushes++
    },
    async close() {},
  }
  return disk
}
