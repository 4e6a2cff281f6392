/** A floppy controller, the 82077AA (Intel data sheet 290166), with two drives, by DMA channel 2 or without DMA. */
import type { Disk } from '../../disk/disk.ts'
import type { Bus, Device, InterruptLine, Timer } from '../bus.ts'
import type { DmaChannel } from '../dma8237.ts'
import { attachBytes } from '../registers.ts'
import { BlockRequests, type HostWork, readDisk, SECTOR, writeDisk } from './block.ts'
import { type FloppyFormat, floppyFormat } from './floppy-geometry.ts'

/** Registers. Port 3f6h between them is the hard disk controller's. */
const BASE = 0x3f0
const STATUS_A = 0
const STATUS_B = 1
const DOR = 2
const TDR = 3
const MSR_DSR = 4
const FIFO = 5
const DIR_CCR = 7
const IRQ = 6

/** Bits of the digital output register. */
const DOR_DRIVE = 3
const DOR_NOT_RESET = 4
const DOR_DMA_GATE = 8
/** Bits of the main status register. */
const MSR_BUSY = 0x10
const MSR_NON_DMA = 0x20
const MSR_TO_HOST = 0x40
const MSR_READY = 0x80
const DSR_RESET = 0x80
const DIR_CHANGED = 0x80

/** Status registers of results. */
const ST0 = { SEEK_END: 0x20, ABNORMAL: 0x40, INVALID: 0x80, POLLING: 0xc0, EQUIPMENT: 0x10 } as const
const ST1 = { MISSING: 0x01, PROTECTED: 0x02, NO_DATA: 0x04, DATA_ERROR: 0x20, END_OF_CYLINDER: 0x80 } as const
const ST2 = { WRONG_CYLINDER: 0x10, DATA_ERROR: 0x20 } as const
const ST3 = { TRACK_0: 0x10, ALWAYS: 0x28, PROTECTED: 0x40 } as const

/** Commands by the low five bits, where the rest are the flags MT, MFM and SK. */
const READ_TRACK = 0x02
const SPECIFY = 0x03
const SENSE_DRIVE = 0x04
const WRITE_DATA = 0x05
const READ_DATA = 0x06
const RECALIBRATE = 0x07
const SENSE_INTERRUPT = 0x08
const WRITE_DELETED = 0x09
const READ_ID = 0x0a
const READ_DELETED = 0x0c
const FORMAT_TRACK = 0x0d
const DUMP_REGISTERS = 0x0e
const SEEK = 0x0f
const VERSION = 0x10
const PERPENDICULAR = 0x12
const CONFIGURE = 0x13
const LOCK = 0x14
const VERIFY = 0x16
const PART_ID = 0x18
const FLAG_MT = 0x80
const VERSION_82077 = 0x90
const PART_82077 = 0x01

/** Bytes of each command with its parameters. What is not here is invalid. */
const LENGTHS: Readonly<Record<number, number>> = {
  [READ_TRACK]: 9,
  [SPECIFY]: 3,
  [SENSE_DRIVE]: 2,
  [WRITE_DATA]: 9,
  [READ_DATA]: 9,
  [RECALIBRATE]: 2,
  [SENSE_INTERRUPT]: 1,
  [WRITE_DELETED]: 9,
  [READ_ID]: 2,
  [READ_DELETED]: 9,
  [FORMAT_TRACK]: 6,
  [DUMP_REGISTERS]: 1,
  [SEEK]: 3,
  [VERSION]: 1,
  [PERPENDICULAR]: 2,
  [CONFIGURE]: 4,
  [LOCK]: 1,
  [VERIFY]: 9,
  [PART_ID]: 1,
}

/** Nanoseconds that heads take however far they go, and that a command takes until it has found its sector. */
const SEEK_TIME = 1_000_000
const FIND_TIME = 100_000
const RESET_TIME = 50_000
const SECTOR_CODE = 2
const DRIVES = 2
const MOST_CYLINDER = 84

interface DriveState {
  cylinder: number
  changed: boolean
}

/** A transfer between sectors and the host. */
interface Transfer {
  kind: 'read' | 'write' | 'verify' | 'format'
  drive: number
  multiTrack: boolean
  cylinder: number
  head: number
  sector: number
  last: number
  /** Sectors that VERIFY still has to see, or FORMAT to write. */
  count: number
  filler: number
  /** The sector that passes, or a format's list. */
  buffer: Uint8Array
  position: number
  /** TC was seen. */
  terminal: boolean
}

