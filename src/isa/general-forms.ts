/**
 * Short encodings with an implied accumulator, as ADD rAX, Iz beside ADD Ev, Iz: engines execute the general form with register 0, and
 * have no code for the short one.
 */
import type { Decoded } from './decoder.ts'
import type { Form } from './encoding.ts'
import { forms } from './index.ts'

/** The general form of an encoding whose first operand is the accumulator and whose second is an immediate, if it has one. */
function generalOf({ instruction, operands: [first, second, ...more], immediate1 }: Form): Form | undefined {
  if (first?.kind !== 'register' || first.number !== 0 || second?.kind !== 'immediate' || more.length) return undefined
  return forms.find(
    ({ instruction: other, operands: [to, from, third], immediate1: code }) =>
      other === instruction &&
      to?.kind === 'rm' &&
      to.size === first.size &&
      from?.text === second.text &&
      code === immediate1 &&
      third === undefined,
  )
}

/** By index of the form. */
const GENERAL: readonly (Form | undefined)[] = forms.map(generalOf)

/** Makes a decoded instruction one of the general form, if there is one. Its length and sizes stay. */
export function generalise(decoded: Decoded): void {
  const general = GENERAL[decoded.form.index]
  if (!general) return
  decoded.form = general
  decoded.rm = 0
}
