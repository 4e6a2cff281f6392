/** The driver's side of virtio on the PCI bus, for tests: the smallest that there can be. */
import { PciBus } from '../pci.ts'
import { PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import type { VirtioDevice } from './device.ts'
import { VirtioPci } from './transport-pci.ts'

/** Where a device's structures are, and its MSI-X table. */
export const BAR = 0xe0000000
const MSIX = 0xe0010000
/** Where the test's driver puts a queue: descriptors, available and used ring, buffers. */
export const layout = (queue: number) => {
  const base = 0x1000 + queue * 0x2000
  return { descriptors: base, available: base + 0x800, used: base + 0xa00, buffers: base + 0x1000 }
}
/** Entries of a queue. */
export const SIZE = 8

/** Sets queues up and uses them, for a device whose structures are mapped. */
export class QueueDriver {
  readonly bus: TestBus
  readonly #bar: number
  readonly #next: number[] = []

  /** @param bar where the structures are */
  constructor(bus: TestBus, bar: number) {
    this.bus = bus
    this.#bar = bar
  }

  status(): number {
    return this.bus.load(this.#bar + 0x14, 1)
  }

  start(queues: number, low = 0, high = 1): void {
    const { bus } = this
    bus.store(this.#bar + 0x14, 0, 1)
    bus.store(this.#bar + 0x14, 3, 1)
    bus.store(this.#bar + 0x10, 0, 2)
    bus.store(this.#bar + 8, 0)
    bus.store(this.#bar + 12, low)
    bus.store(this.#bar + 8, 1)
    bus.store(this.#bar + 12, high)
    bus.store(this.#bar + 0x14, 11, 1)
    for (let queue = 0; queue < queues; queue++) {
      const { descriptors, available, used } = layout(queue)
      bus.ram.fill(0, descriptors, descriptors + 0x1000)
      this.#next[queue] = 0
      bus.store(this.#bar + 0x16, queue, 2)
      bus.store(this.#bar + 0x18, SIZE, 2)
      bus.store(this.#bar + 0x1a, queue + 1, 2)
      bus.store(this.#bar + 0x20, descriptors)
      bus.store(this.#bar + 0x28, available)
      bus.store(this.#bar + 0x30, used)
      bus.store(this.#bar + 0x1c, 1, 2)
    }
    bus.store(this.#bar + 0x14, 15, 1)
  }

  set16(address: number, value: number): void {
    this.bus.ram[address] = value & 0xff
    this.bus.ram[address + 1] = value >> 8
  }

  get16(address: number): number {
    return this.bus.ram[address] | (this.bus.ram[address + 1] << 8)
  }

  describe(table: number, index: number, address: number, length: number, flags: number, next = 0): void {
    const view = new DataView(this.bus.ram.buffer, table + 16 * index, 16)
    view.setBigUint64(0, BigInt(address), true)
    view.setUint32(8, length, true)
    view.setUint16(12, flags, true)
    view.setUint16(14, next, true)
  }

  offer(queue: number, head: number, notify = true): void {
    const { available } = layout(queue)
    this.set16(available + 4 + 2 * (this.#next[queue]++ % SIZE), head)
    this.set16(available + 2, this.#next[queue] & 0xffff)
    if (notify) this.bus.store(this.#bar + 0x3000 + 4 * queue, queue, 2)
  }

  used(queue: number): { index: number; last: [number, number] } {
    const { used } = layout(queue)
    const index = this.get16(used + 2)
    const view = new DataView(this.bus.ram.buffer, used + 4 + 8 * ((index + SIZE - 1) % SIZE), 8)
    return { index, last: [view.getUint32(0, true), view.getUint32(4, true)] }
  }
}

/** A device on a bus of its own, and its driver. */
export class Driver extends QueueDriver {
  readonly messages: number[] = []
  readonly pci: PciBus
  readonly transport: VirtioPci

  /** @param make makes the device, where it wants to know its bus */
  constructor(make: VirtioDevice | ((bus: TestBus) => VirtioDevice), ramBytes?: number) {
    super(new TestBus(ramBytes), BAR)
    this.pci = new PciBus(this.bus)
    const device = typeof make === 'function' ? make(this.bus) : make
    this.transport = new VirtioPci(this.bus, device, (_low, _high, data) => void this.messages.push(data))
    this.pci.add(2, 0, this.transport.function)
    const f = this.transport.function
    f.write(PCI_CONFIG.BASE_ADDRESS_0, 4, BAR)
    f.write(PCI_CONFIG.BASE_ADDRESS_0 + 4, 4, MSIX)
    f.write(PCI_CONFIG.COMMAND, 2, 6)
  }

  useMsix(): void {
    const f = this.transport.function
    f.write(f.capability(0x11) + 2, 2, 0x8000)
    for (let vector = 0; vector < 3; vector++) {
      this.bus.store(MSIX + 16 * vector + 8, 0x50 + vector)
      this.bus.store(MSIX + 16 * vector + 12, 0)
    }
  }
}
