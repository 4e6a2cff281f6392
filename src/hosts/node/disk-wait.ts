/** Tells requests that took long because of the disk from those that took long because the host was busy. */
import fs from 'node:fs'

/** For how many requests after one that took long the thread's waits are measured: that is a system call before each. */
const WATCHED = 4
/** Longer than the three numbers in the file. */
const MOST_BYTES = 80

/** What {@link DiskWait} asks the host; tests replace it. */
export interface ThreadTimes {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Milliseconds for which this thread could have run and had no processor, since it began; undefined where the host does not tell. */
  waited(): number | undefined
  close(): void
}

/** The times of the thread that calls. */
export function threadTimes(): ThreadTimes {
  const bytes = Buffer.alloc(MOST_BYTES)
  let fd: number | undefined
  return {
    now: () => performance.now(),
    waited() {
      try {
        // Linux (proc_pid_schedstat(5)): nanoseconds on a processor, nanoseconds of waiting for one, turns. Not everywhere: CONFIG_SCHED_INFO.
        fd ??= fs.openSync('/proc/thread-self/schedstat', 'r')
        const words = bytes.toString('latin1', 0, fs.readSync(fd, bytes, 0, MOST_BYTES, 0)).split(' ')
        return words.length === 3 ? Number(words[1]) / 1e6 : undefined
      } catch {
        return undefined
      }
    },
    close() {
      if (fd !== undefined) fs.closeSync(fd)
      fd = undefined
    },
  }
}

/** Judges requests that a thread makes one after the other, and waits for. */
export class DiskWait {
  readonly #times: ThreadTimes
  /** How many more requests are measured. */
  #watched = 0
  #begun = 0
  #waitedBefore: number | undefined

  constructor(times: ThreadTimes = threadTimes()) {
    this.#times = times
  }

  /** A request begins. */
  begin(): void {
    this.#waitedBefore = undefined
    if (this.#watched > 0) {
      this.#watched--
      this.#waitedBefore = this.#times.waited()
    }
    this.#begun = this.#times.now()
  }

  /**
   * It is over.
   * @param limit milliseconds that it may take
   * @returns whether the disk took longer. The first that took long is let off where the next can be told.
   */
  end(limit: number): boolean {
    const took = this.#times.now() - this.#begun
    if (took <= limit) return false
    this.#watched = WATCHED
    const waited = this.#times.waited()
    if (waited === undefined) return true
    return this.#waitedBefore !== undefined && took - (waited - this.#waitedBefore) > limit
  }

  /** Nothing follows. */
  close(): void {
    this.#times.close()
  }
}
