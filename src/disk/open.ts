/** Opens disk images of every format. */
import type { ByteFile, ImageFolder } from './byte-file.ts'
import { type Disk, DiskError } from './disk.ts'
import { RawDisk } from './raw.ts'

/** The formats there are. */
export const FORMATS = ['raw'] as const

/** Name of a format. */
export type Format = (typeof FORMATS)[number]

/** How an image is opened. */
export interface OpenImageOptions {
  /** Its format; default: by its content and name. */
  format?: Format
}

/**
 * Opens an image.
 * @param file its file, or the one that names the others; closed when the image is refused
 * @throws DiskError `format`, `corrupt`, `unsupported` …
 */
export async function openImage(file: ByteFile, _folder: ImageFolder, options: OpenImageOptions = {}): Promise<Disk> {
  if (options.format && !FORMATS.includes(options.format)) {
    throw new DiskError('format', `there is no disk format '${options.format}'`)
  }
  return new RawDisk(file)
}
