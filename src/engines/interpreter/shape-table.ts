/** Handlers by the key of their shape (handlers.ts): looked up for every instruction that is decoded. */

/** More than twice as many as there may be handlers. */
const ENTRIES = 65536

/**
 * A hash table with open addressing. The two parts of a key, its bits (below 2^31) and the number of its form (below 2^13), stay
 * apart: together they would be no small integers.
 */
export class ShapeTable {
  /** Two words an entry, so that one look takes one line of the cache: the bits and 1, or 0 where nothing is; form << 16 | index. */
  private readonly words = new Int32Array(ENTRIES * 2)

  /** Where a shape's entry is, or is to be: an index of words. */
  private place(bits: number, form: number): number {
    const { words } = this
    let at = (Math.imul(bits ^ Math.imul(form, 0x85ebca6b), 0x9e3779b1) >>> 15) & (ENTRIES * 2 - 2)
    while (words[at] !== 0 && (words[at] !== bits + 1 || words[at + 1] >> 16 !== form))
      at = (at + 2) & (ENTRIES * 2 - 2)
    return at
  }

  /** The handler of a shape, or 0. */
  get(bits: number, form: number): number {
    return this.words[this.place(bits, form) + 1] & 0xffff
  }

  /** Notes a shape's handler, which is not 0. */
  set(bits: number, form: number, index: number): void {
    const at = this.place(bits, form)
    this.words[at] = bits + 1
    this.words[at + 1] = (form << 16) | index
  }

  /** Forgets handlers from a number on. */
  keepBelow(limit: number): void {
    const kept: [bits: number, form: number, index: number][] = []
    for (let at = 0; at < this.words.length; at += 2) {
      const [bits, word] = [this.words[at], this.words[at + 1]]
      if (bits !== 0 && (word & 0xffff) < limit) kept.push([bits - 1, word >> 16, word & 0xffff])
    }
    this.words.fill(0)
    for (const [bits, form, index] of kept) this.set(bits, form, index)
  }
}
