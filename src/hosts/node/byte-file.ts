/** The host's files and block devices as the disk formats see them. */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import type { ByteFile, FilePart, ImageFolder, OpenMode } from '../../disk/byte-file.ts'
import { DiskError, type DiskErrorCode } from '../../disk/disk.ts'
import { CachePatience } from './cache-patience.ts'
import { DiskWait } from './disk-wait.ts'
import { DARWIN_LOCK_FLAGS, lockFile } from './file-lock.ts'
import { reasonOf } from './user-error.ts'

/** Requests up to this many bytes are made in this thread: the host's cache answers sooner than another thread wakes. */
const SMALL = 2 ** 17
/** Milliseconds after which an answer did not come from the cache. */
const SLOW = 0.5
/** Bytes of a larger request that the cache gives in a millisecond, at the least. */
const CACHE_RATE = 2 ** 20
/** Most buffers of one system call (IOV_MAX). */
const MOST_BUFFERS = 1024
/** Most bytes of one system call. */
const LARGEST_CALL = 2 ** 30
/** Fewest bytes whose space is given back: doing so starts a process. */
const LEAST_PUNCH = 2 ** 16

const CODES: Record<string, DiskErrorCode> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  ENOENT: 'not-found',
  ENOTDIR: 'not-found',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
}

/** A failed system call as a {@link DiskError}: `file 'a.img' cannot be opened: permission denied`. */
export function fileError(name: string, verb: string, error: unknown): DiskError {
  const code = CODES[(error as NodeJS.ErrnoException).code ?? ''] ?? 'input-output'
  return new DiskError(code, `file '${name}' cannot be ${verb}: ${reasonOf(error)}`, { cause: error })
}

/**
 * Opens a file or block device, and locks it: writers keep everybody else out, readers keep writers out.
 * @throws DiskError `not-found`, `exists`, `denied`, `in-use` …
 */
