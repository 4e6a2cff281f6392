/** Which units of an image file are free. */
import type { ByteFile } from './byte-file.ts'

/** What is free in a row from this many bytes on is given back to the host. */
const LEAST_PUNCH = 2 ** 18
/** Most pieces that are given back at a time. */
const MOST_PUNCHES = 32

/** Units in a row; `isZero` where they are known to read as zeros. */
export interface Extent {
  start: number
  count: number
  isZero: boolean
}

/** The free units of a file: those in gaps, and all behind its end. */
export class FreeSpace {
  /** Ascending, never touching each other nor the end. */
  readonly #gaps: { start: number; count: number }[] = []
  #end: number
  /** From here on the file reads as zeros, because it ends there or nothing was written since it did. */
  #zeroFrom: number

  /** @param end the first unit of which none after it is in use; the file ends there */
  constructor(end: number) {
    this.#end = end
    this.#zeroFrom = end
  }

  /** The first unit behind all that are in use. */
  get end(): number {
    return this.#end
  }

  /** Units that are free before the end. */
  get free(): number {
    return this.#gaps.reduce((sum, { count }) => sum + count, 0)
  }

  /** Takes up to `most` units in a row, from the lowest gap, else from the end. */
  take(most: number): Extent {
    const gap = this.#gaps[0]
    if (gap === undefined) return this.takeExactly(most, true)
    const count = Math.min(most, gap.count)
    const { start } = gap
    this.#shorten(0, count)
    return { start, count, isZero: false }
  }

  /** Takes `count` units in a row. */
  takeExactly(count: number, atEnd = false): Extent {
    const index = atEnd ? -1 : this.#gaps.findIndex(gap => gap.count >= count)
    if (index >= 0) {
      const { start } = this.#gaps[index]
      this.#shorten(index, count)
      return { start, count, isZero: false }
    }
    const start = this.#end
    const isZero = start >= this.#zeroFrom
    this.#end += count
    this.#zeroFrom = Math.max(this.#zeroFrom, this.#end)
    return { start, count, isZero }
  }

  /** Gives units back. */
  release(start: number, count: number): void {
    if (count === 0) return
    let at = this.#search(start)
    const [before, after] = [this.#gaps[at - 1], this.#gaps[at]]
    if (before && before.start + before.count === start) {
      before.count += count
      at--
    } else {
      this.#gaps.splice(at, 0, { start, count })
    }
    const gap = this.#gaps[at]
    if (after && gap.start + gap.count === after.start) {
      gap.count += after.count
      this.#gaps.splice(at + 1, 1)
    }
    const last = this.#gaps.at(-1)!
    if (last.start + last.count === this.#end) {
      this.#end = last.start
      this.#gaps.pop()
    }
  }

  /** Notes that the file was cut at the end. */
  wasCut(): void {
    this.#zeroFrom = this.#end
  }

  #shorten(index: number, count: number): void {
    const gap = this.#gaps[index]
    if (gap.count === count) this.#gaps.splice(index, 1)
    else {
      gap.start += count
      gap.count -= count
    }
  }

  /** Index of the first gap behind `start`. */
  #search(start: number): number {
    let [low, high] = [0, this.#gaps.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#gaps[middle].start < start) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Units, as rows of consecutive ones. */
export function inRows(units: number[]): Extent[] {
  const rows: Extent[] = []
  for (const unit of units.sort((a, b) => a - b)) {
    const last = rows.at(-1)
    if (last && last.start + last.count === unit) last.count++
    else rows.push({ start: unit, count: 1, isZero: false })
  }
  return rows
}

/** Gives units back; of large rows the host gets the space, before anybody else does. */
export function releaseExtents(file: ByteFile, freed: readonly Extent[], space: FreeSpace, unit: number): void {
  const large = freed.filter(({ count }) => count * unit >= LEAST_PUNCH).sort((a, b) => b.count - a.count)
  const punched = new Set(large.slice(0, MOST_PUNCHES))
  for (const extent of freed.toReversed()) {
    const release = () => space.release(extent.start, extent.count)
    const isLast = extent.start + extent.count === space.end
    if (isLast || !punched.has(extent)) release()
    else file.punch(extent.start * unit, extent.count * unit).then(release, release)
  }
}
