/** The machine of `typetwo run` as commands from outside see it. */
import type { ControlTarget } from '../control/command.ts'
import type { Json } from '../control/protocol.ts'
import type { ControlServer } from '../hosts/node/control-server.ts'
import { UserError } from '../hosts/node/user-error.ts'
import { parseCdrom, parseDisk, parseFloppy } from './drive-options.ts'
import { type CommandHost, type RunningMachine, say } from './host.ts'
import type { RunOptions } from './run.ts'
import type { Port } from './serial-ports.ts'

/** A machine with its name, from before it is made until it has ended. */
export class Running {
  /** From the moment on that it has been made. */
  machine: RunningMachine | undefined
  /** As {@link machine}. */
  ports: readonly Port[] = []
  /** What it is made of, for people. */
  facts: ControlTarget['facts'] = {}
  readonly #powerOff: () => void
  #server: ControlServer | undefined
  #news: string | undefined

  /**
   * Gives the machine its name.
   * @param powerOff ends the machine
   * @throws UserError where the name cannot be had. Where none was asked for, a machine that nobody can control is better than none.
   */
  static async open(name: string | undefined, host: CommandHost, powerOff: () => void): Promise<Running> {
    const running = new Running(powerOff)
    const started = new Date()
    try {
      running.#server = await host.control.open({
        name,
        target: name => running.#target(name, started, host),
      })
      if (name === undefined) running.#news = `this machine is called ${running.#server.name}`
    } catch (error) {
      if (name !== undefined || !(error instanceof UserError)) throw error
      running.#news = `the machine gets no name and cannot be controlled: ${error.message}`
    }
    return running
  }

  private constructor(powerOff: () => void) {
    this.#powerOff = powerOff
  }

  /** Its name; undefined where it could be given none. */
  get name(): string | undefined {
    return this.#server?.name
  }

  /** Says a name that was made up, once the machine is there to be called by it. */
  announce(host: CommandHost): void {
    if (this.#news !== undefined) say(host, this.#news)
  }

  /** Takes it out of the running ones. */
  async close(): Promise<void> {
    await this.#server?.close()
  }

  #target(name: string, started: Date, host: CommandHost): ControlTarget {
    const running = this
    return {
      name,
      started,
      get machine() {
        return running.machine
      },
      get ports() {
        return running.ports
      },
      get facts() {
        return running.facts
      },
      usage: () => host.control.usage(),
      powerOff: this.#powerOff,
    }
  }
}

/** What a machine is made of, as `typetwo ls` and `typetwo info` tell. */
export function factsOf(
  options: RunOptions,
  request: { memory?: number; engine?: string; clock?: string; firmware?: unknown; kernel?: unknown },
): { readonly [name: string]: Json } {
  return {
    boots: bootsOf(options, request.firmware !== undefined && request.kernel === undefined),
    memory: request.memory ?? 0,
    engine: request.engine ?? 'auto',
    cpu: options.cpu ?? 'max',
    machine: options.machine ?? 'pc',
    clock: request.clock ?? 'host',
  }
}

function bootsOf(options: RunOptions, firmware: boolean): string {
  if (options.kernel !== undefined) return options.kernel
  if (!firmware) return 'the default guest'
  const media = [
    ...(options.disk ?? []).map(text => parseDisk(text).image),
    ...(options.cdrom ?? []).map(text => parseCdrom(text).image),
    ...(options.floppy ?? []).map(text => parseFloppy(text).image),
  ]
  const first = media.find(medium => medium !== undefined)
  return `${first === undefined ? 'nothing' : String(first)} by ${options.uefi === undefined ? 'BIOS' : 'UEFI'}`
}
