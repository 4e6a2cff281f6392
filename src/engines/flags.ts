/**
 * The flags in the pieces that src/cpu/state.ts describes (flagResult, flagCarries, flagAdjust), read and written by
 * generated code. Where the pieces are kept (locals, state) is the engine's matter: {@link FlagPieces}.
 */
import { ARITHMETIC_FLAGS, DF, F } from '../cpu/state.ts'
import type { Int } from '../ir/values.ts'
import type { Code, FlagChanges, Flags } from '../isa/semantics.ts'

/** Where the three pieces are. Each is an Int of 64 bits. */
export interface FlagPieces {
  getResult(): Int
  getCarries(): Int
  getAdjust(): Int
  setResult(value: Int): void
  setCarries(value: Int): void
  setAdjust(value: Int): void
}

/** The pieces in the vCPU's state. */
export class StatePieces implements FlagPieces {
  private readonly code: Code
  constructor(code: Code) {
    this.code = code
  }
  getResult(): Int {
    return this.code.get(F.flagResult)
  }
  getCarries(): Int {
    return this.code.get(F.flagCarries)
  }
  getAdjust(): Int {
    return this.code.get(F.flagAdjust)
  }
  setResult(value: Int): void {
    this.code.set(F.flagResult, value)
  }
  setCarries(value: Int): void {
    this.code.set(F.flagCarries, value)
  }
  setAdjust(value: Int): void {
    this.code.set(F.flagAdjust, value)
  }
}

/** Bit `n` of the sum of carries: where a carry leaves the top bit. a + b = r: (a & b) | ((a | b) & ~r). */
export const carriesOfAdd = (a: Int, b: Int, r: Int): Int => a.and(b).or(a.or(b).and(r.not()))
/** Where a borrow leaves: a − b = r: (~a & b) | ((~a | b) & r). */
export const borrowsOfSub = (a: Int, b: Int, r: Int): Int => {
  const notA = a.not()
  return notA.and(b).or(notA.or(b).and(r))
}
/** A vector of carries of `width` bits with its top bit moved to bit 63. */
export const topAligned = (carries: Int): Int => carries.zeroExtend(64).shl(64 - carries.width)

/** What INC does to the flags, by its result. */
export const changesOfIncrement = (result: Int): FlagChanges => ({
  result,
  overflow: result.eq(1n << BigInt(result.width - 1)),
  adjust: result.and(15).isZero(),
})
/** What DEC does to the flags, by its result. */
export const changesOfDecrement = (result: Int): FlagChanges => ({
  result,
  overflow: result.eq((1n << BigInt(result.width - 1)) - 1n),
  adjust: result.and(15).eq(15),
})

/** Flags kept in pieces. */
export class PieceFlags implements Flags {
  protected readonly code: Code
  protected readonly pieces: FlagPieces

  constructor(code: Code, pieces: FlagPieces) {
    this.code = code
    this.pieces = pieces
  }

  get carry(): Int {
    return this.pieces.getCarries().isNegative()
  }
  get zero(): Int {
    return this.pieces.getResult().isZero()
  }
  get sign(): Int {
    return this.pieces.getResult().xor(this.pieces.getAdjust()).isNegative()
  }
  get overflow(): Int {
    const carries = this.pieces.getCarries()
    return carries.xor(carries.shl(1)).isNegative()
  }
  get parity(): Int {
    const byte = this.pieces.getResult().xor(this.pieces.getAdjust().shr(8)).truncate(32).and(0xff)
    return byte.popcnt().and(1).isZero()
  }
  get adjust(): Int {
    return this.pieces.getAdjust().bit(4)
  }
  get direction(): Int {
    return this.code.get(F.systemFlags).and(DF).isNonZero()
  }

  condition(code: number): Int {
    const positive = this.positive(code >> 1)
    return code & 1 ? positive.isZero() : positive
  }

  private positive(pair: number): Int {
    switch (pair) {
      case 0:
        return this.overflow
      case 1:
        return this.carry
      case 2:
        return this.zero
      case 3:
        return this.carry.or(this.zero)
      case 4:
        return this.sign
      case 5:
        return this.parity
      case 6:
        return this.less
      default:
        return this.less.or(this.zero)
    }
  }

  /** SF ≠ OF. */
  private get less(): Int {
    const carries = this.pieces.getCarries()
    return this.pieces
      .getResult()
      .xor(this.pieces.getAdjust())
      .xor(carries.xor(carries.shl(1)))
      .isNegative()
  }

