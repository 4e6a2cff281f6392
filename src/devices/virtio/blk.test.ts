import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryDisk } from '../../disk/memory.ts'
import { PciBus } from '../pci.ts'
import { PCI_CONFIG } from '../pci-function.ts'
import { immediateDisk } from '../storage/test-disk.ts'
import { TestBus } from '../test-bus.ts'
import { VirtioBlk } from './blk.ts'
import { VirtioPci } from './transport-pci.ts'

const PORTS = 0xc000
/** Where the legacy queue of 256 entries is: descriptors, available ring, used ring on the next page. */
const QUEUE = 0x10000
const AVAILABLE = QUEUE + 256 * 16
const USED = QUEUE + 0x2000
const HEADER = 0x8000
const DATA = 0x20000
const STATUS = 0x9000

/** A legacy driver with one request at a time. */
class Driver {
  readonly bus = new TestBus(0x80000)
  readonly view = new DataView(this.bus.ram.buffer)
  readonly transport: VirtioPci
  #count = 0

  constructor(disk: ConstructorParameters<typeof VirtioBlk>[1]['disk'], features = 1 << 9) {
    const { bus } = this
    const blk = new VirtioBlk(bus, { disk, serial: 'V123' })
    this.transport = new VirtioPci(bus, blk, () => {})
    new PciBus(bus).add(2, 0, this.transport.function)
    this.transport.function.write(PCI_CONFIG.BASE_ADDRESS_0, 4, PORTS)
    this.transport.function.write(PCI_CONFIG.COMMAND, 2, 7)
    bus.out(PORTS + 18, 0)
    bus.out(PORTS + 18, 3)
    bus.out(PORTS + 4, features, 4)
    bus.out(PORTS + 14, 0, 2)
    assert.equal(bus.in(PORTS + 12, 2), 256)
    bus.out(PORTS + 8, QUEUE / 4096, 4)
    bus.out(PORTS + 18, 7)
  }

  async request(type: number, sector: number, length: number, write: boolean): Promise<number> {
    const { view, bus } = this
    view.setUint32(HEADER, type, true)
    view.setBigUint64(HEADER + 8, BigInt(sector), true)
    bus.ram[STATUS] = 0xee
    const parts: [number, number, number][] = [[HEADER, 16, 1]]
    if (length > 0) parts.push([DATA, length, write ? 1 : 3])
    parts.push([STATUS, 1, 2])
    for (const [i, [address, bytes, flags]] of parts.entries()) {
      view.setBigUint64(QUEUE + 16 * i, BigInt(address), true)
      view.setUint32(QUEUE + 16 * i + 8, bytes, true)
      view.setUint16(QUEUE + 16 * i + 12, flags, true)
      view.setUint16(QUEUE + 16 * i + 14, i + 1, true)
    }
    view.setUint16(AVAILABLE + 4 + 2 * this.#count, 0, true)
    view.setUint16(AVAILABLE + 2, ++this.#count, true)
    bus.out(PORTS + 16, 0, 2)
    assert.equal(bus.ram[STATUS], type === 8 ? 0 : bus.ram[STATUS])
    for (let i = 0; i < 20; i++) {
      bus.clock.advance(1000)
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.equal(view.getUint16(USED + 2, true), this.#count)
    assert.equal(bus.in(PORTS + 19), 1)
    assert.equal(bus.in(PORTS + 19), 0, 'reading the ISR acknowledges')
    return bus.ram[STATUS]
  }
}

test('a legacy driver reads, writes, flushes and asks who it is', async () => {
  const disk = immediateDisk(1 << 20)
  const driver = new Driver(disk)
  const { bus } = driver
  assert.equal(driver.transport.function.read32(0), 0x10011af4)
  assert.equal(bus.in(PORTS + 20, 4), 2048, 'capacity')
  assert.equal(await driver.request(0, 30, 1024, false), 0)
  assert.deepEqual([bus.ram[DATA], bus.ram[DATA + 512]], [30, 31])
  assert.equal(driver.view.getUint32(USED + 8, true), 1025, 'bytes written')
  bus.ram.fill(0x33, DATA, DATA + 512)
  assert.equal(await driver.request(1, 99, 512, true), 0)
  assert.equal(disk.bytes[99 * 512], 0x33)
  assert.equal(disk.flushes, 0)
  assert.equal(await driver.request(4, 0, 0, false), 0)
  assert.equal(disk.flushes, 1)
  assert.equal(await driver.request(8, 0, 20, false), 0)
  assert.equal(String.fromCharCode(...bus.ram.subarray(DATA, DATA + 4)), 'V123')
  assert.equal(await driver.request(0, 2047, 1024, false), 1)
  assert.equal(await driver.request(77, 0, 512, false), 2)
})

test('a driver that cannot flush gets every write on the disk; discards and zeroes', async () => {
  const disk = immediateDisk(1 << 20)
  const driver = new Driver(disk, 0)
  assert.equal(await driver.request(1, 0, 512, true), 0)
  assert.equal(disk.flushes, 1)
  const memory = new MemoryDisk(1 << 20)
  await memory.write(0, new Uint8Array(8192).fill(1))
  const other = new Driver(memory)
  other.view.setBigUint64(DATA, 2n, true)
  other.view.setUint32(DATA + 8, 4, true)
  assert.equal(await other.request(13, 0, 16, true), 0)
  const bytes = new Uint8Array(4096)
  await memory.read(0, bytes)
  assert.deepEqual([bytes[1023], bytes[1024], bytes[3071], bytes[3072]], [1, 0, 0, 1])
  other.view.setBigUint64(DATA, 2047n, true)
  assert.equal(await other.request(11, 0, 16, true), 1, 'beyond the end')
  assert.equal(await other.request(11, 0, 15, true), 1, 'half a range')
})
