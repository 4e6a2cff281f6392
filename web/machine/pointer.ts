/** Mouse, pen and fingers over the screen as the machine's mouse. */
import type { Mouse, MouseButton } from '../../src/hosts/browser/index.ts'

/** Milliseconds after which a finger that stays is a right click. */
const LONG = 500
/** CSS pixels that a finger may stray meanwhile. */
const STRAY = 10
/** Milliseconds that a tap's button is down. */
const TAP = 60
/** Milliseconds between two taps of which the second drags. */
const DOUBLE = 300
/** CSS pixels that a notch of a wheel scrolls in Chromium, and that fingers go for one. */
const WHEEL_NOTCH = 100
const FINGER_NOTCH = 30

/** The guest's button for one of the page's: left, middle, right. */
const BUTTONS: Record<number, MouseButton> = { 0: 0, 1: 1, 2: 2 }

interface Finger {
  id: number
  startX: number
  startY: number
  x: number
  y: number
  timer: ReturnType<typeof setTimeout>
  moved: boolean
  /** It is a drag: the left button is down. */
  drags: boolean
  done: boolean
}

/** Listens on a canvas. */
export class PointerInput {
  readonly #canvas: HTMLCanvasElement
  readonly #mouse: Mouse
  readonly #hint: (text: string) => void
  /** Parts of a notch that were turned since the last. */
  #scrolled = 0
  #fingers = new Map<number, Finger>()
  #lastTap = 0
  /** Where two fingers were, for scrolling. */
  #pairY: number | undefined

  constructor(canvas: HTMLCanvasElement, mouse: Mouse, { hint }: { hint(text: string): void }) {
    this.#canvas = canvas
    this.#mouse = mouse
    this.#hint = hint
    canvas.addEventListener('pointerdown', event => this.#down(event))
    canvas.addEventListener('pointermove', event => this.#move(event))
    canvas.addEventListener('pointerup', event => this.#up(event))
    canvas.addEventListener('pointercancel', event => this.#cancel(event))
    canvas.addEventListener('wheel', event => this.#wheel(event), { passive: false })
    document.addEventListener('pointerlockchange', () => {
      if (this.isLocked) this.#hint('The pointer is the machine’s: Ctrl + Alt or Escape gives it back')
      else if (canvas.isConnected) this.#hint('')
    })
  }

  get isLocked(): boolean {
    return document.pointerLockElement === this.#canvas
  }

  /** Gives the machine all motion, for guests that know no places. */
  lock(): void {
    this.#canvas.focus()
    // Without the system's acceleration, where the browser can.
    const request = (this.#canvas.requestPointerLock as (options?: object) => Promise<void> | undefined).call(
      this.#canvas,
      { unadjustedMovement: true },
    )
    request?.catch(() => this.#canvas.requestPointerLock())
  }

  unlock(): void {
    if (this.isLocked) document.exitPointerLock()
  }

  #moveTo(event: PointerEvent): void {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect()
    const within = (value: number) => Math.min(1, Math.max(0, value))
    this.#mouse.moveTo(within((event.clientX - left) / width), within((event.clientY - top) / height))
  }

  #down(event: PointerEvent): void {
    event.preventDefault()
    if (event.pointerType === 'touch') {
      this.#fingerDown(event)
      return
    }
    this.#canvas.focus()
    this.#canvas.setPointerCapture(event.pointerId)
    if (!this.isLocked) this.#moveTo(event)
    const button = BUTTONS[event.button]
    if (button !== undefined) this.#mouse.press(button)
  }

  #move(event: PointerEvent): void {
    if (event.pointerType === 'touch') {
      this.#fingerMove(event)
      return
    }
    if (!this.isLocked) {
      this.#moveTo(event)
      // Other buttons that change while one is down come as motion.
      if (event.button >= 0) this.#changed(event)
      return
    }
    const { movementX, movementY } = event
    if (movementX !== 0 || movementY !== 0) this.#mouse.move(movementX, movementY)
    if (event.button >= 0) this.#changed(event)
  }

  /** A button went down or up while another was down. */
  #changed(event: PointerEvent): void {
    const button = BUTTONS[event.button]
    if (button === undefined) return
    const mask = [1, 4, 2][button]
    if (event.buttons & mask) this.#mouse.press(button)
    else this.#mouse.release(button)
  }

  #up(event: PointerEvent): void {
    if (event.pointerType === 'touch') {
      this.#fingerUp(event)
      return
    }
    const button = BUTTONS[event.button]
    if (button !== undefined) this.#mouse.release(button)
  }

  #cancel(event: PointerEvent): void {
    const finger = this.#fingers.get(event.pointerId)
    if (finger) this.#forget(finger)
    else for (const button of Object.values(BUTTONS)) this.#mouse.release(button)
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault()
    if (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL) this.#scroll(event.deltaY / WHEEL_NOTCH)
    else this.#mouse.wheel(Math.sign(event.deltaY))
  }

  #scroll(turn: number): void {
    this.#scrolled += turn
    const notches = Math.trunc(this.#scrolled)
    if (notches === 0) return
    this.#scrolled -= notches
    this.#mouse.wheel(Math.max(-8, Math.min(8, notches)))
  }

  #fingerDown(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId)
    const { clientX: x, clientY: y } = event
    const finger: Finger = {
      id: event.pointerId,
      startX: x,
      startY: y,
      x,
      y,
      moved: false,
      drags: false,
      done: false,
      timer: setTimeout(() => {
        if (finger.moved || finger.drags || this.#fingers.size !== 1) return
        finger.done = true
        this.#click(2)
        navigator.vibrate?.(15)
      }, LONG),
    }
    this.#fingers.set(finger.id, finger)
    if (this.#fingers.size > 1) {
      for (const other of this.#fingers.values()) other.done = true
      this.#pairY = undefined
      return
    }
    this.#moveTo(event)
    if (performance.now() - this.#lastTap < DOUBLE) {
      finger.drags = true
      clearTimeout(finger.timer)
      this.#mouse.press(0)
    }
  }

  #fingerMove(event: PointerEvent): void {
    const finger = this.#fingers.get(event.pointerId)
    if (!finger) return
    finger.x = event.clientX
    finger.y = event.clientY
    if (Math.hypot(finger.x - finger.startX, finger.y - finger.startY) > STRAY) finger.moved = true
    if (this.#fingers.size === 1) {
      this.#moveTo(event)
      return
    }
    let y = 0
    for (const other of this.#fingers.values()) y += other.y / this.#fingers.size
    // Fingers move the page, not the wheel: up scrolls down.
    if (this.#pairY !== undefined) this.#scroll((this.#pairY - y) / FINGER_NOTCH)
    this.#pairY = y
  }

  #fingerUp(event: PointerEvent): void {
    const finger = this.#fingers.get(event.pointerId)
    if (!finger) return
    const { drags, moved, done } = finger
    this.#forget(finger)
    if (drags || moved || done) return
    this.#click(0)
    this.#lastTap = performance.now()
  }

  #forget(finger: Finger): void {
    clearTimeout(finger.timer)
    this.#fingers.delete(finger.id)
    this.#pairY = undefined
    if (finger.drags) this.#mouse.release(0)
  }

  #click(button: MouseButton): void {
    this.#mouse.press(button)
    setTimeout(() => this.#mouse.release(button), TAP)
  }
}
