/** `typetwo console`: this terminal at a serial port of a running machine. */
import { UsageError } from './command.ts'
import { type Ending, STATUS } from './ending.ts'
import { part, SIGNALS, watchForEnd } from './ending-watch.ts'
import { type CommandHost, say } from './host.ts'
import { Output, pumpPiped, pumpTyped } from './streams.ts'
import { Terminal } from './terminal.ts'

/** How long what was typed last may take to leave: milliseconds. */
const PARTING = 500

/** What was given to `typetwo console`. */
interface ConsoleOptions {
  name?: string
  port?: string
  idle?: string
}

/**
 * Attaches until the person detaches or the machine ends.
 * @returns the exit status
 * @throws UserError where there is no such machine
 */
export async function attach({ name, port = '1', idle }: ConsoleOptions, host: CommandHost): Promise<number> {
  const patience = idle === undefined ? undefined : parseSeconds(idle)
  const output = new Output(host.stdout)
  host.stderr.on('error', () => {})
  const { ending, end } = watchForEnd(host, output)
  const client = await host.control.connect(name!)
  const { streams } = await client.stream('console', { port: `COM${port}` })
  const writer = streams.writable.getWriter()
  writer.closed.catch(() => {})
  const terminal = new Terminal(host)
  const listener = {
    quit: () => end({ status: STATUS.ok }),
    hangup: () => end({ status: STATUS.signal + SIGNALS.SIGHUP, sentence: 'the terminal is gone' }),
    note: (sentence: string) => say(host, sentence),
  }
  try {
    terminal.take(`detaches from COM${port} of machine '${name}'`)
    if (terminal.size && port === '1') {
      void tellSize(host, name!, terminal.size)
      terminal.onResize((columns, rows) => void tellSize(host, name!, { columns, rows }))
    }
    const guest = { send: (bytes: Uint8Array) => writer.write(bytes).catch(() => {}) }
    const quiet = new Quiet(patience, () => end({ status: STATUS.ok }))
    if (terminal.typed) pumpTyped(host.stdin, guest, listener)
    else void pumpPiped(host.stdin, guest, listener).then(() => quiet.begin())
    const over = (async (): Promise<Ending> => {
      for await (const bytes of streams.readable) {
        quiet.interrupt()
        terminal.watch(bytes)
        await output.write(bytes)
      }
      return { status: STATUS.ok, sentence: `machine '${name}' has ended` }
    })()
    const last = await Promise.race([over, ending])
    terminal.restore()
    return part(last, host)
  } finally {
    terminal.restore()
    // What was typed last has to leave; a guest that does not read may keep it from that.
    const { promise: deadline, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, PARTING)
    await Promise.race([client.close(), deadline])
    clearTimeout(timer)
  }
}

/** @throws UsageError */
function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || seconds > 86400)
    throw new UsageError(`--idle '${text}' is no number of seconds up to a day, as in --idle 2`)
  return seconds * 1000
}

/** Tells the machine how large the window is. A machine that cannot be told has other news soon. */
async function tellSize(host: CommandHost, name: string, size: { columns: number; rows: number }): Promise<void> {
  try {
    const client = await host.control.connect(name)
    await client.call('resize', { ...size }).finally(() => client.close())
  } catch {}
}

/** Waits for a time in which nothing happens. */
class Quiet {
  readonly #milliseconds: number | undefined
  readonly #over: () => void
  #timer: NodeJS.Timeout | undefined
  #begun = false

  /** @param milliseconds undefined to wait for ever */
  constructor(milliseconds: number | undefined, over: () => void) {
    this.#milliseconds = milliseconds
    this.#over = over
  }

  /** From now on it counts. */
  begin(): void {
    this.#begun = true
    this.interrupt()
  }

  /** Something happened. */
  interrupt(): void {
    if (!this.#begun || this.#milliseconds === undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#over, this.#milliseconds)
  }
}
