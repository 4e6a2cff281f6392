/** The function of a region under construction: its locals, how it is entered and left. */
import { CS, F, type Field } from '../../cpu/state.ts'
import { FunctionBuilder } from '../../ir/function.ts'
import { type Label, OP_BLOCK } from '../../ir/node.ts'
import { Int, Vector } from '../../ir/values.ts'
import { Code, Variable } from '../../isa/semantics.ts'
import { PAGE_MASK } from '../../memory/tlb.ts'
import { I32, I64, V128 } from '../../wasm/types.ts'
import { REGION_TYPE } from '../interpreter/main.ts'
import { isMapped, lookUpJump } from '../jump-table.ts'
import { type DeferredAssumption, DeferredFloat } from './deferred.ts'
import { RegionFlags } from './flags.ts'
import type { FloatBounds } from './float-bounds.ts'
import type { HeldPages } from './held-pages.ts'
import { linkedHeat, linkedIndex, linkedPage } from './relocatable.ts'
import type { RegionPlace } from './semantics.ts'
import { RegionX87, type X87Assumption } from './x87.ts'

/** Where a register of {@link RegionCode.readXmm} lies in the state. */
const placeOfXmm = (number: number): [field: Field, index: number] => [number < 16 ? F.xmm : F.ymmHigh, number & 15]

/** One region's function. */
export class RegionCode implements RegionPlace {
  readonly f: FunctionBuilder
  readonly code: Code
  readonly flags: RegionFlags
  /** Where execution goes on outside of the region. */
  readonly rip: Variable
  /** RIP at the entry. */
  private readonly entry: Variable
  private readonly budget: Variable
  private readonly gprs: (number | undefined)[] = new Array(16).fill(undefined)
  private readonly xmms: (number | undefined)[] = new Array(32).fill(undefined)
  private readonly writtenGprs = new Set<number>()
  private readonly writtenXmms = new Set<number>()
  /** Ways out: for the interpreter to go on, or for whatever is at RIP; in front of each one that takes the flags from the locals. */
  private readonly bailedWithLocals: Label
  private readonly bailed: Label
  private readonly leftWithLocals: Label
  private readonly left: Label
  /** Linear addresses are RIP: nothing has a base or a limit. */
  private readonly flat: boolean
  private readonly long: boolean
  /** Instructions executed that the budget does not know of yet. */
  pending = 0
  /** Whether the first block is reached in other ways than by the entry. */
  entersLoop = false
  /** Magnitudes of scalar numbers, where they are kept account of. */
  floats: FloatBounds | undefined
  /** Pages that accesses in loops are expected in. */
  held: HeldPages | undefined
  /** The x87 in locals, if instructions of the region use it. */
  readonly x87: RegionX87 | undefined
  /** How floating-point checks of several instructions are made one. */
  readonly deferred: DeferredFloat | undefined

  /** The first entry's offset in its page, if the region can be entered elsewhere. */
  private readonly otherEntries: number | undefined
  /** Nonzero on the way to where the region was entered, if that is not its first block; and nonzero there. */
  readonly into: Variable
  readonly came: Variable

  /** @param otherEntries the entry's offset in its page, if the region can be entered at other addresses of it too */
  constructor(long: boolean, flat: boolean, x87?: X87Assumption, deferred?: DeferredAssumption, otherEntries?: number) {
    this.otherEntries = otherEntries
    this.long = long
    this.flat = flat
    this.f = new FunctionBuilder(REGION_TYPE)
    this.code = new Code(this.f)
    this.entry = new Variable(this.f, 64)
    this.rip = new Variable(this.f, 64)
    this.budget = new Variable(this.f, 32)
    this.into = new Variable(this.f, 32)
    this.came = new Variable(this.f, 32)
    this.flags = new RegionFlags(this.code)
    this.x87 = x87 && new RegionX87(this.code, x87, long, distance => this.ripAt(distance))
    this.deferred = deferred && new DeferredFloat(this, deferred)
    this.left = this.f.open(OP_BLOCK)
    this.leftWithLocals = this.f.open(OP_BLOCK)
    this.bailed = this.f.open(OP_BLOCK)
    this.bailedWithLocals = this.f.open(OP_BLOCK)
  }

