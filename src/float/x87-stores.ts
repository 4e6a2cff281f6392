/**
 * Stores of the x87. A conversion routine gives what is to be stored and leaves exceptions in `F.x87Flags`; the instruction
 * stores unless {@link STOPPED} is set there, and then calls {@link x87CommitStore}, so that a page fault of the store
 * changes nothing.
 */
import { F } from '../cpu/state.ts'
import { type Code, type Int, type Routine, routine, type Variable } from '../isa/semantics.ts'
import { UnpackedExtended } from './extended.ts'
import {
  BINARY32,
  BINARY64,
  type Format,
  INVALID,
  OVERFLOW,
  PRECISION,
  roundTo,
  toInteger,
  UNDERFLOW,
} from './rounding.ts'
import { Unrounded } from './unrounded.ts'
import { needPlainControl, QuickStack } from './x87-quick.ts'
import { C1, Extended, INDEFINITE, INDEFINITE_EXPONENT, STACK_FAULT, STOPPED, X87 } from './x87-stack.ts'

/** Reads the top of the stack for a store; an empty one sets the flags and runs `missing` instead. */
function withTop(code: Code, x87: X87, missing: () => void, then: (a: Extended) => void): void {
  const top = code.variable(32, x87.physical(0))
  code.if(
    x87.isEmpty(top.value),
    () => {
      x87.raise(INVALID | STACK_FAULT)
      missing()
    },
    () => then(x87.read(top.value)),
  )
}

/** Leaves the flags for the commit; an unmasked exception among `stopping` stops the store. */
function keepFlags(code: Code, x87: X87, stopping: number): void {
  x87.raise(STOPPED, x87.unmasked(stopping))
  code.set(F.x87Flags, x87.flags.value)
}

/** A number rounded to a format: its bits. */
function narrow(code: Code, x87: X87, format: Format, a: Extended, result: Variable, indefinite: () => void): void {
  const { width, precision, maximum } = format
  const infinity = BigInt(maximum) << BigInt(precision - 1)
  code.block(done => {
    const sign = () => a.sign.zeroExtend(64).shl(width - 1)
    code.if(a.isNormal.isZero(), () => {
      code.if(a.isUnsupported, () => {
        x87.raise(INVALID)
        indefinite()
      })
      code.leave(done, a.isUnsupported)
      code.if(a.exponent.eq(0x7fff), () => {
        x87.raise(INVALID, a.isSignalling)
        const quiet = a.isNaN.select(code.const(1n << 62n, 64), 0)
        const fraction = a.significand.value
          .or(quiet)
          .shl(1)
          .shr(65 - precision)
        result.value = fraction.or(infinity).or(sign()).truncate(width)
      })
      code.leave(done, a.exponent.eq(0x7fff))
    })
    const p = new UnpackedExtended(code, a)
    p.normalise(code)
    const number = new Unrounded(code)
    number.sign.value = p.sign.value
    number.exponent.value = p.exponent.value
    number.high.value = p.significand.value
    const up = code.variable(32, 0)
    roundTo(code, format, number, { mode: x87.mode, masks: x87.fcw.value }, x87.flags, result, up)
    x87.raise(C1, up.value.isNonZero())
    // What is not stored is not inexact either.
    code.if(x87.unmasked(OVERFLOW | UNDERFLOW), () => {
      x87.flags.value = x87.flags.value.and(0xffffffff & ~(PRECISION | C1))
    })
  })
}

/** The bits that stand for an invalid operation in a format. */
function indefiniteBits({ width, precision, maximum }: Format): bigint {
  return (BigInt(maximum) << BigInt(precision - 1)) | (1n << BigInt(precision - 2)) | (1n << BigInt(width - 1))
}

const storeValue = (format: Format): Routine =>
  routine(`x87Store${format.width}Value`, [64, 32], format.width, (code, significand, head) => {
    const x87 = new X87(code)
    const result = code.variable(format.width, 0)
    const a = new Extended(code, significand, head)
    narrow(code, x87, format, a, result, () => result.set(indefiniteBits(format)))
    code.set(F.x87Flags, x87.flags.value)
    return result.value
  })

/** A number rounded to binary32 or binary64 with all exceptions masked: its bits; exceptions and C1 are in `F.x87Flags`. */
export const x87Store32Value = storeValue(BINARY32)
export const x87Store64Value = storeValue(BINARY64)

