/**
 * The meaning of x87 instructions for an engine that keeps the register stack in variables: the same as that of the routines
 * which the definitions call elsewhere, as long as every exception is masked and the stack has what an instruction expects.
 * Where it has not, the engine leaves the instruction to an interpreter.
 */
import { F } from '../cpu/state.ts'
import { x87CompareValues, x87ExamineValue } from '../float/x87-compare.ts'
import {
  type InlineNumber,
  type InlineOperation,
  inlineDouble,
  inlineInteger,
  inlineNarrow,
  inlineSingle,
} from '../float/x87-inline.ts'
import { x87Load32Value, x87Load64Value, x87Widen32Value, x87Widen64Value } from '../float/x87-loads.ts'
import { C0, C2, C3, classify, UNUSUAL } from '../float/x87-stack.ts'
import { x87Store32Value, x87Store64Value, x87StoreIntegerValue } from '../float/x87-stores.ts'
import type { Int, Label, MemoryOperand, Routine, Semantics } from './semantics.ts'

/** The x87 as an engine keeps it in variables. Numbers of registers are those of the stack, ST(0) to ST(7). */
export interface X87Locals {
  /** Bits that results are rounded to while {@link needPlain} holds. */
  readonly precision: 53 | 64
  /** Leaves unless every exception is masked. Done before each waiting instruction. */
  needMasked(): void
  /** Leaves unless results are rounded to nearest and to {@link precision}, besides. */
  needPlain(): void
  /** Leaves unless the registers are in use. */
  needFull(...registers: number[]): void
  /** Leaves unless a register is empty. */
  needEmpty(register: number): void
  read(register: number): InlineNumber
  /** Writes a register, which then is in use. */
  write(register: number, number: InlineNumber): void
  /** Pushes where {@link needEmpty} of register 7 was asked. */
  push(number: InlineNumber): void
  /** Marks the top as empty and moves on. */
  pop(): void
  /** Moves the top by -1 or 1. */
  moveTop(by: number): void
  /** Marks a register as empty. */
  free(register: number): void
  /** Adds to the exceptions what was cut off from a result (64 bits: inexact unless 0), and sets C1. */
  setInexact(rest: Int, up: Int): void
  /** Adds exceptions, and takes C1 from the same word, or leaves it alone. */
  raise(flags: Int, setsC1?: boolean): void
  clearC1(): void
  setC1(value: Int): void
  /** Sets C0, C2 and C3 (bits of the status word). */
  setConditions(bits: Int): void
  /** The status word as the guest sees it, 32 bits wide. */
  statusWord(): Int
  /** FNCLEX. */
  clearExceptions(): void
  readonly controlWord: Int
  /** FLDCW; leaves where an exception that waits would become unmasked. */
  setControlWord(value: Int): void
  /** Notes where the instruction and its operand are. */
  notePointers(memory?: MemoryOperand): void
}

/** An operation in the two ways that it has here. */
export interface LocalOperation {
  readonly inline: InlineOperation | undefined
  readonly values: Routine
}

const heads = (number: InlineNumber): Int => number.head.and(0xffff)

/** Tries one way, which may leave to the other. */
function twoWays(m: Semantics, quick: (slow: Label) => void, slow: () => void): void {
  m.block(done => {
    m.block(exact => {
      quick(exact)
      m.leave(done)
    })
    slow()
  })
}

/** The number that a routine gave ({@link giveNumber} of x87-stack.ts). */
function takeNumber(m: Semantics, significand: Int): InlineNumber {
  return { significand: m.variable(64, significand).value, head: m.get(F.serviceResult2).truncate(32) }
}

/** Computes on two numbers, the second of which may be found out in `b`, with the exceptions of loading it. */
function compute(
  m: Semantics,
  x87: X87Locals,
  { inline, values }: LocalOperation,
  a: InlineNumber,
  quickB: (slow: Label) => InlineNumber,
  exactB: () => { number: InlineNumber; flags: Int },
  reversed: boolean,
): InlineNumber {
  const significand = m.variable(64, 0)
  const head = m.variable(32, 0)
  const exact = () => {
    const { number: b, flags } = exactB()
    const [first, second] = reversed ? [b, a] : [a, b]
    const result = m.call(values, first.significand, heads(first), second.significand, heads(second), flags)
    const given = takeNumber(m, result)
    significand.value = given.significand
    head.value = given.head
    x87.raise(m.get(F.x87Flags))
  }
  if (!inline) exact()
  else {
    const quick = (slow: Label) => {
      const b = quickB(slow)
      const [first, second] = reversed ? [b, a] : [a, b]
      const result = inline(m, slow, first, second, x87.precision)
      significand.value = result.significand
      head.value = result.head
      x87.setInexact(result.rest, result.up)
    }
    twoWays(m, quick, exact)
  }
  return { significand: significand.value, head: head.value }
}

