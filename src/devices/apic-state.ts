import type { VcpuSignals } from '../engines/contract.ts'
import type { LocalApic } from './apic.ts'
import { type ApicMessage, DELIVERY, type VectorSet } from './apic-bits.ts'
import { LVT_MASKED, LVT_WRITABLE, REGISTER } from './apic-registers.ts'
import { type ApicTimerState, initialTimer } from './apic-timer.ts'

/** IA32_APIC_BASE (SDM volume 3, figure 11-26). */
/** This is the bootstrap processor. */
export const BASE_BOOTSTRAP = 0x100
/** The APIC is in x2APIC mode. */
export const BASE_X2APIC = 0x400
/** The APIC is enabled. */
export const BASE_ENABLED = 0x800
const DEFAULT_BASE = 0xfee00000

/** How a local APIC is wired. */
export interface LocalApicOptions {
  /** Its APIC ID. */
  id: number
  /** It belongs to the bootstrap processor. */
  bootstrap: boolean
  signals: VcpuSignals
  /** The clock's nanoseconds at which this processor's time-stamp counter, as the guest sees it, has a value. */
  timestampTime(low: number, high: number): number
  /** MAXPHYADDR: higher bits of IA32_APIC_BASE are reserved. */
  physicalAddressBits: number
  /** Brings an interrupt to the local APICs it is for. */
  send(message: ApicMessage): void
  /** Brings an interrupt to all local APICs, or to all but the sender. */
  sendAll(message: ApicMessage, except: LocalApic | undefined): void
  /** A level-triggered interrupt has ended: the I/O APICs are told. */
  onEoi(vector: number): void
  /** The interrupt acknowledge cycle of an ExtINT: the PIC's vector. */
  acknowledgeExternal(): number
  /** IA32_APIC_BASE was written. */
  onBase?(): void
}

/** The saved part of a local APIC. */
export interface LocalApicState {
  base: number
  baseHigh: number
  taskPriority: number
  logicalDestination: number
  destinationFormat: number
  spurious: number
  isr: VectorSet
  tmr: VectorSet
  irr: VectorSet
  esr: number
  /** Errors since ESR was last written. */
  errors: number
  icrLow: number
  icrHigh: number
  lvt: number[]
  /** Levels of LINT0 and LINT1. */
  lint: boolean[]
  timer: ApicTimerState
}

const emptySet = (): VectorSet => [0, 0, 0, 0, 0, 0, 0, 0]

/** A local APIC after RESET#. */
export function initialState(bootstrap: boolean): LocalApicState {
  const lvt = LVT_WRITABLE.map(() => LVT_MASKED)
  // Firmware wires the PIC through ("virtual wire mode"); a kernel that is booted without one expects that too.
  if (bootstrap) lvt[REGISTER.LVT_LINT0 - REGISTER.LVT_TIMER] = DELIVERY.EXTINT << 8
  return {
    base: (DEFAULT_BASE | BASE_ENABLED | (bootstrap ? BASE_BOOTSTRAP : 0)) >>> 0,
    baseHigh: 0,
    taskPriority: 0,
    logicalDestination: 0,
    destinationFormat: 0xffffffff,
    spurious: 0xff,
    isr: emptySet(),
    tmr: emptySet(),
    irr: emptySet(),
    esr: 0,
    errors: 0,
    icrLow: 0,
    icrHigh: 0,
    lvt,
    lint: [false, false],
    timer: initialTimer(),
  }
}
