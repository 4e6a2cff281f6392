/**
 * The meaning of instructions for the interpreter: what differs from one occurrence of an instruction to the next is read
 * from its record while it runs.
 */

import { THROUGH_STACK_SEGMENT } from '../../cpu/memory-access.ts'
import { DS, F, type Field, FS, SS } from '../../cpu/state.ts'
import type { FunctionBuilder } from '../../ir/function.ts'
import { Int, int, type Width } from '../../ir/values.ts'
import type { Form, OperandSpec } from '../../isa/encoding.ts'
import type { Context, Flags, Operand, Operandish, VectorOperand } from '../../isa/semantics.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../../wasm/memory-opcodes.ts'
import { I32, I64 } from '../../wasm/types.ts'
import { EngineSemantics, GuestMemoryOperand, type Usage, VectorMemory } from '../semantics.ts'
import { FprOperand, type VectorPlace, VectorRegister } from '../vector-register.ts'
import * as R from './record.ts'

/** What a handler is made for, besides form and context. */
export interface Shape {
  readonly form: Form
  readonly context: Context
  /** ModRM names memory. */
  readonly hasMemory: boolean
  /** The memory operand has an index register. */
  readonly hasIndex: boolean
  readonly ripRelative: boolean
  /** Accesses go through segments with bases and limits to be looked at. */
  readonly segmented: boolean
  /** The memory operand is in FS or GS: its base counts in every mode. */
  readonly farSegment: boolean
}

/** How a handler gets on: the label or the status it leaves with. */
export const NEXT = 0
export const DISPATCH = 1
export const FAULT = 2

/** Where a handler runs: in the interpreter's main function or in one of its own. */
export interface Home {
  /** Address of the record. */
  record(): Int
  /** RIP of the start of the block. */
  blockRip(): Int
  /** The flags, made for the semantics that use them. */
  flags(m: InterpreterSemantics): Flags
  /** Flags and budget into the state, for services and slow paths. */
  spill(m: InterpreterSemantics): void
  /** Takes up flags that a service may have changed. */
  reload(m: InterpreterSemantics): void
  /** Only the budget, for devices that look at the time. */
  spillBudget(m: InterpreterSemantics): void
  leave(m: InterpreterSemantics, status: typeof NEXT | typeof DISPATCH | typeof FAULT): void
}

/** A general-purpose register whose place the record names. */
class RegisterAt implements Operand {
  readonly kind = 'register'
  readonly width: Width
  private readonly f: FunctionBuilder
  private readonly place: Int
  private readonly offset: number

  /** @param place address, to which `offset` is added. */
  constructor(f: FunctionBuilder, place: Int, offset: number, width: Width) {
    this.f = f
    this.place = place
    this.offset = offset
    this.width = width
  }
  read(): Int {
    const opcode = LOAD_OPCODES[this.width]
    const type = this.width === 64 ? I64 : I32
    return new Int(this.f, this.f.load(opcode, type, 0, this.place.node, this.offset), this.width)
  }
  write(value: Operandish): void {
    const v = value instanceof Int ? value : int(this.f, value, this.width)
    if (v.width !== this.width) throw new Error(`register of ${this.width} bits written with ${v.width}`)
    const wide = this.width === 32 ? v.zeroExtend(64) : v
    const opcode = STORE_OPCODES[wide.width]
    this.f.store(opcode, 0, this.place.node, wide.node, this.offset)
  }
}

/** An immediate operand. */
class Immediate implements Operand {
  readonly kind = 'immediate'
  readonly width: Width
  private readonly value: () => Int
  constructor(width: Width, value: () => Int) {
    this.width = width
    this.value = value
  }
  read(): Int {
    return this.value()
  }
  write(): void {
    throw new Error('an immediate cannot be written')
  }
}

/** The width of an operand: what its size letter means; immediates that are sign-extended have the operand size. */
export function widthOf(spec: OperandSpec, context: Context): Width {
  if (spec.signed) return context.operandSize
  switch (spec.size) {
    case 'b':
      return 8
    case 'w':
      return 16
    case 'd':
      return 32
    case 'q':
      return 64
    case 'y':
      return context.operandSize === 64 ? 64 : 32
    case 'z':
      return context.operandSize === 16 ? 16 : 32
    default:
      return context.operandSize
  }
}

/** Bytes that a vector or untyped memory operand has. */
export function memoryBytes(spec: OperandSpec, context: Context): number {
  switch (spec.size) {
    case 'dq':
      return 16
    case 'qq':
      return 32
    case 't':
      return 10
    default:
      return widthOf(spec, context) / 8
  }
}

/** Builds one handler. */
export class InterpreterSemantics extends EngineSemantics {
  readonly shape: Shape
  readonly flags: Flags
  readonly segmented: boolean
  private readonly home: Home
  private relative: Int | undefined
  private readonly offset: Int | undefined
  readonly nextRip: Int

