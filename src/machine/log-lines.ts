/** Longest line that is collected. */
const LONGEST = 1000
/** Most lines that are handed on: a guest must not fill the host's log. */
const MOST = 20_000

/** Collects a guest's bytes into lines for the machine's log. */
export class LogLines {
  readonly #log: (line: string) => void
  #line = ''
  #count = 0

  constructor(log: (line: string) => void) {
    this.#log = log
  }

  /** Takes a byte; a line feed, or too many bytes without one, ends the line. */
  add(byte: number): void {
    if (byte === 0x0d) return
    if (byte !== 0x0a && this.#line.length < LONGEST) {
      this.#line += String.fromCharCode(byte)
      return
    }
    const line = this.#line
    this.#line = ''
    if (this.#count++ < MOST) this.#log(line)
  }
}
