import assert from 'node:assert/strict'
import { test } from 'node:test'
import { link } from '../float/native.ts'
import { crc32c } from './bits.ts'

test('CRC-32C of the check string of RFC 3720 and the catalogue', () => {
  const { call } = link([crc32c])
  let checksum: number | bigint = 0xffffffff
  const text = new TextEncoder().encode('123456789')
  checksum = call(crc32c, checksum, new DataView(text.buffer).getBigUint64(0, true), 8)
  checksum = call(crc32c, checksum, BigInt(text[8]), 1)
  assert.equal((~Number(checksum) >>> 0).toString(16), 'e3069283')
})
