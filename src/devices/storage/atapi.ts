/** A CD-ROM drive at an ATA port: the few ATA commands that packet devices know. */
import type { Disk } from '../../disk/disk.ts'
import {
  ATA_DEVICE,
  ATA_ERROR,
  type AtaAction,
  type AtaDevice,
  ATA_COMMAND as C,
  newTaskFile,
  type TaskFile,
} from './ata.ts'
import { identifyCdrom } from './ata-identify.ts'
import { Cdrom } from './cdrom.ts'

/** What packet devices leave in the registers after a reset (ATA/ATAPI-7 volume 1, 9.12). */
const SIGNATURE = { count: 1, lbaLow: 1, lbaMid: 0x14, lbaHigh: 0xeb }
const DIAGNOSTIC_PASSED = 1
const SET_TRANSFER_MODE = 0x03

interface AtapiState {
  registers: TaskFile
  mode: number
  cdrom: Cdrom['state']
}

/** A CD-ROM drive behind an ATA port. */
export class AtapiCdrom implements AtaDevice {
  readonly packet: Cdrom
  #registers = newTaskFile()
  #mode = 0x42
  readonly #serial: string
  readonly #sata: boolean

  constructor(options: { medium?: Disk; serial: string; sata?: boolean }) {
    this.#serial = options.serial
    this.#sata = options.sata ?? false
    this.packet = new Cdrom(options)
  }

  get state(): AtapiState {
    return { registers: this.#registers, mode: this.#mode, cdrom: this.packet.state }
  }

  set state(state: AtapiState) {
    this.#registers = state.registers
    this.#mode = state.mode
    this.packet.state = state.cdrom
  }

  get registers(): TaskFile {
    return this.#registers
  }

  get disk(): Disk | undefined {
    return this.packet.medium
  }

  reset(soft: boolean): void {
    if (!soft) this.packet.reset()
    this.#sign()
  }

  #sign(): void {
    const r = this.#registers
    Object.assign(r, SIGNATURE, { device: r.device & ATA_DEVICE.DEV, error: DIAGNOSTIC_PASSED })
  }

  execute(command: number): AtaAction {
    switch (command) {
      case C.PACKET:
        return { kind: 'packet' }
      case C.IDENTIFY_PACKET_DEVICE: {
        const identity = { serial: this.#serial, model: 'typetwo CD-ROM', mode: this.#mode, sata: this.#sata }
        return { kind: 'data-in', bytes: identifyCdrom(identity) }
      }
      case C.IDENTIFY_DEVICE:
      case C.READ_SECTORS:
        // They fail and leave the signature, by which hosts tell packet devices.
        this.#sign()
        return ABORTED
      case C.EXECUTE_DIAGNOSTIC:
        this.#sign()
        return { kind: 'complete' }
      case C.SET_FEATURES: {
        const value = this.#registers.count & 0xff
        if ((this.#registers.feature & 0xff) !== SET_TRANSFER_MODE) return ABORTED
        if (value > 0x0c && !(value >= 0x20 && value <= 0x22) && !(value >= 0x40 && value <= 0x45)) return ABORTED
        if (value >= 0x20) this.#mode = value
        return { kind: 'complete' }
      }
      case C.CHECK_POWER_MODE:
        this.#registers.count = 0xff
        return { kind: 'complete' }
      case C.STANDBY_IMMEDIATE:
      case C.IDLE_IMMEDIATE:
      case C.SLEEP:
        return { kind: 'complete' }
      default:
        return ABORTED
    }
  }

  accept(): AtaAction {
    return ABORTED
  }
}

const ABORTED: AtaAction = { kind: 'abort', error: ATA_ERROR.ABRT }
