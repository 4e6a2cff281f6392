import assert from 'node:assert/strict'
import { test } from 'node:test'
import { I6300Esb } from './i6300esb.ts'
import { TestBus } from './test-bus.ts'

const BASE = 0xfe000000
const SECOND = 1_000_000_000
/** Preload of a stage that takes a second, by a clock of 33 MHz divided by 2^15. */
const ONE_SECOND = 1007

function setUp() {
  const bus = new TestBus(0x1000)
  let resets = 0
  const watchdog = new I6300Esb(bus, () => resets++)
  const { function: pci } = watchdog
  const map = () => {
    pci.write(0x10, 4, BASE)
    pci.write(0x04, 2, 2)
  }
  const unlock = () => {
    bus.store(BASE + 0xc, 0x80, 2)
    bus.store(BASE + 0xc, 0x86, 2)
  }
  const set = (offset: number, value: number) => {
    unlock()
    bus.store(BASE + offset, value, 4)
  }
  map()
  return { bus, watchdog, pci, map, set, unlock, resets: () => resets }
}

test('it resets the machine after two stages without a reload, and says so afterwards', () => {
  const { bus, watchdog, pci, map, set, resets } = setUp()
  assert.deepEqual([pci.read(0, 4), pci.read(8, 4) >>> 8], [0x25ab8086, 0x088000])
  pci.write(0x60, 2, 0x0003)
  set(0, ONE_SECOND)
  set(4, 2 * ONE_SECOND)
  bus.clock.advance(100 * SECOND)
  assert.equal(resets(), 0, 'it does not run yet')
  pci.write(0x68, 1, 2)
  for (let i = 0; i < 10; i++) {
    bus.clock.advance(2.5 * SECOND)
    set(0xc, 0x100)
  }
  assert.equal(bus.load(BASE + 8, 4), 1, 'the first stage ended')
  bus.store(BASE + 8, 1, 4)
  assert.equal(bus.load(BASE + 8, 4), 0)
  bus.clock.advance(2.9 * SECOND)
  assert.equal(resets(), 0)
  bus.clock.advance(0.2 * SECOND)
  assert.equal(resets(), 1)
  watchdog.reset()
  map()
  assert.equal(bus.load(BASE + 0xc, 2), 0x200)
  set(0xc, 0x200)
  assert.equal(bus.load(BASE + 0xc, 2), 0)
  bus.clock.advance(100 * SECOND)
  assert.equal(resets(), 1)
})

test('a write counts behind the two unlocking ones only', () => {
  const { bus, set, unlock } = setUp()
  set(0, 77)
  bus.store(BASE, 88, 4)
  bus.store(BASE + 0xc, 0x86, 2)
  bus.store(BASE, 88, 4)
  bus.store(BASE + 0xc, 0x80, 2)
  bus.store(BASE, 88, 4)
  assert.equal(bus.load(BASE, 4), 77)
  bus.store(BASE + 0xc, 0x80, 2)
  unlock()
  bus.store(BASE, 99, 4)
  assert.equal(bus.load(BASE, 4), 99)
})

test('its output can be off, it can run freely, be stopped, and be locked', () => {
  const { bus, pci, set, resets } = setUp()
  set(0, ONE_SECOND)
  set(4, ONE_SECOND)
  pci.write(0x60, 2, 0x20)
  pci.write(0x68, 1, 2)
  bus.clock.advance(10 * SECOND)
  pci.write(0x60, 2, 0)
  pci.write(0x68, 1, 6)
  bus.clock.advance(10 * SECOND)
  pci.write(0x68, 1, 0)
  bus.clock.advance(10 * SECOND)
  assert.equal(resets(), 0)
  pci.write(0x68, 1, 3)
  pci.write(0x68, 1, 0)
  assert.equal(pci.read(0x68, 1), 3)
  bus.clock.advance(2.1 * SECOND)
  assert.equal(resets(), 1)
})

test('however short its stages are, it does not keep the machine from its work', () => {
  const { bus, pci, set } = setUp()
  set(0, 0)
  set(4, 0)
  pci.write(0x60, 2, 0x24)
  pci.write(0x68, 1, 2)
  const before = bus.clock.callbacks
  bus.clock.advance(0.1 * SECOND)
  assert.ok(bus.clock.callbacks - before <= 1000)
})
