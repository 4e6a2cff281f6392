/**
 * The x87's arithmetic on stack registers, as routines that do everything but the #NM and #MF checks: stack faults, NaNs,
 * exceptions, delivery, popping, status word. Indices are relative to the top of the stack; {@link MEMORY} names the
 * operand from memory that a load routine of x87-loads.ts left in element 8 of `F.fpr`, its exceptions in `F.x87Flags`.
 */
import { F } from '../cpu/state.ts'
import { type Code, type Int, type Routine, routine } from '../isa/semantics.ts'
import { type ExtendedResult, invalid, propagateNaN, roundExtended, UnpackedExtended, zeroSign } from './extended.ts'
import { DENORMAL, DIVIDE_BY_ZERO, INVALID } from './rounding.ts'
import {
  addUnrounded,
  divideUnrounded,
  multiplyUnrounded,
  squareRootUnrounded,
  type Unpacked,
  Unrounded,
} from './unrounded.ts'
import { BEFORE, C1, type Extended, operandFlags, STACK_FAULT, STOPPED, X87 } from './x87-stack.ts'

type Core = (code: Code, a: Unpacked, b: Unpacked, out: Unrounded) => void
type Leave = (condition: Int, then: () => void) => void
type Special = (x87: X87, a: Extended, b: Extended, result: ExtendedResult, leave: Leave) => void

/** A result of zero or infinity with a sign. */
function setSigned(result: ExtendedResult, infinite: boolean, sign: Int): void {
  result.significand.set(infinite ? 1n << 63n : 0)
  result.head.value = sign.shl(15).or(infinite ? 0x7fff : 0)
}

/** The masked response to a missing operand, unless invalid is unmasked. */
export function stackUnderflow(x87: X87, destination: Int, pop?: Int): void {
  const { code } = x87
  x87.flags.set(INVALID | STACK_FAULT)
  code.if(
    x87.unmasked(INVALID),
    () => x87.raise(STOPPED),
    () => {
      x87.writeIndefinite(destination)
      if (pop) code.if(pop.isNonZero(), () => x87.pop())
    },
  )
}

/** The bits of the control word for which the quick way is made: 64 bits, to nearest, inexact results masked. */
const QUICK_MASK = 0xf20
const QUICK = 0x320

/**
 * Parameters of the routine: where the result goes, which is one of the operands, the two operands, and 1 to pop. Normal
 * operands and results take a short way; everything else is for {@link general}.
 */
function binary(name: string, special: Special, core: Core, subtract = false): Routine {
  const everything = general(`${name}General`, special, core, subtract)
  return routine(name, [32, 32, 32, 32], undefined, (code, destination, x, y, pop) => {
    const x87 = new X87(code)
    code.block(slow => {
      const control = x87.fcw.value.and(QUICK_MASK).xor(QUICK)
      code.leave(slow, control.or(code.get(F.x87Flags)).isNonZero())
      const from1 = code.variable(32, x87.physical(x))
      const from2 = code.variable(32, x87.physical(y))
      code.leave(slow, x87.isEmpty(from1.value))
      code.leave(slow, x87.isEmpty(from2.value))
      const a = x87.read(from1.value)
      const b = x87.read(from2.value)
      code.leave(slow, a.significand.value.and(b.significand.value).isNegative().isZero())
      code.leave(slow, a.exponent.sub(1).geU(0x7ffe))
      code.leave(slow, b.exponent.sub(1).geU(0x7ffe))
      const unpacked = (n: Extended, negate: boolean): Unpacked => ({
        sign: negate ? n.sign.xor(1) : n.sign,
        exponent: n.exponent,
        significand: n.significand.value,
      })
      const { sign, exponent, high, low } = new Unrounded(code)
      core(code, unpacked(a, false), unpacked(b, subtract), { sign, exponent, high, low })
      code.leave(slow, high.value.isNegative().isZero())
      code.leave(slow, exponent.value.sub(1).geU(0x7ffd))
      const half = 1n << 63n
      const up = low.value.gtU(half).or(low.value.eq(half).and(high.value.bit(0)))
      const roundedUp = code.variable(32, up.zeroExtend(32))
      const sum = code.variable(64, high.value.add(roundedUp.value.zeroExtend(64)))
      code.if(sum.value.isZero(), () => {
        sum.set(half)
        exponent.value = exponent.value.add(1)
      })
      const to = code.variable(32, x87.physical(destination))
      code.set(F.fpr, sum.value, to.value)
      code.setPart(F.fpr, 8, exponent.value.or(sign.value.shl(15)).truncate(16), to.value)
      const inexact = low.value.isNonZero().zeroExtend(32).shl(5)
      x87.fsw.value = x87.fsw.value
        .and(0xffffffff & ~C1)
        .or(inexact)
        .or(roundedUp.value.shl(9))
      code.if(pop.isNonZero(), () => x87.pop())
      code.set(F.fsw, x87.fsw.value)
      code.f.return()
    })
    code.call(everything, destination, x, y, pop)
    return undefined
  })
}

