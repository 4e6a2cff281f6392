/**
 * Fused multiply-add of binary32 and binary64: a product and a sum with one rounding, as FMA's instructions do it under MXCSR
 * (SDM vol. 1, 14.5). Used as the routines of sse.ts.
 */
import { type Code, type Int, type Routine, routine, type Variable } from '../isa/semantics.ts'
import { BINARY32, BINARY64, DENORMAL, DOWN, type Format, INVALID, shiftRightSticky } from './rounding.ts'
import { Operation } from './sse-operation.ts'
import { multiplyUnrounded, type Unpacked, Unrounded } from './unrounded.ts'

/** Which signs are turned around: the product's, the addend's. */
export interface FmaSigns {
  readonly negatesProduct: boolean
  readonly negatesAddend: boolean
}

/** A number of 128 bits, its exponent as in {@link Unpacked}. */
interface Wide {
  readonly sign: Variable
  readonly exponent: Variable
  readonly high: Variable
  readonly low: Variable
}

/** Exchanges the contents of two variables if a condition (a variable, 32 bits) holds. */
function exchangeIf(condition: Int, a: Variable, b: Variable): void {
  const [x, y] = [a.value, b.value]
  const first = condition.isNonZero().select(y, x)
  const second = condition.isNonZero().select(x, y)
  // Both are computed before either is assigned.
  a.value = first
  b.value = second
}

/**
 * The sum of a product, exact in 128 bits, and a number, in `product`: 128 bits whose last one is sticky. Bits are only lost of
 * the smaller one where it lies so far below that a difference loses no more than one bit at its top.
 */
function addToProduct(code: Code, product: Wide, addend: Wide): void {
  const above = addend.high.value.gtU(product.high.value)
  const level = addend.high.value.eq(product.high.value).and(addend.low.value.gtU(product.low.value))
  const swap = code.variable(
    32,
    addend.exponent.value
      .gtS(product.exponent.value)
      .or(addend.exponent.value.eq(product.exponent.value).and(above.or(level)))
      .zeroExtend(32),
  )
  for (const part of ['sign', 'exponent', 'high', 'low'] as const) {
    exchangeIf(swap.value, product[part], addend[part])
  }
  const distance = code.variable(32, product.exponent.value.sub(addend.exponent.value))
  code.if(distance.value.isNonZero(), () => shiftRightSticky(code, addend.high, addend.low, distance.value))
  const low = code.variable(64, 0)
  const high = code.variable(64, 0)
  code.if(
    product.sign.value.eq(addend.sign.value),
    () => {
      low.value = product.low.value.add(addend.low.value)
      const carry = low.value.ltU(addend.low.value).zeroExtend(64)
      const partial = code.variable(64, product.high.value.add(addend.high.value))
      const over = code.variable(32, partial.value.ltU(addend.high.value).zeroExtend(32))
      high.value = partial.value.add(carry)
      over.value = over.value.or(high.value.ltU(carry).zeroExtend(32))
      code.if(over.value.isNonZero(), () => {
        low.value = low.value.shr(1).or(low.value.and(1)).or(high.value.shl(63))
        high.value = high.value.shr(1).or(1n << 63n)
        product.exponent.value = product.exponent.value.add(1)
      })
    },
    () => {
      low.value = product.low.value.sub(addend.low.value)
      const borrow = product.low.value.ltU(addend.low.value).zeroExtend(64)
      high.value = product.high.value.sub(addend.high.value).sub(borrow)
      code.if(high.value.isZero(), () => {
        high.value = low.value
        low.set(0)
        product.exponent.value = product.exponent.value.sub(64)
      })
      const shift = code.variable(64, high.value.clz())
      code.if(shift.value.isNonZero().and(shift.value.ltU(64)), () => {
        high.value = high.value.shl(shift.value).or(low.value.shr(shift.value.neg()))
        low.value = low.value.shl(shift.value)
        product.exponent.value = product.exponent.value.sub(shift.value.truncate(32))
      })
    },
  )
  product.high.value = high.value
  product.low.value = low.value
}

