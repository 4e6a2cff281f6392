/** Graphics modes of the VGA itself: planes of bits, pairs of bits as the CGA has them, and 256 colors. */
import type { DispiMode } from './dispi.ts'
import { displayedCharacters, displayedLines, lineCompare, pixelsPerDot, scanLines, UNITS } from './geometry.ts'
import type { Picture } from './picture.ts'
import type { VideoMemory } from './planes.ts'
import { AR, CR, GR, MODE_256, MODE_SHIFT_INTERLEAVED, type VgaState } from './registers.ts'

const BITS_PER_UNIT = 8

/** A byte's bits, the highest first, each the lowest of a nibble; the first in the lowest. */
const SPREAD = Int32Array.from({ length: 256 }, (_, byte) => {
  let nibbles = 0
  for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) nibbles |= 1 << (4 * bit)
  return nibbles
})

/** How a unit, a byte of each plane, becomes pixels. */
export type UnitKind = 'planar' | 'pairs' | '256'

/** Which of the ways the registers select. */
export function unitKind({ graphics }: VgaState): UnitKind {
  if (graphics[GR.MODE] & MODE_256) return '256'
  return graphics[GR.MODE] & MODE_SHIFT_INTERLEAVED ? 'pairs' : 'planar'
}

/** Lines of a picture: which units each shows. */
interface Layout {
  width: number
  height: number
  units: number
  kind: UnitKind
  /** How often each pixel is there. */
  wide: 1 | 2
  /** Units that addresses wrap at, less one: a power of two. */
  wrap: number
  lines: Iterable<GraphicsLine>
}

interface GraphicsLine {
  y: number
  address: number
  /** Pixels, as they are shown, that the line is shifted to the left. */
  panning: number
  /** It shows what the line above it shows. */
  same: boolean
}

/** The layout of a mode that the VGA's registers set. */
export function vgaLayout(state: VgaState): Layout {
  const kind = unitKind(state)
  // A pixel of 256 colors takes two dots, of which a unit has eight then.
  const wide = kind === '256' ? 2 : pixelsPerDot(state)
  const units = displayedCharacters(state)
  const width = units * BITS_PER_UNIT * (kind === '256' ? 1 : wide)
  return { width, height: displayedLines(state), units, kind, wide, wrap: UNITS, lines: vgaLines(state, kind, wide) }
}

/** The layout of a mode of 16 colors that VBE has set. */
export function vbePlanarLayout(mode: DispiMode, size: number): Layout {
  const { width, height, pitch, start } = mode
  return {
    width,
    height,
    units: width / BITS_PER_UNIT,
    kind: 'planar',
    wide: 1,
    wrap: (size >> 2) - 1,
    lines: Array.from({ length: height }, (_, y) => ({
      y,
      address: (start + y * pitch) >> 2,
      panning: 0,
      same: false,
    })),
  }
}

function* vgaLines(state: VgaState, kind: UnitKind, wide: number): Iterable<GraphicsLine> {
  const { attribute, crtc } = state
  const split = lineCompare(state)
  const control = crtc[CR.MODE_CONTROL]
  // Addresses of words lose a bit here, those of double words two, and so do the bits that the row may take the place of.
  const shift = crtc[CR.UNDERLINE_LOCATION] & 0x40 ? 2 : control & 0x40 ? 0 : 1
  const pels = attribute[AR.PEL_PANNING]
  const panning = kind === '256' ? ((pels >> 1) & 3) * 2 : (pels & 7) * wide
  let previous = -1
  for (const { y, address, row, isPanned } of scanLines(state)) {
    let at = address
    if (!(control & 1)) at = (at & ~(0x2000 >> shift)) | ((row & 1) << (13 - shift))
    if (!(control & 2)) at = (at & ~(0x4000 >> shift)) | (((row >> 1) & 1) << (14 - shift))
    yield { y, address: at, panning: isPanned ? panning : 0, same: at === previous && y !== split + 1 }
    previous = at
  }
}

/**
 * Draws a layout.
 * @param colors of 16 colors or of the palette
 * @param everything draws lines too whose memory did not change
 */
export function drawUnits(
  layout: Layout,
  memory: VideoMemory,
  picture: Picture,
  colors: Int32Array,
  everything: boolean,
): void {
  const { lines, units, wrap, kind, wide } = layout
  const draw = kind === '256' ? drawPalette : kind === 'pairs' ? drawPairs : drawPlanar
  let changed = false
  for (const { y, address, panning, same } of lines) {
    if (same) {
      if (changed) picture.repeat(y)
      continue
    }
    changed = everything || isDirty(memory, address, units, wrap)
    if (!changed) continue
    // A unit more than is shown, for panning.
    draw(memory, picture.line, colors, { address, units: units + 1, wrap, wide })
    changed = picture.store(y, panning)
  }
}

function isDirty({ dirty }: VideoMemory, address: number, units: number, wrap: number): boolean {
  const last = address + units
  if (last > wrap) return true
  for (let page = address >> 10; page <= last >> 10; page++) if (dirty[page]) return true
  return false
}

interface UnitRange {
  address: number
  units: number
  wrap: number
  wide: 1 | 2
}

/** Draws units as a line of pixels. */
type UnitDrawer = (memory: VideoMemory, line: Int32Array, colors: Int32Array, range: UnitRange) => void

const drawPlanar: UnitDrawer = ({ ram32, base }, line, colors, { address, units, wrap, wide }) => {
  const origin = base >> 2
  let x = 0
  for (let i = 0; i < units; i++) {
    const unit = ram32[origin + ((address + i) & wrap)]
    let nibbles =
      SPREAD[unit & 0xff] |
      (SPREAD[(unit >> 8) & 0xff] << 1) |
      (SPREAD[(unit >> 16) & 0xff] << 2) |
      (SPREAD[unit >>> 24] << 3)
    for (let bit = 0; bit < BITS_PER_UNIT; bit++, nibbles >>>= 4) {
      const color = colors[nibbles & 15]
      line[x++] = color
      if (wide === 2) line[x++] = color
    }
  }
}

/** Four pixels of planes 0 and 2, then four of planes 1 and 3. */
const drawPairs: UnitDrawer = ({ ram32, base }, line, colors, { address, units, wrap, wide }) => {
  const origin = base >> 2
  let x = 0
  for (let i = 0; i < units; i++) {
    const unit = ram32[origin + ((address + i) & wrap)]
    for (let half = 0; half < 16; half += 8) {
      const low = unit >> half
      const high = unit >> (half + 16)
      for (let pair = 6; pair >= 0; pair -= 2) {
        const color = colors[((low >> pair) & 3) | (((high >> pair) & 3) << 2)]
        line[x++] = color
        if (wide === 2) line[x++] = color
      }
    }
  }
}

const drawPalette: UnitDrawer = ({ ram32, base }, line, colors, { address, units, wrap }) => {
  const origin = base >> 2
  let x = 0
  for (let i = 0; i < units; i++) {
    let unit = ram32[origin + ((address + i) & wrap)]
    for (let pixel = 0; pixel < 4; pixel++, unit >>>= 8) {
      const color = colors[unit & 0xff]
      line[x++] = color
      line[x++] = color
    }
  }
}
