import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE, CR0_TS } from './registers.ts'
import { readDescriptor } from './segmentation.ts'
import { CS, DS, ES, F, FS, GDTR, RAX, RDI, SS, TR } from './state.ts'
import { switchTask, TASK_JUMP } from './tasks.ts'
import { poke64, testVcpu } from './test-vcpu.ts'

test('a jump to the task of a 16-bit TSS: words are loaded, the upper halves become ones, FS and GS null', () => {
  const { cpu } = testVcpu()
  // 08 code, 10 data, 18 the busy 32-bit TSS of the old task, 20 an 80286's TSS.
  const gdt = [0n, 0x00cf9b000000ffffn, 0x00cf93000000ffffn, 0x00008b00a0000067n, 0x00008100b000002bn]
  for (const [i, entry] of gdt.entries()) poke64(cpu, 0x8000 + i * 8, entry)
  const { state } = cpu
  state.set32(F.cr0, CR0_PE)
  cpu.setDescriptorTable(GDTR, 0x8000, gdt.length * 8 - 1)
  cpu.setSegment(TR, 0x18, 0xa000, 0x67, 0x8b)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b)
  for (const index of [SS, DS, ES, FS]) cpu.setSegment(index, 0x10, 0, 0xffffffff, 0xc093)
  cpu.rip = 0x1000n
  cpu.rflags = 2
  cpu.setRegister(RAX, 0x12345678)
  // IP, FLAGS, AX … DI, ES, CS, SS, DS, LDT from offset 0eh on.
  const words = [0x4321, 2, 0x1111, 0, 0, 0, 0, 0, 0, 0x7777, 0x10, 8, 0x10, 0x10, 0]
  for (const [i, word] of words.entries()) cpu.memory.writeNumber(0xb00e + i * 2, 2, word)
  readDescriptor(cpu, 0x20)
  switchTask(cpu, 0x20, TASK_JUMP, 0, false)
  assert.equal(cpu.rip, 0x4321n)
  assert.equal(cpu.register(RAX), 0xffff1111n)
  assert.equal(cpu.register(RDI), 0xffff7777n)
  assert.equal(state.get32(F.segmentSelector, FS), 0)
  assert.equal(state.get32(F.segmentSelector, TR), 0x20)
  assert.notEqual(state.get32(F.cr0) & CR0_TS, 0)
  assert.equal(cpu.memory.readNumber(0xa028, 4), 0x12345678, "the old task's EAX is saved")
  assert.equal(cpu.memory.readNumber(0x8018 + 5, 1), 0x89, 'the old TSS is not busy any more')
  assert.equal(cpu.memory.readNumber(0x8020 + 5, 1), 0x83, 'the new one is')
})
