/** What the routines of sse.ts are made of: operands taken apart, and an operation's flags and result under MXCSR. */
import { F } from '../cpu/state.ts'
import type { Code, Int, Variable, Width } from '../isa/semantics.ts'
import { raiseFlags } from './mxcsr.ts'
import { DENORMAL, DIVIDE_BY_ZERO, type Format, type HalfFormat, INVALID, roundTo } from './rounding.ts'
import type { Unpacked, Unrounded } from './unrounded.ts'

const DAZ_BIT = 6
const FTZ_BIT = 15
/** Exceptions found before computing: unmasked, they keep the operation from happening. */
const BEFORE = INVALID | DENORMAL | DIVIDE_BY_ZERO

/** An operand: the fields of a number in an interchange format, and what kind of number it is. */
export class Operand {
  readonly bits: Variable
  readonly format: Format
  private readonly code: Code

  constructor(code: Code, format: Format, bits: Int, mxcsr?: Int) {
    this.code = code
    this.format = format
    this.bits = code.variable(format.width, bits)
    if (mxcsr) {
      const flush = mxcsr.bit(DAZ_BIT).and(this.exponentField.isZero())
      this.bits.value = flush.select(this.bits.value.and(this.signMask), this.bits.value)
    }
  }
  get signMask(): bigint {
    return 1n << BigInt(this.format.width - 1)
  }
  get quietBit(): bigint {
    return 1n << BigInt(this.format.precision - 2)
  }
  get fractionMask(): bigint {
    return (1n << BigInt(this.format.precision - 1)) - 1n
  }
  get infinity(): bigint {
    return BigInt(this.format.maximum) << BigInt(this.format.precision - 1)
  }
  get magnitude(): Int {
    return this.bits.value.and(this.signMask - 1n)
  }
  get fraction(): Int {
    return this.bits.value.and(this.fractionMask)
  }
  get exponentField(): Int {
    return this.bits.value
      .shr(this.format.precision - 1)
      .and(this.format.maximum)
      .truncate(32)
  }
  get sign(): Int {
    return this.bits.value.shr(this.format.width - 1).truncate(32)
  }
  get isNaN(): Int {
    return this.magnitude.gtU(this.infinity)
  }
  get isSignalling(): Int {
    return this.isNaN.and(this.bits.value.and(this.quietBit).isZero())
  }
  get isInfinite(): Int {
    return this.magnitude.eq(this.infinity)
  }
  get isZero(): Int {
    return this.magnitude.isZero()
  }
  get isDenormal(): Int {
    return this.exponentField.isZero().and(this.isZero.isZero())
  }
  get quieted(): Int {
    return this.bits.value.or(this.quietBit)
  }
  /** Taken apart; a zero has significand 0 and a very small exponent. */
  unpack(): Unpacked {
    const { code, format } = this
    const rebias = 16383 - format.bias
    const exponent = code.variable(32, this.exponentField.add(rebias))
    const significand = code.variable(
      64,
      this.fraction
        .zeroExtend(64)
        .shl(64 - format.precision)
        .or(1n << 63n),
    )
    code.if(this.exponentField.isZero(), () => {
      significand.value = this.fraction.zeroExtend(64).shl(64 - format.precision)
      code.if(
        significand.value.isZero(),
        () => exponent.set(-30000),
        () => {
          exponent.value = code.const(rebias + 1, 32).sub(significand.value.clz().truncate(32))
          significand.value = significand.value.shl(significand.value.clz())
        },
      )
    })
    return { sign: this.sign, exponent: exponent.value, significand: significand.value }
  }
}

/** What an operation under construction shares: the result, the flags, and MXCSR. */
export class Operation<Of extends Format | HalfFormat = Format> {
  readonly code: Code
  readonly format: Of
  readonly mxcsr: Variable
  readonly flags: Variable
  readonly result: Variable

  constructor(code: Code, format: Of, resultWidth: Width = format.width) {
    this.code = code
    this.format = format
    this.mxcsr = code.variable(32, code.get(F.mxcsr))
    this.flags = code.variable(32, 0)
    this.result = code.variable(resultWidth, 0)
  }
  get mode(): Int {
    return this.mxcsr.value.bits(13, 2)
  }
  raise(flag: number, condition?: Int): void {
    if (!condition) this.flags.value = this.flags.value.or(flag)
    else this.flags.value = this.flags.value.or(condition.zeroExtend(32).mul(flag))
  }
  operand(bits: Int, format: Format = this.format as Format): Operand {
    return new Operand(this.code, format, bits, this.mxcsr.value)
  }
  /** The invalid response: the default NaN. */
  invalid(): void {
    this.raise(INVALID)
    const { width, maximum, precision } = this.format
    const nan = (BigInt(maximum) << BigInt(precision - 1)) | (1n << BigInt(precision - 2)) | (1n << BigInt(width - 1))
    this.result.set(nan)
  }
  setSigned(magnitude: bigint, sign: Int): void {
    const { width } = this.format
    this.result.value = sign
      .zeroExtend(64)
      .shl(width - 1)
      .or(magnitude)
      .truncate(width)
  }
  /** Whether an unmasked exception keeps the operation from being computed. */
  stopped(): Int {
    return this.flags.value.and(this.mxcsr.value.shr(7).not()).and(BEFORE).isNonZero()
  }
  round(number: Unrounded): void {
    const { code, mxcsr, format } = this
    const control = { mode: this.mode, masks: mxcsr.value.shr(7), flushToZero: mxcsr.value.bit(FTZ_BIT) }
    roundTo(code, format, number, control, this.flags, this.result)
  }
  /** Commits the flags, raises the exception, and gives the result. */
  finish(): Int {
    const { code, mxcsr, flags } = this
    raiseFlags(code, flags.value)
    code.if(flags.value.and(mxcsr.value.shr(7).not()).isNonZero(), () => {
      code.set(F.fault, 1)
      code.set(F.faultVector, code.get(F.cr4).bit(10).select(code.const(19, 32), 6))
      code.set(F.faultErrorCode, -1)
    })
    return this.result.value
  }
}