export async function openFile(path: string, mode: OpenMode = {}): Promise<ByteFile> {
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants
  const exclusive = !mode.readOnly
  let flags = (mode.readOnly ? O_RDONLY : O_RDWR) | (mode.create ? O_CREAT | O_EXCL : 0)
  if (process.platform === 'darwin') flags |= exclusive ? DARWIN_LOCK_FLAGS.exclusive : DARWIN_LOCK_FLAGS.shared
  const inUse = () =>
    new DiskError(
      'in-use',
      `file '${path}' is in use by another machine or program: end that first${exclusive ? ', or open it read-only where that is enough' : ''}`,
    )
  let fd: number
  try {
    const stats = mode.create ? undefined : fs.statSync(path)
    if (stats && !stats.isFile() && !stats.isBlockDevice()) {
      const what = stats.isDirectory() ? 'a folder' : 'neither a file nor a block device'
      throw new DiskError('format', `'${path}' is ${what}: give the path of a disk image`)
    }
    fd = fs.openSync(path, flags, 0o644)
  } catch (error) {
    if (error instanceof DiskError) throw error
    if (['EAGAIN', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw inUse()
    throw fileError(path, mode.create ? 'made' : 'opened', error)
  }
  try {
    const stats = fs.fstatSync(fd)
    const lock = lockFile(fd, fs.realpathSync(path), exclusive)
    if (lock === 'taken') throw inUse()
    const size = stats.isBlockDevice() ? deviceSize(path, stats.rdev) : stats.size
    return new NodeFile(path, fd, size, mode.readOnly ?? false, stats.isBlockDevice(), lock.release)
  } catch (error) {
    fs.closeSync(fd)
    throw error instanceof DiskError ? error : fileError(path, 'opened', error)
  }
}

/** The size of a block device, which fstat(2) does not tell: Linux's sysfs does, in units of 512 bytes. */
function deviceSize(path: string, rdev: number): number {
  // The encoding of device numbers is glibc's.
  const major = Math.floor(rdev / 256) & 0xfff
  const minor = (rdev & 0xff) | (Math.floor(rdev / 2 ** 12) & 0xfff00)
  try {
    return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512
  } catch {
    throw new DiskError('unsupported', `the size of block device '${path}' cannot be found out on this host`)
  }
}

/** An open file. */
class NodeFile implements ByteFile {
  readonly name: string
  readonly readOnly: boolean
  size: number
  readonly #fd: number
  readonly isDevice: boolean
  readonly #release: () => void
  #closed = false
  #canPunch: boolean
  /** Whether requests are left to other threads. */
  readonly #patience = new CachePatience()
  readonly #wait = new DiskWait()
  /** Requests in other threads, which use the descriptor. */
  readonly #elsewhere = new Set<Promise<unknown>>()

  constructor(name: string, fd: number, size: number, readOnly: boolean, isDevice: boolean, release: () => void) {
    this.name = name
    this.size = size
    this.readOnly = readOnly
    this.#fd = fd
    this.isDevice = isDevice
    this.#release = release
    this.#canPunch = process.platform === 'linux' && !isDevice
  }

  readonly immediate = {
    read: (offset: number, into: readonly Uint8Array[]): boolean => {
      return this.#atOnce('read', into, (part, done) => {
        const count = fs.readvSync(this.#fd, part, offset + done)
        // Behind the end there are zeros.
        if (count === 0) for (const buffer of part) buffer.fill(0)
        return count
      })
    },
    write: (offset: number, from: readonly Uint8Array[]): boolean => {
      return this.#atOnce('written', from, (part, done) => {
        const count = fs.writevSync(this.#fd, part, offset + done)
        this.size = Math.max(this.size, offset + done + count)
        return count
      })
    },
  }

  /** Reads or writes buffers in this thread, unless the host's cache does not seem to have what is asked. */
  #atOnce(
    verb: string,
    buffers: readonly Uint8Array[],
    call: (part: readonly Uint8Array[], done: number) => number,
  ): boolean {
    this.#checkOpen()
    if (this.#patience.isElsewhere) return false
    let wanted = 0
    for (const { length } of buffers) wanted += length
    this.#wait.begin()
    let done = 0
    try {
      // Nearly always one call does all of it.
      if (buffers.length <= MOST_BUFFERS) done = call(buffers, 0)
      let left = done === wanted ? [] : behind(buffers, done)
      while (left.length > 0) {
        const count = call(left.slice(0, MOST_BUFFERS), done)
        done += count
        left = count === 0 ? left.slice(MOST_BUFFERS) : behind(left, count)
      }
    } catch (error) {
      throw fileError(this.name, verb, error)
    }
    this.#patience.wasHere(this.#wait.end(SLOW + done / CACHE_RATE))
    return true
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const step = (from: number, length: number) => ({
      now: () => fs.readSync(this.#fd, buffer, from, length, offset + from),
      later: (done: Done) => fs.read(this.#fd, buffer, from, length, offset + from, done),
    })
    const done = await this.#transfer('read', buffer.length, step)
    if (done < buffer.length) buffer.fill(0, done)
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    const step = (from: number, length: number) => ({
      now: () => fs.writeSync(this.#fd, buffer, from, length, offset + from),
      later: (done: Done) => fs.write(this.#fd, buffer, from, length, offset + from, done),
    })
    await this.#transfer('written', buffer.length, step)
    this.size = Math.max(this.size, offset + buffer.length)
  }

  /** Reads or writes all of a range, in as many calls as the system makes of it. @returns how many bytes there were */
  async #transfer(
    verb: string,
    length: number,
    step: (from: number, length: number) => { now(): number; later(done: Done): void },
  ): Promise<number> {
    this.#checkOpen()
    let done = 0
    try {
      while (done < length) {
        const call = step(done, Math.min(length - done, LARGEST_CALL))
        let count: number
        if (length <= SMALL && !this.#patience.isElsewhere) {
          this.#wait.begin()
          count = call.now()
          this.#patience.wasHere(this.#wait.end(SLOW))
        } else {
          this.#patience.wasElsewhere()
          count = await this.#inOtherThread(call.later)
        }
        if (count === 0) break
        done += count
      }
    } catch (error) {
      throw fileError(this.name, verb, error)
    }
    return done
  }

  #inOtherThread<T>(start: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
    const call = new Promise<T>((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))))
    this.#elsewhere.add(call)
    const end = () => this.#elsewhere.delete(call)
    call.then(end, end)
    return call
  }

  async writeInOrder(parts: readonly FilePart[]): Promise<void> {
    this.#checkOpen()
    try {
      for (const { offset, bytes } of parts) {
        for (let done = 0; done < bytes.length; ) {
          done += fs.writeSync(this.#fd, bytes, done, bytes.length - done, offset + done)
        }
        this.size = Math.max(this.size, offset + bytes.length)
      }
    } catch (error) {
      throw fileError(this.name, 'written', error)
    }
  }

  async truncate(size: number): Promise<void> {
    this.#checkOpen()
    if (size === this.size) return
    if (this.isDevice) {
      if (size < this.size) return
      throw new DiskError('no-space', `block device '${this.name}' has ${this.size} bytes and cannot grow`)
    }
    try {
      fs.ftruncateSync(this.#fd, size)
    } catch (error) {
      throw fileError(this.name, 'resized', error)
    }
    this.size = size
  }

  async punch(offset: number, length: number): Promise<boolean> {
    this.#checkOpen()
    if (!this.#canPunch || length < LEAST_PUNCH) return false
    const words = ['--punch-hole', '--offset', `${offset}`, '--length', `${length}`, '/proc/self/fd/3']
    const punched = this.#inOtherThread<boolean>(done => {
      const child = spawn('fallocate', words, { stdio: ['ignore', 'ignore', 'ignore', this.#fd] })
      child.on('error', () => done(null, false))
      child.on('exit', status => done(null, status === 0))
    })
    // A file system that cannot will not learn it; a host without the program will not get it.
    return (this.#canPunch = await punched)
  }

  async flush(): Promise<void> {
    this.#checkOpen()
    try {
      await this.#inOtherThread<void>(done => fs.fdatasync(this.#fd, error => done(error, undefined)))
    } catch (error) {
      throw fileError(this.name, 'flushed', error)
    }
  }

  async allocated(): Promise<number | undefined> {
    this.#checkOpen()
    const { blocks } = fs.fstatSync(this.#fd)
    return this.isDevice || blocks === undefined ? undefined : blocks * 512
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#elsewhere)
    this.#wait.close()
    this.#release()
    fs.closeSync(this.#fd)
  }

  #checkOpen(): void {
    if (this.#closed) throw new DiskError('closed', `file '${this.name}' is closed`)
  }
}

/** What follows `done` bytes of a list of buffers, without those that are empty. */
function behind(buffers: readonly Uint8Array[], done: number): Uint8Array[] {
  const left: Uint8Array[] = []
  for (const buffer of buffers) {
    if (done < buffer.length) left.push(done > 0 ? buffer.subarray(done) : buffer)
    done = Math.max(0, done - buffer.length)
  }
  return left
}

type Done = (error: Error | null, count: number) => void

/**
 * The folder of an image on the host. What images name is opened only where it lies, symbolic links followed, in the
 * folder of the first image or below it.
 */
export class NodeFolder implements ImageFolder {
  readonly #root: string | undefined

  /**
   * @param image path of the image that a person named
   * @param anywhere whether images may name files elsewhere
   */
  constructor(image: string, anywhere = false) {
    this.#root = anywhere ? undefined : real(dirname(resolve(image)))
  }

  async open(image: string, name: string, mode: OpenMode): Promise<ByteFile> {
    return openFile(await this.resolve(image, name), mode)
  }

  async resolve(image: string, name: string): Promise<string> {
    const path = resolve(dirname(resolve(image)), name)
    // A file that is not there yet lies where its folder does.
    const lies = exists(path) ? real(path) : join(real(dirname(path)), path.slice(dirname(path).length + 1))
    if (this.#root !== undefined) {
      const way = relative(this.#root, lies)
      if (way === '..' || way.startsWith('../') || isAbsolute(way)) {
        throw new DiskError(
          'denied',
          `image '${image}' names the file '${name}', which lies outside of the image's folder '${this.#root}': move it there, or allow files from anywhere`,
        )
      }
    }
    return lies
  }
}

const exists = (path: string) => fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined

/** The path without symbolic links; as it is where it leads nowhere. */
function real(path: string): string {
  try {
    return fs.realpathSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return path
    throw fileError(path, 'opened', error)
  }
}
