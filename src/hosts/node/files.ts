/** Files of the host: whole reads with a clear refusal, and the cache folder. */
import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { reasonOf, UserError } from './user-error.ts'

/** The largest file {@link readWhole} takes: a guest has under 4 GiB, and a kernel or initrd lies in it whole. */
const LARGEST = 2 ** 32 - 1

/**
 * Reads a file a person named.
 * @param path the file
 * @param what what it is to them, as in `the kernel`
 * @throws UserError when it cannot be read, is no plain file, is empty or is 4 GiB or larger.
 */
export async function readWhole(path: string, what: string): Promise<Uint8Array> {
  const refuse = (reason: string) => new UserError(`${what} '${path}' cannot be read: ${reason}`)
  let bytes: Uint8Array
  try {
    const { size } = await stat(path)
    if (size > LARGEST) throw refuse('it is larger than 4 GiB')
    bytes = await readFile(path)
  } catch (error) {
    if (error instanceof UserError) throw error
    throw refuse(reasonOf(error))
  }
  if (bytes.length === 0) throw new UserError(`${what} '${path}' is empty`)
  return bytes
}

/**
 * typetwo's folder in the user's cache, by the XDG base directory specification: `$XDG_CACHE_HOME/typetwo`, or
 * `~/.cache/typetwo` when that is not set or not an absolute path. It is not created.
 */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_CACHE_HOME
  return join(base && isAbsolute(base) ? base : join(environment.HOME || homedir(), '.cache'), 'typetwo')
}
