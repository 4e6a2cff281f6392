/**
 * What interpreter and translator share in giving instructions their meaning: guest memory through the inline TLB,
 * the stack, near jumps. How registers, flags and the way out are reached is each engine's own.
 */

import { THROUGH_STACK_SEGMENT } from '../cpu/memory-access.ts'
import { CS, DF, ES, F, FS, RSP, SS } from '../cpu/state.ts'
import type { FunctionBuilder } from '../ir/function.ts'
import { Int, typeOf, Vector } from '../ir/values.ts'
import { isCanonical } from '../isa/canonical.ts'
import {
  type Context,
  GP,
  type Likelihood,
  type MemoryOperand,
  type Mode,
  type Operandish,
  Semantics,
  type Variable,
  type VectorOperand,
  type Width,
} from '../isa/semantics.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_READ, TLB_WRITE } from '../memory/tlb.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../wasm/memory-opcodes.ts'
import { I32, I64, V128 } from '../wasm/types.ts'
import { compare, scan } from './string-runs.ts'
import { tlbOffset } from './tlb-offset.ts'

/** Bytes of a memory access. */
export type AccessBytes = 1 | 2 | 4 | 8 | 16

/** What is known of how an instruction uses its operands, found by building it once for nothing. */
export interface Usage {
  /** Memory operands that are read and then written, by the order in which they are made. */
  readonly writtenMemory: Set<number>
  /** It calls `jump` or `branch`. */
  jumps: boolean
  /** It calls `endBlock` or a service. */
  endsBlock: boolean
  /** It calls `restart`. */
  restarts: boolean
  /** It jumps in a conditional part. */
  jumpsSometimes: boolean
  /** It calls a service, whatever happens. */
  callsService: boolean
  /** It reads some flag, or sets only some of them. */
  readsFlags: boolean
  /** It sets all six arithmetic flags, whatever happens. */
  setsFlags: boolean
  /** It sets flags in a conditional part. */
  setsFlagsSometimes: boolean
  /** It may leave without being done: it accesses memory, raises exceptions or calls something. */
  mayLeave: boolean
}

/** A {@link Usage} to be filled. */
export const unknownUsage = (): Usage => ({
  writtenMemory: new Set(),
  jumps: false,
  endsBlock: false,
  restarts: false,
  jumpsSometimes: false,
  callsService: false,
  readsFlags: false,
  setsFlags: false,
  setsFlagsSometimes: false,
  mayLeave: false,
})

/** What slow paths are told of an access: its bytes, and whether it goes through SS (a non-canonical one is #SS). */
export type SizeArgument = (bytes: number) => Int

/** Repeated string instructions with no more elements than this are not worth doing in one go. */
const LEAST_RUN = 7

/** The halves of a linear address, bytes of the access, whether it writes; whether the page may be accessed now. */
export const FILL_TLB_TYPE = { params: [I32, I32, I32, I32], results: [I32] } as const

/** Fills the TLB, by TypeScript if need be; and without, so that nothing else changes. */
export const FILL_TLB = 'fillTlb'
export const FILL_TLB_ALONE = 'fillTlbAlone'
/**
 * The address in memory 1 where an access goes, with all bits turned over, by linear address, bytes, whether it writes, and the tag that
 * did not fit; 0 where TypeScript is needed. The tag is there for V8: with no other use it is compared in memory, and loaded as well
 * because loads may trap. Turned back, a result is known to have no upper half, and is not cut to 32 bits before each use.
 */
export const PLACE_RAM = 'placeRam'
export const PLACE_RAM_TYPE = { params: [I64, I32, I32, I64], results: [I32] } as const

/** The bytes of a width. */
export const bytesOf = (width: Width): AccessBytes => (width === 1 ? 1 : width / 8) as AccessBytes

/**
 * Whether an instruction's memory accesses are checked against their segment: the mode word vouches for CS, DS, ES and SS only,
 * and only for what they are made for, while FS and GS may have any limit and CS cannot be written.
 */
export const takesSegmentChecks = (segmented: boolean, mode: Mode, segment: number): boolean =>
  segmented || (mode !== 'long' && (segment === CS || segment >= FS))

