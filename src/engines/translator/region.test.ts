/** Which places a jump through a table is taken to go to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MODE_LONG } from '../../cpu/mode.ts'
import { decodeMode } from '../interpreter/blocks.ts'
import { unknownUsage } from '../semantics.ts'
import { findRegion, LARGE, WIDEST_TABLE } from './region.ts'

const PAGE = 0x3000

/**
 * Distances from a jump through a table, at an offset in its page, that it is taken to go to, of those that are warm.
 * @param next where the page behind the jump's is
 */
function targets(jump: number, warm: readonly number[], next = -1): number[] {
  const ram = new Uint8Array(Math.max(PAGE, next) + 4096).fill(0xcc)
  // jmp [rax * 8 + 0x10000]; all others: jmp to itself
  ram.set([0xff, 0x24, 0xc5, 0, 0, 1, 0], PAGE + jump)
  const at = (distance: number) => (jump + distance < 4096 ? PAGE : next - 4096) + jump + distance
  for (const distance of warm) ram.set([0xeb, 0xfe], at(distance))
  const host = {
    memory: { ram },
    usage: () => ({ ...unknownUsage(), jumps: true }),
    page: (number: number) => (number === 1 ? next : -1),
    isWarm: () => true,
    isCalledOften: () => false,
    warmIn: (page: number) => warm.map(at).filter(address => (address & ~0xfff) === page),
  }
  const { meeting } = findRegion(host, PAGE + jump, decodeMode(MODE_LONG), LARGE)
  return (meeting?.expected ?? []).map(({ distance }) => distance).sort((a, b) => a - b)
}

/** Distances one after another. */
const row = (first: number, count: number, step = 4) => Array.from({ length: count }, (_, i) => first + i * step)

test('a jump through a table goes to what lies nearest to it, though much more lies together elsewhere in the page', () => {
  const here = [-120, -20, 16, 40, 300]
  assert.deepEqual(targets(200, [...row(2600, 40), ...here]), here)
  // The same from the other end of the page.
  const there = [-300, -16, 20, 120]
  assert.deepEqual(targets(3800, [...row(-3700, 40), ...there]), there)
})

test('the targets of a table are no further apart than its width, whichever side of the jump they lie on', () => {
  const [first, last] = [-1000, WIDEST_TABLE - 1000]
  assert.deepEqual(targets(2000, [-1800, first, -8, 8, last, last + 4]), [first, -8, 8, last])
})

test('targets may lie in the page behind, wherever that is in memory', () => {
  assert.deepEqual(targets(4000, [-40, -8, 8, 96, 500], 0x5000), [-40, -8, 8, 96, 500])
  assert.deepEqual(targets(4000, [-40, -8, 8]), [-40, -8, 8])
})

test('of too many targets the nearest are taken', () => {
  assert.deepEqual(targets(1000, [...row(-600, 20), ...row(8, 48)]), row(8, 48))
})
