/**
 * Arithmetic on numbers taken apart, shared by all formats: sign, exponent and a significand of 64 bits whose top bit is
 * set (the value is significand / 2^63 * 2^(exponent - 16383), as in the x87's extended format). Results are exact
 * enough to be rounded to any precision up to 64 bits in any direction: 128 bits whose last one is sticky.
 */
import type { Code, Int, Variable } from '../isa/semantics.ts'

/** A finite number that is not zero: `sign` 0 or 1 (32 bits wide), `exponent` biased by 16383 but unbounded. */
export interface Unpacked {
  readonly sign: Int
  readonly exponent: Int
  readonly significand: Int
}

/** A result before rounding: as {@link Unpacked}, with 64 more bits below; bit 0 of `low` stands for all that follow. */
export class Unrounded {
  /** 0 or 1, 32 bits wide. */
  readonly sign: Variable
  /** Biased by 16383, signed, unbounded. */
  readonly exponent: Variable
  /** The 64 highest bits; bit 63 is set unless the result is zero. */
  readonly high: Variable
  /** The next 64 bits. */
  readonly low: Variable

  constructor(code: Code) {
    this.sign = code.variable(32, 0)
    this.exponent = code.variable(32, 0)
    this.high = code.variable(64, 0)
    this.low = code.variable(64, 0)
  }
}

const TOP = 1n << 63n

/**
 * Sum of two numbers; either may be zero if its significand is 0 and its exponent below -20000, but not both.
 * A difference that is zero gives `high` and `low` 0 and any sign.
 */
export function addUnrounded(code: Code, a: Unpacked, b: Unpacked, out: Unrounded): void {
  const swap = a.exponent.ltS(b.exponent).or(a.exponent.eq(b.exponent).and(a.significand.ltU(b.significand)))
  const large = code.variable(64, swap.select(b.significand, a.significand))
  const small = code.variable(64, swap.select(a.significand, b.significand))
  const exponent = code.variable(32, swap.select(b.exponent, a.exponent))
  const distance = code.variable(32, exponent.value.sub(swap.select(a.exponent, b.exponent)))
  out.sign.value = swap.select(b.sign, a.sign)
  const high = code.variable(64, 0)
  const low = code.variable(64, 0)
  const d = distance.value
  code.if(
    d.ltU(64),
    () => {
      high.value = small.value.shr(distance.value)
      low.value = distance.value.isZero().select(code.const(0, 64), small.value.shl(distance.value.neg()))
    },
    () => shiftBeyond(code, small.value, distance.value, low),
  )
  code.if(
    a.sign.eq(b.sign),
    () => {
      const sum = code.variable(64, large.value.add(high.value))
      out.exponent.value = exponent.value
      out.high.value = sum.value
      out.low.value = low.value
      code.if(sum.value.ltU(large.value), () => {
        out.exponent.value = exponent.value.add(1)
        out.high.value = sum.value.shr(1).or(TOP)
        out.low.value = sum.value.shl(63).or(low.value.shr(1)).or(low.value.and(1))
      })
    },
    () => {
      out.high.value = large.value.sub(high.value).sub(low.value.isNonZero().zeroExtend(64))
      out.low.value = low.value.neg()
      out.exponent.value = exponent.value
      code.if(out.high.value.isNegative().isZero(), () => {
        code.if(out.high.value.isZero(), () => {
          out.high.value = out.low.value
          out.low.set(0)
          out.exponent.value = out.exponent.value.sub(64)
        })
        const shift = code.variable(64, out.high.value.clz())
        code.if(shift.value.isNonZero().and(shift.value.ltU(64)), () => {
          out.high.value = out.high.value.shl(shift.value).or(out.low.value.shr(shift.value.neg()))
          out.low.value = out.low.value.shl(shift.value)
          out.exponent.value = out.exponent.value.sub(shift.value.truncate(32))
        })
      })
    },
  )
}

/** `low` becomes the second word of `value` shifted right by 64 or more, with a sticky last bit. */
function shiftBeyond(code: Code, value: Int, distance: Int, low: Variable): void {
  const v = code.variable(64, value)
  const d = code.variable(32, distance)
  code.if(
    d.value.ltU(128),
    () => {
      const lost = d.value.ne(64).and(v.value.shl(d.value.neg()).isNonZero())
      low.value = v.value.shr(d.value).or(lost.zeroExtend(64))
    },
    () => {
      low.value = v.value.isNonZero().zeroExtend(64)
    },
  )
}

/** The product of two 64-bit numbers: assigns its halves. */
export function multiplyWide(code: Code, a: Int, b: Int, high: Variable, low: Variable): void {
  const mask = 0xffffffffn
  const [al, ah, bl, bh] = [a.and(mask), a.shr(32), b.and(mask), b.shr(32)]
  const ll = al.mul(bl)
  const middle = ah.mul(bl).add(ll.shr(32))
  const middle2 = al.mul(bh).add(middle.and(mask))
  const m = code.variable(64, middle)
  const m2 = code.variable(64, middle2)
  const bottom = code.variable(64, ll.and(mask))
  high.value = ah.mul(bh).add(m.value.shr(32)).add(m2.value.shr(32))
  low.value = m2.value.shl(32).or(bottom.value)
}

/** Product of two numbers. */
export function multiplyUnrounded(code: Code, a: Unpacked, b: Unpacked, out: Unrounded): void {
  out.sign.value = a.sign.xor(b.sign)
  out.exponent.value = a.exponent.add(b.exponent).sub(16383 - 1)
  multiplyWide(code, a.significand, b.significand, out.high, out.low)
  code.if(out.high.value.isNegative().isZero(), () => {
    out.high.value = out.high.value.shl(1).or(out.low.value.shr(63))
    out.low.value = out.low.value.shl(1)
    out.exponent.value = out.exponent.value.sub(1)
  })
}

