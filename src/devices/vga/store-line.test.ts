import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomBelow } from '../test-random.ts'
import { lineStores, MOST_PAGES } from './store-line.ts'

/** The pixel as a picture has it, of one with blue in the lowest byte. */
const swap = (pixel: number) => 0xff000000 | ((pixel & 0xff) << 16) | (pixel & 0xff00) | ((pixel >> 16) & 0xff) | 0

test('lines are stored as they are and swapped, with the first and the last pixel that differ', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES, shared: true })
  const stores = lineStores(memory)
  const words = new Int32Array(memory.buffer)
  const random = randomBelow(5)
  const [from, to] = [1000, 5000]
  for (let round = 0; round < 3000; round++) {
    const count = 1 + random(70)
    const swapped = random(2) === 1
    const at = to + random(4)
    words.fill(0x55555555, at - 8, at + count + 8)
    for (let x = 0; x < count; x++) {
      words[from + x] = random(2 ** 32) | 0
      words[at + x] = swapped ? swap(words[from + x]) : words[from + x]
    }
    const wanted = words.slice(at - 8, at + count + 8)
    // Some of them are something else, in one byte.
    const changed = Array.from({ length: random(4) }, () => random(count)).toSorted((a, b) => a - b)
    for (const x of new Set(changed)) words[at + x] ^= 1 << random(32)
    const differs = stores[swapped ? 'swapped' : 'plain'](from * 4, at * 4, count)
    assert.deepEqual(words.slice(at - 8, at + count + 8), wanted, `round ${round}: ${count} pixels`)
    assert.equal(differs, changed.length === 0 ? 0 : changed[0] | ((changed.at(-1)! + 1) << 16), `round ${round}`)
  }
})
