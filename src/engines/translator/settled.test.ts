/** Sequences of SSE arithmetic in one region, where results are operands, against the interpreter: numbers of every kind. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F, FIELDS, RBX, RDI } from '../../cpu/state.ts'
import { enterLongMode, testVcpu } from '../../cpu/test-vcpu.ts'
import { setMxcsr } from '../../float/mxcsr.ts'
import { Interpreter } from '../interpreter/interpreter.ts'
import { MOST_UNFIT, Translator } from './translator.ts'

const CODE = 0x10000
const DATA = 0x80000
const CR0_MP_NE = 0x22
const OSFXSR_OSXMMEXCPT = 0x600

function processor() {
  const { cpu } = testVcpu()
  enterLongMode(cpu, { cr0: CR0_MP_NE, cr4: OSFXSR_OSXMMEXCPT })
  const { state } = cpu
  cpu.deliverFault = () => {
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  return { cpu, engine: new Interpreter(cpu) }
}

let seed = 7
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

const DOUBLES = [
  0,
  -0,
  1,
  -1.5,
  3,
  1e300,
  1e-300,
  2.3e-308,
  2.2250738585072014e-308,
  1e-310,
  5e-324,
  // Near what regions count on (float-bounds.ts, deferred.ts).
  ...[-530, -501, -500, -480.5, -480, -240, -200.5, -200, 199.5, 200, 250, 479, 480.5, 499, 500, 510, 1000].map(
    e => 2 ** e,
  ),
  Infinity,
  Number.NaN,
]
const SINGLES = [
  ...[0, -0, 1, -2.5, 3, 2 ** -20],
  ...[1e38, 1e-38, 1.2e-38, 1.1754943508222875e-38, 1e-40, 1.4e-45, Infinity, Number.NaN],
  ...[-64, -63, -62.5, -62, -60.5, -60, -30, 20, 39.5, 40, 41, 62.5, 63, 64, 100].map(e => 2 ** e),
]

/** Opcodes after 0F: SQRT ADD MUL SUB MIN DIV MAX, CVTSS2SD or its like, UCOMIS, MOVUP. */
const OPCODES = [0x51, 0x58, 0x58, 0x59, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x5a, 0x2e, 0x28]

/** [RDI + 16 n] with a field of ModRM. */
const memory = (): number[] => [0x40 | (random(4) << 3) | 7, 16 * random(8)]

/** What else may stand between: loads, comparisons, conversions, shuffles, integers, a store. */
function other(): number[] {
  const modrm = 0xc0 | (random(4) << 3) | random(4)
  const prefix = random(2) ? [0x66] : []
  switch (random(9)) {
    case 0:
    case 1:
      return [...prefix, 0x0f, 0x10, ...memory()]
    case 2:
      return [random(2) ? 0xf2 : 0xf3, 0x0f, [0x10, 0x58, 0x59, 0x5c, 0x5e][random(5)], ...memory()]
    case 3:
      return [...prefix, 0x0f, [0x58, 0x59, 0x5c, 0x5e, 0x5d][random(5)], ...memory()]
    case 4:
      return [...prefix, 0x0f, 0xc2, modrm, random(8)]
    case 5:
      return [...prefix, 0x0f, [0x5b, 0x14, 0x57, 0x54][random(4)], modrm]
    case 6:
      return [random(2) ? 0xf2 : 0xf3, 0x0f, [0x2a, 0x2c, 0x2d][random(3)], 0xc0 | (random(4) << 3) | random(3)]
    case 7:
      return [[0x01, 0x29, 0x31, 0x39, 0x8b][random(5)], 0xc0 | (random(3) << 3) | random(3)]
    default:
      return random(3) ? [0xff, 0xc0 | random(3)] : [...prefix, 0x0f, 0x11, ...memory()]
  }
}