interface FloppyState {
  dor: number
  tdr: number
  ccr: number
  phase: 'command' | 'execution' | 'result'
  /** Bytes of the command as they come, or of the result as they go; never more than {@link LENGTHS} says. */
  bytes: number[]
  /** An interrupt is asserted. */
  interrupt: boolean
  /** Interrupts that SENSE INTERRUPT tells of: ST0 by drive. */
  sense: number[]
  drives: DriveState[]
  /** Drives whose heads move. */
  seeking: number
  specify: [number, number]
  configure: [number, number]
  locked: boolean
  perpendicular: number
  lastSectors: number
  /** Which sector comes next under the head, for READ ID. */
  rotation: number
  transfer: Transfer | null
}

/** What a {@link FloppyController} is made of. */
export interface FloppyControllerOptions {
  /** The medium of each drive; a drive that is not there has no entry. */
  drives: readonly { medium?: Disk }[]
  /** Gives DMA channel 2. */
  dma(onReady: () => void): DmaChannel
  host?: HostWork
}

/** The controller. */
export class FloppyController implements Device {
  readonly name = 'floppy'
  readonly version = 1
  state: FloppyState
  readonly #media: (Disk | undefined)[]
  readonly #present: number
  readonly #dma: DmaChannel
  readonly #line: InterruptLine
  readonly #requests: BlockRequests
  readonly #bus: Bus
  readonly #timer: Timer
  #later: (() => void) | undefined

