/** FPREM and FPREM1 (SDM vol. 2): the remainder, exact, of one step of at most 63 bits of the quotient. */
import { type Int, routine } from '../isa/semantics.ts'
import { invalid, propagateNaN, roundExtended, UnpackedExtended } from './extended.ts'
import { DENORMAL } from './rounding.ts'
import { divideWide, Unrounded } from './unrounded.ts'
import { stackUnderflow } from './x87-arithmetic.ts'
import { BEFORE, C0, C1, C2, C3, X87 } from './x87-stack.ts'

/** ST(0) becomes the remainder of ST(0) / ST(1); parameter 1: the quotient is rounded to nearest (FPREM1), 0: cut (FPREM). */
export const x87Remainder = routine('x87Remainder', [32], undefined, (code, nearest) => {
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  const second = code.variable(32, x87.physical(1))
  code.block(done => {
    const missing = code.variable(32, x87.isEmpty(top.value).or(x87.isEmpty(second.value)).zeroExtend(32))
    code.if(missing.value.isNonZero(), () => stackUnderflow(x87, top.value))
    code.leave(done, missing.value.isNonZero())
    const a = x87.read(top.value)
    const b = x87.read(second.value)
    const result = { significand: code.variable(64, a.significand.value), head: code.variable(32, a.head.value) }
    const conditions = code.variable(32, 0)
    const finished = code.variable(32, 0)
    code.block(computed => {
      const leave = (condition: Int, then: () => void) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(computed, holds.value.isNonZero())
      }
      leave(a.isUnsupported.or(b.isUnsupported), () => invalid(x87, result))
      leave(a.isNaN.or(b.isNaN), () => propagateNaN(code, x87, a, b, result))
      leave(a.isInfinite.or(b.isZero), () => invalid(x87, result))
      x87.raise(DENORMAL, a.isDenormal.or(b.isDenormal))
      finished.set(1)
      leave(a.isZero, () => {})
      leave(x87.unmasked(BEFORE), () => {})
      const p = new UnpackedExtended(code, a)
      const q = new UnpackedExtended(code, b)
      p.normalise(code)
      q.normalise(code)
      const distance = code.variable(32, p.exponent.value.sub(q.exponent.value))
      const sign = code.variable(32, p.sign.value)
      const exponent = code.variable(32, p.exponent.value)
      const rest = code.variable(64, p.significand.value)
      const quotient = code.variable(64, 0)
      code.if(b.isInfinite.isZero().and(distance.value.geS(0)), () => {
        code.if(distance.value.geS(64), () => {
          // Only part of the way: the exponent difference shrinks by 32 to 63.
          distance.value = distance.value.and(31).or(32)
          conditions.set(C2)
        })
        const steps = distance.value
        exponent.value = exponent.value.sub(steps)
        code.if(rest.value.geU(q.significand.value), () => {
          rest.value = rest.value.sub(q.significand.value)
          quotient.set(1)
        })
        code.if(steps.isNonZero(), () => {
          const digits = code.variable(64, 0)
          const high = rest.value.shr(steps.neg())
          divideWide(code, high, rest.value.shl(steps), q.significand.value, digits, rest)
          quotient.value = quotient.value.shl(steps).add(digits.value)
        })
      })
      const finish = nearest.isNonZero().and(conditions.value.isZero()).and(b.isInfinite.isZero())
      code.if(finish.and(distance.value.geS(-1)), () => {
        const divisor = q.significand.value
        // Twice the remainder against the divisor; with a difference of -1 the divisor has one bit more.
        const less = distance.value.ltS(0)
        const gap = code.variable(64, less.select(divisor.shl(1), divisor).sub(rest.value))
        const above = less.select(rest.value.gtU(divisor).zeroExtend(32), rest.value.gtU(gap.value).zeroExtend(32))
        const tie = distance.value.geS(0).and(rest.value.eq(gap.value)).and(quotient.value.bit(0))
        code.if(above.isNonZero().or(tie), () => {
          rest.value = gap.value
          sign.value = sign.value.xor(1)
          quotient.value = quotient.value.add(1)
        })
      })
      code.if(conditions.value.isZero(), () => {
        const bits = quotient.value.truncate(32)
        conditions.value = bits
          .and(4)
          .mul(C0 / 4)
          .or(bits.and(2).mul(C3 / 2))
        x87.flags.value = x87.flags.value.or(bits.and(1).mul(C1))
      })
      const out = new Unrounded(code)
      // A remainder of zero has the dividend's sign.
      out.sign.value = rest.value.isZero().select(p.sign.value, sign.value)
      const shift = code.variable(64, rest.value.clz())
      out.high.value = rest.value.shl(shift.value)
      out.exponent.value = exponent.value.sub(shift.value.truncate(32))
      roundExtended(code, x87, out, result, true)
    })
    code.if(x87.unmasked(BEFORE).isZero(), () => {
      x87.write(top.value, result.significand.value, result.head.value)
      code.if(finished.value.isNonZero(), () => x87.setConditions(conditions.value))
    })
  })
  x87.commit()
  return undefined
})
