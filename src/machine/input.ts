/** Keyboard and mouse of a machine: the types, and the handle's side of them. */
import type { FromWorker, ToWorker } from './messages.ts'

/** A button of a mouse: left, middle, right, as MouseEvent.button counts them. */
export type MouseButton = 0 | 1 | 2

/** How text is turned into keys. */
export interface TypeOptions {
  /** The keyboard layout that the guest is set to, as `us` (default) or `de`. */
  layout?: string
}

/** A machine's keyboard. Keys have the names of KeyboardEvent.code in the UI Events standard: 'KeyA', 'Enter', 'ControlLeft'. */
export interface Keyboard {
  /** Presses a key; again while it is pressed does nothing: the keyboard repeats by itself. Unknown names are ignored. */
  press(code: string): void
  /** Releases a key. */
  release(code: string): void
  /**
   * Types a text, each character by the keys that give it in the layout.
   * @returns when the guest has taken all of it
   * @throws MachineError for a character or layout that there is not, and when the guest does not read its keyboard
   */
  type(text: string, options?: TypeOptions): Promise<void>
}

/** A machine's mouse, wheel and absolute pointer. */
export interface Mouse {
  /** Moves by so many counts: right and down are positive. */
  move(dx: number, dy: number): void
  /** Turns the wheel by so many notches: towards the user, which scrolls down, is positive. */
  wheel(dz: number): void
  press(button: MouseButton): void
  release(button: MouseButton): void
  /**
   * Moves to a place on the screen, from 0 to 1 of its width and height. Where the guest's driver takes absolute places it is
   * exact; otherwise it becomes motion.
   */
  moveTo(x: number, y: number): void
}

/** The handle's side of keyboard and mouse. */
export class InputView {
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  readonly #error: (sentence: string) => Error
  readonly #typing = new Map<number, { resolve(): void; reject(error: Error): void }>()
  #next = 0
  #ended = false

  /**
   * @param post sends to the worker
   * @param error makes the error that carries a sentence
   */
  constructor(post: (message: ToWorker) => void, error: (sentence: string) => Error) {
    this.#error = error
    this.keyboard = {
      press: code => post({ type: 'key', code, pressed: true }),
      release: code => post({ type: 'key', code, pressed: false }),
      type: (text, { layout = 'us' } = {}) =>
        new Promise((resolve, reject) => {
          if (this.#ended) {
            reject(error('the machine has ended'))
            return
          }
          const id = this.#next++
          this.#typing.set(id, { resolve, reject })
          post({ type: 'type', id, text, layout })
        }),
    }
    this.mouse = {
      move: (dx, dy) => post({ type: 'mouse-move', dx, dy }),
      wheel: dz => post({ type: 'mouse-wheel', dz }),
      press: button => post({ type: 'mouse-button', button, pressed: true }),
      release: button => post({ type: 'mouse-button', button, pressed: false }),
      moveTo: (x, y) => post({ type: 'mouse-to', x, y }),
    }
  }

  /** A text was typed, or could not be. */
  receive(message: FromWorker & { type: 'typed' }): void {
    const waiting = this.#typing.get(message.id)
    this.#typing.delete(message.id)
    if (message.error === undefined) waiting?.resolve()
    else waiting?.reject(this.#error(message.error))
  }

  /** The machine has ended. */
  end(): void {
    this.#ended = true
    for (const { reject } of this.#typing.values()) reject(this.#error('the machine has ended'))
    this.#typing.clear()
  }
}
