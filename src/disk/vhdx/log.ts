/**
 * The log of VHDX images: changes of tables that a program had begun when it ended. They are made when the image is
 * opened; where it is read-only, they are shown as if they had been made.
 */
import type { ByteFile, FilePart } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import { crc32c } from './crc32c.ts'
import { guidAt, KIB, MIB, NO_LOG, u64At, type VhdxHeader } from './structures.ts'

const SECTOR = 4 * KIB
/** Most bytes of a log. */
const LOG_LIMIT = 256 * MIB
/** Most bytes that one descriptor sets to zeros. */
const ZEROES_LIMIT = 2 ** 40

/** Offsets of an entry's fields. */
const ENTRY = { checksum: 4, length: 8, tail: 12, sequence: 16, descriptors: 24, log: 32, flushed: 48, last: 56 }

/** An entry: what it changes. */
interface LogEntry {
  at: number
  length: number
  tail: number
  sequence: number
  flushedSize: number
  lastSize: number
  changes: LogChange[]
}

/** Bytes at an offset, or so many zeros. */
type LogChange = FilePart | { offset: number; zeroes: number }

/** The changes that are to be made, and how large the file has to be. */
export interface Replay {
  changes: LogChange[]
  size: number
}

/**
 * Finds what the log says is to be done; undefined where nothing is.
 * @throws DiskError `corrupt`
 */
export async function readLog(file: ByteFile, header: VhdxHeader): Promise<Replay | undefined> {
  if (header.logGuid === NO_LOG) return undefined
  const corrupt = (text: string) => new DiskError('corrupt', `vhdx image '${file.name}' is damaged: ${text}`)
  const { logOffset, logLength } = header
  if (logLength === 0 || logLength % MIB !== 0 || logLength > LOG_LIMIT || logOffset % MIB !== 0 || logOffset < MIB) {
    throw corrupt('its log is not where or what it can be')
  }
  if (logOffset + logLength > file.size) throw corrupt('its log lies outside of the file')
  const log = new Uint8Array(logLength)
  await file.read(logOffset, log)
  // Of all sequences of entries the one with the highest number holds; none uses the sectors of another one.
  let best: LogEntry[] = []
  for (let start = 0; start < logLength; ) {
    const entries: LogEntry[] = []
    let at = start
    let total = 0
    for (;;) {
      const entry = readEntry(log, at, header.logGuid)
      const before = entries.at(-1)
      if (!entry || (before && entry.sequence !== before.sequence + 1)) break
      total += entry.length
      if (total > logLength) break
      entries.push(entry)
      at = (at + entry.length) % logLength
    }
    const last = entries.at(-1)
    // The sequence has to contain everything from the last entry's tail on.
    const tail = last ? entries.findIndex(entry => entry.at === last.tail) : -1
    if (last && tail >= 0 && (best.length === 0 || last.sequence > best.at(-1)!.sequence)) best = entries.slice(tail)
    // What begins within this one is a part of it.
    start = entries.length > 0 && at > start ? at : start + SECTOR
  }
  const last = best.at(-1)
  if (!last) throw corrupt('it was not closed, and its log does not hold what is missing')
  if (file.size < last.flushedSize) throw corrupt(`it was cut: its log is for a file of ${last.flushedSize} bytes`)
  return { changes: best.flatMap(entry => entry.changes), size: last.lastSize }
}

