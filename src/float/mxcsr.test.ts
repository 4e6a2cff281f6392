import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { changeMxcsr, setMxcsr } from './mxcsr.ts'
import { link } from './native.ts'

test('TypeScript and generated code derive the same from MXCSR', () => {
  const { state, call } = link([changeMxcsr])
  for (let value = 0; value < 0x10000; value += 0x20) {
    const flags = value | (value >> 11)
    setMxcsr(state, flags)
    const expected = state.bytes.slice()
    state.bytes.fill(0)
    call(changeMxcsr, flags)
    assert.deepEqual(state.bytes, expected, `MXCSR ${flags.toString(16)}`)
  }
  setMxcsr(state, 0x1f80)
  const closed = state.get32(F.floatLimit64)
  setMxcsr(state, 0x1fa0)
  assert.notEqual(state.get32(F.floatLimit64), closed)
  setMxcsr(state, 0x3fa0)
  assert.equal(state.get32(F.floatLimit64), closed)
})
