/** Keys by the names that people write: `ctrl-alt-del`, `f12`, `shift-a`. */
import { KEYS } from '../devices/ps2/scan-codes.ts'

/** Names that are not made of KeyboardEvent.code's by leaving something out. */
const NAMES: Readonly<Record<string, string>> = {
  ctrl: 'ControlLeft',
  control: 'ControlLeft',
  'right-ctrl': 'ControlRight',
  shift: 'ShiftLeft',
  alt: 'AltLeft',
  altgr: 'AltRight',
  meta: 'MetaLeft',
  win: 'MetaLeft',
  super: 'MetaLeft',
  menu: 'ContextMenu',
  esc: 'Escape',
  ret: 'Enter',
  return: 'Enter',
  spc: 'Space',
  del: 'Delete',
  ins: 'Insert',
  up: 'ArrowUp',
  down: 'ArrowDown',
  left: 'ArrowLeft',
  right: 'ArrowRight',
  pgup: 'PageUp',
  pgdn: 'PageDown',
  print: 'PrintScreen',
  sysrq: 'PrintScreen',
  break: 'Pause',
  caps: 'CapsLock',
  num: 'NumLock',
  scroll: 'ScrollLock',
  '-': 'Minus',
  '=': 'Equal',
  '[': 'BracketLeft',
  ']': 'BracketRight',
  ';': 'Semicolon',
  "'": 'Quote',
  '`': 'Backquote',
  '\\': 'Backslash',
  ',': 'Comma',
  '.': 'Period',
  '/': 'Slash',
}

/** Codes by their own names in lower case, without `Key` and `Digit`. */
const CODES = new Map([...KEYS.keys()].map(code => [code.replace(/^(Key|Digit)(?=.$)/, '').toLowerCase(), code]))

/**
 * The keys of a combination, as names of KeyboardEvent.code, in the order in which they are pressed.
 * @throws RangeError with one sentence naming a key that there is not
 */
export function parseKeys(text: string): string[] {
  // A hyphen at the end is the key.
  const words = text
    .toLowerCase()
    .replace(/(^|-)-$/, '$1minus')
    .split('-')
  return words.map(word => {
    const code = NAMES[word] ?? CODES.get(word)
    if (code !== undefined) return code
    throw new RangeError(
      `there is no key '${word}' in '${text}': keys are written as in ctrl-alt-del, f12, shift-a, up or enter`,
    )
  })
}
