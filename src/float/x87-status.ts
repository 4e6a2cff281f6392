/** The x87's status word in the state, and the top of the stack derived from it. */
import { F, type StateView } from '../cpu/state.ts'
import type { Code, Int } from '../isa/semantics.ts'

/** Where TOP stands in the status word, and the bytes of a register of `F.fpr`, as shifts. */
const TOP_SHIFT = 11
const STRIDE = 4
const TOP_MASK = 7 << STRIDE

/** Writes the status word. */
export function setStatusWord(code: Code, value: Int): void {
  const word = code.variable(32, value).value
  code.set(F.fsw, word)
  code.set(F.x87Top, word.shr(TOP_SHIFT - STRIDE).and(TOP_MASK))
}

/** Writes the status word from TypeScript. */
export function writeStatusWord(state: StateView, value: number): void {
  state.set32(F.fsw, value)
  state.set32(F.x87Top, (value >> (TOP_SHIFT - STRIDE)) & TOP_MASK)
}
