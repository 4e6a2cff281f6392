/**
 * The short ways of the x87: normal numbers, rounding to nearest, inexact results masked. What is anything else is left to
 * the routines that know everything. Few branches depend on the numbers: they would be mispredicted half of the time.
 */
import { F } from '../cpu/state.ts'
import type { Code, Int, Label } from '../isa/semantics.ts'
import { divideWide, multiplyWide } from './unrounded.ts'
import { C1 } from './x87-stack.ts'

const TOP_BIT = 1n << 63n
/** Control word: rounding, precision and the mask of inexact results; what they are, but for bit 8, which tells 53 bits from 64. */
const CONTROL = 0xf20
const CONTROL_DOUBLE = 0x220
const PRECISION_64 = 0x100
/** The bits of the status word that hold the top of the stack. */
const STACK_TOP = 0x3800
/** Bytes of a register of `F.fpr`, as a shift. */
const STRIDE = 4

/** A normal number: 0 or 1, exponent with its bias, significand with its top bit set. */
export interface Normal {
  readonly sign: Int
  readonly exponent: Int
  readonly significand: Int
}

/** A result before rounding: {@link Normal} with 64 bits more, the last one sticky. */
export interface Wide {
  readonly sign: Int
  readonly exponent: Int
  readonly high: Int
  readonly low: Int
}

/** The registers as they are at the start of an instruction; numbers of registers are byte offsets into `F.fpr`. */
export class QuickStack {
  private readonly fsw: Int
  private readonly top: Int
  private readonly code: Code
  private readonly tags: Int

  constructor(code: Code) {
    this.code = code
    this.fsw = code.variable(32, code.get(F.fsw)).value
    this.tags = code.variable(32, code.get(F.ftw)).value
    this.top = code.variable(32, code.get(F.x87Top)).value
  }
  /** The register of a stack index (32 bits, or known). */
  register(index: Int | number): Int {
    const { top } = this
    if (index === 0) return top
    const moved = typeof index === 'number' ? top.add(index << STRIDE) : top.add(index.shl(STRIDE))
    return this.code.variable(32, moved.and(7 << STRIDE)).value
  }
  /** Leaves where one of the registers is empty. */
  needFull(slow: Label, ...registers: Int[]): void {
    const empty = this.code.variable(32, this.tags.and(this.tags.shr(1))).value
    const any = registers.map(register => empty.shr(register.shr(STRIDE - 1))).reduce((a, b) => a.or(b))
    this.code.leave(slow, any.and(1).toBool(), 'unlikely')
  }
  /** Leaves unless the register is empty. */
  needEmpty(slow: Label, register: Int): void {
    const tag = this.tags.shr(register.shr(STRIDE - 1)).and(3)
    this.code.leave(slow, tag.ne(3), 'unlikely')
  }
  private at(register: Int): Int {
    return this.code.base.add(register)
  }
  significand(register: Int): Int {
    return this.code.variable(64, this.code.getAt(F.fpr, this.at(register), 0, 64)).value
  }
  /** Sign and exponent, 32 bits wide. */
  head(register: Int): Int {
    return this.code.variable(32, this.code.getAt(F.fpr, this.at(register), 8, 16).zeroExtend(32)).value
  }
  /** Leaves unless the register holds a normal number. */
  normal(slow: Label, register: Int): Normal {
    const { code } = this
    const significand = this.significand(register)
    const head = this.head(register)
    const exponent = code.variable(32, head.and(0x7fff)).value
    code.leave(slow, exponent.sub(1).geU(0x7ffe), 'unlikely')
    code.leave(slow, significand.isNegative().isZero(), 'unlikely')
    return { sign: head.shr(15), exponent, significand }
  }
  write(register: Int, significand: Int, head: Int): void {
    this.code.setAt(F.fpr, this.at(register), 0, significand)
    this.code.setAt(F.fpr, this.at(register), 8, head.truncate(16))
  }
  /**
   * Writes the status word: C1 (or other bits) clear but for what `flags` adds, the top moved down by a push (-1) or up by pops. The new top does not
   * wait for the flags, which come from the numbers.
   */
  finish(by: number, flags?: Int, cleared: Int | number = C1): void {
    const { code, fsw } = this
    const kept = typeof cleared === 'number' ? 0xffffffff & ~cleared : cleared.not()
    let word = fsw.and(kept)
    if (by !== 0) word = word.and(0xffffffff & ~STACK_TOP)
    if (by !== 0) {
      const top = code.variable(32, this.top.add(by << STRIDE).and(7 << STRIDE)).value
      code.set(F.x87Top, top)
      word = word.or(top.shl(11 - STRIDE))
    }
    code.set(F.fsw, flags ? word.or(flags) : word)
  }
  /** Marks registers as empty. */
  free(...registers: Int[]): void {
    const bits = registers
      .map(register => this.code.const(3, 32).shl(register.shr(STRIDE - 1)))
      .reduce((a, b) => a.or(b))
    this.code.set(F.ftw, this.tags.or(bits))
  }
  /** Marks an empty register as full, and valid. */
  fill(register: Int): void {
    this.code.set(F.ftw, this.tags.xor(this.code.const(3, 32).shl(register.shr(STRIDE - 1))))
  }
}

