/** The instruction set: every definition, its forms, and the decoder for them. */
import * as arithmetic from './arithmetic.ts'
import * as bits from './bits.ts'
import * as bmi from './bmi.ts'
import * as conditional from './conditional.ts'
import * as controlFlow from './control-flow.ts'
import * as conversions from './conversions.ts'
import * as decimal from './decimal.ts'
import { Decoder } from './decoder.ts'
import type { Instruction } from './definition.ts'
import { type Form, parseForms } from './encoding.ts'
import * as exchange from './exchange.ts'
import * as farControl from './far-control.ts'
import * as fastSystemCalls from './fast-system-calls.ts'
import * as flags from './flags.ts'
import * as interrupts from './interrupts.ts'
import * as io from './io.ts'
import * as logic from './logic.ts'
import * as misc from './misc.ts'
import * as moves from './moves.ts'
import * as multiply from './multiply.ts'
import * as processorControl from './processor-control.ts'
import * as random from './random.ts'
import * as saveImages from './save-images.ts'
import * as segments from './segments.ts'
import * as shifts from './shifts.ts'
import * as simd from './simd-set.ts'
import * as stack from './stack.ts'
import * as strings from './strings.ts'
import * as system from './system.ts'
import * as time from './time.ts'
import * as x87Arithmetic from './x87-arithmetic.ts'
import * as x87Control from './x87-control.ts'
import * as x87Moves from './x87-moves.ts'

/** Every instruction that this processor has. One line a file, in alphabetical order. */
export const instructions: readonly Instruction[] = [
  ...arithmetic.instructions,
  ...bits.instructions,
  ...bmi.instructions,
  ...conditional.instructions,
  ...controlFlow.instructions,
  ...conversions.instructions,
  ...decimal.instructions,
  ...exchange.instructions,
  ...farControl.instructions,
  ...fastSystemCalls.instructions,
  ...flags.instructions,
  ...interrupts.instructions,
  ...io.instructions,
  ...logic.instructions,
  ...misc.instructions,
  ...moves.instructions,
  ...multiply.instructions,
  ...processorControl.instructions,
  ...random.instructions,
  ...saveImages.instructions,
  ...segments.instructions,
  ...shifts.instructions,
  ...simd.instructions,
  ...stack.instructions,
  ...strings.instructions,
  ...system.instructions,
  ...time.instructions,
  ...x87Arithmetic.instructions,
  ...x87Control.instructions,
  ...x87Moves.instructions,
]

/** Their encodings, each at its `index`. */
export const forms: readonly Form[] = parseForms(instructions)

/** The decoder of all of them. */
export const decoder = new Decoder(forms)