/** All of the operation, in every case. */
function general(name: string, special: Special, core: Core, subtract: boolean): Routine {
  return routine(name, [32, 32, 32, 32], undefined, (code, destination, x, y, pop) => {
    const x87 = new X87(code, operandFlags(code, x, y))
    const to = code.variable(32, x87.physical(destination))
    const from1 = code.variable(32, x87.physical(x))
    const from2 = code.variable(32, x87.physical(y))
    code.set(F.x87Flags, 0)
    code.block(done => {
      const missing = code.variable(32, x87.isEmpty(from1.value).or(x87.isEmpty(from2.value)).zeroExtend(32))
      code.if(missing.value.isNonZero(), () => stackUnderflow(x87, to.value, pop))
      code.leave(done, missing.value.isNonZero())
      const a = x87.read(from1.value)
      const b = x87.read(from2.value)
      const result = { significand: code.variable(64, 0), head: code.variable(32, 0) }
      code.block(computed => {
        const p = new UnpackedExtended(code, a)
        const q = new UnpackedExtended(code, b)
        if (subtract) q.sign.value = q.sign.value.xor(1)
        const ordinary = a.isNormal.and(b.isNormal)
        code.if(ordinary.isZero(), () => {
          const leave: Leave = (condition, then) => {
            const holds = code.variable(32, condition.zeroExtend(32))
            code.if(holds.value.isNonZero(), then)
            code.leave(computed, holds.value.isNonZero())
          }
          leave(a.isUnsupported.or(b.isUnsupported), () => {
            x87.flags.value = x87.flags.value.and(0xffffffff & ~DENORMAL)
            invalid(x87, result)
          })
          leave(a.isNaN.or(b.isNaN), () => {
            x87.flags.value = x87.flags.value.and(0xffffffff & ~DENORMAL)
            propagateNaN(code, x87, a, b, result)
          })
          if (subtract) b.head.value = b.head.value.xor(0x8000)
          const denormal = code.variable(32, a.isDenormal.or(b.isDenormal).zeroExtend(32))
          special(x87, a, b, result, (condition, then) =>
            leave(condition, () => {
              then()
              const other = x87.flags.value.and(INVALID | DIVIDE_BY_ZERO)
              code.if(
                other.isZero(),
                () => x87.raise(DENORMAL, denormal.value.toBool()),
                () => {
                  x87.flags.value = x87.flags.value.and(0xffffffff & ~DENORMAL)
                },
              )
            }),
          )
          x87.raise(DENORMAL, denormal.value.toBool())
          p.normalise(code)
          q.normalise(code)
        })
        code.leave(computed, x87.unmasked(BEFORE))
        const out = new Unrounded(code)
        core(code, p.value, q.value, out)
        if (core === addUnrounded) {
          const zero = out.high.value.or(out.low.value).isZero()
          out.sign.value = zero.select(zeroSign(x87), out.sign.value)
        }
        roundExtended(code, x87, out, result)
      })
      code.if(x87.unmasked(BEFORE).isZero(), () => {
        x87.write(to.value, result.significand.value, result.head.value)
        code.if(pop.isNonZero(), () => x87.pop())
      })
    })
    x87.commit()
    return undefined
  })
}

