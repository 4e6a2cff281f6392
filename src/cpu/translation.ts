/** Filling and flushing the software TLB (src/memory/tlb.ts) that generated code probes inline. */

import { TLB_BASE, TLB_LISTS_BASE } from '../memory/layout.ts'
import { FRAME_CODE, FRAME_DIRTY, FRAME_PRESENT, FRAME_WRITABLE } from '../memory/physical.ts'
import {
  NO_TAG,
  TLB_CLASSES,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_FRAME_MASK,
  TLB_GLOBAL,
  TLB_LARGE,
  TLB_LARGE_PAGES,
  TLB_LISTED_GLOBAL,
  TLB_LISTED_LOCAL,
  TLB_LISTS_SIZE,
  TLB_SUPERVISOR,
  TLB_SUPERVISOR_AC,
  TLB_USER,
  TLB_USER_ALIGNMENT,
  tlbIndex,
  tlbList,
} from '../memory/tlb.ts'
import {
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_USER,
  ACCESS_WRITE,
  PAGE_DIRTY,
  PAGE_GLOBAL,
  PAGE_LARGE,
  PAGE_NO_EXECUTE,
  PAGE_USER,
  PAGE_WRITABLE,
} from './paging.ts'
import { CR0_WP, CR4_PGE, CR4_SMAP, CR4_SMEP, EFER_LMA } from './registers.ts'
import { AC, F } from './state.ts'
import type { Vcpu } from './vcpu.ts'

/** Words of an entry, and of its parts. */
export const ENTRY_WORDS = TLB_ENTRY_SIZE >> 2
const READ = 0
const WRITE = 2
const FETCH = 4
const ADDEND = 6
const FRAME = 7
const CR0 = F.cr0.offset >> 2
const CR4 = F.cr4.offset >> 2
const EFER = F.efer.offset >> 2
const SYSTEM_FLAGS = F.systemFlags.offset >> 2

/** The lists of entries in use and the word behind them (src/memory/tlb.ts), by words. */
export class TlbUse {
  private readonly words: Int32Array
  constructor(buffer: ArrayBufferLike) {
    this.words = new Int32Array(buffer, TLB_LISTS_BASE, TLB_LISTS_SIZE >> 2)
  }

  /** How many entries a list has. */
  count(tlbClass: number, global: boolean): number {
    return this.words[tlbList(tlbClass, global) >> 2]
  }

  /** Puts an entry, by its index of words in `Vcpu.tlb`, into a list. */
  add(tlbClass: number, global: boolean, at: number): void {
    const list = tlbList(tlbClass, global) >> 2
    this.words[list + ++this.words[list]] = TLB_BASE + at * 4
  }

  /** The entries of a list, as indices of words in `Vcpu.tlb`. */
  *entries(tlbClass: number, global: boolean): Iterable<number> {
    const list = tlbList(tlbClass, global) >> 2
    const count = this.words[list]
    for (let i = 1; i <= count; i++) yield (this.words[list + i] - TLB_BASE) >> 2
  }

  /** Drops what all entries in use hold of a guest-physical frame: the right to write only, or everything. */
  dropFrame(tlb: Int32Array, frame: number, writesOnly: boolean): void {
    this.dropFrames(tlb, frame, 1, writesOnly)
  }

  /** The same of `count` frames from `first`. */
  dropFrames(tlb: Int32Array, first: number, count: number, writesOnly: boolean): void {
    this.forEach(at => {
      const distance = (tlb[at + FRAME] & TLB_FRAME_MASK) - first
      if (distance < 0 || distance >= count) return
      if (writesOnly) tlb[at + WRITE] = NO_TAG
      else drop(tlb, at)
    })
  }

  /** Drops all entries of large pages within the same 2^`bits` bytes as an address. */
  dropLargePages(tlb: Int32Array, low: number, high: number, bits: number): void {
    this.forEach(at => {
      if ((tlb[at + FRAME] & TLB_LARGE) !== 0 && isWithin(tlb, at, low, high, bits)) drop(tlb, at)
    })
  }

