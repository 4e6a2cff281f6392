/**
 * Locks on files that are in use, so that two processes never write one image.
 *
 * The lock is flock(2)'s where it can be had: it belongs to the open file, so that the kernel lets go of it when the
 * process ends in whatever way, and nothing is left to be stale. Node does not offer the call, but the lock is the open
 * file's and not the process's: util-linux's `flock`, given the descriptor, takes it for us. macOS takes the same lock while
 * opening, by flags. Where there is neither, a file beside the image says who has it.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** Exit status that we ask of `flock` when somebody else has the lock. */
const TAKEN = 75

/** The flags of open(2) on macOS that lock: O_SHLOCK, O_EXLOCK, with O_NONBLOCK so that it refuses rather than waits. */
export const DARWIN_LOCK_FLAGS = { shared: 0x10 | 0x4, exclusive: 0x20 | 0x4 } as const

/** What became of the attempt: the lock is held, with what is to be called to let go of it; or somebody else has it. */
export type LockResult = { release(): void } | 'taken'

/**
 * Locks an open file.
 * @param fd its descriptor; closing it lets go of the lock
 * @param path its real path
 * @param exclusive for a writer; readers share the lock
 */
export function lockFile(fd: number, path: string, exclusive: boolean): LockResult {
  if (process.platform === 'darwin') return { release() {} }
  const mode = exclusive ? '--exclusive' : '--shared'
  const options = { stdio: ['ignore', 'ignore', 'ignore', fd] as ['ignore', 'ignore', 'ignore', number] }
  const { status } = spawnSync('flock', ['--nonblock', `--conflict-exit-code=${TAKEN}`, mode, '3'], options)
  if (status === 0) return { release() {} }
  if (status === TAKEN) return 'taken'
  // Readers cannot share a file of this kind, and need it less: they change nothing.
  return exclusive ? lockBeside(`${path}.lock`) : { release() {} }
}

/** The fallback: a file that names the process, made exclusively; one of a process that is gone is taken over. */
export function lockBeside(path: string): LockResult {
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid), nonce: Math.random() })
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx', mode: 0o644 })
      return {
        release() {
          if (contentOf(path) === mine) rmSync(path, { force: true })
        },
      }
    } catch (error) {
      // In a folder that cannot be written nobody can make the file, and an image there is only ever rewritten in place.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return { release() {} }
    }
    const holder = contentOf(path)
    if (holder === undefined) continue
    if (isAlive(holder)) return 'taken'
    // Renaming decides between several that take over; what we then have must be what we judged.
    const aside = `${path}-${process.pid}`
    try {
      renameSync(path, aside)
      if (contentOf(aside) !== holder) renameSync(aside, path)
      else rmSync(aside, { force: true })
    } catch {}
  }
  return 'taken'
}

/** Whether the process that a lock file names still runs: the same number and the same time of its start. */
function isAlive(holder: string): boolean {
  try {
    const { pid, started } = JSON.parse(holder) as { pid: number; started: string | undefined }
    process.kill(pid, 0)
    const now = startOf(pid)
    return now === undefined || started === undefined || now === started
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When a process started, in ticks since the host did; undefined where the host does not say. */
function startOf(pid: number): string | undefined {
  // The second field, the command's name, may hold blanks and parentheses.
  return contentOf(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ')[19]
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
