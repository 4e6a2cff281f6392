/** The structures of VHDX images: headers, regions, metadata. Names are those of [MS-VHDX]. */
import type { ByteFile } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import { crc32c } from './crc32c.ts'

export const KIB = 1024
export const MIB = 2 ** 20
/** `vhdxfile` */
export const VHDX_SIGNATURE = [0x76686478, 0x66696c65] as const
const HEADERS = [64 * KIB, 128 * KIB] as const
export const REGION_TABLES = [192 * KIB, 256 * KIB] as const
export const HEADER_SIZE = 4 * KIB
export const REGION_TABLE_SIZE = 64 * KIB

/** GUIDs, as they stand in the file. */
export const GUID = {
  bat: guid('2DC27766-F623-4200-9D64-115E9BFD4A08'),
  metadata: guid('8B7CA206-4790-4B9A-B8FE-575F050F886E'),
  fileParameters: guid('CAA16737-FA36-4D43-B3B6-33F0AA44E76B'),
  virtualDiskSize: guid('2FA54224-CD1B-4876-B211-5DBED83BF4B8'),
  virtualDiskId: guid('BECA12AB-B2E6-4523-93EF-C309E000C746'),
  logicalSectorSize: guid('8141BF1D-A96F-4709-BA47-F233A8FAAB5F'),
  physicalSectorSize: guid('CDA348C7-445D-4471-9CC9-E9885251C556'),
  parentLocator: guid('A8D35F2D-B30B-454D-ABF7-D3D84834AB0C'),
} as const

/** The bytes of a GUID as hexadecimal digits: the first three parts are little-endian numbers. */
function guid(text: string): string {
  const [a, b, c, d, e] = text.toLowerCase().split('-')
  const reversed = (digits: string) => digits.match(/../g)!.reverse().join('')
  return reversed(a) + reversed(b) + reversed(c) + d + e
}

/** The 16 bytes at `at` as {@link GUID} has them. */
export function guidAt(bytes: Uint8Array, at: number): string {
  return Array.from(bytes.subarray(at, at + 16), byte => byte.toString(16).padStart(2, '0')).join('')
}

/** Writes a GUID. */
export function putGuid(bytes: Uint8Array, at: number, guid: string): void {
  for (let i = 0; i < 16; i++) bytes[at + i] = Number.parseInt(guid.slice(i * 2, i * 2 + 2), 16)
}

/** A little-endian number of 64 bits, too large ones as `Infinity`. */
export function u64At(view: DataView, at: number): number {
  const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY
}

/** Writes one. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

/** One of the two headers: that with the higher number holds. */
export interface VhdxHeader {
  offset: number
  sequence: number
  bytes: Uint8Array<ArrayBuffer>
  logGuid: string
  logLength: number
  logOffset: number
}

/** Offsets of a header's fields. */
const HEADER = {
  checksum: 4,
  sequence: 8,
  fileWrite: 16,
  dataWrite: 32,
  log: 48,
  logVersion: 64,
  version: 66,
  logLength: 68,
  logOffset: 72,
}

/** The `LogGuid` of a file without a log to replay. */
export const NO_LOG = '0'.repeat(32)

/** Reads the header that holds. @throws DiskError `corrupt` */
export async function readVhdxHeader(file: ByteFile): Promise<VhdxHeader> {
  let current: VhdxHeader | undefined
  for (const offset of HEADERS) {
    const bytes = new Uint8Array(HEADER_SIZE)
    await file.read(offset, bytes)
    const view = new DataView(bytes.buffer)
    if (view.getUint32(0) !== 0x68656164 || view.getUint32(HEADER.checksum, true) !== crc32c(bytes, HEADER.checksum))
      continue
    const sequence = u64At(view, HEADER.sequence)
    if (current && current.sequence >= sequence) continue
    current = {
      offset,
      sequence,
      bytes,
      logGuid: guidAt(bytes, HEADER.log),
      logLength: view.getUint32(HEADER.logLength, true),
      logOffset: u64At(view, HEADER.logOffset),
    }
  }
  if (current) return current
  throw new DiskError('corrupt', `vhdx image '${file.name}' is damaged: both of its headers are wrong`)
}

/** Writes a header that holds from now on, without a log, to where the other one is. @returns it */
export async function writeVhdxHeader(file: ByteFile, old: VhdxHeader, isWritten: boolean): Promise<VhdxHeader> {
  const bytes = old.bytes.slice()
  const view = new DataView(bytes.buffer)
  const sequence = old.sequence + 1
  putU64(view, HEADER.sequence, sequence)
  putGuid(bytes, HEADER.log, NO_LOG)
  if (isWritten) {
    for (const at of [HEADER.fileWrite, HEADER.dataWrite]) crypto.getRandomValues(bytes.subarray(at, at + 16))
  }
  view.setUint32(HEADER.checksum, crc32c(bytes, HEADER.checksum), true)
  const offset = HEADERS[old.offset === HEADERS[0] ? 1 : 0]
  await file.write(offset, bytes)
  await file.flush()
  return { ...old, offset, sequence, bytes, logGuid: NO_LOG }
}

