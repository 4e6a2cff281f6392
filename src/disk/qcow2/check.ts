/** Looks through a qcow2 image: counts what refers to each cluster, and compares with the refcounts. */
import { CheckReport } from '../check.ts'
import { DiskError } from '../disk.ts'
import type { Qcow2Disk } from './disk.ts'
import { INCOMPATIBLE, l2Entries } from './header.ts'
import { readSnapshots } from './snapshots.ts'

/** Counts that are kept together. */
const CHUNK = 65536

/** Counts of clusters; those that are not there are 0. */
class Counts {
  readonly #chunks = new Map<number, Uint32Array>()

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0
  }

  add(cluster: number, count: number): void {
    const index = Math.floor(cluster / CHUNK)
    let chunk = this.#chunks.get(index)
    if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint32Array(CHUNK)))
    chunk[cluster % CHUNK] += count
  }

  *entries(): Generator<[cluster: number, count: number], void> {
    for (const [index, chunk] of this.#chunks) {
      for (let i = 0; i < CHUNK; i++) if (chunk[i] !== 0) yield [index * CHUNK + i, chunk[i]]
    }
  }
}

/** A flag that says that a reference is the only one, where it is wrong. */
interface WrongFlag {
  /** Of the entry, in the file. */
  at: number
  isOnly: boolean
}

/** A reference to what lies behind the end of the file. */
export interface DanglingReference {
  /** Of the entry, in the file. */
  at: number
  /** In which table. */
  table: 'refcounts' | 'l1' | 'l2'
}

/**
 * Checks an image, of which nothing is being written.
 * @param repair what is to be set right; the caller has to flush. `counts`: refcounts and flags, and nothing at all where more is wrong than
 *   those. `all`: references to what lies behind the end of the file are dropped as well
 */
export async function checkQcow2(disk: Qcow2Disk, repair: 'none' | 'counts' | 'all'): Promise<CheckReport> {
  const { header, clusterSize } = disk
  if (header.hasBitmaps) {
    throw new DiskError('unsupported', `qcow2 image '${disk.name}' has persistent bitmaps, which are not supported`)
  }
  if (repair === 'all') await disk.fillLastCluster()
  const walk = new Walk(disk)
  await walk.all()
  const { report, counts, dangling } = walk
  const hasLosses = report.errors > 0
  const wrong = new Map<number, number>()
  const seen = new Counts()
  await disk.refcounts.forEach((cluster, count) => {
    seen.add(cluster, 1)
    const references = counts.get(cluster)
    if (references === count) return
    wrong.set(cluster, references)
    const text = `cluster ${cluster} has a refcount of ${count}, but ${references} references`
    if (count > references) report.leak(text)
    else report.error(text)
  })
  for (const [cluster, references] of counts.entries()) {
    if (seen.get(cluster) !== 0) continue
    wrong.set(cluster, references)
    report.error(`cluster ${cluster} has a refcount of 0, but ${references} references`)
  }
  const flags = await walk.wrongFlags()
  for (const { at } of flags) report.error(`the flag of an only reference is wrong in the entry at ${at}`)
  report.total = Math.ceil(disk.size / clusterSize)
  if (repair === 'none' || (repair === 'counts' && hasLosses)) return report
  await disk.repair({ counts: wrong, flags, dangling })
  report.repaired = wrong.size + flags.length + dangling.length
  return report
}

/** Goes through everything that refers to clusters. */
class Walk {
  readonly report = new CheckReport()
  readonly counts = new Counts()
  readonly dangling: DanglingReference[] = []
  readonly #disk: Qcow2Disk
  readonly #clusters: number
  readonly #entrySize: number
  /** How often each L2 table is referred to, and where the active one's entries are. */
  readonly #tables = new Map<number, number>()
  readonly #activeEntries: { at: number; cluster: number; isOnly: boolean }[] = []
  #l1Bytes = 0

  constructor(disk: Qcow2Disk) {
    this.#disk = disk
    this.#clusters = Math.ceil(disk.fileSize / disk.clusterSize)
    this.#entrySize = disk.clusterSize / l2Entries(disk.header)
  }

