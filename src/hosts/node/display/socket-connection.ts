/** A viewer's connection by a socket of the host. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Connection } from '../../../display/rfb/connection.ts'
import { gone, Incoming, STALL_TIME } from './incoming.ts'
import type { Certificate } from './listen.ts'

/** Milliseconds for TLS to begin. */
const TLS_TIME = 30_000

/** How a {@link SocketConnection} is made. */
export interface SocketConnectionOptions {
  /** For TLS, where it may be asked for. */
  readonly certificate?: Certificate
  /** Milliseconds that a viewer may take nothing. */
  readonly stallTime?: number
}

/** A socket. */
export class SocketConnection implements Connection {
  readonly peer: string
  readonly isLocal: boolean
  readonly #socket: Socket
  readonly #options: SocketConnectionOptions
  readonly #incoming: Incoming
  readonly #onData = (chunk: Buffer) => {
    this.#socket.pause()
    this.#incoming.add(chunk)
  }
  readonly #onEnd = () => this.#incoming.end()

  /** @param peer where it comes from, for messages; @param isLocal whether from this host */
  constructor(socket: Socket, peer: string, isLocal: boolean, options: SocketConnectionOptions = {}) {
    this.#socket = socket
    this.peer = peer
    this.isLocal = isLocal
    this.#options = options
    this.#incoming = new Incoming(() => socket.resume())
    socket.pause()
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onEnd)
    socket.on('error', this.#onEnd)
    socket.pause()
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#incoming.read()
  }

  write(bytes: Uint8Array, sent?: () => void): Promise<void> {
    const socket = this.#socket
    return new Promise((resolve, reject) => {
      if (socket.destroyed || !socket.writable) {
        reject(gone())
        return
      }
      const isRoom = socket.write(bytes, error => {
        if (!error) sent?.()
        if (!isRoom || !sent) return
        if (error) reject(gone())
        else resolve()
      })
      if (isRoom) {
        if (!sent) resolve()
        return
      }
      const settle = (error?: Error) => {
        clearTimeout(timer)
        socket.off('drain', onDrain)
        socket.off('close', onClose)
        if (error) reject(error)
        else resolve()
      }
      const onDrain = () => settle()
      const onClose = () => settle(gone())
      // Whoever takes nothing for so long is not there any more.
      const timer = setTimeout(() => socket.destroy(), this.#options.stallTime ?? STALL_TIME)
      socket.on('drain', onDrain)
      socket.on('close', onClose)
    })
  }

  close(): void {
    this.#socket.destroy()
    this.#onEnd()
  }

  startTls(): Promise<Connection> {
    const { certificate } = this.#options
    if (!certificate) throw new Error('there is no certificate')
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    return new Promise((resolve, reject) => {
      const secure = new TLSSocket(socket, {
        isServer: true,
        secureContext: certificate.context,
      } as ConstructorParameters<typeof TLSSocket>[1])
      const timer = setTimeout(() => socket.destroy(), TLS_TIME)
      const fail = () => {
        clearTimeout(timer)
        socket.destroy()
        reject(gone())
      }
      secure.once('error', fail)
      socket.once('close', fail)
      secure.once('secure', () => {
        clearTimeout(timer)
        secure.off('error', fail)
        socket.off('close', fail)
        resolve(new SocketConnection(secure, this.peer, this.isLocal, this.#options))
      })
    })
  }
}
