/**
 * Scan codes of a keyboard with 105 keys and some more, by the names of KeyboardEvent.code (UI Events KeyboardEvent code Values):
 * set 2, from which set 1 follows as the keyboard controller translates it, and set 3 (IBM PS/2 Hardware Interface Technical
 * Reference, Keyboards).
 */

/** How the keys of set 3 report: make and repeat, make and break, all three, or make alone. */
export type KeyType = 'typematic' | 'make-break' | 'typematic-break' | 'make'

/** A key. */
export interface KeyCodes {
  /** Set 2: its last byte, and whether E0h comes before it. */
  code: number
  extended: boolean
  /** Set 3, or 0 where it has no such key. */
  set3: number
  /** How it reports in set 3 unless the guest says otherwise. */
  type: KeyType
}

/** Names with the codes of set 2 and, where it differs, set 3. Groups by how they report in set 3. */
const TYPEMATIC = `
  Backquote 0e  Digit1 16  Digit2 1e  Digit3 26  Digit4 25  Digit5 2e  Digit6 36  Digit7 3d  Digit8 3e  Digit9 46  Digit0 45
  Minus 4e  Equal 55  Backspace 66  Tab 0d  KeyQ 15  KeyW 1d  KeyE 24  KeyR 2d  KeyT 2c  KeyY 35  KeyU 3c  KeyI 43  KeyO 44
  KeyP 4d  BracketLeft 54  BracketRight 5b  Backslash 5d/5c  KeyA 1c  KeyS 1b  KeyD 23  KeyF 2b  KeyG 34  KeyH 33  KeyJ 3b
  KeyK 42  KeyL 4b  Semicolon 4c  Quote 52  Enter 5a  IntlBackslash 61/13  KeyZ 1a  KeyX 22  KeyC 21  KeyV 2a  KeyB 32  KeyN 31
  KeyM 3a  Comma 41  Period 49  Slash 4a  Space 29  IntlRo 51  IntlYen 6a/5d
  Delete e071/64  ArrowLeft e06b/61  ArrowUp e075/63  ArrowDown e072/60  ArrowRight e074/6a  NumpadAdd 79/7c`
const MAKE_BREAK = `
  ShiftLeft 12  ShiftRight 59  ControlLeft 14/11  AltLeft 11/19  CapsLock 58/14`
const MAKE = `
  AltRight e011/39  ControlRight e014/58  Insert e070/67  Home e06c/6e  End e069/65  PageUp e07d/6f  PageDown e07a/6d
  NumLock 77/76  Numpad7 6c  Numpad4 6b  Numpad1 69  NumpadDivide e04a/77  Numpad8 75  Numpad5 73  Numpad2 72  Numpad0 70
  NumpadMultiply 7c/7e  Numpad9 7d  Numpad6 74  Numpad3 7a  NumpadDecimal 71  NumpadSubtract 7b/84  NumpadEnter e05a/79
  Escape 76/08  F1 05/07  F2 06/0f  F3 04/17  F4 0c/1f  F5 03/27  F6 0b/2f  F7 83/37  F8 0a/3f  F9 01/47  F10 09/4f  F11 78/56
  F12 07/5e  ScrollLock 7e/5f  MetaLeft e01f/8b  MetaRight e027/8c  ContextMenu e02f/8d  NonConvert 67/85  Convert 64/86
  KanaMode 13/87  PrintScreen e07c/57  Pause e07e/62
  F13 08/  F14 10/  F15 18/  F16 20/  F17 28/  F18 30/  F19 38/  F20 40/  F21 48/  F22 50/  F23 57/  F24 5f/
  NumpadComma 6d/  NumpadEqual 0f/  Power e037/  Sleep e03f/  WakeUp e05e/  AudioVolumeMute e023/  AudioVolumeDown e021/
  AudioVolumeUp e032/  MediaPlayPause e034/  MediaStop e03b/  MediaTrackNext e04d/  MediaTrackPrevious e015/  MediaSelect e050/
  LaunchMail e048/  LaunchApp1 e040/  LaunchApp2 e02b/  BrowserSearch e010/  BrowserHome e03a/  BrowserBack e038/
  BrowserForward e030/  BrowserStop e028/  BrowserRefresh e020/  BrowserFavorites e018/`

