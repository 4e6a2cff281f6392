import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestBus } from '../test-bus.ts'
import { Opl3 } from './opl3.ts'
import { amplitude, strongest, TestListener } from './test-signal.ts'

function setUp() {
  const bus = new TestBus()
  const listener = new TestListener(bus.clock)
  const card = new Opl3(bus, listener.mixer, { card: 0x220, loudness: () => [1, 1] })
  const write = (register: number, value: number) => {
    const port = register < 0x100 ? 0x388 : 0x38a
    bus.out(port, register & 0xff)
    bus.out(port + 1, value)
  }
  /** A plain sine on an operator: loud, at once, for as long as the key is held. */
  const operator = (offset: number, level: number, multiple = 1) => {
    write(0x20 + offset, 0x20 | multiple)
    write(0x40 + offset, level)
    write(0x60 + offset, 0xf0)
    write(0x80 + offset, 0x0f)
    write(0xe0 + offset, 0)
  }
  const heard = (nanoseconds: number) => {
    const from = Math.ceil(bus.clock.now() * 48e-6)
    bus.clock.advance(nanoseconds)
    bus.clock.advance(20e6)
    return listener.channel(from, Math.floor(nanoseconds * 48e-6))
  }
  return { bus, card, listener, write, operator, heard }
}
/** A' is frequency number 580 in block 4: 580 · 49716 / 2^16 Hz. */
const HERTZ = (580 * (315e6 / 22 / 288)) / 2 ** 16

test('AdLib is found by its timers, and OPL3 by a status without bits', () => {
  const { bus, write } = setUp()
  write(4, 0x60)
  write(4, 0x80)
  assert.equal(bus.in(0x388) & 0xe0, 0)
  write(2, 0xff)
  write(4, 0x21)
  bus.clock.advance(79_000)
  assert.equal(bus.in(0x388) & 0xe0, 0)
  bus.clock.advance(2_000)
  assert.equal(bus.in(0x388) & 0xe0, 0xc0)
  assert.equal(bus.in(0x220), 0xc0)
  write(4, 0x60)
  write(4, 0x80)
  assert.equal(bus.in(0x228), 0)
})

test('a note has its frequency, and is a sine; it ends, and then nothing wakes up any more', () => {
  const { bus, write, operator, heard } = setUp()
  operator(0x00, 0x3f)
  operator(0x03, 0)
  write(0xc0, 1)
  write(0xa0, 580 & 0xff)
  write(0xb0, 0x20 | (4 << 2) | (580 >> 8))
  const sound = heard(1e9)
  assert.ok(Math.abs(strongest(sound) - HERTZ) < 0.6, `${strongest(sound)} Hz, not ${HERTZ}`)
  const own = amplitude(sound, HERTZ)
  assert.ok(own > 0.2, `${own}`)
  for (const multiple of [2, 3, 4]) assert.ok(amplitude(sound, multiple * HERTZ) < own / 500)
  write(0xb0, (4 << 2) | (580 >> 8))
  bus.clock.advance(500e6)
  const { callbacks } = bus.clock
  bus.clock.advance(1e9)
  assert.equal(bus.clock.callbacks, callbacks)
})

test('a level of 16 steps is 12 dB less; both operators side by side are two tones', () => {
  const { write, operator, heard } = setUp()
  operator(0x00, 16, 3)
  operator(0x03, 0, 1)
  write(0xc0, 1)
  write(0xa0, 580 & 0xff)
  write(0xb0, 0x20 | (4 << 2) | (580 >> 8))
  const sound = heard(1e9)
  const ratio = amplitude(sound, 3 * HERTZ) / amplitude(sound, HERTZ)
  assert.ok(Math.abs(20 * Math.log10(ratio) + 12) < 0.3, `${20 * Math.log10(ratio)} dB`)
})

