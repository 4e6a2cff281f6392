/**
 * The protocol by which a running machine is controlled: lines of JSON in UTF-8 over a byte stream, such as a Unix socket that only
 * the machine's owner can open.
 *
 * The machine's side begins with a greeting:
 *
 *     {"typetwo":1,"name":"web1","pid":4711}
 *
 * Then the client asks, and gets an answer to everything it asked, in the order in which answers are ready:
 *
 *     {"id":1,"command":"eject","parameters":{"drive":"cdrom0"}}
 *     {"id":1,"result":{}}
 *     {"id":2,"command":"eject","parameters":{"drive":"disk9"}}
 *     {"id":2,"error":"there is no drive 'disk9' …"}
 *
 * `id` is any number of the client's. The commands are in `commands.ts`. Some, as `console`, turn the connection into their stream:
 * behind the line of the result both directions carry bytes of the command's own, and nothing else follows. Such a command is done
 * when everything that was asked before is answered.
 *
 * Who sends something else gets `{"error":"…"}` and the end of the connection, and so does who asks for nothing for
 * {@link IDLE_MILLISECONDS}, or does not take an answer for as long. A connection that ends in one direction has ended.
 */

/** The version of the protocol, which the greeting tells. Commands and results may grow within a version. */
export const PROTOCOL_VERSION = 1

/** Most bytes of a line that the machine's side takes. */
export const LONGEST_REQUEST = 1 << 20

/** Most bytes of a line that a client takes: pictures of screens are among them. */
export const LONGEST_ANSWER = 64 << 20

/** Requests of one connection that are under way at the same time; further ones wait in the connection. */
export const MOST_REQUESTS = 16

/** How long a connection may be idle, or leave an answer lying: milliseconds. */
export const IDLE_MILLISECONDS = 60_000

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined }

/** The machine's first line. */
export interface Greeting {
  /** {@link PROTOCOL_VERSION} */
  typetwo: number
  /** The machine's name. */
  name: string
  /** The process it runs in. */
  pid: number
}

/** A line of the client. */
export interface Request {
  id: number
  command: string
  parameters?: { readonly [name: string]: Json | undefined }
}

/** A line of the machine's side after the greeting; without `id` it ends the connection. */
export type Answer = { id: number; result: Json } | { id?: number; error: string }

/** A connection: bytes in both directions. */
export interface ByteStreams {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}

/** What the other side sent breaks the protocol. The message is a sentence. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}

/** A value as a line. */
export function encodeLine(value: Greeting | Request | Answer): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`)
}

const NEWLINE = 0x0a
/** Pieces of a line before they are joined. */
const MOST_PIECES = 1024

/** Takes a stream of bytes apart into lines, and keeps no more than one of them. */
export class LineReader {
  readonly #longest: number
  #pieces: Uint8Array[] = []
  #length = 0
  /** There is an end of a line among the pieces. */
  #hasLine = false

  /** @param longest most bytes of a line */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** Adds bytes that arrived. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#pieces.push(bytes)
    this.#length += bytes.length
    this.#hasLine ||= bytes.includes(NEWLINE)
    // Many small pieces take more memory than their bytes.
    if (this.#pieces.length > MOST_PIECES) this.#pieces = [this.#joined()]
  }

  /**
   * Takes the next line, without its end.
   * @returns undefined where more bytes are needed
   * @throws ProtocolError where the line is too long or not UTF-8
   */
  next(): string | undefined {
    if (!this.#hasLine) {
      if (this.#length > this.#longest) throw this.#tooLong()
      return undefined
    }
    const all = this.rest()
    const end = all.indexOf(NEWLINE)
    this.push(all.subarray(end + 1))
    if (end > this.#longest) throw this.#tooLong()
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(all.subarray(0, end))
    } catch {
      throw new ProtocolError('a line is not UTF-8')
    }
  }

  /** Takes what no line was made of. */
  rest(): Uint8Array {
    const all = this.#joined()
    this.#pieces = []
    this.#length = 0
    this.#hasLine = false
    return all
  }

  #tooLong(): ProtocolError {
    return new ProtocolError(`a line is longer than ${this.#longest} bytes`)
  }

  #joined(): Uint8Array {
    if (this.#pieces.length === 1) return this.#pieces[0]
    const all = new Uint8Array(this.#length)
    let length = 0
    for (const piece of this.#pieces) {
      all.set(piece, length)
      length += piece.length
    }
    return all
  }
}

/**
 * Understands a line of a client.
 * @throws ProtocolError
 */
export function parseRequest(line: string): Request {
  const value = parseObject(line)
  const { id, command, parameters } = value as Partial<Request>
  if (typeof id !== 'number') throw new ProtocolError('a request needs a number as its id')
  if (typeof command !== 'string') throw new ProtocolError('a request needs the name of its command')
  if (parameters !== undefined && !isObject(parameters)) throw new ProtocolError('parameters are an object')
  return { id, command, parameters }
}

/** Understands the machine's first line. @throws ProtocolError where it is none, or of another version */
export function parseGreeting(line: string): Greeting {
  const value = parseObject(line) as Partial<Greeting> & { error?: unknown }
  if (typeof value.error === 'string') throw new ProtocolError(value.error)
  if (typeof value.typetwo !== 'number' || typeof value.name !== 'string' || typeof value.pid !== 'number')
    throw new ProtocolError('that is no machine of typetwo')
  if (value.typetwo !== PROTOCOL_VERSION)
    throw new ProtocolError(
      `the machine speaks version ${value.typetwo} of the protocol, and this typetwo version ${PROTOCOL_VERSION}`,
    )
  return value as Greeting
}

/** Understands a further line of the machine's. @throws ProtocolError */
export function parseAnswer(line: string): Answer {
  const value = parseObject(line) as Partial<{ id: number; result: Json; error: string }>
  if (typeof value.error === 'string') return { id: value.id, error: value.error }
  if (typeof value.id !== 'number' || value.result === undefined) throw new ProtocolError('that is no answer')
  return { id: value.id, result: value.result }
}

function parseObject(line: string): object {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new ProtocolError('a line is not JSON')
  }
  if (!isObject(value)) throw new ProtocolError('a line is not a JSON object')
  return value
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
