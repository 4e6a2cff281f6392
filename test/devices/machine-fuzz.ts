/**
 * A random guest against every device of a whole PC, with a seed. It knows no device: it finds ports, memory and PCI functions as they
 * are attached, so that a device takes part from the day on which the PC has it. What it does know is how guests make devices do
 * things: BARs, bus mastering, virtio's rings, structures in memory with addresses of RAM, ROM, registers and of nothing.
 */
import assert from 'node:assert/strict'
import type { AccessSize } from '../../src/devices/bus.ts'
import { immediateDisk } from '../../src/devices/storage/test-disk.ts'
import { type Random, randomBelow, weigh } from '../../src/devices/test-random.ts'
import { GPU_PICTURE_BYTES } from '../../src/devices/virtio/gpu-resources.ts'
import type { Disk } from '../../src/disk/disk.ts'
import { MemoryDisk } from '../../src/disk/memory.ts'
import type { DriveConfiguration } from '../../src/machine/drives.ts'
import type { MachineConfiguration, MachineName, VgaAdapter } from '../../src/machine/messages.ts'
import { Pc } from '../../src/machine/pc.ts'
import type { Processor, ProcessorOptions } from '../../src/machine/processor.ts'
import { FuzzPci } from './fuzz-pci.ts'
import { VirtioDriver } from './fuzz-virtio.ts'
import { MemoryGuard } from './memory-guard.ts'

const RAM = 4 << 20
const FIRMWARE_SIZE = 0x10000
/** What all states together may weigh: buffers of 64 KiB, tables, configuration space. Memory of a display adapter is apart. */
const MOST_WEIGHT = 4 << 20
/** Bytes of a GPU's pictures: its limit, and a cursor. */
const MOST_PICTURES = GPU_PICTURE_BYTES + 0x4000
/** Bytes that one access may move: what the burst of a controller allows (src/devices/storage/block.ts), and as much again. */
const MOST_BYTES = 160 << 20
/** Accesses between two times at which the guest puts everything in order again. */
const ORDER = 1500

/** What one run found out. */
export interface FuzzReport {
  /** Devices that took part. */
  devices: string[]
  /** Ports and regions of memory that were accessed at least once. */
  ranges: number
  /** Most bytes of guest memory that one access moved. */
  mostBytes: number
}

/** How a run is made. */
export interface FuzzOptions {
  seed: number
  /** Accesses. */
  steps: number
  machine?: MachineName
  /** Is told how far it is, so that a hang can be named. */
  progress?(step: number): void
}

/** Bytes of a GPU's pictures, which have a limit of their own. */
function pictures(value: unknown): number {
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return 0
  return Object.entries(value).reduce(
    (sum, [name, part]) => sum + (name === 'pixels' && ArrayBuffer.isView(part) ? part.byteLength : pictures(part)),
    0,
  )
}

const DRIVES: readonly [
  name: string,
  kind: DriveConfiguration['kind'],
  bus: DriveConfiguration['bus'],
  disk: () => Disk,
][] = [
  ['disk0', 'disk', 'ide', () => immediateDisk(8 << 20)],
  ['disk1', 'disk', 'ide', () => new MemoryDisk(1 << 20)],
  ['cdrom0', 'cdrom', 'ide', () => immediateDisk(1 << 20, true)],
  ['disk2', 'disk', 'sata', () => immediateDisk(8 << 20)],
  ['cdrom1', 'cdrom', 'sata', () => immediateDisk(1 << 20, true)],
  ['disk3', 'disk', 'nvme', () => immediateDisk(8 << 20)],
  ['disk4', 'disk', 'virtio', () => immediateDisk(8 << 20)],
  ['disk5', 'disk', 'virtio', () => new MemoryDisk(1 << 20)],
  ['floppy0', 'floppy', 'floppy', () => immediateDisk(1474560)],
  ['floppy1', 'floppy', 'floppy', () => new MemoryDisk(737280)],
]

