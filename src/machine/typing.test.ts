import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ps2Keyboard } from '../devices/ps2/keyboard.ts'
import { ManualClock } from '../devices/test-bus.ts'
import { Typist } from './typing.ts'

function setUp() {
  const clock = new ManualClock()
  const keyboard = new Ps2Keyboard(clock, { onReady() {} })
  const typist = new Typist(clock, keyboard)
  const ends: (string | undefined)[] = []
  const taken: number[] = []
  /** Lets time pass for a guest that takes every byte. */
  const read = (milliseconds: number) => {
    for (let i = 0; i < milliseconds; i++) {
      clock.advance(1e6)
      while (keyboard.ready) taken.push(keyboard.take())
    }
    return taken
      .splice(0)
      .map(byte => byte.toString(16))
      .join(' ')
  }
  return { clock, keyboard, typist, ends, read, done: (error?: string) => void ends.push(error) }
}

test('a text becomes keys, with Shift, AltGr and dead keys, one text behind another', () => {
  const { typist, ends, read, done } = setUp()
  typist.type('aB', 'us', done)
  typist.type('@é', 'de', done)
  assert.equal(
    read(300),
    '1c f0 1c 12 32 f0 32 f0 12 e0 11 15 f0 15 e0 f0 11 55 f0 55 24 f0 24',
    'a, Shift-B, AltGr-Q, acute and e',
  )
  assert.deepEqual(ends, [undefined, undefined])
})

test('Caps Lock turns letters around, so Shift does too', () => {
  const { keyboard, typist, read, done } = setUp()
  keyboard.write(0xed)
  keyboard.write(4)
  read(1)
  typist.type('aA1!', 'us', done)
  assert.equal(read(300), '12 1c f0 1c f0 12 1c f0 1c 16 f0 16 12 16 f0 16 f0 12')
})

test('a guest that reads nothing, a reset, and characters without keys end it with a sentence', () => {
  const { clock, keyboard, typist, ends, read, done } = setUp()
  typist.type('ab', 'us', done)
  clock.advance(20e9)
  assert.match(ends[0]!, /the guest does not read its keyboard/)
  read(10)
  typist.type('abc', 'us', done)
  read(8)
  typist.reset()
  assert.equal(ends[1], 'the guest was reset before all was typed')
  assert.deepEqual(keyboard.state.down, [])
  typist.type('€', 'us', done)
  assert.match(ends[2]!, /has no key for '€'/)
  typist.type('x'.repeat(2_000_000), 'us', done)
  assert.match(ends[3]!, /so much text cannot be typed/)
})
