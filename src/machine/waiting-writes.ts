/** Writes of disks that wait for the host, and the machine that waits with them. */
import type { WriteHelp } from '../disk/patient.ts'

/** Milliseconds between two tries. */
const RETRY = 2000

/** What the machine does meanwhile. */
export interface WaitingMachine {
  /** Stops the guest, and tells why. May come again with another sentence. */
  stop(sentence: string): void
  /** Every write has come to its end. */
  goOn(): void
}

/** Has the machine stopped while writes wait, and tries them again now and then. */
export class WaitingWrites implements WriteHelp {
  readonly #machine: WaitingMachine
  readonly #retry: number
  #count = 0
  /** The sentence that was told last. */
  #told: string | undefined
  #next: { promise: Promise<void>; resolve(): void; timer: ReturnType<typeof setTimeout> } | undefined

  /** @param retry milliseconds between two tries */
  constructor(machine: WaitingMachine, retry = RETRY) {
    this.#machine = machine
    this.#retry = retry
  }

  begin(): void {
    this.#count++
  }

  again(error: Error): Promise<void> {
    if (this.#told !== error.message) {
      this.#told = error.message
      this.#machine.stop(error.message)
    }
    if (!this.#next) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#next = { promise, resolve, timer: setTimeout(() => this.#try(), this.#retry) }
    }
    return this.#next.promise
  }

  end(): void {
    if (--this.#count > 0) return
    this.#told = undefined
    this.#machine.goOn()
  }

  /** Tries everything that waits at once; what fails again is told again. @returns whether anything waits */
  tryNow(): boolean {
    if (this.#count === 0) return false
    this.#told = undefined
    this.#try()
    return true
  }

  #try(): void {
    const next = this.#next
    this.#next = undefined
    if (!next) return
    clearTimeout(next.timer)
    next.resolve()
  }
}
