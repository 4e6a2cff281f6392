/** What a terminal sends for keys, as keys of a PC's keyboard. */

/** A key with what is held while it is pressed, or text to be typed. */
export type TypedKey = { text: string } | { code: string; held: string[] }

/** Keys by the end of a control sequence, `ESC [ … letter` or `ESC O letter`. */
const BY_LETTER: Readonly<Record<string, string>> = {
  A: 'ArrowUp',
  B: 'ArrowDown',
  C: 'ArrowRight',
  D: 'ArrowLeft',
  E: 'Numpad5',
  F: 'End',
  H: 'Home',
  P: 'F1',
  Q: 'F2',
  R: 'F3',
  S: 'F4',
}

/** Keys by the number of `ESC [ number ~`. */
const BY_NUMBER: Readonly<Record<number, string>> = {
  1: 'Home',
  2: 'Insert',
  3: 'Delete',
  4: 'End',
  5: 'PageUp',
  6: 'PageDown',
  7: 'Home',
  8: 'End',
  11: 'F1',
  12: 'F2',
  13: 'F3',
  14: 'F4',
  15: 'F5',
  17: 'F6',
  18: 'F7',
  19: 'F8',
  20: 'F9',
  21: 'F10',
  23: 'F11',
  24: 'F12',
}

/** Control characters that are no letters with Control. */
const CONTROLS: Readonly<Record<number, TypedKey>> = {
  0: { code: 'Space', held: ['ControlLeft'] },
  8: { code: 'Backspace', held: ['ControlLeft'] },
  9: { code: 'Tab', held: [] },
  10: { code: 'Enter', held: [] },
  13: { code: 'Enter', held: [] },
  27: { code: 'Escape', held: [] },
  28: { code: 'Backslash', held: ['ControlLeft'] },
  30: { code: 'Digit6', held: ['ControlLeft', 'ShiftLeft'] },
  31: { code: 'Minus', held: ['ControlLeft', 'ShiftLeft'] },
  127: { code: 'Backspace', held: [] },
}

/** What is held, as xterm numbers it: one more than Shift 1, Alt 2, Control 4. */
function heldOf(modifier: string | undefined): string[] {
  const bits = modifier === undefined ? 0 : Number(modifier) - 1
  return [...(bits & 1 ? ['ShiftLeft'] : []), ...(bits & 2 ? ['AltLeft'] : []), ...(bits & 4 ? ['ControlLeft'] : [])]
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what terminals send
const SEQUENCE = /^\x1b(?:\[(\d*)(?:;(\d+))?([A-HPQRSZ~])|O([A-HPQRS])|\[\[([A-E]))/

/** Takes what a terminal sent at once apart. */
export function typedKeys(input: string): TypedKey[] {
  const keys: TypedKey[] = []
  for (let rest = input; rest !== ''; ) {
    const sequence = SEQUENCE.exec(rest)
    if (sequence) {
      const [all, number, modifier, letter, application, linux] = sequence
      rest = rest.slice(all.length)
      const end = letter ?? application
      if (linux) keys.push({ code: `F${linux.charCodeAt(0) - 64}`, held: [] })
      else if (end === 'Z') keys.push({ code: 'Tab', held: ['ShiftLeft'] })
      else {
        const code = end === '~' ? BY_NUMBER[Number(number)] : BY_LETTER[end]
        if (code) keys.push({ code, held: heldOf(modifier) })
      }
      continue
    }
    const character = String.fromCodePoint(rest.codePointAt(0)!)
    rest = rest.slice(character.length)
    // Escape with something right behind it is Alt with that.
    if (character === '\x1b' && rest !== '') {
      const [first, ...others] = typedKeys(rest)
      if (first && 'code' in first) keys.push({ ...first, held: ['AltLeft', ...first.held] })
      else if (first) keys.push(...altText(first.text))
      keys.push(...others)
      break
    }
    const control = character.charCodeAt(0)
    if (CONTROLS[control]) keys.push(CONTROLS[control])
    else if (control < 0x20) keys.push({ code: `Key${String.fromCharCode(control + 64)}`, held: ['ControlLeft'] })
    else {
      const last = keys.at(-1)
      if (last && 'text' in last) last.text += character
      else keys.push({ text: character })
    }
  }
  return keys
}

/** Text of which the first character was typed with Alt. */
function altText(text: string): TypedKey[] {
  const [first, ...rest] = text
  const others = rest.length > 0 ? [{ text: rest.join('') }] : []
  if (/[a-z]/i.test(first)) {
    const shift = first === first.toUpperCase() ? ['ShiftLeft'] : []
    return [{ code: `Key${first.toUpperCase()}`, held: ['AltLeft', ...shift] }, ...others]
  }
  if (/\d/.test(first)) return [{ code: `Digit${first}`, held: ['AltLeft'] }, ...others]
  return [{ text }]
}
