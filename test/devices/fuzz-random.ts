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
