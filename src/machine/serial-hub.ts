/** What is plugged into a port of a machine: anything, and more than one thing at a time. */
import type { ParallelPort, SerialPort } from './serial-channel.ts'

/** What the guest said while nobody listened is kept for the first who does, up to so many bytes; the oldest go first. */
const UNHEARD_LIMIT = 64 * 1024
/** In at most so many pieces. */
const UNHEARD_PIECES = 256

/** Something at the other end of the cable, as a program may plug it in. */
export interface SerialPeer {
  /**
   * Takes what the guest sent; the bytes are the peer's to keep, not to change. The guest is held back until this returns or
   * resolves, so that a peer that must not lose anything needs no queue. A rejection unplugs the peer.
   */
  receive(bytes: Uint8Array): Promise<void> | void
  /** The machine has ended, and the peer has got everything. */
  end?(): void
}

/** A peer's end of the cable. */
export interface SerialPlug {
  /** Sends to the guest. Resolves when more may come; what the guest does not take waits. Never rejects. */
  send(bytes: Uint8Array): Promise<void>
  /** Unplugs the peer: it gets nothing more. May be called again. */
  detach(): void
}

/** How a peer is plugged in. */
export interface AttachOptions {
  /** Whether what it gets counts as heard; a record of everything, as a file is, sets false. Default: true. */
  listens?: boolean
  /** Whether the guest sees something plugged in even when this peer has gone. Default: false. */
  lasting?: boolean
}

/** A plugged-in peer. */
interface Attached {
  peer: SerialPeer
  listens: boolean
  /** What it got last was taken, or it has gone. */
  taken: Promise<void>
  /** Resolves with its going: nobody waits for it any more. */
  readonly gone: PromiseWithResolvers<void>
}

/**
 * Shares a port between peers: every one gets all that the guest sends from then on, and the guest gets what any of them sends. The
 * slowest holds the guest back; see {@link PatientPeer} for one that may stall. The guest sees by the modem lines whether there is
 * any. The port's streams belong to the hub.
 */
export class SerialHub {
  /** Resolves when the machine has ended and every peer has got everything. */
  readonly ended: Promise<void>
  readonly #port: SerialPort | ParallelPort
  readonly #writer: WritableStreamDefaultWriter<Uint8Array> | undefined
  readonly #watch: (bytes: Uint8Array) => void
  readonly #attached = new Set<Attached>()
  #unheard: Uint8Array[] = []
  #unheardBytes = 0
  #lasting = false
  #isEnded = false
  /** What the guest was told last; it begins with something plugged in. */
  #connected = true

  /**
   * @param port nobody else may use its streams
   * @param options `lasting`: the guest sees something plugged in though there is no peer yet; `watch` sees what the guest sends,
   *   without being a peer
   */
  constructor(
    port: SerialPort | ParallelPort,
    { lasting = false, watch = () => {} }: { lasting?: boolean; watch?: (bytes: Uint8Array) => void } = {},
  ) {
    this.#port = port
    this.#watch = watch
    this.#lasting = lasting
    this.#writer = 'writable' in port ? port.writable.getWriter() : undefined
    this.#writer?.closed.catch(() => {})
    this.#tellGuest()
    this.ended = this.#pump()
  }

  /** How many peers there are. */
  get peers(): number {
    return this.#attached.size
  }

  /** Plugs a peer in. The first one that listens gets what nobody heard so far. */
  attach(peer: SerialPeer, { listens = true, lasting = false }: AttachOptions = {}): SerialPlug {
    const attached: Attached = { peer, listens, taken: Promise.resolve(), gone: Promise.withResolvers() }
    const unheard = listens ? this.#unheard : []
    if (listens) {
      this.#unheard = []
      this.#unheardBytes = 0
    }
    if (lasting) this.#lasting = true
    this.#attached.add(attached)
    this.#tellGuest()
    for (const bytes of unheard) this.#give(attached, bytes)
    if (this.#isEnded) attached.taken.then(() => peer.end?.())
    return {
      send: async bytes => {
        if (this.#attached.has(attached)) await this.#writer?.write(bytes).catch(() => {})
      },
      detach: () => this.#detach(attached),
    }
  }

  async #pump(): Promise<void> {
    for await (const bytes of this.#port.readable) {
      this.#watch(bytes)
      if (![...this.#attached].some(({ listens }) => listens)) this.#keep(bytes)
      for (const attached of this.#attached) this.#give(attached, bytes)
      await Promise.all([...this.#attached].map(({ taken }) => taken))
    }
    this.#isEnded = true
    const all = [...this.#attached]
    await Promise.all(all.map(({ taken }) => taken))
    for (const { peer } of all) peer.end?.()
  }

  #give(attached: Attached, bytes: Uint8Array): void {
    const taken = attached.taken
      .then(() => (this.#attached.has(attached) ? attached.peer.receive(bytes) : undefined))
      .catch(() => this.#detach(attached))
    attached.taken = Promise.race([taken, attached.gone.promise])
  }

  #keep(bytes: Uint8Array): void {
    this.#unheard.push(bytes)
    this.#unheardBytes += bytes.length
    while (this.#unheardBytes - this.#unheard[0].length >= UNHEARD_LIMIT)
      this.#unheardBytes -= this.#unheard.shift()!.length
    if (this.#unheard.length < UNHEARD_PIECES) return
    const all = new Uint8Array(this.#unheardBytes)
    let length = 0
    for (const piece of this.#unheard) {
      all.set(piece, length)
      length += piece.length
    }
    this.#unheard = [all]
  }

  #detach(attached: Attached): void {
    this.#attached.delete(attached)
    attached.gone.resolve()
    this.#tellGuest()
  }

  #tellGuest(): void {
    const connected = this.#lasting || this.#attached.size > 0
    if (connected === this.#connected) return
    this.#connected = connected
    this.#port.setConnected(connected)
  }
}