  /**
   * Calls `visit` with each entry in use, by its index of words in `Vcpu.tlb`. There may be thousands, and a boot comes here for a
   * few thousand frames that are about to hold code; a system with memory that it maps for moments only, as Linux of 32 bits has,
   * for every page that it touches there. So it is a loop over words, not over {@link entries}.
   */
  private forEach(visit: (at: number) => void): void {
    const { words } = this
    for (let list = 0; list < TLB_CLASSES * 2; list++) {
      const from = tlbList(list >> 1, (list & 1) !== 0) >> 2
      const last = from + words[from]
      for (let i = from + 1; i <= last; i++) visit((words[i] - TLB_BASE) >> 2)
    }
  }

  clear(tlbClass: number, global: boolean): void {
    this.words[tlbList(tlbClass, global) >> 2] = 0
  }

  /** A bit for each GiB (hashed) of which a large page's part is or was in the TLB. */
  get largePages(): number {
    return this.words[TLB_LARGE_PAGES >> 2]
  }
  set largePages(bits: number) {
    this.words[TLB_LARGE_PAGES >> 2] = bits
  }
}

const gibibyteBit = (low: number, high: number): number => 1 << (((low >>> 30) ^ (high << 2) ^ (high >>> 13)) & 31)

/** The class of the TLB that an access goes through now. Alignment checking is the caller's. */
export function accessClass(cpu: Vcpu, access: number): number {
  if (access & ACCESS_USER) return TLB_USER
  if (access & ACCESS_IMPLICIT) return TLB_SUPERVISOR
  const words = cpu.state.i32
  return words[CR4] & CR4_SMAP && words[SYSTEM_FLAGS] & AC ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR
}

/** Notes in a class's TLB what a walk found (`cpu.pageRights`). A frame without RAM is never noted. */
export function fillTlb(cpu: Vcpu, tlbClass: number, low: number, high: number, frame: number): void {
  const { memory, tlb } = cpu
  const entry = frame < memory.frames.length ? memory.frames[frame] : 0
  if (!(entry & FRAME_PRESENT)) return
  const words = cpu.state.i32
  const rights = cpu.pageRights
  const at = (tlbClass * TLB_ENTRIES + tlbIndex(low)) * ENTRY_WORDS
  // Without PGE the bit means nothing (SDM vol. 3, 4.10.2.4).
  const global = (rights & PAGE_GLOBAL) !== 0 && (words[CR4] & CR4_PGE) !== 0
  const listed = global ? TLB_LISTED_GLOBAL : TLB_LISTED_LOCAL
  const lists = tlb[at + FRAME] & (TLB_LISTED_GLOBAL | TLB_LISTED_LOCAL)
  if (!(lists & listed)) cpu.tlbUse.add(tlbClass, global, at)
  const user = tlbClass === TLB_USER || tlbClass === TLB_USER_ALIGNMENT
  const page = low & ~0xfff
  const userPage = (rights & PAGE_USER) !== 0
  let data = user ? userPage : !(userPage && tlbClass === TLB_SUPERVISOR && words[CR4] & CR4_SMAP)
  if (tlbClass === TLB_USER_ALIGNMENT || (cpu.watchpoints && cpu.watches(low, high))) data = false
  const write =
    data &&
    (rights & PAGE_WRITABLE || (!user && !(words[CR0] & CR0_WP))) &&
    rights & PAGE_DIRTY &&
    entry & FRAME_WRITABLE &&
    !(entry & FRAME_CODE)
  const fetch = !(rights & PAGE_NO_EXECUTE) && (user ? userPage : !(userPage && words[CR4] & CR4_SMEP))
  tlb[at + READ] = data ? page : NO_TAG
  tlb[at + READ + 1] = data ? high : 0
  tlb[at + WRITE] = write ? page : NO_TAG
  tlb[at + WRITE + 1] = write ? high : 0
  tlb[at + FETCH] = fetch ? page : NO_TAG
  tlb[at + FETCH + 1] = fetch ? high : 0
  tlb[at + ADDEND] = (entry & ~0xfff) - page
  tlb[at + FRAME] = frame | lists | listed | (global ? TLB_GLOBAL : 0) | (rights & PAGE_LARGE ? TLB_LARGE : 0)
  if (rights & PAGE_LARGE) cpu.tlbUse.largePages |= gibibyteBit(low, high)
  if (write) memory.frames[frame] |= FRAME_DIRTY
}

