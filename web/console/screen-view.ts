/** The machine's screen by noVNC, with the person's keyboard, mouse and fingers. */
import RFB from '@novnc/novnc'
import { CRISP } from '../shared/console.ts'
import { h } from '../shared/dom.ts'
import { typingField } from '../shared/typing.ts'
import { type Remote, socketUrl } from './remote.ts'

/** Pixels around the picture, for the ring of the focus. */
const MARGIN = 3

/** Milliseconds before a lost connection is tried again. */
const RETRY = 1000

/** The view. */
export class ScreenView {
  readonly element: HTMLElement
  readonly #remote: Remote
  readonly #viewer = h('div', { class: 'viewer' })
  /** Takes what a device's own keyboard types. */
  readonly #typing = typingField(this)
  #rfb: RFB | undefined
  #isClosed = false
  #retry: ReturnType<typeof setTimeout> | undefined
  readonly #sizes: ResizeObserver
  /** Tells of another size of the machine's screen. */
  readonly #picture = new MutationObserver(() => this.#fit())

  /** Connects at once. */
  constructor(remote: Remote) {
    this.#remote = remote
    this.element = h('div', { class: 'screen' }, this.#viewer, this.#typing)
    this.#sizes = new ResizeObserver(() => this.#fit())
    this.#sizes.observe(this.element)
    this.#connect()
  }

  #connect(): void {
    if (this.#isClosed) return
    const rfb = new RFB(this.#viewer, socketUrl('/rfb'), { shared: true })
    this.#rfb = rfb
    rfb.background = 'transparent'
    rfb.scaleViewport = true
    rfb.compressionLevel = 1
    const canvas = this.#canvas
    canvas?.setAttribute('aria-label', 'Screen of the machine')
    canvas?.setAttribute('role', 'img')
    if (canvas) this.#picture.observe(canvas, { attributes: true, attributeFilter: ['width', 'height'] })
    rfb.addEventListener('disconnect', () => {
      this.#picture.disconnect()
      if (this.#rfb === rfb) this.#rfb = undefined
      // A machine that has come back gets a view of its own.
      if (this.#remote.isConnected) this.#retry = setTimeout(() => this.#connect(), RETRY)
    })
  }

  get #canvas(): HTMLCanvasElement | null {
    return this.#viewer.querySelector('canvas')
  }

  /** As large as there is room; small pictures by whole multiples, so that their letters stay sharp. */
  #fit(): void {
    const roomX = this.element.clientWidth - 2 * MARGIN
    const roomY = this.element.clientHeight - 2 * MARGIN
    const { width = 0, height = 0 } = this.#canvas ?? {}
    if (roomX <= 0 || roomY <= 0 || width === 0 || height === 0) return
    const ratio = devicePixelRatio
    const scale = Math.min((roomX * ratio) / width, (roomY * ratio) / height)
    const whole = Math.floor(scale)
    const isCrisp = scale >= CRISP
    this.#viewer.classList.toggle('crisp', isCrisp)
    // noVNC fills what it is given, so it is given just that much.
    this.#viewer.style.width = isCrisp ? `${(width * whole) / ratio}px` : ''
    this.#viewer.style.height = isCrisp ? `${(height * whole) / ratio}px` : ''
  }

  /** It became visible. */
  shown(): void {
    requestAnimationFrame(() => this.#fit())
  }

  focus(): void {
    requestAnimationFrame(() => this.#rfb?.focus({ preventScroll: true }))
  }

  /** Opens the keyboard of a device that has none of its own. */
  openKeyboard(): void {
    this.#typing.focus()
  }

  press(code: string): void {
    this.#remote.key(code, true)
  }

  release(code: string): void {
    this.#remote.key(code, false)
  }

  /** Types a text. @throws Error with a sentence for what cannot be typed */
  async type(text: string): Promise<void> {
    await this.#remote.ask({ type: 'type', text })
  }

  /** The screen as a PNG. @throws Error where there is none yet */
  picture(): Promise<Blob> {
    return new Promise((resolve, reject) => {
      const refuse = () => reject(new Error('there is no picture of the screen yet'))
      if (this.#canvas && this.#canvas.width > 0) this.#canvas.toBlob(blob => (blob ? resolve(blob) : refuse()))
      else refuse()
    })
  }

  /** Lets go of it. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#sizes.disconnect()
    this.#picture.disconnect()
    this.#rfb?.disconnect()
  }
}
