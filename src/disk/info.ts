/** What can be said of an image, for people and for programs. */
import type { Disk } from './disk.ts'
import type { Format } from './format-names.ts'
import { Qcow2Disk } from './qcow2/disk.ts'
import { COMPATIBLE, INCOMPATIBLE } from './qcow2/header.ts'
import { listQcow2Snapshots } from './qcow2/operations.ts'
import { TableDisk } from './table-disk.ts'
import { NO_PARENT } from './vmdk/descriptor.ts'
import { VmdkDisk } from './vmdk/open.ts'

/** An internal snapshot. */
export interface SnapshotInfo {
  id: string
  name: string
  /** When it was made, in milliseconds since 1970. */
  date: number
  /** Bytes of the disk at that time. */
  size: number
}

/** What {@link imageInfo} says. */
export interface ImageInfo {
  format: Format
  /** Bytes of the disk. */
  size: number
  sectorSize: number
  /** Bytes of a cluster, block or grain, where there are such. */
  clusterSize?: number
  /** The backing file as it stands in the image. */
  backingFile?: string
  backingFormat?: string
  /** Files that the image consists of besides the one that names them, as they stand there. */
  extents?: string[]
  /** What else is special, by its name in the format's specification. */
  details: Record<string, string | number | boolean>
  snapshots?: SnapshotInfo[]
}

/** Says what an open image is. */
export async function imageInfo(disk: Disk, format: Format): Promise<ImageInfo> {
  const info: ImageInfo = { format, size: disk.size, sectorSize: disk.sectorSize, details: {} }
  if (disk instanceof Qcow2Disk) {
    const { header } = disk
    info.clusterSize = header.clusterSize
    info.backingFile = header.backingFile
    info.backingFormat = header.backingFormat
    info.details = {
      version: header.version,
      'refcount bits': header.refcountBits,
      compression: header.compressionType,
      'lazy refcounts': (header.compatibleFeatures & COMPATIBLE.lazyRefcounts) !== 0,
      'extended L2': (header.incompatibleFeatures & INCOMPATIBLE.extendedL2) !== 0,
      'was closed': (header.incompatibleFeatures & INCOMPATIBLE.dirty) === 0,
      'is damaged': (header.incompatibleFeatures & INCOMPATIBLE.corrupt) !== 0,
    }
    info.snapshots = (await listQcow2Snapshots(disk)).map(({ id, name, date, nanoseconds, diskSize }) => ({
      id,
      name,
      date: date * 1000 + Math.floor(nanoseconds / 1e6),
      size: diskSize,
    }))
  } else if (disk instanceof VmdkDisk) {
    const { descriptor } = disk
    info.details = { kind: descriptor.createType, CID: descriptor.cid.toString(16).padStart(8, '0') }
    if (descriptor.parentCid !== NO_PARENT) info.backingFile = descriptor.parentFile
    info.extents = descriptor.extents.flatMap(({ file }) => file ?? [])
  } else if (disk instanceof TableDisk) {
    info.clusterSize = disk.clusterSize
    info.details = { kind: 'dynamic' }
  }
  return info
}
