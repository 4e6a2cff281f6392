/** New qcow2 images. */
import type { ByteFile } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import {
  COMPATIBLE,
  type CompressionType,
  encodeHeader,
  type Header,
  INCOMPATIBLE,
  L1_LIMIT,
  l2Entries,
  roundUp,
  writeU64,
} from './header.ts'

/** What a new image is to be. */
export interface CreateQcow2Options {
  /** Bytes of the disk, a multiple of 512. */
  size: number
  /** Default 3. */
  version?: 2 | 3
  /** Bytes of a cluster, a power of two from 512 to 2 MiB; default 64 KiB. */
  clusterSize?: number
  /** Default 16. */
  refcountBits?: number
  /** Default false. */
  lazyRefcounts?: boolean
  /** Default false. */
  extendedL2?: boolean
  /** Default zlib. */
  compressionType?: CompressionType
  /** The backing file's name as it is to stand in the image, relative to it. */
  backingFile?: string
  backingFormat?: string
}

/**
 * Makes an empty file an image.
 * @throws DiskError `unsupported` when there is no such image
 */
export async function createQcow2(file: ByteFile, options: CreateQcow2Options): Promise<void> {
  const { size, version = 3, clusterSize = 65536, refcountBits = 16 } = options
  const refuse = (text: string) => new DiskError('unsupported', `qcow2 image '${file.name}' cannot be made: ${text}`)
  if (size % 512 !== 0 || !Number.isSafeInteger(size)) throw refuse(`its size, ${size} bytes, is no number of sectors`)
  if (!isPowerOfTwo(clusterSize) || clusterSize < 512 || clusterSize > 2 ** 21) {
    throw refuse(`clusters have 512 bytes to 2 MiB, a power of two, not ${clusterSize}`)
  }
  if (!isPowerOfTwo(refcountBits) || refcountBits > 64) throw refuse(`refcounts have 1 to 64 bits, a power of two`)
  if (version === 2 && (refcountBits !== 16 || options.lazyRefcounts || options.extendedL2)) {
    throw refuse('version 2 has refcounts of 16 bits, neither lazy ones nor extended L2 tables')
  }
  if (version === 2 && options.compressionType === 'zstd') throw refuse('version 2 is compressed by zlib only')
  if (options.extendedL2 && clusterSize < 16384) throw refuse('extended L2 tables need clusters of 16 KiB or more')
  const header: Header = {
    version,
    clusterSize,
    size,
    backingFile: options.backingFile,
    backingFormat: options.backingFormat,
    l1Size: 0,
    l1TableOffset: 0,
    refcountTableOffset: clusterSize,
    refcountTableClusters: 1,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures:
      (options.extendedL2 ? INCOMPATIBLE.extendedL2 : 0) |
      (options.compressionType === 'zstd' ? INCOMPATIBLE.compressionType : 0),
    compatibleFeatures: options.lazyRefcounts ? COMPATIBLE.lazyRefcounts : 0,
    autoclearFeatures: 0,
    refcountBits,
    compressionType: options.compressionType ?? 'zlib',
    hasBitmaps: false,
  }
  header.l1Size = Math.max(1, Math.ceil(size / clusterSize / l2Entries(header)))
  if (header.l1Size * 8 > L1_LIMIT) {
    throw refuse(`with clusters of ${clusterSize} bytes it is too large: take larger ones`)
  }
  // The header, the refcount table with room for a full disk, the first blocks of refcounts, the L1 table.
  const perBlock = (clusterSize * 8) / refcountBits
  const l1Clusters = Math.ceil((header.l1Size * 8) / clusterSize)
  const full = Math.ceil(size / clusterSize) * 1.01 + header.l1Size + l1Clusters
  const most = Math.max(1, 2 ** 23 / clusterSize)
  header.refcountTableClusters = Math.min(most, Math.max(1, Math.ceil((Math.ceil(full / perBlock) * 8) / clusterSize)))
  const fixed = 1 + header.refcountTableClusters + l1Clusters
  let blocks = 1
  while (blocks * perBlock < fixed + blocks) blocks++
  const firstBlock = 1 + header.refcountTableClusters
  header.l1TableOffset = (firstBlock + blocks) * clusterSize
  const table = new Uint8Array(roundUp(blocks * 8, 512))
  for (let i = 0; i < blocks; i++) writeU64(new DataView(table.buffer), i * 8, (firstBlock + i) * clusterSize)
  await file.truncate((fixed + blocks) * clusterSize)
  await file.write(clusterSize, table)
  await file.write(firstBlock * clusterSize, ones(fixed + blocks, refcountBits, blocks * clusterSize))
  await file.write(0, encodeHeader(header))
}

/** Refcounts of 1 for the first `count` clusters. */
function ones(count: number, bits: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < count; i++) {
    if (bits >= 8) bytes[(i + 1) * (bits / 8) - 1] = 1
    else bytes[Math.floor((i * bits) / 8)] |= 1 << ((i * bits) % 8)
  }
  return bytes
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value))
}
