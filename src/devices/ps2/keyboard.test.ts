import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../test-bus.ts'
import { Ps2Keyboard } from './keyboard.ts'
import { KEYS } from './scan-codes.ts'

function setUp() {
  const clock = new ManualClock()
  const keyboard = new Ps2Keyboard(clock, { onReady() {} })
  const sent = () => {
    const bytes: string[] = []
    while (keyboard.ready) bytes.push(keyboard.take().toString(16).padStart(2, '0'))
    return bytes.join(' ')
  }
  const ask = (...bytes: number[]) => {
    for (const byte of bytes) keyboard.write(byte)
    return sent()
  }
  const key = (name: string) => {
    keyboard.press(name)
    const make = sent()
    keyboard.release(name)
    return `${make} / ${sent()}`
  }
  return { clock, keyboard, sent, ask, key }
}

test('keys in all three sets', () => {
  const { ask, key, keyboard, sent } = setUp()
  assert.equal(key('KeyA'), '1c / f0 1c')
  assert.equal(key('ArrowUp'), 'e0 75 / e0 f0 75')
  assert.equal(key('PrintScreen'), 'e0 12 e0 7c / e0 f0 7c e0 f0 12')
  assert.equal(key('Pause'), 'e1 14 77 e1 f0 14 f0 77 / ')
  keyboard.press('ControlLeft')
  sent()
  assert.equal(key('Pause'), 'e0 7e e0 f0 7e / ', 'Break')
  keyboard.release('ControlLeft')
  sent()
  assert.equal(ask(0xf0, 1), 'fa')
  assert.equal(key('KeyA'), '1e / 9e')
  assert.equal(key('F11'), '57 / d7')
  assert.equal(key('ControlRight'), 'e0 1d / e0 9d')
  assert.equal(ask(0xf0, 3), 'fa')
  assert.equal(key('KeyA'), '1c / ', 'typematic keys do not report their release')
  assert.equal(key('ShiftLeft'), '12 / f0 12')
  assert.equal(ask(0xf8), 'fa')
  assert.equal(key('KeyA'), '1c / f0 1c')
  assert.equal(ask(0xf0, 0), 'fa 03')
  assert.equal(key('NoSuchKey'), ' / ')
})

test('every key has a code of its own in sets 1 and 2', () => {
  for (const set of [1, 2]) {
    const { ask, key } = setUp()
    ask(0xf0, set)
    const seen = new Map<string, string>()
    for (const name of KEYS.keys()) {
      const codes = key(name)
      assert.ok(!seen.has(codes), `${name} and ${seen.get(codes)} are both ${codes} in set ${set}`)
      seen.set(codes, name)
    }
    assert.ok(seen.size >= 105)
  }
})

test('commands: identification, echo, LEDs, resend, reset, what it does not know', () => {
  const { clock, keyboard, sent, ask, key } = setUp()
  assert.equal(ask(0xf2), 'fa ab 83')
  assert.equal(ask(0xfe), '83')
  assert.equal(ask(0xee), 'ee')
  assert.equal(ask(0xed, 4), 'fa')
  assert.deepEqual(keyboard.leds, { scroll: false, num: false, caps: true })
  assert.equal(ask(0xed, 0xf4), 'fa', 'a command in place of an argument')
  assert.equal(ask(0xf5), 'fa')
  assert.equal(key('KeyA'), ' / ', 'disabled')
  assert.equal(ask(0xf4), 'fa')
  assert.equal(key('KeyA'), '1c / f0 1c')
  assert.equal(ask(0xf0, 7), 'fe')
  assert.equal(ask(0xe1), 'fe')
  assert.equal(ask(0xff), 'fa')
  clock.advance(10e6)
  assert.equal(sent(), 'aa')
})

test('a key repeats after half a second, 10.9 times a second, as long as somebody takes it', () => {
  const { clock, keyboard, sent, ask } = setUp()
  keyboard.press('KeyA')
  assert.equal(sent(), '1c')
  clock.advance(490e6)
  assert.equal(sent(), '')
  clock.advance(20e6)
  assert.equal(sent(), '1c')
  let count = 0
  for (let i = 0; i < 1000; i++) {
    clock.advance(1e6)
    if (sent() !== '') count++
  }
  assert.ok(count >= 10 && count <= 11, `${count}`)
  clock.advance(5e9)
  assert.equal(sent(), '1c', 'nobody took it')
  keyboard.release('KeyA')
  assert.equal(sent(), 'f0 1c')
  clock.advance(2e9)
  assert.equal(sent(), '')
  keyboard.press('KeyA')
  keyboard.press('KeyB')
  keyboard.release('KeyA')
  sent()
  clock.advance(510e6)
  assert.equal(sent(), '32', 'the last one that was pressed goes on')
  keyboard.release('KeyB')
  sent()
  ask(0xf3, 0)
  keyboard.press('KeyB')
  sent()
  clock.advance(260e6)
  assert.equal(sent(), '32')
})

test('what nobody reads is lost, and that is told', () => {
  const { keyboard, sent } = setUp()
  for (let i = 0; i < 50; i++) {
    keyboard.press('KeyA')
    keyboard.release('KeyA')
  }
  assert.equal(sent(), `${'1c f0 1c '.repeat(5)}1c 00`)
})
