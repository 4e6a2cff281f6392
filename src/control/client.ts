/** The client's side of a connection to a machine. */
import {
  type Answer,
  type ByteStreams,
  encodeLine,
  type Greeting,
  type Json,
  LineReader,
  LONGEST_ANSWER,
  ProtocolError,
  parseAnswer,
  parseGreeting,
} from './protocol.ts'

/** A request that was sent. */
interface Pending {
  /** Its answer is the last line: what follows is its stream. */
  streams: boolean
  resolve(result: Json): void
  reject(error: Error): void
}

/** A connection to a machine. */
export class ControlClient {
  /** What the machine said of itself. */
  readonly greeting: Greeting
  /** Resolves when the machine's side has closed the connection, or it broke. */
  readonly closed: Promise<void>
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #lines: LineReader
  readonly #pending = new Map<number, Pending>()
  #next = 1

  /**
   * Waits for the greeting.
   * @throws ProtocolError where the other side is no machine, or of another version
   */
  static async connect({ readable, writable }: ByteStreams): Promise<ControlClient> {
    const reader = readable.getReader()
    const lines = new LineReader(LONGEST_ANSWER)
    for (;;) {
      const line = lines.next()
      if (line !== undefined) return new ControlClient(parseGreeting(line), reader, writable.getWriter(), lines)
      const { value, done } = await reader.read()
      if (done) throw new ProtocolError('the connection ended before the machine said anything')
      lines.push(value)
    }
  }

  private constructor(
    greeting: Greeting,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    writer: WritableStreamDefaultWriter<Uint8Array>,
    lines: LineReader,
  ) {
    this.greeting = greeting
    this.#reader = reader
    this.#writer = writer
    this.#writer.closed.catch(() => {})
    this.#lines = lines
    this.closed = this.#read()
  }

  /**
   * Asks for a command.
   * @returns its result
   * @throws Error with the machine's sentence, or that the machine has gone
   */
  call(command: string, parameters: { readonly [name: string]: Json | undefined } = {}): Promise<Json> {
    return this.#request(command, parameters, false)
  }

  /** Asks for a command whose connection then carries its own bytes; nothing else can be asked for from then on. @throws as {@link call} */
  async stream(
    command: string,
    parameters: { readonly [name: string]: Json | undefined } = {},
  ): Promise<{ result: Json; streams: ByteStreams }> {
    const result = await this.#request(command, parameters, true)
    await this.closed
    const first = this.#lines.rest()
    const reader = this.#reader
    const readable = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          if (first.length > 0) controller.enqueue(first)
        },
        async pull(controller) {
          const { value, done } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        },
        cancel: () => reader.cancel(),
      },
      { highWaterMark: 0 },
    )
    const writer = this.#writer
    const writable = new WritableStream<Uint8Array>({
      write: bytes => writer.write(bytes),
      close: () => writer.close(),
      abort: () => writer.abort(),
    })
    return { result, streams: { readable, writable } }
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    await this.#writer.close().catch(() => {})
    await this.#reader.cancel().catch(() => {})
  }

  #request(command: string, parameters: object, streams: boolean): Promise<Json> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { streams, resolve, reject })
      this.#writer
        .write(encodeLine({ id, command, parameters: parameters as { [name: string]: Json } }))
        .catch(() => this.#fail(this.#gone()))
    })
  }

  /** Reads answers until the connection ends or becomes a stream. */
  async #read(): Promise<void> {
    try {
      for (;;) {
        const line = this.#lines.next()
        if (line === undefined) {
          const { value, done } = await this.#reader.read()
          if (done) break
          this.#lines.push(value)
        } else if (this.#take(parseAnswer(line))) return
      }
      this.#fail(this.#gone())
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? error : this.#gone())
    }
  }

  /** @returns whether the connection is a stream from here on */
  #take(answer: Answer): boolean {
    if (answer.id === undefined) throw new ProtocolError('error' in answer ? answer.error : 'that is no answer')
    const pending = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if ('error' in answer) pending?.reject(new Error(answer.error))
    else pending?.resolve(answer.result)
    return 'result' in answer && pending?.streams === true
  }

  #gone(): Error {
    return new Error(`machine '${this.greeting.name}' has ended`)
  }

  #fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }
}
