import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AcpiPm } from './acpi-pm.ts'
import { PciBus } from './pci.ts'
import { PciFunction } from './pci-function.ts'
import { createQ35, pirqOfQ35 } from './q35.ts'
import { SmbusHost } from './smbus.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const pci = new PciBus(bus, { wires: 8, wireOf: pirqOfQ35 })
  const acpi = new AcpiPm(bus, { onPowerOff() {} })
  const smbus = new SmbusHost(bus)
  const shadows: number[][] = []
  const q35 = createQ35(bus, { pci, acpi, smbus, onShadow: registers => void shadows.push([...registers]) })
  const at = (slot: number, number: number, offset: number) => {
    bus.out(0xcf8, 0x80000000 | (slot << 11) | (number << 8) | (offset & 0xfc), 4)
    return 0xcfc + (offset & 3)
  }
  const write = (slot: number, number: number, offset: number, value: number, size: 1 | 2 | 4 = 4) =>
    bus.out(at(slot, number, offset), value >>> 0, size)
  const read = (slot: number, number: number, offset: number, size: 1 | 2 | 4 = 4) =>
    bus.in(at(slot, number, offset), size)
  return { bus, pci, q35, shadows, read, write }
}

test('the functions of the chipset, and configuration space in memory', () => {
  const { bus, q35, read, write } = setUp()
  assert.equal(read(0, 0, 0), 0x29c08086)
  assert.equal(read(31, 0, 0), 0x29188086)
  assert.equal(read(31, 3, 0), 0x29308086)
  assert.equal(read(31, 0, 0x0e, 1), 0x80)
  assert.equal(q35.configurationBase(), undefined)
  write(0, 0, 0x60, 0xb0000001)
  assert.equal(q35.configurationBase(), 0xb0000000)
  assert.equal(bus.load(0xb0000000), 0x29c08086)
  assert.equal(bus.load(0xb0000000 + (31 << 15) + (3 << 12), 2), 0x8086)
  assert.equal(bus.load(0xb0000000 + (5 << 15)), 0xffffffff)
  assert.equal(bus.load(0xb0100000), 0xffffffff, 'there is no bus 1')
  assert.equal(bus.load(0xb0000100), 0, 'no extended capabilities')
  bus.store(0xb0000000 + (31 << 15) + 0x60, 0x0b, 1)
  assert.equal(read(31, 0, 0x60, 1), 0x0b)
  write(0, 0, 0x60, 0)
  assert.equal(bus.load(0xb0000000), 0xffffffff)
})

test('eight interrupt wires, and where the PIC has them', () => {
  const { bus, pci, write } = setUp()
  assert.deepEqual([pirqOfQ35(2, 1), pirqOfQ35(3, 1), pirqOfQ35(3, 4), pirqOfQ35(31, 2)], [6, 7, 6, 1])
  const card = new PciFunction(bus, { name: 'card', vendorId: 1, deviceId: 1, classCode: 0, interruptPin: 1 })
  pci.add(3, 0, card)
  card.interrupt.set(true)
  assert.equal(bus.line(23), true)
  assert.equal(bus.line(11), false)
  write(31, 0, 0x6b, 11, 1)
  assert.equal(bus.line(11), true)
  write(31, 0, 0x6b, 0x80, 1)
  assert.equal(bus.line(11), false)
})

test('shadow registers, power management base, SMI enable, chipset configuration, reset', () => {
  const { bus, q35, shadows, read, write } = setUp()
  write(0, 0, 0x91, 0x33, 1)
  write(0, 0, 0x9d, 0x4a, 1)
  assert.deepEqual(shadows.at(-1), [0, 0x33, 0, 0, 0, 0, 0, 0x4a])
  write(31, 0, 0x40, 0xb001)
  assert.equal(bus.in(0xb030, 4) & 0x20, 0x20)
  assert.equal(bus.in(0x630, 4), 0xffffffff)
  write(31, 0, 0x44, 0, 1)
  assert.equal(bus.in(0xb030, 4), 0xffffffff)
  write(31, 0, 0xf0, 0xfed1c001)
  assert.equal(bus.load(0xfed1c000 + 0x3140, 2), 0x3210)
  bus.store(0xfed1c000 + 0x3410, 0x20)
  assert.equal(bus.load(0xfed1c000 + 0x3410), 0x20)
  for (const device of q35.devices) device.reset()
  assert.equal(read(31, 0, 0x40), 0x601)
  assert.equal(bus.load(0xfed1c000 + 0x3140, 2), 0xffff)
  q35.openShadow()
  assert.deepEqual(shadows.at(-1), [0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 2])
})

test('SMBus: where the chipset puts it, and nobody answers', () => {
  const { bus, write } = setUp()
  write(31, 3, 0x20, 0x700)
  write(31, 3, 0x40, 1, 1)
  assert.equal(bus.in(0x700), 0xff)
  write(31, 3, 4, 1, 2)
  assert.equal(bus.in(0x700), 0)
  bus.out(0x704, 0xa1)
  bus.out(0x702, 0x48)
  assert.equal(bus.in(0x700), 0x06)
  assert.equal(bus.in(0x702), 0x08)
  bus.out(0x700, 0x06)
  assert.equal(bus.in(0x700), 0)
})
