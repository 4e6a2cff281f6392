/** A machine for tests and measurements of displays: a screen that is drawn by the test, a keyboard and a mouse that note what they are told. */
import type { Keyboard, Mouse } from '../machine/input.ts'
import type { Screen, ScreenChange, ScreenImage, ScreenRectangle } from '../machine/screen.ts'
import type { Rectangle } from './damage.ts'

/** A pixel as {@link TestScreen.pixels} has it. */
export function rgb(red: number, green: number, blue: number): number {
  return (red | (green << 8) | (blue << 16) | 0xff000000) >>> 0
}

/** A screen that is drawn by {@link fill}, {@link draw} and {@link pixels}; readers see it after {@link show}. */
export class TestScreen implements Screen {
  width: number
  height: number
  pixels: Uint32Array
  preferSize?: (width: number, height: number) => void
  /** Changes that were read, by all readers. */
  read = 0
  readonly #readers = new Set<{ changed: Rectangle | undefined; wake: (() => void) | undefined; close: () => void }>()

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.pixels = new Uint32Array(width * height).fill(rgb(0, 0, 0))
  }

  /** Readers there are. */
  get readers(): number {
    return this.#readers.size
  }

  /** Bars of colour, a gradient and a fine pattern: what every encoding has to get right. */
  static picture(width: number, height: number): TestScreen {
    const screen = new TestScreen(width, height)
    screen.draw({ x: 0, y: 0, width, height }, (x, y) => {
      if (y < height / 3) {
        const bar = Math.floor((x * 8) / width)
        return rgb(bar & 4 ? 255 : 0, bar & 2 ? 255 : 0, bar & 1 ? 255 : 0)
      }
      if (y < (2 * height) / 3) return rgb((x * 255) / width, (y * 255) / height, 255 - (x * 255) / width)
      return (x ^ y) & 4 ? rgb(255, 255, 255) : rgb(30, 60, 90)
    })
    return screen
  }

  /** Gives it another size; it is black then. */
  resize(width: number, height: number): void {
    this.width = width
    this.height = height
    this.pixels = new Uint32Array(width * height).fill(rgb(0, 0, 0))
    this.show()
  }

  /** Draws a part. @param colour of the pixel at x, y of the screen */
  draw({ x, y, width, height }: Rectangle, colour: (x: number, y: number) => number): void {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.pixels[row * this.width + column] = colour(column, row)
  }

  /** Draws a picture none of whose pixels is as its neighbour, another one for each number. */
  noise(seed: number): void {
    for (let n = 0; n < this.pixels.length; n++) this.pixels[n] = 0xff000000 | Math.imul(n + seed * 0x10001, 0x9e3779b1)
    this.show()
  }

  /** Draws a part in one colour. */
  fill(area: Rectangle, colour: number): void {
    this.draw(area, () => colour)
  }

  /** Tells readers that a part has changed; all of it where none is given. */
  show(area: Rectangle = { x: 0, y: 0, width: this.width, height: this.height }): void {
    for (const reader of this.#readers) {
      const { changed } = reader
      if (!changed) reader.changed = area
      else {
        const x = Math.min(changed.x, area.x)
        const y = Math.min(changed.y, area.y)
        const right = Math.max(changed.x + changed.width, area.x + area.width)
        const bottom = Math.max(changed.y + changed.height, area.y + area.height)
        reader.changed = { x, y, width: right - x, height: bottom - y }
      }
      reader.wake?.()
    }
  }

  /** The machine ends. */
  end(): void {
    for (const reader of this.#readers) reader.close()
    this.#readers.clear()
  }

  async cells(): Promise<undefined> {}

  async image(): Promise<ScreenImage> {
    return { width: this.width, height: this.height, data: new Uint8Array(this.pixels.slice().buffer) }
  }

  async text(): Promise<string | undefined> {
    return undefined
  }

  changes(): ReadableStream<ScreenChange> {
    return this.#changes(false)
  }

  borrowedChanges(): ReadableStream<ScreenChange> {
    return this.#changes(true)
  }

  #changes(borrows: boolean): ReadableStream<ScreenChange> {
    const reader = {
      changed: { x: 0, y: 0, width: this.width, height: this.height } as Rectangle | undefined,
      wake: undefined as (() => void) | undefined,
      close: () => {},
    }
    let size = ''
    return new ReadableStream<ScreenChange>(
      {
        start: controller => {
          reader.close = () => controller.close()
          this.#readers.add(reader)
        },
        pull: async controller => {
          if (!reader.changed)
            await new Promise<void>(resolve => {
              reader.wake = resolve
            })
          reader.wake = undefined
          const now = `${this.width}x${this.height}`
          const area = now === size ? reader.changed! : { x: 0, y: 0, width: this.width, height: this.height }
          size = now
          reader.changed = undefined
          this.read++
          controller.enqueue({ width: this.width, height: this.height, rectangles: [this.#rectangle(area, borrows)] })
        },
        cancel: () => void this.#readers.delete(reader),
      },
      { highWaterMark: 0 },
    )
  }

  #rectangle({ x, y, width, height }: Rectangle, borrowed: boolean): ScreenRectangle {
    if (borrowed && width === this.width) {
      const { buffer } = this.pixels
      return { x, y, width, height, data: new Uint8Array(buffer, y * width * 4, width * height * 4) }
    }
    const data = new Uint32Array(width * height)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * this.width + x
      data.set(this.pixels.subarray(from, from + width), row * width)
    }
    return { x, y, width, height, data: new Uint8Array(data.buffer) }
  }
}

/** A keyboard and a mouse that note what they are told, in order. */
export class TestInput {
  readonly events: string[] = []
  readonly keyboard: Keyboard = {
    press: code => void this.events.push(`+${code}`),
    release: code => void this.events.push(`-${code}`),
    type: async text => void this.events.push(`type ${text}`),
  }
  readonly mouse: Mouse = {
    move: (dx, dy) => void this.events.push(`move ${dx} ${dy}`),
    wheel: dz => void this.events.push(`wheel ${dz}`),
    press: button => void this.events.push(`+button${button}`),
    release: button => void this.events.push(`-button${button}`),
    moveTo: (x, y) => void this.events.push(`to ${x.toFixed(3)} ${y.toFixed(3)}`),
  }
}
