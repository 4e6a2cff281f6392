/** What a machine shows, for whoever looks at it: the types, and the handle's side of it. */
import { type TextCells, textOf } from '../devices/vga/cells.ts'
import type { FromWorker, ToWorker } from './messages.ts'

export type { TextCells } from '../devices/vga/cells.ts'

/** A picture: RGBA, four bytes a pixel, row after row from the top; alpha is always 255. */
export interface ScreenImage {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** A part of a picture; `data` has its own `width` × `height` pixels only. */
export interface ScreenRectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** What changed on a screen. */
export interface ScreenChange {
  /** Of the whole screen; where they differ from the last change's, everything is repainted. */
  readonly width: number
  readonly height: number
  readonly rectangles: readonly ScreenRectangle[]
}

/** What a machine's display adapter shows. */
export interface Screen {
  /** What is shown now; after the machine's end what was shown last. @throws MachineError where that was nothing */
  image(): Promise<ScreenImage>
  /** The rows of text, joined by newlines and without blanks at their ends, while the adapter is in a text mode. */
  text(): Promise<string | undefined>
  /** The characters of a text mode with their colors, while the adapter is in one. */
  cells(): Promise<TextCells | undefined>
  /**
   * A stream of changes for one reader. It starts with the whole screen and ends with the machine. There are at most 60 changes
   * a second, and a slow reader gets changes merged: never a queue that grows.
   */
  changes(): ReadableStream<ScreenChange>
  /**
   * As {@link changes}, for a reader that is done with a change before it gives the event loop a turn or asks for the next:
   * `data` may be the picture itself then, which changes later.
   */
  borrowedChanges?(): ReadableStream<ScreenChange>
  /**
   * Tells the guest that whoever looks would like so many pixels, as a monitor would that was plugged in. What it makes of that is its own
   * matter: desktops change to it, text consoles do not. Only there where the adapter can tell (`vga: 'virtio'`).
   */
  preferSize?(width: number, height: number): void
}

/** A rectangle without its pixels: x, y, width, height. */
export type Area = readonly [x: number, y: number, width: number, height: number]

/** Areas that a slow reader has waiting before they become one. */
const MOST_AREAS = 64

/** Whether one area has all of the other. */
function covers(a: Area, b: Area): boolean {
  return a[0] <= b[0] && a[1] <= b[1] && a[0] + a[2] >= b[0] + b[2] && a[1] + a[3] >= b[1] + b[3]
}

/** The smallest area with all of both. */
function around(a: Area, b: Area): Area {
  const x = Math.min(a[0], b[0])
  const y = Math.min(a[1], b[1])
  return [x, y, Math.max(a[0] + a[2], b[0] + b[2]) - x, Math.max(a[1] + a[3], b[1] + b[3]) - y]
}

/** Adds an area to a list that stays short. */
function addArea(list: Area[], area: Area): Area[] {
  if (list.some(other => covers(other, area))) return list
  const left = list.filter(other => !covers(area, other))
  left.push(area)
  return left.length <= MOST_AREAS ? left : [left.reduce(around)]
}

/** A reader of {@link Screen.changes}. */
interface Reader {
  controller: ReadableStreamDefaultController<ScreenChange>
  /** What the reader has not got yet. */
  areas: Area[]
  /** The size of the screen that the reader knows. */
  width: number
  height: number
  /** It needs no copies. */
  borrows: boolean
  /** Resolves the pull that waits for a change. */
  resolve: (() => void) | undefined
}

/** What is shown at a moment. */
interface State {
  image: ScreenImage
  cells: TextCells | undefined
}

/** Somebody waits for a picture or a text. */
interface Request {
  resolve(state: State): void
  reject(error: Error): void
  /** The request is for a picture, which is to be copied. */
  image: boolean
}

/**
 * The handle's side of a screen. The worker draws into a buffer that both sides have, says which areas it drew, and draws
 * again only when that was taken: so a picture is never half of one frame and half of another for whoever keeps up.
 */
export class ScreenView implements Screen {
  preferSize?: (width: number, height: number) => void
  readonly #post: (message: ToWorker) => void
  readonly #endedError: () => Error
  /** The picture as the worker draws it; its rows have no gaps. */
  #pixels: Uint8Array = new Uint8Array(0)
  #width = 0
  #height = 0
  #cells: TextCells | undefined
  #ended = false
  readonly #readers = new Set<Reader>()
  readonly #requests = new Map<number, Request>()
  #nextRequest = 0
  /** The worker has been told to send changes. */
  #watching = false
  /** The worker waits to hear that what it drew was taken. */
  #owed = false

  /**
   * @param post sends to the worker
   * @param endedError what to reject with when the machine has ended and there never was a picture
   */
  constructor(post: (message: ToWorker) => void, endedError: () => Error) {
    this.#post = post
    this.#endedError = endedError
  }

