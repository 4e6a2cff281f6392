/** The way of a fault into its handler, as generated code. */
import { MODE_CLASS, MODE_PROTECTED } from '../cpu/mode.ts'
import { F } from '../cpu/state.ts'
import { routine } from '../isa/semantics.ts'
import { deliverLong } from './deliver-long.ts'
import { deliverProtected } from './deliver-protected.ts'

/** By the mode: 1 with the note of the fault cleared, or 0 with nothing changed. */
export const deliverFault = routine('deliverFault', [], 32, code => {
  const entered = code.variable(32, code.const(0, 32))
  code.if(
    code.get(F.mode).and(MODE_CLASS).eq(MODE_PROTECTED),
    () => {
      entered.value = code.call(deliverProtected)
    },
    () => {
      entered.value = code.call(deliverLong)
    },
  )
  return entered.value
})
