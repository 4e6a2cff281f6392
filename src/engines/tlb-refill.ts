/**
 * What a TLB miss does, as generated code: the page walk in the common cases (IA-32e paging with four or five levels, PAE and
 * 32-bit paging, large pages) and the new entry. What is rare is left to src/cpu/paging.ts, which has the rules in full.
 */

import { MODE_BREAKPOINTS, MODE_CLASS, MODE_COMPATIBILITY, MODE_TLB_SHIFT } from '../cpu/mode.ts'
import {
  ACCESS_FETCH,
  ACCESS_WRITE,
  ENTRY_ACCESSED,
  ENTRY_DIRTY,
  ENTRY_GLOBAL,
  ENTRY_LARGE,
  ENTRY_PRESENT,
  ERROR_PRESENT,
  ERROR_RESERVED,
  HIGH_ADDRESS,
  HIGH_RESERVED_LONG,
  HIGH_RESERVED_PAE,
  LARGE_RESERVED,
  LARGE_RESERVED_32,
  PAGE_USER,
  PAGE_WRITABLE,
} from '../cpu/paging.ts'
import {
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_NXE,
} from '../cpu/registers.ts'
import { F } from '../cpu/state.ts'
import { FunctionBuilder } from '../ir/function.ts'
import { Int } from '../ir/values.ts'
import { isCanonical } from '../isa/canonical.ts'
import { Code, type Label, type Variable } from '../isa/semantics.ts'
import { FRAME_TABLE_BASE, MAX_FRAMES, TLB_BASE, TLB_LISTS_BASE } from '../memory/layout.ts'
import { FRAME_CODE, FRAME_DIRTY, FRAME_PRESENT, FRAME_WRITABLE } from '../memory/physical.ts'
import {
  NO_TAG,
  PAGE_MASK,
  TLB_ADDEND,
  TLB_FETCH,
  TLB_FRAME,
  TLB_GLOBAL,
  TLB_LARGE,
  TLB_LARGE_PAGES,
  TLB_LISTED_GLOBAL,
  TLB_LISTED_LOCAL,
  TLB_READ,
  TLB_SIZE,
  TLB_SUPERVISOR,
  TLB_USER,
  TLB_USER_ALIGNMENT,
  TLB_WRITE,
  tlbList,
} from '../memory/tlb.ts'
import { type FunctionType, I32, I64 } from '../wasm/types.ts'
import type { Unit } from './library.ts'
import { tlbOffset } from './tlb-offset.ts'

/** Linear address, access (of paging.ts: write, fetch), class of the TLB, which says for whose privilege. */
export const REFILL_TYPE: FunctionType = { params: [I64, I32, I32], results: [I32] }
/** The function's name. */
export const REFILL = 'refillTlb'
/** Results of the function below any address of an entry: TypeScript is to do it. */
export const REFILL_RARE = 0
/** Likewise: it is a page fault; its error code is in `F.faultErrorCode`. */
export const REFILL_FAULT = 1

/** Code of functions that generated code calls without the vCPU's base: it is a constant of theirs. */
export class VcpuCode extends Code {
  private readonly stateBase: number
  constructor(f: FunctionBuilder, stateBase: number) {
    super(f)
    this.stateBase = stateBase
  }
  override get base(): Int {
    return this.const(this.stateBase, 32)
  }
  /** A parameter of the function. */
  parameter(index: number): Int {
    const type = this.f.type.params[index]
    return new Int(this.f, this.f.getLocal(index, type), type === I64 ? 64 : 32)
  }
  /** A word of memory 0 (CPU state and tables) or 1 (guest RAM). */
  load32(memory: 0 | 1, address: Int, offset = 0): Int {
    return new Int(this.f, this.f.load(0x28, I32, memory, address.node, offset), 32)
  }
  load64(memory: 0 | 1, address: Int, offset = 0): Int {
    return new Int(this.f, this.f.load(0x29, I64, memory, address.node, offset), 64)
  }
  store(memory: 0 | 1, address: Int, value: Int, offset = 0): void {
    this.f.store(value.width === 64 ? 0x37 : 0x36, memory, address.node, value.node, offset)
  }
  return(value: number): void {
    this.f.return(this.f.const32(value))
  }
}

/** Where a walk may end: in a fault, whose bits are in `fault`, or with TypeScript. */
interface WayOut {
  rare: Label
  faulted: Label
}

/** What a walk finds. */
interface Walk {
  /** The leaf's entry, and where it lies in memory 1. */
  entry: Variable
  at: Variable
  /** Where the frame table has the frame that the leaf lies in. */
  table: Variable
  /** AND of all entries' low halves; of those above the leaf. */
  all: Variable
  above: Variable
  /** OR of all entries; the sign is XD. */
  any: Variable
  /** Guest-physical frame. */
  frame: Variable
  large: Variable
  /** P and RSVD of the error code if the walk faults. */
  fault: Variable
}

