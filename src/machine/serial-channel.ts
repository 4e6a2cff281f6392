/** A serial port of the machine as web streams, with credits in both directions so that neither side outruns the other. */
import { SERIAL_WINDOW } from './messages.ts'

/** What the guest said and nobody reads is kept up to this many bytes; the oldest goes first. */
const UNREAD_LIMIT = 1 << 20

/** One serial port. */
export interface SerialPort {
  /** What the guest transmits. A reader that falls behind slows the guest; where nobody reads, old output is dropped. */
  readonly readable: ReadableStream<Uint8Array>
  /** What the guest receives, held until it listens. What is written after the machine's end is lost. */
  readonly writable: WritableStream<Uint8Array>
  /**
   * Tells the guest whether something is plugged in, which it is by default: by DSR and DCD of a serial port, or as a printer that is
   * ready. Without, its output goes on to appear in `readable`.
   */
  setConnected(connected: boolean): void
}

/** Where the guest prints to. */
export type ParallelPort = Pick<SerialPort, 'readable' | 'setConnected'>

/** The handle's side of one serial port. */
export class SerialChannel implements SerialPort {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  readonly #send: (bytes: Uint8Array) => void
  readonly #acknowledge: (count: number) => void
  readonly setConnected: (connected: boolean) => void
  /** Output that was not read yet, and whether its credit was given back already. */
  #queue: { bytes: Uint8Array; acknowledged: boolean }[] = []
  #queuedBytes = 0
  #cancelled = false
  #ended = false
  #controller!: ReadableStreamDefaultController<Uint8Array>
  /** Resolves the pull that waits for output. */
  #resolvePull: (() => void) | undefined
  /** Input bytes that the guest has not taken. */
  #inFlight = 0
  #resolveWrite: (() => void) | undefined

  /**
   * @param send carries input to the machine
   * @param acknowledge tells the machine that so many bytes of output were read
   * @param setConnected tells the machine whether something is plugged in
   */
  constructor(
    send: (bytes: Uint8Array) => void,
    acknowledge: (count: number) => void,
    setConnected: (connected: boolean) => void,
  ) {
    this.#send = send
    this.#acknowledge = acknowledge
    this.setConnected = setConnected
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
        cancel: () => {
          this.#cancelled = true
          for (const chunk of this.#queue) if (!chunk.acknowledged) acknowledge(chunk.bytes.length)
          this.#queue = []
        },
      },
      { highWaterMark: 0 },
    )
    this.writable = new WritableStream<Uint8Array>({ write: bytes => this.#write(bytes) }, { highWaterMark: 1 })
  }

  /** Output of the guest arrived. */
  deliver(bytes: Uint8Array): void {
    if (this.#cancelled) {
      this.#acknowledge(bytes.length)
      return
    }
    const unread = !this.readable.locked
    this.#queue.push({ bytes, acknowledged: unread })
    this.#queuedBytes += bytes.length
    if (unread) {
      this.#acknowledge(bytes.length)
      while (this.#queuedBytes > UNREAD_LIMIT && this.#queue.length > 1) this.#take()
    }
    this.#satisfyPull()
  }

  /** The guest took `count` bytes of input. */
  taken(count: number): void {
    this.#inFlight = Math.max(0, this.#inFlight - count)
    if (this.#inFlight >= SERIAL_WINDOW) return
    this.#resolveWrite?.()
    this.#resolveWrite = undefined
  }

  /** The machine ended: what is queued can still be read, then the stream closes. */
  end(): void {
    this.#ended = true
    this.taken(this.#inFlight)
    this.#satisfyPull()
    this.#closeIfDone()
  }

  #take(): Uint8Array {
    const chunk = this.#queue.shift()!
    this.#queuedBytes -= chunk.bytes.length
    if (!chunk.acknowledged) this.#acknowledge(chunk.bytes.length)
    return chunk.bytes
  }

  #pull(): Promise<void> | undefined {
    if (this.#queue.length > 0) {
      this.#controller.enqueue(this.#take())
      this.#closeIfDone()
      return undefined
    }
    return new Promise(resolve => {
      this.#resolvePull = resolve
    })
  }

  #satisfyPull(): void {
    const resolve = this.#resolvePull
    if (!resolve || (this.#queue.length === 0 && !this.#ended)) return
    this.#resolvePull = undefined
    if (this.#queue.length > 0) this.#controller.enqueue(this.#take())
    resolve()
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (!this.#ended || this.#queue.length > 0 || this.#cancelled) return
    this.#cancelled = true
    this.#controller.close()
  }

  #write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#ended || bytes.length === 0) return undefined
    this.#inFlight += bytes.length
    this.#send(bytes)
    if (this.#inFlight < SERIAL_WINDOW) return undefined
    return new Promise(resolve => {
      this.#resolveWrite = resolve
    })
  }
}
