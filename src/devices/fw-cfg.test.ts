import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FW_CFG, FwCfg, littleEndian } from './fw-cfg.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const device = new FwCfg(bus)
  device.set(FW_CFG.RAM_SIZE, littleEndian(0x123456789a, 8))
  device.setFile('etc/b', Uint8Array.of(1, 2, 3, 4, 5))
  let made = 0
  device.setFile('etc/a', () => Uint8Array.of(++made))
  const read = (key: number, length: number) => {
    bus.out(0x510, key, 2)
    return Array.from({ length }, () => bus.in(0x511))
  }
  /** A DMA access by a descriptor at 100h. */
  const dma = (control: number, length: number, address: number) => {
    const view = new DataView(bus.ram.buffer)
    view.setUint32(0x100, control)
    view.setUint32(0x104, length)
    view.setBigUint64(0x108, BigInt(address))
    bus.out(0x514, 0, 4)
    bus.out(0x518, 0x00010000, 4)
    return view.getUint32(0x100)
  }
  return { bus, device, read, dma }
}

test('signature, features, numbers, the end of an item, an item that is not there', () => {
  const { read, bus } = setUp()
  assert.equal(String.fromCharCode(...read(0, 4)), 'QEMU')
  assert.deepEqual(read(1, 5), [3, 0, 0, 0, 0])
  assert.deepEqual(read(3, 8), [0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0])
  assert.deepEqual(read(0x7777, 2), [0, 0])
  assert.match([...bus.log.values()].join(), /no item 0x7777/)
  const signature = [bus.in(0x514, 4), bus.in(0x518, 4)]
  assert.equal(Buffer.from(Uint32Array.from(signature).buffer).toString(), 'QEMU CFG')
})

test('the directory lists files by name, big-endian; their contents are made when they are selected', () => {
  const { read } = setUp()
  const directory = Buffer.from(read(0x19, 4 + 128))
  assert.equal(directory.readUInt32BE(0), 2)
  const entries = [4, 68].map(at => ({
    size: directory.readUInt32BE(at),
    key: directory.readUInt16BE(at + 4),
    name: directory.toString('latin1', at + 8, at + 13),
  }))
  assert.deepEqual(entries, [
    { size: 1, key: 0x20, name: 'etc/a' },
    { size: 5, key: 0x21, name: 'etc/b' },
  ])
  assert.notDeepEqual(read(0x20, 1), read(0x20, 1))
  assert.deepEqual(read(0x21, 5), [1, 2, 3, 4, 5])
})

test('DMA: select, read, skip, zeros behind the end; writes and absurd lengths are errors', () => {
  const { bus, dma } = setUp()
  bus.ram.fill(0xee, 0x200, 0x220)
  assert.equal(dma((0x21 << 16) | 8 | 2, 3, 0x200), 0)
  assert.deepEqual([...bus.ram.subarray(0x200, 0x204)], [1, 2, 3, 0xee])
  assert.equal(dma(4, 1, 0), 0)
  assert.equal(dma(2, 3, 0x210), 0)
  assert.deepEqual([...bus.ram.subarray(0x210, 0x214)], [5, 0, 0, 0xee])
  assert.equal(dma((0x21 << 16) | 8 | 16, 3, 0x200), 1)
  assert.equal(dma((0x21 << 16) | 8 | 2, 0xffffffff, 0x200), 1)
  assert.equal(dma(2, 16, 2 ** 60), 1)
  assert.equal(dma((0x21 << 16) | 8 | 4, 0xffffffff, 0), 0)
})

test('a restored device goes on where it was', () => {
  const { bus, device, read } = setUp()
  read(0x21, 2)
  const saved = structuredClone(device.state)
  device.reset()
  device.state = saved
  device.restored()
  assert.deepEqual([bus.in(0x511), bus.in(0x511)], [3, 4])
})
