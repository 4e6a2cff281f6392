import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MachineBus } from './bus.ts'
import { MachineClock } from './clock.ts'

function makeBus() {
  const log: string[] = []
  const bus = new MachineBus({
    clock: new MachineClock('instructions'),
    memory: { read: (_, length) => new Uint8Array(length), write: () => {}, views: () => [] },
    interrupt: () => ({ set: () => {} }),
    log: message => log.push(message),
  })
  return { bus, log }
}

/** A device that notes what it is asked and answers reads with a constant. */
function recorder(answer: number) {
  const calls: [string, number, number, number?][] = []
  const read = (at: number, size: number) => {
    calls.push(['read', at, size])
    return answer
  }
  return {
    calls,
    readPort: (port: number, size: number) => read(port, size),
    writePort: (port: number, size: number, value: number) => void calls.push(['write', port, size, value]),
    readMmio: (offset: number, size: number) => read(offset, size),
    writeMmio: (offset: number, size: number, value: number) => void calls.push(['write', offset, size, value]),
  }
}

test('a device that owns all ports of a wide access sees it whole', () => {
  const { bus } = makeBus()
  const device = recorder(-1)
  bus.ports(0xcf8, 8, device)
  assert.equal(bus.readPort(0xcf8, 4), 0xffffffff)
  bus.writePort(0xcfc, 4, 0x80000001)
  assert.deepEqual(device.calls, [
    ['read', 0xcf8, 4],
    ['write', 0xcfc, 4, 0x80000001],
  ])
})

test('a wide access across devices is split into bytes, empty ports read as ones', () => {
  const { bus, log } = makeBus()
  bus.ports(0x60, 1, recorder(0x112))
  bus.ports(0x61, 1, recorder(0x34))
  assert.equal(bus.readPort(0x60, 4), 0xffff3412)
  assert.equal(bus.readPort(0x500, 4), 0xffffffff)
  assert.equal(bus.readPort(0x500, 2), 0xffff)
  const before = log.length
  bus.readPort(0x500, 4)
  bus.writePort(0x500, 1, 0)
  assert.equal(log.length, before)
})

test('an access at the last port does not run beyond it', () => {
  const { bus } = makeBus()
  const device = recorder(0x77)
  bus.ports(0xffff, 1, device)
  assert.equal(bus.readPort(0xffff, 1), 0x77)
  assert.equal(bus.readPort(0xffff, 2), 0xff77)
})

test('two devices on one port is a mistake, but a guest may move a range over another', () => {
  const { bus } = makeBus()
  bus.ports(0x3f8, 8, recorder(1))
  assert.throws(() => bus.ports(0x3ff, 1, recorder(2)), /0x3ff overlap another device's at 0x3f8/)
  const mobile = bus.ports(undefined, 4, recorder(2))
  mobile.move(0x3fe)
  assert.equal(bus.readPort(0x3ff, 1), 1)
  assert.equal(bus.readPort(0x400, 1), 2)
  mobile.move(0xfffe)
  assert.equal(bus.readPort(0xffff, 1), 2)
  assert.equal(bus.readPort(0x400, 1), 0xff)
  mobile.move(undefined)
  assert.equal(bus.readPort(0xffff, 1), 0xff)
})

test('unaligned MMIO becomes aligned accesses, and the ends of a region are respected', () => {
  const { bus } = makeBus()
  const device = recorder(0xa1b2c3d4)
  bus.mmio(0xfec00000, 0x20, device)
  assert.equal(bus.readMmio(0xfec00010, 4), 0xa1b2c3d4)
  bus.writeMmio(0xfec00001, 4, 0x44332211)
  assert.deepEqual(device.calls, [
    ['read', 0x10, 4],
    ['write', 1, 1, 0x11],
    ['write', 2, 1, 0x22],
    ['write', 3, 1, 0x33],
    ['write', 4, 1, 0x44],
  ])
  assert.equal(bus.readMmio(0xfec00020, 4), 0xffffffff)
})

test('of overlapping MMIO regions the earlier one answers, also after the other was hit', () => {
  const { bus } = makeBus()
  bus.mmio(0xfee00000, 0x1000, recorder(1))
  const mobile = bus.mmio(0xe0000000, 0x2000, recorder(2))
  assert.equal(bus.readMmio(0xe0000000, 4), 2)
  mobile.move(0xfedff000)
  assert.equal(bus.readMmio(0xfedff000, 4), 2)
  assert.equal(bus.readMmio(0xfee00000, 4), 1)
  mobile.move(undefined)
  assert.equal(bus.readMmio(0xfedff000, 4), 0xffffffff)
})

test('the log is bounded whatever a guest does', () => {
  const { bus, log } = makeBus()
  for (let i = 0; i < 5000; i++) bus.logOnce(`key ${i}`, 'x')
  assert.ok(log.length <= 1001)
})
