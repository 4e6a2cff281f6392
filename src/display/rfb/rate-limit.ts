/** How much a viewer may ask of the guest: more is left in the network until there is time for it. */

/** A bucket of permissions that fills again. */
export class RateLimit {
  readonly #rate: number
  readonly #burst: number
  #left: number
  #last = performance.now()

  /** @param rate permissions a second @param burst how many there are at most, and to begin with */
  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
    this.#left = burst
  }

  /** Takes one permission, when there is one. */
  async take(): Promise<void> {
    while (this.#left < 1) {
      const now = performance.now()
      this.#left = Math.min(this.#burst, this.#left + ((now - this.#last) * this.#rate) / 1000)
      this.#last = now
      if (this.#left < 1) await new Promise(resolve => setTimeout(resolve, 20))
    }
    this.#left--
  }
}
