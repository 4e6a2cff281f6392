/** Disks of the host: image files and block devices, opened by path. */
import type { Disk } from '../../disk/disk.ts'
import { type OpenImageOptions, openImage } from '../../disk/open.ts'
import { NodeFolder, openFile } from './byte-file.ts'

/** How a disk is opened. */
export interface OpenDiskOptions extends OpenImageOptions {
  /** Default: false. */
  readOnly?: boolean
  /** Whether the image may name files outside of its folder (backing files, extents); default: false. */
  anywhere?: boolean
}

/**
 * Opens an image file or a block device as a disk, and locks its files.
 * @throws DiskError when it is missing, in use, of another format, damaged …
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<Disk> {
  const folder = new NodeFolder(path, options.anywhere)
  return openImage(await openFile(path, { readOnly: options.readOnly }), folder, options)
}
