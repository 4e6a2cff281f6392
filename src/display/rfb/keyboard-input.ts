/** Turns a viewer's key events into presses of the guest's keys, and knows which it holds. */
import type { Keyboard } from '../../machine/input.ts'
import { characterOf, KEYSYMS, SCAN_CODES } from './keysyms.ts'

/** Keys that a viewer may hold at once; presses beyond are ignored. */
const MOST_HELD = 64

const CONTROL = ['ControlLeft', 'ControlRight']
const ALT = ['AltLeft']
const SHIFT = ['ShiftLeft', 'ShiftRight']

/** What goes beyond keys. */
export interface KeyboardActions {
  /** The viewer's user asks for its clipboard to be typed: Ctrl-Alt-V. */
  paste(): void
  /** A character that has no key on a US keyboard. */
  type(text: string): void
}

/** The keyboard of one viewer. */
export class KeyboardInput {
  readonly #keyboard: Keyboard
  readonly #actions: KeyboardActions
  /** What is held: codes by what the viewer calls the key. */
  readonly #held = new Map<string, string>()
  /** The guest's Caps Lock, as far as this viewer has turned it. */
  #capsLock = false

  /** Nothing is held. */
  constructor(keyboard: Keyboard, actions: KeyboardActions) {
    this.#keyboard = keyboard
    this.#actions = actions
  }

  /** A key by what it writes. */
  keysym(isDown: boolean, keysym: number): void {
    const name = `keysym ${keysym}`
    if (!isDown) {
      this.#release(name)
      return
    }
    const key = KEYSYMS.get(keysym)
    if (!key) {
      const character = characterOf(keysym)
      if (character !== undefined) this.#actions.type(character)
      return
    }
    const { code, shift } = key
    const isLetter = code.startsWith('Key')
    const has = this.#holds(SHIFT)
    const chord = this.#holds(CONTROL) || this.#holds(ALT) || this.#holds(['MetaLeft', 'MetaRight'])
    // What the viewer's keyboard writes with other modifiers than a US one needs those of a US one for this press.
    if (shift === undefined || chord || has === (isLetter && this.#capsLock ? !shift : shift)) {
      this.#press(name, code)
      return
    }
    if (has) {
      const held = [...this.#held.values()].filter(held => SHIFT.includes(held))
      for (const other of held) this.#keyboard.release(other)
      this.#press(name, code)
      for (const other of held) this.#keyboard.press(other)
    } else {
      this.#keyboard.press('ShiftLeft')
      this.#press(name, code)
      this.#keyboard.release('ShiftLeft')
    }
  }

  /** A key by its place, and by what it writes where its place has no name. */
  scanCode(isDown: boolean, scanCode: number, keysym: number): void {
    const code = SCAN_CODES.get(scanCode)
    if (code === undefined) this.keysym(isDown, keysym)
    else if (isDown) this.#press(`key ${scanCode}`, code)
    else this.#release(`key ${scanCode}`)
  }

  /** The viewer has gone, or looks elsewhere. */
  releaseAll(): void {
    for (const code of this.#held.values()) this.#keyboard.release(code)
    this.#held.clear()
  }

  #holds(codes: readonly string[]): boolean {
    for (const code of this.#held.values()) if (codes.includes(code)) return true
    return false
  }

  #press(name: string, code: string): void {
    if (this.#held.has(name) || this.#held.size >= MOST_HELD) return
    if (code === 'KeyV' && this.#holds(CONTROL) && this.#holds(ALT)) {
      // What was held would make commands of what is typed.
      this.releaseAll()
      this.#actions.paste()
      return
    }
    if (code === 'CapsLock') this.#capsLock = !this.#capsLock
    this.#held.set(name, code)
    this.#keyboard.press(code)
  }

  #release(name: string): void {
    const code = this.#held.get(name)
    if (code === undefined) return
    this.#held.delete(name)
    // Two of the viewer's keys may be one of the guest's.
    if (!this.#holds([code])) this.#keyboard.release(code)
  }
}
