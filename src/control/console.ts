/** Commands about serial ports: attaching to one, and telling the size of the terminal. */
import { PatientPeer } from '../machine/patient-peer.ts'
import { controlCommand, StreamAnswer, streamCommand } from './command.ts'

/** Most characters of a terminal in a direction, as virtio's console can tell. */
const LARGEST_SIZE = 0xffff

/**
 * Attaches to a serial port: its output from now on (and what nobody heard before) goes to the client, what the client sends goes to
 * the guest. Any number may be attached. A client that takes nothing for a second loses what comes until it does.
 *
 * Parameter `port`: `COM1` (default) to `COM4`. Result: `{ "port": "COM1" }`.
 */
export const CONSOLE = streamCommand({
  parameters: { port: 'string?' },
  async run(target, { port: name = 'COM1' }) {
    const port = target.ports.find(port => port.name === name)
    if (port === undefined || !port.name.startsWith('COM'))
      throw new Error(`machine '${target.name}' has no serial port '${name}': there are COM1, COM2, COM3 and COM4`)
    return new StreamAnswer({ port: name }, async ({ readable, writable }) => {
      const writer = writable.getWriter()
      const reader = readable.getReader()
      const over = Promise.withResolvers<void>()
      const peer = new PatientPeer(
        bytes => writer.write(bytes),
        () => over.resolve(),
      )
      const plug = port.hub.attach(peer, { lasting: true })
      const input = async () => {
        for (;;) {
          const { value, done } = await reader.read()
          if (done) return
          await plug.send(value)
        }
      }
      input().then(over.resolve, over.resolve)
      // What is on its way then leaves with the end of the connection.
      await over.promise
      plug.detach()
    })
  },
})

/**
 * Tells the guest's virtio console the size of the terminal that is attached. Parameters `columns` and `rows`: characters. Result: `{}`.
 */
export const RESIZE = controlCommand({
  parameters: { columns: 'number', rows: 'number' },
  async run({ machine }, { columns, rows }) {
    for (const size of [columns, rows])
      if (!Number.isInteger(size) || size < 1 || size > LARGEST_SIZE)
        throw new Error(`a terminal cannot have ${columns} columns and ${rows} rows`)
    await machine.resizeConsole(columns, rows)
    return {}
  },
})
