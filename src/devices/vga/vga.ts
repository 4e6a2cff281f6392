/** The VGA itself: its ports, and when the beam is where. What lies in its memory: planes.ts; the picture: picture.ts. */
import type { Bus, Device } from '../bus.ts'
import { attachBytes } from '../registers.ts'
import { displayedLines, type Timing, timing } from './geometry.ts'
import type { PlaneAccess } from './planes.ts'
import {
  CR,
  CRTC_REGISTERS,
  GR,
  GRAPHICS_MASK,
  initialState,
  PALETTE_ADDRESS_SOURCE,
  PORT,
  SEQUENCER_MASK,
  SR,
  type VgaState,
} from './registers.ts'

/** Input status 0 while nothing is sensed; its bit 4 is the comparator that tells a monitor. */
const SWITCH_SENSE = 0x10
const STATUS_DISPLAY_DISABLED = 1
const STATUS_VERTICAL_RETRACE = 8
/** Vertical retrace of a VESA mode, whose timing no register says: of 60 frames a second the last part. */
const VBE_FRAME = 1e9 / 60
const VBE_RETRACE = 0.95
const VBE_LINES = 800

/** What a VGA is wired to. */
export interface VgaOptions {
  planes: PlaneAccess
  /** Whether VBE has set a mode, whose timing is its own. */
  vbe(): boolean
}

/** A VGA's registers at their ports. */
export class Vga implements Device {
  readonly name = 'vga'
  readonly version = 1
  state: VgaState
  readonly #bus: Bus
  readonly #options: VgaOptions
  /** When the beam is where, until a register changes it. */
  #timing: Timing | undefined

  /** @throws if one of its ports is taken */
  constructor(bus: Bus, options: VgaOptions) {
    this.#bus = bus
    this.#options = options
    this.state = initialState()
    for (const [first, count] of [
      [0x3b4, 2],
      [0x3ba, 1],
      [0x3c0, 16],
      [0x3d4, 2],
      [0x3da, 1],
    ])
      attachBytes(bus, first, count, this)
  }

  reset(): void {
    this.state = initialState()
    this.restored()
  }

  restored(): void {
    this.#timing = undefined
    this.#options.planes.changed()
  }

