/** The commands of the control protocol by name. To add one: its file, and a line here. */
import type { ControlCommand } from './command.ts'
import { CONSOLE, RESIZE } from './console.ts'
import { INFO } from './info.ts'
import { EJECT, INSERT } from './media.ts'
import { PAUSE, POWER, RESUME } from './power.ts'
import { MOUSE, SCREENSHOT, SEND_KEYS, TYPE } from './screen.ts'

/** All commands. The names are the protocol's, in lower case with hyphens. */
export const CONTROL_COMMANDS: Readonly<Record<string, ControlCommand>> = {
  info: INFO,
  console: CONSOLE,
  resize: RESIZE,
  eject: EJECT,
  insert: INSERT,
  power: POWER,
  pause: PAUSE,
  resume: RESUME,
  screenshot: SCREENSHOT,
  type: TYPE,
  'send-keys': SEND_KEYS,
  mouse: MOUSE,
}
