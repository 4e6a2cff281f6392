/** Every MMX, SSE and AVX form against this machine's processor: random and boundary operands, MXCSR settings, memory operands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as S from '../../src/cpu/state.ts'
import { F, StateView } from '../../src/cpu/state.ts'
import { poke64, testVcpu } from '../../src/cpu/test-vcpu.ts'
import { Interpreter } from '../../src/engines/interpreter/interpreter.ts'
import { Translator } from '../../src/engines/translator/translator.ts'
import { allShapes, differences, loadState, storeState } from './simd-cases.ts'
import { link } from './simd-module.ts'
import * as N from './simd-native.ts'
import { DATA, IMMEDIATE } from './simd-semantics.ts'

const runner = N.simdRunner()
const options = { skip: !runner && 'no gcc or no x86-64 processor' }
const each = Number(process.env.CASES ?? 16)

const SIGFPE = 8
const SIGSEGV = 11

test('every MMX, SSE and AVX definition gives what the processor gives', options, () => {
  const shapes = allShapes()
  const { memory, exports } = link(shapes)
  const state = new StateView(memory.buffer, 0)
  const data = new Uint8Array(memory.buffer)
  const found = differences(runner!, shapes, each, 0, (index, record) => {
    state.bytes.fill(0)
    loadState(state, record, DATA)
    state.set32(F.cr4, 1 << 10)
    data.set(record.subarray(N.MEMORY, N.MEMORY + N.MEMORY_BYTES), DATA)
    data[IMMEDIATE] = record[record[N.LENGTH] - 1]
    exports.setFlags(0, new DataView(record.buffer).getUint32(N.RFLAGS, true))
    exports[`shape${index}`](0)
    const trapped = state.get32(F.fault) ? SIGFPE : 0
    return storeState(state, record, exports.getFlags(0), trapped, data.subarray(DATA))
  })
  assert.equal(found, '')
})

/** Guest-physical places; linear addresses are the same. */
const TABLES = 0x1000
const OPERAND = 0x8000
const INSTRUCTIONS = 0x10000

/** A 64-bit processor with the lowest 2 MiB mapped one to one. */
function interpreter(): Interpreter {
  const { cpu } = testVcpu(1 << 20)
  poke64(cpu, TABLES, BigInt(TABLES + 0x1000) | 3n)
  poke64(cpu, TABLES + 0x1000, BigInt(TABLES + 0x2000) | 3n)
  poke64(cpu, TABLES + 0x2000, 0x83n)
  const { state } = cpu
  // PE MP NE PG; PAE OSFXSR OSXMMEXCPT OSXSAVE; LME LMA.
  state.set32(F.cr0, 0x80000023)
  state.set32(F.cr4, 0x40620)
  state.set32(F.xcr0, 7)
  state.set32(F.efer, 0x500)
  state.set64(F.cr3, BigInt(TABLES))
  cpu.setSegment(S.CS, 8, 0, 0xffffffff, 0xa09b)
  for (const segment of [S.SS, S.DS, S.ES, S.FS, S.GS]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093)
  cpu.updateMode()
  return new Interpreter(cpu)
}

/** JMP to itself. */
const STOP = [0xeb, 0xfe]

/** Runs cases on an engine, each `times` over: instruction, then a jump to itself. */
function runOn(engine: Interpreter, times: number): (index: number, record: Uint8Array) => Uint8Array {
  const { vcpu } = engine
  const { state } = vcpu
  let vector = -1
  // Exceptions end the case instead of entering a handler.
  vcpu.deliverFault = () => {
    vector = state.get32(F.faultVector)
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  let at = INSTRUCTIONS
  return (_index, record) => {
    const length = record[N.LENGTH]
    at = at + 32 < 0x80000 ? at + 32 : INSTRUCTIONS
    vcpu.memory.write(at, Uint8Array.of(...record.subarray(0, length), ...STOP))
    for (let i = 0; i < times; i++) {
      vector = -1
      vcpu.memory.write(OPERAND, record.subarray(N.MEMORY, N.MEMORY + N.MEMORY_BYTES))
      loadState(state, record, OPERAND)
      vcpu.rip = BigInt(at)
      vcpu.rflags = new DataView(record.buffer).getUint32(N.RFLAGS, true)
      vcpu.updateMode()
      state.set32(F.halted, 0)
      engine.run(2)
    }
    if (vector < 0) assert.equal(vcpu.rip, BigInt(at + length))
    const memory = new Uint8Array(N.MEMORY_BYTES)
    for (let i = 0; i < memory.length; i += 4) {
      new DataView(memory.buffer).setUint32(i, vcpu.memory.readNumber(OPERAND + i, 4), true)
    }
    const trapped = vector < 0 ? 0 : ({ 13: SIGSEGV, 19: SIGFPE }[vector] ?? 100 + vector)
    return storeState(state, record, vcpu.rflags, trapped, memory)
  }
}

test('every MMX, SSE and AVX instruction on the interpreter gives what the processor gives', options, () => {
  const shapes = allShapes().filter(shape => shape.immediate === undefined)
  assert.equal(differences(runner!, shapes, Math.ceil(each / 2), 2, runOn(interpreter(), 1)), '')
})

test('every MMX, SSE and AVX instruction on the translator gives what the processor gives', options, () => {
  const engine = interpreter()
  const translator = new Translator(engine, 1)
  const shapes = allShapes()
  const cases = Math.ceil(each / 8)
  assert.equal(differences(runner!, shapes, cases, 2, runOn(engine, 3)), '')
  const { regions } = translator.statistics
  assert.ok(regions > shapes.length * cases * 0.7, `only ${regions} regions for ${shapes.length * cases} cases`)
})
