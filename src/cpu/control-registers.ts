/** Writes to control registers with their checks and consequences (SDM vol. 3, 2.5, 4.1). */
import { raise } from './faults.ts'
import { loadPdptes } from './paging.ts'
import {
  ATTRIBUTE_L,
  CR0_CD,
  CR0_ET,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_DE,
  CR4_FSGSBASE,
  CR4_LA57,
  CR4_MCE,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_PCE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PSE,
  CR4_PVI,
  CR4_SMAP,
  CR4_SMEP,
  CR4_TSD,
  CR4_UMIP,
  CR4_VME,
  EFER_LMA,
  EFER_LME,
  PHYSICAL_ADDRESS_BITS,
} from './registers.ts'
import { CS, F, TR } from './state.ts'
import { flushTlb } from './translation.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu, VcpuOptions } from './vcpu.ts'

/** Bits of CR0 that exist. */
const CR0_DEFINED = 0xe005003f | 0
/** Bits of CR4 by the CPUID bit that each comes with: leaf, register (0 EAX … 3 EDX), bit. */
const CR4_FEATURES: readonly (readonly [bit: number, leaf: number, register: number, feature: number])[] = [
  [CR4_VME | CR4_PVI, 1, 3, 1],
  [CR4_DE, 1, 3, 2],
  [CR4_PSE, 1, 3, 3],
  [CR4_TSD, 1, 3, 4],
  [CR4_PAE, 1, 3, 6],
  [CR4_MCE, 1, 3, 7],
  [CR4_PGE, 1, 3, 13],
  [CR4_OSFXSR, 1, 3, 25],
  [CR4_OSXMMEXCPT, 1, 3, 25],
  [CR4_PCIDE, 1, 2, 17],
  [CR4_OSXSAVE, 1, 2, 26],
  [CR4_FSGSBASE, 7, 1, 0],
  [CR4_SMEP, 7, 1, 7],
  [CR4_SMAP, 7, 1, 20],
  [CR4_UMIP, 7, 2, 2],
  [CR4_LA57, 7, 2, 16],
]

/** What of the system architecture CPUID reports. */
export interface SystemFeatures {
  /** Bits of CR4 that may be set. */
  readonly cr4: number
  /** Five-level paging. */
  readonly la57: boolean
}

/** Derives what may be set from what CPUID says; without CPUID everything may. */
export function systemFeatures(cpuid: VcpuOptions['cpuid']): SystemFeatures {
  let cr4 = CR4_PCE
  for (const [bit, leaf, register, feature] of CR4_FEATURES) {
    if (!cpuid || (cpuid(leaf, 0)[register] >>> feature) & 1) cr4 |= bit
  }
  return { cr4, la57: (cr4 & CR4_LA57) !== 0 }
}

const HIGH_ADDRESS = (1 << (PHYSICAL_ADDRESS_BITS - 32)) - 1

const usesPdptes = (cr0: number, cr4: number, efer: number): boolean =>
  (cr0 & CR0_PG) !== 0 && (cr4 & CR4_PAE) !== 0 && !(efer & EFER_LMA)

/** MOV to CR0. @throws GUEST_FAULT #GP(0) */
export function writeCr0(cpu: Vcpu, low: number, high: number): void {
  const { state } = cpu
  const old = state.i32[F.cr0.offset >> 2]
  const cr4 = state.get32(F.cr4)
  let efer = state.get32(F.efer)
  if (high !== 0) raise(cpu, 13, 0)
  const value = (low & CR0_DEFINED) | CR0_ET
  if (value & CR0_PG && !(value & CR0_PE)) raise(cpu, 13, 0)
  if (value & CR0_NW && !(value & CR0_CD)) raise(cpu, 13, 0)
  if (!(value & CR0_PG) && cr4 & CR4_PCIDE) raise(cpu, 13, 0)
  const long64 = efer & EFER_LMA && state.get32(F.segmentAttributes, CS) & ATTRIBUTE_L
  if (value & CR0_PG && !(old & CR0_PG)) {
    if (efer & EFER_LME) {
      const busy16 = (state.get32(F.segmentAttributes, TR) & 0x1f) <= 3
      if (!(cr4 & CR4_PAE) || state.get32(F.segmentAttributes, CS) & ATTRIBUTE_L || busy16) raise(cpu, 13, 0)
      efer |= EFER_LMA
    }
  } else if (!(value & CR0_PG) && old & CR0_PG) {
    if (long64) raise(cpu, 13, 0)
    efer &= ~EFER_LMA
  }
  const changed = value ^ old
  if (changed & (CR0_PG | CR0_CD | CR0_NW) && usesPdptes(value, cr4, efer)) {
    if (!loadPdptes(cpu, state.get32(F.cr3))) raise(cpu, 13, 0)
  }
  state.set32(F.cr0, value)
  state.set32(F.efer, efer)
  if (changed & (CR0_PG | CR0_WP | CR0_PE)) flushTlb(cpu, false)
  updateMode(cpu)
}

/** LMSW: the low four bits; PE can be set, not cleared. @throws GUEST_FAULT */
export function loadMachineStatusWord(cpu: Vcpu, value: number): void {
  const old = cpu.state.get32(F.cr0)
  writeCr0(cpu, (old & ~14) | (value & 15), 0)
}

/** MOV to CR3. @throws GUEST_FAULT #GP(0) */
export function writeCr3(cpu: Vcpu, low: number, high: number): void {
  const { state } = cpu
  const cr4 = state.get32(F.cr4)
  const efer = state.get32(F.efer)
  let keep = false
  if (efer & EFER_LMA) {
    // Bit 63 asks to keep the translations of the new PCID; it is not stored.
    if (high < 0 && cr4 & CR4_PCIDE) {
      keep = true
      high &= 0x7fffffff
    }
    if (high & ~HIGH_ADDRESS) raise(cpu, 13, 0)
  } else high = 0
  if (usesPdptes(state.get32(F.cr0), cr4, efer) && !loadPdptes(cpu, low)) raise(cpu, 13, 0)
  const same = keep && state.i32[F.cr3.offset >> 2] === low && state.getHigh(F.cr3) === high >>> 0
  state.setHalves(F.cr3, low, high)
  // The TLB does not know PCIDs: a switch to another flushes, which the guest must reckon with anyway.
  if (!same) flushTlb(cpu, true)
}

/** MOV to CR4. @throws GUEST_FAULT #GP(0) */
export function writeCr4(cpu: Vcpu, low: number, high: number): void {
  const { state } = cpu
  const old = state.get32(F.cr4)
  const cr0 = state.get32(F.cr0)
  const efer = state.get32(F.efer)
  if (high !== 0 || low & ~cpu.features.cr4) raise(cpu, 13, 0)
  const changed = low ^ old
  if (efer & EFER_LMA && (!(low & CR4_PAE) || changed & CR4_LA57)) raise(cpu, 13, 0)
  if (low & CR4_PCIDE && !(old & CR4_PCIDE)) {
    if (!(efer & EFER_LMA) || state.get32(F.cr3) & 0xfff) raise(cpu, 13, 0)
  }
  if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && usesPdptes(cr0, low, efer)) {
    if (!loadPdptes(cpu, state.get32(F.cr3))) raise(cpu, 13, 0)
  }
  state.set32(F.cr4, low)
  if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_LA57)) flushTlb(cpu, false)
  updateMode(cpu)
}