/** Common ground of the engines' semantics. */
export abstract class EngineSemantics extends Semantics {
  readonly context: Context
  readonly usage: Usage
  private memoryOperands = 0

  constructor(f: FunctionBuilder, context: Context, usage: Usage) {
    super(f)
    this.context = context
    this.usage = usage
  }

  /** Leaves the instruction because F.fault is set: nothing of it was committed. */
  abstract leaveForFault(): void
  /** Called in the arm of a slow access before anything is called that may look at the time. */
  abstract beforeSlowAccess(): void
  /** Base of a segment: a constant 0 where it is known, else from the state. Int of 64 bits. */
  abstract segmentBase(segment: number | Int): Int
  /** Whether accesses through the segment take the limit and type checks. */
  abstract readonly segmented: boolean
  /** The TLB of the current access class: its address in memory 0. */
  abstract tlbBase(): Int

  /** How many `if`s and loops of the definition are open where code is being built. */
  nesting = 0

  override if(condition: Int, then: () => void, otherwise?: () => void, likelihood: Likelihood = 'even'): void {
    this.nesting++
    super.if(condition, then, otherwise, likelihood)
    this.nesting--
  }

  override while(condition: () => Int, body: () => void): void {
    this.nesting++
    super.while(condition, body)
    this.nesting--
  }

  get long(): boolean {
    return this.context.mode === 'long'
  }

  /** A number for the next memory operand. */
  nextMemoryOperand(): number {
    return this.memoryOperands++
  }

  memory(segment: number, offset: Int, width: Width): GuestMemoryOperand {
    return new GuestMemoryOperand(this, segment, offset, width)
  }

  /** The linear address of an offset in a segment, 64 bits; 32 bits wrap in legacy modes. */
  linear(segment: number | Int, offset: Int): Int {
    const base = this.segmentBase(segment)
    if (this.long) return base.add(offset.zeroExtend(64))
    const known = base.constant === 0n
    const low = offset.zeroExtend(offset.width === 16 ? 32 : offset.width).resize(32)
    return (known ? low : low.add(base.truncate(32))).zeroExtend(64)
  }

  /** Limit and type checks of a legacy segment; faults leave. */
  checkSegment(segment: number | Int, offset: Int, bytes: number, write: boolean): void {
    if (!this.segmented) return
    const number = typeof segment === 'number' ? this.const(segment, 32) : segment
    this.if(this.get(F.segmentCheck, number).isNonZero(), () => {
      this.external('segmentCheck', [number, offset.resize(32), this.const(bytes, 32), this.const(write ? 1 : 0, 32)])
      this.faultCheck()
    })
  }

  /** Leaves if a slow path has left a fault. */
  faultCheck(): void {
    this.if(this.get(F.fault).isNonZero(), () => this.leaveForFault(), undefined, 'unlikely')
  }

  /** Calls an imported TypeScript function with i32 arguments. */
  external(name: string, args: readonly Int[]): void {
    this.usage.mayLeave = true
    this.f.call(
      name,
      { params: args.map(() => I32), results: [] },
      args.map(arg => arg.node),
    )
  }

  private halves(value: Int): [low: Int, high: Int] {
    return [value.truncate(32), value.shr(32).truncate(32)]
  }

  /** The function that fills the TLB for an access that would miss it. */
  protected get refillName(): string {
    return FILL_TLB
  }

  /** Whether the access hits the TLB; the entry's address comes along. */
  private probe(linear: Int, bytes: number, tag: number): { hit: Int; entry: Int } {
    const entry = this.tlbBase().add(tlbOffset(linear.truncate(32)))
    const stored = new Int(this.f, this.f.load(0x29, I64, 0, entry.node, tag), 64)
    const page = (bytes === 1 ? linear : linear.add(bytes - 1)).and(PAGE_MASK)
    return { hit: stored.eq(page), entry }
  }