/** A PC with every device that there is, and no processor. */
async function createPc(machine: MachineName, vga: VgaAdapter, instructions: () => number) {
  let ports: ProcessorOptions['machine'] | undefined
  const nothing = () => {}
  const processor: Processor = {
    signals: {
      setInterruptRequest: nothing,
      raiseNmi: nothing,
      init: nothing,
      startup: nothing,
      ignoreNumericError: nothing,
    },
    engine: { name: 'interpreter', run: () => ({ kind: 'budget' }) },
    instructions,
    timestampOffset: () => 0n,
    reset: nothing,
    identification: () => [0x600, 0],
    boot: nothing,
    stats: () => ({}),
  }
  const configuration: MachineConfiguration = {
    memory: RAM,
    commandLine: '',
    engine: 'interpreter',
    cpu: 'max',
    machine,
    clock: 'instructions',
    reboot: true,
    boot: { order: ['disk'], menu: false },
    holdInput: false,
    vga,
    watchdog: 'i6300esb',
    display: true,
    sound: ['speaker', 'sb16', 'ac97'],
    drives: DRIVES.map(([name, kind, bus]) => {
      const medium = { path: name, readOnly: kind === 'cdrom' }
      return { kind, name, bus, cache: 'writeback', serial: name, medium }
    }),
  }
  const firmware = Uint8Array.from({ length: FIRMWARE_SIZE }, (_, i) => (i * 7) & 0xff)
  const images = { firmware, kernel: undefined, initrd: undefined, variables: undefined }
  const pc = await Pc.create(configuration, images, {
    transmit: nothing,
    transmitAll: nothing,
    receiveReady: nothing,
    log: nothing,
    flush: () => true,
    openImage: async image => DRIVES.find(([name]) => name === image)![3](),
    createProcessor: options => {
      ports = options.machine
      return processor
    },
  })
  return { pc, ports: ports!, firmware, images }
}

/**
 * Lets a random guest at a PC.
 * @throws AssertionError naming the seed and the step when something is out of its width, grows, moves too much at once or writes
 * where no guest may
 */
