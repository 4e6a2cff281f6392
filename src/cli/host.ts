/**
 * The process that the command line runs in, as an interface: the real one, and in tests a fake with which signals,
 * terminals and machines can be tried without any of them.
 */
import type { Readable, Writable } from 'node:stream'
import type { ControlMachine } from '../control/command.ts'
import type { DefaultGuest, Report } from '../hosts/node/default-guest.ts'
import type { Display, ShownMachine } from '../hosts/node/display/display.ts'
import type { DisplayPlace } from '../hosts/node/display/index.ts'
import type { FirmwareName } from '../hosts/node/firmware.ts'
import type { Note, SerialLine, SerialPlace } from '../hosts/node/serial-line.ts'
import type { Machine, MachineOptions } from '../index.ts'
import type { VariableStore } from '../machine/machine.ts'
import type { ControlHost } from './control-host.ts'

/** Standard input; the last two only where it is a terminal. */
export interface InputStream extends Readable {
  isTTY?: boolean
  setRawMode?(raw: boolean): unknown
}

/** Standard output or standard error; a size only where it is a terminal, which then tells of each new one (`resize`). */
export interface OutputStream extends Writable {
  isTTY?: boolean
  columns?: number
  rows?: number
}

/** What happens to the process: signals, and `exit` as the last thing before it is gone. */
export interface ProcessEvents {
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
}

/** The part of the library's machine that the command line uses. */
export type RunningMachine = Pick<
  Machine,
  'serial' | 'parallel' | 'keepCode' | 'stats' | 'profiler' | 'resizeConsole'
> &
  ShownMachine &
  ControlMachine &
  Partial<Pick<Machine, 'sound'>>

/** What a machine is made of: the library's options, with the host left to choose the worker. */
export type MachineRequest = Omit<
  MachineOptions,
  'worker' | 'kernel' | 'initrd' | 'modules' | 'firmware' | 'videoBios'
> & {
  kernel?: () => Promise<Uint8Array>
  initrd?: () => Promise<Uint8Array>
  modules?: readonly { image: () => Promise<Uint8Array>; text: string }[]
  firmware?: () => Promise<Uint8Array>
  videoBios?: () => Promise<Uint8Array>
  commandLine: string
}

/** Everything of the outside that a command uses. */
export interface CommandHost {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly events: ProcessEvents
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Bytes of memory that the host can still give. */
  availableMemory(): number
  /** Stops the process until someone continues it. */
  suspend(): void
  /** Running machines, this one and others. */
  readonly control: ControlHost
  createMachine(request: MachineRequest): Promise<RunningMachine>
  defaultGuest(report: Report): Promise<DefaultGuest>
  /** Paths of the files of a firmware that has a name. */
  firmware(name: FirmwareName, report: Report): Promise<string[]>
  /** What a serial or parallel port leads to. */
  openSerial(place: SerialPlace, note: Note): Promise<SerialLine>
  /** A way to see the machine. */
  openDisplay(place: DisplayPlace, note: Note): Promise<Display>
  /** A file of UEFI's variables, made of a template where it is missing. */
  variables(path: string, template: string): Promise<VariableStore>
}

/** Writes one message of typetwo's to standard error. */
export function say(host: CommandHost, sentence: string): void {
  host.stderr.write(`typetwo: ${sentence}\n`)
}

/** Writes to standard output. @returns exit status 0, when all of it is out, also when the reader had enough. */
export function print(host: CommandHost, text: string): Promise<number> {
  return new Promise(resolve => {
    host.stdout.on('error', () => resolve(0))
    host.stdout.write(text, () => resolve(0))
  })
}
