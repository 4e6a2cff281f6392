/**
 * What guests once did to other hypervisors' devices, each named by the vulnerability it was: here it ends in an error that the guest
 * sees, in time, and with nothing but the guest's own memory changed.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryDisk } from '../disk/memory.ts'
import { Dma8237 } from './dma8237.ts'
import { FwCfg } from './fw-cfg.ts'
import { InterruptSystem } from './interrupts.ts'
import { PCI_CONFIG } from './pci-function.ts'
import { Pit8254 } from './pit8254.ts'
import { AhciController } from './storage/ahci.ts'
import { AtaDisk } from './storage/ata-disk.ts'
import { AtapiCdrom } from './storage/atapi.ts'
import { FloppyController } from './storage/floppy.ts'
import { IdeController } from './storage/ide.ts'
import { Nvme } from './storage/nvme.ts'
import { immediateDisk } from './storage/test-disk.ts'
import { TestBus } from './test-bus.ts'
import { Uart16550 } from './uart16550.ts'
import { VirtioBlk } from './virtio/blk.ts'
import { VirtioPci } from './virtio/transport-pci.ts'

const RAM = 0x100000
const MEMORY_BAR = 0xe0000000
const PORT_BAR = 0xc000

/** How much a state holds, in numbers. */
function weigh(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce((sum: number, part) => sum + weigh(part), 0)
}

