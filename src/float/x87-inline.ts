/**
 * The x87's arithmetic on numbers in variables, where both operands and the result are normal, rounding is to nearest and
 * exceptions are masked: without a branch that depends on the numbers. What is anything else leaves for a routine on numbers.
 */
import type { Code, Int, Label } from '../isa/semantics.ts'
import { multiplyWide } from './unrounded.ts'
import { UNUSUAL } from './x87-stack.ts'

/** A number: significand, and sign and exponent as {@link classify} (x87-stack.ts) gives them. */
export interface InlineNumber {
  readonly significand: Int
  readonly head: Int
}

/** A rounded result: what was cut off (64 bits, 0 if the result is exact), and 1 (32 bits) if it was rounded up. */
export interface InlineResult extends InlineNumber {
  readonly rest: Int
  readonly up: Int
}

/** Computes, or leaves. `precision`: bits that results are rounded to. */
export type InlineOperation = (
  code: Code,
  slow: Label,
  a: InlineNumber,
  b: InlineNumber,
  precision: 53 | 64,
) => InlineResult

const BELOW_HALF = (1n << 63n) - 1n

const exponentOf = (code: Code, { head }: InlineNumber): Int => code.variable(32, head.and(0x7fff)).value

/** Leaves unless both are normal. */
function needNormal(code: Code, slow: Label, a: InlineNumber, b: InlineNumber): void {
  code.leave(slow, a.head.or(b.head).geU(UNUSUAL), 'unlikely')
}

/** Rounds 128 bits, the highest of which is set. */
function round(
  code: Code,
  slow: Label,
  sign: Int,
  exponent: Int,
  high: Int,
  low: Int,
  precision: 53 | 64,
): InlineResult {
  const v64 = (value: Int) => code.variable(64, value).value
  const extended = precision === 64
  const drop = 64 - precision
  const rest = extended ? low : v64(high.shl(precision).or(low.isNonZero().zeroExtend(64)))
  // Of a half the carry comes if the last bit kept is odd.
  const odd = high.shr(drop).and(1)
  const up = code.variable(32, odd.add(BELOW_HALF).add(rest).ltU(rest).zeroExtend(32)).value
  const kept = extended ? high : high.and(-1n << BigInt(drop))
  const sum = v64(kept.add(up.zeroExtend(64).shl(drop)))
  code.leave(slow, sum.isNegative().isZero(), 'unlikely')
  code.leave(slow, exponent.sub(1).geU(0x7ffe), 'unlikely')
  return { significand: sum, head: exponent.or(sign), rest, up }
}

/** a + b, or a - b. */
const sumOrDifference =
  (subtract: boolean): InlineOperation =>
  (code, slow, a, b, precision) => {
    const v64 = (value: Int) => code.variable(64, value).value
    const v32 = (value: Int) => code.variable(32, value).value
    needNormal(code, slow, a, b)
    const secondHead = subtract ? v32(b.head.xor(0x8000)) : b.head
    const [x, y] = [exponentOf(code, a), exponentOf(code, b)]
    const swap = code.variable(1, x.ltU(y).or(x.eq(y).and(a.significand.ltU(b.significand)))).value
    const large = v64(swap.select(b.significand, a.significand))
    const small = v64(swap.select(a.significand, b.significand))
    const head = v32(swap.select(secondHead, a.head))
    const exponent = v32(head.and(0x7fff))
    const distance = v32(exponent.sub(swap.select(x, y)))
    code.leave(slow, distance.gtU(63), 'unlikely')
    // Half of each, so that a sum does not carry out; a difference by the complement of the smaller.
    const negative = v32(a.head.xor(secondHead).shr(15).and(1))
    const mask = v64(negative.zeroExtend(64).neg())
    const smallLow = v64(small.shl(distance.not()))
    const low = v64(smallLow.xor(mask).sub(mask))
    const borrowed = smallLow.isZero().zeroExtend(32).and(negative).zeroExtend(64)
    const high = small.shr(1).shr(distance).xor(mask).add(borrowed)
    const largeLow = v64(large.shl(63))
    const sumLow = v64(largeLow.add(low))
    const carry = sumLow.ltU(largeLow).zeroExtend(64)
    const sumHigh = v64(large.shr(1).add(high).add(carry))
    code.leave(slow, sumHigh.isZero(), 'unlikely')
    const shift = v64(sumHigh.clz())
    const outHigh = v64(sumHigh.shl(shift).or(sumLow.shr(1).shr(shift.not())))
    const outLow = v64(sumLow.shl(shift))
    const outExponent = v32(exponent.add(1).sub(shift.truncate(32)))
    return round(code, slow, head.and(0x8000), outExponent, outHigh, outLow, precision)
  }

