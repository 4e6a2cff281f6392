/**
 * Disks that are kept in the browser, in the origin's private file system: qcow2 images in the folder `disks`. They outlive the tab,
 * until the person deletes them or the site's data.
 */
import { DiskError } from '../../disk/disk.ts'
import type { DiskTask, DiskTaskMessage } from './disk-worker.ts'
import { privateFolder } from './private-file.ts'

const FOLDER = 'disks'
const ENDING = '.qcow2'
const LONGEST_NAME = 60
/** Bytes of qcow2's header up to the disk's size, and where that is. */
const HEADER = 32
const SIZE_AT = 24
/** Least and most bytes of a disk. */
export const LEAST_DISK = 2 ** 20
export const MOST_DISK = 2 ** 41

/** A disk that is kept. */
export interface KeptDisk {
  name: string
  /** As an option `image` of a machine. */
  image: string
  /** Bytes that its guest sees. */
  size: number
  /** Bytes that it takes here. */
  stored: number
  /** When it was written last, in milliseconds since 1970. */
  modified: number
}

/** How something that takes a while is watched and ended. */
export interface TaskOptions {
  onProgress?(done: number, total: number): void
  signal?: AbortSignal
}

/** Where a disk of a name lies. */
export function imageOf(name: string): string {
  return `${FOLDER}/${name}${ENDING}`
}

/** Has a worker do something. @throws DiskError with the worker's sentence, or the signal's reason */
function perform(task: DiskTask, { onProgress, signal }: TaskOptions = {}): Promise<void> {
  signal?.throwIfAborted()
  const worker = new Worker(new URL('./disk-worker.ts', import.meta.url), { type: 'module' })
  const result = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<DiskTaskMessage>) => {
      if (data.kind === 'progress') onProgress?.(data.done, data.total)
      else if (data.kind === 'done') resolve()
      else reject(new DiskError(data.code, data.message))
    }
    worker.onerror = event =>
      reject(new DiskError('input-output', `the worker for disks failed: ${event.message || 'it could not be loaded'}`))
    signal?.addEventListener('abort', () => reject(signal.reason))
  })
  worker.postMessage(task)
  return result.finally(() => worker.terminate())
}

/** @throws DiskError where a disk cannot be called so */
function checkName(name: string): void {
  const refuse = (reason: string) => new DiskError('unsupported', `a disk cannot be called '${name}': ${reason}`)
  if (name.trim() !== name || name === '') throw refuse('give a name without blanks around it')
  if (name.length > LONGEST_NAME) throw refuse(`give at most ${LONGEST_NAME} characters`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[/\\\x00-\x1f\x7f]/.test(name) || name.startsWith('.'))
    throw refuse('take out slashes and control characters, and dots at its beginning')
}

/** All disks, by name. @throws DiskError `unsupported` where the browser keeps none */
export async function listDisks(): Promise<KeptDisk[]> {
  const folder = await privateFolder([FOLDER], true)
  const disks: KeptDisk[] = []
  for await (const [entry, handle] of folder.entries()) {
    if (handle.kind !== 'file' || !entry.endsWith(ENDING)) continue
    const name = entry.slice(0, -ENDING.length)
    try {
      const file = await (handle as FileSystemFileHandle).getFile()
      const header = new DataView(await file.slice(0, HEADER).arrayBuffer())
      const size = header.byteLength < HEADER ? 0 : Number(header.getBigUint64(SIZE_AT))
      disks.push({ name, image: imageOf(name), size, stored: file.size, modified: file.lastModified })
    } catch {
      // It was written while it was looked at, or was deleted just now.
      disks.push({ name, image: imageOf(name), size: 0, stored: 0, modified: 0 })
    }
  }
  return disks.sort((a, b) => a.name.localeCompare(b.name))
}

/** Makes an empty disk. It takes room as it is filled. @throws DiskError `exists`, `no-space`, `unsupported` … */
export async function createDisk(name: string, size: number): Promise<void> {
  checkName(name)
  if (!(size >= LEAST_DISK && size <= MOST_DISK))
    throw new DiskError('unsupported', `a disk of ${size} bytes cannot be made: give 1 MiB to 2 TiB`)
  await perform({ kind: 'create', path: imageOf(name), size: Math.ceil(size / 512) * 512 })
}

/**
 * Copies an image of any format that is known into a new disk.
 * @throws DiskError `format` where the file is none, `exists`, `no-space`; the signal's reason
 */
export async function importDisk(name: string, file: Blob, options: TaskOptions = {}): Promise<void> {
  checkName(name)
  const partial = `${FOLDER}/${name}.partial`
  try {
    const folder = await privateFolder([FOLDER], true)
    await refuseExisting(folder, name)
    await folder.removeEntry(`${name}.partial`).catch(() => {})
    await perform({ kind: 'import', path: partial, file }, options)
    await refuseExisting(folder, name)
    const handle = (await folder.getFileHandle(`${name}.partial`)) as FileSystemFileHandle & {
      move(name: string): Promise<void>
    }
    await handle.move(`${name}${ENDING}`)
  } catch (error) {
    const folder = await privateFolder([FOLDER], true)
    await folder.removeEntry(`${name}.partial`).catch(() => {})
    throw error
  }
}

async function refuseExisting(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  const there = await folder.getFileHandle(`${name}${ENDING}`).catch(() => undefined)
  if (there) throw new DiskError('exists', `there is a disk '${name}' already: give another name`)
}

/**
 * The qcow2 image of a disk that no machine has, as a file that the browser reads as it is asked for.
 * @throws DiskError `in-use`, `not-found`
 */
export async function exportDisk(name: string): Promise<File> {
  await perform({ kind: 'settle', path: imageOf(name) })
  const folder = await privateFolder([FOLDER])
  const handle = await folder.getFileHandle(`${name}${ENDING}`)
  return new File([await handle.getFile()], `${name}${ENDING}`, { type: 'application/octet-stream' })
}

/** Deletes a disk. @throws DiskError `in-use` where a machine has it, `not-found` */
export async function deleteDisk(name: string): Promise<void> {
  const folder = await privateFolder([FOLDER])
  try {
    await folder.removeEntry(`${name}${ENDING}`)
  } catch (error) {
    const kind = (error as Error).name
    if (kind === 'NotFoundError') throw new DiskError('not-found', `there is no disk '${name}'`)
    if (kind === 'NoModificationAllowedError')
      throw new DiskError(
        'in-use',
        `disk '${name}' is in use by a machine, here or in another tab: turn that off first`,
      )
    throw error
  }
}

/** Removes what machines left that are gone. */
export function tidyDisks(): Promise<void> {
  return perform({ kind: 'tidy' })
}