/** The entry at a place of the log, or undefined where there is none. */
function readEntry(log: Uint8Array, at: number, guid: string): LogEntry | undefined {
  // The log is a ring.
  const piece = (from: number, length: number) => {
    const bytes = new Uint8Array(length)
    const first = Math.min(length, log.length - from)
    bytes.set(log.subarray(from, from + first))
    bytes.set(log.subarray(0, length - first), first)
    return bytes
  }
  const headView = new DataView(log.buffer, at, 64)
  if (headView.getUint32(0) !== 0x6c6f6765) return undefined
  const length = headView.getUint32(ENTRY.length, true)
  if (length === 0 || length % SECTOR !== 0 || length > log.length) return undefined
  const bytes = piece(at, length)
  if (guidAt(bytes, ENTRY.log) !== guid) return undefined
  const view = new DataView(bytes.buffer)
  if (view.getUint32(ENTRY.checksum, true) !== crc32c(bytes, ENTRY.checksum)) return undefined
  const count = view.getUint32(ENTRY.descriptors, true)
  const dataStart = Math.ceil((64 + count * 32) / SECTOR) * SECTOR
  if (dataStart > length) return undefined
  const sequence = u64At(view, ENTRY.sequence)
  const tail = view.getUint32(ENTRY.tail, true)
  const changes: LogChange[] = []
  let data = dataStart
  for (let i = 0; i < count; i++) {
    const d = 64 + i * 32
    if (u64At(view, d + 24) !== sequence) return undefined
    const offset = u64At(view, d + 16)
    if (offset % SECTOR !== 0) return undefined
    if (view.getUint32(d) === 0x7a65726f) {
      const zeroes = u64At(view, d + 8)
      if (zeroes % SECTOR !== 0 || zeroes > ZEROES_LIMIT || !Number.isSafeInteger(offset)) return undefined
      changes.push({ offset, zeroes })
      continue
    }
    if (view.getUint32(d) !== 0x64657363 || data + SECTOR > length) return undefined
    // A data sector's first and last bytes are in the descriptor; there the sector has its number.
    if (view.getUint32(data) !== 0x64617461) return undefined
    const number = view.getUint32(data + 4, true) * 2 ** 32 + view.getUint32(data + SECTOR - 4, true)
    if (number !== sequence) return undefined
    const sector = bytes.slice(data, data + SECTOR)
    sector.set(bytes.subarray(d + 8, d + 16), 0)
    sector.set(bytes.subarray(d + 4, d + 8), SECTOR - 4)
    changes.push({ offset, bytes: sector })
    data += SECTOR
  }
  return {
    at,
    length,
    tail,
    sequence,
    flushedSize: u64At(view, ENTRY.flushed),
    lastSize: u64At(view, ENTRY.last),
    changes,
  }
}

/** Makes the changes. */
export async function replayLog(file: ByteFile, replay: Replay): Promise<void> {
  for (const change of replay.changes) {
    if ('bytes' in change) await file.write(change.offset, change.bytes)
    else {
      const zeroes = new Uint8Array(Math.min(MIB, change.zeroes))
      for (let at = 0; at < change.zeroes; at += zeroes.length) {
        await file.write(change.offset + at, zeroes.subarray(0, change.zeroes - at))
      }
    }
  }
  if (file.size < replay.size && Number.isSafeInteger(replay.size)) await file.truncate(replay.size)
  await file.flush()
}

/** The file as it would be after the changes, for reading. */
export function replayedFile(file: ByteFile, replay: Replay): ByteFile {
  return {
    name: file.name,
    readOnly: true,
    get size() {
      return Math.max(file.size, Number.isSafeInteger(replay.size) ? replay.size : 0)
    },
    async read(offset, buffer) {
      await file.read(offset, buffer)
      for (const change of replay.changes) {
        const length = 'bytes' in change ? change.bytes.length : change.zeroes
        const from = Math.max(offset, change.offset)
        const to = Math.min(offset + buffer.length, change.offset + length)
        if (from >= to) continue
        if ('bytes' in change) {
          buffer.set(change.bytes.subarray(from - change.offset, to - change.offset), from - offset)
        } else buffer.fill(0, from - offset, to - offset)
      }
    },
    write: refuse,
    writeInOrder: refuse,
    truncate: refuse,
    punch: async () => false,
    flush: async () => {},
    allocated: () => file.allocated(),
    close: () => file.close(),
  }

  async function refuse(): Promise<never> {
    throw new DiskError('read-only', `file '${file.name}' is read-only`)
  }
}
