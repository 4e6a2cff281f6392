/** What can be done with the mouse by command; apart from how it is done, so that describing commands loads no more. */
import type { MouseButton } from '../machine/machine.ts'

/** What can be done with the mouse besides moving it: which button, and whether it goes down and up. */
export const MOUSE_ACTIONS: Readonly<
  Record<string, readonly [button: MouseButton, ...steps: ('press' | 'release')[]]>
> = {
  click: [0, 'press', 'release'],
  'middle-click': [1, 'press', 'release'],
  'right-click': [2, 'press', 'release'],
  'double-click': [0, 'press', 'release', 'press', 'release'],
  press: [0, 'press'],
  release: [0, 'release'],
}
