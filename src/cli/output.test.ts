import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import type { OutputStream } from './host.ts'
import { Progress } from './progress.ts'
import { formatStatistics } from './statistics.ts'

/** A stream that keeps what is written. */
function collector(properties: object = {}): OutputStream & { text: string } {
  const stream = new Writable({
    write(chunk, _, done) {
      collecting.text += String(chunk)
      done()
    },
  })
  const collecting = Object.assign(stream, { text: '' }, properties)
  return collecting
}

test('progress is a line for each step where there is no terminal', () => {
  const stream = collector()
  const progress = new Progress(stream)
  for (const fraction of [undefined, 0.1, 0.9]) progress.show('Downloading', fraction)
  progress.show('Making')
  progress.done()
  assert.equal(stream.text, 'typetwo: Downloading\ntypetwo: Making\n')
})

test('progress is a bar on a terminal and fits its width', () => {
  const stream = collector({ isTTY: true, columns: 72 })
  const progress = new Progress(stream)
  progress.show('Downloading something with a very long name', 0.5)
  progress.done()
  const [line] = stream.text.split('\n')
  assert.match(line, /\[#{15} {15}\] {2}50 %$/)
  assert.ok(line.replace('\r\x1b[K', '').length < 72)
})

test('statistics are a table with the rate', () => {
  const stats = { instructions: 3_000_000_000, busySeconds: 10, exits: { halt: 1234 }, codeBytes: 5 }
  assert.equal(
    formatStatistics(stats),
    [
      'guest instructions             3,000,000,000',
      'million instructions a second            300',
      'seconds executing                         10',
      'exits',
      '  halt                                 1,234',
      'code bytes                                 5',
      '',
    ].join('\n'),
  )
})
