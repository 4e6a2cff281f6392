/** A serial port for pages: what was said last is kept, so that whoever comes sees more than an empty terminal. */
import type { WebSocket } from 'ws'
import { PatientPeer } from '../../../machine/patient-peer.ts'
import type { SerialHub } from '../../../machine/serial-hub.ts'

/** Bytes that are kept. */
const KEPT = 64 * 1024

/** Bytes of a page's that wait for the guest before the page does. */
const INPUT_LIMIT = 16 * 1024

/** One port. */
export class SerialRecord {
  readonly #hub: SerialHub
  readonly #ring = new Uint8Array(KEPT)
  /** Resolves once the guest has said something. */
  readonly heard: Promise<void>
  #hear: (() => void) | undefined
  /** Bytes that came so far. */
  #count = 0

  /** Records from now on. */
  constructor(hub: SerialHub) {
    this.#hub = hub
    this.heard = new Promise(resolve => {
      this.#hear = resolve
    })
    hub.attach({ receive: bytes => this.#record(bytes) }, { listens: false })
  }

  /** Whether the guest has said anything. */
  get isHeard(): boolean {
    return this.#count > 0
  }

  #record(bytes: Uint8Array): void {
    this.#hear?.()
    const last = bytes.subarray(Math.max(0, bytes.length - KEPT))
    let at = (this.#count + bytes.length - last.length) % KEPT
    this.#count += bytes.length
    for (let from = 0; from < last.length; ) {
      const part = Math.min(last.length - from, KEPT - at)
      this.#ring.set(last.subarray(from, from + part), at)
      from += part
      at = (at + part) % KEPT
    }
  }

  /** What was said last. */
  recent(): Uint8Array {
    if (this.#count <= KEPT) return this.#ring.slice(0, this.#count)
    const at = this.#count % KEPT
    const bytes = new Uint8Array(KEPT)
    bytes.set(this.#ring.subarray(at))
    bytes.set(this.#ring.subarray(0, at), KEPT - at)
    return bytes
  }

  /** Connects a page. */
  serve(socket: WebSocket): void {
    const send = (bytes: Uint8Array) =>
      new Promise<void>((resolve, reject) => {
        if (socket.readyState === socket.OPEN)
          socket.send(bytes, { binary: true }, error => (error ? reject(error) : resolve()))
        else reject(new Error('the page has gone'))
      })
    send(this.recent()).catch(() => {})
    // The hub would give whoever comes first what nobody has heard yet, which the record has too.
    const peer = new PatientPeer(send, () => socket.close(1000, 'the machine has ended'))
    const plug = this.#hub.attach(peer, { listens: false })
    socket.on('close', () => plug.detach())
    let waiting = 0
    socket.on('message', data => {
      const bytes = Uint8Array.from(data as Buffer)
      waiting += bytes.length
      if (waiting > INPUT_LIMIT) socket.pause()
      void plug.send(bytes).then(() => {
        waiting -= bytes.length
        if (waiting <= INPUT_LIMIT) socket.resume()
      })
    })
  }
}
