/**
 * Scalar binary32 and binary64 arithmetic as SSE does it under MXCSR (SDM vol. 1, 10.2.3, 11.5): every rounding mode, DAZ,
 * FTZ, and the six exception flags, which the routines OR into `F.mxcsr`.
 *
 * How to use them: `const r = m.call(f64Add, a, b)` with the operands' bits, gives the result's bits. If an unmasked
 * exception occurs, the routine sets `F.fault` (vector #XM, or #UD with CR4.OSXMMEXCPT clear) and the result means nothing:
 * after the last call for an instruction (packed ones call once for each element, in order), and before committing
 * anything, the instruction must leave if `F.fault` is not zero. `F.mxcsr` keeps the flags in that case, as on the processor.
 *
 * When the WebAssembly operation may be used instead, because nobody can tell: rounding to nearest, no DAZ, no FTZ, the
 * precision exception masked and its flag set already, i.e. `(mxcsr & SSE_SENSITIVE) === SSE_INSENSITIVE`, both operands
 * normal or zero (or the denormal flag set and masked), and the result's magnitude normal, neither the smallest normal number nor
 * infinite or NaN: {@link SSE_SENSITIVE}.
 */
import { F } from '../cpu/state.ts'
import type { Float } from '../ir/values.ts'
import { type Code, type Int, type Routine, routine } from '../isa/semantics.ts'
import { MXCSR_DAZ, MXCSR_DE, MXCSR_DM, MXCSR_FTZ, MXCSR_UE, MXCSR_UM } from './mxcsr.ts'
import {
  BINARY32,
  BINARY64,
  DENORMAL,
  DIVIDE_BY_ZERO,
  DOWN,
  type Format,
  INVALID,
  PRECISION,
  toInteger,
} from './rounding.ts'
import { type Operand, Operation } from './sse-operation.ts'
import {
  addUnrounded,
  divideUnrounded,
  multiplyUnrounded,
  squareRootUnrounded,
  type Unpacked,
  Unrounded,
} from './unrounded.ts'

/** Bits of MXCSR that decide whether plain WebAssembly arithmetic may be used: RC, FTZ, DAZ, PM and PE. */
export const SSE_SENSITIVE = 0x6000 | 0x8000 | 0x0040 | 0x1000 | 0x0020
/** What those bits must be: to nearest, no flushing, precision masked and its flag set. */
export const SSE_INSENSITIVE = 0x1000 | 0x0020

/** Results of the compare routines. */
export const GREATER = 0
export const LESS = 1
export const EQUAL = 2
export const UNORDERED = 3

type BinaryCore = (code: Code, a: Unpacked, b: Unpacked, out: Unrounded) => void
/** Handles infinities and zeros: sets result and flags and leaves, or falls through to the core. */
type BinarySpecial = (op: Operation, a: Operand, b: Operand, leave: (condition: Int, then: () => void) => void) => void

/**
 * Gives WebAssembly's result where nobody can tell it from the processor's: an exact zero, and denormals that are reported
 * already. The rest of what is plain does not come here.
 */
function returnIfPlain(code: Code, quick: Float, format: Format, operands: readonly Int[], core?: BinaryCore): void {
  const result = code.floatVariable(quick)
  const mxcsr = code.variable(32, code.get(F.mxcsr))
  const magnitude = (bits: Int) => bits.and((1n << BigInt(format.width - 1)) - 1n)
  const smallest = 1n << BigInt(format.precision - 1)
  const infinity = BigInt(format.maximum) << BigInt(format.precision - 1)
  code.block(exact => {
    code.leave(exact, mxcsr.value.and(SSE_SENSITIVE & ~0x8040).ne(SSE_INSENSITIVE))
    code.block(plain => {
      code.block(zero => {
        code.leave(zero, magnitude(result.value.bits()).isZero())
        const reported = MXCSR_DE | MXCSR_DM | MXCSR_UE | MXCSR_UM
        code.leave(exact, mxcsr.value.and(reported | MXCSR_DAZ | MXCSR_FTZ).ne(reported))
        code.leave(plain, magnitude(result.value.bits()).ltU(infinity))
        code.leave(exact)
      })
      for (const bits of operands)
        code.leave(
          exact,
          magnitude(bits)
            .sub(1)
            .ltU(smallest - 1n),
        )
      // A sum of normal numbers is exact where it is small; a product and a quotient are zero because an operand is.
      if (core === multiplyUnrounded) {
        code.leave(exact, magnitude(operands[0]).isNonZero().and(magnitude(operands[1]).isNonZero()))
      } else if (core === divideUnrounded) code.leave(exact, magnitude(operands[0]).isNonZero())
    })
    code.f.return(result.value.bits().node)
  })
}

