/** A peer of a serial port that may stall: it holds the guest back for a while, but not for ever, and keeps nothing that grows. */
import type { SerialPeer } from './serial-hub.ts'

/** How a {@link PatientPeer} waits. */
export interface Patience {
  /** Bytes that may be on their way before the guest waits; default 256 KiB. */
  limit?: number
  /** Milliseconds that the guest waits for room; default 1000. */
  milliseconds?: number
}

/**
 * Carries what the guest sends to somebody who reads at will. A reader that is slow slows the guest. One that makes no room within
 * the time given counts as stalled: what the guest sends from then on is dropped, and counted, until the reader has taken all that
 * was on its way before.
 */
export class PatientPeer implements SerialPeer {
  /** Bytes that were dropped so far. */
  dropped = 0
  readonly #write: (bytes: Uint8Array) => Promise<void>
  readonly #limit: number
  readonly #milliseconds: number
  readonly #onEnd: () => void
  #waiting = 0
  #stalled = false
  #failure: { error: unknown } | undefined
  #roomMade = () => {}

  /**
   * @param write gives bytes to the reader's queue at once, and resolves when they have left it; what it rejects with unplugs the
   *   reader
   * @param end the machine has ended
   */
  constructor(write: (bytes: Uint8Array) => Promise<void>, end: () => void, patience: Patience = {}) {
    this.#write = write
    this.#onEnd = end
    this.#limit = patience.limit ?? 256 * 1024
    this.#milliseconds = patience.milliseconds ?? 1000
  }

  async receive(bytes: Uint8Array): Promise<void> {
    if (this.#stalled && this.#waiting > 0) {
      this.dropped += bytes.length
      return
    }
    this.#stalled = false
    this.#waiting += bytes.length
    const left = () => {
      this.#waiting -= bytes.length
      this.#roomMade()
    }
    this.#write(bytes).then(left, error => {
      this.#failure ??= { error }
      left()
    })
    const deadline = performance.now() + this.#milliseconds
    while (this.#waiting >= this.#limit && !this.#failure) {
      const rest = deadline - performance.now()
      if (rest <= 0) {
        this.#stalled = true
        return
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, rest)
        this.#roomMade = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    if (this.#failure) throw this.#failure.error
  }

  end(): void {
    this.#onEnd()
  }
}
