/** The commands that ask a running machine for one thing and are over. */
import { resolve } from 'node:path'
import type { ControlClient } from '../control/client.ts'
import type { Json } from '../control/protocol.ts'
import { STATUS } from './ending.ts'
import type { CommandHost } from './host.ts'

/** The words of these commands; the parser has seen that they are there. */
interface Words {
  name?: string
  drive?: string
  file?: string
  action?: string
  force?: true
  readonly?: true
}

/**
 * Asks a running machine for something.
 * @param then what is left to do with the result, while the connection is there
 * @returns the exit status
 * @throws UserError where there is no such machine, or Error with its sentence
 */
export async function ask(
  host: CommandHost,
  name: string,
  command: string,
  parameters: { readonly [name: string]: Json | undefined } = {},
  then: (result: Json, client: ControlClient) => Promise<unknown> = async () => {},
): Promise<number> {
  const client = await host.control.connect(name)
  try {
    await then(await client.call(command, parameters), client)
    return STATUS.ok
  } finally {
    await client.close()
  }
}

/** `typetwo eject` */
export function eject({ name, drive, force }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'eject', { drive, force })
}

/** `typetwo insert` */
export function insert({ name, drive, file, readonly, force }: Words, host: CommandHost): Promise<number> {
  // The machine may have been started in another folder.
  return ask(host, name!, 'insert', { drive, path: resolve(file!), readOnly: readonly, force })
}

/** `typetwo power` */
export function power({ name, action }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'power', { action }, async (_, client) => {
    if (action !== 'off') return
    await client.closed
    await host.control.processEnd(client.greeting.pid)
  })
}

/** `typetwo pause` */
export function pause({ name }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'pause')
}

/** `typetwo resume` */
export function resume({ name }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'resume')
}