  /** A port that lies at 3B0h to 3BFh on a monochrome adapter and at 3D0h to 3DFh on a color one as the latter, or -1 while it is the other's. */
  #decode(port: number): number {
    const color = (this.state.miscellaneous & 1) !== 0
    const block = port & 0xff0
    if (block === 0x3b0) return color ? -1 : port + 0x20
    if (block === 0x3d0) return color ? port : -1
    return port
  }

  readByte(port: number): number {
    const s = this.state
    switch (this.#decode(port)) {
      case PORT.ATTRIBUTE:
        return s.attributeData ? s.attribute[s.attributeIndex & 31] : s.attributeIndex
      case PORT.ATTRIBUTE_READ:
        return s.attribute[s.attributeIndex & 31]
      case PORT.MISCELLANEOUS:
        return SWITCH_SENSE
      case PORT.SLEEP:
        return 1
      case PORT.SEQUENCER_INDEX:
        return s.sequencerIndex
      case PORT.SEQUENCER:
        return s.sequencer[s.sequencerIndex & 7]
      case PORT.PEL_MASK:
        return s.pelMask
      case PORT.PEL_READ_ADDRESS:
        return s.pelState
      case PORT.PEL_WRITE_ADDRESS:
        return s.pelWriteAddress
      case PORT.PEL_DATA:
        return this.#readPalette()
      case PORT.FEATURE_READ:
        return s.feature
      case PORT.MISCELLANEOUS_READ:
        return s.miscellaneous
      case PORT.GRAPHICS_INDEX:
        return s.graphicsIndex
      case PORT.GRAPHICS:
        return s.graphics[s.graphicsIndex & 15]
      case PORT.CRTC_INDEX:
        return s.crtcIndex
      case PORT.CRTC:
        return s.crtcIndex < CRTC_REGISTERS ? s.crtc[s.crtcIndex] : 0
      case PORT.STATUS_1:
        s.attributeData = false
        return this.#status()
    }
    return 0xff
  }

  writeByte(port: number, value: number): void {
    const s = this.state
    switch (this.#decode(port)) {
      case PORT.ATTRIBUTE:
        if (s.attributeData) this.#writeAttribute(value)
        else s.attributeIndex = value & 0x3f
        s.attributeData = !s.attributeData
        break
      case PORT.MISCELLANEOUS:
        s.miscellaneous = value & ~0x10
        this.#timing = undefined
        break
      case PORT.SEQUENCER_INDEX:
        s.sequencerIndex = value & 7
        break
      case PORT.SEQUENCER:
        s.sequencer[s.sequencerIndex] = value & SEQUENCER_MASK[s.sequencerIndex]
        if (s.sequencerIndex === SR.CLOCKING_MODE) this.#timing = undefined
        else if (s.sequencerIndex !== SR.CHARACTER_MAP_SELECT) this.#options.planes.changed()
        break
      case PORT.PEL_MASK:
        s.pelMask = value
        break
      case PORT.PEL_READ_ADDRESS:
        s.pelReadAddress = value
        s.pelReadPart = 0
        s.pelState = 3
        break
      case PORT.PEL_WRITE_ADDRESS:
        s.pelWriteAddress = value
        s.pelWritePart = 0
        s.pelState = 0
        break
      case PORT.PEL_DATA:
        this.#writePalette(value)
        break
      case PORT.GRAPHICS_INDEX:
        s.graphicsIndex = value & 15
        break
      case PORT.GRAPHICS:
        if (s.graphicsIndex >= GRAPHICS_MASK.length) break
        s.graphics[s.graphicsIndex] = value & GRAPHICS_MASK[s.graphicsIndex]
        if (s.graphicsIndex !== GR.READ_MAP_SELECT) this.#options.planes.changed()
        break
      case PORT.CRTC_INDEX:
        s.crtcIndex = value & 0x3f
        break
      case PORT.CRTC:
        this.#writeCrtc(value)
        break
      case PORT.STATUS_1:
        s.feature = value & 0x10
        break
    }
  }

  #writeAttribute(value: number): void {
    const s = this.state
    const index = s.attributeIndex & 31
    // While the display has the palette the processor cannot write it.
    if (index < 16) {
      if (!(s.attributeIndex & PALETTE_ADDRESS_SOURCE)) s.attribute[index] = value & 0x3f
    } else if (index < 0x15)
      s.attribute[index] =
        index === 0x10 ? value & ~0x10 : index === 0x11 ? value : value & (index === 0x12 ? 0x3f : 15)
  }

  #writeCrtc(value: number): void {
    const { crtc, crtcIndex: index } = this.state
    if (index >= CRTC_REGISTERS) return
    this.#timing = undefined
    if (index <= CR.OVERFLOW && crtc[CR.VERTICAL_RETRACE_END] & 0x80) {
      // Protected, but for line compare's bit 8.
      if (index === CR.OVERFLOW) crtc[index] = (crtc[index] & ~0x10) | (value & 0x10)
      return
    }
    crtc[index] = value
  }

  #readPalette(): number {
    const s = this.state
    const value = s.palette[s.pelReadAddress * 3 + s.pelReadPart]
    s.pelReadPart = (s.pelReadPart + 1) % 3
    if (s.pelReadPart === 0) s.pelReadAddress = (s.pelReadAddress + 1) & 0xff
    return value
  }

  /** Red and green are kept until blue comes: then the color changes as a whole. */
  #writePalette(value: number): void {
    const s = this.state
    if (s.pelWritePart < 2) {
      s.pelCache[s.pelWritePart++] = value
      return
    }
    s.palette.set([...s.pelCache, value], s.pelWriteAddress * 3)
    s.pelWritePart = 0
    s.pelWriteAddress = (s.pelWriteAddress + 1) & 0xff
  }

  /** Nanoseconds of a frame as the registers have it. */
  get frame(): number {
    if (this.#options.vbe()) return VBE_FRAME
    this.#timing ??= timing(this.state)
    return this.#timing.frame
  }

  /** Input status 1, which programs poll to draw while the beam does not, and to count frames. */
  #status(): number {
    const now = this.#bus.clock.now()
    if (this.#options.vbe()) {
      const phase = (now % VBE_FRAME) / VBE_FRAME
      if (phase >= VBE_RETRACE) return STATUS_DISPLAY_DISABLED | STATUS_VERTICAL_RETRACE
      return (phase * VBE_LINES) % 1 < 0.8 ? 0 : STATUS_DISPLAY_DISABLED
    }
    this.#timing ??= timing(this.state)
    const { frame, line, visible, displayed, retraceStart, retraceEnd } = this.#timing
    const at = (now % frame) / line
    const row = Math.floor(at)
    const retrace = row >= retraceStart && row < retraceEnd ? STATUS_VERTICAL_RETRACE : 0
    const disabled = row >= displayed || at - row >= visible ? STATUS_DISPLAY_DISABLED : 0
    return retrace | disabled
  }

  /** Lines of the picture. */
  get lines(): number {
    return displayedLines(this.state)
  }
}
