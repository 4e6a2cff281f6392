import type { AccessSize, Bus, Device, MmioHandler } from '../bus.ts'
import { type MessageSignal, MsiX, type MsiXState } from '../msix.ts'
import { type BarDeclaration, type PciCapability, PciFunction } from '../pci-function.ts'
import { maskTo } from '../registers.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import { LEGACY_BYTES, type LegacyTransport, legacyRegisters } from './legacy-pci.ts'
import {
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  Virtqueue,
  type VirtqueueState,
} from './virtqueue.ts'

const VIRTIO_VENDOR = 0x1af4
/** PCI device IDs of modern devices are this and the type (Virtual I/O Device 1.2, 4.1.2). */
const VIRTIO_DEVICE_BASE = 0x1040
/** Transitional ones by type (4.1.2.1). */
const TRANSITIONAL_IDS: Record<number, number> = { 1: 0x1000, 2: 0x1001, 3: 0x1003, 4: 0x1005, 5: 0x1002, 8: 0x1004 }
const VENDOR_CAPABILITY = 9

/** Structures that capabilities point to, and where they are in {@link STRUCTURES_BAR}. */
const CAP_COMMON_CFG = 1
const CAP_NOTIFY_CFG = 2
const CAP_ISR_CFG = 3
const CAP_DEVICE_CFG = 4
const CAP_PCI_CFG = 5
const STRUCTURE_BYTES = 0x1000
const COMMON_AT = 0
const ISR_AT = 1
const DEVICE_AT = 2
const NOTIFY_AT = 3
const NOTIFY_MULTIPLIER = 4
const MSIX_BAR = 1
/** What a {@link SharedFunction} has in front of the structures. */
const FRONT_BYTES = 4 * STRUCTURE_BYTES
/** The BAR of the structures: the first, which in a transitional device is that of the legacy registers. */
const MODERN_BAR = 0
const TRANSITIONAL_BAR = 2

/** The common configuration structure (4.1.4.3). */
const DEVICE_FEATURE_SELECT = 0x00
const DEVICE_FEATURE = 0x04
const DRIVER_FEATURE_SELECT = 0x08
const DRIVER_FEATURE = 0x0c
const CONFIG_MSIX_VECTOR = 0x10
const NUM_QUEUES = 0x12
const DEVICE_STATUS = 0x14
const CONFIG_GENERATION = 0x15
const QUEUE_SELECT = 0x16
const QUEUE_SIZE = 0x18
const QUEUE_MSIX_VECTOR = 0x1a
const QUEUE_ENABLE = 0x1c
const QUEUE_NOTIFY_OFF = 0x1e
const QUEUE_DESC = 0x20
const QUEUE_DRIVER = 0x28
const QUEUE_DEVICE = 0x30
const COMMON_BYTES = 0x38

const STATUS_DRIVER_OK = 4
const STATUS_FEATURES_OK = 8
const STATUS_NEEDS_RESET = 0x40
const ISR_QUEUE = 1
const ISR_CONFIGURATION = 2
const NO_VECTOR = 0xffff

interface TransportState {
  deviceFeatureSelect: number
  driverFeatureSelect: number
  /** Two words. */
  driverFeatures: number[]
  configVector: number
  status: number
  generation: number
  queueSelect: number
  isr: number
}

/** The queue's addresses by their offset in the common configuration. */
const ADDRESSES: Record<number, 'descriptors' | 'driver' | 'device'> = {
  [QUEUE_DESC]: 'descriptors',
  [QUEUE_DRIVER]: 'driver',
  [QUEUE_DEVICE]: 'device',
}

/** The feature bits of a device and of the rings. */
function offered(device: VirtioDevice): number[] {
  return [...device.features, VIRTIO_F_RING_INDIRECT_DESC, VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_VERSION_1]
}

