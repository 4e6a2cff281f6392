/**
 * Files of the origin's private file system (OPFS) as the disk formats see them, in a worker: there they are read and
 * written without promises, by sync access handles (File System Standard, 3.4).
 */
import type { ByteFile, FilePart, ImageFolder, OpenMode } from '../../disk/byte-file.ts'
import { DiskError } from '../../disk/disk.ts'

/** What a worker has of a file (lib.dom knows it in workers only). */
interface SyncAccessHandle {
  read(buffer: AllowSharedBufferSource, options: { at: number }): number
  write(buffer: AllowSharedBufferSource, options: { at: number }): number
  truncate(size: number): void
  getSize(): number
  flush(): void
  close(): void
}

type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> }

/** How long a file that somebody else has open is tried again, in milliseconds: a worker that has ended lets go of it soon. */
const PATIENCE = 2000
const PAUSE = 50

/** An error of the page as a {@link DiskError}. */
function fileError(name: string, verb: string, error: unknown): DiskError {
  const { name: kind, message } = error as DOMException
  if (kind === 'QuotaExceededError')
    return new DiskError(
      'no-space',
      `file '${name}' cannot be ${verb}: the browser gives this page no more room; delete disks here, or free space on this device`,
      { cause: error },
    )
  return new DiskError('input-output', `file '${name}' cannot be ${verb}: ${message || kind}`, { cause: error })
}

/** What Chromium's private windows return as the count of a write that found no room: the error's number, unsigned. */
const NO_SPACE = 2 ** 32 - 8

/** The error that a count which cannot be stands for; none at all is that of a write that found no room. */
function errorOf(count: number): Error {
  if (count === 0 || count === NO_SPACE) return new DOMException('there is no room', 'QuotaExceededError')
  return new Error(`error ${count | 0} of the browser's file system`)
}

/** The parts of a path. @throws DiskError `denied` for what leads out of the private file system */
export function partsOf(path: string): string[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..') || parts.length === 0)
    throw new DiskError('denied', `'${path}' is no path in this page's private files`)
  return parts
}

/**
 * A folder of the private file system.
 * @throws DiskError `not-found`, or `unsupported` where the browser has no such file system
 */
export async function privateFolder(parts: readonly string[], create = false): Promise<FileSystemDirectoryHandle> {
  let folder: FileSystemDirectoryHandle
  try {
    folder = await navigator.storage.getDirectory()
  } catch (error) {
    const reason = (error as Error).message
    throw new DiskError(
      'unsupported',
      `this browser keeps no private files for this page (${reason}): leave private browsing, or use another browser`,
    )
  }
  for (const part of parts) {
    try {
      folder = await folder.getDirectoryHandle(part, { create })
    } catch (error) {
      if ((error as Error).name !== 'NotFoundError') throw fileError(part, 'opened', error)
      throw new DiskError('not-found', `there is no folder '${part}' among this page's private files`)
    }
  }
  return folder
}

/**
 * Opens a private file, which nobody else can do meanwhile, in this tab or another.
 * @throws DiskError `not-found`, `exists`, `in-use`, `unsupported` …
 */
export async function openPrivateFile(path: string, mode: OpenMode = {}): Promise<ByteFile> {
  const parts = partsOf(path)
  const last = parts.pop()!
  const folder = await privateFolder(parts, mode.create)
  if (mode.create && (await isThere(folder, last))) throw new DiskError('exists', `file '${path}' is there already`)
  let handle: SyncFileHandle
  try {
    handle = (await folder.getFileHandle(last, { create: mode.create })) as SyncFileHandle
  } catch (error) {
    if ((error as Error).name === 'NotFoundError') throw new DiskError('not-found', `file '${path}' does not exist`)
    throw fileError(path, 'opened', error)
  }
  if (!handle.createSyncAccessHandle)
    throw new DiskError('unsupported', `this browser opens private files in no worker: use one of 2023 or later`)
  const end = performance.now() + PATIENCE
  for (;;) {
    try {
      return new PrivateFile(path, await handle.createSyncAccessHandle(), mode.readOnly ?? false)
    } catch (error) {
      if ((error as Error).name !== 'NoModificationAllowedError') throw fileError(path, 'opened', error)
      if (performance.now() > end)
        throw new DiskError(
          'in-use',
          `file '${path}' is in use by another machine or tab of this browser: end that first`,
        )
      await new Promise(resolve => setTimeout(resolve, PAUSE))
    }
  }
}

async function isThere(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  return folder.getFileHandle(name).then(
    () => true,
    () => false,
  )
}

/** An open file. Every call is over when it returns; the promises are those of the interface. */
class PrivateFile implements ByteFile {
  readonly name: string
  readonly readOnly: boolean
  size: number
  readonly #handle: SyncAccessHandle
  #closed = false

  constructor(name: string, handle: SyncAccessHandle, readOnly: boolean) {
    this.name = name
    this.readOnly = readOnly
    this.#handle = handle
    this.size = handle.getSize()
  }

  readonly immediate = {
    read: (offset: number, into: readonly Uint8Array[]): boolean => {
      let at = offset
      for (const buffer of into) {
        this.#read(at, buffer)
        at += buffer.length
      }
      return true
    },
    write: (offset: number, from: readonly Uint8Array[]): boolean => {
      let at = offset
      for (const buffer of from) {
        this.#write(at, buffer)
        at += buffer.length
      }
      return true
    },
  }

  #read(offset: number, buffer: Uint8Array): void {
    this.#checkOpen()
    try {
      const there = offset >= this.size ? 0 : this.#handle.read(buffer as AllowSharedBufferSource, { at: offset })
      if (there > buffer.length) throw errorOf(there)
      buffer.fill(0, there)
    } catch (error) {
      throw fileError(this.name, 'read', error)
    }
  }

  #write(offset: number, buffer: Uint8Array): void {
    this.#checkOpen()
    if (this.readOnly) throw new DiskError('read-only', `file '${this.name}' is read-only`)
    let done = 0
    while (done < buffer.length) {
      let count: number
      try {
        count = this.#handle.write(buffer.subarray(done) as AllowSharedBufferSource, { at: offset + done })
      } catch (error) {
        throw fileError(this.name, 'written', error)
      }
      if (count === 0 || count > buffer.length - done) throw fileError(this.name, 'written', errorOf(count))
      done += count
      this.size = Math.max(this.size, offset + done)
    }
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#read(offset, buffer)
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.#write(offset, buffer)
  }

  async writeInOrder(parts: readonly FilePart[]): Promise<void> {
    for (const { offset, bytes } of parts) this.#write(offset, bytes)
  }

  async truncate(size: number): Promise<void> {
    this.#checkOpen()
    if (size === this.size) return
    try {
      this.#handle.truncate(size)
    } catch (error) {
      throw fileError(this.name, 'resized', error)
    }
    this.size = size
  }

  async punch(): Promise<boolean> {
    return false
  }

  async flush(): Promise<void> {
    this.#checkOpen()
    try {
      this.#handle.flush()
    } catch (error) {
      throw fileError(this.name, 'flushed', error)
    }
  }

  async allocated(): Promise<number | undefined> {
    return this.size
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#handle.close()
  }

  #checkOpen(): void {
    if (this.#closed) throw new DiskError('closed', `file '${this.name}' is closed`)
  }
}

/** The folder of an image among the private files: what images name is opened there or below. */
export const privateImageFolder: ImageFolder = {
  async open(image, name, mode) {
    return openPrivateFile(await privateImageFolder.resolve(image, name), mode)
  },
  async resolve(image, name) {
    return [...partsOf(image).slice(0, -1), ...partsOf(name)].join('/')
  },
}
