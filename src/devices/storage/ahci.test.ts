import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import { AhciController } from './ahci.ts'
import { AtaDisk } from './ata-disk.ts'
import { AtapiCdrom } from './atapi.ts'
import { immediateDisk } from './test-disk.ts'

const BAR = 0xe0000000
const LIST = 0x1000
const RECEIVED = 0x2000
const TABLE = 0x3000
const DATA = 0x10000

/** The smallest driver of a port. */
class Driver {
  readonly bus = new TestBus(0x100000)
  readonly view = new DataView(this.bus.ram.buffer)
  readonly ahci: AhciController

  constructor(devices: (AtaDisk | AtapiCdrom)[]) {
    this.ahci = new AhciController(this.bus, () => {}, { devices })
    const f = this.ahci.function
    f.connect(this.bus.interrupt(10))
    f.write(PCI_CONFIG.BASE_ADDRESS_0 + 20, 4, BAR)
    f.write(PCI_CONFIG.COMMAND, 2, 6)
    this.bus.store(BAR + 4, 0x80000002)
    this.port(0x00, LIST)
    this.port(0x08, RECEIVED)
    this.port(0x30, 0xffffffff)
    this.port(0x10, 0xffffffff)
    this.bus.store(BAR + 8, 0xffffffff)
    this.port(0x14, 0x7dc000ff)
    this.port(0x18, 0x17)
  }

  port(offset: number, value: number): void {
    this.bus.store(BAR + 0x100 + offset, value)
  }

  read(offset: number): number {
    return this.bus.load(BAR + 0x100 + offset)
  }

  /** Puts a command into a slot. */
  slot(slot: number, fis: number[], prds: [address: number, length: number][], packet: number[] = []): void {
    const table = TABLE + 0x200 * slot
    this.view.setUint32(LIST + 32 * slot, 5 | (packet.length > 0 ? 0x20 : 0) | (prds.length << 16), true)
    this.view.setUint32(LIST + 32 * slot + 4, 0, true)
    this.view.setUint32(LIST + 32 * slot + 8, table, true)
    this.bus.ram.fill(0, table, table + 0x200)
    this.bus.ram.set([0x27, 0x80, ...fis], table)
    this.bus.ram.set(packet, table + 0x40)
    for (const [i, [address, length]] of prds.entries()) {
      this.view.setUint32(table + 0x80 + 16 * i, address, true)
      this.view.setUint32(table + 0x8c + 16 * i, length - 1, true)
    }
  }

  async issue(bits: number, queued = false): Promise<void> {
    if (queued) this.port(0x34, bits)
    this.port(0x38, bits)
    for (let i = 0; i < 10; i++) {
      this.bus.clock.advance(1000)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

test('a disk: signature, IDENTIFY, DMA both ways, interrupts, FISes', async () => {
  const medium = immediateDisk(1 << 20)
  const driver = new Driver([new AtaDisk({ disk: medium, serial: 'A', sata: true })])
  assert.equal(driver.read(0x28), 0x123)
  assert.equal(driver.read(0x24), 0x101)
  driver.slot(0, [0xec], [[DATA, 512]])
  await driver.issue(1)
  assert.equal(driver.view.getUint16(DATA + 120, true), 2048)
  assert.equal(driver.view.getUint32(LIST + 4, true), 512, 'bytes moved')
  assert.equal(driver.read(0x38), 0)
  assert.equal(driver.read(0x10) & 3, 3)
  assert.ok(driver.bus.line(10))
  driver.port(0x10, 0xffffffff)
  driver.bus.store(BAR + 8, 1)
  assert.ok(!driver.bus.line(10))
  driver.slot(
    3,
    [0x25, 0, 7, 0, 0, 0x40, 0, 0, 0, 0, 2],
    [
      [DATA, 100],
      [DATA + 0x1000, 924],
    ],
  )
  await driver.issue(8)
  assert.equal(driver.bus.ram[DATA], 7)
  assert.equal(driver.bus.ram[DATA + 0x1000 + 412], 8)
  assert.equal(driver.bus.ram[RECEIVED + 0x40], 0x34)
  driver.slot(0, [0x35, 0, 9, 0, 0, 0x40, 0, 0, 0, 0, 1], [[DATA + 0x1000, 512]])
  await driver.issue(1)
  assert.equal(medium.bytes[9 * 512 + 412], 8)
})

test('queued commands run together and complete by tag; an error stops the list', async () => {
  const medium = immediateDisk(1 << 20)
  const driver = new Driver([new AtaDisk({ disk: medium, serial: 'A', sata: true })])
  const read = (slot: number, sector: number) =>
    driver.slot(slot, [0x60, 1, sector & 0xff, sector >> 8, 0, 0x40, 0, 0, 0, 0, slot << 3], [[DATA + 512 * slot, 512]])
  for (const slot of [0, 5, 31]) read(slot, 100 + slot)
  await driver.issue(0x80000021, true)
  assert.deepEqual(
    [0, 5, 31].map(slot => driver.bus.ram[DATA + 512 * slot]),
    [100, 105, 131],
  )
  assert.deepEqual([driver.read(0x34), driver.read(0x38), driver.read(0x10) & 8], [0, 0, 8])
  read(2, 5000)
  await driver.issue(4, true)
  assert.equal(driver.read(0x34), 4, 'the failed tag stays')
  assert.equal(driver.read(0x10) >>> 30, 1)
  assert.equal(driver.read(0x20) & 0xff01, 0x1001)
  read(3, 1)
  await driver.issue(8, true)
  assert.equal(driver.bus.ram[DATA + 512 * 3], 0, 'nothing starts before the list was stopped')
  driver.port(0x18, 0x16)
  driver.port(0x18, 0x17)
  await driver.issue(8, true)
  assert.equal(driver.bus.ram[DATA + 512 * 3], 1)
})

test('a CD-ROM drive: packets', async () => {
  const driver = new Driver([new AtapiCdrom({ medium: immediateDisk(100 * 2048, true), serial: 'C', sata: true })])
  assert.equal(driver.read(0x24), 0xeb140101)
  driver.slot(0, [0xa0, 1], [], [0])
  await driver.issue(1)
  assert.equal(driver.read(0x20) >> 12, 6, 'unit attention')
  driver.port(0x18, 0x16)
  driver.port(0x18, 0x17)
  driver.slot(0, [0xa0, 1], [[DATA, 4096]], [0x28, 0, 0, 0, 0, 3, 0, 0, 2])
  await driver.issue(1)
  assert.equal(driver.bus.ram[DATA], 12)
  assert.equal(driver.bus.ram[DATA + 2048], 16)
  assert.equal(driver.read(0x20) & 1, 0)
})
