/** Standard input into the guest and the guest into standard output, without losing a byte either way. */
import { reasonOf } from '../hosts/node/user-error.ts'
import type { SerialPlug } from '../machine/serial-hub.ts'
import type { InputStream, OutputStream } from './host.ts'
import { findEscapeKey } from './terminal.ts'

/**
 * How much typed input waits for a guest that does not read. The keyboard is read on, so that the escape key always
 * works; what a person pastes beyond this is dropped.
 */
const TYPED_LIMIT = 1024 * 1024

/** The guest's end: takes input, and resolves when more may come. */
export type GuestInput = Pick<SerialPlug, 'send'>

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
 * before, so nothing is lost and nothing piles up here. The end of the input is not the end of the guest.
 */
export async function pumpPiped(stdin: InputStream, guest: GuestInput, listener: InputListener) {
  let empty = true
  try {
    for await (const chunk of stdin) {
      empty = false
      await guest.send(new Uint8Array(chunk))
    }
    if (empty)
      listener.note('standard input is empty and no terminal, so the guest gets no input; Ctrl-C or SIGTERM ends it')
  } catch (error) {
    listener.note(`standard input cannot be read any more (${reasonOf(error)}), so the guest gets no more input`)
  }
}

/** Sends what a person types to the guest, and watches for the escape key. */
export function pumpTyped(stdin: InputStream, guest: GuestInput, listener: InputListener): void {
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
      guest.send(new Uint8Array(typed)).then(taken, taken)
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
}