/** ±(x · y) ± z. A NaN is the first one of x, y and z. */
const fusedMultiplyAdd = (name: string, format: Format, { negatesProduct, negatesAddend }: FmaSigns): Routine => {
  const { width } = format
  return routine(name, [width, width, width], width, (code, x, y, z) => {
    const op = new Operation(code, format)
    const [a, b, c] = [op.operand(x), op.operand(y), op.operand(z)]
    code.block(done => {
      const leave = (condition: Int, then: () => void) => {
        const holds = code.variable(32, condition.zeroExtend(32))
        code.if(holds.value.isNonZero(), then)
        code.leave(done, holds.value.isNonZero())
      }
      const infiniteTimesZero = () => a.isInfinite.and(b.isZero).or(a.isZero.and(b.isInfinite))
      leave(a.isNaN.or(b.isNaN).or(c.isNaN), () => {
        op.raise(INVALID, a.isSignalling.or(b.isSignalling).or(c.isSignalling))
        op.result.value = a.isNaN.select(a.quieted, b.isNaN.select(b.quieted, c.quieted))
      })
      if (negatesAddend) c.bits.value = c.bits.value.xor(c.signMask)
      const productSign = code.variable(32, a.sign.xor(b.sign).xor(negatesProduct ? 1 : 0))
      const denormal = code.variable(32, a.isDenormal.or(b.isDenormal).or(c.isDenormal).zeroExtend(32))
      leave(infiniteTimesZero(), () => op.invalid())
      const infiniteProduct = () => a.isInfinite.or(b.isInfinite)
      leave(infiniteProduct().and(c.isInfinite).and(productSign.value.ne(c.sign)), () => op.invalid())
      op.raise(DENORMAL, denormal.value.toBool())
      leave(infiniteProduct(), () => op.setSigned(a.infinity, productSign.value))
      leave(c.isInfinite, () => {
        op.result.value = c.bits.value
      })
      leave(a.isZero.or(b.isZero).and(c.isZero), () => {
        op.setSigned(0n, productSign.value.eq(c.sign).select(c.sign, op.mode.eq(DOWN).zeroExtend(32)))
      })
      code.leave(done, op.stopped())
      const out = new Unrounded(code)
      multiplyUnrounded(code, a.unpack(), b.unpack(), out)
      out.sign.value = productSign.value
      // A product of zero is far below everything.
      code.if(out.high.value.isZero(), () => out.exponent.set(-40000))
      addToProduct(code, out, wide(code, c.unpack()))
      const zero = out.high.value.or(out.low.value).isZero()
      out.sign.value = zero.select(op.mode.eq(DOWN).zeroExtend(32), out.sign.value)
      op.round(out)
    })
    return op.finish()
  })
}

/** A number as one of 128 bits. */
function wide(code: Code, number: Unpacked): Wide {
  return {
    sign: code.variable(32, number.sign),
    exponent: code.variable(32, number.exponent),
    high: code.variable(64, number.significand),
    low: code.variable(64, 0),
  }
}

/** What the four kinds of multiply-add do with signs, by the letters of their mnemonics. */
export const FMA_SIGNS = {
  MADD: { negatesProduct: false, negatesAddend: false },
  MSUB: { negatesProduct: false, negatesAddend: true },
  NMADD: { negatesProduct: true, negatesAddend: false },
  NMSUB: { negatesProduct: true, negatesAddend: true },
} as const
export type FmaKind = keyof typeof FMA_SIGNS

const ofFormat = (format: Format): Readonly<Record<FmaKind, Routine>> => ({
  MADD: fusedMultiplyAdd(`f${format.width}MADD`, format, FMA_SIGNS.MADD),
  MSUB: fusedMultiplyAdd(`f${format.width}MSUB`, format, FMA_SIGNS.MSUB),
  NMADD: fusedMultiplyAdd(`f${format.width}NMADD`, format, FMA_SIGNS.NMADD),
  NMSUB: fusedMultiplyAdd(`f${format.width}NMSUB`, format, FMA_SIGNS.NMSUB),
})

/** The routines by width and kind: x, y, z to ±(x · y) ± z. */
export const fma: Readonly<Record<32 | 64, Readonly<Record<FmaKind, Routine>>>> = {
  32: ofFormat(BINARY32),
  64: ofFormat(BINARY64),
}
