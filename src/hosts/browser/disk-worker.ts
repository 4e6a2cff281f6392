/** The worker that makes, copies and checks disks among the private files, for disks.ts: pages cannot write those at once. */
import { copyDisk } from '../../disk/copy.ts'
import { DiskError, type DiskErrorCode } from '../../disk/disk.ts'
import { openImage } from '../../disk/open.ts'
import { createQcow2 } from '../../disk/qcow2/create.ts'
import { browserCompression } from './compression.ts'
import { openBrowserImage, removeTemporaryFiles } from './images.ts'
import { openPrivateFile, privateFolder, privateImageFolder } from './private-file.ts'

/** What a worker is asked to do; it does one thing and is ended. */
export type DiskTask =
  | { kind: 'create'; path: string; size: number }
  /** Copies an image into a new qcow2, of which something is left where that fails. */
  | { kind: 'import'; path: string; file: Blob }
  /** Brings a disk into a state in which its file can be copied, and fails where a machine has it. */
  | { kind: 'settle'; path: string }
  /** Removes what ended machines have left. */
  | { kind: 'tidy' }

/** What it says. */
export type DiskTaskMessage =
  | { kind: 'progress'; done: number; total: number }
  | { kind: 'done' }
  | { kind: 'failed'; code: DiskErrorCode; message: string }

const scope = globalThis as unknown as {
  postMessage(message: DiskTaskMessage): void
  onmessage: ((event: MessageEvent<DiskTask>) => void) | null
}

const host = { folder: privateImageFolder, compression: browserCompression }

async function create(path: string, size: number): Promise<void> {
  const file = await openPrivateFile(path, { create: true })
  try {
    await createQcow2(file, { size })
    await file.flush()
  } finally {
    await file.close()
  }
}

async function importImage(path: string, image: Blob): Promise<void> {
  const source = await openBrowserImage(image, { readOnly: true })
  const size = Math.ceil(source.size / 512) * 512
  try {
    await create(path, size)
    const target = await openImage(await openPrivateFile(path), host, { format: 'qcow2' })
    try {
      await copyDisk(source, target, {
        onProgress: done => scope.postMessage({ kind: 'progress', done, total: size }),
      })
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** What is not whole shall not look as if it were. */
async function createWhole(path: string, size: number): Promise<void> {
  try {
    await create(path, size)
  } catch (error) {
    if (!(error instanceof DiskError && error.code === 'exists')) await remove(path)
    throw error
  }
}

async function remove(path: string): Promise<void> {
  const parts = path.split('/')
  const folder = await privateFolder(parts.slice(0, -1), true)
  await folder.removeEntry(parts.at(-1)!).catch(() => {})
}

async function perform(task: DiskTask): Promise<void> {
  switch (task.kind) {
    case 'create':
      return createWhole(task.path, task.size)
    case 'import':
      return importImage(task.path, task.file)
    case 'settle': {
      const disk = await openImage(await openPrivateFile(task.path), host, {})
      // Whatever a closed tab left undone is done before the first write.
      await disk.flush()
      return disk.close()
    }
    case 'tidy':
      return removeTemporaryFiles()
  }
}

scope.onmessage = ({ data }) => {
  perform(data).then(
    () => scope.postMessage({ kind: 'done' }),
    (error: Error) => {
      const code = error instanceof DiskError ? error.code : 'input-output'
      scope.postMessage({ kind: 'failed', code, message: error.message })
    },
  )
}
