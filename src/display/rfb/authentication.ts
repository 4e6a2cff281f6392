/** Slows down whoever guesses passwords, and says so. */

/** Milliseconds after the first wrong password; twice that after each further one. */
const FIRST_DELAY = 1000
const LONGEST_DELAY = 30_000

/** Addresses that are remembered, and attempts that one may have waiting. */
const MOST_ADDRESSES = 1024
const MOST_WAITING = 4

/** What is known of an address. */
interface Address {
  failures: number
  waiting: number
  /** The last attempt, after which the next is looked at. */
  turn: Promise<void>
}

/** Attempts by address. */
export class PasswordGuard {
  readonly #log: (sentence: string) => void
  readonly #delay: (milliseconds: number) => Promise<void>
  readonly #addresses = new Map<string, Address>()

  /** @param delay waits, so that tests need not */
  constructor(log: (sentence: string) => void, delay = (milliseconds: number) => sleep(milliseconds)) {
    this.#log = log
    this.#delay = delay
  }

  /**
   * Makes an attempt, after those that came before from the same address; the answer to a wrong one takes its time.
   * @returns whether it was right, or undefined where too many wait already
   */
  async attempt(peer: string, check: () => Promise<boolean> | boolean): Promise<boolean | undefined> {
    const key = networkOf(peer)
    let address = this.#addresses.get(key)
    if (!address) {
      if (this.#addresses.size >= MOST_ADDRESSES) this.#forget()
      address = { failures: 0, waiting: 0, turn: Promise.resolve() }
      this.#addresses.set(key, address)
    }
    if (address.waiting >= MOST_WAITING) {
      this.#log(`${peer} tries too many passwords at once`)
      return undefined
    }
    const known = address
    known.waiting++
    const result = known.turn.then(async () => {
      if (await check()) {
        known.failures = 0
        return true
      }
      known.failures++
      const wait = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (known.failures - 1))
      const times = known.failures === 1 ? 'once' : `${known.failures} times`
      this.#log(`wrong password from ${peer}, ${times} in a row: it waits for ${wait / 1000} s`)
      await this.#delay(wait)
      return false
    })
    known.turn = result.then(
      () => {},
      () => {},
    )
    try {
      return await result
    } finally {
      known.waiting--
      if (known.waiting === 0 && known.failures === 0) this.#addresses.delete(key)
    }
  }

  /** Makes room: the oldest that nobody waits for. */
  #forget(): void {
    for (const [key, { waiting }] of this.#addresses)
      if (waiting === 0) {
        this.#addresses.delete(key)
        return
      }
  }
}

/** What of an address one sender can hardly change: all of IPv4's, the network of IPv6's; a port is no part of it. */
export function networkOf(peer: string): string {
  const [, v6] = /^\[(.*)\](?::\d+)?$/.exec(peer) ?? []
  const address = (v6 ?? peer.replace(/:\d+$/, '')).replace(/^::ffff:(?=\d+\.)/i, '')
  return address.includes(':') ? address.split(':').slice(0, 4).join(':') : address
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, milliseconds)
  })
}
