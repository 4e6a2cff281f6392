/** Handlers by the key of their shape (handlers.ts): looked up for every instruction that is decoded. */

/** More than twice as many as there may be handlers. */
const ENTRIES = 65536

/**
 * A hash table with open addressing. The two parts of a key, its bits (below 2^31) and the number of its form (below 2^13), stay
 * apart: together they would be no small integers.
 */
export class ShapeTable {
  /** One more than the bits; 0 where nothing is. */
  private readonly bits = new Int32Array(ENTRIES)
  private readonly forms = new Uint16Array(ENTRIES)
  private readonly indices = new Uint16Array(ENTRIES)

  private place(bits: number, form: number): number {
    let at = (Math.imul(bits ^ Math.imul(form, 0x85ebca6b), 0x9e3779b1) >>> 16) & (ENTRIES - 1)
    while (this.bits[at] !== 0 && (this.bits[at] !== bits + 1 || this.forms[at] !== form)) at = (at + 1) & (ENTRIES - 1)
    return at
  }

  /** The handler of a shape, or 0. */
  get(bits: number, form: number): number {
    return this.indices[this.place(bits, form)]
  }

  /** Notes a shape's handler, which is not 0. */
  set(bits: number, form: number, index: number): void {
    const at = this.place(bits, form)
    this.bits[at] = bits + 1
    this.forms[at] = form
    this.indices[at] = index
  }

  /** Forgets handlers from a number on. */
  keepBelow(limit: number): void {
    const kept: [bits: number, form: number, index: number][] = []
    this.indices.forEach((index, at) => {
      if (index !== 0 && index < limit) kept.push([this.bits[at] - 1, this.forms[at], index])
    })
    this.bits.fill(0)
    this.indices.fill(0)
    for (const [bits, form, index] of kept) this.set(bits, form, index)
  }
}
