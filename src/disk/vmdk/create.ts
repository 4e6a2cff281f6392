/** New VMDK images. */
import type { ByteFile } from '../byte-file.ts'
import type { Compression } from '../compression.ts'
import { type Disk, DiskError } from '../disk.ts'
import { type Descriptor, type ExtentLine, formatDescriptor, NO_PARENT } from './descriptor.ts'
import { FLAG, VMDK_MAGIC } from './sparse.ts'

const SECTOR = 512
/** Sectors of a grain: 64 KiB. */
const GRAIN = 128
/** Entries of a grain table, and the sectors it takes. */
const [ENTRIES, TABLE] = [512, 4]
/** Sectors that the descriptor has in an extent. */
const DESCRIPTOR = 20
/** Most sectors of an extent of a split image, a little less than 2 GiB. */
const SPLIT = 4193280
/** Most sectors of a sparse extent, whose places are 32 bits. */
const SPARSE_LIMIT = 2 ** 32 - 2 ** 20

/** The kinds of images, with VMware's names. */
export const VMDK_SUBFORMATS = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
] as const
/** One of them. */
export type VmdkSubformat = (typeof VMDK_SUBFORMATS)[number]

/** What a new image is to be. */
export interface CreateVmdkOptions {
  /** Bytes of the disk, a multiple of 512. */
  size: number
  /** Default `monolithicSparse`. */
  subformat?: Exclude<VmdkSubformat, 'streamOptimized'>
  /** The parent as it is to stand in the image, and its content identification. */
  parent?: { file: string; cid: number }
}

/**
 * Makes an empty file an image.
 * @param createPart makes a file beside it, for an extent
 * @throws DiskError `unsupported`
 */
export async function createVmdk(
  file: ByteFile,
  options: CreateVmdkOptions,
  createPart: (name: string) => Promise<ByteFile>,
): Promise<void> {
  const { size, subformat = 'monolithicSparse', parent } = options
  const sectors = size / SECTOR
  const own = lastOf(file.name)
  const base = own.replace(/\.vmdk$/i, '')
  const isFlat = subformat.endsWith('Flat')
  const isSplit = subformat.startsWith('twoGb')
  if (parent && subformat !== 'monolithicSparse') {
    throw new DiskError(
      'unsupported',
      `vmdk image '${file.name}' cannot be made: of the kinds, monolithicSparse can have a parent`,
    )
  }
  if (!isSplit && !isFlat && sectors > SPARSE_LIMIT) {
    throw new DiskError('unsupported', `vmdk image '${file.name}' cannot be made: it is too large, 2 TiB are the most`)
  }
  const extents: ExtentLine[] = []
  for (let start = 0; start < sectors || extents.length === 0; start += SPLIT) {
    const count = isSplit ? Math.min(SPLIT, sectors - start) : sectors
    const number = String(extents.length + 1).padStart(3, '0')
    const name = isSplit ? `${base}-${isFlat ? 'f' : 's'}${number}.vmdk` : isFlat ? `${base}-flat.vmdk` : own
    extents.push({ access: 'RW', sectors: count, type: isFlat ? 'FLAT' : 'SPARSE', file: name, offset: 0 })
    if (!isSplit) break
  }
  const descriptor = makeDescriptor(subformat, extents, parent)
  if (subformat === 'monolithicSparse') return writeSparse(file, sectors, descriptor)
  for (const extent of extents) {
    const part = await createPart(extent.file!)
    try {
      if (isFlat) await part.truncate(extent.sectors * SECTOR)
      else await writeSparse(part, extent.sectors)
      await part.flush()
    } finally {
      await part.close()
    }
  }
  await file.write(0, new TextEncoder().encode(formatDescriptor(descriptor)))
}

function makeDescriptor(createType: string, extents: ExtentLine[], parent?: { file: string; cid: number }): Descriptor {
  const [cid] = crypto.getRandomValues(new Uint32Array(1))
  return {
    cid: cid % 0xfffffffe,
    parentCid: parent?.cid ?? NO_PARENT,
    parentFile: parent?.file,
    createType,
    extents,
  }
}

/** Writes an empty sparse extent: header, descriptor, the two directories and their tables. */
async function writeSparse(file: ByteFile, sectors: number, descriptor?: Descriptor): Promise<void> {
  const tables = Math.ceil(Math.ceil(sectors / GRAIN) / ENTRIES)
  const directory = Math.ceil((tables * 4) / SECTOR)
  const first = 1 + (descriptor ? DESCRIPTOR : 0)
  const second = first + directory + tables * TABLE
  const overhead = Math.ceil((second + directory + tables * TABLE) / GRAIN) * GRAIN
  const header = makeHeader({
    version: 1,
    flags: FLAG.newLines | FLAG.redundantTable,
    sectors,
    hasDescriptor: descriptor !== undefined,
    redundantDirectory: first,
    directory: second,
    overhead,
    isCompressed: false,
  })
  await file.truncate(overhead * SECTOR)
  for (const place of [first, second]) {
    const bytes = new Uint8Array(directory * SECTOR)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < tables; i++) view.setUint32(i * 4, place + directory + i * TABLE, true)
    await file.write(place * SECTOR, bytes)
  }
  if (descriptor) await file.write(SECTOR, encodeDescriptor(descriptor, file.name))
  await file.write(0, header)
}

