/** The worker's side of a screen: draws when somebody looks, no oftener than is of use, and says what it drew. */

import type { TextCells } from '../devices/vga/cells.ts'
import type { PictureArea } from '../devices/vga/picture.ts'
import type { FromWorker } from './messages.ts'

/** What is shown. */
export interface Display {
  /** Draws what has changed. @returns its areas */
  update(): PictureArea[]
  /** The picture that was drawn. */
  readonly picture: { readonly width: number; readonly height: number }
  /** The characters, while it is text. */
  cells(): TextCells | undefined
  /** Whoever looks would like so many pixels: the guest is told, where the adapter can tell it. */
  resize?(width: number, height: number): void
}

/** Milliseconds between two pictures that are told. */
const INTERVAL = 1000 / 60
/** Milliseconds after which a screen that was changing is looked at again where nothing has changed: its picture may be under way. */
const SOON = 4
/** Milliseconds for which a screen counts as changing. */
const CHANGING = 100
/** Of a thread's time drawing takes at most one part in so many. */
const SHARE = 5

/** How the host waits; tests replace it. */
export interface ScreenHost {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Calls back after at least `milliseconds`; the returned function cancels. */
  after(milliseconds: number, callback: () => void): () => void
}

const realHost: ScreenHost = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds)
    return () => clearTimeout(timer)
  },
}

/** Serves one screen to its handle. */
export class ScreenServer {
  readonly #display: Display
  readonly #post: (message: FromWorker) => void
  readonly #host: ScreenHost
  #watched = false
  /** The handle has taken what it was told of. */
  #taken = true
  /** Pictures that the handle has not copied yet. */
  #uncopied = 0
  /** Somebody has begun to look, who knows nothing yet. */
  #whole = false
  #cancel: (() => void) | undefined
  /** When the next picture may be told: by a beat that goes on, so that a timer that is late costs no picture. Milliseconds. */
  #due = Number.NEGATIVE_INFINITY
  /** When the last update began, and when the last picture was told. */
  #began = Number.NEGATIVE_INFINITY
  #told = Number.NEGATIVE_INFINITY
  /** How long an update takes: what the cheap ones among the last took, as the host may stand still in any of them. */
  #cost = 0

  constructor(display: Display, post: (message: FromWorker) => void, host: ScreenHost = realHost) {
    this.#display = display
    this.#post = post
    this.#host = host
  }

  /** Changes are wanted, or no more. */
  watch(on: boolean): void {
    this.#watched = on
    this.#whole = on
    this.#taken = true
    if (on) this.#schedule()
    else this.stop()
  }

  /** The handle has taken what it was told of last. */
  taken(): void {
    this.#taken = true
    this.#schedule()
  }

  /** The handle has copied a picture. */
  copied(): void {
    this.#uncopied = Math.max(0, this.#uncopied - 1)
    this.#schedule()
  }

  /** Draws what is shown now, and tells it with an answer to request `id`. */
  state(id: number): void {
    this.#update()
    this.#uncopied++
    const { width, height } = this.#display.picture
    this.#post({ type: 'screen-state', id, width, height, cells: this.#display.cells() })
  }

  /** Whoever looks would like so many pixels. */
  resize(width: number, height: number): void {
    this.#display.resize?.(width, height)
  }

  /** No updates any more until {@link watch}. */
  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  get #isWanted(): boolean {
    return this.#watched && this.#taken && this.#uncopied === 0
  }

  #schedule(): void {
    if (!this.#isWanted || this.#cancel) return
    const now = this.#host.now()
    const pause = now - this.#told < CHANGING ? SOON : INTERVAL
    const next = Math.max(this.#due, this.#began + Math.max(pause, this.#cost * SHARE))
    this.#cancel = this.#host.after(Math.max(0, next - now), () => {
      this.#cancel = undefined
      if (!this.#isWanted) return
      this.#update()
      this.#schedule()
    })
  }

  #update(): void {
    this.#began = this.#host.now()
    let areas = this.#display.update()
    this.#cost = Math.min(this.#host.now() - this.#began, 1.1 * this.#cost + 0.1)
    const { width, height } = this.#display.picture
    if (this.#whole) areas = [[0, 0, width, height]]
    if (!this.#watched || areas.length === 0) return
    this.#whole = false
    this.#taken = false
    this.#told = this.#began
    this.#due = Math.max(this.#due, this.#began - INTERVAL) + INTERVAL
    this.#post({ type: 'screen-changed', width, height, areas })
  }
}
