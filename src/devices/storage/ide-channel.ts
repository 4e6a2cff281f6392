/** A channel of a parallel ATA controller: two devices, their registers, data by PIO and by bus-master DMA. */
import type { Bus, GuestMemory, InterruptLine, PortHandler } from '../bus.ts'
import { maskTo } from '../registers.ts'
import {
  ATA_COMMAND,
  ATA_DEVICE,
  ATA_ERROR,
  ATAPI_REASON,
  type AtaAction,
  type AtaDevice,
  type PacketAction,
  ATA_STATUS as ST,
} from './ata.ts'
import { type DmaCursor, moveByDma } from './ata-dma.ts'
import { BlockRequests, type HostWork, readDisk, SECTOR, writeDisk } from './block.ts'

/** Offsets from the command block's first port; the alternate status is in the control block. */
const DATA = 0
const ERROR_FEATURE = 1
const SECTOR_COUNT = 2
const LBA_LOW = 3
const LBA_MID = 4
const LBA_HIGH = 5
const DEVICE_HEAD = 6
const STATUS_COMMAND = 7
/** Bits of the device control register. */
const CONTROL_NIEN = 2
const CONTROL_SRST = 4
const CONTROL_HOB = 0x80

/** Bytes that PIO reads ahead or collects before it writes. */
const PIO_BUFFER = 64 * 1024
/** Bytes of a packet. */
const PACKET_BYTES = 12
/** Sectors of a CD that PIO reads at a time. */
const CD_SECTORS = 16
const CD_SECTOR = 2048

const READY = ST.DRDY | ST.DSC

/** What goes on with PIO; plain for snapshots. */
type PioPhase =
  | { kind: 'none' }
  | { kind: 'read' | 'write'; offset: number; left: number; block: number; flush: boolean }
  | { kind: 'data-in' | 'data-out'; command: number }
  | { kind: 'packet-command'; dma: boolean; limit: number }
  | { kind: 'packet-in'; lba: number; left: number; sectorBytes: number; limit: number }
  | { kind: 'packet-out'; limit: number }

interface IdeChannelState {
  selected: number
  control: number
  /** INTRQ of the selected device. */
  interrupt: boolean
  command: number
  /** The data that the data register is at, how much of it has passed, and where the current block of it ends. */
  buffer: Uint8Array
  position: number
  blockEnd: number
  phase: PioPhase
}

/** A waiting DMA transfer: the device has a command, the bus master is not started yet, or the other way round. */
interface WaitingDma {
  action: AtaAction | PacketAction
  packet: boolean
}

/** What a channel needs of its controller. */
export interface IdeChannelOptions {
  bus: Bus
  name: string
  /** Device 0 and device 1. */
  devices: readonly (AtaDevice | undefined)[]
  line: InterruptLine
  host?: HostWork
  /** Memory as the controller may use it. */
  memory(): GuestMemory
  /** INTRQ rises. */
  onInterrupt(): void
  /** The bus master's descriptors, if it is started, for a transfer to memory or from it. */
  dma(): DmaCursor | undefined
  /** A DMA transfer is over. */
  onDmaEnd(failed: boolean): void
}

/** One channel. */
export class IdeChannel {
  state: IdeChannelState
  readonly #options: IdeChannelOptions
  readonly #requests: BlockRequests
  #waiting: WaitingDma | undefined

  constructor(options: IdeChannelOptions) {
    this.#options = options
    this.#requests = new BlockRequests(options.bus.clock, options.host)
    this.state = this.#initial()
  }

