/** The header of qcow2 images, versions 2 and 3. Names and numbers are those of the format's specification. */
import type { ByteFile } from '../byte-file.ts'
import { DiskError } from '../disk.ts'

/** `QFI\xfb` */
export const QCOW2_MAGIC = 0x514649fb

/** Incompatible features: who does not know one cannot use the image. */
export const INCOMPATIBLE = {
  /** Refcounts may be wrong and have to be made anew before clusters are allocated. */
  dirty: 1 << 0,
  /** The image is damaged and must not be written until it is repaired. */
  corrupt: 1 << 1,
  /** Data is in a file of its own. */
  externalData: 1 << 2,
  /** {@link Header.compressionType} is not zlib. */
  compressionType: 1 << 3,
  /** Entries of L2 tables are 128 bits, and clusters consist of 32 subclusters. */
  extendedL2: 1 << 4,
} as const

/** Compatible features. */
export const COMPATIBLE = {
  lazyRefcounts: 1 << 0,
} as const

/** Types of header extensions. */
const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  externalData: 0x44415441,
} as const

/** Offsets of the fields that are changed later. */
export const FIELD = {
  size: 24,
  l1Size: 36,
  l1TableOffset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  nbSnapshots: 60,
  snapshotsOffset: 64,
  incompatibleFeatures: 72,
  autoclearFeatures: 88,
} as const

const COMPRESSION_TYPES = ['zlib', 'zstd'] as const
/** How clusters are compressed. */
export type CompressionType = (typeof COMPRESSION_TYPES)[number]

/** Most bytes of an L1 table, as the other implementations have it. */
export const L1_LIMIT = 2 ** 25
/** Most bytes of the refcount table, likewise. */
const REFCOUNT_TABLE_LIMIT = 2 ** 23
/** Most snapshots, likewise. */
const SNAPSHOT_LIMIT = 65536
const BACKING_NAME_LIMIT = 1023

/** A header, understood. */
export interface Header {
  version: 2 | 3
  /** Bytes of a cluster. */
  clusterSize: number
  /** Bytes of the disk. */
  size: number
  backingFile: string | undefined
  backingFormat: string | undefined
  l1Size: number
  l1TableOffset: number
  refcountTableOffset: number
  refcountTableClusters: number
  nbSnapshots: number
  snapshotsOffset: number
  incompatibleFeatures: number
  compatibleFeatures: number
  autoclearFeatures: number
  /** Bits of a refcount, a power of two from 1 to 64. */
  refcountBits: number
  compressionType: CompressionType
  hasBitmaps: boolean
}

/** A 64-bit number of the file. @throws DiskError `corrupt` where it is larger than any file can be */
export function readU64(view: DataView, at: number, what: string): number {
  const value = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)
  if (!Number.isSafeInteger(value)) throw new DiskError('corrupt', `${what} is ${value}, which no file can hold`)
  return value
}

/** Writes a 64-bit number. */
export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32))
  view.setUint32(at + 4, value >>> 0)
}

/**
 * Reads and checks the header.
 * @throws DiskError `format`, `corrupt` or `unsupported`
 */
