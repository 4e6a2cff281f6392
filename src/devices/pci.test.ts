import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AcpiPm } from './acpi-pm.ts'
import { createChipset } from './i440fx.ts'
import { Msi } from './msi.ts'
import { MsiX } from './msix.ts'
import { PciBus, pirqOf } from './pci.ts'
import { PciFunction } from './pci-function.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const cf9: number[] = []
  const registerCf9 = {
    readPort: () => 0x42,
    writePort: (_p: number, _s: number, value: number) => void cf9.push(value),
  }
  const pci = new PciBus(bus, { registerCf9 })
  const acpi = new AcpiPm(bus, { onPowerOff() {} })
  const chipset = createChipset(bus, { pci, acpi, routes: [10, 10, 11, 11] })
  const messages: number[][] = []
  const msix = new MsiX(3, (...message) => void messages.push(message))
  const memory = {
    readMmio: (offset: number) => 0x1000 + offset,
    writeMmio() {},
  }
  const card: PciFunction = new PciFunction(bus, {
    name: 'card',
    vendorId: 0x1af4,
    deviceId: 0x1044,
    classCode: 0x00ff00,
    interruptPin: 1,
    bars: [
      { kind: 'memory', size: 0x4000, handler: memory },
      { kind: 'memory', size: 0x1000, handler: msix.handler },
      { kind: 'ports', size: 32, handler: memory },
      undefined,
      { kind: 'memory64', size: 0x10000, prefetchable: true, handler: memory },
    ],
    capabilities: [{ id: 9, bytes: [0x10, 1, 2] }, msix.capability(1)],
    onWrite: (offset, size) => msix.configWritten(offset, size),
  })
  msix.attach(card)
  pci.add(3, 0, card)
  const select = (slot: number, offset: number) => bus.out(0xcf8, 0x80000000 | (slot << 11) | (offset & 0xfc), 4)
  const read = (slot: number, offset: number, size: 1 | 2 | 4 = 4) => {
    select(slot, offset)
    return bus.in(0xcfc + (offset & 3), size)
  }
  const write = (slot: number, offset: number, value: number, size: 1 | 2 | 4 = 4) => {
    select(slot, offset)
    bus.out(0xcfc + (offset & 3), value >>> 0, size)
  }
  return { bus, pci, acpi, chipset, card, msix, messages, read, write, cf9 }
}

test('configuration mechanism 1 as Linux probes it', () => {
  const { bus, read, cf9 } = setUp()
  bus.out(0xcfb, 1)
  bus.out(0xcf8, 0x80000000, 4)
  assert.equal(bus.in(0xcf8, 4), 0x80000000)
  assert.equal(bus.in(0xcfc, 4), 0x12378086)
  assert.equal(read(1, 0), 0x70008086)
  assert.equal(read(1, 0x0e, 1), 0x80)
  assert.equal(read(7, 0), 0xffffffff)
  assert.equal(read(0, 0x0a, 2), 0x0600)
  bus.out(0xcf8, 0x80010000, 4)
  assert.equal(bus.in(0xcfc, 4), 0xffffffff, 'there is no bus 1')
  bus.out(0xcf8, 0, 4)
  assert.equal(bus.in(0xcfc, 4), 0xffffffff, 'not enabled')
  bus.out(0xcf9, 6)
  assert.deepEqual(cf9, [6])
  assert.equal(bus.in(0xcf9), 0x42)
})

test('BARs: sizing, mapping, moving', () => {
  const { bus, read, write } = setUp()
  const sizes = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map(offset => {
    write(3, offset, 0xffffffff)
    return read(3, offset)
  })
  assert.deepEqual(sizes, [0xffffc000, 0xfffff000, 0xffffffe1, 0, 0xffff000c, 0xffffffff, 0])
  write(3, 0x10, 0xe0000000)
  write(3, 0x18, 0xc000)
  assert.equal(bus.load(0xe0000004), 0xffffffff, 'decoding is off')
  write(3, 4, 3, 2)
  assert.equal(bus.load(0xe0000004), 0x1004)
  assert.equal(bus.in(0xc008, 4), 0x1008)
  write(3, 0x10, 0xe0100000)
  assert.equal(bus.load(0xe0000004), 0xffffffff)
  assert.equal(bus.load(0xe0100004), 0x1004)
  write(3, 0x20, 0)
  write(3, 0x24, 1)
  assert.equal(bus.load(0x100000008), 0x1008)
})

test('assigning as firmware does', () => {
  const { bus, pci, card, read } = setUp()
  const windows = { memory: { start: 0xe0000000, length: 0x1000000 }, ports: { start: 0xc000, length: 0x1000 } }
  pci.assign(windows, [10, 10, 11, 11])
  assert.equal(read(3, 0x10), 0xe0000000)
  assert.equal(read(3, 0x20), 0xe001000c)
  assert.equal(read(3, 0x3c, 2), 0x010b)
  assert.equal(bus.load(0xe0010000), 0x1000)
  assert.equal(card.capability(9), 0x40)
  assert.throws(
    () => pci.assign({ ...windows, ports: { start: 0xc000, length: 16 } }, []),
    /ports is too small for BAR 2/,
  )
})

test('INTx: wires by slot and pin, ISA routes, disable bit, status', () => {
  const { bus, card, read, write } = setUp()
  assert.deepEqual([pirqOf(1, 1), pirqOf(3, 1), pirqOf(4, 2)], [0, 2, 0])
  card.interrupt.set(true)
  assert.equal(bus.line(18), true)
  assert.equal(bus.line(11), true)
  assert.equal(read(3, 6, 2) & 8, 8)
  write(1, 0x62, 0x05, 1)
  assert.equal(bus.line(11), false)
  assert.equal(bus.line(5), true)
  write(1, 0x62, 0x80, 1)
  assert.equal(bus.line(5), false)
  write(3, 4, 0x400, 2)
  assert.equal(bus.line(18), false)
})

