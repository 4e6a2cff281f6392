/** The smallest machine that MMX and SSE definitions can be built for: registers in the state, memory beside it, no faults but #XM. */
import { F } from '../../src/cpu/state.ts'
import { PieceFlags, StatePieces } from '../../src/engines/flags.ts'
import type { FunctionBuilder } from '../../src/ir/function.ts'
import { Int, type Operandish, Vector } from '../../src/ir/values.ts'
import {
  type Context,
  type MemoryOperand,
  type Operand,
  Semantics,
  type VectorOperand,
  type Width,
} from '../../src/isa/semantics.ts'
import { I32, I64, V128 } from '../../src/wasm/types.ts'

/** Where in memory 0 the operand in memory lies, and what RDI holds. */
export const DATA = 8192
/** Where the immediate byte of run-time immediates lies. */
export const IMMEDIATE = 8000

const LOADS = { 8: 0x2d, 16: 0x2f, 32: 0x28, 64: 0x29 } as const
const STORES = { 8: 0x3a, 16: 0x3b, 32: 0x36, 64: 0x37 } as const

/** Where a register or a piece of memory lies in memory 0: base and offset. */
class Place {
  readonly f: FunctionBuilder
  readonly base: Int
  readonly offset: number
  constructor(f: FunctionBuilder, base: Int, offset: number) {
    this.f = f
    this.base = base
    this.offset = offset
  }
  load(width: Width, more = 0): Int {
    const type = width === 64 ? I64 : I32
    return new Int(this.f, this.f.load(LOADS[width as 8], type, 0, this.base.node, this.offset + more), width)
  }
  store(value: Int, more = 0): void {
    this.f.store(STORES[value.width as 8], 0, this.base.node, value.node, this.offset + more)
  }
  loadVector(): Vector {
    return new Vector(this.f, this.f.load(0xfd00, V128, 0, this.base.node, this.offset))
  }
  storeVector(value: Vector): void {
    this.f.store(0xfd0b, 0, this.base.node, value.node, this.offset)
  }
}

/** A register or memory operand of any kind. */
class TestOperand implements VectorOperand {
  readonly kind: 'register' | 'memory'
  readonly bytes: number
  readonly width: Width
  readonly offset: Int
  private readonly place: Place
  private readonly m: Semantics
  private readonly general: boolean

  constructor(
    m: Semantics,
    kind: 'register' | 'memory',
    place: Place,
    bytes: number,
    general = false,
    width = (Math.min(bytes, 8) * 8) as Width,
  ) {
    this.m = m
    this.kind = kind
    this.place = place
    this.bytes = bytes
    this.width = width
    this.offset = place.base
    this.general = general
  }
  read(): Int {
    return this.place.load(this.width)
  }
  write(value: Operandish): void {
    const v = value instanceof Int ? value : this.m.const(value, this.width)
    if (v.width !== this.width) throw new Error(`operand of ${this.width} bits written with ${v.width}`)
    this.place.store(this.general && v.width === 32 ? v.zeroExtend(64) : v)
  }
  at(bytes: number | Int, width: Width = this.width): MemoryOperand {
    const base = typeof bytes === 'number' ? this.place.base.add(bytes) : this.place.base.add(bytes.resize(32))
    const place = new Place(this.place.f, base, this.place.offset)
    return new TestOperand(this.m, 'memory', place, 16, false, width) as unknown as MemoryOperand
  }
  readVector(): Vector {
    if (this.bytes < 16 && this.kind === 'memory') throw new Error('a vector read of less than 16 bytes')
    return this.place.loadVector()
  }
  writeVector(value: Vector): void {
    if (this.bytes < 16 && this.kind === 'memory') throw new Error('a vector written to less than 16 bytes')
    this.place.storeVector(value)
  }
  readLow(width: Width): Int {
    this.check(width)
    return this.place.load(width)
  }
  writeLow(value: Int): void {
    this.check(value.width)
    this.place.store(value)
  }
  private check(width: Width): void {
    if (this.kind === 'memory' && this.bytes !== width / 8) {
      throw new Error(`${width} bits of memory that has ${this.bytes} bytes`)
    }
  }
  readHalf(half: 0 | 1): Int {
    return this.place.load(64, half * 8)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.place.store(value, half * 8)
  }
  probeWrite(): void {}
  requireAligned(): void {}
  get upper(): VectorOperand {
    const more = this.kind === 'register' ? F.ymmHigh.offset - F.xmm.offset : 16
    const { f, base, offset } = this.place
    return new TestOperand(this.m, this.kind, new Place(f, base, offset + more), 16)
  }
}

/** See the head of this file. */
export class SimdSemantics extends Semantics {
  readonly context: Context
  readonly flags: PieceFlags

  constructor(f: FunctionBuilder, operandSize: 16 | 32 | 64) {
    super(f)
    this.context = {
      mode: 'long',
      operandSize,
      addressSize: 64,
      stackSize: 64,
      rep: 'none',
      lock: false,
      segment: 3,
    }
    this.flags = new PieceFlags(this, new StatePieces(this))
  }
  register(number: number, width: Width): Operand {
    return this.general(number, width)
  }
  general(number: number, width: Width): Operand {
    const place = new Place(this.f, this.base, F.gpr.offset + number * 8)
    return new TestOperand(this, 'register', place, width / 8, true) as unknown as Operand
  }
  xmm(number: number): VectorOperand {
    return new TestOperand(this, 'register', new Place(this.f, this.base, F.xmm.offset + number * 16), 16)
  }
  mmx(number: number): VectorOperand {
    return new TestOperand(this, 'register', new Place(this.f, this.base, F.fpr.offset + number * 16), 8)
  }
  /** Memory at DATA. */
  data(bytes: number): VectorOperand & MemoryOperand {
    const operand = new TestOperand(this, 'memory', new Place(this.f, this.const(DATA, 32), 0), bytes)
    return operand as unknown as VectorOperand & MemoryOperand
  }
  memory(_segment: number, offset: Int, width: Width): MemoryOperand {
    const place = new Place(this.f, offset.resize(32), 0)
    return new TestOperand(this, 'memory', place, width / 8) as unknown as MemoryOperand
  }
  immediate(value: number | undefined): Operand {
    const known =
      value === undefined
        ? new Int(this.f, this.f.load(0x2d, I32, 0, this.const(IMMEDIATE, 32).node, 0), 8)
        : this.const(value, 8)
    return { kind: 'immediate', width: 8, read: () => known, write: () => {} }
  }
  faultCheck(): void {
    this.if(this.get(F.fault).isNonZero(), () => this.f.return())
  }
  raise(): void {
    throw new Error('no exception is expected here')
  }
  /** None of the conditions for which definitions raise exceptions themselves holds in the tests. */
  override raiseIf(): void {}
  highByte = this.raise as never
  push = this.raise
  peek = this.raise as never
  drop = this.raise
  jump = this.raise
  branch = this.raise
  service = this.raise
  serviceResult = this.raise as never
  endBlock = this.raise
  restart = this.raise
  systemFlag = this.raise as never
  get nextRip(): Int {
    return this.const(0, 64)
  }
  get thisRip(): Int {
    return this.const(0, 64)
  }
  get privilegeLevel(): Int {
    return this.const(3, 32)
  }
}
