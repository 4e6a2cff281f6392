/** Model-specific registers that belong to the processor; the devices' go to the machine (SDM vol. 4). */
import { raise } from './faults.ts'
import { isSupportedAddress } from './memory-access.ts'
import { CR0_PG, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, PHYSICAL_ADDRESS_BITS } from './registers.ts'
import { F, type Field, FS, GS } from './state.ts'
import { flushTlb } from './translation.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

/** Numbers of MSRs, with the manual's names less IA32_. */
export const MSR = {
  P5_MC_ADDR: 0x0,
  P5_MC_TYPE: 0x1,
  TIME_STAMP_COUNTER: 0x10,
  PLATFORM_ID: 0x17,
  EBL_CR_POWERON: 0x2a,
  FEATURE_CONTROL: 0x3a,
  TSC_ADJUST: 0x3b,
  BIOS_UPDT_TRIG: 0x79,
  BIOS_SIGN_ID: 0x8b,
  FSB_FREQ: 0xcd,
  MTRRCAP: 0xfe,
  ARCH_CAPABILITIES: 0x10a,
  BBL_CR_CTL: 0x119,
  BBL_CR_CTL3: 0x11e,
  MISC_FEATURES_ENABLES: 0x140,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MCG_CAP: 0x179,
  MCG_STATUS: 0x17a,
  PERF_STATUS: 0x198,
  PERF_CTL: 0x199,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  LASTBRANCHFROMIP: 0x1db,
  MTRR_PHYSBASE0: 0x200,
  PAT: 0x277,
  MTRR_DEF_TYPE: 0x2ff,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  SFMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const

/** How many variable-range MTRRs there are. */
const VARIABLE_MTRRS = 8
const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f]
const HIGH_ADDRESS = (1 << (PHYSICAL_ADDRESS_BITS - 32)) - 1

/** MSRs with a word of the state, and which of their bits may be set. */
interface FieldMsr {
  field: Field
  index?: number
  /** `canonical`: an address; `low`: the high half is reserved. */
  rule?: 'canonical' | 'low'
}

const FIELD_MSRS = new Map<number, FieldMsr>([
  [MSR.STAR, { field: F.star }],
  [MSR.LSTAR, { field: F.lstar, rule: 'canonical' }],
  [MSR.CSTAR, { field: F.cstar, rule: 'canonical' }],
  [MSR.SFMASK, { field: F.sfmask, rule: 'low' }],
  [MSR.FS_BASE, { field: F.segmentBase, index: FS, rule: 'canonical' }],
  [MSR.GS_BASE, { field: F.segmentBase, index: GS, rule: 'canonical' }],
  [MSR.KERNEL_GS_BASE, { field: F.kernelGsBase, rule: 'canonical' }],
  [MSR.SYSENTER_CS, { field: F.sysenterCs }],
  [MSR.SYSENTER_ESP, { field: F.sysenterEsp, rule: 'canonical' }],
  [MSR.SYSENTER_EIP, { field: F.sysenterEip, rule: 'canonical' }],
  [MSR.TSC_AUX, { field: F.tscAux, rule: 'low' }],
])

/** An MSR kept in `Vcpu.msrs`: its value after reset, and the bits that WRMSR may set (else #GP); no bits: read-only. */
interface PlainMsr {
  reset: readonly [low: number, high: number]
  /** Bits that may be set. Undefined: writes are #GP. */
  writable?: readonly [low: number, high: number]
  /** Writes are taken and dropped. */
  ignoreWrites?: boolean
}

const READ_ONLY: PlainMsr = { reset: [0, 0] }

