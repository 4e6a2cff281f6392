import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CachePatience } from './cache-patience.ts'

/** Makes requests, of which every `lateEvery`th in this thread is late. @returns how many were made in another */
function elsewhere(requests: number, lateEvery: number): number {
  const patience = new CachePatience()
  let others = 0
  let here = 0
  for (let i = 0; i < requests; i++) {
    if (patience.isElsewhere) {
      patience.wasElsewhere()
      others++
    } else patience.wasHere(++here % lateEvery === 0)
  }
  return others
}

test('a host that is late now and then is asked in this thread, a disk that is slow in others', () => {
  assert.equal(elsewhere(1000, Number.POSITIVE_INFINITY), 0)
  const now = elsewhere(10_000, 100)
  assert.ok(now > 50 && now < 150, `${now} of 10000`)
  const always = elsewhere(10_000, 1)
  assert.ok(always > 9500, `${always} of 10000`)
  const often = elsewhere(10_000, 2)
  assert.ok(often > 3000, `${often} of 10000`)
})
