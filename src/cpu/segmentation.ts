/** Segment descriptors: reading them, loading segment registers with all checks (SDM vol. 3, chapter 3 and 5). */
import { raise } from './faults.ts'
import { readSystem32, writeLinear8 } from './memory-access.ts'
import { ACCESS_IMPLICIT } from './paging.ts'
import {
  ATTRIBUTE_DB,
  ATTRIBUTE_G,
  ATTRIBUTE_L,
  ATTRIBUTE_P,
  ATTRIBUTE_S,
  ATTRIBUTE_UNUSABLE,
  CR0_PE,
  EFER_LMA,
} from './registers.ts'
import { CS, F, FS, GDTR, LDTR, SS, VM } from './state.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

/** Vectors that segment checks raise. */
export const VECTOR_TS = 10
export const VECTOR_NP = 11
export const VECTOR_SS = 12
export const VECTOR_GP = 13

const CR0 = F.cr0.offset >> 2
const EFER = F.efer.offset >> 2
const CPL = F.cpl.offset >> 2
const FLAGS = F.systemFlags.offset >> 2
const BASE = F.segmentBase.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const SELECTOR = F.segmentSelector.offset >> 2
const ATTRIBUTES = F.segmentAttributes.offset >> 2

/** Whether IA-32e mode is active (long or compatibility). */
export const isLongModeActive = (cpu: Vcpu): boolean => (cpu.state.i32[EFER] & EFER_LMA) !== 0

/** Whether 64-bit code runs. */
export const is64Bit = (cpu: Vcpu): boolean =>
  (cpu.state.i32[EFER] & EFER_LMA) !== 0 && (cpu.state.i32[ATTRIBUTES + CS] & ATTRIBUTE_L) !== 0

/** Whether selectors are paragraphs: real or virtual-8086 mode. */
export const isRealOrVirtual = (cpu: Vcpu): boolean =>
  !(cpu.state.i32[CR0] & CR0_PE) || (cpu.state.i32[FLAGS] & VM) !== 0

/** Parts of a descriptor's high word. */
export const descriptorType = (high: number): number => (high >>> 8) & 15
export const descriptorDpl = (high: number): number => (high >>> 13) & 3
export const isPresent = (high: number): boolean => (high & 0x8000) !== 0
/** Code or data, not a system descriptor. */
export const isSegment = (high: number): boolean => (high & 0x1000) !== 0
export const isCode = (high: number): boolean => (high & 0x1800) === 0x1800
export const isConforming = (high: number): boolean => (high & 0x400) !== 0
/** A data segment that can be written. */
export const isWritableData = (high: number): boolean => (high & 0x1a00) === 0x1200
/** Data, or code that can be read. */
export const isReadable = (high: number): boolean => isSegment(high) && (high & 0xa00) !== 0x800

/** The limit in bytes, G applied, unsigned. */
export function descriptorLimit(low: number, high: number): number {
  const limit = (low & 0xffff) | (high & 0xf0000)
  return (high & 0x800000 ? (limit << 12) | 0xfff : limit) >>> 0
}
/** The base's low 32 bits. */
export const descriptorBase = (low: number, high: number): number =>
  (low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)

/**
 * Reads the descriptor of a selector that is not null into `cpu.descriptor`.
 * @returns false if it lies beyond its table (or the LDT is unusable). @throws GUEST_FAULT for page faults
 */
export function readDescriptor(cpu: Vcpu, selector: number): boolean {
  const words = cpu.state.i32
  const table = selector & 4 ? LDTR : GDTR
  const offset = selector & 0xfff8
  if (table === LDTR && words[ATTRIBUTES + LDTR] & ATTRIBUTE_UNUSABLE) return false
  if (offset + 7 > words[LIMIT + table] >>> 0) return false
  const baseLow = words[BASE + table * 2]
  let high = words[BASE + table * 2 + 1]
  const low = (baseLow + offset) | 0
  if (words[EFER] & EFER_LMA && low >>> 0 < baseLow >>> 0) high++
  const { descriptor } = cpu
  descriptor.low = readSystem32(cpu, low, high)
  descriptor.high = readSystem32(cpu, (low + 4) | 0, high)
  descriptor.addressLow = low
  descriptor.addressHigh = high
  return true
}

