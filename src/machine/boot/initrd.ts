/**
 * Recognises an initial RAM disk, so that a foreign or truncated one is refused with a sentence instead of a panic in
 * the guest. The cpio format is that of Linux's Documentation/driver-api/early-userspace/buffer-format.rst.
 */
import { gzipPieces, isAboutWhatFollows } from './gzip.ts'
import { BootError } from './state.ts'

/** Compressed forms that Linux unpacks, by their first bytes. */
const COMPRESSIONS: [name: string, magic: number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['gzip', [0x1f, 0x9e]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

const CPIO_HEADER = 110

function startsWith(bytes: Uint8Array, at: number, magic: number[]): boolean {
  return magic.every((byte, i) => bytes[at + i] === byte)
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}

/**
 * Checks that `initrd` is a cpio archive, compressed or not, or a file system image, and complete as far as its outer
 * form tells.
 * @returns the compressed part, if there is one, for {@link verifyInitrd}
 * @throws BootError with one sentence otherwise
 */
export function checkInitrd(initrd: Uint8Array): { compression: string; bytes: Uint8Array } | undefined {
  if (initrd.length === 0) throw new BootError('the initrd is empty: give a cpio archive, or none')
  if (isFileSystem(initrd)) return undefined
  let at = 0
  let known = false
  // Archives follow each other, with zeros between: microcode first, then the compressed rest.
  while (at < initrd.length) {
    if (initrd[at] === 0) at++
    else if (text(initrd, at, 6) === '070701' || text(initrd, at, 6) === '070702') {
      at = skipEntry(initrd, at)
      known = true
    } else {
      const compression = COMPRESSIONS.find(([, magic]) => startsWith(initrd, at, magic))
      if (compression) {
        const bytes = initrd.subarray(at)
        checkCompressed(bytes, compression[0])
        return { compression: compression[0], bytes }
      }
      break
    }
  }
  if (!known)
    throw new BootError(
      'the initrd is neither a cpio archive (plain, or compressed by gzip, xz, zstd and the like) nor a file system image: ' +
        'give the initrd or initramfs that belongs to the kernel',
    )
  return undefined
}

/**
 * Checks an initrd's checksums as far as the host can unpack its compression, which is gzip.
 * @throws BootError with one sentence when it is damaged
 */
export async function verifyInitrd(initrd: Uint8Array): Promise<void> {
  const compressed = checkInitrd(initrd)
  if (compressed?.compression !== 'gzip') return
  try {
    for await (const _ of gzipPieces(compressed.bytes));
  } catch (error) {
    // More archives or padding may follow the first.
    if (isAboutWhatFollows(error)) return
    throw new BootError(
      `the initrd is truncated or damaged: its gzip data ends or fails early: fetch or build it again`,
    )
  }
}

/** Ends of files that the outer form of a compression shows without unpacking. */
function checkCompressed(bytes: Uint8Array, name: string): void {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  const truncated = (name === 'xz' && text(bytes, end - 2, 2) !== 'YZ') || (name === 'gzip' && bytes.length < 20)
  if (truncated) throw new BootError(`the initrd is truncated: its ${name} data has no end: fetch or build it again`)
}

/** The offset behind one cpio entry. */
function skipEntry(bytes: Uint8Array, at: number): number {
  const field = (index: number) => Number.parseInt(text(bytes, at + 6 + 8 * index, 8), 16)
  const fileSize = field(6)
  const nameSize = field(11)
  if (at + CPIO_HEADER > bytes.length || Number.isNaN(fileSize) || Number.isNaN(nameSize))
    throw new BootError(`the initrd is truncated or damaged: its cpio header at byte ${at} is incomplete`)
  const pad = (n: number) => Math.ceil(n / 4) * 4
  const next = pad(pad(at + CPIO_HEADER + nameSize) + fileSize)
  if (next > bytes.length + 3)
    throw new BootError(
      `the initrd is truncated: its cpio archive promises at least ${next} bytes, and it has ${bytes.length}: ` +
        'fetch or build it again',
    )
  return next
}

/** Old-style RAM disks: ext2 to ext4, squashfs, cramfs, romfs, minix. */
function isFileSystem(bytes: Uint8Array): boolean {
  const ext = bytes[0x438] === 0x53 && bytes[0x439] === 0xef
  const minix = [0x7f, 0x8f].includes(bytes[0x410]) && bytes[0x411] === 0x13
  return ext || minix || ['hsqs', '-rom', 'E=\xcd\x28'].includes(text(bytes, 0, 4))
}
