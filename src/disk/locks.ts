/** Waiting for each other within one disk. */

/** Ranges of numbers that are taken one at a time: who changes what clusters are mapped to takes them. */
export class RangeLocks {
  readonly #taken = new Set<{ first: number; last: number; released: Promise<void> }>()

  /** Whether some of the range is taken. */
  isTaken(first: number, last: number): boolean {
    for (const other of this.#taken) if (other.first <= last && first <= other.last) return true
    return false
  }

  /** Runs `task` while nobody else has any of `first` … `last`. */
  async run<T>(first: number, last: number, task: () => Promise<T>): Promise<T> {
    for (;;) {
      const waitFor = [...this.#taken].filter(other => other.first <= last && first <= other.last)
      if (waitFor.length === 0) break
      await Promise.all(waitFor.map(other => other.released))
    }
    const { promise: released, resolve } = Promise.withResolvers<void>()
    const mine = { first, last, released }
    this.#taken.add(mine)
    try {
      return await task()
    } finally {
      this.#taken.delete(mine)
      resolve()
    }
  }
}

/** One at a time, in the order of asking. */
export class Mutex {
  #last: Promise<unknown> | undefined

  /** Runs `task` when those that asked before are finished. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const before = this.#last
    const mine = before ? before.then(task, task) : task()
    this.#last = mine
    const end = () => {
      if (this.#last === mine) this.#last = undefined
    }
    mine.then(end, end)
    return mine
  }
}
