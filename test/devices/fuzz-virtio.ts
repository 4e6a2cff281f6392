/** A driver of virtio devices of any kind that starts them rightly and then lies: what is in its rings is random. */
import type { AccessSize } from '../../src/devices/bus.ts'
import type { Random } from '../../src/devices/test-random.ts'
import type { MachineInterface } from '../../src/engines/contract.ts'
import type { PhysicalMemory } from '../../src/memory/physical.ts'
import type { PciTarget } from './fuzz-pci.ts'

/** Vendor capabilities (virtio 1.2, 4.1.4). */
const VENDOR = 9
const COMMON = 1
const NOTIFY = 2
/** Offsets in the common configuration (4.1.4.3). */
const DRIVER_FEATURE_SELECT = 8
const DRIVER_FEATURE = 12
const STATUS = 20
const QUEUE_SELECT = 22
const QUEUE_SIZE = 24
const QUEUE_ENABLE = 28
const QUEUE_NOTIFY_OFFSET = 30
const QUEUE_DESCRIPTORS = 32
const QUEUE_DRIVER = 40
const QUEUE_DEVICE = 48
const ENTRIES = 8
const MOST_QUEUES = 4
/** Where rings are: a queue has 16 KiB. */
const RINGS = 0x200000

/** Starts one device. */
export class VirtioDriver {
  readonly #ports: MachineInterface
  readonly #memory: PhysicalMemory
  readonly #target: PciTarget
  readonly #random: Random
  readonly #value: () => number

  constructor(ports: MachineInterface, memory: PhysicalMemory, target: PciTarget, random: Random, value: () => number) {
    this.#ports = ports
    this.#memory = memory
    this.#target = target
    this.#random = random
    this.#value = value
  }

  /** Where a structure is, or undefined for a device without. */
  #structure(type: number): { address: number; multiplier: number } | undefined {
    const f = this.#target
    for (const at of f.capabilities(VENDOR)) {
      if (f.read(at + 3, 1) !== type) continue
      const bar = f.bars.find(({ index }) => index === f.read(at + 4, 1))
      if (bar?.kind === 'memory') return { address: bar.address + f.read(at + 8, 4), multiplier: f.read(at + 16, 4) }
    }
    return undefined
  }

  /** Resets the device, enables its queues, fills them with lies and notifies it. */
  start(): void {
    const common = this.#structure(COMMON)
    const notify = this.#structure(NOTIFY)
    if (!common || !notify) return
    const write = (offset: number, size: AccessSize, value: number) =>
      this.#ports.writeMmio(common.address + offset, size, value)
    write(STATUS, 1, 0)
    write(STATUS, 1, 3)
    write(DRIVER_FEATURE_SELECT, 4, 1)
    write(DRIVER_FEATURE, 4, 1)
    write(STATUS, 1, 11)
    const queues = Math.min(MOST_QUEUES, this.#ports.readMmio(common.address + 18, 2))
    const offsets: number[] = []
    for (let queue = 0; queue < queues; queue++) {
      const ring = RINGS + 0x4000 * queue
      write(QUEUE_SELECT, 2, queue)
      write(QUEUE_SIZE, 2, ENTRIES)
      // Now and then rings lie where there is no RAM.
      const place = (at: number) => (this.#random(12) ? at : this.#value() & ~15)
      for (const [register, at] of [
        [QUEUE_DESCRIPTORS, ring],
        [QUEUE_DRIVER, ring + 0x1000],
        [QUEUE_DEVICE, ring + 0x2000],
      ]) {
        write(register, 4, place(at))
        write(register + 4, 4, 0)
      }
      write(QUEUE_ENABLE, 2, 1)
      this.#fill(ring)
      offsets.push(this.#ports.readMmio(common.address + QUEUE_NOTIFY_OFFSET, 2))
    }
    write(STATUS, 1, 15)
    for (const [queue, offset] of offsets.entries())
      this.#ports.writeMmio(notify.address + offset * notify.multiplier, 2, queue)
  }

  #fill(ring: number): void {
    const random = this.#random
    const descriptors = new DataView(new ArrayBuffer(16 * ENTRIES))
    for (let i = 0; i < ENTRIES; i++) {
      descriptors.setUint32(16 * i, this.#value(), true)
      descriptors.setUint32(16 * i + 4, random(8) ? 0 : this.#value(), true)
      descriptors.setUint32(16 * i + 8, random(3) ? 16 * random(300) : this.#value(), true)
      // NEXT, WRITE and INDIRECT; chains that loop and that leave the table.
      descriptors.setUint16(16 * i + 12, random(8), true)
      descriptors.setUint16(16 * i + 14, random(8) ? random(ENTRIES) : random(0x10000), true)
    }
    this.#memory.write(ring, new Uint8Array(descriptors.buffer))
    const available = new Uint16Array(2 + ENTRIES + 1)
    available[1] = random(3) ? ENTRIES : random(0x10000)
    for (let i = 0; i < ENTRIES; i++) available[2 + i] = random(8) ? random(ENTRIES) : random(0x10000)
    this.#memory.write(ring + 0x1000, new Uint8Array(available.buffer))
  }
}
