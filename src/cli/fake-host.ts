/** A host and a machine for tests: streams that are looked into, signals that are emitted, a guest that is told. */
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { TestInput, TestScreen } from '../display/test-screen.ts'
import type { Display } from '../hosts/node/display/display.ts'
import { openDisplay } from '../hosts/node/display/index.ts'
import { openSerialLine } from '../hosts/node/serial-line.ts'
import type { MachineEnd, Stats } from '../index.ts'
import { type ControlHost, nodeControl } from './control-host.ts'
import type { CommandHost, InputStream, MachineRequest, OutputStream, RunningMachine } from './host.ts'

/** A stream that keeps what was written; the next writes wait while `held`. */
export class FakeOutput extends Writable implements OutputStream {
  text = ''
  isTTY = false
  columns: number | undefined
  rows: number | undefined
  /** What a held stream waits for. */
  held: Promise<void> | undefined
  /** The error that writing gives. */
  failure: NodeJS.ErrnoException | undefined

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    const write = () => {
      if (!this.failure) this.text += Buffer.from(chunk).toString()
      done(this.failure)
    }
    if (this.held) this.held.then(write)
    else write()
  }
}

/** Input that is typed or piped by {@link Readable.push}. */
export class FakeInput extends Readable implements InputStream {
  isTTY = false
  raw = false
  /** What setting the terminal gives, where it fails. */
  rawFailure: Error | undefined

  override _read(): void {}

  setRawMode(raw: boolean): this {
    if (this.rawFailure) throw this.rawFailure
    this.raw = raw
    return this
  }
}

/** What the fake machine counts. */
export const NO_STATS: Stats = {
  instructions: 7,
  busySeconds: 0,
  guestSeconds: 0,
  exits: {},
  engine: 'none',
  engineStats: {},
  activities: [],
}

/** A machine whose guest is the test. */
export class FakeMachine extends EventTarget implements RunningMachine {
  readonly serial: RunningMachine['serial']
  readonly parallel: RunningMachine['parallel']
  readonly stopped: Promise<MachineEnd>
  readonly screen = new TestScreen(720, 400)
  readonly input = new TestInput()
  readonly keyboard = this.input.keyboard
  readonly mouse = this.input.mouse
  readonly drives = []
  state: RunningMachine['state'] = 'created'
  /** What was done to it, in order: `pause`, `resume`, `reset`, `power`. */
  readonly done: string[] = []
  /** What the guest has received. */
  received = ''
  started = false
  destroyed = false
  readonly sizes: string[] = []
  /** While set, the guest does not read its input. */
  deaf: Promise<void> | undefined
  readonly #output: TransformStream<Uint8Array, Uint8Array> = new TransformStream()
  readonly #writer = this.#output.writable.getWriter()
  readonly #stop: (end: MachineEnd) => void

  constructor() {
    super()
    const { promise, resolve } = Promise.withResolvers<MachineEnd>()
    this.stopped = promise
    this.#stop = resolve
    const writable = new WritableStream<Uint8Array>({
      write: async chunk => {
        await this.deaf
        this.received += Buffer.from(chunk).toString()
      },
    })
    const quiet = () => ({
      readable: new ReadableStream<Uint8Array>({
        start: controller => void this.stopped.then(() => controller.close()),
      }),
      writable: new WritableStream<Uint8Array>(),
      setConnected() {},
    })
    this.serial = [{ readable: this.#output.readable, writable, setConnected() {} }, quiet(), quiet(), quiet()]
    this.parallel = quiet()
  }

  /** The guest writes to its serial port. */
  print(text: string): Promise<void> {
    return this.#writer.write(new TextEncoder().encode(text))
  }

  /** The guest ends the machine. */
  end(end: MachineEnd): void {
    this.#stop(end)
    this.#writer.close().catch(() => {})
  }

  async start(): Promise<void> {
    this.started = true
    this.state = 'running'
  }

  async pause(): Promise<void> {
    this.done.push('pause')
    this.state = 'paused'
    this.dispatchEvent(new Event('statechange'))
  }

  async resume(): Promise<void> {
    this.done.push('resume')
    this.state = 'running'
    this.dispatchEvent(new Event('statechange'))
  }

  async reset(): Promise<void> {
    this.done.push('reset')
  }

  async pressPowerButton(): Promise<void> {
    this.done.push('power')
  }

  async keepCode(): Promise<void> {}

  async destroy(): Promise<void> {
    this.destroyed = true
    this.end({ reason: 'destroyed' })
  }

  async stats(): Promise<Stats> {
    return NO_STATS
  }

  profiler(): undefined {}

  async resizeConsole(columns: number, rows: number): Promise<void> {
    this.sizes.push(`${columns}x${rows}`)
  }
}

let folder: string | undefined

/** The folder of running machines of this process's tests. */
function runtimeFolder(): string {
  if (folder !== undefined) return folder
  folder = mkdtempSync(join(tmpdir(), 'typetwo-running-'))
  process.on('exit', () => rmSync(folder!, { recursive: true, force: true }))
  return folder
}

/** The process. */
export class FakeHost implements CommandHost {
  readonly stdin = new FakeInput()
  readonly stdout = new FakeOutput()
  readonly stderr = new FakeOutput()
  readonly events = new EventEmitter()
  readonly environment: Record<string, string> = { TERM: 'xterm' }
  readonly machine = new FakeMachine()
  /** Real ones, in a folder of the tests. */
  readonly control: ControlHost = { ...nodeControl({ XDG_RUNTIME_DIR: runtimeFolder() }), background: undefined }
  /** What the machine was made of. */
  request: MachineRequest | undefined
  suspended = 0
  /** The default guest, or why there is none. */
  guest: { kernel: string; initrd: string; append: string } | Error = new Error('there is no default guest')
  /** Why no machine is made. */
  refusal: Error | undefined

  availableMemory(): number {
    return 2 ** 30
  }

  suspend(): void {
    this.suspended++
  }

  async createMachine(request: MachineRequest): Promise<RunningMachine> {
    if (this.refusal) throw this.refusal
    this.request = request
    return this.machine
  }

  /** Paths of firmware by name. */
  firmwareFiles: Record<string, string[]> = {}

  openSerial: CommandHost['openSerial'] = openSerialLine

  /** The displays that were opened. */
  readonly displays: Display[] = []

  async openDisplay(...parameters: Parameters<CommandHost['openDisplay']>): Promise<Display> {
    const display = await openDisplay(...parameters)
    this.displays.push(display)
    return display
  }

  /** Paths and templates of variables that were opened. */
  readonly opened: string[][] = []

  async variables(path: string, template: string) {
    this.opened.push([path, template])
    return { read: async () => new Uint8Array(4096), write: async () => {} }
  }

  async firmware(name: string): Promise<string[]> {
    return this.firmwareFiles[name] ?? []
  }

  async defaultGuest(): Promise<{ kernel: string; initrd: string; append: string }> {
    if (this.guest instanceof Error) throw this.guest
    return this.guest
  }
}
