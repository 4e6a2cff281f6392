/**
 * Writes the "new ASCII" cpio format (`newc`, magic 070701) that Linux unpacks as its initial RAM file system.
 * The format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */

/** One thing in the archive. Paths are relative to the root, without a leading slash. */
export type CpioEntry =
  | { kind: 'folder'; path: string; mode?: number }
  | { kind: 'file'; path: string; content: Uint8Array; mode?: number }
  | { kind: 'link'; path: string; target: string }
  | { kind: 'character device'; path: string; major: number; minor: number; mode?: number }

/** The file type bits of `st_mode`, from inode(7). */
const FILE_TYPE = { folder: 0o040000, file: 0o100000, link: 0o120000, 'character device': 0o020000 } as const

/** The permissions where an entry names none. */
const PERMISSIONS = { folder: 0o755, file: 0o644, link: 0o777, 'character device': 0o600 } as const

const encoder = new TextEncoder()

/**
 * Makes the archive. The same entries give the same bytes: owner is root, times are zero and inodes count up.
 * @throws Error when a path is absolute, empty or there twice, or a file is 4 GiB or more.
 */
export function writeCpio(entries: Iterable<CpioEntry>): Uint8Array {
  const parts: Uint8Array[] = []
  const seen = new Set<string>()
  let inode = 1
  for (const entry of entries) {
    if (entry.path === '' || entry.path.startsWith('/')) throw new Error(`cpio: '${entry.path}' is not a relative path`)
    if (seen.has(entry.path)) throw new Error(`cpio: '${entry.path}' is there twice`)
    seen.add(entry.path)
    const content =
      entry.kind === 'file' ? entry.content : entry.kind === 'link' ? encoder.encode(entry.target) : new Uint8Array()
    if (content.length > 0xffffffff) throw new Error(`cpio: '${entry.path}' is too large for this format`)
    const permissions = entry.kind === 'link' ? undefined : entry.mode
    const mode = FILE_TYPE[entry.kind] | (permissions ?? PERMISSIONS[entry.kind])
    const device = entry.kind === 'character device' ? [entry.major, entry.minor] : [0, 0]
    parts.push(...record(entry.path, inode++, mode, entry.kind === 'folder' ? 2 : 1, device, content))
  }
  parts.push(...record('TRAILER!!!', 0, 0, 1, [0, 0], new Uint8Array()))
  return concatenate(parts)
}

/** Header, name and content of one entry, each padded to four bytes. */
function record(
  path: string,
  inode: number,
  mode: number,
  links: number,
  [major, minor]: number[],
  content: Uint8Array,
): Uint8Array[] {
  const name = encoder.encode(`${path}\0`)
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, major, minor, name.length, 0]
  const header = encoder.encode(`070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`)
  return [header, name, padding(header.length + name.length), content, padding(content.length)]
}

/** The zero bytes that bring `length` to a multiple of four. */
function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3)
}

/** Joins byte arrays. */
function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
