/** Comparisons and classification of the x87 (SDM vol. 1, 8.3.6). */
import { F } from '../cpu/state.ts'
import { type Code, type Int, routine, type Variable } from '../isa/semantics.ts'
import { UnpackedExtended } from './extended.ts'
import { DENORMAL, INVALID } from './rounding.ts'
import { QuickStack } from './x87-quick.ts'
import { BEFORE, C0, C1, C2, C3, Extended, MEMORY, operandFlags, STACK_FAULT, X87 } from './x87-stack.ts'

/** Results of {@link x87Compare}. */
export const GREATER = 0
export const LESS = C0
export const EQUAL = C3
export const UNORDERED = C0 | C2 | C3

/** Compares any two numbers; `result` starts as unordered. */
function compareAll(code: Code, x87: X87, a: Extended, b: Extended, quiet: Int, result: Variable): void {
  const wrong = a.isUnsupported.or(b.isUnsupported)
  const nan = a.isNaN.or(b.isNaN)
  code.if(
    wrong.or(nan),
    () => {
      x87.flags.value = x87.flags.value.and(0xffffffff & ~DENORMAL)
      x87.raise(INVALID, a.isUnsupported.or(b.isUnsupported).or(a.isSignalling).or(b.isSignalling).or(quiet.isZero()))
    },
    () => {
      x87.raise(DENORMAL, a.isDenormal.or(b.isDenormal))
      const p = new UnpackedExtended(code, a)
      const q = new UnpackedExtended(code, b)
      p.normalise(code)
      q.normalise(code)
      const bothZero = p.significand.value.or(q.significand.value).isZero()
      const sameExponent = p.exponent.value.eq(q.exponent.value)
      const same = sameExponent.and(p.significand.value.eq(q.significand.value))
      const smaller = p.exponent.value
        .ltS(q.exponent.value)
        .or(sameExponent.and(p.significand.value.ltU(q.significand.value)))
      const sameSign = p.sign.value.eq(q.sign.value)
      const equal = bothZero.or(same.and(sameSign))
      const less = sameSign.select(smaller.zeroExtend(32).xor(p.sign.value), p.sign.value)
      result.value = equal.select(code.const(EQUAL, 32), less.isNonZero().select(code.const(LESS, 32), GREATER))
    },
  )
}

/**
 * The comparison of two numbers that are given, with all exceptions masked: significands, signs and exponents, 1 to accept quiet
 * NaNs, what exceptions loading has met. The result is the condition codes, `F.x87Flags` gets the exceptions.
 */
export const x87CompareValues = routine(
  'x87CompareValues',
  [64, 32, 64, 32, 32, 32],
  32,
  (code, aSignificand, aHead, bSignificand, bHead, quiet, flags) => {
    const x87 = new X87(code, flags)
    const result = code.variable(32, UNORDERED)
    const [a, b] = [new Extended(code, aSignificand, aHead), new Extended(code, bSignificand, bHead)]
    compareAll(code, x87, a, b, quiet, result)
    code.set(F.x87Flags, x87.flags.value)
    return result.value
  },
)

/**
 * Compares two registers (indices as in x87-arithmetic.ts). Parameters: the two, 1 to accept quiet NaNs (FUCOM), how many to
 * pop, and 1 to set the condition codes. The result is the condition codes that it found.
 */
export const x87Compare = routine('x87Compare', [32, 32, 32, 32, 32], 32, (code, x, y, quiet, pops, conditions) => {
  code.block(slow => {
    code.leave(slow, x.or(y).and(MEMORY).isNonZero())
    const stack = new QuickStack(code)
    const [first, second] = [stack.register(x), stack.register(y)]
    stack.needFull(slow, first, second)
    const [a, b] = [stack.normal(slow, first), stack.normal(slow, second)]
    const sameExponent = a.exponent.eq(b.exponent)
    const smaller = a.exponent.ltS(b.exponent).or(sameExponent.and(a.significand.ltU(b.significand)))
    const sameSign = a.sign.eq(b.sign)
    const equal = sameSign.and(sameExponent).and(a.significand.eq(b.significand))
    const less = sameSign.select(smaller.zeroExtend(32).xor(a.sign), a.sign).isNonZero()
    const order = equal.select(code.const(EQUAL, 32), less.select(code.const(LESS, 32), GREATER))
    const found = code.variable(32, order).value
    // FCOMI leaves C0 to C3 as they were.
    const sets = conditions.isNonZero()
    const flags = code.variable(32, sets.select(found, 0)).value
    const cleared = code.variable(32, sets.select(code.const(C0 | C1 | C2 | C3, 32), 0)).value
    const top = stack.register(0)
    code.if(
      pops.isZero(),
      () => stack.finish(0, flags, cleared),
      () => {
        code.if(
          pops.eq(1),
          () => {
            stack.free(top)
            stack.finish(1, flags, cleared)
          },
          () => {
            stack.free(top, stack.register(1))
            stack.finish(2, flags, cleared)
          },
        )
      },
    )
    code.f.return(found.node)
  })
  const x87 = new X87(code, operandFlags(code, x, y))
  const from1 = code.variable(32, x87.physical(x))
  const from2 = code.variable(32, x87.physical(y))
  code.set(F.x87Flags, 0)
  const result = code.variable(32, UNORDERED)
  code.if(
    x87.isEmpty(from1.value).or(x87.isEmpty(from2.value)),
    () => x87.flags.set(INVALID | STACK_FAULT),
    () => {
      compareAll(code, x87, x87.read(from1.value), x87.read(from2.value), quiet, result)
    },
  )
  code.if(
    conditions.isNonZero(),
    () => x87.setConditions(result.value),
    // FCOMI leaves C1 as it was, but for stack faults.
    () => x87.raise(C1, x87.fsw.value.bit(9).and(x87.flags.value.bit(6).isZero())),
  )
  code.if(x87.unmasked(BEFORE).isZero(), () => {
    code.if(pops.isNonZero(), () => x87.pop())
    code.if(pops.eq(2), () => x87.pop())
  })
  x87.commit()
  return result.value
})

/** The class of a number as FXAM gives it. */
function classOf(code: Code, a: Extended): Int {
  const found = code.variable(32, C2)
  const set = (condition: Int, bits: number) => {
    found.value = condition.select(code.const(bits, 32), found.value)
  }
  set(a.isZero, C3)
  set(a.isDenormal, C3 | C2)
  set(a.isInfinite, C2 | C0)
  set(a.isNaN, C0)
  set(a.isUnsupported, 0)
  return found.value
}

/** The class of a number that is given, significand and sign and exponent: C3, C2 and C0. */
export const x87ExamineValue = routine('x87ExamineValue', [64, 32], 32, (code, significand, head) =>
  classOf(code, new Extended(code, significand, head)),
)

/** FXAM: the class of the top in C3 C2 C0, its sign in C1. */
export const x87Examine = routine('x87Examine', [], undefined, code => {
  const x87 = new X87(code)
  const top = code.variable(32, x87.physical(0))
  const a = x87.read(top.value)
  x87.setConditions(x87.isEmpty(top.value).select(code.const(C3 | C0, 32), classOf(code, a)))
  x87.raise(C1, a.sign.isNonZero())
  x87.commit()
  return undefined
})
