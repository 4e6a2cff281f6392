/** Random x87 programs, with loops and jumps, as regions against the interpreter: numbers of every kind, every control word. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F, FIELDS, RCX, RDI } from '../../cpu/state.ts'
import { enterLongMode, testVcpu } from '../../cpu/test-vcpu.ts'
import { writeStatusWord } from '../../float/x87-status.ts'
import { Interpreter } from '../interpreter/interpreter.ts'
import { Translator } from './translator.ts'

const CODE = 0x10000
const DATA = 0x80000
const CR0_MP_NE = 0x22

function processor() {
  const { cpu } = testVcpu()
  enterLongMode(cpu, { cr0: CR0_MP_NE })
  const { state } = cpu
  cpu.deliverFault = () => {
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  return { cpu, engine: new Interpreter(cpu) }
}

let seed = 11
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}
const oneOf = <T>(values: readonly T[]): T => values[random(values.length)]
const random64 = (): bigint => (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))

/** Sign and exponent, significand. */
function extended(): [head: number, significand: bigint] {
  const sign = random(2) << 15
  const near = 0x3fff + random(9) - 4
  // Few bits, so that results are exact, or halves between two numbers.
  const significand = oneOf([
    random64(),
    1n << 63n,
    BigInt(random(256)) << 56n,
    random64() & ~0x3ffn,
    (1n << 64n) - 1n - BigInt(random(3)),
  ])
  const normal = significand | (1n << 63n)
  switch (random(16)) {
    case 0:
      return [sign, 0n]
    case 1:
      return oneOf([
        [sign | 0x7fff, 1n << 63n],
        [sign | 0x7fff, normal],
        [sign, significand],
        [sign | near, significand & ((1n << 63n) - 1n)],
      ] as const) as [number, bigint]
    case 2:
      return [sign | oneOf([1, 2, 0x7ffe, 0x7ffd, 0x3fff - 64, 0x3fff + 64, 0x3fff - 1022, 0x3fff + 1023]), normal]
    case 3:
      return [sign | random(0x8000), normal]
    default:
      return [sign | near, normal]
  }
}

const DOUBLES = [0, -0, 1, -1.5, 3, 1e300, 1e-310, 0.1, 2.2250738585072014e-308, Infinity, Number.NaN]

/** Memory: 8 numbers of 16 bytes, doubles or singles or extended or integers. */
function data(): Uint8Array {
  const bytes = new Uint8Array(128)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < 128; i += 16) {
    const double = random(3) ? (random(2000) - 1000) / oneOf([1, 3, 64, 1e5]) : oneOf(DOUBLES)
    const kind = random(4)
    if (kind === 0) view.setFloat64(i, double, true)
    else if (kind === 1) view.setFloat32(i, double, true)
    else if (kind === 2) view.setBigInt64(i, BigInt.asIntN(64, random64() >> BigInt(random(64))), true)
    else {
      const [head, significand] = extended()
      view.setBigUint64(i, significand, true)
      view.setUint16(i + 8, head, true)
    }
  }
  return bytes
}

/** [RDI + 16 n] with a field of ModRM. */
const memory = (field: number): number[] => [0x40 | (field << 3) | 7, 16 * random(8)]
const register = (base: number): number => base + oneOf([0, 1, 1, 2, 3, 7])

function instruction(): number[] {
  switch (random(22)) {
    case 0:
    case 1:
    case 2:
      return [0xd8, register(0xc0 + 8 * oneOf([0, 1, 4, 5, 6, 7, 0, 1]))]
    case 3:
    case 4:
      return [oneOf([0xdc, 0xde]), register(0xc0 + 8 * oneOf([0, 1, 4, 5, 6, 7]))]
    case 5:
      return [oneOf([0xd8, 0xdc, 0xda, 0xde]), ...memory(random(8))]
    case 6:
      return [oneOf([0xd9, 0xdd, 0xdb, 0xdf]), ...memory(0)]
    case 7:
      return oneOf([
        [0xdb, ...memory(5)],
        [0xdf, ...memory(5)],
      ])
    case 8:
      return [oneOf([0xd9, 0xdd, 0xdb, 0xdf]), ...memory(oneOf([2, 3]))]
    case 9:
      return oneOf([
        [0xdb, ...memory(7)],
        [0xdf, ...memory(7)],
        [0xdd, ...memory(1)],
        [0xdb, ...memory(1)],
      ])
    case 10:
    case 11:
      return [0xd9, register(0xc0)]
    case 12:
      return [0xd9, register(0xc8)]
    case 13:
      return [0xd9, oneOf([0xe0, 0xe1, 0xe4, 0xe5, 0xfa, 0xfc, 0xd0, 0xf6, 0xf7])]
    case 14:
      return [0xd9, 0xe8 + random(7)]
    case 15:
      return [0xdd, register(oneOf([0xd0, 0xd8, 0xd8, 0xc0]))]
    case 16:
      return [oneOf([0xd8, 0xdd]), register(oneOf([0xd0, 0xd8, 0xe0, 0xe8]))]
    case 17:
      return [oneOf([0xdb, 0xdf]), register(oneOf([0xe8, 0xf0]))]
    case 18:
      return [oneOf([0xda, 0xdb]), register(0xc0 + 8 * random(4))]
    case 19:
      return [0xdf, 0xe0]
    case 20:
      return oneOf([[0xdb, 0xe2], [0xd9, ...memory(7)], [0xde, 0xd9], [0xda, 0xe9], [0x9b]])
    default:
      return oneOf([
        [0xdd, ...memory(7)],
        [0xdd, 0xd8],
        [0xd9, 0xee],
        [0xd9, 0xee],
      ])
  }
}

