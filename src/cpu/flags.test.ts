import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readFlags, writeFlags } from './flags.ts'
import { F } from './state.ts'
import { testVcpu } from './test-vcpu.ts'

test('every combination of the arithmetic flags survives being taken apart', () => {
  const { state } = testVcpu().cpu
  const places = [0, 2, 4, 6, 7, 11]
  for (let i = 0; i < 64; i++) {
    let image = 0x202
    places.forEach((place, bit) => {
      image |= ((i >> bit) & 1) << place
    })
    writeFlags(state, image)
    assert.equal(readFlags(state), image)
  }
  writeFlags(state, -1)
  assert.equal(readFlags(state), 0x3f7fd7, 'reserved bits stay fixed')
})

test('pieces as instructions leave them', () => {
  const { state } = testVcpu().cpu
  writeFlags(state, 2)
  // A byte result of 0x80, sign-extended, with a carry out of bit 7 but not of bit 6.
  state.set64(F.flagResult, 0xffffffffffffff80n)
  state.set64(F.flagCarries, 1n << 63n)
  state.set64(F.flagAdjust, 0x10n)
  assert.equal(readFlags(state), 2 | 1 | 0x10 | 0x80 | 0x800)
})
