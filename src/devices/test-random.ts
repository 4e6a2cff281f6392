/** For tests with random guests: numbers with a seed, and how large what they leave behind is. */

/** Random numbers below a limit. */
export type Random = (limit: number) => number

/** A small generator with a seed (xorshift32). */
export function randomBelow(seed: number): Random {
  let x = seed | 0 || 1
  return limit => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % limit
  }
}

/** How much a state holds: bytes of buffers, and the number of everything else. */
export function weigh(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce((sum: number, part) => sum + weigh(part), 0)
}
