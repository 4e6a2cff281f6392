/**
 * What is done to a qcow2 image as a whole, while nobody uses it as a disk: internal snapshots and another size. Each ends
 * with everything on the medium. A process that is killed in between leaves an image that is marked dirty, and whose
 * refcounts the next opening counts anew.
 */
import { DiskError } from '../disk.ts'
import { checkQcow2 } from './check.ts'
import type { Qcow2Disk } from './disk.ts'
import { FIELD, L1_LIMIT, l2Entries, roundUp, writeU64 } from './header.ts'
import { STAGE } from './refcounts.ts'
import { encodeSnapshots, readSnapshots, type SnapshotEntry } from './snapshots.ts'

/** Flag of an entry: the only reference. In the upper half. */
const COPIED = 0x80000000

/** The snapshots of an image. */
export async function listQcow2Snapshots(disk: Qcow2Disk): Promise<SnapshotEntry[]> {
  return (await readSnapshots(disk.underlying, disk.header)).entries
}

/**
 * The snapshot with that name, or else with that number.
 * @throws DiskError `not-found`
 */
function find(disk: Qcow2Disk, entries: readonly SnapshotEntry[], name: string): SnapshotEntry {
  const found = entries.find(entry => entry.name === name) ?? entries.find(entry => entry.id === name)
  if (found) return found
  throw new DiskError('not-found', `image '${disk.name}' has no snapshot '${name}'`)
}

/**
 * Makes a snapshot of what the disk holds now.
 * @param date when, in milliseconds since 1970
 * @throws DiskError `exists` when there is one of that name
 */
export async function createQcow2Snapshot(disk: Qcow2Disk, name: string, date: number): Promise<void> {
  await disk.beforeWrite()
  const { entries, length } = await readSnapshots(disk.underlying, disk.header)
  if (entries.some(entry => entry.name === name)) {
    throw new DiskError(
      'exists',
      `image '${disk.name}' has a snapshot '${name}' already: delete it first, or take another name`,
    )
  }
  const { header } = disk
  const number = Math.max(0, ...entries.map(entry => Number(entry.id) || 0)) + 1
  await addReferences(disk, header.l1TableOffset, header.l1Size, true)
  const l1TableOffset = await copyL1(disk, header.l1Size)
  const entry: SnapshotEntry = {
    l1TableOffset,
    l1Size: header.l1Size,
    id: String(number),
    name,
    date: Math.floor(date / 1000),
    nanoseconds: (date % 1000) * 1e6,
    clock: 0,
    vmStateSize: 0,
    diskSize: disk.header.size,
    // The count of instructions, which others keep here, is not known.
    extra: new Uint8Array([...new Uint8Array(16), ...new Uint8Array(8).fill(0xff)]),
  }
  await writeTable(disk, [...entries, entry], length)
  await disk.flush()
}

/** Deletes a snapshot, giving back what nothing else refers to. @throws DiskError `not-found` */
export async function deleteQcow2Snapshot(disk: Qcow2Disk, name: string): Promise<void> {
  await disk.beforeWrite()
  const { entries, length } = await readSnapshots(disk.underlying, disk.header)
  const entry = find(disk, entries, name)
  await dropReferences(disk, entry.l1TableOffset, entry.l1Size)
  disk.refcounts.drop(entry.l1TableOffset / disk.clusterSize, Math.ceil((entry.l1Size * 8) / disk.clusterSize))
  await writeTable(
    disk,
    entries.filter(other => other !== entry),
    length,
  )
  await disk.flush()
  await settleFlags(disk)
}

