/** The formats of disk images: how each is recognized and opened. */
import type { ByteFile, ImageFolder } from './byte-file.ts'
import type { Compression } from './compression.ts'
import type { Disk } from './disk.ts'
import { QCOW2_MAGIC } from './qcow2/header.ts'
import { openQcow2 } from './qcow2/open.ts'
import { RawDisk } from './raw.ts'
import { openVdi, VDI_SIGNATURE } from './vdi.ts'
import { isVhd, openVhd } from './vhd.ts'
import { openVhdx } from './vhdx/disk.ts'
import { VHDX_SIGNATURE } from './vhdx/structures.ts'
import { isDescriptor, openVmdk } from './vmdk/open.ts'
import { VMDK_MAGIC } from './vmdk/sparse.ts'

/** What opening an image needs besides its file. */
export interface OpenContext {
  readonly compression: Compression
  readonly folder: ImageFolder
  /** Opens, read-only, the disk that shows where the image has nothing. */
  openBacking(name: string, format: string | undefined): Promise<Disk>
  /** Opens another file that the image names and that is part of it. */
  openPart(name: string): Promise<ByteFile>
  /** Whether the image is opened without its backing files, to look at its structure. */
  readonly isAlone: boolean
  /** Whether it is opened to be repaired, and so may be damaged. */
  readonly isForRepair: boolean
}

/** A format. */
interface FormatDescription {
  /** What file names of it end with, without the dot. */
  endings: readonly string[]
  /** Other names of it, as inside of images. */
  aliases?: readonly string[]
  /** Whether a file begins, or ends, as the format does. */
  recognize(start: DataView, file: ByteFile): boolean | Promise<boolean>
  open(file: ByteFile, context: OpenContext): Promise<Disk>
}

/** All formats. Only raw has no mark of its own. */
export const FORMAT_TABLE = {
  raw: {
    endings: ['img', 'raw', 'iso', 'bin', 'dd', 'ima', 'flp', 'vfd', 'dsk'],
    aliases: ['host_device', 'file'],
    recognize: () => false,
    open: async file => new RawDisk(file),
  },
  qcow2: {
    endings: ['qcow2', 'qcow'],
    recognize: (start: DataView) => start.getUint32(0) === QCOW2_MAGIC,
    open: openQcow2,
  },
  vmdk: {
    endings: ['vmdk'],
    recognize: start => start.getUint32(0) === VMDK_MAGIC || isDescriptor(start),
    open: openVmdk,
  },
  vdi: {
    endings: ['vdi'],
    recognize: start => start.getUint32(64, true) === VDI_SIGNATURE,
    open: openVdi,
  },
  vhd: {
    endings: ['vhd', 'vpc'],
    aliases: ['vpc'],
    recognize: isVhd,
    open: openVhd,
  },
  vhdx: {
    endings: ['vhdx'],
    recognize: start => start.getUint32(0) === VHDX_SIGNATURE[0] && start.getUint32(4) === VHDX_SIGNATURE[1],
    open: openVhdx,
  },
} as const satisfies Record<string, FormatDescription>

/** Name of a format. */
export type Format = keyof typeof FORMAT_TABLE

/** The formats' names. */
export const FORMATS = Object.keys(FORMAT_TABLE) as readonly Format[]

/** Bytes at the beginning of a file that formats are recognized by. */
const START = 512

/** The format that a file's content is of; undefined where it is none that has a mark. */
export async function recognize(file: ByteFile): Promise<Format | undefined> {
  const start = new Uint8Array(START)
  await file.read(0, start)
  for (const format of FORMATS) {
    const description: FormatDescription = FORMAT_TABLE[format]
    if (await description.recognize(new DataView(start.buffer), file)) return format
  }
  return undefined
}

/** The format that a file's name stands for. */
export function formatOfName(name: string): Format | undefined {
  const ending = /\.([^./\\]+)$/.exec(name)?.[1].toLowerCase() ?? ''
  return FORMATS.find(format => (FORMAT_TABLE[format].endings as readonly string[]).includes(ending))
}

/** The format that a name inside an image means. */
export function formatOfAlias(alias: string): Format | undefined {
  return FORMATS.find(format => {
    const { aliases = [] }: FormatDescription = FORMAT_TABLE[format]
    return format === alias || aliases.includes(alias)
  })
}