  constructor(f: FunctionBuilder, shape: Shape, usage: Usage, home: Home) {
    super(f, shape.context, usage)
    this.shape = shape
    this.home = home
    this.segmented = shape.segmented
    this.flags = home.flags(this)
    this.nextRip = this.cutRip(home.blockRip().add(this.slot(R.RECORD_END).zeroExtend(64)))
    if (shape.hasMemory) this.offset = this.effectiveAddress()
  }

  private cutRip(rip: Int): Int {
    return this.long ? rip : rip.and(0xffffffff)
  }

  /** A u16 of the record. */
  private slot(offset: number): Int {
    return new Int(this.f, this.f.load(0x2f, I32, 0, this.home.record().node, offset), 32)
  }
  private byteSlot(offset: number): Int {
    return new Int(this.f, this.f.load(0x2d, I32, 0, this.home.record().node, offset), 32)
  }
  private wideSlot(offset: number): Int {
    return new Int(this.f, this.f.load(0x29, I64, 0, this.home.record().node, offset), 64)
  }

  get thisRip(): Int {
    const start = this.slot(R.RECORD_END).sub(this.byteSlot(R.RECORD_LENGTH))
    return this.cutRip(this.home.blockRip().add(start.zeroExtend(64)))
  }

  get privilegeLevel(): Int {
    return this.get(F.cpl)
  }

  private registerAt(slot: number, width: Width): Operand {
    return new RegisterAt(this.f, this.base.add(this.slot(slot)), 0, width)
  }

  register(number: number, width: Width): Operand {
    return new RegisterAt(this.f, this.base, F.gpr.offset + number * 8, width)
  }

  highByte(number: number): Operand {
    return new RegisterAt(this.f, this.base, F.gpr.offset + number * 8 + 1, 8)
  }

  xmm(number: number): VectorOperand {
    return new VectorRegister(this, this.fixedPlace(F.xmm, number))
  }

  private fixedPlace(field: Field, number: number): VectorPlace {
    return { base: this.base, offset: field.offset + number * field.stride }
  }

  private placeAt(slot: number): VectorPlace {
    return { base: this.base.add(this.slot(slot)), offset: 0 }
  }

  private effectiveAddress(): Int {
    const { addressSize } = this.shape.context
    const gpr = (slot: number, width: Width) => this.registerAt(slot, width).read()
    const width = addressSize === 64 ? 64 : 32
    const displacement =
      width === 64
        ? this.wideSlot(R.RECORD_DISPLACEMENT)
        : new Int(this.f, this.f.load(0x28, I32, 0, this.home.record().node, R.RECORD_DISPLACEMENT), 32)
    let sum: Int
    if (this.shape.ripRelative) sum = this.nextRip.resize(width).add(displacement)
    else sum = gpr(R.RECORD_RM, width).add(displacement)
    if (this.shape.hasIndex) sum = sum.add(gpr(R.RECORD_INDEX, width).shl(this.byteSlot(R.RECORD_SCALE)))
    return addressSize === 16 ? sum.truncate(16) : sum
  }

  segmentBase(segment: number | Int): Int {
    const { farSegment, segmented } = this.shape
    if (typeof segment === 'number') {
      if (segment >= FS || segmented) {
        return this.long && segment < FS ? this.const(0, 64) : this.get(F.segmentBase, segment)
      }
      return this.const(0, 64)
    }
    return farSegment || segmented ? this.get(F.segmentBase, segment) : this.const(0, 64)
  }

  tlbBase(): Int {
    return this.get(F.tlb)
  }

  leaveForFault(): void {
    this.usage.mayLeave = true
    this.home.leave(this, FAULT)
  }

  beforeSlowAccess(): void {
    this.home.spillBudget(this)
  }

  raise(vector: number, errorCode = -1): void {
    this.usage.mayLeave = true
    this.set(F.fault, 1)
    this.set(F.faultVector, vector)
    this.set(F.faultErrorCode, errorCode)
    this.home.leave(this, FAULT)
  }

  jump(target: Int): void {
    this.usage.jumps = true
    if (this.nesting > 0) this.usage.jumpsSometimes = true
    this.set(F.rip, this.checkedTarget(target, target === this.relative))
  }

  branch(condition: Int, target: Int): void {
    this.usage.jumps = true
    if (this.nesting > 0) this.usage.jumpsSometimes = true
    if (this.segmented) {
      this.if(condition, () => this.set(F.rip, this.checkedTarget(target, target === this.relative)))
    } else {
      this.set(F.rip, condition.select(this.checkedTarget(target, target === this.relative), this.nextRip))
    }
  }

  service(name: string, ...args: (Int | number)[]): void {
    this.usage.endsBlock = true
    if (this.nesting === 0) this.usage.callsService = true
    const flat: Int[] = []
    for (const arg of args) {
      const value = typeof arg === 'number' ? this.const(arg, 32) : arg
      if (value.width === 64) flat.push(value.truncate(32), value.shr(32).truncate(32))
      else flat.push(value.zeroExtend(32))
    }
    this.home.spill(this)
    this.set(F.rip, this.thisRip)
    this.set(F.nextRip, this.nextRip)
    this.external(`service:${name}`, flat)
    this.home.reload(this)
    this.faultCheck()
    this.set(F.rip, this.get(F.nextRip))
  }