/** Makes the disk what it was when the snapshot was made. The snapshot stays. @throws DiskError `not-found` */
export async function applyQcow2Snapshot(disk: Qcow2Disk, name: string): Promise<void> {
  await disk.beforeWrite()
  const { header, clusterSize, metadata } = disk
  const { entries } = await readSnapshots(disk.underlying, header)
  const entry = find(disk, entries, name)
  await addReferences(disk, entry.l1TableOffset, entry.l1Size, false)
  await dropReferences(disk, header.l1TableOffset, header.l1Size)
  const size = Math.max(entry.l1Size, Math.ceil(entry.diskSize / clusterSize / l2Entries(header)))
  if (size > header.l1Size) await growL1(disk, size)
  const table = await disk.readBytes(entry.l1TableOffset, entry.l1Size * 8)
  for (let i = 0; i < header.l1Size; i++) {
    await metadata.update(header.l1TableOffset + i * 8, STAGE.l1, (page, at) => {
      page.view.setUint32(at, i < entry.l1Size ? table.getUint32(i * 8) & ~COPIED : 0)
      page.view.setUint32(at + 4, i < entry.l1Size ? table.getUint32(i * 8 + 4) : 0)
    })
  }
  header.size = entry.diskSize
  await metadata.update(FIELD.size, STAGE.l1, (page, at) => writeU64(page.view, at, entry.diskSize))
  await disk.flush()
  await settleFlags(disk)
}

/**
 * Changes the disk's size. What is cut off is gone; what is new reads as zeros.
 * @param size in bytes, a multiple of 512
 * @throws DiskError `unsupported` when it is more than the image can have
 */
export async function resizeQcow2(disk: Qcow2Disk, size: number): Promise<void> {
  await disk.beforeWrite()
  const { header, clusterSize, metadata } = disk
  const old = header.size
  if (size < old) {
    const from = roundUp(size, clusterSize)
    // Snapshots keep what they have. The last cluster that stays may have more than the disk then has.
    await disk.discard(Math.min(from, old), Math.max(0, old - from))
    const rest = Math.min(from, old) - size
    if (rest > 0) await disk.writeZeroes(size, rest)
  }
  const l1Size = Math.ceil(size / clusterSize / l2Entries(header))
  if (l1Size > header.l1Size) await growL1(disk, l1Size)
  header.size = size
  await metadata.update(FIELD.size, STAGE.l1, (page, at) => writeU64(page.view, at, size))
  await disk.flush()
}

/** Hides what a larger backing disk has from `from` on: for after a disk was made larger, and opened again. */
export async function hideBacking(disk: Qcow2Disk, from: number): Promise<void> {
  const end = Math.min(disk.size, disk.backing?.size ?? 0)
  if (from < end) await disk.writeZeroes(from, Math.floor((end - from) / 512) * 512)
}

/** Counts one more reference to everything that an L1 table refers to, and says there that none is the only one. */
async function addReferences(disk: Qcow2Disk, l1: number, size: number, clearFlags: boolean): Promise<void> {
  const { metadata, refcounts, clusterSize } = disk
  for await (const { at, table, entries } of tablesOf(disk, l1, size)) {
    await refcounts.add(table / clusterSize)
    for (const { at: entry, first, count } of entries) {
      await refcounts.add(first, count)
      if (!clearFlags) continue
      await metadata.update(entry, STAGE.l2, (page, at) => page.view.setUint32(at, page.view.getUint32(at) & ~COPIED))
    }
    if (clearFlags) {
      await metadata.update(at, STAGE.l1, (page, at) => page.view.setUint32(at, page.view.getUint32(at) & ~COPIED))
    }
    if (metadata.isFull) await disk.flush()
  }
}

/** Notes that references of everything that an L1 table refers to are gone. */
async function dropReferences(disk: Qcow2Disk, l1: number, size: number): Promise<void> {
  for await (const { table, entries } of tablesOf(disk, l1, size)) {
    disk.refcounts.drop(table / disk.clusterSize)
    for (const { first, count } of entries) disk.refcounts.drop(first, count)
  }
}

