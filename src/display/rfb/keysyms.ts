/**
 * Keys by what a viewer calls them: X11's keysyms (keysymdef.h) and the scan codes of QEMU's extended key event, both to
 * KeyboardEvent.code. Characters are where a US keyboard has them.
 */

/** A key, and whether Shift is held for it on a US keyboard; undefined where it does not matter. */
export interface KeysymKey {
  readonly code: string
  readonly shift?: boolean
}

/** Rows of a US keyboard: codes, and the characters without and with Shift. */
const CHARACTERS: readonly (readonly [codes: readonly string[], plain: string, shifted: string])[] = [
  [
    ['Backquote', ...'1234567890'.split('').map(digit => `Digit${digit}`), 'Minus', 'Equal'],
    '`1234567890-=',
    '~!@#$%^&*()_+',
  ],
  [
    [...'QWERTYUIOP'.split('').map(letter => `Key${letter}`), 'BracketLeft', 'BracketRight', 'Backslash'],
    'qwertyuiop[]\\',
    'QWERTYUIOP{}|',
  ],
  [[...'ASDFGHJKL'.split('').map(letter => `Key${letter}`), 'Semicolon', 'Quote'], "asdfghjkl;'", 'ASDFGHJKL:"'],
  [[...'ZXCVBNM'.split('').map(letter => `Key${letter}`), 'Comma', 'Period', 'Slash'], 'zxcvbnm,./', 'ZXCVBNM<>?'],
]

/** Keysyms that are no characters. */
const OTHERS: Readonly<Record<number, string>> = {
  32: 'Space',
  65288: 'Backspace',
  65289: 'Tab',
  65056: 'Tab', // ISO_Left_Tab
  65293: 'Enter',
  65299: 'Pause',
  65387: 'Pause', // Break
  65300: 'ScrollLock',
  65307: 'Escape',
  65360: 'Home',
  65361: 'ArrowLeft',
  65362: 'ArrowUp',
  65363: 'ArrowRight',
  65364: 'ArrowDown',
  65365: 'PageUp',
  65366: 'PageDown',
  65367: 'End',
  65301: 'PrintScreen', // Sys_Req
  65377: 'PrintScreen',
  65379: 'Insert',
  65383: 'ContextMenu',
  65407: 'NumLock',
  65408: 'Space', // KP_Space
  65417: 'Tab', // KP_Tab
  65421: 'NumpadEnter',
  65429: 'Numpad7',
  65430: 'Numpad4',
  65431: 'Numpad8',
  65432: 'Numpad6',
  65433: 'Numpad2',
  65434: 'Numpad9',
  65435: 'Numpad3',
  65436: 'Numpad1',
  65437: 'Numpad5',
  65438: 'Numpad0',
  65439: 'NumpadDecimal',
  65450: 'NumpadMultiply',
  65451: 'NumpadAdd',
  65452: 'NumpadComma',
  65453: 'NumpadSubtract',
  65454: 'NumpadDecimal',
  65455: 'NumpadDivide',
  65469: 'NumpadEqual',
  65505: 'ShiftLeft',
  65506: 'ShiftRight',
  65507: 'ControlLeft',
  65508: 'ControlRight',
  65509: 'CapsLock',
  65510: 'CapsLock', // Shift_Lock
  65511: 'MetaLeft',
  65512: 'MetaRight',
  65513: 'AltLeft',
  65514: 'AltRight',
  65515: 'MetaLeft', // Super_L
  65516: 'MetaRight', // Super_R
  65406: 'AltRight', // Mode_switch
  65027: 'AltRight', // ISO_Level3_Shift
  65535: 'Delete',
  269025041: 'AudioVolumeDown',
  269025042: 'AudioVolumeMute',
  269025043: 'AudioVolumeUp',
  269025044: 'MediaPlayPause',
  269025045: 'MediaStop',
  269025046: 'MediaTrackPrevious',
  269025047: 'MediaTrackNext',
}

