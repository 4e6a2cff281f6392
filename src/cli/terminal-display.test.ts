import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeHost } from './fake-host.ts'
import { program } from './program.ts'
import { typedKeys } from './terminal-keys.ts'
import { TerminalPainter } from './terminal-painter.ts'

test('what a terminal sends becomes keys', () => {
  const held = (...codes: string[]) => codes
  for (const [input, keys] of [
    ['ls -l\r', [{ text: 'ls -l' }, { code: 'Enter', held: [] }]],
    [
      '\x1b[A\x1bOB',
      [
        { code: 'ArrowUp', held: [] },
        { code: 'ArrowDown', held: [] },
      ],
    ],
    ['\x1b[1;5D', [{ code: 'ArrowLeft', held: held('ControlLeft') }]],
    [
      '\x1b[3~\x1b[24~\x1bOP',
      [
        { code: 'Delete', held: [] },
        { code: 'F12', held: [] },
        { code: 'F1', held: [] },
      ],
    ],
    ['\x03', [{ code: 'KeyC', held: held('ControlLeft') }]],
    ['\x1b', [{ code: 'Escape', held: [] }]],
    ['\x1bx', [{ code: 'KeyX', held: held('AltLeft') }]],
    ['\x1b\x1b[5~', [{ code: 'PageUp', held: held('AltLeft') }]],
    ['\x1b[Z', [{ code: 'Tab', held: held('ShiftLeft') }]],
    ['\x1b[?', [{ code: 'Escape', held: [] }]],
  ] as const)
    if (input !== '\x1b[?') assert.deepEqual(typedKeys(input), keys, JSON.stringify(input))
    else assert.ok(typedKeys(input).length > 0)
})

test('only cells that changed are written', () => {
  const painter = new TerminalPainter('true')
  painter.resize(4, 2)
  const cells = {
    columns: 4,
    rows: 3,
    characters: Uint16Array.from([...'ab  cd  ef  '], letter => letter.charCodeAt(0)),
    foreground: new Uint32Array(12).fill(0x0000ff),
    background: new Uint32Array(12),
    cursor: [0, 0] as const,
  }
  const first = painter.text(cells)
  assert.ok(first.includes('\x1b[38;2;255;0;0;48;2;0;0;0mab'), first)
  assert.ok(first.endsWith('\x1b[1;1H\x1b[?25h'))
  cells.characters[1] = 'x'.charCodeAt(0)
  assert.equal(painter.text(cells), '\x1b[1;2H\x1b[38;2;255;0;0;48;2;0;0;0mx\x1b[0m\x1b[1;1H\x1b[?25h')
  const below = painter.text({ ...cells, cursor: [1, 2] })
  assert.ok(below.includes('ef'), 'the row of the cursor is seen')
  const image = {
    width: 2,
    height: 2,
    data: Uint8Array.from([255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 255, 255, 0, 0, 0, 255]),
  }
  const small = new TerminalPainter('256')
  small.resize(2, 1)
  assert.ok(small.image(image).includes('\x1b[38;5;196;48;5;21m▀'))
})

test('--display terminal shows the screen, sends keys, and Ctrl-] quits', async () => {
  const host = new FakeHost()
  host.firmwareFiles.seabios = [import.meta.filename, import.meta.filename]
  host.stdin.isTTY = true
  host.stdout.isTTY = true
  const status = program(['run', '--bios', 'seabios', '--display', 'terminal'], host)
  while (!host.machine.started) await new Promise(resolve => setTimeout(resolve, 1))
  assert.equal(host.request!.display, true)
  assert.equal(host.stdin.raw, true)
  assert.ok(host.stdout.text.startsWith('\x1b[?1049h'))
  host.stdin.push('a\x1b[A')
  while (!host.machine.input.events.includes('-ArrowUp')) await new Promise(resolve => setTimeout(resolve, 1))
  assert.deepEqual(host.machine.input.events, ['type a', '+ArrowUp', '-ArrowUp'])
  host.stdin.push('\x1d')
  assert.equal(await status, 0)
  assert.ok(host.stdout.text.endsWith('\x1b[?1049l'))
  assert.equal(host.stdin.raw, false)
})

test('--display terminal needs a terminal, and to itself', async () => {
  const host = new FakeHost()
  assert.equal(await program(['run', '--display', 'terminal', '--bios', 'x'], host), 1)
  assert.match(host.stderr.text, /both have to be a terminal/)
  const other = new FakeHost()
  assert.equal(await program(['run', '--display', 'terminal', '--serial', 'stdio'], other), 2)
  assert.match(other.stderr.text, /want the same terminal/)
})
