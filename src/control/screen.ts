/** Commands about what a machine shows, and what is done with its keyboard and mouse. */
import { parseKeys } from '../machine/key-names.ts'
import { encodePng } from '../machine/png.ts'
import { controlCommand, type ReadyTarget } from './command.ts'
import { MOUSE_ACTIONS } from './mouse-actions.ts'

/** How long a key or button is down: milliseconds. */
const PRESS_TIME = 60

const pause = () => new Promise<void>(resolve => setTimeout(resolve, PRESS_TIME))

/** @throws Error with one sentence where there is no screen */
function screenOf({ machine, name }: ReadyTarget) {
  if (machine.screen) return machine.screen
  throw new Error(`machine '${name}' has no display adapter: start it with --vga std`)
}

function base64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(text)
}

/**
 * What the screen shows. Result: `width` and `height` in pixels; `png`: a PNG file in base64; `text`: in text modes the rows, joined by
 * newlines.
 */
export const SCREENSHOT = controlCommand({
  parameters: {},
  async run(target) {
    const screen = screenOf(target)
    const image = await screen.image()
    const text = await screen.text()
    const { width, height } = image
    return { width, height, png: base64(await encodePng(image)), text }
  },
})

/** Types a text. Parameters: `text`; `layout`: the guest's keyboard layout, as `us` (default). Result: `{}`, when the guest has taken it. */
export const TYPE = controlCommand({
  parameters: { text: 'string', layout: 'string?' },
  async run({ machine }, { text, layout }) {
    await machine.keyboard.type(text, { layout })
    return {}
  },
})

/** Presses keys together and releases them. Parameter `keys`: as `ctrl-alt-del`. Result: `{}`. */
export const SEND_KEYS = controlCommand({
  parameters: { keys: 'string' },
  async run({ machine }, { keys }) {
    const codes = parseKeys(keys)
    for (const code of codes) machine.keyboard.press(code)
    await pause()
    for (const code of codes.reverse()) machine.keyboard.release(code)
    return {}
  },
})

/** Moves the pointer. Parameters: `x`, `y`: pixels of the screen; `action`: one of {@link MOUSE_ACTIONS}, done there. Result: `{}`. */
export const MOUSE = controlCommand({
  parameters: { x: 'number', y: 'number', action: 'string?' },
  async run(target, { x, y, action }) {
    if (action !== undefined && !Object.hasOwn(MOUSE_ACTIONS, action))
      throw new Error(`the mouse can ${Object.keys(MOUSE_ACTIONS).join(', ')}, not '${action}'`)
    const { width, height } = await screenOf(target).image()
    if (x < 0 || y < 0 || x >= width || y >= height)
      throw new Error(`the screen has ${width} × ${height} pixels now: ${x}, ${y} is not on it`)
    const { mouse } = target.machine
    mouse.moveTo((x + 0.5) / width, (y + 0.5) / height)
    const [button, ...steps] = action === undefined ? [0 as const] : MOUSE_ACTIONS[action]
    for (const step of steps) {
      // A guest sees where the pointer is before the button goes down.
      await pause()
      mouse[step](button)
    }
    return {}
  },
})