const store = (format: Format): Routine =>
  routine(`x87Store${format.width}`, [], format.width, code => {
    const { width, precision, maximum, bias } = format
    code.block(slow => {
      needPlainControl(code, slow)
      const stack = new QuickStack(code)
      const top = stack.register(0)
      stack.needFull(slow, top)
      const number = stack.normal(slow, top)
      const exponent = code.variable(32, number.exponent.sub(16383 - bias)).value
      // Neither underflow nor overflow, not even by rounding.
      code.leave(slow, exponent.sub(2).geU(maximum - 3), 'unlikely')
      const kept = code.variable(64, number.significand.shl(1).shr(65 - precision)).value
      const rest = code.variable(64, number.significand.shl(precision)).value
      const up = code.variable(
        32,
        rest
          .add(kept.and(1))
          .gtU(1n << 63n)
          .zeroExtend(32),
      ).value
      const inexact = rest.isNonZero().zeroExtend(32)
      code.set(F.x87Flags, inexact.shl(5).or(up.mul(C1)))
      const fields = number.sign
        .zeroExtend(64)
        .shl(width - 1)
        .or(exponent.zeroExtend(64).shl(precision - 1))
      code.f.return(fields.or(kept).add(up.zeroExtend(64)).truncate(width).node)
    })
    const x87 = new X87(code)
    const result = code.variable(width, 0)
    const indefinite = () => result.set(indefiniteBits(format))
    withTop(code, x87, indefinite, a => narrow(code, x87, format, a, result, indefinite))
    keepFlags(code, x87, INVALID | OVERFLOW | UNDERFLOW)
    return result.value
  })

/** The top of the stack rounded to binary32 or binary64: its bits (FST m32, FST m64). */
export const x87Store32 = store(BINARY32)
export const x87Store64 = store(BINARY64)

/** Rounds the top to a signed integer of up to 64 bits; `fits` says whether magnitude and sign can be stored. */
function roundToInteger(
  code: Code,
  x87: X87,
  a: Extended,
  mode: Int,
  fits: (magnitude: Int, negative: Int) => Int,
  indefinite: () => void,
  set: (magnitude: Int, negative: Int) => void,
): void {
  const wrong = code.variable(32, 1)
  code.if(a.isUnsupported.or(a.exponent.eq(0x7fff)).isZero(), () => {
    const p = new UnpackedExtended(code, a)
    p.normalise(code)
    const magnitude = code.variable(64, 0)
    const inexact = code.variable(32, 0)
    const up = code.variable(32, 0)
    const big = code.variable(32, p.exponent.value.gtS(16383 + 63).zeroExtend(32))
    code.if(a.isZero.isZero(), () => {
      const rounded = toInteger(code, p.value, mode)
      magnitude.value = rounded.magnitude
      inexact.value = rounded.inexact.zeroExtend(32)
      up.value = rounded.roundedUp.zeroExtend(32)
    })
    code.if(big.value.isZero().and(fits(magnitude.value, p.sign.value.isNonZero())), () => {
      wrong.set(0)
      x87.raise(PRECISION, inexact.value.isNonZero())
      x87.raise(C1, up.value.isNonZero())
      set(magnitude.value, p.sign.value.isNonZero())
    })
  })
  code.if(wrong.value.isNonZero(), () => {
    x87.raise(INVALID)
    indefinite()
  })
}

/** A number as an integer of so many bits, cut towards zero or by rounding control; `result` stays as it is where it does not fit. */
function narrowInteger(code: Code, x87: X87, a: Extended, width: Int, truncate: Int, result: Variable): void {
  const limit = code.variable(64, code.const(1, 64).shl(width.sub(1)))
  const mode = code.variable(32, x87.mode.or(truncate.mul(3)))
  roundToInteger(
    code,
    x87,
    a,
    mode.value,
    (magnitude, negative) => magnitude.ltU(limit.value).or(negative.and(magnitude.eq(limit.value))),
    () => {},
    (magnitude, negative) => {
      result.value = negative.select(magnitude.neg(), magnitude)
    },
  )
}

/** As {@link x87StoreInteger} of a number that is given: significand, sign and exponent, width, 1 to cut towards zero. Exceptions are in `F.x87Flags`. */
export const x87StoreIntegerValue = routine(
  'x87StoreIntegerValue',
  [64, 32, 32, 32],
  64,
  (code, significand, head, width, truncate) => {
    const x87 = new X87(code)
    const result = code.variable(64, code.const(1, 64).shl(width.sub(1)).neg())
    narrowInteger(code, x87, new Extended(code, significand, head), width, truncate, result)
    code.set(F.x87Flags, x87.flags.value)
    return result.value
  },
)

/**
 * The top of the stack as a signed integer (FIST, FISTTP). Parameters: its width in bits (16, 32 or 64), and 1 to cut towards
 * zero. The result is the integer indefinite if it does not fit.
 */
export const x87StoreInteger = routine('x87StoreInteger', [32, 32], 64, (code, width, truncate) => {
  const x87 = new X87(code)
  const result = code.variable(64, code.const(1, 64).shl(width.sub(1)).neg())
  withTop(
    code,
    x87,
    () => {},
    a => narrowInteger(code, x87, a, width, truncate, result),
  )
  keepFlags(code, x87, INVALID)
  return result.value
})