  async image(): Promise<ScreenImage> {
    return (await this.#request(true)).image
  }

  async text(): Promise<string | undefined> {
    const cells = await this.cells()
    return cells && textOf(cells)
  }

  async cells(): Promise<TextCells | undefined> {
    return (await this.#request(false)).cells
  }

  changes(): ReadableStream<ScreenChange> {
    return this.#read(false)
  }

  borrowedChanges(): ReadableStream<ScreenChange> {
    return this.#read(true)
  }

  #read(borrows: boolean): ReadableStream<ScreenChange> {
    let reader: Reader
    return new ReadableStream<ScreenChange>(
      {
        start: controller => {
          reader = { controller, areas: [], width: -1, height: -1, borrows, resolve: undefined }
          if (this.#ended) {
            controller.close()
            return
          }
          this.#readers.add(reader)
          if (this.#watching) this.#repaint(reader)
          else this.#watch(true)
        },
        pull: () => this.#pull(reader),
        cancel: () => this.#leave(reader),
      },
      { highWaterMark: 0 },
    )
  }

  /** A message of the worker's about the screen. */
  receive(message: FromWorker & { type: 'screen-buffer' | 'screen-changed' | 'screen-state' }): void {
    switch (message.type) {
      case 'screen-buffer':
        this.#pixels = new Uint8Array(message.pixels.buffer, message.pixels.byteOffset, message.pixels.byteLength)
        break
      case 'screen-changed':
        this.#changed(message.width, message.height, message.areas)
        break
      case 'screen-state': {
        this.#width = message.width
        this.#height = message.height
        this.#cells = message.cells
        const request = this.#requests.get(message.id)
        this.#requests.delete(message.id)
        request?.resolve({ image: this.#copy(request.image), cells: message.cells })
        this.#post({ type: 'screen-copied' })
        break
      }
    }
  }

  /** The machine has ended: streams end, and the last picture stays. */
  end(): void {
    this.#ended = true
    for (const reader of this.#readers) {
      if (reader.resolve) this.#satisfy(reader)
      reader.controller.close()
    }
    this.#readers.clear()
    for (const request of this.#requests.values()) this.#answerEnded(request)
    this.#requests.clear()
  }

  #request(image: boolean): Promise<State> {
    return new Promise((resolve, reject) => {
      const request = { resolve, reject, image }
      if (this.#ended) {
        this.#answerEnded(request)
        return
      }
      const id = this.#nextRequest++
      this.#requests.set(id, request)
      this.#post({ type: 'screen-state', id })
    })
  }

  #answerEnded({ resolve, reject, image }: Request): void {
    if (this.#width === 0) reject(this.#endedError())
    else resolve({ image: this.#copy(image), cells: this.#cells })
  }

  #copy(image: boolean): ScreenImage {
    const width = this.#width
    const height = this.#height
    return { width, height, data: image ? this.#pixels.slice(0, width * height * 4) : new Uint8Array(0) }
  }

  #watch(on: boolean): void {
    this.#watching = on
    this.#owed = false
    this.#post({ type: 'screen-watch', on })
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader)
    if (this.#readers.size === 0 && !this.#ended) this.#watch(false)
    else this.#settle()
  }

  #changed(width: number, height: number, areas: readonly Area[]): void {
    this.#width = width
    this.#height = height
    this.#owed = true
    for (const reader of this.#readers) {
      if (reader.width !== width || reader.height !== height) this.#repaint(reader)
      else for (const area of areas) reader.areas = addArea(reader.areas, area)
      if (reader.resolve && reader.areas.length > 0) this.#satisfy(reader)
    }
    this.#settle()
  }

  #repaint(reader: Reader): void {
    reader.width = this.#width
    reader.height = this.#height
    reader.areas = this.#width > 0 && this.#height > 0 ? [[0, 0, this.#width, this.#height]] : []
  }

  #pull(reader: Reader): Promise<void> | undefined {
    if (reader.areas.length > 0) {
      this.#satisfy(reader)
      return undefined
    }
    const waiting = new Promise<void>(resolve => {
      reader.resolve = resolve
    })
    this.#settle()
    return waiting
  }

  /** Somebody waits for more: the worker may draw again. */
  #settle(): void {
    if (!this.#owed || this.#ended) return
    if (![...this.#readers].some(reader => reader.resolve !== undefined)) return
    this.#owed = false
    this.#post({ type: 'screen-taken' })
  }

  /** Gives a reader what it has not got yet. */
  #satisfy(reader: Reader): void {
    const { width, height, resolve } = reader
    // The worker draws when all have taken what they were told of, and when somebody asks for a picture.
    const isAlone = this.#readers.size === 1 && this.#requests.size === 0
    const rectangles = reader.areas.map(area => this.#rectangle(area, width, reader.borrows && isAlone))
    reader.areas = []
    reader.resolve = undefined
    if (rectangles.length > 0) reader.controller.enqueue({ width, height, rectangles })
    resolve?.()
  }

  #rectangle([x, y, width, height]: Area, stride: number, borrowed: boolean): ScreenRectangle {
    const pixels = this.#pixels
    const start = (y * stride + x) * 4
    const end = start + width * height * 4
    if (width === stride)
      return { x, y, width, height, data: borrowed ? pixels.subarray(start, end) : pixels.slice(start, end) }
    const data = new Uint8Array(width * height * 4)
    for (let row = 0; row < height; row++) {
      const from = start + row * stride * 4
      data.set(pixels.subarray(from, from + width * 4), row * width * 4)
    }
    return { x, y, width, height, data }
  }
}