/** As {@link readDescriptor}, beyond the table raises `vector` with the selector. @throws GUEST_FAULT */
export function requireDescriptor(cpu: Vcpu, selector: number, vector: number, external = 0): void {
  if (!readDescriptor(cpu, selector)) raise(cpu, vector, (selector & 0xfffc) | external)
}

/**
 * The upper 8 bytes of a 16-byte system descriptor after {@link readDescriptor}: base bits 32–63 into `cpu.low`.
 * @throws GUEST_FAULT #GP(selector) when it lies beyond the table or its type field is not zero
 */
export function readUpperDescriptor(cpu: Vcpu, selector: number, vector = VECTOR_GP): void {
  const words = cpu.state.i32
  const table = selector & 4 ? LDTR : GDTR
  if ((selector & 0xfff8) + 15 > words[LIMIT + table] >>> 0) raise(cpu, vector, selector & 0xfffc)
  const { addressLow, addressHigh } = cpu.descriptor
  const upper = readSystem32(cpu, (addressLow + 8) | 0, addressHigh)
  if (readSystem32(cpu, (addressLow + 12) | 0, addressHigh) & 0x1f00) raise(cpu, vector, selector & 0xfffc)
  cpu.low = upper
}

/** Sets the accessed bit of the descriptor read last, if it is clear. @throws GUEST_FAULT */
export function markAccessed(cpu: Vcpu): void {
  const { descriptor } = cpu
  if (descriptor.high & 0x100) return
  descriptor.high |= 0x100
  writeLinear8(
    cpu,
    (descriptor.addressLow + 5) | 0,
    descriptor.addressHigh,
    ACCESS_IMPLICIT,
    (descriptor.high >>> 8) & 0xff,
  )
}

/** Fills a segment register from the descriptor's words. The high half of the base is 0. */
export function fillSegment(cpu: Vcpu, index: number, selector: number, low: number, high: number): void {
  const words = cpu.state.i32
  words[BASE + index * 2] = descriptorBase(low, high)
  words[BASE + index * 2 + 1] = 0
  words[LIMIT + index] = descriptorLimit(low, high)
  words[SELECTOR + index] = selector
  words[ATTRIBUTES + index] = (high >>> 8) & 0xf0ff
}

/** Makes a segment register null: unusable, its base 0 (in 64-bit mode accesses through it go on). */
export function fillNull(cpu: Vcpu, index: number, selector: number): void {
  const words = cpu.state.i32
  words[BASE + index * 2] = 0
  words[BASE + index * 2 + 1] = 0
  words[LIMIT + index] = 0
  words[SELECTOR + index] = selector
  words[ATTRIBUTES + index] = ATTRIBUTE_UNUSABLE
}

/** SS as null with a privilege, as 64-bit privilege changes leave it. */
export function fillNullStack(cpu: Vcpu, selector: number): void {
  fillNull(cpu, SS, selector)
  cpu.state.i32[ATTRIBUTES + SS] = ATTRIBUTE_UNUSABLE | ATTRIBUTE_DB | ((selector & 3) << 5)
}

/** A segment register as in real mode: the base follows the selector; limit and size stay what they were. */
export function fillReal(cpu: Vcpu, index: number, selector: number): void {
  const words = cpu.state.i32
  words[BASE + index * 2] = selector << 4
  words[BASE + index * 2 + 1] = 0
  words[SELECTOR + index] = selector
  const kept = words[ATTRIBUTES + index] & (ATTRIBUTE_DB | ATTRIBUTE_G)
  words[ATTRIBUTES + index] = kept | ATTRIBUTE_P | ATTRIBUTE_S | 3
}

/** A segment register as in virtual-8086 mode: 64 KiB, data, DPL 3. */
export function fillVirtual(cpu: Vcpu, index: number, selector: number): void {
  const words = cpu.state.i32
  words[BASE + index * 2] = selector << 4
  words[BASE + index * 2 + 1] = 0
  words[LIMIT + index] = 0xffff
  words[SELECTOR + index] = selector
  words[ATTRIBUTES + index] = ATTRIBUTE_P | ATTRIBUTE_S | 3 | (3 << 5)
}

