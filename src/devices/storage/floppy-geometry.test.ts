import assert from 'node:assert/strict'
import { test } from 'node:test'
import { floppyFormat, wholeFloppy } from './floppy-geometry.ts'

test('the image of a floppy may lack its end, and is then of 1.44 MB or 2.88 MB', () => {
  for (const [bytes, whole] of [
    [512, 1474560],
    [700, 1474560],
    [1296384, 1474560],
    [1474560 + 512, 2949120],
    [163840, 163840],
    [1228800, 1228800],
    [1720320, 1720320],
  ]) {
    assert.equal(wholeFloppy(bytes), whole)
    assert.ok(floppyFormat(whole))
  }
  for (const bytes of [0, 10 * 2 ** 20]) assert.equal(floppyFormat(wholeFloppy(bytes)), undefined)
})

test('the formats of IBM and of Microsoft', () => {
  for (const [kib, ...geometry] of [
    [160, 40, 1, 8, 1],
    [180, 40, 1, 9, 1],
    [320, 40, 2, 8, 1],
    [360, 40, 2, 9, 1],
    [720, 80, 2, 9, 3],
    [1200, 80, 2, 15, 2],
    [1440, 80, 2, 18, 4],
    [1680, 80, 2, 21, 4],
    [2880, 80, 2, 36, 5],
  ]) {
    const { cylinders, heads, sectors, drive } = floppyFormat(kib * 1024)!
    assert.deepEqual([cylinders, heads, sectors, drive], geometry, `${kib} KiB`)
  }
})