/** A capability that says where a structure is (4.1.4). */
function structureCapability(
  bar: number,
  type: number,
  offset: number,
  length: number,
  more: number[] = [],
): PciCapability {
  const dword = (value: number) => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24]
  const bytes = [16 + more.length, type, bar, 0, 0, 0, ...dword(offset), ...dword(length)]
  return { id: VENDOR_CAPABILITY, bytes: [...bytes, ...more] }
}

/** A function that is more than its virtio device, as a VGA with one is. */
export interface SharedFunction {
  /** Answers the first 16 KiB of the structures' BAR; the structures are behind. */
  front: MmioHandler
  /** BARs of the rest, by their numbers. */
  bars: readonly (BarDeclaration | undefined)[]
  structuresBar: number
  msixBar: number
  expansionRom?: Uint8Array
}

/** What of a virtio function is saved. */
export interface VirtioPciState {
  transport: TransportState
  queues: VirtqueueState[]
  msix: MsiXState
  pci: PciFunction['state']
  device: object
}

/** A virtio device on the PCI bus, modern or transitional, with MSI-X and INTx (Virtual I/O Device 1.2, chapter 4.1). */
export class VirtioPci implements Device, VirtioTransport {
  readonly name: string
  readonly version: number
  /** The function to put on the bus. */
  readonly function: PciFunction
  readonly #bus: Bus
  readonly #device: VirtioDevice
  readonly #msix: MsiX
  readonly #queues: Virtqueue[]
  readonly #features: readonly number[]
  readonly #structuresBar: number
  /** The structures' BAR: how long it is, and its handler. */
  readonly #structuresBytes: number
  readonly #structures: MmioHandler
  /** Where the window's capability is in configuration space. */
  #windowAt = 0
  #state: TransportState

