/**
 * The interpreter's main function: finds the block at RIP, runs its records one after another, and calls regions where
 * there are some. Flags and budget are in locals while it runs.
 */

import { ACTIVITY_INTERPRETER, ACTIVITY_REGION } from '../../cpu/activity.ts'
import { EVENT_INTERRUPT } from '../../cpu/events.ts'
import { MODE_SEGMENTED } from '../../cpu/mode.ts'
import { CS, F, IF } from '../../cpu/state.ts'
import { FunctionBuilder } from '../../ir/function.ts'
import { type Label, OP_BLOCK } from '../../ir/node.ts'
import { Int } from '../../ir/values.ts'
import { Code, type Variable } from '../../isa/semantics.ts'
import { BLOCK_TABLE_BASE } from '../../memory/layout.ts'
import { FRAME_SIZE } from '../../memory/physical.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_FETCH } from '../../memory/tlb.ts'
import { type FunctionType, I32, I64 } from '../../wasm/types.ts'
import { deliverFault } from '../deliver-fault.ts'
import { flagsFromRecipe } from '../flag-recipe.ts'
import { type FlagPieces, PieceFlags } from '../flags.ts'
import { enterJump } from '../jump-table.ts'
import type { Unit } from '../library.ts'
import { tlbOffset } from '../tlb-offset.ts'
import { build, HANDLER_TYPE, usageOf } from './handlers.ts'
import * as R from './record.ts'
import { DISPATCH, type Home, InterpreterSemantics, NEXT, type Shape } from './semantics.ts'

/** Why the main function returned. */
export const RUN_BUDGET = 0
/** F.fault is set, RIP is the faulting instruction's. */
export const RUN_FAULT = 1
/** F.events has something that may be acted upon. */
export const RUN_EVENT = 2
/** The fetch of an instruction faulted, so that none was begun and counted: F.fault is set. */
export const RUN_FETCH_FAULT = 3

/** A region: takes the vCPU's base; leaves with RIP, flags and budget in the state. 1: the instruction at RIP is the interpreter's. */
export const REGION_TYPE: FunctionType = { params: [I32], results: [I32] }

/** A shape whose handler is part of the main function, and the index of its handler. */
export interface InlineHandler {
  shape: Shape
  index: number
}

class LocalPieces implements FlagPieces {
  private readonly locals: MainLocals
  constructor(locals: MainLocals) {
    this.locals = locals
  }
  getResult(): Int {
    return this.locals.result.value
  }
  getCarries(): Int {
    return this.locals.carries.value
  }
  getAdjust(): Int {
    return this.locals.adjust.value
  }
  setResult(value: Int): void {
    this.locals.result.value = value
  }
  setCarries(value: Int): void {
    this.locals.carries.value = value
  }
  setAdjust(value: Int): void {
    this.locals.adjust.value = value
  }
}

interface MainLocals {
  record: Variable
  blockRip: Variable
  result: Variable
  carries: Variable
  adjust: Variable
  budget: Variable
  /** Nonzero after a region gave up at RIP: the interpreter takes the next block. */
  skipRegion: Variable
  /** Header of the block that was executed last, if nothing came in between; else 0. */
  last: Variable
  /** Nonzero while the flags are in the state, as a region or the caller left them, and not in the locals. */
  flagsAway: Variable
}

function spillFlags(code: Code, locals: MainLocals): void {
  code.set(F.flagResult, locals.result.value)
  code.set(F.flagCarries, locals.carries.value)
  code.set(F.flagAdjust, locals.adjust.value)
  spillBudget(code, locals)
}

function spillBudget(code: Code, locals: MainLocals): void {
  code.set(F.budget, locals.budget.value)
}

function reloadFlags(code: Code, locals: MainLocals): void {
  locals.result.value = code.get(F.flagResult)
  locals.carries.value = code.get(F.flagCarries)
  locals.adjust.value = code.get(F.flagAdjust)
  locals.budget.value = code.get(F.budget)
}

