/** Services of processor control: control and debug registers, MSRs, time, CPUID, TLB. */
import { loadMachineStatusWord, writeCr0, writeCr3, writeCr4 } from '../control-registers.ts'
import { EVENT_HALT } from '../events.ts'
import { raise } from '../faults.ts'
import { readFlags, writeFlags } from '../flags.ts'
import { isCanonical, isSupportedAddress } from '../memory-access.ts'
import { readMsr, readTimestamp, writeMsr } from '../msrs.ts'
import {
  CR0_TS,
  CR4_DE,
  CR4_PCIDE,
  CR4_TSD,
  DR6_BD,
  DR6_BS,
  DR6_ONES,
  DR7_GD,
  DR7_ONES,
  EFER_LMA,
  EFER_SCE,
} from '../registers.ts'
import { is64Bit } from '../segmentation.ts'
import { CS, DS, F, type Field, IF, RAX, RBX, RCX, RDX, RF, RSP, SS, TF, VM } from '../state.ts'
import { flushPage, flushTlb } from '../translation.ts'
import { updateMode } from '../update-mode.ts'
import type { Vcpu } from '../vcpu.ts'
import { type Services, service, transfer } from './service.ts'

const CPL = F.cpl.offset >> 2

function setResult(cpu: Vcpu, low: number, high: number): void {
  cpu.state.setHalves(F.serviceResult, low, high)
}

/** Writes a 32-bit register, which clears its upper half. */
function setRegister32(cpu: Vcpu, register: number, value: number): void {
  cpu.state.setHalves(F.gpr, value, 0, register)
}

function readControl(cpu: Vcpu, number: number): void {
  const { state } = cpu
  const fields: Record<number, Field> = { 0: F.cr0, 2: F.cr2, 3: F.cr3, 4: F.cr4 }
  const field = fields[number]
  if (field) setResult(cpu, state.get32(field), field.type === 'i64' ? state.getHigh(field) : 0)
  else if (number === 8) setResult(cpu, cpu.machine.readTaskPriority() & 15, 0)
  else raise(cpu, 6)
}

function writeControl(cpu: Vcpu, number: number, low: number, high: number): void {
  if (number === 0) writeCr0(cpu, low, high)
  else if (number === 2) cpu.state.setHalves(F.cr2, low, high)
  else if (number === 3) writeCr3(cpu, low, high)
  else if (number === 4) writeCr4(cpu, low, high)
  else if (number === 8) {
    if (high !== 0 || low & ~15) raise(cpu, 13, 0)
    cpu.machine.writeTaskPriority(low)
    cpu.deviceAccessed()
  } else raise(cpu, 6)
}

/** DR4 and DR5 stand for DR6 and DR7 unless CR4.DE; with DR7.GD any access is #DB. @returns the register's number */
function debugRegister(cpu: Vcpu, number: number): number {
  const { state } = cpu
  if (number > 7) raise(cpu, 6)
  if (number === 4 || number === 5) {
    if (state.get32(F.cr4) & CR4_DE) raise(cpu, 6)
    number += 2
  }
  if (state.get32(F.dr, 7) & DR7_GD) {
    state.set32(F.dr, state.get32(F.dr, 6) | DR6_BD, 6)
    raise(cpu, 1)
  }
  return number
}

function writeDebug(cpu: Vcpu, number: number, low: number, high: number): void {
  const register = debugRegister(cpu, number)
  const { state } = cpu
  if (register < 4) {
    if (is64Bit(cpu) && !isCanonical(cpu, high)) raise(cpu, 13, 0)
    state.setHalves(F.dr, low, high, register)
  } else {
    if (high !== 0) raise(cpu, 13, 0)
    const value = register === 6 ? (low & 0xe00f) | DR6_ONES : (low & 0xffff2bff) | DR7_ONES
    state.setHalves(F.dr, value, 0, register)
  }
  if (register !== 6) cpu.debugRegistersChanged()
}

function checkTimestampPrivilege(cpu: Vcpu): void {
  if (cpu.state.get32(F.cr4) & CR4_TSD && cpu.state.i32[CPL] !== 0) raise(cpu, 13, 0)
}

function timestampToRegisters(cpu: Vcpu): void {
  checkTimestampPrivilege(cpu)
  readTimestamp(cpu)
  setRegister32(cpu, RAX, cpu.low)
  setRegister32(cpu, RDX, cpu.high)
}

