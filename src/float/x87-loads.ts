/** Loads of the x87: operands of all kinds become extended numbers, on the stack or in the place of the memory operand. */
import { F } from '../cpu/state.ts'
import { type Code, type Int, type Routine, routine } from '../isa/semantics.ts'
import type { ExtendedResult } from './extended.ts'
import { BINARY32, BINARY64, DENORMAL, type Format, INVALID } from './rounding.ts'
import { normalDouble, normalSingle, QuickStack, quickPush } from './x87-quick.ts'
import { C1, giveNumber, INDEFINITE, INDEFINITE_EXPONENT, MEMORY, STACK_FAULT, STOPPED, X87 } from './x87-stack.ts'

/** Pushes a number unless an unmasked exception stopped it; a full register where it should go is a stack fault. */
export function pushExtended(x87: X87, significand: Int, head: Int): void {
  const { code } = x87
  const s = code.variable(64, significand)
  const h = code.variable(32, head)
  const to = code.variable(32, x87.physical(7))
  code.if(x87.isEmpty(to.value).isZero(), () => {
    x87.flags.set(INVALID | STACK_FAULT | C1)
    s.set(INDEFINITE)
    h.set(INDEFINITE_EXPONENT)
  })
  code.if(
    x87.unmasked(INVALID),
    () => x87.raise(STOPPED),
    () => {
      x87.write(to.value, s.value, h.value)
      x87.moveTop(-1)
    },
  )
}

/**
 * A binary32 or binary64 number as an extended one: exact; denormals set their flag. Signalling NaNs set invalid and
 * become quiet when loaded, but stay as they are for the arithmetic that follows.
 */
function widen(code: Code, x87: X87, format: Format, bits: Int, result: ExtendedResult, load: boolean): void {
  const { width, precision, maximum, bias } = format
  const exponent = code.variable(
    32,
    bits
      .shr(precision - 1)
      .and(maximum)
      .truncate(32),
  )
  const fraction = code.variable(64, bits.zeroExtend(64).shl(64 - precision))
  const sign = code.variable(
    32,
    bits
      .shr(width - 1)
      .truncate(32)
      .shl(15),
  )
  result.significand.value = fraction.value.or(1n << 63n)
  result.head.value = exponent.value.add(16383 - bias).or(sign.value)
  code.if(exponent.value.sub(1).geU(maximum - 1), () => {
    fraction.value = fraction.value.and((1n << 63n) - 1n)
    code.if(
      exponent.value.isZero(),
      () => {
        code.if(
          fraction.value.isZero(),
          () => {
            result.significand.set(0)
            result.head.value = sign.value
          },
          () => {
            x87.raise(DENORMAL)
            result.significand.value = fraction.value.shl(fraction.value.clz())
            result.head.value = code
              .const(16383 - bias + 1, 32)
              .sub(fraction.value.clz().truncate(32))
              .or(sign.value)
          },
        )
      },
      () => {
        result.head.value = sign.value.or(0x7fff)
        code.if(fraction.value.isNonZero(), () => {
          if (load) x87.raise(INVALID, fraction.value.bit(62).isZero())
          result.significand.value = fraction.value.or(load ? 3n << 62n : 1n << 63n)
        })
      },
    )
  })
}

function fromInteger(code: Code, value: Int, result: ExtendedResult): void {
  const negative = code.variable(32, value.shr(63).truncate(32))
  const magnitude = code.variable(64, negative.value.isNonZero().select(value.neg(), value))
  const shift = code.variable(64, magnitude.value.clz())
  result.significand.value = magnitude.value.shl(shift.value)
  const exponent = code.const(16383 + 63, 32).sub(shift.value.truncate(32))
  result.head.value = magnitude.value.isZero().select(code.const(0, 32), exponent.or(negative.value.shl(15)))
}

const newResult = (code: Code): ExtendedResult => ({
  significand: code.variable(64, 0),
  head: code.variable(32, 0),
})

function keepOperand(code: Code, result: ExtendedResult): void {
  code.set(F.fpr, result.significand.value, MEMORY)
  code.setPart(F.fpr, 8, result.head.value.truncate(16), MEMORY)
}

const operandRoutine = (format: Format): Routine =>
  routine(`x87Operand${format.width}`, [format.width], undefined, (code, bits) => {
    const x87 = new X87(code)
    const result = newResult(code)
    widen(code, x87, format, bits, result, false)
    keepOperand(code, result)
    code.set(F.x87Flags, x87.flags.value)
    return undefined
  })

