/**
 * Guest memory by linear address: the slow paths behind generated code's inline TLB probes, and the accessors of
 * services. Linear addresses are 32-bit halves (any sign); outside of long mode the high half is 0.
 */

import type { AccessSize } from '../devices/bus.ts'
import { FRAME_CODE, FRAME_DIRTY, FRAME_PRESENT, FRAME_WRITABLE } from '../memory/physical.ts'
import { TLB_USER_ALIGNMENT } from '../memory/tlb.ts'
import { GUEST_FAULT, setFault } from './faults.ts'
import { ACCESS_FETCH, ACCESS_IMPLICIT, ACCESS_USER, ACCESS_WRITE, translate } from './paging.ts'
import { CR4_LA57, EFER_LMA } from './registers.ts'
import { F } from './state.ts'
import { accessClass, fillTlb, probeTlb } from './translation.ts'
import type { Vcpu } from './vcpu.ts'

/** Added to `size` in {@link loadSlow}, {@link storeSlow} and {@link probeWrite}: the address is through SS, so that a non-canonical one is #SS(0). */
export const THROUGH_STACK_SEGMENT = 0x100

const CR2 = F.cr2.offset >> 2
const CR4 = F.cr4.offset >> 2
const EFER = F.efer.offset >> 2
const CPL = F.cpl.offset >> 2
const MODE = F.mode.offset >> 2
const FAULT = F.fault.offset >> 2
/** The two result fields are neighbours: 16 bytes. */
const RESULT_BYTES = F.serviceResult.offset
const RESULT = RESULT_BYTES >> 2

/** Whether a 64-bit address is canonical: sign-extended from bit 47, or 56 with five-level paging. */
export function isCanonical(cpu: Vcpu, high: number): boolean {
  const shift = cpu.state.i32[CR4] & CR4_LA57 ? 7 : 16
  return (high << shift) >> shift === (high | 0)
}

/**
 * Whether a register that holds an address may hold this one: canonical for the widest addresses that the processor
 * has, whatever is in use (WRMSR, LGDT, LTR, WRFSBASE …).
 */
export function isSupportedAddress(cpu: Vcpu, high: number): boolean {
  const shift = cpu.features.la57 ? 7 : 16
  return (high << shift) >> shift === (high | 0)
}

/** The access bits of an explicit data access at the current privilege. */
export function currentAccess(cpu: Vcpu): number {
  return cpu.state.i32[CPL] === 3 ? ACCESS_USER : 0
}

/** The TLB class of an explicit access at the current privilege, from the mode word. */
function currentClass(cpu: Vcpu): number {
  return (cpu.state.i32[MODE] >>> 7) & 3
}

/** The high half of `address + bytes`, which wraps at 4 GiB outside of long mode. */
function highAfter(cpu: Vcpu, low: number, high: number, bytes: number): number {
  if ((low >>> 0) + bytes <= 0xffffffff) return high
  return cpu.state.i32[EFER] & EFER_LMA ? (high + 1) | 0 : 0
}

/** Translates and notes in the TLB. @returns the guest-physical frame or -1 with the fault noted. */
function resolve(cpu: Vcpu, low: number, high: number, access: number, tlbClass: number): number {
  const frame = translate(cpu, low, high, access)
  if (frame >= 0) fillTlb(cpu, tlbClass, low, high, frame)
  return frame
}

/** The address in guest RAM of a frame's byte, or -1: MMIO. */
function arenaAddress(cpu: Vcpu, frame: number, low: number): number {
  const { frames } = cpu.memory
  const entry = frame < frames.length ? frames[frame] : 0
  return entry & FRAME_PRESENT ? ((entry & ~0xfff) | (low & 0xfff)) >>> 0 : -1
}

