/** New VHDX images. */
import type { ByteFile } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import { crc32c } from './crc32c.ts'
import { GUID, KIB, MIB, makeHeaders, putGuid, putU64, REGION_TABLE_SIZE, REGION_TABLES } from './structures.ts'

const SIZE_LIMIT = 64 * 2 ** 40
/** Smaller than others': a small write to a new block takes no more of the file than that. */
const DEFAULT_BLOCK = 2 * MIB
const FULL = 6

/** What a new image is to be. */
export interface CreateVhdxOptions {
  /** Bytes of the disk, a multiple of 512. */
  size: number
  subformat?: 'dynamic' | 'fixed'
  /** Bytes of a block, a power of two from 1 MiB to 256 MiB; default 2 MiB. */
  clusterSize?: number
}

/** Makes an empty file an image. @throws DiskError `unsupported` */
export async function createVhdx(file: ByteFile, options: CreateVhdxOptions): Promise<void> {
  const { size, subformat = 'dynamic', clusterSize = DEFAULT_BLOCK } = options
  const refuse = (text: string) => new DiskError('unsupported', `vhdx image '${file.name}' cannot be made: ${text}`)
  if (size > SIZE_LIMIT) throw refuse('it is too large, 64 TiB are the most')
  if (clusterSize < MIB || clusterSize > 256 * MIB || !Number.isInteger(Math.log2(clusterSize))) {
    throw refuse(`blocks have 1 MiB to 256 MiB, a power of two, not ${clusterSize}`)
  }
  const chunk = (2 ** 23 * 512) / clusterSize
  const blocks = Math.ceil(size / clusterSize)
  const entries = blocks + Math.floor(Math.max(0, blocks - 1) / chunk)
  const log = { offset: MIB, length: MIB }
  const metadata = { offset: 2 * MIB, length: MIB }
  const bat = { offset: 3 * MIB, length: Math.max(1, Math.ceil((entries * 8) / MIB)) * MIB }
  const end = bat.offset + bat.length
  const isFixed = subformat === 'fixed'
  await file.truncate(end + (isFixed ? blocks * clusterSize : 0))
  if (isFixed) {
    const table = new Uint8Array(entries * 8)
    const view = new DataView(table.buffer)
    for (let i = 0; i < blocks; i++) {
      const place = (end + i * clusterSize) / MIB
      putU64(view, (i + Math.floor(i / chunk)) * 8, place * MIB + FULL)
    }
    await file.write(bat.offset, table)
  }
  await file.write(metadata.offset, metadataTable(size, clusterSize, isFixed))
  const regions = regionTable([
    { id: GUID.bat, ...bat },
    { id: GUID.metadata, ...metadata },
  ])
  for (const offset of REGION_TABLES) await file.write(offset, regions)
  for (const { offset, bytes } of makeHeaders(log.offset, log.length)) await file.write(offset, bytes)
  const identifier = new Uint8Array(512)
  identifier.set(new TextEncoder().encode('vhdxfile'))
  for (const [i, letter] of [...'typetwo'].entries()) identifier[8 + i * 2] = letter.charCodeAt(0)
  await file.write(0, identifier)
}

function regionTable(regions: { id: string; offset: number; length: number }[]): Uint8Array {
  const bytes = new Uint8Array(REGION_TABLE_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x72656769)
  view.setUint32(8, regions.length, true)
  for (const [i, { id, offset, length }] of regions.entries()) {
    const at = 16 + i * 32
    putGuid(bytes, at, id)
    putU64(view, at + 16, offset)
    view.setUint32(at + 24, length, true)
    view.setUint32(at + 28, 1, true)
  }
  view.setUint32(4, crc32c(bytes, 4), true)
  return bytes
}

function metadataTable(size: number, blockSize: number, isFixed: boolean): Uint8Array {
  const start = 64 * KIB
  const bytes = new Uint8Array(start + 64)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode('metadata'))
  // Flags: of the disk rather than of its user, needed.
  const [DISK, NEEDED] = [2, 4]
  const items: [string, number, number, (at: number) => void][] = [
    [
      GUID.fileParameters,
      8,
      NEEDED,
      at => {
        view.setUint32(at, blockSize, true)
        view.setUint32(at + 4, isFixed ? 1 : 0, true)
      },
    ],
    [GUID.virtualDiskSize, 8, DISK | NEEDED, at => putU64(view, at, size)],
    [GUID.virtualDiskId, 16, DISK | NEEDED, at => crypto.getRandomValues(bytes.subarray(at, at + 16))],
    [GUID.logicalSectorSize, 4, DISK | NEEDED, at => view.setUint32(at, 512, true)],
    [GUID.physicalSectorSize, 4, DISK | NEEDED, at => view.setUint32(at, 4096, true)],
  ]
  view.setUint16(10, items.length, true)
  let place = start
  for (const [i, [id, length, flags, put]] of items.entries()) {
    const at = 32 + i * 32
    putGuid(bytes, at, id)
    view.setUint32(at + 16, place, true)
    view.setUint32(at + 20, length, true)
    view.setUint32(at + 24, flags, true)
    put(place)
    place += length
  }
  return bytes
}
