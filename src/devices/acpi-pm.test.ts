import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AcpiPm } from './acpi-pm.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const events: string[] = []
  const pm = new AcpiPm(bus, { onPowerOff: () => void events.push('off') })
  return { bus, pm, events }
}

test('the timer counts 3579545 a second in 32 bits', () => {
  const { bus } = setUp()
  bus.clock.advance(1e9)
  assert.equal(bus.in(0x608, 4), 3579545)
  assert.equal(bus.in(0x608, 2), 3579545 & 0xffff)
  bus.clock.advance(1199e9)
  assert.equal(bus.in(0x608, 4), Math.floor((1200 * 315e6) / 88) % 2 ** 32)
})

test('its highest bit interrupts', () => {
  const { bus } = setUp()
  bus.out(0xb2, 0xf1)
  assert.equal(bus.in(0x604, 2), 1)
  bus.out(0x602, 1, 2)
  bus.clock.advance(599e9)
  assert.equal(bus.line(9), false)
  bus.clock.advance(2e9)
  assert.equal(bus.line(9), true)
  assert.equal(bus.in(0x600, 2), 1)
  bus.out(0x600, 1, 2)
  assert.equal(bus.line(9), false)
})

test('the power button asks through the SCI', () => {
  const { bus, pm } = setUp()
  bus.out(0x602, 0x100, 2)
  pm.pressPowerButton()
  assert.equal(bus.line(9), false, 'not before ACPI is on')
  bus.out(0xb2, 0xf1)
  assert.equal(bus.line(9), true)
  bus.out(0x600, 0x100, 2)
  assert.equal(bus.in(0x600, 2), 0)
  assert.equal(bus.line(9), false)
  bus.out(0xb2, 0xf0)
  assert.equal(bus.in(0x604, 2), 0)
})

test('switching off, and sleeping in ways that are not offered', () => {
  const { bus, events } = setUp()
  bus.out(0x604, 0x0400, 2)
  bus.out(0x604, 0x2400, 2)
  assert.deepEqual(events, [])
  assert.equal(bus.log.size, 1)
  bus.out(0x604, 0x2000, 2)
  assert.deepEqual(events, ['off'])
  assert.equal(bus.in(0x604, 2) & 0x2000, 0, 'SLP_EN reads as zero')
})

test('general-purpose events, and the block moves', () => {
  const { bus, pm } = setUp()
  bus.out(0xb2, 0xf1)
  pm.move(0xb000)
  assert.equal(bus.in(0x604, 2), 0xffff)
  bus.out(0xb022, 0x04)
  pm.raiseEvent(2)
  assert.equal(bus.line(9), true)
  bus.out(0xb020, 0x04)
  assert.equal(bus.line(9), false)
})