/** Every keysym that there is a key for. */
export const KEYSYMS: ReadonlyMap<number, KeysymKey> = new Map<number, KeysymKey>([
  ...CHARACTERS.flatMap(([codes, plain, shifted]) =>
    codes.flatMap((code, n): [number, KeysymKey][] => [
      [plain.charCodeAt(n), { code, shift: false }],
      [shifted.charCodeAt(n), { code, shift: true }],
    ]),
  ),
  ...Object.entries(OTHERS).map(([keysym, code]): [number, KeysymKey] => [Number(keysym), { code }]),
  ...Array.from({ length: 10 }, (_, n): [number, KeysymKey] => [0xffb0 + n, { code: `Numpad${n}` }]),
  ...Array.from({ length: 4 }, (_, n): [number, KeysymKey] => [0xff91 + n, { code: `F${n + 1}` }]), // KP_F1 to KP_F4
  ...Array.from({ length: 24 }, (_, n): [number, KeysymKey] => [0xffbe + n, { code: `F${n + 1}` }]),
])

/** The character of a keysym, where it has one: Latin 1 as it is, all others as Unicode above 0x0100_0000. */
export function characterOf(keysym: number): string | undefined {
  if ((keysym >= 0x20 && keysym < 0x7f) || (keysym >= 0xa0 && keysym <= 0xff)) return String.fromCharCode(keysym)
  if (keysym >= 0x0100_0100 && keysym <= 0x0110_ffff) return String.fromCodePoint(keysym - 0x0100_0000)
  return undefined
}

/** Codes in the order of scan code set 1, from 1 on; empty where there is no key. */
const SET_1 = [
  ...['Escape', ...'1234567890'.split('').map(digit => `Digit${digit}`), 'Minus', 'Equal', 'Backspace', 'Tab'],
  ...'QWERTYUIOP'.split('').map(letter => `Key${letter}`),
  ...['BracketLeft', 'BracketRight', 'Enter', 'ControlLeft'],
  ...'ASDFGHJKL'.split('').map(letter => `Key${letter}`),
  ...['Semicolon', 'Quote', 'Backquote', 'ShiftLeft', 'Backslash'],
  ...'ZXCVBNM'.split('').map(letter => `Key${letter}`),
  ...['Comma', 'Period', 'Slash', 'ShiftRight', 'NumpadMultiply', 'AltLeft', 'Space', 'CapsLock'],
  ...Array.from({ length: 10 }, (_, n) => `F${n + 1}`),
  ...['NumLock', 'ScrollLock', 'Numpad7', 'Numpad8', 'Numpad9', 'NumpadSubtract', 'Numpad4', 'Numpad5', 'Numpad6'],
  ...['NumpadAdd', 'Numpad1', 'Numpad2', 'Numpad3', 'Numpad0', 'NumpadDecimal', 'PrintScreen', '', 'IntlBackslash'],
  ...['F11', 'F12', 'NumpadEqual'],
]

/** Codes of the scan codes behind the prefix 0xe0, and of those further up in set 1. */
const FURTHER: Readonly<Record<number, string>> = {
  112: 'KanaMode',
  115: 'IntlRo',
  121: 'Convert',
  123: 'NonConvert',
  125: 'IntlYen',
  126: 'NumpadComma',
  144: 'MediaTrackPrevious',
  153: 'MediaTrackNext',
  156: 'NumpadEnter',
  157: 'ControlRight',
  160: 'AudioVolumeMute',
  162: 'MediaPlayPause',
  164: 'MediaStop',
  174: 'AudioVolumeDown',
  176: 'AudioVolumeUp',
  181: 'NumpadDivide',
  183: 'PrintScreen',
  184: 'AltRight',
  198: 'Pause',
  199: 'Home',
  200: 'ArrowUp',
  201: 'PageUp',
  203: 'ArrowLeft',
  205: 'ArrowRight',
  207: 'End',
  208: 'ArrowDown',
  209: 'PageDown',
  210: 'Insert',
  211: 'Delete',
  219: 'MetaLeft',
  220: 'MetaRight',
  221: 'ContextMenu',
  222: 'Power',
}

/** Codes by the key code of QEMU's extended key event: set 1, with bit 7 in place of the prefix 0xe0. */
export const SCAN_CODES: ReadonlyMap<number, string> = new Map<number, string>([
  ...SET_1.map((code, n): [number, string] => [n + 1, code]).filter(([, code]) => code !== ''),
  ...Object.entries(FURTHER).map(([key, code]): [number, string] => [Number(key), code]),
])
