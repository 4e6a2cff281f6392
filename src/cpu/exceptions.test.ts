import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deliver, KIND_EXCEPTION, KIND_EXTERNAL } from './exceptions.ts'
import { interruptReturn } from './iret.ts'
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from './registers.ts'
import { CS, DS, F, GDTR, IDTR, RSP, SS, TR, VM } from './state.ts'
import { peek64, poke64, testVcpu } from './test-vcpu.ts'
import type { Vcpu } from './vcpu.ts'

/** Identity-mapped long mode in ring 3; GDT 0x8000: 08 code64, 10 data, 1b data3, 23 code64-3; IDT 0x9000; TSS 0xa000. */
function longUser(): Vcpu {
  const { cpu } = testVcpu()
  poke64(cpu, 0x1000, 0x2007n)
  poke64(cpu, 0x2000, 0x3007n)
  poke64(cpu, 0x3000, 0x87n)
  const gdt = [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cff3000000ffffn, 0x00affb000000ffffn]
  for (const [i, entry] of gdt.entries()) poke64(cpu, 0x8000 + i * 8, entry)
  const { state } = cpu
  state.set32(F.cr0, CR0_PE | CR0_PG)
  state.set32(F.cr3, 0x1000)
  state.set32(F.cr4, CR4_PAE)
  state.set32(F.efer, EFER_LME | EFER_LMA)
  cpu.setDescriptorTable(GDTR, 0x8000, 39)
  cpu.setDescriptorTable(IDTR, 0x9000, 0xfff)
  cpu.setSegment(TR, 0x28, 0xa000, 0x67, 0x8b)
  poke64(cpu, 0xa004, 0x20000n)
  poke64(cpu, 0xa024, 0x30000n)
  cpu.setSegment(CS, 0x23, 0, 0xffffffff, 0xa0fb)
  cpu.setSegment(SS, 0x1b, 0, 0xffffffff, 0xc0f3)
  state.set32(F.cpl, 3)
  cpu.rip = 0x123456n
  cpu.setRegister(RSP, 0x7ff8)
  cpu.rflags = 0x202
  cpu.updateMode()
  return cpu
}

function gate64(cpu: Vcpu, vector: number, target: number, type: number, ist = 0, selector = 8): void {
  poke64(
    cpu,
    0x9000 + vector * 16,
    BigInt(target & 0xffff) |
      (BigInt(selector) << 16n) |
      (BigInt(ist) << 32n) |
      (BigInt(type) << 40n) |
      (BigInt(target >>> 16) << 48n),
  )
  poke64(cpu, 0x9000 + vector * 16 + 8, 0n)
}

test('long mode: a page fault from user code and back', () => {
  const cpu = longUser()
  gate64(cpu, 14, 0x45678, 0x8e)
  deliver(cpu, 14, 6, KIND_EXCEPTION)
  assert.equal(cpu.shutdown, undefined)
  assert.equal(cpu.rip, 0x45678n)
  assert.equal(cpu.register(RSP), 0x20000n - 48n)
  const frame = [0, 1, 2, 3, 4, 5].map(i => peek64(cpu, 0x20000 - 48 + i * 8))
  assert.deepEqual(frame, [6n, 0x123456n, 0x23n, 0x10202n, 0x7ff8n, 0x1bn])
  assert.equal(cpu.state.get32(F.cpl), 0)
  assert.equal(cpu.state.get32(F.segmentSelector, SS), 0)
  assert.equal(cpu.state.get32(F.segmentSelector, CS), 8)
  assert.equal(cpu.rflags & 0x10200, 0)
  cpu.setRegister(RSP, 0x20000n - 40n)
  interruptReturn(cpu, 8)
  assert.equal(cpu.rip, 0x123456n)
  assert.equal(cpu.register(RSP), 0x7ff8n)
  assert.equal(cpu.state.get32(F.cpl), 3)
  assert.equal(cpu.rflags, 0x202)
  assert.equal(cpu.state.get32(F.segmentSelector, SS), 0x1b)
  assert.equal(cpu.state.get32(F.segmentAttributes, SS), 0xc0f3)
})

