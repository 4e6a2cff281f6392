/**
 * The slow paths behind the inline TLB probes, as generated code: what a refill (tlb-refill.ts) settles goes on without a
 * trip through TypeScript. Everything else (devices, frames that hold code, accesses across pages, watched pages, what a
 * refill finds rare) is src/cpu/memory-access.ts's, under the same name behind {@link IN_TYPESCRIPT}.
 */

import { MODE_SEGMENTED } from '../cpu/mode.ts'
import { ACCESS_FETCH, ACCESS_WRITE } from '../cpu/paging.ts'
import { F } from '../cpu/state.ts'
import { FunctionBuilder } from '../ir/function.ts'
import { Int, typeOf, Vector } from '../ir/values.ts'
import { CODE_MARK_SHIFT, CODE_MARKS_BASE, FRAME_TABLE_BASE, MAX_FRAMES } from '../memory/layout.ts'
import { FRAME_CODE, FRAME_DIRTY, FRAME_PRESENT, FRAME_WRITABLE } from '../memory/physical.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_FRAME, TLB_FRAME_MASK, TLB_READ, TLB_WRITE } from '../memory/tlb.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../wasm/memory-opcodes.ts'
import { type FunctionType, I32, V128 } from '../wasm/types.ts'
import type { Unit } from './library.ts'
import { FILL_TLB, FILL_TLB_ALONE, FILL_TLB_TYPE, PLACE_RAM, PLACE_RAM_TYPE } from './semantics.ts'
import { tlbOffset } from './tlb-offset.ts'
import {
  currentClass,
  isCanonicalNow,
  isPlain,
  REFILL,
  REFILL_FAULT,
  REFILL_TYPE,
  refillUnit,
  VcpuCode,
} from './tlb-refill.ts'

/** What the names of the same paths in TypeScript begin with. */
export const IN_TYPESCRIPT = 'typescript:'

const PAGE_FAULT = 14
const SIZES = [8, 16, 32, 64] as const

/** All functions of this file and the refill, for one vCPU. @param stateBase where its state lies in memory 0 */
export function slowPathUnits(stateBase: number): Unit[] {
  const path = (name: string, type: FunctionType, build: (path: SlowPath) => void): Unit => {
    const f = new FunctionBuilder(type)
    build(new SlowPath(f, stateBase, name))
    f.unreachable()
    return { name, f, uses: [] }
  }
  const sized: FunctionType = { params: [I32, I32, I32], results: [] }
  return [
    refillUnit(stateBase),
    path(FILL_TLB, FILL_TLB_TYPE, fillTlb),
    path(FILL_TLB_ALONE, FILL_TLB_TYPE, path => {
      path.alone = 0
      fillTlb(path)
    }),
    path(PLACE_RAM, PLACE_RAM_TYPE, placeRam),
    path('loadSlow', sized, loadSlow),
    path('loadForWriteSlow', sized, loadForWriteSlow),
    path('storeSlow', sized, storeSlow),
    path('probeWrite', sized, probeWrite),
    path('fetchPhysical', { params: [I32, I32], results: [I32] }, fetchPhysical),
  ]
}

/** One of the functions: its first parameters are the halves of a linear address, or the first is all of it. */
class SlowPath extends VcpuCode {
  private readonly name: string
  readonly linear: Int
  /** Nothing is handed on: this is the result instead. */
  alone: number | undefined

  constructor(f: FunctionBuilder, stateBase: number, name: string) {
    super(f, stateBase)
    this.name = name
    const first = this.parameter(0)
    const linear = first.width === 64 ? first : this.parameter(1).zeroExtend(64).shl(32).or(first.zeroExtend(64))
    this.linear = this.variable(64, linear).value
  }

  /** Hands the call on to TypeScript and returns. */
  handOn(): void {
    const { f } = this
    if (this.alone !== undefined) {
      this.return(this.alone)
      return
    }
    const args = f.type.params.map((_, i) => this.parameter(i).node)
    const result = f.call(IN_TYPESCRIPT + this.name, f.type, args)
    if (f.type.results.length) f.return(result)
    else f.return()
  }

