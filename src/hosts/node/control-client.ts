/** Finding running machines, and asking them. */
import { ControlClient } from '../../control/client.ts'
import type { MachineInfo } from '../../control/info.ts'
import { checkMachineName, type Environment, machineFolders, machineNames, machineSocket } from './machine-folder.ts'
import { socketStreams } from './socket-streams.ts'
import { connectUnix, removeStale } from './unix-socket.ts'
import { reasonOf, UserError } from './user-error.ts'

/** How long a machine may take to say who it is: milliseconds. Its process may be stopped. */
const PATIENCE = 5000

/** A machine as {@link listMachines} tells of it: all it says, or, when it does not answer, its name. */
export type ListedMachine = MachineInfo | { name: string; state: 'not answering' }

/**
 * Connects to a machine.
 * @param patience how long it may take, in milliseconds
 * @throws UserError where there is none of that name, or it does not answer
 */
export async function connectMachine(
  name: string,
  { environment = process.env as Environment, patience = PATIENCE } = {},
): Promise<ControlClient> {
  checkMachineName(name)
  for (const folder of machineFolders(environment)) {
    const client = await connectAt(machineSocket(folder, name), name, patience)
    if (client) return client
  }
  const others = await listMachines({ environment, patience })
  const there = others.length > 0 ? `there are ${others.map(({ name }) => name).join(', ')}` : 'none runs'
  throw new UserError(`there is no running machine '${name}': ${there}`)
}

/** All running machines, in order of their names. What is left of machines that are gone is removed. */
export async function listMachines({
  environment = process.env as Environment,
  patience = PATIENCE,
} = {}): Promise<ListedMachine[]> {
  const asked = machineFolders(environment).flatMap(folder =>
    machineNames(folder).map(async (name): Promise<ListedMachine | undefined> => {
      try {
        const client = await connectAt(machineSocket(folder, name), name, patience)
        if (client === undefined) return undefined
        const info = await inTime(client.call('info'), name, patience)
        void client.close()
        return info as unknown as MachineInfo
      } catch {
        return { name, state: 'not answering' }
      }
    }),
  )
  const machines = (await Promise.all(asked)).filter(machine => machine !== undefined)
  return machines.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** @returns undefined where nobody listens; what was left there is removed then */
async function connectAt(path: string, name: string, patience: number): Promise<ControlClient | undefined> {
  let socket: Awaited<ReturnType<typeof connectUnix>>
  try {
    socket = await connectUnix(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'ECONNREFUSED' && (await removeStale(path))) return undefined
    throw new UserError(`machine '${name}' cannot be reached: ${reasonOf(error)}`)
  }
  try {
    return await inTime(ControlClient.connect(socketStreams(socket)), name, patience)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** @throws UserError where it takes too long */
function inTime<T>(promise: Promise<T>, name: string, patience: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new UserError(`machine '${name}' does not answer: its process may be stopped or very busy`)),
    patience,
  )
  promise.catch(() => {})
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