/** INVPCID: the type, the descriptor's PCID and address. PCIDs are not told apart in the TLB: types 0 and 1 drop more. */
function invalidatePcid(
  cpu: Vcpu,
  type: number,
  typeHigh: number,
  pcid: number,
  pcidHigh: number,
  low: number,
  high: number,
): void {
  if (type >>> 0 > 3 || typeHigh !== 0 || pcid & ~0xfff || pcidHigh !== 0) raise(cpu, 13, 0)
  if (type === 0 && !isSupportedAddress(cpu, high)) raise(cpu, 13, 0)
  if (type < 2 && pcid !== 0 && !(cpu.state.get32(F.cr4) & CR4_PCIDE)) raise(cpu, 13, 0)
  if (type === 0) flushPage(cpu, low, high)
  else flushTlb(cpu, type !== 2)
}

function halt(cpu: Vcpu): void {
  cpu.state.set32(F.halted, 1)
  cpu.state.set32(F.interruptShadow, 0)
  cpu.events |= EVENT_HALT
}

/** Flat segments of a privilege, as SYSCALL, SYSENTER and their returns load them without looking at descriptors. */
function flatCode(cpu: Vcpu, selector: number, cpl: number, long: boolean): void {
  cpu.setSegment(CS, selector, 0, 0xffffffff, (long ? 0xa09b : 0xc09b) | (cpl << 5))
  cpu.state.set32(F.cpl, cpl)
}
function flatStack(cpu: Vcpu, selector: number, cpl: number): void {
  cpu.setSegment(SS, selector, 0, 0xffffffff, 0xc093 | (cpl << 5))
}

/** SYSCALL from compatibility mode (64-bit code has it built), or AMD's from protected mode: #UD without SCE. */
function systemCall(cpu: Vcpu): void {
  const { state } = cpu
  if (!(state.get32(F.efer) & EFER_SCE)) raise(cpu, 6)
  const starLow = state.get32(F.star)
  const starHigh = state.getHigh(F.star)
  const selector = starHigh & 0xfffc
  const long = (state.get32(F.efer) & EFER_LMA) !== 0
  const flags = readFlags(state)
  state.setHalves(F.gpr, state.get32(F.nextRip), state.getHigh(F.nextRip), RCX)
  if (long) {
    state.setHalves(F.gpr, flags & ~RF, 0, 11)
    const target = is64Bit(cpu) ? F.lstar : F.cstar
    state.setHalves(F.rip, state.get32(target), state.getHigh(target))
    writeFlags(state, flags & ~(state.get32(F.sfmask) | RF))
  } else {
    state.setHalves(F.rip, starLow, 0)
    writeFlags(state, flags & ~(VM | IF | RF))
  }
  flatCode(cpu, selector, 0, long)
  flatStack(cpu, (selector + 8) & 0xffff, 0)
  updateMode(cpu)
}

/** SYSRET; 64-bit operand size returns to 64-bit code. */
function systemReturn(cpu: Vcpu, size: number): void {
  const { state } = cpu
  if (!(state.get32(F.efer) & EFER_SCE)) raise(cpu, 6)
  if (state.get32(F.cpl) !== 0) raise(cpu, 13, 0)
  const base = state.getHigh(F.star) >>> 16
  const ripHigh = state.getHigh(F.gpr, RCX)
  if (size === 8 && !isCanonical(cpu, ripHigh)) raise(cpu, 13, 0)
  state.setHalves(F.rip, state.get32(F.gpr, RCX), size === 8 ? ripHigh : 0)
  if (state.get32(F.efer) & EFER_LMA) writeFlags(state, state.get32(F.gpr, 11) & 0x3c7fd7)
  else writeFlags(state, readFlags(state) | IF)
  flatCode(cpu, ((size === 8 ? base + 16 : base) & 0xffff) | 3, 3, size === 8)
  flatStack(cpu, ((base + 8) & 0xffff) | 3, 3)
  updateMode(cpu)
  if (state.get32(F.systemFlags) & TF) {
    cpu.stepSuppressed = true
    cpu.addPendingDebug(DR6_BS)
  }
}

function systemEnter(cpu: Vcpu): void {
  const { state } = cpu
  const selector = state.get32(F.sysenterCs) & 0xfffc
  if (!selector) raise(cpu, 13, 0)
  const long = (state.get32(F.efer) & EFER_LMA) !== 0
  writeFlags(state, readFlags(state) & ~(VM | IF | RF))
  state.setHalves(F.rip, state.get32(F.sysenterEip), long ? state.getHigh(F.sysenterEip) : 0)
  state.setHalves(F.gpr, state.get32(F.sysenterEsp), long ? state.getHigh(F.sysenterEsp) : 0, RSP)
  flatCode(cpu, selector, 0, long)
  flatStack(cpu, (selector + 8) & 0xffff, 0)
  updateMode(cpu)
}

