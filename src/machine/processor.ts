/** What the PC needs of its processor, and what the processor gets of the PC. */
import { ACTIVITY_MMIO, ACTIVITY_PORT, type ActivityMarker } from '../cpu/activity.ts'
import type { AccessSize } from '../devices/bus.ts'
import type { InterruptSystem } from '../devices/interrupts.ts'
import type { NumericError } from '../devices/numeric-error.ts'
import { BACKDOOR_PORT } from '../devices/vmmouse.ts'
import type { Engine, MachineInterface, VcpuSignals } from '../engines/contract.ts'
import type { TranslatedCode } from '../engines/translator/listing.ts'
import type { CpuName } from '../isa/cpu-models.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import type { AddressMap } from './address-map.ts'
import type { BootState } from './boot/index.ts'
import type { MachineBus } from './bus.ts'
import type { MachineClock } from './clock.ts'
import type { CpuidLeaf, KvmClock } from './kvmclock.ts'
import type { ActivityCount, EngineChoice } from './messages.ts'

/** The bootstrap processor with its engine. */
export interface Processor {
  readonly signals: VcpuSignals
  readonly engine: Engine
  /** Instructions executed since it was made; exact whenever it calls its machine. */
  instructions(): number
  /** What the guest's time-stamp counter is ahead of the machine's, modulo 2^64. */
  timestampOffset(): bigint
  /** RESET#. */
  reset(): void
  /** CPUID leaf 1 as after reset: EAX and EDX. */
  identification(): [signature: number, features: number]
  /** Puts the processor, fresh from {@link reset}, into the state that a boot loader leaves. */
  boot(state: BootState): void
  /** Notes what the processor's thread does, for profiles; its word is in the vCPU's state, `stateBase` in memory 0. */
  readonly activity?: ActivityMarker
  /** How often each activity was begun, by its number. */
  activities?(): ActivityCount[]
  readonly stateBase?: number
  /** Low halves of the general-purpose registers, while the processor calls its machine; writing one clears the high half. */
  readonly registers?: { get(number: number): number; set(number: number, value: number): void }
  /** Writes what may be of use to the guest's next start: before this one ends. */
  keepCode?(): void
  /** What the engine counts: regions, bytes of code and the like. */
  stats(): Record<string, number>
}

/** What a processor is made of. */
export interface ProcessorOptions {
  memory: PhysicalMemory
  engine: EngineChoice
  /** Which processor CPUID describes. */
  cpu: CpuName
  machine: MachineInterface
  /** Names what the guest starts from: what is translated may be kept for the next run of the same. Undefined: it is not. */
  guest: string | undefined
  /** CPUID leaves from 0x40000000 on. */
  hypervisorLeaves: ReadonlyMap<number, CpuidLeaf>
  /** Gets a listing of every region that is translated; undefined where nobody wants any. */
  onTranslated?(code: TranslatedCode): void
  /** 32 random bits for RDRAND and RDSEED, the same in every run where time is counted. */
  random32(): number
}

/** The parts of the PC behind {@link ProcessorPorts}. */
interface Parts {
  bus: MachineBus
  map: AddressMap
  clock: MachineClock
  interrupts: InterruptSystem
  kvmClock: KvmClock
  numericError: NumericError
  activity?: ActivityMarker
  /** Answers IN of 32 bits from VMware's port by the registers, which it may change; undefined where that is no command. */
  backdoor(): number | undefined
}

/** The PC as its one processor sees it. Connected after the processor was made, because devices need it first. */
export class ProcessorPorts implements MachineInterface {
  stopRequested = false
  #parts!: Parts

  /** Connects the parts; until then no method may be called. */
  connect(parts: Parts): void {
    this.#parts = parts
  }

  readPort(port: number, size: AccessSize): number {
    const { bus, activity } = this.#parts
    const before = activity?.enter(ACTIVITY_PORT)
    const answer = port === BACKDOOR_PORT && size === 4 ? this.#parts.backdoor() : undefined
    const value = answer ?? bus.readPort(port, size)
    activity?.leave(before!)
    return value
  }

  writePort(port: number, size: AccessSize, value: number): void {
    const { bus, activity } = this.#parts
    const before = activity?.enter(ACTIVITY_PORT)
    bus.writePort(port, size, value)
    activity?.leave(before!)
  }

  readMmio(address: number, size: AccessSize): number {
    const { bus, map, activity } = this.#parts
    const before = activity?.enter(ACTIVITY_MMIO)
    const value = bus.readMmio(map.busAddress(address), size)
    activity?.leave(before!)
    return value
  }

  writeMmio(address: number, size: AccessSize, value: number): void {
    const { bus, map, activity } = this.#parts
    const before = activity?.enter(ACTIVITY_MMIO)
    bus.writeMmio(map.busAddress(address), size, value)
    activity?.leave(before!)
  }

  timestamp(): number {
    return this.#parts.clock.timestamp()
  }

  acknowledgeInterrupt(): number {
    return this.#parts.interrupts.acknowledge(0)
  }

  readTaskPriority(): number {
    return this.#parts.interrupts.apics[0].priorityClass
  }

  writeTaskPriority(value: number): void {
    this.#parts.interrupts.apics[0].priorityClass = value
  }

  readMsr(index: number): [low: number, high: number] | undefined {
    return this.#parts.interrupts.readMsr(0, index) ?? this.#parts.kvmClock.readMsr(index)
  }

  writeMsr(index: number, low: number, high: number): boolean {
    const { interrupts, kvmClock } = this.#parts
    return interrupts.writeMsr(0, index, low, high) || kvmClock.writeMsr(index, low, high)
  }

  numericError(): void {
    this.#parts.numericError.report()
  }

  logOnce(key: string, message: string): void {
    this.#parts.bus.logOnce(key, message)
  }
}