/**
 * The function {@link REFILL}: walks the page tables, sets accessed and dirty bits, and fills the class's entry.
 * Gives the entry's address, {@link REFILL_RARE} or {@link REFILL_FAULT}. The caller has seen to a canonical address and to
 * {@link isPlain}.
 */
export function refillUnit(stateBase: number): Unit {
  const f = new FunctionBuilder(REFILL_TYPE)
  const code = new VcpuCode(f, stateBase)
  const linear = code.parameter(0)
  const access = code.parameter(1)
  const walk: Walk = {
    entry: code.variable(64, 0),
    at: code.variable(32, 0),
    table: code.variable(32, 0),
    all: code.variable(32, -1),
    above: code.variable(32, -1),
    any: code.variable(64, 0),
    frame: code.variable(32, 0),
    large: code.variable(32, 0),
    fault: code.variable(32, 0),
  }
  code.block(rare => {
    code.block(faulted => {
      const out = { rare, faulted }
      code.block(leaf => {
        code.if(isPaged(code).not(), () => {
          walk.frame.value = linear.truncate(32).shr(12)
          walk.entry.value = code.const(ENTRY_ACCESSED | ENTRY_DIRTY, 64)
          code.leave(leaf)
        })
        code.block(twoLevels => {
          code.leave(twoLevels, code.get(F.cr4).and(CR4_PAE).isZero())
          walkWide(code, walk, linear, leaf, out)
        })
        walkNarrow(code, walk, linear, leaf, out)
      })
      fill(code, walk, linear, access, code.parameter(2), out)
    })
    noteError(code, walk.fault.value, access)
    code.return(REFILL_FAULT)
  })
  code.return(REFILL_RARE)
  f.unreachable()
  return { name: REFILL, f, uses: code.used }
}

/** The class of the TLB in use. */
export const currentClass = (code: Code): Int => code.get(F.mode).shr(MODE_TLB_SHIFT).and(3)

/** Where the TLB of a class lies. */
export const tlbAddress = (tlbClass: Int): Int => tlbClass.mul(TLB_SIZE).add(TLB_BASE)

/** Whether linear addresses are translated. */
const isPaged = (code: Code): Int => code.get(F.cr0).and(CR0_PG).isNonZero()

/** Whether an access may be tried here at all: no breakpoint is set, no alignment is checked. */
export function isPlain(code: Code): Int {
  const mode = code.get(F.mode)
  const refused = mode.and(MODE_BREAKPOINTS).or(
    mode
      .xor(TLB_USER_ALIGNMENT << MODE_TLB_SHIFT)
      .and(3 << MODE_TLB_SHIFT)
      .isZero()
      .zeroExtend(32),
  )
  return refused.isZero()
}

/** Whether an address is canonical, or in a mode that has no others. */
export function isCanonicalNow(code: Code, linear: Int): Int {
  const long = code.get(F.mode).and(MODE_CLASS).geU(MODE_COMPATIBILITY)
  return isCanonical(code, linear).or(long.not())
}

/** Address of a guest-physical frame's word in the frame table; leaves where there is no RAM. */
function frameWord(code: VcpuCode, frame: Int, out: WayOut): Variable {
  code.leave(out.rare, frame.geU(MAX_FRAMES))
  return code.variable(32, frame.shl(2).add(FRAME_TABLE_BASE))
}

/** Reads a table's entry: where the frame's bytes lie in memory 1. */
function openTable(code: VcpuCode, walk: Walk, frame: Int, out: WayOut): Int {
  const word = frameWord(code, frame, out).value
  walk.table.value = word
  const there = code.variable(32, code.load32(0, word)).value
  code.leave(out.rare, there.and(FRAME_PRESENT).isZero())
  return there.and(~0xfff)
}

/** Tables of 512 entries: IA-32e paging from the fifth or fourth level on, PAE from the second. */
function walkWide(code: VcpuCode, walk: Walk, linear: Int, leaf: Label, out: WayOut): void {
  const { entry } = walk
  const long = code.get(F.efer).and(EFER_LMA).isNonZero()
  const noExecute = code.get(F.efer).and(EFER_NXE).isNonZero()
  const wide = (high: number, low = 0) => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  const reserved = code.variable(
    64,
    long.select(code.const(wide(HIGH_RESERVED_LONG), 64), code.const(wide(HIGH_RESERVED_PAE), 64)),
  )
  code.if(noExecute.not(), () => reserved.set(reserved.value.or(1n << 63n)))
  entry.value = code.get(F.cr3)
  code.block(directories => {
    code.if(long.not(), () => {
      entry.value = code.get(F.pdptes, linear.shr(30).truncate(32).and(3))
      absent(code, walk, entry.value, out)
      code.leave(directories)
    })
    code.if(code.get(F.cr4).and(CR4_LA57).isNonZero(), () => step(code, walk, linear, 5, reserved.value, leaf, out))
    for (const level of [4, 3]) step(code, walk, linear, level, reserved.value, leaf, out)
  })
  for (const level of [2, 1]) step(code, walk, linear, level, reserved.value, leaf, out)
}