function systemExit(cpu: Vcpu, size: number): void {
  const { state } = cpu
  const base = state.get32(F.sysenterCs) & 0xfffc
  if (!base || state.get32(F.cpl) !== 0) raise(cpu, 13, 0)
  const long = size === 8
  const ripHigh = state.getHigh(F.gpr, RDX)
  const rspHigh = state.getHigh(F.gpr, RCX)
  if (long && !(isCanonical(cpu, ripHigh) && isCanonical(cpu, rspHigh))) raise(cpu, 13, 0)
  state.setHalves(F.rip, state.get32(F.gpr, RDX), long ? ripHigh : 0)
  state.setHalves(F.gpr, state.get32(F.gpr, RCX), long ? rspHigh : 0, RSP)
  flatCode(cpu, ((long ? base + 32 : base + 16) & 0xffff) | 3, 3, long)
  flatStack(cpu, ((long ? base + 40 : base + 24) & 0xffff) | 3, 3)
  updateMode(cpu)
}

export const services: Services = {
  readControl: service(['i32'], (cpu, number) => readControl(cpu, number)),
  writeControl: service(['i32', 'i64'], (cpu, number, low, high) => writeControl(cpu, number, low, high)),
  /** XSETBV with a value for XCR0 that is allowed. */
  writeExtendedControl: service(['i32'], (cpu, value) => {
    cpu.state.set32(F.xcr0, value)
    updateMode(cpu)
  }),
  loadMachineStatusWord: service(['i32'], (cpu, value) => loadMachineStatusWord(cpu, value)),
  clearTaskSwitched: service([], cpu => {
    cpu.state.set32(F.cr0, cpu.state.get32(F.cr0) & ~CR0_TS)
    updateMode(cpu)
  }),
  readDebug: service(['i32'], (cpu, number) => {
    const register = debugRegister(cpu, number)
    setResult(cpu, cpu.state.get32(F.dr, register), cpu.state.getHigh(F.dr, register))
  }),
  writeDebug: service(['i32', 'i64'], (cpu, number, low, high) => writeDebug(cpu, number, low, high)),
  /** The offset within DS, or the linear address where segments are flat. */
  invalidatePage: service(['i64'], (cpu, low, high) => {
    const { state } = cpu
    if (!is64Bit(cpu) && state.get32(F.segmentBase, DS) !== 0) flushTlb(cpu, false)
    else if (!is64Bit(cpu) || isCanonical(cpu, high)) flushPage(cpu, low | 0, high | 0)
  }),
  /** Type, PCID, address. */
  invalidatePcid: service(['i64', 'i64', 'i64'], (cpu, type, typeHigh, pcid, pcidHigh, low, high) =>
    invalidatePcid(cpu, type, typeHigh, pcid, pcidHigh, low, high),
  ),
  readMsr: service([], cpu => {
    readMsr(cpu, cpu.state.get32(F.gpr, RCX))
    const { low, high } = cpu
    setRegister32(cpu, RAX, low)
    setRegister32(cpu, RDX, high)
  }),
  writeMsr: service([], cpu => {
    const { state } = cpu
    writeMsr(cpu, state.get32(F.gpr, RCX), state.get32(F.gpr, RAX) | 0, state.get32(F.gpr, RDX) | 0)
    cpu.deviceAccessed()
  }),
  readTimestamp: service([], timestampToRegisters),
  readTimestampAndProcessor: service([], cpu => {
    timestampToRegisters(cpu)
    setRegister32(cpu, RCX, cpu.state.get32(F.tscAux))
  }),
  cpuid: service([], cpu => {
    const { state } = cpu
    const leaf = state.get32(F.gpr, RAX)
    const [a, b, c, d] = cpu.options.cpuid?.(leaf, state.get32(F.gpr, RCX)) ?? [0, 0, 0, 0]
    setRegister32(cpu, RAX, a)
    setRegister32(cpu, RBX, b)
    setRegister32(cpu, RCX, c)
    setRegister32(cpu, RDX, d)
  }),
  halt: service([], halt),
  /** Random bits: 64 of them in the result; serviceResult2 is 0 when there is no source. */
  random: service([], cpu => {
    const source = cpu.options.random32
    setResult(cpu, source?.() ?? 0, source?.() ?? 0)
    cpu.state.setHalves(F.serviceResult2, source ? 1 : 0, 0)
  }),
  hypercall: service([], cpu => {
    if (!cpu.options.hypercall?.(cpu)) raise(cpu, 6)
  }),
  systemCall: transfer([], systemCall),
  systemReturn: transfer(['i32'], (cpu, size) => systemReturn(cpu, size)),
  systemEnter: transfer([], systemEnter),
  systemExit: transfer(['i32'], (cpu, size) => systemExit(cpu, size)),
}
