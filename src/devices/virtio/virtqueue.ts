import type { GuestMemory } from '../bus.ts'
import { dwordAt, qwordAt, setDword, wordAt } from '../little-endian.ts'
import { type Segment, totalLength } from '../storage/block.ts'

/** Feature bits that the queues look at (Virtual I/O Device 1.2, chapter 6). */
export const VIRTIO_F_RING_INDIRECT_DESC = 28
export const VIRTIO_F_RING_EVENT_IDX = 29
export const VIRTIO_F_VERSION_1 = 32

const DESC_BYTES = 16
const DESC_F_NEXT = 1
const DESC_F_WRITE = 2
const DESC_F_INDIRECT = 4
const AVAIL_F_NO_INTERRUPT = 1
/** More descriptors than any driver chains; a longer chain is a loop or an attack. */
const CHAIN_LIMIT = 1024
/** Descriptor addresses beyond this reach no memory. */
const ADDRESS_LIMIT = 2 ** 52

/** The saved part of a virtqueue. Addresses are guest-physical. */
export interface VirtqueueState {
  size: number
  enabled: boolean
  descriptors: number
  driver: number
  device: number
  /** The next entry of the available ring that the device takes. */
  nextAvailable: number
  /** The used index. */
  used: number
  /** The used index when the driver was last interrupted. */
  signalled: number
  /** MSI-X vector, 0xffff for none. */
  vector: number
  /** The driver broke the rules; nothing happens until a reset. */
  broken: boolean
}

/** A chain of buffers that the driver made available: first what the device reads, then what it writes. */
export class Chain {
  /** The descriptor that names it in the used ring. */
  readonly head: number
  readonly #memory: GuestMemory
  readonly #readable: Segment[]
  readonly #writable: Segment[]
  /** Bytes that the device may read. */
  readonly readableLength: number
  /** Bytes that the device may write. */
  readonly writableLength: number
  #written = 0

  constructor(memory: GuestMemory, head: number, readable: Segment[], writable: Segment[]) {
    this.#memory = memory
    this.head = head
    this.#readable = readable
    this.#writable = writable
    this.readableLength = totalLength(readable)
    this.writableLength = totalLength(writable)
  }

  /** Bytes written so far, from the start of the writable part. */
  get written(): number {
    return this.#written
  }

  /** Reads at most `length` bytes from `offset` of the readable part. */
  read(offset: number, length: number): Uint8Array {
    const available = Math.max(0, Math.min(length, this.readableLength - offset))
    const bytes = new Uint8Array(available)
    let at = 0
    for (const segment of this.#readable) {
      if (at === available) break
      if (offset >= segment.length) {
        offset -= segment.length
        continue
      }
      const count = Math.min(segment.length - offset, available - at)
      bytes.set(this.#memory.read(segment.address + offset, count), at)
      at += count
      offset = 0
    }
    return bytes
  }

  /** Where the device may read, in order. */
  get readable(): readonly Segment[] {
    return this.#readable
  }

  /** Where the device may write, in order. */
  get writable(): readonly Segment[] {
    return this.#writable
  }

  /** The first so many bytes of the writable part were written by other means. */
  wrote(length: number): void {
    this.#written = Math.max(this.#written, length)
  }

  /** Appends to the writable part what fits, and gives how much that was. */
  write(bytes: Uint8Array): number {
    let skip = this.#written
    let at = 0
    for (const { address, length } of this.#writable) {
      if (at === bytes.length) break
      if (skip >= length) {
        skip -= length
        continue
      }
      const count = Math.min(length - skip, bytes.length - at)
      this.#memory.write(address + skip, bytes.subarray(at, at + count))
      at += count
      skip = 0
    }
    this.#written += at
    return at
  }
}

/**
 * A split virtqueue (Virtual I/O Device 1.2, chapter 2.7), the device's side. It believes nothing: an index too far
 * ahead, a descriptor out of range, a loop, or a table that is malformed breaks the queue, and `onBroken` hears why.
 */
export class Virtqueue {
  state: VirtqueueState
  readonly maximum: number
  readonly #memory: GuestMemory
  readonly #hasFeature: (bit: number) => boolean
  readonly #interrupt: () => void
  readonly #onBroken: (reason: string) => void

  /** @param maximum the size that the device offers, a power of two up to 32768. */
  constructor(
    memory: GuestMemory,
    maximum: number,
    hasFeature: (bit: number) => boolean,
    interrupt: () => void,
    onBroken: (reason: string) => void,
  ) {
    this.#memory = memory
    this.maximum = maximum
    this.#hasFeature = hasFeature
    this.#interrupt = interrupt
    this.#onBroken = onBroken
    this.state = this.#initial()
  }

  #initial(): VirtqueueState {
    return {
      size: this.maximum,
      enabled: false,
      descriptors: 0,
      driver: 0,
      device: 0,
      nextAvailable: 0,
      used: 0,
      signalled: 0,
      vector: 0xffff,
      broken: false,
    }
  }

