/** A CD-ROM drive's packet commands (MMC-5, SPC-3, and SFF-8020i for systems of its time), tray and media events. */
import type { Disk } from '../../disk/disk.ts'
import { ATA_ERROR, type PacketAction, type PacketDevice } from './ata.ts'
import {
  CD_BLOCKS,
  configuration,
  discInformation,
  dvdStructure,
  framed,
  framedBytes,
  inquiry,
  inquiryPage,
  lbaOf,
  modeSense,
  tableOfContents,
  trackInformation,
} from './cdrom-data.ts'

/** Bytes of a block. */
export const CD_SECTOR = 2048

/** Operation codes. */
const OP = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  INQUIRY: 0x12,
  MODE_SELECT_6: 0x15,
  MODE_SENSE_6: 0x1a,
  START_STOP_UNIT: 0x1b,
  PREVENT_ALLOW: 0x1e,
  READ_CAPACITY: 0x25,
  READ_10: 0x28,
  SEEK_10: 0x2b,
  SYNCHRONIZE_CACHE: 0x35,
  READ_SUBCHANNEL: 0x42,
  READ_TOC: 0x43,
  READ_HEADER: 0x44,
  GET_CONFIGURATION: 0x46,
  GET_EVENT_STATUS: 0x4a,
  PAUSE_RESUME: 0x4b,
  STOP_PLAY: 0x4e,
  READ_DISC_INFORMATION: 0x51,
  READ_TRACK_INFORMATION: 0x52,
  MODE_SELECT_10: 0x55,
  MODE_SENSE_10: 0x5a,
  READ_12: 0xa8,
  READ_DVD_STRUCTURE: 0xad,
  READ_CD_MSF: 0xb9,
  SET_SPEED: 0xbb,
  MECHANISM_STATUS: 0xbd,
  READ_CD: 0xbe,
} as const

/** Sense keys, and additional sense codes with their qualifiers (SPC-3, 4.5). */
type Sense = readonly [key: number, code: number, qualifier: number]
const NO_SENSE: Sense = [0x00, 0x00, 0x00]
const NO_MEDIUM_CLOSED: Sense = [0x02, 0x3a, 0x01]
const NO_MEDIUM_OPEN: Sense = [0x02, 0x3a, 0x02]
const READ_ERROR: Sense = [0x03, 0x11, 0x00]
const INVALID_COMMAND: Sense = [0x05, 0x20, 0x00]
const OUT_OF_RANGE: Sense = [0x05, 0x21, 0x00]
const INVALID_FIELD: Sense = [0x05, 0x24, 0x00]
const REMOVAL_PREVENTED: Sense = [0x05, 0x53, 0x02]
const MEDIUM_CHANGED: Sense = [0x06, 0x28, 0x00]
const POWER_ON: Sense = [0x06, 0x29, 0x00]

/** Media events of GET EVENT STATUS (MMC-5, table 271). */
const EVENT = { NONE: 0, EJECT_REQUEST: 1, NEW_MEDIA: 2, REMOVAL: 3 } as const

/** Commands that are done while a unit attention waits. */
const CALM: readonly number[] = [OP.REQUEST_SENSE, OP.INQUIRY, OP.GET_CONFIGURATION, OP.GET_EVENT_STATUS]

interface CdromState {
  sense: Sense
  /** Unit attention that the next command hears of. */
  attention: Sense
  /** The tray is out. */
  open: boolean
  /** The host has locked the tray. */
  locked: boolean
  /** Media events that GET EVENT STATUS has not told, oldest first. */
  events: number[]
  /** What of a sector the READ CD under way wants. */
  mask: number
  /** The packet whose data comes from the host. */
  receiving: number
}

/** A drive with its tray. The medium is a disk, of which whole blocks of 2048 bytes count. */
export class Cdrom implements PacketDevice {
  state: CdromState
  readonly #serial: string
  #medium: Disk | undefined
  /** Called when the guest ejects or loads: who owns the medium may want to know. */
  onTray: (open: boolean) => void = () => {}

  constructor(options: { medium?: Disk; serial: string }) {
    this.#medium = options.medium
    this.#serial = options.serial
    this.state = this.#initial()
  }

