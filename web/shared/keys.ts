/** Keys that the person's keyboard does not have, or that the browser keeps to itself. */
import type { Keyboard } from '../../src/machine/input.ts'
import { button, h } from './dom.ts'

/** Combinations of the menu. */
export const KEY_COMBINATIONS: readonly { label: string; codes: readonly string[] }[] = [
  { label: 'Ctrl + Alt + Del', codes: ['ControlLeft', 'AltLeft', 'Delete'] },
  { label: 'Ctrl + Alt + F1', codes: ['ControlLeft', 'AltLeft', 'F1'] },
  { label: 'Ctrl + Alt + F2', codes: ['ControlLeft', 'AltLeft', 'F2'] },
  { label: 'Ctrl + Alt + Backspace', codes: ['ControlLeft', 'AltLeft', 'Backspace'] },
  { label: 'Alt + Tab', codes: ['AltLeft', 'Tab'] },
  { label: 'Alt + F4', codes: ['AltLeft', 'F4'] },
  { label: 'Super', codes: ['MetaLeft'] },
  { label: 'Print Screen', codes: ['PrintScreen'] },
]

/** How long keys of a combination are held, in milliseconds. */
const HELD = 40

/** Presses keys one after the other, and releases them in the opposite order. */
export async function pressAll(keyboard: Pick<Keyboard, 'press' | 'release'>, codes: readonly string[]): Promise<void> {
  for (const code of codes) keyboard.press(code)
  await new Promise(resolve => setTimeout(resolve, HELD))
  for (const code of [...codes].reverse()) keyboard.release(code)
}

/** Keys of the row, as on its buttons. Those that stay down until the next other key are `held`. */
const ROW: readonly { label: string; code: string; held?: true; name?: string }[] = [
  { label: 'Esc', code: 'Escape' },
  { label: 'Tab', code: 'Tab' },
  { label: 'Ctrl', code: 'ControlLeft', held: true },
  { label: 'Alt', code: 'AltLeft', held: true },
  { label: '←', code: 'ArrowLeft', name: 'Left' },
  { label: '↑', code: 'ArrowUp', name: 'Up' },
  { label: '↓', code: 'ArrowDown', name: 'Down' },
  { label: '→', code: 'ArrowRight', name: 'Right' },
  { label: 'Enter', code: 'Enter' },
  { label: 'Del', code: 'Delete' },
  { label: 'PgUp', code: 'PageUp' },
  { label: 'PgDn', code: 'PageDown' },
  { label: 'F1', code: 'F1' },
  { label: 'F2', code: 'F2' },
  { label: 'F10', code: 'F10' },
  { label: 'F12', code: 'F12' },
]

/** What the row does with its keys. */
export interface KeysTarget {
  press(code: string): void
  release(code: string): void
  /** Opens the device's own keyboard. */
  typing(): void
}

/** A row of keys for fingers; shown by itself where there is no finer pointer. */
export class KeysBar {
  readonly element: HTMLElement
  readonly #target: KeysTarget
  readonly #held = new Map<string, HTMLButtonElement>()

  constructor(target: KeysTarget) {
    this.#target = target
    const keyboard = button('Keyboard', {
      icon: 'keyboard',
      compact: true,
      title: 'Open the keyboard',
      onclick: () => target.typing(),
    })
    this.element = h(
      'div',
      { class: 'keys', role: 'toolbar', 'aria-label': 'Keys' },
      keyboard,
      ...ROW.map(key => this.#key(key)),
    )
    this.element.hidden = !matchMedia('(pointer: coarse)').matches
  }

  get isShown(): boolean {
    return !this.element.hidden
  }

  toggle(): void {
    this.element.hidden = !this.element.hidden
  }

  #key({ label, code, held, name }: (typeof ROW)[number]): HTMLButtonElement {
    const key = button(label, {
      onclick: () => {
        if (held) this.#hold(code, key)
        else {
          this.#target.press(code)
          setTimeout(() => {
            this.#target.release(code)
            this.#letGo()
          }, HELD)
        }
      },
    })
    if (name) key.setAttribute('aria-label', name)
    if (held) key.setAttribute('aria-pressed', 'false')
    // The focus stays with the console, and the device's keyboard open.
    key.addEventListener('pointerdown', event => event.preventDefault())
    return key
  }

  #hold(code: string, key: HTMLButtonElement): void {
    if (this.#held.has(code)) {
      this.#held.delete(code)
      this.#target.release(code)
    } else {
      this.#held.set(code, key)
      this.#target.press(code)
    }
    key.setAttribute('aria-pressed', String(this.#held.has(code)))
  }

  #letGo(): void {
    for (const [code, key] of this.#held) {
      this.#target.release(code)
      key.setAttribute('aria-pressed', 'false')
    }
    this.#held.clear()
  }
}
