/** EFLAGS put together from the pieces that instructions leave behind, and taken apart again (state.ts says how). */
import { AF, ARITHMETIC_FLAGS, CF, F, OF, PF, SF, type StateView, ZF } from './state.ts'

const RESULT = F.flagResult.offset >> 2
const CARRIES = F.flagCarries.offset >> 2
const ADJUST = F.flagAdjust.offset >> 2
const SYSTEM = F.systemFlags.offset >> 2

/** EFLAGS as an image, all bits: RF and VM too. */
export function readFlags(state: StateView): number {
  const words = state.i32
  const resultLow = words[RESULT]
  const resultHigh = words[RESULT + 1]
  const carries = words[CARRIES + 1]
  const adjust = words[ADJUST]
  let parity = (resultLow ^ (adjust >>> 8)) & 0xff
  parity ^= parity >> 4
  let flags = words[SYSTEM] & ~ARITHMETIC_FLAGS
  if (carries < 0) flags |= CF
  if ((0x6996 >> (parity & 15)) & 1) flags &= ~PF
  else flags |= PF
  flags |= adjust & AF
  if ((resultLow | resultHigh) === 0) flags |= ZF
  if ((resultHigh ^ words[ADJUST + 1]) < 0) flags |= SF
  if ((carries ^ (carries << 1)) < 0) flags |= OF
  return flags | 2
}

/** Replaces all of EFLAGS by an image; bit 1 is set, bits 3, 5, 15 and those above 21 are cleared. */
export function writeFlags(state: StateView, image: number): void {
  const words = state.i32
  const notZero = image & ZF ? 0 : 1
  const odd = image & PF ? 0 : 1
  words[RESULT] = notZero
  words[RESULT + 1] = 0
  words[ADJUST] = (image & AF) | ((notZero ^ odd) << 8)
  words[ADJUST + 1] = image & SF ? 0x80000000 : 0
  words[CARRIES] = 0
  const carry = image & CF
  words[CARRIES + 1] = (carry << 31) | ((carry ^ (image & OF ? 1 : 0)) << 30)
  words[SYSTEM] = (image & 0x3f7fd7 & ~ARITHMETIC_FLAGS) | 2
}
