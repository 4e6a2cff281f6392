/**
 * Exceptions of 64-bit code through interrupt and trap gates to 64-bit supervisor handlers, as generated code: the way in of
 * page faults above all. What is unusual is src/cpu/exceptions.ts's.
 */

import { MODE_BREAKPOINTS, MODE_CLASS, MODE_LONG, MODE_SINGLE_STEP } from '../cpu/mode.ts'
import { CS, F, IDTR, IF, NT, RF, RSP, SS, TF, TR, VM } from '../cpu/state.ts'
import { refreshMode } from '../isa/privilege.ts'
import { type Int, routine } from '../isa/semantics.ts'
import { loadNullStack, loadSegmentWords, locateBytes, ramWord, readSystemDescriptor } from '../isa/system-segments.ts'
import { PieceFlags, StatePieces } from './flags.ts'
import { isCanonicalNow } from './tlb-refill.ts'

/** Vectors that are no faults or want more than their gate: #DB, NMI, #BP, #OF, #DF, #MC. */
export const UNUSUAL_VECTORS = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 8) | (1 << 18)

/** Present, type 14 or 15, IST 0, of the gate's second word. */
const GATE_MASK = 0x9e07
const GATE_VALUE = 0x8e00
/** Present, DPL 0, code, not conforming, 64 bits, accessed. */
const CODE_MASK = 0x0060fd00
const CODE_VALUE = 0x00209900

/**
 * Enters the handler of the fault that is noted in `F.fault`, at `F.rip`, the arithmetic flags being in their pieces. Gives 1
 * with the note cleared, or 0 with nothing changed.
 */
export const deliverLong = routine('deliverLong', [], 32, code => {
  const { f } = code
  // A walk for one of the tables may fault too and leave its own.
  const errorCode = code.variable(32, code.get(F.faultErrorCode)).value
  code.block(unusual => {
    const wanted = MODE_CLASS | MODE_SINGLE_STEP | MODE_BREAKPOINTS
    code.leave(unusual, code.get(F.mode).and(wanted).ne(MODE_LONG))
    const vector = code.variable(32, code.get(F.faultVector)).value
    code.leave(unusual, vector.gtU(31).or(code.const(UNUSUAL_VECTORS, 32).shr(vector).bit(0)))

    code.leave(unusual, vector.shl(4).add(15).gtU(code.get(F.segmentLimit, IDTR)))
    const gateAddress = code.variable(64, code.get(F.segmentBase, IDTR).add(vector.shl(4).zeroExtend(64))).value
    const gate = locateBytes(code, gateAddress, 16, false, unusual)
    const words = code.variable(64, ramWord(code, gate)).value
    const attributes = code.variable(32, words.shr(32).truncate(32)).value
    code.leave(unusual, attributes.and(GATE_MASK).ne(GATE_VALUE))
    const targetLow = words.and(0xffff).or(words.shr(32).and(0xffff0000n))
    const target = code.variable(64, targetLow.or(ramWord(code, gate, 8).shl(32))).value
    code.leave(unusual, isCanonicalNow(code, target).not())
    const selector = code.variable(32, words.truncate(32).shr(16).and(0xfffc)).value
    const descriptor = readSystemDescriptor(code, selector, unusual)
    code.leave(unusual, descriptor.high.and(CODE_MASK).ne(CODE_VALUE))

    const outer = code.variable(1, code.get(F.cpl).isNonZero()).value
    const stack = code.variable(64, code.get(F.gpr, RSP))
    code.if(outer, () => {
      code.leave(unusual, code.get(F.segmentLimit, TR).ltU(11))
      const place = code.variable(64, code.get(F.segmentBase, TR).add(4)).value
      stack.value = ramWord(code, locateBytes(code, place, 8, false, unusual))
    })
    code.leave(unusual, isCanonicalNow(code, stack.value).not())
    const hasCode = errorCode.ne(-1)
    const size = hasCode.select(code.const(48, 64), 40)
    const top = code.variable(64, stack.value.and(0xfffffffffffffff0n).sub(size)).value
    const place = locateBytes(code, top, 48, true, unusual)

    // Nothing can fail from here on.
    const at = code.variable(32, place)
    const push = (value: Int) => {
      f.store(0x37, 1, at.value.node, value.node, 0)
      at.value = at.value.add(8)
    }
    const image = code.variable(32, new PieceFlags(code, new StatePieces(code)).readImage().or(RF)).value
    code.if(hasCode, () => push(errorCode.zeroExtend(64)))
    push(code.get(F.rip))
    push(code.get(F.segmentSelector, CS).zeroExtend(64))
    push(image.zeroExtend(64))
    push(code.get(F.gpr, RSP))
    push(code.get(F.segmentSelector, SS).zeroExtend(64))
    code.set(F.gpr, top, RSP)
    code.set(F.rip, target)
    code.set(F.cpl, 0)
    loadSegmentWords(code, CS, selector, descriptor)
    code.if(outer, () => loadNullStack(code, code.const(0, 32)))
    const cleared = attributes.bit(8).select(code.const(TF | NT | RF | VM, 32), TF | NT | RF | VM | IF)
    code.set(F.systemFlags, code.get(F.systemFlags).and(cleared.not()))
    code.set(F.interruptShadow, 0)
    code.set(F.fault, 0)
    code.call(refreshMode)
    f.return(f.const32(1))
  })
  code.set(F.faultErrorCode, errorCode)
  return code.const(0, 32)
})
