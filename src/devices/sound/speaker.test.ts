import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pit8254 } from '../pit8254.ts'
import { TestBus } from '../test-bus.ts'
import { PIT_RATE } from '../ticks.ts'
import { Speaker } from './speaker.ts'
import { amplitude, strongest, TestListener } from './test-signal.ts'

function setUp() {
  const bus = new TestBus()
  const pit = new Pit8254(bus, { onSpeaker: () => speaker.change() })
  const listener = new TestListener(bus.clock)
  const speaker: Speaker = new Speaker(listener.mixer, bus.clock, () => pit.speaker)
  const tone = (count: number) => {
    bus.out(0x43, 0xb6)
    bus.out(0x42, count & 0xff)
    bus.out(0x42, count >> 8)
  }
  return { bus, listener, tone }
}

test('1000 Hz of the timer is 1000 Hz, a square: odd harmonics by their number, no even ones', () => {
  const { bus, listener, tone } = setUp()
  tone(1193)
  bus.out(0x61, 3)
  bus.clock.advance(1e9)
  bus.out(0x61, 0)
  bus.clock.advance(1e9)
  const heard = listener.channel(4800, 38400)
  assert.equal(Math.round(strongest(heard)), 1000)
  const fundamental = amplitude(heard, 1000.15)
  assert.ok(fundamental > 0.15)
  assert.ok(Math.abs(amplitude(heard, 3000.46) / fundamental - 1 / 3) < 0.02)
  assert.ok(amplitude(heard, 2000.3) < 0.005)
})

test('pulses of microseconds play samples: their width is the level', () => {
  const { bus, listener } = setUp()
  bus.out(0x43, 0x90) // counter 2, mode 0, low byte
  bus.out(0x61, 3)
  let tick = 100
  const rate = 315e6 / 264 / 72
  for (let i = 0; i < 16000; i++) {
    bus.clock.advance(PIT_RATE.timeOf(tick) - bus.clock.now())
    bus.out(0x42, Math.round(36 + 30 * Math.sin((2 * Math.PI * 440 * i) / rate)))
    tick += 72
  }
  const heard = listener.channel(4800, 38400)
  assert.equal(Math.round(strongest(heard)), 440)
  assert.ok(amplitude(heard, 440) > 0.1)
  assert.ok(amplitude(heard, 880) < 0.01)
})

test('silence wakes nobody: no callbacks before, after, or while nobody listens', () => {
  const { bus, listener, tone } = setUp()
  const before = bus.clock.callbacks
  tone(1193)
  bus.clock.advance(1e9)
  assert.equal(bus.clock.callbacks, before)
  bus.out(0x61, 3)
  bus.clock.advance(100e6)
  bus.out(0x61, 0)
  bus.clock.advance(200e6)
  const after = bus.clock.callbacks
  assert.ok(after > before)
  bus.clock.advance(1e9)
  assert.equal(bus.clock.callbacks, after)
  const { length } = listener.pieces
  listener.mixer.listen(false)
  bus.out(0x61, 3)
  bus.clock.advance(1e9)
  assert.equal(bus.clock.callbacks, after)
  listener.mixer.listen(true)
  bus.clock.advance(50e6)
  assert.ok(listener.pieces.length > length)
})

test('whatever the counter does, at whichever pace, costs a bounded time and stays in range', () => {
  const { bus, listener } = setUp()
  let seed = 5
  const random = (limit: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % limit
  }
  for (let i = 0; i < 5000; i++) {
    bus.out([0x43, 0x42, 0x61][random(3)], random(3) ? random(256) : 0xb0 | random(16))
    bus.clock.advance(random(20) ? random(100_000) : random(3e7))
  }
  assert.ok(listener.pieces.length > 0)
  let end = 0
  for (const { frame, samples } of listener.pieces) {
    assert.ok(frame >= end, 'no frame twice')
    end = frame + samples.length / 2
  }
})
