/** Handlers by shape: made when an instruction of a new shape is first decoded. */

import { MODE_NAMES } from '../../cpu/mode.ts'
import { DS, F, FS } from '../../cpu/state.ts'
import { FunctionBuilder } from '../../ir/function.ts'
import { Int } from '../../ir/values.ts'
import type { Decoded } from '../../isa/decoder.ts'
import { NO_REGISTER, RIP_BASE } from '../../isa/decoder.ts'
import type { Form } from '../../isa/encoding.ts'
import { forms } from '../../isa/index.ts'
import type { Context, FlagChanges, Mode } from '../../isa/semantics.ts'
import { type FunctionType, I32, I64 } from '../../wasm/types.ts'
import { buildAfter, buildChecks } from '../checks.ts'
import { PieceFlags, StatePieces } from '../flags.ts'
import type { Unit } from '../library.ts'
import { type Usage, unknownUsage } from '../semantics.ts'
import { type Home, InterpreterSemantics, type Shape } from './semantics.ts'

/** A handler of its own: the vCPU, the record, RIP of the block's start; NEXT, DISPATCH or FAULT. */
export const HANDLER_TYPE: FunctionType = { params: [I32, I32, I64], results: [I32] }

/** The home of a handler that is a function of its own: everything is in the state. */
class FunctionHome implements Home {
  private readonly f: FunctionBuilder
  constructor(f: FunctionBuilder) {
    this.f = f
  }
  record(): Int {
    return new Int(this.f, this.f.getLocal(1, I32), 32)
  }
  blockRip(): Int {
    return new Int(this.f, this.f.getLocal(2, I64), 64)
  }
  flags(m: InterpreterSemantics): PieceFlags {
    return new PieceFlags(m, new StatePieces(m))
  }
  spill(): void {}
  reload(): void {}
  spillBudget(): void {}
  leave(_m: InterpreterSemantics, status: number): void {
    this.f.return(this.f.const32(status))
  }
}

/** Whether the instruction makes memory operands of its own in the segment that prefixes choose. */
const ownMemory = (form: Form): boolean => form.repeatable !== undefined || form.modrm === undefined

/** The shape of a decoded instruction, in a mode. */
export function shapeOf(decoded: Decoded, mode: Mode, stackSize: 16 | 32 | 64, segmented: boolean): Shape {
  const { form } = decoded
  const context: Context = {
    mode,
    operandSize: decoded.operandSize,
    addressSize: decoded.addressSize,
    stackSize,
    rep: decoded.repPrefix,
    lock: decoded.lock,
    segment: ownMemory(form) || form.hasUnit ? decoded.segment : DS,
  }
  return {
    form,
    context,
    hasMemory: decoded.hasMemory,
    hasIndex: decoded.hasMemory && decoded.index !== NO_REGISTER,
    ripRelative: decoded.hasMemory && decoded.base === RIP_BASE,
    segmented,
    farSegment: decoded.hasMemory && decoded.segment >= FS,
  }
}

const SIZE_CODE = { 16: 0, 32: 1, 64: 2 } as const
const REP_CODE = { none: 0, rep: 1, repne: 2 } as const

/** The bits of the key of a decoded instruction's shape: all of it but for the form. */
export function shapeBits(decoded: Decoded, modeClass: number, stackSize: 16 | 32 | 64, segmented: boolean): number {
  const { form, hasMemory } = decoded
  let bits = SIZE_CODE[decoded.operandSize] | (SIZE_CODE[decoded.addressSize] << 2) | (SIZE_CODE[stackSize] << 4)
  bits |= (REP_CODE[decoded.repPrefix] << 6) | (decoded.lock ? 1 << 8 : 0)
  bits |= (ownMemory(form) || form.hasUnit ? decoded.segment : DS) << 9
  if (hasMemory) {
    bits |= 1 << 12
    if (decoded.index !== NO_REGISTER) bits |= 1 << 13
    if (decoded.base === RIP_BASE) bits |= 1 << 14
    if (decoded.segment >= FS) bits |= 1 << 15
  }
  if (segmented) bits |= 1 << 16
  return bits | (modeClass << 17)
}

/** The key of a shape: what {@link shapeBits} gives for instructions of it times 8192, and the index of its form. */
export function keyOfShape({ form, context, ...shape }: Shape): number {
  let bits = SIZE_CODE[context.operandSize] | (SIZE_CODE[context.addressSize] << 2)
  bits |= (SIZE_CODE[context.stackSize] << 4) | (REP_CODE[context.rep] << 6) | (context.lock ? 1 << 8 : 0)
  bits |= context.segment << 9
  if (shape.hasMemory) bits |= 1 << 12
  if (shape.hasIndex) bits |= 1 << 13
  if (shape.ripRelative) bits |= 1 << 14
  if (shape.farSegment) bits |= 1 << 15
  if (shape.segmented) bits |= 1 << 16
  bits |= MODE_NAMES.indexOf(context.mode) << 17
  return bits * 8192 + form.index
}

/** A shape as text for the list of hot ones: mnemonic, encoding and what else there is to tell, by the bits of its key. */
export const shapeText = (shape: Shape): string =>
  `${Math.floor(keyOfShape(shape) / 8192).toString(36)} ${shape.form.instruction.mnemonic} ${shape.form.encoding}`

