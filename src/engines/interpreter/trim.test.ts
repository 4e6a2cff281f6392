/** A guest that decodes more than is kept: what it does not use any more goes, what it uses stays as it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE } from '../../cpu/registers.ts'
import { CS, F, RAX, RCX, SS } from '../../cpu/state.ts'
import { testVcpu } from '../../cpu/test-vcpu.ts'
import { Translator } from '../translator/translator.ts'
import { Interpreter } from './interpreter.ts'

const LOOP = 0x10000
const OTHER = 0x11000
/** Pages full of INC EAX, 4096 to a page: 32 MiB of records. */
const SWEPT = 0x100000
const PAGES = 256
const BOUND = 8 << 20

/** 32-bit code without paging. @param heat how often a block is entered before it is translated; undefined: never */
function guest(heat: number | undefined) {
  const { cpu } = testVcpu(4 << 20)
  const { state, memory } = cpu
  state.set32(F.cr0, CR0_PE)
  for (const segment of [0, SS, 3]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b)
  cpu.rflags = 2
  cpu.updateMode()
  const engine = new Interpreter(cpu)
  const translator = heat === undefined ? undefined : new Translator(engine, heat)
  memory.write(SWEPT, new Uint8Array(PAGES * 4096).fill(0x40))
  memory.write(SWEPT + PAGES * 4096, Uint8Array.of(0xf4))
  // dec ecx; jnz; hlt
  for (const at of [LOOP, OTHER]) memory.write(at, Uint8Array.of(0x49, 0x75, 0xfd, 0xf4))
  const run = (at: number) => {
    cpu.rip = BigInt(at)
    state.set32(F.halted, 0)
    while (engine.run(50_000_000).kind !== 'halt');
  }
  const loop = (at: number, turns: number) => {
    cpu.setRegister(RCX, turns)
    run(at)
    assert.equal(cpu.register(RCX), 0n)
  }
  const sweep = (pages = PAGES) => {
    cpu.setRegister(RAX, 0)
    run(SWEPT + (PAGES - pages) * 4096)
    assert.equal(Number(cpu.register(RAX)), pages * 4096)
  }
  return { cpu, engine, translator, loop, sweep }
}

test('records stay within their bound, whatever is executed', () => {
  const { engine, loop, sweep } = guest(undefined)
  const { blocks } = engine
  const flushes = blocks.flushes
  for (let i = 0; i < 3; i++) {
    loop(LOOP, 10)
    sweep()
    assert.ok(blocks.recordBytes <= BOUND, `${blocks.recordBytes} bytes`)
  }
  assert.ok(blocks.trims >= 8 && blocks.trimmed > 3 * 128)
  assert.equal(blocks.flushes, flushes)
  assert.ok([...blocks.entries()].length < PAGES)
})

test('a block that is used keeps its heat', () => {
  const { engine, translator, loop, sweep } = guest(100_000)
  loop(LOOP, 60_000)
  for (let pages = 0; pages < PAGES; pages += 16) {
    sweep(16)
    loop(LOOP, 10)
  }
  for (let i = 0; i < 3; i++) sweep()
  const decoded = engine.blocks.decodedInstructions
  loop(OTHER, 10)
  assert.equal(engine.blocks.decodedInstructions, decoded + 3)
  assert.equal(translator!.statistics.regions, 0)
})

test('heat goes on where it was when blocks moved', () => {
  const { engine, translator, loop, sweep } = guest(100_000)
  // Something in front of it that goes, so that it moves.
  sweep(16)
  loop(LOOP, 60_000)
  let record = [...engine.blocks.entries()].find(([block]) => block.address === LOOP)![0].record
  const { trims } = engine.blocks
  sweep(70)
  assert.ok(engine.blocks.trims > trims)
  const [block, entered] = [...engine.blocks.entries()].find(([block]) => block.address === LOOP)!
  assert.ok(block.record < record)
  assert.ok(entered > 59_990 && entered <= 60_000)
  record = block.record
  loop(LOOP, 30_000)
  assert.equal(translator!.statistics.regions, 0)
  loop(LOOP, 15_000)
  assert.equal(translator!.statistics.regions, 1)
})

test('regions stay, though the blocks they stand for are not interpreted any more', () => {
  const { cpu, translator, loop, sweep } = guest(1000)
  // Long enough for what waits for others to be compiled.
  for (const turns of [2000, 2_000_000, 10]) for (const at of [LOOP, OTHER]) loop(at, turns)
  const { regions } = translator!.statistics
  assert.ok(regions >= 2)
  for (let i = 0; i < 3; i++) sweep()
  const before = cpu.state.get64(F.translatedInstructions)
  loop(LOOP, 1_000_000)
  loop(OTHER, 1_000_000)
  assert.equal(translator!.statistics.regions, regions)
  assert.equal(translator!.statistics.dropped, 0)
  assert.ok(cpu.state.get64(F.translatedInstructions) - before > 3_900_000n)
})

test('translated code beyond its limit goes, and what is hot is made anew', () => {
  const { engine, translator, loop } = guest(1000)
  const turns = (at: number) => {
    for (let i = 0; i < 3; i++) loop(at, 2_000_000)
  }
  turns(LOOP)
  const { flushes } = engine.blocks
  const { regions } = translator!.statistics
  assert.ok(regions > 0)
  engine.codeLimit = 1
  loop(LOOP, 10)
  assert.ok(engine.blocks.flushes > flushes)
  engine.codeLimit = 64 << 20
  turns(LOOP)
  turns(OTHER)
  assert.ok(translator!.statistics.regions > regions)
  assert.ok(translator!.statistics.dropped >= regions)
})