test('long mode: IST, interrupts keep no error code, a stack across pages', () => {
  const cpu = longUser()
  gate64(cpu, 0x20, 0x1000, 0x8f, 1)
  poke64(cpu, 0xa024, 0x30010n)
  deliver(cpu, 0x20, -1, KIND_EXTERNAL)
  assert.equal(cpu.register(RSP), 0x30010n - 40n)
  assert.equal(peek64(cpu, 0x30008), 0x1bn)
  assert.equal(peek64(cpu, 0x30010 - 40), 0x123456n)
  assert.equal(cpu.rflags & 0x200, 0x200, 'a trap gate leaves IF')
})

test('double and triple faults', () => {
  const cpu = longUser()
  gate64(cpu, 8, 0x2000, 0x8e)
  gate64(cpu, 14, 0x1000, 0x0e) // not present: #NP during #PF
  deliver(cpu, 14, 0, KIND_EXCEPTION)
  assert.equal(cpu.rip, 0x2000n)
  assert.equal(peek64(cpu, Number(cpu.register(RSP))), 0n)
  const second = longUser()
  gate64(second, 8, 0x2000, 0x0e)
  deliver(second, 13, 0, KIND_EXCEPTION)
  assert.match(second.shutdown ?? '', /while the double fault/)
})

/** Flat 32-bit ring 3 with gates at 0x9000. */
function protectedUser(): Vcpu {
  const { cpu } = testVcpu()
  const gdt = [
    0n,
    0x00cf9b000000ffffn,
    0x00cf93000000ffffn,
    0x00cffb000000ffffn,
    0x00cff3000000ffffn,
    0x00008900a0000067n,
  ]
  for (const [i, entry] of gdt.entries()) poke64(cpu, 0x8000 + i * 8, entry)
  const { state } = cpu
  state.set32(F.cr0, CR0_PE)
  cpu.setDescriptorTable(GDTR, 0x8000, 47)
  cpu.setDescriptorTable(IDTR, 0x9000, 0x7ff)
  cpu.setSegment(TR, 0x28, 0xa000, 0x67, 0x8b)
  cpu.memory.writeNumber(0xa004, 4, 0x20000)
  cpu.memory.writeNumber(0xa008, 4, 0x10)
  cpu.setSegment(CS, 0x1b, 0, 0xffffffff, 0xc0fb)
  cpu.setSegment(SS, 0x23, 0, 0xffffffff, 0xc0f3)
  cpu.setSegment(DS, 0x23, 0, 0xffffffff, 0xc0f3)
  state.set32(F.cpl, 3)
  cpu.rip = 0x1234n
  cpu.setRegister(RSP, 0x7ffc)
  cpu.rflags = 0x202
  cpu.updateMode()
  return cpu
}

test('protected mode: #GP from user code and back', () => {
  const cpu = protectedUser()
  poke64(cpu, 0x9000 + 13 * 8, 0x00048e0000085678n)
  deliver(cpu, 13, 0x18, KIND_EXCEPTION)
  assert.equal(cpu.rip, 0x45678n)
  assert.equal(cpu.register(RSP), 0x20000n - 24n)
  const frame = [0, 1, 2, 3, 4, 5].map(i => cpu.memory.readNumber(0x20000 - 24 + i * 4, 4))
  assert.deepEqual(frame, [0x18, 0x1234, 0x1b, 0x10202, 0x7ffc, 0x23])
  cpu.setRegister(RSP, 0x20000 - 20)
  interruptReturn(cpu, 4)
  assert.equal(cpu.rip, 0x1234n)
  assert.equal(cpu.state.get32(F.cpl), 3)
  assert.equal(cpu.register(RSP), 0x7ffcn)
})

