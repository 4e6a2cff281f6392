/** Handlers by the key of their shape (handlers.ts): looked up for every instruction that is decoded. */

/** More than twice as many as there may be handlers. */
const ENTRIES = 65536

/** A hash table with open addressing. Keys are whole numbers below 2^53. */
export class ShapeTable {
  private readonly keys = new Float64Array(ENTRIES)
  private readonly indices = new Uint16Array(ENTRIES)

  /** @param key one more than the shape's, so that none is 0 */
  private place(key: number): number {
    const low = (key % 0x100000000) | 0
    const high = (key / 0x100000000) | 0
    let at = (Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1) >>> 16) & (ENTRIES - 1)
    const { keys } = this
    while (keys[at] !== 0 && keys[at] !== key) at = (at + 1) & (ENTRIES - 1)
    return at
  }

  /** The handler of a shape, or 0. */
  get(key: number): number {
    return this.indices[this.place(key + 1)]
  }

  /** Notes a shape's handler, which is not 0. */
  set(key: number, index: number): void {
    const at = this.place(key + 1)
    this.keys[at] = key + 1
    this.indices[at] = index
  }

  /** Forgets handlers from a number on. */
  keepBelow(limit: number): void {
    const kept: [number, number][] = []
    this.indices.forEach((index, at) => {
      if (index !== 0 && index < limit) kept.push([this.keys[at] - 1, index])
    })
    this.keys.fill(0)
    this.indices.fill(0)
    for (const [key, index] of kept) this.set(key, index)
  }
}