function instruction(): number[] {
  if (random(3) === 0) return other()
  const opcode = OPCODES[random(OPCODES.length)]
  const modrm = 0xc0 | (random(4) << 3) | random(4)
  const double = random(3) > 0
  if (opcode === 0x2e || opcode === 0x28) return [...(double ? [0x66] : []), 0x0f, opcode, modrm]
  if (random(2)) return [double ? 0xf2 : 0xf3, 0x0f, opcode, modrm]
  return [...(double ? [0x66] : []), 0x0f, opcode, modrm]
}

const LEVELS = [0, 1, 2, 3].map(level => level * MOST_UNFIT)
/** Each sequence once, or in a loop: what one turn leaves is what the next begins with. */
for (const [unfit, turns] of LEVELS.flatMap(unfit => [1, 5].map(turns => [unfit, turns] as const))) {
  test(`sequences of SSE arithmetic, ${turns} times, in regions that did not fit ${unfit} times`, () => {
    const one = processor()
    const translated = processor()
    const translator = new Translator(translated.engine, 1)
    translator.unfitAtFirst = unfit
    const compared = FIELDS.filter(({ name }) => /^(xmm|mxcsr|floatLimit|rip|halted|gpr)/.test(name))
    for (let round = 0; round < 450; round++) {
      const at = CODE + (round % 1000) * 192
      const code: number[] = []
      const count = 2 + random(10)
      for (let i = 0; i < count; i++) code.push(...instruction())
      // dec ebx; jnz
      const again = turns > 1 ? [0xff, 0xcb, 0x0f, 0x85, ...new Uint8Array(Int32Array.of(-code.length - 8).buffer)] : []
      const mxcsr = [0x1fa0, 0x1fb2, 0x1f80, 0x9fe0, 0x1fe0, 0x3fa0, 0x1fa0, 0x1ea0, 0x17b2][random(9)]
      const wide = random(2) === 0
      const numbers = Array.from({ length: 8 }, () => DOUBLES[random(random(2) ? 6 : DOUBLES.length)])
      const narrow = Array.from({ length: 16 }, () => SINGLES[random(random(2) ? 6 : SINGLES.length)])
      const bytes = new Uint8Array(wide ? new Float64Array(numbers).buffer : new Float32Array(narrow).buffer)
      for (let run = 0; run < 3; run++) {
        const data = new Uint8Array(
          Float64Array.from({ length: 16 }, () => DOUBLES[random(random(2) ? 6 : DOUBLES.length)]).buffer,
        )
        for (const { cpu, engine } of [one, translated]) {
          const { state } = cpu
          if (run === 0) cpu.memory.write(at, Uint8Array.of(...code, ...again, 0xeb, 0xfe))
          state.bytes.set(bytes, F.xmm.offset)
          cpu.memory.write(DATA, data)
          cpu.setRegister(RDI, DATA)
          for (const register of [0, 1, 2]) cpu.setRegister(register, register * 77)
          setMxcsr(state, mxcsr)
          state.set32(F.halted, 0)
          cpu.rip = BigInt(at)
          cpu.rflags = 2
          cpu.setRegister(RBX, turns)
          engine.run(turns > 1 ? turns * (count + 2) + 1 : count + 1)
        }
        for (const { name, offset, stride, count: elements } of compared) {
          const [a, b] = [one, translated].map(({ cpu }) => cpu.state.bytes.slice(offset, offset + stride * elements))
          const what = `${name} round ${round} run ${run} mxcsr ${mxcsr.toString(16)} code ${Buffer.from(code).toString('hex')}`
          assert.deepEqual(b, a, what)
        }
        assert.equal(translated.cpu.rflags, one.cpu.rflags)
        assert.deepEqual(translated.cpu.memory.ram.slice(DATA, DATA + 128), one.cpu.memory.ram.slice(DATA, DATA + 128))
      }
    }
    assert.ok(translator.statistics.regions > 300, `only ${translator.statistics.regions} regions`)
  })
}

