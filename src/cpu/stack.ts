/** A stack outside of 64-bit mode while it is pushed to or popped from: limits, wrap-around, and one commit at the end. */
import { raise } from './faults.ts'
import {
  isCanonical,
  readLinear16,
  readLinear32,
  readLinear64,
  writeLinear16,
  writeLinear32,
  writeLinear64,
} from './memory-access.ts'
import { ACCESS_USER } from './paging.ts'
import { ATTRIBUTE_DB } from './registers.ts'
import { descriptorBase, descriptorLimit } from './segmentation.ts'
import { F, RSP, SS } from './state.ts'
import type { Vcpu } from './vcpu.ts'

const GPR_RSP = (F.gpr.offset >> 2) + RSP * 2
const CPL = F.cpl.offset >> 2

/** What far transfers need of a stack, whichever mode it is of. */
export interface FarStack {
  /** Pushes 2, 4 or 8 bytes. @throws GUEST_FAULT */
  push(value: number, size: number, high?: number): void
  /** Pops 2, 4 or 8 bytes: the low half, unsigned; the high one is in `cpu.high`. @throws GUEST_FAULT */
  pop(size: number): number
  skip(bytes: number): void
  commit(): void
}

/** A stack in 64-bit mode. Far transfers there are rare: its pointer may be a bigint. */
export class LongStack implements FarStack {
  private readonly cpu: Vcpu
  private readonly access: number
  pointer: bigint

  constructor(cpu: Vcpu, pointer: bigint, cpl: number) {
    this.cpu = cpu
    this.pointer = pointer
    this.access = cpl === 3 ? ACCESS_USER : 0
  }

  /** The stack at RSP. */
  static current(cpu: Vcpu): LongStack {
    return new LongStack(cpu, cpu.state.get64(F.gpr, RSP), cpu.state.i32[CPL])
  }

  private move(bytes: number): void {
    this.pointer = BigInt.asUintN(64, this.pointer + BigInt(bytes))
  }
  /** The pointer's halves; a non-canonical one is #SS(0). */
  private halves(): [low: number, high: number] {
    const high = Number(this.pointer >> 32n) | 0
    if (!isCanonical(this.cpu, high)) raise(this.cpu, 12, 0)
    return [Number(this.pointer & 0xffffffffn) | 0, high]
  }

  push(value: number, size: number, high = 0): void {
    this.move(-size)
    const [low, top] = this.halves()
    if (size === 2) writeLinear16(this.cpu, low, top, this.access, value & 0xffff)
    else if (size === 4) writeLinear32(this.cpu, low, top, this.access, value)
    else writeLinear64(this.cpu, low, top, this.access, value, high)
  }

  pop(size: number): number {
    const [low, top] = this.halves()
    this.cpu.high = 0
    let value: number
    if (size === 2) value = readLinear16(this.cpu, low, top, this.access)
    else if (size === 4) value = readLinear32(this.cpu, low, top, this.access)
    else {
      readLinear64(this.cpu, low, top, this.access)
      value = this.cpu.low
    }
    this.move(size)
    return value
  }

  skip(bytes: number): void {
    this.move(bytes)
  }
  commit(): void {
    this.cpu.state.set64(F.gpr, this.pointer, RSP)
  }
}

/** A stack segment with a pointer that moves; memory is written at once, the register by {@link commit}. */
export class LegacyStack implements FarStack {
  private readonly cpu: Vcpu
  private readonly base: number
  private readonly limit: number
  private readonly expandDown: boolean
  private readonly wide: boolean
  private readonly access: number
  private readonly errorCode: number
  /** The pointer: SP or ESP. */
  pointer: number

  /** @param errorCode of the #SS that an access beyond the limit raises */
  constructor(
    cpu: Vcpu,
    base: number,
    limit: number,
    attributes: number,
    pointer: number,
    cpl: number,
    errorCode: number,
  ) {
    this.cpu = cpu
    this.base = base
    this.limit = limit
    this.expandDown = (attributes & 0xc) === 4
    this.wide = (attributes & ATTRIBUTE_DB) !== 0
    this.access = cpl === 3 ? ACCESS_USER : 0
    this.errorCode = errorCode
    this.pointer = this.wide ? pointer >>> 0 : pointer & 0xffff
  }

  /** The stack in SS:rSP. */
  static current(cpu: Vcpu): LegacyStack {
    const { state } = cpu
    const pointer = state.i32[GPR_RSP]
    const attributes = state.get32(F.segmentAttributes, SS)
    const base = state.get32(F.segmentBase, SS)
    return new LegacyStack(cpu, base, state.get32(F.segmentLimit, SS), attributes, pointer, state.i32[CPL], 0)
  }

  /** A stack by the words of its segment's descriptor. */
  static of(cpu: Vcpu, low: number, high: number, pointer: number, cpl: number, errorCode: number): LegacyStack {
    const attributes = (high >>> 8) & 0xf0ff
    return new LegacyStack(
      cpu,
      descriptorBase(low, high),
      descriptorLimit(low, high),
      attributes,
      pointer,
      cpl,
      errorCode,
    )
  }

  private check(offset: number, size: number): void {
    const last = offset + size - 1
    const top = this.wide ? 0xffffffff : 0xffff
    const good = this.expandDown ? offset > this.limit && last <= top : last <= this.limit
    if (!good) raise(this.cpu, 12, this.errorCode)
  }

  private wrap(pointer: number): number {
    return this.wide ? pointer >>> 0 : pointer & 0xffff
  }

  /** Pushes 2 or 4 bytes. @throws GUEST_FAULT */
  push(value: number, size: number): void {
    const pointer = this.wrap(this.pointer - size)
    this.check(pointer, size)
    const address = (this.base + pointer) | 0
    if (size === 2) writeLinear16(this.cpu, address, 0, this.access, value & 0xffff)
    else writeLinear32(this.cpu, address, 0, this.access, value)
    this.pointer = pointer
  }

  /** Pops 2 or 4 bytes. @throws GUEST_FAULT */
  pop(size: number): number {
    const value = this.peek(0, size)
    this.cpu.high = 0
    this.pointer = this.wrap(this.pointer + size)
    return value
  }

  /** Reads 2 or 4 bytes above the pointer. @throws GUEST_FAULT */
  peek(skip: number, size: number): number {
    const pointer = this.wrap(this.pointer + skip)
    this.check(pointer, size)
    const address = (this.base + pointer) | 0
    return size === 2
      ? readLinear16(this.cpu, address, 0, this.access)
      : readLinear32(this.cpu, address, 0, this.access)
  }

  /** Drops bytes. */
  skip(bytes: number): void {
    this.pointer = this.wrap(this.pointer + bytes)
  }

  /** Writes the pointer to rSP: SP alone, or ESP. */
  commit(): void {
    const words = this.cpu.state.i32
    if (this.wide) {
      words[GPR_RSP] = this.pointer
      words[GPR_RSP + 1] = 0
    } else words[GPR_RSP] = (words[GPR_RSP] & ~0xffff) | this.pointer
  }
}