  /**
   * Probes the pages of a run, reads before writes, each after the TLB had its chance to be filled: a run most often begins
   * in a page that was not there. What cannot be filled (page faults, devices) misses, as does one of two pages with one entry.
   */
  private probeRun(places: readonly (readonly [linear: Int, tag: number])[]): { hit: Int; entries: Int[] } {
    const plain = this.variable(1, 1)
    for (const [linear, tag] of places) {
      this.if(
        plain.value.and(this.probe(linear, 1, tag).hit.not()),
        () => {
          this.beforeSlowAccess()
          const args = [...this.halves(linear), this.const(1, 32), this.const(tag === TLB_WRITE ? 1 : 0, 32)]
          const filled = this.f.call(
            this.refillName,
            FILL_TLB_TYPE,
            args.map(arg => arg.node),
          )
          plain.value = new Int(this.f, filled, 32).truncate(1)
        },
        undefined,
        'unlikely',
      )
    }
    const probes = places.map(([linear, tag]) => this.probe(linear, 1, tag))
    return {
      hit: probes.reduce((all, { hit }) => all.and(hit), plain.value),
      entries: probes.map(({ entry }) => entry),
    }
  }

  /** #GP unless an address is aligned. */
  alignedOrFault(linear: Int, bytes: number): void {
    const low = linear.truncate(32).and(bytes - 1)
    this.raiseIf(low.isNonZero(), GP, 0)
  }

  /** The same of the access that comes next. */
  alignNext(linear: Int, bytes: number): void {
    this.alignedOrFault(linear, bytes)
  }

