/** The descriptions of the commands about screen, keyboard and mouse of running machines. */
import { MOUSE_ACTIONS } from '../control/mouse-actions.ts'
import { LAYOUT_NAMES } from '../machine/layouts.ts'
import type { CommandDescription } from './command.ts'
import { CONTROL_STATUS, NAME } from './control-options.ts'

/** `typetwo screenshot` */
export const SCREENSHOT = {
  name: 'screenshot',
  summary: "writes what a machine's screen shows to a PNG file",
  words: { name: NAME, file: { help: 'The file, which is written anew.' } },
  options: {},
  description: ['The picture has the pixels of the mode that the guest has set, text modes too.'],
  sections: [{ title: 'Examples', lines: ['typetwo screenshot web1 web1.png'] }, CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo screen` */
export const SCREEN = {
  name: 'screen',
  summary: "prints the text that a machine's screen shows",
  words: { name: NAME },
  options: {},
  description: ['Works while the guest uses a text mode, as firmware, boot loaders and consoles do.'],
  sections: [{ title: 'Examples', lines: ["typetwo screen web1 | grep 'login:'"] }, CONTROL_STATUS],
} as const satisfies CommandDescription

/** `typetwo type` */
export const TYPE = {
  name: 'type',
  summary: "types a text on a machine's keyboard",
  words: {
    name: NAME,
    text: { help: 'The text. \\n in it is Enter, \\t Tab, \\e Escape, \\\\ a backslash.' },
  },
  options: {
    layout: {
      value: 'NAME',
      choices: LAYOUT_NAMES,
      help: 'The keyboard layout that the guest is set to, which says what keys give a character, with AltGr and dead keys where it needs them. Default: us.',
    },
  },
  description: ['Returns when the guest has taken all keys.'],
  sections: [
    {
      title: 'Examples',
      lines: ["typetwo type web1 'root\\n'", "typetwo type --layout de web1 'grüße@example.org\\n'"],
    },
    CONTROL_STATUS,
  ],
} as const satisfies CommandDescription

/** `typetwo send-keys` */
export const SEND_KEYS = {
  name: 'send-keys',
  summary: 'presses keys together and releases them',
  words: {
    name: NAME,
    keys: {
      help: 'Keys with hyphens between them, pressed in this order: letters and digits, f1 to f24, ctrl, alt, altgr, shift, meta, enter, esc, tab, space, backspace, up, down, left, right, home, end, pgup, pgdn, ins, del, print, pause, caps, num, scroll, menu, or any name of KeyboardEvent.code, as numpad5 or intlbackslash.',
    },
  },
  options: {},
  description: [],
  sections: [
    { title: 'Examples', lines: ['typetwo send-keys web1 ctrl-alt-del', 'typetwo send-keys web1 f12'] },
    CONTROL_STATUS,
  ],
} as const satisfies CommandDescription

/** `typetwo mouse` */
export const MOUSE = {
  name: 'mouse',
  summary: 'moves the pointer of a machine, and clicks there',
  words: {
    name: NAME,
    x: { help: 'Pixels from the left of the screen, as a screenshot has them.' },
    y: { help: 'Pixels from the top.' },
    action: {
      choices: Object.keys(MOUSE_ACTIONS),
      isOptional: true,
      help: 'What is done there: click, middle-click, right-click or double-click; press and release hold the left button while the pointer is moved by further commands.',
    },
  },
  options: {},
  description: [
    "Where the guest has a driver of virtio's tablet or VMware's pointer the place is exact. Otherwise it becomes motion from where the pointer was put last, which a guest that accelerates the pointer carries elsewhere.",
  ],
  sections: [{ title: 'Examples', lines: ['typetwo mouse web1 512 384 click'] }, CONTROL_STATUS],
} as const satisfies CommandDescription
