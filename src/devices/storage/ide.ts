/** The IDE controller of the PIIX3 (82371SB datasheet, 2.3 and 3.7): two channels at the addresses of old, bus-master DMA. */
import type { AccessSize, Bus, Device, GuestMemory, MmioHandler } from '../bus.ts'
import { dwordAt } from '../little-endian.ts'
import { PciFunction } from '../pci-function.ts'
import { maskTo } from '../registers.ts'
import type { AtaDevice } from './ata.ts'
import { DmaCursor } from './ata-dma.ts'
import type { HostWork, Segment } from './block.ts'
import { IdeChannel } from './ide-channel.ts'

const INTEL = 0x8086
const PIIX3_IDE = 0x7010
/** Mass storage, IDE, both channels at fixed addresses, bus master. */
const CLASS_IDE = 0x010180
/** IDE timing registers; bit 15 lets the channel answer. */
const IDETIM = 0x40
const SIDETIM = 0x44
const IDETIM_ENABLE = 0x8000
const BUS_MASTER_BAR = 4
/** Where the channels are: command block, control block, IRQ. */
const CHANNELS = [
  { command: 0x1f0, control: 0x3f6, irq: 14 },
  { command: 0x170, control: 0x376, irq: 15 },
] as const

/** Bus-master registers of a channel, 8 bytes each (82371SB, 2.7). */
const BMIC = 0
const BMIS = 2
const BMIDTP = 4
const CHANNEL_BYTES = 8
const BMIC_START = 1
const BMIC_WRITABLE = 0x09
const BMIS_ACTIVE = 1
const BMIS_ERROR = 2
const BMIS_INTERRUPT = 4
/** Software's notes of which devices can do DMA. */
const BMIS_CAPABLE = 0x60

const PRD_BYTES = 8
/** Descriptors that are read together. */
const PRDS_TOGETHER = 32
const PRD_END = 0x80000000
/** A table of descriptors lies within 64 KiB. */
const MOST_PRDS = 0x10000 / PRD_BYTES

interface BusMasterState {
  command: number
  status: number
  table: number
}

interface IdeState {
  pci: PciFunction['state']
  busMasters: BusMasterState[]
  channels: IdeChannel['state'][]
  devices: (object | null)[]
}

/** What an {@link IdeController} is made of. */
export interface IdeOptions {
  /** Primary device 0 and 1, secondary device 0 and 1. */
  devices: readonly (AtaDevice | undefined)[]
  host?: HostWork
}

/** The PIIX3's IDE function with up to four devices. */
export class IdeController implements Device {
  readonly name = 'ide'
  readonly version = 1
  /** Function 1 of the PIIX3's slot. */
  readonly function: PciFunction
  readonly #devices: readonly (AtaDevice | undefined)[]
  readonly #channels: IdeChannel[]
  #busMasters: BusMasterState[] = [newBusMaster(), newBusMaster()]