/** One step of schoolbook division: a digit of 32 bits from a remainder and a divisor with its top bit set. */
function digit(code: Code, remainder: Variable, next: Int, divisor: Int, divisorHigh: Int, divisorLow: Int): Int {
  const q = code.variable(64, remainder.value.divU(divisorHigh))
  const r = code.variable(64, remainder.value.sub(q.value.mul(divisorHigh)))
  const n = code.variable(64, next)
  const tooBig = () =>
    r.value
      .shr(32)
      .isZero()
      .and(
        q.value
          .shr(32)
          .isNonZero()
          .or(q.value.mul(divisorLow).gtU(r.value.shl(32).or(n.value))),
      )
  code.while(tooBig, () => {
    q.value = q.value.sub(1)
    r.value = r.value.add(divisorHigh)
  })
  remainder.value = remainder.value.shl(32).or(n.value).sub(q.value.mul(divisor))
  return q.value
}

/**
 * Quotient of 128 bits by 64: parameters are the dividend's halves, high then low, and the divisor, whose top bit is set and
 * which is greater than the high half. The remainder is the second result.
 */
export function divideWide(
  code: Code,
  high: Int,
  low: Int,
  divisor: Int,
  quotient: Variable,
  remainder: Variable,
): void {
  const d = code.variable(64, divisor)
  const dh = code.variable(64, divisor.shr(32))
  const dl = code.variable(64, divisor.and(0xffffffffn))
  const l = code.variable(64, low)
  remainder.value = high
  const first = code.variable(64, digit(code, remainder, l.value.shr(32), d.value, dh.value, dl.value))
  const second = digit(code, remainder, l.value.and(0xffffffffn), d.value, dh.value, dl.value)
  quotient.value = first.value.shl(32).add(second)
}

/** Quotient of two numbers. */
export function divideUnrounded(code: Code, a: Unpacked, b: Unpacked, out: Unrounded): void {
  out.sign.value = a.sign.xor(b.sign)
  const divisor = code.variable(64, b.significand)
  const ge = a.significand.geU(b.significand)
  const high = code.variable(64, ge.select(a.significand.shr(1), a.significand))
  const low = code.variable(64, ge.select(a.significand.shl(63), 0))
  out.exponent.value = a.exponent
    .sub(b.exponent)
    .add(16383 - 1)
    .add(ge.zeroExtend(32))
  const remainder = code.variable(64, 0)
  divideWide(code, high.value, low.value, divisor.value, out.high, remainder)
  // Only whether the remainder is zero, and below, at or above half the divisor, matters to rounding.
  const rest = divisor.value.sub(remainder.value)
  const above = remainder.value.gtU(rest).select(code.const(3n << 62n, 64), 1n << 62n)
  out.low.value = remainder.value
    .isZero()
    .select(code.const(0, 64), remainder.value.eq(rest).select(code.const(TOP, 64), above))
}

/** Square root of a positive number. */
export function squareRootUnrounded(code: Code, a: Unpacked, out: Unrounded): void {
  out.sign.set(0)
  // The radicand is the significand times 2^63 or 2^64, so that the exponent becomes even (16383 is odd).
  const even = a.exponent.bit(0)
  out.exponent.value = a.exponent.sub(16383).sar(1).add(16383)
  const radicand = code.variable(64, even.select(a.significand.shr(1), a.significand))
  const next = code.variable(64, even.select(a.significand.and(1).shl(31), 0))
  // Root of the upper half, 32 bits, by binary64.
  const half = radicand.value.shr(1).toFloatS(64)
  const estimate = code.variable(64, half.add(half).sqrt().toIntS(64))
  code.if(estimate.value.gtU(0xffffffffn), () => estimate.set(0xffffffffn))
  code.if(estimate.value.mul(estimate.value).gtU(radicand.value), () => {
    estimate.value = estimate.value.sub(1)
  })
  const s = estimate.value
  // Then 32 bits more by a division (Zimmermann, Karatsuba Square Root).
  const rest = code.variable(64, radicand.value.sub(s.mul(s)))
  const dividend = code.variable(64, rest.value.shl(31).or(next.value.shr(1)))
  const q = code.variable(64, dividend.value.divU(s))
  const u = code.variable(64, dividend.value.sub(q.value.mul(s)).shl(1).or(next.value.and(1)))
  const square = code.variable(64, q.value.mul(q.value))
  const restLow = code.variable(64, u.value.shl(32))
  const borrow = restLow.value.ltU(square.value).zeroExtend(64)
  const restHigh = code.variable(64, u.value.shr(32).sub(q.value.shr(32)).sub(borrow))
  restLow.value = restLow.value.sub(square.value)
  out.high.value = s.shl(32).add(q.value)
  code.if(restHigh.value.isNegative(), () => {
    out.high.value = out.high.value.sub(1)
    const added = code.variable(64, out.high.value.shl(1).or(1))
    const sum = code.variable(64, restLow.value.add(added.value))
    const carry = sum.value.ltU(added.value).zeroExtend(64)
    restHigh.value = restHigh.value.add(out.high.value.shr(63)).add(carry)
    restLow.value = sum.value
  })
  const above = restHigh.value.isNonZero().or(restLow.value.gtU(out.high.value))
  const exact = restHigh.value.or(restLow.value).isZero()
  out.low.value = exact.select(code.const(0, 64), above.select(code.const(3n << 62n, 64), 1n << 62n))
}
