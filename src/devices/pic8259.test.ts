import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pic8259 } from './pic8259.ts'
import { TestBus } from './test-bus.ts'

function setUp(icw4 = 1): { bus: TestBus; pic: Pic8259 } {
  const bus = new TestBus()
  const pic = new Pic8259(bus, { set() {} })
  for (const [port, vector, wiring] of [
    [0x20, 0x20, 4],
    [0xa0, 0x28, 2],
  ]) {
    bus.out(port, 0x11)
    bus.out(port + 1, vector)
    bus.out(port + 1, wiring)
    bus.out(port + 1, icw4)
    bus.out(port + 1, 0)
  }
  return { bus, pic }
}

const pulse = (pic: Pic8259, irq: number) => {
  pic.setLine(irq, true)
  pic.setLine(irq, false)
}

test('fully nested: higher priority interrupts lower, EOI in order', () => {
  const { bus, pic } = setUp()
  pulse(pic, 5)
  assert.equal(pic.output, true)
  assert.equal(pic.acknowledge(), 0x25)
  pulse(pic, 7)
  assert.equal(pic.output, false)
  pulse(pic, 3)
  assert.equal(pic.acknowledge(), 0x23)
  bus.out(0x20, 0x0b)
  assert.equal(bus.in(0x20), 0x28)
  bus.out(0x20, 0x0a)
  assert.equal(bus.in(0x20), 0x80)
  bus.out(0x20, 0x20)
  assert.equal(pic.output, false)
  bus.out(0x20, 0x20)
  assert.equal(pic.acknowledge(), 0x27)
})

test('the slave cascades through input 2, and needs both EOIs', () => {
  const { bus, pic } = setUp()
  pulse(pic, 12)
  assert.equal(pic.acknowledge(), 0x2c)
  pulse(pic, 8)
  assert.equal(pic.output, false, 'the master has its input 2 in service')
  bus.out(0x20, 0x62)
  assert.equal(pic.acknowledge(), 0x28)
  bus.out(0xa0, 0x0b)
  assert.equal(bus.in(0xa0), 0x11)
  bus.out(0xa0, 0x60)
  assert.equal(bus.in(0xa0), 0x10)
})

test('spurious interrupts are IRQ 7 and 15, without their service bit', () => {
  const { bus, pic } = setUp()
  assert.equal(pic.acknowledge(), 0x27)
  bus.out(0x20, 0x0b)
  assert.equal(bus.in(0x20), 0)
  bus.out(0x4d1, 0x0c)
  assert.equal(bus.in(0x4d0, 2), 0x0c00)
  pic.setLine(11, true)
  assert.equal(pic.output, true)
  pic.setLine(11, false)
  assert.equal(pic.output, false, 'a level that goes takes its request along')
})

test('a level triggered input requests again after EOI while it is high', () => {
  const { bus, pic } = setUp()
  bus.out(0x4d0, 0xff)
  assert.equal(bus.in(0x4d0), 0xf8, 'timer, keyboard and cascade stay edge triggered')
  pic.setLine(5, true)
  assert.equal(pic.acknowledge(), 0x25)
  assert.equal(pic.output, false)
  bus.out(0x20, 0x20)
  assert.equal(pic.output, true)
  pic.setLine(5, false)
  assert.equal(pic.output, false)
})

test('mask, initialisation and edges', () => {
  const { bus, pic } = setUp()
  bus.out(0x21, 0xfe)
  assert.equal(bus.in(0x21), 0xfe)
  pic.setLine(4, true)
  assert.equal(pic.output, false)
  bus.out(0x21, 0)
  assert.equal(pic.output, true, 'an edge is kept while masked')
  bus.out(0x20, 0x11)
  bus.out(0x21, 0x40)
  bus.out(0x21, 4)
  bus.out(0x21, 1)
  assert.equal(bus.in(0x21), 0)
  assert.equal(pic.output, false, 'ICW1 forgets edges')
})

test('automatic EOI and rotation', () => {
  const { bus, pic } = setUp(3)
  pulse(pic, 1)
  assert.equal(pic.acknowledge(), 0x21)
  bus.out(0x20, 0x0b)
  assert.equal(bus.in(0x20), 0)
  const second = setUp()
  pulse(second.pic, 4)
  second.pic.acknowledge()
  second.bus.out(0x20, 0xa0)
  pulse(second.pic, 4)
  pulse(second.pic, 5)
  assert.equal(second.pic.acknowledge(), 0x25, 'what was served has become the lowest')
  second.bus.out(0x20, 0xc3)
  second.bus.out(0x20, 0x65)
  assert.equal(second.pic.acknowledge(), 0x24)
})

test('special mask mode lets lower ones through; poll acknowledges', () => {
  const { bus, pic } = setUp()
  pulse(pic, 2 + 1)
  pic.acknowledge()
  pulse(pic, 6)
  bus.out(0x21, 8)
  assert.equal(pic.output, false)
  bus.out(0x20, 0x68)
  assert.equal(pic.output, true)
  bus.out(0x20, 0x0c)
  assert.equal(bus.in(0x20), 0x86)
  assert.equal(pic.output, false)
  bus.out(0x20, 0x0c)
  assert.equal(bus.in(0x20), 0)
})
