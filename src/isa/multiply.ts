/** Multiplication and division (SDM vol. 2, DIV IDIV IMUL MUL). */
import { AF, F, PF, RAX, RDX, SF, ZF } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, DE, type Int, type Operand, routine, type Semantics } from './semantics.ts'

/** Bits 64–127 of a product of 64-bit values, by halves (Knuth, The Art of Computer Programming vol. 2, 4.3.1). */
function highProduct(a: Int, b: Int, signed: boolean): Int {
  const high = (x: Int): Int => (signed ? x.sar(32) : x.shr(32))
  const [a0, a1] = [a.and(0xffffffffn), high(a)]
  const [b0, b1] = [b.and(0xffffffffn), high(b)]
  const middle = a1.mul(b0).add(a0.mul(b0).shr(32))
  const other = a0.mul(b1).add(middle.and(0xffffffffn))
  return a1.mul(b1).add(high(middle)).add(high(other))
}

/** The product of two values of a width, as its low and its high half. */
export function product(a: Int, b: Int, signed: boolean): { low: Int; high: Int } {
  if (a.width === 64) return { low: a.mul(b), high: highProduct(a, b, signed) }
  const wide = a.width === 32 ? 64 : 32
  const all = signed ? a.signExtend(wide).mul(b.signExtend(wide)) : a.zeroExtend(wide).mul(b.zeroExtend(wide))
  return { low: all.truncate(a.width), high: all.shr(a.width).truncate(a.width) }
}

/** CF and OF. SF, ZF, AF and PF are undefined: AMD's processors leave them alone. */
function setProductFlags(m: Semantics, beyond: Int): void {
  m.flags.set({ carry: beyond, overflow: beyond })
}

/** The register pair of a width that holds products and dividends: AH:AL, DX:AX, EDX:EAX, RDX:RAX. */
const pairOf = (m: Semantics, width: Operand['width']): { low: Operand; high: Operand } => ({
  low: m.register(RAX, width),
  high: width === 8 ? m.highByte(0) : m.register(RDX, width),
})

export const MUL = instruction('MUL', {
  encodings: ['F6 /4  Eb', 'F7 /4  Ev'],
  execute(m, source) {
    const pair = pairOf(m, source.width)
    const { low, high } = product(pair.low.read(), source.read(), false)
    pair.low.write(low)
    pair.high.write(high)
    setProductFlags(m, high.isNonZero())
  },
})

/** IMUL with one operand: the whole product. */
export const IMUL = instruction('IMUL', {
  encodings: ['F6 /5  Eb', 'F7 /5  Ev'],
  execute(m, source) {
    const pair = pairOf(m, source.width)
    const { low, high } = product(pair.low.read(), source.read(), true)
    pair.low.write(low)
    pair.high.write(high)
    setProductFlags(m, high.ne(low.sar(low.width - 1)))
  },
})

/** IMUL with two or three operands: the product cut to its low half. */
export const IMUL_TRUNCATING = instruction<[Operand, Operand, Operand?]>('IMUL', {
  title: 'IMUL, low half',
  encodings: ['0F AF /r  Gv,Ev', '69 /r iz  Gv,Ev,sIz', '6B /r ib  Gv,Ev,sIb'],
  execute(m, destination, first, second) {
    const a = first.read()
    const { low, high } = product(a, (second ?? destination).read(), true)
    destination.write(low)
    setProductFlags(m, high.ne(low.sar(low.width - 1)))
  },
})

/** The flags after a division are undefined: AMD's processors set AF, clear SF, ZF and PF, and keep CF and OF. */
function setQuotientFlags(m: Semantics): void {
  m.flags.writeImage(m.const(AF, 32), SF | ZF | AF | PF)
}

/**
 * One digit of a long division: (high:next 32 bits) / divisor, where high < divisor and the divisor has its top bit set
 * (Knuth, algorithm D). @returns the digit and what remains
 */
function digit(code: Code, high: Int, next: Int, divisor: Int): { digit: Int; rest: Int } {
  const [top, bottom] = [divisor.shr(32), divisor.and(0xffffffffn)]
  const guess = code.variable(64, high.divU(top))
  const left = code.variable(64, high.remU(top))
  code.block(done => {
    code.while(
      () =>
        guess.value
          .shr(32)
          .isNonZero()
          .or(guess.value.mul(bottom).gtU(left.value.shl(32).or(next))),
      () => {
        guess.value = guess.value.sub(1)
        left.value = left.value.add(top)
        code.leave(done, left.value.shr(32).isNonZero())
      },
    )
  })
  return { digit: guess.value, rest: high.shl(32).or(next).sub(guess.value.mul(divisor)) }
}

/**
 * Unsigned 128 by 64 bits: (high:low) / divisor. The quotient goes to F.serviceResult, the remainder to F.serviceResult2.
 * The result says whether there is none: a divisor of 0 or a quotient beyond 64 bits.
 */
