import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TcoWatchdog } from './tco.ts'
import { TestBus } from './test-bus.ts'

const BASE = 0x660
const SECOND = 1_000_000_000

function setUp(noReboot = false) {
  const bus = new TestBus(0x1000)
  let resets = 0
  const watchdog = new TcoWatchdog(bus, { onReset: () => resets++, noReboot: () => noReboot })
  watchdog.move(0x600)
  return { bus, watchdog, resets: () => resets }
}

test('it is halted, then counts in ticks of 0.6 s and resets the machine when it has run out twice', () => {
  const { bus, watchdog, resets } = setUp()
  bus.clock.advance(100 * SECOND)
  assert.equal(bus.in(BASE + 8, 2), 0x0800)
  bus.out(BASE + 0x12, 10, 2)
  bus.out(BASE, 1, 2)
  bus.out(BASE + 8, 0, 2)
  bus.clock.advance(3 * SECOND)
  assert.equal(bus.in(BASE, 2), 5)
  bus.out(BASE, 1, 2)
  bus.clock.advance(6.5 * SECOND)
  assert.equal(bus.in(BASE + 4, 2), 8)
  assert.equal(resets(), 0)
  bus.clock.advance(6 * SECOND)
  assert.equal(resets(), 1)
  watchdog.reset()
  assert.equal(bus.in(BASE + 6, 2), 2, 'why the machine was reset')
  bus.clock.advance(100 * SECOND)
  assert.equal(resets(), 1)
})

test('a reload takes the first time back; with NO_REBOOT nothing is reset; a lock stays', () => {
  const { bus, resets } = setUp(true)
  bus.out(BASE + 0x12, 4, 2)
  bus.out(BASE + 8, 0x1000, 2)
  bus.out(BASE + 8, 0, 2)
  assert.equal(bus.in(BASE + 8, 2), 0x1000)
  bus.clock.advance(2.5 * SECOND)
  assert.equal(bus.in(BASE + 4, 2), 8)
  bus.out(BASE + 5, 0xff, 1)
  assert.equal(bus.in(BASE + 4, 2), 8, 'a byte clears no bits of the other')
  bus.out(BASE + 0xa, 0xff, 2)
  assert.equal(bus.in(BASE + 0xa, 2), 0x3f)
  bus.out(BASE, 0, 2)
  assert.equal(bus.in(BASE + 4, 2), 0)
  bus.clock.advance(10 * SECOND)
  assert.deepEqual([bus.in(BASE + 6, 2), resets()], [2, 0])
})