async function settle(bus: TestBus): Promise<void> {
  for (let i = 0; i < 20; i++) {
    bus.clock.advance(100_000)
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** A bus whose memory counts what is moved, and that fails a test in which it is too much. */
function boundedBus(most = 160 << 20): { bus: TestBus; moved(): number } {
  const bus = new TestBus(RAM)
  let bytes = 0
  const { read, write, views } = bus.memory
  const count = (length: number) => {
    bytes += length
    assert.ok(bytes <= most, `${bytes} bytes are moved`)
  }
  bus.memory.read = (address, length) => {
    count(length)
    return read(address, length)
  }
  bus.memory.write = (address, data) => {
    count(data.length)
    write(address, data)
  }
  bus.memory.views = (address, length, forWrite) => {
    count(length)
    return views(address, length, forWrite)
  }
  return { bus, moved: () => bytes }
}

test('CVE-2015-3456 (VENOM): parameters of floppy commands without end', () => {
  for (const command of [0x8e, 0x4a, 0x13, 0x0e, 0x4d, 0x46, 0x18, 0xff]) {
    const bus = new TestBus(RAM)
    const floppy = new FloppyController(bus, {
      drives: [{ medium: immediateDisk(1474560) }],
      dma: ready => new Dma8237(bus).channel(2, ready),
    })
    bus.out(0x3f2, 0)
    bus.out(0x3f2, 0x1c)
    bus.clock.advance(1e9)
    bus.out(0x3f5, command)
    for (let i = 0; i < 10_000; i++) bus.out(0x3f5, 0x42 + (i & 7))
    for (let i = 0; i < 10_000; i++) bus.in(0x3f5)
    assert.ok(weigh(floppy.state) < 40_000, `command ${command}: ${weigh(floppy.state)} numbers`)
    floppy.reset()
    assert.equal(bus.in(0x3f4) & 0x40, 0)
  }
})

test('CVE-2021-3507, CVE-2021-20196: floppy transfers with more bytes than sectors, and of drives without a medium', async () => {
  const bus = new TestBus(RAM)
  const dma = new Dma8237(bus)
  new FloppyController(bus, { drives: [{ medium: immediateDisk(368640) }, {}], dma: ready => dma.channel(2, ready) })
  bus.out(0x3f2, 0)
  for (const drive of [0, 1, 2, 3])
    for (const [sector, size, last, gap] of [
      [1, 7, 255, 255],
      [255, 2, 0, 0],
      [1, 255, 255, 0],
      [0, 0, 0, 0],
    ]) {
      bus.out(0x3f2, 0x1c | drive | (0x10 << drive))
      for (const byte of [0x46, drive, 200, 1, sector, size, last, gap, 255]) bus.out(0x3f5, byte)
      bus.out(0x0b, 0x46)
      bus.out(5, 0xff)
      bus.out(5, 0xff)
      bus.out(0x0a, 2)
      await settle(bus)
      for (let i = 0; i < 16; i++) bus.in(0x3f5)
    }
})

/** An IDE channel with a disk and a CD-ROM drive. */
function ide(bus: TestBus, medium = true) {
  const cd = new AtapiCdrom({ medium: medium ? immediateDisk(1 << 20, true) : undefined, serial: 'C' })
  const controller = new IdeController(bus, {
    devices: [new AtaDisk({ disk: immediateDisk(1 << 20), serial: 'D' }), cd],
  })
  controller.function.write(PCI_CONFIG.BASE_ADDRESS_0 + 16, 4, PORT_BAR)
  controller.function.write(PCI_CONFIG.COMMAND, 2, 5)
  return controller
}

/** Sends a packet command to the slave of the first channel. */
async function packet(bus: TestBus, bytes: number[], limit: number): Promise<void> {
  bus.out(0x1f6, 0xf0)
  bus.out(0x1f1, 0)
  bus.out(0x1f4, limit & 0xff)
  bus.out(0x1f5, limit >> 8)
  bus.out(0x1f7, 0xa0)
  for (let i = 0; i < 12; i += 2) bus.out(0x1f0, (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8), 2)
  await settle(bus)
}

test('CVE-2015-5154, CVE-2020-29443: ATAPI replies and reads past their buffers', async () => {
  const bus = new TestBus(RAM)
  const controller = ide(bus)
  for (const bytes of [
    [0x03, 0, 0, 0, 255],
    [0x12, 0, 0, 0, 255],
    [0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff],
    [0x28, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 1],
    [0xa8, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    [0xbe, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xf8],
    [0x43, 0, 0, 0, 0, 0, 255, 0xff, 0xff],
    [0x5a, 0, 0x3f, 0, 0, 0, 0, 0xff, 0xff],
    [0x46, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff],
  ])
    for (const limit of [0, 1, 2, 0xfffe, 0xffff]) {
      await packet(bus, bytes, limit)
      // Reading on after the end, and writing where there is something to read.
      for (let i = 0; i < 5000; i++) bus.in(0x1f0, 4)
      for (let i = 0; i < 100; i++) bus.out(0x1f0, 0xffffffff, 4)
      await settle(bus)
      assert.ok(weigh(controller.state) < 400_000)
    }
})

test('CVE-2015-6855: commands of disks to drives without a medium or a disk; CVE-2014-2894: SMART with odd subcommands', async () => {
  const bus = new TestBus(RAM)
  ide(bus, false)
  for (const device of [0xe0, 0xf0])
    for (let command = 0; command < 256; command++)
      for (const feature of [0, 0xd0, 0xd4, 0xd5, 0xda]) {
        bus.out(0x1f6, device)
        bus.out(0x1f1, feature)
        bus.out(0x1f3, 0xff)
        bus.out(0x1f4, 0x4f)
        bus.out(0x1f5, 0xc2)
        bus.out(0x1f7, command)
        bus.clock.advance(100_000)
        bus.in(0x1f7)
        bus.out(0x3f6, 4)
        bus.out(0x3f6, 0)
      }
  await settle(bus)
})

test('CVE-2008-0928: sectors behind the end of a disk', async () => {
  const bus = new TestBus(RAM)
  ide(bus)
  for (const command of [0x20, 0x30, 0x24, 0x34, 0xc4, 0xc5, 0xc8, 0x25]) {
    bus.out(0x1f6, 0xef)
    for (let i = 0; i < 2; i++) for (const register of [2, 3, 4, 5]) bus.out(0x1f0 + register, 0xff)
    bus.out(0x1f7, command)
    await settle(bus)
    assert.equal(bus.in(0x1f7) & 1, 1, `command ${command} is an error`)
    assert.ok(bus.in(0x1f1) & 0x14, 'IDNF or ABRT')
    assert.equal(bus.in(0x1f7) & 8, 0, 'nothing is to be transferred')
  }
})

test('CVE-2016-1568, CVE-2015-5225: AHCI commands under way while the port is reset; tables onto registers', async () => {
  const { bus } = boundedBus()
  const controller = new AhciController(bus, () => {}, {
    devices: [new AtaDisk({ disk: new MemoryDisk(1 << 20), serial: 'A', sata: true })],
  })
  controller.function.write(PCI_CONFIG.BASE_ADDRESS_0 + 20, 4, MEMORY_BAR)
  controller.function.write(PCI_CONFIG.COMMAND, 2, 6)
  const port = MEMORY_BAR + 0x100
  const view = new DataView(bus.ram.buffer)
  for (const [list, table] of [
    [0x1000, 0x3000],
    [MEMORY_BAR, 0x3000],
    [0x1000, MEMORY_BAR],
    [0x1000, 0xfffffff0],
  ]) {
    for (let slot = 0; slot < 32; slot++) {
      view.setUint32(0x1000 + 32 * slot, 5 | (0xffff << 16), true)
      view.setUint32(0x1000 + 32 * slot + 8, table, true)
    }
    bus.ram.set([0x27, 0x80, 0x60, 0xff, 0, 0, 0, 0x40, 0, 0, 0, 0xff], 0x3000)
    for (let i = 0; i < 200; i++) {
      view.setUint32(0x3080 + 16 * i, i % 2 ? MEMORY_BAR + 0x100 : 0x10000, true)
      view.setUint32(0x308c + 16 * i, 0x3fffff, true)
    }
    bus.store(port, list)
    bus.store(port + 8, 0x2000)
    bus.store(port + 0x18, 0x17)
    bus.store(port + 0x34, 0xffffffff)
    bus.store(port + 0x38, 0xffffffff)
    bus.store(port + 0x2c, 1)
    bus.store(port + 0x18, 0)
    bus.store(port + 0x2c, 0)
    await settle(bus)
    assert.equal(bus.load(port + 0x38), 0)
    bus.store(MEMORY_BAR + 4, 0x80000001)
    await settle(bus)
  }
})

test('CVE-2021-3929, CVE-2021-3750: DMA of a controller onto its own registers', async () => {
  const { bus } = boundedBus()
  const nvme = new Nvme(bus, () => {}, { disk: immediateDisk(1 << 20), serial: 'N' })
  nvme.function.write(PCI_CONFIG.BASE_ADDRESS_0, 4, MEMORY_BAR)
  nvme.function.write(PCI_CONFIG.COMMAND, 2, 6)
  const view = new DataView(bus.ram.buffer)
  bus.store(MEMORY_BAR + 0x24, 0x000f000f)
  bus.store(MEMORY_BAR + 0x28, 0x1000)
  bus.store(MEMORY_BAR + 0x30, 0x2000)
  bus.store(MEMORY_BAR + 0x14, 0x00460001)
  // IDENTIFY, GET LOG PAGE and FEATURES whose data are to go to the doorbells and the configuration (CVE-2021-3947: odd offsets).
  for (let i = 0; i < 15; i++) {
    const at = 0x1000 + 64 * i
    bus.ram[at] = [6, 2, 9, 10][i % 4]
    view.setUint32(at + 24, MEMORY_BAR + (i < 8 ? 0x1000 : 0), true)
    view.setUint32(at + 32, MEMORY_BAR, true)
    view.setUint32(at + 40, 0xffff0000 + i, true)
    view.setUint32(at + 44, 0xffff, true)
    view.setUint32(at + 48, 0xfffffffc, true)
    view.setUint32(at + 52, 0xffffffff, true)
  }
  bus.store(MEMORY_BAR + 0x1000, 15)
  await settle(bus)
  assert.equal(bus.load(MEMORY_BAR + 0x14), 0x00460001, 'its configuration is what the guest wrote')
  assert.equal(bus.load(MEMORY_BAR + 0x1c) & 1, 1, 'it still works')
})

/** A legacy virtio device with its queue of 256 entries at 10000h. */
function virtio(bus: TestBus, device: VirtioBlk): VirtioPci {
  const transport = new VirtioPci(bus, device, () => {})
  transport.function.write(PCI_CONFIG.BASE_ADDRESS_0, 4, PORT_BAR)
  transport.function.write(PCI_CONFIG.COMMAND, 2, 7)
  return transport
}

const MODERN = 0xe1000000

/** Sets up queue 0 of a modern device: 8 entries at 10000h. */
function queue(bus: TestBus, transport: VirtioPci): void {
  const f = transport.function
  const bar = [0, 1, 2, 3, 4, 5].find(i => (f.read32(PCI_CONFIG.BASE_ADDRESS_0 + 4 * i) & 0xf) === 4 || i === 2)!
  f.write(PCI_CONFIG.BASE_ADDRESS_0 + 4 * bar, 4, MODERN)
  f.write(PCI_CONFIG.COMMAND, 2, 6)
  for (const [offset, value, size] of [
    [0x14, 0, 1],
    [0x14, 3, 1],
    [8, 1, 4],
    [12, 1, 4],
    [0x14, 11, 1],
    [0x16, 0, 2],
    [0x18, 8, 2],
    [0x20, 0x10000, 4],
    [0x28, 0x11000, 4],
    [0x30, 0x12000, 4],
    [0x1c, 1, 2],
    [0x14, 15, 1],
  ] as const)
    bus.store(MODERN + offset, value, size)
  assert.equal(bus.load(MODERN + 0x14, 1), 15, 'the device runs')
}

test('CVE-2016-5403, CVE-2016-6490, CVE-2016-4037: virtio chains that loop, are endless, empty, or claim 4 GiB', async () => {
  const descriptors: [what: string, chain: [number, number, number, number][], broken?: boolean][] = [
    ['a descriptor that is its own next', [[0x20000, 16, 1, 0]]],
    [
      'two that follow each other',
      [
        [0x20000, 16, 1, 1],
        [0x20000, 0, 1, 0],
      ],
    ],
    [
      'no bytes at all',
      [
        [0x20000, 0, 3, 1],
        [0x20000, 0, 2, 0],
      ],
    ],
    [
      '4 GiB - 1',
      [
        [0x20000, 16, 1, 1],
        [0x20000, 0xffffffff, 3, 2],
        [0x20000, 0xffffffff, 2, 0],
      ],
      false,
    ],
    ['next outside of the table', [[0x20000, 16, 1, 0xffff]]],
    ['an indirect table in an indirect table', [[0x10000, 16, 4, 0]]],
    ['an indirect table of 3 bytes', [[0x10000, 3, 4, 0]]],
    ['an indirect table of 4 GiB', [[0x10000, 0xfffffff0, 4, 0]]],
    [
      'registers as buffers',
      [
        [MODERN, 16, 1, 1],
        [MODERN, 512, 3, 2],
        [MODERN, 1, 2, 0],
      ],
      false,
    ],
  ]
  // Address, length, flags, next.
  for (const [what, chain, broken = true] of descriptors) {
    const { bus } = boundedBus(400 << 20)
    const device = new VirtioBlk(bus, { disk: immediateDisk(1 << 20), serial: 'V' })
    const transport = virtio(bus, device)
    queue(bus, transport)
    const view = new DataView(bus.ram.buffer)
    for (const [i, [address, length, flags, next]] of chain.entries()) {
      view.setUint32(0x10000 + 16 * i, address, true)
      view.setUint32(0x10000 + 16 * i + 8, length, true)
      view.setUint16(0x10000 + 16 * i + 12, flags, true)
      view.setUint16(0x10000 + 16 * i + 14, next, true)
    }
    // As many requests as there is room for, all of them the same chain.
    view.setUint16(0x11002, 8, true)
    for (let i = 0; i < 10; i++) bus.store(MODERN + 0x3000, 0, 2)
    await settle(bus)
    // Either the driver broke the rules and the device says so, or each request comes back.
    const needsReset = (bus.load(MODERN + 0x14, 1) & 0x40) !== 0
    assert.equal(needsReset, broken, what)
    assert.equal(view.getUint16(0x12002, true), broken ? 0 : 8, what)
    assert.ok(weigh(transport.state) < 100_000, what)
    bus.store(MODERN + 0x14, 0, 1)
    assert.equal(bus.load(MODERN + 0x14, 1), 0, `${what}: a reset helps`)
  }
})

test('CVE-2017-17381, CVE-2013-2016: virtio queues of no or odd size, and configuration behind its end', () => {
  const bus = new TestBus(RAM)
  const transport = virtio(bus, new VirtioBlk(bus, { disk: immediateDisk(1 << 20), serial: 'V' }))
  queue(bus, transport)
  for (const size of [0, 3, 0x7fff, 0xffff]) {
    bus.store(MODERN + 0x14, 0, 1)
    bus.store(MODERN + 0x14, 11, 1)
    for (const number of [0, 1, 2, 0xffff]) {
      bus.store(MODERN + 0x16, number, 2)
      bus.store(MODERN + 0x18, size, 2)
      bus.store(MODERN + 0x1c, 1, 2)
      bus.store(MODERN + 0x3000, number, 2)
    }
    bus.store(MODERN + 0x14, 15, 1)
  }
  for (let offset = 0; offset < 0x4000; offset += 4) {
    bus.load(MODERN + offset)
    bus.store(MODERN + offset, 0xffffffff)
  }
  assert.ok(weigh(transport.state) < 100_000)
})

test('CVE-2016-8669: a UART with a divisor of zero; CVE-2015-3214: odd commands of the PIT', () => {
  const bus = new TestBus(RAM)
  const uart = new Uart16550(bus, { port: 0x3f8, irq: 4, endpoint: { transmit() {} } })
  bus.out(0x3fb, 0x83)
  bus.out(0x3f8, 0)
  bus.out(0x3f9, 0)
  bus.out(0x3fb, 3)
  for (let i = 0; i < 100; i++) bus.out(0x3f8, i)
  bus.clock.advance(1e9)
  assert.ok(Number.isFinite(bus.clock.now()))
  assert.ok(weigh(uart.state) < 1000)
  const pit = new Pit8254(bus)
  for (let command = 0; command < 256; command++) {
    bus.out(0x43, command)
    for (const port of [0x40, 0x41, 0x42, 0x43]) {
      const value = bus.in(port)
      assert.ok(value >= 0 && value <= 255)
      bus.out(port, 0)
    }
    bus.clock.advance(1000)
  }
  assert.ok(bus.clock.callbacks < 1000)
  assert.ok(weigh(pit.state) < 1000)
})

test('CVE-2016-1714: fw_cfg entries that there are not; CVE-2013-1798: indices of the I/O APIC that there are not', () => {
  const bus = new TestBus(RAM)
  const fwCfg = new FwCfg(bus)
  fwCfg.setFile('etc/file', new Uint8Array(10))
  for (const selector of [0x7fff, 0x8000, 0xffff, 0x4000, 0x20, 0x19])
    for (const size of [1, 2] as const) {
      bus.out(0x510, selector, 2)
      for (let i = 0; i < 100; i++) bus.in(0x511, size)
      for (let i = 0; i < 100; i++) bus.out(0x511, 0xff, size)
    }
  // Its DMA: a descriptor that reads 4 GiB onto itself.
  new DataView(bus.ram.buffer).setUint32(0x1000, 2)
  new DataView(bus.ram.buffer).setUint32(0x1004, 0xffffffff)
  new DataView(bus.ram.buffer).setBigUint64(0x1008, 0x1000n)
  bus.out(0x514, 0, 4)
  bus.out(0x518, 0x00100000, 4)
  assert.ok(weigh(fwCfg.state) < 100_000)
  const signals = { setInterruptRequest() {}, raiseNmi() {}, init() {}, startup() {}, ignoreNumericError() {} }
  const system = new InterruptSystem(bus, { processors: [{ id: 0, signals, timestampTime: () => 0 }] })
  for (let index = 0; index < 256; index++) {
    bus.store(0xfec00000, index)
    bus.store(0xfec00010, 0xffffffff)
    bus.load(0xfec00010)
  }
  assert.ok(weigh(system.devices.map(device => device.state)) < 10_000)
})
