/** The function of a region under construction: its locals, how it is entered and left. */
import { CS, F } from '../../cpu/state.ts'
import { FunctionBuilder } from '../../ir/function.ts'
import { type Label, OP_BLOCK } from '../../ir/node.ts'
import { Int } from '../../ir/values.ts'
import { Code, Variable } from '../../isa/semantics.ts'
import { I64 } from '../../wasm/types.ts'
import { RECIPE_UNTOUCHED } from '../flag-recipe.ts'
import { REGION_TYPE } from '../interpreter/main.ts'
import { lookUpJump } from '../jump-table.ts'
import { FlagLocals, RegionFlags } from './flags.ts'

/** A bail code is displacement + BAIL_BIAS in the low bits, and the instructions to be given back to the budget above. */
const BAIL_BIAS = 8192
const BAIL_SHIFT = 14

/** One region's function. */
export class RegionCode {
  readonly f: FunctionBuilder
  readonly code: Code
  readonly flags: RegionFlags
  readonly locals: FlagLocals
  /** Where execution goes on outside of the region. */
  readonly rip: Variable
  /** RIP at the entry. */
  private readonly entry: Variable
  private readonly budget: Variable
  private readonly bailCode: Variable
  private readonly gprs: (number | undefined)[] = new Array(16).fill(undefined)
  private readonly written = new Set<number>()
  private readonly bailed: Label
  private readonly left: Label
  /** Instructions of the current block that are not yet executed, the current one included. */
  remaining = 0

  constructor() {
    this.f = new FunctionBuilder(REGION_TYPE)
    this.code = new Code(this.f)
    this.entry = new Variable(this.f, 64)
    this.rip = new Variable(this.f, 64)
    this.budget = new Variable(this.f, 32)
    this.bailCode = new Variable(this.f, 32)
    this.locals = new FlagLocals(this.code)
    this.f.nodes.length = 0
    this.flags = new RegionFlags(this.code, this.locals)
    this.left = this.f.open(OP_BLOCK)
    this.bailed = this.f.open(OP_BLOCK)
  }

  get base(): Int {
    return this.code.base
  }
  get entryRip(): Int {
    return this.entry.value
  }

  /** A constant of 64 bits by halves. */
  constant64(low: number, high: number): Int {
    return new Int(this.f, this.f.const64(low, high), 64)
  }

  private gpr(number: number): number {
    return (this.gprs[number] ??= this.f.local(I64))
  }
  /** A general-purpose register, all 64 bits. */
  readGpr(number: number): Int {
    return new Int(this.f, this.f.getLocal(this.gpr(number), I64), 64)
  }
  writeGpr(number: number, value: Int): void {
    this.f.setLocal(this.gpr(number), value.node)
    this.written.add(number)
  }

  /** Takes a block's instructions off the budget; leaves for the interpreter when they are more than are left. */
  startBlock(distance: number, instructions: number): void {
    this.flags.startBlock()
    this.budget.value = this.budget.value.sub(instructions)
    this.remaining = instructions
    this.code.if(this.budget.value.isNegative(), () => this.bail(distance), undefined, 'unlikely')
  }

  /** Leaves so that the interpreter executes the instruction at a distance from the entry. */
  bail(distance: number): void {
    this.bailCode.set((distance + BAIL_BIAS) | (this.remaining << BAIL_SHIFT))
    this.f.branch(this.bailed)
  }

  /** Leaves to a distance from the entry. */
  exit(distance: number, long: boolean): void {
    const rip = this.entry.value.add(distance)
    this.rip.value = long ? rip : rip.and(0xffffffff)
    this.f.branch(this.left)
  }

  /** Leaves to where {@link rip} says. */
  exitIndirect(): void {
    this.f.branch(this.left)
  }

  /**
   * Closes the function: the ways out, and the way in, which is put in front.
   * @param flat linear addresses are RIP
   * @param extent bytes from the entry to the end of the code, which must not lie beyond the limit of CS
   */
  finish(long: boolean, flat: boolean, extent: number): void {
    const { f, code, locals } = this
    const bailing = new Variable(f, 32)
    f.end()
    const target = this.entry.value.add(this.bailCode.value.and(BAIL_BIAS * 2 - 1).zeroExtend(64)).sub(BAIL_BIAS)
    this.rip.value = long ? target : target.and(0xffffffff)
    this.budget.value = this.budget.value.add(this.bailCode.value.shr(BAIL_SHIFT))
    bailing.set(1)
    f.end()
    for (const number of this.written) code.set(F.gpr, this.readGpr(number), number)
    code.set(F.rip, this.rip.value)
    code.set(F.budget, this.budget.value)
    locals.store()
    if (flat) {
      // Mode and TLB are those of now: the last instruction may have changed them. Events and the shadow of STI are the
      // main function's.
      const waiting = code.get(F.events).or(code.get(F.interruptShadow)).or(bailing.value)
      code.if(
        waiting.isZero(),
        () => {
          const go = (index: Int) => f.returnCallIndirect(REGION_TYPE, [code.base.node, index.node])
          lookUpJump(code, this.rip.value, code.get(F.tlb), go)
        },
        undefined,
        'likely',
      )
    }
    f.return(bailing.value.node)
    f.unreachable()
    this.enter(flat ? undefined : extent)
  }

  /** @param extent as in {@link finish}, where CS has a limit */
  private enter(extent: number | undefined): void {
    const { f, code, locals } = this
    const body = f.nodes.splice(0)
    this.entry.value = code.get(F.rip)
    if (extent !== undefined) {
      const limit = code.get(F.segmentLimit, CS).zeroExtend(64)
      code.if(this.entry.value.add(extent).gtU(limit.add(1)), () => f.return(f.const32(1)))
    }
    this.budget.value = code.get(F.budget)
    this.gprs.forEach((local, number) => {
      if (local !== undefined) f.setLocal(local, code.get(F.gpr, number).node)
    })
    locals.kind.set(RECIPE_UNTOUCHED)
    for (const node of body) f.nodes.push(node)
  }
}