  async all(): Promise<void> {
    const { header, clusterSize } = this.#disk
    this.#range(0, clusterSize, 'the header')
    this.#range(header.refcountTableOffset, header.refcountTableClusters * clusterSize, 'the refcount table')
    const table = await this.#disk.readBytes(header.refcountTableOffset, header.refcountTableClusters * clusterSize)
    for (let at = 0; at < table.byteLength; at += 8) {
      const offset = table.getUint32(at) * 2 ** 32 + table.getUint32(at + 4)
      if (offset === 0) continue
      const entry: DanglingReference = { at: header.refcountTableOffset + at, table: 'refcounts' }
      this.#range(offset, clusterSize, 'a block of refcounts', { entry })
    }
    await this.#l1(header.l1TableOffset, header.l1Size, true)
    const { entries, length } = await readSnapshots(this.#disk.underlying, header)
    if (length > 0) this.#range(header.snapshotsOffset, length, 'the table of snapshots')
    for (const snapshot of entries) await this.#l1(snapshot.l1TableOffset, snapshot.l1Size, false)
    for (const [offset, times] of this.#tables) await this.#l2(offset, times)
  }

  async #l1(offset: number, size: number, isActive: boolean): Promise<void> {
    this.#l1Bytes += size * 8
    // Tables do not share clusters, so that all together are smaller than the file.
    if (this.#l1Bytes > this.#clusters * this.#disk.clusterSize) {
      throw new DiskError(
        'corrupt',
        `qcow2 image '${this.#disk.name}' is damaged: its L1 tables are larger than the file`,
      )
    }
    this.#range(offset, size * 8, 'an L1 table')
    const view = await this.#disk.readBytes(offset, size * 8)
    for (let at = 0; at < size * 8; at += 8) {
      const table = (view.getUint32(at) & 0x00ffffff) * 2 ** 32 + view.getUint32(at + 4)
      if (table === 0) continue
      const entry: DanglingReference = { at: offset + at, table: 'l1' }
      const cluster = this.#range(table, this.#disk.clusterSize, 'an L2 table', { entry })
      if (cluster === undefined) continue
      this.#tables.set(table, (this.#tables.get(table) ?? 0) + 1)
      if (isActive) this.#activeEntries.push({ at: offset + at, cluster, isOnly: view.getUint32(at) >>> 31 === 1 })
    }
  }

  async #l2(offset: number, times: number): Promise<void> {
    const { clusterSize } = this.#disk
    const view = await this.#disk.readBytes(offset, clusterSize)
    for (let at = 0; at < clusterSize; at += this.#entrySize) {
      const [high, low] = [view.getUint32(at), view.getUint32(at + 4)]
      if (high === 0 && low === 0) continue
      const range = this.#disk.rangeOf(high, low)
      if (range.length === 0) continue
      this.report.allocated++
      const entry: DanglingReference = { at: offset + at, table: 'l2' }
      this.#range(range.offset, range.length, 'a cluster', { entry, times, isPacked: range.isPacked })
      if (range.isPacked || range.offset >= this.#disk.fileSize || this.#disk.size % clusterSize !== 0) continue
      // Of a cluster with parts those behind the last that is there may be missing in the file; so may the end of the disk's last cluster.
      const parts = this.#entrySize === 16 ? 32 - Math.clz32(view.getUint32(at + 12)) : 1
      const length = this.#entrySize === 16 ? parts * this.#disk.partSize : clusterSize
      if (range.offset + length > this.#disk.fileSize) this.report.error(`a cluster at ${range.offset} was cut off`)
    }
  }

  /** The flags of the active tables that do not say what is so. */
  async wrongFlags(): Promise<WrongFlag[]> {
    const wrong: WrongFlag[] = []
    const { clusterSize } = this.#disk
    for (const { at, cluster, isOnly } of this.#activeEntries) {
      if (isOnly !== (this.counts.get(cluster) === 1)) wrong.push({ at, isOnly: !isOnly })
      const table = cluster * clusterSize
      const view = await this.#disk.readBytes(table, clusterSize)
      for (let entry = 0; entry < clusterSize; entry += this.#entrySize) {
        const [high, low] = [view.getUint32(entry), view.getUint32(entry + 4)]
        const range = this.#disk.rangeOf(high, low)
        if (range.length === 0 || this.#isOutside(range.offset, range.length)) continue
        const isOnly = high >>> 31 === 1
        const shouldBe = !range.isPacked && this.counts.get(Math.floor(range.offset / clusterSize)) === 1
        if (isOnly !== shouldBe) wrong.push({ at: table + entry, isOnly: shouldBe })
      }
    }
    return wrong
  }

  #isOutside(offset: number, length: number): boolean {
    return Math.floor((offset + length - 1) / this.#disk.clusterSize) >= this.#clusters
  }

  /**
   * Counts references to a range.
   * @param options the entry that refers to it, if that may be dropped; how often the entry is referred to
   * @returns its first cluster, or undefined when it cannot be
   */
  #range(
    offset: number,
    length: number,
    what: string,
    { entry, times = 1, isPacked = false }: { entry?: DanglingReference; times?: number; isPacked?: boolean } = {},
  ): number | undefined {
    const { clusterSize } = this.#disk
    const first = Math.floor(offset / clusterSize)
    const last = Math.floor((offset + length - 1) / clusterSize)
    if (this.#isOutside(offset, length)) {
      this.report.error(`${what} at ${offset} lies outside of the file`)
      if (entry) this.dangling.push(entry)
      return undefined
    }
    if (!isPacked && offset % clusterSize !== 0) {
      this.report.error(`${what} at ${offset} does not lie at the beginning of a cluster`)
      return undefined
    }
    for (let cluster = first; cluster <= last; cluster++) this.counts.add(cluster, times)
    return first
  }
}

/** Whether an image has to be checked, and its refcounts counted anew, before it is written. */
export function needsRepair(disk: Qcow2Disk): boolean {
  return (disk.header.incompatibleFeatures & INCOMPATIBLE.dirty) !== 0
}

/** Whether clusters may have been cut off with the end of the file: some behind it have refcounts, which a process that was killed leaves too. */
export const mayBeCut = (disk: Qcow2Disk): Promise<boolean> => disk.refcounts.reachBehindEnd()
