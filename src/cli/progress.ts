/** Progress on standard error: a bar that is drawn over on a terminal, a line for each step elsewhere. */
import type { OutputStream } from './host.ts'

const BAR_WIDTH = 30

/** Shows the steps of something that takes a while. */
export class Progress {
  readonly #stream: OutputStream
  #text = ''
  #drawn = ''

  constructor(stream: OutputStream) {
    this.#stream = stream
  }

  /**
   * Shows a step.
   * @param fraction how far it is, 0 to 1; undefined where nobody knows
   */
  show(text: string, fraction?: number): void {
    const isNew = text !== this.#text
    if (!this.#stream.isTTY) {
      if (isNew) this.#stream.write(`typetwo: ${text}\n`)
    } else {
      if (isNew) this.done()
      const line = this.#line(text, fraction)
      if (line !== this.#drawn) this.#stream.write(`\r\x1b[K${line}`)
      this.#drawn = line
    }
    this.#text = text
  }

  /** Ends the line, if one was drawn. */
  done(): void {
    if (this.#drawn !== '') this.#stream.write('\n')
    this.#drawn = ''
  }

  /** One line that fits the window. */
  #line(text: string, fraction: number | undefined): string {
    const width = Math.max(20, (this.#stream.columns ?? 80) - 1)
    const line = `typetwo: ${text}`
    if (fraction === undefined) return line.slice(0, width)
    const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH)
    const bar = ` [${'#'.repeat(full)}${' '.repeat(BAR_WIDTH - full)}] ${String(Math.floor(fraction * 100)).padStart(3)} %`
    return width > bar.length + 20 ? line.slice(0, width - bar.length) + bar : line.slice(0, width)
  }
}
