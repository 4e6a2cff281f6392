/** qcow2's refcounts: how often each cluster of the file is referred to, and which clusters so are free. */
import type { ByteFile, FilePart } from '../byte-file.ts'
import { DiskError } from '../disk.ts'
import { FRESH, type Metadata } from '../metadata.ts'
import { type Extent, FreeSpace, inRows } from '../space.ts'
import { FIELD, type Header, readU64, roundUp, writeU64 } from './header.ts'

/** When pages are written: what is referred to before what refers to it. */
export const STAGE = { refcounts: 1, refcountTable: 2, l2: 3, l1: 4 } as const

/** A refcount table larger than this cannot be read by others. */
const TABLE_LIMIT = 2 ** 23
/** Bytes of refcounts that are read at once. */
const SCAN = 2 ** 20

/** The refcounts of an image that is written. */
export class Refcounts {
  readonly #file: ByteFile
  readonly #metadata: Metadata
  readonly #header: Header
  readonly #clusterSize: number
  /** Refcounts of a block. */
  readonly #perBlock: number
  readonly #most: number
  #space: FreeSpace | undefined
  /** Clusters of tables: no data may be there. */
  readonly tables = new Set<number>()
  /** References that are gone in the tables in memory, but not on the medium: cluster to how many. */
  #dropped = new Map<number, number>()

  constructor(file: ByteFile, metadata: Metadata, header: Header) {
    this.#file = file
    this.#metadata = metadata
    this.#header = header
    this.#clusterSize = header.clusterSize
    this.#perBlock = (header.clusterSize * 8) / header.refcountBits
    this.#most = header.refcountBits >= 53 ? Number.MAX_SAFE_INTEGER : 2 ** header.refcountBits - 1
  }

  /** Which clusters are free; {@link scan} has to come before. */
  get space(): FreeSpace {
    return this.#space!
  }

  /** Whether references wait to be dropped. */
  get hasDropped(): boolean {
    return this.#dropped.size > 0
  }