  /** Hands on what may not be tried here. @param bytes of the access, or undefined for one that cannot cross a page */
  handOnUnlessPlain(bytes?: Int): void {
    let plain = isPlain(this).and(isCanonicalNow(this, this.linear))
    if (bytes) plain = plain.and(this.linear.truncate(32).and(0xfff).add(bytes).leU(4096))
    this.if(plain.not(), () => this.handOn())
  }

  /** Fills the TLB; a page fault goes to `faulted`, what is rare to TypeScript. @returns the entry's address */
  refill(access: number | Int, faulted: () => void): Int {
    const wanted = typeof access === 'number' ? this.const(access, 32) : access
    const result = new Int(
      this.f,
      this.f.call(REFILL, REFILL_TYPE, [this.linear.node, wanted.node, currentClass(this).node]),
      32,
    )
    const entry = this.variable(32, result).value
    this.if(entry.leU(REFILL_FAULT), () => {
      this.if(entry.eq(REFILL_FAULT), faulted)
      this.handOn()
    })
    return entry
  }

  /** Notes a page fault whose error code stands already. */
  noteFault(): void {
    this.set(F.cr2, this.linear)
    this.set(F.faultVector, PAGE_FAULT)
    this.set(F.fault, 1)
  }

  /** Fills the TLB, or notes the fault and returns. */
  refillOrFault(access: number): Int {
    return this.refill(access, () => {
      this.noteFault()
      if (this.f.type.results.length) this.return(-1)
      else this.f.return()
    })
  }

  /** Whether a tag of the entry is that of the page: all accesses of the kind may go there. */
  holds(entry: Int, tag: number): Int {
    return this.load64(0, entry, tag).eq(this.linear.and(PAGE_MASK))
  }

  /** The address in memory 1 that an entry gives. */
  ramAddress(entry: Int): Int {
    return this.variable(32, this.load32(0, entry, TLB_ADDEND).add(this.linear.truncate(32))).value
  }

  /** Runs `move` for an access of 1, 2, 4 or 8 bytes, `moveVector` for 16; other sizes are TypeScript's. */
  bySize(bytes: Int, move: (width: 8 | 16 | 32 | 64) => void, moveVector: () => void): void {
    for (const width of [...SIZES].reverse()) {
      this.if(bytes.eq(width / 8), () => {
        move(width)
        this.f.return()
      })
    }
    this.if(bytes.eq(16), () => {
      moveVector()
      this.f.return()
    })
    this.handOn()
  }

  /** Loads into the result words. */
  loadResult(entry: Int, bytes: Int): void {
    const at = this.ramAddress(entry)
    this.bySize(
      bytes,
      width => {
        const value = new Int(this.f, this.f.load(LOAD_OPCODES[width], typeOf(width), 1, at.node, 0), width)
        this.set(F.serviceResult, value.zeroExtend(64))
        this.set(F.serviceResult2, 0)
      },
      () => this.setVector(F.serviceResult, new Vector(this.f, this.f.load(0xfd00, V128, 1, at.node, 0))),
    )
  }
}

/** The bytes of the access, without what else the argument tells. */
const bytesOf = (path: SlowPath): Int => path.parameter(2).and(0xff)

function fillTlb(path: SlowPath): void {
  const write = path.parameter(3)
  path.handOnUnlessPlain(bytesOf(path))
  const entry = path.refill(write.mul(ACCESS_WRITE), () => path.return(0))
  path.f.return(write.isNonZero().select(path.holds(entry, TLB_WRITE), path.holds(entry, TLB_READ)).node)
}

