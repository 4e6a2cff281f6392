/**
 * The page walk: linear address to guest-physical frame, in 32-bit halves because BigInt costs twenty times as much
 * (SDM vol. 3, chapter 4).
 */
import { FRAME_CODE, FRAME_DIRTY, FRAME_PRESENT, FRAME_WRITABLE } from '../memory/physical.ts'
import { setFault } from './faults.ts'
import {
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_NXE,
  PHYSICAL_ADDRESS_BITS,
} from './registers.ts'
import { AC, F } from './state.ts'
import type { Vcpu } from './vcpu.ts'

/** Kinds of access, in the bits of the page-fault error code. A supervisor's read is 0. */
export const ACCESS_WRITE = 1 << 1
export const ACCESS_USER = 1 << 2
export const ACCESS_FETCH = 1 << 4
/** An implicit supervisor access (descriptor tables, TSS): SMAP holds whatever EFLAGS.AC says. */
export const ACCESS_IMPLICIT = 1 << 5

/** Bits of the error code that no access has of itself: the page is present; a reserved bit was set. */
export const ERROR_PRESENT = 1
export const ERROR_RESERVED = 1 << 3

/** What a walk leaves in `Vcpu.pageRights`. */
export const PAGE_WRITABLE = 1 << 1
export const PAGE_USER = 1 << 2
export const PAGE_DIRTY = 1 << 6
/** Part of a page larger than 4 KiB. */
export const PAGE_LARGE = 1 << 7
export const PAGE_GLOBAL = 1 << 8
export const PAGE_NO_EXECUTE = 1 << 9

/** Bits of an entry of any level. */
export const ENTRY_PRESENT = 1
export const ENTRY_ACCESSED = 1 << 5
export const ENTRY_DIRTY = 1 << 6
export const ENTRY_LARGE = 1 << 7
export const ENTRY_GLOBAL = 1 << 8

/** High half of an entry: the bits of the physical address. */
export const HIGH_ADDRESS = (1 << (PHYSICAL_ADDRESS_BITS - 32)) - 1
/** High half of an entry: reserved bits in IA-32e mode, between the physical address and bit 52; under PAE alone, all but XD. */
export const HIGH_RESERVED_LONG = 0xfffff & ~HIGH_ADDRESS
export const HIGH_RESERVED_PAE = 0x7fffffff & ~HIGH_ADDRESS
/** Low half: reserved bits of an entry that maps a large page, by level. No other level may have one. */
export const LARGE_RESERVED: Readonly<Record<number, number>> = { 2: 0x1fe000, 3: 0x3fffe000 }
/** The bit of a 32-bit page directory's entry of a 4 MiB page that is reserved. */
export const LARGE_RESERVED_32 = 1 << 21

const CR0 = F.cr0.offset >> 2
const CR2 = F.cr2.offset >> 2
const CR3 = F.cr3.offset >> 2
const CR4 = F.cr4.offset >> 2
const EFER = F.efer.offset >> 2
const SYSTEM_FLAGS = F.systemFlags.offset >> 2

/** Raises #PF quietly: CR2 and the error code are set. @returns -1 */
function pageFault(cpu: Vcpu, low: number, high: number, errorCode: number): number {
  const words = cpu.state.i32
  words[CR2] = low
  words[CR2 + 1] = high
  // The I/D bit is only reported where fetches have rights of their own.
  if (errorCode & ACCESS_FETCH) {
    const nx = words[EFER] & EFER_NXE && words[CR4] & CR4_PAE
    if (!nx && !(words[CR4] & CR4_SMEP)) errorCode &= ~ACCESS_FETCH
  }
  setFault(cpu, 14, errorCode & (ERROR_PRESENT | ACCESS_WRITE | ACCESS_USER | ERROR_RESERVED | ACCESS_FETCH))
  return -1
}

/** The index into `Vcpu.ram32` of a table's first word, or -1 where there is no RAM. */
function tableWords(cpu: Vcpu, frame: number): number {
  const { frames } = cpu.memory
  const entry = frame < frames.length ? frames[frame] : 0
  return entry & FRAME_PRESENT ? (entry & ~0xfff) >>> 2 : -1
}

/** Sets accessed and dirty bits in a table's entry. */
function setEntryBits(cpu: Vcpu, frame: number, at: number, bits: number): void {
  const { memory } = cpu
  const entry = memory.frames[frame]
  if (entry & FRAME_CODE || !(entry & FRAME_WRITABLE)) {
    at = memory.locateForWrite(frame * 4096 + ((at << 2) & 0xfff), 4) >>> 2
  }
  memory.frames[frame] |= FRAME_DIRTY
  cpu.ram32[at] |= bits
}

