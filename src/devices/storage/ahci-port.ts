/** A port of an AHCI controller (Serial ATA AHCI 1.3.1): command list, received FISes, commands one by one or queued. */
import type { Clock, GuestMemory } from '../bus.ts'
import { dwordAt, qwordAt } from '../little-endian.ts'
import { ATA_COMMAND, ATA_ERROR, type AtaAction, type AtaDevice, type PacketAction, ATA_STATUS as ST } from './ata.ts'
import { AtaDisk } from './ata-disk.ts'
import { DmaCursor, type DmaResult, moveByDma } from './ata-dma.ts'
import { BlockRequests, type HostWork, type Segment } from './block.ts'

/** Registers of a port, from 100h + 80h for each (3.3). */
export const PORT = {
  CLB: 0x00,
  CLBU: 0x04,
  FB: 0x08,
  FBU: 0x0c,
  IS: 0x10,
  IE: 0x14,
  CMD: 0x18,
  TFD: 0x20,
  SIG: 0x24,
  SSTS: 0x28,
  SCTL: 0x2c,
  SERR: 0x30,
  SACT: 0x34,
  CI: 0x38,
  SNTF: 0x3c,
} as const

/** Bits of PxCMD. */
const CMD = { ST: 1, SUD: 2, POD: 4, CLO: 8, FRE: 0x10, FR: 0x4000, CR: 0x8000, ATAPI: 1 << 24 } as const
const CMD_WRITABLE = CMD.ST | CMD.SUD | CMD.POD | CMD.FRE | 0xff000000
/** Bits of PxIS. */
const IS = { DHRS: 1, PSS: 2, DSS: 4, SDBS: 8, PCS: 0x40, IFS: 1 << 27, HBDS: 1 << 28, TFES: 1 << 30 } as const
/** A device is there and the link is up at 3 Gb/s, active. */
const SSTS_PRESENT = 0x123
const SCTL_RESET = 1
/** A device came: exchanged, and PHY ready changed. */
const SERR_EXCHANGED = 0x04010000
const SIGNATURE_DISK = 0x00000101
const SIGNATURE_PACKET = 0xeb140101

const COMMAND_HEADER_BYTES = 32
const SLOTS = 32
/** FISes by type. */
const FIS_HOST_TO_DEVICE = 0x27
const FIS_DEVICE_TO_HOST = 0x34
const FIS_PIO_SETUP = 0x5f
const FIS_SET_DEVICE_BITS = 0xa1
/** Where they are received (4.2.1). */
const RECEIVED_PIO = 0x20
const RECEIVED_D2H = 0x40
const RECEIVED_SDB = 0x58
/** In a command table (4.2.3). */
const TABLE_PACKET = 0x40
const TABLE_PRDT = 0x80
const PRD_BYTES = 16
/** Descriptors that are read together. */
const PRDS_TOGETHER = 32
const PACKET_BYTES = 12

const READY = ST.DRDY | ST.DSC

interface AhciPortState {
  clb: number
  fb: number
  is: number
  ie: number
  cmd: number
  tfd: number
  sig: number
  sctl: number
  serr: number
  sact: number
  ci: number
  /** Slots whose command is under way. */
  running: number
  /** The slot that failed last. */
  slot: number
  /** A command failed: nothing starts before the list is stopped and started. */
  halted: boolean
}

/** The controller's part. */
export interface AhciPortHost {
  name: string
  clock: Clock
  work?: HostWork
  memory(): GuestMemory
  /** PxIS or PxIE has changed. */
  interruptChanged(): void
  logOnce(key: string, message: string): void
}

/** One port with its device. */
export class AhciPort {
  state: AhciPortState
  readonly device: AtaDevice | undefined
  readonly #host: AhciPortHost
  readonly #requests: BlockRequests

  constructor(device: AtaDevice | undefined, host: AhciPortHost) {
    this.device = device
    this.#host = host
    this.#requests = new BlockRequests(host.clock, host.work)
    this.state = this.#initial()
  }