  get base(): Int {
    return this.code.base
  }

  /** RIP at a distance from the entry. */
  ripAt(distance: number): Int {
    const entry = this.entry.value
    this.held?.read(entry.node, 'entry')
    const rip = entry.add(distance)
    return this.long ? rip : rip.and(0xffffffff)
  }

  private gpr(number: number): number {
    return (this.gprs[number] ??= this.f.local(I64))
  }
  /** A general-purpose register, all 64 bits. */
  readGpr(number: number): Int {
    const node = this.f.getLocal(this.gpr(number), I64)
    this.held?.read(node, number)
    return new Int(this.f, node, 64)
  }
  writeGpr(number: number, value: Int): void {
    this.deferred?.save(number)
    this.held?.written(number, value)
    this.f.setLocal(this.gpr(number), value.node)
    this.writtenGprs.add(number)
  }

  /** The local of a general-purpose register, or from 16 on of those of {@link readXmm}. */
  registerLocal(number: number): number {
    return number < 16 ? this.gpr(number) : this.xmm(number - 16)
  }

  private xmm(number: number): number {
    return (this.xmms[number] ??= this.f.local(V128))
  }
  /** An XMM register, or 16 further the upper half of a YMM register. */
  readXmm(number: number): Vector {
    return new Vector(this.f, this.f.getLocal(this.xmm(number), V128))
  }
  writeXmm(number: number, value: Vector): void {
    this.deferred?.save(16 + number)
    this.f.setLocal(this.xmm(number), value.node)
    this.writtenXmms.add(number)
    this.settled[number] = 0
    this.floats?.written(number)
  }
  /** By XMM register: 0, the width of its lowest number if that is settled (see Semantics.settles), negative if all of them are. */
  settled: number[] = new Array(32).fill(0)
  unsettle(): void {
    this.settled.fill(0)
  }

  /**
   * Leaves for the interpreter unless so many instructions may be executed: the most until this is asked again.
   * @param distance of where execution goes on; undefined: where {@link rip} says
   */
  checkBudget(distance: number | undefined, instructions: number): void {
    const leave = () => (distance === undefined ? this.leave(this.bailed, this.bailedWithLocals) : this.bail(distance))
    this.code.if(this.budget.value.ltS(instructions), leave, undefined, 'unlikely')
  }

  /** Takes the instructions executed up to here off the budget. What is pending stays, for other ways from here. */
  settleBudget(): void {
    if (this.pending) this.budget.value = this.budget.value.sub(this.pending)
  }

  /** Leaves so that the interpreter executes the instruction at a distance from the entry. */
  bail(distance: number): void {
    if (this.deferred?.isOpen) {
      this.deferred.goBack()
      return
    }
    this.rip.value = this.ripAt(distance)
    this.leave(this.bailed, this.bailedWithLocals)
  }

  again(distance: number): void {
    this.pending++
    this.exit(distance)
    this.pending--
  }

  /** Leaves to a distance from the entry. */
  exit(distance: number): void {
    this.rip.value = this.ripAt(distance)
    this.leave(this.left, this.leftWithLocals)
  }

  /** At where the region was entered, or comes by otherwise. */
  arrive(): void {
    this.came.value = this.into.value
    this.into.set(0)
  }

  /** Leaves so that the interpreter executes what is where {@link rip} says. */
  bailIndirect(): void {
    this.leave(this.bailed, this.bailedWithLocals)
  }

  /** Leaves to where {@link rip} says. */
  exitIndirect(): void {
    this.leave(this.left, this.leftWithLocals)
  }

  private leave(to: Label, withLocals: Label): void {
    const { flags, f } = this
    this.settleBudget()
    this.x87?.leaving()
    if (flags.known !== 'locals') flags.toState()
    f.branch(flags.known === 'locals' ? withLocals : to)
  }

