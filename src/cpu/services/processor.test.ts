import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE, CR0_PG, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME } from '../registers.ts'
import { CS, F, RAX, RCX, RDX } from '../state.ts'
import { takeFault, testVcpu } from '../test-vcpu.ts'
import type { Vcpu } from '../vcpu.ts'
import { services } from './index.ts'

function writeMsr(cpu: Vcpu, index: number, value: bigint): [number, number] | undefined {
  cpu.setRegister(RCX, index)
  cpu.setRegister(RAX, value & 0xffffffffn)
  cpu.setRegister(RDX, value >> 32n)
  services.writeMsr.run(cpu)
  return takeFault(cpu)
}

function readMsr(cpu: Vcpu, index: number): bigint | undefined {
  cpu.setRegister(RCX, index)
  services.readMsr.run(cpu)
  return takeFault(cpu) ? undefined : cpu.register(RAX) | (cpu.register(RDX) << 32n)
}

const GP0 = [13, 0]

test('long mode is entered by EFER.LME, CR4.PAE and CR0.PG, in that order', () => {
  const { cpu } = testVcpu()
  const writeControl = (number: number, value: number) => {
    services.writeControl.run(cpu, number, value | 0, 0)
    return takeFault(cpu)
  }
  assert.deepEqual(writeControl(0, CR0_PG), GP0, 'paging needs PE')
  assert.equal(writeControl(0, CR0_PE), undefined)
  assert.equal(writeMsr(cpu, 0xc0000080, 0x100n), undefined)
  assert.deepEqual(writeControl(0, CR0_PE | CR0_PG), GP0, 'long mode needs PAE')
  assert.equal(writeControl(4, CR4_PAE), undefined)
  assert.deepEqual(writeControl(4, CR4_PAE | CR4_PCIDE), GP0, 'PCIDs need long mode')
  assert.equal(writeControl(0, CR0_PE | CR0_PG), undefined)
  assert.equal(cpu.state.get32(F.efer), EFER_LME | EFER_LMA)
  assert.deepEqual(writeControl(4, 0), GP0, 'PAE stays')
  assert.deepEqual(writeMsr(cpu, 0xc0000080, 0n), GP0, 'LME stays while paging is on')
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b)
  assert.deepEqual(writeControl(0, CR0_PE), GP0, '64-bit code cannot turn paging off')
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b)
  assert.equal(writeControl(0, CR0_PE), undefined)
  assert.equal(cpu.state.get32(F.efer), EFER_LME)
  assert.deepEqual(writeControl(4, 1 << 30), GP0)
})

test('MSRs: values that cannot be, registers that are not there', () => {
  const { cpu, machine } = testVcpu()
  assert.equal(writeMsr(cpu, 0x277, 0x0606060606060600n), undefined)
  assert.equal(readMsr(cpu, 0x277), 0x0606060606060600n)
  assert.deepEqual(writeMsr(cpu, 0x277, 2n), GP0)
  assert.deepEqual(writeMsr(cpu, 0xc0000082, 0x1000000000000000n), GP0)
  assert.equal(writeMsr(cpu, 0xc0000082, 0xffffffff81000000n), undefined)
  assert.deepEqual(writeMsr(cpu, 0xfe, 0n), GP0, 'MTRRCAP is read-only')
  assert.equal(readMsr(cpu, 0x12345), undefined)
  assert.equal(machine.log.length, 1)
})

test('the time-stamp counter: written, adjusted, and the two agree', () => {
  const { cpu, machine } = testVcpu()
  machine.ticks = 5e9
  assert.equal(readMsr(cpu, 0x10), 5000000000n)
  writeMsr(cpu, 0x10, 1000n)
  machine.ticks += 7
  services.readTimestamp.run(cpu)
  assert.equal(cpu.register(RAX) | (cpu.register(RDX) << 32n), 1007n)
  assert.equal(BigInt.asIntN(64, readMsr(cpu, 0x3b)!), 1000n - 5000000000n)
  writeMsr(cpu, 0x3b, 0n)
  assert.equal(readMsr(cpu, 0x10), 5000000007n)
})

test('CR8 goes to the machine, HLT halts until an interrupt', () => {
  const { cpu, machine } = testVcpu()
  services.writeControl.run(cpu, 8, 5, 0)
  assert.equal(machine.priority, 5)
  services.writeControl.run(cpu, 8, 16, 0)
  assert.deepEqual(takeFault(cpu), GP0)
  services.halt.run(cpu)
  cpu.takeEvent()
  assert.equal(cpu.state.get32(F.halted), 1)
  cpu.setInterruptRequest(true)
  cpu.takeEvent()
  assert.equal(cpu.state.get32(F.halted), 1, 'IF is clear')
  cpu.rflags = 0x202
  machine.vectors.push(0x20)
  cpu.memory.writeNumber(0x20 * 4, 4, 0x01000010)
  cpu.setRegister(4, 0x800)
  cpu.takeEvent()
  assert.equal(cpu.state.get32(F.halted), 0)
  assert.equal(cpu.rip, 0x10n)
})

test('debug registers: aliases, general detect, watched pages', () => {
  const { cpu } = testVcpu()
  services.writeDebug.run(cpu, 5, 0x2401, 0)
  assert.equal(takeFault(cpu), undefined)
  services.readDebug.run(cpu, 7)
  assert.deepEqual(takeFault(cpu), [1, -1])
  assert.equal(cpu.state.get32(F.dr, 6) & 0x2000, 0x2000)
})
