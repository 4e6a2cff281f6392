/** Text modes: characters as pixels, and as text. */
import type { TextCells } from './cells.ts'
import { displayedCharacters, dotsPerCharacter, pixelsPerDot, rowHeight, scanLines, UNITS } from './geometry.ts'
import type { Picture } from './picture.ts'
import type { VideoMemory } from './planes.ts'
import { AR, ATTRIBUTE_BLINK, ATTRIBUTE_LINE_GRAPHICS, CR, SR, type VgaState } from './registers.ts'

/** The characters of code page 437, as the adapter's own font has them. */
const CODE_PAGE_437 =
  ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼' +
  Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('') +
  '⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ '

/** Where the eight fonts begin in plane 2, by the number that character map select has for them. */
const FONTS = [0, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000] as const
const FONT_HEIGHT = 32
/** Characters whose ninth dot is the eighth again, so that lines join. */
const FIRST_LINE_CHARACTER = 0xc0
const LAST_LINE_CHARACTER = 0xdf
/** Frames in which the cursor, and blinking characters, are shown and then are not. */
const CURSOR_FRAMES = 8
const BLINK_FRAMES = 16

/** Which font a character is drawn in without, and with bit 3 of its attribute. */
function fonts({ sequencer }: VgaState): [number, number] {
  const select = sequencer[SR.CHARACTER_MAP_SELECT]
  const second = ((select >> 2) & 3) | ((select >> 3) & 4)
  const first = (select & 3) | ((select >> 2) & 4)
  return [FONTS[first], FONTS[second]]
}

/** The width of a text mode's picture in pixels. */
export function textWidth(state: VgaState): number {
  return displayedCharacters(state) * dotsPerCharacter(state) * pixelsPerDot(state)
}

/** Whether cursor and blinking characters are shown in a frame, as a number that changes with it. */
export function blinkPhase(frame: number): number {
  return (Math.floor(frame / CURSOR_FRAMES) & 1) | ((Math.floor(frame / BLINK_FRAMES) & 1) << 1)
}

/** Draws a text mode. @param colors the sixteen; @param phase of {@link blinkPhase} */
export function drawText(
  state: VgaState,
  memory: VideoMemory,
  picture: Picture,
  colors: Int32Array,
  phase: number,
): void {
  const { attribute, crtc } = state
  const { line } = picture
  const dots = dotsPerCharacter(state)
  const wide = pixelsPerDot(state)
  const characters = displayedCharacters(state)
  const [first, second] = fonts(state)
  const units = memory.ram32
  const origin = memory.base >> 2
  const cursorStart = crtc[CR.CURSOR_START]
  const cursorEnd = Math.min(crtc[CR.CURSOR_END] & 31, rowHeight(state) - 1)
  const cursorShown = !(cursorStart & 0x20) && !(phase & 1)
  const cursor =
    ((crtc[CR.CURSOR_LOCATION_HIGH] << 8) | crtc[CR.CURSOR_LOCATION_LOW]) + ((crtc[CR.CURSOR_END] >> 5) & 3)
  const blinks = (attribute[AR.MODE_CONTROL] & ATTRIBUTE_BLINK) !== 0
  const underline = crtc[CR.UNDERLINE_LOCATION] & 31
  const joins = (attribute[AR.MODE_CONTROL] & ATTRIBUTE_LINE_GRAPHICS) !== 0

  // Dots that lines are shifted to the left. Where characters have nine of them, panning counts from 8, which is none.
  const pels = attribute[AR.PEL_PANNING]
  const panning = dots === 8 ? pels & 7 : pels >= 8 ? 0 : pels + 1

  for (const { y, address, row, isPanned } of scanLines(state)) {
    let x = 0
    const inCursor = cursorShown && row >= (cursorStart & 31) && row <= cursorEnd
    for (let i = 0; i <= characters; i++) {
      const at = (address + i) & UNITS
      const unit = units[origin + at]
      const code = unit & 0xff
      const look = (unit >> 8) & 0xff
      const font = look & 8 ? second : first
      let pattern = (units[origin + ((font + code * FONT_HEIGHT + row) & UNITS)] >> 16) & 0xff
      if ((look & 0x77) === 1 && row === underline) pattern = 0x1ff
      let background = look >> 4
      if (blinks) {
        if (look & 0x80 && phase & 2) pattern = 0
        background &= 7
      }
      if (inCursor && at === cursor) pattern = 0x1ff
      const foreColor = colors[look & 15]
      const backColor = colors[background]
      if (dots === 9) {
        const ninth =
          pattern > 0xff || (joins && code >= FIRST_LINE_CHARACTER && code <= LAST_LINE_CHARACTER && pattern & 1)
        line[x + 8 * wide] = ninth ? foreColor : backColor
        if (wide === 2) line[x + 17] = ninth ? foreColor : backColor
      }
      if (wide === 1) for (let bit = 0; bit < 8; bit++) line[x + bit] = pattern & (0x80 >> bit) ? foreColor : backColor
      else for (let bit = 0; bit < 16; bit++) line[x + bit] = pattern & (0x80 >> (bit >> 1)) ? foreColor : backColor
      x += dots * wide
    }
    picture.store(y, isPanned ? panning * wide : 0)
  }
}

/** The characters that are shown. @param colors the sixteen */
export function readCells(state: VgaState, memory: VideoMemory, colors: Int32Array): TextCells {
  const { attribute, crtc } = state
  const starts: number[] = []
  for (const { address } of scanLines(state)) if (address !== starts.at(-1)) starts.push(address)
  const columns = displayedCharacters(state)
  const rows = starts.length
  const characters = new Uint16Array(columns * rows)
  const foreground = new Uint32Array(columns * rows)
  const background = new Uint32Array(columns * rows)
  const location = (crtc[CR.CURSOR_LOCATION_HIGH] << 8) | crtc[CR.CURSOR_LOCATION_LOW]
  const backgrounds = attribute[AR.MODE_CONTROL] & ATTRIBUTE_BLINK ? 7 : 15
  let cursor: [number, number] | undefined
  for (const [row, start] of starts.entries())
    for (let column = 0; column < columns; column++) {
      const at = (start + column) & UNITS
      const unit = memory.ram32[(memory.base >> 2) + at]
      const cell = row * columns + column
      characters[cell] = CODE_PAGE_437.charCodeAt(unit & 0xff)
      foreground[cell] = colors[(unit >> 8) & 15]
      background[cell] = colors[(unit >> 12) & backgrounds]
      if (at === location && !(crtc[CR.CURSOR_START] & 0x20)) cursor = [column, row]
    }
  return { columns, rows, characters, foreground, background, cursor }
}