  private hostAddress(entry: Int, linear: Int): Int {
    const addend = new Int(this.f, this.f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
    return addend.add(linear.truncate(32))
  }

  protected ramLoad(address: Int, width: Width, offset = 0): Int {
    return new Int(this.f, this.f.load(LOAD_OPCODES[width], typeOf(width), 1, address.node, offset), width)
  }

  /** Loads 8 to 64 bits. */
  load(linear: Int, width: Width, size: SizeArgument): Int {
    const bytes = bytesOf(width)
    const result = this.variable(width, 0)
    const { hit, entry } = this.probe(linear, bytes, TLB_READ)
    this.if(
      hit,
      () => result.set(this.ramLoad(this.hostAddress(entry, linear), width)),
      () => {
        this.slowLoad('loadSlow', linear, size(bytes))
        result.set(this.get(F.serviceResult).truncate(width))
      },
      'likely',
    )
    return result.value
  }

  /** Loads 128 bits. */
  loadVector(linear: Int, size: SizeArgument): Vector {
    const result = this.vectorVariable(this.vector(new Uint8Array(16)))
    const { hit, entry } = this.probe(linear, 16, TLB_READ)
    this.if(
      hit,
      () => {
        result.value = new Vector(this.f, this.f.load(0xfd00, V128, 1, this.hostAddress(entry, linear).node, 0))
      },
      () => {
        this.slowLoad('loadSlow', linear, size(16))
        result.value = this.getVector({ ...F.serviceResult, type: 'v128' })
      },
      'likely',
    )
    return result.value
  }

  /** The slow way of a load: translation, devices, page crossings; leaves with a fault if there is one. */
  slowLoad(name: 'loadSlow' | 'loadForWriteSlow', linear: Int, size: Int): void {
    this.beforeSlowAccess()
    this.external(name, [...this.halves(linear), size])
    this.faultCheck()
  }

  /** The slow way of a store, the value being in F.serviceResult. */
  slowStore(linear: Int, size: Int): void {
    this.beforeSlowAccess()
    this.external('storeSlow', [...this.halves(linear), size])
    this.faultCheck()
  }

  /** The slow way of a probe. */
  slowProbe(linear: Int, size: Int): void {
    this.beforeSlowAccess()
    this.external('probeWrite', [...this.halves(linear), size])
    this.faultCheck()
  }

  /** Loads what will be written back: `address` becomes where in RAM, or -1 when the store must take the slow way. */
  loadForWrite(linear: Int, width: Width, address: Variable, size: SizeArgument): Int {
    const bytes = bytesOf(width)
    const result = this.variable(width, 0)
    const { hit, entry } = this.probe(linear, bytes, TLB_WRITE)
    this.if(
      hit,
      () => {
        address.set(this.hostAddress(entry, linear))
        result.set(this.ramLoad(address.value, width))
      },
      () => {
        address.set(-1)
        this.slowLoad('loadForWriteSlow', linear, size(bytes))
        result.set(this.get(F.serviceResult).truncate(width))
      },
      'likely',
    )
    return result.value
  }

  protected ramStore(address: Int, value: Int, offset = 0): void {
    this.f.store(STORE_OPCODES[value.width], 1, address.node, value.node, offset)
  }

  /** Stores where {@link loadForWrite} found the place. */
  storeBack(linear: Int, value: Int, address: Int, size: SizeArgument): void {
    this.if(
      address.ne(-1),
      () => this.ramStore(address, value),
      () => {
        this.set(F.serviceResult, value.zeroExtend(64))
        this.slowStore(linear, size(bytesOf(value.width)))
      },
      'likely',
    )
  }

  /** Stores 8 to 64 bits. */
  store(linear: Int, value: Int, size: SizeArgument): void {
    const bytes = bytesOf(value.width)
    const { hit, entry } = this.probe(linear, bytes, TLB_WRITE)
    this.if(
      hit,
      () => this.ramStore(this.hostAddress(entry, linear), value),
      () => {
        this.set(F.serviceResult, value.zeroExtend(64))
        this.slowStore(linear, size(bytes))
      },
      'likely',
    )
  }

  /** Stores 128 bits. */
  storeVector(linear: Int, value: Vector, size: SizeArgument): void {
    const { hit, entry } = this.probe(linear, 16, TLB_WRITE)
    this.if(
      hit,
      () => this.f.store(0xfd0b, 1, this.hostAddress(entry, linear).node, value.node, 0),
      () => {
        this.setVector({ ...F.serviceResult, type: 'v128' }, value)
        this.slowStore(linear, size(16))
      },
      'likely',
    )
  }

  /** Makes sure that a write will succeed. */
  probeForWrite(linear: Int, bytes: number, size: SizeArgument): void {
    const { hit } = this.probe(linear, bytes, TLB_WRITE)
    this.if(hit.isZero(), () => this.slowProbe(linear, size(bytes)), undefined, 'unlikely')
  }

  override elementsInPage(pointers: readonly (readonly [segment: number, offset: Int])[], width: Width): Int {
    let least = this.const(4096, 32)
    for (const [segment, offset] of pointers) {
      const room = this.const(4096, 32).sub(this.linear(segment, offset).truncate(32).and(0xfff))
      least = room.ltU(least).select(room, least)
    }
    const elements = least.shr(Math.log2(width / 8))
    return elements.isZero().select(this.const(1, 32), elements)
  }

  override fillRun(segment: number, offset: Int, elements: Int, value: Int): Int {
    const done = this.variable(1, 0)
    if (!this.segmented) {
      const linear = this.linear(segment, offset)
      const wanted = this.systemFlag(DF).not().and(elements.gtU(LEAST_RUN)).and(value.rotl(8).eq(value))
      this.if(wanted, () => {
        const { hit, entries } = this.probeRun([[linear, TLB_WRITE]])
        this.if(hit, () => {
          const length = elements.shl(Math.log2(value.width / 8))
          this.f.fillRam(this.hostAddress(entries[0], linear).node, value.resize(32).node, length.node)
          done.set(1)
        })
      })
    }
    return done.value
  }

  override copyRun(segment: number, from: Int, to: Int, elements: Int, width: Width): Int {
    const done = this.variable(1, 0)
    if (!this.segmented) {
      const [source, destination] = [this.linear(segment, from), this.linear(ES, to)]
      const wanted = this.systemFlag(DF).not().and(elements.gtU(LEAST_RUN))
      this.if(wanted, () => {
        const { hit, entries } = this.probeRun([
          [source, TLB_READ],
          [destination, TLB_WRITE],
        ])
        this.if(hit, () => {
          const length = this.variable(32, elements.shl(Math.log2(width / 8))).value
          const [here, there] = [this.hostAddress(entries[0], source), this.hostAddress(entries[1], destination)]
          // A copy upwards onto itself repeats what it has written: element by element only.
          this.if(there.sub(here).geU(length), () => {
            this.f.copyRam(there.node, here.node, length.node)
            done.set(1)
          })
        })
      })
    }
    return done.value
  }

  override scanRun(offset: Int, elements: Int, value: Int, alike: boolean): Int {
    const found = this.variable(32, 0)
    if (!this.segmented) {
      const linear = this.linear(ES, offset)
      const { hit, entry } = this.probe(linear, 1, TLB_READ)
      this.if(hit.and(this.systemFlag(DF).not()).and(elements.gtU(LEAST_RUN)), () => {
        found.value = this.call(scan(value.width, alike), this.hostAddress(entry, linear), elements, value)
      })
    }
    return found.value
  }

  override compareRun(segment: number, first: Int, second: Int, elements: Int, width: Width, alike: boolean): Int {
    const found = this.variable(32, 0)
    if (!this.segmented) {
      const [a, b] = [this.linear(segment, first), this.linear(ES, second)]
      const [one, other] = [this.probe(a, 1, TLB_READ), this.probe(b, 1, TLB_READ)]
      const plain = one.hit.and(other.hit).and(this.systemFlag(DF).not()).and(elements.gtU(LEAST_RUN))
      this.if(plain, () => {
        const places = [this.hostAddress(one.entry, a), this.hostAddress(other.entry, b)]
        found.value = this.call(compare(width, alike), ...places, elements)
      })
    }
    return found.value
  }

  override inputRun(port: Int, segment: number, offset: Int, elements: Int, width: Width): Int {
    const linear = this.linear(segment, offset)
    this.service('inputRun', port, width / 8, linear, segment, offset.resize(32), elements)
    return this.serviceResult(32)
  }

  private stackPointer() {
    return this.register(RSP, this.context.stackSize)
  }

  push(value: Int): void {
    const pointer = this.stackPointer()
    const top = pointer.read().sub(value.width / 8)
    new GuestMemoryOperand(this, SS, top, value.width).write(value)
    pointer.write(top)
  }

  peek(width: Width, skip = 0): Int {
    return new GuestMemoryOperand(this, SS, this.stackPointer().read().add(skip), width).read()
  }

  drop(bytes: number | Int): void {
    const pointer = this.stackPointer()
    const count = typeof bytes === 'number' ? bytes : bytes.resize(this.context.stackSize)
    pointer.write(pointer.read().add(count))
  }

  /** Near jump targets cut to the operand size and checked as {@link Semantics.jump} says. */
  protected checkedTarget(target: Int, relative: boolean): Int {
    const cut = this.long ? target.zeroExtend(64) : this.cutTarget(target)
    if (this.long) {
      if (!relative) {
        // With whatever levels of paging, 47 bits and a sign are canonical.
        this.if(
          cut.sar(47).add(1).gtU(1),
          () => this.raiseIf(isCanonical(this, cut).isZero(), GP, 0),
          undefined,
          'unlikely',
        )
      }
    } else if (this.segmented) {
      this.raiseIf(cut.truncate(32).gtU(this.get(F.segmentLimit, CS)), GP, 0)
    }
    return cut
  }

  private cutTarget(target: Int): Int {
    const size = this.context.operandSize === 16 ? 16 : 32
    return target.resize(size).zeroExtend(64)
  }
}

/** A place in guest memory. */
export class GuestMemoryOperand implements MemoryOperand, VectorOperand {
  readonly kind = 'memory'
  readonly width: Width
  readonly bytes: number
  readonly offset: Int
  private readonly m: EngineSemantics
  private readonly segment: number | Int
  private readonly number: number
  private readonly size: SizeArgument
  private address: Variable | undefined
  private readonly linearAddress: Int
  private wasRead = false

