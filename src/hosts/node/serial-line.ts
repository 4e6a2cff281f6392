/** What a serial or parallel port of a machine is plugged into on this host: a file, a TCP connection, a Unix socket. */
import { type FileHandle, open } from 'node:fs/promises'
import type { SerialHub } from '../../machine/serial-hub.ts'
import { openSocketLine } from './serial-socket.ts'
import { reasonOf, UserError } from './user-error.ts'

/** Where a port leads. */
export type SerialPlace =
  /** The file is made; what it held is gone, once there is a machine, unless `append`. */
  | { kind: 'file'; path: string; append?: boolean }
  /** Listens at an address of this host, port 0 for a free one; or connects to another's. */
  | { kind: 'tcp'; host: string; port: number; connect?: boolean }
  /** Listens at a path; or connects to who does. */
  | { kind: 'unix'; path: string; connect?: boolean }

/** A place that was opened. */
export interface SerialLine {
  /** What it is, for people: `tcp:127.0.0.1:4000`, with the port that it really is. */
  readonly name: string
  /** Connections there are; for a file none. */
  readonly connections: number
  /** Bytes of the guest's that were lost on readers who stalled, or on a file that could not be written. */
  readonly dropped: number
  /** Connects it with a port. Called once. */
  plug(hub: SerialHub): void
  /** Gives what is on its way a moment to leave, and closes. */
  close(): Promise<void>
}

/** Tells a person what happens to a line. */
export type Note = (sentence: string) => void

/**
 * Opens a place.
 * @param note is told what goes wrong later
 * @throws UserError when it cannot be opened
 */
export function openSerialLine(place: SerialPlace, note: Note): Promise<SerialLine> {
  return place.kind === 'file' ? FileLine.open(place, note) : openSocketLine(place, note)
}

/** A file that gets what the guest sends. The guest waits for it. */
class FileLine implements SerialLine {
  readonly name: string
  readonly connections = 0
  dropped = 0
  readonly #file: FileHandle
  readonly #path: string
  readonly #note: Note
  readonly #append: boolean
  #failed = false
  /** The last write. */
  #written: Promise<void> = Promise.resolve()

  static async open({ path, append }: SerialPlace & { kind: 'file' }, note: Note): Promise<FileLine> {
    try {
      // What it holds stays until it is sure that there will be something else.
      return new FileLine(path, { file: await open(path, 'a'), append: append === true, note })
    } catch (error) {
      throw new UserError(`file '${path}' cannot be written: ${reasonOf(error)}`)
    }
  }

  private constructor(path: string, { file, append, note }: { file: FileHandle; append: boolean; note: Note }) {
    this.name = `file:${path}`
    this.#path = path
    this.#file = file
    this.#append = append
    this.#note = note
  }

  plug(hub: SerialHub): void {
    // Devices and pipes have no size to change.
    if (!this.#append) this.#written = this.#file.truncate(0).catch(() => {})
    hub.attach(
      {
        receive: bytes => {
          this.#written = this.#written.then(() => this.#write(bytes))
          return this.#written
        },
      },
      { listens: false },
    )
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; )
        done += (await this.#file.write(bytes, done, bytes.length - done)).bytesWritten
      this.#failed = false
    } catch (error) {
      this.dropped += bytes.length
      if (!this.#failed)
        this.#note(
          `file '${this.#path}' cannot be written (${reasonOf(error)}); what the guest sends is lost until it can be again`,
        )
      this.#failed = true
    }
  }

  async close(): Promise<void> {
    await this.#written
    await this.#file.close()
  }
}
