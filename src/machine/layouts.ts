/** Keyboard layouts: which keys give a character. Each is four rows of text, as they are printed on the keys. */

/** The keys of a layout, in the order of its rows' characters. */
const CODES = [
  ['Backquote', ...'1234567890'.split('').map(digit => `Digit${digit}`), 'Minus', 'Equal'],
  [...'QWERTYUIOP'.split('').map(letter => `Key${letter}`), 'BracketLeft', 'BracketRight'],
  [...'ASDFGHJKL'.split('').map(letter => `Key${letter}`), 'Semicolon', 'Quote', 'Backslash'],
  ['IntlBackslash', ...'ZXCVBNM'.split('').map(letter => `Key${letter}`), 'Comma', 'Period', 'Slash'],
].flat()

/** Keys by their level: plain, with Shift, with AltGr, with both. A blank is a key that gives nothing there. */
type Levels = readonly [plain: Rows, shift: Rows, altGr?: Rows, both?: Rows]
type Rows = readonly [numbers: string, upper: string, home: string, lower: string]

/** Dead keys stand for the combining character that they add: grave, acute, circumflex, tilde, diaeresis. */
const GRAVE = '\u0300'
const ACUTE = '\u0301'
const CIRCUMFLEX = '\u0302'
const TILDE = '\u0303'
const DIAERESIS = '\u0308'

const LAYOUTS: Readonly<Record<string, Levels>> = {
  us: [
    ['`1234567890-=', 'qwertyuiop[]', "asdfghjkl;'\\", ' zxcvbnm,./'],
    ['~!@#$%^&*()_+', 'QWERTYUIOP{}', 'ASDFGHJKL:"|', ' ZXCVBNM<>?'],
  ],
  gb: [
    ['`1234567890-=', 'qwertyuiop[]', "asdfghjkl;'#", '\\zxcvbnm,./'],
    ['¬!"£$%^&*()_+', 'QWERTYUIOP{}', 'ASDFGHJKL:@~', '|ZXCVBNM<>?'],
    ['¦   €        ', '  é   úíó   ', 'á           ', '           '],
    ['             ', '  É   ÚÍÓ   ', 'Á           ', '           '],
  ],
  de: [
    [`${CIRCUMFLEX}1234567890ß${ACUTE}`, 'qwertzuiopü+', 'asdfghjklöä#', '<yxcvbnm,.-'],
    [`°!"§$%&/()=?${GRAVE}`, 'QWERTZUIOPÜ*', "ASDFGHJKLÖÄ'", '>YXCVBNM;:_'],
    ['  ²³   {[]}\\ ', '@ €        ~', '            ', '|      µ   '],
  ],
  fr: [
    ['²&é"\'(-è_çà)=', `azertyuiop${CIRCUMFLEX}$`, 'qsdfghjklmù*', '<wxcvbn,;:!'],
    [' 1234567890°+', `AZERTYUIOP${DIAERESIS}£`, 'QSDFGHJKLM%µ', '>WXCVBN?./§'],
    ['  ~#{[|`\\^@]}', '  €        ¤', '            ', '           '],
  ],
  es: [
    ["º1234567890'¡", `qwertyuiop${GRAVE}+`, `asdfghjklñ${ACUTE}ç`, '<zxcvbnm,.-'],
    ['ª!"·$%&/()=?¿', `QWERTYUIOP${CIRCUMFLEX}*`, `ASDFGHJKLÑ${DIAERESIS}Ç`, '>ZXCVBNM;:_'],
    ['\\|@#~€¬      ', '  €       []', '          {}', '           '],
  ],
  it: [
    ["\\1234567890'ì", 'qwertyuiopè+', 'asdfghjklòàù', '<zxcvbnm,.-'],
    ['|!"£$%&/()=?^', 'QWERTYUIOPé*', 'ASDFGHJKLç°§', '>ZXCVBNM;:_'],
    ['             ', '  €       []', '         @# ', '           '],
    ['             ', '          {}', '            ', '           '],
  ],
  pt: [
    ["\\1234567890'«", `qwertyuiop+${ACUTE}`, `asdfghjklçº${TILDE}`, '<zxcvbnm,.-'],
    ['|!"#$%&/()=?»', `QWERTYUIOP*${GRAVE}`, `ASDFGHJKLÇª${CIRCUMFLEX}`, '>ZXCVBNM;:_'],
    ['  @£§€ {[]}  ', `  €       ${DIAERESIS} `, '            ', '           '],
  ],
  se: [
    [`§1234567890+${ACUTE}`, `qwertyuiopå${DIAERESIS}`, "asdfghjklöä'", '<zxcvbnm,.-'],
    [`½!"#¤%&/()=?${GRAVE}`, `QWERTYUIOPÅ${CIRCUMFLEX}`, 'ASDFGHJKLÖÄ*', '>ZXCVBNM;:_'],
    ['  @£$€ {[]}\\ ', `  €        ${TILDE}`, '            ', '|      µ   '],
  ],
}

/** Names of the layouts there are. */
export const LAYOUT_NAMES: readonly string[] = Object.keys(LAYOUTS)

/** Keys that give what is no letter in any layout. */
const CONTROLS: Readonly<Record<string, string>> = {
  '\n': 'Enter',
  '\r': 'Enter',
  '\t': 'Tab',
  '\b': 'Backspace',
  '\u001b': 'Escape',
  '\u007f': 'Backspace',
  ' ': 'Space',
}

/** A key with the modifiers that are held. */
export interface Stroke {
  code: string
  shift: boolean
  altGr: boolean
  /** It is a letter, whose case Caps Lock turns around. */
  letter: boolean
}

/** What a layout's characters are typed by. */
export class Layout {
  readonly #strokes = new Map<string, Stroke>()

  /** @throws RangeError for a name that there is not */
  constructor(name: string) {
    const levels = LAYOUTS[name]
    if (levels === undefined)
      throw new RangeError(`there is no keyboard layout '${name}': choose ${LAYOUT_NAMES.join(', ')}`)
    for (const [level, rows = []] of levels.entries())
      for (const [i, character] of [...rows.join('')].entries()) {
        if (character === ' ' || this.#strokes.has(character)) continue
        const letter = character.toLowerCase() !== character.toUpperCase()
        this.#strokes.set(character, { code: CODES[i], shift: (level & 1) !== 0, altGr: level > 1, letter })
      }
    for (const [character, code] of Object.entries(CONTROLS))
      this.#strokes.set(character, { code, shift: false, altGr: false, letter: false })
  }

  /** The strokes that type a character, or undefined where none do. */
  strokes(character: string): Stroke[] | undefined {
    const own = this.#strokes.get(character)
    if (own) return [own]
    // A dead key and the letter, or the blank for the accent alone.
    const accent = ACCENTS[character]
    const [base, mark] = accent === undefined ? [...character.normalize('NFD')] : [' ', accent]
    const dead = this.#strokes.get(mark)
    const letter = this.#strokes.get(base)
    return dead && letter ? [dead, letter] : undefined
  }
}

/** Accents by themselves, with the dead keys that give them. */
const ACCENTS: Readonly<Record<string, string>> = {
  '`': GRAVE,
  '´': ACUTE,
  '^': CIRCUMFLEX,
  '~': TILDE,
  '¨': DIAERESIS,
}
