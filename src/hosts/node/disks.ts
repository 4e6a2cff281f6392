/** Disks of the host: image files and block devices, opened by path. */
import type { Disk } from '../../disk/disk.ts'
import { MemoryFile } from '../../disk/memory.ts'
import { type ImageHost, openImage, type ToolOptions } from '../../disk/open.ts'
import { openBlob } from '../../disk/open-blob.ts'
import { NodeFolder, openFile } from './byte-file.ts'
import { nodeCompression } from './compression.ts'

/** How a disk is opened. */
export interface OpenDiskOptions extends ToolOptions {
  /** Default: false. */
  readOnly?: boolean
  /** Whether the image may name files outside of its folder (backing files, extents); default: false. */
  anywhere?: boolean
}

/**
 * What images at a path may use of this host.
 * @param anywhere whether they may name files outside of their folder
 */
export function imageHost(path: string, anywhere = false): ImageHost {
  return { folder: new NodeFolder(path, anywhere), compression: nodeCompression }
}

/**
 * Opens an image file or a block device as a disk, and locks its files.
 * @throws DiskError when it is missing, in use, of another format, damaged …
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<Disk> {
  const file = await openFile(path, { readOnly: options.readOnly })
  return openImage(file, imageHost(path, options.anywhere), options)
}

/** Opens an image by its path, or a `Blob`; what is written to a disk of one stays in memory. @throws DiskError as {@link openDisk} */
export function openDiskOrBlob(image: string | Blob, options: OpenDiskOptions = {}): Promise<Disk> {
  if (typeof image === 'string') return openDisk(image, options)
  const { readOnly = false, format } = options
  const changes = async (name: string) => new MemoryFile(name)
  return openBlob(image, { readOnly, format, compression: nodeCompression, changes })
}
