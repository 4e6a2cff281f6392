/**
 * Regions that outlive the process: what one run translated, the next finds again by the bytes that it was made of, wherever in
 * memory they are. docs/performance.md, "Code that is kept"
 */
import type { PhysicalMemory } from '../../memory/physical.ts'
import type { CodeStore } from '../code-store.ts'
import { type CodeLibrary, SMALL_FUNCTION, type Unit } from '../library.ts'
import { type KeptDescription, readSegment, type Segment, writeSegment } from './kept-segment.ts'
import type { RegionUnit } from './relocatable.ts'

/** So many files are kept of one guest; when there are more, all begins anew. */
const MOST_SEGMENTS = 48
/** Nor are there more regions. */
const MOST_KEPT = 12_000
/** Fewer new regions are not worth a file. */
const FEW_NEW = 24
/** When what is new is written first, in milliseconds from the start, and how much later each time. */
const FIRST_SAVE = 1200
const SAVE_GROWTH = 1.7

/** A region of an earlier run. */
export interface KeptRegion {
  /** The index that its function is made for. */
  readonly index: number
  readonly description: KeptDescription
  /** Where its pages are now: addresses in memory 1, -1 where nothing of it lies. */
  readonly pages: readonly number[]
}

interface Entry {
  readonly segment: Loaded
  /** Counts the segment's regions. */
  readonly number: number
  /** The function stands in the table for something. */
  used: boolean
  /** The function, while it is not in the table. */
  held: CallableFunction | null
}

interface Loaded {
  readonly name: string
  readonly segment: Segment
  module: WebAssembly.Module | undefined
  /** A function of it that does nothing. */
  small: CallableFunction | undefined
}

interface New {
  readonly description: KeptDescription
  readonly unit: RegionUnit
}

/** What a run has of earlier ones, and leaves to later ones. */
export class KeptRegions {
  /** The first index of a function that is no region's of an earlier run. */
  readonly end: number
  readonly statistics = { found: 0, differ: 0, elsewhere: 0, written: 0, saveMilliseconds: 0 }
  private readonly store: CodeStore
  private readonly name: string
  private readonly library: CodeLibrary
  private readonly table: WebAssembly.Table
  private readonly memory: Pick<PhysicalMemory, 'ram'>
  private readonly first: number
  private readonly byKey = new Map<number, Entry[]>()
  private readonly byIndex: Entry[] = []
  private readonly segments: Loaded[] = []
  private readonly fresh = new Map<object, New>()
  /** Indices of regions of earlier runs that are not wanted any more. */
  private readonly dead = new Set<number>()
  /** Called when things are written. */
  onSave: (() => void) | undefined
  private saved = 0
  private nextSave = FIRST_SAVE
  private readonly started = performance.now()

  /**
   * @param name of the guest, in the store
   * @param first index of a region's function
   */
  constructor(
    store: CodeStore,
    name: string,
    library: CodeLibrary,
    table: WebAssembly.Table,
    memory: Pick<PhysicalMemory, 'ram'>,
    first: number,
  ) {
    this.store = store
    this.name = name
    this.library = library
    this.table = table
    this.memory = memory
    this.first = first
    let end = first
    const read: Loaded[] = []
    for (let number = 0; number < MOST_SEGMENTS; number++) {
      const bytes = store.read(this.fileName(number))
      const segment = bytes && readSegment(bytes)
      // Processes at the same time may each have written one that follows the same.
      if (!segment || segment.first !== end) break
      read.push({ name: this.fileName(number), segment, module: undefined, small: undefined })
      for (const index of segment.dead) this.dead.add(index)
      end += segment.count
    }
    for (const loaded of read) this.enter(loaded)
    this.end = end
  }

  private fileName(number: number): string {
    return `${this.name}-${number}`
  }

  private enter(loaded: Loaded): void {
    this.segments.push(loaded)
    for (let number = 0; number < loaded.segment.count; number++) {
      const entry: Entry = { segment: loaded, number, used: false, held: null }
      this.byIndex.push(entry)
      if (this.dead.has(loaded.segment.first + number)) continue
      const key = loaded.segment.key(number)
      const others = this.byKey.get(key)
      if (others) others.push(entry)
      else this.byKey.set(key, [entry])
    }
  }

  /** Whether an earlier run may have a region that begins with the code at an address in memory 1. */
  expects(address: number, mode: number): boolean {
    return this.byKey.has(keyOf(this.memory.ram, address >>> 0, mode))
  }