const pushRoutine = (format: Format): Routine =>
  routine(`x87Push${format.width}`, [format.width], undefined, (code, bits) => {
    code.block(slow => {
      const normal = format.width === 64 ? normalDouble : normalSingle
      const { sign, exponent, significand } = normal(code, slow, bits)
      quickPush(slow, new QuickStack(code), significand, exponent.or(sign.shl(15)))
      code.f.return()
    })
    const x87 = new X87(code)
    const result = newResult(code)
    widen(code, x87, format, bits, result, true)
    pushExtended(x87, result.significand.value, result.head.value)
    x87.commit()
    return undefined
  })

/** Makes the bits of a number in memory the memory operand of the arithmetic routine that follows. */
export const x87Operand32 = operandRoutine(BINARY32)
export const x87Operand64 = operandRoutine(BINARY64)
/** FLD m32, FLD m64: pushes a number given by its bits. */
export const x87Push32 = pushRoutine(BINARY32)
export const x87Push64 = pushRoutine(BINARY64)

const widenRoutine = (format: Format, load: boolean): Routine =>
  routine(`x87${load ? 'Load' : 'Widen'}${format.width}Value`, [format.width], 64, (code, bits) => {
    const x87 = new X87(code)
    const result = newResult(code)
    widen(code, x87, format, bits, result, load)
    return giveNumber(code, result.significand.value, result.head.value, x87.flags.value)
  })

/** The bits of a number as an extended one ({@link giveNumber}), as an operand of arithmetic. */
export const x87Widen32Value = widenRoutine(BINARY32, false)
export const x87Widen64Value = widenRoutine(BINARY64, false)
/** The same for FLD. */
export const x87Load32Value = widenRoutine(BINARY32, true)
export const x87Load64Value = widenRoutine(BINARY64, true)

/** Makes a signed integer the memory operand. */
export const x87OperandInteger = routine('x87OperandInteger', [64], undefined, (code, value) => {
  const result = newResult(code)
  fromInteger(code, value, result)
  keepOperand(code, result)
  code.set(F.x87Flags, 0)
  return undefined
})

/** FILD: pushes a signed integer. */
export const x87PushInteger = routine('x87PushInteger', [64], undefined, (code, value) => {
  const x87 = new X87(code)
  const result = newResult(code)
  fromInteger(code, value, result)
  pushExtended(x87, result.significand.value, result.head.value)
  x87.commit()
  return undefined
})

/** Pushes an extended number as it is (FLD m80, constants): significand, sign and exponent. */
export const x87PushExtended = routine('x87PushExtended', [64, 32], undefined, (code, significand, head) => {
  code.block(slow => {
    quickPush(slow, new QuickStack(code), significand, head)
    code.f.return()
  })
  const x87 = new X87(code)
  pushExtended(x87, significand, head)
  x87.commit()
  return undefined
})

/** FLD ST(i). */
export const x87PushRegister = routine('x87PushRegister', [32], undefined, (code, index) => {
  code.block(slow => {
    const stack = new QuickStack(code)
    const from = stack.register(index)
    stack.needFull(slow, from)
    quickPush(slow, stack, stack.significand(from), stack.head(from))
    code.f.return()
  })
  const x87 = new X87(code)
  const from = code.variable(32, x87.physical(index))
  const value = x87.read(from.value)
  const missing = code.variable(32, x87.isEmpty(from.value).zeroExtend(32))
  code.if(missing.value.isNonZero(), () => {
    x87.raise(INVALID | STACK_FAULT)
    value.significand.set(INDEFINITE)
    value.head.set(INDEFINITE_EXPONENT)
  })
  pushExtended(x87, value.significand.value, value.head.value)
  // The missing operand goes before a missing place for it.
  code.if(missing.value.isNonZero(), () => {
    x87.flags.value = x87.flags.value.and(0xffffffff & ~C1)
  })
  x87.commit()
  return undefined
})

/** FBLD: 18 decimal digits and a sign; parameters are the low eight bytes and the upper two. */
export const x87PushBcd = routine('x87PushBcd', [64, 32], undefined, (code, low, high) => {
  const x87 = new X87(code)
  const digits = code.variable(64, low)
  const value = code.variable(64, 0)
  const count = code.variable(32, 16)
  const top = code.variable(64, high.and(0xff).zeroExtend(64))
  value.value = top.value.shr(4).mul(10).add(top.value.and(15))
  code.while(
    () => count.value.isNonZero(),
    () => {
      value.value = value.value.mul(10).add(digits.value.shr(60))
      digits.value = digits.value.shl(4)
      count.value = count.value.sub(1)
    },
  )
  const result = newResult(code)
  fromInteger(code, value.value, result)
  pushExtended(x87, result.significand.value, result.head.value.or(high.and(0x8000)))
  x87.commit()
  return undefined
})