  serviceResult(width: Width): Int {
    return this.get(F.serviceResult).resize(width)
  }

  endBlock(): void {
    this.usage.endsBlock = true
  }

  restart(): void {
    this.usage.restarts = true
    this.set(F.rip, this.thisRip)
    this.home.leave(this, DISPATCH)
  }

  systemFlag(mask: number): Int {
    return this.get(F.systemFlags).and(mask).isNonZero()
  }

  /** The operands of the form, in order. */
  operands(): unknown[] {
    return this.shape.form.operands.map(spec => this.operand(spec))
  }

  private operand(spec: OperandSpec): unknown {
    const { context } = this.shape
    const width = widthOf(spec, context)
    switch (spec.kind) {
      case 'rm':
        return this.shape.hasMemory ? this.modrmMemory(spec) : this.registerAt(R.RECORD_RM, width)
      case 'memory':
      case 'absolute':
        return this.modrmMemory(spec)
      case 'rmRegister':
        return this.registerAt(R.RECORD_RM, width)
      case 'reg':
        return this.registerAt(R.RECORD_REG, width)
      case 'opcodeRegister':
        return this.registerAt(R.RECORD_OPCODE_REGISTER, width)
      case 'register':
        return this.register(spec.number, width)
      case 'immediate':
        // The second one (ENTER, EXTRQ) has the place of the index register, whose instructions have no memory operand.
        if (this.shape.form.operands.find(other => other.kind === 'immediate') !== spec) {
          return new Immediate(width, () => this.slot(R.RECORD_INDEX).resize(width))
        }
        return new Immediate(width, () => this.wideSlot(R.RECORD_IMMEDIATE).truncate(width))
      case 'one':
        return new Immediate(8, () => this.const(1, 8))
      case 'relative':
        this.relative = this.nextRip.add(this.wideSlot(R.RECORD_IMMEDIATE))
        return this.relative
      case 'farSelector':
        return new Immediate(16, () => this.slot(R.RECORD_INDEX).truncate(16))
      case 'farOffset':
        return new Immediate(width, () => this.wideSlot(R.RECORD_IMMEDIATE).truncate(width))
      case 'segment':
      case 'control':
      case 'debug':
        return { number: this.slot(R.RECORD_REG) }
      case 'fixedSegment':
        return { number: this.const(spec.number, 32) }
      case 'st':
        return { number: this.const(0, 32) }
      case 'sti':
        return { number: this.slot(R.RECORD_RM) }
      case 'mmx':
        return new FprOperand(this, this.placeAt(R.RECORD_REG))
      case 'mmxRegister':
        return new FprOperand(this, this.placeAt(R.RECORD_RM))
      case 'mmxRm':
        return this.shape.hasMemory ? this.vectorMemory(spec) : new FprOperand(this, this.placeAt(R.RECORD_RM))
      case 'xmm':
        return new VectorRegister(this, this.placeAt(R.RECORD_REG))
      case 'xmmRegister':
        return new VectorRegister(this, this.placeAt(R.RECORD_RM))
      case 'xmmRm':
        return this.shape.hasMemory ? this.vectorMemory(spec) : new VectorRegister(this, this.placeAt(R.RECORD_RM))
      case 'xmm0':
        return this.xmm(0)
      case 'vexRegister':
        return this.registerAt(R.RECORD_OPCODE_REGISTER, width)
      case 'vexXmm':
        return new VectorRegister(this, this.placeAt(R.RECORD_OPCODE_REGISTER))
      case 'immediateXmm':
        return new VectorRegister(this, this.placeAt(R.RECORD_IMMEDIATE))
      case 'vectorMemory': {
        const indices = new VectorRegister(this, this.placeAt(R.RECORD_INDEX))
        return { memory: this.modrmMemory(spec), indices, scale: this.byteSlot(R.RECORD_SCALE) }
      }
    }
  }

  private modrmMemory(spec: OperandSpec): GuestMemoryOperand {
    const width = widthOf(spec, this.shape.context)
    const segment = this.shape.farSegment || this.segmented ? this.slot(R.RECORD_SEGMENT) : DS
    const bytes = memoryBytes(spec, this.shape.context)
    return new GuestMemoryOperand(this, segment, this.offset!, width, bytes, n =>
      this.slot(R.RECORD_SEGMENT).eq(SS).zeroExtend(32).mul(THROUGH_STACK_SEGMENT).or(n),
    )
  }

  private vectorMemory(spec: OperandSpec): VectorMemory {
    return new VectorMemory(this.modrmMemory(spec))
  }

  /** What follows the definition: on to the next record, or to wherever it jumped. */
  finish(): void {
    const { usage, shape } = this
    const leaves = usage.jumps || usage.endsBlock || shape.form.instruction.endsBlock
    this.home.leave(this, leaves ? DISPATCH : NEXT)
  }

  /** Before the definition: what leaves the block goes on with the next instruction unless it says otherwise. */
  start(): void {
    const { usage, shape } = this
    if (usage.jumps || usage.endsBlock || shape.form.instruction.endsBlock) this.set(F.rip, this.nextRip)
  }
}
