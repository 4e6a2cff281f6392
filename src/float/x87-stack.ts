/** How generated code handles the x87's registers: the stack, tags, the status word and its exceptions (SDM vol. 1, 8.1). */

import { F } from '../cpu/state.ts'
import type { Code, Int, Variable } from '../isa/semantics.ts'
import { setStatusWord } from './x87-status.ts'

/** Bits of the status word besides the exceptions of rounding.ts. */
export const STACK_FAULT = 0x40
export const ERROR_SUMMARY = 0x80
export const C0 = 0x100
export const C1 = 0x200
export const C2 = 0x400
export const C3 = 0x4000
export const BUSY = 0x8000
/** Not in the status word but in `F.x87Flags`: an unmasked exception keeps the instruction from storing and popping. */
export const STOPPED = 1 << 30
/** The exceptions found before computing: unmasked, they stop the instruction. */
export const BEFORE = 7

/** The indefinite QNaN: sign and exponent, significand. */
export const INDEFINITE_EXPONENT = 0xffff
export const INDEFINITE = 3n << 62n

/** Index of the operand from memory, where a stack index is expected. */
export const MEMORY = 8

/** Exceptions that loading the operand from memory has met, if one of two indices names it; what a store left there is not theirs. */
export function operandFlags(code: Code, x: Int, y: Int): Int {
  return x.or(y).and(MEMORY).isNonZero().select(code.get(F.x87Flags), 0)
}

/** A number in extended format: significand, and sign and exponent in 16 bits (32 wide), in variables. */
export class Extended {
  readonly significand: Variable
  readonly head: Variable

  constructor(code: Code, significand: Int, head: Int) {
    this.significand = code.variable(64, significand)
    this.head = code.variable(32, head)
  }
  get exponent(): Int {
    return this.head.value.and(0x7fff)
  }
  get sign(): Int {
    return this.head.value.shr(15)
  }
  /** Neither zero, denormal, infinite, NaN nor in a format that is not supported. */
  get isNormal(): Int {
    return this.exponent.sub(1).ltU(0x7ffe).and(this.significand.value.isNegative())
  }
  /** Unnormal, pseudo-infinity or pseudo-NaN. */
  get isUnsupported(): Int {
    return this.exponent.isNonZero().and(this.significand.value.isNegative().isZero())
  }
  /** NaN, pseudo-NaNs included. */
  get isNaN(): Int {
    return this.exponent.eq(0x7fff).and(this.significand.value.shl(1).isNonZero())
  }
  get isSignalling(): Int {
    return this.isNaN.and(this.significand.value.bit(62).isZero())
  }
  get isInfinite(): Int {
    return this.exponent.eq(0x7fff).and(this.significand.value.shl(1).isZero())
  }
  get isZero(): Int {
    return this.exponent.isZero().and(this.significand.value.isZero())
  }
  /** Denormal or pseudo-denormal. */
  get isDenormal(): Int {
    return this.exponent.isZero().and(this.significand.value.isNonZero())
  }
}

/** One x87 instruction (or a part of it) in a routine under construction. Flags gather in `flags` until {@link commit}. */
export class X87 {
  readonly code: Code
  readonly fsw: Variable
  readonly fcw: Variable
  /** Exceptions, C1 for rounding up, and STOPPED. */
  readonly flags: Variable

