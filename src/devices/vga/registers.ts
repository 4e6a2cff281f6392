/**
 * The registers of a VGA by the names of IBM's PS/2 Hardware Interface Technical Reference (Video Subsystem), and the state
 * that all of them make up.
 */

/** Ports. Those of the CRT controller and of input status 1 lie at 3B0h instead of 3D0h while the miscellaneous output's bit 0 is clear. */
export const PORT = {
  ATTRIBUTE: 0x3c0,
  ATTRIBUTE_READ: 0x3c1,
  MISCELLANEOUS: 0x3c2,
  SLEEP: 0x3c3,
  SEQUENCER_INDEX: 0x3c4,
  SEQUENCER: 0x3c5,
  PEL_MASK: 0x3c6,
  PEL_READ_ADDRESS: 0x3c7,
  PEL_WRITE_ADDRESS: 0x3c8,
  PEL_DATA: 0x3c9,
  FEATURE_READ: 0x3ca,
  MISCELLANEOUS_READ: 0x3cc,
  GRAPHICS_INDEX: 0x3ce,
  GRAPHICS: 0x3cf,
  CRTC_INDEX: 0x3d4,
  CRTC: 0x3d5,
  STATUS_1: 0x3da,
} as const

/** CRT controller. */
export const CR = {
  HORIZONTAL_TOTAL: 0,
  HORIZONTAL_DISPLAY_END: 1,
  START_HORIZONTAL_BLANKING: 2,
  END_HORIZONTAL_BLANKING: 3,
  START_HORIZONTAL_RETRACE: 4,
  END_HORIZONTAL_RETRACE: 5,
  VERTICAL_TOTAL: 6,
  OVERFLOW: 7,
  PRESET_ROW_SCAN: 8,
  MAXIMUM_SCAN_LINE: 9,
  CURSOR_START: 0xa,
  CURSOR_END: 0xb,
  START_ADDRESS_HIGH: 0xc,
  START_ADDRESS_LOW: 0xd,
  CURSOR_LOCATION_HIGH: 0xe,
  CURSOR_LOCATION_LOW: 0xf,
  VERTICAL_RETRACE_START: 0x10,
  VERTICAL_RETRACE_END: 0x11,
  VERTICAL_DISPLAY_END: 0x12,
  OFFSET: 0x13,
  UNDERLINE_LOCATION: 0x14,
  START_VERTICAL_BLANKING: 0x15,
  END_VERTICAL_BLANKING: 0x16,
  MODE_CONTROL: 0x17,
  LINE_COMPARE: 0x18,
} as const
export const CRTC_REGISTERS = 0x19

/** Sequencer. */
export const SR = { RESET: 0, CLOCKING_MODE: 1, MAP_MASK: 2, CHARACTER_MAP_SELECT: 3, MEMORY_MODE: 4 } as const
const SEQUENCER_REGISTERS = 8

/** Graphics controller. */
export const GR = {
  SET_RESET: 0,
  ENABLE_SET_RESET: 1,
  COLOR_COMPARE: 2,
  DATA_ROTATE: 3,
  READ_MAP_SELECT: 4,
  MODE: 5,
  MISCELLANEOUS: 6,
  COLOR_DONT_CARE: 7,
  BIT_MASK: 8,
} as const
const GRAPHICS_REGISTERS = 16

/** Attribute controller, behind its sixteen palette registers. */
export const AR = {
  MODE_CONTROL: 0x10,
  OVERSCAN_COLOR: 0x11,
  PLANE_ENABLE: 0x12,
  PEL_PANNING: 0x13,
  COLOR_SELECT: 0x14,
} as const
const ATTRIBUTE_REGISTERS = 0x20

/** Bits that each register keeps; others read as zero. */
export const SEQUENCER_MASK = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff] as const
export const GRAPHICS_MASK = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff] as const

/** Bits of {@link SR.CLOCKING_MODE}. */
export const CLOCK_8_DOTS = 1
export const CLOCK_HALF = 8
export const CLOCK_SCREEN_OFF = 0x20
/** Bits of {@link SR.MEMORY_MODE}. */
export const MEMORY_SEQUENTIAL = 4
export const MEMORY_CHAIN_4 = 8
/** Bits of {@link GR.MODE}. */
export const MODE_READ_COMPARE = 8
export const MODE_ODD_EVEN = 0x10
export const MODE_SHIFT_INTERLEAVED = 0x20
export const MODE_256 = 0x40
/** Bits of {@link AR.MODE_CONTROL}. */
export const ATTRIBUTE_LINE_GRAPHICS = 4
export const ATTRIBUTE_BLINK = 8
export const ATTRIBUTE_PANNING_COMPATIBLE = 0x20
export const ATTRIBUTE_PALETTE_SIZE = 0x80
/** Bit of the attribute controller's index: the palette belongs to the display. */
export const PALETTE_ADDRESS_SOURCE = 0x20

/** Everything that a VGA is but for its memory. */
export interface VgaState {
  miscellaneous: number
  feature: number
  crtcIndex: number
  crtc: Uint8Array
  sequencerIndex: number
  sequencer: Uint8Array
  graphicsIndex: number
  graphics: Uint8Array
  attributeIndex: number
  attribute: Uint8Array
  /** The next write to the attribute controller's port is data. */
  attributeData: boolean
  pelMask: number
  pelReadAddress: number
  pelWriteAddress: number
  /** Which of red, green and blue comes next, for reads and for writes. */
  pelReadPart: number
  pelWritePart: number
  /** What was last: 3 for the read address, 0 for the write address. */
  pelState: number
  /** Red and green of the color that is being written. */
  pelCache: number[]
  /** 256 colors as written, 6 bits each, or 8 while VBE has it so. */
  palette: Uint8Array
  /** The four planes' latches, plane 0 in the lowest byte. */
  latch: number
}

/** The state after RESET#. */
export function initialState(): VgaState {
  return {
    miscellaneous: 0,
    feature: 0,
    crtcIndex: 0,
    crtc: new Uint8Array(CRTC_REGISTERS),
    sequencerIndex: 0,
    sequencer: new Uint8Array(SEQUENCER_REGISTERS),
    graphicsIndex: 0,
    graphics: new Uint8Array(GRAPHICS_REGISTERS),
    attributeIndex: 0,
    attribute: new Uint8Array(ATTRIBUTE_REGISTERS),
    attributeData: false,
    pelMask: 0xff,
    pelReadAddress: 0,
    pelWriteAddress: 0,
    pelReadPart: 0,
    pelWritePart: 0,
    pelState: 0,
    pelCache: [0, 0],
    palette: new Uint8Array(768),
    latch: 0,
  }
}
