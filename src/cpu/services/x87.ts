/** The x87's transcendental instructions (SDM vol. 1, 8.3.7; vol. 2): stack, special operands, rounding; the functions are elsewhere. */

import {
  arctangent,
  type Big,
  cosine,
  exponential2Minus1,
  quarterPi,
  sine,
  tangent,
  yLogarithm2,
  yLogarithm2Plus1,
} from '../../float/transcendental.ts'
import { writeStatusWord } from '../../float/x87-status.ts'
import { F, type StateView } from '../state.ts'
import { type Services, service } from './service.ts'

const INVALID = 1
const DENORMAL = 2
const DIVIDE_BY_ZERO = 4
const OVERFLOW = 8
const UNDERFLOW = 16
const PRECISION = 32
const STACK_FAULT = 0x40
const C1 = 0x200
const C2 = 0x400

/** A number in extended format: bits 0–14 of `head` are the exponent, bit 15 the sign. */
interface Extended {
  readonly significand: bigint
  readonly head: number
}

const TOP = 1n << 63n
const INDEFINITE: Extended = { significand: 3n << 62n, head: 0xffff }
const infinity = (negative: boolean): Extended => ({ significand: TOP, head: negative ? 0xffff : 0x7fff })
const zero = (negative: boolean): Extended => ({ significand: 0n, head: negative ? 0x8000 : 0 })
const one: Extended = { significand: TOP, head: 0x3fff }

const exponentOf = (x: Extended) => x.head & 0x7fff
const isNegative = (x: Extended) => x.head >= 0x8000
const isUnsupported = (x: Extended) => exponentOf(x) !== 0 && x.significand < TOP
const isNaN80 = (x: Extended) => exponentOf(x) === 0x7fff && BigInt.asUintN(63, x.significand) !== 0n
const isInfinite = (x: Extended) => exponentOf(x) === 0x7fff && x.significand === TOP
const isZero = (x: Extended) => exponentOf(x) === 0 && x.significand === 0n
const isDenormal = (x: Extended) => exponentOf(x) === 0 && x.significand !== 0n
const isSignalling = (x: Extended) => isNaN80(x) && ((x.significand >> 62n) & 1n) === 0n

const toBig = (x: Extended): Big => ({
  negative: isNegative(x),
  mantissa: x.significand,
  exponent: Math.max(exponentOf(x), 1) - 16383 - 63,
  exact: true,
})

/** One instruction at work. */
class Instruction {
  readonly state: StateView
  flags = 0
  private readonly fcw: number
  private fsw: number

  constructor(state: StateView) {
    this.state = state
    this.fcw = state.get32(F.fcw)
    this.fsw = state.get32(F.fsw) & ~C2
  }
  private physical(i: number): number {
    return ((this.fsw >> 11) + i) & 7
  }
  isEmpty(i: number): boolean {
    return ((this.state.get32(F.ftw) >> (2 * this.physical(i))) & 3) === 3
  }
  read(i: number): Extended {
    const n = this.physical(i)
    const head = this.state.get32({ ...F.fpr, offset: F.fpr.offset + 8 }, n) & 0xffff
    return { significand: this.state.get64(F.fpr, n), head }
  }
  write(i: number, value: Extended): void {
    const n = this.physical(i)
    this.state.set64(F.fpr, value.significand, n)
    const at = F.fpr.offset + n * F.fpr.stride + 8
    this.state.bytes[at] = value.head
    this.state.bytes[at + 1] = value.head >> 8
    this.state.set32(F.ftw, this.state.get32(F.ftw) & ~(3 << (2 * n)))
  }
  pop(): void {
    this.state.set32(F.ftw, this.state.get32(F.ftw) | (3 << (2 * this.physical(0))))
    this.fsw = (this.fsw & ~0x3800) | ((this.fsw + 0x800) & 0x3800)
  }
  push(value: Extended): void {
    this.fsw = (this.fsw & ~0x3800) | ((this.fsw - 0x800) & 0x3800)
    this.write(0, value)
  }
  unmasked(flags: number): boolean {
    return (this.flags & ~this.fcw & flags) !== 0
  }
  /** Argument out of range: the instruction reports it and does nothing else. */
  outOfRange(): void {
    this.fsw |= C2
  }
  /** What arguments beyond an instruction's range give: themselves. */
  undefinedResult(x: Extended): Extended {
    this.flags |= PRECISION
    return x
  }
  commit(): void {
    // A condition found before computing, unmasked, keeps the rest from happening.
    const before = INVALID | DENORMAL | DIVIDE_BY_ZERO
    if (this.unmasked(before)) this.flags &= before | STACK_FAULT | (this.flags & STACK_FAULT ? C1 : 0)
    let word = (this.fsw & ~(C1 | 0x8080)) | this.flags
    if (word & ~this.fcw & 0x3f) word |= 0x8080
    writeStatusWord(this.state, word & 0xffff)
  }