/** A routine of two operands in one format. `negate`: the second operand's sign is turned around (subtraction). */
function binary(
  name: string,
  format: Format,
  special: BinarySpecial,
  core: BinaryCore,
  quick: (a: Float, b: Float) => Float,
  negate = false,
): Routine {
  const { width } = format
  return routine(name, [width, width], width, (code, x, y) => {
    returnIfPlain(code, quick(x.asFloat(), y.asFloat()), format, [x, y], core)
    const op = new Operation(code, format)
    const a = op.operand(x)
    const b = op.operand(y)
    code.block(done => {
      const leave = (condition: Int, then: () => void) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(done, holds.value.isNonZero())
      }
      leave(a.isNaN.or(b.isNaN), () => {
        op.raise(INVALID, a.isSignalling.or(b.isSignalling))
        op.result.value = a.isNaN.select(a.quieted, b.quieted)
      })
      if (negate) b.bits.value = b.bits.value.xor(b.signMask)
      const denormal = code.variable(32, a.isDenormal.or(b.isDenormal).zeroExtend(32))
      special(op, a, b, (condition, then) =>
        leave(condition, () => {
          then()
          // An invalid operation or a division by zero goes before a denormal operand.
          const other = op.flags.value.and(INVALID | DIVIDE_BY_ZERO).isZero()
          op.raise(DENORMAL, other.and(denormal.value.toBool()))
        }),
      )
      op.raise(DENORMAL, denormal.value.toBool())
      code.leave(done, op.stopped())
      const out = new Unrounded(code)
      core(code, a.unpack(), b.unpack(), out)
      if (core === addUnrounded) {
        // An exact difference of zero is +0, or -0 when rounding down.
        const zero = out.high.value.or(out.low.value).isZero()
        out.sign.value = zero.select(op.mode.eq(DOWN).zeroExtend(32), out.sign.value)
      }
      op.round(out)
    })
    return op.finish()
  })
}

const addSpecial: BinarySpecial = (op, a, b, leave) => {
  leave(a.isInfinite.and(b.isInfinite).and(a.sign.ne(b.sign)), () => op.invalid())
  leave(a.isInfinite.or(b.isInfinite), () => {
    op.result.value = a.isInfinite.select(a.bits.value, b.bits.value)
  })
  leave(a.isZero.and(b.isZero), () => {
    op.setSigned(0n, a.sign.eq(b.sign).select(a.sign, op.mode.eq(DOWN).zeroExtend(32)))
  })
}

const mulSpecial: BinarySpecial = (op, a, b, leave) => {
  leave(a.isInfinite.and(b.isZero).or(a.isZero.and(b.isInfinite)), () => op.invalid())
  leave(a.isInfinite.or(b.isInfinite), () => op.setSigned(a.infinity, a.sign.xor(b.sign)))
  leave(a.isZero.or(b.isZero), () => op.setSigned(0n, a.sign.xor(b.sign)))
}

const divSpecial: BinarySpecial = (op, a, b, leave) => {
  leave(a.isInfinite.and(b.isInfinite).or(a.isZero.and(b.isZero)), () => op.invalid())
  leave(a.isInfinite, () => op.setSigned(a.infinity, a.sign.xor(b.sign)))
  leave(b.isZero, () => {
    op.raise(DIVIDE_BY_ZERO)
    op.setSigned(a.infinity, a.sign.xor(b.sign))
  })
  leave(a.isZero.or(b.isInfinite), () => op.setSigned(0n, a.sign.xor(b.sign)))
}

const ADD = (a: Float, b: Float): Float => a.add(b)
const SUB = (a: Float, b: Float): Float => a.sub(b)
const MUL = (a: Float, b: Float): Float => a.mul(b)
const DIV = (a: Float, b: Float): Float => a.div(b)

/** a + b. */
export const f32Add = binary('f32Add', BINARY32, addSpecial, addUnrounded, ADD)
export const f64Add = binary('f64Add', BINARY64, addSpecial, addUnrounded, ADD)
/** a - b. */
export const f32Sub = binary('f32Sub', BINARY32, addSpecial, addUnrounded, SUB, true)
export const f64Sub = binary('f64Sub', BINARY64, addSpecial, addUnrounded, SUB, true)
/** a * b. */
export const f32Mul = binary('f32Mul', BINARY32, mulSpecial, multiplyUnrounded, MUL)
export const f64Mul = binary('f64Mul', BINARY64, mulSpecial, multiplyUnrounded, MUL)
/** a / b. */
export const f32Div = binary('f32Div', BINARY32, divSpecial, divideUnrounded, DIV)
export const f64Div = binary('f64Div', BINARY64, divSpecial, divideUnrounded, DIV)

