/** Services that load and look at segments and descriptor tables. */
import { SHADOW_MOV_SS } from '../events.ts'
import { farCall, farJump, farReturn } from '../far-transfers.ts'
import { raise } from '../faults.ts'
import { readFlags, writeFlags } from '../flags.ts'
import { isSupportedAddress, writeLinear8 } from '../memory-access.ts'
import { ACCESS_IMPLICIT } from '../paging.ts'
import { CR4_UMIP } from '../registers.ts'
import {
  descriptorDpl,
  descriptorLimit,
  descriptorType,
  fillNull,
  fillSegment,
  isCode,
  isConforming,
  isLongModeActive,
  isPresent,
  isReadable,
  isSegment,
  isWritableData,
  loadSegment,
  readDescriptor,
  readUpperDescriptor,
  requireDescriptor,
  VECTOR_GP,
  VECTOR_NP,
} from '../segmentation.ts'
import { F, GDTR, IDTR, LDTR, SS, TR, ZF } from '../state.ts'
import type { Vcpu } from '../vcpu.ts'
import { type Services, service, transfer } from './service.ts'

const CPL = F.cpl.offset >> 2

function setZero(cpu: Vcpu, zero: boolean): void {
  const flags = readFlags(cpu.state)
  writeFlags(cpu.state, zero ? flags | ZF : flags & ~ZF)
}

/** Whether the descriptor that was read is visible at a privilege: conforming code always is. */
function visible(cpu: Vcpu, selector: number): boolean {
  const { high } = cpu.descriptor
  if (isCode(high) && isConforming(high)) return true
  const dpl = descriptorDpl(high)
  return cpu.state.i32[CPL] <= dpl && (selector & 3) <= dpl
}

/** Types of system descriptors that LAR and LSL accept, as bit masks: outside of and in IA-32e mode. */
const LAR_TYPES = [0b0001_1010_0011_1110, 0b0001_1010_0000_0100]
const LSL_TYPES = [0b0000_1010_0000_1110, 0b0000_1010_0000_0100]

function inspect(cpu: Vcpu, selector: number, types: readonly number[]): boolean {
  if (!(selector & 0xfffc) || !readDescriptor(cpu, selector)) return false
  const { high } = cpu.descriptor
  if (!isSegment(high) && !((types[isLongModeActive(cpu) ? 1 : 0] >>> descriptorType(high)) & 1)) return false
  return visible(cpu, selector)
}

/** LLDT, LTR: the descriptor of a selector in the GDT; in IA-32e mode its base has 64 bits. */
function loadSystemSegment(cpu: Vcpu, index: number, selector: number, types: readonly number[]): void {
  if (selector & 4) raise(cpu, VECTOR_GP, selector & 0xfffc)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const { low, high, addressLow, addressHigh } = cpu.descriptor
  if (isSegment(high) || !types.includes(descriptorType(high))) raise(cpu, VECTOR_GP, selector & 0xfffc)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, selector & 0xfffc)
  let baseHigh = 0
  if (isLongModeActive(cpu)) {
    readUpperDescriptor(cpu, selector)
    baseHigh = cpu.low
    if (!isSupportedAddress(cpu, baseHigh)) raise(cpu, VECTOR_GP, selector & 0xfffc)
  }
  let newHigh = high
  if (index === TR) {
    newHigh |= 0x200
    writeLinear8(cpu, (addressLow + 5) | 0, addressHigh, ACCESS_IMPLICIT, (newHigh >>> 8) & 0xff)
  }
  fillSegment(cpu, index, selector, low, newHigh)
  cpu.state.i32[(F.segmentBase.offset >> 2) + index * 2 + 1] = baseHigh
}

/** SGDT, SIDT, SLDT, STR and SMSW are privileged under UMIP. */
function checkUmip(cpu: Vcpu): void {
  if (cpu.state.get32(F.cr4) & CR4_UMIP && cpu.state.i32[CPL] !== 0) raise(cpu, VECTOR_GP, 0)
}

function loadTable(cpu: Vcpu, index: number, limit: number, low: number, high: number): void {
  if (!isSupportedAddress(cpu, high)) raise(cpu, VECTOR_GP, 0)
  cpu.state.setHalves(F.segmentBase, low, high, index)
  cpu.state.set32(F.segmentLimit, limit & 0xffff, index)
}

export const services: Services = {
  /** Segment register by number, selector. SS holds interrupts off for one instruction. */
  loadSegment: service(['i32', 'i32'], (cpu, index, selector) => {
    loadSegment(cpu, index, selector)
    if (index === SS) cpu.state.set32(F.interruptShadow, SHADOW_MOV_SS)
  }),
  /** As loadSegment, without the interrupt shadow: LSS and its like. */
  loadFarSegment: service(['i32', 'i32'], (cpu, index, selector) => loadSegment(cpu, index, selector)),
  /** Selector, offset. */
  farJump: transfer(['i32', 'i64'], (cpu, selector, low, high) => farJump(cpu, selector, low, high)),
  /** Selector, offset, operand size in bytes. */
  farCall: transfer(['i32', 'i64', 'i32'], (cpu, selector, low, high, size) => farCall(cpu, selector, low, high, size)),
  /** Operand size and bytes to release. */
  farReturn: transfer(['i32', 'i32'], (cpu, size, release) => farReturn(cpu, size, release)),
  /** Sets ZF; the access rights are the result when it is set. */
  loadAccessRights: service(['i32'], (cpu, selector) => {
    const good = inspect(cpu, selector, LAR_TYPES)
    if (good) cpu.state.setHalves(F.serviceResult, cpu.descriptor.high & 0x00ffff00, 0)
    setZero(cpu, good)
  }),
  loadSegmentLimit: service(['i32'], (cpu, selector) => {
    const good = inspect(cpu, selector, LSL_TYPES)
    if (good) cpu.state.setHalves(F.serviceResult, descriptorLimit(cpu.descriptor.low, cpu.descriptor.high), 0)
    setZero(cpu, good)
  }),
  verifyRead: service(['i32'], (cpu, selector) => {
    setZero(
      cpu,
      (selector & 0xfffc) !== 0 &&
        readDescriptor(cpu, selector) &&
        isReadable(cpu.descriptor.high) &&
        visible(cpu, selector),
    )
  }),
  verifyWrite: service(['i32'], (cpu, selector) => {
    setZero(
      cpu,
      (selector & 0xfffc) !== 0 &&
        readDescriptor(cpu, selector) &&
        isWritableData(cpu.descriptor.high) &&
        visible(cpu, selector),
    )
  }),
  loadLocalTable: service(['i32'], (cpu, selector) => {
    if (selector & 0xfffc) loadSystemSegment(cpu, LDTR, selector, [2])
    else fillNull(cpu, LDTR, selector)
  }),
  loadTaskRegister: service(['i32'], (cpu, selector) => {
    if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
    loadSystemSegment(cpu, TR, selector, isLongModeActive(cpu) ? [9] : [1, 9])
  }),
  checkUmip: service([], checkUmip),
  loadGlobalTable: service(['i32', 'i64'], (cpu, limit, low, high) => loadTable(cpu, GDTR, limit, low, high)),
  loadInterruptTable: service(['i32', 'i64'], (cpu, limit, low, high) => loadTable(cpu, IDTR, limit, low, high)),
}
