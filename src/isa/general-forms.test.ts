import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DECODED, Decoded } from './decoder.ts'
import { generalise } from './general-forms.ts'
import { decoder, forms } from './index.ts'

const LONG = { mode: 'long', codeSize: 64, stackSize: 64 } as const

function general(...bytes: number[]): Decoded {
  const decoded = new Decoded()
  assert.equal(decoder.decode(Uint8Array.from(bytes), 0, bytes.length, LONG, decoded), DECODED)
  generalise(decoded)
  return decoded
}

test('the short forms of the accumulator mean the general ones with register 0', () => {
  // ADD EAX, imm32; ADD RAX, imm32; CMP AL, imm8; TEST EAX, imm32.
  const cases: [bytes: number[], encoding: string][] = [
    [[0x05, 1, 2, 3, 0x84], '81 /0 iz  Ev,sIz'],
    [[0x48, 0x05, 1, 2, 3, 0x84], '81 /0 iz  Ev,sIz'],
    [[0x3c, 0x80], '80 /7 ib  Eb,Ib'],
    [[0xa9, 1, 2, 3, 0x84], 'F7 /0 iz  Ev,sIz'],
  ]
  for (const [bytes, encoding] of cases) {
    const decoded = general(...bytes)
    assert.equal(decoded.form.encoding, encoding)
    assert.equal(decoded.length, bytes.length)
    assert.deepEqual([decoded.rm, decoded.hasMemory], [0, false])
  }
})

test('every instruction of arithmetic and logic has its short forms, and IN has none', () => {
  const short = forms.filter(form => {
    const decoded = new Decoded()
    decoded.form = form
    generalise(decoded)
    return decoded.form !== form
  })
  const names = short.map(form => form.instruction.mnemonic).sort()
  const eight = ['ADC', 'ADD', 'AND', 'CMP', 'OR', 'SBB', 'SUB', 'TEST', 'XOR']
  assert.deepEqual(
    names,
    eight.flatMap(name => [name, name]),
  )
})