/** Two registers, the result in the first: `to` op `from`, or reversed. */
export function localArithmetic(
  m: Semantics,
  x87: X87Locals,
  operation: LocalOperation,
  to: number,
  from: number,
  reversed: boolean,
  pop: boolean,
): void {
  x87.needPlain()
  x87.needFull(to, from)
  const [a, b] = [x87.read(to), x87.read(from)]
  const result = compute(
    m,
    x87,
    operation,
    a,
    () => b,
    () => ({ number: b, flags: m.const(0, 32) }),
    reversed,
  )
  x87.notePointers()
  x87.write(to, result)
  if (pop) x87.pop()
}

/** What a number in memory is, both ways. */
function memoryNumber(m: Semantics, value: Int, integer: boolean) {
  const bits = m.variable(value.width, value).value
  if (integer) {
    const number = inlineInteger(m, bits.signExtend(64))
    return { quick: () => number, exact: () => ({ number, flags: m.const(0, 32) }) }
  }
  const wide = bits.width === 64
  return {
    quick: (slow: Label) => (wide ? inlineDouble : inlineSingle)(m, slow, bits),
    exact: () => {
      const number = takeNumber(m, m.call(wide ? x87Widen64Value : x87Widen32Value, bits))
      return { number: { ...number, head: m.variable(32, number.head).value }, flags: m.get(F.x87Flags) }
    },
  }
}

/** ST(0) op memory, or reversed. */
export function localMemoryArithmetic(
  m: Semantics,
  x87: X87Locals,
  operation: LocalOperation,
  memory: MemoryOperand,
  reversed: boolean,
  integer: boolean,
): void {
  x87.needPlain()
  x87.needFull(0)
  const a = x87.read(0)
  const { quick, exact } = memoryNumber(m, memory.read(), integer)
  const result = compute(m, x87, operation, a, quick, exact, reversed)
  x87.notePointers(memory)
  x87.write(0, result)
}

/** The condition codes of two numbers, in a variable. */
function compare(
  m: Semantics,
  x87: X87Locals,
  a: InlineNumber,
  quickB: (slow: Label) => InlineNumber,
  exactB: () => { number: InlineNumber; flags: Int },
  quiet: boolean,
  setsC1: boolean,
): Int {
  const found = m.variable(32, 0)
  const quick = (slow: Label) => {
    const b = quickB(slow)
    m.leave(slow, a.head.or(b.head).geU(UNUSUAL), 'unlikely')
    // Sign and magnitude as one signed number each, where the signs are alike or not.
    const equalHeads = a.head.eq(b.head)
    const equal = equalHeads.and(a.significand.eq(b.significand))
    const [x, y] = [a.head.and(0x7fff), b.head.and(0x7fff)]
    const smaller = x.ltU(y).or(x.eq(y).and(a.significand.ltU(b.significand)))
    const negative = a.head.shr(15).toBool()
    const sameSign = a.head.xor(b.head).and(0x8000).isZero()
    const less = sameSign.select(smaller.zeroExtend(32).xor(negative.zeroExtend(32)), negative.zeroExtend(32))
    found.value = equal.select(m.const(C3, 32), less.shl(8))
    if (setsC1) x87.clearC1()
  }
  const exact = () => {
    const { number: b, flags } = exactB()
    const kind = m.const(quiet ? 1 : 0, 32)
    found.value = m.call(x87CompareValues, a.significand, heads(a), b.significand, heads(b), kind, flags)
    x87.raise(m.get(F.x87Flags), setsC1)
  }
  twoWays(m, quick, exact)
  return found.value
}

/** FCOM and its like, with a register or a number in memory; pops so often. */
export function localCompare(
  m: Semantics,
  x87: X87Locals,
  with_: number | MemoryOperand,
  quiet: boolean,
  pops: number,
  integer: boolean,
): void {
  if (typeof with_ === 'number') x87.needFull(0, with_)
  else x87.needFull(0)
  const a = x87.read(0)
  let found: Int
  if (typeof with_ === 'number') {
    const b = x87.read(with_)
    const exact = () => ({ number: b, flags: m.const(0, 32) })
    found = compare(m, x87, a, () => b, exact, quiet, true)
    x87.notePointers()
  } else {
    const { quick, exact } = memoryNumber(m, with_.read(), integer)
    found = compare(m, x87, a, quick, exact, quiet, true)
    x87.notePointers(with_)
  }
  x87.setConditions(found)
  for (let i = 0; i < pops; i++) x87.pop()
}

