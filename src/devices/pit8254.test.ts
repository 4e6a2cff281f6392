import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pit8254 } from './pit8254.ts'
import { TestBus } from './test-bus.ts'
import { PIT_RATE } from './ticks.ts'

function setUp(): { bus: TestBus; pit: Pit8254; to: (tick: number) => void } {
  const bus = new TestBus()
  const pit = new Pit8254(bus)
  return { bus, pit, to: tick => bus.clock.advance(PIT_RATE.timeOf(tick) - bus.clock.now()) }
}

/** Programs a counter, low byte then high. */
function program(bus: TestBus, counter: number, mode: number, count: number, bcd = 0): void {
  bus.out(0x43, (counter << 6) | 0x30 | (mode << 1) | bcd)
  bus.out(0x40 + counter, count & 0xff)
  bus.out(0x40 + counter, count >> 8)
}

const read = (bus: TestBus, counter: number): number => {
  bus.out(0x43, counter << 6)
  return bus.in(0x40 + counter) | (bus.in(0x40 + counter) << 8)
}

test('mode 2 interrupts at its rate, without drift over an hour', () => {
  const { bus } = setUp()
  program(bus, 0, 2, 11932)
  const before = bus.edges[0] ?? 0
  bus.clock.advance(3600e9)
  // 3600 s at 1193181.81.. Hz / 11932.
  assert.equal((bus.edges[0] ?? 0) - before, Math.floor((3600 * 315e6) / 264 / 11932))
})

test('mode 0: low until the count is reached, then high; reading goes on below zero', () => {
  const { bus, to } = setUp()
  program(bus, 0, 0, 100)
  assert.equal(bus.line(0), false)
  to(1)
  assert.equal(read(bus, 0), 100)
  to(51)
  assert.equal(read(bus, 0), 50)
  to(100)
  assert.equal(bus.line(0), false)
  to(101)
  assert.equal(bus.line(0), true)
  to(102)
  assert.equal(read(bus, 0), 0xffff)
  bus.clock.advance(1e9)
  assert.equal(bus.edges[0], 1)
})

test('the gate of counter 2, port 61h, and mode 0 as Linux calibrates with it', () => {
  const { bus, to } = setUp()
  bus.out(0x61, 0)
  program(bus, 2, 0, 1000)
  to(500)
  assert.equal(bus.in(0x61) & 0x20, 0)
  assert.equal(read(bus, 2), 1000, 'the gate holds it')
  bus.out(0x61, 1)
  to(500 + 998)
  assert.equal(bus.in(0x61) & 0x20, 0)
  bus.out(0x61, 0)
  to(3000)
  bus.out(0x61, 1)
  to(3000 + 4)
  assert.equal(bus.in(0x61) & 0x21, 0x21)
  const toggle = bus.in(0x61) & 0x10
  bus.clock.advance(15_085)
  assert.notEqual(bus.in(0x61) & 0x10, toggle)
})

test('mode 3 is a square wave: odd counts have the longer half high', () => {
  const { bus, to } = setUp()
  bus.out(0x61, 1)
  program(bus, 2, 3, 7)
  let wave = ''
  for (let tick = 1; tick <= 14; tick++) {
    to(tick)
    wave += bus.in(0x61) & 0x20 ? '1' : '0'
  }
  assert.equal(wave, '11110001111000')
  program(bus, 2, 3, 8)
  const base = 15
  const counts: number[] = []
  for (let tick = base; tick < base + 8; tick++) {
    to(tick)
    counts.push(read(bus, 2))
  }
  assert.deepEqual(counts, [8, 6, 4, 2, 8, 6, 4, 2])
})

test('modes 1 and 5 wait for a trigger, mode 4 strobes once', () => {
  const { bus, to } = setUp()
  bus.out(0x61, 0)
  program(bus, 2, 1, 10)
  to(50)
  assert.equal(bus.in(0x61) & 0x20, 0x20)
  bus.out(0x61, 1)
  to(51)
  assert.equal(bus.in(0x61) & 0x20, 0)
  to(60)
  assert.equal(bus.in(0x61) & 0x20, 0)
  to(61)
  assert.equal(bus.in(0x61) & 0x20, 0x20)
  bus.out(0x61, 0)
  program(bus, 2, 5, 10)
  to(100)
  bus.out(0x61, 1)
  to(110)
  assert.equal(bus.in(0x61) & 0x20, 0x20)
  to(111)
  assert.equal(bus.in(0x61) & 0x20, 0)
  to(112)
  assert.equal(bus.in(0x61) & 0x20, 0x20)
  program(bus, 0, 4, 20)
  const edges = bus.edges[0]
  bus.clock.advance(1e9)
  assert.equal(bus.edges[0], edges + 1)
})

test('BCD, latches and read-back', () => {
  const { bus, to } = setUp()
  program(bus, 0, 2, 0x1000, 1)
  to(2)
  assert.equal(read(bus, 0), 0x0999)
  bus.out(0x43, 0xc2)
  to(10)
  assert.equal(bus.in(0x40), 0x80 | 0x30 | 4 | 1)
  assert.equal(bus.in(0x40) | (bus.in(0x40) << 8), 0x0999)
  assert.equal(bus.in(0x40) | (bus.in(0x40) << 8), 0x0991)
  bus.out(0x43, 0x34)
  bus.out(0x43, 0xe2)
  assert.equal(bus.in(0x40) & 0x40, 0x40, 'null count until one is written')
})

test('a new count in mode 2 waits for the end of the period', () => {
  const { bus, to } = setUp()
  program(bus, 0, 2, 100)
  to(31)
  bus.out(0x40, 10)
  bus.out(0x40, 0)
  assert.equal(read(bus, 0), 70)
  to(101)
  assert.equal(read(bus, 0), 10)
  to(104)
  assert.equal(read(bus, 0), 7)
})

test('a count of two cannot make a storm, and the HPET can take the wire', () => {
  const { bus, pit } = setUp()
  program(bus, 0, 2, 2)
  const before = bus.clock.callbacks
  bus.clock.advance(1e9)
  assert.ok(bus.clock.callbacks - before <= 50_000)
  pit.connect(false)
  const edges = bus.edges[0]
  bus.clock.advance(1e8)
  assert.equal(bus.edges[0], edges)
})