  /** @param bytes what a vector operand has in memory; by default the width. */
  constructor(
    m: EngineSemantics,
    segment: number | Int,
    offset: Int,
    width: Width,
    bytes = width / 8,
    size: SizeArgument = n => m.const(segment === SS ? n | THROUGH_STACK_SEGMENT : n, 32),
  ) {
    this.m = m
    this.segment = segment
    this.offset = offset
    this.width = width
    this.bytes = bytes
    this.size = size
    this.number = m.nextMemoryOperand()
    // Made here, not where it is first used: that may be inside a conditional part.
    this.linearAddress = m.linear(segment, offset)
  }

  /** The next 16 bytes. */
  get upper(): GuestMemoryOperand {
    return new GuestMemoryOperand(this.m, this.segment, this.offset.add(16), this.width, 16, this.size)
  }

  private linear(bytes: number, write: boolean): Int {
    this.m.checkSegment(this.segment, this.offset, bytes, write)
    return this.linearAddress
  }

  read(): Int {
    this.wasRead = true
    if (this.m.usage.writtenMemory.has(this.number)) {
      const linear = this.linear(bytesOf(this.width), true)
      this.address = this.m.variable(32, -1)
      return this.m.loadForWrite(linear, this.width, this.address, this.size)
    }
    return this.m.load(this.linear(bytesOf(this.width), false), this.width, this.size)
  }

