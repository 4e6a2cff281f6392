/** Disks of the host: image files and block devices, opened by path. */
import type { Disk } from '../../disk/disk.ts'
import { type ImageHost, openImage, type ToolOptions } from '../../disk/open.ts'
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
