/** What is seen of how addresses are built. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { I64 } from '../wasm/types.ts'
import { FunctionBuilder } from './function.ts'
import { addedNumber, distanceFrom, isLowHalf, isShiftedLeft, isSum, isZeroExtended } from './sums.ts'
import { Int } from './values.ts'

/** Two values that nothing is known of. */
function values(): [Int, Int] {
  const f = new FunctionBuilder({ params: [I64, I64], results: [] })
  return [new Int(f, f.getLocal(0, I64), 64), new Int(f, f.getLocal(1, I64), 64)]
}
const distance = (value: Int, start: Int) => distanceFrom(value.node, node => node === start.node)

test('numbers that are added are signed, whatever their width', () => {
  const [a, b] = values()
  assert.equal(addedNumber(a.add(5).node), 5n)
  assert.equal(addedNumber(a.sub(5).node), -5n)
  assert.equal(addedNumber(a.add(-5).node), -5n)
  assert.equal(addedNumber(a.add(1n << 40n).node), 1n << 40n)
  assert.equal(addedNumber(a.truncate(32).add(-5).node), -5n)
  assert.equal(addedNumber(a.truncate(32).sub(-5).node), 5n)
  for (const other of [a, a.add(b), a.sub(b), a.xor(5), a.mul(5)]) assert.equal(addedNumber(other.node), undefined)
})

test('the distance from a start is found through additions and changes of width, and through nothing else', () => {
  const [a, b] = values()
  assert.equal(distance(a, a), 0)
  assert.equal(distance(a.add(16).sub(24), a), -8)
  assert.equal(distance(a.add(16).truncate(32).sub(4).zeroExtend(64).add(-2), a), 10)
  for (const other of [b, a.add(b), a.shl(1), a.add(8).and(0xffff), a.truncate(16).zeroExtend(64), a.add(8).neg()])
    assert.equal(distance(other, a), undefined)
})

test('the parts of addresses are told apart', () => {
  const [a, b] = values()
  const kinds = [isSum, isShiftedLeft, isLowHalf, isZeroExtended]
  const low = a.truncate(32)
  const cases = [a.add(b), a.shl(3), low, low.zeroExtend(64), low.add(b.truncate(32)), low.shl(3)]
  const expected = [0, 1, 2, 3, 0, 1]
  for (const [i, { node }] of cases.entries())
    assert.deepEqual(
      kinds.map(is => is(node)),
      kinds.map((_, kind) => kind === expected[i]),
    )
  for (const other of [a, a.sub(b), a.shr(3), a.sar(3), low.signExtend(64)])
    assert.ok(!kinds.some(is => is(other.node)))
})