/** Leaves unless results are to be rounded to nearest, to 53 or 64 bits, and inexact ones are masked. @returns the precision bit */
export function needPlainControl(code: Code, slow: Label): Int {
  const control = code.variable(32, code.get(F.fcw).and(CONTROL)).value
  code.leave(slow, control.or(PRECISION_64).ne(CONTROL_DOUBLE | PRECISION_64), 'unlikely')
  return control.and(PRECISION_64)
}

/** The sum of two normal numbers. Leaves where one is too small to matter much, and where nothing is left. */
export function quickSum(code: Code, slow: Label, a: Normal, b: Normal): Wide {
  const v64 = (value: Int) => code.variable(64, value).value
  const v32 = (value: Int) => code.variable(32, value).value
  const swap = v32(
    a.exponent
      .ltS(b.exponent)
      .or(a.exponent.eq(b.exponent).and(a.significand.ltU(b.significand)))
      .zeroExtend(32),
  ).isNonZero()
  const large = v64(swap.select(b.significand, a.significand))
  const small = v64(swap.select(a.significand, b.significand))
  const exponent = v32(swap.select(b.exponent, a.exponent))
  const distance = v32(exponent.sub(swap.select(a.exponent, b.exponent)))
  const sign = v32(swap.select(b.sign, a.sign))
  code.leave(slow, distance.gtU(63), 'unlikely')
  const high = v64(small.shr(distance))
  const low = v64(small.shl(1).shl(distance.not()))
  const [outHigh, outLow, outExponent] = [code.variable(64, 0), code.variable(64, 0), code.variable(32, 0)]
  code.if(
    a.sign.eq(b.sign),
    () => {
      const sum = v64(large.add(high))
      const carry = v32(sum.ltU(large).zeroExtend(32))
      const carried = carry.isNonZero()
      outExponent.value = exponent.add(carry)
      outHigh.value = carried.select(sum.shr(1).or(TOP_BIT), sum)
      outLow.value = carried.select(sum.shl(63).or(low.shr(1)).or(low.and(1)), low)
    },
    () => {
      const difference = v64(large.sub(high).sub(low.isNonZero().zeroExtend(64)))
      code.leave(slow, difference.isZero(), 'unlikely')
      const rest = v64(low.neg())
      const shift = v64(difference.clz())
      outHigh.value = difference.shl(shift).or(rest.shr(1).shr(shift.not()))
      outLow.value = rest.shl(shift)
      outExponent.value = exponent.sub(shift.truncate(32))
    },
  )
  return { sign, exponent: outExponent.value, high: outHigh.value, low: outLow.value }
}

/** The product of two normal numbers. */
export function quickProduct(code: Code, _slow: Label, a: Normal, b: Normal): Wide {
  const high = code.variable(64, 0)
  const low = code.variable(64, 0)
  multiplyWide(code, a.significand, b.significand, high, low)
  const [h, l] = [high.value, low.value]
  const exponent = a.exponent.add(b.exponent).sub(16383).add(h.shr(63).truncate(32))
  const full = h.isNegative()
  return {
    sign: a.sign.xor(b.sign),
    exponent: code.variable(32, exponent).value,
    high: code.variable(64, full.select(h, h.shl(1).or(l.shr(63)))).value,
    low: code.variable(64, full.select(l, l.shl(1))).value,
  }
}