/** FTST. */
export function localTest(m: Semantics, x87: X87Locals): void {
  x87.needFull(0)
  const zero = { significand: m.const(0, 64), head: m.const(UNUSUAL, 32) }
  const exact = () => ({ number: zero, flags: m.const(0, 32) })
  const a = x87.read(0)
  const found = m.variable(32, 0)
  const quick = (slow: Label) => {
    m.leave(slow, a.head.geU(UNUSUAL), 'unlikely')
    found.value = a.head.shr(7).and(C0)
    x87.clearC1()
  }
  twoWays(m, quick, () => {
    const { number: b, flags } = exact()
    found.value = m.call(x87CompareValues, a.significand, heads(a), b.significand, heads(b), m.const(0, 32), flags)
    x87.raise(m.get(F.x87Flags))
  })
  x87.notePointers()
  x87.setConditions(found.value)
}

/** FCOMI and its like. */
export function localCompareFlags(m: Semantics, x87: X87Locals, with_: number, quiet: boolean, pops: number): void {
  x87.needFull(0, with_)
  const [a, b] = [x87.read(0), x87.read(with_)]
  const exact = () => ({ number: b, flags: m.const(0, 32) })
  const found = compare(m, x87, a, () => b, exact, quiet, false)
  x87.notePointers()
  const no = m.bool(false)
  const [carry, parity, zero] = [found.bit(8), found.bit(10), found.bit(14)]
  m.flags.set({ carry, parity, zero, adjust: no, sign: no, overflow: no })
  for (let i = 0; i < pops; i++) x87.pop()
}

/** FXAM. */
export function localExamine(m: Semantics, x87: X87Locals): void {
  x87.needFull(0)
  const a = x87.read(0)
  const found = m.variable(32, C2)
  m.if(
    a.head.geU(UNUSUAL),
    () => {
      found.value = m.call(x87ExamineValue, a.significand, heads(a))
    },
    undefined,
    'unlikely',
  )
  x87.notePointers()
  x87.setConditions(found.value)
  x87.setC1(a.head.shr(15).and(1))
}

/** FLD m32 and m64, FILD. */
export function localLoad(m: Semantics, x87: X87Locals, memory: MemoryOperand, integer: boolean): void {
  x87.needEmpty(7)
  const bits = m.variable(memory.width, memory.read()).value
  if (integer) {
    x87.clearC1()
    x87.push(inlineInteger(m, bits.signExtend(64)))
  } else {
    const wide = bits.width === 64
    const significand = m.variable(64, 0)
    const head = m.variable(32, 0)
    const set = (number: InlineNumber) => {
      significand.value = number.significand
      head.value = number.head
    }
    const quick = (slow: Label) => {
      set((wide ? inlineDouble : inlineSingle)(m, slow, bits))
      x87.clearC1()
    }
    twoWays(m, quick, () => {
      set(takeNumber(m, m.call(wide ? x87Load64Value : x87Load32Value, bits)))
      x87.raise(m.get(F.x87Flags))
    })
    x87.push({ significand: significand.value, head: head.value })
  }
  x87.notePointers(memory)
}

/** FLD m80. */
export function localLoadExtended(m: Semantics, x87: X87Locals, memory: MemoryOperand): void {
  x87.needEmpty(7)
  const significand = m.variable(64, memory.at(0, 64).read()).value
  const head = m.variable(16, memory.at(8, 16).read()).value
  x87.clearC1()
  x87.push({ significand, head: classify(m, significand, head.zeroExtend(32)) })
  x87.notePointers(memory)
}

/** FLD1 and its like: a number that is normal or zero. */
export function localConstant(m: Semantics, x87: X87Locals, significand: bigint, head: number): void {
  if (head !== 0 && significand !== 1n << 63n) x87.needPlain()
  x87.needEmpty(7)
  x87.clearC1()
  x87.push({ significand: m.const(significand, 64), head: m.const(significand ? head : UNUSUAL, 32) })
  x87.notePointers()
}

