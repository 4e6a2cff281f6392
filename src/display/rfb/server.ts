/** A server of RFB: any number of viewers of one machine, none of which another or the guest has to wait for. */
import type { Keyboard, Mouse } from '../../machine/input.ts'
import type { Screen } from '../../machine/screen.ts'
import { ScreenFollower } from '../follower.ts'
import { PasswordGuard } from './authentication.ts'
import { type ByteReader, Gone } from './byte-reader.ts'
import type { Connection } from './connection.ts'
import type { DeflateOnce, MakeDeflater } from './encodings/encoder.ts'
import { type Security, shakeHands } from './handshake.ts'
import { ProtocolError } from './protocol.ts'
import { SendBuffers } from './send-buffers.ts'
import { Session } from './session.ts'

/** What a server is made of. */
export interface RfbServerOptions {
  readonly screen: Screen
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  /** What viewers call the machine. */
  readonly name: string
  /** The password, where viewers have to know one; 8 characters of it count. */
  readonly password?: string
  /** Whether connections have `startTls`, and viewers must use it. */
  readonly tls?: boolean
  /** One block of DES, ECB, with a key of 8 bytes. */
  readonly encryptDes: Security['encryptDes']
  /** Bytes that nobody can guess. */
  readonly random: Security['random']
  readonly makeDeflater: MakeDeflater
  readonly deflateOnce: DeflateOnce
  /** One sentence for whoever runs the server. */
  log(sentence: string): void
  /** Waits after a wrong password; tests need not. */
  readonly delay?: (milliseconds: number) => Promise<void>
  /** Milliseconds that a viewer has until it may see the screen: people type passwords in them. Default: 2 minutes. */
  readonly handshakeTime?: number
  /** Milliseconds to wait for the first picture of a machine that has none yet. */
  readonly firstPictureTime?: number
}

/** Viewers that may see the screen at once, and connections that are not so far. */
const MOST_VIEWERS = 256
const MOST_STRANGERS = 64

const HANDSHAKE_TIME = 120_000
const FIRST_PICTURE_TIME = 1000

/** The size that a viewer is told when there is no picture: that of text. */
const NO_PICTURE = { width: 720, height: 400 }

/** Serves one machine's screen, keyboard and mouse. */
export class RfbServer {
  readonly #options: RfbServerOptions
  readonly #follower: ScreenFollower
  readonly #guard: PasswordGuard
  readonly #buffers = new SendBuffers()
  /** Connections that have not shown that they may see the screen, the oldest first. */
  readonly #strangers = new Set<Connection>()
  readonly #viewers = new Set<Connection>()

  /** Nothing is served until {@link serve}. */
  constructor(options: RfbServerOptions) {
    this.#options = options
    this.#follower = new ScreenFollower(options.screen)
    this.#guard = new PasswordGuard(options.log, options.delay)
  }

  /** Viewers that see the screen. */
  get viewers(): number {
    return this.#viewers.size
  }

  /**
   * Serves a connection until it ends; it never rejects.
   * @param isTrusted whether somebody else has looked at who it is: no password is asked for then, and no TLS
   */
  async serve(connection: Connection, isTrusted = false): Promise<void> {
    const { peer } = connection
    // Whoever never finishes a handshake makes room for those who come later.
    if (this.#strangers.size >= MOST_STRANGERS) {
      const [oldest] = this.#strangers
      this.#strangers.delete(oldest)
      oldest.close()
    }
    this.#strangers.add(connection)
    let current = connection
    try {
      const welcomed = await this.#welcome(connection, isTrusted)
      current = welcomed.connection
      if (this.#viewers.size >= MOST_VIEWERS) throw new ProtocolError(`there are ${MOST_VIEWERS} viewers already`)
      this.#strangers.delete(connection)
      this.#viewers.add(current)
      await this.#firstPicture()
      await new Session(current, welcomed.reader, {
        ...this.#options,
        follower: this.#follower,
        buffers: this.#buffers,
      }).run()
    } catch (error) {
      if (error instanceof ProtocolError) this.#options.log(`the viewer at ${peer} was sent away: ${error.message}`)
      else if (!(error instanceof Gone) && !isEnd(error))
        this.#options.log(`the viewer at ${peer} failed: ${(error as Error).message}`)
    } finally {
      this.#strangers.delete(connection)
      this.#viewers.delete(current)
      current.close()
      connection.close()
    }
  }

  /** Sends everybody away. */
  close(): void {
    for (const connection of [...this.#strangers, ...this.#viewers]) connection.close()
  }

  async #welcome(connection: Connection, isTrusted: boolean): Promise<{ connection: Connection; reader: ByteReader }> {
    const { encryptDes, random, password, tls, handshakeTime = HANDSHAKE_TIME } = this.#options
    const timer = setTimeout(() => connection.close(), handshakeTime)
    try {
      const secrets = isTrusted ? {} : { password, tls }
      const welcomed = await shakeHands(connection, { encryptDes, random, guard: this.#guard, ...secrets })
      // ClientInit: everybody shares, and a viewer that wants the screen for itself does not get it.
      await welcomed.reader.bytes(1)
      return welcomed
    } finally {
      clearTimeout(timer)
    }
  }

  /** A viewer learns the size of the screen first of all: waits for it, where nobody has looked yet. */
  async #firstPicture(): Promise<void> {
    const follower = this.#follower
    if (follower.width > 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = () => resolve()
    const look = { waits: true, copies: false, resized: done, changed: done, ended: done }
    const timer = setTimeout(resolve, this.#options.firstPictureTime ?? FIRST_PICTURE_TIME)
    follower.add(look)
    await promise
    clearTimeout(timer)
    follower.delete(look)
    if (follower.width === 0) follower.resize(NO_PICTURE.width, NO_PICTURE.height)
  }
}

/** The connection ended in the middle of something. */
function isEnd(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ERR_STREAM_DESTROYED', 'ETIMEDOUT'].includes(
    (error as { code?: string } | undefined)?.code ?? '',
  )
}