/** SSE instructions between registers: F2 or F3, opcode, destination, source. */
const scalar = (prefix: number, opcode: number, to: number, from: number) => [
  prefix,
  0x0f,
  opcode,
  0xc0 | (to << 3) | from,
]
const [F2, F3, ADD, MUL, SUB, DIV, SQRT] = [0xf2, 0xf3, 0x58, 0x59, 0x5c, 0x5e, 0x51]
const LOOPS: readonly [name: string, width: 32 | 64, numbers: readonly number[], code: readonly number[]][] = [
  ['squares that overflow', 64, [2 ** 150], scalar(F2, MUL, 0, 0)],
  ['squares that underflow', 64, [2 ** -150], scalar(F2, MUL, 0, 0)],
  ['squares of singles', 32, [2 ** 30, 2 ** -30], [...scalar(F3, MUL, 0, 0), ...scalar(F3, MUL, 1, 1)]],
  [
    'a difference of products that is denormal',
    32,
    [2 ** -59 * (1 + 2 ** -23), 2 ** -59, 1],
    [...scalar(F3, MUL, 0, 0), ...scalar(F3, MUL, 1, 1), ...scalar(F3, SUB, 0, 1), ...scalar(F3, MUL, 0, 2)],
  ],
  [
    'sums of what was cancelled',
    32,
    [2 ** -38 * (1 + 2 ** -23), 2 ** -38, 2 ** -30],
    [...scalar(F3, SUB, 0, 1), ...scalar(F3, MUL, 0, 2), ...scalar(F3, MUL, 0, 2), ...scalar(F3, ADD, 0, 0)],
  ],
  [
    'a root of a negative number',
    64,
    [4, -1, 3],
    [...scalar(F2, SQRT, 0, 0), ...scalar(F2, ADD, 0, 1), ...scalar(F2, SUB, 0, 2)],
  ],
  ['a quotient by zero', 64, [1, 1, 0.25], [...scalar(F2, DIV, 1, 0), ...scalar(F2, SUB, 0, 2)]],
  ['quotients that underflow', 64, [2 ** -100, 2 ** 190], scalar(F2, DIV, 0, 1)],
  // movapd xmm2, xmm0; ucomisd xmm2, xmm1; movapd xmm1, xmm2
  [
    'copies, and a comparison with what is no number',
    64,
    [2 ** 190, 1],
    [
      0x66,
      0x0f,
      0x28,
      0xd0,
      ...scalar(F2, MUL, 2, 2),
      0x66,
      0x0f,
      0x2e,
      0xd1,
      0x66,
      0x0f,
      0x28,
      0xca,
      ...scalar(F2, SUB, 1, 1),
    ],
  ],
]

for (const [name, width, numbers, body, turns] of LOOPS.flatMap(loop =>
  [1, 12].map(turns => [...loop, turns] as const),
)) {
  test(`a loop of ${name}, ${turns} turns`, () => {
    const again = [0xff, 0xcb, 0x75, 256 - body.length - 4]
    const [a, b] = [false, true].map(translates => {
      const { cpu, engine } = processor()
      if (translates) new Translator(engine, 1)
      const { state } = cpu
      cpu.memory.write(CODE, Uint8Array.of(...body, ...again, 0xf4))
      numbers.forEach((number, i) => {
        const bytes = new Uint8Array((width === 64 ? Float64Array : Float32Array).of(number).buffer)
        state.bytes.set(bytes, F.xmm.offset + 16 * i)
      })
      setMxcsr(state, 0x1fa0)
      cpu.setRegister(RBX, turns)
      cpu.rip = BigInt(CODE)
      cpu.rflags = 2
      assert.equal(engine.run(100_000).kind, 'halt')
      return { mxcsr: state.get32(F.mxcsr), xmm: state.bytes.slice(F.xmm.offset, F.xmm.offset + 64), flags: cpu.rflags }
    })
    assert.deepEqual(b, a)
    if (turns > 1 && !/copies|cancelled/.test(name)) assert.notEqual(a.mxcsr, 0x1fa0, 'exceptions are to be noted')
  })
}