/** A routine of one operand. `body` sets the result, or leaves. */
function unary(
  name: string,
  from: Format,
  to: Format,
  body: (op: Operation, a: Operand, leave: (condition: Int, then: () => void) => void) => void,
): Routine {
  return routine(name, [from.width], to.width, (code, x) => {
    const op = new Operation(code, to)
    const a = op.operand(x, from)
    code.block(done => {
      body(op, a, (condition, then) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(done, holds.value.isNonZero())
      })
    })
    return op.finish()
  })
}

const squareRoot = (format: Format): Routine =>
  unary(`f${format.width}Sqrt`, format, format, (op, a, leave) => {
    leave(a.isNaN, () => {
      op.raise(INVALID, a.isSignalling)
      op.result.value = a.quieted
    })
    leave(a.isZero, () => {
      op.result.value = a.bits.value
    })
    leave(a.sign.isNonZero(), () => op.invalid())
    leave(a.isInfinite, () => {
      op.result.value = a.bits.value
    })
    op.raise(DENORMAL, a.isDenormal)
    leave(op.stopped(), () => {})
    const out = new Unrounded(op.code)
    squareRootUnrounded(op.code, a.unpack(), out)
    op.round(out)
  })

/** The square root. */
export const f32Sqrt = squareRoot(BINARY32)
export const f64Sqrt = squareRoot(BINARY64)

const convert = (name: string, from: Format, to: Format): Routine =>
  unary(name, from, to, (op, a, leave) => {
    const difference = from.precision - to.precision
    const sign = () => a.sign.zeroExtend(64).shl(to.width - 1)
    leave(a.isNaN, () => {
      op.raise(INVALID, a.isSignalling)
      const wide = a.quieted.and(a.signMask - 1n).zeroExtend(64)
      const fraction = (difference > 0 ? wide.shr(difference) : wide.shl(-difference)).and(
        (1n << BigInt(to.precision - 1)) - 1n,
      )
      op.result.value = fraction
        .or(BigInt(to.maximum) << BigInt(to.precision - 1))
        .or(sign())
        .truncate(to.width)
    })
    leave(a.isInfinite, () => op.setSigned(BigInt(to.maximum) << BigInt(to.precision - 1), a.sign))
    leave(a.isZero, () => op.setSigned(0n, a.sign))
    op.raise(DENORMAL, a.isDenormal)
    leave(op.stopped(), () => {})
    const out = new Unrounded(op.code)
    const { sign: s, exponent, significand } = a.unpack()
    out.sign.value = s
    out.exponent.value = exponent
    out.high.value = significand
    op.round(out)
  })

/** CVTSS2SD's conversion: exact. */
export const f32ToF64 = convert('f32ToF64', BINARY32, BINARY64)
/** CVTSD2SS's conversion. */
export const f64ToF32 = convert('f64ToF32', BINARY64, BINARY32)

const fromInteger = (name: string, from: 32 | 64, to: Format): Routine =>
  routine(name, [from], to.width, (code, x) => {
    const op = new Operation(code, to)
    const value = code.variable(64, x.signExtend(64))
    const out = new Unrounded(code)
    code.if(value.value.isNegative(), () => {
      out.sign.set(1)
      value.value = value.value.neg()
    })
    const shift = code.variable(64, value.value.clz())
    out.high.value = value.value.shl(shift.value)
    out.exponent.value = code.const(16383 + 63, 32).sub(shift.value.truncate(32))
    op.round(out)
    return op.finish()
  })

/** Signed integers to floating point (CVTSI2SS, CVTSI2SD, CVTDQ2PS). */
export const i32ToF32 = fromInteger('i32ToF32', 32, BINARY32)
export const i64ToF32 = fromInteger('i64ToF32', 64, BINARY32)
export const i32ToF64 = fromInteger('i32ToF64', 32, BINARY64)
export const i64ToF64 = fromInteger('i64ToF64', 64, BINARY64)