  /** The queue as after a device reset. */
  reset(): void {
    this.state = this.#initial()
  }

  /** The driver has set it up, and nothing went wrong since. */
  get ready(): boolean {
    return this.state.enabled && !this.state.broken
  }

  #read16(address: number): number {
    return wordAt(this.#memory.read(address, 2), 0)
  }

  #write16(address: number, value: number): void {
    this.#memory.write(address, Uint8Array.of(value & 0xff, (value >> 8) & 0xff))
  }

  /** The device cannot make sense of what the driver gave it: the queue is broken until a reset. */
  fail(reason: string): void {
    this.#break(reason)
  }

  #break(reason: string): undefined {
    this.state.broken = true
    this.#onBroken(reason)
    return undefined
  }

  /** Tells whether the driver has made something available that {@link pop} would give. */
  get pending(): boolean {
    return this.ready && this.#read16(this.state.driver + 2) !== this.state.nextAvailable
  }

  /** Takes the next chain that the driver made available, or undefined. */
  pop(): Chain | undefined {
    const s = this.state
    if (!this.ready) return undefined
    const available = this.#read16(s.driver + 2)
    const waiting = (available - s.nextAvailable) & 0xffff
    if (waiting > s.size) return this.#break(`the available index is ${waiting} ahead in a queue of ${s.size}`)
    if (waiting === 0) return undefined
    const head = this.#read16(s.driver + 4 + 2 * (s.nextAvailable % s.size))
    const chain = this.#chain(head)
    if (chain === undefined) return undefined
    s.nextAvailable = (s.nextAvailable + 1) & 0xffff
    // avail_event: the driver shall notify of the next one.
    if (this.#hasFeature(VIRTIO_F_RING_EVENT_IDX)) this.#write16(s.device + 4 + 8 * s.size, s.nextAvailable)
    return chain
  }

  #chain(head: number): Chain | undefined {
    const s = this.state
    const readable: Segment[] = []
    const writable: Segment[] = []
    let table = s.descriptors
    let entries = s.size
    let indirect = false
    let index = head
    /** Descriptors of an indirect table are read together, since nearly all of it is one chain. */
    let together: Uint8Array | undefined
    for (let count = 0; ; count++) {
      if (count >= CHAIN_LIMIT) return this.#break(`a chain of more than ${CHAIN_LIMIT} descriptors`)
      if (index >= entries) return this.#break(`descriptor ${index} of a table of ${entries}`)
      const at = DESC_BYTES * index
      const isThere = together !== undefined && at < together.length
      const bytes = isThere ? together! : this.#memory.read(table + at, DESC_BYTES)
      const from = isThere ? at : 0
      const address = qwordAt(bytes, from)
      const length = dwordAt(bytes, from + 8)
      const flags = wordAt(bytes, from + 12)
      if (address + length > ADDRESS_LIMIT) return this.#break(`a buffer at 0x${address.toString(16)}`)
      if (flags & DESC_F_INDIRECT) {
        if (!this.#hasFeature(VIRTIO_F_RING_INDIRECT_DESC)) return this.#break('an indirect table was not negotiated')
        if (indirect || flags & DESC_F_NEXT || length === 0 || length % DESC_BYTES !== 0)
          return this.#break('an indirect table that is nested, chained or not a multiple of 16 bytes')
        indirect = true
        table = address
        entries = Math.min(length / DESC_BYTES, 0x10000)
        together = this.#memory.read(table, DESC_BYTES * Math.min(entries, CHAIN_LIMIT))
        index = 0
        continue
      }
      if (flags & DESC_F_WRITE) writable.push({ address, length })
      else if (writable.length > 0) return this.#break('a readable buffer after a writable one')
      else readable.push({ address, length })
      if ((flags & DESC_F_NEXT) === 0) return new Chain(this.#memory, head, readable, writable)
      index = wordAt(bytes, from + 14)
    }
  }

  /** Gives a chain back to the driver with what was written to it. Call {@link signal} after the last of a batch. */
  push(chain: Chain): void {
    const s = this.state
    if (!this.ready) return
    const element = new Uint8Array(8)
    setDword(element, 0, chain.head)
    setDword(element, 4, chain.written)
    this.#memory.write(s.device + 4 + 8 * (s.used % s.size), element)
    s.used = (s.used + 1) & 0xffff
    this.#write16(s.device + 2, s.used)
  }

  /** Interrupts the driver if it wants to hear of what was pushed since the last time. */
  signal(): void {
    const s = this.state
    if (!this.ready || s.used === s.signalled) return
    const before = s.signalled
    s.signalled = s.used
    if (this.#hasFeature(VIRTIO_F_RING_EVENT_IDX)) {
      const event = this.#read16(s.driver + 4 + 2 * s.size)
      // The event index lies in [before, used).
      if (((s.used - event - 1) & 0xffff) >= ((s.used - before) & 0xffff)) return
    } else if (this.#read16(s.driver) & AVAIL_F_NO_INTERRUPT) return
    this.#interrupt()
  }
}
