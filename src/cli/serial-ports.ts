/** The ports of a machine that runs, and what they lead to. */
import type { Note, SerialLine } from '../hosts/node/serial-line.ts'
import { SerialHub, type SerialPlug } from '../machine/serial-hub.ts'
import { type CommandHost, type RunningMachine, say } from './host.ts'
import { MOST_SERIAL, type PortChoice } from './serial-options.ts'

/** A port as commands and people know it. */
export interface Port {
  /** `COM1` to `COM4`, `LPT1`. */
  readonly name: string
  /** Where it leads: `stdio`, `none`, `tcp:127.0.0.1:4000` … */
  readonly leads: string
  readonly line: SerialLine | undefined
  readonly hub: SerialHub
}

/** What is opened before there is a machine, so that nothing was begun when something cannot be. */
export class SerialPorts {
  /** Which of COM1 to COM4 leads to this terminal, counted from 0. */
  readonly terminal: number | undefined
  /** Its ports from {@link connect} on: COM1 to COM4 and LPT1. */
  ports: readonly Port[] = []
  readonly #choices: readonly PortChoice[]
  readonly #lines: (SerialLine | undefined)[] = []
  readonly #detached: boolean

  /**
   * Opens what the ports lead to.
   * @param choices of COM1 to COM4 and LPT1
   * @param detached whether people attach to COM1 later, so that the guest shall see somebody there from the start
   * @throws UserError naming the port and what cannot be opened; nothing is open then
   */
  static async open(choices: readonly PortChoice[], host: CommandHost, detached: boolean): Promise<SerialPorts> {
    const ports = new SerialPorts(choices, detached)
    try {
      for (const [i, choice] of choices.entries()) {
        const note: Note = sentence => say(host, `${nameOf(i)}: ${sentence}`)
        const leads = choice.kind === 'stdio' || choice.kind === 'none'
        ports.#lines.push(leads ? undefined : await host.openSerial(choice, note))
      }
    } catch (error) {
      await ports.close()
      throw error
    }
    return ports
  }

  private constructor(choices: readonly PortChoice[], detached: boolean) {
    this.#choices = choices
    this.#detached = detached
    const terminal = choices.findIndex(({ kind }) => kind === 'stdio')
    this.terminal = terminal < 0 ? undefined : terminal
  }

  /**
   * Connects the machine's ports with what they lead to, besides the terminal.
   * @param watch sees what COM1 sends
   */
  connect(machine: RunningMachine, watch: (bytes: Uint8Array) => void): void {
    const ends = [...machine.serial.slice(0, MOST_SERIAL), machine.parallel]
    this.ports = ends.map((end, i) => {
      const line = this.#lines[i]
      const { kind } = this.#choices[i]
      const lasting = kind === 'stdio' || kind === 'file' || (kind === 'none' && this.#detached && i === 0)
      const hub = new SerialHub(end, { lasting, ...(i === 0 && { watch }) })
      line?.plug(hub)
      return { name: nameOf(i), leads: line?.name ?? kind, line, hub }
    })
  }

  /** Plugs this terminal in. */
  attachTerminal(receive: (bytes: Uint8Array) => Promise<void>): SerialPlug | undefined {
    return this.terminal === undefined ? undefined : this.ports[this.terminal].hub.attach({ receive })
  }

  /** Resolves when the machine has ended and everything that it sent was taken. */
  async ended(): Promise<void> {
    await Promise.all(this.ports.map(({ hub }) => hub.ended))
  }

  /** Closes files and sockets, after a moment for what is on its way. */
  async close(): Promise<void> {
    await Promise.all(this.#lines.map(line => line?.close()))
  }
}

function nameOf(index: number): string {
  return index < MOST_SERIAL ? `COM${index + 1}` : 'LPT1'
}
