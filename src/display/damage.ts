/** What a viewer has not seen of a picture: tiles that have changed, and moves that come before. Its size depends on the picture only. */
import { TILE } from './follower.ts'
import type { Copy } from './scroll.ts'

/** A part of a picture. */
export interface Rectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Moves that may wait. */
const MOST_COPIES = 4

/** The part that two rectangles share; its width or height is 0 where there is none. */
export function intersect(a: Rectangle, b: Rectangle): Rectangle {
  const x = Math.max(a.x, b.x)
  const y = Math.max(a.y, b.y)
  return {
    x,
    y,
    width: Math.max(0, Math.min(a.x + a.width, b.x + b.width) - x),
    height: Math.max(0, Math.min(a.y + a.height, b.y + b.height) - y),
  }
}

/** One viewer's. */
export class Damage {
  readonly width: number
  readonly height: number
  readonly #columns: number
  readonly #rows: number
  readonly #dirty: Uint8Array
  #copies: Copy[] = []
  #any = true

  /** Of a picture that the viewer has nothing of. */
  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.#columns = Math.ceil(width / TILE)
    this.#rows = Math.ceil(height / TILE)
    this.#dirty = new Uint8Array(this.#columns * this.#rows).fill(1)
  }

  /** Whether there may be anything. */
  get any(): boolean {
    return this.#any || this.#copies.length > 0
  }

  /** Tiles have changed, after `copy` if that is given. */
  add(touched: Uint8Array, copy: Copy | undefined, canCopy: boolean): void {
    if (copy) this.#move(copy, canCopy)
    for (let tile = 0; tile < touched.length; tile++)
      if (touched[tile]) {
        this.#dirty[tile] = 1
        this.#any = true
      }
  }

  /** A part is to be seen anew. */
  addArea(area: Rectangle): void {
    const { x, y, width, height } = intersect(area, { x: 0, y: 0, width: this.width, height: this.height })
    if (width === 0 || height === 0) return
    for (let row = Math.floor(y / TILE); row * TILE < y + height; row++)
      for (let column = Math.floor(x / TILE); column * TILE < x + width; column++)
        this.#dirty[row * this.#columns + column] = 1
    this.#any = true
  }

  #move(copy: Copy, canCopy: boolean): void {
    if (!canCopy || this.#copies.length >= MOST_COPIES) {
      this.addArea(copy)
      return
    }
    // What the viewer has not seen is not moved at its place: where it would go, it has to be drawn.
    const source = { ...copy, y: copy.y - copy.dy }
    const stale: Rectangle[] = []
    for (let row = 0; row < this.#rows; row++)
      for (let column = 0; column < this.#columns; column++) {
        if (!this.#dirty[row * this.#columns + column]) continue
        const part = intersect(source, { x: column * TILE, y: row * TILE, width: TILE, height: TILE })
        if (part.width > 0 && part.height > 0) stale.push({ ...part, y: part.y + copy.dy })
      }
    for (const part of stale) this.addArea(part)
    this.#copies.push(copy)
  }

  /**
   * Takes what is to be told of `area`, whole tiles of it, which then counts as seen. Moves are taken only together with the whole
   * picture.
   * @returns moves, in order, and then the rectangles to draw, none larger than `mostPixels` or a row of tiles
   */
  take(area: Rectangle, mostPixels: number): { copies: Copy[]; rectangles: Rectangle[] } {
    const screen = { x: 0, y: 0, width: this.width, height: this.height }
    const left = Math.floor(area.x / TILE)
    const top = Math.floor(area.y / TILE)
    const right = Math.min(this.#columns, Math.ceil((area.x + area.width) / TILE))
    const bottom = Math.min(this.#rows, Math.ceil((area.y + area.height) / TILE))
    const whole = left === 0 && top === 0 && right === this.#columns && bottom === this.#rows
    let copies: Copy[] = []
    if (whole) {
      copies = this.#copies
      this.#copies = []
    } else if (this.#copies.length > 0) {
      for (const copy of this.#copies) this.addArea(copy)
      this.#copies = []
    }
    const rectangles: Rectangle[] = []
    const wants = (row: number, column: number) => this.#dirty[row * this.#columns + column] === 1
    for (let row = top; row < bottom; row++)
      for (let column = left; column < right; column++) {
        if (!wants(row, column)) continue
        let end = column + 1
        while (end < right && wants(row, end)) end++
        const runs = (line: number) => {
          for (let n = column; n < end; n++) if (!wants(line, n)) return false
          return true
        }
        const most = Math.max(1, Math.floor(mostPixels / ((end - column) * TILE * TILE)))
        let below = row + 1
        while (below < bottom && below - row < most && runs(below)) below++
        for (let line = row; line < below; line++)
          this.#dirty.fill(0, line * this.#columns + column, line * this.#columns + end)
        rectangles.push(
          intersect(screen, {
            x: column * TILE,
            y: row * TILE,
            width: (end - column) * TILE,
            height: (below - row) * TILE,
          }),
        )
      }
    this.#any = this.#dirty.includes(1)
    return { copies, rectangles }
  }
}
