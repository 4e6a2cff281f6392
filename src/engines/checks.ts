/** What an engine puts around a definition: privilege and the availability of the floating-point units. */
import type { Instruction } from '../isa/definition.ts'
import { enterMmx } from '../isa/mmx-unit.ts'
import { checkCpl0 } from '../isa/privilege.ts'
import type { Routine } from '../isa/semantics.ts'
import { avxCheck, mmxCheck, sseCheck } from '../isa/sse-unit.ts'
import { x87Check, x87NoWaitCheck } from '../isa/x87-unit.ts'
import type { EngineSemantics } from './semantics.ts'

/** Builds the checks that an instruction's description asks for. */
export function buildChecks(m: EngineSemantics, instruction: Instruction): void {
  const check = (routine: Routine) => {
    m.if(m.call(routine).isNonZero(), () => m.leaveForFault())
  }
  if (instruction.privilege === 'cpl0') checkCpl0(m)
  switch (instruction.unit) {
    case 'sse':
      check(sseCheck)
      break
    case 'avx':
      check(avxCheck)
      break
    case 'mmx':
      check(mmxCheck)
      break
    case 'x87':
      check(x87Check)
      break
    case 'x87-no-wait':
      check(x87NoWaitCheck)
      break
  }
}

/**
 * Builds what follows a definition that ended without a fault: the transition to MMX state. EMMS makes it
 * itself, before it marks the registers empty.
 */
export function buildAfter(m: EngineSemantics, instruction: Instruction): void {
  if (instruction.unit === 'mmx' && instruction.mnemonic !== 'EMMS') enterMmx(m)
}
