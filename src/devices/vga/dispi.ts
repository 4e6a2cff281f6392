/**
 * Bochs's display interface (DISPI), by which a VGA BIOS and drivers set VESA modes: sixteen-bit registers behind an index
 * (Bochs's documentation of its VBE extensions; QEMU's docs/specs/standard-vga.rst).
 */

/** Registers by index. */
export const DISPI = {
  ID: 0,
  XRES: 1,
  YRES: 2,
  BPP: 3,
  ENABLE: 4,
  BANK: 5,
  VIRT_WIDTH: 6,
  VIRT_HEIGHT: 7,
  X_OFFSET: 8,
  Y_OFFSET: 9,
  VIDEO_MEMORY_64K: 10,
} as const
const REGISTERS = 11

/** Bits of {@link DISPI.ENABLE}. */
export const DISPI_ENABLED = 1
const DISPI_GETCAPS = 2
const DISPI_8BIT_DAC = 0x20
const DISPI_NOCLEARMEM = 0x80

const FIRST_ID = 0xb0c0
const LAST_ID = 0xb0c5
const MOST_WIDTH = 2560
const MOST_HEIGHT = 1600
const DEPTHS = [4, 8, 15, 16, 24, 32]

/** A mode that DISPI has set, as it is shown. */
export interface DispiMode {
  width: number
  height: number
  /** Bits a pixel: 4, 8, 15, 16, 24 or 32. */
  depth: number
  /** Bytes from one line to the next, and of the first pixel. */
  pitch: number
  start: number
}

/** What the rest of the adapter has to do. */
export interface DispiOptions {
  /** Bytes of video memory. */
  size: number
  /** A mode was set, or with undefined the VGA's own shows again. @param clear memory is to be zero */
  onMode(mode: DispiMode | undefined, clear: boolean): void
  /** Where the window at A0000h begins: a byte of video memory. */
  onBank(offset: number): void
}

/** The registers. */
export class Dispi {
  state: { index: number; registers: number[] }
  readonly #options: DispiOptions

  constructor(options: DispiOptions) {
    this.#options = options
    this.state = this.#initial()
  }