function drop(tlb: Int32Array, at: number): void {
  tlb[at + READ] = NO_TAG
  tlb[at + WRITE] = NO_TAG
  tlb[at + FETCH] = NO_TAG
}

/** Makes every entry of every class invalid, whatever is noted of their use: at the start and after a restore. */
export function initializeTlb(cpu: Vcpu): void {
  const { tlb } = cpu
  tlb.fill(0)
  for (let at = 0; at < tlb.length; at += ENTRY_WORDS) drop(tlb, at)
  for (let tlbClass = 0; tlbClass < TLB_CLASSES; tlbClass++) {
    cpu.tlbUse.clear(tlbClass, false)
    cpu.tlbUse.clear(tlbClass, true)
  }
  cpu.tlbUse.largePages = 0
}

/** Forgets all translations, global ones too unless `keepGlobal`. */
export function flushTlb(cpu: Vcpu, keepGlobal: boolean): void {
  const { tlb, tlbUse } = cpu
  for (let tlbClass = 0; tlbClass < TLB_CLASSES; tlbClass++) {
    for (const at of tlbUse.entries(tlbClass, false)) {
      // A global page may have taken the place of the one for which the entry stands here.
      if (!(tlb[at + FRAME] & TLB_GLOBAL)) drop(tlb, at)
      tlb[at + FRAME] &= ~TLB_LISTED_LOCAL
    }
    tlbUse.clear(tlbClass, false)
    if (keepGlobal) continue
    for (const at of tlbUse.entries(tlbClass, true)) {
      drop(tlb, at)
      tlb[at + FRAME] = 0
    }
    tlbUse.clear(tlbClass, true)
  }
  if (!keepGlobal) tlbUse.largePages = 0
  cpu.tlbFlushed()
}

/** Forgets the translation of one page, and every large page that may hold it, in all classes: INVLPG. */
export function flushPage(cpu: Vcpu, low: number, high: number): void {
  const { tlb } = cpu
  const index = tlbIndex(low)
  for (let tlbClass = 0; tlbClass < TLB_CLASSES; tlbClass++) drop(tlb, (tlbClass * TLB_ENTRIES + index) * ENTRY_WORDS)
  if (cpu.tlbUse.largePages & gibibyteBit(low, high)) {
    // Pages of 1 GiB are long mode's; others have 4 MiB at most.
    cpu.tlbUse.dropLargePages(tlb, low, high, cpu.state.i32[EFER] & EFER_LMA ? 30 : 22)
  }
  cpu.tlbFlushed()
}

/** Whether a large page's entry is within the same 2^`bits` bytes as the address. */
function isWithin(tlb: Int32Array, at: number, low: number, high: number, bits: number): boolean {
  // A large page's entry has at least one tag; the address's low half is the same in all of them.
  const part = tlb[at + READ] !== NO_TAG ? READ : tlb[at + WRITE] !== NO_TAG ? WRITE : FETCH
  return (tlb[at + part] ^ low) >>> bits === 0 && tlb[at + part + 1] === (high | 0)
}

/** Drops what all TLBs hold of a guest-physical frame: its writes only, or everything. */
export function dropFrame(cpu: Vcpu, frame: number, writesOnly: boolean): void {
  cpu.tlbUse.dropFrame(cpu.tlb, frame, writesOnly)
  if (!writesOnly) cpu.tlbFlushed()
}

/** The same of `count` frames from `first`. */
export function dropFrames(cpu: Vcpu, first: number, count: number, writesOnly: boolean): void {
  cpu.tlbUse.dropFrames(cpu.tlb, first, count, writesOnly)
  if (!writesOnly) cpu.tlbFlushed()
}

/** The address in guest RAM that the TLB has for an access within a page, or -1. */
export function probeTlb(cpu: Vcpu, tlbClass: number, low: number, high: number, access: number): number {
  const { tlb } = cpu
  const at = (tlbClass * TLB_ENTRIES + tlbIndex(low)) * ENTRY_WORDS
  const part = at + (access & ACCESS_FETCH ? FETCH : access & ACCESS_WRITE ? WRITE : READ)
  if (tlb[part] !== (low & ~0xfff) || tlb[part + 1] !== (high | 0)) return -1
  return (tlb[at + ADDEND] + low) >>> 0
}