  write(value: Operandish): void {
    const v = value instanceof Int ? value : this.m.const(value, this.width)
    if (this.wasRead) this.m.usage.writtenMemory.add(this.number)
    if (v.width !== this.width) throw new Error(`memory of ${this.width} bits written with ${v.width}`)
    if (this.address) this.m.storeBack(this.linearAddress, v, this.address.value, this.size)
    else this.m.store(this.linear(bytesOf(this.width), true), v, this.size)
  }

  at(bytes: number | Int, width: Width = this.width): GuestMemoryOperand {
    const distance = typeof bytes === 'number' ? bytes : bytes.resize(this.offset.width)
    return new GuestMemoryOperand(this.m, this.segment, this.offset.add(distance), width, width / 8, this.size)
  }

  private vectorLinear(aligned: boolean, write: boolean): Int {
    const linear = this.linear(16, write)
    if (aligned) this.m.alignNext(linear, 16)
    return linear
  }

  private alignedOrFault(linear: Int, bytes: number): void {
    this.m.alignedOrFault(linear, bytes)
  }

  requireAligned(bytes: number): void {
    this.alignedOrFault(this.linearAddress, bytes)
  }

  /** As a MemoryOperand: `true` demands alignment. As a VectorOperand see {@link VectorMemory}. */
  readVector(aligned = false): Vector {
    return this.m.loadVector(this.vectorLinear(aligned, false), this.size)
  }

  writeVector(value: Vector, aligned = false): void {
    this.m.storeVector(this.vectorLinear(aligned, true), value, this.size)
  }

  probeWrite(bytes: number, aligned = false): void {
    const linear = this.linear(bytes, true)
    if (aligned) this.alignedOrFault(linear, bytes)
    this.m.probeForWrite(linear, bytes, this.size)
  }

  readLow(width: Width): Int {
    return this.m.load(this.linear(bytesOf(width), false), width, this.size)
  }

  writeLow(value: Int): void {
    this.m.store(this.linear(bytesOf(value.width), true), value, this.size)
  }

  readHalf(half: 0 | 1): Int {
    return this.at(half * 8, 64).read()
  }

  writeHalf(half: 0 | 1, value: Int): void {
    this.at(half * 8, 64).write(value)
  }
}

/** Memory in the place of an XMM register: 16 bytes must be aligned unless the instruction says otherwise. */
export class VectorMemory implements VectorOperand {
  readonly kind = 'memory'
  readonly bytes: number
  /** The effective address, for instructions that need it. */
  readonly offset: Int
  private readonly memory: GuestMemoryOperand

  constructor(memory: GuestMemoryOperand) {
    this.memory = memory
    this.bytes = memory.bytes
    this.offset = memory.offset
  }
  get upper(): VectorMemory {
    return new VectorMemory(this.memory.upper)
  }
  probeWrite(bytes: number): void {
    this.memory.probeWrite(bytes)
  }
  requireAligned(bytes: number): void {
    this.memory.requireAligned(bytes)
  }
  readVector(unaligned = false): Vector {
    return this.memory.readVector(!unaligned)
  }
  writeVector(value: Vector, unaligned = false): void {
    this.memory.writeVector(value, !unaligned)
  }
  readLow(width: Width): Int {
    return this.memory.readLow(width)
  }
  writeLow(value: Int): void {
    this.memory.writeLow(value)
  }
  readHalf(half: 0 | 1): Int {
    return this.memory.readHalf(half)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.memory.writeHalf(half, value)
  }
}
