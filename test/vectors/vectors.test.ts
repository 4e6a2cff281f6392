/** Instructions captured from an 8086 and an 80286 against ours, and the runner's own honesty. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { exclusionOf } from './exclusions.ts'
import { parseInstruction } from './instruction.ts'
import { AX, CS, CX, DS, FLAGS, IP, REGISTER_NAMES, readVectors, SP, SS, type VectorTest } from './moo.ts'
import { failureText } from './report.ts'
import { type Failure, VectorRunner } from './runner.ts'

/** The captured tests lie beside the project; they are no part of it. */
const COLLECTION = new URL('../../../shared/vectors', import.meta.url).pathname
const MISSING = 'THE CAPTURED VECTORS ARE MISSING (../shared/vectors): nothing was compared with an 8086 and an 80286'

interface Change {
  registers?: readonly [register: number, value: number][]
  ram?: readonly [address: number, value: number][]
}

const ram = (bytes: readonly [address: number, value: number][]) => ({
  addresses: Uint32Array.from(bytes, ([address]) => address),
  values: Uint8Array.from(bytes, ([, value]) => value),
})

/** A test as of the 80286's files: code at 1000:0020, the stack at 3000:0100. */
function vector(name: string, bytes: number[], before: Change, after: Change): VectorTest {
  const initial = new Uint16Array(14)
  initial.set([0x1000, 0x3000, 0x2000], CS)
  initial[SP] = 0x100
  initial[IP] = 0x20
  initial[FLAGS] = 2
  for (const [register, value] of before.registers ?? []) initial[register] = value
  const final = initial.slice()
  final[IP] += bytes.length
  for (const [register, value] of after.registers ?? []) final[register] = value
  const code = bytes.map((byte, i): [number, number] => [0x10020 + i, byte])
  return {
    index: 0,
    name,
    bytes: Uint8Array.from(bytes),
    initial,
    final,
    initialRam: ram([...code, ...(before.ram ?? [])]),
    finalRam: ram(after.ram ?? []),
    exception: undefined,
  }
}

/** INC word [0010h]; HLT: 00FFh becomes 0100h, AF and PF. */
const incrementMemory = (change: Change = {}): VectorTest => {
  const before: [number, number][] = [
    [0x20010, 0xff],
    [0x20011, 0x00],
  ]
  return vector(
    'inc word [0010h]',
    [0xff, 0x06, 0x10, 0x00, 0xf4],
    { registers: [[AX, 5]], ram: before },
    {
      registers: [[FLAGS, 0x16], ...(change.registers ?? [])],
      ram: change.ram ?? [
        [0x20010, 0x00],
        [0x20011, 0x01],
      ],
    },
  )
}

function failuresOf(captured: VectorTest, engine: 'interpreter' | 'translator' = 'interpreter'): Failure[] {
  const failures: Failure[] = []
  const runner = new VectorRunner({ engine, onFailure: failure => failures.push(failure) })
  runner.runTests('made up', '80286', [captured])
  assert.equal(runner.totals.passed + runner.totals.failed, 1)
  assert.equal(runner.totals.failed, failures.length)
  return failures
}

const places = (failures: Failure[]) => failures.flatMap(({ differences }) => differences.map(({ where }) => where))

test('a right expectation passes', () => {
  assert.deepEqual(failuresOf(incrementMemory()), [])
  assert.deepEqual(failuresOf(incrementMemory(), 'translator'), [])
})

test('a wrong register is reported, with bytes and what differs', () => {
  const [failure] = failuresOf(incrementMemory({ registers: [[AX, 6]] }))
  assert.match(failureText(failure), /inc word .*\[FF 06 10 00 F4\]: ax A5A50006 is A5A50005$/)
})

test('a wrong flag, a wrong IP, a wrong byte are reported', () => {
  assert.deepEqual(places(failuresOf(incrementMemory({ registers: [[FLAGS, 0x12]] }))), ['flags'])
  assert.deepEqual(places(failuresOf(incrementMemory({ registers: [[IP, 0x24]] }))), ['ip'])
  assert.ok(places(failuresOf(incrementMemory({ ram: [[0x20011, 2]] }))).includes('20011'))
})

test('a byte that is written where the test has none is reported', () => {
  // mov [0010h], al, of which the test knows nothing
  const stray = vector('mov [0010h],al', [0xa2, 0x10, 0x00, 0xf4], { registers: [[AX, 7]] }, {})
  assert.deepEqual(places(failuresOf(stray)), ['written: 20010'])
})

test('code that does not come to its HLT is reported', () => {
  // jmp to itself
  assert.ok(places(failuresOf(vector('jmp $', [0xeb, 0xfe, 0xf4], {}, {}))).includes('HLT not reached'))
})

test('the translator executes the tested instruction', () => {
  const runner = new VectorRunner({ engine: 'translator' })
  runner.runTests('made up', '80286', [incrementMemory()])
  assert.equal(runner.processor('80286').translator?.statistics.regions, 1)
})

