/** Services of IN, OUT, INS, OUTS: permission by IOPL and the TSS's bitmap, and the access itself (SDM vol. 1, chapter 18). */
import type { AccessSize } from '../../devices/bus.ts'
import { matchPort } from '../debug.ts'
import { EVENT_INTERRUPT } from '../events.ts'
import { raise } from '../faults.ts'
import {
  currentAccess,
  locateForWrite,
  readSystem16,
  writeLinear8,
  writeLinear16,
  writeLinear32,
} from '../memory-access.ts'
import { MODE_LONG } from '../mode.ts'
import { ACCESS_USER, ACCESS_WRITE } from '../paging.ts'
import { CR0_PE, CR4_DE } from '../registers.ts'
import { isWithinSegment } from '../segment-check.ts'
import { AC, F, TR, VM } from '../state.ts'
import { accessClass, probeTlb } from '../translation.ts'
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

/**
 * Reads elements of `size` bytes from a port to memory, upwards from a linear address, all within a page.
 * @returns how many: what an event ends, and 0 where the guest would notice that they do not come one by one. @throws GUEST_FAULT
 */
function inputRun(
  cpu: Vcpu,
  port: number,
  size: AccessSize,
  low: number,
  high: number,
  segment: number,
  offset: number,
  elements: number,
): number {
  const { state } = cpu
  checkPort(cpu, port, size)
  if (cpu.watchpoints || state.get32(F.cr4) & CR4_DE) return 0
  if (!(state.get32(F.mode) & MODE_LONG) && !isWithinSegment(cpu, segment, offset, elements * size, true)) return 0
  const access = currentAccess(cpu)
  // With alignment checks each element may fault.
  if (access & ACCESS_USER && state.get32(F.systemFlags) & AC) return 0
  if (locateForWrite(cpu, low, high, access) < 0) return 0
  // A page of code stays out of the TLB: there each write has to be heard of.
  const at = probeTlb(cpu, accessClass(cpu, access), low, high, access | ACCESS_WRITE)
  const { ram } = cpu.memory
  let done = 0
  do {
    let value = cpu.machine.readPort(port, size)
    let address = low + done * size
    if (at < 0)
      (size === 1 ? writeLinear8 : size === 2 ? writeLinear16 : writeLinear32)(cpu, address | 0, high, access, value)
    else
      for (address = at + done * size; address < at + (done + 1) * size; address++, value >>>= 8) ram[address] = value
    cpu.deviceAccessed()
  } while (++done < elements && !(cpu.events & ~EVENT_INTERRUPT))
  return done
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
  /** Port, bytes of an element, linear address, segment and offset in it, elements: how many came is the result. */
  inputRun: service(
    ['i32', 'i32', 'i64', 'i32', 'i32', 'i32'],
    (cpu, port, size, low, high, segment, offset, elements) => {
      const done = inputRun(cpu, port, size as AccessSize, low | 0, high | 0, segment, offset, elements)
      cpu.state.setHalves(F.serviceResult, done, 0)
    },
  ),
  /** Port, bytes, value. */
  writePort: service(['i32', 'i32', 'i32'], (cpu, port, size, value) => {
    checkPort(cpu, port, size)
    cpu.machine.writePort(port, size as AccessSize, value >>> 0)
    breakOn(cpu, port, size)
    cpu.deviceAccessed()
  }),
}
