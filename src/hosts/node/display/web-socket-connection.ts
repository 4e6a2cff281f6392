/** A viewer's connection by a WebSocket, as noVNC has it. */
import type { WebSocket } from 'ws'
import type { Connection } from '../../../display/rfb/connection.ts'
import { gone, Incoming, STALL_TIME } from './incoming.ts'

/** Bytes that may wait in the socket before the server does. */
const LIMIT = 256 * 1024

/** A WebSocket. */
export class WebSocketConnection implements Connection {
  readonly peer: string
  readonly isLocal: boolean
  readonly #socket: WebSocket
  readonly #incoming: Incoming

  /** Of an open socket with `binaryType` `nodebuffer`. */
  constructor(socket: WebSocket, peer: string, isLocal: boolean) {
    this.#socket = socket
    this.peer = peer
    this.isLocal = isLocal
    this.#incoming = new Incoming(() => socket.resume())
    socket.on('message', data => {
      socket.pause()
      this.#incoming.add(data as Buffer)
    })
    socket.on('close', () => this.#incoming.end())
    socket.on('error', () => this.#incoming.end())
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#incoming.read()
  }

  write(bytes: Uint8Array, sent?: () => void): Promise<void> {
    const socket = this.#socket
    return new Promise((resolve, reject) => {
      if (this.#incoming.isEnded || socket.readyState !== socket.OPEN) {
        reject(gone())
        return
      }
      const timer = setTimeout(() => socket.terminate(), STALL_TIME)
      socket.send(bytes, { binary: true }, error => {
        clearTimeout(timer)
        if (error) {
          reject(gone())
          return
        }
        sent?.()
        resolve()
      })
      // There is room for more: nobody waits for all of it to leave, unless its buffer is to be used again.
      if (!sent && socket.bufferedAmount < LIMIT) resolve()
    })
  }

  close(): void {
    this.#socket.close()
    this.#incoming.end()
  }
}
