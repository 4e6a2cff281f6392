/** Where the clusters of an image are: what a format tells `ClusterDisk`. */
import type { ByteFile } from './byte-file.ts'
import type { Disk } from './disk.ts'

/** The state of a part of a cluster. */
export type PartState = 'data' | 'zero' | 'absent'

/** Where a cluster is. */
export type Location =
  /** Not in this image: in the backing disk, or zeros where there is none. */
  | { kind: 'absent' }
  /** All zeros. */
  | { kind: 'zero' }
  /** In the file at `offset`. It may be overwritten there where it `isOwn`; `state` says which parts are there, default all. */
  | { kind: 'data'; offset: number; isOwn: boolean; state?: (part: number) => PartState }
  /** Compressed. */
  | { kind: 'packed'; unpack(): Promise<Uint8Array> }

/** A place in the file for clusters in a row. */
export interface Place {
  /** In the file, in bytes. */
  offset: number
  /** How many clusters. */
  count: number
  /** Whether the file is known to read as zeros there. */
  isZero: boolean
}

/** What every format tells of itself. */
export interface ClusterDiskOptions {
  file: ByteFile
  /** Bytes of the disk. */
  size: number
  clusterSize: number
  /** Bytes of the parts of a cluster that are present or absent each on their own; default: the whole cluster. */
  partSize?: number
  sectorSize?: number
  /** What absent clusters show. */
  backing?: Disk
  /** Whether the format can say of a cluster that it is zeros though there is a backing disk; default true. */
  canZero?: boolean
  /** Whether clusters once allocated stay so, and become zeros where they lie; default false. */
  keepsClusters?: boolean
  /** Whether clusters get their places one after the other; default false. */
  isSerial?: boolean
}

/** Whether the bytes from `at` of the disk on, up to `end` or that of the cluster, can be overwritten where they are. */
export function isInPlace(
  { clusterSize, partSize }: { clusterSize: number; partSize: number },
  location: Location,
  at: number,
  end: number,
): location is Location & { kind: 'data' } {
  if (location.kind !== 'data' || !location.isOwn) return false
  if (!location.state) return true
  const within = at % clusterSize
  const to = Math.min(clusterSize, within + end - at)
  for (let part = Math.floor(within / partSize); part * partSize < to; part++) {
    if (location.state(part) !== 'data') return false
  }
  return true
}
