/** A serial port as a terminal. */
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import { complain, h } from './dom.ts'

/** What terminals send for keys of the row. */
const SEQUENCES: Record<string, string> = {
  Escape: '\x1b',
  Tab: '\t',
  Enter: '\r',
  ArrowUp: '\x1b[A',
  ArrowDown: '\x1b[B',
  ArrowRight: '\x1b[C',
  ArrowLeft: '\x1b[D',
  Delete: '\x1b[3~',
  PageUp: '\x1b[5~',
  PageDown: '\x1b[6~',
  F1: '\x1bOP',
  F2: '\x1bOQ',
  F10: '\x1b[21~',
  F12: '\x1b[24~',
}

/** What the terminal is connected with. */
export interface SerialSource {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  /** What it is to those who listen. */
  readonly name: string
  /** The terminal has another size. */
  resize?(columns: number, rows: number): void
}

/** The view. */
export class SerialView {
  readonly element = h('div', { class: 'serial' })
  readonly #terminal: Terminal
  readonly #fit = new FitAddon()
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #encoder = new TextEncoder()
  readonly #observer: ResizeObserver
  readonly #abort = new AbortController()
  readonly #name: string
  #control = false
  #alt = false

  constructor(source: SerialSource) {
    this.#name = source.name
    const small = matchMedia('(width < 40rem)').matches
    const size = Number.parseFloat(getComputedStyle(document.documentElement).fontSize)
    this.#terminal = new Terminal({
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--font-mono'),
      fontSize: Math.round(size * (small ? 0.8 : 0.95)),
      lineHeight: 1.15,
      cursorBlink: true,
      scrollback: 10_000,
      screenReaderMode: false,
      theme: { background: '#000000', foreground: '#e6e6e6' },
    })
    this.#terminal.loadAddon(this.#fit)
    this.#writer = source.writable.getWriter()
    this.#terminal.onData(text => this.#send(this.#modified(text)))
    this.#terminal.onBinary(text => this.#sendBytes(Uint8Array.from(text, char => char.charCodeAt(0))))
    this.#terminal.onResize(({ cols, rows }) => source.resize?.(cols, rows))
    // The terminal says when it has drawn, so that a guest that prints without end waits for it.
    const show = (bytes: Uint8Array) => new Promise<void>(resolve => this.#terminal.write(bytes, resolve))
    source.readable.pipeTo(new WritableStream({ write: show }), { signal: this.#abort.signal }).catch(error => {
      if (!this.#abort.signal.aborted) complain(error)
    })
    this.#observer = new ResizeObserver(() => this.#fitNow())
    this.#observer.observe(this.element)
  }

  #opened = false

  /** It became visible, or is now for the first time. */
  shown(): void {
    requestAnimationFrame(() => {
      if (!this.#opened && this.element.isConnected) {
        this.#opened = true
        this.#terminal.open(this.element)
        this.#terminal.textarea?.setAttribute('aria-label', this.#name)
      }
      this.#fitNow()
    })
  }

  #fitNow(): void {
    if (this.#opened && this.element.clientWidth > 0) this.#fit.fit()
  }

  focus(): void {
    requestAnimationFrame(() => this.#terminal.focus())
  }

  openKeyboard(): void {
    this.#terminal.focus()
  }

  /** A key of the row. Ctrl and Alt count for what is typed next. */
  press(code: string): void {
    if (code === 'ControlLeft') this.#control = true
    else if (code === 'AltLeft') this.#alt = true
    else if (SEQUENCES[code] !== undefined) this.#send(this.#modified(SEQUENCES[code]))
  }

  release(code: string): void {
    if (code === 'ControlLeft') this.#control = false
    if (code === 'AltLeft') this.#alt = false
  }

  #modified(text: string): string {
    if (this.#control && text.length === 1) text = String.fromCharCode(text.toUpperCase().charCodeAt(0) & 0x1f)
    return this.#alt ? `\x1b${text}` : text
  }

  async type(text: string): Promise<void> {
    this.#terminal.paste(text)
  }

  #send(text: string): void {
    this.#sendBytes(this.#encoder.encode(text))
  }

  #sendBytes(bytes: Uint8Array): void {
    this.#writer.write(bytes).catch(() => {})
  }

  /** Lets go of the machine. */
  close(): void {
    this.#observer.disconnect()
    this.#abort.abort()
    this.#terminal.dispose()
  }
}
