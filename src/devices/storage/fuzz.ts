/** Random guests against every storage controller, with a seed: accesses to registers, structures in memory that lie. */
import assert from 'node:assert/strict'
import { MemoryDisk } from '../../disk/memory.ts'
import type { AccessSize, Device } from '../bus.ts'
import { Dma8237 } from '../dma8237.ts'
import { PciBus } from '../pci.ts'
import { PCI_COMMAND, PCI_CONFIG, type PciFunction } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import { randomBelow, weigh } from '../test-random.ts'
import { VirtioBlk } from '../virtio/blk.ts'
import { VirtioPci } from '../virtio/transport-pci.ts'
import { AhciController } from './ahci.ts'
import { AtaDisk } from './ata-disk.ts'
import { AtapiCdrom } from './atapi.ts'
import { FloppyController } from './floppy.ts'
import { IdeController } from './ide.ts'
import { Nvme } from './nvme.ts'
import { immediateDisk } from './test-disk.ts'

const RAM = 1 << 20
/** Operation codes of packet commands. */
const PACKETS = [
  ...[0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x44, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a],
  ...[0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe],
] as const
const WINDOWS = { memory: { start: 0xe0000000, length: 0x1000000 }, ports: { start: 0xc000, length: 0x1000 } }
/** What the state of one controller may weigh: buffers of 64 KiB, sectors, tables. */
const MOST_WEIGHT = 400_000

/** Every controller with disks that answer at once and disks that do not. */
function createMachine() {
  const bus = new TestBus(RAM)
  const pci = new PciBus(bus)
  const message = () => {}
  const ata = (bytes: number) => new AtaDisk({ disk: immediateDisk(bytes), serial: 'F' })
  const cd = () => new AtapiCdrom({ medium: immediateDisk(1 << 20, true), serial: 'C' })
  const slow = () => new AtaDisk({ disk: new MemoryDisk(1 << 20), serial: 'M' })
  const ide = new IdeController(bus, { devices: [ata(8 << 20), slow(), cd()] })
  const ahci = new AhciController(bus, message, { devices: [ata(8 << 20), cd(), slow()] })
  const nvme = new Nvme(bus, message, { disk: immediateDisk(8 << 20), serial: 'N' })
  const slowNvme = new Nvme(bus, message, { name: 'nvme1', disk: new MemoryDisk(1 << 20), serial: 'S' })
  const virtio = [immediateDisk(8 << 20), new MemoryDisk(1 << 20)].map(
    (disk, i) => new VirtioPci(bus, new VirtioBlk(bus, { name: `blk${i}`, disk, serial: 'V', queues: 1 + i }), message),
  )
  const dma = new Dma8237(bus)
  const floppy = new FloppyController(bus, {
    drives: [{ medium: immediateDisk(1474560) }, { medium: new MemoryDisk(737280) }],
    dma: onReady => dma.channel(2, onReady),
  })
  const functions: PciFunction[] = [ide, ahci, nvme, slowNvme, ...virtio].map(device => device.function)
  for (const f of functions) pci.addAnywhere(f)
  const devices: Device[] = [ide, ahci, nvme, slowNvme, ...virtio, floppy, dma]
  const assign = () => {
    pci.assign(WINDOWS, [10, 10, 11, 11])
    for (const f of functions) f.write(PCI_CONFIG.COMMAND, 2, f.read16(PCI_CONFIG.COMMAND) | PCI_COMMAND.BUS_MASTER)
  }
  return { bus, devices, assign, functions, virtio, ahci, nvmes: [nvme, slowNvme] }
}

/** Where a function's BAR is. */
function barOf(f: PciFunction, index: number): number {
  return (f.read32(PCI_CONFIG.BASE_ADDRESS_0 + 4 * index) & ~15) >>> 0
}

/**
 * Lets a random guest at the controllers.
 * @param steps how many accesses it makes
 * @param progress is told each step
 * @throws AssertionError naming the seed and the step when a value is out of its width, or a state grows
 */
