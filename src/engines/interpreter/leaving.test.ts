/** Where execution goes on after instructions that leave their block, and after code was replaced. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CS, DS, ES, F, SS } from '../../cpu/state.ts'
import { testVcpu } from '../../cpu/test-vcpu.ts'
import { Interpreter } from './interpreter.ts'

/** A processor in real mode with code at 0:1000h. */
function realMode(...code: number[]) {
  const { cpu } = testVcpu()
  cpu.setSegment(CS, 0, 0, 0xffff, 0x93)
  cpu.memory.write(0x1000, Uint8Array.from(code))
  cpu.rip = 0x1000n
  cpu.rflags = 2
  cpu.updateMode()
  return { cpu, engine: new Interpreter(cpu) }
}

test('INTO that does not trap goes on behind itself, in the middle of a block', () => {
  // nop, into, hlt
  const { cpu, engine } = realMode(0x90, 0xce, 0xf4)
  assert.equal(engine.run(10).kind, 'halt')
  assert.equal(cpu.rip, 0x1003n)
})

test('CLI in protected mode, where it may need a service, goes on behind itself', () => {
  // nop, cli, hlt
  const { cpu, engine } = realMode(0x90, 0xfa, 0xf4)
  cpu.state.set32(F.cr0, 0x11)
  for (const segment of [SS, DS, ES]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b)
  cpu.rflags = 0x202
  cpu.updateMode()
  assert.equal(engine.run(10).kind, 'halt')
  assert.equal(cpu.rip, 0x1003n)
  assert.equal(cpu.rflags & 0x200, 0)
})

test('a far jump to its own offset in another segment', () => {
  // jmp 0100h:1000h; hlt is there
  const { cpu, engine } = realMode(0xea, 0x00, 0x10, 0x00, 0x01)
  cpu.memory.write(0x2000, Uint8Array.of(0xf4))
  assert.equal(engine.run(10).kind, 'halt')
  assert.equal(cpu.state.get32(F.segmentSelector, CS), 0x100)
  assert.equal(cpu.rip, 0x1001n)
})

test('what was no instruction is decoded anew once it was written', () => {
  // lock nop, hlt; the handler at 0:2000h is hlt
  const { cpu, engine } = realMode(0xf0, 0x90, 0xf4)
  cpu.memory.write(6 * 4, Uint8Array.of(0x00, 0x20))
  cpu.memory.write(0x2000, Uint8Array.of(0xf4))
  assert.equal(engine.run(10).kind, 'halt')
  assert.equal(cpu.rip, 0x2001n)
  cpu.memory.write(0x1000, Uint8Array.of(0x90))
  cpu.state.set32(F.halted, 0)
  cpu.rip = 0x1000n
  assert.equal(engine.run(10).kind, 'halt')
  assert.equal(cpu.rip, 0x1003n)
})