/** The two headers of a new image. */
export function makeHeaders(logOffset: number, logLength: number): { offset: number; bytes: Uint8Array }[] {
  const bytes = new Uint8Array(HEADER_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x68656164)
  crypto.getRandomValues(bytes.subarray(HEADER.fileWrite, HEADER.fileWrite + 32))
  view.setUint16(HEADER.version, 1, true)
  view.setUint32(HEADER.logLength, logLength, true)
  putU64(view, HEADER.logOffset, logOffset)
  return HEADERS.map((offset, i) => {
    const copy = bytes.slice()
    putU64(new DataView(copy.buffer), HEADER.sequence, i)
    new DataView(copy.buffer).setUint32(HEADER.checksum, crc32c(copy, HEADER.checksum), true)
    return { offset, bytes: copy }
  })
}

/** A part of the file. */
export interface Region {
  offset: number
  length: number
}

/** Reads where the two regions are. @throws DiskError `corrupt` or `unsupported` */
export async function readRegions(file: ByteFile): Promise<{ bat: Region; metadata: Region }> {
  for (const offset of REGION_TABLES) {
    const bytes = new Uint8Array(REGION_TABLE_SIZE)
    await file.read(offset, bytes)
    const view = new DataView(bytes.buffer)
    if (view.getUint32(0) !== 0x72656769 || view.getUint32(4, true) !== crc32c(bytes, 4)) continue
    const found: Partial<Record<'bat' | 'metadata', Region>> = {}
    const count = Math.min(2047, view.getUint32(8, true))
    for (let at = 16; at < 16 + count * 32; at += 32) {
      const id = guidAt(bytes, at)
      const region = { offset: u64At(view, at + 16), length: view.getUint32(at + 24, true) }
      const name = id === GUID.bat ? 'bat' : id === GUID.metadata ? 'metadata' : undefined
      if (name === undefined && view.getUint32(at + 28, true) & 1) {
        throw new DiskError('unsupported', `vhdx image '${file.name}' has a region that is not known, and needed`)
      }
      if (name === undefined) continue
      if (region.offset < MIB || region.offset % MIB !== 0 || region.offset + region.length > file.size) {
        throw new DiskError('corrupt', `vhdx image '${file.name}' is damaged: a region lies outside of the file`)
      }
      found[name] = region
    }
    if (found.bat && found.metadata) return { bat: found.bat, metadata: found.metadata }
  }
  throw new DiskError('corrupt', `vhdx image '${file.name}' is damaged: both of its tables of regions are wrong`)
}

/** What the metadata says of the disk. */
export interface VhdxParameters {
  blockSize: number
  leavesAllocated: boolean
  hasParent: boolean
  size: number
  sectorSize: number
}

/** Reads the metadata. @throws DiskError `corrupt` or `unsupported` */
export async function readParameters(file: ByteFile, region: Region): Promise<VhdxParameters> {
  const corrupt = (text: string) => new DiskError('corrupt', `vhdx image '${file.name}' is damaged: ${text}`)
  const table = new Uint8Array(64 * KIB)
  await file.read(region.offset, table)
  const view = new DataView(table.buffer)
  if (view.getUint32(0) !== 0x6d657461 || view.getUint32(4) !== 0x64617461) throw corrupt('its metadata is missing')
  const items = new Map<string, DataView>()
  const count = Math.min(2047, view.getUint16(10, true))
  for (let at = 32; at < 32 + count * 32; at += 32) {
    const id = guidAt(table, at)
    const [offset, length, flags] = [at + 16, at + 20, at + 24].map(at => view.getUint32(at, true))
    const isKnown = (Object.values(GUID) as string[]).includes(id)
    if (!isKnown && flags & 4) {
      throw new DiskError('unsupported', `vhdx image '${file.name}' has metadata that is not known, and needed`)
    }
    if (!isKnown || length > 64 * KIB) continue
    if (offset < 64 * KIB || offset + length > region.length) throw corrupt('its metadata lies outside of its region')
    const bytes = new Uint8Array(Math.max(16, length))
    await file.read(region.offset + offset, bytes)
    items.set(id, new DataView(bytes.buffer))
  }
  const [parameters, size, sector] = [GUID.fileParameters, GUID.virtualDiskSize, GUID.logicalSectorSize].map(id =>
    items.get(id),
  )
  if (!parameters || !size || !sector) throw corrupt('its metadata is not complete')
  const flags = parameters.getUint32(4, true)
  return {
    blockSize: parameters.getUint32(0, true),
    leavesAllocated: (flags & 1) !== 0,
    hasParent: (flags & 2) !== 0,
    size: u64At(size, 0),
    sectorSize: sector.getUint32(0, true),
  }
}
