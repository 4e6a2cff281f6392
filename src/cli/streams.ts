/** Standard input into the guest and the guest into standard output, without losing a byte either way. */
import { reasonOf } from '../hosts/node/user-error.ts'
import type { InputStream, OutputStream } from './host.ts'
import { findEscapeKey } from './terminal.ts'

/**
 * How much typed input waits for a guest that does not read. The keyboard is read on, so that the escape key always
 * works; what a person pastes beyond this is dropped.
 */
const TYPED_LIMIT = 1024 * 1024

/** What the pump of standard input tells. */
export interface InputListener {
  /** The escape key was pressed. */
  quit(): void
  /** The terminal is gone. */
  hangup(): void
  /** Something a person should know. */
  note(sentence: string): void
}

/**
 * Pumps what is piped into standard input to the guest. The next piece is read when the guest's side has taken the one
 * before, so nothing is lost and nothing piles up here. The end of the input is not the end of the guest: `guest` stays
 * open.
 */
export async function pumpPiped(stdin: InputStream, guest: WritableStream<Uint8Array>, listener: InputListener) {
  const writer = guest.getWriter()
  // A machine that ends while input waits refuses the rest.
  writer.closed.catch(() => {})
  let empty = true
  try {
    for await (const chunk of stdin) {
      empty = false
      await writer.ready
      await writer.write(new Uint8Array(chunk)).catch(() => {})
    }
    if (empty)
      listener.note('standard input is empty and no terminal, so the guest gets no input; Ctrl-C or SIGTERM ends it')
  } catch (error) {
    listener.note(`standard input cannot be read any more (${reasonOf(error)}), so the guest gets no more input`)
  }
}

/** Sends what a person types to the guest, and watches for the escape key. */
export function pumpTyped(stdin: InputStream, guest: WritableStream<Uint8Array>, listener: InputListener): void {
  const writer = guest.getWriter()
  writer.closed.catch(() => {})
  let waiting = 0
  let dropping = false
  stdin.on('data', (keys: Uint8Array) => {
    const end = findEscapeKey(keys)
    const typed = end < 0 ? keys : keys.subarray(0, end)
    if (typed.length > 0 && waiting + typed.length <= TYPED_LIMIT) {
      dropping = false
      waiting += typed.length
      const taken = () => {
        waiting -= typed.length
      }
      writer.write(new Uint8Array(typed)).then(taken, taken)
    } else if (typed.length > 0 && !dropping) {
      dropping = true
      listener.note('the guest does not read its input; what is typed now is dropped')
    }
    if (end >= 0) listener.quit()
  })
  stdin.on('end', () => listener.hangup())
  stdin.on('error', () => listener.hangup())
}

/** Standard output: one piece at a time, so that a slow reader slows the guest and not our memory. */
export class Output {
  readonly #stream: OutputStream
  /** Resolves when nobody reads any more, with the reason. */
  readonly broken: Promise<NodeJS.ErrnoException>

  constructor(stream: OutputStream) {
    this.#stream = stream
    this.broken = new Promise(resolve => stream.on('error', resolve))
  }

  /** Writes; resolves when the system has taken all of it, or there is no reader any more. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise(resolve => this.#stream.write(bytes, () => resolve()))
  }

  /**
   * Writes everything that the guest sends until it has ended.
   * @param watch sees the bytes first
   */
  async pump(guest: ReadableStream<Uint8Array>, watch: (bytes: Uint8Array) => void): Promise<void> {
    for await (const bytes of guest) {
      watch(bytes)
      await this.write(bytes)
    }
  }
}
