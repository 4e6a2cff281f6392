import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError } from '../../disk/disk.ts'
import { MemoryDisk } from '../../disk/memory.ts'
import { PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import { AtaDisk } from './ata-disk.ts'
import { AtapiCdrom } from './atapi.ts'
import { IdeController } from './ide.ts'
import { immediateDisk } from './test-disk.ts'

const BM = 0xc000
const BASE = 0x1f0
const IRQ = 14

const turn = () => new Promise(resolve => setImmediate(resolve))

/** The smallest driver of a channel. */
class Driver {
  readonly bus = new TestBus(0x100000)
  readonly ide: IdeController
  constructor(devices: (AtaDisk | AtapiCdrom | undefined)[]) {
    this.ide = new IdeController(this.bus, { devices })
    const f = this.ide.function
    f.write(PCI_CONFIG.BASE_ADDRESS_0 + 16, 4, BM)
    f.write(PCI_CONFIG.COMMAND, 2, 5)
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) {
      this.bus.clock.advance(1000)
      if ((this.bus.in(0x3f6) & 0x80) === 0) return
      await turn()
    }
  }

  /** Writes the registers and a command. */
  async command(
    command: number,
    {
      lba = 0,
      count = 0,
      feature = 0,
      device = 0xe0,
      wide = false,
    }: { lba?: number; count?: number; feature?: number; device?: number; wide?: boolean } = {},
  ): Promise<void> {
    const { bus } = this
    bus.out(BASE + 6, device | (wide ? 0 : Math.floor(lba / 2 ** 24) & 15))
    if (wide) {
      bus.out(BASE + 2, count >> 8)
      bus.out(BASE + 3, Math.floor(lba / 2 ** 24) & 0xff)
      bus.out(BASE + 4, Math.floor(lba / 2 ** 32) & 0xff)
      bus.out(BASE + 5, Math.floor(lba / 2 ** 40) & 0xff)
    }
    bus.out(BASE + 1, feature)
    bus.out(BASE + 2, count & 0xff)
    bus.out(BASE + 3, lba & 0xff)
    bus.out(BASE + 4, (lba >> 8) & 0xff)
    bus.out(BASE + 5, (lba >> 16) & 0xff)
    bus.out(BASE + 7, command)
    await this.settle()
  }

  read16(words: number): Uint16Array {
    return Uint16Array.from({ length: words }, () => this.bus.in(BASE, 2))
  }

  async packet(bytes: number[], { dma = false, limit = 0xfffe } = {}): Promise<void> {
    await this.command(0xa0, { lba: limit << 8, feature: dma ? 1 : 0, device: 0xa0 })
    assert.equal(this.bus.in(BASE + 7) & 0x88, 0x08)
    const packet = [...bytes, ...new Array(12 - bytes.length).fill(0)]
    for (let i = 0; i < 12; i += 2) this.bus.out(BASE, packet[i] | (packet[i + 1] << 8), 2)
    await this.settle()
  }

  /** All data of a packet command by PIO, and the error register. */
  async packetIn(bytes: number[], limit = 0xfffe): Promise<{ data: number[]; error: number }> {
    await this.packet(bytes, { limit })
    const data: number[] = []
    for (;;) {
      const status = this.bus.in(BASE + 7)
      if ((status & 8) === 0) return { data, error: status & 1 ? this.bus.in(BASE + 1) : 0 }
      assert.equal(this.bus.in(BASE + 2), 2, 'the interrupt reason says: data to the host')
      const count = this.bus.in(BASE + 4) | (this.bus.in(BASE + 5) << 8)
      assert.ok(count > 0 && count <= limit)
      for (let i = 0; i < count; i += 2) {
        const word = this.bus.in(BASE, 2)
        data.push(word & 0xff)
        if (i + 1 < count) data.push(word >> 8)
      }
      await this.settle()
    }
  }
}

const disk = (bytes = 1 << 20) => {
  const medium = immediateDisk(bytes)
  const ata = new AtaDisk({ disk: medium, serial: 'S123' })
  return { medium, driver: new Driver([ata]) }
}

