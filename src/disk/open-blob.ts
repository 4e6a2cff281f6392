/** Opens images that a program was handed as a `Blob`. */
import { blobFile, type ReadNow } from './blob.ts'
import type { ByteFile, ImageFolder } from './byte-file.ts'
import type { Compression } from './compression.ts'
import { type Disk, DiskError } from './disk.ts'
import type { Format } from './format-names.ts'
import { decideFormat, openImage } from './open.ts'
import { createQcow2 } from './qcow2/create.ts'

/** How {@link openBlob} goes about it. */
export interface OpenBlobOptions {
  readOnly: boolean
  /** Default: by content and name. */
  format?: Format
  compression: Compression
  /** Reads without a promise, where the host can. */
  readNow?: ReadNow
  /** Makes the empty file that takes what is written, with the given name; it goes away when it is closed. */
  changes(name: string): Promise<ByteFile>
}

/** What the image of the changes calls the blob. */
const BASE = 'base'

/**
 * Opens a blob as a disk. Unless that is read-only, what is written goes to a file of its own: the blob stays as it is.
 * @throws DiskError as `openImage` does; an image that consists of several files is refused
 */
export async function openBlob(blob: Blob, options: OpenBlobOptions): Promise<Disk> {
  const { compression, readNow, readOnly } = options
  const base = blobFile(blob, { readNow })
  const alone: ImageFolder = {
    async open(image, name) {
      throw new DiskError(
        'unsupported',
        `image '${image}' needs the file '${name}' besides, which a page cannot look for: convert it to one qcow2 image first`,
      )
    },
    resolve: async (_image, name) => name,
  }
  if (readOnly) return openImage(base, { folder: alone, compression }, { format: options.format })
  // As strict as for a file that is written: a page is dropped all kinds of things.
  const format = options.format ?? (await decideFormat({ ...base, readOnly: false }))
  // Looked at first, for the size and for everything that may be wrong with it.
  const below = await openImage(base, { folder: alone, compression }, { format })
  const { size } = below
  const changes = await options.changes(base.name)
  try {
    await createQcow2(changes, { size: Math.ceil(size / 512) * 512, backingFile: BASE, backingFormat: format })
  } catch (error) {
    await changes.close()
    throw error
  }
  const folder: ImageFolder = {
    async open(image, name, mode) {
      return image === changes.name && name === BASE ? base : alone.open(image, name, mode)
    },
    // A name that no file has, so that nothing is taken for the blob.
    resolve: async (image, name) => (image === changes.name && name === BASE ? `${image}/${BASE}` : name),
  }
  return openImage(changes, { folder, compression }, { format: 'qcow2' })
}
