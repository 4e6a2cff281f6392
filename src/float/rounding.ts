import type { Code, Int, Variable } from '../isa/semantics.ts'
import type { Unpacked, Unrounded } from './unrounded.ts'

/** Exception flags by their bits in MXCSR and the x87 status word (SDM vol. 1, 8.1.3 and 10.2.3). */
export const INVALID = 1
export const DENORMAL = 2
export const DIVIDE_BY_ZERO = 4
export const OVERFLOW = 8
export const UNDERFLOW = 16
export const PRECISION = 32

/** Rounding control (SDM vol. 1, table 4-8). */
export const TO_NEAREST = 0
export const DOWN = 1
export const UP = 2
export const TO_ZERO = 3

/** An interchange format of IEEE 754. */
export interface Format {
  readonly width: 32 | 64
  /** Bits of the significand with the hidden one. */
  readonly precision: 24 | 53
  /** The exponent field of infinity and NaN. */
  readonly maximum: number
  readonly bias: number
}

/** Half precision: a format that is only converted to and from. */
export interface HalfFormat {
  readonly width: 16
  readonly precision: 11
  readonly maximum: number
  readonly bias: number
}

/** Single precision. */
export const BINARY32: Format = { width: 32, precision: 24, maximum: 0xff, bias: 127 }
/** Double precision. */
export const BINARY64: Format = { width: 64, precision: 53, maximum: 0x7ff, bias: 1023 }

/** Whether a directed rounding goes away from zero: by mode * 2 + sign, as a table of bits. */
const AWAY = (1 << (DOWN * 2 + 1)) | (1 << (UP * 2))

/** Whether rounding control `mode` (an Int of 32 bits) moves an inexact value of this sign away from zero. */
export function directedAway(code: Code, mode: Int, sign: Int): Int {
  return code.const(AWAY, 32).shr(mode.shl(1).or(sign)).and(1).toBool()
}

/**
 * Whether the magnitude is to be rounded up.
 * @param rest what is cut off, its half at bit 63
 * @param odd whether what is kept is odd
 */
export function roundsUp(code: Code, mode: Int, sign: Int, rest: Int, odd: Int): Int {
  const half = 1n << 63n
  const nearest = rest.gtU(half).or(rest.eq(half).and(odd))
  return mode.isZero().select(nearest, rest.isNonZero().and(directedAway(code, mode, sign)))
}

/** Shifts (high, low) right by 1 or more, the last bit sticky. */
export function shiftRightSticky(code: Code, high: Variable, low: Variable, distance: Int): void {
  const d = code.variable(32, distance)
  code.if(
    d.value.ltU(64),
    () => {
      low.value = high.value.shl(d.value.neg()).or(low.value.isNonZero().zeroExtend(64))
      high.value = high.value.shr(d.value)
    },
    () => {
      const lost = low.value.isNonZero().or(d.value.ne(64).and(high.value.shl(d.value.neg()).isNonZero()))
      const shifted = d.value.ltU(128).select(high.value.shr(d.value), 0)
      const sticky = d.value.ltU(128).select(lost, high.value.or(low.value).isNonZero())
      low.value = shifted.or(sticky.zeroExtend(64))
      high.set(0)
    },
  )
}

/** How {@link roundTo} rounds. */
export interface RoundingControl {
  /** Rounding mode, 32 bits. */
  readonly mode: Int
  /** Exception masks, at the places of the flags: 1 is masked. */
  readonly masks: Int
  /** Flush tiny results to zero; only looked at while underflow is masked. */
  readonly flushToZero?: Int
}

/**
 * Rounds to an interchange format as the processor does: tininess after rounding, masked responses, underflow reported only
 * when the tiny result is inexact unless it is unmasked. `number` may be zero (high and low 0); it is changed.
 * @param flags exception flags are added to it
 * @param result gets the number in the format; with an unmasked overflow or underflow its contents mean nothing
 * @param roundedUp set to 1 if the magnitude was rounded up, else 0
 */
