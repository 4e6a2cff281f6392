/** An ATA disk: commands of ATA/ATAPI-4 to 7 and the few of ACS that systems use, with 28- and 48-bit and CHS addresses. */
import type { Disk } from '../../disk/disk.ts'
import {
  ATA_DEVICE,
  ATA_ERROR,
  type AtaAction,
  type AtaDevice,
  ATA_COMMAND as C,
  newTaskFile,
  setLba,
  type TaskFile,
} from './ata.ts'
import { type Geometry, identifyDisk, MOST_MULTIPLE, TRIM_BLOCKS } from './ata-identify.ts'
import { smartCommand } from './ata-smart.ts'
import { SECTOR } from './block.ts'

/** Bits that all disks' register files have after a reset (the signature of ATA/ATAPI-7 volume 1, 9.12). */
const SIGNATURE = { count: 1, lbaLow: 1, lbaMid: 0, lbaHigh: 0 }
const DIAGNOSTIC_PASSED = 1
/** Subcommands of SET FEATURES. */
const FEATURE = {
  ENABLE_WRITE_CACHE: 0x02,
  SET_TRANSFER_MODE: 0x03,
  DISABLE_READ_AHEAD: 0x55,
  DISABLE_REVERT: 0x66,
  DISABLE_WRITE_CACHE: 0x82,
  ENABLE_READ_AHEAD: 0xaa,
  ENABLE_REVERT: 0xcc,
} as const
const POWER_ACTIVE = 0xff
/** Most cylinders that a disk tells of. */
const MOST_CYLINDERS = 16383

/** What an {@link AtaDisk} is made of. */
export interface AtaDiskOptions {
  disk: Disk
  serial: string
  model?: string
  sata?: boolean
  /** Every write is flushed; the cache cannot be switched on. */
  writethrough?: boolean
}

interface AtaDiskState {
  registers: TaskFile
  geometry: Geometry
  multiple: number
  mode: number
  writeCache: boolean
  smart: boolean
  selfTests: number
  buffer: Uint8Array
}

/** The geometry that a disk of so many sectors reports. */
export function standardGeometry(sectors: number): Geometry {
  const [heads, perTrack] = [16, 63]
  return {
    heads,
    sectors: perTrack,
    cylinders: Math.max(1, Math.min(MOST_CYLINDERS, Math.floor(sectors / (heads * perTrack)))),
  }
}

/** A disk behind an ATA port. */
export class AtaDisk implements AtaDevice {
  state: AtaDiskState
  readonly disk: Disk
  readonly #options: AtaDiskOptions
  readonly #sectors: number

  constructor(options: AtaDiskOptions) {
    this.#options = options
    this.disk = options.disk
    this.#sectors = Math.floor(options.disk.size / SECTOR)
    this.state = this.#initial()
  }

  #initial(): AtaDiskState {
    return {
      registers: newTaskFile(),
      geometry: standardGeometry(this.#sectors),
      multiple: 0,
      mode: 0x45,
      writeCache: !this.#options.writethrough,
      smart: true,
      selfTests: 0,
      buffer: new Uint8Array(SECTOR),
    }
  }

  get registers(): TaskFile {
    return this.state.registers
  }

  reset(soft: boolean): void {
    if (!soft) this.state = this.#initial()
    this.#sign()
  }