function encodeDescriptor(descriptor: Descriptor, name: string): Uint8Array {
  const text = new TextEncoder().encode(formatDescriptor(descriptor))
  if (text.length > DESCRIPTOR * SECTOR) {
    throw new DiskError('unsupported', `vmdk image '${name}' cannot be made: the names in it are too long`)
  }
  const bytes = new Uint8Array(DESCRIPTOR * SECTOR)
  bytes.set(text)
  return bytes
}

function makeHeader(options: {
  version: number
  flags: number
  sectors: number
  hasDescriptor: boolean
  redundantDirectory: number
  /** Undefined where it is in the footer. */
  directory: number | undefined
  overhead: number
  isCompressed: boolean
}): Uint8Array {
  const bytes = new Uint8Array(SECTOR)
  const view = new DataView(bytes.buffer)
  const u64 = (at: number, value: number) => {
    view.setUint32(at, value >>> 0, true)
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
  }
  view.setUint32(0, VMDK_MAGIC)
  view.setUint32(4, options.version, true)
  view.setUint32(8, options.flags, true)
  u64(12, options.sectors)
  u64(20, GRAIN)
  u64(28, options.hasDescriptor ? 1 : 0)
  u64(36, options.hasDescriptor ? DESCRIPTOR : 0)
  view.setUint32(44, ENTRIES, true)
  u64(48, options.redundantDirectory)
  if (options.directory === undefined) bytes.fill(0xff, 56, 64)
  else u64(56, options.directory)
  u64(64, options.overhead)
  // By these a transfer that takes the file for text is noticed.
  bytes.set([0x0a, 0x20, 0x0d, 0x0a], 73)
  view.setUint16(77, options.isCompressed ? 1 : 0, true)
  return bytes
}

/** Kinds of markers. */
const MARKER = { end: 0, table: 1, directory: 2, footer: 3 } as const

/**
 * Makes an empty file a stream-optimized image of what a disk holds.
 * @param onProgress hears how many bytes are done
 */
export async function writeStreamOptimized(
  file: ByteFile,
  source: Disk,
  compression: Compression,
  onProgress: (done: number) => void = () => {},
): Promise<void> {
  const sectors = source.size / SECTOR
  const grains = Math.ceil(sectors / GRAIN)
  const extent: ExtentLine = { access: 'RW', sectors, type: 'SPARSE', file: lastOf(file.name), offset: 0 }
  const header = {
    version: 3,
    flags: FLAG.newLines | FLAG.compressed | FLAG.markers,
    sectors,
    hasDescriptor: true,
    redundantDirectory: 0,
    directory: undefined,
    overhead: GRAIN,
    isCompressed: true,
  }
  await file.write(0, makeHeader(header))
  await file.write(SECTOR, encodeDescriptor(makeDescriptor('streamOptimized', [extent]), file.name))
  let at = GRAIN
  const marker = async (count: number, type: number) => {
    const bytes = new Uint8Array(SECTOR)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, count, true)
    view.setUint32(12, type, true)
    await file.write(at++ * SECTOR, bytes)
  }
  const directory = new Uint32Array(Math.ceil(grains / ENTRIES))
  const grain = new Uint8Array(GRAIN * SECTOR)
  for (let index = 0; index < directory.length; index++) {
    const table = new Uint8Array(TABLE * SECTOR)
    const tableView = new DataView(table.buffer)
    let isEmpty = true
    for (let entry = 0; entry < ENTRIES && index * ENTRIES + entry < grains; entry++) {
      const sector = (index * ENTRIES + entry) * GRAIN
      const length = Math.min(GRAIN, sectors - sector) * SECTOR
      grain.fill(0, length)
      await source.read(sector * SECTOR, grain.subarray(0, length))
      onProgress(sector * SECTOR + length)
      if (grain.every(byte => byte === 0)) continue
      const packed = await compression.deflate(grain)
      const bytes = new Uint8Array(Math.ceil((12 + packed.length) / SECTOR) * SECTOR)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, sector >>> 0, true)
      view.setUint32(4, Math.floor(sector / 2 ** 32), true)
      view.setUint32(8, packed.length, true)
      bytes.set(packed, 12)
      await file.write(at * SECTOR, bytes)
      tableView.setUint32(entry * 4, at, true)
      at += bytes.length / SECTOR
      isEmpty = false
    }
    if (isEmpty) continue
    await marker(TABLE, MARKER.table)
    await file.write(at * SECTOR, table)
    directory[index] = at
    at += TABLE
  }
  const directorySectors = Math.ceil((directory.length * 4) / SECTOR)
  await marker(directorySectors, MARKER.directory)
  const bytes = new Uint8Array(directorySectors * SECTOR)
  for (const [i, place] of directory.entries()) new DataView(bytes.buffer).setUint32(i * 4, place, true)
  await file.write(at * SECTOR, bytes)
  const place = at
  at += directorySectors
  await marker(1, MARKER.footer)
  await file.write(at++ * SECTOR, makeHeader({ ...header, directory: place }))
  await marker(0, MARKER.end)
}

function lastOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
}
