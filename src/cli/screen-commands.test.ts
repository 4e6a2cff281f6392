/** The commands about screen, keyboard and mouse, against `typetwo run` with a guest that is the test. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseKeys } from '../machine/key-names.ts'
import { FakeHost } from './fake-host.ts'
import { program } from './program.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-cli-screen-'))
after(() => rmSync(folder, { recursive: true }))
const kernel = join(folder, 'kernel')
writeFileSync(kernel, 'a kernel')

async function outcome(...words: string[]) {
  const host = new FakeHost()
  const status = await program(words, host)
  return { status, out: host.stdout.text, err: host.stderr.text }
}

test('screenshot, type, send-keys and mouse reach a running machine', { timeout: 60_000 }, async () => {
  const host = new FakeHost()
  const name = 'screens'
  const run = program(['run', '--kernel', kernel, '--vga', 'std', '--serial', 'none', '--name', name], host)
  while (!host.machine.started) await new Promise(resolve => setTimeout(resolve, 1))
  const { events } = host.machine.input
  const file = join(folder, 'shot.png')
  assert.deepEqual(await outcome('screenshot', name, file), { status: 0, out: '', err: '' })
  const png = readFileSync(file)
  assert.equal(png.toString('latin1', 1, 4), 'PNG')
  assert.equal(png.readUInt32BE(16), 720)
  assert.equal((await outcome('type', name, 'root\\n')).status, 0)
  assert.equal((await outcome('send-keys', name, 'ctrl-alt-del')).status, 0)
  assert.equal((await outcome('mouse', name, '360', '200', 'right-click')).status, 0)
  assert.deepEqual(events, [
    'type root\n',
    ...['+ControlLeft', '+AltLeft', '+Delete', '-Delete', '-AltLeft', '-ControlLeft'],
    ...['to 0.501 0.501', '+button2', '-button2'],
  ])
  for (const [words, status, sentence] of [
    [['screenshot', name, join(folder, 'no', 'shot.png')], 1, /the picture cannot be written to .*choose another file/],
    [['send-keys', name, 'ctrl-nokey'], 1, /there is no key 'nokey' in 'ctrl-nokey'/],
    [['mouse', name, '720', '0'], 1, /the screen has 720 × 400 pixels now/],
    [['mouse', name, 'left', '0'], 2, /X is a number of pixels, not 'left'/],
    [['mouse', name, '1', '1', 'clock'], 2, /ACTION is click, middle-click/],
    [['screen', name], 1, /shows a picture of 720 × 400 pixels and no text/],
  ] as const) {
    const { status: got, err } = await outcome(...words)
    assert.equal(got, status, words.join(' '))
    assert.match(err, sentence)
  }
  host.machine.end({ reason: 'poweroff' })
  assert.equal(await run, 0)
})

test('keys by name', () => {
  assert.deepEqual(parseKeys('ctrl-alt-F1'), ['ControlLeft', 'AltLeft', 'F1'])
  assert.deepEqual(parseKeys('shift-a'), ['ShiftLeft', 'KeyA'])
  assert.deepEqual(parseKeys('ctrl--'), ['ControlLeft', 'Minus'])
  assert.deepEqual(parseKeys('7'), ['Digit7'])
  assert.deepEqual(parseKeys('numpad7'), ['Numpad7'])
  assert.throws(() => parseKeys(''), /there is no key ''/)
})