  /** @throws if the ports are taken. */
  constructor(bus: Bus, options: FloppyControllerOptions) {
    this.#bus = bus
    this.#media = options.drives.map(({ medium }) => medium)
    this.#present = Math.min(DRIVES, options.drives.length)
    this.#line = bus.interrupt(IRQ)
    this.#requests = new BlockRequests(bus.clock, options.host)
    this.#timer = bus.clock.timer(() => {
      const later = this.#later
      this.#later = undefined
      later?.()
    })
    this.state = this.#initial()
    this.#dma = options.dma(() => this.#move())
    const registers = {
      readByte: (port: number) => this.#read(port - BASE),
      writeByte: (port: number, value: number) => this.#write(port - BASE, value),
    }
    attachBytes(bus, BASE, 6, registers)
    attachBytes(bus, BASE + DIR_CCR, 1, registers)
  }

  #initial(): FloppyState {
    return {
      dor: DOR_NOT_RESET | DOR_DMA_GATE,
      tdr: 0,
      ccr: 0,
      phase: 'command',
      bytes: [],
      interrupt: false,
      sense: [],
      drives: Array.from({ length: DRIVES }, () => ({ cylinder: 0, changed: true })),
      seeking: 0,
      specify: [0, 0],
      configure: [0, 0],
      locked: false,
      perpendicular: 0,
      lastSectors: 0,
      rotation: 0,
      transfer: null,
    }
  }

  reset(): void {
    this.#abandon()
    this.state = this.#initial()
    this.#drive()
  }

  restored(): void {
    this.#drive()
  }

  /** Changes a drive's medium. @returns what was in */
  change(drive: number, medium: Disk | undefined): Disk | undefined {
    const before = this.#media[drive]
    this.#media[drive] = medium
    this.state.drives[drive].changed = true
    return before
  }

  #format(drive: number): FloppyFormat | undefined {
    const medium = this.#media[drive]
    return medium && floppyFormat(medium.size)
  }

  #drive(): void {
    this.#line.set(this.state.interrupt && (this.state.dor & DOR_DMA_GATE) !== 0)
  }

  #interrupt(level: boolean): void {
    this.state.interrupt = level
    this.#drive()
  }

  #after(nanoseconds: number, what: () => void): void {
    this.#later = what
    this.#timer.arm(this.#bus.clock.now() + nanoseconds)
  }

  #abandon(): void {
    this.#requests.cancel()
    this.#timer.cancel()
    this.#later = undefined
    this.#dma.request(false)
    this.state.transfer = null
    this.state.seeking = 0
    this.state.phase = 'command'
    this.state.bytes = []
  }

  /** A reset by the digital output or data rate select register: ends with an interrupt for each drive's polling. */
  #softReset(): void {
    const s = this.state
    this.#abandon()
    this.#interrupt(false)
    s.sense = []
    if (!s.locked) s.configure = [0, 0]
    s.perpendicular = 0
    this.#after(RESET_TIME, () => {
      s.sense = [0, 1, 2, 3].map(drive => ST0.POLLING | drive)
      this.#interrupt(true)
    })
  }

  #read(offset: number): number {
    const s = this.state
    switch (offset) {
      case STATUS_A:
        return s.interrupt ? 0x80 : 0
      case STATUS_B:
        return 0xc0
      case DOR:
        return s.dor
      case TDR:
        return s.tdr
      case MSR_DSR:
        return this.#mainStatus()
      case FIFO:
        return this.#readFifo()
      case DIR_CCR: {
        const drive = s.dor & DOR_DRIVE
        const motor = (s.dor & (0x10 << drive)) !== 0
        const changed = drive >= this.#present || s.drives[drive].changed || !this.#media[drive]
        return motor && changed ? DIR_CHANGED : 0
      }
      default:
        return 0xff
    }
  }

  #write(offset: number, value: number): void {
    const s = this.state
    switch (offset) {
      case DOR: {
        const before = s.dor
        s.dor = value
        if (before & ~value & DOR_NOT_RESET) {
          this.#abandon()
          this.#interrupt(false)
          s.sense = []
        } else if (~before & value & DOR_NOT_RESET) this.#softReset()
        this.#drive()
        break
      }
      case TDR:
        s.tdr = value & 3
        break
      case MSR_DSR:
        s.ccr = value & 3
        if (value & DSR_RESET) this.#softReset()
        break
      case FIFO:
        this.#writeFifo(value)
        break
      case DIR_CCR:
        s.ccr = value & 3
        break
      default:
    }
  }

  /** Transfers are by the processor, not by DMA: SPECIFY's ND bit. */
  get #nonDma(): boolean {
    return (this.state.specify[1] & 1) !== 0
  }

  #mainStatus(): number {
    const s = this.state
    if (!(s.dor & DOR_NOT_RESET)) return 0
    const seeking = s.seeking & 15
    if (s.phase === 'result') return MSR_READY | MSR_TO_HOST | MSR_BUSY | seeking
    if (s.phase === 'command') return MSR_READY | (s.bytes.length > 0 ? MSR_BUSY : 0) | seeking
    const { transfer } = s
    const ready = this.#nonDma && transfer !== null && transfer.position < transfer.buffer.length
    const direction = transfer?.kind === 'read' ? MSR_TO_HOST : 0
    return MSR_BUSY | (this.#nonDma && transfer ? MSR_NON_DMA : 0) | (ready ? MSR_READY | direction : 0)
  }

  #readFifo(): number {
    const s = this.state
    if (s.phase === 'execution') {
      const { transfer } = s
      if (!this.#nonDma || transfer?.kind !== 'read' || transfer.position >= transfer.buffer.length) return 0xff
      const byte = transfer.buffer[transfer.position++]
      if (transfer.position === transfer.buffer.length) this.#sectorDone(transfer)
      return byte
    }
    if (s.phase !== 'result') return 0xff
    this.#interrupt(false)
    const byte = s.bytes.shift() ?? 0
    if (s.bytes.length === 0) s.phase = 'command'
    return byte
  }

  #writeFifo(value: number): void {
    const s = this.state
    if (!(s.dor & DOR_NOT_RESET)) return
    if (s.phase === 'execution') {
      const { transfer } = s
      if (!this.#nonDma || !transfer || transfer.kind === 'read' || transfer.position >= transfer.buffer.length) return
      transfer.buffer[transfer.position++] = value
      if (transfer.position === transfer.buffer.length) this.#bufferFull(transfer)
      return
    }
    if (s.phase !== 'command') return
    s.bytes.push(value)
    const opcode = this.#opcode
    const length = LENGTHS[opcode]
    if (length === undefined) this.#result([ST0.INVALID], false)
    else if (s.bytes.length >= length) this.#execute(opcode, s.bytes)
  }

  get #opcode(): number {
    return this.state.bytes[0] & 0x1f
  }

  /** The result phase, or with nothing to say the next command. */
  #result(bytes: number[], interrupt: boolean): void {
    const s = this.state
    s.bytes = bytes
    s.phase = bytes.length > 0 ? 'result' : 'command'
    s.transfer = null
    if (interrupt) this.#interrupt(true)
  }

  #execute(opcode: number, bytes: number[]): void {
    const s = this.state
    const drive = bytes[1] & 3
    switch (opcode) {
      case SPECIFY:
        s.specify = [bytes[1], bytes[2]]
        this.#result([], false)
        break
      case CONFIGURE:
        s.configure = [bytes[2], bytes[3]]
        this.#result([], false)
        break
      case PERPENDICULAR:
        s.perpendicular = bytes[1]
        this.#result([], false)
        break
      case LOCK:
        s.locked = (bytes[0] & 0x80) !== 0
        this.#result([s.locked ? 0x10 : 0], false)
        break
      case VERSION:
        this.#result([VERSION_82077], false)
        break
      case PART_ID:
        this.#result([PART_82077], false)
        break
      case DUMP_REGISTERS:
        this.#result(
          [
            ...[0, 1, 2, 3].map(i => s.drives[i]?.cylinder ?? 0),
            ...s.specify,
            s.lastSectors,
            (s.locked ? 0x80 : 0) | (s.perpendicular & 0x7f),
            ...s.configure,
          ],
          false,
        )
        break
      case SENSE_DRIVE: {
        const there = drive < this.#present
        const track0 = there && s.drives[drive].cylinder === 0 ? ST3.TRACK_0 : 0
        const isProtected = this.#media[drive]?.readOnly ? ST3.PROTECTED : 0
        this.#result([(bytes[1] & 7) | ST3.ALWAYS | track0 | isProtected], false)
        break
      }
      case SENSE_INTERRUPT: {
        const st0 = s.sense.shift()
        this.#interrupt(false)
        if (st0 === undefined) this.#result([ST0.INVALID], false)
        else this.#result([st0, s.drives[st0 & 3]?.cylinder ?? 0], false)
        break
      }
      case RECALIBRATE:
        this.#seek(drive, 0, true, 0)
        break
      case SEEK:
        // With MT set it is RELATIVE SEEK, with MFM upwards.
        if (bytes[0] & FLAG_MT) {
          const from = s.drives[drive]?.cylinder ?? 0
          this.#seek(drive, bytes[0] & 0x40 ? from + bytes[2] : from - bytes[2], false, bytes[1] & 4)
        } else this.#seek(drive, bytes[2], false, bytes[1] & 4)
        break
      case READ_ID:
        s.phase = 'execution'
        this.#after(FIND_TIME, () => this.#readId(bytes))
        break
      default:
        this.#begin(opcode, bytes)
    }
  }

  #seek(drive: number, cylinder: number, home: boolean, head: number): void {
    const s = this.state
    this.#result([], false)
    s.seeking |= 1 << drive
    this.#after(SEEK_TIME, () => {
      s.seeking &= ~(1 << drive)
      const there = drive < this.#present
      if (there) {
        s.drives[drive].cylinder = Math.max(0, Math.min(MOST_CYLINDER, cylinder))
        // Steps with a medium in the drive end the change line's signal.
        if (this.#media[drive]) s.drives[drive].changed = false
      }
      // A drive that is not there never finds track 0.
      const st0 = ST0.SEEK_END | drive | head | (there || !home ? 0 : ST0.ABNORMAL | ST0.EQUIPMENT)
      if (s.sense.length < 4) s.sense.push(st0)
      this.#interrupt(true)
    })
  }

  /** Whether the data rate is that of the medium. */
  #readable(drive: number): FloppyFormat | undefined {
    const format = this.#format(drive)
    return format?.rates.includes(this.state.ccr) ? format : undefined
  }

  #readId(bytes: number[]): void {
    const s = this.state
    const drive = bytes[1] & 3
    const head = (bytes[1] >> 2) & 1
    const format = this.#readable(drive)
    const cylinder = s.drives[drive]?.cylinder ?? 0
    if (!format || head >= format.heads || cylinder >= format.cylinders) {
      this.#result([ST0.ABNORMAL | (bytes[1] & 7), ST1.MISSING, 0, cylinder, head, 1, SECTOR_CODE], true)
      return
    }
    s.rotation = (s.rotation % format.sectors) + 1
    this.#result([bytes[1] & 7, 0, 0, cylinder, head, s.rotation, SECTOR_CODE], true)
  }

  /** READ, WRITE, VERIFY and FORMAT. */
  #begin(opcode: number, bytes: number[]): void {
    const s = this.state
    const drive = bytes[1] & 3
    s.phase = 'execution'
    s.lastSectors = opcode === FORMAT_TRACK ? bytes[3] : bytes[6]
    const kinds: Record<number, Transfer['kind']> = {
      [WRITE_DATA]: 'write',
      [WRITE_DELETED]: 'write',
      [VERIFY]: 'verify',
      [FORMAT_TRACK]: 'format',
    }
    const kind = kinds[opcode] ?? 'read'
    const format = kind === 'format'
    const transfer: Transfer = {
      kind,
      drive,
      multiTrack: !format && (bytes[0] & FLAG_MT) !== 0,
      cylinder: format ? (s.drives[drive]?.cylinder ?? 0) : bytes[2],
      head: format ? (bytes[1] >> 2) & 1 : bytes[3],
      sector: format || opcode === READ_TRACK ? 1 : bytes[4],
      last: format ? bytes[3] : bytes[6],
      count: format ? bytes[3] : opcode === VERIFY && bytes[1] & 0x80 ? bytes[8] || 256 : 0,
      filler: format ? bytes[5] : 0,
      buffer: new Uint8Array(0),
      position: 0,
      terminal: false,
    }
    s.transfer = transfer
    const code = format ? bytes[2] : bytes[5]
    this.#after(FIND_TIME, () => {
      const wrong = this.#obstacle(transfer, code)
      if (wrong) this.#end(transfer, ST0.ABNORMAL, ...wrong)
      else if (kind === 'format') this.#expect(transfer, 4 * transfer.count)
      else this.#sector(transfer)
    })
  }

  /** Why a transfer cannot begin: ST1 and ST2. */
  #obstacle(transfer: Transfer, code: number): [number, number] | undefined {
    const { drive, head, kind, cylinder } = transfer
    const format = this.#readable(drive)
    if (!format || head >= format.heads) return [ST1.MISSING, 0]
    if (code !== SECTOR_CODE) return [ST1.NO_DATA, 0]
    const at = this.state.drives[drive].cylinder
    if (at >= format.cylinders) return [ST1.MISSING, 0]
    if (cylinder !== at) return [ST1.NO_DATA, ST2.WRONG_CYLINDER]
    if ((kind === 'write' || kind === 'format') && this.#media[drive]?.readOnly) return [ST1.PROTECTED, 0]
    return undefined
  }

  /** Where the transfer's sector is in the image, or undefined if the track has no such. */
  #offset({ drive, cylinder, head, sector }: Transfer): number | undefined {
    const format = this.#format(drive)
    if (!format || sector < 1 || sector > format.sectors || head >= format.heads || cylinder >= format.cylinders)
      return undefined
    return ((cylinder * format.heads + head) * format.sectors + sector - 1) * SECTOR
  }

  /** Does the next sector. */
  #sector(transfer: Transfer): void {
    const disk = this.#media[transfer.drive]
    const offset = this.#offset(transfer)
    if (offset === undefined || disk === undefined) {
      this.#end(transfer, ST0.ABNORMAL, ST1.NO_DATA, 0)
      return
    }
    if (transfer.kind === 'verify') {
      this.#verified(transfer)
      return
    }
    if (transfer.kind === 'write') {
      this.#expect(transfer, SECTOR)
      return
    }
    const buffer = new Uint8Array(SECTOR)
    this.#requests.start({
      bytes: SECTOR,
      run: () => readDisk(disk, offset, buffer),
      done: error => {
        if (error) {
          this.#end(transfer, ST0.ABNORMAL, ST1.DATA_ERROR, ST2.DATA_ERROR)
          return
        }
        transfer.buffer = buffer
        transfer.position = 0
        this.#offer()
      },
    })
  }

  /** Bytes from the host are wanted. */
  #expect(transfer: Transfer, length: number): void {
    transfer.buffer = new Uint8Array(length)
    transfer.position = 0
    if (length === 0) this.#bufferFull(transfer)
    else this.#offer()
  }

  /** Asks the host to take or give. */
  #offer(): void {
    if (this.#nonDma) this.#interrupt(true)
    else this.#dma.request(true)
  }

  /** The DMA channel is ready. */
  #move(): void {
    const { transfer } = this.state
    if (this.state.phase !== 'execution' || !transfer || this.#nonDma) return
    const left = transfer.buffer.subarray(transfer.position)
    if (left.length === 0) return
    const { count, terminal } = transfer.kind === 'read' ? this.#dma.write(left) : this.#dma.read(left)
    transfer.position += count
    transfer.terminal ||= terminal
    if (!terminal && transfer.position < transfer.buffer.length) return
    this.#dma.request(false)
    if (transfer.kind === 'read') this.#sectorDone(transfer)
    else this.#bufferFull(transfer)
  }

  /** The host has given a sector, or a format's list; what it did not give is zeros. */
  #bufferFull(transfer: Transfer): void {
    if (this.#nonDma) this.#interrupt(false)
    const disk = this.#media[transfer.drive]
    if (disk === undefined) {
      this.#end(transfer, ST0.ABNORMAL, ST1.MISSING, 0)
      return
    }
    if (transfer.kind === 'format') {
      this.#formatTrack(transfer, disk)
      return
    }
    const offset = this.#offset(transfer)!
    const { buffer } = transfer
    this.#requests.start({
      bytes: SECTOR,
      run: () => writeDisk(disk, offset, buffer),
      done: error => {
        if (error) this.#end(transfer, ST0.ABNORMAL, ST1.DATA_ERROR, ST2.DATA_ERROR)
        else this.#sectorDone(transfer)
      },
    })
  }

  /** The list has cylinder, head, sector and size of each; those that the format has are filled. */
  #formatTrack(transfer: Transfer, disk: Disk): void {
    const offsets: number[] = []
    for (let i = 0; i + 4 <= transfer.position; i += 4) {
      const [cylinder, head, sector] = transfer.buffer.subarray(i, i + 4)
      const offset = cylinder === transfer.cylinder && this.#offset({ ...transfer, head, sector })
      if (typeof offset === 'number') offsets.push(offset)
    }
    const filler = new Uint8Array(SECTOR).fill(transfer.filler)
    const run = (): void | Promise<void> => {
      while (offsets.length > 0) {
        const written = writeDisk(disk, offsets.shift()!, filler)
        if (written) return written.then(run)
      }
    }
    const done = (error: Error | undefined) => {
      if (error) this.#end(transfer, ST0.ABNORMAL, ST1.DATA_ERROR, ST2.DATA_ERROR)
      else this.#end(transfer, 0, 0, 0)
    }
    this.#requests.start({ bytes: offsets.length * SECTOR, run, done })
  }

  #verified(transfer: Transfer): void {
    if (transfer.count > 0 && --transfer.count === 0) transfer.terminal = true
    // Without a count it ends with the track.
    else if (transfer.count === 0 && transfer.sector >= transfer.last) transfer.terminal = true
    this.#sectorDone(transfer)
  }

  /** A sector is through: the next one, or the end. */
  #sectorDone(transfer: Transfer): void {
    if (this.#nonDma) this.#interrupt(false)
    const atEnd = transfer.sector === transfer.last
    const second = transfer.multiTrack && transfer.head === 0
    const { terminal } = transfer
    if (!atEnd) transfer.sector = (transfer.sector + 1) & 0xff
    else {
      transfer.sector = 1
      if (second) transfer.head = 1
      else {
        transfer.cylinder = (transfer.cylinder + 1) & 0xff
        if (transfer.multiTrack) transfer.head = 0
      }
    }
    if (terminal) this.#end(transfer, 0, 0, 0)
    else if (atEnd && !second) this.#end(transfer, ST0.ABNORMAL, ST1.END_OF_CYLINDER, 0)
    else this.#sector(transfer)
  }

  #end(transfer: Transfer, st0: number, st1: number, st2: number): void {
    this.#dma.request(false)
    const { drive, head, cylinder, sector } = transfer
    this.#result([st0 | drive | ((head & 1) << 2), st1, st2, cylinder, head, sector, SECTOR_CODE], true)
  }
}