/** FLD ST(i). */
export function localPushRegister(x87: X87Locals, register: number): void {
  x87.needFull(register)
  x87.needEmpty(7)
  const number = x87.read(register)
  x87.clearC1()
  x87.push(number)
  x87.notePointers()
}

/** FST and FSTP to memory. */
export function localStore(m: Semantics, x87: X87Locals, memory: MemoryOperand, pop: boolean): void {
  x87.needPlain()
  x87.needFull(0)
  const number = x87.read(0)
  const width = memory.width as 32 | 64
  const bits = m.variable(width, 0)
  const rest = m.variable(64, 0)
  const up = m.variable(32, 0)
  const flags = m.variable(32, 0)
  const quick = (slow: Label) => {
    const narrow = inlineNarrow(m, slow, number, width)
    bits.value = narrow.bits
    rest.value = narrow.rest
    up.value = narrow.up
  }
  twoWays(m, quick, () => {
    bits.value = m.call(width === 64 ? x87Store64Value : x87Store32Value, number.significand, heads(number))
    flags.value = m.get(F.x87Flags)
    up.value = flags.value.shr(9).and(1)
  })
  memory.write(bits.value)
  x87.raise(flags.value, false)
  x87.setInexact(rest.value, up.value)
  x87.notePointers(memory)
  if (pop) x87.pop()
}

/** FIST, FISTP and FISTTP. */
export function localStoreInteger(
  m: Semantics,
  x87: X87Locals,
  memory: MemoryOperand,
  pop: boolean,
  truncate: boolean,
): void {
  x87.needFull(0)
  const { significand, head } = x87.read(0)
  const [width, cut] = [m.const(memory.width, 32), m.const(truncate ? 1 : 0, 32)]
  const value = m.variable(64, m.call(x87StoreIntegerValue, significand, head.and(0xffff), width, cut)).value
  const flags = m.variable(32, m.get(F.x87Flags)).value
  memory.write(value.truncate(memory.width))
  x87.raise(flags)
  x87.notePointers(memory)
  if (pop) x87.pop()
}

/** FSTP m80. */
export function localStoreExtended(_m: Semantics, x87: X87Locals, memory: MemoryOperand): void {
  x87.needFull(0)
  const { significand, head } = x87.read(0)
  memory.probeWrite(10)
  memory.at(0, 64).write(significand)
  memory.at(8, 16).write(head.truncate(16))
  x87.clearC1()
  x87.notePointers(memory)
  x87.pop()
}

/** FST ST(i), FSTP ST(i). */
export function localStoreRegister(x87: X87Locals, to: number, pop: boolean): void {
  x87.needFull(0)
  const number = x87.read(0)
  x87.clearC1()
  x87.write(to, number)
  x87.notePointers()
  if (pop) x87.pop()
}

/** FXCH. */
export function localExchange(m: Semantics, x87: X87Locals, other: number): void {
  x87.needFull(0, other)
  const hold = ({ significand, head }: InlineNumber) => ({
    significand: m.variable(64, significand).value,
    head: m.variable(32, head).value,
  })
  const [a, b] = [hold(x87.read(0)), hold(x87.read(other))]
  x87.clearC1()
  x87.write(0, b)
  x87.write(other, a)
  x87.notePointers()
}

/** FCMOVcc. */
export function localConditionalMove(m: Semantics, x87: X87Locals, from: number, condition: Int): void {
  x87.needFull(0, from)
  const [a, b] = [x87.read(0), x87.read(from)]
  const moves = m.variable(1, condition).value
  const significand = m.variable(64, moves.select(b.significand, a.significand)).value
  const head = m.variable(32, moves.select(b.head, a.head)).value
  x87.write(0, { significand, head })
  x87.notePointers()
}

/** FABS and FCHS: sign and exponent AND the first, XOR the second. */
export function localChangeSign(m: Semantics, x87: X87Locals, and: number, xor: number): void {
  x87.needFull(0)
  const { significand, head } = x87.read(0)
  x87.clearC1()
  x87.write(0, { significand, head: m.variable(32, head.and(and | UNUSUAL).xor(xor)).value })
  x87.notePointers()
}

/** A function of the top by a routine on numbers: FSQRT, FRNDINT. */
export function localFunction(m: Semantics, x87: X87Locals, values: Routine): void {
  x87.needFull(0)
  const a = x87.read(0)
  const { significand, head } = takeNumber(m, m.call(values, a.significand, heads(a)))
  x87.raise(m.get(F.x87Flags))
  x87.write(0, { significand, head: m.variable(32, head).value })
  x87.notePointers()
}
