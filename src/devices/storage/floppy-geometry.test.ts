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
