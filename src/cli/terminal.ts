/**
 * The person's terminal while a guest has it: raw keys, the escape key, the window's size, and everything put back as
 * it was, however the process ends.
 */
import { UserError } from '../hosts/node/user-error.ts'
import { type CommandHost, type OutputStream, say } from './host.ts'
import { TerminalModes } from './terminal-modes.ts'

/** Ctrl-], as telnet has it: no shell or editor wants it. */
const ESCAPE_KEY = 0x1d
const ESCAPE_KEY_NAME = 'Ctrl-]'

/** Where a terminal is taken, and what became of it. */
export class Terminal {
  readonly #host: CommandHost
  readonly #window: OutputStream | undefined
  #modes = new TerminalModes()
  readonly #undo: (() => void)[] = []
  #taken = false

  constructor(host: CommandHost) {
    this.#host = host
    this.#window = [host.stdout, host.stderr].find(stream => stream.isTTY)
  }

  /** Whether a person types at standard input. */
  get typed(): boolean {
    return this.#host.stdin.isTTY === true
  }

  /** The window's size in characters; undefined without a window. */
  get size(): { columns: number; rows: number } | undefined {
    const { columns, rows } = this.#window ?? {}
    return columns && rows ? { columns, rows } : undefined
  }

  /**
   * Gives the keys to the guest until {@link restore}. Without a terminal at standard input this does nothing.
   * @param keyDoes what the escape key does, as a person is told
   * @throws UserError when the terminal does not let itself be set.
   */
  take(keyDoes = 'quits'): void {
    if (!this.typed) return
    const { events, stdin } = this.#host
    const raw = () => stdin.setRawMode!(true)
    try {
      raw()
    } catch (error) {
      throw new UserError(
        `the terminal at standard input cannot be set to raw keys (${(error as Error).message}): ` +
          'start typetwo in the foreground, or give it input by a pipe',
      )
    }
    this.#taken = true
    say(this.#host, `${ESCAPE_KEY_NAME} ${keyDoes}; every other key, Ctrl-C too, goes to the guest`)
    const restore = () => this.restore()
    // Whoever stops the process from outside gets the terminal back, and the guest gets it again afterwards.
    const suspend = () => {
      stdin.setRawMode!(false)
      this.#host.suspend()
    }
    const resume = () => {
      if (!this.#taken) return
      stdin.setRawMode!(false)
      raw()
    }
    for (const [event, listener] of [
      ['exit', restore],
      ['SIGTSTP', suspend],
      ['SIGCONT', resume],
    ] as const) {
      events.on(event, listener)
      this.#undo.push(() => events.off(event, listener))
    }
  }

  /** Calls `listener` with each new size of the window. */
  onResize(listener: (columns: number, rows: number) => void): void {
    const window = this.#window
    if (!window) return
    const resized = () => {
      const size = this.size
      if (size) listener(size.columns, size.rows)
    }
    window.on('resize', resized)
    this.#undo.push(() => window.off('resize', resized))
  }

  /** Takes note of what the guest does to the terminal it writes to. */
  watch(output: Uint8Array): void {
    if (this.#host.stdout.isTTY) this.#modes.watch(output)
  }

  /** Gives the terminal back as it was. May be called at any time, and again. */
  restore(): void {
    for (const undo of this.#undo.splice(0)) undo()
    const sequences = this.#host.stdout.isTTY ? this.#modes.restoration() : ''
    this.#modes = new TerminalModes()
    if (sequences !== '') this.#host.stdout.write(sequences)
    if (!this.#taken) return
    this.#taken = false
    try {
      this.#host.stdin.setRawMode!(false)
    } catch {
      // The terminal itself is gone; there is nothing left to restore.
    }
  }
}

/** Where in the keys the escape key is, or -1. */
export function findEscapeKey(keys: Uint8Array): number {
  return keys.indexOf(ESCAPE_KEY)
}
