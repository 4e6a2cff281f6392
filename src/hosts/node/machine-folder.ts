/** Where the control sockets of running machines are: a folder that only their owner can open, with a socket for each name. */
import { chmodSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { cacheFolder, makeFolder } from './files.ts'
import { reasonOf, UserError } from './user-error.ts'

/** What ends the names of sockets, and of what machines in the background say. */
const SOCKET = '.socket'
const LOG = '.log'

/** The environment variables that say where things are. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Looks whether a name can be a machine's.
 * @throws UserError
 */
export function checkMachineName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name))
    throw new UserError(
      `'${name}' can be no machine's name: give 1 to 63 letters, digits, and _ . - behind the first of them`,
    )
}

/**
 * The folders that machines may be in: the runtime folder of the user's session (XDG base directory specification), and the one in the
 * cache, for sessions without. A machine is put into the first that can be used, and looked for in all.
 */
export function machineFolders(environment: Environment): string[] {
  const runtime = environment.XDG_RUNTIME_DIR
  const folders = [join(cacheFolder(environment), 'machines')]
  if (runtime && isAbsolute(runtime) && isOwnFolder(runtime)) folders.unshift(join(runtime, 'typetwo'))
  return folders
}

/**
 * Makes the folder for a new machine, where it is missing, and looks whether it is only its owner's.
 * @throws UserError
 */
export async function makeMachineFolder(environment: Environment): Promise<string> {
  const [folder] = machineFolders(environment)
  const refuse = (reason: string) =>
    new UserError(`the folder of running machines '${folder}' cannot be used: ${reason}`)
  try {
    await makeFolder(dirname(folder))
    try {
      mkdirSync(folder, { mode: 0o700 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const stats = lstatSync(folder)
    if (!stats.isDirectory()) throw refuse('it is no folder')
    if (process.getuid && stats.uid !== process.getuid()) throw refuse('it belongs to another user')
    if (stats.mode & 0o077) chmodSync(folder, 0o700)
    return folder
  } catch (error) {
    if (error instanceof UserError) throw error
    throw refuse(reasonOf(error))
  }
}

/** The path of a machine's control socket. */
export function machineSocket(folder: string, name: string): string {
  return join(folder, name + SOCKET)
}

/** The path of what a machine in the background says. */
export function machineLog(folder: string, name: string): string {
  return join(folder, name + LOG)
}

/** The names of the sockets in a folder; some may be of machines that are gone. */
export function machineNames(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter(name => name.endsWith(SOCKET))
      .map(name => name.slice(0, -SOCKET.length))
      .sort()
  } catch {
    return []
  }
}

function isOwnFolder(path: string): boolean {
  try {
    const stats = statSync(path)
    return stats.isDirectory() && (!process.getuid || stats.uid === process.getuid())
  } catch {
    return false
  }
}
