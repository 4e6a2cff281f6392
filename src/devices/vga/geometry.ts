/** What the registers of a VGA say of the picture: its size, its place in memory, and when the beam is where. */
import { AR, ATTRIBUTE_PANNING_COMPATIBLE, CLOCK_8_DOTS, CLOCK_HALF, CR, SR, type VgaState } from './registers.ts'

/** The address space of a plane, as a mask. */
export const UNITS = 0xffff

/** The two oscillators of a VGA: nanoseconds a dot, at 25.175 and 28.322 MHz. */
const DOT_NANOSECONDS = [1000 / 25.175, 1000 / 28.322] as const

/** Lines of the beam, from the CRT controller. */
export interface Timing {
  /** Nanoseconds of a scan line and of a frame. */
  line: number
  frame: number
  /** Part of a line, from its start, in which the picture is drawn. */
  visible: number
  /** Scan lines in a frame, lines of the picture, and where vertical retrace begins and ends. */
  total: number
  displayed: number
  retraceStart: number
  retraceEnd: number
}

/** Ten bits of a vertical register, of which two lie in the overflow register. */
function vertical(crtc: Uint8Array, low: number, bit8: number, bit9: number): number {
  const overflow = crtc[CR.OVERFLOW]
  return crtc[low] | (overflow & bit8 ? 0x100 : 0) | (overflow & bit9 ? 0x200 : 0)
}

/** Doubles vertical counts where the CRT controller counts every second line. */
function verticalScale(crtc: Uint8Array): number {
  return crtc[CR.MODE_CONTROL] & 4 ? 2 : 1
}

/** Lines of the picture. */
export function displayedLines({ crtc }: VgaState): number {
  return (vertical(crtc, CR.VERTICAL_DISPLAY_END, 2, 0x40) + 1) * verticalScale(crtc)
}

/** Characters (units of 8 or 9 dots) in a line of the picture. */
export function displayedCharacters({ crtc }: VgaState): number {
  return crtc[CR.HORIZONTAL_DISPLAY_END] + 1
}

/** Dots of a character in text modes. */
export function dotsPerCharacter({ sequencer }: VgaState): number {
  return sequencer[SR.CLOCKING_MODE] & CLOCK_8_DOTS ? 8 : 9
}

/** Pixels of a dot: two where the dot clock is halved. */
export function pixelsPerDot({ sequencer }: VgaState): 1 | 2 {
  return sequencer[SR.CLOCKING_MODE] & CLOCK_HALF ? 2 : 1
}

/** Lines of a row: of the characters of a text mode, or that show the same addresses in a graphics mode. */
export function rowHeight({ crtc }: VgaState): number {
  return (crtc[CR.MAXIMUM_SCAN_LINE] & 31) + 1
}

/** The line after which the picture goes on at address 0. */
export function lineCompare({ crtc }: VgaState): number {
  const line =
    crtc[CR.LINE_COMPARE] | (crtc[CR.OVERFLOW] & 0x10 ? 0x100 : 0) | (crtc[CR.MAXIMUM_SCAN_LINE] & 0x40 ? 0x200 : 0)
  return line * verticalScale(crtc)
}

/** The address of the first character in units: bytes of a plane, or pairs of them where addresses are words. */
export function startAddress({ crtc }: VgaState): number {
  return (crtc[CR.START_ADDRESS_HIGH] << 8) | crtc[CR.START_ADDRESS_LOW]
}

/** Units from one row to the next. */
export function rowPitch({ crtc }: VgaState): number {
  return crtc[CR.OFFSET] * 2
}

/** A line of the picture, as the CRT controller counts. */
export interface ScanLine {
  readonly y: number
  /** The unit that its row begins at, and the line's number within the row. */
  readonly address: number
  readonly row: number
  /** Whether pel panning applies: behind the line compare it may be told not to. */
  readonly isPanned: boolean
}

/** The lines of the picture from the top. */
export function* scanLines(state: VgaState): Iterable<ScanLine> {
  const { attribute, crtc } = state
  const lines = displayedLines(state)
  const split = lineCompare(state)
  const height = rowHeight(state)
  const pitch = rowPitch(state)
  const doubled = crtc[CR.MAXIMUM_SCAN_LINE] & 0x80 ? 2 : 1
  let address = startAddress(state) + ((crtc[CR.PRESET_ROW_SCAN] >> 5) & 3)
  let row = crtc[CR.PRESET_ROW_SCAN] & 31
  let isPanned = true
  let repeated = 0
  for (let y = 0; y < lines; y++) {
    yield { y, address: address & UNITS, row, isPanned }
    if (y === split) {
      address = 0
      row = 0
      repeated = 0
      isPanned = !(attribute[AR.MODE_CONTROL] & ATTRIBUTE_PANNING_COMPATIBLE)
      continue
    }
    if (++repeated < doubled) continue
    repeated = 0
    row = (row + 1) & 31
    if (row === height) {
      row = 0
      address += pitch
    }
  }
}

/** When the beam is where. Values that no monitor would show give some timing all the same, never zero lengths. */
export function timing(state: VgaState): Timing {
  const { crtc, miscellaneous } = state
  const clock = DOT_NANOSECONDS[(miscellaneous >> 2) & 1] * pixelsPerDot(state)
  const characters = crtc[CR.HORIZONTAL_TOTAL] + 5
  const line = characters * dotsPerCharacter(state) * clock
  const scale = verticalScale(crtc)
  const total = (vertical(crtc, CR.VERTICAL_TOTAL, 1, 0x20) + 2) * scale
  const displayed = Math.min(displayedLines(state), total)
  const retraceStart = Math.min(vertical(crtc, CR.VERTICAL_RETRACE_START, 4, 0x80) * scale, total - 1)
  // The end is compared in four bits.
  const length = (crtc[CR.VERTICAL_RETRACE_END] - retraceStart / scale) & 15 || 1
  return {
    line,
    frame: line * total,
    visible: Math.min(displayedCharacters(state) / characters, 1),
    total,
    displayed,
    retraceStart,
    retraceEnd: Math.min(retraceStart + length * scale, total),
  }
}
