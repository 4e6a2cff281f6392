/** The table of an image's internal snapshots. */
import type { ByteFile } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import { type Header, L1_LIMIT, readU64, roundUp, writeU64 } from './header.ts'

/** Bytes of an entry without what has a length of its own. */
const FIXED = 40
/** Most bytes of the table, as the other implementations have it. */
const TABLE_LIMIT = 2 ** 26
const EXTRA_LIMIT = 1024

/** A snapshot as the table has it. */
export interface SnapshotEntry {
  l1TableOffset: number
  l1Size: number
  id: string
  name: string
  /** Seconds since 1970. */
  date: number
  nanoseconds: number
  /** Nanoseconds that the guest had run. */
  clock: number
  /** Bytes of the machine's state in it, 0 for a snapshot of the disk alone. */
  vmStateSize: number
  /** Bytes of the disk. */
  diskSize: number
  /** What is not known of it, kept as it is. */
  extra: Uint8Array
}

/** Reads the table. @returns the entries, and the table's bytes in the file */
export async function readSnapshots(
  file: ByteFile,
  header: Header,
): Promise<{ entries: SnapshotEntry[]; length: number }> {
  const entries: SnapshotEntry[] = []
  if (header.nbSnapshots === 0) return { entries, length: 0 }
  const what = `qcow2 image '${file.name}' is damaged:`
  const corrupt = (text: string) => new DiskError('corrupt', `${what} ${text}`)
  const most = Math.min(TABLE_LIMIT, file.size - header.snapshotsOffset)
  const bytes = new Uint8Array(Math.max(0, most))
  await file.read(header.snapshotsOffset, bytes)
  const view = new DataView(bytes.buffer)
  const text = new TextDecoder()
  let at = 0
  for (let i = 0; i < header.nbSnapshots; i++) {
    if (at + FIXED > bytes.length) throw corrupt('its table of snapshots is cut off')
    const [idLength, nameLength, extraLength] = [
      view.getUint16(at + 12),
      view.getUint16(at + 14),
      view.getUint32(at + 36),
    ]
    const end = at + FIXED + extraLength + idLength + nameLength
    if (extraLength > EXTRA_LIMIT || end > bytes.length) throw corrupt(`snapshot ${i + 1} is cut off`)
    const extra = bytes.slice(at + FIXED, at + FIXED + extraLength)
    const extraView = new DataView(extra.buffer)
    const idAt = at + FIXED + extraLength
    const entry: SnapshotEntry = {
      l1TableOffset: readU64(view, at, `${what} the place of the L1 table of snapshot ${i + 1}`),
      l1Size: view.getUint32(at + 8),
      id: text.decode(bytes.subarray(idAt, idAt + idLength)),
      name: text.decode(bytes.subarray(idAt + idLength, end)),
      date: view.getUint32(at + 16),
      nanoseconds: view.getUint32(at + 20),
      clock: view.getUint32(at + 24) * 2 ** 32 + view.getUint32(at + 28),
      vmStateSize:
        extraLength >= 8
          ? readU64(extraView, 0, `${what} the machine's state in snapshot ${i + 1}`)
          : view.getUint32(at + 32),
      diskSize: extraLength >= 16 ? readU64(extraView, 8, `${what} the size of snapshot ${i + 1}`) : header.size,
      extra,
    }
    if (entry.l1Size * 8 > L1_LIMIT || entry.l1TableOffset % header.clusterSize !== 0) {
      throw corrupt(`the L1 table of snapshot ${i + 1} is not where or what it can be`)
    }
    entries.push(entry)
    at = roundUp(end, 8)
  }
  return { entries, length: Math.min(at, bytes.length) }
}

/** The table's bytes. */
export function encodeSnapshots(entries: readonly SnapshotEntry[]): Uint8Array {
  const encoder = new TextEncoder()
  const parts = entries.map(entry => {
    const [id, name] = [encoder.encode(entry.id), encoder.encode(entry.name)]
    const extra = new Uint8Array(Math.max(16, entry.extra.length))
    extra.set(entry.extra)
    const extraView = new DataView(extra.buffer)
    writeU64(extraView, 0, entry.vmStateSize)
    writeU64(extraView, 8, entry.diskSize)
    const bytes = new Uint8Array(roundUp(FIXED + extra.length + id.length + name.length, 8))
    const view = new DataView(bytes.buffer)
    writeU64(view, 0, entry.l1TableOffset)
    view.setUint32(8, entry.l1Size)
    view.setUint16(12, id.length)
    view.setUint16(14, name.length)
    view.setUint32(16, entry.date)
    view.setUint32(20, entry.nanoseconds)
    writeU64(view, 24, entry.clock)
    view.setUint32(32, entry.vmStateSize > 0xffffffff ? 0 : entry.vmStateSize)
    view.setUint32(36, extra.length)
    bytes.set(extra, FIXED)
    bytes.set(id, FIXED + extra.length)
    bytes.set(name, FIXED + extra.length + id.length)
    return bytes
  })
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
