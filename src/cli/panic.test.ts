import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PanicWatch } from './panic.ts'

const said = (...pieces: string[]) => {
  const watch = new PanicWatch()
  for (const piece of pieces) watch.watch(Buffer.from(piece))
  return watch.message
}

test('a panic is found, also in pieces, and the first one counts', () => {
  const line = '[    1.2] Kernel panic - not syncing: VFS: no root\r\n'
  assert.equal(said('hello\r\n', line, 'more'), 'Kernel panic - not syncing: VFS: no root')
  assert.equal(said(...`hello\r\n${line}`), 'Kernel panic - not syncing: VFS: no root')
  assert.equal(said(line, 'Kernel panic - not syncing: second\r\n'), 'Kernel panic - not syncing: VFS: no root')
})

test('nothing else is a panic, and a guest that never ends its line costs nothing', () => {
  assert.equal(said('Kernel panic\n', 'x'.repeat(100_000), 'not syncing\n'), undefined)
})
