/** `--display terminal`: the machine's screen in this terminal, and its keys in the machine. */
import type { Display, Shown, ShownMachine } from '../hosts/node/display/display.ts'
import { UserError } from '../hosts/node/user-error.ts'
import type { CommandHost } from './host.ts'
import { Terminal } from './terminal.ts'
import { typedKeys } from './terminal-keys.ts'
import { TerminalPainter } from './terminal-painter.ts'

/** Ctrl-], which quits. */
const ESCAPE_KEY = '\x1d'
/** Milliseconds between two updates of the window. */
const INTERVAL = 50
/** How long a key is down: milliseconds. */
const KEY_TIME = 20
/** Pieces of input that wait for a guest which does not read its keyboard; more are dropped. */
const MOST_WAITING = 1000
/** The window's size where the terminal does not say. */
const USUAL_SIZE = { columns: 80, rows: 25 }

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[0m\x1b[?25h\x1b[?1049l'

const pause = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))

/** The screen of one machine in a terminal. */
export class TerminalDisplay implements Display {
  readonly place = 'this terminal'
  /** Resolves when the person has enough: presses Ctrl-], or is gone. */
  readonly left: Promise<'quit' | 'hangup'>
  readonly #host: CommandHost
  readonly #terminal: Terminal
  readonly #painter: TerminalPainter
  #leave!: (how: 'quit' | 'hangup') => void
  #reader: ReadableStreamDefaultReader<unknown> | undefined
  #closed = false
  #entered = false
  /** What is typed goes one after another. */
  #typing: Promise<void> = Promise.resolve()
  #waiting = 0

  /** @throws UserError where there is no terminal to draw on or to type at */
  constructor(host: CommandHost) {
    if (!host.stdin.isTTY || !host.stdout.isTTY)
      throw new UserError(
        '--display terminal draws on standard output and reads keys from standard input, and both have to be a terminal: run typetwo in one, or leave it out',
      )
    this.#host = host
    this.#terminal = new Terminal(host)
    const { COLORTERM = '' } = host.environment
    this.#painter = new TerminalPainter(/truecolor|24bit/.test(COLORTERM) ? 'true' : '256')
    this.left = new Promise(resolve => {
      this.#leave = resolve
    })
  }

  show({ machine }: Shown): void {
    this.#terminal.take()
    const { stdin, stdout } = this.#host
    stdout.write(ENTER)
    this.#entered = true
    const size = () => this.#terminal.size ?? USUAL_SIZE
    stdout.write(this.#painter.resize(size().columns, size().rows))
    let resized = false
    this.#terminal.onResize(() => {
      resized = true
    })
    stdin.on('data', (bytes: Uint8Array) => this.#typed(machine, Buffer.from(bytes).toString()))
    stdin.on('end', () => this.#leave('hangup'))
    stdin.on('error', () => this.#leave('hangup'))
    void this.#follow(machine, () => {
      if (!resized) return ''
      resized = false
      return this.#painter.resize(size().columns, size().rows)
    })
  }

  /** Draws what changes until the machine ends. */
  async #follow(machine: ShownMachine, cleared: () => string): Promise<void> {
    const { screen } = machine
    if (!screen) return
    const reader = screen.changes().getReader()
    this.#reader = reader
    try {
      while (!this.#closed) {
        const { done } = await reader.read()
        if (done || this.#closed) break
        const clear = cleared()
        const cells = await screen.cells()
        const drawn = cells ? this.#painter.text(cells) : this.#painter.image(await screen.image())
        if (this.#closed) break
        // A slow terminal gets fewer pictures, and none twice.
        await new Promise<void>(resolve => this.#host.stdout.write(clear + drawn, () => resolve()))
        await pause(INTERVAL)
      }
    } catch {
      // The machine has ended between two looks.
    }
  }

  #typed(machine: ShownMachine, input: string): void {
    const end = input.indexOf(ESCAPE_KEY)
    const { keyboard } = machine
    for (const key of typedKeys(end < 0 ? input : input.slice(0, end))) {
      if (this.#waiting >= MOST_WAITING) break
      this.#waiting++
      this.#typing = this.#typing
        .then(async () => {
          if ('text' in key) return keyboard.type(key.text)
          for (const code of [...key.held, key.code]) keyboard.press(code)
          await pause(KEY_TIME)
          for (const code of [key.code, ...key.held.toReversed()]) keyboard.release(code)
          await pause(KEY_TIME)
        })
        .catch(() => {
          // A character that no key gives, or a guest that reads none: nothing that a person would not see.
        })
        .finally(() => {
          this.#waiting--
        })
    }
    if (end >= 0) this.#leave('quit')
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    void this.#reader?.cancel().catch(() => {})
    if (this.#entered) this.#host.stdout.write(LEAVE)
    this.#terminal.restore()
  }
}
