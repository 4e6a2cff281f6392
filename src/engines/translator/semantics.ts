/** The meaning of instructions for the translator: registers in locals, everything that the bytes say is constant. */

import { THROUGH_STACK_SEGMENT } from '../../cpu/memory-access.ts'
import { MODE_AVX, MODE_SEGMENTED, MODE_SSE, MODE_TLB_SHIFT, MODE_USER, MODE_X87 } from '../../cpu/mode.ts'
import { F, FS, SS } from '../../cpu/state.ts'
import type { FunctionBuilder } from '../../ir/function.ts'
import { Int, int, Vector, type Width } from '../../ir/values.ts'
import { type Decoded, isHighByte, NO_REGISTER, RIP_BASE } from '../../isa/decoder.ts'
import type { OperandSpec } from '../../isa/encoding.ts'
import type { Context, Likelihood, Operand, Operandish, Variable, VectorOperand } from '../../isa/semantics.ts'
import { TLB_BASE } from '../../memory/layout.ts'
import { NO_TAG, PAGE_MASK, TLB_ADDEND, TLB_READ, TLB_SIZE, TLB_WRITE } from '../../memory/tlb.ts'
import { I32, I64, V128, type ValueType } from '../../wasm/types.ts'
import { memoryBytes, widthOf } from '../interpreter/semantics.ts'
import {
  bytesOf,
  EngineSemantics,
  FILL_TLB,
  FILL_TLB_ALONE,
  GuestMemoryOperand,
  PLACE_RAM,
  PLACE_RAM_TYPE,
  type SizeArgument,
  takesSegmentChecks,
  type Usage,
  VectorMemory,
} from '../semantics.ts'
import { tlbOffset } from '../tlb-offset.ts'
import { FprOperand } from '../vector-register.ts'
import type { DeferredFloat } from './deferred.ts'
import type { RegionFlags } from './flags.ts'
import type { FloatBounds } from './float-bounds.ts'
import type { HeldPages } from './held-pages.ts'
import type { RegionX87 } from './x87.ts'

/** How an instruction ends, if not by going on with the next. */
export type Ending =
  | { kind: 'next' }
  /** To RIP plus this displacement, always or if the condition (a variable) holds. */
  | { kind: 'goto'; condition: Variable | undefined }
  /** To the address in the region's RIP variable. */
  | { kind: 'indirect' }

/** What the code of an instruction is put into. */
export interface RegionPlace {
  readonly f: FunctionBuilder
  readonly base: Int
  readonly flags: RegionFlags
  /** Where execution goes on outside of the region. */
  readonly rip: Variable
  /** RIP at a distance from the entry. */
  ripAt(distance: number): Int
  /** A general-purpose register, all 64 bits. */
  readGpr(number: number): Int
  writeGpr(number: number, value: Int): void
  /** An XMM register, or 16 further the upper half of a YMM register. */
  readXmm(number: number): Vector
  writeXmm(number: number, value: Vector): void
  /** By XMM register: 0, the width of its lowest number if that is settled (see Semantics.settles), negative if all of them are. */
  readonly settled: number[]
  unsettle(): void
  /** Pages that accesses in loops are expected in. */
  readonly held?: HeldPages | undefined
  /** Where floating-point checks of several instructions are made one. */
  readonly deferred?: DeferredFloat | undefined
  /** Magnitudes of scalar numbers, where they are kept account of. */
  readonly floats?: FloatBounds | undefined
  /** The x87 in locals, where instructions of the region use it. */
  readonly x87: RegionX87 | undefined
  /** Leaves so that the interpreter executes the instruction at a distance from the entry. */
  bail(distance: number): void
  /** Leaves to the instruction at a distance, which has done a part of its work: that counts as an instruction. */
  again(distance: number): void
}

/** Where in RAM an access goes: an address, and what is added to it. */
export interface RamPlace {
  readonly address: Int
  readonly offset: number
  /** The sum, where the offset only stands for a number. */
  readonly whole?: Int
}

const wholeAddress = ({ address, offset, whole }: RamPlace): Int => whole ?? address.add(offset)

