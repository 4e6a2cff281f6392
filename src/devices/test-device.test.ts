import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestBus } from './test-bus.ts'
import { TestDevice } from './test-device.ts'

test('scratch ports, memory that remembers, wires', () => {
  const bus = new TestBus()
  const device = new TestDevice(bus)
  bus.out(0xe0, 0x12345678, 4)
  assert.equal(bus.in(0xe1, 2), 0x3456)
  bus.store(0xff000010, 0xdeadbeef)
  assert.equal(bus.load(0xff000012, 2), 0xdead)
  bus.out(0x200e, 1)
  bus.out(0x2003, 1, 4)
  assert.deepEqual([bus.line(14), bus.line(3), bus.line(4)], [true, true, false])
  bus.out(0x200e, 0)
  assert.equal(bus.line(14), false)
  device.reset()
  assert.equal(bus.line(3), false)
})
