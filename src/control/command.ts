/** What a command of the control protocol is, and what it acts on. */
import type { Machine } from '../machine/machine.ts'
import type { SerialHub } from '../machine/serial-hub.ts'
import type { ByteStreams, Json } from './protocol.ts'

/** The part of the library's machine that commands use. */
export type ControlMachine = Pick<
  Machine,
  | 'state'
  | 'serial'
  | 'drives'
  | 'pause'
  | 'resume'
  | 'reset'
  | 'pressPowerButton'
  | 'resizeConsole'
  | 'stats'
  | 'screen'
  | 'keyboard'
  | 'mouse'
>

/** A port of the machine. */
export interface ControlPort {
  /** `COM1` to `COM4`, `LPT1`. */
  readonly name: string
  /** Where it leads, as the user said: `stdio`, `none`, `tcp:127.0.0.1:4000` … */
  readonly leads: string
  readonly hub: SerialHub
  readonly line?: { readonly connections: number; readonly dropped: number }
}

/** A machine that commands act on. */
export interface ControlTarget {
  readonly name: string
  /** Undefined while it is still being made. */
  readonly machine: ControlMachine | undefined
  /** COM1 to COM4 and LPT1; empty while it is still being made. */
  readonly ports: readonly ControlPort[]
  /** What people want to know of how it was started: plain values by name, as `boots`, `memory`, `engine`. */
  readonly facts: { readonly [name: string]: Json | undefined }
  readonly started: Date
  /** What its process has used. */
  usage(): { pid: number; cpuSeconds: number; residentBytes: number }
  /** Ends it, as pulling the plug does. */
  powerOff(): void
}

/** What a parameter is: a question mark behind it where it may be left out. */
export type ParameterKind = 'string' | 'number' | 'boolean' | 'string?' | 'number?' | 'boolean?'

/** The kinds of a command's parameters by their names. */
export type ParameterKinds = { readonly [name: string]: ParameterKind }

type ValueOf<Kind> = Kind extends `string${string}` ? string : Kind extends `number${string}` ? number : boolean

/** The values of parameters, checked. */
export type ParameterValues<Kinds extends ParameterKinds> = {
  readonly [Name in keyof Kinds as Kinds[Name] extends `${string}?` ? never : Name]: ValueOf<Kinds[Name]>
} & {
  readonly [Name in keyof Kinds as Kinds[Name] extends `${string}?` ? Name : never]?: ValueOf<Kinds[Name]>
}

/** An answer after which the connection carries the command's own bytes. */
export class StreamAnswer {
  readonly result: Json
  /**
   * Uses the connection until it resolves; the connection is closed then, when what was written has left. What the client sent behind
   * its request comes first.
   */
  readonly use: (streams: ByteStreams) => Promise<void>

  constructor(result: Json, use: (streams: ByteStreams) => Promise<void>) {
    this.result = result
    this.use = use
  }
}

/** A command that somebody may ask for. */
export interface ControlCommand {
  readonly parameters: ParameterKinds
  /** Whether it answers with a {@link StreamAnswer}. */
  readonly streams?: boolean
  /** Whether it works while the machine is still being made. */
  readonly early?: boolean
  /**
   * Does it.
   * @throws Error with one sentence, which is the answer then
   */
  run(target: ControlTarget, parameters: object): Promise<Json | StreamAnswer>
}

/** A target whose machine has been made. */
export type ReadyTarget = ControlTarget & { readonly machine: ControlMachine }

/**
 * Makes a command, with its parameters' types known to the function that does it. To add one: make it in a file of its own, and put it
 * into the table of `commands.ts` under its name.
 */
export function controlCommand<const Kinds extends ParameterKinds>(command: {
  parameters: Kinds
  run(target: ReadyTarget, parameters: ParameterValues<Kinds>): Promise<Json>
}): ControlCommand {
  return command as ControlCommand
}

/** Makes a command whose connection then carries its own bytes. */
export function streamCommand<const Kinds extends ParameterKinds>(command: {
  parameters: Kinds
  run(target: ReadyTarget, parameters: ParameterValues<Kinds>): Promise<StreamAnswer>
}): ControlCommand {
  return { ...command, streams: true } as ControlCommand
}

/** Makes a command that works while the machine is still being made. */
export function earlyCommand<const Kinds extends ParameterKinds>(command: {
  parameters: Kinds
  run(target: ControlTarget, parameters: ParameterValues<Kinds>): Promise<Json>
}): ControlCommand {
  return { ...command, early: true } as ControlCommand
}

/**
 * Looks whether parameters are what a command takes.
 * @throws Error with one sentence
 */
export function checkParameters(
  name: string,
  kinds: ParameterKinds,
  given: { readonly [name: string]: Json | undefined },
): void {
  for (const parameter of Object.keys(given))
    if (!Object.hasOwn(kinds, parameter)) throw new Error(`command '${name}' has no parameter '${parameter}'`)
  for (const [parameter, kind] of Object.entries(kinds)) {
    const value = given[parameter]
    if (value === undefined && kind.endsWith('?')) continue
    const wanted = kind.replace('?', '')
    if (typeof value !== wanted || (typeof value === 'number' && !Number.isFinite(value)))
      throw new Error(`command '${name}' needs a ${wanted} as its parameter '${parameter}'`)
  }
}