function absent(code: Code, walk: Walk, entry: Int, out: WayOut): void {
  walk.fault.set(0)
  code.leave(out.faulted, entry.and(ENTRY_PRESENT).isZero())
}

const addressMask = (BigInt(HIGH_ADDRESS) << 32n) | 0xfffff000n

/** One level: from the entry that names a table to the one within it; leaves for `leaf` with what maps the page. */
function step(code: VcpuCode, walk: Walk, linear: Int, level: number, reserved: Int, leaf: Label, out: WayOut): void {
  const { entry, at } = walk
  const shift = 12 + (level - 1) * 9
  const table = openTable(code, walk, entry.value.and(addressMask).shr(12).truncate(32), out)
  at.value = table.add(linear.shr(shift).truncate(32).and(511).shl(3))
  entry.value = code.load64(1, at.value)
  absent(code, walk, entry.value, out)
  walk.fault.set(ERROR_PRESENT | ERROR_RESERVED)
  code.leave(out.faulted, entry.value.and(level > 3 ? reserved.or(ENTRY_LARGE) : reserved).isNonZero())
  walk.any.value = walk.any.value.or(entry.value)
  const low = entry.value.truncate(32)
  walk.all.value = walk.all.value.and(low)
  const mapped = () => entry.value.and(addressMask).shr(12).truncate(32)
  if (level === 1) {
    walk.frame.value = mapped()
    code.leave(leaf)
    return
  }
  if (level <= 3) {
    code.if(low.and(ENTRY_LARGE).isNonZero(), () => {
      code.leave(out.faulted, low.and(LARGE_RESERVED[level]).isNonZero())
      const within = (1 << (shift - 12)) - 1
      walk.frame.value = mapped().and(~within).or(linear.shr(12).truncate(32).and(within))
      walk.large.set(TLB_LARGE)
      code.leave(leaf)
    })
  }
  walk.above.value = walk.above.value.and(low)
}

/** The two levels of 32-bit paging. */
function walkNarrow(code: VcpuCode, walk: Walk, linear: Int, leaf: Label, out: WayOut): void {
  const { entry, at } = walk
  const low = linear.truncate(32)
  const read = (table: Int, shift: number) => {
    at.value = table.add(low.shr(shift).and(0x3ff).shl(2))
    entry.value = code.load32(1, at.value).zeroExtend(64)
    absent(code, walk, entry.value, out)
    walk.all.value = walk.all.value.and(entry.value.truncate(32))
  }
  read(openTable(code, walk, code.get(F.cr3).truncate(32).shr(12), out), 22)
  const directory = entry.value.truncate(32)
  code.if(directory.and(ENTRY_LARGE).isNonZero().and(code.get(F.cr4).and(CR4_PSE).isNonZero()), () => {
    walk.fault.set(ERROR_PRESENT | ERROR_RESERVED)
    code.leave(out.faulted, directory.and(LARGE_RESERVED_32).isNonZero())
    const frame = directory.shr(22).shl(10).or(directory.shr(13).and(0xff).shl(20))
    walk.frame.value = frame.or(low.shr(12).and(0x3ff))
    walk.large.set(TLB_LARGE)
    code.leave(leaf)
  })
  walk.above.value = directory
  read(openTable(code, walk, directory.shr(12), out), 12)
  walk.frame.value = entry.value.truncate(32).shr(12)
}

