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

test('statistics are a table with the rate and where the time went', () => {
  assert.equal(
    formatStatistics({
      engine: 'auto',
      instructions: 3_000_000_000,
      busySeconds: 10,
      guestSeconds: 12.5,
      exits: { halt: 1234, budget: 1 },
      engineStats: { faultExits: 3, translateMilliseconds: 1500, compileMilliseconds: 500, regions: 7 },
      activities: [],
    }),
    [
      'engine                                         auto',
      'guest instructions                    3,000,000,000',
      'million instructions a second (MIPS)          300.0',
      'seconds of guest time                        12.500',
      'seconds executing                            10.000',
      '  translating                                 1.500',
      '  compiling WebAssembly                       0.500',
      '  in guest code and devices                   8.000',
      'translated regions                                7',
      'fault exits                                       3',
      'exits to the machine                          1,235',
      '  halt                                        1,234',
      '  budget                                          1',
      '',
    ].join('\n'),
  )
})
