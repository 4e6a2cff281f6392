/** What the connections of viewers have in common: what has arrived, and how they end. */

/** Pieces that have arrived, for one reader. */
export class Incoming {
  readonly #chunks: Uint8Array[] = []
  readonly #more: () => void
  #isEnded = false
  #wake: (() => void) | undefined

  /** @param more asks the other side for another piece: nothing is asked for before somebody reads */
  constructor(more: () => void) {
    this.#more = more
  }

  /** Nothing comes any more. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  add(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#wake?.()
  }

  end(): void {
    this.#isEnded = true
    this.#wake?.()
  }

  /** The next piece, or undefined behind the last. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#isEnded) return undefined
      this.#more()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
    return this.#chunks.shift()
  }
}

/** Milliseconds that a viewer may take nothing of what waits for it: then it is not there any more. */
export const STALL_TIME = 30_000

/** The error of a write to a viewer that is not there any more. */
export function gone(): Error {
  return Object.assign(new Error('the viewer has gone'), { code: 'EPIPE' })
}