/** As {@link arenaAddress}, before a write of `length` bytes: tells whoever decoded code there. */
function arenaAddressForWrite(cpu: Vcpu, frame: number, low: number, length: number): number {
  const { memory } = cpu
  const entry = frame < memory.frames.length ? memory.frames[frame] : 0
  if (!(entry & FRAME_PRESENT)) return -1
  if (entry & FRAME_CODE || !(entry & FRAME_WRITABLE)) {
    return memory.locateForWrite(frame * 4096 + (low & 0xfff), length)
  }
  memory.frames[frame] = entry | FRAME_DIRTY
  return ((entry & ~0xfff) | (low & 0xfff)) >>> 0
}

/** Canonical and alignment checks of a data access. @returns false with the fault noted. */
function checkAddress(cpu: Vcpu, low: number, high: number, size: number, tlbClass: number): boolean {
  const words = cpu.state.i32
  if (words[EFER] & EFER_LMA && !isCanonical(cpu, high)) {
    setFault(cpu, size & THROUGH_STACK_SEGMENT ? 12 : 13, 0)
    return false
  }
  if (tlbClass !== TLB_USER_ALIGNMENT) return true
  const bytes = size & 0xff
  // 80-bit reals want 8, far pointers their offset's size; what is no power of two else is made of smaller accesses.
  const boundary = bytes === 10 ? 8 : bytes & (bytes - 1) ? 1 : bytes
  if ((low & (boundary - 1)) === 0) return true
  setFault(cpu, 17, 0)
  return false
}

/** Copies from a frame into the result bytes: RAM, or devices in pieces of at most four bytes. */
function readFrame(cpu: Vcpu, frame: number, low: number, into: number, size: number): void {
  const { bytes } = cpu.state
  const at = arenaAddress(cpu, frame, low)
  if (at >= 0) {
    const { ram } = cpu.memory
    for (let i = 0; i < size; i++) bytes[into + i] = ram[at + i]
    return
  }
  const address = frame * 4096 + (low & 0xfff)
  for (let done = 0; done < size; ) {
    const piece = pieceSize(size - done)
    let value = cpu.machine.readMmio(address + done, piece)
    for (let i = 0; i < piece; i++, value >>>= 8) bytes[into + done + i] = value
    done += piece
  }
  cpu.deviceAccessed()
}

function writeFrame(cpu: Vcpu, frame: number, low: number, from: number, size: number): void {
  const { bytes } = cpu.state
  const at = arenaAddressForWrite(cpu, frame, low, size)
  if (at >= 0) {
    const { ram } = cpu.memory
    for (let i = 0; i < size; i++) ram[at + i] = bytes[from + i]
    return
  }
  const address = frame * 4096 + (low & 0xfff)
  for (let done = 0; done < size; ) {
    const piece = pieceSize(size - done)
    let value = 0
    for (let i = piece - 1; i >= 0; i--) value = (value << 8) | bytes[from + done + i]
    cpu.machine.writeMmio(address + done, piece, value >>> 0)
    done += piece
  }
  cpu.deviceAccessed()
}

const pieceSize = (left: number): AccessSize => (left >= 4 ? 4 : left >= 2 ? 2 : 1)

/**
 * A load that missed the TLB: `size` bytes (1–16, plus {@link THROUGH_STACK_SEGMENT}) at a linear address, with the
 * current privilege. The value comes back in `F.serviceResult` and `serviceResult2`, zero-extended to 16 bytes. A
 * fault is noted in `F.fault`; nothing is thrown.
 */
export function loadSlow(cpu: Vcpu, low: number, high: number, size: number): void {
  const tlbClass = currentClass(cpu)
  if (!checkAddress(cpu, low, high, size, tlbClass)) return
  size &= 0xff
  const access = currentAccess(cpu)
  const first = Math.min(size, 4096 - (low & 0xfff))
  const frame = resolve(cpu, low, high, access, tlbClass)
  if (frame < 0) return
  const words = cpu.state.i32
  words[RESULT] = words[RESULT + 1] = words[RESULT + 2] = words[RESULT + 3] = 0
  if (first < size) {
    const nextLow = (low + first) | 0
    const nextHigh = highAfter(cpu, low, high, first)
    const next = resolve(cpu, nextLow, nextHigh, access, tlbClass)
    if (next < 0) return
    readFrame(cpu, next, nextLow, RESULT_BYTES + first, size - first)
  }
  readFrame(cpu, frame, low, RESULT_BYTES, first)
  if (cpu.watchpoints) cpu.watch(low, high, size, false)
}