export function roundTo(
  code: Code,
  format: Format | HalfFormat,
  number: Unrounded,
  control: RoundingControl,
  flags: Variable,
  result: Variable,
  roundedUp?: Variable,
): void {
  const { precision: p, width, maximum } = format
  const { high, low, sign } = number
  const e = code.variable(32, number.exponent.value.sub(16383 - format.bias))
  const signBit = () => sign.value.zeroExtend(64).shl(width - 1)
  const setResult = (value: Int) => {
    result.value = value.truncate(width)
  }
  const rest = () => high.value.shl(p).or(low.value.isNonZero().zeroExtend(64))
  const up = () => roundsUp(code, control.mode, sign.value, rest(), high.value.bit(64 - p))
  code.block(done => {
    setResult(signBit())
    code.leave(done, high.value.or(low.value).isZero())
    const tiny = code.variable(32, 0)
    code.if(e.value.leS(0), () => {
      const reaches = e.value
        .isZero()
        .and(high.value.shr(64 - p).eq((1n << BigInt(p)) - 1n))
        .and(up())
      tiny.value = reaches.isZero().zeroExtend(32)
      code.if(tiny.value.isNonZero(), () => {
        code.if(control.masks.bit(4).isZero(), () => {
          flags.value = flags.value.or(UNDERFLOW).or(rest().isNonZero().zeroExtend(32).shl(5))
        })
        code.leave(done, control.masks.bit(4).isZero())
        if (control.flushToZero) {
          code.if(control.flushToZero, () => {
            flags.value = flags.value.or(UNDERFLOW | PRECISION)
            setResult(signBit())
          })
          code.leave(done, control.flushToZero)
        }
      })
      shiftRightSticky(code, high, low, code.const(1, 32).sub(e.value))
      e.set(1)
    })
    const more = code.variable(32, up().zeroExtend(32))
    if (roundedUp) roundedUp.value = more.value
    const inexact = code.variable(32, rest().isNonZero().zeroExtend(32))
    const significand = high.value.shr(64 - p).add(more.value.zeroExtend(64))
    const packed = code.variable(
      64,
      e.value
        .sub(1)
        .zeroExtend(64)
        .shl(p - 1)
        .add(significand),
    )
    flags.value = flags.value.or(inexact.value.shl(5)).or(inexact.value.and(tiny.value).shl(4))
    setResult(packed.value.or(signBit()))
    const over = e.value.geS(maximum).or(packed.value.shr(p - 1).eq(BigInt(maximum)))
    code.if(over, () => {
      const away = control.mode.isZero().or(directedAway(code, control.mode, sign.value))
      const masked = control.masks.bit(3)
      flags.value = flags.value.or(OVERFLOW).or(masked.zeroExtend(32).shl(5))
      if (roundedUp) roundedUp.value = masked.select(away.zeroExtend(32), roundedUp.value)
      const infinity = BigInt(maximum) << BigInt(p - 1)
      setResult(away.select(code.const(infinity, 64), infinity - 1n).or(signBit()))
    })
  })
}

/**
 * Rounds a number that is neither NaN nor infinite nor zero to an integer.
 * @returns its magnitude (what does not fit is cut off), whether it was inexact, whether the magnitude is
 *   2^63 or more, and whether it was rounded up
 */
export function toInteger(
  code: Code,
  number: Unpacked,
  mode: Int,
): { magnitude: Int; inexact: Int; huge: Int; roundedUp: Int } {
  const high = code.variable(64, number.significand)
  const low = code.variable(64, 0)
  const huge = code.variable(32, number.exponent.geS(16383 + 63).zeroExtend(32))
  const distance = code.variable(32, code.const(16383 + 63, 32).sub(number.exponent))
  const sign = code.variable(32, number.sign)
  code.if(distance.value.gtS(0), () => shiftRightSticky(code, high, low, distance.value))
  const inexact = code.variable(32, low.value.isNonZero().zeroExtend(32))
  const up = code.variable(32, roundsUp(code, mode, sign.value, low.value, high.value.bit(0)).zeroExtend(32))
  high.value = high.value.add(up.value.zeroExtend(64))
  return {
    magnitude: high.value,
    inexact: inexact.value.toBool(),
    roundedUp: up.value.toBool(),
    huge: huge.value.isNonZero().or(high.value.isNegative()),
  }
}