const PLAIN_MSRS = new Map<number, PlainMsr>([
  [MSR.PLATFORM_ID, READ_ONLY],
  // Systems read these by the processor's model, without being told that they are there.
  [MSR.P5_MC_ADDR, READ_ONLY],
  [MSR.P5_MC_TYPE, READ_ONLY],
  [MSR.EBL_CR_POWERON, { reset: [0, 0], ignoreWrites: true }],
  // A bus of 166 MHz, in the encoding of the Core 2.
  [MSR.FSB_FREQ, { reset: [3, 0] }],
  [MSR.BBL_CR_CTL, { reset: [0, 0], ignoreWrites: true }],
  // There is a second-level cache, and it is on: bits 0, 8 and 23.
  [MSR.BBL_CR_CTL3, { reset: [0x00800101, 0], ignoreWrites: true }],
  // A ratio of 6 now and at most, so that bus and ratio give the time-stamp counter's 1 GHz.
  [MSR.PERF_STATUS, { reset: [0x0600, 0x0600] }],
  [MSR.PERF_CTL, { reset: [0x0600, 0], ignoreWrites: true }],
  ...[0, 1, 2, 3].map((i): [number, PlainMsr] => [MSR.LASTBRANCHFROMIP + i, { reset: [0, 0], ignoreWrites: true }]),
  // Locked, with VMX off.
  [MSR.FEATURE_CONTROL, { reset: [1, 0] }],
  [MSR.TSC_ADJUST, { reset: [0, 0], writable: [-1, -1] }],
  [MSR.BIOS_UPDT_TRIG, { reset: [0, 0], ignoreWrites: true }],
  // The level of the microcode, in the high half; a loader writes 0 first and executes CPUID.
  [MSR.BIOS_SIGN_ID, { reset: [0, 1], ignoreWrites: true }],
  [MSR.MTRRCAP, { reset: [VARIABLE_MTRRS | (1 << 8) | (1 << 10), 0] }],
  [MSR.MISC_FEATURES_ENABLES, { reset: [0, 0], writable: [0, 0] }],
  [MSR.MCG_CAP, READ_ONLY],
  [MSR.MCG_STATUS, { reset: [0, 0], writable: [7, 0] }],
  // Fast strings; branch trace storage and PEBS are not available.
  [MSR.MISC_ENABLE, { reset: [1 | (1 << 11) | (1 << 12), 0], writable: [-1, -1] }],
  [MSR.DEBUGCTL, { reset: [0, 0], writable: [3, 0] }],
  [MSR.PAT, { reset: [0x00070406, 0x00070406], writable: [0x07070707, 0x07070707] }],
  [MSR.MTRR_DEF_TYPE, { reset: [0, 0], writable: [0xcff, 0] }],
  ...FIXED_MTRRS.map((index): [number, PlainMsr] => [index, { reset: [0, 0], writable: [-1, -1] }]),
  ...Array.from({ length: VARIABLE_MTRRS * 2 }, (_, i): [number, PlainMsr] => [
    MSR.MTRR_PHYSBASE0 + i,
    { reset: [0, 0], writable: i & 1 ? [0xfffff800, HIGH_ADDRESS] : [0xfffff0ff, HIGH_ADDRESS] },
  ]),
])

/** Sets every MSR of `Vcpu.msrs` as after reset. */
export function resetMsrs(cpu: Vcpu): void {
  cpu.msrs.clear()
  for (const [index, { reset }] of PLAIN_MSRS) cpu.msrs.set(index, [reset[0] >>> 0, reset[1] >>> 0])
}

/** TSC ticks now, with the guest's offset: halves into `cpu.low` and `cpu.high`. */
export function readTimestamp(cpu: Vcpu): void {
  const ticks = Math.floor(cpu.machine.timestamp())
  const low = (ticks % 0x100000000) + cpu.state.get32(F.tscOffset)
  const high = Math.floor(ticks / 0x100000000) + cpu.state.getHigh(F.tscOffset)
  cpu.low = low >>> 0
  cpu.high = (high + (low > 0xffffffff ? 1 : 0)) >>> 0
}

/** RDMSR. The value comes in `cpu.low` and `cpu.high`. @throws GUEST_FAULT #GP(0) for a register that is not there */
export function readMsr(cpu: Vcpu, index: number): void {
  const { state } = cpu
  const word = FIELD_MSRS.get(index)
  if (word) {
    cpu.low = state.get32(word.field, word.index)
    cpu.high = state.getHigh(word.field, word.index)
    return
  }
  if (index === MSR.EFER) {
    cpu.low = state.get32(F.efer)
    cpu.high = 0
    return
  }
  if (index === MSR.TIME_STAMP_COUNTER) {
    readTimestamp(cpu)
    return
  }
  const value = cpu.msrs.get(index) ?? cpu.machine.readMsr(index)
  if (!value) unknown(cpu, 'RDMSR', index)
  cpu.low = value[0] >>> 0
  cpu.high = value[1] >>> 0
}