test('IDENTIFY DEVICE: strings, sizes, checksum; the slave is absent', async () => {
  const { driver } = disk(300 << 20)
  await driver.command(0xec)
  assert.ok(driver.bus.line(IRQ))
  assert.equal(driver.bus.in(BASE + 7), 0x58)
  assert.ok(!driver.bus.line(IRQ), 'reading the status acknowledges')
  const words = driver.read16(256)
  assert.equal(driver.bus.in(BASE + 7), 0x50)
  const text = (from: number, count: number) =>
    [...words.slice(from, from + count)].map(w => String.fromCharCode(w >> 8, w & 0xff)).join('')
  assert.equal(text(10, 10), 'S123'.padEnd(20))
  assert.equal(words[60] | (words[61] << 16), 614400)
  assert.equal(words[100] | (words[101] << 16), 614400)
  assert.deepEqual([words[1], words[3], words[6]], [609, 16, 63])
  assert.equal([...words].reduce((sum, w) => sum + (w & 0xff) + (w >> 8), 0) & 0xff, 0)
  driver.bus.out(BASE + 6, 0xf0)
  assert.equal(driver.bus.in(BASE + 7), 0)
  assert.equal(driver.bus.in(0x177), 0, 'nothing on the other channel')
})

test('for an absent device 1 device 0 answers, with status 0', () => {
  const { bus } = new Driver([new AtaDisk({ disk: new MemoryDisk(1 << 20), serial: 'S' })])
  bus.out(BASE + 6, 0xb0)
  bus.out(BASE + 2, 0x55)
  assert.deepEqual([bus.in(BASE + 7), bus.in(0x3f6), bus.in(BASE + 2), bus.in(BASE + 6)], [0, 0, 0x55, 0xb0])
  bus.out(BASE + 6, 0xa0)
  assert.equal(bus.in(BASE + 7), 0x50)
})

test('PIO: sectors, an interrupt for each block, READ MULTIPLE, writes', async () => {
  const { medium, driver } = disk()
  const { bus } = driver
  await driver.command(0x20, { lba: 5, count: 3 })
  for (let sector = 5; sector < 8; sector++) {
    assert.ok(bus.line(IRQ))
    assert.equal(bus.in(BASE + 7), 0x58)
    assert.equal(driver.read16(256)[0], sector)
  }
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.ok(!bus.line(IRQ))
  await driver.command(0xc4, { lba: 1, count: 2 })
  assert.equal(bus.in(BASE + 7) & 1, 1, 'READ MULTIPLE wants SET MULTIPLE MODE first')
  await driver.command(0xc6, { count: 8 })
  await driver.command(0xc4, { lba: 1, count: 10 })
  bus.in(BASE + 7)
  driver.read16(8 * 256)
  assert.ok(bus.line(IRQ))
  bus.in(BASE + 7)
  assert.equal(driver.read16(512)[256], 10)
  assert.equal(bus.in(BASE + 7), 0x50)
  await driver.command(0x30, { lba: 100, count: 2 })
  assert.ok(!bus.line(IRQ), 'no interrupt before the first block')
  for (let i = 0; i < 256; i++) bus.out(BASE, 0xabcd, 2)
  assert.ok(bus.line(IRQ))
  bus.in(BASE + 7)
  for (let i = 0; i < 128; i++) bus.out(BASE, 0x12345678, 4)
  await driver.settle()
  assert.ok(bus.line(IRQ))
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.deepEqual([...medium.bytes.subarray(100 * 512 + 510, 100 * 512 + 516)], [0xcd, 0xab, 0x78, 0x56, 0x34, 0x12])
})

test('cylinders, heads and sectors; INITIALIZE DEVICE PARAMETERS; addresses beyond the end', async () => {
  const { driver } = disk(8 << 20)
  const { bus } = driver
  const chs = async (cylinder: number, head: number, sector: number) => {
    await driver.command(0x20, { lba: sector | (cylinder << 8), count: 1, device: 0xa0 | head })
    return bus.in(BASE + 7) & 1 ? -1 : driver.read16(256)[0]
  }
  assert.equal(await chs(1, 2, 3), (16 + 2) * 63 + 2)
  assert.equal(await chs(0, 0, 0), -1)
  await driver.command(0x91, { count: 17, device: 0xa3 })
  assert.equal(await chs(1, 2, 3), (4 + 2) * 17 + 2)
  assert.equal(await chs(1, 4, 3), -1)
  await driver.command(0x20, { lba: (8 << 11) - 1, count: 2 })
  assert.equal(bus.in(BASE + 7) & 1, 1)
  assert.equal(bus.in(BASE + 1), 0x10)
  await driver.command(0x24, { lba: 2 ** 40, count: 1, wide: true })
  assert.equal(bus.in(BASE + 1), 0x10)
})

