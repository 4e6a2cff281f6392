/** An NVMe controller with one namespace (NVM Express 1.4): registers, admin commands, I/O commands, MSI-X. */
import type { Disk } from '../../disk/disk.ts'
import type { Bus, Device } from '../bus.ts'
import { type MessageSignal, MsiX, type MsiXState } from '../msix.ts'
import { PciFunction } from '../pci-function.ts'
import { dwordRegisters } from '../registers.ts'
import { BlockRequests, type HostWork, type Segment, scatter, totalLength } from './block.ts'
import {
  IDENTIFY_BYTES,
  identifyController,
  identifyNamespace,
  logPage,
  type NvmeIdentity,
  namespaceDescriptors,
  namespaceList,
} from './nvme-identify.ts'
import {
  type CompletionQueue,
  isFull,
  type NvmeCommand,
  post,
  prpSegments,
  readCommand,
  SUBMISSION_BYTES,
  type SubmissionQueue,
} from './nvme-queues.ts'

/** Red Hat's vendor ID and the device ID of emulated NVMe controllers, which drivers know no quirks of. */
const VENDOR = 0x1b36
const DEVICE = 0x0010
const CLASS_NVME = 0x010802
const REGISTER_BYTES = 0x4000
const MSIX_BAR = 4

/** Controller registers (3.1). */
const CAP = 0x00
const CAP_HIGH = 0x04
const VS = 0x08
const INTMS = 0x0c
const INTMC = 0x10
const CC = 0x14
const CSTS = 0x1c
const AQA = 0x24
const ASQ = 0x28
const ACQ = 0x30
const DOORBELLS = 0x1000

const CC_ENABLE = 1
const CSTS_READY = 1
const CSTS_FATAL = 2
const CSTS_SHUTDOWN_DONE = 8
/** Queues of up to 1024 entries, contiguous, 7.5 s to get ready; the NVM command set; pages of 4 KiB to 64 KiB. */
const MOST_ENTRIES = 1024
const CAPABILITIES = (MOST_ENTRIES - 1) | (1 << 16) | (15 << 24)
const CAPABILITIES_HIGH = (1 << 5) | (4 << 20)
const VERSION = 0x00010400
/** I/O queues of each kind. */
const IO_QUEUES = 8
/** The largest transfer: 2 MiB, as a power of two of 4 KiB. */
const TRANSFER_POWER = 9
const TRANSFER_BYTES = 4096 << TRANSFER_POWER
const MOST_EVENT_REQUESTS = 4
/** Ranges of Dataset Management. */
const RANGE_BYTES = 16

/** Admin commands (figure 139) and NVM commands (figure 346). */
const ADMIN = {
  DELETE_SQ: 0x00,
  CREATE_SQ: 0x01,
  GET_LOG_PAGE: 0x02,
  DELETE_CQ: 0x04,
  CREATE_CQ: 0x05,
  IDENTIFY: 0x06,
  ABORT: 0x08,
  SET_FEATURES: 0x09,
  GET_FEATURES: 0x0a,
  ASYNC_EVENT: 0x0c,
  KEEP_ALIVE: 0x18,
} as const
const NVM = { FLUSH: 0, WRITE: 1, READ: 2, COMPARE: 5, WRITE_ZEROES: 8, DATASET_MANAGEMENT: 9 } as const

/** Status: type and code in 11 bits (4.6.1); the last bit of 15 is "do not retry". */
const OK = 0
const DO_NOT_RETRY = 0x4000
const INVALID_OPCODE = 0x001 | DO_NOT_RETRY
const INVALID_FIELD = 0x002 | DO_NOT_RETRY
const INTERNAL_ERROR = 0x006
const INVALID_NAMESPACE = 0x00b | DO_NOT_RETRY
const INVALID_PRP = 0x013 | DO_NOT_RETRY
const WRITE_PROTECTED = 0x020 | DO_NOT_RETRY
const OUT_OF_RANGE = 0x080 | DO_NOT_RETRY
const INVALID_COMPLETION_QUEUE = 0x100 | DO_NOT_RETRY
const INVALID_QUEUE_ID = 0x101 | DO_NOT_RETRY
const INVALID_QUEUE_SIZE = 0x102 | DO_NOT_RETRY
const TOO_MANY_EVENTS = 0x105 | DO_NOT_RETRY
const INVALID_VECTOR = 0x108 | DO_NOT_RETRY
const INVALID_LOG_PAGE = 0x109 | DO_NOT_RETRY
const INVALID_QUEUE_DELETION = 0x10c | DO_NOT_RETRY
const WRITE_FAULT = 0x280
const READ_ERROR = 0x281

