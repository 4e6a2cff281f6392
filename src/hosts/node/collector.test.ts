import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collector } from './collector.ts'

test('garbage is collected when there is enough of it to be worth it', () => {
  const MiB = 2 ** 20
  let used = 100 * MiB
  let time = 0
  let collections = 0
  const idle = collector({
    used: () => used,
    collect: () => {
      collections++
      used = 40 * MiB
    },
    now: () => (time += 1000),
  })
  idle()
  assert.equal(collections, 1)
  idle()
  used += 10 * MiB
  idle()
  assert.equal(collections, 1)
  used += 10 * MiB
  idle()
  assert.equal(collections, 2)
})

test('the heap of a thread really shrinks', () => {
  const idle = collector()
  idle()
  let garbage: object[] | undefined = Array.from({ length: 400_000 }, (_, i) => ({ i, text: `${i}` }))
  const { heapUsed } = process.memoryUsage()
  assert.ok(garbage.length > 0)
  garbage = undefined
  collector()()
  assert.ok(process.memoryUsage().heapUsed < heapUsed - 16 * 2 ** 20)
})
