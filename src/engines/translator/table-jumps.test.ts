/** Loops around jumps through tables, whose regions are entered at every target, against the interpreter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../../cpu/state.ts'
import { enterLongMode, poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import type { Block } from '../interpreter/blocks.ts'
import { Interpreter } from '../interpreter/interpreter.ts'
import { Translator } from './translator.ts'

const CODE = 0x10000
const TABLE = 0x20000
const CASES = 12

const bytes32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24]

/** Bytes with places of jumps that are filled in later. */
class Program {
  readonly code: number[] = []
  private readonly start: number
  constructor(start: number) {
    this.start = start
  }
  get here(): number {
    return this.start + this.code.length
  }
  put(...bytes: number[]): void {
    this.code.push(...bytes)
  }
  jumpTo(target: number): void {
    this.put(0xe9, ...bytes32(target - (this.here + 5)))
  }
}

/**
 * for (;;) { eax = eax * 1664525 + 1013904223; switch (eax >>> 28) … }, where some cases have loops of their own, some go to others'
 * midst, and some jump through the table again.
 */
function program(start: number): { code: number[]; targets: number[] } {
  const p = new Program(start)
  // mov ebx, 1; mov esi, 0
  p.put(0xbb, 1, 0, 0, 0, 0xbe, 0, 0, 0, 0)
  const top = p.here
  // imul eax, eax, 1664525; add eax, 1013904223; mov edx, eax; shr edx, 28
  p.put(0x69, 0xc0, ...bytes32(1664525), 0x05, ...bytes32(1013904223), 0x89, 0xc2, 0xc1, 0xea, 28)
  const jump = p.here
  // jmp [rdx * 8 + TABLE]
  p.put(0xff, 0x24, 0xd5, ...bytes32(TABLE))
  const targets: number[] = []
  for (let n = 0; n < CASES; n++) {
    targets.push(p.here)
    // add ebx, edx; rol ebx, n + 1; adc esi, n
    p.put(0x01, 0xd3, 0xc1, 0xc3, n + 1, 0x83, 0xd6, n)
    if (n % 3 === 1) {
      // mov ecx, 16 + n; xor ebx, ecx; add esi, ebx; shr ecx, 1; jnz back
      p.put(0xb9, 16 + n, 0, 0, 0)
      if (n % 2) targets.push(p.here)
      p.put(0x31, 0xcb, 0x01, 0xde, 0xd1, 0xe9, 0x75, 0xf8)
    }
    if (n % 4 === 2) {
      // Half of the time: and edx, 7 … and through the table once more. test ebx, 1; jz +6; dec edx; and edx, 7; jmp
      p.put(0xf6, 0xc3, 1, 0x74, 10, 0xff, 0xca, 0x83, 0xe2, 7)
      p.jumpTo(jump)
    }
    p.jumpTo(top)
  }
  return { code: p.code, targets }
}

function machine(heat: number | undefined, start = CODE) {
  const { cpu } = testVcpu()
  enterLongMode(cpu)
  const { memory } = cpu
  const { code, targets } = program(start)
  memory.ram.set(code, start)
  for (let i = 0; i < 16; i++) poke64(cpu, TABLE + i * 8, BigInt(targets[i % targets.length]))
  cpu.rip = BigInt(start)
  const engine = new Interpreter(cpu)
  return { cpu, engine, translator: heat === undefined ? undefined : new Translator(engine, heat) }
}

/** Executes the program by both engines in slices that end anywhere. */
function compare(start: number): void {
  const plain = machine(undefined, start)
  const translated = machine(20, start)
  let seed = 5
  const registers = ({ cpu }: typeof plain) => [
    cpu.rip,
    ...[0, 1, 2, 3, 6].map(n => cpu.state.get64(F.gpr, n)),
    cpu.rflags,
  ]
  for (let slice = 0; slice < 3000; slice++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    // Short ones end anywhere; long ones let regions be made.
    const budget = slice % 10 === 9 ? 20_000 : 1 + (seed >>> 24)
    for (const { engine } of [plain, translated]) assert.deepEqual(engine.run(budget), { kind: 'budget' })
    assert.deepEqual(registers(translated), registers(plain), `slice ${slice}`)
  }
  const { otherEntries } = translated.translator!.statistics
  const { instructions } = translated.engine
  const share = translated.cpu.state.get64(F.translatedInstructions)
  assert.ok(Number(share) > instructions * 0.9, `${share} of ${instructions} instructions were translated`)
  assert.ok(otherEntries >= 4, `regions are entered at ${otherEntries} blocks besides their first`)
}

test('a loop around a jump through a table, left and entered anywhere', () => compare(CODE))

test('such a loop that lies in two pages', () => compare(CODE + 4096 - 150))

test('a region that can be entered at fewer places than the one before it leaves no jumps to those behind', () => {
  const { cpu, engine, translator } = machine(20)
  for (let slice = 0; slice < 50; slice++) engine.run(20_000)
  const inside = translator as unknown as {
    byIndex: Map<number, { block: Block; entries: number[]; installed: boolean }>
  }
  const region = [...inside.byIndex.values()].find(({ entries, installed }) => installed && entries.length > 0)!
  // Another block's by now, but known to jumps.
  region.entries = [...region.entries, (region.block.address + 4000) | 0]
  const epoch = () => cpu.state.get32(F.epoch)
  const before = epoch()
  type Replaced = Parameters<Translator['translate']>[1]
  translator!.translate(region.block, region as unknown as Replaced)
  for (let slice = 0; slice < 50; slice++) engine.run(20_000)
  assert.notEqual(epoch(), before)
})

test('a region is listed at its own address, wherever in its page the processor is', () => {
  const { cpu, engine, translator } = machine(20)
  for (let slice = 0; slice < 50; slice++) engine.run(20_000)
  const inside = translator as unknown as { byIndex: Map<number, { block: Block }> }
  const { ram } = cpu.memory
  translator!.onTranslated = ({ address, listing }) => {
    const at = Number(address)
    const bytes = Array.from(ram.subarray(at, at + 2), byte => byte.toString(16).padStart(2, '0')).join('')
    assert.ok(
      listing.some(line => line.startsWith(`${at.toString(16)}: ${bytes}`)),
      listing.join('\n'),
    )
    listed.push(at)
  }
  const listed: number[] = []
  const entries = [...inside.byIndex.values()].map(({ block }) => block)
  for (const block of entries) translator!.translate(block)
  assert.deepEqual(
    listed,
    entries.map(({ address }) => CODE + (address & 0xfff)),
  )
  assert.ok(listed.some(address => address !== Number(cpu.rip)))
})