/** Features (5.21.1). */
const FEATURE = { TEMPERATURE: 4, WRITE_CACHE: 6, QUEUES: 7, EVENTS: 11 } as const
const STORED_FEATURES: readonly number[] = [1, 2, 4, 5, 6, 8, 9, 10, 11]

interface NvmeState {
  cc: number
  csts: number
  mask: number
  aqa: number
  asq: number
  acq: number
  submissions: (SubmissionQueue | null)[]
  completions: (CompletionQueue | null)[]
  features: Record<number, number>
  /** Commands that wait for an event. */
  events: number[]
}

/** What an {@link Nvme} is made of. */
export interface NvmeOptions {
  name?: string
  disk: Disk
  serial: string
  writethrough?: boolean
  host?: HostWork
}

/** The controller. */
export class Nvme implements Device {
  readonly name: string
  readonly version = 1
  readonly function: PciFunction
  readonly #bus: Bus
  readonly #disk: Disk
  readonly #identity: NvmeIdentity
  readonly #writethrough: boolean
  readonly #msix: MsiX
  readonly #requests: BlockRequests
  #state: NvmeState

  constructor(bus: Bus, message: MessageSignal, options: NvmeOptions) {
    this.name = options.name ?? 'nvme'
    this.#bus = bus
    this.#disk = options.disk
    this.#writethrough = options.writethrough ?? false
    const { size, sectorSize, readOnly } = options.disk
    this.#identity = {
      vendor: VENDOR,
      serial: options.serial,
      transferPower: TRANSFER_POWER,
      writeCache: !this.#writethrough,
      blocks: Math.floor(size / sectorSize),
      blockPower: Math.log2(sectorSize),
      readOnly,
    }
    this.#requests = new BlockRequests(bus.clock, options.host)
    this.#msix = new MsiX(IO_QUEUES + 1, message)
    this.#state = this.#initial()
    const registers = dwordRegisters({
      readDword: offset => this.#read(offset),
      writeDword: (offset, value) => this.#write(offset, value),
    })
    this.function = new PciFunction(bus, {
      name: `${this.name}-pci`,
      vendorId: VENDOR,
      deviceId: DEVICE,
      classCode: CLASS_NVME,
      interruptPin: 1,
      bars: [
        { kind: 'memory64', size: REGISTER_BYTES, handler: registers },
        undefined,
        undefined,
        undefined,
        { kind: 'memory', size: 0x1000, handler: this.#msix.handler },
      ],
      capabilities: [this.#msix.capability(MSIX_BAR)],
      onWrite: (offset, size) => this.#msix.configWritten(offset, size),
    })
    this.#msix.attach(this.function)
  }

  #initial(): NvmeState {
    return {
      cc: 0,
      csts: 0,
      mask: 0,
      aqa: 0,
      asq: 0,
      acq: 0,
      submissions: new Array(IO_QUEUES + 1).fill(null),
      completions: new Array(IO_QUEUES + 1).fill(null),
      features: { [FEATURE.TEMPERATURE]: 343, [FEATURE.WRITE_CACHE]: this.#writethrough ? 0 : 1 },
      events: [],
    }
  }

  get state(): { nvme: NvmeState; pci: PciFunction['state']; msix: MsiXState } {
    return { nvme: this.#state, pci: this.function.state, msix: this.#msix.state }
  }

  set state(state: { nvme: NvmeState; pci: PciFunction['state']; msix: MsiXState }) {
    this.#state = state.nvme
    this.function.state = state.pci
    this.#msix.state = state.msix
  }

  reset(): void {
    this.#requests.cancel()
    this.#state = this.#initial()
    this.function.reset()
    this.#msix.reset()
  }

  restored(): void {
    this.function.restored()
  }

  #read(offset: number): number {
    const s = this.#state
    switch (offset) {
      case CAP:
        return CAPABILITIES
      case CAP_HIGH:
        return CAPABILITIES_HIGH
      case VS:
        return VERSION
      case INTMS:
      case INTMC:
        return s.mask >>> 0
      case CC:
        return s.cc >>> 0
      case CSTS:
        return s.csts
      case AQA:
        return s.aqa
      case ASQ:
        return s.asq % 2 ** 32
      case ASQ + 4:
        return Math.floor(s.asq / 2 ** 32)
      case ACQ:
        return s.acq % 2 ** 32
      case ACQ + 4:
        return Math.floor(s.acq / 2 ** 32)
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#state
    const low = (address: number) => Math.floor(address / 2 ** 32) * 2 ** 32 + ((value & ~0xfff) >>> 0)
    const high = (address: number) => value * 2 ** 32 + (address % 2 ** 32)
    if (offset >= DOORBELLS) {
      this.#doorbell((offset - DOORBELLS) / 4, value & 0xffff)
      return
    }
    switch (offset) {
      case INTMS:
        s.mask |= value
        this.#updateInterrupt()
        break
      case INTMC:
        s.mask &= ~value
        this.#updateInterrupt()
        break
      case CC:
        this.#configure(value)
        break
      case AQA:
        s.aqa = value & 0x0fff0fff
        break
      case ASQ:
        s.asq = low(s.asq)
        break
      case ASQ + 4:
        s.asq = high(s.asq)
        break
      case ACQ:
        s.acq = low(s.acq)
        break
      case ACQ + 4:
        s.acq = high(s.acq)
        break
    }
  }

  get #page(): number {
    return 4096 << ((this.#state.cc >> 7) & 15)
  }

  #configure(value: number): void {
    const s = this.#state
    const before = s.cc
    s.cc = value
    if (~before & value & CC_ENABLE) this.#enable()
    else if (before & ~value & CC_ENABLE) {
      // A controller reset keeps the admin queue's registers only (7.3.2).
      this.#requests.cancel()
      this.#state = { ...this.#initial(), cc: value, aqa: s.aqa, asq: s.asq, acq: s.acq, mask: s.mask }
      this.#updateInterrupt()
      return
    }
    const shutdown = (value >> 14) & 3
    if (shutdown !== 0 && ((before >> 14) & 3) === 0) {
      const run = () => this.#disk.flush()
      const done = () => {
        this.#state.csts |= CSTS_SHUTDOWN_DONE
      }
      this.#requests.start({ bytes: 0, run, done })
    } else if (shutdown === 0) s.csts &= ~CSTS_SHUTDOWN_DONE
  }

  #enable(): void {
    const s = this.#state
    const submissionSize = (s.aqa & 0xfff) + 1
    const completionSize = ((s.aqa >> 16) & 0xfff) + 1
    const pagePower = (s.cc >> 7) & 15
    const entries = (s.cc >> 16) & 0xff
    const wrong =
      pagePower > 4 ||
      ((s.cc >> 4) & 7) !== 0 ||
      (entries !== 0 && entries !== 0x46) ||
      submissionSize < 2 ||
      completionSize < 2
    if (wrong) {
      this.#bus.logOnce(`${this.name} cc`, `${this.name}: it cannot be enabled with CC ${(s.cc >>> 0).toString(16)}h`)
      s.csts |= CSTS_FATAL
      return
    }
    s.submissions[0] = { id: 0, address: s.asq, size: submissionSize, head: 0, tail: 0, completion: 0 }
    s.completions[0] = newCompletionQueue(0, s.acq, completionSize, 0, true)
    s.csts = CSTS_READY
  }

  #doorbell(index: number, value: number): void {
    const s = this.#state
    const id = index >> 1
    if (!(s.csts & CSTS_READY) || s.csts & CSTS_FATAL) return
    const queue = index & 1 ? s.completions[id] : s.submissions[id]
    if (!queue || value >= queue.size) {
      this.#bus.logOnce(
        `${this.name} doorbell`,
        `${this.name}: ${value} is written to the doorbell of queue ${id}, which is refused`,
      )
      return
    }
    if (index & 1) {
      const completion = queue as CompletionQueue
      completion.head = value
      this.#drain(completion)
      this.#updateInterrupt()
    } else {
      queue.tail = value
      this.#fetch(queue as SubmissionQueue)
    }
  }

  /** Takes commands out of a submission queue, at most as many as fit in it. */
  #fetch(queue: SubmissionQueue): void {
    for (let count = 0; count < queue.size && queue.head !== queue.tail; count++) {
      const command = readCommand(this.function.memory, queue.address + SUBMISSION_BYTES * queue.head)
      queue.head = (queue.head + 1) % queue.size
      if (queue.id === 0) this.#admin(queue, command)
      else this.#io(queue, command)
      // The command may have deleted the queue or disabled the controller.
      if (this.#state.submissions[queue.id] !== queue) return
    }
  }

  #complete(queue: SubmissionQueue, command: NvmeCommand, status: number, result = 0): void {
    const completion = this.#state.completions[queue.completion]
    if (!completion || this.#state.submissions[queue.id] !== queue) return
    const entry = { command: command.id, submission: queue.id, head: queue.head, status, result }
    if (completion.waiting.length > 0 || isFull(completion)) {
      // No host that keeps to the rules has more commands under way than its completion queue takes.
      if (completion.waiting.length < MOST_ENTRIES) completion.waiting.push(entry)
      return
    }
    post(this.function.memory, completion, entry)
    this.#signal(completion)
  }

  /** The host has made room. */
  #drain(completion: CompletionQueue): void {
    let posted = false
    while (completion.waiting.length > 0 && !isFull(completion)) {
      post(this.function.memory, completion, completion.waiting.shift()!)
      posted = true
    }
    if (posted) this.#signal(completion)
  }

  #signal(completion: CompletionQueue): void {
    if (!completion.interrupts) return
    if (this.#msix.enabled) this.#msix.notify(completion.vector)
    else this.#updateInterrupt()
  }

  /** INTx is asserted while a queue that interrupts by an unmasked vector is not empty. */
  #updateInterrupt(): void {
    const s = this.#state
    const wanted = s.completions.some(
      queue => queue?.interrupts && queue.head !== queue.tail && ((s.mask >>> (queue.vector & 31)) & 1) === 0,
    )
    this.function.interrupt.set(wanted && !this.#msix.enabled)
  }

  /** Bytes for the host, as many as it has room for. */
  #give(queue: SubmissionQueue, command: NvmeCommand, bytes: Uint8Array): void {
    const memory = this.function.memory
    const segments = prpSegments(memory, { ...command, length: bytes.length, page: this.#page })
    if (segments) scatter(memory, segments, bytes)
    this.#complete(queue, command, segments ? OK : INVALID_PRP)
  }

  #admin(queue: SubmissionQueue, command: NvmeCommand): void {
    const s = this.#state
    const [d10, d11] = command.dwords
    switch (command.opcode) {
      case ADMIN.IDENTIFY: {
        const bytes = this.#identify(d10 & 0xff, command.namespace)
        if (typeof bytes === 'number') this.#complete(queue, command, bytes)
        else this.#give(queue, command, bytes)
        break
      }
      case ADMIN.CREATE_CQ:
        this.#complete(queue, command, this.#createCompletion(command))
        break
      case ADMIN.CREATE_SQ:
        this.#complete(queue, command, this.#createSubmission(command))
        break
      case ADMIN.DELETE_SQ: {
        const id = d10 & 0xffff
        const there = id > 0 && s.submissions[id]
        if (there) s.submissions[id] = null
        this.#complete(queue, command, there ? OK : INVALID_QUEUE_ID)
        break
      }
      case ADMIN.DELETE_CQ: {
        const id = d10 & 0xffff
        const there = id > 0 && s.completions[id]
        const used = s.submissions.some(submission => submission?.completion === id)
        if (there && !used) s.completions[id] = null
        this.#updateInterrupt()
        this.#complete(queue, command, !there ? INVALID_QUEUE_ID : used ? INVALID_QUEUE_DELETION : OK)
        break
      }
      case ADMIN.GET_LOG_PAGE: {
        const page = logPage(d10 & 0xff)
        const length = Math.min(((d10 >>> 16) | ((d11 & 0xffff) << 16)) * 4 + 4, IDENTIFY_BYTES)
        const offset = command.dwords[2]
        if (page === undefined || offset > page.length) {
          this.#complete(queue, command, page ? INVALID_FIELD : INVALID_LOG_PAGE)
          break
        }
        const bytes = new Uint8Array(Math.max(4, length))
        bytes.set(page.subarray(offset, offset + bytes.length))
        this.#give(queue, command, bytes)
        break
      }
      case ADMIN.SET_FEATURES:
        this.#setFeature(queue, command, d10 & 0xff, d11)
        break
      case ADMIN.GET_FEATURES: {
        const feature = d10 & 0xff
        if (feature === FEATURE.QUEUES) this.#complete(queue, command, OK, (IO_QUEUES - 1) * 0x10001)
        else if (STORED_FEATURES.includes(feature)) this.#complete(queue, command, OK, s.features[feature] ?? 0)
        else this.#complete(queue, command, INVALID_FIELD)
        break
      }
      case ADMIN.ABORT:
        // Whatever it was is over soon anyway: bit 0 says that it was not aborted.
        this.#complete(queue, command, OK, 1)
        break
      case ADMIN.ASYNC_EVENT:
        // Nothing ever happens; the command waits.
        if (s.events.length >= MOST_EVENT_REQUESTS) this.#complete(queue, command, TOO_MANY_EVENTS)
        else s.events.push(command.id)
        break
      case ADMIN.KEEP_ALIVE:
        this.#complete(queue, command, OK)
        break
      default:
        this.#complete(queue, command, INVALID_OPCODE)
    }
  }

  #identify(kind: number, namespace: number): Uint8Array | number {
    const own = namespace === 1 || namespace === 0xffffffff
    switch (kind) {
      case 0:
        return own ? identifyNamespace(this.#identity) : INVALID_NAMESPACE
      case 1:
        return identifyController(this.#identity)
      case 2:
        return namespaceList(namespace)
      case 3:
        return own ? namespaceDescriptors(this.#identity.serial) : INVALID_NAMESPACE
      default:
        return INVALID_FIELD
    }
  }

  #setFeature(queue: SubmissionQueue, command: NvmeCommand, feature: number, value: number): void {
    const s = this.#state
    if (feature === FEATURE.QUEUES) {
      this.#complete(queue, command, OK, (IO_QUEUES - 1) * 0x10001)
      return
    }
    if (!STORED_FEATURES.includes(feature)) {
      this.#complete(queue, command, INVALID_FIELD)
      return
    }
    s.features[feature] = feature === FEATURE.WRITE_CACHE ? value & (this.#writethrough ? 0 : 1) : value
    if (feature !== FEATURE.WRITE_CACHE) this.#complete(queue, command, OK)
    else this.#flush(queue, command)
  }

  #createCompletion({ dwords: [d10, d11], prp1 }: NvmeCommand): number {
    const s = this.#state
    const id = d10 & 0xffff
    const size = (d10 >>> 16) + 1
    if (id === 0 || id > IO_QUEUES || s.completions[id]) return INVALID_QUEUE_ID
    if (size < 2 || size > MOST_ENTRIES) return INVALID_QUEUE_SIZE
    if (!(d11 & 1) || prp1 % this.#page !== 0) return INVALID_FIELD
    const vector = d11 >>> 16
    if (vector >= this.#msix.vectors) return INVALID_VECTOR
    s.completions[id] = newCompletionQueue(id, prp1, size, vector, (d11 & 2) !== 0)
    return OK
  }

  #createSubmission({ dwords: [d10, d11], prp1 }: NvmeCommand): number {
    const s = this.#state
    const id = d10 & 0xffff
    const size = (d10 >>> 16) + 1
    const completion = d11 >>> 16
    if (id === 0 || id > IO_QUEUES || s.submissions[id]) return INVALID_QUEUE_ID
    if (completion === 0 || !s.completions[completion]) return INVALID_COMPLETION_QUEUE
    if (size < 2 || size > MOST_ENTRIES) return INVALID_QUEUE_SIZE
    if (!(d11 & 1) || prp1 % this.#page !== 0) return INVALID_FIELD
    s.submissions[id] = { id, address: prp1, size, head: 0, tail: 0, completion }
    return OK
  }

  #io(queue: SubmissionQueue, command: NvmeCommand): void {
    if (command.namespace !== 1 && !(command.opcode === NVM.FLUSH && command.namespace === 0xffffffff)) {
      this.#complete(queue, command, INVALID_NAMESPACE)
      return
    }
    const writes =
      command.opcode === NVM.WRITE || command.opcode === NVM.WRITE_ZEROES || command.opcode === NVM.DATASET_MANAGEMENT
    if (writes && this.#disk.readOnly) {
      this.#complete(queue, command, WRITE_PROTECTED)
      return
    }
    switch (command.opcode) {
      case NVM.FLUSH:
        this.#flush(queue, command)
        break
      case NVM.READ:
      case NVM.WRITE:
        this.#transfer(queue, command)
        break
      case NVM.WRITE_ZEROES: {
        const range = this.#range(command)
        if (range === undefined) {
          this.#complete(queue, command, OUT_OF_RANGE)
          break
        }
        const run = () => this.#disk.writeZeroes(range.offset, range.length)
        const done = (error?: Error) => this.#complete(queue, command, error ? WRITE_FAULT : OK)
        this.#requests.start({ bytes: 0, run, done })
        break
      }
      case NVM.DATASET_MANAGEMENT:
        this.#datasetManagement(queue, command)
        break
      default:
        this.#complete(queue, command, INVALID_OPCODE)
    }
  }

  #flush(queue: SubmissionQueue, command: NvmeCommand): void {
    const done = (error?: Error) => this.#complete(queue, command, error ? INTERNAL_ERROR : OK)
    this.#requests.start({ bytes: 0, run: () => this.#disk.flush(), done })
  }

  /** The bytes of the disk that a command means, or undefined if there are no such. */
  #range({ dwords: [low, high, d12] }: NvmeCommand): { offset: number; length: number } | undefined {
    const first = low + high * 2 ** 32
    const count = (d12 & 0xffff) + 1
    const { sectorSize } = this.#disk
    return first + count <= this.#identity.blocks
      ? { offset: first * sectorSize, length: count * sectorSize }
      : undefined
  }

  #transfer(queue: SubmissionQueue, command: NvmeCommand): void {
    const range = this.#range(command)
    if (range === undefined || range.length > TRANSFER_BYTES) {
      this.#complete(queue, command, range ? INVALID_FIELD : OUT_OF_RANGE)
      return
    }
    const memory = this.function.memory
    // PRPs only: a controller for PCI need not know SGLs.
    const segments: Segment[] | undefined =
      command.flags & 0xc0 ? undefined : prpSegments(memory, { ...command, length: range.length, page: this.#page })
    if (segments === undefined || totalLength(segments) !== range.length) {
      this.#complete(queue, command, command.flags & 0xc0 ? INVALID_FIELD : INVALID_PRP)
      return
    }
    const write = command.opcode === NVM.WRITE
    const forced = (command.dwords[2] & 0x40000000) !== 0
    const cached = this.#state.features[FEATURE.WRITE_CACHE] === 1
    const done = (error?: Error) => {
      if (error) this.#complete(queue, command, write ? WRITE_FAULT : READ_ERROR)
      else if (write && (forced || !cached)) this.#flush(queue, command)
      else this.#complete(queue, command, OK)
    }
    this.#requests.transfer(memory, { disk: this.#disk, offset: range.offset, segments, write, done })
  }

  #datasetManagement(queue: SubmissionQueue, command: NvmeCommand): void {
    const [d10, d11] = command.dwords
    const memory = this.function.memory
    const length = ((d10 & 0xff) + 1) * RANGE_BYTES
    const segments = prpSegments(memory, { ...command, length, page: this.#page })
    if (segments === undefined) {
      this.#complete(queue, command, INVALID_PRP)
      return
    }
    const ranges: { offset: number; length: number }[] = []
    const { sectorSize } = this.#disk
    for (const segment of segments) {
      const bytes = memory.read(segment.address, segment.length)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      for (let at = 0; at + RANGE_BYTES <= bytes.length; at += RANGE_BYTES) {
        const count = view.getUint32(at + 4, true)
        const first = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32
        if (first + count > this.#identity.blocks) {
          this.#complete(queue, command, OUT_OF_RANGE)
          return
        }
        ranges.push({ offset: first * sectorSize, length: count * sectorSize })
      }
    }
    const deallocate = (d11 & 4) !== 0
    const run = async () => {
      if (deallocate) for (const { offset, length: bytes } of ranges) await this.#disk.discard(offset, bytes)
    }
    this.#requests.start({ bytes: 0, run, done: error => this.#complete(queue, command, error ? WRITE_FAULT : OK) })
  }
}

function newCompletionQueue(
  id: number,
  address: number,
  size: number,
  vector: number,
  interrupts: boolean,
): CompletionQueue {
  return { id, address, size, head: 0, tail: 0, phase: 1, vector, interrupts, waiting: [] }
}