  invalid(): Extended {
    this.flags |= INVALID
    return INDEFINITE
  }

  /** Rounds to 64 bits by the rounding control, with the responses to overflow and underflow. */
  round(x: Big): Extended {
    const { negative } = x
    const mode = (this.fcw >> 10) & 3
    const head = negative ? 0x8000 : 0
    const away = (mode === 1 && negative) || (mode === 2 && !negative)
    let exponent = x.exponent + x.mantissa.toString(2).length - 1 + 16383
    let drop = exponent - 16383 - 63 - x.exponent
    const tinyAt = exponent
    let denormal = false
    // Tiny is what rounding to 64 bits without a limit to the exponent leaves below the smallest normal number.
    const ones = tinyAt === 0 && drop > 0 && x.mantissa >> BigInt(drop) === TOP * 2n - 1n
    const cut = ones ? x.mantissa - ((TOP * 2n - 1n) << BigInt(drop)) : 0n
    const reaches = ones && (mode === 0 ? cut >> BigInt(drop - 1) !== 0n : away)
    if (tinyAt <= 0) {
      if (this.fcw & UNDERFLOW) {
        drop += 1 - exponent
        exponent = 0
        denormal = true
      } else if (!reaches) {
        this.flags |= UNDERFLOW
        exponent += 24576
      }
    }
    let kept = drop <= 0 ? x.mantissa << BigInt(-drop) : x.mantissa >> BigInt(drop)
    const rest = drop <= 0 ? 0n : x.mantissa - (kept << BigInt(drop))
    const half = drop <= 0 ? 1n : 1n << BigInt(drop - 1)
    const isInexact = rest !== 0n || !x.exact
    let up = isInexact && away
    if (mode === 0 && drop > 0) up = rest > half || (rest === half && (!x.exact || (kept & 1n) === 1n))
    // The processors call every such result inexact.
    this.flags |= PRECISION
    if (denormal && !reaches) this.flags |= UNDERFLOW
    if (up) {
      this.flags |= C1
      kept++
    }
    if (kept >> 64n) {
      kept >>= 1n
      exponent++
    }
    if (denormal && kept >= TOP) exponent = 1
    if (exponent >= 0x7fff) {
      this.flags |= OVERFLOW
      if (this.fcw & OVERFLOW) {
        this.flags |= PRECISION
        if (mode === 0 || away) return infinity(negative)
        return { significand: TOP * 2n - 1n, head: head | 0x7ffe }
      }
      exponent -= 24576
    }
    return { significand: kept, head: head | exponent }
  }

  /** What a NaN or an unsupported format among the operands gives, or undefined. */
  special(a: Extended, b: Extended = a): Extended | undefined {
    if (isUnsupported(a) || isUnsupported(b)) return this.invalid()
    const [x, y] = [isNaN80(a), isNaN80(b)]
    if (!x && !y) return undefined
    if (isSignalling(a) || isSignalling(b)) this.flags |= INVALID
    const quiet = (n: Extended): Extended => ({ significand: n.significand | (1n << 62n), head: n.head })
    if (!x || !y) return quiet(x ? a : b)
    if (isSignalling(a) !== isSignalling(b)) return quiet(isSignalling(a) ? b : a)
    const [p, q] = [quiet(a), quiet(b)]
    if (p.significand !== q.significand) return p.significand > q.significand ? p : q
    return p.head <= q.head ? p : q
  }
  noteDenormals(...operands: Extended[]): void {
    if (operands.some(isDenormal)) this.flags |= DENORMAL
  }
}

/** An instruction that replaces ST(0), and pushes what `second` gives, if anything. */
function oneOperand(
  compute: (i: Instruction, x: Extended) => Extended | undefined,
  second?: (i: Instruction, x: Extended) => Extended,
) {
  return service([], cpu => {
    const i = new Instruction(cpu.state)
    const overflow = second !== undefined && !i.isEmpty(7)
    if (i.isEmpty(0) || overflow) {
      i.flags = INVALID | STACK_FAULT | (i.isEmpty(0) ? 0 : C1)
      if (!i.unmasked(INVALID)) {
        i.write(0, INDEFINITE)
        if (second) i.push(INDEFINITE)
      }
    } else {
      const x = i.read(0)
      const special = i.special(x)
      const result = special ?? compute(i, x)
      if (result && !i.unmasked(INVALID | DENORMAL)) {
        const pushed = second && (special ?? (isInfinite(x) ? result : second(i, x)))
        i.write(0, result)
        if (pushed) i.push(pushed)
      }
    }
    i.commit()
  })
}

