import type { Virtqueue } from './virtqueue.ts'

/** What a virtio device sees of the transport that carries it. */
export interface VirtioTransport {
  /** A queue by its index. */
  queue(index: number): Virtqueue
  /** The driver has accepted a feature bit. */
  hasFeature(bit: number): boolean
  /** The driver is ready: DRIVER_OK is set and the device is not in need of a reset. */
  readonly running: boolean
  /** The device's configuration has changed: tells the driver. */
  configurationChanged(): void
}

/** A virtio device without its transport. */
export interface VirtioDevice {
  /** Unique within the machine. */
  readonly name: string
  /** The version of {@link state}'s shape. */
  readonly version: number
  /** The device type (Virtual I/O Device 1.2, chapter 5). */
  readonly type: number
  /** Its PCI class in 24 bits. */
  readonly classCode: number
  /** Whether legacy drivers may use it, too (Virtual I/O Device 1.2, 1.4.1); not by default. */
  readonly transitional?: boolean
  /** Feature bits that it offers besides those of the rings. */
  readonly features: readonly number[]
  /** The largest size of each queue. */
  readonly queueSizes: readonly number[]
  /** Everything that a snapshot must hold besides queues and transport. */
  state: object
  /** Called once, when the transport is made. */
  attach(transport: VirtioTransport): void
  /** The device-specific configuration as it is now. */
  configuration(): Uint8Array
  /** The driver wrote to the device-specific configuration. */
  writeConfiguration?(offset: number, bytes: Uint8Array): void
  /** The driver has set DRIVER_OK. */
  start?(): void
  /** The driver has made buffers available. */
  notify(queue: number): void
  /** Device reset, by the driver or RESET#. */
  reset(): void
}
