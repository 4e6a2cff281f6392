/** The ways in which a machine that runs is seen. */
import type { Display, ShownPort } from '../hosts/node/display/display.ts'
import type { DisplayPlace } from '../hosts/node/display/index.ts'
import type { DisplayChoice } from './display-options.ts'
import { type CommandHost, type RunningMachine, say } from './host.ts'
import { TerminalDisplay } from './terminal-display.ts'

/** What is opened before there is a machine, so that nothing was begun when something cannot be. */
export class Displays {
  readonly #displays: Display[] = []
  readonly #host: CommandHost
  #terminal: TerminalDisplay | undefined

  /**
   * Opens them.
   * @throws UserError naming what cannot be opened; nothing is open then
   */
  static async open(choices: readonly DisplayChoice[], host: CommandHost): Promise<Displays> {
    const displays = new Displays(host)
    try {
      if (choices.some(({ kind }) => kind === 'terminal')) displays.#terminal = new TerminalDisplay(host)
      for (const choice of choices.filter(isPlace))
        displays.#displays.push(await host.openDisplay(choice, sentence => say(host, sentence)))
    } catch (error) {
      await displays.close()
      throw error
    }
    return displays
  }

  private constructor(host: CommandHost) {
    this.#host = host
  }

  /**
   * Shows a machine, and says where.
   * @param name what viewers call it
   * @param turnOff ends it, for whoever sees it
   */
  show(machine: RunningMachine, name: string, ports: readonly ShownPort[], turnOff: () => void): void {
    for (const display of this.#displays) {
      display.show({ machine, name, ports, turnOff })
      say(this.#host, `the screen is at ${display.place}`)
    }
    // Last, because from then on nothing else is to be written there.
    this.#terminal?.show({ machine, name, ports, turnOff })
  }

  /** Resolves when the person at the terminal that shows the machine has enough; never without one. */
  get left(): Promise<'quit' | 'hangup'> {
    return this.#terminal?.left ?? new Promise(() => {})
  }

  /** Sends everybody away. */
  async close(): Promise<void> {
    await this.#terminal?.close()
    await Promise.all(this.#displays.map(display => display.close()))
  }
}

/** Whether it is seen from elsewhere. */
function isPlace(choice: DisplayChoice): choice is DisplayPlace {
  return choice.kind !== 'none' && choice.kind !== 'terminal'
}