export const inlineAdd = sumOrDifference(false)
export const inlineSubtract = sumOrDifference(true)

/** a * b. */
export const inlineMultiply: InlineOperation = (code, slow, a, b, precision) => {
  const v64 = (value: Int) => code.variable(64, value).value
  needNormal(code, slow, a, b)
  const high = code.variable(64, 0)
  const low = code.variable(64, 0)
  multiplyWide(code, a.significand, b.significand, high, low)
  const [h, l] = [high.value, low.value]
  const full = code.variable(1, h.isNegative()).value
  const outHigh = v64(full.select(h, h.shl(1).or(l.shr(63))))
  const outLow = v64(full.select(l, l.shl(1)))
  const exponent = exponentOf(code, a).add(exponentOf(code, b)).sub(16383).add(full.zeroExtend(32))
  const sign = a.head.xor(b.head).and(0x8000)
  return round(code, slow, sign, code.variable(32, exponent).value, outHigh, outLow, precision)
}

/** A normal double by its bits, or leaves. */
export function inlineDouble(code: Code, slow: Label, bits: Int): InlineNumber {
  const top = code.variable(32, bits.shr(52).truncate(32)).value
  const exponent = code.variable(32, top.and(0x7ff)).value
  code.leave(slow, exponent.sub(1).geU(0x7fe), 'unlikely')
  const sign = top.and(0x800).shl(4)
  return {
    significand: code.variable(64, bits.shl(11).or(1n << 63n)).value,
    head: code.variable(32, exponent.add(16383 - 1023).or(sign)).value,
  }
}

/** A normal single by its bits, or leaves. */
export function inlineSingle(code: Code, slow: Label, bits: Int): InlineNumber {
  const exponent = code.variable(32, bits.shr(23).and(0xff)).value
  code.leave(slow, exponent.sub(1).geU(0xfe), 'unlikely')
  const sign = bits.shr(16).and(0x8000)
  return {
    significand: code.variable(
      64,
      bits
        .zeroExtend(64)
        .shl(40)
        .or(1n << 63n),
    ).value,
    head: code.variable(32, exponent.add(16383 - 127).or(sign)).value,
  }
}

/** A signed integer of 64 bits. */
export function inlineInteger(code: Code, value: Int): InlineNumber {
  const integer = code.variable(64, value).value
  const sign = code.variable(64, integer.sar(63)).value
  const magnitude = code.variable(64, integer.xor(sign).sub(sign)).value
  const shift = code.variable(64, magnitude.clz()).value
  const head = code
    .const(16383 + 63, 32)
    .sub(shift.truncate(32))
    .or(sign.truncate(32).and(0x8000))
  return {
    significand: code.variable(64, magnitude.shl(shift)).value,
    head: code.variable(32, magnitude.isZero().select(code.const(UNUSUAL, 32), head)).value,
  }
}

/** The bits of a number rounded to a format; leaves unless it is well within the range of the format. */
export function inlineNarrow(
  code: Code,
  slow: Label,
  { significand, head }: InlineNumber,
  width: 32 | 64,
): { bits: Int; rest: Int; up: Int } {
  const [precision, bias, maximum] = width === 64 ? [53, 1023, 0x7ff] : [24, 127, 0xff]
  code.leave(slow, head.geU(UNUSUAL), 'unlikely')
  const exponent = code.variable(32, head.and(0x7fff).sub(16383 - bias)).value
  code.leave(slow, exponent.sub(2).geU(maximum - 3), 'unlikely')
  const kept = code.variable(64, significand.shl(1).shr(65 - precision)).value
  const rest = code.variable(64, significand.shl(precision)).value
  const up = code.variable(32, kept.and(1).add(BELOW_HALF).add(rest).ltU(rest).zeroExtend(32)).value
  const fields = head
    .shr(15)
    .zeroExtend(64)
    .shl(width - 1)
    .or(exponent.zeroExtend(64).shl(precision - 1))
  return { bits: code.variable(width, fields.or(kept).add(up.zeroExtend(64)).truncate(width)).value, rest, up }
}
