/** Files of the host: whole reads with a clear refusal, and the cache folder. */
import { mkdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
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

/**
 * Makes a folder and those it lies in, where they are missing. Node's own recursive mkdir does not come back where a
 * file system answers "no such file" for a folder whose parent exists, as /proc does.
 * @throws the system's error when one cannot be made.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const isFolder = (path: string) =>
      stat(path).then(
        stats => stats.isDirectory(),
        () => false,
      )
    if (code === 'EEXIST' && (await isFolder(path))) return
    const parent = dirname(path)
    if (code !== 'ENOENT' || parent === path) throw error
    // Another may have made the parent since; on /proc it is there and nothing can be made in it.
    if (await isFolder(parent))
      await mkdir(path).catch(again => (again.code === 'EEXIST' ? makeFolder(path) : Promise.reject(again)))
    else {
      await makeFolder(parent)
      await makeFolder(path)
    }
  }
}