/** Parameters: the number and 1 to cut towards zero (CVTT…) or 0 to round by MXCSR. */
const toSigned = (name: string, from: Format, to: 32 | 64): Routine =>
  routine(name, [from.width, 32], to, (code, x, truncate) => {
    const op = new Operation(code, from, to)
    const a = op.operand(x)
    const mode = code.variable(32, op.mode.or(truncate.mul(3)))
    code.block(done => {
      code.leave(done, a.isZero)
      op.result.set(to === 64 ? 1n << 63n : 0x80000000)
      const special = a.isNaN.or(a.isInfinite)
      op.raise(INVALID, special)
      code.leave(done, a.exponentField.eq(from.maximum))
      const number = a.unpack()
      const { magnitude, inexact, huge } = toInteger(code, number, mode.value)
      const value = code.variable(64, magnitude)
      const out = code.variable(32, huge.zeroExtend(32))
      const signed = code.variable(64, a.sign.isNonZero().select(value.value.neg(), value.value))
      // The most negative number is the only one whose magnitude does not fit.
      const lowest = a.sign.isNonZero().and(value.value.eq(1n << BigInt(to - 1)))
      if (to === 32) {
        const below = number.exponent.ltS(16383 + 63)
        out.value = value.value.gtU(0x7fffffff).and(lowest.and(below).isZero()).zeroExtend(32).or(out.value)
      } else {
        const shift = number.exponent.leS(16383 + 63)
        out.value = out.value.and(lowest.and(shift).isZero().zeroExtend(32))
      }
      code.if(
        out.value.isNonZero(),
        () => op.raise(INVALID),
        () => {
          op.raise(PRECISION, inexact)
          op.result.value = signed.value.truncate(to)
        },
      )
    })
    return op.finish()
  })

/** To signed integers (CVTSS2SI, CVTTSS2SI …): the integer indefinite 0x80… when it does not fit. */
export const f32ToI32 = toSigned('f32ToI32', BINARY32, 32)
export const f32ToI64 = toSigned('f32ToI64', BINARY32, 64)
export const f64ToI32 = toSigned('f64ToI32', BINARY64, 32)
export const f64ToI64 = toSigned('f64ToI64', BINARY64, 64)

const roundRoutine = (format: Format): Routine =>
  routine(`f${format.width}Round`, [format.width, 32], format.width, (code, x, control) => {
    const op = new Operation(code, format)
    const a = op.operand(x)
    const mode = code.variable(32, control.bit(2).select(op.mode, control.and(3)))
    const quiet = code.variable(32, control.bit(3).zeroExtend(32))
    code.block(done => {
      op.result.value = a.bits.value
      code.if(a.isNaN, () => {
        op.raise(INVALID, a.isSignalling)
        op.result.value = a.quieted
      })
      code.leave(done, a.isZero.or(a.exponentField.geU(format.bias + format.precision - 1)))
      const { magnitude, inexact } = toInteger(code, a.unpack(), mode.value)
      const value = code.variable(64, magnitude)
      op.raise(PRECISION, inexact.and(quiet.value.isZero()))
      // The integer is less than 2^precision: exact.
      const float = value.value.toFloatS(format.width).bits()
      op.result.value = float.or(a.bits.value.and(a.signMask))
    })
    return op.finish()
  })

/** ROUNDSS, ROUNDSD: to an integral number; parameters: the number, and the immediate byte. */
export const f32Round = roundRoutine(BINARY32)
export const f64Round = roundRoutine(BINARY64)

const compare = (format: Format): Routine =>
  routine(`f${format.width}Compare`, [format.width, format.width, 32], 32, (code, x, y, signalling) => {
    const op = new Operation(code, format, 32)
    const a = op.operand(x)
    const b = op.operand(y)
    code.if(
      a.isNaN.or(b.isNaN),
      () => {
        op.raise(INVALID, a.isSignalling.or(b.isSignalling).or(signalling.isNonZero()))
        op.result.set(UNORDERED)
      },
      () => {
        op.raise(DENORMAL, a.isDenormal.or(b.isDenormal))
        const [p, q] = [a.bits.value.asFloat(), b.bits.value.asFloat()]
        const less = p.lt(q).zeroExtend(32)
        op.result.value = less.or(p.eq(q).zeroExtend(32).shl(1))
      },
    )
    return op.finish()
  })

/**
 * Compares a with b: {@link GREATER}, {@link LESS}, {@link EQUAL} or {@link UNORDERED}. The third parameter: 1 to raise
 * invalid for quiet NaNs too (COMISS, CMPLT, CMPLE, MIN, MAX), 0 only for signalling ones (UCOMISS, CMPEQ …).
 */
export const f32Compare = compare(BINARY32)
export const f64Compare = compare(BINARY64)
