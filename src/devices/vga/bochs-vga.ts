/**
 * A VGA with Bochs's display interface, whatever it is on the bus: what adapters of today's virtual machines have in common
 * (QEMU's docs/specs/standard-vga.rst).
 */
import type { AccessSize, Bus, MmioHandler } from '../bus.ts'
import type { BarDeclaration } from '../pci-function.ts'
import { maskTo } from '../registers.ts'
import type { AdapterOptions } from './adapter.ts'
import type { TextCells } from './cells.ts'
import { Dispi } from './dispi.ts'
import { edid } from './edid.ts'
import type { Picture, PictureArea } from './picture.ts'
import { PlaneAccess, type VideoMemory } from './planes.ts'
import { CR, GR, SR } from './registers.ts'
import { type Displayed, Renderer } from './renderer.ts'
import { findFont, setTextMode } from './text-mode.ts'
import { Vga } from './vga.ts'

const DISPI_INDEX = 0x1ce
const WINDOW = { start: 0xa0000, length: 0x20000 }

/** What lies where among the registers that are in memory. */
const MMIO_VGA = 0x400
const MMIO_VGA_END = 0x420
const MMIO_DISPI = 0x500
const MMIO_DISPI_END = 0x516
/** The size of the extended registers, and the byte order of video memory: little-endian. */
const MMIO_EXTENDED = 0x600
const MMIO_ENDIAN = 0x604
const LITTLE_ENDIAN = 0x1e1e1e1e

/** What of it is saved. */
export interface BochsVgaState {
  vga: Vga['state']
  dispi: Dispi['state']
}

/** The VGA, the display interface, and their picture. */
export class BochsVga {
  readonly renderer: Renderer
  /** The BAR of its memory. */
  readonly memoryBar: BarDeclaration
  /** Its registers and the EDID where they are in memory: 4 KiB. */
  readonly registers: MmioHandler = {
    readMmio: (offset, size) => this.#readRegister(offset, size),
    writeMmio: (offset, size, value) => this.#writeRegister(offset, size, value),
  }
  readonly #bus: Bus
  readonly #memory: VideoMemory
  readonly #planes: PlaneAccess
  readonly #vga: Vga
  readonly #dispi: Dispi
  readonly #edid = edid()