test('modulation makes sidebands; the second bank and pans need the new mode', () => {
  const { listener, bus, write, operator, heard } = setUp()
  write(0x105, 1)
  operator(0x100, 40, 2)
  operator(0x103, 0, 1)
  write(0x1c0, 0x10)
  write(0x1a0, 580 & 0xff)
  write(0x1b0, 0x20 | (4 << 2) | (580 >> 8))
  const sound = heard(1e9)
  assert.ok(amplitude(sound, HERTZ) > 0.05)
  assert.ok(amplitude(sound, 3 * HERTZ) > 0.01)
  assert.ok(amplitude(sound, 2 * HERTZ) < 0.001)
  const now = Math.floor(bus.clock.now() * 48e-6)
  assert.ok(
    listener.channel(now - 9600, 4800, 1).every(value => value === 0),
    'only left',
  )
})

test('four operators, one after another or side by side, are one note', () => {
  const OPERATORS = [0x00, 0x03, 0x08, 0x0b]
  // Which of them are heard themselves, by the two bits of connection (YMF262 data sheet, 4-operator mode).
  for (const [first, second, ...carriers] of [
    [0, 0, 0x0b],
    [0, 1, 0x03, 0x0b],
    [1, 0, 0x00, 0x0b],
    [1, 1, 0x00, 0x08, 0x0b],
  ])
    for (const loud of OPERATORS) {
      const { write, operator, heard } = setUp()
      write(0x105, 1)
      write(0x104, 1)
      for (const offset of OPERATORS) operator(offset, offset === loud ? 0 : 0x3f)
      write(0xc0, 0x30 | first)
      write(0xc3, 0x30 | second)
      write(0xa0, 580 & 0xff)
      write(0xb0, 0x20 | (4 << 2) | (580 >> 8))
      const sound = heard(0.1e9)
      const isHeard = sound.some(value => Math.abs(value) > 0.05)
      assert.equal(isHeard, carriers.includes(loud), `connection ${first}${second}, operator ${loud.toString(16)}h`)
      if (isHeard) assert.ok(amplitude(sound, HERTZ) > 0.05)
    }
})

test('an envelope decays as it should: rate 8, from 10 % to 90 % in a little over two seconds by its table', () => {
  const { write, operator, heard } = setUp()
  operator(0x00, 0x3f)
  operator(0x03, 0)
  write(0x63, 0xf4)
  write(0x83, 0xff)
  write(0x23, 0x21)
  write(0xa0, 0xff)
  write(0xb0, 0x20 | 1)
  const sound = heard(4e9)
  const level = (from: number) => Math.max(...sound.subarray(from, from + 9600).map(Math.abs))
  // Decay 4 is rate 16: a step of 3/16 dB in 512 samples.
  const decibels = 20 * Math.log10(level(96_000) / level(0))
  const expected = (-2 * 49716 * 3) / 16 / 512
  assert.ok(Math.abs(decibels - expected) < 2, `${decibels} dB, not ${expected}`)
})

test('drums sound and end; random registers stay in range and bounded', () => {
  const { bus, write, operator, heard, listener } = setUp()
  for (const offset of [0x10, 0x11, 0x12, 0x13, 0x14, 0x15]) {
    operator(offset, 0)
    write(0x60 + offset, 0xf6)
    write(0x80 + offset, 0x66)
  }
  for (const channel of [6, 7, 8]) {
    write(0xa0 + channel, 0x80)
    write(0xb0 + channel, 0x0a)
  }
  for (const bit of [1, 2, 4, 8, 16]) {
    write(0xbd, 0x20)
    write(0xbd, 0x20 | bit)
    assert.ok(
      heard(50e6).some(value => Math.abs(value) > 0.02),
      `drum ${bit}`,
    )
    write(0xbd, 0x20)
    bus.clock.advance(300e6)
  }
  let seed = 9
  for (let i = 0; i < 20_000; i++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    bus.out([0x388, 0x389, 0x38a, 0x38b][(seed >> 8) & 3], (seed >> 16) & 255)
    if (i % 50 === 0) bus.clock.advance(1e6)
  }
  assert.ok(listener.pieces.at(-1)!.samples.every(Number.isInteger))
})
