/** Rounding to the x87's extended format, and what its operations share: operands taken apart, NaNs. */
import { F } from '../cpu/state.ts'
import { type Code, type Int, routine, type Variable } from '../isa/semantics.ts'
import { DOWN, directedAway, INVALID, OVERFLOW, PRECISION, roundsUp, shiftRightSticky, UNDERFLOW } from './rounding.ts'
import type { Unpacked, Unrounded } from './unrounded.ts'
import { C1, type Extended, INDEFINITE, INDEFINITE_EXPONENT, type X87 } from './x87-stack.ts'

/** What an unmasked overflow takes from the exponent and an unmasked underflow adds to it (SDM vol. 1, 8.5.4). */
const EXPONENT_ADJUSTMENT = 24576

/** Where a result in extended format goes. */
export interface ExtendedResult {
  readonly significand: Variable
  readonly head: Variable
}

/**
 * Rounds to extended format by the control word's rounding and precision control; masked and unmasked responses to
 * overflow and underflow as the manual has them. `number` may be zero; it is changed.
 * @param full round to 64 bits whatever precision control says
 */
export function roundExtended(code: Code, x87: X87, number: Unrounded, result: ExtendedResult, full = false): void {
  const { high, low, sign, exponent: e } = number
  const { flags, fcw } = x87
  // Bits that the precision leaves out: 64 - 24, 64 - 53, or none.
  const control = fcw.value.bits(8, 2)
  const drop = code.variable(
    32,
    full ? 0 : control.isZero().select(code.const(40, 32), control.eq(2).select(code.const(11, 32), 0)),
  )
  const rest = code.variable(64, 0)
  const up = code.variable(32, 0)
  const decide = () => {
    rest.value = low.value
    code.if(drop.value.isNonZero(), () => {
      rest.value = high.value.shl(drop.value.neg()).or(low.value.isNonZero().zeroExtend(64))
    })
    const odd = high.value.shr(drop.value).and(1).toBool()
    up.value = roundsUp(code, x87.mode, sign.value, rest.value, odd).zeroExtend(32)
  }
  const setHead = (exponent: Int) => {
    result.head.value = exponent.or(sign.value.shl(15))
  }
  code.block(done => {
    result.significand.set(0)
    setHead(code.const(0, 32))
    code.leave(done, high.value.or(low.value).isZero())
    if (!full) {
      // The common case: 64 bits, to nearest, and an exponent well within its range.
      const common = fcw.value.and(0xf00).eq(0x300).and(e.value.sub(1).ltU(0x7ffd))
      const holds = code.variable(32, common.zeroExtend(32))
      code.if(holds.value.isNonZero(), () => {
        const half = 1n << 63n
        const cut = low.value
        up.value = cut
          .gtU(half)
          .or(cut.eq(half).and(high.value.bit(0)))
          .zeroExtend(32)
        const sum = code.variable(64, high.value.add(up.value.zeroExtend(64)))
        flags.value = flags.value.or(cut.isNonZero().select(code.const(PRECISION, 32), 0)).or(up.value.shl(9))
        // Carried out of the top.
        const carried = sum.value.isZero()
        result.significand.value = sum.value.or(carried.zeroExtend(64).shl(63))
        setHead(e.value.add(carried.zeroExtend(32)))
      })
      code.leave(done, holds.value.isNonZero())
    }
    decide()
    const tiny = code.variable(32, 0)
    code.if(e.value.leS(0), () => {
      const ones = high.value.not().shr(drop.value).isZero()
      const reaches = e.value.isZero().and(ones).and(up.value.toBool())
      tiny.value = reaches.isZero().zeroExtend(32)
      const unmasked = tiny.value.toBool().and(fcw.value.bit(4).isZero())
      code.if(
        unmasked,
        () => {
          x87.raise(UNDERFLOW)
          e.value = e.value.add(EXPONENT_ADJUSTMENT)
          tiny.set(0)
          // FSCALE can go beyond what the adjustment brings back: zero.
          code.if(e.value.leS(0), () => x87.raise(PRECISION))
          code.leave(done, e.value.leS(0))
        },
        () => {
          shiftRightSticky(code, high, low, code.const(1, 32).sub(e.value))
          e.set(0)
          decide()
        },
      )
    })
    code.if(rest.value.isNonZero(), () => {
      flags.value = flags.value.or(PRECISION).or(up.value.shl(9)).or(tiny.value.shl(4))
    })
    const unit = code.const(1, 64).shl(drop.value)
    const rounded = high.value.and(unit.neg()).add(up.value.toBool().select(unit, 0))
    result.significand.value = rounded
    code.if(e.value.isZero(), () => {
      // A denormal may have become normal.
      e.value = result.significand.value.shr(63).truncate(32)
    })
    code.if(result.significand.value.isZero().and(e.value.isNonZero()), () => {
      result.significand.set(1n << 63n)
      e.value = e.value.add(1)
    })
    code.if(e.value.geS(0x7fff), () => {
      code.if(
        fcw.value.bit(3),
        () => {
          const away = x87.mode.isZero().or(directedAway(code, x87.mode, sign.value))
          flags.value = flags.value
            .and(0xffffffff & ~C1)
            .or(OVERFLOW | PRECISION)
            .or(away.zeroExtend(32).shl(9))
          result.significand.value = away.select(code.const(1n << 63n, 64), code.const(-1, 64).shl(drop.value))
          e.value = away.select(code.const(0x7fff, 32), 0x7ffe)
        },
        () => {
          x87.raise(OVERFLOW)
          e.value = e.value.sub(EXPONENT_ADJUSTMENT)
          // FSCALE can go beyond what the adjustment brings back: infinity.
          code.if(e.value.geS(0x7fff), () => {
            x87.raise(PRECISION | C1)
            result.significand.set(1n << 63n)
            e.set(0x7fff)
          })
        },
      )
    })
    setHead(e.value)
  })
}