/** Flags that translated code left as a recipe become pieces. */
function settleFlags(code: Code): void {
  code.if(code.get(F.flagKind).isNonZero(), () => {
    code.call(flagsFromRecipe, code.get(F.flagKind), code.get(F.flagA), code.get(F.flagB))
  })
}

/** Takes the flags into the locals, if they are not there. */
function takeFlags(code: Code, locals: MainLocals): void {
  code.if(
    locals.flagsAway.value.isNonZero(),
    () => {
      settleFlags(code)
      reloadFlags(code, locals)
      locals.flagsAway.set(0)
    },
    undefined,
    'unlikely',
  )
}

/** Sees to it that flags and budget are in the state. */
function spillAll(code: Code, locals: MainLocals): void {
  code.if(locals.flagsAway.value.isZero(), () => {
    code.set(F.flagResult, locals.result.value)
    code.set(F.flagCarries, locals.carries.value)
    code.set(F.flagAdjust, locals.adjust.value)
  })
  spillBudget(code, locals)
}

/** The home of handlers inside the main function. */
class MainHome implements Home {
  private readonly locals: MainLocals
  private readonly labels: { next: Label; dispatch: Label; fault: Label }
  constructor(locals: MainLocals, labels: { next: Label; dispatch: Label; fault: Label }) {
    this.locals = locals
    this.labels = labels
  }
  record(): Int {
    return this.locals.record.value
  }
  blockRip(): Int {
    return this.locals.blockRip.value
  }
  flags(m: InterpreterSemantics) {
    return new PieceFlags(m, new LocalPieces(this.locals))
  }
  spill(m: InterpreterSemantics): void {
    spillFlags(m, this.locals)
  }
  reload(m: InterpreterSemantics): void {
    reloadFlags(m, this.locals)
  }
  spillBudget(m: InterpreterSemantics): void {
    m.set(F.budget, this.locals.budget.value)
  }
  leave(m: InterpreterSemantics, status: number): void {
    const { next, dispatch, fault } = this.labels
    m.f.branch(status === NEXT ? next : status === DISPATCH ? dispatch : fault)
  }
}