  #initial(): { index: number; registers: number[] } {
    const registers = new Array<number>(REGISTERS).fill(0)
    registers[DISPI.ID] = LAST_ID
    return { index: 0, registers }
  }

  reset(): void {
    this.state = this.#initial()
  }

  /** The mode while one is set. */
  get mode(): DispiMode | undefined {
    const { registers: r } = this.state
    if (!(r[DISPI.ENABLE] & DISPI_ENABLED)) return undefined
    const depth = r[DISPI.BPP]
    const pitch = pitchOf(r[DISPI.VIRT_WIDTH], depth)
    // Four planes of a pixel each lie in a unit of four bytes that has eight pixels.
    const x = depth === 4 ? (r[DISPI.X_OFFSET] >> 3) * 4 : r[DISPI.X_OFFSET] * ((depth + 7) >> 3)
    return { width: r[DISPI.XRES], height: r[DISPI.YRES], depth, pitch, start: r[DISPI.Y_OFFSET] * pitch + x }
  }

  /** Colors have eight bits instead of six. */
  get wideDac(): boolean {
    return (this.state.registers[DISPI.ENABLE] & DISPI_8BIT_DAC) !== 0
  }

  /** Where the window begins: a byte of video memory. */
  get bank(): number {
    return this.state.registers[DISPI.BANK] << 16
  }

  /** Reads the register that the index selects. */
  read(index = this.state.index): number {
    const { registers: r } = this.state
    if (index >= REGISTERS) return 0
    if (index === DISPI.VIDEO_MEMORY_64K) return this.#options.size >> 16
    if (r[DISPI.ENABLE] & DISPI_GETCAPS) {
      if (index === DISPI.XRES) return MOST_WIDTH
      if (index === DISPI.YRES) return MOST_HEIGHT
      if (index === DISPI.BPP) return 32
    }
    return r[index]
  }

  /** Writes it. What no mode can have is changed to what one can. */
  write(value: number, index = this.state.index): void {
    const { registers: r } = this.state
    switch (index) {
      case DISPI.ID:
        if (value >= FIRST_ID && value <= LAST_ID) r[DISPI.ID] = value
        break
      case DISPI.ENABLE:
        this.#enable(value)
        break
      case DISPI.BANK:
        // The bank is a byte with the window's number in older interfaces; in all of them bits beyond video memory are lost.
        r[DISPI.BANK] = value & ((this.#options.size >> 16) - 1)
        this.#options.onBank(r[DISPI.BANK] << 16)
        break
      case DISPI.XRES:
      case DISPI.YRES:
      case DISPI.BPP:
      case DISPI.VIRT_WIDTH:
      case DISPI.X_OFFSET:
      case DISPI.Y_OFFSET:
        r[index] = value
        if (r[DISPI.ENABLE] & DISPI_ENABLED) this.#fit()
        if (r[DISPI.ENABLE] & DISPI_ENABLED) this.#options.onMode(this.mode, false)
        break
    }
  }

  #enable(value: number): void {
    const { registers: r } = this.state
    const was = r[DISPI.ENABLE]
    r[DISPI.ENABLE] = value & 0xff
    if (value & DISPI_ENABLED && !(was & DISPI_ENABLED)) {
      r[DISPI.VIRT_WIDTH] = 0
      r[DISPI.X_OFFSET] = 0
      r[DISPI.Y_OFFSET] = 0
      this.#fit()
      r[DISPI.BANK] = 0
      this.#options.onMode(this.mode, !(value & DISPI_NOCLEARMEM))
      this.#options.onBank(0)
    } else if (was & DISPI_ENABLED && !(value & DISPI_ENABLED)) {
      r[DISPI.BANK] = 0
      this.#options.onMode(undefined, false)
      this.#options.onBank(0)
    }
  }

  /** Makes the registers ones of a mode whose lines all lie in video memory. */
  #fit(): void {
    const { registers: r } = this.state
    const { size } = this.#options
    if (!DEPTHS.includes(r[DISPI.BPP])) r[DISPI.BPP] = 8
    const depth = r[DISPI.BPP]
    r[DISPI.XRES] = Math.min(Math.max(r[DISPI.XRES] & ~7, 8), MOST_WIDTH)
    const widest = Math.floor((size / pitchOf(8, depth)) * 8)
    r[DISPI.VIRT_WIDTH] = Math.min(Math.max(r[DISPI.VIRT_WIDTH] & ~7, r[DISPI.XRES]), widest & ~7, 0xfff8)
    const pitch = pitchOf(r[DISPI.VIRT_WIDTH], depth)
    const lines = Math.floor(size / pitch)
    r[DISPI.YRES] = Math.min(Math.max(r[DISPI.YRES], 1), MOST_HEIGHT, lines)
    r[DISPI.VIRT_HEIGHT] = Math.min(lines, 0xffff)
    r[DISPI.Y_OFFSET] = Math.min(r[DISPI.Y_OFFSET], lines - r[DISPI.YRES])
    const beyond = size - (r[DISPI.Y_OFFSET] + r[DISPI.YRES] - 1) * pitch - pitchOf(r[DISPI.XRES], depth)
    // The last line, shifted, shall still end in memory.
    const most = depth === 4 ? Math.floor(beyond / 4) * 8 : Math.floor(beyond / ((depth + 7) >> 3))
    r[DISPI.X_OFFSET] = Math.min(r[DISPI.X_OFFSET], most)
  }
}

/** Bytes of a line of so many pixels, a multiple of 8. */
function pitchOf(width: number, depth: number): number {
  return depth === 4 ? width >> 1 : width * ((depth + 7) >> 3)
}