export async function readHeader(file: ByteFile): Promise<Header> {
  const start = new Uint8Array(512)
  await file.read(0, start)
  const view = new DataView(start.buffer)
  const corrupt = (text: string) => new DiskError('corrupt', `qcow2 image '${file.name}' is damaged: ${text}`)
  const unsupported = (text: string) => new DiskError('unsupported', `qcow2 image '${file.name}' ${text}`)
  if (view.getUint32(0) !== QCOW2_MAGIC) throw new DiskError('format', `file '${file.name}' is no qcow2 image`)
  const version = view.getUint32(4)
  if (version !== 2 && version !== 3) throw unsupported(`is of version ${version}: only 2 and 3 are known`)
  const u64 = (at: number, what: string) => readU64(view, at, `qcow2 image '${file.name}' is damaged: ${what}`)
  const clusterBits = view.getUint32(20)
  if (clusterBits < 9 || clusterBits > 21) throw corrupt(`its clusters have 2^${clusterBits} bytes`)
  const clusterSize = 2 ** clusterBits
  const is3 = version === 3
  const headerLength = is3 ? view.getUint32(100) : 72
  if (headerLength < (is3 ? 104 : 72) || headerLength > clusterSize || headerLength % 8 !== 0) {
    throw corrupt(`its header has ${headerLength} bytes`)
  }
  const refcountOrder = is3 ? view.getUint32(96) : 4
  if (refcountOrder > 6) throw corrupt(`its refcounts have 2^${refcountOrder} bits`)
  if (is3 && view.getUint32(72) !== 0) throw unsupported('needs features that are not known')
  const incompatibleFeatures = is3 ? view.getUint32(76) : 0
  const header: Header = {
    version,
    clusterSize,
    size: u64(FIELD.size, 'its size'),
    backingFile: undefined,
    backingFormat: undefined,
    l1Size: view.getUint32(FIELD.l1Size),
    l1TableOffset: u64(FIELD.l1TableOffset, 'the place of its L1 table'),
    refcountTableOffset: u64(FIELD.refcountTableOffset, 'the place of its refcount table'),
    refcountTableClusters: view.getUint32(FIELD.refcountTableClusters),
    nbSnapshots: view.getUint32(FIELD.nbSnapshots),
    snapshotsOffset: u64(FIELD.snapshotsOffset, 'the place of its snapshots'),
    incompatibleFeatures,
    compatibleFeatures: is3 ? view.getUint32(84) : 0,
    autoclearFeatures: is3 ? view.getUint32(92) | view.getUint32(88) : 0,
    refcountBits: 2 ** refcountOrder,
    compressionType: 'zlib',
    hasBitmaps: false,
  }
  if (view.getUint32(32) !== 0) throw unsupported('is encrypted, which is not supported')
  const known = Object.values(INCOMPATIBLE).reduce((all, bit) => all | bit, 0)
  await readExtensions(file, header, headerLength, view, corrupt)
  if (incompatibleFeatures & ~known) throw unsupported('needs features that are not known')
  if (incompatibleFeatures & INCOMPATIBLE.externalData) {
    throw unsupported('keeps its data in another file, which is not supported')
  }
  if (incompatibleFeatures & INCOMPATIBLE.compressionType) {
    const type = COMPRESSION_TYPES[headerLength > 104 ? start[104] : 0]
    if (type === undefined) throw unsupported(`is compressed in a way that is not known (${start[104]})`)
    header.compressionType = type
  }
  if (incompatibleFeatures & INCOMPATIBLE.extendedL2 && clusterSize < 16384) {
    throw corrupt(`it has subclusters, but clusters of ${clusterSize} bytes`)
  }
  checkPlaces(header, file, corrupt)
  return header
}

/** What the tables' places have to be. */
function checkPlaces(header: Header, file: ByteFile, corrupt: (text: string) => DiskError): void {
  const { clusterSize, size } = header
  if (size % 512 !== 0) throw corrupt(`its size, ${size} bytes, is no number of sectors`)
  const tables: [string, number, number, number][] = [
    ['its L1 table', header.l1TableOffset, header.l1Size * 8, L1_LIMIT],
    [
      'its refcount table',
      header.refcountTableOffset,
      header.refcountTableClusters * clusterSize,
      Math.max(REFCOUNT_TABLE_LIMIT, clusterSize),
    ],
  ]
  for (const [what, offset, length, limit] of tables) {
    if (length > limit) throw corrupt(`${what} has ${length} bytes, more than the ${limit} there can be`)
    if (offset % clusterSize !== 0) throw corrupt(`${what} is not at the beginning of a cluster`)
    if (length > 0 && (offset === 0 || offset + length > roundUp(file.size, clusterSize))) {
      throw corrupt(`${what} lies outside of the file, which may have been cut`)
    }
  }
  if (header.refcountTableClusters === 0) throw corrupt('it has no refcount table')
  const covered = header.l1Size * l2Entries(header) * clusterSize
  if (covered < size) throw corrupt(`its L1 table covers ${covered} bytes of a disk of ${size}`)
  if (header.nbSnapshots > SNAPSHOT_LIMIT) throw corrupt(`it has ${header.nbSnapshots} snapshots`)
  if (header.nbSnapshots > 0 && (header.snapshotsOffset % clusterSize !== 0 || header.snapshotsOffset >= file.size)) {
    throw corrupt('its table of snapshots lies outside of the file')
  }
}