/** As {@link loadSlow} for a store of the bytes in `F.serviceResult` and `serviceResult2`. */
export function storeSlow(cpu: Vcpu, low: number, high: number, size: number): void {
  const tlbClass = currentClass(cpu)
  if (!checkAddress(cpu, low, high, size, tlbClass)) return
  size &= 0xff
  const access = currentAccess(cpu) | ACCESS_WRITE
  const first = Math.min(size, 4096 - (low & 0xfff))
  const frame = resolve(cpu, low, high, access, tlbClass)
  if (frame < 0) return
  if (first < size) {
    const nextLow = (low + first) | 0
    const nextHigh = highAfter(cpu, low, high, first)
    const next = resolve(cpu, nextLow, nextHigh, access, tlbClass)
    if (next < 0) return
    writeFrame(cpu, next, nextLow, RESULT_BYTES + first, size - first)
  }
  writeFrame(cpu, frame, low, RESULT_BYTES, first)
  if (cpu.watchpoints) cpu.watch(low, high, size, true)
}

/** Raises what a store of `size` bytes would raise, without storing: afterwards the store cannot fault. */
export function probeWrite(cpu: Vcpu, low: number, high: number, size: number): void {
  const tlbClass = currentClass(cpu)
  if (!checkAddress(cpu, low, high, size, tlbClass)) return
  size &= 0xff
  const access = currentAccess(cpu) | ACCESS_WRITE
  if (resolve(cpu, low, high, access, tlbClass) < 0) return
  const first = 4096 - (low & 0xfff)
  if (first < size) resolve(cpu, (low + first) | 0, highAfter(cpu, low, high, first), access, tlbClass)
}

/**
 * Finds the code byte at a linear address for the current privilege, and notes the page in the TLB.
 * @returns its address in guest RAM, or -1 with the fault noted (#PF; #GP for a non-canonical address; #UD where there
 * is no RAM, since what is read there, ones, is no instruction).
 */
export function fetchPhysical(cpu: Vcpu, low: number, high: number): number {
  if (cpu.state.i32[EFER] & EFER_LMA && !isCanonical(cpu, high)) {
    setFault(cpu, 13, 0)
    return -1
  }
  const frame = resolve(cpu, low, high, currentAccess(cpu) | ACCESS_FETCH, currentClass(cpu))
  if (frame < 0) return -1
  const at = arenaAddress(cpu, frame, low)
  if (at < 0) {
    cpu.machine.logOnce(`fetch ${frame}`, `code is fetched from ${(frame * 4096).toString(16)}, where no RAM is`)
    setFault(cpu, 6)
  }
  return at
}

/** The address in guest RAM of code at a linear address, as far as the TLB knows; else -1. */
export function knownFetch(cpu: Vcpu, low: number, high: number): number {
  return probeTlb(cpu, currentClass(cpu), low, high, ACCESS_FETCH)
}

/** Finds bytes that lie within a page. @returns the address in guest RAM, -1 for MMIO. @throws GUEST_FAULT */
function locate(cpu: Vcpu, low: number, high: number, access: number): number {
  const tlbClass = accessClass(cpu, access)
  const known = probeTlb(cpu, tlbClass, low, high, access)
  if (known >= 0) return known
  if (cpu.state.i32[EFER] & EFER_LMA && !isCanonical(cpu, high)) {
    setFault(cpu, 13, 0)
    throw GUEST_FAULT
  }
  const frame = resolve(cpu, low, high, access, tlbClass)
  if (frame < 0) throw GUEST_FAULT
  cpu.frame = frame
  if (access & ACCESS_WRITE) return arenaAddressForWrite(cpu, frame, low, Math.min(8, 4096 - (low & 0xfff)))
  return arenaAddress(cpu, frame, low)
}

