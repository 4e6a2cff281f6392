/** What is drawn into: a picture of RGBA words, and which of its areas changed. */

/** x, y, width, height. */
export type PictureArea = readonly [x: number, y: number, width: number, height: number]

/** Areas of one update; with more of them lines between are sent along. */
const MOST_AREAS = 32
/** Lines that did not change are sent along where so few lie between others. */
const CLOSE = 3

/** A picture that is drawn line by line, and remembers what differs from the last one. */
export class Picture {
  width = 0
  height = 0
  /** Pixels, red in the lowest byte; at least `width` × `height`. */
  pixels = new Int32Array(0)
  /** A line before it is stored. */
  readonly line: Int32Array
  readonly #allocate: (pixels: number) => Int32Array<ArrayBufferLike>
  #areas: [x: number, y: number, right: number, bottom: number][] = []
  #whole = true

  /**
   * @param allocate gives a place for so many pixels
   * @param widest most pixels of a line, with what is drawn beyond its ends
   */
  constructor(allocate: (pixels: number) => Int32Array<ArrayBufferLike>, widest: number) {
    this.#allocate = allocate
    this.line = new Int32Array(widest)
  }

  /** The picture is so large from now on. */
  resize(width: number, height: number): void {
    if (width === this.width && height === this.height) return
    this.width = width
    this.height = height
    if (this.pixels.length < width * height) this.pixels = this.#allocate(width * height) as Int32Array<ArrayBuffer>
    this.#whole = true
  }

  /** Stores {@link line}, from `skip` pixels on, as line `y`. @returns whether it differs from what was there */
  store(y: number, skip = 0): boolean {
    const { width, line, pixels } = this
    const start = y * width
    let first = 0
    if (!this.#whole) {
      while (first < width && pixels[start + first] === line[skip + first]) first++
      if (first === width) return false
    }
    let last = width - 1
    if (!this.#whole) while (pixels[start + last] === line[skip + last]) last--
    for (let x = first; x <= last; x++) pixels[start + x] = line[skip + x]
    this.#note(first, y, last + 1)
    return true
  }

  /** Line `y` is as the one above it. @returns whether it differs from what was there */
  repeat(y: number): boolean {
    const { width, pixels, line } = this
    line.set(pixels.subarray((y - 1) * width, y * width))
    return this.store(y)
  }

  #note(left: number, y: number, right: number): void {
    if (this.#whole) return
    const area = this.#areas.at(-1)
    if (area && (y - area[3] < CLOSE || this.#areas.length >= MOST_AREAS)) {
      area[0] = Math.min(area[0], left)
      area[2] = Math.max(area[2], right)
      area[3] = y + 1
    } else this.#areas.push([left, y, right, y + 1])
  }

  /** What changed since this was last asked; undefined stands for a picture that is new as a whole. */
  take(): PictureArea[] {
    const areas: PictureArea[] = this.#whole
      ? [[0, 0, this.width, this.height]]
      : this.#areas.map(([x, y, right, bottom]) => [x, y, right - x, bottom - y])
    this.#areas = []
    this.#whole = false
    return areas
  }
}