  /** Leaves unless the page at a distance is where it was when the region was made. @param page counts the region's pages */
  leaveUnlessMapped(distance: number, page: number, leave: () => void): void {
    const { f, code } = this
    const was = new Int(f, f.load(0x28, I32, 0, linkedPage(f, page), 0), 32)
    code.block(same => {
      code.block(unknown => code.leave(same, isMapped(code, this.ripAt(distance), was, unknown), 'likely'))
      f.rarely(leave)
    })
  }

  /**
   * Closes the function: the ways out, and the way in, which is put in front.
   * @param extent bytes from the entry to the end of the code, which must not lie beyond the limit of CS
   * @param counted as in {@link enter}
   */
  finish(extent: number, counted: boolean): void {
    const { f, code, flags, flat } = this
    const bailing = new Variable(f, 32)
    f.end()
    flags.localsToState()
    f.end()
    bailing.set(1)
    f.branch(this.left)
    f.end()
    flags.localsToState()
    f.end()
    for (const number of this.writtenGprs) code.set(F.gpr, this.readGpr(number), number)
    for (const number of this.writtenXmms) {
      const [field, index] = placeOfXmm(number)
      code.setVector(field, this.readXmm(number), index)
    }
    this.x87?.store()
    code.set(F.rip, this.rip.value)
    code.set(F.budget, this.budget.value)
    if (flat) {
      // Mode and TLB are those of now: the last instruction may have changed them. Events and the shadow of STI are the
      // main function's.
      const waiting = code.get(F.events).or(code.get(F.interruptShadow)).or(bailing.value)
      const go = (index: Int) => f.returnCallIndirect(REGION_TYPE, [code.base.node, index.node])
      const next = () => lookUpJump(code, this.rip.value, code.get(F.tlb), go)
      code.if(waiting.isZero(), next, undefined, 'likely')
    }
    f.return(bailing.value.node)
    f.unreachable()
    this.enter(flat ? undefined : extent, counted)
  }

  /** Counts an entry down and tells when there were as many as were to be. */
  private count(): void {
    const { f, code } = this
    const place = new Int(f, linkedHeat(f), 32)
    const left = code.variable(32, new Int(f, f.load(0x28, I32, 0, place.node, 0), 32).sub(1)).value
    f.store(0x36, 0, place.node, left.node, 0)
    const tell = () => f.call('regionIsHot', { params: [I32], results: [] }, [linkedIndex(f)])
    code.if(left.isZero(), tell, undefined, 'unlikely')
  }

  /**
   * @param extent as in {@link finish}, where CS has a limit
   * @param counted the region's entries are to be counted
   */
  private enter(extent: number | undefined, counted: boolean): void {
    const { f, code } = this
    const body = f.nodes.splice(0)
    if (counted) this.count()
    this.entry.value = code.get(F.rip)
    if (this.otherEntries !== undefined) {
      this.rip.value = this.entry.value
      this.entry.value = this.entry.value.and(PAGE_MASK).or(this.otherEntries)
      this.into.value = this.entry.value.ne(this.rip.value).zeroExtend(32)
    }
    if (extent !== undefined) {
      const limit = code.get(F.segmentLimit, CS).zeroExtend(64)
      code.if(this.entry.value.add(extent).gtU(limit.add(1)), () => f.return(f.const32(1)), undefined, 'unlikely')
    }
    this.x87?.load(() => f.return(f.const32(1)))
    this.budget.value = code.get(F.budget)
    this.held?.enter()
    this.gprs.forEach((local, number) => {
      if (local !== undefined) f.setLocal(local, code.get(F.gpr, number).node)
    })
    this.xmms.forEach((local, number) => {
      if (local === undefined) return
      const [field, index] = placeOfXmm(number)
      f.setLocal(local, code.getVector(field, index).node)
    })
    this.flags.enter()
    this.deferred?.load(() => f.return(f.const32(1)))
    if (this.entersLoop) this.floats?.enter(() => f.return(f.const32(1)))
    for (const node of body) f.nodes.push(node)
  }
}
