/** Opens images in a worker of a page: private files by their path, files that a person chose as they are. */
import type { ByteFile } from '../../disk/byte-file.ts'
import type { Disk } from '../../disk/disk.ts'
import type { Format } from '../../disk/format-names.ts'
import { openImage } from '../../disk/open.ts'
import { openBlob } from '../../disk/open-blob.ts'
import { browserCompression } from './compression.ts'
import { openPrivateFile, partsOf, privateFolder, privateImageFolder } from './private-file.ts'

/** The folder of what goes with the machine that wrote it. */
const TEMPORARY = 'temporary'

/** A reader of files that workers have, and pages do not. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}

/** Reads a part of a file at once. */
export function readNow(part: Blob): ArrayBuffer {
  return new FileReaderSync().readAsArrayBuffer(part)
}

/**
 * Opens an image.
 * @param image a path among the private files, or a file
 * @throws DiskError with one sentence
 */
export async function openBrowserImage(
  image: string | Blob,
  { readOnly, format }: { readOnly: boolean; format?: string },
): Promise<Disk> {
  const known = format as Format | undefined
  if (typeof image !== 'string')
    return openBlob(image, {
      readOnly,
      format: known,
      compression: browserCompression,
      readNow,
      changes: temporaryFile,
    })
  const file = await openPrivateFile(image, { readOnly })
  return openImage(file, { folder: privateImageFolder, compression: browserCompression }, { format: known })
}

/** An empty file that is removed when it is closed; where a tab was closed before, {@link removeTemporaryFiles} does it. */
async function temporaryFile(name: string): Promise<ByteFile> {
  const path = `${TEMPORARY}/${crypto.randomUUID()}`
  const file = await openPrivateFile(path, { create: true })
  const close = file.close.bind(file)
  file.close = async () => {
    await close()
    const folder = await privateFolder([TEMPORARY])
    await folder.removeEntry(partsOf(path)[1]).catch(() => {})
  }
  return Object.defineProperty(file, 'name', { value: name })
}

/** Removes what machines whose tabs were closed have left; what others still use stays. */
export async function removeTemporaryFiles(): Promise<void> {
  const folder = await privateFolder([TEMPORARY], true)
  for await (const name of folder.keys()) await folder.removeEntry(name).catch(() => {})
}
