/**
 * What images have in common that map clusters by plain tables, without counting references: each cluster in the file
 * belongs to one entry, and is free when that entry refers to it no more.
 */

import type { ClusterDiskOptions } from './cluster.ts'
import { ClusterDisk } from './cluster-disk.ts'
import { FRESH, Metadata } from './metadata.ts'
import { type Extent, FreeSpace } from './space.ts'

/** The stage of tables that other tables refer to, and the one of these. */
export const STAGE = { table: 1, directory: 2 } as const

/** What {@link TableDisk} has to know besides. */
export interface TableDiskOptions extends ClusterDiskOptions {
  /** Bytes of the pages that tables are read and written by: no page holds both a table and data. */
  pageSize: number
  /** Bytes of the units that the file is allocated by; each cluster has a whole number of them. */
  unit: number
}

/** What lies where in a file, in bytes. */
export interface PlacesInUse {
  /** Where the clusters are. */
  offsets: Float64Array
  /** How many bytes each of them takes. */
  length: number
  /** Everything else. */
  tables: { offset: number; length: number }[]
}

/** A disk whose clusters are mapped by plain tables. */
export abstract class TableDisk extends ClusterDisk {
  readonly metadata: Metadata
  protected readonly unit: number
  #space: FreeSpace | undefined
  #preparing: Promise<void> | undefined
  #isReady = false
  #freed: Extent[] = []
  /** Bytes that the file has on the medium at least. */
  #durableSize = 0

  protected constructor(options: TableDiskOptions) {
    super(options)
    this.unit = options.unit
    this.metadata = new Metadata(options.file, { pageSize: options.pageSize })
  }

  /**
   * What lies where in the file.
   * @throws DiskError `corrupt`
   */
  protected abstract placesInUse(): Promise<PlacesInUse>
  /** What is to be done before the first change, when {@link space} is known. */
  protected async prepare(): Promise<void> {}
  /** What is to be on the medium, or to be written, before tables are. */
  protected async beforeCommit(): Promise<void> {}
  /** Where the file ends. */
  protected endOfFile(): number {
    return this.space.end * this.unit
  }

  /** Which units of the file are free. */
  protected get space(): FreeSpace {
    return this.#space!
  }

  /** Whether the image is ready to be written. */
  protected get isPrepared(): boolean {
    return this.#space !== undefined
  }

  override beforeWrite(): Promise<void> {
    return (this.#preparing ??= this.#prepare().catch(error => {
      this.#preparing = undefined
      throw error
    }))
  }

  async #prepare(): Promise<void> {
    this.#space = await this.findSpace()
    // What a process that was killed wrote behind the end belongs to nothing, and is not zeros.
    if (this.file.size > this.endOfFile()) await this.file.truncate(this.endOfFile())
    await this.prepare()
    this.#isReady = true
  }

  protected get isReady(): boolean {
    return this.#isReady
  }

  /** Before the first change all places are looked at: see {@link findSpace}. */
  protected override get end(): number {
    return this.#isReady ? Number.POSITIVE_INFINITY : this.file.size
  }

  /**
   * Finds what is free, checking that nothing lies on something else or outside of the file.
   * @throws DiskError `corrupt`
   */
  protected async findSpace(): Promise<FreeSpace> {
    const { offsets, length, tables } = await this.placesInUse()
    offsets.sort()
    tables.sort((a, b) => a.offset - b.offset)
    const { unit } = this
    const gaps: Extent[] = []
    let end = 0
    // The last cluster's part behind the disk's end need not be there.
    const behind = Math.ceil(this.size / this.clusterSize) * this.clusterSize - this.size
    const use = (offset: number, length: number, what: string, needed = 1) => {
      if (offset < end) throw this.corrupt(`${what} at ${offset} lies on something else`)
      if (offset + needed > this.file.size)
        throw this.corrupt(`${what} at ${offset} lies outside of the file, which may have been cut`)
      const [from, to] = [Math.ceil(end / unit), Math.floor(offset / unit)]
      if (to > from) gaps.push({ start: from, count: to - from, isZero: false })
      end = offset + length
    }
    let table = 0
    const useTables = (before: number) => {
      for (; table < tables.length && tables[table].offset <= before; table++) {
        use(tables[table].offset, tables[table].length, 'a table')
      }
    }
    for (const offset of offsets) {
      useTables(offset)
      use(offset, length, 'a cluster', Math.max(1, length - behind))
    }
    useTables(Number.POSITIVE_INFINITY)
    const space = new FreeSpace(Math.ceil(end / unit))
    for (const { start, count } of gaps) {
      // Of a gap only whole clusters are of use, those at its end.
      const whole = count - (count % (length / unit))
      if (whole > 0) space.release(start + count - whole, whole)
    }
    return space
  }

  /** Checks that nothing lies on something else, as {@link findSpace} does. @returns how many clusters have a place */
  async countPlaces(): Promise<number> {
    await this.findSpace()
    return (await this.placesInUse()).offsets.length
  }

  /** Notes that a piece of the file is free when the tables are on the medium. */
  protected free(offset: number, length: number): void {
    // What does not lie on units was made by others, and stays unused.
    if (offset % this.unit !== 0) return
    this.#freed.push({ start: offset / this.unit, count: length / this.unit, isZero: false })
  }

  protected isFull(): boolean {
    return this.metadata.isFull
  }

  protected async commit(needsBarrier: boolean): Promise<void> {
    const { file, metadata } = this
    if (!metadata.isChanged) return this.#flushFile()
    await this.beforeCommit()
    if (file.size < this.endOfFile()) await file.truncate(this.endOfFile())
    const fresh = metadata.parts(FRESH)
    await file.writeInOrder(fresh)
    metadata.written(FRESH)
    // Also zeros that are there only because the file reaches so far: an entry must not refer to what lies outside of it.
    if (needsBarrier || fresh.length > 0 || file.size > this.#durableSize) await this.#flushFile()
    await this.writeTables()
    await this.#flushFile()
    const freed = joined(this.#freed)
    this.#freed = []
    this.giveBack(freed, this.space, this.unit)
    await this.trimEnd()
  }

  async #flushFile(): Promise<void> {
    const { size } = this.file
    await this.file.flush()
    this.#durableSize = size
  }

  /** Cuts off what is free at the end of the file. */
  protected async trimEnd(): Promise<void> {
    await this.cut(this.space, this.unit)
    this.noteCut(this.file.size)
  }

  /** Notes that the file was cut to that size, which may reach the medium at any time. */
  protected noteCut(size: number): void {
    this.#durableSize = Math.min(this.#durableSize, size)
  }

  protected override async finish(): Promise<void> {
    if (this.isPrepared) await this.trimEnd()
  }

  /** Writes the tables, which refer to nothing that is not on the medium. */
  protected async writeTables(): Promise<void> {
    const stages = Object.values(STAGE)
    await this.file.writeInOrder(stages.flatMap(stage => this.metadata.parts(stage)))
    for (const stage of stages) this.metadata.written(stage)
  }
}

/** Extents, those that touch each other made one. */
function joined(extents: Extent[]): Extent[] {
  const all: Extent[] = []
  for (const extent of extents.sort((a, b) => a.start - b.start)) {
    const last = all.at(-1)
    if (last && last.start + last.count === extent.start) last.count += extent.count
    else all.push({ ...extent })
  }
  return all
}