/** Builds the main function. @param handlers those to be inside it; index 1 on, in order */
export function mainUnit(handlers: readonly InlineHandler[]): Unit {
  const f = new FunctionBuilder({ params: [I32], results: [I32] })
  const code = new Code(f)
  const locals: MainLocals = {
    record: code.variable(32, 0),
    blockRip: code.variable(64, 0),
    result: code.variable(64, 0),
    carries: code.variable(64, 0),
    adjust: code.variable(64, 0),
    budget: code.variable(32, 0),
    skipRegion: code.variable(32, 0),
    flagsAway: code.variable(32, 1),
    last: code.variable(32, 0),
  }
  const used = code.used
  const { record, blockRip, budget } = locals
  budget.value = code.get(F.budget)
  // Wherever the loop starts anew, the budget is in its local; of the flags a local says where they are.
  const leave = (reason: number) => {
    // Whoever looks at the state next (interrupts, snapshots) knows pieces only.
    settleFlags(code)
    spillAll(code, locals)
    f.return(f.const32(reason))
  }
  f.loop(dispatch => {
    code.if(budget.value.leS(0), () => leave(RUN_BUDGET), undefined, 'unlikely')
    code.if(
      code.get(F.events).isNonZero(),
      () => {
        const flags = code.get(F.systemFlags).and(IF).or(~EVENT_INTERRUPT)
        code.if(code.get(F.events).and(flags).isNonZero(), () => leave(RUN_EVENT))
      },
      undefined,
      'unlikely',
    )
    // Nothing waited for the instruction after STI or MOV SS to pass.
    code.set(F.interruptShadow, 0)
    blockRip.value = code.get(F.rip)
    findBlock(code, f, locals, leave, dispatch)
    takeFlags(code, locals)
    f.block(faulted => {
      f.block(left => {
        f.loop(again => {
          f.block(next => {
            const labels = { next, dispatch: left, fault: faulted }
            const cases = handlers.map(() => f.open(OP_BLOCK))
            const other = f.open(OP_BLOCK)
            const end = f.open(OP_BLOCK)
            const handler = load16(code, record.value, R.RECORD_HANDLER)
            budget.value = budget.value.sub(1)
            // The innermost block is index 0, the next one all that have functions of their own.
            f.branchTable(handler.node, [end, ...cases.toReversed(), other])
            f.end()
            endOfBlock(code, locals)
            f.branch(left)
            f.end()
            callHandler(code, f, locals, labels)
            for (const { shape } of handlers) {
              f.end()
              const home = new MainHome(locals, labels)
              const m = new InterpreterSemantics(f, shape, usageOf(shape), home)
              build(m)
              for (const routine of m.used) used.add(routine)
            }
          })
          record.value = record.value.add(R.RECORD_SIZE)
          // The budget is spent in the middle of a block: RIP is that of the next record.
          code.if(
            budget.value.leS(0),
            () => {
              budget.value = budget.value.sub(1)
              endOfBlock(code, locals)
              f.branch(left)
            },
            undefined,
            'unlikely',
          )
          f.branch(again)
        })
      })
      f.branch(dispatch)
    })
    // A fault: RIP of the instruction, whatever it has done to it.
    code.set(F.rip, startRip(code, locals))
    spillFlags(code, locals)
    locals.flagsAway.set(1)
    code.leave(dispatch, code.call(deliverFault).isNonZero())
    leave(RUN_FAULT)
  })
  f.unreachable()
  return { name: 'interpret', f, uses: used }
}

const load16 = (code: Code, address: Int, offset: number): Int =>
  new Int(code.f, code.f.load(0x2f, I32, 0, address.node, offset), 32)
const load32 = (code: Code, address: Int, offset: number): Int =>
  new Int(code.f, code.f.load(0x28, I32, 0, address.node, offset), 32)

/** RIP of the record's instruction; 32 bits outside of 64-bit mode, whose blocks start below 2^32. */
function startRip(code: Code, locals: MainLocals): Int {
  const record = locals.record.value
  const length = new Int(code.f, code.f.load(0x2d, I32, 0, record.node, R.RECORD_LENGTH), 32)
  return locals.blockRip.value.add(load16(code, record, R.RECORD_END).sub(length).zeroExtend(64))
}

/** HANDLER_END: it was no instruction, so the budget gets it back. */
function endOfBlock(code: Code, locals: MainLocals): void {
  code.set(F.rip, startRip(code, locals))
  locals.budget.value = locals.budget.value.add(1)
}

function callHandler(
  code: Code,
  f: FunctionBuilder,
  locals: MainLocals,
  labels: { next: Label; dispatch: Label; fault: Label },
): void {
  spillFlags(code, locals)
  const args = [code.base, locals.record.value, locals.blockRip.value]
  const handler = load16(code, locals.record.value, R.RECORD_HANDLER)
  const status = new Int(f, f.callIndirect(HANDLER_TYPE, [...args.map(arg => arg.node), handler.node]), 32)
  reloadFlags(code, locals)
  code.leave(labels.next, status.isZero())
  code.leave(labels.dispatch, status.eq(DISPATCH))
  f.branch(labels.fault)
}

/** Runs a region, which may go on in others. */
function callRegion(code: Code, f: FunctionBuilder, locals: MainLocals, index: Int): void {
  spillAll(code, locals)
  locals.flagsAway.set(1)
  code.set(F.activity, ACTIVITY_REGION)
  const status = new Int(f, f.callIndirect(REGION_TYPE, [code.base.node, index.node]), 32)
  code.set(F.activity, ACTIVITY_INTERPRETER)
  const done = locals.budget.value.sub(code.get(F.budget)).signExtend(64)
  code.set(F.translatedInstructions, code.get(F.translatedInstructions).add(done))
  locals.budget.value = code.get(F.budget)
  locals.skipRegion.value = status
  locals.last.set(0)
}