test('rules leave out what they name and nothing like it', () => {
  const excluded = (chip: '8086' | '80286', captured: VectorTest) =>
    exclusionOf(chip, parseInstruction(captured.bytes, chip === '80286'), captured)?.title
  const shift = (count: number) => vector('shl ax,cl', [0xd3, 0xe0], { registers: [[CX, count]] }, {})
  assert.equal(excluded('8086', shift(32)), 'shifts by CL above 31')
  assert.equal(excluded('8086', shift(31)), undefined)
  assert.equal(excluded('80286', shift(32)), undefined)
  const load = (offset: number) => vector('mov ax,[]', [0xa1, offset & 0xff, offset >> 8], {}, {})
  assert.equal(excluded('8086', load(0xffff)), 'operands across offset FFFFh')
  assert.equal(excluded('8086', load(0xfffe)), undefined)
  const pop = (pointer: number) => vector('pop ax', [0x58], { registers: [[SP, pointer]] }, {})
  assert.equal(excluded('8086', pop(0xffff)), 'operands across offset FFFFh')
  assert.equal(excluded('8086', pop(0xfffe)), undefined)
  const locked = (modrm: number) => vector('lock add', [0xf0, 0x01, modrm, 0xf4], {}, {})
  assert.equal(excluded('80286', locked(0xc0)), 'LOCK before what cannot be locked')
  assert.equal(excluded('80286', locked(0x00)), undefined)
})

/** A MOO file of one test. */
function mooFile({ name, bytes, initial, final, initialRam, finalRam }: VectorTest): Uint8Array {
  const chunk = (tag: string, ...parts: (Uint8Array | number[])[]): Uint8Array => {
    const payload = Buffer.concat(parts.map(part => Uint8Array.from(part)))
    const head = Buffer.alloc(8)
    head.write(tag, 'latin1')
    head.writeUInt32LE(payload.length, 4)
    return Buffer.concat([head, payload])
  }
  const u32 = (value: number) => Uint8Array.of(value, value >> 8, value >> 16, value >> 24)
  const state = (registers: Uint16Array, list: VectorTest['initialRam']) => [
    chunk('REGS', [0xff, 0x3f], new Uint8Array(registers.buffer)),
    chunk(
      'RAM ',
      u32(list.addresses.length),
      ...[...list.addresses].flatMap((address, i) => [u32(address), [list.values[i]]]),
    ),
  ]
  return Buffer.concat([
    chunk('MOO ', u32(1), u32(1), Buffer.from('C286')),
    chunk(
      'TEST',
      u32(7),
      chunk('NAME', u32(name.length), Buffer.from(name)),
      chunk('BYTS', u32(bytes.length), bytes),
      chunk('INIT', ...state(initial, initialRam)),
      chunk('FINA', ...state(final, finalRam)),
    ),
  ])
}

test('files are read as they were written', () => {
  const captured = incrementMemory()
  const { cpu, tests } = readVectors(mooFile(captured))
  assert.equal(cpu, 'C286')
  assert.deepEqual([...tests], [{ ...captured, index: 7 }])
  assert.throws(() => readVectors(Buffer.from('something else entirely')), /does not begin with "MOO "/)
  assert.throws(() => readVectors(mooFile(captured).subarray(0, -1)), /reaches beyond its end/)
  assert.equal(REGISTER_NAMES[DS], 'ds')
  assert.equal(REGISTER_NAMES[SS], 'ss')
})

test('the command says how many passed, and fails with any failure', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vectors-'))
  const run = (...args: string[]) => {
    const main = new URL('main.ts', import.meta.url).pathname
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
    return { status, last: stdout.trimEnd().split('\n').at(-1), stderr }
  }
  try {
    writeFileSync(join(folder, 'FF.0.MOO.gz'), gzipSync(mooFile(incrementMemory())))
    const good = run(folder)
    assert.equal(good.last, '1 passed, 0 failed, 0 excluded')
    assert.equal(good.status, 0)
    writeFileSync(join(folder, 'broken.MOO'), mooFile(incrementMemory({ registers: [[AX, 1]] })))
    const broken = run(folder, '--engine', 'translator')
    assert.equal(broken.last, '1 passed, 1 failed, 0 excluded')
    assert.equal(broken.status, 1)
    const missing = run(join(folder, 'nothing'))
    assert.match(missing.stderr, /is not there/)
    assert.equal(missing.status, 2)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

function runCollection(engine: 'interpreter' | 'translator', every: number): VectorRunner {
  const failures: string[] = []
  const runner = new VectorRunner({
    engine,
    every,
    onFailure: failure => {
      if (failures.length < 20) failures.push(failureText(failure))
    },
  })
  for (const file of globSync('**/*.MOO.gz', { cwd: COLLECTION }).sort()) {
    runner.runFile(file, gunzipSync(readFileSync(join(COLLECTION, file))))
  }
  const { passed, failed, excluded } = runner.totals
  console.log(`${engine}: ${passed} passed, ${failed} failed, ${excluded} excluded`)
  assert.deepEqual(failures, [])
  assert.ok(passed > 10 * excluded, `the rules leave out ${excluded} tests against ${passed}: too many`)
  return runner
}

const collection = { skip: !existsSync(COLLECTION) && MISSING }
if (collection.skip) console.error(MISSING)

test('all captured instructions on the interpreter', collection, () => {
  runCollection('interpreter', 1)
})

test('captured instructions on the translator, some of each', collection, () => {
  const runner = runCollection('translator', 16)
  const { regions } = runner.processor('80286').translator!.statistics
  assert.ok(regions > 0.7 * (runner.totals.passed / 2), `only ${regions} regions`)
})
