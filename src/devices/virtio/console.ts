import type { VirtioDevice, VirtioTransport } from './device.ts'

const TYPE_CONSOLE = 3
const CLASS_COMMUNICATION = 0x078000
const VIRTIO_CONSOLE_F_SIZE = 0
const VIRTIO_CONSOLE_F_EMERG_WRITE = 2
/** The configuration: columns, rows, ports, emergency write. */
const CONFIG_BYTES = 12
const EMERGENCY_WRITE = 8

const RECEIVE_QUEUE = 0
const TRANSMIT_QUEUE = 1
const QUEUE_SIZE = 128
/** How many received bytes wait for the guest before {@link VirtioConsole.receive} refuses more. */
const INPUT_LIMIT = 0x10000
/** Output is handed on in pieces of at most this. */
const OUTPUT_PIECE = 0x10000
/** No more than this of one buffer is taken as output; a driver's buffers are a page. */
const OUTPUT_LIMIT = 0x100000

/** The terminal at the other end of the console. */
export interface ConsoleEndpoint {
  /** Bytes that the guest wrote. */
  transmit(bytes: Uint8Array): void
  /** {@link VirtioConsole.receive} refused bytes before and now has room again. */
  receiveReady?(): void
}

interface ConsoleState {
  columns: number
  rows: number
  /** Bytes from outside that the guest has not taken. */
  input: Uint8Array
  refused: boolean
}

/** A virtio console with one port (Virtual I/O Device 1.2, chapter 5.3), and the size of its window. */
export class VirtioConsole implements VirtioDevice {
  readonly name: string
  readonly version = 1
  readonly type = TYPE_CONSOLE
  readonly classCode = CLASS_COMMUNICATION
  readonly features = [VIRTIO_CONSOLE_F_SIZE, VIRTIO_CONSOLE_F_EMERG_WRITE]
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE]
  state: ConsoleState = { columns: 80, rows: 25, input: new Uint8Array(0), refused: false }
  readonly #endpoint: ConsoleEndpoint
  #transport: VirtioTransport | undefined

  constructor(endpoint: ConsoleEndpoint, name = 'virtio-console') {
    this.#endpoint = endpoint
    this.name = name
  }

  attach(transport: VirtioTransport): void {
    this.#transport = transport
  }

  /**
   * Bytes that arrive from outside.
   * @returns how many were taken; the rest is the caller's to offer again, at the latest on `receiveReady`.
   */
  receive(bytes: Uint8Array): number {
    const s = this.state
    const taken = Math.min(bytes.length, INPUT_LIMIT - s.input.length)
    if (taken < bytes.length) s.refused = true
    if (taken > 0) {
      const input = new Uint8Array(s.input.length + taken)
      input.set(s.input)
      input.set(bytes.subarray(0, taken), s.input.length)
      s.input = input
      this.#deliver()
    }
    return taken
  }

  /** The terminal's window has another size, in characters. */
  resize(columns: number, rows: number): void {
    const s = this.state
    const clamp = (value: number) => Math.max(0, Math.min(0xffff, Math.floor(value)))
    if (s.columns === clamp(columns) && s.rows === clamp(rows)) return
    s.columns = clamp(columns)
    s.rows = clamp(rows)
    this.#transport?.configurationChanged()
  }

  configuration(): Uint8Array {
    const bytes = new Uint8Array(CONFIG_BYTES)
    const view = new DataView(bytes.buffer)
    view.setUint16(0, this.state.columns, true)
    view.setUint16(2, this.state.rows, true)
    view.setUint32(4, 1, true)
    return bytes
  }

  writeConfiguration(offset: number, bytes: Uint8Array): void {
    if (offset === EMERGENCY_WRITE) this.#endpoint.transmit(bytes.slice(0, 1))
  }

  start(): void {
    this.notify(TRANSMIT_QUEUE)
    this.#deliver()
  }

  notify(queue: number): void {
    if (queue === RECEIVE_QUEUE) this.#deliver()
    else this.#transmit()
  }

  #transmit(): void {
    const queue = this.#transport!.queue(TRANSMIT_QUEUE)
    for (let count = 0; count < QUEUE_SIZE; count++) {
      const chain = queue.pop()
      if (chain === undefined) break
      const length = Math.min(chain.readableLength, OUTPUT_LIMIT)
      for (let offset = 0; offset < length; offset += OUTPUT_PIECE)
        this.#endpoint.transmit(chain.read(offset, Math.min(OUTPUT_PIECE, length - offset)))
      queue.push(chain)
    }
    queue.signal()
  }

  /** Input into the buffers that the guest has made available. */
  #deliver(): void {
    const s = this.state
    if (!this.#transport?.running) return
    const queue = this.#transport.queue(RECEIVE_QUEUE)
    while (s.input.length > 0) {
      const chain = queue.pop()
      if (chain === undefined) break
      s.input = s.input.slice(chain.write(s.input))
      queue.push(chain)
    }
    queue.signal()
    if (s.refused && s.input.length <= INPUT_LIMIT / 2) {
      s.refused = false
      this.#endpoint.receiveReady?.()
    }
  }

  /** The queues are gone; what the guest has not taken waits for the next driver. */
  reset(): void {}
}