  /**
   * @param message sends a message-signalled interrupt.
   * @param shared the rest of the function, where the device is not all of it
   */
  constructor(bus: Bus, device: VirtioDevice, message: MessageSignal, shared?: SharedFunction) {
    this.name = device.name
    this.version = device.version
    this.#bus = bus
    this.#device = device
    this.#features = offered(device)
    this.#state = this.#initial()
    this.#queues = device.queueSizes.map(
      (size, index) =>
        new Virtqueue(
          bus.memory,
          size,
          bit => this.hasFeature(bit),
          () => this.#interrupt(this.#queues[index].state.vector, ISR_QUEUE),
          reason => this.#fail(index, reason),
        ),
    )
    this.#msix = new MsiX(device.queueSizes.length + 1, message)
    const front = shared?.front
    const base = front ? FRONT_BYTES : 0
    this.#structuresBytes = base + 4 * STRUCTURE_BYTES
    this.#structures = {
      readMmio: (offset, size) => (offset < base ? front!.readMmio(offset, size) : this.#read(offset - base, size)),
      writeMmio: (offset, size, value) => {
        if (offset < base) front!.writeMmio(offset, size, value)
        else this.#write(offset - base, size, value)
      },
    }
    const transitional = device.transitional ?? false
    const bar = shared?.structuresBar ?? (transitional ? TRANSITIONAL_BAR : MODERN_BAR)
    const msixBar = shared?.msixBar ?? MSIX_BAR
    this.#structuresBar = bar
    const bars: (BarDeclaration | undefined)[] = [...(shared?.bars ?? [])]
    if (transitional) bars[0] = { kind: 'ports', size: LEGACY_BYTES, handler: legacyRegisters(this.#legacy()) }
    bars[msixBar] = { kind: 'memory', size: 0x1000, handler: this.#msix.handler }
    bars[bar] = { kind: 'memory', size: this.#structuresBytes, handler: this.#structures }
    const structure = (type: number, page: number, length: number, more?: number[]) =>
      structureCapability(bar, type, base + page * STRUCTURE_BYTES, length, more)
    this.function = new PciFunction(bus, {
      name: `${device.name}-pci`,
      vendorId: VIRTIO_VENDOR,
      deviceId: transitional ? TRANSITIONAL_IDS[device.type] : VIRTIO_DEVICE_BASE + device.type,
      revision: transitional ? 0 : 1,
      classCode: device.classCode,
      subsystemVendorId: VIRTIO_VENDOR,
      subsystemId: transitional ? device.type : 0x40 + device.type,
      interruptPin: 1,
      bars,
      capabilities: [
        structure(CAP_COMMON_CFG, COMMON_AT, COMMON_BYTES),
        structure(CAP_ISR_CFG, ISR_AT, 1),
        structure(CAP_DEVICE_CFG, DEVICE_AT, STRUCTURE_BYTES),
        structure(CAP_NOTIFY_CFG, NOTIFY_AT, NOTIFY_MULTIPLIER * device.queueSizes.length, [
          NOTIFY_MULTIPLIER,
          0,
          0,
          0,
        ]),
        // BAR, offset, length and data of the window can be written.
        {
          ...structureCapability(bar, CAP_PCI_CFG, 0, 0, [0, 0, 0, 0]),
          writable: [0, 0, 0xff, 0, 0, 0, ...new Array(12).fill(0xff)],
        },
        this.#msix.capability(msixBar),
      ],
      expansionRom: shared?.expansionRom,
      onRead: (offset, size) => this.#window(offset, size, false),
      onWrite: (offset, size) => {
        this.#window(offset, size, true)
        this.#msix.configWritten(offset, size)
      },
    })
    this.#msix.attach(this.function)
    const { config } = this.function.state
    let at = 0
    do at = this.function.capability(VENDOR_CAPABILITY, at || undefined)
    while (at !== 0 && config[at + 3] !== CAP_PCI_CFG)
    this.#windowAt = at
    device.attach(this)
  }

  #initial(): TransportState {
    return {
      deviceFeatureSelect: 0,
      driverFeatureSelect: 0,
      driverFeatures: [0, 0],
      configVector: NO_VECTOR,
      status: 0,
      generation: 0,
      queueSelect: 0,
      isr: 0,
    }
  }

  get state(): VirtioPciState {
    return {
      transport: this.#state,
      queues: this.#queues.map(queue => queue.state),
      msix: this.#msix.state,
      pci: this.function.state,
      device: this.#device.state,
    }
  }

  set state(state: VirtioPciState) {
    this.#state = state.transport
    for (const [index, queue] of this.#queues.entries()) queue.state = state.queues[index]
    this.#msix.state = state.msix
    this.function.state = state.pci
    this.#device.state = state.device
  }

  reset(): void {
    this.function.reset()
    this.#msix.reset()
    this.#resetDevice()
  }

  restored(): void {
    this.function.restored()
  }

  queue(index: number): Virtqueue {
    return this.#queues[index]
  }

  hasFeature(bit: number): boolean {
    const { driverFeatures } = this.#state
    return ((driverFeatures[bit >> 5] >>> (bit & 31)) & 1) !== 0
  }

  get running(): boolean {
    return (this.#state.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) === STATUS_DRIVER_OK
  }

  configurationChanged(): void {
    this.#state.generation = (this.#state.generation + 1) & 0xff
    if (this.running) this.#interrupt(this.#state.configVector, ISR_CONFIGURATION)
  }

  /** A driver that broke the rules has to reset the device. */
  #fail(queue: number, reason: string): void {
    this.#bus.logOnce(`${this.name} queue ${queue}`, `${this.name}: queue ${queue} stops until a reset: ${reason}`)
    this.#state.status |= STATUS_NEEDS_RESET
    this.#interrupt(this.#state.configVector, ISR_CONFIGURATION)
  }

  #interrupt(vector: number, isr: number): void {
    if (this.#msix.enabled) {
      if (vector !== NO_VECTOR) this.#msix.notify(vector)
      return
    }
    this.#state.isr |= isr
    this.function.interrupt.set(true)
  }

  #resetDevice(): void {
    this.#state = this.#initial()
    for (const queue of this.#queues) queue.reset()
    this.function.interrupt.set(false)
    this.#device.reset()
  }

  #read(offset: number, size: AccessSize): number {
    const within = offset % STRUCTURE_BYTES
    switch (Math.floor(offset / STRUCTURE_BYTES)) {
      case COMMON_AT: {
        // Fields are read whole or by parts of a dword.
        const dword = this.#readCommon(within & ~3)
        return maskTo(dword >>> (8 * (within & 3)), size)
      }
      case ISR_AT:
        return within === 0 ? this.#readIsr() : 0
      case DEVICE_AT: {
        const bytes = this.#device.configuration()
        let value = 0
        for (let i = size - 1; i >= 0; i--) value = (value << 8) | (bytes[within + i] ?? 0)
        return value >>> 0
      }
      default:
        return 0
    }
  }

  /** Reading acknowledges. */
  #readIsr(): number {
    const { isr } = this.#state
    this.#state.isr = 0
    this.function.interrupt.set(false)
    return isr
  }