function unknown(cpu: Vcpu, what: string, index: number): never {
  const name = index.toString(16)
  cpu.machine.logOnce(`${what} ${name}`, `${what} of ${name}, a register this processor does not have: #GP`)
  return raise(cpu, 13, 0)
}

/** WRMSR. @throws GUEST_FAULT #GP(0) for a register that is not there or a value that it cannot have */
export function writeMsr(cpu: Vcpu, index: number, low: number, high: number): void {
  const { state } = cpu
  const word = FIELD_MSRS.get(index)
  if (word) {
    if (word.rule === 'canonical' && !isSupportedAddress(cpu, high)) raise(cpu, 13, 0)
    if (word.rule === 'low' && high !== 0) raise(cpu, 13, 0)
    state.setHalves(word.field, low, high, word.index)
    return
  }
  if (index === MSR.EFER) {
    writeEfer(cpu, low, high)
    return
  }
  if (index === MSR.TIME_STAMP_COUNTER) {
    readTimestamp(cpu)
    moveTimestamp(cpu, low, high, cpu.low, cpu.high)
    return
  }
  const plain = PLAIN_MSRS.get(index)
  if (!plain) {
    if (!cpu.machine.writeMsr(index, low, high)) unknown(cpu, 'WRMSR', index)
    return
  }
  if (plain.ignoreWrites) return
  const { writable } = plain
  if (!writable || low & ~writable[0] || high & ~writable[1]) raise(cpu, 13, 0)
  if (index === MSR.PAT && !(isPat(low) && isPat(high))) raise(cpu, 13, 0)
  const old = cpu.msrs.get(index) ?? [0, 0]
  if (index === MSR.TSC_ADJUST) moveOffset(cpu, low, high, old[0], old[1])
  cpu.msrs.set(index, [low >>> 0, high >>> 0])
}

/** Memory types 2 and 3 are reserved in every byte of PAT. */
function isPat(half: number): boolean {
  for (let i = 0; i < 4; i++) {
    const type = (half >>> (i * 8)) & 0xff
    if (type === 2 || type === 3) return false
  }
  return true
}

/** Moves the TSC's offset by `to - from`. */
function moveOffset(cpu: Vcpu, toLow: number, toHigh: number, fromLow: number, fromHigh: number): void {
  const difference = join(toLow, toHigh) - join(fromLow, fromHigh)
  cpu.state.set64(F.tscOffset, BigInt.asUintN(64, cpu.state.get64(F.tscOffset) + difference))
}

/** A write to the TSC moves TSC_ADJUST by as much. */
function moveTimestamp(cpu: Vcpu, toLow: number, toHigh: number, fromLow: number, fromHigh: number): void {
  moveOffset(cpu, toLow, toHigh, fromLow, fromHigh)
  const old = cpu.msrs.get(MSR.TSC_ADJUST) ?? [0, 0]
  const adjust = join(old[0], old[1]) + join(toLow, toHigh) - join(fromLow, fromHigh)
  cpu.msrs.set(MSR.TSC_ADJUST, [Number(BigInt.asUintN(32, adjust)), Number(BigInt.asUintN(64, adjust) >> 32n)])
}

const join = (low: number, high: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)

function writeEfer(cpu: Vcpu, low: number, high: number): void {
  const { state } = cpu
  const old = state.get32(F.efer)
  if (high !== 0 || low & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) raise(cpu, 13, 0)
  if ((low ^ old) & EFER_LME && state.get32(F.cr0) & CR0_PG) raise(cpu, 13, 0)
  state.set32(F.efer, (low & ~EFER_LMA) | (old & EFER_LMA))
  if ((low ^ old) & EFER_NXE) flushTlb(cpu, false)
  updateMode(cpu)
}
