/** Which requests are made in the caller's own thread, because the host's cache is expected to answer. */

/** Most requests in a row that are left to other threads. */
const MOST = 32

/**
 * Counts requests that are left to other threads after one that took long. One that took long alone was late because the host was busy: only the
 * next is left to others, each of which would have to wait for its turn as well. Where one after the other takes long, the disk is asked: it is up to
 * {@link MOST} then.
 */
export class CachePatience {
  #left = 0
  #next = 1

  /** Whether the next request is for another thread. */
  get isElsewhere(): boolean {
    return this.#left > 0
  }

  /** A request was made in another thread. */
  wasElsewhere(): void {
    if (this.#left > 0) this.#left--
  }

  /** A request was made in this thread. @param isLate whether it took longer than the cache takes */
  wasHere(isLate: boolean): void {
    if (isLate) this.#left = this.#next
    this.#next = isLate ? Math.min(MOST, this.#next * 2) : Math.max(1, this.#next >> 1)
  }
}