  #initial(): CdromState {
    return {
      sense: NO_SENSE,
      attention: POWER_ON,
      open: false,
      locked: false,
      events: [],
      mask: 0,
      receiving: 0,
    }
  }

  /** The medium that can be read: none while the tray is out. */
  get medium(): Disk | undefined {
    return this.state.open ? undefined : this.#medium
  }

  /** Whether there is a medium in the drive or its open tray. */
  get loaded(): boolean {
    return this.#medium !== undefined
  }

  /** Whether the guest has locked the tray. */
  get locked(): boolean {
    return this.state.locked
  }

  /** Power on or reset: the tray stays where it is. */
  reset(): void {
    this.state = { ...this.#initial(), open: this.state.open }
  }

  /**
   * Puts a medium in, or with undefined takes it out; the guest sees the tray go and come.
   * @returns what was in
   */
  change(medium: Disk | undefined): Disk | undefined {
    const before = this.#medium
    this.#medium = medium
    const s = this.state
    s.open = medium === undefined
    s.locked = false
    s.attention = MEDIUM_CHANGED
    this.#event(medium === undefined ? EVENT.REMOVAL : EVENT.NEW_MEDIA)
    return before
  }

  /** Presses the eject button while the guest has locked the tray: asks the guest. */
  requestEject(): void {
    this.#event(EVENT.EJECT_REQUEST)
  }

  #event(event: number): void {
    const { events } = this.state
    if (events.length >= 4) events.shift()
    events.push(event)
  }

  get errorRegister(): number {
    const [key] = this.state.sense
    return (key << 4) | (key === 5 ? ATA_ERROR.ABRT : 0)
  }

  readFailed(): void {
    this.state.sense = this.medium ? READ_ERROR : this.#absent()
  }

  frame(bytes: Uint8Array, lba: number): Uint8Array {
    return framed(bytes, lba, this.state.mask)
  }

  accept(_bytes: Uint8Array): PacketAction {
    // MODE SELECT: there is nothing that could be set.
    return { kind: 'complete' }
  }

  #check(sense: Sense): PacketAction {
    this.state.sense = sense
    return { kind: 'check' }
  }

  #absent(): Sense {
    return this.state.open ? NO_MEDIUM_OPEN : NO_MEDIUM_CLOSED
  }

  get #blocks(): number | undefined {
    return this.medium && Math.floor(this.medium.size / CD_SECTOR)
  }

  packet(c: Uint8Array): PacketAction {
    const s = this.state
    const [op] = c
    if (s.attention !== NO_SENSE && !CALM.includes(op)) {
      const { attention } = s
      s.attention = NO_SENSE
      return this.#check(attention)
    }
    if (op !== OP.REQUEST_SENSE) s.sense = NO_SENSE
    const view = new DataView(c.buffer, c.byteOffset, c.length)
    switch (op) {
      case OP.REQUEST_SENSE:
        return this.#requestSense(c[4])
      case OP.INQUIRY: {
        const page = c[1] & 1 ? inquiryPage(c[2], this.#serial) : c[2] === 0 ? inquiry() : undefined
        return page ? give(page, view.getUint16(3)) : this.#check(INVALID_FIELD)
      }
      case OP.MODE_SENSE_6:
        return this.#modeSense(c[2], c[4], false)
      case OP.MODE_SENSE_10:
        return this.#modeSense(c[2], view.getUint16(7), true)
      case OP.MODE_SELECT_6:
        return c[4] === 0 ? { kind: 'complete' } : { kind: 'data-out', length: c[4] }
      case OP.MODE_SELECT_10: {
        const length = view.getUint16(7)
        return length === 0 ? { kind: 'complete' } : { kind: 'data-out', length }
      }
      case OP.START_STOP_UNIT:
        return this.#startStop(c[4])
      case OP.PREVENT_ALLOW:
        s.locked = (c[4] & 1) !== 0
        return { kind: 'complete' }
      case OP.GET_CONFIGURATION: {
        const request = c[1] & 3
        const how = { first: view.getUint16(2), only: request === 2, current: request === 1 }
        return give(configuration(this.#blocks, how), view.getUint16(7))
      }
      case OP.GET_EVENT_STATUS:
        return this.#eventStatus(c)
      case OP.MECHANISM_STATUS:
        return give([0, 0, 0, 0, 0, 0, 0, 0], view.getUint16(8))
      case OP.SET_SPEED:
      case OP.SYNCHRONIZE_CACHE:
      case OP.STOP_PLAY:
      case OP.PAUSE_RESUME:
        return { kind: 'complete' }
      default:
        return this.#mediumCommand(c, view)
    }
  }

  /** Commands that need a medium. */
  #mediumCommand(c: Uint8Array, view: DataView): PacketAction {
    const blocks = this.#blocks
    const known = Object.values<number>(OP).includes(c[0])
    if (!known) return this.#check(INVALID_COMMAND)
    if (blocks === undefined) return this.#check(this.#absent())
    const asMsf = (c[1] & 2) !== 0
    switch (c[0]) {
      case OP.TEST_UNIT_READY:
        return { kind: 'complete' }
      case OP.READ_CAPACITY:
        return give([...big32(Math.max(0, blocks - 1)), ...big32(CD_SECTOR)], 8)
      case OP.READ_10:
        return this.#read(view.getUint32(2), view.getUint16(7), CD_SECTOR)
      case OP.READ_12:
        return this.#read(view.getUint32(2), view.getUint32(6), CD_SECTOR)
      case OP.SEEK_10:
        return view.getUint32(2) < blocks ? { kind: 'complete' } : this.#check(OUT_OF_RANGE)
      case OP.READ_TOC: {
        // SFF-8020i has the format in the control byte.
        const format = c[2] & 0x0f || c[9] >> 6
        const toc = tableOfContents(blocks, { format, asMsf, track: c[6] })
        return toc ? give(toc, view.getUint16(7)) : this.#check(INVALID_FIELD)
      }
      case OP.READ_HEADER: {
        const lba = view.getUint32(2)
        if (lba >= blocks) return this.#check(OUT_OF_RANGE)
        return give([1, 0, 0, 0, ...big32(lba)], view.getUint16(7))
      }
      case OP.READ_SUBCHANNEL:
        // No audio is played.
        return give([0, 0x15, 0, 0], view.getUint16(7))
      case OP.READ_DISC_INFORMATION:
        return give(discInformation(), view.getUint16(7))
      case OP.READ_TRACK_INFORMATION:
        return give(trackInformation(blocks), view.getUint16(7))
      case OP.READ_DVD_STRUCTURE: {
        const structure = blocks > CD_BLOCKS ? dvdStructure(c[7], blocks) : undefined
        return structure ? give(structure, view.getUint16(8)) : this.#check(INVALID_FIELD)
      }
      case OP.READ_CD:
        return this.#readCd(view.getUint32(2), (c[6] << 16) | view.getUint16(7), c)
      case OP.READ_CD_MSF: {
        const from = lbaOf(c[3], c[4], c[5])
        return this.#readCd(from, lbaOf(c[6], c[7], c[8]) - from, c)
      }
      default:
        return this.#check(INVALID_COMMAND)
    }
  }

  #read(lba: number, count: number, sectorBytes: number): PacketAction {
    if (lba < 0 || count < 0 || lba + count > this.#blocks!) return this.#check(OUT_OF_RANGE)
    return count === 0 ? { kind: 'complete' } : { kind: 'read', lba, count, sectorBytes }
  }

  #readCd(lba: number, count: number, c: Uint8Array): PacketAction {
    const type = (c[1] >> 2) & 7
    // Any type or mode 1: there is nothing else.
    if (type !== 0 && type !== 2) return this.#check(INVALID_FIELD)
    // Header codes 1 and 3 want the header; subheaders exist in mode 2 only.
    const mask = (c[9] & 0x98) | (c[9] & 0x20)
    this.state.mask = mask
    const sectorBytes = framedBytes(mask)
    if (sectorBytes === 0) return { kind: 'complete' }
    return this.#read(lba, count, mask === 0x10 ? CD_SECTOR : sectorBytes)
  }

  #requestSense(length: number): PacketAction {
    const s = this.state
    if (s.attention !== NO_SENSE && s.sense === NO_SENSE) {
      s.sense = s.attention
      s.attention = NO_SENSE
    }
    const [key, code, qualifier] = s.sense
    s.sense = NO_SENSE
    const bytes = [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
    return give(bytes, length)
  }

  #modeSense(page: number, length: number, ten: boolean): PacketAction {
    // Saved values cannot be asked for.
    if (page >> 6 === 3) return this.#check([0x05, 0x39, 0x00])
    const answer = modeSense(page & 0x3f, { ten, locked: this.state.locked, medium: this.medium !== undefined })
    return answer ? give(answer, length) : this.#check(INVALID_FIELD)
  }

  #startStop(bits: number): PacketAction {
    const s = this.state
    const loadEject = (bits & 2) !== 0
    const start = (bits & 1) !== 0
    if (!loadEject) return start && !this.medium ? this.#check(this.#absent()) : { kind: 'complete' }
    if (!start && s.locked) return this.#check(REMOVAL_PREVENTED)
    const moved = s.open === start
    s.open = !start
    if (moved) {
      this.#event(start && this.#medium ? EVENT.NEW_MEDIA : EVENT.REMOVAL)
      if (start && this.#medium) s.attention = MEDIUM_CHANGED
      this.onTray(s.open)
    }
    return { kind: 'complete' }
  }

  /** GET EVENT STATUS NOTIFICATION (MMC-5, 6.7), polled: the media class only. */
  #eventStatus(c: Uint8Array): PacketAction {
    const length = (c[7] << 8) | c[8]
    // Asynchronous operation is not there.
    if ((c[1] & 1) === 0) return this.#check(INVALID_FIELD)
    if ((c[4] & 0x10) === 0) return give([0, 2, 0x80, 0x10], length)
    const event = this.state.events.shift() ?? EVENT.NONE
    const present = this.medium ? 2 : 0
    return give([0, 6, 0x04, 0x10, event, present | (this.state.open ? 1 : 0), 0, 0], length)
  }
}

/** Bytes for the host, no more than it has room for. */
function give(bytes: number[], length: number): PacketAction {
  return { kind: 'data-in', bytes: Uint8Array.from(bytes.slice(0, length)) }
}

function big32(value: number): number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
}