function entries(text: string, type: KeyType): [string, KeyCodes][] {
  return [...text.matchAll(/(\w+) (e0)?([0-9a-f]{2})(?:\/([0-9a-f]*))?/g)].map(([, name, extended, code, set3]) => [
    name,
    {
      code: Number.parseInt(code, 16),
      extended: extended !== undefined,
      set3: Number.parseInt(set3 || (set3 === '' ? '0' : code), 16),
      type,
    },
  ])
}

/** Every key by its name. */
export const KEYS: ReadonlyMap<string, KeyCodes> = new Map([
  ...entries(TYPEMATIC, 'typematic'),
  ...entries(MAKE_BREAK, 'make-break'),
  ...entries(MAKE, 'make'),
])

/** How the keyboard controller turns bytes of set 2 below 80h into those of set 1. */
const TRANSLATION = Uint8Array.from(
  (
    'ff43413f3d3b3c58644442403e0f2959' +
    '65382a701d10025a66712c1f1e11035b' +
    '672e2d201205045c68392f211413065d' +
    '693130232215075e6a7232241608095f' +
    '6b332517180b0a606c34352627190c61' +
    '6d7328741a0d626e3a361c1b752b6376' +
    '55567778797a0e7b7c4f7d4b477e7f6f' +
    '5253504c4d480145574e514a37494654'
  ).match(/../g)!,
  byte => Number.parseInt(byte, 16),
)

/** A byte of set 2 as the keyboard controller hands it on where it translates. */
export function translate(byte: number): number {
  if (byte === 0x83) return 0x41
  if (byte === 0x84) return 0x54
  return byte < 0x80 ? TRANSLATION[byte] : byte
}

/** The break prefix of sets 2 and 3. */
export const BREAK = 0xf0
/** The prefix of keys that the first AT keyboards did not have. */
export const EXTENDED = 0xe0

/** Which modifiers are down that change what Print Screen and Pause send. */
export interface Modifiers {
  control: boolean
  shift: boolean
  alt: boolean
}

/** Bytes of set 2 for a key that goes down, or with `pressed` false up. */
function set2Bytes(name: string, { code, extended }: KeyCodes, pressed: boolean, modifiers: Modifiers): number[] {
  const one = (value: number) => (pressed ? [value] : [BREAK, value])
  if (name === 'PrintScreen') {
    if (modifiers.alt) return one(0x84)
    const own = [EXTENDED, ...one(0x7c)]
    if (modifiers.control || modifiers.shift) return own
    const shift = [EXTENDED, ...one(0x12)]
    return pressed ? [...shift, ...own] : [...own, ...shift]
  }
  if (name === 'Pause') {
    if (!pressed) return []
    return modifiers.control
      ? [EXTENDED, 0x7e, EXTENDED, BREAK, 0x7e]
      : [0xe1, 0x14, 0x77, 0xe1, BREAK, 0x14, BREAK, 0x77]
  }
  return extended ? [EXTENDED, ...one(code)] : one(code)
}

/**
 * What a keyboard sends for a key.
 * @param set 1, 2 or 3; in set 3 the caller sees to keys that do not report their release
 */
export function scanCodes(set: number, name: string, key: KeyCodes, pressed: boolean, modifiers: Modifiers): number[] {
  if (set === 3) return key.set3 === 0 ? [] : pressed ? [key.set3] : [BREAK, key.set3]
  const bytes = set2Bytes(name, key, pressed, modifiers)
  if (set === 2) return bytes
  const translated: number[] = []
  for (let i = 0; i < bytes.length; i++)
    if (bytes[i] === BREAK) translated.push(translate(bytes[++i]) | 0x80)
    else translated.push(translate(bytes[i]))
  return translated
}
