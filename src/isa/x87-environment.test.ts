/** The x87's environment in real-address mode (SDM vol. 1, figures 8-10 and 8-12), and its pending exceptions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CS, DS, F, type Field, RDI } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import { Interpreter } from '../engines/interpreter/interpreter.ts'
import { MF, NM } from './semantics.ts'

/** A processor in real mode that has run some instructions, CS 0x800, DS 0x900, DI 0x20. */
function realMode(
  code: readonly number[],
  count: number,
  prepare: (set: (field: Field, value: number) => void) => void = () => {},
) {
  const { cpu } = testVcpu()
  const { state } = cpu
  cpu.setSegment(CS, 0x800, 0x8000, 0xffff, 0x9b)
  cpu.setSegment(DS, 0x900, 0x9000, 0xffff, 0x93)
  cpu.setRegister(RDI, 0x20)
  cpu.memory.write(0x8100, new Uint8Array(code))
  cpu.rip = 0x100n
  let fault = -1
  cpu.deliverFault = () => {
    fault = state.get32(F.faultVector)
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  state.set32(F.cr0, 0x20)
  prepare((field, value) => state.set32(field, value))
  cpu.updateMode()
  const engine = new Interpreter(cpu)
  for (let i = 0; i < count && fault < 0; i++) engine.run(1)
  return {
    cpu,
    fault,
    words: (at: number, n: number) => Array.from({ length: n }, (_, i) => cpu.memory.readNumber(at + 2 * i, 2)),
  }
}

const FNINIT = [0xdb, 0xe3]
const FLD_DI_8 = [0xd9, 0x45, 8]

test('FNSTENV with 16 bits stores linear addresses', () => {
  const { words } = realMode([...FNINIT, ...FLD_DI_8, 0xd9, 0x35], 3)
  // FLD m32 of 0 at 0x8102, its operand at 0x9028.
  assert.deepEqual(words(0x9020, 7), [0x37f, 0x3800, 0x7fff, 0x8102, 0, 0x9028, 0])
})

test('FNSTENV with 32 bits', () => {
  const { words } = realMode([...FNINIT, ...FLD_DI_8, 0x66, 0xd9, 0x35], 3)
  const ones = 0xffff
  assert.deepEqual(words(0x9020, 14), [0x37f, ones, 0x3800, ones, 0x7fff, ones, 0x8102, ones, 0, 0, 0x9028, ones, 0, 0])
})

// Of a tag only whether the register is empty is kept.
test('FLDENV takes what FNSTENV stored', () => {
  const { cpu } = realMode([...FNINIT, ...FLD_DI_8, 0xd9, 0x35, ...FNINIT, 0xd9, 0x25], 5)
  assert.deepEqual(
    [F.fcw, F.fsw, F.ftw, F.fip, F.fdp].map(field => cpu.state.get32(field)),
    [0x37f, 0x3800, 0x3fff, 0x8102, 0x9028],
  )
})

test('a pending exception meets the next waiting instruction', () => {
  // 1 / 0 with all exceptions unmasked, then FNSTSW AX, which does not wait, and FLD1.
  const divide = [...FNINIT, 0xc7, 0x05, 0x40, 0x03, 0xd9, 0x2d, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xdf, 0xe0]
  const { fault, cpu } = realMode([...divide, 0xd9, 0xe8], 8)
  assert.equal(fault, MF)
  assert.equal(cpu.register(0) & 0xffffn, 0xb084n)
  // WAIT too, but not with NE clear.
  assert.equal(realMode([...divide, 0x9b], 8).fault, MF)
  assert.equal(realMode([...divide, 0x9b], 8, set => set(F.cr0, 0)).fault, -1)
})

test('the processor without a coprocessor', () => {
  assert.equal(realMode([0xd9, 0xe8], 1, set => set(F.cr0, 4)).fault, NM)
  assert.equal(realMode([0xd9, 0xe8], 1, set => set(F.cr0, 8)).fault, NM)
  assert.equal(realMode([0xdb, 0xe3], 1, set => set(F.cr0, 8)).fault, NM)
  // WAIT needs MP as well.
  assert.equal(realMode([0x9b], 1, set => set(F.cr0, 8)).fault, -1)
  assert.equal(realMode([0x9b], 1, set => set(F.cr0, 10)).fault, NM)
})