  /**
   * The region of an earlier run that begins at an address in memory 1, if the guest has the same code there now. Its function is in
   * the table from now on, until it is {@link giveBack given back}.
   * @param pageOf address in memory 1 of the page of code with a number counted from the entry's, or -1
   * @param assuming whether it may count on what the processor need not have
   */
  take(address: number, mode: number, pageOf: (number: number) => number, assuming: boolean): KeptRegion | undefined {
    const { ram } = this.memory
    const entries = this.byKey.get(keyOf(ram, address >>> 0, mode))
    if (!entries) return undefined
    // What was made last is the larger one.
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]
      if (entry.used) continue
      const description = entry.segment.segment.describe(entry.number)
      if (description.mode !== mode || description.offset !== (address & 0xfff)) continue
      if (description.assumes && !assuming) continue
      const pages = this.locate(description, address & ~0xfff, pageOf)
      if (!pages) continue
      entry.used = true
      const index = entry.segment.segment.first + entry.number
      this.instantiate(entry.segment)
      if (entry.held) this.table.set(index, entry.held)
      entry.held = null
      this.statistics.found++
      return { index, description, pages }
    }
    return undefined
  }

  /** Where the pages are that hold the code, or undefined where one is not known or holds something else. */
  private locate(
    { pages, runs }: KeptDescription,
    entryPage: number,
    pageOf: (number: number) => number,
  ): number[] | undefined {
    const { ram } = this.memory
    const found = pages.map(() => -1)
    for (const { page, offset, bytes } of runs) {
      if (found[page] === -1) {
        const number = pages[page]
        const address = number === 0 ? entryPage : pageOf(number)
        if (address === -1) {
          this.statistics.elsewhere++
          return undefined
        }
        found[page] = address | 0
      }
      const at = (found[page] >>> 0) + offset
      for (let i = 0; i < bytes.length; i++) {
        if (ram[at + i] === bytes[i]) continue
        this.statistics.differ++
        return undefined
      }
    }
    return found
  }

  private instantiate(loaded: Loaded): void {
    if (loaded.module) return
    const bytes = loaded.segment.code
    loaded.module = this.store.module?.(loaded.name, bytes) ?? new WebAssembly.Module(bytes)
    loaded.small = this.library.instantiate(loaded.module, bytes.length)[SMALL_FUNCTION] as CallableFunction
  }

  /** Whether an index is that of a region of an earlier run. */
  owns(index: number): boolean {
    return index < this.end
  }

  /** Another function takes the place of a region's of an earlier run: that is held until it is wanted again. */
  hold(index: number): void {
    const entry = this.byIndex[index - this.first]
    entry.held ??= this.table.get(index)
  }

  /** Nothing stands for the index any more. */
  giveBack(index: number): void {
    this.hold(index)
    this.byIndex[index - this.first].used = false
    this.table.set(index, null)
  }

  /** A region was translated: one for later runs. @param before what stood in its place */
  note(region: object, before: object | undefined, description: KeptDescription, unit: RegionUnit): void {
    if (before) this.fresh.delete(before)
    if (this.byIndex.length + this.fresh.size >= MOST_KEPT) return
    this.fresh.set(region, { description, unit })
  }

  /** Another stands for all that a region does: later runs shall not have it. */
  forget(region: object, index: number): void {
    this.fresh.delete(region)
    if (this.owns(index)) this.dead.add(index)
  }

  /** Writes what is new, when it is time. */
  saveInTime(): void {
    const now = performance.now()
    if (now - this.started < this.nextSave) return
    this.nextSave = (now - this.started) * SAVE_GROWTH
    this.save()
    this.statistics.saveMilliseconds += performance.now() - now
  }

  /** Writes what is new, and V8's code of what is old. @param few so many new regions are worth a file */
  save(few = FEW_NEW): void {
    this.onSave?.()
    for (const { name, module, segment, small } of this.segments) {
      if (module && small) this.store.keepModule?.(name, module, segment.code, small)
    }
    if (this.fresh.size < this.saved + few) return
    this.saved = this.fresh.size
    const full = this.segments.length >= MOST_SEGMENTS || this.byIndex.length + this.fresh.size >= MOST_KEPT
    const first = full ? this.first : this.end
    const list = [...this.fresh.values()]
    const units: Unit[] = list.map(({ unit }, i) => ({ name: `kept ${i}`, f: unit.at(first + i), uses: unit.uses }))
    const code = this.library.assembleForTable(units, first)
    const descriptions = list.map(({ description }) => description)
    this.store.write(
      this.fileName(full ? 0 : this.segments.length),
      // Where all begins anew, no index is what it was.
      writeSegment(first, descriptions, full ? [] : [...this.dead], code),
    )
    this.statistics.written = list.length
  }
}

/** Bytes that a key looks at. */
const KEY_BYTES = 8

/** A number for the mode and the first bytes of code at an address. */
export function keyOf(ram: Uint8Array, address: number, mode: number): number {
  const offset = address & 0xfff
  let key = Math.imul(mode, 0x9e3779b1) ^ offset
  const end = Math.min(address + KEY_BYTES, address - offset + 4096)
  for (let i = address; i < end; i++) key = Math.imul(key ^ ram[i], 0x01000193)
  return key
}
