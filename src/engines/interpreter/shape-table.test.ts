import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ShapeTable } from './shape-table.ts'

test('shapes are found by their keys, those that share a place and key 0 too, until they are forgotten', () => {
  const table = new ShapeTable()
  const known = Array.from({ length: 8000 }, (_, i) => ({
    bits: (i % 7) * 2 ** 18 + (i >> 3),
    form: i % 8,
    index: i + 1,
  }))
  for (const { bits, form, index } of known) {
    assert.equal(table.get(bits, form), 0)
    table.set(bits, form, index)
  }
  for (const { bits, form, index } of known) assert.equal(table.get(bits, form), index)
  table.keepBelow(100)
  for (const { bits, form, index } of known) assert.equal(table.get(bits, form), index < 100 ? index : 0)
})
