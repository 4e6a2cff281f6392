/** Data beside code in one frame: stores there neither ask TypeScript nor drop code; stores into code do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import { Interpreter } from './interpreter/interpreter.ts'
import { Translator } from './translator/translator.ts'

const CODE = 0x4000

/** In real mode: inc word [data]; add byte [patched], 0 or what CL says; loop. */
function guest(heat: number | undefined) {
  const { cpu } = testVcpu()
  const { memory, state } = cpu
  // mov cx, 2000; again: inc word [4100h]; add ax, 1; add [4009h], dl; dec cx; jnz again; hlt
  const code = [
    0xb9, 0xd0, 0x07, 0xff, 0x06, 0x00, 0x41, 0x83, 0xc0, 0x01, 0x00, 0x16, 0x09, 0x40, 0x49, 0x75, 0xf2, 0xf4,
  ]
  memory.ram.set(code, CODE)
  for (const segment of [0, 1, 2, 3]) cpu.setSegment(segment, 0, 0, 0xffff, 0x93)
  cpu.rip = BigInt(CODE)
  const engine = new Interpreter(cpu)
  if (heat !== undefined) new Translator(engine, heat)
  return { cpu, engine, state, memory }
}

for (const heat of [undefined, 1, 50]) {
  test(`data beside code, and code that is written, heat ${heat}`, () => {
    const { engine, state, memory } = guest(heat)
    state.set64(F.gpr, 0n, 0)
    state.set64(F.gpr, 0n, 2)
    const before = engine.blocks.invalidations
    // Only the store into the immediate meets code; DL is 0, so that the code stays what it is.
    assert.equal(engine.run(1_000_000).kind, 'halt')
    assert.equal(state.get64(F.gpr, 0), 2000n)
    assert.equal(memory.readNumber(0x4100, 2), 2000)
    assert.ok(engine.blocks.invalidations > before)
  })

  test(`the step of a loop grows as it runs, heat ${heat}`, () => {
    const { engine, state, cpu } = guest(heat)
    state.set64(F.gpr, 0n, 0)
    state.set64(F.gpr, 1n, 2)
    assert.equal(engine.run(1_000_000).kind, 'halt')
    // The step is a signed byte: 1, 2, … 127, −128 …
    let sum = 0
    for (let i = 0; i < 2000; i++) sum += ((1 + i) << 24) >> 24
    assert.equal(Number(cpu.state.get64(F.gpr, 0)) & 0xffff, sum & 0xffff)
  })
}

test('stores beside code drop nothing', () => {
  const { engine, memory, state } = guest(undefined)
  // Without the store into the code: nop in its place.
  memory.ram.set([0x90, 0x90, 0x90, 0x90], CODE + 10)
  state.set64(F.gpr, 0n, 0)
  assert.equal(engine.run(1_000_000).kind, 'halt')
  assert.equal(memory.readNumber(0x4100, 2), 2000)
  assert.equal(engine.blocks.invalidations, 0)
  assert.ok(engine.blocks.decodedInstructions < 20)
})
