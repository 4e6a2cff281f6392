/** A port of a machine that is reached by TCP or a Unix socket, or reaches out by one. */
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net'
import { PatientPeer } from '../../machine/patient-peer.ts'
import type { SerialHub } from '../../machine/serial-hub.ts'
import type { Note, SerialLine, SerialPlace } from './serial-line.ts'
import { connectUnix, listenUnix } from './unix-socket.ts'
import { reasonOf, UserError } from './user-error.ts'

type SocketPlace = SerialPlace & { kind: 'tcp' | 'unix' }

/** Connections that a port has at the same time; further ones are closed. */
const MOST_CONNECTIONS = 16
/** How long a connection may take to come about, in milliseconds. */
const CONNECT_DEADLINE = 10_000
/** Milliseconds between attempts to connect again. */
const RECONNECT = 2000
/** How long what is on its way may take to leave when the machine has ended, in milliseconds. */
const PARTING = 1000

/** @throws UserError when it cannot be listened at, or connected to */
export async function openSocketLine(place: SocketPlace, note: Note): Promise<SerialLine> {
  const line = new SocketLine(place, note)
  await line.open()
  return line
}

/** An IPv6 address in brackets, anything else as it is. */
function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

class SocketLine implements SerialLine {
  name: string
  readonly #place: SocketPlace
  readonly #note: Note
  readonly #sockets = new Set<Socket>()
  readonly #peers = new Set<PatientPeer>()
  /** Dropped for connections that are gone. */
  #dropped = 0
  #server: Server | undefined
  /** Removes the server's socket, where it has a path. */
  #remove: (() => void) | undefined
  #hub: SerialHub | undefined
  #retry: NodeJS.Timeout | undefined
  #closing = false

  constructor(place: SocketPlace, note: Note) {
    this.#place = place
    this.#note = note
    const where = place.kind === 'tcp' ? `${hostText(place.host)}:${place.port}` : place.path
    this.name = `${place.kind}:${where}${place.connect ? ',connect' : ''}`
  }

  get connections(): number {
    return this.#sockets.size
  }

  get dropped(): number {
    return [...this.#peers].reduce((sum, { dropped }) => sum + dropped, this.#dropped)
  }

  async open(): Promise<void> {
    if (this.#place.connect) {
      try {
        this.#add(await this.#connect())
      } catch (error) {
        throw this.#refusal('cannot be connected to', error)
      }
      return
    }
    const server = createServer({ pauseOnConnect: true }, socket => this.#accept(socket))
    this.#server = server
    try {
      const place = this.#place
      if (place.kind === 'unix') {
        this.#remove = await listenUnix(server, place.path)
        if (!this.#remove) throw new UserError('another program listens there: choose another path')
      } else {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen({ host: place.host, port: place.port }, () => {
            server.off('error', reject)
            resolve()
          })
        })
        const { port } = server.address() as AddressInfo
        this.name = `tcp:${hostText(place.host)}:${port}`
        if (port !== place.port) this.#note(`listens at ${this.name}`)
      }
    } catch (error) {
      const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      throw this.#refusal(
        'cannot be listened at',
        inUse ? new Error('it is in use: choose another port, or 0 for a free one') : error,
      )
    }
    server.on('error', error => this.#note(`${this.name} takes no more connections: ${reasonOf(error)}`))
  }

  plug(hub: SerialHub): void {
    this.#hub = hub
    for (const socket of this.#sockets) this.#attach(socket, hub)
  }

  async close(): Promise<void> {
    this.#closing = true
    clearTimeout(this.#retry)
    this.#remove?.()
    this.#server?.close()
    const closed = [...this.#sockets].map(
      socket =>
        new Promise<void>(resolve => {
          socket.once('close', () => resolve())
          socket.end()
        }),
    )
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, PARTING)
    await Promise.all(closed)
    clearTimeout(timer)
  }

  #refusal(what: string, error: unknown): UserError {
    return new UserError(`${this.name} ${what}: ${reasonOf(error)}`)
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= MOST_CONNECTIONS || this.#closing) {
      socket.destroy()
      return
    }
    this.#add(socket)
  }

  #add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (this.#place.connect && !this.#closing) {
        this.#note(`the connection to ${this.name} is gone; it is tried again every ${RECONNECT / 1000} seconds`)
        this.#reconnectLater()
      }
    })
    if (this.#hub) this.#attach(socket, this.#hub)
  }

  #attach(socket: Socket, hub: SerialHub): void {
    const peer = new PatientPeer(
      bytes => new Promise((resolve, reject) => socket.write(bytes, error => (error ? reject(error) : resolve()))),
      () => socket.end(),
    )
    this.#peers.add(peer)
    const plug = hub.attach(peer)
    socket.on('data', (bytes: Buffer) => {
      // The next piece is read when the guest's side has taken this one.
      socket.pause()
      void plug.send(new Uint8Array(bytes)).then(() => socket.resume())
    })
    socket.on('close', () => {
      plug.detach()
      this.#peers.delete(peer)
      this.#dropped += peer.dropped
    })
    socket.resume()
  }

  async #connect(): Promise<Socket> {
    const place = this.#place
    if (place.kind === 'unix') return connectUnix(place.path)
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: place.host, port: place.port })
      const failed = (error: Error) => {
        socket.destroy()
        reject(error)
      }
      socket.setTimeout(CONNECT_DEADLINE, () => failed(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })))
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.setTimeout(0)
        socket.removeAllListeners('timeout')
        socket.off('error', failed)
        socket.pause()
        resolve(socket)
      })
    })
  }

  #reconnectLater(): void {
    this.#retry = setTimeout(async () => {
      try {
        const socket = await this.#connect()
        if (this.#closing) socket.destroy()
        else this.#add(socket)
      } catch {
        if (!this.#closing) this.#reconnectLater()
      }
    }, RECONNECT)
    this.#retry.unref()
  }
}
