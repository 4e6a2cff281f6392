/** Random bytes for a guest: the host's, or where time is counted and runs repeat, always the same sequence. */
import type { ClockKind } from './clock.ts'

/** Most bytes that `crypto.getRandomValues` gives at once. */
const HOST_LIMIT = 65536

/** A source of 32 random bits. The repeatable one is Marsaglia's xorshift128 with a fixed seed. */
export function random32(clock: ClockKind): () => number {
  if (clock === 'host') {
    const pool = new Uint32Array(1024)
    let used = pool.length
    return () => {
      if (used === pool.length) {
        crypto.getRandomValues(pool)
        used = 0
      }
      return pool[used++]
    }
  }
  let [x, y, z, w] = [123456789, 362436069, 521288629, 88675123]
  return () => {
    const t = x ^ (x << 11)
    x = y
    y = z
    z = w
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8)
    return w >>> 0
  }
}

/** A source of so many random bytes. */
export function makeEntropy(clock: ClockKind): (bytes: number) => Uint8Array {
  if (clock === 'host')
    return length => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += HOST_LIMIT) crypto.getRandomValues(bytes.subarray(at, at + HOST_LIMIT))
      return bytes
    }
  const next = random32(clock)
  return length => Uint8Array.from({ length }, () => next() >>> 24)
}