/** The quotient of two normal numbers. */
export function quickQuotient(code: Code, _slow: Label, a: Normal, b: Normal): Wide {
  const least = code.variable(32, a.significand.geU(b.significand).zeroExtend(32)).value
  const divisor = b.significand
  const dividend = code.variable(64, a.significand.shr(least)).value
  const below = code.variable(64, a.significand.shl(63).and(code.const(0, 64).sub(least.zeroExtend(64)))).value
  const quotient = code.variable(64, 0)
  const remainder = code.variable(64, 0)
  divideWide(code, dividend, below, divisor, quotient, remainder)
  // Whether the remainder is zero, and below, at or above half the divisor.
  const rest = code.variable(64, divisor.sub(remainder.value)).value
  const above = remainder.value.gtU(rest).select(code.const(3n << 62n, 64), 1n << 62n)
  const low = remainder.value
    .isZero()
    .select(code.const(0, 64), remainder.value.eq(rest).select(code.const(TOP_BIT, 64), above))
  return {
    sign: a.sign.xor(b.sign),
    exponent: code.variable(
      32,
      a.exponent
        .sub(b.exponent)
        .add(16383 - 1)
        .add(least),
    ).value,
    high: quotient.value,
    low: code.variable(64, low).value,
  }
}

/** A rounded number, and what the status word gets: PE and C1. */
export interface Rounded {
  readonly significand: Int
  readonly head: Int
  readonly flags: Int
}

/** Rounds to nearest, to 53 bits or, if the precision bit is set, 64. Leaves where the result may not be normal. */
export function quickRound(code: Code, slow: Label, number: Wide, precision: Int): Rounded {
  const { sign, exponent, high, low } = number
  const v64 = (value: Int) => code.variable(64, value).value
  code.leave(slow, exponent.sub(1).geU(0x7ffd), 'unlikely')
  const extended = precision.isNonZero()
  const unit = v64(extended.select(code.const(1, 64), 0x800))
  const kept = v64(high.and(unit.neg()))
  const rest = v64(extended.select(low, high.shl(53).or(low.isNonZero().zeroExtend(64))))
  // With the last bit kept in the place below a half, ties go to even.
  const odd = kept.and(unit).isNonZero().zeroExtend(64)
  const up = code.variable(32, rest.add(odd).gtU(TOP_BIT).or(rest.add(odd).ltU(rest)).zeroExtend(32)).value
  const sum = v64(kept.add(up.isNonZero().select(unit, 0)))
  const carry = code.variable(32, sum.isZero().zeroExtend(32)).value
  return {
    significand: sum.or(carry.zeroExtend(64).shl(63)),
    head: exponent.add(carry).or(sign.shl(15)),
    flags: code.variable(32, rest.isNonZero().zeroExtend(32).shl(5).or(up.shl(9))).value,
  }
}

/** The normal number with this significand and these sign and exponent, or leaves. */
export function normalNumber(code: Code, slow: Label, significand: Int, head: Int): Normal {
  const exponent = code.variable(32, head.and(0x7fff)).value
  code.leave(slow, exponent.sub(1).geU(0x7ffe), 'unlikely')
  code.leave(slow, significand.isNegative().isZero(), 'unlikely')
  return { sign: head.shr(15), exponent, significand }
}

/** The normal double with these bits, or leaves. */
export function normalDouble(code: Code, slow: Label, bits: Int): Normal {
  const exponent = code.variable(32, bits.shr(52).truncate(32).and(0x7ff)).value
  code.leave(slow, exponent.sub(1).geU(0x7fe), 'unlikely')
  return {
    sign: bits.shr(63).truncate(32),
    exponent: exponent.add(16383 - 1023),
    significand: code.variable(64, bits.shl(11).or(TOP_BIT)).value,
  }
}

/** The normal single with these bits, or leaves. */
export function normalSingle(code: Code, slow: Label, bits: Int): Normal {
  const exponent = code.variable(32, bits.shr(23).and(0xff)).value
  code.leave(slow, exponent.sub(1).geU(0xfe), 'unlikely')
  return {
    sign: bits.shr(31),
    exponent: exponent.add(16383 - 127),
    significand: code.variable(64, bits.zeroExtend(64).shl(40).or(TOP_BIT)).value,
  }
}

/** Pushes a number where nothing is in the way, and leaves otherwise. */
export function quickPush(slow: Label, stack: QuickStack, significand: Int, head: Int): void {
  const to = stack.register(7)
  stack.needEmpty(slow, to)
  stack.write(to, significand, head)
  stack.fill(to)
  stack.finish(-1)
}
