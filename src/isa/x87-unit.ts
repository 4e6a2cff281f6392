/** What must hold before an x87 instruction executes, and what all of them leave behind (SDM vol. 1, 8.1.8; vol. 3, 2.5). */
import { EXTERNAL_NUMERIC_ERROR } from '../cpu/faults.ts'
import { MODE_X87 } from '../cpu/mode.ts'
import { CS, F } from '../cpu/state.ts'
import {
  type Code,
  type Int,
  type MemoryOperand,
  MF,
  NM,
  type NumberedOperand,
  routine,
  type Semantics,
} from './semantics.ts'

const CR0_MP = 1
const CR0_EM = 2
const CR0_TS = 3
const CR0_NE = 5
/** ES of the status word: an unmasked exception is pending. */
const ERROR_SUMMARY = 7

/** Whether an unmasked exception is pending. */
const isErrorPending = (code: Code): Int => code.get(F.fsw).bit(ERROR_SUMMARY)

function fault(code: Code, vector: number): void {
  code.set(F.fault, 1)
  code.set(F.faultVector, vector)
  code.set(F.faultErrorCode, -1)
  code.f.return(code.const(1, 32).node)
}

const checkAvailable = (code: Code): void => {
  const cr0 = code.get(F.cr0)
  code.if(cr0.bit(CR0_EM).or(cr0.bit(CR0_TS)), () => fault(code, NM))
}

/**
 * Raises what a pending unmasked exception brings: #MF, or with CR0.NE clear the report through the pin FERR#, unless IGNNE# lets the
 * instruction execute. IGNNE# ends with the exception. To be built into routines with a status for result.
 */
export function checkNumericError(code: Code): void {
  const ignored = () => code.get(F.ignoreNumericError)
  code.if(
    isErrorPending(code),
    () => {
      code.if(code.get(F.cr0).bit(CR0_NE), () => fault(code, MF))
      code.if(ignored().isZero(), () => fault(code, EXTERNAL_NUMERIC_ERROR))
    },
    () =>
      code.if(ignored().eq(1), () => {
        code.set(F.ignoreNumericError, 0)
        code.set(F.mode, code.get(F.mode).or(MODE_X87))
      }),
  )
}

const numericErrorCheck = routine('numericErrorCheck', [], 32, code => {
  checkNumericError(code)
  return code.const(0, 32)
})

/**
 * Whether a waiting x87 instruction (`unit: 'x87'`) may not execute: #NM by CR0.EM or CR0.TS, #MF by a pending unmasked
 * exception. Gives 1 with F.fault, F.faultVector and F.faultErrorCode set, else 0.
 */
export const x87Check = routine('x87Check', [], 32, code => {
  checkAvailable(code)
  checkNumericError(code)
  return code.const(0, 32)
})

/** The same for instructions that do not wait (`unit: 'x87-no-wait'`): only #NM. */
export const x87NoWaitCheck = routine('x87NoWaitCheck', [], 32, code => {
  checkAvailable(code)
  return code.const(0, 32)
})

/** FWAIT's own check: #NM only with both CR0.MP and CR0.TS. */
export function checkWait(m: Semantics): void {
  const cr0 = m.get(F.cr0)
  m.raiseIf(cr0.bit(CR0_MP).and(cr0.bit(CR0_TS)), NM)
  m.if(isErrorPending(m), () => {
    m.call(numericErrorCheck)
    m.faultCheck()
  })
}

/** Notes where the last non-control instruction and its memory operand are. Nothing may fault afterwards. */
export function notePointers(m: Semantics, memory?: MemoryOperand): void {
  if (m.x87) {
    m.x87.notePointers(memory)
    return
  }
  m.set(F.fip, m.thisRip)
  if (memory) m.set(F.fdp, memory.offset.zeroExtend(64))
  if (m.context.mode === 'long') return
  m.set(F.fcs, m.get(F.segmentSelector, CS))
  if (memory) m.set(F.fds, m.get(F.segmentSelector, m.context.segment))
}

/** An operand of an x87 instruction: a stack register or memory. */
export type X87Operand = NumberedOperand | MemoryOperand

/** Whether it is in memory. */
export const isMemory = (operand: X87Operand): operand is MemoryOperand => 'kind' in operand

/** The number of a stack register as the engine knows it while building. */
export function numberOf({ number }: NumberedOperand): number {
  if (number.constant === undefined) throw new Error('the number of a stack register is not known')
  return Number(number.constant)
}