/** A loop of instructions, with jumps over some of them. */
function program(): number[] {
  const body: number[] = []
  const count = 3 + random(9)
  for (let i = 0; i < count; i++) {
    if (random(5) === 0) {
      const skipped = Array.from({ length: 1 + random(2) }, instruction).flat()
      body.push(oneOf([0x72, 0x73, 0x74, 0x76, 0x7a]), skipped.length, ...skipped)
    } else if (random(60) === 0) body.push(0xd9, 0x6f, oneOf([0x80, 0x82, 0x84]))
    else body.push(...instruction())
  }
  // DEC ECX, JNZ to the start.
  return [...body, 0xff, 0xc9, 0x75, -(body.length + 4) & 0xff]
}

const CONTROLS = [0x37f, 0x37f, 0x37f, 0x37f, 0x27f, 0x27f, 0x77f, 0x07f, 0xf7f, 0x36f, 0x33e, 0x35f]

for (const fromEntry of [false, true]) {
  test(`random x87 programs, ${fromEntry ? '' : 'not '}counting on tags and control word from the entry`, () => {
    const one = processor()
    const other = processor()
    const translator = new Translator(other.engine, 1)
    translator.x87FromEntry = fromEntry
    const compared = FIELDS.filter(({ name }) => /^(fpr|fcw|fsw|ftw|fip|fdp|x87Top|rip|halted|gpr)$/.test(name))
    for (let round = 0; round < Number(process.env.ROUNDS ?? 500); round++) {
      const at = CODE + (round % 1000) * 128
      const code = program()
      const usual = oneOf(CONTROLS)
      const first = random(8)
      const filled = random(8)
      for (let run = 0; run < 4; run++) {
        const top = run === 3 ? random(8) : first
        const control = run === 3 && random(2) ? oneOf(CONTROLS) : usual
        const used = run === 3 ? random(9) : filled
        const status = (oneOf([0, 0x20, 0x7f, 0x4700, 0x201]) & ~(random(8) ? ~control & 0x3f : 0)) | (top << 11)
        let tags = 0xffff
        for (let i = 0; i < used; i++) tags &= ~(3 << (2 * ((top + i) & 7)))
        const numbers = Array.from({ length: 8 }, extended)
        const bytes = data()
        const words = [oneOf(CONTROLS), oneOf(CONTROLS), 0x37f]
        const times = 1 + random(3)
        const budget = 8 + random(60)
        for (const { cpu, engine } of [one, other]) {
          const { state } = cpu
          if (run === 0) cpu.memory.write(at, Uint8Array.of(...code, 0xeb, 0xfe))
          cpu.memory.write(DATA, bytes)
          cpu.memory.write(DATA - 128, new Uint8Array(128))
          words.forEach((word, i) => {
            cpu.memory.writeNumber(DATA - 128 + 2 * i, 2, word)
          })
          numbers.forEach(([head, significand], i) => {
            state.set64(F.fpr, significand, i)
            state.bytes[F.fpr.offset + 16 * i + 8] = head & 0xff
            state.bytes[F.fpr.offset + 16 * i + 9] = head >> 8
          })
          const pending = status & ~control & 0x3f
          state.set32(F.fcw, control)
          writeStatusWord(state, status | (pending ? 0x8080 : 0))
          state.set32(F.ftw, tags)
          state.set64(F.fip, 5n)
          state.set64(F.fdp, 6n)
          state.set32(F.halted, 0)
          cpu.setRegister(0, 0)
          cpu.setRegister(RCX, times)
          cpu.setRegister(RDI, DATA)
          cpu.rip = BigInt(at)
          cpu.rflags = 2
          cpu.updateMode()
          engine.run(budget)
        }
        const what = `round ${round} run ${run} control ${control.toString(16)} status ${status.toString(16)} tags ${tags.toString(16)} budget ${budget} code ${Buffer.from(code).toString('hex')}`
        for (const { name, offset, stride, count: elements } of compared) {
          const [a, b] = [one, other].map(({ cpu }) => cpu.state.bytes.slice(offset, offset + stride * elements))
          assert.deepEqual(Buffer.from(b).toString('hex'), Buffer.from(a).toString('hex'), `${name} ${what}`)
        }
        assert.equal(other.cpu.rflags, one.cpu.rflags, `rflags ${what}`)
        const [a, b] = [one, other].map(({ cpu }) => cpu.memory.ram.slice(DATA - 128, DATA + 256))
        assert.deepEqual(b, a, `memory ${what}`)
      }
    }
    assert.ok(translator.statistics.regions > 300, `only ${translator.statistics.regions} regions`)
  })
}
