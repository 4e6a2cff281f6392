/** A vCPU with a little memory and a machine that records, for tests. */
import type { AccessSize } from '../devices/bus.ts'
import type { MachineInterface } from '../engines/contract.ts'
import { PhysicalMemory } from '../memory/physical.ts'
import { F } from './state.ts'
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