  #initial(): IdeChannelState {
    return {
      selected: 0,
      control: 0,
      interrupt: false,
      command: 0,
      buffer: new Uint8Array(0),
      position: 0,
      blockEnd: 0,
      phase: { kind: 'none' },
    }
  }

  /** RESET#. */
  reset(): void {
    this.#requests.cancel()
    this.#waiting = undefined
    this.state = this.#initial()
    this.#resetDevices(false)
    this.#options.line.set(false)
  }

  restored(): void {
    this.#drive()
  }

  #resetDevices(soft: boolean): void {
    for (const device of this.#options.devices) {
      if (device === undefined) continue
      device.reset(soft)
      device.registers.status = device.packet ? 0 : READY
    }
  }

  get #device(): AtaDevice | undefined {
    return this.#options.devices[this.state.selected]
  }

  /** The command block's eight ports, from `first`. */
  commandBlock(first: number): PortHandler {
    return {
      readPort: (port, size) => {
        if (port === first + DATA) return this.#readData(size)
        let value = 0
        for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#read(port - first + i)
        return maskTo(value, size)
      },
      writePort: (port, size, value) => {
        if (port === first + DATA) this.#writeData(size, value)
        else for (let i = 0; i < size; i++) this.#write(port - first + i, (value >>> (8 * i)) & 0xff)
      },
    }
  }

  /** The control block's one port. */
  readonly controlBlock: PortHandler = {
    readPort: (_port, size) => maskTo(0xffffff00 | this.#status(), size),
    writePort: (_port, _size, value) => this.#writeControl(value & 0xff),
  }

  #status(): number {
    return this.#device?.registers.status ?? 0
  }

  #read(offset: number): number {
    // For a device 1 that is absent device 0 answers, with its own registers and the status 0 (ATA/ATAPI-5, 9.16.1).
    const r = (this.#device ?? this.#options.devices[0])?.registers
    if (r === undefined || (offset === STATUS_COMMAND && !this.#device)) return 0
    const shift = this.state.control & CONTROL_HOB ? 8 : 0
    switch (offset) {
      case ERROR_FEATURE:
        return r.error
      case SECTOR_COUNT:
        return (r.count >> shift) & 0xff
      case LBA_LOW:
        return (r.lbaLow >> shift) & 0xff
      case LBA_MID:
        return (r.lbaMid >> shift) & 0xff
      case LBA_HIGH:
        return (r.lbaHigh >> shift) & 0xff
      case DEVICE_HEAD:
        return r.device | 0xa0
      case STATUS_COMMAND:
        this.#setInterrupt(false)
        return r.status
      default:
        return 0xff
    }
  }

  #write(offset: number, value: number): void {
    this.state.control &= ~CONTROL_HOB
    if (offset === STATUS_COMMAND) {
      this.#command(value)
      return
    }
    // While a device works on a command its registers stay; both devices hear the rest.
    for (const device of this.#options.devices) {
      if (device === undefined) continue
      const r = device.registers
      if (r.status & (ST.BSY | ST.DRQ)) continue
      const push = (register: number) => ((register << 8) | value) & 0xffff
      if (offset === ERROR_FEATURE) r.feature = push(r.feature)
      else if (offset === SECTOR_COUNT) r.count = push(r.count)
      else if (offset === LBA_LOW) r.lbaLow = push(r.lbaLow)
      else if (offset === LBA_MID) r.lbaMid = push(r.lbaMid)
      else if (offset === LBA_HIGH) r.lbaHigh = push(r.lbaHigh)
      else if (offset === DEVICE_HEAD) r.device = value
    }
    if (offset === DEVICE_HEAD && !(this.#status() & ST.BSY)) {
      this.state.selected = value & ATA_DEVICE.DEV ? 1 : 0
      this.#drive()
    }
  }

  #writeControl(value: number): void {
    const before = this.state.control
    this.state.control = value
    if (value & ~before & CONTROL_SRST) {
      this.#abandon()
      for (const device of this.#options.devices) if (device) device.registers.status = ST.BSY
    } else if (before & ~value & CONTROL_SRST) {
      this.state.selected = 0
      this.#resetDevices(true)
    }
    this.#drive()
  }

  /** Whatever was going on is no more. */
  #abandon(): void {
    this.#requests.cancel()
    this.#waiting = undefined
    this.state.phase = { kind: 'none' }
    this.state.buffer = new Uint8Array(0)
    this.state.position = 0
    this.state.blockEnd = 0
    this.state.interrupt = false
  }

  #setInterrupt(level: boolean): void {
    const rises = level && !this.state.interrupt
    this.state.interrupt = level
    this.#drive()
    if (rises && !(this.state.control & CONTROL_NIEN)) this.#options.onInterrupt()
  }

  #drive(): void {
    this.#options.line.set(this.state.interrupt && !(this.state.control & CONTROL_NIEN) && this.#device !== undefined)
  }

  #command(command: number): void {
    const device = this.#device
    if (command === ATA_COMMAND.EXECUTE_DIAGNOSTIC) {
      this.#abandon()
      this.state.selected = 0
      this.#resetDevices(true)
      this.#setInterrupt(true)
      return
    }
    if (device === undefined || this.state.control & CONTROL_SRST) return
    if (command === ATA_COMMAND.DEVICE_RESET && device.packet) {
      this.#abandon()
      device.reset(true)
      device.registers.status = 0
      this.#drive()
      return
    }
    if (device.registers.status & (ST.BSY | ST.DRQ)) return
    this.#setInterrupt(false)
    this.state.command = command
    this.state.phase = { kind: 'none' }
    device.registers.error = 0
    device.registers.status = READY
    this.#act(device.execute(command))
  }

  #act(action: AtaAction): void {
    const s = this.state
    const r = this.#device!.registers
    switch (action.kind) {
      case 'complete':
        this.#later(() => this.#end(0))
        break
      case 'abort':
        this.#later(() => this.#end(action.error))
        break
      case 'work':
        this.#begin({ bytes: 0, run: action.run, done: error => this.#end(error ? ATA_ERROR.ABRT : 0) })
        break
      case 'data-in':
        s.phase = { kind: 'data-in', command: s.command }
        this.#later(() => this.#offer(action.bytes, SECTOR))
        break
      case 'data-out':
        if (action.dma) this.#startDma({ action, packet: false })
        else {
          s.phase = { kind: 'data-out', command: s.command }
          this.#expect(action.length, SECTOR, false)
        }
        break
      case 'transfer':
        if (action.dma) this.#startDma({ action, packet: false })
        else {
          const { write, offset, length, block, flush } = action
          s.phase = { kind: write ? 'write' : 'read', offset, left: length, block, flush }
          if (write) this.#expectSectors(false)
          else this.#fetchSectors()
        }
        break
      case 'packet': {
        const dma = (r.feature & 1) !== 0
        const limit = ((r.lbaMid & 0xff) | ((r.lbaHigh & 0xff) << 8)) & 0xffff
        s.phase = { kind: 'packet-command', dma, limit }
        r.count = ATAPI_REASON.COMMAND
        this.#expect(PACKET_BYTES, PACKET_BYTES, false)
        break
      }
    }
  }

  #begin(operation: { bytes: number; run(): void | Promise<void>; done(error: Error | undefined): void }): void {
    this.#device!.registers.status = ST.BSY
    this.#requests.start(operation)
  }

  /** Does something when the instruction that wrote the command register is over, as if it took the device a moment. */
  #later(done: () => void): void {
    this.#begin({ bytes: 0, run() {}, done })
  }

  /** A command is over; `error` is what the error register gets. */
  #end(error: number): void {
    const device = this.#device!
    const r = device.registers
    this.state.phase = { kind: 'none' }
    this.state.buffer = new Uint8Array(0)
    this.state.position = 0
    this.state.blockEnd = 0
    if (error !== 0) r.error = error
    r.status = READY | (error === 0 ? 0 : ST.ERR)
    this.#setInterrupt(true)
  }

  /** Data for the host, in blocks. */
  #offer(bytes: Uint8Array, block: number): void {
    const s = this.state
    s.buffer = bytes
    s.position = 0
    this.#nextBlock(block, true)
  }

  /** Data from the host, in blocks. */
  #expect(length: number, block: number, interrupt: boolean): void {
    const s = this.state
    s.buffer = new Uint8Array(length)
    s.position = 0
    this.#nextBlock(block, interrupt)
  }

  #nextBlock(block: number, interrupt: boolean): void {
    const s = this.state
    s.blockEnd = Math.min(s.position + block, s.buffer.length)
    this.#device!.registers.status = READY | ST.DRQ
    if (interrupt) this.#setInterrupt(true)
  }

  #readData(size: number): number {
    const s = this.state
    const direction = s.phase.kind
    const toHost = direction === 'read' || direction === 'data-in' || direction === 'packet-in'
    if (!toHost || !(this.#status() & ST.DRQ)) return maskTo(0xffffffff, size as 1 | 2 | 4)
    let value = 0
    for (let i = 0; i < size; i++) value |= (s.position + i < s.blockEnd ? s.buffer[s.position + i] : 0) << (8 * i)
    s.position = Math.min(s.position + size, s.blockEnd)
    if (s.position === s.blockEnd) this.#blockDone()
    return value >>> 0
  }

  #writeData(size: number, value: number): void {
    const s = this.state
    const direction = s.phase.kind
    const fromHost =
      direction === 'write' || direction === 'data-out' || direction === 'packet-out' || direction === 'packet-command'
    if (!fromHost || !(this.#status() & ST.DRQ)) return
    for (let i = 0; i < size && s.position < s.blockEnd; i++) s.buffer[s.position++] = value >>> (8 * i)
    if (s.position === s.blockEnd) this.#blockDone()
  }

  /** The host has read or written a whole block. */
  #blockDone(): void {
    const s = this.state
    const r = this.#device!.registers
    const more = s.position < s.buffer.length
    const { phase } = s
    switch (phase.kind) {
      case 'read':
        if (more) this.#nextBlock(phase.block, true)
        else if (phase.left > 0) this.#fetchSectors()
        else this.#quiet()
        break
      case 'write':
        if (more) this.#nextBlock(phase.block, true)
        else this.#storeSectors()
        break
      case 'data-in':
        if (more) this.#nextBlock(SECTOR, true)
        else this.#quiet()
        break
      case 'data-out':
        if (more) this.#nextBlock(SECTOR, true)
        else this.#act(this.#device!.accept(phase.command, s.buffer))
        break
      case 'packet-command': {
        const packet = s.buffer
        s.buffer = new Uint8Array(0)
        s.position = 0
        s.blockEnd = 0
        r.status = ST.BSY
        this.#actPacket(this.#device!.packet!.packet(packet), phase)
        break
      }
      case 'packet-in':
        if (more) this.#nextPacketBlock(phase.limit)
        else this.#fetchPacket()
        break
      case 'packet-out':
        if (more) this.#nextPacketBlock(phase.limit)
        else this.#actPacket(this.#device!.packet!.accept(s.buffer), { dma: false, limit: phase.limit })
        break
      case 'none':
    }
  }

  /** The last block was read: the command is over without an interrupt. */
  #quiet(): void {
    this.state.phase = { kind: 'none' }
    this.state.buffer = new Uint8Array(0)
    this.#device!.registers.status = READY
  }

  /** How much of a PIO transfer goes through the buffer next: whole blocks. */
  #batch(left: number, block: number): number {
    return Math.min(left, Math.max(block, PIO_BUFFER - (PIO_BUFFER % block)))
  }

  #fetchSectors(): void {
    const { phase } = this.state
    if (phase.kind !== 'read') return
    const { disk } = this.#device!
    const buffer = new Uint8Array(this.#batch(phase.left, phase.block))
    const { offset } = phase
    this.#begin({
      bytes: buffer.length,
      run: () => readDisk(disk!, offset, buffer),
      done: error => {
        if (error) {
          this.#end(ATA_ERROR.UNC)
          return
        }
        phase.offset += buffer.length
        phase.left -= buffer.length
        this.#offer(buffer, phase.block)
      },
    })
  }

  #expectSectors(interrupt: boolean): void {
    const { phase } = this.state
    if (phase.kind === 'write') this.#expect(this.#batch(phase.left, phase.block), phase.block, interrupt)
  }

  #storeSectors(): void {
    const s = this.state
    const { phase, buffer } = s
    if (phase.kind !== 'write') return
    const disk = this.#device!.disk!
    const last = phase.left === buffer.length
    const run = (): void | Promise<void> => {
      const written = writeDisk(disk, phase.offset, buffer)
      if (!last || !phase.flush) return written
      return written ? written.then(() => disk.flush()) : disk.flush()
    }
    this.#begin({
      bytes: buffer.length,
      run,
      done: error => {
        if (error) {
          this.#end(ATA_ERROR.ABRT)
          return
        }
        phase.offset += buffer.length
        phase.left -= buffer.length
        if (phase.left > 0) this.#expectSectors(true)
        else this.#end(0)
      },
    })
  }

  #actPacket(action: PacketAction, how: { dma: boolean; limit: number }): void {
    const s = this.state
    switch (action.kind) {
      case 'complete':
        this.#later(() => this.#endPacket(true))
        break
      case 'check':
        this.#later(() => this.#endPacket(false))
        break
      case 'work':
        this.#begin({ bytes: 0, run: action.run, done: error => this.#endPacket(!error) })
        break
      case 'data-in':
      case 'read':
        if (action.kind === 'read' ? action.count === 0 : action.bytes.length === 0) {
          this.#later(() => this.#endPacket(true))
          break
        }
        if (how.dma) {
          this.#startDma({ action, packet: true })
          break
        }
        s.phase =
          action.kind === 'read'
            ? {
                kind: 'packet-in',
                lba: action.lba,
                left: action.count,
                sectorBytes: action.sectorBytes,
                limit: how.limit,
              }
            : { kind: 'packet-in', lba: 0, left: 0, sectorBytes: CD_SECTOR, limit: how.limit }
        if (action.kind === 'read') this.#fetchPacket()
        else this.#later(() => this.#offerPacket(action.bytes))
        break
      case 'data-out':
        if (how.dma) this.#startDma({ action, packet: true })
        else {
          s.phase = { kind: 'packet-out', limit: how.limit }
          s.buffer = new Uint8Array(action.length)
          s.position = 0
          this.#nextPacketBlock(how.limit)
        }
        break
    }
  }

  #endPacket(good: boolean): void {
    const device = this.#device!
    device.registers.count = ATAPI_REASON.COMMAND | ATAPI_REASON.TO_HOST
    this.#end(good ? 0 : device.packet!.errorRegister)
  }

  #offerPacket(bytes: Uint8Array): void {
    this.state.buffer = bytes
    this.state.position = 0
    const { phase } = this.state
    this.#nextPacketBlock(phase.kind === 'packet-in' ? phase.limit : 0)
  }

  /** The next piece of packet data: at most the host's limit of bytes, an even number unless it is the last. */
  #nextPacketBlock(limit: number): void {
    const s = this.state
    const r = this.#device!.registers
    const most = limit === 0 || limit === 0xffff ? 0xfffe : limit > 1 ? limit & ~1 : 2
    const block = Math.min(most, s.buffer.length - s.position)
    r.count = s.phase.kind === 'packet-in' ? ATAPI_REASON.TO_HOST : 0
    r.lbaMid = block & 0xff
    r.lbaHigh = block >> 8
    this.#nextBlock(block, true)
  }

  /** More sectors of a CD for PIO, or the end. */
  #fetchPacket(): void {
    const { phase } = this.state
    if (phase.kind !== 'packet-in') return
    const device = this.#device!
    const { disk } = device
    const { lba } = phase
    if (phase.left === 0) {
      this.#later(() => this.#endPacket(true))
      return
    }
    const count = Math.min(phase.left, CD_SECTORS)
    const buffer = new Uint8Array(count * CD_SECTOR)
    this.#begin({
      bytes: buffer.length,
      run() {
        if (disk === undefined) throw new Error('there is no medium')
        return readDisk(disk, lba * CD_SECTOR, buffer)
      },
      done: error => {
        if (error) {
          device.packet!.readFailed()
          this.#endPacket(false)
          return
        }
        phase.lba += count
        phase.left -= count
        this.#offerPacket(phase.sectorBytes === CD_SECTOR ? buffer : device.packet!.frame(buffer, lba))
      },
    })
  }

  #startDma(waiting: WaitingDma): void {
    this.#waiting = waiting
    // Ready for the bus master.
    this.#device!.registers.status = READY | ST.DRQ
    this.tryDma()
  }

  /** The bus master may have been started. */
  tryDma(): void {
    const waiting = this.#waiting
    const device = this.#device
    if (waiting === undefined || device === undefined) return
    const cursor = this.#options.dma()
    if (cursor === undefined) return
    this.#waiting = undefined
    device.registers.status = ST.BSY
    moveByDma(device, waiting.action, {
      requests: this.#requests,
      memory: this.#options.memory(),
      cursor,
      done: result => {
        if (result === 'short') {
          // The descriptors ended before the data: the device waits for more, for ever.
          device.registers.status = READY | ST.DRQ
          this.#options.onDmaEnd(false)
          return
        }
        if (result === 'accepted') {
          this.#options.onDmaEnd(false)
          const { bytes } = cursor
          if (waiting.packet) this.#actPacket(device.packet!.accept(bytes), { dma: false, limit: 0 })
          else this.#act(device.accept(this.state.command, bytes))
          return
        }
        const good = result === 'done'
        this.#options.onDmaEnd(!good)
        if (waiting.packet) {
          if (!good) device.packet!.readFailed()
          this.#endPacket(good)
        } else this.#end(good ? 0 : ATA_ERROR.ABRT)
      },
    })
  }

  /** The bus master was stopped in the middle of a transfer. */
  stopDma(): void {
    if (this.#requests.pending === 0 || this.#waiting !== undefined) return
    this.#requests.cancel()
  }
}