/** Sets the record to the first of the block at RIP, or runs its region and dispatches again. */
function findBlock(
  code: Code,
  f: FunctionBuilder,
  locals: MainLocals,
  leave: (reason: number) => void,
  dispatch: Label,
): void {
  const linear = code.variable(64, locals.blockRip.value.add(code.get(F.segmentBase, CS)))
  code.if(code.get(F.mode).and(4).isZero(), () => {
    linear.set(linear.value.and(0xffffffff))
    // From the last byte below 4 GiB execution goes on at 0.
    locals.blockRip.value = locals.blockRip.value.and(0xffffffff)
  })
  const tlb = tlbEntry(code, linear.value)
  const address = code.variable(32, 0)
  code.if(
    isFetchable(code, tlb, linear.value),
    () => address.set(load32(code, tlb, TLB_ADDEND).add(linear.value.truncate(32))),
    () => {
      spillBudget(code, locals)
      const node = f.call('fetchPhysical', { params: [I32, I32], results: [I32] }, [
        linear.value.truncate(32).node,
        linear.value.shr(32).truncate(32).node,
      ])
      address.set(new Int(f, node, 32))
      code.if(code.get(F.fault).isNonZero(), () => fetchFaulted(code, locals, leave, dispatch), undefined, 'unlikely')
    },
    'likely',
  )
  const record = code.variable(32, 0)
  const mode = code.variable(32, code.get(F.mode)).value
  const headerOf = (record: Int) => record.sub(R.HEADER_SIZE)
  const isIt = (record: Int) =>
    load32(code, headerOf(record), R.HEADER_ADDRESS)
      .eq(address.value)
      .and(load32(code, headerOf(record), R.HEADER_MODE).eq(mode))
  code.block(ready => {
    code.block(missing => {
      code.block(found => {
        const tag = code.variable(32, linkTag(address.value)).value
        const link = code.variable(32, linkFrom(code, locals, address.value)).value
        const linked = code.variable(32, load32(code, link, 0).xor(tag)).value
        code.if(linked.and(R.RECORD_SIZE - 1).isZero(), () => {
          record.value = linked
          code.leave(found, isIt(linked))
        })
        const hash = address.value.xor(address.value.shr(17)).and(R.BLOCK_TABLE_ENTRIES - 1)
        record.value = load32(code, hash.shl(2), BLOCK_TABLE_BASE)
        f.loop(next => {
          code.leave(missing, record.value.isZero())
          code.if(
            isIt(record.value).isZero(),
            () => {
              record.value = load32(code, headerOf(record.value), R.HEADER_NEXT)
              f.branch(next)
            },
            undefined,
            'unlikely',
          )
        })
        const isPlain = load32(code, headerOf(record.value), R.HEADER_REGION).geS(0)
        code.if(locals.last.value.isNonZero().and(isPlain), () => {
          f.store(0x36, 0, link.node, record.value.or(tag).node, 0)
        })
      })
      const header = code.variable(32, headerOf(record.value)).value
      const region = code.variable(32, load32(code, header, R.HEADER_REGION)).value
      code.if(region.isNonZero(), () => {
        code.if(region.gtS(0).and(locals.skipRegion.value.isZero()), () => {
          enterJump(code, linear.value, address.value, region)
          callRegion(code, f, locals, region)
          f.branch(dispatch)
        })
        leaveUnlessWhole(code, locals, record.value, linear.value, missing)
      })
      locals.skipRegion.set(0)
      locals.record.value = record.value
      locals.last.value = header
      const heat = load32(code, header, R.HEADER_HEAT).sub(1)
      f.store(0x36, 0, header.node, heat.node, R.HEADER_HEAT)
      code.if(
        heat.isZero(),
        () => {
          spillBudget(code, locals)
          f.call('blockIsHot', { params: [I32], results: [] }, [locals.record.value.node])
        },
        undefined,
        'unlikely',
      )
      code.leave(ready)
    })
    // Records may be moved.
    locals.last.set(0)
    spillBudget(code, locals)
    const node = f.call('decodeBlock', { params: [I32], results: [I32] }, [address.value.node])
    locals.record.value = new Int(f, node, 32)
    code.if(locals.record.value.isZero(), () => fetchFaulted(code, locals, leave, dispatch))
    code.leave(dispatch, locals.record.value.eq(1))
    locals.last.value = headerOf(locals.record.value)
  })
}