export const divide128 = routine('divide128', [64, 64, 64], 32, (code, high, low, divisor) => {
  const failed = code.variable(32, 1)
  code.if(high.ltU(divisor), () => {
    failed.set(0)
    code.if(
      high.isZero(),
      () => {
        code.set(F.serviceResult, low.divU(divisor))
        code.set(F.serviceResult2, low.remU(divisor))
      },
      () => {
        const shift = divisor.clz()
        const normalized = divisor.shl(shift)
        // A shift by 64 would be one by 0, so the bits that cross come in two steps.
        const top = high.shl(shift).or(low.shr(1).shr(shift.xor(63)))
        const bottom = low.shl(shift)
        const first = digit(code, top, bottom.shr(32), normalized)
        const second = digit(code, first.rest, bottom.and(0xffffffffn), normalized)
        code.set(F.serviceResult, first.digit.shl(32).or(second.digit))
        code.set(F.serviceResult2, second.rest.shr(shift))
      },
    )
  })
  return failed.value
})

const MINIMUM = 1n << 63n

/** Signed 128 by 64 bits, as {@link divide128}. */
export const divideSigned128 = routine('divideSigned128', [64, 64, 64], 32, (code, high, low, divisor) => {
  const negative = high.isNegative()
  const [lowNegated, borrow] = [low.neg(), low.isNonZero()]
  const lowMagnitude = negative.select(lowNegated, low)
  const highMagnitude = negative.select(high.neg().sub(borrow.zeroExtend(64)), high)
  const divisorMagnitude = divisor.isNegative().select(divisor.neg(), divisor)
  const failed = code.variable(32, code.call(divide128, highMagnitude, lowMagnitude, divisorMagnitude))
  const opposite = negative.xor(divisor.isNegative())
  const quotient = code.get(F.serviceResult)
  const remainder = code.get(F.serviceResult2)
  const limit = opposite.select(code.const(MINIMUM, 64), MINIMUM - 1n)
  failed.value = failed.value.or(quotient.gtU(limit).zeroExtend(32))
  code.set(F.serviceResult, opposite.select(quotient.neg(), quotient))
  code.set(F.serviceResult2, negative.select(remainder.neg(), remainder))
  return failed.value
})

/** DIV and IDIV of RDX:RAX. */
function divideWide(m: Semantics, divisor: Int, signed: boolean): void {
  const { low, high } = pairOf(m, 64)
  const failed = m.call(signed ? divideSigned128 : divide128, high.read(), low.read(), divisor)
  m.raiseIf(failed.isNonZero(), DE)
  low.write(m.get(F.serviceResult))
  high.write(m.get(F.serviceResult2))
  setQuotientFlags(m)
}

/** The dividend in a pair of up to 32-bit registers as one value of twice the width, extended to `wide` bits. */
function dividend(pair: { low: Operand; high: Operand }, wide: 32 | 64, signed: boolean): Int {
  const [low, high] = [pair.low.read(), pair.high.read()]
  const top = signed ? high.signExtend(wide) : high.zeroExtend(wide)
  return top.shl(low.width).or(low.zeroExtend(wide))
}

export const DIV = instruction('DIV', {
  encodings: ['F6 /6  Eb', 'F7 /6  Ev'],
  execute(m, source) {
    const divisor = source.read()
    const { width } = divisor
    if (width === 64) {
      divideWide(m, divisor, false)
      return
    }
    const pair = pairOf(m, width)
    // True of a divisor of 0 too.
    m.raiseIf(pair.high.read().geU(divisor), DE)
    const wide = width === 32 ? 64 : 32
    const value = dividend(pair, wide, false)
    const by = divisor.zeroExtend(wide)
    const quotient = value.divU(by).truncate(width)
    const remainder = value.remU(by).truncate(width)
    pair.low.write(quotient)
    pair.high.write(remainder)
    setQuotientFlags(m)
  },
})

export const IDIV = instruction('IDIV', {
  encodings: ['F6 /7  Eb', 'F7 /7  Ev'],
  execute(m, source) {
    const divisor = source.read()
    const { width } = divisor
    if (width === 64) {
      divideWide(m, divisor, true)
      return
    }
    const pair = pairOf(m, width)
    const wide = width === 8 ? 32 : 64
    const value = dividend(pair, wide, true)
    const by = divisor.signExtend(wide)
    m.raiseIf(by.isZero(), DE)
    // The one quotient that WebAssembly's division traps on.
    if (width === 32) m.raiseIf(value.eq(MINIMUM).and(by.eq(-1)), DE)
    const quotient = value.divS(by)
    const cut = quotient.truncate(width)
    m.raiseIf(cut.signExtend(wide).ne(quotient), DE)
    const remainder = value.remS(by).truncate(width)
    pair.low.write(cut)
    pair.high.write(remainder)
    setQuotientFlags(m)
  },
})

export const instructions: readonly Instruction[] = [MUL, IMUL, IMUL_TRUNCATING, DIV, IDIV]
