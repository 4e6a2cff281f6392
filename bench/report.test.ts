import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missing } from './guests.ts'
import type { Cell } from './measure.ts'
import { allRight, asMarkdown, asText, geometricMean, median, type Results, rowOf, settle } from './report.ts'

const cell = (seconds: number[], check?: string, failure?: string): Cell => ({
  samples: seconds.map(s => ({ seconds: s, others: 0 })),
  checks: check ? [check] : [],
  failure,
})

const results = (programs: Results['programs']): Results => ({
  circumstances: { date: 'today' },
  boot: { typetwo: cell([5, 4, 6]), tcg: cell([2, 2.5]) },
  programs,
  rest: { typetwo: { residentMemory: 200, idleCpu: 1 }, tcg: { residentMemory: 100, idleCpu: 2 } },
})

test('medians and geometric means', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.ok(Number.isNaN(median([])))
  assert.ok(Math.abs(geometricMean([0.5, 2, 8]) - 2) < 1e-12)
})

test('runs that others disturbed are set aside where there are clean ones', () => {
  const disturbed = { seconds: 9, others: 0.5 }
  assert.deepEqual(settle([{ seconds: 3, others: 0.01 }, disturbed]), { seconds: 3, clean: true })
  assert.deepEqual(settle([disturbed]), { seconds: 4.5, clean: false })
  const row = rowOf('x', { ...cell([]), samples: [disturbed] }, cell([3]))
  assert.deepEqual(row.notes, ['CPU was shared'])
})

test('wrong, absent and varying checksums are said, and make the status', () => {
  const tcg = cell([1], 'aa')
  assert.deepEqual(rowOf('x', cell([1], 'aa'), tcg).notes, [])
  assert.deepEqual(rowOf('x', cell([1], 'bb'), tcg).notes, ['WRONG CHECKSUM'])
  assert.deepEqual(rowOf('x', cell([1]), tcg).notes, ['NO CHECKSUM'])
  assert.deepEqual(rowOf('x', { ...cell([1]), checks: ['aa', 'bb'] }, tcg).notes, ['WRONG CHECKSUM'])
  assert.ok(allRight(results({ x: { typetwo: cell([1], 'aa'), tcg } })))
  assert.ok(!allRight(results({ x: { typetwo: cell([1], 'bb'), tcg } })))
  assert.ok(!allRight(results({ x: { typetwo: cell([], undefined, 'hangs'), tcg } })))
})

test('the tables hold ratios and the mean of what both ran', () => {
  const tcg = cell([1], 'aa')
  const all = results({
    one: { typetwo: cell([2], 'aa'), tcg },
    two: { typetwo: cell([8], 'aa'), tcg },
    three: { typetwo: cell([], undefined, 'hangs'), tcg },
  })
  assert.match(asText(all), /boot to READY \(s\) +5\.000 +2\.250 +2\.22/)
  assert.match(asText(all), /three \(s\) +- +1\.000 +- +FAILED/)
  assert.match(asMarkdown(all), /\| geometric mean of 2 programs \| {2}\| {2}\| 4\.00 \| {2}\|/)
  assert.match(asMarkdown(all), /\| resident memory after boot \(MiB\) \| 200 \| 100 \| 2\.00 \| {2}\|/)
})

test('what is missing is named with the way to get it', () => {
  const setup = { guests: '/no/such/folder', bits: 64, engine: 'auto' } as const
  assert.match(missing(setup, false, '/no/such/path')!, /qemu-system-x86_64.*install/)
})