/** The low bits of a link to the block at an address: never all zero, so that no link is none of any block. */
const linkTag = (address: Int): Int =>
  address
    .shr(1)
    .xor(address.shr(6))
    .and(R.RECORD_SIZE - 1)
    .or(1)

/** Address of the last block's link to what comes next at an address; of a zero, if there was none. */
function linkFrom(code: Code, { last, record }: MainLocals, address: Int): Int {
  const fell = load16(code, record.value, R.RECORD_HANDLER).eq(R.HANDLER_END)
  const jumped = address.shr(R.JUMPED_SHIFT).and(R.JUMPED_MASK).add(R.HEADER_JUMPED)
  return last.value.add(fell.select(code.const(R.HEADER_FELL, 32), jumped))
}

/** The fetch of an instruction faulted: on in the handler, or out. The instruction counts, so that time goes on. */
function fetchFaulted(code: Code, locals: MainLocals, leave: (reason: number) => void, dispatch: Label): void {
  settleFlags(code)
  spillAll(code, locals)
  locals.flagsAway.set(1)
  code.if(code.call(deliverFault).isNonZero(), () => {
    locals.budget.value = locals.budget.value.sub(1)
    spillBudget(code, locals)
    locals.skipRegion.set(0)
    code.f.branch(dispatch)
  })
  leave(RUN_FETCH_FAULT)
}

/** Address of the TLB's entry for a linear address. */
const tlbEntry = (code: Code, linear: Int): Int => code.get(F.tlb).add(tlbOffset(linear.truncate(32)))

/** Whether the TLB's entry is one for fetches from the address. */
function isFetchable(code: Code, entry: Int, linear: Int): Int {
  const tag = new Int(code.f, code.f.load(0x29, I64, 0, entry.node, TLB_FETCH), 64)
  return tag.eq(linear.and(PAGE_MASK))
}

/** Leaves for a label if a block reaches beyond the limit of CS, or what follows its page is no longer what it was made of. */
function leaveUnlessWhole(code: Code, locals: MainLocals, record: Int, linear: Int, otherwise: Label): void {
  const header = code.variable(32, record.sub(R.HEADER_SIZE)).value
  const mode = code.get(F.mode)
  const end = locals.blockRip.value.add(load32(code, header, R.HEADER_EXTENT).zeroExtend(64))
  const limit = code.get(F.segmentLimit, CS).zeroExtend(64)
  code.leave(otherwise, end.gtU(limit.add(1)).and(mode.and(MODE_SEGMENTED).isNonZero()))
  const second = code.variable(32, load32(code, header, R.HEADER_SECOND)).value
  code.if(second.ne(-1), () => {
    const next = code.variable(64, linear.and(PAGE_MASK).add(FRAME_SIZE))
    code.if(mode.and(4).isZero(), () => next.set(next.value.and(0xffffffff)))
    const tlb = tlbEntry(code, next.value)
    code.leave(otherwise, isFetchable(code, tlb, next.value).isZero())
    code.leave(otherwise, load32(code, tlb, TLB_ADDEND).add(next.value.truncate(32)).ne(second))
  })
}
