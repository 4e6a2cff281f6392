/** The instruction set: every definition, its forms, and the decoder for them. */
import * as arithmetic from './arithmetic.ts'
import { Decoder } from './decoder.ts'
import type { Instruction } from './definition.ts'
import { type Form, parseForms } from './encoding.ts'

/** Every instruction that this processor has. One line a file, in alphabetical order. */
export const instructions: readonly Instruction[] = [
  ...[arithmetic.ADD, arithmetic.ADC], //
]

/** Their encodings, each at its `index`. */
export const forms: readonly Form[] = parseForms(instructions)

/** The decoder of all of them. */
export const decoder = new Decoder(forms)
