/** The machine's side of one connection. */
import { type ControlCommand, type ControlTarget, checkParameters, type StreamAnswer } from './command.ts'
import {
  type Answer,
  type ByteStreams,
  encodeLine,
  type Greeting,
  IDLE_MILLISECONDS,
  type Json,
  LineReader,
  LONGEST_REQUEST,
  MOST_REQUESTS,
  PROTOCOL_VERSION,
  ProtocolError,
  parseRequest,
  type Request,
} from './protocol.ts'

/** How a connection is served. */
export interface ServeOptions {
  /** The commands by name. */
  commands: Readonly<Record<string, ControlCommand>>
  /** Milliseconds; see {@link IDLE_MILLISECONDS}. */
  idle?: number
}

/**
 * Serves a connection until it ends. Whatever a client does concerns its own connection only: it holds at most {@link MOST_REQUESTS}
 * requests and one line that is not complete, and goes when it breaks the protocol, idles or does not take its answers.
 * @returns when the connection is over; never rejects
 */
export async function serveControl(streams: ByteStreams, target: ControlTarget, options: ServeOptions): Promise<void> {
  const connection = new Connection(streams, target, options)
  try {
    await connection.serve()
  } catch {
    // The other side is gone.
  } finally {
    await connection.end()
  }
}

class Connection {
  readonly #target: ControlTarget
  readonly #commands: Readonly<Record<string, ControlCommand>>
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #lines = new LineReader(LONGEST_REQUEST)
  readonly #underWay = new Set<Promise<void>>()
  readonly #idle: number
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor({ readable, writable }: ByteStreams, target: ControlTarget, { commands, idle }: ServeOptions) {
    this.#target = target
    this.#commands = commands
    this.#idle = idle ?? IDLE_MILLISECONDS
    this.#reader = readable.getReader()
    this.#writer = writable.getWriter()
    this.#writer.closed.catch(() => {})
  }

  async serve(): Promise<void> {
    const greeting: Greeting = { typetwo: PROTOCOL_VERSION, name: this.#target.name, pid: this.#target.usage().pid }
    await this.#write(greeting)
    for (;;) {
      const request = await this.#next()
      if (request === undefined) return
      const command = Object.hasOwn(this.#commands, request.command) ? this.#commands[request.command] : undefined
      if (command?.streams) {
        await Promise.all(this.#underWay)
        if (await this.#stream(request, command)) return
        continue
      }
      const answered = this.#answer(request, command)
        .then(answer => this.#write(answer))
        .catch(() => this.#abort())
        .finally(() => {
          this.#underWay.delete(answered)
        })
      this.#underWay.add(answered)
      while (this.#underWay.size >= MOST_REQUESTS) await Promise.race(this.#underWay)
    }
  }

  /** Closes the connection when the last answers have left. */
  async end(): Promise<void> {
    clearTimeout(this.#timer)
    await Promise.all(this.#underWay)
    await this.#inTime(this.#writer.close()).catch(() => {})
    this.#abort()
  }

  /** The next request; undefined when there are no more. What breaks the protocol is answered. */
  async #next(): Promise<Request | undefined> {
    try {
      for (;;) {
        const line = this.#lines.next()
        if (line !== undefined) return parseRequest(line)
        this.#watchIdleness()
        const { value, done } = await this.#reader.read()
        if (done) return undefined
        this.#lines.push(value)
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      await this.#write({ error: error.message })
      return undefined
    }
  }

  /** Does what a request asks for. */
  async #run({ command: name, parameters = {} }: Request, command: ControlCommand | undefined) {
    if (command === undefined) {
      const all = Object.keys(this.#commands).join(', ')
      throw new Error(`machine '${this.#target.name}' knows no command '${name}', but ${all}`)
    }
    checkParameters(name, command.parameters, parameters)
    if (!command.early && this.#target.machine === undefined)
      throw new Error(`machine '${this.#target.name}' is still being made: try again in a moment`)
    return command.run(this.#target, parameters)
  }

  async #answer(request: Request, command: ControlCommand | undefined): Promise<Answer> {
    const { id } = request
    try {
      return { id, result: (await this.#run(request, command)) as Json }
    } catch (error) {
      return { id, error: sentenceOf(error) }
    }
  }

  /** Gives the connection to a command. @returns false where it was refused, and the connection goes on as before */
  async #stream(request: Request, command: ControlCommand): Promise<boolean> {
    clearTimeout(this.#timer)
    const { id } = request
    let answer: StreamAnswer
    try {
      answer = (await this.#run(request, command)) as StreamAnswer
    } catch (error) {
      await this.#write({ id, error: sentenceOf(error) })
      return false
    }
    // What the command writes queues up behind its result; it begins now, so that it has begun when the client reads that.
    this.#write({ id, result: answer.result }).catch(() => {})
    const first = this.#lines.rest()
    await answer.use({
      readable: new ReadableStream<Uint8Array>(
        {
          start: controller => {
            if (first.length > 0) controller.enqueue(first)
          },
          pull: async controller => {
            const { value, done } = await this.#reader.read()
            if (done) controller.close()
            else controller.enqueue(value)
          },
        },
        { highWaterMark: 0 },
      ),
      writable: new WritableStream<Uint8Array>({ write: bytes => this.#writer.write(bytes) }),
    })
    return true
  }

  #write(line: Greeting | Answer): Promise<void> {
    return this.#inTime(this.#writer.write(encodeLine(line)))
  }

  /** Gives up a connection whose other side does not take what it is sent. */
  async #inTime(sent: Promise<void>): Promise<void> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      this.#abort()
      reject(new Error('nobody takes the answer'))
    }, this.#idle)
    try {
      await Promise.race([sent, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Gives up a connection that asks for nothing. */
  #watchIdleness(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      if (this.#underWay.size > 0) this.#watchIdleness()
      else this.#abort()
    }, this.#idle)
  }

  #abort(): void {
    clearTimeout(this.#timer)
    this.#reader.cancel().catch(() => {})
    this.#writer.abort().catch(() => {})
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
