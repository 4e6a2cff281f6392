/** The worker's side of the serial ports: output collected between turns, input kept until the guest takes it. */
import { BYTE_STREAM_COUNT, type FromWorker, SERIAL_WINDOW } from './messages.ts'

/** Bytes that leave at once instead of waiting for the turn's end. */
const CHUNK = 16 * 1024

/** Output of one port. */
interface Output {
  buffer: Uint8Array
  length: number
  /** Bytes sent that the reader has not taken yet. */
  inFlight: number
}

/** Buffers of all serial ports of a machine. */
export class SerialBuffers {
  readonly #post: (message: FromWorker, transfer?: ArrayBuffer[]) => void
  readonly #receive: (port: number, bytes: Uint8Array) => number
  readonly #outputs: Output[] = Array.from({ length: BYTE_STREAM_COUNT }, () => ({
    buffer: new Uint8Array(CHUNK),
    length: 0,
    inFlight: 0,
  }))
  readonly #inputs: Uint8Array[][] = Array.from({ length: BYTE_STREAM_COUNT }, () => [])

  /**
   * @param post sends a message to the handle
   * @param receive offers bytes to the guest's port, which takes the first so many
   */
  constructor(
    post: (message: FromWorker, transfer?: ArrayBuffer[]) => void,
    receive: (port: number, bytes: Uint8Array) => number,
  ) {
    this.#post = post
    this.#receive = receive
  }

  /** The guest transmitted a byte. */
  transmit(port: number, byte: number): void {
    const output = this.#outputs[port]
    output.buffer[output.length++] = byte
    if (output.length === CHUNK) this.#send(port)
  }

  /** Sends what was collected. False while a reader is so far behind that the guest has to wait. */
  flush(): boolean {
    let keepsUp = true
    for (const [port, output] of this.#outputs.entries()) {
      if (output.length > 0) this.#send(port)
      if (output.inFlight >= SERIAL_WINDOW) keepsUp = false
    }
    return keepsUp
  }

  /** The reader of a port has taken `count` bytes. */
  read(port: number, count: number): void {
    const output = this.#outputs[port]
    output.inFlight = Math.max(0, output.inFlight - count)
  }

  /** Input from outside. */
  write(port: number, bytes: Uint8Array): void {
    this.#inputs[port].push(bytes)
    this.feed(port)
  }

  /** Offers what waits to the guest. */
  feed(port: number): void {
    const input = this.#inputs[port]
    let count = 0
    while (input.length > 0) {
      const taken = this.#receive(port, input[0])
      count += taken
      if (taken < input[0].length) {
        if (taken > 0) input[0] = input[0].subarray(taken)
        break
      }
      input.shift()
    }
    if (count > 0) this.#post({ type: 'serial-written', port, count })
  }

  #send(port: number): void {
    const output = this.#outputs[port]
    const bytes = output.buffer.slice(0, output.length)
    output.length = 0
    output.inFlight += bytes.length
    this.#post({ type: 'serial', port, bytes }, [bytes.buffer])
  }
}
