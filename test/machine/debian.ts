/** The default guest for whole-machine tests: Debian's kernel and busybox, from the cache or made of its packages. */
import { readFile } from 'node:fs/promises'
import { ensureDefaultGuest, type GuestArchitecture } from '../../src/hosts/node/index.ts'

/** A guest's images. */
export interface GuestImages {
  kernel: Uint8Array
  initrd: Uint8Array
  commandLine: string
}

/** The guest of an architecture, or why it is not to be had here (a host without Debian's apt). */
export async function debianGuest(arch: GuestArchitecture = 'amd64'): Promise<GuestImages | string> {
  try {
    const { kernel, initrd, append } = await ensureDefaultGuest({ arch })
    return { kernel: await readFile(kernel), initrd: await readFile(initrd), commandLine: append }
  } catch (error) {
    return `no default guest: ${(error as Error).message}`
  }
}

/** Collects a stream's text and tells when it contains something. */
export class Transcript {
  text = ''
  readonly #waiters: { pattern: string; from: number; resolve: () => void; reject: (error: Error) => void }[] = []

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#collect(stream)
  }

  /** Resolves when `pattern` appears in what comes from `from` on. */
  until(pattern: string, from = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ pattern, from, resolve, reject })
      this.#look(false)
    })
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const bytes of stream) {
      this.text += decoder.decode(bytes, { stream: true })
      this.#look(false)
    }
    this.#look(true)
  }

  #look(ended: boolean): void {
    for (const waiter of this.#waiters.splice(0)) {
      if (this.text.indexOf(waiter.pattern, waiter.from) >= 0) waiter.resolve()
      else if (ended)
        waiter.reject(new Error(`the machine ended without '${waiter.pattern}': ${this.text.slice(-2000)}`))
      else this.#waiters.push(waiter)
    }
  }
}
