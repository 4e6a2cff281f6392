import { F } from '../cpu/state.ts'
import { Int, Vector, type Width } from '../ir/values.ts'
import type { Code, VectorOperand } from '../isa/semantics.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../wasm/memory-opcodes.ts'
import { I32, I64, V128 } from '../wasm/types.ts'

/** A place in the vCPU's state: a base address and a constant offset. */
export interface VectorPlace {
  readonly base: Int
  readonly offset: number
}

/** From an XMM register's place to that of the upper half of the YMM register. */
const UPPER = F.ymmHigh.offset - F.xmm.offset
if (F.ymmHigh.stride !== F.xmm.stride) throw new Error('the halves of YMM registers do not lie alike')

/** An XMM register, or the upper half of a YMM register, in the vCPU's state. */
export class VectorRegister implements VectorOperand {
  readonly kind = 'register'
  readonly bytes: number = 16
  protected readonly code: Code
  protected readonly place: VectorPlace

  constructor(code: Code, place: VectorPlace) {
    this.code = code
    this.place = place
  }

  get upper(): VectorOperand {
    return new VectorRegister(this.code, { base: this.place.base, offset: this.place.offset + UPPER })
  }
  probeWrite(): void {}
  requireAligned(): void {}
  readVector(): Vector {
    const { f } = this.code
    return new Vector(f, f.load(0xfd00, V128, 0, this.place.base.node, this.place.offset))
  }
  writeVector(value: Vector): void {
    this.code.f.store(0xfd0b, 0, this.place.base.node, value.node, this.place.offset)
  }
  protected loadAt(bytes: number, width: Width): Int {
    const { f } = this.code
    const type = width === 64 ? I64 : I32
    return new Int(f, f.load(LOAD_OPCODES[width], type, 0, this.place.base.node, this.place.offset + bytes), width)
  }
  protected storeAt(bytes: number, value: Int): void {
    this.code.f.store(STORE_OPCODES[value.width], 0, this.place.base.node, value.node, this.place.offset + bytes)
  }
  readLow(width: Width): Int {
    return this.loadAt(0, width)
  }
  writeLow(value: Int): void {
    this.storeAt(0, value)
  }
  readHalf(half: 0 | 1): Int {
    return this.loadAt(half * 8, 64)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.storeAt(half * 8, value)
  }
}

/** An MMX register: the significand of an x87 register, whose sign and exponent become ones when it is written. */
export class FprOperand extends VectorRegister {
  override readonly bytes: number = 8

  override writeLow(value: Int): void {
    super.writeLow(value)
    this.storeAt(8, this.code.const(0xffff, 16))
  }
  override writeHalf(half: 0 | 1, value: Int): void {
    if (half) throw new Error('an MMX register has one half')
    this.writeLow(value)
  }
}
