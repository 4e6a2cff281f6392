/** What must hold before an SSE, AVX or MMX instruction executes (SDM vol. 3, 12.1 and 13.1, tables of exceptions). */
import { F } from '../cpu/state.ts'
import { type Code, NM, routine, UD } from './semantics.ts'
import { checkNumericError } from './x87-unit.ts'

const CR0_EM = 2
const CR0_TS = 3
const CR4_OSFXSR = 9
const CR4_OSXSAVE = 18
/** SSE's and AVX's bits of XCR0. */
const XCR0_YMM = 6

function fault(code: Code, vector: number): void {
  code.set(F.fault, 1)
  code.set(F.faultVector, vector)
  code.set(F.faultErrorCode, -1)
  code.f.return(code.const(1, 32).node)
}

/**
 * Whether an SSE instruction may not execute: #UD by CR0.EM or a clear CR4.OSFXSR, #NM by CR0.TS. Gives 1 with F.fault,
 * F.faultVector and F.faultErrorCode set, else 0.
 */
export const sseCheck = routine('sseCheck', [], 32, code => {
  const cr0 = code.get(F.cr0)
  const allowed = code.get(F.cr4).bit(CR4_OSFXSR)
  code.if(cr0.bit(CR0_EM).or(allowed.not()), () => fault(code, UD))
  code.if(code.get(F.cr0).bit(CR0_TS), () => fault(code, NM))
  return code.const(0, 32)
})

/**
 * Whether an AVX instruction may not execute: #UD by a clear CR4.OSXSAVE or without SSE and AVX in XCR0, #NM by CR0.TS.
 * Result as in {@link sseCheck}.
 */
export const avxCheck = routine('avxCheck', [], 32, code => {
  const allowed = code.get(F.cr4).bit(CR4_OSXSAVE).and(code.get(F.xcr0).and(XCR0_YMM).eq(XCR0_YMM))
  code.if(allowed.not(), () => fault(code, UD))
  code.if(code.get(F.cr0).bit(CR0_TS), () => fault(code, NM))
  return code.const(0, 32)
})

/**
 * Whether an MMX instruction may not execute: #UD by CR0.EM, #NM by CR0.TS, #MF or FERR# by a pending x87 exception. Result
 * as in {@link sseCheck}.
 */
export const mmxCheck = routine('mmxCheck', [], 32, code => {
  code.if(code.get(F.cr0).bit(CR0_EM), () => fault(code, UD))
  code.if(code.get(F.cr0).bit(CR0_TS), () => fault(code, NM))
  checkNumericError(code)
  return code.const(0, 32)
})