  setAdd(a: Int, b: Int, result: Int, _carry?: Int): void {
    this.setCarryVector(carriesOfAdd(a, b, result), result)
  }

  setSub(a: Int, b: Int, result: Int, _borrow?: Int): void {
    this.setCarryVector(borrowsOfSub(a, b, result), result)
  }

  /** AF is the carry out of bit 3. */
  private setCarryVector(carries: Int, result: Int): void {
    this.pieces.setResult(result.signExtend(64))
    this.pieces.setCarries(topAligned(carries))
    const low = carries.width === 64 ? carries : carries.zeroExtend(32)
    this.pieces.setAdjust(low.shl(1).and(0x10).zeroExtend(64))
  }

  setLogic(result: Int): void {
    this.pieces.setResult(result.signExtend(64))
    this.pieces.setCarries(this.zero64())
    this.pieces.setAdjust(this.zero64())
  }

  private zero64(): Int {
    return this.code.const(0, 64)
  }

  setIncrement(result: Int): void {
    this.set(changesOfIncrement(result))
  }

  setDecrement(result: Int): void {
    this.set(changesOfDecrement(result))
  }

  set(changes: FlagChanges): void {
    const { result, carry, overflow, adjust, zero, sign, parity } = changes
    const newCarries = carry || overflow ? this.carriesOf(carry ?? this.carry, overflow ?? this.overflow) : undefined
    let newResult: Int | undefined
    let newAdjust: Int | undefined
    if (zero || sign || parity) {
      const fromResult = (of: (r: Int) => Int, old: () => Int) => (result ? of(result) : old())
      const z =
        zero ??
        fromResult(
          r => r.isZero(),
          () => this.zero,
        )
      const s =
        sign ??
        fromResult(
          r => r.isNegative(),
          () => this.sign,
        )
      const p =
        parity ??
        fromResult(
          r => r.resize(32).and(0xff).popcnt().and(1).isZero(),
          () => this.parity,
        )
      newResult = z.isZero().zeroExtend(64)
      newAdjust = this.adjustOf(adjust ?? this.adjust, z, s, p)
    } else if (result) {
      newResult = result.signExtend(64)
      newAdjust = (adjust ?? this.adjust).zeroExtend(64).shl(4)
    } else if (adjust) {
      newAdjust = this.pieces
        .getAdjust()
        .and(~0x10n & 0xffffffffffffffffn)
        .or(adjust.zeroExtend(64).shl(4))
    }
    if (newCarries) this.pieces.setCarries(newCarries)
    if (newAdjust) this.pieces.setAdjust(newAdjust)
    if (newResult) this.pieces.setResult(newResult)
  }

  private carriesOf(carry: Int, overflow: Int): Int {
    const top = carry.zeroExtend(64).shl(63)
    return top.or(carry.xor(overflow).zeroExtend(64).shl(62))
  }

  /** flagAdjust for a flagResult that is 0 (ZF) or 1. */
  private adjustOf(adjust: Int, zero: Int, sign: Int, parity: Int): Int {
    const low = adjust.zeroExtend(64).shl(4)
    return low.or(parity.xor(zero).zeroExtend(64).shl(8)).or(sign.zeroExtend(64).shl(63))
  }

  readImage(): Int {
    const at = (flag: Int, position: number) => flag.zeroExtend(32).shl(position)
    return this.code
      .get(F.systemFlags)
      .and(~ARITHMETIC_FLAGS)
      .or(2)
      .or(at(this.carry, 0))
      .or(at(this.parity, 2))
      .or(at(this.adjust, 4))
      .or(at(this.zero, 6))
      .or(at(this.sign, 7))
      .or(at(this.overflow, 11))
  }

  writeImage(image: Int, mask: number): void {
    const flag = (position: number) => image.bit(position)
    const changed = (position: number) => (mask & (1 << position) ? flag(position) : undefined)
    const system = mask & ~ARITHMETIC_FLAGS
    if (system) {
      const kept = this.code.get(F.systemFlags).and(~system)
      this.code.set(F.systemFlags, kept.or(image.and(system)).or(2))
    }
    if (mask & ARITHMETIC_FLAGS) {
      this.set({
        carry: changed(0),
        parity: changed(2),
        adjust: changed(4),
        zero: changed(6),
        sign: changed(7),
        overflow: changed(11),
      })
    }
  }
}