/** Whether a leaf with these combined rights allows the access; if so the error code's P bit is the caller's. */
function allowed(cpu: Vcpu, rights: number, access: number): boolean {
  const words = cpu.state.i32
  if (access & ACCESS_FETCH) {
    if (rights & PAGE_NO_EXECUTE) return false
    if (access & ACCESS_USER) return (rights & PAGE_USER) !== 0
    return !(rights & PAGE_USER && words[CR4] & CR4_SMEP)
  }
  if (access & ACCESS_USER) {
    if (!(rights & PAGE_USER)) return false
    return !(access & ACCESS_WRITE) || (rights & PAGE_WRITABLE) !== 0
  }
  if (rights & PAGE_USER && words[CR4] & CR4_SMAP) {
    if (access & ACCESS_IMPLICIT || !(words[SYSTEM_FLAGS] & AC)) return false
  }
  return !(access & ACCESS_WRITE) || (rights & PAGE_WRITABLE) !== 0 || !(words[CR0] & CR0_WP)
}

/**
 * Walks the page tables for an access to a linear address (canonical: the caller saw to it; outside of long mode the
 * high half is 0) and sets accessed and dirty bits.
 * @returns the guest-physical frame number, with the page's combined rights in `cpu.pageRights` (`PAGE_…`); or -1 with
 * #PF noted in the state: CR2 and error code.
 */
export function translate(cpu: Vcpu, low: number, high: number, access: number): number {
  const words = cpu.state.i32
  // PG is the sign.
  if (words[CR0] >= 0) {
    cpu.pageRights = PAGE_WRITABLE | PAGE_USER | PAGE_DIRTY
    return low >>> 12
  }
  const cr4 = words[CR4]
  if (!(cr4 & CR4_PAE)) return translate32(cpu, low, access)
  if (words[EFER] & EFER_LMA) {
    const root = (words[CR3] >>> 12) | ((words[CR3 + 1] & HIGH_ADDRESS) << 20)
    return walk(cpu, low, high, access, root, cr4 & CR4_LA57 ? 5 : 4, HIGH_RESERVED_LONG)
  }
  const index = (low >>> 30) * 2
  const entry = cpu.pdptes[index]
  if (!(entry & ENTRY_PRESENT)) return pageFault(cpu, low, 0, access)
  const root = (entry >>> 12) | ((cpu.pdptes[index + 1] & HIGH_ADDRESS) << 20)
  return walk(cpu, low, 0, access, root, 2, HIGH_RESERVED_PAE)
}

/** The index, with higher bits left in, into a table of 512 entries at a level (1: page table). */
function indexAt(low: number, high: number, level: number): number {
  if (level === 1) return low >>> 12
  if (level === 2) return low >>> 21
  if (level === 3) return (low >>> 30) | (high << 2)
  return level === 4 ? high >>> 7 : high >>> 16
}

/**
 * Sets the accessed bits above the leaf. They are set when the translation succeeds, as on the 80386: an entry that led
 * to a fault was not used.
 */
function markUsed(cpu: Vcpu, low: number, high: number, frame: number, level: number, leafLevel: number): void {
  for (; level > leafLevel; level--) {
    const at = tableWords(cpu, frame) + (indexAt(low, high, level) & 511) * 2
    const entry = cpu.ram32[at]
    if (!(entry & ENTRY_ACCESSED)) setEntryBits(cpu, frame, at, ENTRY_ACCESSED)
    frame = (entry >>> 12) | ((cpu.ram32[at + 1] & HIGH_ADDRESS) << 20)
  }
}