test('virtual-8086 mode: into ring 0 and back by IRETD', () => {
  const cpu = protectedUser()
  for (let i = 0; i < 6; i++) cpu.setSegment(i, 0x100 + i, (0x100 + i) << 4, 0xffff, 0xf3)
  cpu.rflags = 0x202 | VM
  cpu.updateMode()
  poke64(cpu, 0x9000 + 13 * 8, 0x00048e0000085678n)
  deliver(cpu, 13, 0, KIND_EXCEPTION)
  assert.equal(cpu.rflags & VM, 0)
  const frame = [...Array(10).keys()].map(i => cpu.memory.readNumber(0x20000 - 40 + i * 4, 4))
  assert.deepEqual(frame, [0, 0x1234, 0x101, 0x30202, 0x7ffc, 0x102, 0x100, 0x103, 0x104, 0x105])
  assert.equal(cpu.state.get32(F.segmentSelector, DS), 0)
  cpu.setRegister(RSP, 0x20000 - 36)
  interruptReturn(cpu, 4)
  assert.equal(cpu.rflags & VM, VM)
  assert.equal(cpu.state.get32(F.segmentBase, DS), 0x1030)
  assert.equal(cpu.state.get32(F.cpl), 3)
})

test('a task gate switches tasks, IRET goes back', () => {
  const cpu = protectedUser()
  cpu.memory.writeNumber(0x802d, 1, 0x8b)
  poke64(cpu, 0x8030, 0x00008900b0000067n)
  cpu.setDescriptorTable(GDTR, 0x8000, 55)
  const tss: [number, number][] = [
    [0x20, 0x5000],
    [0x24, 2],
    [0x38, 0x6000],
    [0x48, 0x10],
    [0x4c, 8],
    [0x50, 0x10],
    [0x54, 0x10],
  ] // prettier-ignore
  for (const [offset, value] of tss) cpu.memory.writeNumber(0xb000 + offset, 4, value)
  poke64(cpu, 0x9000 + 8 * 8, 0x0000850000300000n)
  deliver(cpu, 8, 0, KIND_EXCEPTION)
  assert.equal(cpu.shutdown, undefined)
  assert.equal(cpu.rip, 0x5000n)
  assert.equal(cpu.state.get32(F.cpl), 0)
  assert.equal(cpu.state.get32(F.segmentSelector, TR), 0x30)
  assert.equal(cpu.rflags & 0x4000, 0x4000)
  assert.equal(cpu.memory.readNumber(0xb000, 2), 0x28)
  assert.equal(cpu.memory.readNumber(0xa020, 4), 0x1234)
  assert.equal(cpu.register(RSP), 0x5ffcn)
  cpu.state.set64(F.nextRip, 0x5002n)
  interruptReturn(cpu, 4)
  assert.equal(cpu.rip, 0x1234n)
  assert.equal(cpu.state.get32(F.cpl), 3)
  assert.equal(cpu.state.get32(F.segmentSelector, TR), 0x28)
  assert.equal(cpu.memory.readNumber(0xb020, 4), 0x5002)
  assert.equal(cpu.memory.readNumber(0x8035, 1), 0x89)
})

test('real mode: the vector table, and IRET', () => {
  const { cpu } = testVcpu()
  cpu.setSegment(CS, 0x100, 0x1000, 0xffff, 0x93)
  cpu.rip = 0x10n
  cpu.setRegister(RSP, 0x800)
  cpu.rflags = 0x202
  cpu.memory.writeNumber(8 * 4, 4, 0x02000030)
  deliver(cpu, 8, -1, KIND_EXTERNAL)
  assert.equal(cpu.rip, 0x30n)
  assert.equal(cpu.state.get32(F.segmentBase, CS), 0x2000)
  assert.equal(cpu.memory.readNumber(0x7fa, 2), 0x10)
  interruptReturn(cpu, 2)
  assert.equal(cpu.rip, 0x10n)
  assert.equal(cpu.register(RSP), 0x800n)
  assert.equal(cpu.rflags, 0x202)
})