export async function fuzzStorage(
  seed: number,
  steps: number,
  progress: (step: number) => void = () => {},
): Promise<void> {
  const random = randomBelow(seed)
  const machine = createMachine()
  const { bus, devices } = machine
  const view = new DataView(bus.ram.buffer)
  const interesting = [0, 1, 0xff, 0xffff, 0xffffffff, 0x80000000, 0x7fffffff, 0xe0000000, RAM - 1, RAM]
  const value = () =>
    [
      () => interesting[random(interesting.length)],
      () => random(256),
      () => random(2 ** 32),
      () => random(RAM) & ~0xfff,
    ][random(4)]()

  /** Memory full of half-plausible structures. */
  const fill = () => {
    for (let at = 0; at < RAM; at += 16) {
      if (random(4) === 0) continue
      view.setUint32(at, value(), true)
      view.setUint32(at + 4, random(3) ? 0 : value(), true)
      view.setUint32(at + 8, random(2) ? random(0x2000) : value(), true)
      view.setUint32(at + 12, random(2) ? random(8) | (random(32) << 16) : value(), true)
    }
  }

  /** A packet command, mostly one that there is. */
  const packet = () => {
    const bytes = Array.from({ length: 12 }, () => (random(3) ? random(4) : random(256)))
    bytes[0] = random(8) ? PACKETS[random(PACKETS.length)] : random(256)
    return bytes
  }

  /** Brings the controllers to where commands do something. */
  const ready = () => {
    machine.assign()
    for (const transport of machine.virtio) {
      const base = barOf(transport.function, 2)
      bus.store(base + 0x14, 0, 1)
      bus.store(base + 0x14, 3, 1)
      bus.store(base + 8, 1)
      bus.store(base + 12, 1)
      bus.store(base + 0x14, 11, 1)
      bus.store(base + 0x16, 0, 2)
      bus.store(base + 0x18, 8, 2)
      bus.store(base + 0x20, 0x10000)
      bus.store(base + 0x28, 0x11000)
      bus.store(base + 0x30, 0x12000)
      bus.store(base + 0x1c, 1, 2)
      bus.store(base + 0x14, 15, 1)
      // Descriptors of a read and of a write.
      for (let i = 0; i < 8; i++) {
        view.setBigUint64(0x10000 + 16 * i, BigInt(random(RAM)), true)
        view.setUint32(0x10000 + 16 * i + 8, i % 3 ? 512 * random(64) : 16, true)
        view.setUint16(0x10000 + 16 * i + 12, random(8), true)
        view.setUint16(0x10000 + 16 * i + 14, random(9), true)
        view.setUint16(0x11004 + 2 * i, random(9), true)
      }
      // Half of the time two chains as drivers make them: header, data, status.
      if (random(2))
        for (const first of [0, 3]) {
          const type = [0, 1, 4, 8, 11, 13, random(20)][random(7)]
          const reads = type === 1 || type > 8
          const chain = [
            [0x13000 + 0x100 * first, 16, 1],
            [0x14000 + 0x1000 * first, type > 8 ? 16 * (1 + random(3)) : 512 * random(20), reads ? 1 : 3],
            [0x13800 + first, 1, 2],
          ]
          for (const [i, [address, length, flags]] of chain.entries()) {
            view.setBigUint64(0x10000 + 16 * (first + i), BigInt(address), true)
            view.setUint32(0x10000 + 16 * (first + i) + 8, length, true)
            view.setUint16(0x10000 + 16 * (first + i) + 12, flags, true)
            view.setUint16(0x10000 + 16 * (first + i) + 14, first + i + 1, true)
          }
          view.setUint32(0x13000 + 0x100 * first, type, true)
          view.setBigUint64(0x13008 + 0x100 * first, BigInt(random(3) ? random(2000) : value()), true)
          for (let at = 0; at < 64; at += 16) {
            view.setBigUint64(0x14000 + 0x1000 * first + at, BigInt(random(3000)), true)
            view.setUint32(0x14008 + 0x1000 * first + at, random(64), true)
            view.setUint32(0x1400c + 0x1000 * first + at, random(3), true)
          }
          view.setUint16(0x11004 + (first ? 2 : 0), first, true)
        }
      view.setUint16(0x11002, random(2) ? 2 : random(9), true)
    }
    const ahci = barOf(machine.ahci.function, 5)
    for (let port = 0; port < 3; port++) {
      const at = ahci + 0x100 + 0x80 * port
      bus.store(at + 0x18, 0)
      bus.store(at, 0x20000)
      bus.store(at + 8, 0x21000)
      bus.store(at + 0x14, 0xffffffff)
      bus.store(at + 0x18, 0x17)
    }
    for (let slot = 0; slot < 32; slot++) {
      view.setUint32(0x20000 + 32 * slot, 5 | (random(9) << 16), true)
      view.setUint32(0x20000 + 32 * slot + 8, 0x22000 + 0x100 * slot, true)
      view.setUint32(0x20000 + 32 * slot + 12, 0, true)
      const table = 0x22000 + 0x100 * slot
      const commands = [0x25, 0x35, 0x60, 0x61, 0xa0, 0xec, 0xa1, 0xea, 0x06, 0xb0, 0x2f, 0x24, 0x34, random(256)]
      bus.ram.set([random(20) ? 0x27 : random(256), 0x80, commands[random(commands.length)], random(9)], table)
      bus.ram.set([random(256), random(9), 0, 0xe0, 0, 0, 0, 0, random(2) ? slot << 3 : random(256), 0], table + 4)
      bus.ram.set(packet(), table + 0x40)
    }
    for (const controller of machine.nvmes) {
      const at = barOf(controller.function, 0)
      bus.store(at + 0x14, 0)
      bus.store(at + 0x24, 0x000f000f)
      bus.store(at + 0x28, 0x40000)
      bus.store(at + 0x30, 0x41000)
      bus.store(at + 0x14, 0x00460001)
      for (let i = 0; i < 16; i++) {
        const command = 0x40000 + 64 * i
        bus.ram.fill(0, command, command + 64)
        bus.ram[command] = i === 0 ? 5 : i === 1 ? 1 : [6, 2, 9, 10, 0, 4, 12, random(256)][random(8)]
        view.setUint32(command + 4, random(3), true)
        view.setUint32(command + 24, i < 2 ? 0x50000 + 0x10000 * i : random(RAM), true)
        view.setUint32(command + 32, random(RAM) & ~0xfff, true)
        view.setUint32(command + 40, i < 2 ? 0x000f0001 : random(2) ? random(8) : value(), true)
        view.setUint32(command + 44, i < 2 ? 0x00010003 : value(), true)
        view.setUint32(command + 48, random(2) ? random(64) : value(), true)
        // An I/O queue.
        const io = 0x60000 + 64 * i
        bus.ram.fill(0, io, io + 64)
        bus.ram[io] = [0, 1, 2, 8, 9, random(256)][random(6)]
        bus.ram[io + 4] = random(8) ? 1 : random(256)
        view.setUint32(io + 24, random(3) ? random(RAM) & ~0xfff : random(RAM), true)
        view.setUint32(io + 32, random(3) ? random(RAM) & ~0xfff : value(), true)
        view.setUint32(io + 40, random(5) ? random(2000) : value(), true)
        view.setUint32(io + 48, random(3) ? random(32) : value(), true)
      }
      bus.store(at + 0x1000, 2)
    }
  }

  for (let step = 0; step < steps; step++) {
    const where = () => `seed ${seed}, step ${step}`
    progress(step)
    if (step % 3000 === 0) fill()
    if (step % 600 === 0) ready()
    const size = ([1, 2, 4] as const)[random(3)] as AccessSize
    const { ports, mmio } = bus.ranges()
    const check = (result: number) =>
      assert.ok(Number.isInteger(result) && result >= 0 && result < 2 ** (8 * size), `${where()}: ${result}`)
    const action = random(16)
    if (action < 6) {
      const [first, count] = ports[random(ports.length)]
      const port = first + random(count)
      if (action & 1) bus.out(port, value() % 2 ** (8 * size), size)
      else check(bus.in(port, size))
    } else if (action < 10) {
      // The guest may have closed all of them.
      const [start, length] = mmio.length ? mmio[random(mmio.length)] : [0xf0000000, 4096]
      const address = start + ((random(2) ? random(length) : random(Math.min(length, 0x400))) & -size)
      if (action & 1) bus.store(address, value() % 2 ** (8 * size), size)
      else check(bus.load(address, size))
    } else if (action === 10) {
      // Doorbells and issue registers.
      const nvme = barOf(machine.nvmes[random(2)].function, 0)
      bus.store(nvme + 0x1000 + 4 * random(4), random(17))
      const ahci = barOf(machine.ahci.function, 5) + 0x100 + 0x80 * random(3)
      if (random(2)) bus.store(ahci + 0x34, value())
      bus.store(ahci + 0x38, value())
      bus.store(barOf(machine.virtio[random(2)].function, 2) + 0x3000, 0, 2)
    } else if (action === 11) {
      // A command of parallel ATA, with a packet or a bus-master table where it fits.
      const base = random(2) ? 0x1f0 : 0x170
      bus.out(base + 6, 0xe0 | (random(2) << 4))
      for (let i = 1; i < 6; i++) bus.out(base + i, random(3) ? random(8) : random(256))
      bus.out(base + 7, [0x20, 0x30, 0xc4, 0xc5, 0xc8, 0xca, 0x25, 0x35, 0xa0, 0xec, 0xc6, random(256)][random(12)])
      const bytes = packet()
      for (let i = 0; i < 12; i += 2) bus.out(base, bytes[i] | (bytes[i + 1] << 8), 2)
      const master = barOf(machine.functions[0], 4) & ~3
      bus.out(master + (base === 0x170 ? 8 : 0) + 4, random(RAM), 4)
      bus.out(master + (base === 0x170 ? 8 : 0), 9)
    } else if (action === 12) {
      // A floppy command, mostly whole.
      for (const byte of [
        [0x46, 0x45, 0x4d, 0xe6, 0x4a, 0x0f, 0x56, 8][random(8)],
        ...Array.from({ length: 8 }, () => random(20)),
      ])
        bus.out(0x3f5, byte)
      bus.out(0x0a, 2)
    } else if (action === 13) {
      const f = machine.functions[random(machine.functions.length)]
      f.write(random(64) & -size, size, value() % 2 ** (8 * size))
    } else bus.clock.advance(random(50) === 0 ? random(1e8) : random(200_000))
    if (step % 64 === 0) await new Promise(resolve => setImmediate(resolve))
    if (step % 5000 === 4999) {
      for (const device of devices) {
        const weight = weigh(device.state)
        assert.ok(weight < MOST_WEIGHT, `${where()}: ${device.name} holds ${weight} numbers`)
        device.state = structuredClone(device.state)
        device.restored?.()
      }
    }
  }
  for (const device of devices) device.reset()
}
