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

/** Milliseconds between two updates. */
const INTERVAL = 1000 / 60
/** Of a thread's time drawing takes at most one part in so many. */
const SHARE = 5

/** Serves one screen to its handle. */
export class ScreenServer {
  readonly #display: Display
  readonly #post: (message: FromWorker) => void
  #watched = false
  /** The handle has taken what it was told of. */
  #taken = true
  /** Pictures that the handle has not copied yet. */
  #uncopied = 0
  /** Somebody has begun to look, who knows nothing yet. */
  #whole = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the last update began, and how long it took: milliseconds. */
  #began = Number.NEGATIVE_INFINITY
  #cost = 0

  constructor(display: Display, post: (message: FromWorker) => void) {
    this.#display = display
    this.#post = post
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
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #schedule(): void {
    if (!this.#watched || !this.#taken || this.#uncopied > 0 || this.#timer !== undefined) return
    const next = this.#began + Math.max(INTERVAL, this.#cost * SHARE)
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        if (!this.#watched || !this.#taken || this.#uncopied > 0) return
        this.#update()
        this.#schedule()
      },
      Math.max(0, next - performance.now()),
    )
  }

  #update(): void {
    this.#began = performance.now()
    let areas = this.#display.update()
    this.#cost = performance.now() - this.#began
    const { width, height } = this.#display.picture
    if (this.#whole) areas = [[0, 0, width, height]]
    if (!this.#watched || areas.length === 0) return
    this.#whole = false
    this.#taken = false
    this.#post({ type: 'screen-changed', width, height, areas })
  }
}