/** FBSTP: 16 digits of packed decimal; two more and the sign, 16 bits, are in `F.serviceResult2`. */
export const x87StoreBcd = routine('x87StoreBcd', [], 64, code => {
  const x87 = new X87(code)
  const result = code.variable(64, 0)
  const high = code.variable(64, 0)
  const indefinite = () => {
    result.set(3n << 62n)
    high.set(0xffff)
  }
  withTop(code, x87, indefinite, a => {
    roundToInteger(
      code,
      x87,
      a,
      x87.mode,
      magnitude => magnitude.ltU(10n ** 18n),
      indefinite,
      (magnitude, negative) => {
        const rest = code.variable(64, magnitude)
        const count = code.variable(32, 16)
        const next = () => {
          const digit = rest.value.remU(10)
          result.value = result.value.shr(4).or(digit.shl(60))
          rest.value = rest.value.divU(10)
          count.value = count.value.sub(1)
        }
        code.while(() => count.value.isNonZero(), next)
        const sign = negative.zeroExtend(64).shl(15)
        high.value = rest.value.divU(10).shl(4).or(rest.value.remU(10)).or(sign)
      },
    )
  })
  keepFlags(code, x87, INVALID)
  code.set(F.serviceResult2, high.value)
  return result.value
})

/** FSTP m80: the significand; sign and exponent are in `F.serviceResult2`. */
export const x87StoreExtended = routine('x87StoreExtended', [], 64, code => {
  const x87 = new X87(code)
  const result = code.variable(64, INDEFINITE)
  code.set(F.serviceResult2, INDEFINITE_EXPONENT)
  withTop(
    code,
    x87,
    () => {},
    a => {
      result.value = a.significand.value
      code.set(F.serviceResult2, a.head.value.zeroExtend(64))
    },
  )
  keepFlags(code, x87, INVALID)
  return result.value
})

/** After a store: the status word gets the exceptions of `F.x87Flags`; parameter 1 pops unless the store was stopped. */
export const x87CommitStore = routine('x87CommitStore', [32], undefined, (code, pop) => {
  const met = code.variable(32, code.get(F.x87Flags)).value
  code.block(slow => {
    code.leave(slow, code.get(F.fcw).and(PRECISION).isZero(), 'unlikely')
    code.leave(slow, met.and(0xffffffff & ~(PRECISION | C1)).isNonZero(), 'unlikely')
    const stack = new QuickStack(code)
    code.set(F.x87Flags, 0)
    code.if(
      pop.isNonZero(),
      () => {
        stack.free(stack.register(0))
        stack.finish(1, met)
      },
      () => stack.finish(0, met),
    )
    code.f.return()
  })
  const x87 = new X87(code, code.get(F.x87Flags))
  code.set(F.x87Flags, 0)
  code.if(x87.flags.value.and(STOPPED).isZero().and(pop.isNonZero()), () => x87.pop())
  x87.commit()
  return undefined
})

/** FST ST(i), FSTP ST(i): parameters are the index and 1 to pop. */
export const x87StoreRegister = routine('x87StoreRegister', [32, 32], undefined, (code, index, pop) => {
  code.block(slow => {
    const stack = new QuickStack(code)
    const [from, to] = [stack.register(0), stack.register(index)]
    stack.needFull(slow, from, to)
    stack.write(to, stack.significand(from), stack.head(from))
    code.if(
      pop.isNonZero(),
      () => {
        stack.free(from)
        stack.finish(1)
      },
      () => stack.finish(0),
    )
    code.f.return()
  })
  const x87 = new X87(code)
  const from = code.variable(32, x87.physical(0))
  const value = x87.read(from.value)
  code.if(x87.isEmpty(from.value), () => {
    x87.raise(INVALID | STACK_FAULT)
    value.significand.set(INDEFINITE)
    value.head.set(INDEFINITE_EXPONENT)
  })
  code.if(x87.unmasked(INVALID).isZero(), () => {
    x87.write(code.variable(32, x87.physical(index)).value, value.significand.value, value.head.value)
    code.if(pop.isNonZero(), () => x87.pop())
  })
  x87.commit()
  return undefined
})

/** FSTPNCE: as FSTP ST(i), but an empty top is only popped. */
export const x87PopRegister = routine('x87PopRegister', [32], undefined, (code, index) => {
  const x87 = new X87(code)
  const from = code.variable(32, x87.physical(0))
  code.if(x87.isEmpty(from.value).isZero(), () => {
    const value = x87.read(from.value)
    x87.write(code.variable(32, x87.physical(index)).value, value.significand.value, value.head.value)
  })
  x87.pop()
  x87.commit()
  return undefined
})
