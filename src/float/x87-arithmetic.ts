/**
 * The x87's arithmetic on stack registers, as routines that do everything but the #NM and #MF checks: stack faults, NaNs,
 * exceptions, delivery, popping, status word. Indices are relative to the top of the stack; {@link MEMORY} names the
 * operand from memory that a load routine of x87-loads.ts left in element 8 of `F.fpr`, its exceptions in `F.x87Flags`.
 */
import { F } from '../cpu/state.ts'
import { type Code, type Int, type Label, type Routine, routine } from '../isa/semantics.ts'
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
import { x87Operand32, x87Operand64 } from './x87-loads.ts'
import {
  type Normal,
  needPlainControl,
  normalDouble,
  normalNumber,
  normalSingle,
  QuickStack,
  quickProduct,
  quickQuotient,
  quickRound,
  quickSum,
  type Rounded,
  type Wide,
} from './x87-quick.ts'
import { BEFORE, Extended, giveNumber, MEMORY, operandFlags, STACK_FAULT, STOPPED, X87 } from './x87-stack.ts'

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

/** The routines of an operation by what its operands are. */
export interface Operation {
  /** Everything: where the result goes, which is one of the operands, the two operands, and 1 to pop. */
  readonly general: Routine
  /** ST(0) becomes ST(0) op ST(i), or (reversed) ST(i) op ST(0). Parameter: i. */
  readonly toTop: Routine
  readonly toTopReversed: Routine
  /** ST(i) becomes ST(i) op ST(0), or (reversed) ST(0) op ST(i). Parameter: i. */
  readonly toOther: Routine
  readonly toOtherReversed: Routine
  /** The same, and a pop. */
  readonly toOtherPop: Routine
  readonly toOtherReversedPop: Routine
  /** ST(0) becomes ST(0) op number, or (reversed) number op ST(0). Parameter: the number's bits. */
  readonly single: Routine
  readonly singleReversed: Routine
  readonly double: Routine
  readonly doubleReversed: Routine
  /** On numbers: see src/float/x87-values.ts. */
  readonly values: Routine
}

type QuickCore = (code: Code, slow: Label, a: Normal, b: Normal) => Wide

/** All routines of an operation: normal operands and results take a short way, everything else goes to {@link general}. */
function operation(name: string, special: Special, core: Core, quick: QuickCore, subtract = false): Operation {
  const everything = general(`${name}General`, special, core, subtract)
  const compute = (code: Code, slow: Label, a: Normal, b: Normal, precision: Int): Rounded => {
    const second = subtract ? { ...b, sign: code.variable(32, b.sign.xor(1)).value } : b
    return quickRound(code, slow, quick(code, slow, a, second), precision)
  }
  const ofRegisters = (suffix: string, toTop: boolean, reversed: boolean, pop: boolean): Routine =>
    routine(`${name}${suffix}`, [32], undefined, (code, index) => {
      code.block(slow => {
        const precision = needPlainControl(code, slow)
        const stack = new QuickStack(code)
        const top = stack.register(0)
        const other = stack.register(index)
        stack.needFull(slow, top, other)
        const [first, second] = [stack.normal(slow, top), stack.normal(slow, other)]
        const turned = toTop === reversed
        const { significand, head, flags } = turned
          ? compute(code, slow, second, first, precision)
          : compute(code, slow, first, second, precision)
        stack.write(toTop ? top : other, significand, head)
        if (pop) stack.free(top)
        stack.finish(pop ? 1 : 0, flags)
        code.f.return()
      })
      const zero = code.const(0, 32)
      const to = toTop ? zero : index
      const from = toTop ? index : zero
      code.call(everything, to, reversed ? from : to, reversed ? to : from, code.const(pop ? 1 : 0, 32))
      return undefined
    })
  const ofMemory = (suffix: string, width: 32 | 64, reversed: boolean): Routine =>
    routine(`${name}${suffix}`, [width], undefined, (code, bits) => {
      code.block(slow => {
        const precision = needPlainControl(code, slow)
        const stack = new QuickStack(code)
        const top = stack.register(0)
        stack.needFull(slow, top)
        const first = stack.normal(slow, top)
        const second = width === 64 ? normalDouble(code, slow, bits) : normalSingle(code, slow, bits)
        const { significand, head, flags } = reversed
          ? compute(code, slow, second, first, precision)
          : compute(code, slow, first, second, precision)
        stack.write(top, significand, head)
        stack.finish(0, flags)
        code.f.return()
      })
      code.call(width === 64 ? x87Operand64 : x87Operand32, bits)
      const [zero, memory] = [code.const(0, 32), code.const(MEMORY, 32)]
      code.call(everything, zero, reversed ? memory : zero, reversed ? zero : memory, zero)
      return undefined
    })
  return {
    values: ofValues(`${name}Values`, special, core, subtract, core === divideUnrounded ? quick : undefined),
    general: everything,
    toTop: ofRegisters('ToTop', true, false, false),
    toTopReversed: ofRegisters('ToTopReversed', true, true, false),
    toOther: ofRegisters('ToOther', false, false, false),
    toOtherReversed: ofRegisters('ToOtherReversed', false, true, false),
    toOtherPop: ofRegisters('ToOtherPop', false, false, true),
    toOtherReversedPop: ofRegisters('ToOtherReversedPop', false, true, true),
    single: ofMemory('Single', 32, false),
    singleReversed: ofMemory('SingleReversed', 32, true),
    double: ofMemory('Double', 64, false),
    doubleReversed: ofMemory('DoubleReversed', 64, true),
  }
}