  /** @throws if one of its ports or addresses is taken */
  constructor(bus: Bus, { memory, placed, widest }: Pick<AdapterOptions, 'memory' | 'placed'> & { widest?: number }) {
    this.#bus = bus
    this.#memory = memory
    this.#planes = new PlaneAccess(memory, () => this.#vga.state)
    this.#dispi = new Dispi({
      size: memory.size,
      onMode: (mode, clear) => this.#modeSet(mode !== undefined, mode?.depth === 4, clear),
      onBank: offset => this.#planes.setBank(offset),
    })
    this.#vga = new Vga(bus, { planes: this.#planes, vbe: () => this.#dispi.mode !== undefined })
    this.#planes.changed()
    this.renderer = new Renderer(memory, placed, widest)
    bus.mmio(WINDOW.start, WINDOW.length, this.#planes)
    // The data register's port is odd; some programs use the next one.
    bus.ports(DISPI_INDEX, 4, {
      readPort: (port, size) => maskTo(port === DISPI_INDEX ? this.#dispi.state.index : this.#dispi.read(), size),
      writePort: (port, size, value) => {
        if (port === DISPI_INDEX) this.#dispi.state.index = value
        else if (size > 1) this.#dispi.write(value & 0xffff)
      },
    })
    this.memoryBar = {
      kind: 'memory',
      size: memory.size,
      prefetchable: true,
      handler: NO_MEMORY,
      onMove: to => memory.map(to),
    }
  }

  get state(): BochsVgaState {
    return { vga: this.#vga.state, dispi: this.#dispi.state }
  }
  set state({ vga, dispi }: BochsVgaState) {
    this.#vga.state = vga
    this.#dispi.state = dispi
  }

  reset(): void {
    this.#dispi.reset()
    this.#vga.reset()
    this.#planes.setBank(0)
  }

  restored(): void {
    this.#vga.restored()
    this.#planes.setBank(this.#dispi.bank)
  }

  /**
   * Leaves what its BIOS would leave: a text mode of 80 × 25 characters, in the BIOS's font.
   * @returns whether there is a font
   */
  showText(bios: Uint8Array): boolean {
    const font = findFont(bios)
    if (font === undefined) return false
    setTextMode(this.#vga.state, this.#memory, font)
    this.#vga.restored()
    return true
  }

  /** Draws what has changed into `renderer.picture`. @returns its areas */
  update(): PictureArea[] {
    return this.renderer.update(this.#displayed())
  }

  /** What {@link update} draws into. */
  get picture(): Picture {
    return this.renderer.picture
  }

  /** The characters of a text mode, in the colors of the last update. */
  cells(): TextCells | undefined {
    return this.renderer.cells(this.#displayed())
  }

  #displayed(): Displayed {
    const frame = Math.floor(this.#bus.clock.now() / this.#vga.frame)
    return { registers: this.#vga.state, vbe: this.#dispi.mode, wideDac: this.#dispi.wideDac, frame }
  }

  /** What a mode of VBE does to the VGA's registers, which programs that draw through the window count on. */
  #modeSet(on: boolean, planar: boolean, clear: boolean): void {
    if (on) {
      const { crtc, graphics, sequencer } = this.#vga.state
      graphics[GR.MISCELLANEOUS] = (graphics[GR.MISCELLANEOUS] & ~0xc) | 5
      graphics[GR.MODE] = planar ? 0 : 0x40
      crtc[CR.MODE_CONTROL] |= 3
      sequencer[SR.MAP_MASK] = 15
      sequencer[SR.MEMORY_MODE] = planar ? 6 : 0xe
      if (planar) sequencer[SR.CLOCKING_MODE] &= ~8
      this.#vga.state.attributeIndex |= 0x20
    }
    if (clear) {
      const { base, ram, size, dirty } = this.#memory
      ram.fill(0, base, base + size)
      dirty.fill(1)
    }
    this.#planes.changed()
  }

  #readRegister(offset: number, size: AccessSize): number {
    if (offset < this.#edid.length) {
      let value = 0
      for (let i = size - 1; i >= 0; i--) value = (value << 8) | (this.#edid[offset + i] ?? 0)
      return value >>> 0
    }
    if (offset >= MMIO_VGA && offset < MMIO_VGA_END) {
      let value = 0
      for (let i = 0; i < size; i++) value |= this.#vga.readByte(0x3c0 + offset - MMIO_VGA + i) << (8 * i)
      return value >>> 0
    }
    if (offset >= MMIO_DISPI && offset < MMIO_DISPI_END) {
      const value = this.#dispi.read((offset - MMIO_DISPI) >> 1)
      return maskTo(value >>> (8 * (offset & 1)), size)
    }
    if (offset === MMIO_EXTENDED) return maskTo(8, size)
    return offset === MMIO_ENDIAN ? maskTo(LITTLE_ENDIAN, size) : offset < MMIO_VGA ? 0 : maskTo(0xffffffff, size)
  }

  #writeRegister(offset: number, size: AccessSize, value: number): void {
    if (offset >= MMIO_VGA && offset < MMIO_VGA_END)
      for (let i = 0; i < size; i++) this.#vga.writeByte(0x3c0 + offset - MMIO_VGA + i, (value >>> (8 * i)) & 0xff)
    else if (offset >= MMIO_DISPI && offset < MMIO_DISPI_END && size > 1) {
      this.#dispi.write(value & 0xffff, (offset - MMIO_DISPI) >> 1)
      if (size === 4) this.#dispi.write(value >>> 16, ((offset - MMIO_DISPI) >> 1) + 1)
    }
  }
}

/** Where memory's frames do not lie because something else does. */
const NO_MEMORY: MmioHandler = {
  readMmio: (_offset, size) => maskTo(0xffffffff, size),
  writeMmio() {},
}
