/**
 * MXCSR and what is derived from it: the range of results for which WebAssembly's arithmetic does what the processor's does
 * without anybody being able to tell (SDM vol. 1, 10.2.3 and 11.5).
 *
 * Of a number's bits take the 32 highest (a binary32 has no others) without the sign: `t` = bits << 1. The number is in
 * the range if `t + bias` is less than the limit, both as signed numbers: if it is finite and above the smallest normal
 * one while MXCSR says to round to nearest, and inexact results are masked and already reported; else never.
 */
import { F, type Field, type StateView } from '../cpu/state.ts'
import { type Code, type Int, routine } from '../isa/semantics.ts'

/** Bits of MXCSR. Flags and masks of exceptions have the order of src/float/rounding.ts, masks from bit 7 on. */
export const MXCSR_DE = 1 << 1
export const MXCSR_UE = 1 << 4
export const MXCSR_PE = 1 << 5
export const MXCSR_DAZ = 1 << 6
export const MXCSR_DM = 1 << 8
export const MXCSR_UM = 1 << 11
export const MXCSR_PM = 1 << 12
export const MXCSR_RC = 3 << 13
export const MXCSR_FTZ = 1 << 15

const PLAIN_MASK = MXCSR_RC | MXCSR_PM | MXCSR_PE
const PLAIN = MXCSR_PM | MXCSR_PE
const SIGN = 0x80000000

/** The range of a format. */
export interface FloatRange {
  readonly bias: number
  /** Where the limit stands in the state: the same in all lanes. */
  readonly limit: Field
  /** The limit while there are such numbers; else it is the least of all. */
  readonly open: number
}

/** @param smallest, infinity the highest 32 bits of the smallest normal number and of infinity, shifted left by 1 */
function range(limit: Field, smallest: number, infinity: number): FloatRange {
  // The smallest normal number may have been rounded up to from below, which is underflow.
  const low = smallest + 2
  return { bias: SIGN - low, limit, open: ((infinity - low) ^ SIGN) >>> 0 }
}

/** The ranges by width. */
export const FLOAT_RANGES = {
  32: range(F.floatLimit32, 0x01000000, 0xff000000),
  64: range(F.floatLimit64, 0x00200000, 0xffe00000),
} as const
const RANGES = [FLOAT_RANGES[32], FLOAT_RANGES[64]]
const LANES = [0, 1, 2, 3]

/** Sets MXCSR in the state, and what is derived from it. */
export function setMxcsr(state: StateView, value: number): void {
  state.set32(F.mxcsr, value)
  const plain = (value & PLAIN_MASK) === PLAIN
  for (const { limit, open } of RANGES) {
    for (const lane of LANES) state.set32({ ...limit, stride: 4 }, plain ? open : SIGN, lane)
  }
}

/** Sets MXCSR to its parameter, and what is derived from it. */
export const changeMxcsr = routine('changeMxcsr', [32], undefined, (code, value) => {
  code.set(F.mxcsr, value)
  const plain = value.and(PLAIN_MASK).eq(PLAIN)
  for (const { limit, open } of RANGES) {
    const above = code.variable(32, plain.select(code.const(open, 32), SIGN))
    for (const lane of LANES) code.setPart(limit, 4 * lane, above.value)
  }
  return undefined
})

/** Adds exception flags to MXCSR. */
export function raiseFlags(code: Code, flags: Int): void {
  const before = code.variable(32, code.get(F.mxcsr))
  const after = code.variable(32, before.value.or(flags))
  code.if(after.value.ne(before.value), () => code.call(changeMxcsr, after.value))
}