function placeRam(path: SlowPath): void {
  path.alone = 0
  const [bytes, writes] = [path.parameter(1).and(0xff), path.parameter(2)]
  const tag = path.variable(32, writes.isNonZero().select(path.const(TLB_WRITE, 32), TLB_READ)).value
  const last = path.linear.add(bytes.zeroExtend(64)).sub(1)
  const page = path.variable(64, last.and(PAGE_MASK)).value
  const holds = (entry: Int) => path.load64(0, entry.add(tag)).eq(page)
  const known = path.variable(32, path.get(F.tlb).add(tlbOffset(path.linear.truncate(32)))).value
  path.if(holds(known), () => path.f.return(path.ramAddress(known).not().node), undefined, 'likely')
  path.handOnUnlessPlain(bytes)
  const filled = path.refill(writes.mul(ACCESS_WRITE), () => path.return(0))
  path.if(holds(filled), () => path.f.return(path.ramAddress(filled).not().node))
  path.return(0)
}

function loadSlow(path: SlowPath): void {
  path.handOnUnlessPlain(bytesOf(path))
  path.loadResult(path.refillOrFault(0), bytesOf(path))
}

function loadForWriteSlow(path: SlowPath): void {
  path.handOnUnlessPlain(bytesOf(path))
  path.loadResult(path.refillOrFault(ACCESS_WRITE), bytesOf(path))
}

function storeSlow(path: SlowPath): void {
  path.handOnUnlessPlain(bytesOf(path))
  const entry = path.refillOrFault(ACCESS_WRITE)
  // A frame that is not to be written without notice has no tag.
  path.if(path.holds(entry, TLB_WRITE).not(), () => {
    storeBesideCode(path, path.load32(0, entry, TLB_FRAME).and(TLB_FRAME_MASK))
    path.handOn()
  })
  store(path, path.ramAddress(entry))
}

/** Stores the result words and returns. */
function store(path: SlowPath, at: Int): void {
  path.bySize(
    bytesOf(path),
    width => path.f.store(STORE_OPCODES[width], 1, at.node, path.get(F.serviceResult).truncate(width).node, 0),
    () => path.f.store(0xfd0b, 1, at.node, path.getVector(F.serviceResult).node, 0),
  )
}

/** Stores into a frame that holds code, and returns, if none was decoded from there. The store is allowed. */
function storeBesideCode(path: SlowPath, number: Int): void {
  const frame = path.variable(32, number).value
  const offset = path.variable(32, path.linear.truncate(32).and(0xfff)).value
  const last = path.variable(32, offset.add(bytesOf(path)).sub(1)).value
  path.if(frame.ltU(MAX_FRAMES).and(last.ltU(4096)), () => {
    const word = path.variable(32, frame.shl(2).add(FRAME_TABLE_BASE)).value
    const entry = path.variable(32, path.load32(0, word)).value
    const holdsCode = FRAME_PRESENT | FRAME_WRITABLE | FRAME_CODE
    path.if(entry.and(holdsCode).eq(holdsCode), () => {
      const marks = path.load64(0, entry.shr(12).shl(3), CODE_MARKS_BASE)
      const bit = (at: Int) => path.const(1, 64).shl(at.shr(CODE_MARK_SHIFT).zeroExtend(64))
      path.if(marks.and(bit(offset).or(bit(last))).isZero(), () => {
        path.store(0, word, entry.or(FRAME_DIRTY))
        const at = path.variable(32, entry.and(~0xfff).or(offset)).value
        store(path, at)
      })
    })
  })
}

function probeWrite(path: SlowPath): void {
  path.handOnUnlessPlain(bytesOf(path))
  path.refillOrFault(ACCESS_WRITE)
  path.f.return()
}

function fetchPhysical(path: SlowPath): void {
  // A segment's limit may lie in front of RIP.
  path.if(path.get(F.mode).and(MODE_SEGMENTED).isNonZero(), () => path.handOn())
  path.handOnUnlessPlain()
  const entry = path.refillOrFault(ACCESS_FETCH)
  path.f.return(path.ramAddress(entry).node)
}
