import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode, type MemoryPart, randomInstance, randomSource } from './assembler.ts'
import { DECODED, Decoded, type DecodeMode } from './decoder.ts'
import { disassemble } from './disassembler.ts'
import { decoder, forms } from './index.ts'

const MODES: DecodeMode[] = [
  { mode: 'protected', codeSize: 16, stackSize: 16 },
  { mode: 'protected', codeSize: 32, stackSize: 32 },
  { mode: 'long', codeSize: 64, stackSize: 64 },
]
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('a random instance of every form decodes to that form', () => {
  const random = randomSource(1)
  const decoded = new Decoded()
  let made = 0
  for (const form of forms) {
    for (const mode of MODES) {
      if (mode.codeSize === 64 ? form.not64 : form.only64) continue
      if (form.instruction.modes && !form.instruction.modes.includes(mode.mode)) continue
      for (let i = 0; i < 5; i++) {
        const bytes = randomInstance(form, { mode, prefixes: true }, random)
        const outcome = decoder.decode(bytes, 0, bytes.length, mode, decoded)
        assert.equal(outcome, DECODED, `${form.encoding} ${hex(bytes)}`)
        assert.equal(decoded.length, bytes.length, `${form.encoding} ${hex(bytes)}`)
        assert.equal(decoded.form, form, `${form.encoding} ${hex(bytes)} ${decoded.form.encoding}`)
        made++
      }
    }
  }
  assert.ok(made >= forms.length * 10)
})

test('instances keep to the registers and the base that a test allows', () => {
  const random = randomSource(2)
  const decoded = new Decoded()
  const mode = MODES[2]
  for (const form of forms) {
    if (form.not64 || form.immediates.includes('moffs')) continue
    for (let i = 0; i < 5; i++) {
      const bytes = randomInstance(form, { mode, registers: [1, 6, 9], memory: 'base', base: 11 }, random)
      assert.equal(decoder.decode(bytes, 0, bytes.length, mode, decoded), DECODED)
      if (decoded.hasMemory) assert.deepEqual([decoded.base, decoded.index], [11, 16])
      for (const spec of form.operands) {
        if (spec.kind === 'reg') assert.ok([1, 6, 9].includes(decoded.reg))
        if (spec.kind === 'opcodeRegister') assert.ok([1, 6, 9].includes(decoded.opcodeRegister))
        if (spec.kind === 'rm' && !decoded.hasMemory) assert.ok([1, 6, 9].includes(decoded.rm))
      }
    }
  }
})

test('chosen parts', () => {
  const add = forms.find(form => form.encoding === '01 /r  Ev,Gv')!
  const cases: [number, MemoryPart | undefined, 16 | 32 | 64, string][] = [
    [2, undefined, 64, 'add rbx, rdx'],
    [2, { base: 4 }, 32, 'add dword ptr [rsp], edx'],
    [2, { base: 13 }, 64, 'add qword ptr [r13], rdx'],
    [9, { base: 1, index: 12, scale: 8, displacement: -300 }, 16, 'add word ptr [rcx+r12*8-0x12c], r9w'],
    [2, { index: 1, scale: 4, displacement: 5 }, 32, 'add dword ptr [rcx*4+0x5], edx'],
    [2, { base: 'rip', displacement: 2 }, 32, 'add dword ptr [0x8], edx'],
    [2, { displacement: 0x1234 }, 32, 'add dword ptr [0x1234], edx'],
  ]
  const decoded = new Decoded()
  for (const [reg, memory, operandSize, text] of cases) {
    const bytes = encode(add, MODES[2], { reg, memory, rm: 3, operandSize })
    assert.equal(decoder.decode(bytes, 0, bytes.length, MODES[2], decoded), DECODED)
    assert.equal(disassemble(decoded, 0n), text)
  }
  assert.throws(() => encode(add, MODES[1], { reg: 9 }), /REX prefix outside 64-bit mode/)
})