/**
 * Checks and loads SS for a privilege level. Outside of 64-bit mode null is refused.
 * @param vector #GP for instructions, #TS for stack switches (then not-present is #SS all the same)
 * @throws GUEST_FAULT with nothing changed
 */
export function loadStackSegment(cpu: Vcpu, selector: number, cpl: number, vector: number, external = 0): void {
  checkStackSegment(cpu, selector, cpl, vector, external)
  if (!(selector & 0xfffc)) {
    fillNullStack(cpu, selector)
    return
  }
  markAccessed(cpu)
  fillSegment(cpu, SS, selector, cpu.descriptor.low, cpu.descriptor.high)
}

/** The checks of {@link loadStackSegment}; the descriptor is left in `cpu.descriptor`. @throws GUEST_FAULT */
export function checkStackSegment(cpu: Vcpu, selector: number, cpl: number, vector: number, external = 0): void {
  if (!(selector & 0xfffc)) {
    if (is64Bit(cpu) && cpl !== 3 && (selector & 3) === cpl) return
    raise(cpu, vector, vector === VECTOR_TS ? external : 0)
  }
  requireDescriptor(cpu, selector, vector, external)
  const { high } = cpu.descriptor
  const code = (selector & 0xfffc) | external
  if ((selector & 3) !== cpl || !isWritableData(high) || descriptorDpl(high) !== cpl) raise(cpu, vector, code)
  if (!isPresent(high)) raise(cpu, VECTOR_SS, code)
}

/** Checks and loads DS, ES, FS or GS in protected mode. @throws GUEST_FAULT with nothing changed */
export function loadDataSegment(cpu: Vcpu, index: number, selector: number, vector = VECTOR_GP): void {
  if (!(selector & 0xfffc)) {
    fillNull(cpu, index, selector)
    return
  }
  requireDescriptor(cpu, selector, vector)
  const { high } = cpu.descriptor
  if (!isReadable(high)) raise(cpu, vector, selector & 0xfffc)
  if (!(isCode(high) && isConforming(high))) {
    const dpl = descriptorDpl(high)
    if ((selector & 3) > dpl || cpu.state.i32[CPL] > dpl) raise(cpu, vector, selector & 0xfffc)
  }
  if (!isPresent(high)) raise(cpu, VECTOR_NP, selector & 0xfffc)
  markAccessed(cpu)
  fillSegment(cpu, index, selector, cpu.descriptor.low, cpu.descriptor.high)
}

/** What MOV, POP, LDS … to a segment register do, in any mode. CS is the caller's to refuse. @throws GUEST_FAULT */
export function loadSegment(cpu: Vcpu, index: number, selector: number): void {
  selector &= 0xffff
  if (!(cpu.state.i32[CR0] & CR0_PE)) fillReal(cpu, index, selector)
  else if (cpu.state.i32[FLAGS] & VM) fillVirtual(cpu, index, selector)
  else if (index === SS) loadStackSegment(cpu, selector, cpu.state.i32[CPL], VECTOR_GP)
  else loadDataSegment(cpu, index, selector)
  updateMode(cpu)
}

/**
 * After a return to an outer privilege: data segments that the new level may not use become null.
 * ES, DS, FS, GS in that order.
 */
export function dropInaccessibleSegments(cpu: Vcpu): void {
  const words = cpu.state.i32
  const cpl = words[CPL]
  for (const index of [0, 3, FS, FS + 1]) {
    const attributes = words[ATTRIBUTES + index]
    if (attributes & ATTRIBUTE_UNUSABLE) continue
    const conforming = (attributes & 0x1c) === 0x1c
    if (conforming || ((attributes >>> 5) & 3) >= cpl) continue
    // In IA-32e mode the bases of FS and GS stay: kernels rely on it.
    const at = BASE + index * 2
    const [low, high] = [words[at], words[at + 1]]
    fillNull(cpu, index, 0)
    if (index >= FS && words[EFER] & EFER_LMA) {
      words[at] = low
      words[at + 1] = high
    }
  }
}
