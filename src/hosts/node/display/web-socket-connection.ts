/** A viewer's connection by a WebSocket, as noVNC has it. */
import type { WebSocket } from 'ws'
import type { Connection } from '../../../display/rfb/connection.ts'

/** Bytes that may wait in the socket before the server does. */
const LIMIT = 256 * 1024

/** Milliseconds that a viewer may take nothing of what waits for it. */
const STALL_TIME = 30_000

/** A WebSocket. */
export class WebSocketConnection implements Connection {
  readonly peer: string
  readonly isLocal: boolean
  readonly #socket: WebSocket
  #chunks: Uint8Array[] = []
  #isEnded = false
  #wake: (() => void) | undefined

  /** Of an open socket with `binaryType` `nodebuffer`. */
  constructor(socket: WebSocket, peer: string, isLocal: boolean) {
    this.#socket = socket
    this.peer = peer
    this.isLocal = isLocal
    socket.on('message', data => {
      this.#chunks.push(data as Buffer)
      socket.pause()
      this.#wake?.()
    })
    const end = () => {
      this.#isEnded = true
      this.#wake?.()
    }
    socket.on('close', end)
    socket.on('error', end)
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#isEnded) return undefined
      this.#socket.resume()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
    return this.#chunks.shift()
  }

  write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket
    return new Promise((resolve, reject) => {
      if (this.#isEnded || socket.readyState !== socket.OPEN) {
        reject(gone())
        return
      }
      const timer = setTimeout(() => socket.terminate(), STALL_TIME)
      socket.send(bytes, { binary: true }, error => {
        clearTimeout(timer)
        if (error) reject(gone())
        else resolve()
      })
      // There is room for more: nobody waits for all of it to leave.
      if (socket.bufferedAmount < LIMIT) resolve()
    })
  }

  close(): void {
    this.#isEnded = true
    this.#socket.close()
    this.#wake?.()
  }
}

function gone(): Error {
  return Object.assign(new Error('the viewer has gone'), { code: 'EPIPE' })
}