  /**
   * Notes where the refcount blocks are.
   * @throws DiskError `corrupt` where one lies outside of the file, on another or on another table
   */
  async readTable(claim: (offset: number, what: string) => void): Promise<void> {
    const { refcountTableOffset, refcountTableClusters } = this.#header
    const table = new Uint8Array(refcountTableClusters * this.#clusterSize)
    await this.#file.read(refcountTableOffset, table)
    const view = new DataView(table.buffer)
    for (let at = 0; at < table.length; at += 8) {
      const offset = this.#blockOffset(view, at)
      if (offset !== 0) claim(offset, 'a block of refcounts')
    }
  }

  /** Takes every cluster of the file for used. */
  assumeFull(): void {
    this.#space = new FreeSpace(Math.ceil(this.#file.size / this.#clusterSize))
  }

  /** Finds all free clusters, and cuts off what lies behind the last one in use: a process that was killed left it. */
  async scan(): Promise<void> {
    const clusters = Math.ceil(this.#file.size / this.#clusterSize)
    const space = new FreeSpace(clusters)
    const table = new Uint8Array(this.#header.refcountTableClusters * this.#clusterSize)
    await this.#file.read(this.#header.refcountTableOffset, table)
    const view = new DataView(table.buffer)
    const block = new Uint8Array(this.#clusterSize)
    const blockView = new DataView(block.buffer)
    let gap = 0
    for (let first = 0; first < clusters; first += this.#perBlock) {
      const at = (first / this.#perBlock) * 8
      const offset = at < table.length ? this.#blockOffset(view, at) : 0
      const count = Math.min(this.#perBlock, clusters - first)
      if (offset === 0) {
        gap += count
        continue
      }
      await this.#file.read(offset, block)
      for (let i = 0; i < count; i++) {
        if (this.#decode(blockView, i) === 0) gap++
        else if (gap > 0) {
          space.release(first + i - gap, gap)
          gap = 0
        }
      }
    }
    if (gap > 0) space.release(clusters - gap, gap)
    await this.#file.truncate(space.end * this.#clusterSize)
    space.wasCut()
    this.#space = space
  }

  /** All refcounts of the file, for those who look at each: calls `each` for every one that is not 0. */
  async forEach(each: (cluster: number, count: number) => void): Promise<void> {
    const { refcountTableOffset, refcountTableClusters } = this.#header
    const entries = (refcountTableClusters * this.#clusterSize) / 8
    const block = new Uint8Array(this.#clusterSize)
    const view = new DataView(block.buffer)
    for (let index = 0; index < entries; ) {
      const table = new Uint8Array(Math.min(SCAN, (entries - index) * 8))
      await this.#file.read(refcountTableOffset + index * 8, table)
      const tableView = new DataView(table.buffer)
      for (let at = 0; at < table.length; at += 8, index++) {
        const offset = this.#blockOffset(tableView, at)
        if (offset === 0 || offset >= this.#file.size) continue
        await this.#file.read(offset, block)
        for (let i = 0; i < this.#perBlock; i++) {
          const count = this.#decode(view, i)
          if (count !== 0) each(index * this.#perBlock + i, count)
        }
      }
    }
  }

  /** Whether clusters behind the end of the file have refcounts, or may have, because those are behind it themselves. */
  async reachBehindEnd(): Promise<boolean> {
    const clusters = Math.ceil(this.#file.size / this.#clusterSize)
    const first = Math.floor(clusters / this.#perBlock)
    const { refcountTableOffset, refcountTableClusters } = this.#header
    const entries = (refcountTableClusters * this.#clusterSize) / 8
    const block = new Uint8Array(this.#clusterSize)
    const view = new DataView(block.buffer)
    for (let index = first; index < entries; ) {
      const table = new Uint8Array(Math.min(SCAN, (entries - index) * 8))
      await this.#file.read(refcountTableOffset + index * 8, table)
      const tableView = new DataView(table.buffer)
      for (let at = 0; at < table.length; at += 8, index++) {
        const offset = this.#blockOffset(tableView, at)
        if (offset === 0) continue
        if (offset + this.#clusterSize > this.#file.size) return true
        await this.#file.read(offset, block)
        for (let i = index === first ? clusters % this.#perBlock : 0; i < this.#perBlock; i++)
          if (this.#decode(view, i) !== 0) return true
      }
    }
    return false
  }

  /** The refcount of a cluster. */
  async get(cluster: number): Promise<number> {
    const block = await this.#block(Math.floor(cluster / this.#perBlock))
    const index = cluster % this.#perBlock
    if (block === 0) return 0
    return this.#metadata.look(block + this.#byteOf(index), page => this.#decode(page.view, index % this.#perPage))
  }

  /** Sets a refcount to any value, for repairs. */
  async set(cluster: number, count: number): Promise<void> {
    if (count > this.#most) throw this.#tooMany(cluster)
    const index = cluster % this.#perBlock
    const block = await this.#makeBlock(Math.floor(cluster / this.#perBlock))
    await this.#metadata.update(block + this.#byteOf(index), STAGE.refcounts, page =>
      this.#encode(page.view, index % this.#perPage, count),
    )
  }

  /** Counts one more reference to each of `count` clusters. */
  async add(cluster: number, count = 1): Promise<void> {
    for (let i = cluster; i < cluster + count; i++) {
      const old = await this.get(i)
      if (old >= this.#most) throw this.#tooMany(i)
      await this.set(i, old + 1)
    }
  }

  /** Notes that a reference to each of `count` clusters is gone: when that is on the medium, they are counted less. */
  drop(cluster: number, count = 1): void {
    for (let i = cluster; i < cluster + count; i++) this.#dropped.set(i, (this.#dropped.get(i) ?? 0) + 1)
  }

  /** What the refcount of a cluster will be. */
  async coming(cluster: number): Promise<number> {
    return (await this.get(cluster)) - (this.#dropped.get(cluster) ?? 0)
  }

  /** Takes clusters in a row for a table, of zeros at first. */
  async makeTable(clusters: number): Promise<number> {
    const { start } = this.space.takeExactly(clusters)
    this.#claim(start, clusters)
    await this.add(start, clusters)
    return start * this.#clusterSize
  }

  #claim(start: number, clusters: number): void {
    for (let i = start; i < start + clusters; i++) this.tables.add(i)
    this.#metadata.fresh(start * this.#clusterSize, clusters * this.#clusterSize)
  }

  /** Notes that nothing refers to a table any more. */
  dropTable(offset: number, clusters: number): void {
    this.drop(offset / this.#clusterSize, clusters)
  }

  /**
   * Counts the references that were dropped, in memory.
   * @returns what is to be written after everything that referred to them; how to take it back where that failed; and
   *   what became free, for when it is on the medium
   */
  async applyDropped(): Promise<{ parts: FilePart[]; undo(): Promise<void>; done(): Extent[] }> {
    const dropped = this.#dropped
    const freed: number[] = []
    this.#dropped = new Map()
    for (const [cluster, times] of dropped) {
      const count = await this.get(cluster)
      if (count < times) {
        throw new DiskError(
          'corrupt',
          `the refcount of cluster ${cluster} of '${this.#file.name}' is too small: check it`,
        )
      }
      await this.set(cluster, count - times)
      if (count === times) freed.push(cluster)
    }
    return {
      parts: dropped.size > 0 ? this.#metadata.parts(STAGE.refcounts) : [],
      undo: async () => {
        for (const [cluster, times] of dropped) {
          await this.set(cluster, (await this.get(cluster)) + times)
          this.#dropped.set(cluster, (this.#dropped.get(cluster) ?? 0) + times)
        }
      },
      done: () => {
        for (const cluster of freed) {
          if (this.tables.delete(cluster)) this.#metadata.forget(cluster * this.#clusterSize, this.#clusterSize)
        }
        return inRows(freed)
      },
    }
  }

  /** Where the block with that index is; 0 where there is none. */
  async #block(index: number): Promise<number> {
    const { refcountTableOffset, refcountTableClusters } = this.#header
    if (index * 8 >= refcountTableClusters * this.#clusterSize) return 0
    return this.#metadata.look(refcountTableOffset + index * 8, (page, at) => this.#blockOffset(page.view, at))
  }

  async #makeBlock(index: number): Promise<number> {
    const there = await this.#block(index)
    if (there !== 0) return there
    if (index * 8 >= this.#header.refcountTableClusters * this.#clusterSize) await this.#growTable(index + 1)
    const again = await this.#block(index)
    if (again !== 0) return again
    const { start } = this.space.takeExactly(1)
    this.#claim(start, 1)
    const offset = start * this.#clusterSize
    await this.#metadata.update(this.#header.refcountTableOffset + index * 8, STAGE.refcountTable, (page, at) =>
      writeU64(page.view, at, offset),
    )
    await this.add(start)
    return offset
  }

  /** Moves the refcount table to where it has room for `entries`, and more. */
  async #growTable(entries: number): Promise<void> {
    const { refcountTableOffset: old, refcountTableClusters: oldClusters } = this.#header
    const clusters = roundUp(Math.ceil(entries * 1.5) * 8, this.#clusterSize) / this.#clusterSize
    if (clusters * this.#clusterSize > Math.max(TABLE_LIMIT, this.#clusterSize)) {
      throw new DiskError('no-space', `qcow2 image '${this.#file.name}' cannot grow: its refcount table is full`)
    }
    const { start } = this.space.takeExactly(clusters)
    this.#claim(start, clusters)
    const offset = start * this.#clusterSize
    for (let at = 0; at < oldClusters * this.#clusterSize; at += this.#metadata.pageSize) {
      const bytes = await this.#metadata.look(old + at, page => page.bytes.slice())
      await this.#metadata.update(offset + at, FRESH, page => page.bytes.set(bytes))
    }
    this.#header.refcountTableOffset = offset
    this.#header.refcountTableClusters = clusters
    await this.#metadata.update(0, STAGE.refcountTable, page => {
      writeU64(page.view, FIELD.refcountTableOffset, offset)
      page.view.setUint32(FIELD.refcountTableClusters, clusters)
    })
    this.drop(old / this.#clusterSize, oldClusters)
    await this.add(start, clusters)
  }

  #blockOffset(view: DataView, at: number): number {
    const offset = readU64(view, at, `a block of refcounts of qcow2 image '${this.#file.name}' lies where it cannot:`)
    if (offset % this.#clusterSize === 0) return offset
    throw new DiskError(
      'corrupt',
      `qcow2 image '${this.#file.name}' is damaged: a block of refcounts is at ${offset}, which is no cluster's beginning`,
    )
  }

  get #perPage(): number {
    return (this.#metadata.pageSize * 8) / this.#header.refcountBits
  }

  /** Where in its block the refcount with that index is. */
  #byteOf(index: number): number {
    return Math.floor((index * this.#header.refcountBits) / 8)
  }

  #decode(view: DataView, index: number): number {
    switch (this.#header.refcountBits) {
      case 8:
        return view.getUint8(index)
      case 16:
        return view.getUint16(index * 2)
      case 32:
        return view.getUint32(index * 4)
      case 64:
        return Math.min(Number.MAX_SAFE_INTEGER, view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4))
      default: {
        // Of several in a byte the first has the lowest bits.
        const bits = this.#header.refcountBits
        const shift = (index * bits) % 8
        return (view.getUint8(Math.floor((index * bits) / 8)) >> shift) & (2 ** bits - 1)
      }
    }
  }

  #encode(view: DataView, index: number, count: number): void {
    const bits = this.#header.refcountBits
    if (bits === 8) view.setUint8(index, count)
    else if (bits === 16) view.setUint16(index * 2, count)
    else if (bits === 32) view.setUint32(index * 4, count)
    else if (bits === 64) writeU64(view, index * 8, count)
    else {
      const shift = (index * bits) % 8
      const at = Math.floor((index * bits) / 8)
      view.setUint8(at, (view.getUint8(at) & ~((2 ** bits - 1) << shift)) | (count << shift))
    }
  }

  #tooMany(cluster: number): DiskError {
    return new DiskError(
      'unsupported',
      `cluster ${cluster} of qcow2 image '${this.#file.name}' has as many references as refcounts of ${this.#header.refcountBits} bits can say`,
    )
  }
}
