/** Guests that execute nothing and yet never come to an end: a run must end all the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SHADOW_MOV_SS } from '../../cpu/events.ts'
import { F, GDTR, IDTR, RBX, RCX, RDI, RSP, TR } from '../../cpu/state.ts'
import { enterLongMode, poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import { MOST_DEVICE_ACCESSES } from '../../cpu/vcpu.ts'
import { Interpreter } from './interpreter.ts'

const IDT = 0x9000
const UNMAPPED = 0x40000000

/** Long mode, the first 2 MiB mapped; every exception's gate leads to `handler` with a stack of its own. */
function longMode(handler: number, vectors: readonly number[]) {
  const { cpu, machine } = testVcpu()
  enterLongMode(cpu)
  poke64(cpu, 0x8008, 0x00af9b000000ffffn)
  cpu.setDescriptorTable(GDTR, 0x8000, 15)
  cpu.setDescriptorTable(IDTR, IDT, 0xfff)
  cpu.setSegment(TR, 0x28, 0xa000, 0x67, 0x8b)
  poke64(cpu, 0xa024, 0x30000n)
  const target = BigInt(handler)
  for (const vector of vectors) {
    // A trap gate, so that IF stays, and the first stack of the interrupt stack table.
    const low = (target & 0xffffn) | (8n << 16n) | (1n << 32n) | (0x8fn << 40n) | (((target >> 16n) & 0xffffn) << 48n)
    poke64(cpu, IDT + vector * 16, low)
    poke64(cpu, IDT + vector * 16 + 8, target >> 32n)
  }
  cpu.setRegister(RSP, 0x20000)
  cpu.rip = 0x10000n
  cpu.rflags = 0x202
  return { cpu, machine, engine: new Interpreter(cpu) }
}

test('a page-fault handler that is not mapped faults for as long as the budget lasts', () => {
  const { cpu, engine } = longMode(UNMAPPED, [14])
  cpu.rip = BigInt(UNMAPPED)
  assert.deepEqual(engine.run(500), { kind: 'budget' })
  assert.equal(cpu.instructions, 500)
  assert.equal(cpu.rip, BigInt(UNMAPPED))
})

test('a breakpoint on the first instruction of its own handler', () => {
  const { cpu, engine } = longMode(0x10000, [1])
  cpu.state.set64(F.dr, 0x10000n, 0)
  cpu.state.set32(F.dr, 0x402, 7)
  cpu.updateMode()
  assert.deepEqual(engine.run(500), { kind: 'budget' })
  assert.equal(cpu.instructions, 500)
})

test('an interrupt that acknowledges itself and is offered again at once', () => {
  const { cpu, machine, engine } = longMode(0x10000, [0x40])
  machine.acknowledgeInterrupt = () => 0x40
  cpu.setInterruptRequest(true)
  assert.deepEqual(engine.run(500), { kind: 'budget' })
  assert.equal(cpu.shutdown, undefined)
})

test('a long budget ends early for a guest that does nothing but fault', () => {
  const { cpu, engine } = longMode(UNMAPPED, [14])
  cpu.rip = BigInt(UNMAPPED)
  assert.deepEqual(engine.run(10_000_000), { kind: 'budget' })
  assert.ok(cpu.instructions < 100_000)
})

test('a run ends after some thousand accesses to where no RAM is, in the middle of a REP', () => {
  for (const restarted of [1, 2]) {
    const { cpu, machine, engine } = longMode(0, [])
    // The second 2 MiB of linear addresses are physical ones beyond the RAM.
    poke64(cpu, 0x3008, 0x40000083n)
    cpu.memory.write(0x10000, Uint8Array.from([0xf3, 0xab])) // rep stosd
    cpu.setRegister(RCX, 0x10000)
    cpu.setRegister(RDI, 0x200000)
    for (let run = 1; run <= restarted; run++) assert.deepEqual(engine.run(1_000_000), { kind: 'budget' })
    const done = 0x10000 - Number(cpu.register(RCX))
    assert.equal(done, restarted * MOST_DEVICE_ACCESSES)
    assert.equal(machine.writes.length, done)
    assert.equal(cpu.register(RDI), BigInt(0x200000 + 4 * done))
    assert.equal(cpu.rip, 0x10000n)
  }
})

test('no instruction breakpoint behind MOV SS', () => {
  const { cpu } = longMode(0x20000, [1])
  cpu.state.set64(F.dr, 0x10000n, 0)
  cpu.state.set32(F.dr, 0x402, 7)
  cpu.state.set32(F.interruptShadow, SHADOW_MOV_SS)
  assert.equal(cpu.instructionBreakpoint(), false)
  cpu.state.set32(F.interruptShadow, 0)
  assert.equal(cpu.instructionBreakpoint(), true)
  assert.equal(cpu.rip, 0x20000n)
})

test('a guest with more kinds of instructions than handlers are kept for goes on', () => {
  const { cpu, engine } = longMode(0, [])
  // bswap, cbw, cwd and lahf in several sizes, each in a block of its own: jmp to the next instruction.
  const kinds = [[0x0f, 0xc8], [0x48, 0x0f, 0xc8], [0x98], [0x66, 0x98], [0x48, 0x98], [0x99], [0x66, 0x99], [0x9f]]
  const code = kinds.flatMap(bytes => [...bytes, 0xeb, 0])
  const inc = [0xff, 0xc3]
  const back = 256 - (inc.length + code.length + 2)
  cpu.memory.write(0x10000, Uint8Array.from([...inc, ...code, 0xeb, back]))
  const before = engine.statistics.handlers
  engine.handlerLimit = engine.usages.length + 4
  assert.deepEqual(engine.run((kinds.length * 2 + 2) * 50), { kind: 'budget' })
  assert.equal(cpu.register(RBX), 50n)
  assert.ok(engine.statistics.handlers - before > 2 * kinds.length, 'handlers were dropped and made again')
})
