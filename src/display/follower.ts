/**
 * Follows a screen for any number of viewers: one reader of its changes, one copy of its picture, and for each viewer no more
 * than a list of what it has not seen. While no viewer waits for anything, nothing is read, and the machine draws nothing.
 */
import type { Screen, ScreenChange } from '../machine/screen.ts'
import { type Copy, findScroll } from './scroll.ts'

/** Width and height of a tile, in pixels: the unit in which changes are kept. */
export const TILE = 32

/** Somebody who looks at a screen. */
export interface Viewer {
  /** Whether it would take a change now. */
  readonly waits: boolean
  /** Whether it can be told to copy what it has. */
  readonly copies: boolean
  /** The screen has another size; everything is new. */
  resized(): void
  /**
   * The picture has changed.
   * @param touched a byte for each tile, row after row: 1 where it changed beyond what `copy` does
   * @param copy what moved, before the rest changed
   */
  changed(touched: Uint8Array, copy: Copy | undefined): void
  /** The machine has ended; the picture stays. */
  ended(): void
}

/** The longest time for which scrolling is not looked for, after it was not found: changes. */
const MOST_PATIENCE = 32

/** A screen's picture, and those who look at it. */
export class ScreenFollower {
  /** Pixels of the picture: red in the lowest byte, then green, blue and 255. */
  pixels: Uint32Array = new Uint32Array(0)
  width = 0
  height = 0
  /** Tiles in a row, and rows of tiles. */
  columns = 0
  rows = 0
  /** Whether the picture is what the screen shows, rather than what it showed when somebody last looked. */
  isFresh = false
  readonly #screen: Screen
  readonly #viewers = new Set<Viewer>()
  #reader: ReadableStreamDefaultReader<ScreenChange> | undefined
  #wake: (() => void) | undefined
  #ended = false
  /** Changes that scrolling is not looked for in, and for how many it will not the next time. */
  #skip = 0
  #patience = 1

  /** Nothing is read until there is a viewer. */
  constructor(screen: Screen) {
    this.#screen = screen
  }

  /** Viewers there are. */
  get count(): number {
    return this.#viewers.size
  }

  /** A viewer comes. The picture may be 0 × 0 until the screen was read. */
  add(viewer: Viewer): void {
    this.#viewers.add(viewer)
    if (this.#reader || this.#ended) return
    this.isFresh = false
    this.#reader = (this.#screen.borrowedChanges?.() ?? this.#screen.changes()).getReader()
    void this.#follow(this.#reader)
  }

  /** A viewer goes. */
  delete(viewer: Viewer): void {
    this.#viewers.delete(viewer)
    if (this.#viewers.size > 0 || !this.#reader) return
    const reader = this.#reader
    this.#reader = undefined
    this.#wake?.()
    reader.cancel().catch(() => {})
  }

  /** A viewer waits now. */
  notice(): void {
    this.#wake?.()
  }

  async #follow(reader: ReadableStreamDefaultReader<ScreenChange>): Promise<void> {
    while (this.#reader === reader) {
      if (![...this.#viewers].some(viewer => viewer.waits)) {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
        this.#wake = undefined
        continue
      }
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }))
      if (this.#reader !== reader) return
      if (done || !value) {
        this.#ended = true
        this.#reader = undefined
        for (const viewer of this.#viewers) viewer.ended()
        return
      }
      this.#apply(value)
    }
  }

  /** Gives the picture a size; it is black then. */
  resize(width: number, height: number): void {
    this.width = width
    this.height = height
    this.columns = Math.ceil(width / TILE)
    this.rows = Math.ceil(height / TILE)
    this.pixels = new Uint32Array(width * height).fill(0xff000000)
  }

  #apply({ width, height, rectangles }: ScreenChange): void {
    const wasFresh = this.isFresh
    this.isFresh = true
    const isNew = width !== this.width || height !== this.height
    if (isNew) this.resize(width, height)
    const touched = new Uint8Array(this.columns * this.rows)
    let copy: Copy | undefined
    for (const rectangle of rectangles) {
      const { data } = rectangle
      const aligned = data.byteOffset % 4 === 0 ? data : new Uint8Array(data)
      const pixels = new Uint32Array(aligned.buffer, aligned.byteOffset, rectangle.width * rectangle.height)
      if (!isNew && wasFresh && rectangles.length === 1) copy = this.#scroll(rectangle, pixels)
      this.#draw(rectangle, pixels, touched)
    }
    for (const viewer of this.#viewers) {
      if (isNew) viewer.resized()
      else viewer.changed(touched, copy)
    }
  }

  /** Moves what has moved. */
  #scroll(rectangle: { x: number; y: number; width: number; height: number }, data: Uint32Array): Copy | undefined {
    if (this.#skip > 0) {
      this.#skip--
      return undefined
    }
    if (![...this.#viewers].some(viewer => viewer.copies)) return undefined
    const copy = findScroll(this.pixels, this.width, rectangle, data)
    if (!copy) {
      this.#skip = this.#patience
      this.#patience = Math.min(this.#patience * 2, MOST_PATIENCE)
      return undefined
    }
    this.#patience = 1
    const { x, y, width, height, dy } = copy
    for (let n = 0; n < height; n++) {
      const row = dy > 0 ? y + height - 1 - n : y + n
      const from = (row - dy) * this.width + x
      this.pixels.copyWithin(row * this.width + x, from, from + width)
    }
    return copy
  }

  /**
   * Takes new pixels, and notes the tiles where they differ from the old ones. What is not found to differ is not taken: `data` may be
   * the screen's own, which the machine draws into when somebody else looks.
   */
  #draw(
    { x, y, width, height }: { x: number; y: number; width: number; height: number },
    data: Uint32Array,
    touched: Uint8Array,
  ): void {
    const { pixels, width: stride, columns } = this
    for (let row = 0; row < height; row++) {
      const line = Math.floor((y + row) / TILE) * columns
      const to = (y + row) * stride
      const from = row * width - x
      let taken: number | undefined
      for (let start = x; start < x + width; ) {
        const tile = Math.floor(start / TILE)
        const end = Math.min((tile + 1) * TILE, x + width)
        if (!touched[line + tile]) {
          let at = start
          while (at < end && pixels[to + at] === data[from + at]) at++
          if (at < end) touched[line + tile] = 1
        }
        // Tiles side by side that changed are taken at once.
        if (touched[line + tile]) taken ??= start
        else if (taken !== undefined) {
          pixels.set(data.subarray(from + taken, from + start), to + taken)
          taken = undefined
        }
        start = end
      }
      if (taken !== undefined) pixels.set(data.subarray(from + taken, from + x + width), to + taken)
    }
  }
}
