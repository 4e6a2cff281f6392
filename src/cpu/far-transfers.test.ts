import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE } from './registers.ts'
import { segmentCheck } from './segment-check.ts'
import { services } from './services/index.ts'
import { CS, DS, ES, F, GDTR, RSP, SS, TR } from './state.ts'
import { poke64, takeFault, testVcpu } from './test-vcpu.ts'
import type { Vcpu } from './vcpu.ts'

/**
 * Flat 32-bit protected mode at a privilege. GDT: 08 code, 10 data, 18 code 3, 20 data 3, 28 conforming code, 30 TSS,
 * 38 call gate with one parameter to 08:12345678 for ring 3, 40 not present data, 48 read-only data 3, 50 expand-down.
 */
function flat(cpl: number): Vcpu {
  const { cpu } = testVcpu()
  const gdt = [
    0n,
    0x00cf9b000000ffffn,
    0x00cf93000000ffffn,
    0x00cffb000000ffffn,
    0x00cff3000000ffffn,
    0x00cf9f000000ffffn,
    0x00008900a0000067n,
    0x1234ec0100085678n,
    0x00cf13000000ffffn,
    0x00cff1000000ffffn,
    0x004097000000000fn,
  ]
  for (const [i, entry] of gdt.entries()) poke64(cpu, 0x8000 + i * 8, entry)
  cpu.state.set32(F.cr0, CR0_PE)
  cpu.setDescriptorTable(GDTR, 0x8000, 0x57)
  cpu.setSegment(TR, 0x30, 0xa000, 0x67, 0x8b)
  cpu.memory.writeNumber(0xa004, 4, 0x20000)
  cpu.memory.writeNumber(0xa008, 4, 0x10)
  const user = cpl === 3
  cpu.setSegment(CS, user ? 0x1b : 8, 0, 0xffffffff, 0xc09b | (cpl << 5))
  for (const index of [SS, DS, ES]) cpu.setSegment(index, user ? 0x23 : 0x10, 0, 0xffffffff, 0xc093 | (cpl << 5))
  cpu.state.set32(F.cpl, cpl)
  cpu.rip = 0x1000n
  cpu.state.set64(F.nextRip, 0x1007n)
  cpu.setRegister(RSP, 0x7000)
  cpu.rflags = 2
  cpu.updateMode()
  return cpu
}

test('a call gate: the inner stack, the parameter, and RET back', () => {
  const cpu = flat(3)
  cpu.memory.writeNumber(0x7000, 4, 0xcafe)
  services.farCall.run(cpu, 0x3b, 0, 0, 4)
  assert.equal(takeFault(cpu), undefined)
  assert.equal(cpu.rip, 0x12345678n)
  assert.equal(cpu.state.get32(F.cpl), 0)
  assert.equal(cpu.state.get32(F.segmentSelector, CS), 8)
  assert.equal(cpu.register(RSP), 0x20000n - 20n)
  const pushed = [0, 1, 2, 3, 4].map(i => cpu.memory.readNumber(0x20000 - 20 + i * 4, 4))
  assert.deepEqual(pushed, [0x1007, 0x1b, 0xcafe, 0x7000, 0x23])
  services.farReturn.run(cpu, 4, 4)
  assert.equal(takeFault(cpu), undefined)
  assert.equal(cpu.rip, 0x1007n)
  assert.equal(cpu.register(RSP), 0x7004n)
  assert.equal(cpu.state.get32(F.cpl), 3)
  assert.equal(cpu.state.get32(F.segmentSelector, SS), 0x23)
})

test('direct transfers: privilege, type, presence', () => {
  const cpu = flat(3)
  services.farJump.run(cpu, 8, 0x10, 0)
  assert.deepEqual(takeFault(cpu), [13, 8])
  services.farJump.run(cpu, 0x2b, 0x10, 0)
  assert.equal(takeFault(cpu), undefined, 'conforming code may be entered from outside')
  assert.equal(cpu.state.get32(F.cpl), 3)
  assert.equal(cpu.state.get32(F.segmentSelector, CS), 0x2b)
  services.farJump.run(cpu, 0x23, 0, 0)
  assert.deepEqual(takeFault(cpu), [13, 0x20])
  services.farJump.run(cpu, 0, 0, 0)
  assert.deepEqual(takeFault(cpu), [13, 0])
  services.farJump.run(cpu, 0x5b, 0, 0)
  assert.deepEqual(takeFault(cpu), [13, 0x58])
})

