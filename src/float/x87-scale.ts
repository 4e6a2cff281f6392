/** FRNDINT, FSCALE, FXTRACT, and the exchanges and moves within the x87's stack. */
import { F } from '../cpu/state.ts'
import { type Int, routine } from '../isa/semantics.ts'
import { invalid, propagateNaN, roundExtended, UnpackedExtended } from './extended.ts'
import { DENORMAL, DIVIDE_BY_ZERO, INVALID, PRECISION, toInteger } from './rounding.ts'
import { Unrounded } from './unrounded.ts'
import { ofOneValue, replaceTop, stackUnderflow } from './x87-arithmetic.ts'
import { pushExtended } from './x87-loads.ts'
import { QuickStack } from './x87-quick.ts'
import { BEFORE, C1, INDEFINITE, INDEFINITE_EXPONENT, STACK_FAULT, X87 } from './x87-stack.ts'

/** FRNDINT: to an integral number by the rounding control. */
const roundToInteger: Parameters<typeof replaceTop>[1] = (code, x87, a, result, leave) => {
  leave(a.isZero.or(a.exponent.geU(16383 + 63)), () => {})
  x87.raise(DENORMAL, a.isDenormal)
  leave(x87.unmasked(BEFORE), () => {})
  const p = new UnpackedExtended(code, a)
  p.normalise(code)
  const { magnitude, inexact, roundedUp } = toInteger(code, p.value, x87.mode)
  const value = code.variable(64, magnitude)
  x87.raise(PRECISION, inexact)
  x87.raise(C1, roundedUp)
  const shift = code.variable(64, value.value.clz())
  result.significand.value = value.value.shl(shift.value)
  const exponent = code.const(16383 + 63, 32).sub(shift.value.truncate(32))
  result.head.value = value.value.isZero().select(code.const(0, 32), exponent).or(a.sign.shl(15))
}
export const x87RoundToInteger = replaceTop('x87RoundToInteger', roundToInteger)
export const x87RoundToIntegerValue = ofOneValue('x87RoundToIntegerValue', roundToInteger)

/** FSCALE: ST(0) times two to the power of ST(1) cut to an integer. */
export const x87Scale = routine('x87Scale', [], undefined, code => {
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
    code.block(computed => {
      const leave = (condition: Int, then: () => void) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(computed, holds.value.isNonZero())
      }
      leave(a.isUnsupported.or(b.isUnsupported), () => invalid(x87, result))
      leave(a.isNaN.or(b.isNaN), () => propagateNaN(code, x87, a, b, result))
      const up = b.sign.isZero()
      leave(b.isInfinite.and(up.select(a.isZero.zeroExtend(32), a.isInfinite.zeroExtend(32)).isNonZero()), () =>
        invalid(x87, result),
      )
      x87.raise(DENORMAL, a.isDenormal.or(b.isDenormal))
      leave(x87.unmasked(BEFORE), () => {})
      leave(b.isInfinite, () => {
        const infinite = b.sign.isZero()
        result.significand.value = infinite.select(code.const(1n << 63n, 64), 0)
        result.head.value = infinite.select(code.const(0x7fff, 32), 0).or(a.head.value.and(0x8000))
      })
      leave(a.isZero.or(a.isInfinite), () => {})
      // Beyond 2^16 any scale overflows or underflows alike.
      const magnitude = code.variable(32, 0)
      code.if(b.exponent.geU(16383), () => {
        const distance = code.variable(32, b.exponent.sub(16383))
        const wide = b.significand.value.shr(code.const(63, 32).sub(distance.value)).truncate(32)
        magnitude.value = distance.value.gtU(15).select(code.const(0x10000, 32), wide)
      })
      const p = new UnpackedExtended(code, a)
      p.normalise(code)
      const out = new Unrounded(code)
      out.sign.value = p.sign.value
      out.exponent.value = p.exponent.value.add(b.sign.isNonZero().select(magnitude.value.neg(), magnitude.value))
      out.high.value = p.significand.value
      roundExtended(code, x87, out, result, true)
    })
    code.if(x87.unmasked(BEFORE).isZero(), () => x87.write(top.value, result.significand.value, result.head.value))
  })
  x87.commit()
  return undefined
})

