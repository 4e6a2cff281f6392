/**
 * Watches what a guest does to the terminal it writes to, so that it can be undone: a guest that is ended in its editor
 * leaves the terminal on the alternate screen, without a cursor and reporting the mouse. Only what was changed is
 * undone, since for example leaving the alternate screen also moves the cursor.
 *
 * The sequences: ECMA-48 (CSI, SGR) and xterm's control sequences (DEC private modes).
 */

/** DEC private modes that are on in a terminal nobody touched: wrapping and the cursor. The rest are off. */
const ON_BY_DEFAULT: ReadonlySet<number> = new Set([7, 25])

/** Modes whose change outlives a program; others are passed over, so that a guest cannot make the table grow. */
const WATCHED: ReadonlySet<number> = new Set([
  ...[1, 5, 6, 7, 25, 47, 1047, 1049],
  ...[9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004],
])

const ESC = 0x1b

/** The longest control sequence that is followed. */
const LONGEST = 64

/** Follows a stream of output. */
export class TerminalModes {
  /** Those of {@link WATCHED} that are now other than in a fresh terminal. */
  readonly #changed = new Set<number>()
  #attributes = false
  #keypad = false
  #scrollRegion = false
  /** The bytes since ESC, as text, or undefined outside of a sequence. */
  #sequence: string | undefined

  /** Looks at the next bytes of the output. */
  watch(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]
      if (byte === ESC) {
        this.#sequence = ''
      } else if (this.#sequence !== undefined) {
        this.#sequence += String.fromCharCode(byte)
        const isControl = this.#sequence[0] === '['
        if (isControl && this.#sequence.length > 1 && byte >= 0x40 && byte <= 0x7e) this.#finish()
        else if (!isControl && byte >= 0x30) this.#finish()
        else if (this.#sequence.length > LONGEST) this.#sequence = undefined
      } else {
        i = bytes.indexOf(ESC, i)
        if (i < 0) return
        i--
      }
    }
  }

  /** What to write so that the terminal is as it was; empty when nothing was changed. */
  restoration(): string {
    let text = ''
    if (this.#scrollRegion) text += '\x1b7\x1b[r\x1b8'
    for (const mode of this.#changed) text += `\x1b[?${mode}${ON_BY_DEFAULT.has(mode) ? 'h' : 'l'}`
    if (this.#keypad) text += '\x1b>'
    if (this.#attributes) text += '\x1b[0m'
    return text
  }

  /** Takes note of the sequence that just ended. */
  #finish(): void {
    const sequence = this.#sequence!
    this.#sequence = undefined
    if (sequence === 'c') {
      this.#changed.clear()
      this.#attributes = this.#keypad = this.#scrollRegion = false
    } else if (sequence === '=' || sequence === '>') {
      this.#keypad = sequence === '='
    } else if (/^\[[\d;:]*m$/.test(sequence)) {
      this.#attributes = !/^\[0*m$/.test(sequence)
    } else if (/^\[[\d;]*r$/.test(sequence)) {
      this.#scrollRegion = sequence !== '[r'
    }
    const [, list, letter] = /^\[\?([\d;]+)([hl])$/.exec(sequence) ?? []
    if (list === undefined) return
    for (const mode of list.split(';').map(Number)) {
      if (!WATCHED.has(mode)) continue
      if ((letter === 'h') === ON_BY_DEFAULT.has(mode)) this.#changed.delete(mode)
      else this.#changed.add(mode)
    }
  }
}