/** The shape behind a text of {@link shapeText}, or undefined when the instruction is not there any more. */
export function shapeFromText(text: string): Shape | undefined {
  const [code, mnemonic] = text.split(' ')
  const encoding = text.slice(code.length + mnemonic.length + 2)
  const form = forms.find(f => f.encoding === encoding && f.instruction.mnemonic === mnemonic)
  if (!form) return undefined
  return shapeOfKey(Number.parseInt(code, 36) * 8192 + form.index)
}

/** The bits of a key, and the index of its form. */
export const keyParts = (key: number): [bits: number, form: number] => [Math.floor(key / 8192), key % 8192]

/** The shape of a key. */
export function shapeOfKey(key: number): Shape {
  const [bits, index] = keyParts(key)
  const form = forms[index]
  const sizes = [16, 32, 64] as const
  const field = (shift: number, width: number) => (bits >> shift) & ((1 << width) - 1)
  return {
    form,
    context: {
      mode: MODE_NAMES[field(17, 3)],
      operandSize: sizes[field(0, 2)],
      addressSize: sizes[field(2, 2)],
      stackSize: sizes[field(4, 2)],
      rep: (['none', 'rep', 'repne'] as const)[field(6, 2)],
      lock: field(8, 1) === 1,
      segment: field(9, 3),
    },
    hasMemory: field(12, 1) === 1,
    hasIndex: field(13, 1) === 1,
    ripRelative: field(14, 1) === 1,
    farSegment: field(15, 1) === 1,
    segmented: field(16, 1) === 1,
  }
}

/** Notes what is done with the flags. */
class RecordingFlags extends PieceFlags {
  private readonly m: InterpreterSemantics
  constructor(m: InterpreterSemantics) {
    super(m, new StatePieces(m))
    this.m = m
  }
  private reads<T>(value: T): T {
    this.m.usage.readsFlags = true
    return value
  }
  private sets(): void {
    if (this.m.nesting > 0) {
      this.m.usage.setsFlagsSometimes = true
      this.m.usage.readsFlags = true
    } else this.m.usage.setsFlags = true
  }
  override get carry(): Int {
    return this.reads(super.carry)
  }
  override get zero(): Int {
    return this.reads(super.zero)
  }
  override get sign(): Int {
    return this.reads(super.sign)
  }
  override get overflow(): Int {
    return this.reads(super.overflow)
  }
  override get parity(): Int {
    return this.reads(super.parity)
  }
  override get adjust(): Int {
    return this.reads(super.adjust)
  }
  override condition(code: number): Int {
    return this.reads(super.condition(code))
  }
  override setAdd(a: Int, b: Int, result: Int): void {
    this.sets()
    super.setAdd(a, b, result)
  }
  override setSub(a: Int, b: Int, result: Int): void {
    this.sets()
    super.setSub(a, b, result)
  }
  override setLogic(result: Int): void {
    this.sets()
    super.setLogic(result)
  }
  override set(changes: FlagChanges): void {
    const { result, carry, overflow, adjust, zero, sign, parity } = changes
    // Setting only some keeps the others: that is reading them.
    if (!(carry && overflow && adjust && (result || (zero && sign && parity)))) this.m.usage.readsFlags = true
    this.sets()
    super.set(changes)
  }
  override readImage(): Int {
    return this.reads(super.readImage())
  }
}

class RecordingHome extends FunctionHome {
  override flags(m: InterpreterSemantics): PieceFlags {
    return new RecordingFlags(m)
  }
}

/** How the operands of a shape are used: the definition is built once for nothing. */
export function usageOf(shape: Shape): Usage {
  const usage = unknownUsage()
  const f = new FunctionBuilder(HANDLER_TYPE)
  build(new InterpreterSemantics(f, shape, usage, new RecordingHome(f)))
  return usage
}

/** Builds checks, definition and the way out into the function of `m`. */
export function build(m: InterpreterSemantics): void {
  const { instruction } = m.shape.form
  buildChecks(m, instruction)
  m.start()
  const execute = instruction.execute as (m: InterpreterSemantics, ...operands: unknown[]) => void
  execute.call(instruction, m, ...m.operands())
  buildAfter(m, instruction)
  m.finish()
}

/** A handler as a function. @param usage what {@link usageOf} says of the shape */
export function handlerUnit(name: string, shape: Shape, usage: Usage): Unit {
  const f = new FunctionBuilder(HANDLER_TYPE)
  const m = new InterpreterSemantics(f, shape, usage, new FunctionHome(f))
  build(m)
  m.f.unreachable()
  return { name, f, uses: m.used }
}

/** A handler that raises an exception: for bytes that are no instruction. */
export function faultUnit(name: string, vector: number, errorCode: number): Unit {
  const f = new FunctionBuilder(HANDLER_TYPE)
  const base = f.getLocal(0, I32)
  const set = (field: { offset: number }, value: number) => f.store(0x36, 0, base, f.const32(value), field.offset)
  set(F.fault, 1)
  set(F.faultVector, vector)
  set(F.faultErrorCode, errorCode)
  f.return(f.const32(2))
  f.unreachable()
  return { name, f, uses: [] }
}