  constructor(bus: Bus, options: IdeOptions) {
    this.#devices = Array.from({ length: 4 }, (_, i) => options.devices[i])
    this.#channels = CHANNELS.map(({ command, control, irq }, index) => {
      const channel = new IdeChannel({
        bus,
        name: `ide${index}`,
        devices: this.#devices.slice(2 * index, 2 * index + 2),
        line: bus.interrupt(irq),
        host: options.host,
        memory: () => this.function.memory,
        onInterrupt: () => {
          this.#busMasters[index].status |= BMIS_INTERRUPT
        },
        dma: () => this.#cursor(index),
        onDmaEnd: failed => this.#dmaEnd(index, failed),
      })
      bus.ports(command, 8, channel.commandBlock(command))
      bus.ports(control, 1, channel.controlBlock)
      return channel
    })
    const registers: MmioHandler = {
      readMmio: (offset, size) => this.#read(offset, size),
      writeMmio: (offset, size, value) => {
        for (let i = 0; i < size; i++) this.#write(offset + i, (value >>> (8 * i)) & 0xff)
      },
    }
    this.function = new PciFunction(bus, {
      name: 'ide-pci',
      vendorId: INTEL,
      deviceId: PIIX3_IDE,
      classCode: CLASS_IDE,
      // Medium DEVSEL#, fast back-to-back cycles.
      status: 0x0280,
      registers: [
        { name: 'IDETIM0', offset: IDETIM, size: 2, value: IDETIM_ENABLE, writable: 0xffff },
        { name: 'IDETIM1', offset: IDETIM + 2, size: 2, value: IDETIM_ENABLE, writable: 0xffff },
        { name: 'SIDETIM', offset: SIDETIM, size: 1, writable: 0xff },
      ],
      bars: [
        undefined,
        undefined,
        undefined,
        undefined,
        { kind: 'ports', size: 2 * CHANNEL_BYTES, handler: registers },
      ],
    })
    for (const channel of this.#channels) channel.reset()
  }

  get state(): IdeState {
    return {
      pci: this.function.state,
      busMasters: this.#busMasters,
      channels: this.#channels.map(channel => channel.state),
      devices: this.#devices.map(device => device?.state ?? null),
    }
  }

  set state(state: IdeState) {
    this.function.state = state.pci
    this.#busMasters = state.busMasters
    for (const [i, channel] of this.#channels.entries()) channel.state = state.channels[i]
    for (const [i, device] of this.#devices.entries()) if (device) device.state = state.devices[i]!
  }

  reset(): void {
    this.function.reset()
    this.#busMasters = [newBusMaster(), newBusMaster()]
    for (const channel of this.#channels) channel.reset()
  }

  restored(): void {
    this.function.restored()
    for (const channel of this.#channels) channel.restored()
  }

  /** Which BAR the bus master's ports are in, for who looks for them. */
  static readonly busMasterBar = BUS_MASTER_BAR

  #read(offset: number, size: AccessSize): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#readByte(offset + i)
    return maskTo(value, size)
  }

  #readByte(offset: number): number {
    const m = this.#busMasters[offset >> 3]
    if (m === undefined) return 0xff
    const register = offset & 7
    if (register === BMIC) return m.command
    if (register === BMIS) return m.status
    if (register >= BMIDTP) return (m.table >>> (8 * (register - BMIDTP))) & 0xff
    return 0
  }

  #write(offset: number, value: number): void {
    const index = offset >> 3
    const m = this.#busMasters[index]
    if (m === undefined) return
    const register = offset & 7
    if (register === BMIC) {
      const starts = (value & ~m.command & BMIC_START) !== 0
      const stops = (~value & m.command & BMIC_START) !== 0
      m.command = value & BMIC_WRITABLE
      if (starts) {
        m.status |= BMIS_ACTIVE
        this.#channels[index].tryDma()
      } else if (stops && m.status & BMIS_ACTIVE) {
        m.status &= ~BMIS_ACTIVE
        this.#channels[index].stopDma()
      }
    } else if (register === BMIS) {
      const cleared = value & (BMIS_ERROR | BMIS_INTERRUPT)
      m.status = (m.status & ~BMIS_CAPABLE & ~cleared) | (value & BMIS_CAPABLE)
    } else if (register >= BMIDTP) {
      const shift = 8 * (register - BMIDTP)
      m.table = ((m.table & ~(0xff << shift)) | (value << shift)) & ~3
    }
  }

  /** The descriptors of a started bus master. */
  #cursor(index: number): DmaCursor | undefined {
    const m = this.#busMasters[index]
    if ((m.status & BMIS_ACTIVE) === 0) return undefined
    const memory: GuestMemory = this.function.memory
    const table = m.table >>> 0
    let count = 0
    let ended = false
    let bytes: Uint8Array = new Uint8Array(0)
    return new DmaCursor((): Segment | undefined => {
      if (ended || count >= MOST_PRDS) return undefined
      const at = PRD_BYTES * (count % PRDS_TOGETHER)
      if (at === 0) bytes = memory.read(table + PRD_BYTES * count, PRD_BYTES * PRDS_TOGETHER)
      count++
      const control = dwordAt(bytes, at + 4)
      ended = (control & PRD_END) !== 0
      return { address: (dwordAt(bytes, at) & ~1) >>> 0, length: control & 0xfffe || 0x10000 }
    })
  }

  #dmaEnd(index: number, failed: boolean): void {
    const m = this.#busMasters[index]
    m.status &= ~BMIS_ACTIVE
    if (failed) m.status |= BMIS_ERROR
  }
}

function newBusMaster(): BusMasterState {
  return { command: 0, status: 0, table: 0 }
}
