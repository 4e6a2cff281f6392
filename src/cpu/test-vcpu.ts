/** A vCPU with a little memory and a machine that records, for tests. */
import type { AccessSize } from '../devices/bus.ts'
import type { MachineInterface } from '../engines/contract.ts'
import { PhysicalMemory } from '../memory/physical.ts'
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from './registers.ts'
import { CS, F, SS } from './state.ts'
import { Vcpu, type VcpuOptions } from './vcpu.ts'

/** A machine without devices. */
export class TestMachine implements MachineInterface {
  stopRequested = false
  readonly reads: [address: number, size: number][] = []
  readonly writes: [address: number, size: number, value: number][] = []
  readonly ports: [port: number, size: number, value: number][] = []
  readonly log: string[] = []
  vectors: number[] = []
  ticks = 0
  readPort(_port: number, size: AccessSize): number {
    return size === 4 ? 0xffffffff : 2 ** (size * 8) - 1
  }
  writePort(port: number, size: AccessSize, value: number): void {
    this.ports.push([port, size, value])
  }
  readMmio(address: number, size: AccessSize): number {
    this.reads.push([address, size])
    return address & 0xff
  }
  writeMmio(address: number, size: AccessSize, value: number): void {
    this.writes.push([address, size, value])
  }
  timestamp(): number {
    return this.ticks
  }
  acknowledgeInterrupt(): number {
    return this.vectors.shift() ?? -1
  }
  priority = 0
  readTaskPriority(): number {
    return this.priority
  }
  writeTaskPriority(value: number): void {
    this.priority = value
  }
  readMsr(): undefined {
    return undefined
  }
  writeMsr(): boolean {
    return false
  }
  logOnce(_key: string, message: string): void {
    this.log.push(message)
  }
}

/** A vCPU, fresh from reset. */
export function testVcpu(size = 1 << 20, options: VcpuOptions = {}): { cpu: Vcpu; machine: TestMachine } {
  const machine = new TestMachine()
  return { cpu: new Vcpu(new PhysicalMemory(size), machine, options), machine }
}

/** Writes 64 bits of guest-physical memory. */
export function poke64(cpu: Vcpu, address: number, value: bigint): void {
  cpu.memory.writeNumber(address, 4, Number(value & 0xffffffffn))
  cpu.memory.writeNumber(address + 4, 4, Number((value >> 32n) & 0xffffffffn))
}

/** Where {@link enterLongMode} puts the table of small pages: 8 bytes for each, in order. */
export const PAGE_TABLE = 0x4000

/** What {@link enterLongMode} may do otherwise. */
interface LongModeOptions {
  /** So many pages of 4 KiB, up to 512, instead of one of 2 MiB. */
  readonly pages?: number
  /** Bits besides those without which there is no 64-bit mode. */
  readonly cr0?: number
  readonly cr4?: number
}

/** 64-bit mode at CPL 0 with the first 2 MiB mapped where they are, for the supervisor. The tables lie from 1000h on; CS is 8, SS 16. */
export function enterLongMode(cpu: Vcpu, { pages, cr0 = 0, cr4 = 0 }: LongModeOptions = {}): void {
  poke64(cpu, 0x1000, 0x2003n)
  poke64(cpu, 0x2000, 0x3003n)
  poke64(cpu, 0x3000, pages === undefined ? 0x83n : BigInt(PAGE_TABLE | 3))
  for (let page = 0; page < (pages ?? 0); page++) poke64(cpu, PAGE_TABLE + page * 8, BigInt((page * 4096) | 3))
  const { state } = cpu
  state.set32(F.cr0, CR0_PE | CR0_PG | cr0)
  state.set32(F.cr3, 0x1000)
  state.set32(F.cr4, CR4_PAE | cr4)
  state.set32(F.efer, EFER_LME | EFER_LMA)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b)
  cpu.setSegment(SS, 16, 0, 0xffffffff, 0xc093)
  cpu.rflags = 2
  cpu.updateMode()
}

/** Reads 64 bits of guest-physical memory. */
export function peek64(cpu: Vcpu, address: number): bigint {
  return BigInt(cpu.memory.readNumber(address, 4)) | (BigInt(cpu.memory.readNumber(address + 4, 4)) << 32n)
}

/** The fault that is noted: vector and error code, or undefined; clears the note. */
export function takeFault(cpu: Vcpu): [vector: number, errorCode: number] | undefined {
  if (!cpu.state.get32(F.fault)) return undefined
  cpu.state.set32(F.fault, 0)
  return [cpu.state.get32(F.faultVector), cpu.state.get32(F.faultErrorCode) | 0]
}