  constructor(code: Code, flags: Int | number = 0) {
    this.code = code
    this.fsw = code.variable(32, code.get(F.fsw))
    this.fcw = code.variable(32, code.get(F.fcw))
    this.flags = code.variable(32, flags)
  }
  /** Rounding control. */
  get mode(): Int {
    return this.fcw.value.bits(10, 2)
  }
  /** Number of the physical register of a stack index; {@link MEMORY} stays. */
  physical(index: Int | number): Int {
    const top = this.fsw.value.shr(11)
    if (typeof index === 'number') return index === 0 ? top.and(7) : top.add(index).and(7)
    if (index.constant !== undefined && index.constant < 8n) return this.physical(Number(index.constant))
    return index.ltU(MEMORY).select(top.add(index).and(7), MEMORY)
  }
  /** Whether a physical register is empty; the operand from memory never is. */
  isEmpty(physical: Int): Int {
    return this.code.get(F.ftw).shr(physical.shl(1)).and(3).eq(3)
  }
  read(physical: Int): Extended {
    const { code } = this
    return new Extended(code, code.get(F.fpr, physical), code.getPart(F.fpr, 8, 16, physical).zeroExtend(32))
  }
  /** Writes a physical register and tags it as full. */
  write(physical: Int, significand: Int, head: Int): void {
    const { code } = this
    code.set(F.fpr, significand, physical)
    code.setPart(F.fpr, 8, head.truncate(16), physical)
    code.set(F.ftw, code.get(F.ftw).and(code.const(3, 32).shl(physical.shl(1)).not()))
  }
  writeIndefinite(physical: Int): void {
    this.write(physical, this.code.const(INDEFINITE, 64), this.code.const(INDEFINITE_EXPONENT, 32))
  }
  raise(flag: number, condition?: Int): void {
    if (condition) this.flags.value = this.flags.value.or(condition.select(this.code.const(flag, 32), 0))
    else this.flags.value = this.flags.value.or(flag)
  }
  /** Whether one of the exceptions in `among` has occurred and is not masked. */
  unmasked(among: number): Int {
    return this.flags.value.and(this.fcw.value.not()).and(among).isNonZero()
  }
  /** Marks the top of the stack as empty and moves on. */
  pop(): void {
    const { code } = this
    const top = this.fsw.value.shr(11).and(7)
    code.set(F.ftw, code.get(F.ftw).or(code.const(3, 32).shl(top.shl(1))))
    this.moveTop(1)
  }
  moveTop(by: number): void {
    const top = this.fsw.value.add((by & 7) << 11).and(0x3800)
    this.fsw.value = this.fsw.value.and(0xffffffff & ~0x3800).or(top)
  }
  /** Sets condition codes C0 C2 C3 (bits of the status word). */
  setConditions(bits: Int): void {
    this.fsw.value = this.fsw.value.and(0xffffffff & ~(C0 | C2 | C3)).or(bits)
  }
  /** Writes the status word with the gathered flags; C1 becomes what they say. */
  commit(): void {
    const sticky = this.fsw.value.and(0xffffffff & ~(C1 | ERROR_SUMMARY | BUSY)).or(this.flags.value.and(0xffff))
    const word = this.code.variable(32, sticky)
    const error = word.value.and(this.fcw.value.not()).and(0x3f).isNonZero()
    setStatusWord(this.code, word.value.or(error.select(this.code.const(ERROR_SUMMARY | BUSY, 32), 0)))
  }
}

/** With sign and exponent of a number in a 32-bit word: it is zero, denormal, infinite, NaN or in no supported format. */
export const UNUSUAL = 1 << 16

/** Sign and exponent (16 bits, in 32) with {@link UNUSUAL} added where it applies. */
export function classify(code: Code, significand: Int, head: Int): Int {
  const odd = head.and(0x7fff).sub(1).geU(0x7ffe).or(significand.isNegative().isZero())
  return code.variable(32, head.and(0xffff).or(odd.zeroExtend(32).shl(16))).value
}

/**
 * What a routine on numbers gives back, for {@link takeNumber}: its result is the significand, `F.serviceResult2` holds what
 * {@link classify} makes of sign and exponent, `F.x87Flags` exceptions and C1.
 */
export function giveNumber(code: Code, significand: Int, head: Int, flags: Int): Int {
  const kept = code.variable(64, significand).value
  code.set(F.serviceResult2, classify(code, kept, head).zeroExtend(64))
  code.set(F.x87Flags, flags)
  return kept
}
