/** IRETQ from 64-bit supervisor code to 64-bit code: the way back of page faults and timer interrupts. */

import { AC, ARITHMETIC_FLAGS, CS, DF, F, ID, IF, IOPL, NT, RF, RSP, SS, TF, VIF, VIP } from '../cpu/state.ts'
import { currentClass, isCanonicalNow } from '../engines/tlb-refill.ts'
import { refreshMode } from './privilege.ts'
import { routine, type Semantics } from './semantics.ts'
import {
  leaveUnlessKept,
  loadNullStack,
  loadSegmentWords,
  locateBytes,
  ramWord,
  readSystemDescriptor,
} from './system-segments.ts'

/** The flags that CPL 0 may change. */
export const RETURNED_FLAGS = ARITHMETIC_FLAGS | TF | IF | DF | IOPL | NT | RF | AC | VIF | VIP | ID

/** Present, code, not conforming, 64 bits, accessed: what must be and what must not be set of a descriptor's high half. */
const CODE_MASK = 0x00609d00
const CODE_VALUE = 0x00209900
/** Present, writable data, accessed. */
const DATA_MASK = 0x00009b00
const DATA_VALUE = 0x00009300

/**
 * Reads the frame at a stack pointer and checks everything. If nothing is unusual it loads CS, SS and CPL, leaves RIP in
 * `F.serviceResult`, RSP in `F.serviceResult2` and gives the flags' image (bit 1 is set); else it gives 0.
 */
export const returnFromInterrupt = routine('returnFromInterrupt', [64], 32, (code, pointer) => {
  const { f } = code
  code.block(unusual => {
    const privileged = code.get(F.cpl).isZero()
    const waiting = code
      .get(F.systemFlags)
      .and(NT)
      .or(code.get(F.nmiBlocked))
      .or(code.get(F.dr, 7).truncate(32).and(0xff))
    code.leave(unusual, privileged.not().or(waiting.isNonZero()))
    const frame = locateBytes(code, pointer, 40, false, unusual, currentClass(code))
    const rip = code.variable(64, ramWord(code, frame)).value
    const selector = code.variable(32, ramWord(code, frame, 8).truncate(32).and(0xffff)).value
    const image = code.variable(32, ramWord(code, frame, 16).truncate(32)).value
    const stackPointer = code.variable(64, ramWord(code, frame, 24)).value
    const stackSelector = code.variable(32, ramWord(code, frame, 32).truncate(32).and(0xffff)).value
    code.leave(unusual, image.and(TF).isNonZero())
    code.leave(unusual, isCanonicalNow(code, rip).not())

    const level = code.variable(32, selector.and(3)).value
    const codeWords = readSystemDescriptor(code, selector, unusual)
    const kind = level.shl(13)
    code.leave(unusual, codeWords.high.and(CODE_MASK | 0x6000).ne(kind.or(CODE_VALUE)))
    code.leave(unusual, level.ne(stackSelector.and(3)))
    code.block(checked => {
      code.if(stackSelector.and(0xfffc).isZero(), () => {
        code.leave(unusual, level.eq(3))
        loadNullStack(code, stackSelector)
        code.leave(checked)
      })
      const stackWords = readSystemDescriptor(code, stackSelector, unusual)
      code.leave(unusual, stackWords.high.and(DATA_MASK | 0x6000).ne(kind.or(DATA_VALUE)))
      code.if(level.isNonZero(), () => leaveUnlessKept(code, unusual))
      loadSegmentWords(code, SS, stackSelector, stackWords)
    })
    loadSegmentWords(code, CS, selector, codeWords)
    code.set(F.cpl, level)
    code.set(F.interruptShadow, 0)
    code.set(F.serviceResult, rip)
    code.set(F.serviceResult2, stackPointer)
    f.return(image.and(~RF).or(2).node)
  })
  return code.const(0, 32)
})

/** IRETQ: the fast way, or the service. */
export function interruptReturnLong(m: Semantics): void {
  const image = m.variable(32, m.call(returnFromInterrupt, m.register(RSP, 64).read())).value
  m.if(
    image.isZero(),
    () => m.service('interruptReturn', 8),
    () => {
      m.jump(m.get(F.serviceResult))
      m.register(RSP, 64).write(m.get(F.serviceResult2))
      m.flags.writeImage(image, RETURNED_FLAGS)
      m.call(refreshMode)
    },
  )
}
