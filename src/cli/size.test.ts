import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSize, parseMemory, parseSize } from './size.ts'

const MIB = 2 ** 20

test('sizes as people write them', () => {
  for (const [text, bytes] of [
    ['256M', 256 * MIB],
    ['256m', 256 * MIB],
    ['256MiB', 256 * MIB],
    ['1GB', 1024 * MIB],
    ['1.5G', 1536 * MIB],
    ['65536K', 64 * MIB],
    ['2T', 2 ** 41],
    ['4096', 4096],
  ] as const) {
    assert.equal(parseSize(text), bytes, text)
  }
  for (const text of ['', 'M', '-1G', '1X', '1 2M', '0x10M', '1e3M', 'Infinity']) {
    assert.throws(() => parseSize(text), /is not a size: write a number and a unit, as in 256M or 1G$/, text)
  }
})

test('memory within bounds', () => {
  assert.equal(parseMemory('16M', 1024 * MIB), 16 * MIB)
  assert.equal(parseMemory('16777300', 1024 * MIB), 16 * MIB)
  assert.throws(() => parseMemory('0', 1024 * MIB), /'0' leaves the guest without memory/)
  assert.throws(() => parseMemory('15M', 1024 * MIB), /'15M' is too small: give the guest at least 16M$/)
  assert.throws(() => parseMemory('256', 1024 * MIB), /too small.*with a unit it would be 256M$/)
  assert.throws(() => parseMemory('2G', 1024 * MIB), /'2G' is more than this host has free \(1G\)/)
})

test('sizes for people', () => {
  assert.deepEqual([0, 512, 1536, 10.55 * MIB, 256 * MIB, 1.999 * 2 ** 30].map(formatSize), [
    '0 bytes',
    '512 bytes',
    '1.5K',
    '10.5M',
    '256M',
    '1.99G',
  ])
})