const addSpecial: Special = (x87, a, b, result, leave) => {
  leave(a.isInfinite.and(b.isInfinite).and(a.sign.ne(b.sign)), () => invalid(x87, result))
  leave(a.isInfinite.or(b.isInfinite), () => setSigned(result, true, a.isInfinite.select(a.sign, b.sign)))
  leave(a.isZero.and(b.isZero), () => setSigned(result, false, a.sign.eq(b.sign).select(a.sign, zeroSign(x87))))
}

/** a + b. */
export const x87Add = binary('x87Add', addSpecial, addUnrounded)
/** a - b. */
export const x87Subtract = binary('x87Subtract', addSpecial, addUnrounded, true)
/** a * b. */
export const x87Multiply = binary(
  'x87Multiply',
  (x87, a, b, result, leave) => {
    leave(a.isInfinite.and(b.isZero).or(a.isZero.and(b.isInfinite)), () => invalid(x87, result))
    leave(a.isInfinite.or(b.isInfinite), () => setSigned(result, true, a.sign.xor(b.sign)))
    leave(a.isZero.or(b.isZero), () => setSigned(result, false, a.sign.xor(b.sign)))
  },
  multiplyUnrounded,
)
/** a / b. */
export const x87Divide = binary(
  'x87Divide',
  (x87, a, b, result, leave) => {
    leave(a.isInfinite.and(b.isInfinite).or(a.isZero.and(b.isZero)), () => invalid(x87, result))
    leave(a.isInfinite, () => setSigned(result, true, a.sign.xor(b.sign)))
    leave(b.isZero, () => {
      x87.raise(DIVIDE_BY_ZERO)
      setSigned(result, true, a.sign.xor(b.sign))
    })
    leave(a.isZero.or(b.isInfinite), () => setSigned(result, false, a.sign.xor(b.sign)))
  },
  divideUnrounded,
)

/** A routine that replaces the top of the stack by a function of it. `body` sets the result, which starts as the operand. */
export function replaceTop(
  name: string,
  body: (code: Code, x87: X87, a: Extended, result: ExtendedResult, leave: Leave) => void,
): Routine {
  return routine(name, [], undefined, code => {
    const x87 = new X87(code)
    const top = code.variable(32, x87.physical(0))
    code.if(
      x87.isEmpty(top.value),
      () => stackUnderflow(x87, top.value),
      () => {
        const a = x87.read(top.value)
        const result = {
          significand: code.variable(64, a.significand.value),
          head: code.variable(32, a.head.value),
        }
        code.block(done => {
          const leave: Leave = (condition, then) => {
            const holds = code.variable(32, condition.zeroExtend(32))
            code.if(holds.value.isNonZero(), then)
            code.leave(done, holds.value.isNonZero())
          }
          code.if(a.isNormal.isZero(), () => {
            leave(a.isUnsupported, () => invalid(x87, result))
            leave(a.isNaN, () => {
              x87.raise(INVALID, a.isSignalling)
              result.significand.value = a.significand.value.or(1n << 62n)
            })
          })
          body(code, x87, a, result, leave)
        })
        code.if(x87.unmasked(BEFORE).isZero(), () => x87.write(top.value, result.significand.value, result.head.value))
      },
    )
    x87.commit()
    return undefined
  })
}

/** FSQRT. */
export const x87SquareRoot = replaceTop('x87SquareRoot', (code, x87, a, result, leave) => {
  leave(a.isZero, () => {})
  leave(a.sign.isNonZero(), () => invalid(x87, result))
  leave(a.isInfinite, () => {})
  x87.raise(DENORMAL, a.isDenormal)
  leave(x87.unmasked(BEFORE), () => {})
  const p = new UnpackedExtended(code, a)
  p.normalise(code)
  const out = new Unrounded(code)
  squareRootUnrounded(code, p.value, out)
  roundExtended(code, x87, out, result)
})
