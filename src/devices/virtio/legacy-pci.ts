import type { AccessSize, MmioHandler } from '../bus.ts'
import { maskTo } from '../registers.ts'
import type { Virtqueue } from './virtqueue.ts'

/** The legacy registers in ports (Virtual I/O Device 1.2, 4.1.4.10). */
const DEVICE_FEATURES = 0
const DRIVER_FEATURES = 4
const QUEUE_ADDRESS = 8
const QUEUE_SIZE = 12
const QUEUE_SELECT = 14
const QUEUE_NOTIFY = 16
const DEVICE_STATUS = 18
const ISR_STATUS = 19
/** While MSI-X is on, two vectors lie between these and the device's configuration. */
const CONFIG_VECTOR = 20
const QUEUE_VECTOR = 22
const HEADER_BYTES = 20
const VECTOR_BYTES = 4

const PAGE = 4096

/** Ports of the legacy BAR. */
export const LEGACY_BYTES = 0x80

/** What the registers show and do. */
export interface LegacyTransport {
  /** The first 32 feature bits that the device offers. */
  offered(): number
  features(): number
  setFeatures(value: number): void
  selected(): Virtqueue | undefined
  queueSelect(): number
  select(value: number): void
  status(): number
  setStatus(value: number): void
  readIsr(): number
  notify(queue: number): void
  /** The vectors of the configuration and the selected queue, while MSI-X is on. */
  vectors(): [number, number] | undefined
  setVector(queue: boolean, value: number): void
  configuration(): Uint8Array
  writeConfiguration(offset: number, bytes: Uint8Array): void
}

/** Where a queue's parts are when the driver gives one page number (2.7.2). */
function place(queue: Virtqueue, page: number): void {
  const q = queue.state
  q.size = queue.maximum
  q.descriptors = page * PAGE
  q.driver = q.descriptors + 16 * q.size
  q.device = Math.ceil((q.driver + 2 * (3 + q.size)) / PAGE) * PAGE
  q.enabled = page !== 0
}

/** Answers the ports by which drivers from before version 1 use a transitional device. */
export function legacyRegisters(transport: LegacyTransport): MmioHandler {
  const headerBytes = () => (transport.vectors() ? HEADER_BYTES + VECTOR_BYTES : HEADER_BYTES)
  return {
    readMmio(offset, size) {
      if (offset === ISR_STATUS && size === 1) return transport.readIsr()
      const view = new DataView(new ArrayBuffer(LEGACY_BYTES + 4))
      const queue = transport.selected()
      view.setUint32(DEVICE_FEATURES, transport.offered(), true)
      view.setUint32(DRIVER_FEATURES, transport.features(), true)
      view.setUint32(QUEUE_ADDRESS, queue?.state.enabled ? queue.state.descriptors / PAGE : 0, true)
      view.setUint16(QUEUE_SIZE, queue?.maximum ?? 0, true)
      view.setUint16(QUEUE_SELECT, transport.queueSelect(), true)
      view.setUint8(DEVICE_STATUS, transport.status())
      const [config, own] = transport.vectors() ?? [0, 0]
      view.setUint16(CONFIG_VECTOR, config, true)
      view.setUint16(QUEUE_VECTOR, own, true)
      const configuration = transport.configuration()
      new Uint8Array(view.buffer).set(configuration.subarray(0, LEGACY_BYTES - headerBytes()), headerBytes())
      return maskTo(view.getUint32(offset, true), size)
    },
    writeMmio(offset, size, value) {
      const header = headerBytes()
      if (offset >= header) {
        const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i))
        transport.writeConfiguration(offset - header, bytes)
      } else writeHeader(transport, offset, size, value)
    },
  }
}

function writeHeader(transport: LegacyTransport, offset: number, _size: AccessSize, value: number): void {
  const queue = transport.selected()
  switch (offset) {
    case DRIVER_FEATURES:
      transport.setFeatures(value)
      break
    case QUEUE_ADDRESS:
      if (queue === undefined) break
      if (value === 0) {
        const { vector } = queue.state
        queue.reset()
        queue.state.vector = vector
      } else place(queue, value)
      break
    case QUEUE_SELECT:
      transport.select(value & 0xffff)
      break
    case QUEUE_NOTIFY:
      transport.notify(value & 0xffff)
      break
    case DEVICE_STATUS:
      transport.setStatus(value & 0xff)
      break
    case CONFIG_VECTOR:
      transport.setVector(false, value & 0xffff)
      break
    case QUEUE_VECTOR:
      transport.setVector(true, value & 0xffff)
      break
  }
}
