/** The machine's screen, with the person's keyboard, mouse and fingers. */
import type { Machine, Screen, ScreenChange } from '../../src/hosts/browser/index.ts'
import { CRISP } from '../shared/console.ts'
import { complain, h } from '../shared/dom.ts'
import { typingField } from '../shared/typing.ts'
import { PointerInput } from './pointer.ts'

/** Keys that stay with the browser. */
const KEPT = new Set(['AudioVolumeUp', 'AudioVolumeDown', 'AudioVolumeMute', 'BrowserBack', 'BrowserForward'])

/** The view. */
export class ScreenView {
  readonly element: HTMLElement
  readonly #machine: Machine
  readonly #screen: Screen
  readonly #canvas = h('canvas', { tabindex: 0, 'aria-label': 'Screen of the machine', width: 640, height: 400 })
  readonly #context: CanvasRenderingContext2D
  /** Takes what a device's own keyboard types. */
  readonly #typing: HTMLTextAreaElement
  readonly #pressed = new Set<string>()
  readonly #pointer: PointerInput
  readonly #reader: ReadableStreamDefaultReader<ScreenChange>
  readonly #observer: ResizeObserver
  readonly #hint: (text: string) => void
  /** What was drawn last, of which the next often has the size. */
  #image = new ImageData(1, 1)
  #closed = false

  /** @param hint shows what the person should know now */
  constructor(machine: Machine, hint: (text: string) => void) {
    this.#machine = machine
    this.#screen = machine.screen!
    this.#hint = hint
    this.#context = this.#canvas.getContext('2d', { alpha: false })!
    this.#typing = typingField(machine.keyboard)
    this.element = h('div', { class: 'screen' }, this.#canvas, this.#typing)
    this.#pointer = new PointerInput(this.#canvas, machine.mouse, { hint })
    this.#listen()
    this.#observer = new ResizeObserver(() => this.#fit())
    this.#observer.observe(this.element)
    this.#reader = (this.#screen.borrowedChanges?.() ?? this.#screen.changes()).getReader()
    this.#draw().catch(complain)
  }

  /** Draws changes as they come, at most one a frame; where nobody looks, none. */
  async #draw(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done) return
      const { width, height, rectangles } = value
      if (this.#canvas.width !== width || this.#canvas.height !== height) {
        this.#canvas.width = width
        this.#canvas.height = height
        this.#fit()
      }
      for (const { x, y, width, height, data } of rectangles) {
        if (this.#image.width !== width || this.#image.height !== height) this.#image = new ImageData(width, height)
        this.#image.data.set(data)
        this.#context.putImageData(this.#image, x, y)
      }
      await new Promise(requestAnimationFrame)
    }
  }

  /** As large as there is room, in the shape that it has. */
  #fit(): void {
    const { clientWidth, clientHeight } = this.element
    const { width, height } = this.#canvas
    if (clientWidth === 0 || clientHeight === 0) return
    const ratio = devicePixelRatio
    let scale = Math.min((clientWidth * ratio) / width, (clientHeight * ratio) / height)
    if (scale >= CRISP) scale = Math.floor(scale)
    this.#canvas.style.width = `${(width * scale) / ratio}px`
    this.#canvas.style.height = `${(height * scale) / ratio}px`
    this.#canvas.classList.toggle('crisp', Number.isInteger(scale))
  }

  #listen(): void {
    const { keyboard } = this.#machine
    const canvas = this.#canvas
    canvas.addEventListener('keydown', event => {
      if (KEPT.has(event.code) || event.code === '') return
      event.preventDefault()
      // The guest's keyboard repeats by itself.
      if (event.repeat) return
      this.#pressed.add(event.code)
      keyboard.press(event.code)
    })
    canvas.addEventListener('keyup', event => {
      event.preventDefault()
      this.#pressed.delete(event.code)
      keyboard.release(event.code)
    })
    canvas.addEventListener('blur', () => this.#releaseKeys())
    canvas.addEventListener('focus', () => this.#hint('Ctrl + Alt gives keyboard and pointer back'))
    canvas.addEventListener('contextmenu', event => event.preventDefault())
  }

  #releaseKeys(): void {
    for (const code of this.#pressed) this.#machine.keyboard.release(code)
    this.#pressed.clear()
  }

  /** It became visible. */
  shown(): void {
    requestAnimationFrame(() => this.#fit())
  }

  focus(): void {
    requestAnimationFrame(() => this.#canvas.focus())
  }

  /** Opens the keyboard of a device that has none of its own. */
  openKeyboard(): void {
    this.#typing.focus()
  }

  press(code: string): void {
    this.#machine.keyboard.press(code)
  }

  release(code: string): void {
    this.#machine.keyboard.release(code)
  }

  /** Types a text. @throws Error with a sentence for what cannot be typed */
  async type(text: string): Promise<void> {
    await this.#machine.keyboard.type(text.replaceAll('\r\n', '\n'))
  }

  lockPointer(): void {
    this.#pointer.lock()
  }

  /** The pointer is the page's again. */
  unlockPointer(): void {
    this.#pointer.unlock()
  }

  /** The screen as a PNG. */
  async picture(): Promise<Blob> {
    const { width, height, data } = await this.#screen.image()
    const canvas = new OffscreenCanvas(width, height)
    const pixels = new Uint8ClampedArray(data)
    canvas.getContext('2d')!.putImageData(new ImageData(pixels, width, height), 0, 0)
    return canvas.convertToBlob({ type: 'image/png' })
  }

  /** Lets go of keys, pointer and screen. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pointer.unlock()
    this.#observer.disconnect()
    this.#reader.cancel().catch(() => {})
  }
}