test('segment registers: what may be loaded', () => {
  const cpu = flat(3)
  const load = (index: number, selector: number) => {
    services.loadSegment.run(cpu, index, selector)
    return takeFault(cpu)
  }
  assert.deepEqual(load(DS, 0x10), [13, 0x10])
  assert.equal(load(DS, 0x4b), undefined)
  assert.deepEqual(load(SS, 0x4b), [13, 0x48])
  assert.deepEqual(load(SS, 0), [13, 0])
  assert.equal(load(ES, 0), undefined)
  segmentCheck(cpu, ES, 0, 1, false)
  assert.deepEqual(takeFault(cpu), [13, 0])
  segmentCheck(cpu, DS, 0xfffffffc | 0, 4, false)
  assert.equal(takeFault(cpu), undefined)
  segmentCheck(cpu, DS, 0, 1, true)
  assert.deepEqual(takeFault(cpu), [13, 0], 'read-only')
  const kernel = flat(0)
  services.loadSegment.run(kernel, DS, 0x40)
  assert.deepEqual(takeFault(kernel), [11, 0x40])
  services.loadSegment.run(kernel, SS, 0x40)
  assert.deepEqual(takeFault(kernel), [12, 0x40])
  services.loadSegment.run(kernel, ES, 0x50)
  assert.equal(takeFault(kernel), undefined)
  segmentCheck(kernel, ES, 0xf, 1, true)
  assert.deepEqual(takeFault(kernel), [13, 0], 'below an expand-down segment')
  segmentCheck(kernel, ES, 0x10, 4, true)
  assert.equal(takeFault(kernel), undefined)
})

test('LAR, LSL, VERR, VERW look without faulting', () => {
  const cpu = flat(3)
  const zero = () => (cpu.rflags >> 6) & 1
  services.loadAccessRights.run(cpu, 0x20)
  assert.equal(zero(), 1)
  assert.equal(cpu.state.get32(F.serviceResult), 0xcff300)
  services.loadSegmentLimit.run(cpu, 0x48)
  assert.equal(cpu.state.get32(F.serviceResult), 0xffffffff)
  services.loadAccessRights.run(cpu, 0x10)
  assert.equal(zero(), 0)
  services.verifyRead.run(cpu, 0x4b)
  assert.equal(zero(), 1)
  services.verifyWrite.run(cpu, 0x4b)
  assert.equal(zero(), 0)
  services.verifyRead.run(cpu, 0xfff8)
  assert.equal(zero(), 0)
  assert.equal(takeFault(cpu), undefined)
})

test('ports: IOPL or the bitmap of the TSS', () => {
  const cpu = flat(3)
  cpu.memory.writeNumber(0xa066, 2, 0x68)
  services.readPort.run(cpu, 0x80, 1)
  assert.deepEqual(takeFault(cpu), [13, 0])
  cpu.setSegment(TR, 0x30, 0xa000, 0x67 + 0x20, 0x8b)
  services.writePort.run(cpu, 0x80, 1, 5)
  assert.equal(takeFault(cpu), undefined)
  cpu.memory.writeNumber(0xa068 + 16, 1, 2)
  services.readPort.run(cpu, 0x80, 1)
  assert.equal(takeFault(cpu), undefined)
  services.readPort.run(cpu, 0x80, 2)
  assert.deepEqual(takeFault(cpu), [13, 0])
  services.readPort.run(cpu, 0x1000, 1)
  assert.deepEqual(takeFault(cpu), [13, 0], 'beyond the limit')
  cpu.rflags = 0x3002
  services.readPort.run(cpu, 0x1000, 1)
  assert.equal(takeFault(cpu), undefined)
})