/** FXTRACT: the exponent replaces the top, the significand is pushed. */
export const x87Extract = routine('x87Extract', [], undefined, code => {
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  const above = code.variable(32, x87.physical(7))
  code.block(done => {
    const fault = (condition: Int, flags: number) => {
      const holds = code.variable(32, condition.zeroExtend(32))
      code.if(holds.value.isNonZero(), () => {
        x87.flags.set(flags)
        code.if(x87.unmasked(INVALID).isZero(), () => {
          x87.writeIndefinite(top.value)
          x87.writeIndefinite(above.value)
          x87.moveTop(-1)
        })
      })
      code.leave(done, holds.value.isNonZero())
    }
    fault(x87.isEmpty(top.value), INVALID | STACK_FAULT)
    fault(x87.isEmpty(above.value).isZero(), INVALID | STACK_FAULT | C1)
    const a = x87.read(top.value)
    const exponent = { significand: code.variable(64, a.significand.value), head: code.variable(32, a.head.value) }
    const fraction = { significand: code.variable(64, a.significand.value), head: code.variable(32, a.head.value) }
    code.block(computed => {
      const leave = (condition: Int, then: () => void) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(computed, holds.value.isNonZero())
      }
      leave(a.isUnsupported, () => {
        invalid(x87, exponent)
        invalid(x87, fraction)
      })
      leave(a.isNaN, () => {
        x87.raise(INVALID, a.isSignalling)
        exponent.significand.value = a.significand.value.or(1n << 62n)
        fraction.significand.value = exponent.significand.value
      })
      leave(a.isInfinite, () => exponent.head.set(0x7fff))
      leave(a.isZero, () => {
        x87.raise(DIVIDE_BY_ZERO)
        exponent.significand.set(1n << 63n)
        exponent.head.set(0xffff)
      })
      x87.raise(DENORMAL, a.isDenormal)
      const p = new UnpackedExtended(code, a)
      p.normalise(code)
      fraction.significand.value = p.significand.value
      fraction.head.value = p.sign.value.shl(15).or(16383)
      const value = code.variable(32, p.exponent.value.sub(16383))
      const negative = code.variable(32, value.value.shr(31))
      const magnitude = code.variable(32, negative.value.isNonZero().select(value.value.neg(), value.value))
      const shift = code.variable(32, magnitude.value.clz())
      exponent.significand.value = magnitude.value.shl(shift.value).zeroExtend(64).shl(32)
      const head = code
        .const(16383 + 31, 32)
        .sub(shift.value)
        .or(negative.value.shl(15))
      exponent.head.value = magnitude.value.isZero().select(code.const(0, 32), head)
    })
    code.if(x87.unmasked(BEFORE).isZero(), () => {
      x87.write(top.value, exponent.significand.value, exponent.head.value)
      pushExtended(x87, fraction.significand.value, fraction.head.value)
    })
  })
  x87.commit()
  return undefined
})

/** FABS and FCHS: sign and exponent of the top AND the first, XOR the second parameter. */
export const x87ChangeSign = routine('x87ChangeSign', [32, 32], undefined, (code, and, xor) => {
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  code.if(
    x87.isEmpty(top.value),
    () => stackUnderflow(x87, top.value),
    () => {
      const head = code.getPart(F.fpr, 8, 16, top.value)
      code.setPart(F.fpr, 8, head.and(and.truncate(16)).xor(xor.truncate(16)), top.value)
    },
  )
  x87.commit()
  return undefined
})

/** FXCH with ST(i). */
export const x87Exchange = routine('x87Exchange', [32], undefined, (code, index) => {
  code.block(slow => {
    const stack = new QuickStack(code)
    const [first, second] = [stack.register(0), stack.register(index)]
    stack.needFull(slow, first, second)
    const [significand, head] = [stack.significand(first), stack.head(first)]
    stack.write(first, stack.significand(second), stack.head(second))
    stack.write(second, significand, head)
    stack.finish(0)
    code.f.return()
  })
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  const other = code.variable(32, x87.physical(index))
  const topEmpty = code.variable(32, x87.isEmpty(top.value).zeroExtend(32))
  const otherEmpty = code.variable(32, x87.isEmpty(other.value).zeroExtend(32))
  x87.raise(INVALID | STACK_FAULT, topEmpty.value.or(otherEmpty.value).isNonZero())
  code.if(x87.unmasked(INVALID).isZero(), () => {
    const a = x87.read(top.value)
    const b = x87.read(other.value)
    const fill = (empty: Int, register: typeof a) =>
      code.if(empty.isNonZero(), () => {
        register.significand.set(INDEFINITE)
        register.head.set(INDEFINITE_EXPONENT)
      })
    fill(topEmpty.value, a)
    fill(otherEmpty.value, b)
    x87.write(top.value, b.significand.value, b.head.value)
    x87.write(other.value, a.significand.value, a.head.value)
  })
  x87.commit()
  return undefined
})

/** FCMOVcc: ST(i) to the top if the second parameter is 1. */
export const x87ConditionalMove = routine('x87ConditionalMove', [32, 32], undefined, (code, index, condition) => {
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  const from = code.variable(32, x87.physical(index))
  code.if(
    x87.isEmpty(top.value).or(x87.isEmpty(from.value)),
    () => stackUnderflow(x87, top.value),
    () => {
      // C1 stays as it was, but for stack faults.
      x87.raise(C1, x87.fsw.value.bit(9))
      code.if(condition.isNonZero(), () => {
        const a = x87.read(from.value)
        x87.write(top.value, a.significand.value, a.head.value)
      })
    },
  )
  x87.commit()
  return undefined
})