/** An instruction that replaces ST(1) by a function of both and pops. */
function twoOperands(compute: (i: Instruction, y: Extended, x: Extended) => Extended) {
  return service([], cpu => {
    const i = new Instruction(cpu.state)
    let result = INDEFINITE
    if (i.isEmpty(0) || i.isEmpty(1)) i.flags = INVALID | STACK_FAULT
    else {
      const [x, y] = [i.read(0), i.read(1)]
      result = i.special(y, x) ?? compute(i, y, x)
    }
    if (!i.unmasked(INVALID | DENORMAL | DIVIDE_BY_ZERO)) {
      i.write(1, result)
      i.pop()
    }
    i.commit()
  })
}

/** The trigonometric ones: infinities are invalid, large arguments out of range, zeros have exact results. */
const trigonometric =
  (ofZero: (negative: boolean) => Extended, compute: (x: Big) => Big) => (i: Instruction, x: Extended) => {
    if (isInfinite(x)) return i.invalid()
    if (isZero(x)) return ofZero(isNegative(x))
    if (exponentOf(x) >= 16383 + 63) {
      i.outOfRange()
      return undefined
    }
    i.noteDenormals(x)
    return i.round(compute(toBig(x)))
  }

const angle = (i: Instruction, y: Extended, x: Extended): Extended => {
  i.noteDenormals(x, y)
  const negative = isNegative(y)
  if (isInfinite(y)) return i.round(quarterPi(isInfinite(x) ? (isNegative(x) ? 3 : 1) : 2, negative))
  if (isZero(y) || isInfinite(x)) return isNegative(x) ? i.round(quarterPi(4, negative)) : zero(negative)
  if (isZero(x)) return i.round(quarterPi(2, negative))
  return i.round(arctangent(toBig(y), toBig(x)))
}

const logarithm = (i: Instruction, y: Extended, x: Extended): Extended => {
  const negative = isNegative(y)
  if (isZero(x)) {
    if (isZero(y)) return i.invalid()
    if (!isInfinite(y)) i.flags |= DIVIDE_BY_ZERO
    return infinity(!negative)
  }
  if (isNegative(x)) return i.invalid()
  const isOne = x.significand === TOP && x.head === 0x3fff
  const below = exponentOf(x) < 0x3fff
  if (isInfinite(x) && isZero(y)) return i.invalid()
  if (isOne && isInfinite(y)) return i.invalid()
  i.noteDenormals(x, y)
  if (isInfinite(x) || isInfinite(y)) return infinity(negative !== below)
  if (isOne || isZero(y)) return zero(negative !== below)
  return i.round(yLogarithm2(toBig(y), toBig(x)))
}

const logarithmPlus1 = (i: Instruction, y: Extended, x: Extended): Extended => {
  const negative = isNegative(y) !== isNegative(x)
  if (isInfinite(x) && (isNegative(x) || isZero(y))) return i.invalid()
  if (isInfinite(y) && isZero(x)) return i.invalid()
  i.noteDenormals(x, y)
  if (isInfinite(x) || isInfinite(y)) return infinity(negative)
  // At and below -1 there is no logarithm; the result is undefined.
  if (isNegative(x) && exponentOf(x) >= 16383) return i.undefinedResult(x)
  if (isZero(x) || isZero(y)) return zero(negative)
  // Beyond its range the result is undefined.
  if (exponentOf(x) > 16383 + 63) return i.round(yLogarithm2(toBig(y), toBig(x)))
  return i.round(yLogarithm2Plus1(toBig(y), toBig(x)))
}

const power = (i: Instruction, x: Extended): Extended => {
  if (isInfinite(x)) return isNegative(x) ? { significand: TOP, head: 0xbfff } : x
  if (isZero(x)) return x
  i.noteDenormals(x)
  // Beyond -1 to 1 the result is undefined.
  if (exponentOf(x) > 0x3fff || (exponentOf(x) === 0x3fff && x.significand !== TOP)) return i.undefinedResult(x)
  return i.round(exponential2Minus1(toBig(x)))
}

/** By the names that src/isa/x87-arithmetic.ts uses. */
export const services: Services = {
  f2xm1: oneOperand(power),
  fyl2x: twoOperands(logarithm),
  fyl2xp1: twoOperands(logarithmPlus1),
  fptan: oneOperand(trigonometric(zero, tangent), () => one),
  fpatan: twoOperands(angle),
  fsin: oneOperand(trigonometric(zero, sine)),
  fcos: oneOperand(trigonometric(() => one, cosine)),
  fsincos: oneOperand(trigonometric(zero, sine), (i, x) => (isZero(x) ? one : i.round(cosine(toBig(x))))),
}
