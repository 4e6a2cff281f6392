import type { Disk } from '../../disk/disk.ts'
import type { Bus } from '../bus.ts'
import { dwordAt, qwordAt } from '../little-endian.ts'
import {
  BlockRequests,
  type HostWork,
  IMMEDIATE_HOST,
  SECTOR,
  type Segment,
  sliceSegments,
  totalLength,
} from '../storage/block.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import type { Chain } from './virtqueue.ts'

const TYPE_BLOCK = 2
const CLASS_SCSI_STORAGE = 0x010000
const QUEUE_SIZE = 256
/** Most buffers of a request besides header and status. */
const SEGMENTS = QUEUE_SIZE - 2
/** No request moves more; drivers ask for a few MiB. */
const REQUEST_BYTES = 64 << 20
/** Longest range of one discard or write zeroes, in sectors, and how many ranges a request may have. */
const RANGE_SECTORS = 0x3fffff
const RANGES = 64
const RANGE_BYTES = 16

/** Feature bits (Virtual I/O Device 1.2, 5.2.3). */
export const VIRTIO_BLK_F = {
  SEG_MAX: 2,
  GEOMETRY: 4,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const
/** Any number of buffers may hold header, data and status (6.3): for legacy drivers. */
const VIRTIO_F_ANY_LAYOUT = 27

/** Types of requests (5.2.6). */
const VIRTIO_BLK_T = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const
const STATUS_OK = 0
const STATUS_IOERR = 1
const STATUS_UNSUPP = 2
const HEADER_BYTES = 16
const ID_BYTES = 20

/** The configuration (5.2.4): offsets of its fields. */
const CONFIG = {
  CAPACITY: 0,
  SEG_MAX: 12,
  CYLINDERS: 16,
  HEADS: 18,
  SECTORS: 19,
  BLK_SIZE: 20,
  OPT_IO_SIZE: 28,
  WRITEBACK: 32,
  NUM_QUEUES: 34,
  MAX_DISCARD_SECTORS: 36,
  MAX_DISCARD_SEG: 40,
  DISCARD_SECTOR_ALIGNMENT: 44,
  MAX_WRITE_ZEROES_SECTORS: 48,
  MAX_WRITE_ZEROES_SEG: 52,
  WRITE_ZEROES_MAY_UNMAP: 56,
  BYTES: 60,
} as const

/** What a {@link VirtioBlk} is made of. */
export interface VirtioBlkOptions {
  name?: string
  disk: Disk
  /** At most 20 characters that identify the disk; its end is cut off. */
  serial?: string
  /** How many request queues, 1 by default. */
  queues?: number
  /** Every write is flushed, so the driver need not. */
  writethrough?: boolean
  host?: HostWork
}

/** A virtio block device (Virtual I/O Device 1.2, chapter 5.2). */
export class VirtioBlk implements VirtioDevice {
  readonly name: string
  readonly version = 1
  readonly type = TYPE_BLOCK
  readonly classCode = CLASS_SCSI_STORAGE
  readonly transitional = true
  readonly features: readonly number[]
  readonly queueSizes: readonly number[]
  /** The write-back bit as the driver set it. What is under way is with the queues: a snapshot waits for its end. */
  state: { writeback: boolean }
  readonly #disk: Disk
  readonly #serial: string
  readonly #requests: BlockRequests
  readonly #writeback: boolean
  readonly #bus: Bus
  /** Queues with something to signal when the batch is over. */
  #transport: VirtioTransport | undefined

  constructor(bus: Bus, options: VirtioBlkOptions) {
    this.#bus = bus
    this.name = options.name ?? 'virtio-blk'
    this.#disk = options.disk
    this.#serial = options.serial ?? ''
    this.#writeback = !options.writethrough
    this.state = { writeback: this.#writeback }
    const queues = options.queues ?? 1
    this.queueSizes = new Array(queues).fill(QUEUE_SIZE)
    const F = VIRTIO_BLK_F
    this.features = [F.SEG_MAX, F.GEOMETRY, F.BLK_SIZE, F.FLUSH, F.TOPOLOGY, F.CONFIG_WCE, VIRTIO_F_ANY_LAYOUT].concat(
      this.#disk.readOnly ? [F.RO] : [F.DISCARD, F.WRITE_ZEROES],
      queues > 1 ? [F.MQ] : [],
    )
    this.#requests = new BlockRequests(bus.clock, options.host ?? IMMEDIATE_HOST)
  }

  /** How many requests the guest waits for. */
  get pending(): number {
    return this.#requests.pending
  }

  attach(transport: VirtioTransport): void {
    this.#transport = transport
  }

  configuration(): Uint8Array {
    const view = new DataView(new ArrayBuffer(CONFIG.BYTES))
    const sectors = Math.floor(this.#disk.size / SECTOR)
    view.setBigUint64(CONFIG.CAPACITY, BigInt(sectors), true)
    view.setUint32(CONFIG.SEG_MAX, SEGMENTS, true)
    view.setUint16(CONFIG.CYLINDERS, Math.min(16383, Math.floor(sectors / (16 * 63))), true)
    view.setUint8(CONFIG.HEADS, 16)
    view.setUint8(CONFIG.SECTORS, 63)
    view.setUint32(CONFIG.BLK_SIZE, this.#disk.sectorSize, true)
    view.setUint8(CONFIG.WRITEBACK, this.state.writeback ? 1 : 0)
    view.setUint16(CONFIG.NUM_QUEUES, this.queueSizes.length, true)
    view.setUint32(CONFIG.MAX_DISCARD_SECTORS, RANGE_SECTORS, true)
    view.setUint32(CONFIG.MAX_DISCARD_SEG, RANGES, true)
    view.setUint32(CONFIG.DISCARD_SECTOR_ALIGNMENT, this.#disk.sectorSize / SECTOR, true)
    view.setUint32(CONFIG.MAX_WRITE_ZEROES_SECTORS, RANGE_SECTORS, true)
    view.setUint32(CONFIG.MAX_WRITE_ZEROES_SEG, RANGES, true)
    view.setUint8(CONFIG.WRITE_ZEROES_MAY_UNMAP, 1)
    return new Uint8Array(view.buffer)
  }

  writeConfiguration(offset: number, bytes: Uint8Array): void {
    if (offset === CONFIG.WRITEBACK && this.#transport?.hasFeature(VIRTIO_BLK_F.CONFIG_WCE) && this.#writeback)
      this.state.writeback = (bytes[0] & 1) !== 0
  }

  start(): void {
    // A driver that knows neither flushes nor the bit gets a disk that needs none (5.2.5.2).
    const t = this.#transport!
    if (!t.hasFeature(VIRTIO_BLK_F.CONFIG_WCE))
      this.state.writeback = this.#writeback && t.hasFeature(VIRTIO_BLK_F.FLUSH)
    for (let queue = 0; queue < this.queueSizes.length; queue++) this.notify(queue)
  }

  notify(index: number): void {
    const queue = this.#transport!.queue(index)
    for (let count = 0; count < queue.state.size; count++) {
      const chain = queue.pop()
      if (chain === undefined) return
      this.#begin(index, chain)
    }
  }

  reset(): void {
    this.#requests.cancel()
    this.state.writeback = this.#writeback
  }

  /** Gives a chain back: the status is the last byte that the device may write. */
  #finish(index: number, chain: Chain, status: number, written: number): void {
    const queue = this.#transport!.queue(index)
    const last = chain.writableLength - 1
    const [place] = sliceSegments(chain.writable, last, 1)
    if (place !== undefined) this.#bus.memory.write(place.address, Uint8Array.of(status))
    chain.wrote(status === STATUS_OK ? written + 1 : last + 1)
    queue.push(chain)
    queue.signal()
  }

  #begin(index: number, chain: Chain): void {
    const header = chain.read(0, HEADER_BYTES)
    if (header.length < HEADER_BYTES || chain.writableLength < 1) {
      this.#transport!.queue(index).fail('a request without a header of 16 bytes or a status')
      return
    }
    const type = dwordAt(header, 0)
    const sector = qwordAt(header, 8)
    const into = sliceSegments(chain.writable, 0, chain.writableLength - 1)
    const from = sliceSegments(chain.readable, HEADER_BYTES, chain.readableLength - HEADER_BYTES)
    switch (type) {
      case VIRTIO_BLK_T.IN:
        this.#transfer(index, chain, sector, into, false)
        break
      case VIRTIO_BLK_T.OUT:
        this.#transfer(index, chain, sector, from, true)
        break
      case VIRTIO_BLK_T.FLUSH:
        this.#requests.start({
          bytes: 0,
          run: () => this.#disk.flush(),
          done: error => this.#finish(index, chain, error ? STATUS_IOERR : STATUS_OK, 0),
        })
        break
      case VIRTIO_BLK_T.GET_ID: {
        const id = new Uint8Array(ID_BYTES)
        for (let i = 0; i < Math.min(this.#serial.length, ID_BYTES); i++) id[i] = this.#serial.charCodeAt(i)
        const written = chain.write(id.subarray(0, totalLength(into)))
        this.#finish(index, chain, STATUS_OK, written)
        break
      }
      case VIRTIO_BLK_T.DISCARD:
      case VIRTIO_BLK_T.WRITE_ZEROES:
        this.#ranges(index, chain, from, type)
        break
      default:
        this.#finish(index, chain, STATUS_UNSUPP, 0)
    }
  }

  #transfer(index: number, chain: Chain, sector: number, segments: Segment[], write: boolean): void {
    const length = totalLength(segments)
    const offset = sector * SECTOR
    if (length > REQUEST_BYTES)
      this.#bus.logOnce(`${this.name} length`, `${this.name}: a request for ${length} bytes is refused`)
    const fits = length % SECTOR === 0 && length <= REQUEST_BYTES && offset + length <= this.#disk.size
    if (!fits || (write && this.#disk.readOnly)) {
      this.#finish(index, chain, STATUS_IOERR, 0)
      return
    }
    const done = (error: Error | undefined) => {
      if (write && !error && !this.state.writeback) {
        const run = () => this.#disk.flush()
        this.#requests.start({ bytes: 0, run, done: late => finish(late) })
      } else finish(error)
    }
    const finish = (error: Error | undefined) =>
      this.#finish(index, chain, error ? STATUS_IOERR : STATUS_OK, write ? 0 : length)
    this.#requests.transfer(this.#bus.memory, { disk: this.#disk, offset, segments, write, done })
  }

  /** Discard or write zeroes (5.2.6.1): ranges of sector, number of sectors and flags. */
  #ranges(index: number, chain: Chain, from: Segment[], type: number): void {
    const bytes = chain.read(HEADER_BYTES, Math.min(totalLength(from), RANGES * RANGE_BYTES))
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const ranges: Segment[] = []
    let status = bytes.length === totalLength(from) && bytes.length % RANGE_BYTES === 0 ? STATUS_OK : STATUS_IOERR
    for (let at = 0; at + RANGE_BYTES <= bytes.length; at += RANGE_BYTES) {
      const address = (view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32) * SECTOR
      const sectors = view.getUint32(at + 8, true)
      const flags = view.getUint32(at + 12, true)
      // Only "unmap" is defined, and only for zeroes.
      if (flags > 1 || (flags === 1 && type === VIRTIO_BLK_T.DISCARD)) status = STATUS_UNSUPP
      else if (sectors > RANGE_SECTORS || address + sectors * SECTOR > this.#disk.size) status = STATUS_IOERR
      ranges.push({ address, length: sectors * SECTOR })
    }
    if (status === STATUS_OK && this.#disk.readOnly) status = STATUS_IOERR
    if (status !== STATUS_OK) {
      this.#finish(index, chain, status, 0)
      return
    }
    const run = async () => {
      for (const { address, length } of ranges) {
        if (type === VIRTIO_BLK_T.DISCARD) await this.#disk.discard(address, length)
        else await this.#disk.writeZeroes(address, length)
      }
      if (!this.state.writeback) await this.#disk.flush()
    }
    this.#requests.start({
      bytes: 0,
      run,
      done: error => this.#finish(index, chain, error ? STATUS_IOERR : STATUS_OK, 0),
    })
  }
}
