import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dwordAt, qwordAt, setDword, setWord, wordAt } from './little-endian.ts'

test('numbers are those of a DataView', () => {
  const bytes = Uint8Array.of(1, 0xfe, 0x80, 0xff, 0x9a, 0x03, 0x21, 0x00, 0x11, 0x90)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < 3; at++) {
    assert.equal(wordAt(bytes, at), view.getUint16(at, true))
    assert.equal(dwordAt(bytes, at), view.getUint32(at, true))
  }
  assert.equal(qwordAt(bytes, 0), Number(view.getBigUint64(0, true)))
  setWord(bytes, 1, 0x1fedc)
  assert.equal(view.getUint16(1, true), 0xfedc)
  assert.equal(bytes[3], 0xff)
  setDword(bytes, 3, 0xfedcba98)
  assert.equal(view.getUint32(3, true), 0xfedcba98)
})
