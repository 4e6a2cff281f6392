import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TerminalModes } from './terminal-modes.ts'

/** What is undone after a guest wrote `text`, whole and byte by byte. */
function undone(text: string): string {
  const bytes = new TextEncoder().encode(text)
  const whole = new TerminalModes()
  whole.watch(bytes)
  const pieces = new TerminalModes()
  for (const byte of bytes) pieces.watch(Uint8Array.of(byte))
  assert.equal(pieces.restoration(), whole.restoration())
  return whole.restoration()
}

test('a terminal that was left alone is left alone', () => {
  assert.equal(undone('hello\r\n\x1b[6n\x1b[2J\x1b[31mred\x1b[0m\x1b[?25l\x1b[?25h'), '')
})

test('an editor that was ended in the middle', () => {
  assert.equal(undone('\x1b[?1049h\x1b[?25l\x1b=\x1b[1;31m~'), '\x1b[?1049l\x1b[?25h\x1b>\x1b[0m')
})

test('several modes in one sequence', () => {
  assert.equal(undone('\x1b[?1000;1006;2004h\x1b[?2004l'), '\x1b[?1000l\x1b[?1006l')
})

test('a scroll region, and a full reset', () => {
  assert.equal(undone('\x1b[1;20r'), '\x1b7\x1b[r\x1b8')
  assert.equal(undone('\x1b[1;20r\x1b[?25l\x1bc'), '')
})

test('modes nobody has heard of, and sequences without end, do not grow the table', () => {
  let text = ''
  for (let mode = 3000; mode < 9000; mode++) text += `\x1b[?${mode}h`
  assert.equal(undone(`${text}\x1b[${'1;'.repeat(100)}\x1b[?25l`), '\x1b[?25h')
})
