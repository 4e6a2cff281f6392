/** What a file that was dropped is to a machine, by what it begins with. */
import { floppyFormat } from '../../src/devices/storage/floppy-geometry.ts'
import { blobFile } from '../../src/disk/blob.ts'
import { recognize } from '../../src/disk/formats.ts'

/** What a file is put into, or is to be. */
export type Role = 'cd' | 'floppy' | 'disk' | 'kernel' | 'initrd'

/** What a file is. */
export interface Recognised {
  role: Role
  /** The format of a disk's image, where that is not said by the file itself. */
  format?: 'raw'
  /** What it was taken for. */
  description: string
}

/** Bytes that are looked at: up to the first descriptors of a CD. */
const START = 0x9000
const CD_DESCRIPTOR = 0x8001
const KNOWN =
  'give a CD (.iso), a floppy, a disk (raw, qcow2, vmdk, vdi, vhd or vhdx), a kernel (Linux, ELF or multiboot) or an initial RAM disk'

/** How archives and packed files begin. */
const PACKED: readonly { name: string; start: readonly number[] }[] = [
  { name: 'gzip', start: [0x1f, 0x8b] },
  { name: 'xz', start: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: 'zstd', start: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'LZ4', start: [0x02, 0x21, 0x4c, 0x18] },
  { name: 'bzip2', start: [0x42, 0x5a, 0x68] },
  { name: 'LZMA', start: [0x5d, 0, 0] },
]

/**
 * Recognises a file.
 * @throws Error with one sentence where it is nothing that a machine can use
 */
export async function recognise(file: File): Promise<Recognised> {
  const refuse = (text: string) => new Error(`'${file.name}' ${text}`)
  if (file.size === 0) throw refuse(`is empty: ${KNOWN}`)
  let start: Uint8Array
  try {
    start = new Uint8Array(await file.slice(0, START).arrayBuffer())
  } catch {
    throw refuse('cannot be read: it is a folder, or was moved or removed')
  }
  const text = (at: number, length: number) => String.fromCharCode(...start.subarray(at, at + length))
  const begins = (...bytes: readonly number[]) => bytes.every((byte, i) => start[i] === byte)
  const name = file.name.toLowerCase()

  const format = await recognize(blobFile(file))
  if (format !== undefined) return { role: 'disk', description: `disk, ${format}` }
  if (/^(CD001|BEA01|NSR0.)$/.test(text(CD_DESCRIPTOR, 5))) return { role: 'cd', description: 'CD' }
  const isBootSector = start[510] === 0x55 && start[511] === 0xaa
  if (isBootSector && text(0x202, 4) === 'HdrS') return { role: 'kernel', description: 'kernel, Linux' }
  if (begins(0x7f, 0x45, 0x4c, 0x46)) return { role: 'kernel', description: 'kernel, ELF' }
  if (hasMultiboot(start)) return { role: 'kernel', description: 'kernel, multiboot' }
  if (begins(0x50, 0x4b, 3, 4)) throw refuse('is a ZIP archive: unpack it first')
  if (text(257, 5) === 'ustar') throw refuse('is a tar archive: unpack it first')
  if (begins(0x37, 0x7a, 0xbc, 0xaf)) throw refuse('is a 7z archive: unpack it first')
  if (/^07070[12]$/.test(text(0, 6))) return { role: 'initrd', description: 'initial RAM disk' }
  const packed = PACKED.find(kind => begins(...kind.start))
  if (packed) {
    if (/\.(iso|img|raw|dd|bin|tar|qcow2|vmdk|vdi|vhdx?)\.\w+$|\.t[gxbz]{1,2}\w?$/.test(name) && !/init/.test(name))
      throw refuse(`is packed by ${packed.name}: unpack it first`)
    return { role: 'initrd', description: `initial RAM disk, ${packed.name}` }
  }
  if (floppyFormat(file.size) !== undefined) return { role: 'floppy', description: 'floppy', format: 'raw' }
  if (/\.iso$/.test(name) && file.size % 2048 === 0) return { role: 'cd', description: 'CD' }
  const isRawName = /\.(img|raw|dd|bin|hdd|dsk)$/.test(name)
  if (isBootSector || text(512, 8) === 'EFI PART' || isRawName)
    return { role: 'disk', description: 'disk, raw', format: 'raw' }
  throw refuse(`is no image that typetwo knows: ${KNOWN}`)
}

/** Whether the header of the Multiboot Specification 0.6.96 (3.1.1) is in the first 8 KiB. */
function hasMultiboot(start: Uint8Array): boolean {
  const view = new DataView(start.buffer, start.byteOffset, start.length)
  for (let at = 0; at + 12 <= Math.min(8192, start.length); at += 4) {
    if (view.getUint32(at, true) !== 0x1badb002) continue
    const sum = view.getUint32(at, true) + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)
    if (sum % 2 ** 32 === 0) return true
  }
  return false
}
