/** Regions that one run leaves to the next, against the interpreter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../../cpu/state.ts'
import { enterLongMode, poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import { flushTlb } from '../../cpu/translation.ts'
import { FIRST_REGION, Interpreter } from '../interpreter/interpreter.ts'
import { MemoryStore } from '../test-store.ts'
import { KeptRegions } from './kept-regions.ts'
import { readSegment, writeSegment } from './kept-segment.ts'
import { Translator } from './translator.ts'

/** Linear addresses of two pages of code, one after the other. */
const CODE = 0x400000
/** Where page tables have the entries of those. */
const ENTRIES = 0x4000
const STACK = 0x9000
const HEAT = 20

const bytes32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24]

/**
 * A loop whose end is in the second page, where a function lies too:
 * add eax, 3; xor ebx, eax; call f; rol ebx, 5; dec ecx; jnz; mov ecx, 100; jmp. f: add edx, ebx; ret
 */
function program(): Uint8Array {
  const code = new Uint8Array(8192).fill(0xf4)
  const start = 4096 - 12
  const f = 4096 + 64
  const loop = [0x83, 0xc0, 3, 0x31, 0xc3, 0xe8, ...bytes32(f - (start + 10)), 0xc1, 0xc3, 5, 0xff, 0xc9]
  loop.push(0x75, 256 - (loop.length + 2), 0xb9, 100, 0, 0, 0)
  loop.push(0xe9, ...bytes32(-(loop.length + 5)))
  code.set(loop, start)
  code.set([0x01, 0xda, 0xc3], f)
  return code
}

interface Options {
  store?: MemoryStore
  /** Guest-physical addresses of the two pages. */
  at?: readonly [number, number]
  code?: Uint8Array
}

function machine({ store, at = [0x10000, 0x11000], code = program() }: Options) {
  const { cpu } = testVcpu()
  const map = (pages: readonly number[]) => {
    for (const [i, page] of pages.entries()) poke64(cpu, ENTRIES + i * 8, BigInt(page | 3))
  }
  enterLongMode(cpu)
  poke64(cpu, 0x3000 + 16, BigInt(ENTRIES | 3))
  map(at)
  const { state, memory } = cpu
  for (const [i, page] of at.entries()) memory.write(page, code.subarray(i * 4096, i * 4096 + 4096))
  cpu.rip = BigInt(CODE + 4096 - 12)
  cpu.setRegister(1, 7n)
  cpu.setRegister(4, BigInt(STACK))
  const engine = new Interpreter(cpu)
  const kept = store && new KeptRegions(store, 'guest', engine.library, engine.table, memory, FIRST_REGION)
  const translator = kept && new Translator(engine, HEAT, kept)
  const run = (slices: number) => {
    const seen: unknown[] = []
    for (let slice = 0; slice < slices; slice++) {
      assert.deepEqual(engine.run(1 + ((slice * 7919) % 500)), { kind: 'budget' })
      seen.push([cpu.rip, ...[0, 1, 2, 3, 4].map(n => state.get64(F.gpr, n)), cpu.rflags])
    }
    return seen
  }
  return { cpu, memory, map, kept, run, statistics: translator?.statistics, translator, engine }
}

function warmUp(...machines: ReturnType<typeof machine>[]): void {
  for (const { engine } of machines) for (let i = 0; i < 4; i++) engine.run(200_000)
}

/** A store with what a run has left. */
function left(): MemoryStore {
  const store = new MemoryStore()
  const first = machine({ store })
  // Regions wait so long for each other until they are compiled.
  warmUp(first)
  assert.ok(first.statistics!.regions > 0)
  first.kept!.save(1)
  assert.equal(store.kept.size, 1)
  return store
}

test('a later run has the regions of an earlier one and makes none', () => {
  const store = left()
  const second = machine({ store })
  const plain = machine({})
  warmUp(second, plain)
  assert.equal(second.statistics!.regions, 0)
  assert.ok(second.statistics!.keptRegions > 0)
  const share = Number(second.cpu.state.get64(F.translatedInstructions)) / second.engine.instructions
  assert.ok(share > 0.99, `${share} of the instructions were translated`)
  assert.deepEqual(second.run(300), plain.run(300))
})

test('pages may lie elsewhere, apart, and move while the guest runs', () => {
  const store = left()
  const at = [0x30000, 0x15000] as const
  const second = machine({ store, at })
  const plain = machine({ at })
  assert.deepEqual(second.run(100), plain.run(100))
  const { keptRegions } = second.statistics!
  assert.ok(keptRegions > 0)
  // The second page is another now, with another function and another number in the instruction that ends there.
  for (const { memory, map, cpu } of [second, plain]) {
    const other = program().subarray(4096)
    other.set([0x29, 0xda, 0xc3], 64)
    other[0] = 7
    memory.write(0x50000, other)
    map([at[0], 0x50000])
    flushTlb(cpu, false)
  }
  assert.deepEqual(second.run(100), plain.run(100))
  for (const { map, cpu } of [second, plain]) {
    map(at)
    flushTlb(cpu, false)
  }
  assert.deepEqual(second.run(100), plain.run(100))
})

test('code that differs in one byte is not taken for what it was', () => {
  const store = left()
  const code = program()
  // add eax, 4
  code[4096 - 12 + 2] = 4
  const second = machine({ store, code })
  assert.deepEqual(second.run(200), machine({ code }).run(200))
  assert.ok(second.statistics!.regions > 0)
})

test('a region whose code is written goes, and is there again with its bytes', () => {
  const store = left()
  const second = machine({ store })
  const plain = machine({})
  const poke = (value: number) => {
    for (const { memory } of [second, plain]) memory.write(0x10000 + 4096 - 12 + 2, Uint8Array.of(value))
  }
  for (let turn = 0; turn < 6; turn++) {
    poke(3 + (turn & 1))
    assert.deepEqual(second.run(60), plain.run(60), `turn ${turn}`)
  }
  assert.ok(second.kept!.statistics.found > second.kept!.end - FIRST_REGION, 'some were found more than once')
})

test('larger regions take the place of those of earlier runs, and are kept in their turn', () => {
  const store = left()
  const second = machine({ store })
  const plain = machine({})
  for (let i = 0; i < 20; i++) warmUp(second, plain)
  assert.ok(second.statistics!.regions > 0)
  second.kept!.save(1)
  assert.equal(store.kept.size, 2)
  const third = machine({ store })
  warmUp(third)
  assert.equal(third.statistics!.regions, 0)
  for (let i = 0; i < 19; i++) warmUp(third)
  const seen = plain.run(300)
  assert.deepEqual(second.run(300), seen)
  assert.deepEqual(third.run(300), seen)
})

test('a file that is not whole is not used', () => {
  const store = left()
  const [name, bytes] = [...store.kept][0]
  const segment = readSegment(bytes)
  assert.ok(segment)
  const descriptions = Array.from({ length: segment.count }, (_, i) => segment.describe(i))
  assert.deepEqual(writeSegment(segment.first, descriptions, segment.dead, segment.code), bytes)
  for (const length of [0, 3, 19, 40, bytes.length - 1]) assert.equal(readSegment(bytes.slice(0, length)), undefined)
  store.kept.set(name, bytes.slice(0, 100))
  const second = machine({ store })
  assert.deepEqual(second.run(50), machine({}).run(50))
  assert.equal(second.statistics!.keptRegions, 0)
})
