/** Services of IN, OUT, INS, OUTS: permission by IOPL and the TSS's bitmap, and the access itself (SDM vol. 1, chapter 18). */
import type { AccessSize } from '../../devices/bus.ts'
import { matchPort } from '../debug.ts'
import { raise } from '../faults.ts'
import { readSystem16 } from '../memory-access.ts'
import { CR0_PE } from '../registers.ts'
import { F, TR, VM } from '../state.ts'
import type { Vcpu } from '../vcpu.ts'
import { type Services, service } from './service.ts'

/** #GP(0) unless the current privilege may use the ports. @throws GUEST_FAULT */
function checkPort(cpu: Vcpu, port: number, size: number): void {
  const { state } = cpu
  if (!(state.get32(F.cr0) & CR0_PE)) return
  const flags = state.get32(F.systemFlags)
  if (!(flags & VM) && state.get32(F.cpl) <= ((flags >>> 12) & 3)) return
  const limit = state.get32(F.segmentLimit, TR)
  // Only a 32-bit (or 64-bit) TSS has a bitmap.
  if (!(state.get32(F.segmentAttributes, TR) & 8) || limit < 103) raise(cpu, 13, 0)
  const base = state.get64(F.segmentBase, TR)
  const word = (offset: number) => {
    const address = BigInt.asUintN(64, base + BigInt(offset))
    return readSystem16(cpu, Number(address & 0xffffffffn) | 0, Number(address >> 32n) | 0)
  }
  const offset = word(102) + (port >> 3)
  // The processor reads two bytes always.
  if (offset + 1 > limit) raise(cpu, 13, 0)
  const mask = (1 << size) - 1
  if ((word(offset) >>> (port & 7)) & mask) raise(cpu, 13, 0)
}

function breakOn(cpu: Vcpu, port: number, size: number): void {
  const hit = matchPort(cpu, port, size)
  if (hit) cpu.addPendingDebug(hit)
}

export const services: Services = {
  /** Port, bytes. */
  checkPort: service(['i32', 'i32'], (cpu, port, size) => checkPort(cpu, port, size)),
  /** Port, bytes: the value is the result. */
  readPort: service(['i32', 'i32'], (cpu, port, size) => {
    checkPort(cpu, port, size)
    cpu.state.setHalves(F.serviceResult, cpu.machine.readPort(port, size as AccessSize), 0)
    breakOn(cpu, port, size)
    cpu.deviceAccessed()
  }),
  /** Port, bytes, value. */
  writePort: service(['i32', 'i32', 'i32'], (cpu, port, size, value) => {
    checkPort(cpu, port, size)
    cpu.machine.writePort(port, size as AccessSize, value >>> 0)
    breakOn(cpu, port, size)
    cpu.deviceAccessed()
  }),
}
