/** Finds on a guest's console what its kernel says when it gives up, so that the sentence at the end can tell it. */

/** As Linux writes it, kernel/panic.c. */
const PANIC = /Kernel panic - not syncing: [^\r\n]{0,200}/

/** The longest line that is looked at; a panic's is shorter. */
const LONGEST = 400

/** Follows a console. */
export class PanicWatch {
  /** The first panic, as the kernel wrote it. */
  message: string | undefined
  #line = ''

  /** Looks at the next bytes of the output. */
  watch(bytes: Uint8Array): void {
    if (this.message !== undefined) return
    const text = this.#line + Buffer.from(bytes).toString('latin1')
    const end = text.lastIndexOf('\n') + 1
    this.message = PANIC.exec(text.slice(0, end))?.[0].trimEnd()
    this.#line = text.slice(end).slice(0, LONGEST)
  }
}