/** The L2 tables of an L1 table, and the clusters that their entries refer to. */
async function* tablesOf(
  disk: Qcow2Disk,
  l1: number,
  size: number,
): AsyncGenerator<{ at: number; table: number; entries: { at: number; first: number; count: number }[] }, void> {
  const { clusterSize } = disk
  const entrySize = clusterSize / l2Entries(disk.header)
  const tables = await disk.readBytes(l1, size * 8)
  for (let i = 0; i < size; i++) {
    const table = (tables.getUint32(i * 8) & 0x00ffffff) * 2 ** 32 + tables.getUint32(i * 8 + 4)
    if (table === 0) continue
    if (table % clusterSize !== 0 || table >= disk.fileSize) {
      throw new DiskError('corrupt', `qcow2 image '${disk.name}' is damaged: a snapshot's L2 table is at ${table}`)
    }
    const view = await disk.readBytes(table, clusterSize)
    const entries: { at: number; first: number; count: number }[] = []
    for (let at = 0; at < clusterSize; at += entrySize) {
      const { offset, length } = disk.rangeOf(view.getUint32(at), view.getUint32(at + 4))
      if (length === 0) continue
      const first = Math.floor(offset / clusterSize)
      entries.push({ at: table + at, first, count: Math.floor((offset + length - 1) / clusterSize) - first + 1 })
    }
    yield { at: l1 + i * 8, table, entries }
  }
}

/** A copy of the active L1 table. @returns where it is */
async function copyL1(disk: Qcow2Disk, size: number): Promise<number> {
  const { metadata, header, clusterSize } = disk
  const offset = await disk.refcounts.makeTable(Math.max(1, Math.ceil((size * 8) / clusterSize)))
  for (let at = 0; at < header.l1Size * 8; at += metadata.pageSize) {
    const bytes = await metadata.look(header.l1TableOffset + at, page => page.bytes.slice())
    await metadata.update(offset + at, STAGE.l1, page => page.bytes.set(bytes))
  }
  return offset
}

async function growL1(disk: Qcow2Disk, size: number): Promise<void> {
  const { metadata, header, clusterSize } = disk
  if (size * 8 > L1_LIMIT) {
    throw new DiskError(
      'unsupported',
      `qcow2 image '${disk.name}' cannot become that large with clusters of ${clusterSize} bytes: convert it to one with larger ones`,
    )
  }
  const offset = await copyL1(disk, size)
  disk.refcounts.drop(header.l1TableOffset / clusterSize, Math.ceil((header.l1Size * 8) / clusterSize))
  header.l1TableOffset = offset
  header.l1Size = size
  await metadata.update(0, STAGE.l1, page => {
    writeU64(page.view, FIELD.l1TableOffset, offset)
    page.view.setUint32(FIELD.l1Size, size)
  })
}

/** Writes a new table of snapshots, and refers to it. */
async function writeTable(disk: Qcow2Disk, entries: readonly SnapshotEntry[], oldLength: number): Promise<void> {
  const { metadata, header, clusterSize } = disk
  const bytes = encodeSnapshots(entries)
  const old = header.snapshotsOffset
  header.snapshotsOffset = 0
  if (bytes.length > 0) {
    header.snapshotsOffset = await disk.refcounts.makeTable(Math.ceil(bytes.length / clusterSize))
    for (let at = 0; at < bytes.length; at += metadata.pageSize) {
      await metadata.update(header.snapshotsOffset + at, STAGE.l1, page =>
        page.bytes.set(bytes.subarray(at, at + metadata.pageSize)),
      )
    }
  }
  header.nbSnapshots = entries.length
  await metadata.update(0, STAGE.l1, page => {
    writeU64(page.view, FIELD.snapshotsOffset, header.snapshotsOffset)
    page.view.setUint32(FIELD.nbSnapshots, entries.length)
  })
  if (oldLength > 0) disk.refcounts.drop(old / clusterSize, Math.ceil(oldLength / clusterSize))
}

/** Sets the flags of references that have become, or are not any more, the only ones. */
async function settleFlags(disk: Qcow2Disk): Promise<void> {
  await checkQcow2(disk, 'counts')
  await disk.flush()
}