test('bus-master DMA: descriptors, both directions, a list that is too short', async () => {
  const { medium, driver } = disk()
  const { bus } = driver
  const prd = (table: number, entries: [address: number, length: number, end?: boolean][]) => {
    const view = new DataView(bus.ram.buffer)
    for (const [i, [address, length, end]] of entries.entries()) {
      view.setUint32(table + 8 * i, address, true)
      view.setUint32(table + 8 * i + 4, length | (end ? 0x80000000 : 0), true)
    }
  }
  prd(0x1000, [
    [0x20000, 700],
    [0x30000, 324 + 512, true],
  ])
  bus.out(BM + 4, 0x1000, 4)
  await driver.command(0x25, { lba: 9, count: 3, wide: true })
  bus.out(BM, 9)
  await driver.settle()
  assert.equal(bus.in(BM + 2) & 7, 4)
  assert.ok(bus.line(IRQ))
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.equal(bus.ram[0x20000], 9)
  assert.equal(bus.ram[0x30000 + 324], 11)
  bus.out(BM, 0)
  bus.out(BM + 2, 6)
  assert.equal(bus.in(BM + 2) & 7, 0)
  bus.ram.fill(0x5a, 0x20000, 0x20800)
  bus.out(BM, 1)
  await driver.command(0xca, { lba: 20, count: 2 })
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.deepEqual([...medium.bytes.subarray(20 * 512, 20 * 512 + 2)], [0x5a, 0x5a])
  bus.out(BM, 0)
  bus.out(BM + 2, 6)
  bus.in(BASE + 7)
  bus.out(BM, 9)
  await driver.command(0xc8, { lba: 0, count: 200 })
  assert.equal(bus.in(BM + 2) & 5, 0, 'neither active nor an interrupt')
  assert.equal(bus.in(BASE + 7) & 0x88, 8, 'the drive still waits')
  bus.out(0x3f6, 4)
  bus.out(0x3f6, 0)
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.deepEqual([bus.in(BASE + 2), bus.in(BASE + 3), bus.in(BASE + 4), bus.in(BASE + 5)], [1, 1, 0, 0])
})

test('flush waits for the disk; failures are seen; without a write cache every write is flushed', async () => {
  const { medium, driver } = disk()
  const { bus } = driver
  await driver.command(0xe7)
  assert.equal(medium.flushes, 1)
  await driver.command(0xef, { feature: 0x82 })
  const before = medium.flushes
  await driver.command(0x30, { lba: 0, count: 1 })
  for (let i = 0; i < 256; i++) bus.out(BASE, 0, 2)
  await driver.settle()
  assert.equal(medium.flushes, before + 1)
  medium.immediate!.write = () => {
    throw new DiskError('no-space', 'full')
  }
  await driver.command(0x30, { lba: 0, count: 1 })
  for (let i = 0; i < 256; i++) bus.out(BASE, 0, 2)
  await driver.settle()
  assert.equal(bus.in(BASE + 7) & 0x81, 1)
  assert.equal(bus.in(BASE + 1), 4)
})

test('a disk that answers by promises works the same', async () => {
  const medium = new MemoryDisk(1 << 20)
  await medium.write(512, new Uint8Array(512).fill(9))
  const driver = new Driver([new AtaDisk({ disk: medium, serial: '' })])
  await driver.command(0x20, { lba: 1, count: 1 })
  assert.equal(driver.read16(256)[0], 0x0909)
})

test('TRIM by DMA: the ranges of its data are discarded', async () => {
  const { medium, driver } = disk()
  const { bus } = driver
  const discarded: number[][] = []
  medium.discard = async (offset, length) => void discarded.push([offset, length])
  const view = new DataView(bus.ram.buffer)
  view.setUint32(0x1000, 0x20000, true)
  view.setUint32(0x1004, 0x80000200, true)
  // 48 bits of address, 16 of length.
  view.setUint32(0x20000, 100, true)
  view.setUint16(0x20006, 8, true)
  bus.out(BM + 4, 0x1000, 4)
  bus.out(BM, 1)
  await driver.command(0x06, { feature: 1, count: 1, wide: true })
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.deepEqual(discarded, [[100 * 512, 8 * 512]])
})