function readWithin(cpu: Vcpu, low: number, high: number, access: number, size: AccessSize): number {
  const at = locate(cpu, low, high, access)
  if (at < 0) {
    const value = cpu.machine.readMmio(cpu.frame * 4096 + (low & 0xfff), size)
    cpu.deviceAccessed()
    return value
  }
  if (size === 4 && (at & 3) === 0) return cpu.ram32[at >>> 2] >>> 0
  const { ram } = cpu.memory
  if (size === 1) return ram[at]
  if (size === 2) return ram[at] | (ram[at + 1] << 8)
  return (ram[at] | (ram[at + 1] << 8) | (ram[at + 2] << 16) | (ram[at + 3] << 24)) >>> 0
}

function writeWithin(cpu: Vcpu, low: number, high: number, access: number, size: AccessSize, value: number): void {
  const at = locate(cpu, low, high, access | ACCESS_WRITE)
  if (at < 0) {
    cpu.machine.writeMmio(cpu.frame * 4096 + (low & 0xfff), size, value >>> 0)
    cpu.deviceAccessed()
    return
  }
  if (size === 4 && (at & 3) === 0) {
    cpu.ram32[at >>> 2] = value
    return
  }
  const { ram } = cpu.memory
  for (let i = 0; i < size; i++, value >>>= 8) ram[at + i] = value
}

function read(cpu: Vcpu, low: number, high: number, access: number, size: AccessSize): number {
  if ((low & 0xfff) + size <= 4096) return readWithin(cpu, low, high, access, size)
  let value = 0
  for (let i = size - 1; i >= 0; i--) {
    value = value * 256 + readWithin(cpu, (low + i) | 0, highAfter(cpu, low, high, i), access, 1)
  }
  return value
}

function write(cpu: Vcpu, low: number, high: number, access: number, size: AccessSize, value: number): void {
  if ((low & 0xfff) + size <= 4096) {
    writeWithin(cpu, low, high, access, size, value)
    return
  }
  // The second page first: its fault must come before anything is written.
  locate(cpu, (low + size - 1) | 0, highAfter(cpu, low, high, size - 1), access | ACCESS_WRITE)
  for (let i = 0; i < size; i++, value >>>= 8) {
    writeWithin(cpu, (low + i) | 0, highAfter(cpu, low, high, i), access, 1, value & 0xff)
  }
}

/** Reads a byte; `access` is of paging.ts: {@link ACCESS_IMPLICIT}, or {@link currentAccess}. @throws GUEST_FAULT */
export function readLinear8(cpu: Vcpu, low: number, high: number, access: number): number {
  return readWithin(cpu, low, high, access, 1)
}
/** Reads 16 bits. @throws GUEST_FAULT */
export function readLinear16(cpu: Vcpu, low: number, high: number, access: number): number {
  return read(cpu, low, high, access, 2)
}
/** Reads 32 bits, unsigned. @throws GUEST_FAULT */
export function readLinear32(cpu: Vcpu, low: number, high: number, access: number): number {
  return read(cpu, low, high, access, 4)
}
/** Reads 64 bits; the halves come in `cpu.low` and `cpu.high`, unsigned. @throws GUEST_FAULT */
export function readLinear64(cpu: Vcpu, low: number, high: number, access: number): void {
  const value = read(cpu, low, high, access, 4)
  cpu.high = read(cpu, (low + 4) | 0, highAfter(cpu, low, high, 4), access, 4)
  cpu.low = value
}
/** Writes a byte. @throws GUEST_FAULT */
export function writeLinear8(cpu: Vcpu, low: number, high: number, access: number, value: number): void {
  writeWithin(cpu, low, high, access, 1, value)
}
/** Writes 16 bits. @throws GUEST_FAULT */
export function writeLinear16(cpu: Vcpu, low: number, high: number, access: number, value: number): void {
  write(cpu, low, high, access, 2, value)
}
/** Writes 32 bits. @throws GUEST_FAULT */
export function writeLinear32(cpu: Vcpu, low: number, high: number, access: number, value: number): void {
  write(cpu, low, high, access, 4, value)
}
/** Writes 64 bits. @throws GUEST_FAULT before anything was written */
export function writeLinear64(
  cpu: Vcpu,
  low: number,
  high: number,
  access: number,
  valueLow: number,
  valueHigh: number,
): void {
  const nextHigh = highAfter(cpu, low, high, 4)
  if ((low & 0xfff) > 4088) locate(cpu, (low + 7) | 0, highAfter(cpu, low, high, 7), access | ACCESS_WRITE)
  write(cpu, low, high, access, 4, valueLow)
  write(cpu, (low + 4) | 0, nextHigh, access, 4, valueHigh)
}

