/** Pictures and text in colors as what a terminal understands, no more of it than has changed. */
import type { ScreenImage, TextCells } from '../index.ts'

/** Half of a cell: two pixels, one above the other, are its foreground and background. */
const UPPER_HALF = '▀'
const RESET = '\x1b[0m'

/** How many colors a terminal has. */
export type ColorDepth = 'true' | '256'

/** Levels of a color in the 6 × 6 × 6 cube of terminals with 256 colors. */
const CUBE = [0, 95, 135, 175, 215, 255]

/** The nearest level of the cube. */
const LEVEL = Uint8Array.from({ length: 256 }, (_, value) => {
  let best = 0
  for (const [i, level] of CUBE.entries()) if (Math.abs(level - value) < Math.abs(CUBE[best] - value)) best = i
  return best
})

/** Draws on a terminal's screen, and knows what is there. */
export class TerminalPainter {
  readonly #depth: ColorDepth
  /** What each cell shows: its character and its two colors. */
  #cells: string[] = []
  #columns = 0
  #rows = 0

  constructor(depth: ColorDepth) {
    this.#depth = depth
  }

  /** The window has this size now, and shows nothing. */
  resize(columns: number, rows: number): string {
    this.#columns = columns
    this.#rows = rows
    this.#cells = new Array(columns * rows).fill('')
    return `${RESET}\x1b[2J`
  }

  /** Draws text, at the window's upper left; what does not fit is not seen, but for the row of the cursor. */
  text({ columns, rows, characters, foreground, background, cursor }: TextCells): string {
    // A window that is too low shows the rows up to the cursor.
    const hidden = Math.max(0, Math.min(rows, (cursor?.[1] ?? 0) + 1) - this.#rows)
    const picture = this.#draw((column, row) => {
      const from = row + hidden
      if (column >= columns || from >= rows) return [' ', 0, 0]
      const at = from * columns + column
      return [String.fromCharCode(characters[at]), foreground[at], background[at]]
    })
    if (!cursor || cursor[0] >= this.#columns || cursor[1] - hidden >= this.#rows) return `${picture}\x1b[?25l`
    return `${picture}\x1b[${cursor[1] - hidden + 1};${cursor[0] + 1}H\x1b[?25h`
  }

  /** Draws a picture, as large as the window lets it be. */
  image({ width, height, data }: ScreenImage): string {
    const scale = Math.max(width / this.#columns, height / (2 * this.#rows))
    const pixel = (x: number, y: number): number => {
      const [left, top] = [Math.floor(x * scale), Math.floor(y * scale)]
      if (left >= width || top >= height) return 0
      const at = (top * width + left) * 4
      return data[at] | (data[at + 1] << 8) | (data[at + 2] << 16)
    }
    return `${this.#draw((column, row) => [UPPER_HALF, pixel(column, 2 * row), pixel(column, 2 * row + 1)])}\x1b[?25l`
  }

  #draw(look: (column: number, row: number) => [character: string, foreground: number, background: number]): string {
    let output = ''
    let colors = ''
    /** The cell behind the last one that was written: there the terminal's cursor is. */
    let next = -1
    for (let row = 0; row < this.#rows; row++)
      for (let column = 0; column < this.#columns; column++) {
        const [character, foreground, background] = look(column, row)
        const wanted = `\x1b[38;${this.#color(foreground)};48;${this.#color(background)}m`
        const cell = row * this.#columns + column
        if (this.#cells[cell] === wanted + character) continue
        this.#cells[cell] = wanted + character
        if (cell !== next || column === 0) output += `\x1b[${row + 1};${column + 1}H`
        if (wanted !== colors) output += wanted
        output += character
        colors = wanted
        next = cell + 1
      }
    return output === '' ? '' : output + RESET
  }

  /** A color, red in the lowest byte. */
  #color(color: number): string {
    const [red, green, blue] = [color & 0xff, (color >> 8) & 0xff, (color >> 16) & 0xff]
    if (this.#depth === 'true') return `2;${red};${green};${blue}`
    // The grays between black and white have steps of their own.
    if (red === green && green === blue && red > 3 && red < 247) return `5;${232 + Math.round((red - 8) / 10.3)}`
    return `5;${16 + 36 * LEVEL[red] + 6 * LEVEL[green] + LEVEL[blue]}`
  }
}
