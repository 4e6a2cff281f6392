/**
 * The contract between the machine and whatever executes its guest's instructions.
 *
 * An engine runs one vCPU for a number of instructions and says why it came back. Port and memory-mapped I/O are plain
 * calls on {@link MachineInterface} while it runs (a call from WebAssembly costs 5 to 10 ns, an exit and a re-entry
 * five times that); everything else that an engine cannot do alone is an {@link Exit}.
 */
import type { AccessSize } from '../devices/bus.ts'

/** Why {@link Engine.run} came back. */
export type Exit =
  /** The budget is spent. */
  | { kind: 'budget' }
  /** HLT or MWAIT with nothing pending: the vCPU waits for an interrupt. */
  | { kind: 'halt' }
  /** A triple fault: the processor is in shutdown and the machine decides (a PC resets). */
  | { kind: 'shutdown'; reason: string }
  /** {@link MachineInterface.stopRequested} was seen between two instructions. */
  | { kind: 'stopped' }

/** What a processor needs of the machine around it. Values are unsigned; addresses are guest-physical doubles. */
export interface MachineInterface {
  /** IN. */
  readPort(port: number, size: AccessSize): number
  /** OUT. */
  writePort(port: number, size: AccessSize, value: number): void
  /** A load that hit no RAM. */
  readMmio(address: number, size: AccessSize): number
  /** A store that hit no RAM. */
  writeMmio(address: number, size: AccessSize, value: number): void
  /** RDTSC, in ticks since reset, as a double, before the guest's TSC offset. Called between instructions only. */
  timestamp(): number
  /** Becomes true when a device wants the engine to come back soon (power-off, reset): checked after each I/O. */
  stopRequested: boolean
  /** Takes the highest interrupt that local APIC or PIC offer now: a vector, or -1 when there is none after all. */
  acknowledgeInterrupt(): number
  /** CR8: bits 7:4 of the task priority. */
  readTaskPriority(): number
  writeTaskPriority(value: number): void
  /**
   * RDMSR of a register that belongs to a device (local APIC base 0x1b, x2APIC 0x800–0x8ff, TSC deadline 0x6e0, kvmclock):
   * [low, high], or undefined for a register the machine does not have (#GP).
   */
  readMsr(index: number): [low: number, high: number] | undefined
  /** WRMSR of such a register; false is #GP. */
  writeMsr(index: number, low: number, high: number): boolean
  /**
   * FERR#: with CR0.NE clear the processor has stopped in front of an x87 instruction, because of an error. A PC interrupts it
   * by IRQ 13. Without this method the error is ignored.
   */
  numericError?(): void
  /** Writes one line to the machine's log, once for each `key`. */
  logOnce(key: string, message: string): void
}

/** The part of a vCPU that devices and the machine act on, between instructions. */
export interface VcpuSignals {
  /** Drives INTR: true while local APIC or PIC have an interrupt to offer. */
  setInterruptRequest(level: boolean): void
  /** Latches an NMI. */
  raiseNmi(): void
  /** INIT: the processor as after RESET#, waiting for a start-up IPI if it is not the bootstrap processor. */
  init(): void
  /** A start-up IPI: execution begins at vector * 0x1000 in real mode. */
  startup(vector: number): void
  /** IGNNE#: x87 instructions execute in spite of the error that FERR# reports, until it is cleared. */
  ignoreNumericError(): void
}

/** Executes guest code. */
export interface Engine {
  readonly name: 'interpreter' | 'translator' | 'kvm'
  /**
   * Executes at most `budget` instructions, exactly `budget` if nothing else ends the run; fewer also when the guest
   * keeps the engine busy in other ways, with nothing but faults or with thousands of accesses to devices for example.
   * Where it ends depends on the guest alone, never on time.
   * @returns why it came back; `vcpu.instructions` has counted what was executed.
   */
  run(budget: number): Exit
}
