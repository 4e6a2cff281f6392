/** Unix sockets at a path: those that a process left behind are recognised and replaced, and no path is too long. */
import { chmodSync, closeSync, linkSync, lstatSync, openSync, unlinkSync } from 'node:fs'
import { createConnection, type Server, type Socket } from 'node:net'
import { basename, dirname } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { UserError } from './user-error.ts'

/** Most bytes of a path in a socket's address, without the zero at its end; unix(7), and less on macOS. */
const LONGEST_PATH = process.platform === 'darwin' ? 103 : 107

/** How often somebody else may get ahead of us before we believe that the path is theirs. */
const ATTEMPTS = 4
/** Attempts to lock a folder, and milliseconds between two. */
const LOCK_ATTEMPTS = 50
const LOCK_PAUSE = 20

/** What the system is given for a path: where it is too long, a way by its folder's descriptor, open until `release`. */
function addressOf(path: string): { address: string; release(): void } {
  if (Buffer.byteLength(path) <= LONGEST_PATH) return { address: path, release() {} }
  const name = basename(path)
  if (process.platform !== 'linux' || Buffer.byteLength(name) > 80)
    throw new UserError(`socket '${path}' has too long a path: ${LONGEST_PATH} bytes are possible`)
  const folder = openSync(dirname(path), 'r')
  return { address: `/proc/self/fd/${folder}/${name}`, release: () => closeSync(folder) }
}

/** Connects to a socket. @throws the system's error, or UserError where the path is too long */
export async function connectUnix(path: string, options: { allowHalfOpen?: boolean } = {}): Promise<Socket> {
  const { address, release } = addressOf(path)
  return new Promise<Socket>((resolve, reject) => {
    const socket = createConnection({ path: address, ...options })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  }).finally(release)
}

/** Whether somebody listens at a socket: `'nobody'` only where the system says so, `'nothing'` where there is none. */
export async function listenerAt(path: string): Promise<'somebody' | 'nobody' | 'nothing'> {
  try {
    const socket = await connectUnix(path)
    // Whoever accepts it meets its end.
    socket.on('error', () => {})
    socket.destroy()
    return 'somebody'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ECONNREFUSED' ? 'nobody' : code === 'ENOENT' ? 'nothing' : 'somebody'
  }
}

/**
 * Removes the socket of a process that is gone. Several may want to at the same time, and one of them may listen there anew by then:
 * whoever looks and removes has the folder locked meanwhile.
 * @returns false where somebody listens after all
 */
export async function removeStale(path: string): Promise<boolean> {
  const release = await lockFolder(dirname(path))
  try {
    const there = await listenerAt(path)
    if (there === 'nobody') unlinkSync(path)
    return there !== 'somebody'
  } catch {
    return false
  } finally {
    release()
  }
}

/** Locks a folder against others who do; after a second, or where it cannot be locked, it is taken as locked. */
async function lockFolder(folder: string): Promise<() => void> {
  let descriptor: number
  try {
    descriptor = openSync(folder, 'r')
  } catch {
    return () => {}
  }
  // It can start processes, which hardly anybody needs.
  const { lockFile } = await import('./file-lock.ts')
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
    if (lockFile(descriptor, folder, true) !== 'taken') break
    await new Promise(resolve => setTimeout(resolve, LOCK_PAUSE))
  }
  return () => closeSync(descriptor)
}

/**
 * Has a server listen at a path, which only this user can connect to.
 * @returns a function that removes the socket, to be called before the server is closed; undefined where somebody else listens there
 * @throws UserError where something else is there, or the system's error
 */
export async function listenUnix(server: Server, path: string): Promise<(() => void) | undefined> {
  // It gets its name when it listens already: nobody shall take it for one that was left behind.
  const temporary = `${path}.${process.pid}-${Math.floor(Math.random() * 1e9).toString(36)}`
  const { address, release } = addressOf(temporary)
  try {
    await listen(server, address)
  } finally {
    release()
  }
  chmodSync(temporary, 0o600)
  const mine = lstatSync(temporary).ino
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        linkSync(temporary, path)
        return () => {
          try {
            if (lstatSync(path).ino === mine) unlinkSync(path)
          } catch {}
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      if (isOther(path))
        throw new UserError(`something else than a socket is at '${path}': remove it, or choose another path`)
      const there = await listenerAt(path)
      if (there === 'somebody' || (there === 'nobody' && !(await removeStale(path)))) break
    }
    server.close()
    return undefined
  } catch (error) {
    server.close()
    throw error
  } finally {
    try {
      unlinkSync(temporary)
    } catch {}
  }
}

function isOther(path: string): boolean {
  try {
    return !lstatSync(path).isSocket()
  } catch {
    return false
  }
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // The socket is made within the call, so that nobody can connect before its permissions are right. A thread has no mask to set.
    const mask = isMainThread ? process.umask(0o077) : undefined
    try {
      server.listen({ path: address }, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      if (mask !== undefined) process.umask(mask)
    }
  })
}