/** An operation on any two numbers: its result and exceptions. */
function computeAll(
  code: Code,
  x87: X87,
  special: Special,
  core: Core,
  subtract: boolean,
  a: Extended,
  b: Extended,
  result: ExtendedResult,
): void {
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
}

/**
 * All of the operation on two numbers that are given, with all exceptions masked: significands, signs and exponents (16 bits), and
 * what exceptions loading one of them has met. The result is as {@link giveNumber} says.
 */
const ofValues = (
  name: string,
  special: Special,
  core: Core,
  subtract: boolean,
  quick: QuickCore | undefined,
): Routine =>
  routine(name, [64, 32, 64, 32, 32], 64, (code, aSignificand, aHead, bSignificand, bHead, flags) => {
    if (quick) {
      code.block(slow => {
        const precision = needPlainControl(code, slow)
        code.leave(slow, flags.isNonZero(), 'unlikely')
        const a = normalNumber(code, slow, aSignificand, aHead)
        const rounded = quickRound(
          code,
          slow,
          quick(code, slow, a, normalNumber(code, slow, bSignificand, bHead)),
          precision,
        )
        code.set(F.serviceResult2, rounded.head.zeroExtend(64))
        code.set(F.x87Flags, rounded.flags)
        code.f.return(rounded.significand.node)
      })
    }
    const x87 = new X87(code, flags)
    const result = { significand: code.variable(64, 0), head: code.variable(32, 0) }
    const [a, b] = [new Extended(code, aSignificand, aHead), new Extended(code, bSignificand, bHead)]
    computeAll(code, x87, special, core, subtract, a, b, result)
    return giveNumber(code, result.significand.value, result.head.value, x87.flags.value)
  })

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
      computeAll(code, x87, special, core, subtract, a, b, result)
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
export const x87Add = operation('x87Add', addSpecial, addUnrounded, quickSum)
/** a - b. */
export const x87Subtract = operation('x87Subtract', addSpecial, addUnrounded, quickSum, true)
/** a * b. */
export const x87Multiply = operation(
  'x87Multiply',
  (x87, a, b, result, leave) => {
    leave(a.isInfinite.and(b.isZero).or(a.isZero.and(b.isInfinite)), () => invalid(x87, result))
    leave(a.isInfinite.or(b.isInfinite), () => setSigned(result, true, a.sign.xor(b.sign)))
    leave(a.isZero.or(b.isZero), () => setSigned(result, false, a.sign.xor(b.sign)))
  },
  multiplyUnrounded,
  quickProduct,
)
/** a / b. */
export const x87Divide = operation(
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
  quickQuotient,
)

type OfTop = (code: Code, x87: X87, a: Extended, result: ExtendedResult, leave: Leave) => void

/** A function of one number: `body` sets the result, which starts as the operand. */
function computeOne(code: Code, x87: X87, body: OfTop, a: Extended): ExtendedResult {
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
  return result
}

/** A routine that replaces the top of the stack by a function of it. */
export function replaceTop(name: string, body: OfTop): Routine {
  return routine(name, [], undefined, code => {
    const x87 = new X87(code)
    const top = code.variable(32, x87.physical(0))
    code.if(
      x87.isEmpty(top.value),
      () => stackUnderflow(x87, top.value),
      () => {
        const result = computeOne(code, x87, body, x87.read(top.value))
        code.if(x87.unmasked(BEFORE).isZero(), () => x87.write(top.value, result.significand.value, result.head.value))
      },
    )
    x87.commit()
    return undefined
  })
}

/** The same of a number that is given, with all exceptions masked: significand, sign and exponent. The result is as {@link giveNumber} says. */
export const ofOneValue = (name: string, body: OfTop): Routine =>
  routine(name, [64, 32], 64, (code, significand, head) => {
    const x87 = new X87(code)
    const result = computeOne(code, x87, body, new Extended(code, significand, head))
    return giveNumber(code, result.significand.value, result.head.value, x87.flags.value)
  })

const squareRoot: OfTop = (code, x87, a, result, leave) => {
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
}

/** FSQRT. */
export const x87SquareRoot = replaceTop('x87SquareRoot', squareRoot)
export const x87SquareRootValue = ofOneValue('x87SquareRootValue', squareRoot)