/** A constant of 64 bits by halves. */
const constant64 = (f: FunctionBuilder, low: number, high: number): Int => new Int(f, f.const64(low, high), 64)

/** A general-purpose register in a local. */
class LocalRegister implements Operand {
  readonly kind = 'register'
  readonly width: Width
  private readonly region: RegionPlace
  private readonly number: number
  private readonly shift: number
  constructor(region: RegionPlace, number: number, width: Width, shift = 0) {
    this.region = region
    this.number = number
    this.width = width
    this.shift = shift
  }
  read(): Int {
    return this.region.readGpr(this.number).shr(this.shift).truncate(this.width)
  }
  write(value: Operandish): void {
    const { region, number, width, shift } = this
    const v = value instanceof Int ? value : int(region.f, value, width)
    if (v.width !== width) throw new Error(`register of ${width} bits written with ${v.width}`)
    if (width >= 32) region.writeGpr(number, v.zeroExtend(64))
    else {
      const mask = BigInt.asUintN(64, ~(((1n << BigInt(width)) - 1n) << BigInt(shift)))
      region.writeGpr(number, region.readGpr(number).and(mask).or(v.zeroExtend(64).shl(shift)))
    }
  }
}

/** An XMM register in a local; 16 more are the upper halves of the YMM registers. */
class LocalXmm implements VectorOperand {
  readonly kind = 'register'
  readonly bytes = 16
  private readonly region: RegionPlace
  readonly number: number
  constructor(region: RegionPlace, number: number) {
    this.region = region
    this.number = number
  }
  get upper(): LocalXmm {
    return new LocalXmm(this.region, this.number + 16)
  }
  probeWrite(): void {}
  requireAligned(): void {}
  readVector(): Vector {
    return this.region.readXmm(this.number)
  }
  writeVector(value: Vector): void {
    this.region.writeXmm(this.number, value)
  }
  readLow(width: Width): Int {
    return this.readVector().lane(width, 0)
  }
  writeLow(value: Int): void {
    this.writeVector(this.readVector().withLane(0, value))
  }
  readHalf(half: 0 | 1): Int {
    return this.readVector().lane(64, half)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.writeVector(this.readVector().withLane(half, value))
  }
}

/** Builds one instruction of a region. */
export class TranslatorSemantics extends EngineSemantics {
  readonly segmented: boolean
  readonly region: RegionPlace
  protected readonly decoded: Decoded
  private readonly mode: number
  private readonly end: number
  protected relative: Int | undefined
  protected readonly offset: Int | undefined
  ending: Ending = { kind: 'next' }

  /** @param end bytes from the region's entry to the end of the instruction */
  constructor(region: RegionPlace, decoded: Decoded, context: Context, usage: Usage, mode: number, end: number) {
    super(region.f, context, usage)
    this.region = region
    this.decoded = decoded
    this.mode = mode
    const segmented = (mode & MODE_SEGMENTED) !== 0 && context.mode !== 'long'
    this.segmented = takesSegmentChecks(segmented, context.mode, decoded.segment)
    this.end = end
    if (decoded.hasMemory) this.offset = this.effectiveAddress()
  }

  override get base(): Int {
    return this.region.base
  }

  /** No variable outlives its instruction. What V8 does where ways meet it does for every local: there had better be few. */
  protected override local(type: ValueType): number {
    return this.f.temporary(type)
  }

  get flags(): RegionFlags {
    return this.region.flags
  }
  override get deferred(): DeferredFloat | undefined {
    const { deferred } = this.region
    return deferred?.isOpen ? deferred : undefined
  }
  override get magnitudes(): FloatBounds | undefined {
    const { floats, deferred } = this.region
    if (!floats || deferred?.isOpen) return undefined
    floats.bail = () => this.bail()
    return floats
  }
  override get x87(): RegionX87 | undefined {
    return this.region.x87
  }

  get nextRip(): Int {
    return this.region.ripAt(this.end)
  }
  get thisRip(): Int {
    return this.region.ripAt(this.end - this.decoded.length)
  }
  get privilegeLevel(): Int {
    return this.mode & MODE_USER ? this.const(3, 32) : this.get(F.cpl)
  }