  #sign(): void {
    Object.assign(this.registers, SIGNATURE, {
      device: this.registers.device & ATA_DEVICE.DEV,
      error: DIAGNOSTIC_PASSED,
    })
  }

  execute(command: number): AtaAction {
    const s = this.state
    const r = s.registers
    switch (command) {
      case C.READ_SECTORS:
      case C.READ_SECTORS_NO_RETRY:
        return this.#transfer({ write: false, dma: false, wide: false, block: 1 })
      case C.READ_SECTORS_EXT:
        return this.#transfer({ write: false, dma: false, wide: true, block: 1 })
      case C.WRITE_SECTORS:
      case C.WRITE_SECTORS_NO_RETRY:
        return this.#transfer({ write: true, dma: false, wide: false, block: 1 })
      case C.WRITE_SECTORS_EXT:
        return this.#transfer({ write: true, dma: false, wide: true, block: 1 })
      case C.READ_MULTIPLE:
      case C.READ_MULTIPLE_EXT:
        return this.#transfer({ write: false, dma: false, wide: command !== C.READ_MULTIPLE, block: s.multiple })
      case C.WRITE_MULTIPLE:
      case C.WRITE_MULTIPLE_EXT:
      case C.WRITE_MULTIPLE_FUA_EXT: {
        const flush = command === C.WRITE_MULTIPLE_FUA_EXT
        return this.#transfer({ write: true, dma: false, wide: command !== C.WRITE_MULTIPLE, block: s.multiple, flush })
      }
      case C.READ_DMA:
      case C.READ_DMA_NO_RETRY:
        return this.#transfer({ write: false, dma: true, wide: false, block: 1 })
      case C.READ_DMA_EXT:
        return this.#transfer({ write: false, dma: true, wide: true, block: 1 })
      case C.WRITE_DMA:
      case C.WRITE_DMA_NO_RETRY:
        return this.#transfer({ write: true, dma: true, wide: false, block: 1 })
      case C.WRITE_DMA_EXT:
      case C.WRITE_DMA_FUA_EXT:
        return this.#transfer({ write: true, dma: true, wide: true, block: 1, flush: command === C.WRITE_DMA_FUA_EXT })
      case C.VERIFY:
      case C.VERIFY_NO_RETRY:
      case C.VERIFY_EXT:
        return this.#range(command === C.VERIFY_EXT) ? { kind: 'complete' } : { kind: 'abort', error: ATA_ERROR.IDNF }
      case C.FLUSH_CACHE:
      case C.FLUSH_CACHE_EXT:
        return { kind: 'work', run: () => this.disk.flush() }
      case C.IDENTIFY_DEVICE:
        return { kind: 'data-in', bytes: this.#identify() }
      case C.SET_FEATURES:
        return this.#setFeatures()
      case C.SET_MULTIPLE_MODE: {
        const count = r.count & 0xff
        if (count > MOST_MULTIPLE || (count & (count - 1)) !== 0) return ABORTED
        s.multiple = count
        return { kind: 'complete' }
      }
      case C.INITIALIZE_DEVICE_PARAMETERS:
        return this.#setGeometry()
      case C.EXECUTE_DIAGNOSTIC:
        this.#sign()
        return { kind: 'complete' }
      case C.SMART:
        return smartCommand(r, s)
      case C.DATA_SET_MANAGEMENT: {
        const blocks = r.count
        if ((r.feature & 1) === 0 || blocks === 0 || blocks > TRIM_BLOCKS || this.disk.readOnly) return ABORTED
        return { kind: 'data-out', length: blocks * SECTOR, dma: true }
      }
      case C.READ_NATIVE_MAX:
        setLba(r, Math.min(this.#sectors, 0x0fffffff) - 1, false)
        return { kind: 'complete' }
      case C.READ_NATIVE_MAX_EXT:
        setLba(r, this.#sectors - 1, true)
        return { kind: 'complete' }
      case C.READ_BUFFER:
        return { kind: 'data-in', bytes: s.buffer.slice() }
      case C.WRITE_BUFFER:
        return { kind: 'data-out', length: SECTOR, dma: false }
      case C.READ_LOG_EXT:
        return this.#readLog()
      default:
        return this.#rest(command)
    }
  }

  /** Power management, and what has had no meaning for long but is still asked. */
  #rest(command: number): AtaAction {
    const high = command & 0xf0
    // RECALIBRATE and SEEK have a nibble of step rate.
    if (high === 0x10 || high === 0x70) return { kind: 'complete' }
    switch (command) {
      // The older numbers of the same commands.
      case 0x98:
      case C.CHECK_POWER_MODE:
        this.registers.count = POWER_ACTIVE
        return { kind: 'complete' }
      case 0x94:
      case 0x95:
      case 0x96:
      case 0x97:
      case 0x99:
      case C.STANDBY_IMMEDIATE:
      case C.IDLE_IMMEDIATE:
      case C.STANDBY:
      case C.IDLE:
      case C.SLEEP:
        return { kind: 'work', run: () => this.disk.flush() }
      default:
        return ABORTED
    }
  }

  accept(command: number, bytes: Uint8Array): AtaAction {
    if (command === C.WRITE_BUFFER) {
      this.state.buffer = bytes.slice(0, SECTOR)
      return { kind: 'complete' }
    }
    // DATA SET MANAGEMENT: entries of 48 bits of address and 16 of length.
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const ranges: { offset: number; length: number }[] = []
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      const lba = view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32
      const count = view.getUint16(at + 6, true)
      if (count === 0) continue
      if (lba + count > this.#sectors) return { kind: 'abort', error: ATA_ERROR.IDNF }
      ranges.push({ offset: lba * SECTOR, length: count * SECTOR })
    }
    const run = async () => {
      for (const { offset, length } of ranges) await this.disk.discard(offset, length)
    }
    return { kind: 'work', run }
  }

  /** The sectors that the registers mean, or undefined where the disk has no such. */
  #range(wide: boolean): { sector: number; count: number } | undefined {
    const r = this.registers
    const low = (register: number) => register & 0xff
    const count = wide ? r.count || 0x10000 : low(r.count) || 0x100
    let sector: number
    if ((r.device & ATA_DEVICE.LBA) === 0 && !wide) {
      const { heads, sectors } = this.state.geometry
      const cylinder = low(r.lbaMid) | (low(r.lbaHigh) << 8)
      const head = r.device & ATA_DEVICE.HEAD
      if (low(r.lbaLow) === 0 || low(r.lbaLow) > sectors || head >= heads) return undefined
      sector = (cylinder * heads + head) * sectors + low(r.lbaLow) - 1
    } else {
      sector = low(r.lbaLow) | (low(r.lbaMid) << 8) | (low(r.lbaHigh) << 16)
      if (wide) sector += (r.lbaLow >> 8) * 2 ** 24 + (r.lbaMid >> 8) * 2 ** 32 + (r.lbaHigh >> 8) * 2 ** 40
      else sector += (r.device & ATA_DEVICE.HEAD) * 2 ** 24
    }
    return sector + count <= this.#sectors ? { sector, count } : undefined
  }

  #transfer(how: { write: boolean; dma: boolean; wide: boolean; block: number; flush?: boolean }): AtaAction {
    if (how.block === 0 || (how.write && this.disk.readOnly)) return ABORTED
    const range = this.#range(how.wide)
    if (range === undefined) return { kind: 'abort', error: ATA_ERROR.IDNF }
    return {
      kind: 'transfer',
      write: how.write,
      dma: how.dma,
      offset: range.sector * SECTOR,
      length: range.count * SECTOR,
      block: how.block * SECTOR,
      flush: how.write && ((how.flush ?? false) || !this.state.writeCache),
    }
  }

  /** A queued command of AHCI (READ or WRITE FPDMA QUEUED): the count is in the feature register. */
  queued(write: boolean): AtaAction {
    const r = this.registers
    const saved = r.count
    r.count = r.feature
    const fua = (r.device & 0x80) !== 0
    const action = this.#transfer({ write, dma: true, wide: true, block: 1, flush: fua })
    r.count = saved
    return action
  }

  #identify(): Uint8Array {
    const s = this.state
    return identifyDisk({
      serial: this.#options.serial,
      model: this.#options.model ?? 'typetwo disk',
      sectors: this.#sectors,
      standard: standardGeometry(this.#sectors),
      current: s.geometry,
      multiple: s.multiple,
      writeCache: s.writeCache,
      smart: s.smart,
      mode: s.mode,
      sata: this.#options.sata ?? false,
      canDiscard: !this.disk.readOnly,
    })
  }

  #setFeatures(): AtaAction {
    const s = this.state
    const value = s.registers.count & 0xff
    switch (s.registers.feature & 0xff) {
      case FEATURE.ENABLE_WRITE_CACHE:
        if (this.#options.writethrough) return ABORTED
        s.writeCache = true
        return { kind: 'complete' }
      case FEATURE.DISABLE_WRITE_CACHE:
        s.writeCache = false
        return { kind: 'work', run: () => this.disk.flush() }
      case FEATURE.SET_TRANSFER_MODE:
        // PIO default and modes, multiword DMA 0 to 2, Ultra DMA 0 to 5.
        if (value > 0x0c && !(value >= 0x20 && value <= 0x22) && !(value >= 0x40 && value <= 0x45)) return ABORTED
        if (value >= 0x20) s.mode = value
        return { kind: 'complete' }
      case FEATURE.ENABLE_READ_AHEAD:
      case FEATURE.DISABLE_READ_AHEAD:
      case FEATURE.ENABLE_REVERT:
      case FEATURE.DISABLE_REVERT:
        return { kind: 'complete' }
      default:
        return ABORTED
    }
  }

  #setGeometry(): AtaAction {
    const r = this.registers
    const sectors = r.count & 0xff
    const heads = (r.device & ATA_DEVICE.HEAD) + 1
    if (sectors === 0) return ABORTED
    const cylinders = Math.max(1, Math.min(0xffff, Math.floor(this.#sectors / (heads * sectors))))
    this.state.geometry = { cylinders, heads, sectors }
    return { kind: 'complete' }
  }

  /** READ LOG EXT: the directory and the page of queued errors, which are none. */
  #readLog(): AtaAction {
    const r = this.registers
    const address = r.lbaLow & 0xff
    if (r.count !== 1 || (address !== 0 && address !== 0x10)) return ABORTED
    const bytes = new Uint8Array(SECTOR)
    if (address === 0) {
      bytes[0] = 1
      bytes[0x20] = 1
    } else {
      bytes[0] = 0x80
      let sum = 0
      for (const byte of bytes) sum += byte
      bytes[511] = -sum & 0xff
    }
    return { kind: 'data-in', bytes }
  }
}

const ABORTED: AtaAction = { kind: 'abort', error: ATA_ERROR.ABRT }
