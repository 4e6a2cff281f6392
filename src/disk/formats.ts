/** The formats of disk images: how each is recognized and opened. */
import type { ByteFile, ImageFolder } from './byte-file.ts'
import type { Compression } from './compression.ts'
import type { Disk } from './disk.ts'
import { FORMATS, type Format } from './format-names.ts'
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
  /** Whether a file begins, or ends, as the format does. */
  recognize(start: DataView, file: ByteFile): boolean | Promise<boolean>
  open(file: ByteFile, context: OpenContext): Promise<Disk>
}

/** All formats, in the order in which they are tried. Only raw has no mark of its own. */
export const FORMAT_TABLE: Readonly<Record<Format, FormatDescription>> = {
  raw: {
    recognize: () => false,
    open: async file => new RawDisk(file),
  },
  qcow2: {
    recognize: (start: DataView) => start.getUint32(0) === QCOW2_MAGIC,
    open: openQcow2,
  },
  vmdk: {
    recognize: start => start.getUint32(0) === VMDK_MAGIC || isDescriptor(start),
    open: openVmdk,
  },
  vdi: {
    recognize: start => start.getUint32(64, true) === VDI_SIGNATURE,
    open: openVdi,
  },
  vhd: {
    recognize: isVhd,
    open: openVhd,
  },
  vhdx: {
    recognize: start => start.getUint32(0) === VHDX_SIGNATURE[0] && start.getUint32(4) === VHDX_SIGNATURE[1],
    open: openVhdx,
  },
}

/** Bytes at the beginning of a file that formats are recognized by. */
const START = 512

/** The format that a file's content is of; undefined where it is none that has a mark. */
export async function recognize(file: ByteFile): Promise<Format | undefined> {
  const start = new Uint8Array(START)
  await file.read(0, start)
  for (const format of FORMATS) {
    if (await FORMAT_TABLE[format].recognize(new DataView(start.buffer), file)) return format
  }
  return undefined
}
