import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cmosMemorySize, Rtc } from './rtc.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const rtc = new Rtc(bus, { cmos: cmosMemorySize(256 << 20, 0) })
  const read = (index: number) => {
    bus.out(0x70, index)
    return bus.in(0x71)
  }
  const write = (index: number, value: number) => {
    bus.out(0x70, index | 0x80)
    bus.out(0x71, value)
  }
  const time = () => [0x32, 9, 8, 7, 6, 4, 2, 0].map(read)
  return { bus, rtc, read, write, time }
}

test('the time in BCD and binary, 24 and 12 hours, over the end of a leap February', () => {
  const { bus, write, time, read } = setUp()
  assert.deepEqual(time(), [0x20, 0x24, 0x02, 0x28, 4, 0x23, 0x59, 0x50])
  write(0x0b, 4)
  assert.deepEqual(time(), [20, 24, 2, 28, 4, 0x80 | 11, 59, 50])
  bus.clock.advance(10e9)
  assert.deepEqual(time(), [20, 24, 2, 29, 5, 12, 0, 0])
  write(0x0b, 2)
  bus.clock.advance(86400e9)
  assert.deepEqual(time(), [0x20, 0x24, 0x03, 0x01, 6, 0, 0, 0])
  assert.equal(read(0x0d), 0x80)
  assert.equal(read(0x34) | (read(0x35) << 8), (256 - 16) * 16)
})

test('update in progress before each second', () => {
  const { bus, read } = setUp()
  bus.clock.advance(0.99e9)
  assert.equal(read(0x0a), 0x26)
  bus.clock.advance(0.0099e9)
  assert.equal(read(0x0a), 0xa6)
  assert.equal(read(0), 0x50)
  bus.clock.advance(0.0001e9)
  assert.equal(read(0x0a), 0x26)
  assert.equal(read(0), 0x51)
})

test('setting the time: SET holds it, and the divider starts with half a second', () => {
  const { bus, write, time } = setUp()
  write(0x0b, 0x82)
  write(0x0a, 0x76)
  for (const [index, value] of [
    [0, 0x58],
    [2, 0x59],
    [4, 0x23],
    [7, 0x31],
    [8, 0x12],
    [9, 0x99],
    [0x32, 0x19],
  ])
    write(index, value)
  bus.clock.advance(5e9)
  assert.deepEqual(time().slice(-3), [0x23, 0x59, 0x58])
  write(0x0b, 0x02)
  write(0x0a, 0x26)
  bus.clock.advance(0.4e9)
  assert.deepEqual(time().slice(-1), [0x58])
  bus.clock.advance(1.2e9)
  assert.deepEqual(time(), [0x20, 0, 1, 1, 7, 0, 0, 0])
})

test('periodic, update and alarm interrupts, acknowledged by reading register C', () => {
  const { bus, write, read } = setUp()
  write(0x0b, 0x42)
  bus.clock.advance(1e9 / 1024 + 10)
  assert.equal(bus.line(8), true)
  const callbacks = bus.clock.callbacks
  bus.clock.advance(0.5e9)
  assert.equal(bus.clock.callbacks, callbacks, 'until it is acknowledged nothing more happens')
  assert.equal(read(0x0c), 0xc0)
  assert.equal(bus.line(8), false)
  bus.edges[8] = 0
  for (let i = 0; i < 8192; i++) {
    bus.clock.advance(1e9 / 8192)
    if (bus.line(8)) read(0x0c)
  }
  assert.equal(bus.edges[8], 1024)
  write(0x0b, 0x12)
  read(0x0c)
  bus.clock.advance(1e9)
  assert.equal(read(0x0c), 0x90 | 0x40)
  write(0x01, 0x05)
  write(0x03, 0xff)
  write(0x05, 0x00)
  write(0x0b, 0x22)
  read(0x0c)
  const before = bus.edges[8]
  for (let i = 0; i < 3 * 3600; i++) {
    bus.clock.advance(1e9)
    if (bus.line(8)) assert.equal(read(0x0c) & 0xa0, 0xa0)
  }
  assert.equal(bus.edges[8] - before, 60)
})

test('flags without interrupts, for those who poll', () => {
  const { bus, read } = setUp()
  read(0x0c)
  bus.clock.advance(2e9)
  assert.equal(read(0x0c), 0x50)
  assert.equal(bus.line(8), false)
  assert.equal(bus.clock.next(), undefined)
})
