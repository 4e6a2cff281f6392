/** A machine for tests of displays: a screen that the test draws, ports that it speaks by, and notes of what was done to it. */
import { TestInput, TestScreen } from '../../../display/test-screen.ts'
import type { MachineEnd } from '../../../machine/messages.ts'
import { SerialHub } from '../../../machine/serial-hub.ts'
import type { Shown, ShownMachine, ShownPort } from './display.ts'

/** The machine. */
export class TestMachine extends EventTarget {
  readonly screen: TestScreen
  readonly input = new TestInput()
  readonly keyboard = this.input.keyboard
  readonly mouse = this.input.mouse
  readonly stopped: Promise<MachineEnd>
  state: ShownMachine['state'] = 'running'
  /** What was done to it, in order. */
  readonly done: string[] = []
  readonly drives = ['disk0', 'cdrom0', 'floppy0'].map(name => ({
    name,
    kind: name.slice(0, -1),
    insert: async (source: unknown, options: unknown) =>
      void this.done.push(`insert ${name} ${source} ${JSON.stringify(options)}`),
    eject: async ({ force = false } = {}) => {
      if (!force) throw new Error(`the guest holds the medium of ${name}`)
      this.done.push(`eject ${name}`)
    },
  }))
  /** What the guest has received by each port. */
  readonly received = ['', '', '', '']
  readonly ports: ShownPort[]
  readonly #writers: WritableStreamDefaultWriter<Uint8Array>[]
  #end!: (end: MachineEnd) => void

  constructor(screen: TestScreen = TestScreen.picture(640, 400)) {
    super()
    this.screen = screen
    this.stopped = new Promise(resolve => {
      this.#end = resolve
    })
    const pipes = this.received.map(() => new TransformStream<Uint8Array, Uint8Array>())
    this.#writers = pipes.map(pipe => pipe.writable.getWriter())
    this.ports = pipes.map(({ readable }, n) => {
      const write = (bytes: Uint8Array) => {
        this.received[n] += Buffer.from(bytes).toString()
      }
      return {
        name: `COM${n + 1}`,
        hub: new SerialHub({ readable, writable: new WritableStream({ write }), setConnected() {} }),
      }
    })
  }

  /** The guest says something by a port. */
  async print(port: number, text: string): Promise<void> {
    await this.#writers[port].write(new TextEncoder().encode(text))
  }

  /** The machine ends. */
  end(end: MachineEnd): void {
    this.state = 'stopped'
    this.#end(end)
  }

  /** As a display gets it. */
  shown(): Shown {
    const turnOff = () => {
      this.done.push('off')
      this.end({ reason: 'destroyed' })
    }
    return { machine: this as unknown as ShownMachine, name: 'test machine', ports: this.ports, turnOff }
  }

  async pause(): Promise<void> {
    this.#become('paused')
  }

  async resume(): Promise<void> {
    this.#become('running')
  }

  async reset(): Promise<void> {
    this.done.push('reset')
    this.dispatchEvent(new Event('restart'))
  }

  async pressPowerButton(): Promise<void> {
    this.done.push('power')
  }

  #become(state: ShownMachine['state']): void {
    this.done.push(state)
    this.state = state
    this.dispatchEvent(new Event('statechange'))
  }
}