  register(number: number, width: Width): Operand {
    return new LocalRegister(this.region, number, width)
  }
  highByte(number: number): Operand {
    return new LocalRegister(this.region, number, 8, 8)
  }
  override readonly settles = true
  override isSettled(operand: VectorOperand, width: 32 | 64, all = false): boolean {
    if (!(operand instanceof LocalXmm)) return false
    if (this.deferred) return this.deferred.isKnown(operand.number, width, all)
    const known = this.region.settled[operand.number]
    return known === -width || (!all && known === width)
  }
  override settle(operand: VectorOperand, width: 32 | 64, all: boolean): void {
    if (!(operand instanceof LocalXmm)) return
    this.deferred?.know(operand.number, width, all)
    if (all || this.region.settled[operand.number] !== -width)
      this.region.settled[operand.number] = all ? -width : width
  }
  override unsettle(): void {
    this.region.unsettle()
  }
  xmm(number: number): VectorOperand {
    return new LocalXmm(this.region, number)
  }

  protected effectiveAddress(): Int {
    const { decoded } = this
    const width = decoded.addressSize === 64 ? 64 : 32
    const wide = (low: number, high: number) => constant64(this.f, low, high)
    let sum: Int | undefined
    if (decoded.base === RIP_BASE) {
      return this.nextRip.add(wide(decoded.displacement, decoded.displacement >> 31)).resize(width)
    }
    if (decoded.base !== NO_REGISTER) sum = this.region.readGpr(decoded.base).truncate(width)
    if (decoded.index !== NO_REGISTER) {
      const index = this.region.readGpr(decoded.index).truncate(width).shl(decoded.scale)
      sum = sum ? sum.add(index) : index
    }
    const displacement =
      width === 64 ? wide(decoded.displacement, decoded.displacementHigh) : this.const(decoded.displacement, 32)
    const address = sum ? sum.add(displacement) : displacement
    return decoded.addressSize === 16 ? address.truncate(16) : address
  }

  segmentBase(segment: number | Int): Int {
    if (typeof segment !== 'number') throw new Error('the translator knows its segments')
    return segment >= FS || this.segmented ? this.get(F.segmentBase, segment) : this.const(0, 64)
  }
  tlbBase(): Int {
    return this.const(this.tlbStart, 32)
  }

  override if(condition: Int, then: () => void, otherwise?: () => void, likelihood: Likelihood = 'even'): void {
    const { flags } = this.region
    flags.nesting++
    super.if(condition, then, otherwise, likelihood)
    flags.nesting--
  }
  override while(condition: () => Int, body: () => void): void {
    const { flags } = this.region
    flags.nesting++
    super.while(condition, body)
    flags.nesting--
  }

  leaveForFault(): void {
    this.set(F.fault, 0)
    this.bail()
  }
  beforeSlowAccess(): void {}

  /** Leaves with the state as before this instruction, for the interpreter to execute it. */
  bail(): void {
    this.region.bail(this.end - this.decoded.length)
  }

  raise(): void {
    this.bail()
  }
  override raiseIf(condition: Int): void {
    this.bailIf(condition)
  }
  /** Leaves so if a condition holds that hardly ever does. */
  protected bailIf(condition: Int): void {
    this.if(condition, () => this.bail(), undefined, 'unlikely')
  }

  jump(target: Int): void {
    if (target === this.relative && !this.throughRip && this.nesting === 0)
      this.ending = { kind: 'goto', condition: undefined }
    else {
      this.region.rip.value = this.checkedTarget(target, target === this.relative)
      this.ending = { kind: 'indirect' }
    }
  }

  /**
   * A 16-bit jump loses the upper half of EIP, and one in a segment with a limit is checked: these go through the RIP
   * variable.
   */
  protected get throughRip(): boolean {
    return !this.long && (this.context.operandSize === 16 || this.segmented)
  }

  branch(condition: Int, target: Int): void {
    if (this.throughRip || target !== this.relative || this.nesting > 0) {
      if (this.nesting === 0) this.region.rip.value = this.nextRip
      this.if(condition, () => {
        this.region.rip.value = this.checkedTarget(target, target === this.relative)
      })
      this.ending = { kind: 'indirect' }
      return
    }
    this.ending = { kind: 'goto', condition: this.variable(1, condition) }
  }