export async function fuzzMachine({ seed, steps, machine = 'pc', progress }: FuzzOptions): Promise<FuzzReport> {
  const random = randomBelow(seed)
  let step = 0
  // Each adapter with each machine, in turn.
  const vga = seed % 2 === 0 ? 'virtio' : 'std'
  const { pc, ports, firmware, images } = await createPc(machine, vga, () => step)
  const { devices, bus } = pc.inspect()
  pc.mixer?.listen(true)
  const { memory } = pc
  const guard = new MemoryGuard(memory)
  const where = () => `${machine}, seed ${seed}, step ${step}`
  const pci = new FuzzPci(ports)
  const seen = new Set<string>()
  const value = valuesOf(random, pci)
  const view = (address: number) => memory.write(address, bytesOf(value()))

  const inOrder = () => {
    pci.assign()
    for (const f of pci.functions) if (f.vendor === 0x1af4) new VirtioDriver(ports, memory, f, random, value).start()
    ports.writeMsr(0x1b, 0xfee00800, 0)
  }

  /** Memory of half-plausible structures: addresses, lengths, flags. */
  const fill = () => {
    for (let at = 0; at < RAM / 16; at += 16 + 16 * random(64)) {
      view(at)
      memory.write(at + 4, bytesOf(random(3) ? 0 : value()))
      memory.write(at + 8, bytesOf(random(2) ? random(0x2000) : value()))
      memory.write(at + 12, bytesOf(random(2) ? random(8) | (random(32) << 16) : value()))
    }
  }

  const check = (result: number, size: AccessSize, what: string) =>
    assert.ok(Number.isInteger(result) && result >= 0 && result < 2 ** (8 * size), `${where()}: ${what}: ${result}`)
  const cut = (size: AccessSize) => value() % 2 ** (8 * size)
  const accessPort = (port: number, size: AccessSize, write: boolean) => {
    if (write) ports.writePort(port, size, cut(size))
    else check(ports.readPort(port, size), size, `port ${port}`)
  }
  const accessMemory = (address: number, size: AccessSize, write: boolean) => {
    if (memory.locate(address) >= 0) return
    if (write) ports.writeMmio(address, size, cut(size))
    else check(ports.readMmio(address, size), size, `address ${address}`)
  }

  for (; step < steps; step++) {
    progress?.(step)
    guard.begin()
    if (step % ORDER === 0) {
      fill()
      inOrder()
    }
    const size = ([1, 2, 4] as const)[random(3)]
    const action = random(32)
    if (action < 12) {
      const ranges = bus.ranges().ports
      const [first, count] = ranges[random(ranges.length)]
      seen.add(`port ${first}`)
      // Two halves of a step: a register that is chosen, and the one behind it.
      accessPort(first + random(count), size, (action & 1) === 0)
      if (random(4) === 0) for (let i = random(20); i > 0; i--) accessPort(first + random(count), 1, true)
    } else if (action < 22) {
      const ranges = bus.ranges().memory
      const [start, length] = ranges[random(ranges.length)]
      seen.add(`memory ${start}`)
      const offset = (random(2) ? random(length) : random(Math.min(length, 0x400))) & -size
      accessMemory(start + (random(16) ? offset : random(length)), size, (action & 1) === 0)
    } else if (action < 24) {
      const f = pci.functions[random(pci.functions.length)]
      const register = random(3) ? random(64) : random(256)
      if (action & 1) f.write(register & -size, size, cut(size))
      else check(f.read(register & -size, size), size, `configuration ${register}`)
    } else if (action === 24) accessPort(random(0x10000), size, random(2) === 0)
    else if (action === 25)
      accessMemory([0xa0000, 0xc0000, 0xe0000000, 0xfec00000][random(4)] + random(0x20000), size, true)
    else if (action === 26) {
      const msr = [0x1b, 0x6e0, 0x800 + random(0x40), 0x4b564d00 + random(8)][random(4)]
      if (random(2)) ports.writeMsr(msr, value(), random(4) ? 0 : value())
      else for (const half of ports.readMsr(msr) ?? []) check(half, 4, `MSR ${msr}`)
    } else if (action === 27) {
      const vector = ports.acknowledgeInterrupt()
      assert.ok(vector >= -1 && vector < 256, `${where()}: vector ${vector}`)
    } else if (action === 28) {
      pc.receivers[random(pc.receivers.length)].receive(new Uint8Array(random(64)))
    } else {
      const { clock } = pc
      clock.skipTo(clock.now() + (random(60) === 0 ? random(1e8) : random(200_000)))
      clock.runTimers()
    }
    guard.end(MOST_BYTES, where)
    pc.takeEvent()
    if (step % 64 === 0) {
      await new Promise(resolve => setImmediate(resolve))
      await pc.hostWork.held
    }
    if (step % 10_000 === 9_999) {
      const weights = devices.map((device): [string, number] => [
        device.name,
        weigh(device.state) - pictures(device.state),
      ])
      const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
      const heaviest = weights.sort(([, a], [, b]) => b - a).slice(0, 3)
      assert.ok(total < MOST_WEIGHT, `${where()}: states hold ${total} numbers, most of them ${heaviest.join(', ')}`)
      const pixels = devices.reduce((sum, device) => sum + pictures(device.state), 0)
      assert.ok(pixels <= MOST_PICTURES, `${where()}: pictures hold ${pixels} bytes`)
      pc.display?.update()
      const there = memory.read(2 ** 32 - FIRMWARE_SIZE, FIRMWARE_SIZE)
      assert.ok(Buffer.from(there).equals(firmware), `${where()}: the firmware's ROM was written`)
      if (random(3) === 0) {
        for (const device of devices) {
          device.state = structuredClone(device.state)
          device.restored?.()
        }
      } else if (random(2)) pc.reset({ ...images, firmware: undefined })
    }
  }
  for (const device of devices) device.reset()
  await pc.hostWork.held
  return { devices: devices.map(device => device.name), ranges: seen.size, mostBytes: guard.most }
}

function bytesOf(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer)
}

/** Values that guests write: small ones, odd ones, and addresses of everything. */
function valuesOf(random: Random, pci: FuzzPci): () => number {
  const edges = [0, 1, 0xff, 0xffff, 0xffffffff, 0x80000000, 0x7fffffff, RAM - 1, RAM, RAM + 0x1000]
  const places = [0xa0000, 0xb8000, 0xc0000, 0xf0000, 0xfec00000, 0xfed00000, 0xfee00000, 0xffff0000, 0xb0000000]
  return () => {
    switch (random(6)) {
      case 0:
        return edges[random(edges.length)]
      case 1:
        return places[random(places.length)] + random(0x100)
      case 2:
        return pci.somewhere(random)
      case 3:
        return random(256)
      case 4:
        return random(2 ** 32)
      default:
        return random(RAM) & (random(2) ? ~0xfff : ~3)
    }
  }
}
