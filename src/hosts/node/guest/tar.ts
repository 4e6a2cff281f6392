/**
 * Reads tar archives as they stream by: POSIX ustar with the GNU and pax ways of writing long names, which is what
 * `dpkg-deb --fsys-tarfile` gives. The format: tar(5), pax(1).
 */

/** One member of an archive. */
export interface TarEntry {
  /** The path as stored, without a leading `./` or `/`. */
  path: string
  /** `file`, `folder`, `link` (symbolic or hard), or `other`. */
  kind: 'file' | 'folder' | 'link' | 'other'
  /** Permission bits. */
  mode: number
  /** Where a link points; empty for the rest. */
  target: string
  /** The bytes of a file that {@link readTar} was asked to keep; empty for the rest. */
  content: Uint8Array
}

const BLOCK = 512

/**
 * The largest name or pax record believed, and the largest file kept: an archive is input, and no length in it may
 * make us allocate at will.
 */
const NAME_LIMIT = 64 * 1024
const FILE_LIMIT = 1024 * 1024 * 1024

/**
 * Goes through an archive.
 * @param chunks the archive, in pieces of any size
 * @param keep says for a file's path whether its content is wanted; the rest is skipped without being held
 * @throws Error when the archive is truncated or its headers are damaged; the message says at which byte.
 */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array>,
  keep: (path: string) => boolean,
): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(chunks)
  let longName: string | undefined
  let longTarget: string | undefined
  for (;;) {
    const start = reader.position
    const header = await reader.take(BLOCK)
    if (header === undefined || header.every(byte => byte === 0)) return
    if (!checksumFits(header)) throw new Error(`tar: the header at byte ${start} is damaged`)
    const size = number(header, 124, 12)
    const type = String.fromCharCode(header[156] || 0x30)
    const padded = Math.ceil(size / BLOCK) * BLOCK
    if (type === 'L' || type === 'K' || type === 'x' || type === 'g') {
      if (size > NAME_LIMIT) throw new Error(`tar: the header at byte ${start} has a name of ${size} bytes`)
      const data = Buffer.from((await whole(reader, padded)).subarray(0, size))
      if (type === 'L') longName = string(data, 0, size)
      if (type === 'K') longTarget = string(data, 0, size)
      if (type === 'x') {
        const records = paxRecords(data)
        longName = records.get('path') ?? longName
        longTarget = records.get('linkpath') ?? longTarget
      }
      continue
    }
    const prefix = string(header, 345, 155)
    const isUstar = string(header, 257, 6) === 'ustar'
    const shortName = string(header, 0, 100)
    const path = (longName ?? (isUstar && prefix ? `${prefix}/${shortName}` : shortName)).replace(/^(\.?\/)+/, '')
    const kind = type === '0' || type === '7' ? 'file' : type === '5' ? 'folder' : /[12]/.test(type) ? 'link' : 'other'
    const target = kind === 'link' ? (longTarget ?? string(header, 157, 100)) : ''
    longName = longTarget = undefined
    let content: Uint8Array = new Uint8Array()
    if (kind === 'file' && keep(path)) {
      if (size > FILE_LIMIT) throw new Error(`tar: '${path}' has ${size} bytes, more than can be kept`)
      content = (await whole(reader, padded)).subarray(0, size)
    } else if (kind === 'file' || kind === 'other') {
      await reader.skip(padded)
    }
    yield { path, kind, mode: number(header, 100, 8) & 0o7777, target, content }
  }
}

/** Takes `length` bytes or says where the archive ended. */
async function whole(reader: ByteReader, length: number): Promise<Uint8Array> {
  const bytes = await reader.take(length)
  if (bytes === undefined) throw new Error(`tar: the archive ends at byte ${reader.position}, in the middle of a file`)
  return bytes
}

/** A number field: octal text, or big-endian binary when the top bit is set. */
function number(header: Uint8Array, offset: number, length: number): number {
  if (header[offset] & 0x80) {
    return header.subarray(offset + 1, offset + length).reduce((value, byte) => value * 256 + byte, 0)
  }
  return Number.parseInt(string(header, offset, length).trim() || '0', 8)
}

/** A text field that ends at a NUL or at its length. */
function string(bytes: Uint8Array, offset: number, length: number): string {
  const field = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? length : end)
}

/** Whether the header's sum over its bytes, its own field taken as spaces, is the one it states. */
function checksumFits(header: Uint8Array): boolean {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]
  return sum === number(header, 148, 8)
}

/** The `length key=value\n` records of a pax extended header. */
function paxRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  for (let offset = 0; offset < data.length; ) {
    const length = Number.parseInt(data.toString('latin1', offset, offset + 10), 10)
    if (!(length > 0)) break
    const [, key, value] = /^\d+ ([^=]*)=(.*)\n$/s.exec(data.toString('utf8', offset, offset + length)) ?? []
    if (key !== undefined) records.set(key, value)
    offset += length
  }
  return records
}

/** Takes counted bytes out of a stream of chunks. */
class ByteReader {
  /** How many bytes were taken or skipped. */
  position = 0
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** The next `length` bytes; undefined when the stream ended before the first; throws when it ends among them. */
  async take(length: number): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = []
    let missing = length
    while (missing > 0) {
      const part = await this.#next(missing)
      if (part === undefined) {
        if (missing === length) return undefined
        throw new Error(`tar: the archive ends at byte ${this.position}, in the middle of an entry`)
      }
      parts.push(part)
      missing -= part.length
    }
    return parts.length === 1 ? parts[0] : new Uint8Array(Buffer.concat(parts))
  }

  /** Lets `length` bytes go by. */
  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0; ) {
      const part = await this.#next(missing)
      if (part === undefined) throw new Error(`tar: the archive ends at byte ${this.position}, in the middle of a file`)
      missing -= part.length
    }
  }

  /** One to `most` bytes, or undefined at the end. */
  async #next(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done) return undefined
      this.#rest = next.value
    }
    const part = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(part.length)
    this.position += part.length
    return part
  }
}