  #initial(): AhciPortState {
    const present = this.device !== undefined
    return {
      clb: 0,
      fb: 0,
      is: 0,
      ie: 0,
      cmd: CMD.SUD | CMD.POD,
      tfd: 0x7f,
      sig: 0xffffffff,
      sctl: 0,
      serr: present ? SERR_EXCHANGED : 0,
      sact: 0,
      ci: 0,
      running: 0,
      slot: 0,
      halted: false,
    }
  }

  /** HBA or system reset. */
  reset(): void {
    this.#requests.cancel()
    this.state = this.#initial()
    this.#resetDevice()
  }

  /** The device comes up and sends its signature. */
  #resetDevice(): void {
    const { device, state } = this
    if (device === undefined) return
    device.reset(false)
    device.registers.status = device.packet ? 0x10 : READY
    state.tfd = device.registers.status | (1 << 8)
    state.sig = device.packet ? SIGNATURE_PACKET : SIGNATURE_DISK
  }

  /** Whether the port wants an interrupt. */
  get interrupt(): boolean {
    return (this.state.is & this.state.ie) !== 0
  }

  read(offset: number): number {
    const s = this.state
    switch (offset) {
      case PORT.CLB:
        return s.clb % 2 ** 32
      case PORT.CLBU:
        return Math.floor(s.clb / 2 ** 32)
      case PORT.FB:
        return s.fb % 2 ** 32
      case PORT.FBU:
        return Math.floor(s.fb / 2 ** 32)
      case PORT.IS:
        return s.is
      case PORT.IE:
        return s.ie
      case PORT.CMD: {
        const packet = this.device?.packet ? CMD.ATAPI : 0
        return (
          (s.cmd & ~CMD.ATAPI) | packet | (s.cmd & CMD.ST ? CMD.CR : 0) | (s.cmd & CMD.FRE ? CMD.FR : 0) | (s.slot << 8)
        )
      }
      case PORT.TFD:
        return s.tfd
      case PORT.SIG:
        return s.sig
      case PORT.SSTS:
        return this.device && (s.sctl & 0xf) !== 4 ? SSTS_PRESENT : 0
      case PORT.SCTL:
        return s.sctl
      case PORT.SERR:
        return s.serr
      case PORT.SACT:
        return s.sact
      case PORT.CI:
        return s.ci
      default:
        return 0
    }
  }

  write(offset: number, value: number): void {
    const s = this.state
    const low = (address: number, mask: number) => Math.floor(address / 2 ** 32) * 2 ** 32 + ((value & mask) >>> 0)
    const high = (address: number) => value * 2 ** 32 + (address % 2 ** 32)
    switch (offset) {
      case PORT.CLB:
        s.clb = low(s.clb, ~0x3ff)
        break
      case PORT.CLBU:
        s.clb = high(s.clb)
        break
      case PORT.FB:
        s.fb = low(s.fb, ~0xff)
        break
      case PORT.FBU:
        s.fb = high(s.fb)
        break
      case PORT.IS:
        s.is = (s.is & ~value) >>> 0
        this.#host.interruptChanged()
        break
      case PORT.IE:
        s.ie = (value & 0xfdc000ff) >>> 0
        this.#host.interruptChanged()
        break
      case PORT.CMD:
        this.#writeCommand(value)
        break
      case PORT.SCTL:
        if ((value & 0xf) === SCTL_RESET) this.#linkReset()
        else if ((s.sctl & 0xf) === SCTL_RESET && this.device) {
          this.#resetDevice()
          s.serr = (s.serr | SERR_EXCHANGED) >>> 0
          s.is = (s.is | IS.PCS) >>> 0
          this.#sendRegisters(false)
        }
        s.sctl = value & 0xfff
        break
      case PORT.SERR:
        s.serr = (s.serr & ~value) >>> 0
        if ((s.serr & 0x04000000) === 0) s.is = (s.is & ~IS.PCS) >>> 0
        this.#host.interruptChanged()
        break
      case PORT.SACT:
        if (s.cmd & CMD.ST) s.sact = (s.sact | value) >>> 0
        break
      case PORT.CI:
        if (s.cmd & CMD.ST) {
          s.ci = (s.ci | value) >>> 0
          this.#process()
        }
        break
    }
  }

  #linkReset(): void {
    const s = this.state
    this.#requests.cancel()
    s.running = 0
    s.ci = 0
    s.sact = 0
    s.halted = false
    s.tfd = 0x7f
    if (this.device) s.tfd = ST.BSY
  }

  #writeCommand(value: number): void {
    const s = this.state
    const before = s.cmd
    s.cmd = (value & CMD_WRITABLE & ~CMD.CLO) >>> 0
    if (value & CMD.CLO && this.device) {
      s.tfd &= ~(ST.BSY | ST.DRQ)
      this.device.registers.status &= ~(ST.BSY | ST.DRQ)
    }
    if (s.cmd & ~before & CMD.FRE && this.device) this.#sendRegisters(false)
    if (before & ~s.cmd & CMD.ST) {
      // Stopping forgets what was asked.
      this.#requests.cancel()
      s.running = 0
      s.ci = 0
      s.sact = 0
      s.halted = false
    } else if (s.cmd & ~before & CMD.ST) this.#process()
  }

  /** Starts what can be: queued commands all together, others one by one. */
  #process(): void {
    const s = this.state
    for (let slot = 0; slot < SLOTS; slot++) {
      const bit = (1 << slot) >>> 0
      if ((s.ci & bit) === 0 || (s.running & bit) !== 0) continue
      if (s.halted || !(s.cmd & CMD.ST) || this.device === undefined) return
      const queued = (s.sact & bit) !== 0
      // What is not queued has the device for itself.
      if (s.running !== 0 && (!queued || (s.running & ~s.sact) !== 0)) continue
      this.#start(slot)
    }
  }

  #start(slot: number): void {
    const s = this.state
    const device = this.device!
    const memory = this.#host.memory()
    const bit = (1 << slot) >>> 0
    const headerAt = s.clb + COMMAND_HEADER_BYTES * slot
    const header = words(memory.read(headerAt, 16))
    const flags = header[0]
    const table = header[3] * 2 ** 32 + (header[2] & ~0x7f) + (header[2] < 0 ? 2 ** 32 : 0)
    const fis = memory.read(table, 20)
    if (fis[0] !== FIS_HOST_TO_DEVICE) {
      this.#host.logOnce(`${this.#host.name} fis`, `${this.#host.name}: a command with a FIS of type ${fis[0]} fails`)
      this.#fail(slot, ATA_ERROR.ABRT, false)
      return
    }
    const r = device.registers
    if ((fis[1] & 0x80) === 0) {
      // Control: software reset, set and cleared again.
      s.ci = (s.ci & ~bit) >>> 0
      if (fis[15] & 4) {
        device.registers.status = ST.BSY
        s.tfd = ST.BSY
      } else {
        device.reset(true)
        r.status = device.packet ? 0 : READY
        this.#sendRegisters(false)
      }
      return
    }
    const command = fis[2]
    r.feature = fis[3] | (fis[11] << 8)
    r.lbaLow = fis[4] | (fis[8] << 8)
    r.lbaMid = fis[5] | (fis[9] << 8)
    r.lbaHigh = fis[6] | (fis[10] << 8)
    r.device = fis[7]
    r.count = fis[12] | (fis[13] << 8)
    r.error = 0
    s.running = (s.running | bit) >>> 0
    const cursor = this.#cursor(table, flags >>> 16)
    const queued = command === ATA_COMMAND.READ_FPDMA_QUEUED || command === ATA_COMMAND.WRITE_FPDMA_QUEUED
    if (queued) {
      const tag = (r.count >> 3) & 31
      if (!(device instanceof AtaDisk) || tag !== slot) {
        this.#fail(slot, ATA_ERROR.ABRT, true)
        return
      }
      // The device has it as soon as it is sent.
      s.ci = (s.ci & ~bit) >>> 0
      this.#act(slot, device.queued(command === ATA_COMMAND.WRITE_FPDMA_QUEUED), {
        cursor,
        headerAt,
        command,
        queued,
        table,
      })
      return
    }
    s.tfd = ST.BSY
    r.status = ST.BSY
    this.#act(slot, device.execute(command), { cursor, headerAt, command, queued, table })
  }

  /** The memory that a command's table lists. */
  #cursor(table: number, entries: number): DmaCursor {
    const memory = this.#host.memory()
    let next = 0
    let bytes: Uint8Array = new Uint8Array(0)
    return new DmaCursor((): Segment | undefined => {
      if (next >= entries) return undefined
      const at = PRD_BYTES * (next % PRDS_TOGETHER)
      const count = Math.min(entries - next, PRDS_TOGETHER)
      if (at === 0) bytes = memory.read(table + TABLE_PRDT + PRD_BYTES * next, PRD_BYTES * count)
      next++
      return { address: qwordAt(bytes, at), length: (dwordAt(bytes, at + 12) & 0x3fffff) + 1 }
    })
  }

  #act(slot: number, action: AtaAction, job: Job): void {
    const device = this.device!
    switch (action.kind) {
      case 'complete':
        this.#later(() => this.#complete(slot, job, false))
        break
      case 'abort':
        this.#later(() => this.#fail(slot, action.error, job.queued))
        break
      case 'work': {
        const done = (error: Error | undefined) =>
          error ? this.#fail(slot, ATA_ERROR.ABRT, job.queued) : this.#complete(slot, job, false)
        this.#requests.start({ bytes: 0, run: action.run, done })
        break
      }
      case 'packet': {
        const packet = this.#host.memory().read(job.table + TABLE_PACKET, PACKET_BYTES)
        this.#actPacket(slot, device.packet!.packet(packet), job)
        break
      }
      default: {
        const pio = action.kind === 'data-in' || (action.kind === 'transfer' && !action.dma)
        this.#move(slot, action, job, result => {
          if (result === 'accepted') this.#act(slot, device.accept(job.command, job.cursor.bytes), job)
          else if (result === 'failed') {
            const writes = action.kind === 'transfer' && action.write
            this.#fail(slot, writes ? ATA_ERROR.ABRT : ATA_ERROR.UNC, job.queued)
          } else this.#complete(slot, job, pio)
        })
      }
    }
  }

  #actPacket(slot: number, action: PacketAction, job: Job): void {
    const packet = this.device!.packet!
    switch (action.kind) {
      case 'complete':
        this.#later(() => this.#complete(slot, job, false))
        break
      case 'check':
        this.#later(() => this.#fail(slot, packet.errorRegister, false))
        break
      case 'work': {
        const done = (error: Error | undefined) =>
          error ? this.#fail(slot, packet.errorRegister, false) : this.#complete(slot, job, false)
        this.#requests.start({ bytes: 0, run: action.run, done })
        break
      }
      default:
        this.#move(slot, action, job, result => {
          if (result === 'accepted') this.#actPacket(slot, packet.accept(job.cursor.bytes), job)
          else if (result === 'failed') {
            packet.readFailed()
            this.#fail(slot, packet.errorRegister, false)
          } else this.#complete(slot, job, false)
        })
    }
  }

  #move(slot: number, action: AtaAction | PacketAction, job: Job, then: (result: DmaResult) => void): void {
    const memory = this.#host.memory()
    const done = (result: DmaResult) => {
      // PRDBC: the bytes that were moved.
      memory.write(job.headerAt + 4, dword(job.cursor.moved))
      if (result === 'short')
        this.#host.logOnce(
          `${this.#host.name} short`,
          `${this.#host.name}: a command in slot ${slot} has more data than room`,
        )
      then(result)
    }
    moveByDma(this.device!, action, { requests: this.#requests, memory, cursor: job.cursor, done })
  }

  #later(done: () => void): void {
    this.#requests.start({ bytes: 0, run() {}, done })
  }

  #complete(slot: number, job: Job, pio: boolean): void {
    const s = this.state
    const r = this.device!.registers
    const bit = (1 << slot) >>> 0
    s.running = (s.running & ~bit) >>> 0
    s.ci = (s.ci & ~bit) >>> 0
    if (job.queued) {
      s.sact = (s.sact & ~bit) >>> 0
      this.#sendDeviceBits(bit, READY, 0)
    } else {
      r.status = READY
      if (this.device!.packet) r.count = 3
      if (pio) this.#sendPioSetup()
      this.#sendRegisters(true)
      if (pio) s.is = (s.is | IS.PSS) >>> 0
    }
    this.#host.interruptChanged()
    this.#process()
  }

  #fail(slot: number, error: number, queued: boolean): void {
    const s = this.state
    const r = this.device!.registers
    const bit = (1 << slot) >>> 0
    s.running = (s.running & ~bit) >>> 0
    s.halted = true
    r.status = READY | ST.ERR
    r.error = error
    if (this.device!.packet) r.count = 3
    if (queued) this.#sendDeviceBits(0, r.status, error)
    // The slot's bit in PxCI stays, so that software sees which failed.
    else this.#sendRegisters(true)
    s.slot = slot
    s.is = (s.is | IS.TFES) >>> 0
    this.#host.interruptChanged()
  }

  #receive(offset: number, fis: Uint8Array): void {
    if (this.state.cmd & CMD.FRE) this.#host.memory().write(this.state.fb + offset, fis)
  }

  /** A Register FIS from the device, with what the registers hold. */
  #sendRegisters(interrupt: boolean): void {
    const s = this.state
    const r = this.device!.registers
    const fis = new Uint8Array(20)
    fis.set([FIS_DEVICE_TO_HOST, interrupt ? 0x40 : 0, r.status, r.error])
    fis.set([r.lbaLow, r.lbaMid, r.lbaHigh, r.device, r.lbaLow >> 8, r.lbaMid >> 8, r.lbaHigh >> 8, 0], 4)
    fis.set([r.count, r.count >> 8], 12)
    this.#receive(RECEIVED_D2H, fis)
    s.tfd = r.status | (r.error << 8)
    if (interrupt) s.is = (s.is | IS.DHRS) >>> 0
    this.#host.interruptChanged()
  }

  #sendPioSetup(): void {
    const r = this.device!.registers
    const fis = new Uint8Array(20)
    fis.set([FIS_PIO_SETUP, 0x60, READY | ST.DRQ, r.error, r.lbaLow, r.lbaMid, r.lbaHigh, r.device])
    fis.set([r.count, r.count >> 8, 0, READY, 0, 2], 12)
    this.#receive(RECEIVED_PIO, fis)
  }

  #sendDeviceBits(active: number, status: number, error: number): void {
    const s = this.state
    const fis = new Uint8Array(8)
    fis.set([FIS_SET_DEVICE_BITS, 0x40, status & 0x77, error])
    fis.set(dword(active), 4)
    this.#receive(RECEIVED_SDB, fis)
    s.tfd = status | (error << 8)
    s.is = (s.is | IS.SDBS) >>> 0
  }
}

interface Job {
  cursor: DmaCursor
  headerAt: number
  command: number
  queued: boolean
  table: number
}

/** The 32-bit words of some bytes, signed. */
function words(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length >> 2 }, (_, i) => dwordAt(bytes, 4 * i) | 0)
}

function dword(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24)
}