/** Finds a place to be read that lies within a page. @returns its address in guest RAM, or -1. @throws GUEST_FAULT */
export function locateForRead(cpu: Vcpu, low: number, high: number, access: number): number {
  return locate(cpu, low, high, access)
}

/**
 * Finds a place to be written that lies within a page.
 * @returns its address in guest RAM, or -1 where there is none. @throws GUEST_FAULT
 */
export function locateForWrite(cpu: Vcpu, low: number, high: number, access: number): number {
  return locate(cpu, low, high, access | ACCESS_WRITE)
}

/** Raises what writing `size` bytes would raise. @throws GUEST_FAULT */
export function probeLinearWrite(cpu: Vcpu, low: number, high: number, access: number, size: number): void {
  locate(cpu, low, high, access | ACCESS_WRITE)
  if ((low & 0xfff) + size > 4096) {
    locate(cpu, (low + size - 1) | 0, highAfter(cpu, low, high, size - 1), access | ACCESS_WRITE)
  }
}

/** An implicit supervisor's read of 32 bits, of a descriptor table or TSS. @throws GUEST_FAULT */
export function readSystem32(cpu: Vcpu, low: number, high: number): number {
  return read(cpu, low, high, ACCESS_IMPLICIT, 4)
}
/** Likewise 16 bits. @throws GUEST_FAULT */
export function readSystem16(cpu: Vcpu, low: number, high: number): number {
  return read(cpu, low, high, ACCESS_IMPLICIT, 2)
}

/** Whether a fault is noted. */
export function faulted(cpu: Vcpu): boolean {
  return cpu.state.i32[FAULT] !== 0
}

/**
 * A TLB miss of translated code: notes the page in the TLB if an access of `size` bytes there can go straight to RAM.
 * @returns 1 if so; 0 for a fault (not noted: the interpreter will find it again), devices, a page crossing, watched code
 */
export function tryFillTlb(cpu: Vcpu, low: number, high: number, size: number, write: number): number {
  const tlbClass = currentClass(cpu)
  if ((low & 0xfff) + (size & 0xff) > 4096 || !checkAddress(cpu, low, high, size, tlbClass)) {
    cpu.state.i32[FAULT] = 0
    return 0
  }
  const access = currentAccess(cpu) | (write ? ACCESS_WRITE : 0)
  const words = cpu.state.i32
  const faultLow = words[CR2]
  const faultHigh = words[CR2 + 1]
  if (resolve(cpu, low, high, access, tlbClass) < 0) {
    words[FAULT] = 0
    words[CR2] = faultLow
    words[CR2 + 1] = faultHigh
    return 0
  }
  return probeTlb(cpu, tlbClass, low, high, access) >= 0 ? 1 : 0
}