test('SMART says that all is well', async () => {
  const { driver } = disk()
  const key = 0xc24f00
  await driver.command(0xb0, { feature: 0xda, lba: key })
  assert.equal(driver.bus.in(BASE + 7) & 1, 0)
  assert.deepEqual([driver.bus.in(BASE + 4), driver.bus.in(BASE + 5)], [0x4f, 0xc2])
  await driver.command(0xb0, { feature: 0xd0, lba: key, count: 1 })
  const words = driver.read16(256)
  assert.equal([...words].reduce((sum, w) => sum + (w & 0xff) + (w >> 8), 0) & 0xff, 0)
  await driver.command(0xb0, { feature: 0xd0, lba: 0, count: 1 })
  assert.equal(driver.bus.in(BASE + 7) & 1, 1)
})

const cd = (blocks = 400) => {
  const medium = immediateDisk(blocks * 2048, true)
  const drive = new AtapiCdrom({ medium, serial: 'CD' })
  return { medium, drive, driver: new Driver([drive]) }
}

test('a CD-ROM drive: signature, IDENTIFY, unit attention, capacity, reads by PIO with a limit', async () => {
  const { driver } = cd()
  const { bus } = driver
  await driver.command(0xec)
  assert.equal(bus.in(BASE + 7) & 1, 1)
  assert.deepEqual([bus.in(BASE + 4), bus.in(BASE + 5)], [0x14, 0xeb])
  await driver.command(0xa1)
  assert.equal(driver.read16(256)[0], 0x8580)
  assert.equal((await driver.packetIn([0])).error >> 4, 6, 'the first command hears of the power on')
  assert.equal((await driver.packetIn([0])).error, 0)
  assert.deepEqual((await driver.packetIn([0x25])).data, [0, 0, 1, 143, 0, 0, 8, 0])
  const { data } = await driver.packetIn([0x28, 0, 0, 0, 0, 30, 0, 0, 40], 4000)
  assert.equal(data.length, 40 * 2048)
  assert.equal(data[0], 120)
  assert.equal(data[39 * 2048] | (data[39 * 2048 + 1] << 8), 276)
  const { error } = await driver.packetIn([0x28, 0, 0, 0, 1, 143, 0, 0, 2])
  assert.equal(error, 0x54)
  const sense = await driver.packetIn([3, 0, 0, 0, 18])
  assert.deepEqual([sense.data[2], sense.data[12]], [5, 0x21])
})

test('a CD-ROM drive by DMA, and raw sectors', async () => {
  const { driver } = cd()
  const { bus } = driver
  await driver.packetIn([0])
  new DataView(bus.ram.buffer).setUint32(0x1000, 0x20000, true)
  new DataView(bus.ram.buffer).setUint32(0x1004, 0x80000000, true)
  bus.out(BM + 4, 0x1000, 4)
  bus.out(BM, 9)
  await driver.packet([0x28, 0, 0, 0, 0, 2, 0, 0, 32], { dma: true })
  assert.equal(bus.in(BASE + 7), 0x50)
  assert.equal(bus.in(BASE + 2), 3)
  assert.equal(bus.in(BM + 2) & 7, 4)
  assert.equal(bus.ram[0x20000], 8)
  const raw = await driver.packetIn([0xbe, 0, 0, 0, 0, 1, 0, 0, 1, 0xf8])
  assert.equal(raw.data.length, 2352)
  assert.deepEqual(raw.data.slice(0, 17), [0, ...new Array(10).fill(255), 0, 0, 2, 1, 1, 4])
})

test('media come and go: tray, events, the lock', async () => {
  const { driver, drive, medium } = cd()
  await driver.packetIn([0])
  await driver.packetIn([0x1e, 0, 0, 0, 1])
  assert.ok(drive.packet.locked)
  const event = async () => (await driver.packetIn([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8])).data.slice(4, 6)
  drive.packet.requestEject()
  assert.deepEqual(await event(), [1, 2])
  assert.equal((await driver.packetIn([0x1b, 0, 0, 0, 2])).error >> 4, 5, 'the guest itself must unlock first')
  await driver.packetIn([0x1e, 0, 0, 0, 0])
  await driver.packetIn([0x1b, 0, 0, 0, 2])
  assert.deepEqual(await event(), [3, 1])
  assert.equal((await driver.packetIn([0])).error >> 4, 2)
  drive.packet.change(medium)
  assert.deepEqual(await event(), [2, 2])
  assert.equal((await driver.packetIn([0])).error >> 4, 6)
  assert.equal((await driver.packetIn([0])).error, 0)
})
