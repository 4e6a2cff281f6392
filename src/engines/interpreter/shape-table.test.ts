import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ShapeTable } from './shape-table.ts'

test('shapes are found by their keys, those that share a place and key 0 too, until they are forgotten', () => {
  const table = new ShapeTable()
  const known = new Map<number, number>()
  for (let i = 0; i < 8000; i++) known.set((i % 7) * 2 ** 33 + i * 8192 * (i % 5) + i, i + 1)
  for (const [key, index] of known) {
    assert.equal(table.get(key), 0)
    table.set(key, index)
  }
  for (const [key, index] of known) assert.equal(table.get(key), index)
  table.keepBelow(100)
  for (const [key, index] of known) assert.equal(table.get(key), index < 100 ? index : 0)
})