function walk(
  cpu: Vcpu,
  low: number,
  high: number,
  access: number,
  frame: number,
  level: number,
  reservedHigh: number,
): number {
  const { ram32 } = cpu
  const noExecute = cpu.state.i32[EFER] & EFER_NXE
  const root = frame
  const levels = level
  let rights = PAGE_WRITABLE | PAGE_USER
  let used = ENTRY_ACCESSED
  for (;;) {
    const index = indexAt(low, high, level)
    const table = tableWords(cpu, frame)
    const at = table + (index & 511) * 2
    const entry = table < 0 ? -1 : ram32[at]
    const entryHigh = table < 0 ? -1 : ram32[at + 1]
    if (!(entry & ENTRY_PRESENT)) return pageFault(cpu, low, high, access)
    let reserved = entryHigh & reservedHigh
    if (entryHigh < 0) {
      if (noExecute) rights |= PAGE_NO_EXECUTE
      else reserved = 1
    }
    const large = entry & ENTRY_LARGE && level > 1
    if (large) {
      if (level > 3) reserved = 1
      else reserved |= entry & LARGE_RESERVED[level]
    }
    if (reserved) return pageFault(cpu, low, high, access | ERROR_PRESENT | ERROR_RESERVED)
    rights &= entry | ~(PAGE_WRITABLE | PAGE_USER)
    const next = (entry >>> 12) | ((entryHigh & HIGH_ADDRESS) << 20)
    if (level === 1 || large) {
      if (!allowed(cpu, rights, access)) return pageFault(cpu, low, high, access | ERROR_PRESENT)
      if (!used) markUsed(cpu, low, high, root, levels, level)
      const need = access & ACCESS_WRITE ? ENTRY_ACCESSED | ENTRY_DIRTY : ENTRY_ACCESSED
      if ((entry & need) !== need) setEntryBits(cpu, frame, at, need)
      cpu.pageRights = rights | ((entry | need) & ENTRY_DIRTY) | (entry & ENTRY_GLOBAL) | (large ? PAGE_LARGE : 0)
      if (level === 1) return next
      const within = level === 2 ? 0x1ff : 0x3ffff
      return (next & ~within) | ((low >>> 12) & within)
    }
    used &= entry
    frame = next
    level--
  }
}

/** The two levels of 32-bit paging, with 4 MiB pages (PSE, and PSE-36's address bits). */
function translate32(cpu: Vcpu, low: number, access: number): number {
  const words = cpu.state.i32
  const { ram32 } = cpu
  const directoryFrame = words[CR3] >>> 12
  const directory = tableWords(cpu, directoryFrame)
  const directoryAt = directory + (low >>> 22)
  const pde = directory < 0 ? -1 : ram32[directoryAt]
  if (!(pde & ENTRY_PRESENT)) return pageFault(cpu, low, 0, access)
  const large = pde & ENTRY_LARGE && words[CR4] & CR4_PSE
  let entry = pde
  let frame = directoryFrame
  let at = directoryAt
  let rights = pde & (PAGE_WRITABLE | PAGE_USER)
  if (large) {
    if (pde & LARGE_RESERVED_32) return pageFault(cpu, low, 0, access | ERROR_PRESENT | ERROR_RESERVED)
  } else {
    frame = pde >>> 12
    const table = tableWords(cpu, frame)
    at = table + ((low >>> 12) & 0x3ff)
    entry = table < 0 ? -1 : ram32[at]
    if (!(entry & ENTRY_PRESENT)) return pageFault(cpu, low, 0, access)
    rights &= entry
  }
  if (!allowed(cpu, rights, access)) return pageFault(cpu, low, 0, access | ERROR_PRESENT)
  if (!large && !(pde & ENTRY_ACCESSED)) setEntryBits(cpu, directoryFrame, directoryAt, ENTRY_ACCESSED)
  const need = access & ACCESS_WRITE ? ENTRY_ACCESSED | ENTRY_DIRTY : ENTRY_ACCESSED
  if ((entry & need) !== need) setEntryBits(cpu, frame, at, need)
  cpu.pageRights = rights | ((entry | need) & ENTRY_DIRTY) | (entry & ENTRY_GLOBAL) | (large ? PAGE_LARGE : 0)
  if (!large) return entry >>> 12
  return ((entry >>> 22) << 10) | (((entry >>> 13) & 0xff) << 20) | ((low >>> 12) & 0x3ff)
}

/**
 * Reads the four page-directory-pointer entries of PAE paging from where CR3 points, as MOV to CR3 does.
 * @returns false, with nothing changed, when one has reserved bits set: #GP(0)
 */
export function loadPdptes(cpu: Vcpu, cr3: number): boolean {
  const table = tableWords(cpu, cr3 >>> 12)
  const loaded = new Int32Array(8).fill(-1)
  if (table >= 0) {
    const first = table + ((cr3 & 0xfe0) >>> 2)
    loaded.set(cpu.ram32.subarray(first, first + 8))
  }
  for (let i = 0; i < 8; i += 2) {
    if (!(loaded[i] & ENTRY_PRESENT)) continue
    if (loaded[i] & 0x1e6 || loaded[i + 1] & ~HIGH_ADDRESS) return false
  }
  cpu.pdptes.set(loaded)
  return true
}
