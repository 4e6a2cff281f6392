/** The descriptor of VMDK images: a text that says of which files ("extents") the disk consists. */
import { DiskError } from '../disk.ts'

/** Most bytes of a descriptor. */
export const DESCRIPTOR_LIMIT = 2 ** 20
/** Most extents. */
const EXTENT_LIMIT = 65536
/** `parentCID` where there is no parent. */
export const NO_PARENT = 0xffffffff

/** A line that describes an extent. */
export interface ExtentLine {
  access: string
  sectors: number
  type: string
  /** The extent's file, relative to the descriptor's; undefined for zeros. */
  file: string | undefined
  /** Where in the file it begins, in sectors. */
  offset: number
}

/** A descriptor, understood. */
export interface Descriptor {
  /** Changes with the content, so that an image above can tell whether it still fits. */
  cid: number
  parentCid: number
  parentFile: string | undefined
  createType: string
  extents: ExtentLine[]
}

/**
 * Reads a descriptor.
 * @param name the file's, for messages
 * @throws DiskError `corrupt`
 */
export function parseDescriptor(text: string, name: string): Descriptor {
  const corrupt = (what: string) => new DiskError('corrupt', `vmdk image '${name}' is damaged: ${what}`)
  const descriptor: Descriptor = { cid: 0, parentCid: NO_PARENT, parentFile: undefined, createType: '', extents: [] }
  // The text is filled up with zeros.
  const end = text.indexOf('\0')
  for (const line of text.slice(0, end < 0 ? undefined : end).split(/\r?\n/)) {
    const [, key, value] = /^\s*(\w+)\s*=\s*"?([^"]*)"?\s*$/.exec(line) ?? []
    if (key === 'CID') descriptor.cid = Number.parseInt(value, 16)
    if (key === 'parentCID') descriptor.parentCid = Number.parseInt(value, 16)
    if (key === 'createType') descriptor.createType = value
    if (key === 'parentFileNameHint') descriptor.parentFile = value
    const extent = /^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+([A-Z]+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?/.exec(line)
    if (!extent) continue
    if (descriptor.extents.length >= EXTENT_LIMIT) throw corrupt(`it has more than ${EXTENT_LIMIT} extents`)
    const [, access, sectors, type, file, offset = '0'] = extent
    descriptor.extents.push({ access, sectors: Number(sectors), type, file, offset: Number(offset) })
    if (!Number.isSafeInteger(Number(sectors) * 512) || !Number.isSafeInteger(Number(offset) * 512)) {
      throw corrupt(`an extent has ${sectors} sectors from ${offset} on`)
    }
  }
  if (Number.isNaN(descriptor.cid) || Number.isNaN(descriptor.parentCid)) throw corrupt('its CID is no number')
  return descriptor
}

/** The text of a descriptor. */
export function formatDescriptor(descriptor: Descriptor): string {
  const sectors = descriptor.extents.reduce((sum, extent) => sum + extent.sectors, 0)
  const cid = (value: number) => value.toString(16).padStart(8, '0')
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${cid(descriptor.cid)}`,
    `parentCID=${cid(descriptor.parentCid)}`,
    `createType="${descriptor.createType}"`,
    ...(descriptor.parentFile === undefined ? [] : [`parentFileNameHint="${descriptor.parentFile}"`]),
    '',
    '# Extent description',
    ...descriptor.extents.map(extent => {
      const place = extent.type === 'FLAT' ? ` ${extent.offset}` : ''
      return `${extent.access} ${extent.sectors} ${extent.type} "${extent.file}"${place}`
    }),
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.virtualHWVersion = "4"',
    `ddb.geometry.cylinders = "${Math.min(16383, Math.max(1, Math.floor(sectors / (16 * 63))))}"`,
    'ddb.geometry.heads = "16"',
    'ddb.geometry.sectors = "63"',
    'ddb.adapterType = "ide"',
    '',
  ]
  return lines.join('\n')
}

/** The text with another content identification of the same length, or undefined where it has none of eight digits. */
export function withNewCid(text: string, cid: number): string | undefined {
  const changed = text.replace(
    /^(\s*CID\s*=\s*)[0-9a-fA-F]{8}/m,
    (_, before) => before + cid.toString(16).padStart(8, '0'),
  )
  return changed.length === text.length && changed !== text ? changed : undefined
}