  /** What the legacy registers do. */
  #legacy(): LegacyTransport {
    return {
      offered: () => this.#offeredWord(0),
      features: () => this.#state.driverFeatures[0],
      setFeatures: value => {
        this.#state.driverFeatures = [(value & this.#offeredWord(0)) >>> 0, 0]
      },
      selected: () => this.#queues[this.#state.queueSelect],
      queueSelect: () => this.#state.queueSelect,
      select: value => {
        this.#state.queueSelect = value
      },
      status: () => this.#state.status,
      setStatus: value => this.#writeStatus(value),
      readIsr: () => this.#readIsr(),
      notify: index => {
        if (this.running && this.#queues[index]?.ready) this.#device.notify(index)
      },
      vectors: () => (this.#msix.enabled ? [this.#state.configVector, this.#queue?.vector ?? NO_VECTOR] : undefined),
      setVector: (queue, value) => {
        if (!queue) this.#state.configVector = this.#vector(value)
        else if (this.#queue) this.#queue.vector = this.#vector(value)
      },
      configuration: () => this.#device.configuration(),
      writeConfiguration: (offset, bytes) => this.#device.writeConfiguration?.(offset, bytes),
    }
  }

  get #queue(): VirtqueueState | undefined {
    return this.#queues[this.#state.queueSelect]?.state
  }

  #readCommon(offset: number): number {
    const s = this.#state
    const queue = this.#queues[s.queueSelect]?.state
    const pair = (low: number, high: number) => (low | (high << 16)) >>> 0
    switch (offset) {
      case DEVICE_FEATURE_SELECT:
        return s.deviceFeatureSelect
      case DEVICE_FEATURE:
        return this.#offeredWord(s.deviceFeatureSelect)
      case DRIVER_FEATURE_SELECT:
        return s.driverFeatureSelect
      case DRIVER_FEATURE:
        return s.driverFeatures[s.driverFeatureSelect] ?? 0
      case CONFIG_MSIX_VECTOR:
        return pair(s.configVector, this.#queues.length)
      case DEVICE_STATUS:
        return pair(s.status | (s.generation << 8), s.queueSelect)
      case QUEUE_SIZE:
        return queue ? pair(queue.size, queue.vector) : 0
      case QUEUE_ENABLE:
        return queue ? pair(queue.enabled ? 1 : 0, s.queueSelect) : 0
      case QUEUE_DESC:
      case QUEUE_DRIVER:
      case QUEUE_DEVICE:
        return queue ? queue[ADDRESSES[offset]] % 2 ** 32 : 0
      case QUEUE_DESC + 4:
      case QUEUE_DRIVER + 4:
      case QUEUE_DEVICE + 4:
        return queue ? Math.floor(queue[ADDRESSES[offset - 4]] / 2 ** 32) : 0
      default:
        return 0
    }
  }

  #offeredWord(word: number): number {
    let bits = 0
    for (const bit of this.#features) if (bit >> 5 === word) bits |= 1 << (bit & 31)
    return bits >>> 0
  }

  #write(offset: number, size: AccessSize, value: number): void {
    const within = offset % STRUCTURE_BYTES
    switch (Math.floor(offset / STRUCTURE_BYTES)) {
      case COMMON_AT:
        this.#writeCommon(within, size, value)
        break
      case DEVICE_AT: {
        const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i))
        this.#device.writeConfiguration?.(within, bytes)
        break
      }
      case NOTIFY_AT: {
        const index = within / NOTIFY_MULTIPLIER
        if (this.running && this.#queues[index]?.ready) this.#device.notify(index)
        break
      }
      default:
    }
  }

  #writeCommon(offset: number, size: AccessSize, value: number): void {
    const s = this.#state
    switch (offset) {
      case DEVICE_FEATURE_SELECT:
        s.deviceFeatureSelect = value
        return
      case DRIVER_FEATURE_SELECT:
        s.driverFeatureSelect = value
        return
      case DRIVER_FEATURE:
        if (s.driverFeatureSelect < 2 && (s.status & STATUS_FEATURES_OK) === 0)
          s.driverFeatures[s.driverFeatureSelect] = value
        return
      case CONFIG_MSIX_VECTOR:
        s.configVector = this.#vector(value)
        return
      case DEVICE_STATUS:
        this.#writeStatus(value & 0xff)
        return
      case QUEUE_SELECT:
        s.queueSelect = value & 0xffff
        return
      case NUM_QUEUES:
      case CONFIG_GENERATION:
      case QUEUE_NOTIFY_OFF:
        return
      default:
        this.#writeQueue(offset, size, value)
    }
  }

  #writeQueue(offset: number, size: AccessSize, value: number): void {
    const queue = this.#queues[this.#state.queueSelect]
    if (queue === undefined) return
    const q = queue.state
    if (offset === QUEUE_MSIX_VECTOR) {
      q.vector = this.#vector(value)
      return
    }
    // The rest is set up before the queue is enabled.
    if (q.enabled) return
    const high = (offset & 4) !== 0
    const key = ADDRESSES[offset & ~4]
    if (offset === QUEUE_SIZE) {
      if (value > 0 && value <= queue.maximum && (value & (value - 1)) === 0) q.size = value
    } else if (offset === QUEUE_ENABLE) {
      if (value === 1) q.enabled = true
    } else if (key !== undefined && size === 4)
      q[key] = high ? value * 2 ** 32 + (q[key] % 2 ** 32) : Math.floor(q[key] / 2 ** 32) * 2 ** 32 + value
  }

  /** A vector that the driver maps, or NO_VECTOR if there is no such one: how the driver learns of it. */
  #vector(value: number): number {
    return value < this.#msix.vectors ? value : NO_VECTOR
  }

  #writeStatus(value: number): void {
    const s = this.#state
    if (value === 0) {
      this.#resetDevice()
      return
    }
    const rising = value & ~s.status
    s.status = value | (s.status & STATUS_NEEDS_RESET)
    if (rising & STATUS_FEATURES_OK) {
      const unknown = s.driverFeatures.some((word, i) => (word & ~this.#offeredWord(i)) !== 0)
      if (unknown || !this.hasFeature(VIRTIO_F_VERSION_1)) s.status &= ~STATUS_FEATURES_OK
    }
    if (rising & STATUS_DRIVER_OK) this.#device.start?.()
  }

  /** The window in configuration space through which BARs can be accessed without being mapped (4.1.4.9). */
  #window(offset: number, size: AccessSize, write: boolean): void {
    const at = this.#windowAt
    if (at === 0 || offset !== at + 16) return
    const { config } = this.function.state
    const length = this.function.read32(at + 12)
    const from = this.function.read32(at + 8)
    if (config[at + 4] !== this.#structuresBar || length !== size || from % size !== 0 || from >= this.#structuresBytes)
      return
    if (write) this.#structures.writeMmio(from, size, maskTo(this.function.read32(at + 16), size))
    else {
      const value = this.#structures.readMmio(from, size)
      for (let i = 0; i < size; i++) config[at + 16 + i] = value >>> (8 * i)
    }
  }
}