/** Checks the rights, sets accessed and dirty bits, fills the entry and returns it. */
function fill(code: VcpuCode, walk: Walk, linear: Int, access: Int, tlbClass: Int, out: WayOut): void {
  const user = tlbClass.eq(TLB_USER)
  const cr4 = code.variable(32, code.get(F.cr4)).value
  const has = (value: Int, bits: number) => value.and(bits).isNonZero()
  const userPage = has(walk.all.value, PAGE_USER)
  const hidden = userPage.and(tlbClass.eq(TLB_SUPERVISOR)).and(has(cr4, CR4_SMAP))
  const readable = code.variable(1, user.select(userPage, hidden.not()))
  const unprotected = user.not().and(has(code.get(F.cr0), CR0_WP).not())
  const writable = code.variable(1, readable.value.and(has(walk.all.value, PAGE_WRITABLE).or(unprotected)))
  const executable = user.select(userPage, userPage.and(has(cr4, CR4_SMEP)).not())
  const fetchable = code.variable(1, executable.and(walk.any.value.isNegative().not()))
  const writes = has(access, ACCESS_WRITE)
  const allowed = has(access, ACCESS_FETCH).select(fetchable.value, writes.select(writable.value, readable.value))
  walk.fault.set(ERROR_PRESENT)
  code.leave(out.faulted, allowed.not().and(isPaged(code)))

  // Accessed bits above the leaf are set nearly always; a table that holds code, or is shared, is told of writes.
  code.leave(out.rare, has(walk.above.value, ENTRY_ACCESSED).not())
  const low = code.variable(32, walk.entry.value.truncate(32))
  const need = code.variable(32, writes.select(code.const(ENTRY_ACCESSED | ENTRY_DIRTY, 32), ENTRY_ACCESSED)).value
  code.if(low.value.and(need).ne(need), () => {
    const word = code.variable(32, code.load32(0, walk.table.value)).value
    code.leave(out.rare, word.and(FRAME_WRITABLE | FRAME_CODE).ne(FRAME_WRITABLE))
    code.store(0, walk.table.value, word.or(FRAME_DIRTY))
    low.value = low.value.or(need)
    code.store(1, walk.at.value, code.load32(1, walk.at.value).or(need))
  })

  const frameAt = frameWord(code, walk.frame.value, out).value
  const frame = code.variable(32, code.load32(0, frameAt)).value
  code.leave(out.rare, has(frame, FRAME_PRESENT).not())
  const entry = code.variable(32, tlbAddress(tlbClass).add(tlbOffset(linear.truncate(32)))).value
  const page = linear.and(PAGE_MASK)
  const plain = frame.and(FRAME_WRITABLE | FRAME_CODE).eq(FRAME_WRITABLE)
  const written = code.variable(1, writable.value.and(has(low.value, ENTRY_DIRTY)).and(plain)).value
  code.if(written, () => code.store(0, frameAt, frame.or(FRAME_DIRTY)))
  const tag = (yes: Int) => yes.select(page, NO_TAG)
  code.store(0, entry, tag(readable.value), TLB_READ)
  code.store(0, entry, tag(written), TLB_WRITE)
  code.store(0, entry, tag(fetchable.value), TLB_FETCH)
  code.store(0, entry, frame.and(~0xfff).sub(page.truncate(32)), TLB_ADDEND)

  const global = has(low.value, ENTRY_GLOBAL).and(has(cr4, CR4_PGE))
  const lists = code.load32(0, entry, TLB_FRAME).and(TLB_LISTED_GLOBAL | TLB_LISTED_LOCAL)
  const listed = code.variable(32, global.select(code.const(TLB_LISTED_GLOBAL, 32), TLB_LISTED_LOCAL)).value
  code.if(lists.and(listed).isZero(), () => {
    const lists = tlbClass.mul(tlbList(1, false)).add(TLB_LISTS_BASE)
    const list = code.variable(32, global.select(lists.add(tlbList(0, true)), lists)).value
    const count = code.variable(32, code.load32(0, list).add(1)).value
    code.store(0, list, count)
    code.store(0, list.add(count.shl(2)), entry)
  })
  const globalBit = global.select(code.const(TLB_GLOBAL, 32), 0)
  code.store(0, entry, walk.frame.value.or(lists).or(listed).or(globalBit).or(walk.large.value), TLB_FRAME)
  code.if(walk.large.value.isNonZero(), () => {
    const hash = linear.shr(30).truncate(32).xor(linear.shr(45).truncate(32)).and(31)
    const word = code.const(TLB_LISTS_BASE + TLB_LARGE_PAGES, 32)
    code.store(0, word, code.load32(0, word).or(code.const(1, 32).shl(hash)))
  })
  code.f.return(entry.node)
}

/** The error code of a fault, as `pageFault` of paging.ts makes it, into `F.faultErrorCode`. */
function noteError(code: Code, bits: Int, access: Int): void {
  const user = code.get(F.cpl).eq(3).zeroExtend(32).shl(2)
  const cr4 = code.get(F.cr4)
  const noExecute = code.get(F.efer).and(EFER_NXE).isNonZero().and(cr4.and(CR4_PAE).isNonZero())
  const reported = noExecute.or(cr4.and(CR4_SMEP).isNonZero())
  const kind = reported.select(access, access.and(~ACCESS_FETCH))
  code.set(F.faultErrorCode, bits.or(user).or(kind.and(ACCESS_WRITE | ACCESS_FETCH)))
}
