/** What takes the typing of a device's own keyboard, which gives texts and not keys. */
import type { Keyboard } from '../../src/machine/input.ts'
import { complain, h } from './dom.ts'

/** Keys of a device's own keyboard that are no characters. */
const KEYS = new Set(['Enter', 'Backspace', 'Tab', 'Escape'])

/** A field out of sight; while it has the focus, the device shows its keyboard. */
export function typingField(keyboard: Keyboard): HTMLTextAreaElement {
  const field = h('textarea', {
    class: 'typing',
    'aria-label': 'Type to the machine',
    autocapitalize: 'off',
    autocomplete: 'off',
    autocorrect: 'off',
    spellcheck: 'false',
    tabindex: -1,
  })
  field.addEventListener('input', () => {
    const text = field.value
    field.value = ''
    if (text !== '') keyboard.type(text).catch(complain)
  })
  field.addEventListener('keydown', event => {
    // Keys by these names are those of the same codes.
    if (!KEYS.has(event.key)) return
    event.preventDefault()
    keyboard.press(event.key)
    keyboard.release(event.key)
  })
  return field
}
