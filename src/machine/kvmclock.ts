/**
 * The paravirtual clock that Linux calls kvmclock (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst): the guest
 * learns from a structure in its memory how the time-stamp counter becomes nanoseconds, and need not measure it.
 */
import type { Clock, Device, GuestMemory } from '../devices/bus.ts'
import { TSC_FREQUENCY } from './clock.ts'

/** MSRs that hold guest-physical addresses; the low two are the older numbers of the same. */
const MSR_WALL_CLOCK = 0x4b564d00
const MSR_SYSTEM_TIME = 0x4b564d01
const MSR_WALL_CLOCK_OLD = 0x11
const MSR_SYSTEM_TIME_OLD = 0x12

const SYSTEM_TIME_ENABLE = 1

const LEAF_SIGNATURE = 0x40000000
const LEAF_FEATURES = 0x40000001
const LEAF_TIMING = 0x40000010

/** Bits of the features leaf: kvmclock by either pair of MSRs, no delays at ports, a time-stamp counter that can be trusted. */
const FEATURES = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 24)

/** Flag of the system time structure: the same on all processors. */
const TSC_STABLE = 1

/** EAX, EBX, ECX, EDX of a CPUID leaf. */
export type CpuidLeaf = readonly [eax: number, ebx: number, ecx: number, edx: number]

/** The CPUID leaves from 0x40000000 on that tell a guest what it runs on. */
export function hypervisorLeaves(): ReadonlyMap<number, CpuidLeaf> {
  const word = (text: string) => new DataView(new TextEncoder().encode(text.padEnd(4, '\0')).buffer).getUint32(0, true)
  return new Map<number, CpuidLeaf>([
    [LEAF_SIGNATURE, [LEAF_TIMING, word('KVMK'), word('VMKV'), word('M')]],
    [LEAF_FEATURES, [FEATURES, 0, 0, 0]],
    // Frequencies in kHz: of the time-stamp counter, and of the local APIC's timer.
    [LEAF_TIMING, [TSC_FREQUENCY / 1000, 1_000_000, 0, 0]],
  ])
}

/** What the clock needs of the machine. */
export interface KvmClockOptions {
  clock: Clock
  memory: GuestMemory
  /** The time-stamp counter as the guest reads it now, modulo 2^64. */
  guestTimestamp(): bigint
}

/** The two registers and what writing them does. */
export class KvmClock implements Device {
  readonly name = 'kvmclock'
  readonly version = 1
  /** The registers as written: address, and for the system time the enable bit. */
  state = { wallClock: 0, systemTime: 0, sequence: 0 }
  readonly #options: KvmClockOptions

  constructor(options: KvmClockOptions) {
    this.#options = options
  }

  /** RDMSR: [low, high], or undefined for a register that is not the clock's. */
  readMsr(index: number): [low: number, high: number] | undefined {
    const halves = (value: number): [number, number] => [value >>> 0, Math.floor(value / 2 ** 32)]
    if (index === MSR_WALL_CLOCK || index === MSR_WALL_CLOCK_OLD) return halves(this.state.wallClock)
    if (index === MSR_SYSTEM_TIME || index === MSR_SYSTEM_TIME_OLD) return halves(this.state.systemTime)
    return undefined
  }

  /** WRMSR: false for a register that is not the clock's. */
  writeMsr(index: number, low: number, high: number): boolean {
    const value = (high >>> 0) * 2 ** 32 + (low >>> 0)
    if (index === MSR_WALL_CLOCK || index === MSR_WALL_CLOCK_OLD) {
      this.state.wallClock = value
      this.#writeWallClock()
    } else if (index === MSR_SYSTEM_TIME || index === MSR_SYSTEM_TIME_OLD) {
      this.state.systemTime = value
      this.#writeSystemTime()
    } else return false
    return true
  }

  reset(): void {
    this.state = { wallClock: 0, systemTime: 0, sequence: 0 }
  }

  restored(): void {
    this.update()
  }

  /** Writes the system time again, as after the guest changed its time-stamp counter. */
  update(): void {
    this.#writeSystemTime()
  }

  /** Versions are even when the structure is whole, and different each time. */
  #nextVersion(): number {
    this.state.sequence = (this.state.sequence + 2) >>> 0
    return this.state.sequence
  }

  /** struct pvclock_wall_clock: the wall time at which the system time was 0. */
  #writeWallClock(): void {
    const { clock, memory } = this.#options
    const milliseconds = clock.wallTime() - clock.now() / 1e6
    const seconds = Math.floor(milliseconds / 1000)
    const view = new DataView(new ArrayBuffer(12))
    view.setUint32(0, this.#nextVersion(), true)
    view.setUint32(4, seconds, true)
    view.setUint32(8, Math.floor((milliseconds - seconds * 1000) * 1e6), true)
    memory.write(this.state.wallClock, new Uint8Array(view.buffer))
  }

  /** struct pvclock_vcpu_time_info: system time and time-stamp counter at one moment, and the factor between them. */
  #writeSystemTime(): void {
    const { systemTime } = this.state
    if ((systemTime & SYSTEM_TIME_ENABLE) === 0) return
    const { clock, memory, guestTimestamp } = this.#options
    const view = new DataView(new ArrayBuffer(32))
    view.setUint32(0, this.#nextVersion(), true)
    view.setBigUint64(8, BigInt.asUintN(64, guestTimestamp()), true)
    view.setBigUint64(16, BigInt(Math.floor(clock.now())), true)
    // Nanoseconds are (ticks << shift) * multiplier >> 32, with the multiplier in the upper half of its range.
    let shift = 0
    let perTick = 1e9 / TSC_FREQUENCY
    for (; perTick >= 1; perTick /= 2) shift++
    for (; perTick < 0.5; perTick *= 2) shift--
    view.setUint32(24, Math.round(perTick * 2 ** 32), true)
    view.setInt8(28, shift)
    view.setUint8(29, TSC_STABLE)
    memory.write(systemTime - SYSTEM_TIME_ENABLE, new Uint8Array(view.buffer))
  }
}