/**
 * The NaN that two operands give, at least one of which is a NaN: significand, quieted, and in `F.serviceResult2` sign and
 * exponent (SDM vol. 1, table 4-7). Signalling ones set invalid in `F.x87Flags`.
 */
export const x87NaN = routine('x87NaN', [64, 32, 64, 32], 64, (code, aSignificand, aHead, bSignificand, bHead) => {
  const quiet = 1n << 62n
  const nan = (significand: Int, head: Int) => head.and(0x7fff).eq(0x7fff).and(significand.shl(1).isNonZero())
  const aIs = code.variable(32, nan(aSignificand, aHead).zeroExtend(32))
  const bIs = code.variable(32, nan(bSignificand, bHead).zeroExtend(32))
  const aSignals = code.variable(32, aIs.value.and(aSignificand.bit(62).isZero().zeroExtend(32)))
  const bSignals = code.variable(32, bIs.value.and(bSignificand.bit(62).isZero().zeroExtend(32)))
  code.set(F.x87Flags, code.get(F.x87Flags).or(aSignals.value.or(bSignals.value)))
  const takeA = code.variable(32, aIs.value)
  code.if(aIs.value.and(bIs.value).isNonZero(), () => {
    const [x, y] = [aSignificand.or(quiet), bSignificand.or(quiet)]
    // The larger significand, of equal ones the positive.
    const larger = x.gtU(y).or(x.eq(y).and(aHead.leU(bHead)))
    const different = aSignals.value.ne(bSignals.value)
    takeA.value = different.select(bSignals.value, larger.zeroExtend(32))
  })
  const take = takeA.value.toBool()
  code.set(F.serviceResult2, take.select(aHead, bHead).zeroExtend(64))
  return take.select(aSignificand, bSignificand).or(quiet)
})

/** Sets `result` to the NaN of two operands, with the exceptions. */
export function propagateNaN(code: Code, x87: X87, a: Extended, b: Extended, result: ExtendedResult): void {
  code.set(F.x87Flags, x87.flags.value)
  result.significand.value = code.call(x87NaN, a.significand.value, a.head.value, b.significand.value, b.head.value)
  result.head.value = code.get(F.serviceResult2).truncate(32)
  x87.flags.value = code.get(F.x87Flags)
}

/** The invalid response: flag and indefinite. */
export function invalid(x87: X87, result: ExtendedResult): void {
  x87.raise(INVALID)
  result.significand.set(INDEFINITE)
  result.head.set(INDEFINITE_EXPONENT)
}

/** A number taken apart into variables, normalised; a zero gets a very small exponent. */
export class UnpackedExtended {
  readonly sign: Variable
  readonly exponent: Variable
  readonly significand: Variable

  constructor(code: Code, from: Extended) {
    this.sign = code.variable(32, from.sign)
    this.exponent = code.variable(32, from.exponent)
    this.significand = code.variable(64, from.significand.value)
  }
  /** Normalises a zero or denormal (exponent 0). */
  normalise(code: Code): void {
    code.if(this.exponent.value.isZero(), () => {
      code.if(
        this.significand.value.isZero(),
        () => this.exponent.set(-30000),
        () => {
          const shift = code.variable(64, this.significand.value.clz())
          this.exponent.value = code.const(1, 32).sub(shift.value.truncate(32))
          this.significand.value = this.significand.value.shl(shift.value)
        },
      )
    })
  }
  get value(): Unpacked {
    return { sign: this.sign.value, exponent: this.exponent.value, significand: this.significand.value }
  }
}

/** The sign of an exact sum of zero, 0 or 1. */
export const zeroSign = (x87: X87): Int => x87.mode.eq(DOWN).zeroExtend(32)