test('MSI-X: enable, masks, pending', () => {
  const { bus, card, msix, messages, write, read } = setUp()
  write(3, 0x14, 0xe0000000)
  write(3, 4, 6, 2)
  const at = card.capability(0x11)
  assert.equal(read(3, at + 2, 2), 2)
  msix.notify(1)
  assert.deepEqual(messages, [])
  write(3, at + 2, 0xc000, 2)
  for (const [offset, value] of [
    [0x10, 0xfee01000],
    [0x18, 0x41],
    [0x1c, 0],
  ])
    bus.store(0xe0000000 + offset, value)
  msix.notify(1)
  msix.notify(2)
  msix.notify(99)
  assert.equal(bus.load(0xe0000800), 6)
  write(3, at + 2, 0x8000, 2)
  assert.deepEqual(messages, [[0xfee01000, 0, 0x41]])
  bus.store(0xe000002c, 0)
  assert.equal(messages.length, 2)
})

test('the power management base moves', () => {
  const { bus, read, write } = setUp()
  write(1, 0x40, 0)
  bus.out(0xcf8, 0x80000b40, 4)
  assert.equal(bus.in(0xcfc, 4), 0x601)
  bus.out(0xcfc, 0xb001, 4)
  assert.equal(bus.in(0xb004, 2), 0)
  assert.equal(bus.in(0x604, 2), 0xffff)
  assert.equal(read(1, 0x40), 0)
})

test('MSI: 64-bit address, vectors granted, masks, pending; nothing while not bus master', () => {
  const { bus, pci, read, write } = setUp()
  const messages: number[][] = []
  const msi = new Msi(4, (...message) => void messages.push(message))
  const card: PciFunction = new PciFunction(bus, {
    name: 'msi-card',
    vendorId: 0x1af4,
    deviceId: 1,
    classCode: 0,
    interruptPin: 1,
    capabilities: [msi.capability()],
    onWrite: (offset, size) => msi.configWritten(offset, size),
  })
  msi.attach(card)
  pci.add(5, 0, card)
  const at = card.capability(5)
  assert.equal(read(5, at + 2, 2), 0x0184)
  msi.notify(0)
  write(5, at + 4, 0xfee00003)
  write(5, at + 8, 0)
  write(5, at + 12, 0x4043, 2)
  write(5, at + 2, 0x21, 2)
  assert.equal(msi.enabled, true)
  assert.equal(msi.vectors, 4)
  msi.notify(2)
  assert.equal(read(5, at + 20), 4)
  assert.deepEqual(messages, [])
  write(5, 4, 4, 2)
  assert.deepEqual(messages, [[0xfee00000, 0, 0x4042]])
  write(5, at + 16, 0xffffffff)
  assert.equal(read(5, at + 16), 15)
  msi.notify(9)
  assert.equal(messages.length, 1)
  write(5, at + 16, 0)
  assert.deepEqual(messages[1], [0xfee00000, 0, 0x4043])
  assert.equal(read(5, at + 20), 0)
  assert.throws(() => new Msi(3, () => {}), /power of two/)
})

test('expansion ROM: size, enable bit, contents', () => {
  const { bus, pci, read, write } = setUp()
  const expansionRom = new Uint8Array(3000).map((_, i) => i)
  pci.add(5, 0, new PciFunction(bus, { name: 'rom', vendorId: 1, deviceId: 1, classCode: 0, expansionRom }))
  write(5, 0x30, 0xffffffff)
  assert.equal(read(5, 0x30), 0xfffff001)
  write(5, 4, 2, 2)
  write(5, 0x30, 0xf0000000)
  assert.equal(bus.load(0xf0000000), 0xffffffff)
  write(5, 0x30, 0xf0000001)
  assert.equal(bus.load(0xf0000004), 0x07060504)
  assert.equal(bus.load(0xf0000000 + 2998), 0xffffb7b6)
  bus.store(0xf0000004, 0)
  assert.equal(bus.load(0xf0000004), 0x07060504)
  write(5, 4, 0, 2)
  assert.equal(bus.load(0xf0000004), 0xffffffff)
})

test('several functions in a slot; DMA for bus masters only', () => {
  const { bus, pci, read, write } = setUp()
  const make = (deviceId: number) =>
    new PciFunction(bus, { name: `f${deviceId}`, vendorId: 0x1234, deviceId, classCode: 0 })
  const first = make(1)
  pci.add(6, 1, make(2))
  pci.add(6, 0, first)
  assert.equal(read(6, 0x0e, 1), 0x80)
  first.reset()
  assert.equal(read(6, 0x0e, 1), 0x80)
  bus.ram.set([1, 2, 3, 4])
  first.memory.write(0, Uint8Array.of(9))
  assert.deepEqual([...first.memory.read(0, 2)], [255, 255])
  write(6, 4, 4, 2)
  assert.deepEqual([...first.memory.read(0, 2)], [1, 2])
  first.memory.write(0, Uint8Array.of(9))
  assert.equal(bus.ram[0], 9)
})

test('a BAR that is being sized is nowhere, whatever decodes', () => {
  const { bus, write } = setUp()
  write(3, 4, 3, 2)
  write(3, 0x10, 0xffffffff)
  assert.equal(bus.load(0xffffc004), 0xffffffff)
  write(3, 0x10, 0xe0000000)
  assert.equal(bus.load(0xe0000004), 0x1004)
})
