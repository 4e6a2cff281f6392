/** Turns a viewer's pointer events into the guest's mouse. RFC 6143 section 7.5.5 */
import type { Mouse, MouseButton } from '../../machine/input.ts'

/** Buttons by the bits of the mask; bits 3 and 4 are the wheel's two directions. */
const BUTTONS: readonly MouseButton[] = [0, 1, 2]
const WHEEL_UP = 1 << 3
const WHEEL_DOWN = 1 << 4

/** The mouse of one viewer. */
export class PointerInput {
  readonly #mouse: Mouse
  #mask = 0
  #x = -1
  #y = -1

  /** No button is pressed. */
  constructor(mouse: Mouse) {
    this.#mouse = mouse
  }

  /** The pointer is at x, y of a screen, with these buttons pressed. */
  event(mask: number, x: number, y: number, width: number, height: number): void {
    if (x !== this.#x || y !== this.#y) {
      this.#x = x
      this.#y = y
      const place = (at: number, size: number) => (size > 1 ? Math.min(1, at / (size - 1)) : 0)
      this.#mouse.moveTo(place(x, width), place(y, height))
    }
    const pressed = mask & ~this.#mask
    this.#buttons(mask)
    if (pressed & WHEEL_UP) this.#mouse.wheel(-1)
    if (pressed & WHEEL_DOWN) this.#mouse.wheel(1)
    this.#mask = mask
  }

  /** The viewer has gone. */
  releaseAll(): void {
    this.#buttons(0)
    this.#mask = 0
  }

  #buttons(mask: number): void {
    for (const button of BUTTONS) {
      const bit = 1 << button
      if ((mask & bit) === (this.#mask & bit)) continue
      if (mask & bit) this.#mouse.press(button)
      else this.#mouse.release(button)
    }
  }
}
