/** Commands about running and not running. */
import { controlCommand, earlyCommand } from './command.ts'

/**
 * Parameter `action`: `off` ends the machine at once, as pulling the plug does, also while it is being made; `reset` starts the
 * guest again; `press` presses the power button, which asks the guest to shut down. Result: `{}`, for `off` before it is over.
 */
export const POWER = earlyCommand({
  parameters: { action: 'string' },
  async run(target, { action }) {
    const { machine } = target
    if (action !== 'off' && action !== 'reset' && action !== 'press')
      throw new Error(`the power can be 'off', 'reset' or 'press', not '${action}'`)
    if (action === 'off') target.powerOff()
    else if (machine === undefined)
      throw new Error(`machine '${target.name}' is still being made: try again in a moment`)
    else if (action === 'reset') await machine.reset()
    else await machine.pressPowerButton()
    return {}
  },
})

/** Stops execution and guest time. Result: `{ "state": "paused" }`. */
export const PAUSE = controlCommand({
  parameters: {},
  async run({ machine }) {
    await machine.pause()
    return { state: machine.state }
  },
})

/** Goes on after a pause. Result: `{ "state": "running" }`. */
export const RESUME = controlCommand({
  parameters: {},
  async run({ machine }) {
    await machine.resume()
    return { state: machine.state }
  },
})