  /** A service in a conditional part: the interpreter executes the instruction anew. */
  service(): void {
    this.bail()
  }
  serviceResult(width: Width): Int {
    return this.get(F.serviceResult).resize(width)
  }
  endBlock(): void {}
  restart(): void {
    this.region.again(this.end - this.decoded.length)
  }
  systemFlag(mask: number): Int {
    return this.get(F.systemFlags).and(mask).isNonZero()
  }

  private entryOf(linear: Int): Int {
    return this.tlbBase().add(tlbOffset(linear.truncate(32)))
  }

  /** The address in RAM and its entry of the TLB, after a miss has been dealt with; leaves where there is none. */
  private probeRam(linear: Int, bytes: number, tag: number, size: SizeArgument): { address: Int; entry: Int } {
    const held = this.variable(64, linear).value
    const entry = this.variable(32, this.entryOf(held)).value
    const stored = new Int(this.f, this.f.load(0x29, I64, 0, entry.node, tag), 64)
    const page = (bytes === 1 ? held : held.add(bytes - 1)).and(PAGE_MASK)
    this.if(
      stored.ne(page),
      () => {
        const write = this.const(tag === TLB_WRITE ? 1 : 0, 32)
        const args = [held.truncate(32), held.shr(32).truncate(32), size(bytes), write]
        const type = { params: [I32, I32, I32, I32], results: [I32] } as const
        const filled = this.f.call(
          this.refillName,
          type,
          args.map(arg => arg.node),
        )
        this.bailIf(new Int(this.f, filled, 32).isZero())
      },
      undefined,
      'unlikely',
    )
    const addend = new Int(this.f, this.f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
    return { address: addend.add(held.truncate(32)), entry }
  }

  /** A word of the entry of the TLB at an offset from where that begins. */
  protected tlbWord(offset: Int, field: number): Int {
    return new Int(this.f, this.f.load(0x28, I32, 0, offset.node, this.tlbStart + field), 32)
  }
  /** Likewise a tag. */
  protected tlbTag(offset: Int, field: number): Int {
    return new Int(this.f, this.f.load(0x29, I64, 0, offset.node, this.tlbStart + field), 64)
  }
  /** Where the TLB lies in memory 0, as the offset of a load. */
  protected get tlbStart(): number {
    return TLB_BASE + ((this.mode >> MODE_TLB_SHIFT) & 3) * TLB_SIZE
  }

  /** Calls what finds an access's place in RAM where the TLB does not have it, and assigns it; leaves where there is none. */
  protected missedPlace(
    address: Variable,
    linear: Int,
    bytes: number,
    tag: number,
    size: SizeArgument,
    stored = this.const(NO_TAG, 64),
  ): void {
    const args = [linear, size(bytes), this.const(tag === TLB_WRITE ? 1 : 0, 32), stored]
    const found = this.f.call(
      PLACE_RAM,
      PLACE_RAM_TYPE,
      args.map(arg => arg.node),
    )
    const turned = this.variable(32, new Int(this.f, found, 32)).value
    this.bailIf(turned.isZero())
    address.value = turned.not()
  }

  /** The address in RAM of an access. What the way by a miss needs is little: V8 keeps on the stack whatever lives across a call. */
  private placeOf(linear: Int, bytes: number, tag: number, size: SizeArgument): Int {
    const held = this.variable(64, linear).value
    const low = held.truncate(32)
    const offset = this.variable(32, tlbOffset(low)).value
    const page = (bytes === 1 ? held : held.add(bytes - 1)).and(PAGE_MASK)
    const address = this.variable(32, this.tlbWord(offset, TLB_ADDEND).add(low))
    const stored = this.variable(64, this.tlbTag(offset, tag)).value
    const missed = () => this.missedPlace(address, held, bytes, tag, size, stored)
    this.if(stored.ne(page), missed, undefined, 'unlikely')
    return address.value
  }

  /** Where in RAM an access goes: an address, and what is to be added to it. */
  private ramPlace(linear: Int, bytes: number, tag: number, size: SizeArgument): RamPlace {
    const { alignment } = this
    this.alignment = 0
    const aligned = () => {
      if (alignment) this.alignedOrFault(linear, alignment)
    }
    const probe = () => {
      aligned()
      return this.probeRam(linear, bytes, tag, size)
    }
    const place =
      this.nearPlace(linear, bytes, tag, size, aligned) ??
      this.region.held?.find(linear, bytes, tag, this.nesting, probe)
    if (!place) {
      aligned()
      return { address: this.placeOf(linear, bytes, tag, size), offset: 0 }
    }
    // In memory 1 it is aligned as within its page.
    if (alignment) this.alignedOrFault(wholeAddress(place), alignment)
    return place
  }

  /**
   * Where in RAM an access goes that lies near others, if that is known (near-accesses.ts).
   * @param aligned checks its alignment: in front of a walk, which marks pages as accessed
   */
  protected nearPlace(
    _linear: Int,
    _bytes: number,
    _tag: number,
    _size: SizeArgument,
    _aligned: () => void,
  ): RamPlace | undefined {
    return undefined
  }

  /** What the next access has to be aligned to, or 0. */
  private alignment = 0
  override alignNext(_linear: Int, bytes: number): void {
    this.alignment = bytes
  }

  /** While pages are held, nothing may change translations or frames: what takes TypeScript is the interpreter's. */
  protected override get refillName(): string {
    return this.region.held ? FILL_TLB_ALONE : FILL_TLB
  }

  override load(linear: Int, width: Width, size: SizeArgument): Int {
    const { address, offset } = this.ramPlace(linear, bytesOf(width), TLB_READ, size)
    return this.ramLoad(address, width, offset)
  }
  override loadVector(linear: Int, size: SizeArgument): Vector {
    const { address, offset } = this.ramPlace(linear, 16, TLB_READ, size)
    return new Vector(this.f, this.f.load(0xfd00, V128, 1, address.node, offset))
  }
  override loadForWrite(linear: Int, width: Width, address: Variable, size: SizeArgument): Int {
    const place = this.ramPlace(linear, bytesOf(width), TLB_WRITE, size)
    address.value = wholeAddress(place)
    return this.ramLoad(address.value, width)
  }
  override storeBack(_linear: Int, value: Int, address: Int): void {
    this.ramStore(address, value)
  }
  override store(linear: Int, value: Int, size: SizeArgument): void {
    const { address, offset } = this.ramPlace(linear, bytesOf(value.width), TLB_WRITE, size)
    this.ramStore(address, value, offset)
  }
  override storeVector(linear: Int, value: Vector, size: SizeArgument): void {
    const { address, offset } = this.ramPlace(linear, 16, TLB_WRITE, size)
    this.f.store(0xfd0b, 1, address.node, value.node, offset)
  }
  override probeForWrite(linear: Int, bytes: number, size: SizeArgument): void {
    if (bytes <= 32) this.ramPlace(linear, bytes, TLB_WRITE, size)
    else this.probeRam(linear, bytes, TLB_WRITE, size)
  }

  /** The operands of the form, in order. */
  operands(): unknown[] {
    return this.decoded.form.operands.map(spec => this.operand(spec))
  }

  protected gpr(spec: OperandSpec, number: number, width: Width): Operand {
    if (spec.size === 'b' && isHighByte(this.decoded, number)) return this.highByte(number - 4)
    return this.register(number, width)
  }

  protected operand(spec: OperandSpec): unknown {
    const { decoded, context } = this
    const width = widthOf(spec, context)
    const fpr = (number: number) =>
      new FprOperand(this, { base: this.base, offset: F.fpr.offset + (number & 7) * F.fpr.stride })
    switch (spec.kind) {
      case 'rm':
        return decoded.hasMemory ? this.modrmMemory(spec) : this.gpr(spec, decoded.rm, width)
      case 'memory':
      case 'absolute':
        return this.modrmMemory(spec)
      case 'rmRegister':
        return this.gpr(spec, decoded.rm, width)
      case 'reg':
        return this.gpr(spec, decoded.reg, width)
      case 'opcodeRegister':
        return this.gpr(spec, decoded.opcodeRegister, width)
      case 'register':
        return this.register(spec.number, width)
      case 'immediate':
        if (decoded.form.operands.find(other => other.kind === 'immediate') !== spec) {
          return this.immediate(width, this.const(decoded.imm2, width))
        }
        return this.immediate(width, constant64(this.f, decoded.immLow, decoded.immHigh).truncate(width))
      case 'farOffset':
        return this.immediate(width, constant64(this.f, decoded.immLow, decoded.immHigh).truncate(width))
      case 'one':
        return this.immediate(8, this.const(1, 8))
      case 'relative':
        this.relative = this.nextRip.add(constant64(this.f, decoded.immLow, decoded.immHigh))
        return this.relative
      case 'farSelector':
        return this.immediate(16, this.const(decoded.imm2, 16))
      case 'segment':
      case 'control':
      case 'debug':
        return { number: this.const(decoded.reg, 32) }
      case 'fixedSegment':
        return { number: this.const(spec.number, 32) }
      case 'st':
        return { number: this.const(0, 32) }
      case 'sti':
        return { number: this.const(decoded.rm & 7, 32) }
      case 'mmx':
        return fpr(decoded.reg)
      case 'mmxRegister':
        return fpr(decoded.rm)
      case 'mmxRm':
        return decoded.hasMemory ? new VectorMemory(this.modrmMemory(spec)) : fpr(decoded.rm)
      case 'xmm':
        return this.xmm(decoded.reg)
      case 'xmmRegister':
        return this.xmm(decoded.rm)
      case 'xmmRm':
        return decoded.hasMemory ? new VectorMemory(this.modrmMemory(spec)) : this.xmm(decoded.rm)
      case 'xmm0':
        return this.xmm(0)
      case 'vexRegister':
        return this.gpr(spec, decoded.vexRegister, width)
      case 'vexXmm':
        return this.xmm(decoded.vexRegister)
      case 'immediateXmm':
        return this.xmm(decoded.immediateRegister)
      case 'vectorMemory': {
        const indices = this.xmm(decoded.vectorIndex)
        return { memory: this.modrmMemory(spec), indices, scale: this.const(decoded.scale, 32) }
      }
    }
  }

  protected immediate(width: Width, value: Int): Operand {
    return {
      kind: 'immediate',
      width,
      read: () => value,
      write: () => {
        throw new Error('an immediate cannot be written')
      },
    }
  }

  private modrmMemory(spec: OperandSpec): GuestMemoryOperand {
    const { context, decoded } = this
    const stack = decoded.segment === SS ? THROUGH_STACK_SEGMENT : 0
    const bytes = memoryBytes(spec, context)
    return new GuestMemoryOperand(this, decoded.segment, this.offset!, widthOf(spec, context), bytes, n =>
      this.const(n | stack, 32),
    )
  }

  /** Whether the mode says that the unit may be used without asking; builds what remains to be done. */
  static unitAllowed(unit: string | undefined, mode: number): boolean {
    if (unit === undefined) return true
    if (unit === 'sse') return (mode & MODE_SSE) !== 0
    if (unit === 'avx') return (mode & MODE_AVX) !== 0
    return (mode & MODE_X87) !== 0
  }

  /** What comes before the definition: what unit and privilege want, and where a jump that is not taken goes. */
  enter(): void {
    if (this.usage.jumpsSometimes) {
      this.region.rip.value = this.nextRip
      this.ending = { kind: 'indirect' }
    }
    if (this.decoded.form.instruction.privilege === 'cpl0' && this.context.mode !== 'real') {
      this.bailIf(this.get(F.cpl).isNonZero())
    }
    const { unit } = this.decoded.form.instruction
    if (this.x87 && (unit === 'x87' || unit === 'x87-no-wait')) {
      this.x87.begin(this.end - this.decoded.length, this.context.segment, () => this.bail())
      if (unit === 'x87') this.x87.needMasked()
      return
    }
    if (unit !== 'mmx' && unit !== 'x87') return
    const pending = this.get(F.fsw).and(this.get(F.fcw).not()).and(0x3f)
    this.bailIf(pending.isNonZero())
  }
}