/** Reads the extensions and the backing file's name, which all lie in the first cluster. */
async function readExtensions(
  file: ByteFile,
  header: Header,
  headerLength: number,
  start: DataView,
  corrupt: (text: string) => DiskError,
): Promise<void> {
  const first = new Uint8Array(header.clusterSize)
  await file.read(0, first)
  const view = new DataView(first.buffer)
  const nameOffset = readU64(start, 8, `qcow2 image '${file.name}' is damaged: the place of its backing file's name`)
  const nameLength = start.getUint32(16)
  const end = nameOffset > 0 ? nameOffset : header.clusterSize
  if (nameOffset > 0) {
    if (nameLength > BACKING_NAME_LIMIT || nameOffset + nameLength > header.clusterSize) {
      throw corrupt("its backing file's name does not lie in the first cluster")
    }
    header.backingFile = new TextDecoder().decode(first.subarray(nameOffset, nameOffset + nameLength)) || undefined
  }
  for (let at = headerLength; at + 8 <= end; ) {
    const [type, length] = [view.getUint32(at), view.getUint32(at + 4)]
    if (type === EXTENSION.end) return
    at += 8
    if (at + length > end) throw corrupt('an extension of its header reaches into something else')
    if (type === EXTENSION.backingFormat) {
      header.backingFormat = new TextDecoder().decode(first.subarray(at, at + length))
    }
    if (type === EXTENSION.bitmaps) header.hasBitmaps = true
    at += roundUp(length, 8)
  }
}

/** How many entries an L2 table has. */
export function l2Entries(header: Pick<Header, 'clusterSize' | 'incompatibleFeatures'>): number {
  return header.clusterSize / (header.incompatibleFeatures & INCOMPATIBLE.extendedL2 ? 16 : 8)
}

/** The header's bytes, up to a whole cluster. @throws DiskError `unsupported` where it has no room for the names */
export function encodeHeader(header: Header): Uint8Array {
  const bytes = new Uint8Array(header.clusterSize)
  const view = new DataView(bytes.buffer)
  const is3 = header.version === 3
  view.setUint32(0, QCOW2_MAGIC)
  view.setUint32(4, header.version)
  view.setUint32(20, Math.log2(header.clusterSize))
  writeU64(view, FIELD.size, header.size)
  view.setUint32(FIELD.l1Size, header.l1Size)
  writeU64(view, FIELD.l1TableOffset, header.l1TableOffset)
  writeU64(view, FIELD.refcountTableOffset, header.refcountTableOffset)
  view.setUint32(FIELD.refcountTableClusters, header.refcountTableClusters)
  view.setUint32(FIELD.nbSnapshots, header.nbSnapshots)
  writeU64(view, FIELD.snapshotsOffset, header.snapshotsOffset)
  let at = 72
  if (is3) {
    view.setUint32(76, header.incompatibleFeatures)
    view.setUint32(84, header.compatibleFeatures)
    view.setUint32(96, Math.log2(header.refcountBits))
    at = 112
    view.setUint32(100, at)
    bytes[104] = COMPRESSION_TYPES.indexOf(header.compressionType)
  }
  const encoder = new TextEncoder()
  if (header.backingFormat !== undefined) {
    const text = encoder.encode(header.backingFormat)
    view.setUint32(at, EXTENSION.backingFormat)
    view.setUint32(at + 4, text.length)
    bytes.set(text, at + 8)
    at += 8 + roundUp(text.length, 8)
  }
  at += 8
  if (header.backingFile !== undefined) {
    const name = encoder.encode(header.backingFile)
    if (name.length > BACKING_NAME_LIMIT || at + name.length > bytes.length) {
      throw new DiskError('unsupported', `the name of the backing file '${header.backingFile}' is too long`)
    }
    writeU64(view, 8, at)
    view.setUint32(16, name.length)
    bytes.set(name, at)
  }
  return bytes
}

/** The next multiple of `unit`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
