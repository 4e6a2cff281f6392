/** From registers and memory to a picture, no more of it than has changed. */

import type { TextCells } from './cells.ts'
import { attributeColors, paletteColors } from './colors.ts'
import type { DispiMode } from './dispi.ts'
import { displayedLines } from './geometry.ts'
import { drawUnits, unitKind, vbePlanarLayout, vgaLayout } from './graphics.ts'
import { drawLinear } from './linear.ts'
import { Picture, type PictureArea, type PicturePlaced } from './picture.ts'
import type { VideoMemory } from './planes.ts'
import { CLOCK_SCREEN_OFF, CR, GR, PALETTE_ADDRESS_SOURCE, SR, type VgaState } from './registers.ts'
import { blinkPhase, drawText, readCells, textWidth } from './text.ts'

/** The widest line: 256 characters of 9 dots, each twice, and one more that panning may show. */
const WIDEST = 257 * 18 + 18
/** What a picture without size is instead: drivers set modes register by register. */
const LEAST = 8
/** Pages in which the planes of a VGA lie: of these a text mode may show anything. */
const VGA_PAGES = 64

/** What is drawn. */
export interface Displayed {
  registers: VgaState
  /** The mode that VBE has set. */
  vbe: DispiMode | undefined
  /** Colors of the palette have eight bits. */
  wideDac: boolean
  /** Frames since the machine was made, of the VGA's own modes. */
  frame: number
}

/** What the adapter shows. */
type Kind = 'blank' | 'text' | 'units' | 'linear'

/** Draws what an adapter shows. */
export class Renderer {
  readonly picture: Picture
  readonly #memory: VideoMemory
  readonly #palette = new Int32Array(256)
  readonly #colors = new Int32Array(16)
  /** What was drawn last, as text. */
  #signature = ''

  /**
   * @param placed is told where the picture's pixels lie
   * @param widest most pixels of a line, where somebody else draws wider ones into the picture than a VGA does
   */
  constructor(memory: VideoMemory, placed: PicturePlaced, widest = 0) {
    this.#memory = memory
    this.picture = new Picture(placed, Math.max(WIDEST, widest))
  }

  /** Somebody else has drawn into the picture: the next update draws all of it. */
  invalidate(): void {
    this.#signature = ''
  }

  /** Draws what has changed. @returns its areas */
  update(displayed: Displayed): PictureArea[] {
    const { registers, vbe } = displayed
    const memory = this.#memory
    memory.collect()
    const kind = kindOf(displayed)
    const phase = kind === 'text' ? blinkPhase(displayed.frame) : 0
    const signature = signatureOf(displayed, kind, phase)
    const everything = signature !== this.#signature
    this.#signature = signature
    if (everything) {
      paletteColors(registers, displayed.wideDac, this.#palette)
      attributeColors(registers, this.#palette, this.#colors)
    }
    const { picture } = this
    if (kind === 'linear') {
      picture.resize(vbe!.width, vbe!.height)
      drawLinear(vbe!, memory, picture, this.#palette, everything)
    } else if (kind === 'text') {
      picture.resize(textWidth(registers), displayedLines(registers))
      if (everything || memory.dirty.subarray(0, VGA_PAGES).includes(1))
        drawText(registers, memory, picture, this.#colors, phase)
    } else if (kind === 'units') {
      const layout = vbe ? vbePlanarLayout(vbe, memory.size) : vgaLayout(registers)
      picture.resize(layout.width, layout.height)
      drawUnits(layout, memory, picture, layout.kind === '256' ? this.#palette : this.#colors, everything)
    } else this.#blank(displayed, everything)
    memory.dirty.fill(0)
    return picture.take()
  }

  /** The characters of a text mode, in the colors of the last update. */
  cells(displayed: Displayed): TextCells | undefined {
    return kindOf(displayed) === 'text' ? readCells(displayed.registers, this.#memory, this.#colors) : undefined
  }

  #blank({ registers, vbe }: Displayed, everything: boolean): void {
    const { picture } = this
    const graphical = (registers.graphics[GR.MISCELLANEOUS] & 1) !== 0
    if (vbe) picture.resize(vbe.width, vbe.height)
    else {
      const width = graphical ? vgaLayout(registers).width : textWidth(registers)
      picture.resize(Math.max(width, LEAST), Math.max(displayedLines(registers), LEAST))
    }
    if (!everything) return
    picture.line.fill(0xff000000 | 0)
    for (let y = 0; y < picture.height; y++) picture.store(y)
  }
}

function kindOf({ registers, vbe }: Displayed): Kind {
  const { attributeIndex, crtc, graphics, sequencer } = registers
  if (sequencer[SR.CLOCKING_MODE] & CLOCK_SCREEN_OFF) return 'blank'
  if (vbe) return vbe.depth === 4 ? 'units' : 'linear'
  if (!(attributeIndex & PALETTE_ADDRESS_SOURCE) || crtc[CR.VERTICAL_DISPLAY_END] === 0) return 'blank'
  return graphics[GR.MISCELLANEOUS] & 1 ? 'units' : 'text'
}

/** Everything but memory that a picture depends on. */
function signatureOf({ registers: r, vbe, wideDac }: Displayed, kind: Kind, phase: number): string {
  const usesPalette = kind !== 'linear' || vbe!.depth === 8
  const mode = vbe ? `${vbe.width} ${vbe.height} ${vbe.depth} ${vbe.pitch} ${vbe.start}` : ''
  const colors = usesPalette ? `${r.pelMask} ${r.palette} ${wideDac} ${r.attribute}` : ''
  const { sequencer: s, graphics: g } = r
  const own = vbe
    ? ''
    : `${r.crtc} ${s[SR.CLOCKING_MODE]} ${s[SR.CHARACTER_MAP_SELECT]} ${unitKind(r)} ${g[GR.MISCELLANEOUS] & 1}`
  return `${kind} ${phase} ${mode} ${colors} ${own}`
}
