/** qcow2 images, versions 2 and 3. */
import type { ByteFile } from '../byte-file.ts'
import type { Location, PartState, Place } from '../cluster.ts'
import { ClusterDisk } from '../cluster-disk.ts'
import type { Compression } from '../compression.ts'
import { type Disk, DiskError } from '../disk.ts'
import { FRESH, Metadata } from '../metadata.ts'
import { FIELD, type Header, INCOMPATIBLE, l2Entries, writeU64 } from './header.ts'
import { Refcounts, STAGE } from './refcounts.ts'

/** Flags in the upper half of an entry. */
const COPIED = 0x80000000
const COMPRESSED = 0x40000000
/** Flag in the lower half of an entry of an L2 table. */
const ZERO = 1
/** Subclusters of a cluster, where there are any. */
const SUBCLUSTERS = 32

/** What is needed to open an image. */
export interface Qcow2Parts {
  file: ByteFile
  header: Header
  backing?: Disk
  compression: Compression
}

/** What {@link Qcow2Disk.repair} is to set right. */
export interface Qcow2Repairs {
  /** What the refcounts of clusters have to be. */
  counts: ReadonlyMap<number, number>
  /** Places of entries, and whether each is the only reference. */
  flags: readonly { at: number; isOnly: boolean }[]
  /** Entries that lead out of the file, which are to refer to nothing. */
  dangling: readonly { at: number; table: 'refcounts' | 'l1' | 'l2' }[]
}

/** An open image. */
export class Qcow2Disk extends ClusterDisk {
  readonly header: Header
  readonly metadata: Metadata
  readonly refcounts: Refcounts
  readonly #compression: Compression
  readonly #perTable: number
  readonly #entrySize: number
  #prepared: Promise<void> | undefined
  /** Whether {@link #prepared} is settled well. */
  #isReady = false
  /** Whether a change of the tables was left half done: then refcounts have to be counted anew at the next opening. */
  #isTorn = false
  #isMarkedDirty: boolean
  /** Where the next compressed cluster goes, and the end of what was taken for that. */
  #packedAt = 0
  #packedEnd = 0
  /** Bytes that the file has on the medium at least. */
  #durableSize = 0

  constructor({ file, header, backing, compression }: Qcow2Parts) {
    const isExtended = (header.incompatibleFeatures & INCOMPATIBLE.extendedL2) !== 0
    super({
      file,
      size: header.size,
      clusterSize: header.clusterSize,
      partSize: isExtended ? header.clusterSize / SUBCLUSTERS : undefined,
      backing,
      canZero: header.version === 3,
    })
    this.header = header
    this.metadata = new Metadata(file, { pageSize: Math.min(4096, header.clusterSize) })
    this.refcounts = new Refcounts(file, this.metadata, header)
    this.#compression = compression
    this.#perTable = l2Entries(header)
    this.#entrySize = isExtended ? 16 : 8
    this.#isMarkedDirty = (header.incompatibleFeatures & INCOMPATIBLE.dirty) !== 0
  }

  protected corrupt(text: string): DiskError {
    return new DiskError('corrupt', `qcow2 image '${this.name}' is damaged: ${text}`)
  }

  /** Where the entry of a cluster in the L1 table is. */
  #l1Entry(cluster: number): number {
    return this.header.l1TableOffset + Math.floor(cluster / this.#perTable) * 8
  }

  protected locate(cluster: number): Location | Promise<Location> {
    const l1 = this.#l1Entry(cluster)
    const l1Page = this.metadata.peek(l1)
    if (l1Page === undefined) return this.metadata.look(l1, () => {}).then(() => this.locate(cluster))
    const table = this.#tableOffset(l1Page.view, l1 - l1Page.offset)
    if (table === 0) return { kind: 'absent' }
    if (table + this.clusterSize > this.end)
      throw this.corrupt(`an L2 table at ${table} lies outside of the file, which may have been cut`)
    const entry = table + (cluster % this.#perTable) * this.#entrySize
    const page = this.metadata.peek(entry)
    if (page === undefined) return this.metadata.look(entry, () => {}).then(() => this.locate(cluster))
    const isShared = (l1Page.view.getUint32(l1 - l1Page.offset) & COPIED) === 0
    return this.#decode(page.view, entry - page.offset, cluster, isShared)
  }

  protected override async nextPresent(cluster: number): Promise<number> {
    let index = Math.floor(cluster / this.#perTable)
    for (; index < this.header.l1Size; index++) {
      const offset = await this.metadata.look(this.header.l1TableOffset + index * 8, (page, at) =>
        this.#tableOffset(page.view, at),
      )
      if (offset !== 0) break
    }
    return Math.max(cluster, index * this.#perTable)
  }

  /** The place of the L2 table that an entry of an L1 table says. */
  #tableOffset(view: DataView, at: number): number {
    const offset = (view.getUint32(at) & 0x00ffffff) * 2 ** 32 + view.getUint32(at + 4)
    if (offset % this.clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER) {
      throw this.corrupt(`an L2 table is at ${offset}, which is no cluster's beginning`)
    }
    return offset
  }

  #decode(view: DataView, at: number, cluster: number, isShared: boolean): Location {
    const [high, low] = [view.getUint32(at), view.getUint32(at + 4)]
    if (high & COMPRESSED) return { kind: 'packed', unpack: () => this.#unpack(high, low) }
    const isExtended = this.#entrySize === 16
    const offset = (high & 0x00ffffff) * 2 ** 32 + ((low & ~511) >>> 0)
    if (offset % this.clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER) {
      throw this.corrupt(`cluster ${cluster} is at ${offset}, which is no cluster's beginning`)
    }
    if (isExtended) {
      const [zeros, present] = [view.getUint32(at + 8), view.getUint32(at + 12)]
      if (offset === 0 && zeros === 0xffffffff) return { kind: 'zero' }
      if (offset === 0 && zeros === 0) return { kind: 'absent' }
      const state = (part: number): PartState =>
        (zeros >>> part) & 1 ? 'zero' : (present >>> part) & 1 ? 'data' : 'absent'
      if (offset === 0 && present !== 0) throw this.corrupt(`cluster ${cluster} has subclusters but no place`)
      // A cluster of which parts are zeros has no place, and is not its own: it gets one when it is written.
      const isOwn = offset !== 0 && !isShared && this.#isOwn(high, offset, cluster)
      const isWhole = zeros === 0 && present === 0xffffffff
      return { kind: 'data', offset, isOwn, state: isWhole ? undefined : state }
    }
    if (low & ZERO && this.header.version === 3) return { kind: 'zero' }
    if (offset === 0) return { kind: 'absent' }
    return { kind: 'data', offset, isOwn: !isShared && this.#isOwn(high, offset, cluster) }
  }

  /** Whether a cluster may be overwritten, which is checked: an image that lies must not have its tables overwritten. */
  #isOwn(high: number, offset: number, cluster: number): boolean {
    if ((high & COPIED) === 0 || !this.#isReady) return false
    const index = offset / this.clusterSize
    if (this.refcounts.tables.has(index)) throw this.corrupt(`cluster ${cluster} lies on a table`)
    if (index >= this.refcounts.space.end) throw this.corrupt(`cluster ${cluster} lies outside of the file`)
    return true
  }

  /** Where a compressed cluster is: first byte, and how many up to the end of its last sector. */
  #packedRange(high: number, low: number): { offset: number; length: number } {
    // Offset, then the number of further sectors, in the 62 bits below the flags.
    const offsetBits = 62 - (Math.log2(this.clusterSize) - 8)
    const value = (BigInt(high & 0x3fffffff) << 32n) | BigInt(low >>> 0)
    const offset = Number(value & ((1n << BigInt(offsetBits)) - 1n))
    const sectors = Number(value >> BigInt(offsetBits)) + 1
    if (!Number.isSafeInteger(offset)) throw this.corrupt(`a compressed cluster is at ${offset}`)
    return { offset, length: sectors * 512 - (offset % 512) }
  }

  async #unpack(high: number, low: number): Promise<Uint8Array> {
    const { offset, length } = this.#packedRange(high, low)
    if (offset >= this.file.size) throw this.corrupt(`a compressed cluster lies outside of the file`)
    const bytes = new Uint8Array(Math.min(length, this.file.size - offset))
    await this.file.read(offset, bytes)
    const isZstd = this.header.compressionType === 'zstd'
    const unpack = isZstd ? this.#compression.unzstd : this.#compression.inflateRaw
    if (unpack === undefined) {
      throw new DiskError('unsupported', `qcow2 image '${this.name}' is compressed by zstd, which this host lacks`)
    }
    let unpacked: Uint8Array
    try {
      unpacked = await unpack(bytes, this.clusterSize)
    } catch (error) {
      throw this.corrupt(`a compressed cluster at ${offset} cannot be uncompressed (${(error as Error).message})`)
    }
    if (unpacked.length === this.clusterSize) return unpacked
    throw this.corrupt(`a compressed cluster at ${offset} has ${unpacked.length} bytes`)
  }

  override beforeWrite(): Promise<void> {
    return (this.#prepared ??= this.#prepare().catch(error => {
      this.#prepared = undefined
      throw error
    }))
  }

  /** Makes the image ready for changes: finds its tables and its free clusters. */
  async #prepare(): Promise<void> {
    const { header, clusterSize, refcounts } = this
    if (header.incompatibleFeatures & INCOMPATIBLE.corrupt) {
      throw this.corrupt("it is marked so: 'typetwo disk check --repair' repairs it")
    }
    const { tables } = refcounts
    const claim = (offset: number, what: string, clusters = 1) => {
      for (let i = 0; i < clusters; i++) {
        const index = offset / clusterSize + i
        if (index * clusterSize >= this.file.size) throw this.corrupt(`${what} lies outside of the file`)
        if (tables.has(index)) throw this.corrupt(`${what} lies on another table`)
        tables.add(index)
      }
    }
    tables.clear()
    claim(0, 'the header')
    claim(header.refcountTableOffset, 'the refcount table', header.refcountTableClusters)
    claim(header.l1TableOffset, 'the L1 table', Math.ceil((header.l1Size * 8) / clusterSize))
    await refcounts.readTable(claim)
    const l1 = new Uint8Array(header.l1Size * 8)
    await this.file.read(header.l1TableOffset, l1)
    const view = new DataView(l1.buffer)
    for (let at = 0; at < l1.length; at += 8) {
      const offset = this.#tableOffset(view, at)
      if (offset === 0) continue
      claim(offset, 'an L2 table')
      if (offset + clusterSize > this.file.size) throw this.corrupt(`an L2 table at ${offset} was cut off`)
    }
    await refcounts.scan()
    this.#isReady = true
    if (header.autoclearFeatures !== 0) {
      header.autoclearFeatures = 0
      await this.metadata.update(0, STAGE.l1, page =>
        page.bytes.fill(0, FIELD.autoclearFeatures, FIELD.autoclearFeatures + 8),
      )
    }
  }

  protected get isReady(): boolean {
    return this.#isReady
  }

  protected override get end(): number {
    const { file, clusterSize, refcounts } = this
    return this.#isReady ? Math.max(file.size, refcounts.space.end * clusterSize) : file.size
  }

  protected allocate(count: number): Place {
    const extent = this.refcounts.space.take(count)
    return { offset: extent.start * this.clusterSize, count: extent.count, isZero: extent.isZero }
  }

  protected unallocate(place: Place): void {
    this.refcounts.space.release(place.offset / this.clusterSize, place.count)
  }

  protected async link(cluster: number, count: number, offset: number, from: number, to: number): Promise<void> {
    // What can fail comes first: tables that have to be read or made.
    for (let i = 0; i < count; i++) await this.#setEntry(cluster + i, () => {})
    await this.#whole(async () => {
      await this.refcounts.add(offset / this.clusterSize, count)
      for (let i = 0; i < count; i++) {
        const start = i * this.clusterSize
        await this.#setEntry(cluster + i, (view, at) => {
          this.#drop(view, at)
          if (this.#entrySize === 16) {
            this.#setParts(view, at, Math.max(0, from - start), Math.min(this.clusterSize, to - start))
          }
          writeU64(view, at, offset + start)
          view.setUint32(at, view.getUint32(at) | COPIED)
        })
      }
    })
  }

  /** Runs what changes several tables. */
  async #whole(change: () => Promise<void>): Promise<void> {
    try {
      await change()
    } catch (error) {
      this.#isTorn = true
      throw error
    }
  }

  protected override async addParts(cluster: number, from: number, to: number): Promise<void> {
    await this.#setEntry(cluster, (view, at) => this.#setParts(view, at, from, to))
  }

  protected async unlink(cluster: number, to: 'absent' | 'zero'): Promise<void> {
    await this.#setEntry(cluster, (view, at) => {
      this.#drop(view, at)
      writeU64(view, at, to === 'zero' && this.#entrySize === 8 ? ZERO : 0)
      if (this.#entrySize === 16) {
        view.setUint32(at + 8, to === 'zero' ? 0xffffffff : 0)
        view.setUint32(at + 12, 0)
      }
    })
  }

  /** Notes in an extended entry which bytes of the cluster are data now. */
  #setParts(view: DataView, at: number, from: number, to: number): void {
    const [first, last] = [from / this.partSize, to / this.partSize]
    let mask = 0
    for (let part = first; part < last; part++) mask |= 1 << part
    // An entry that had no place has nothing to keep.
    const hadPlace = view.getUint32(at) !== 0 || view.getUint32(at + 4) !== 0
    const isPacked = (view.getUint32(at) & COMPRESSED) !== 0
    const [zeros, present] = hadPlace && !isPacked ? [view.getUint32(at + 8), view.getUint32(at + 12)] : [0, 0]
    view.setUint32(at + 8, (zeros & ~mask) >>> 0)
    view.setUint32(at + 12, (present | mask) >>> 0)
  }

  /** Notes that what an entry refers to is referred to once less. */
  #drop(view: DataView, at: number): void {
    const [high, low] = [view.getUint32(at), view.getUint32(at + 4)]
    if (high & COMPRESSED) {
      // The cluster may become free: nothing more is to be packed into its rest.
      this.#packedAt = this.#packedEnd = 0
      const { offset, length } = this.#packedRange(high, low)
      const first = Math.floor(offset / this.clusterSize)
      this.refcounts.drop(first, Math.floor((offset + length - 1) / this.clusterSize) - first + 1)
      return
    }
    const offset = (high & 0x00ffffff) * 2 ** 32 + ((low & ~511) >>> 0)
    if (offset !== 0) this.refcounts.drop(offset / this.clusterSize)
  }

  /** Changes a cluster's entry, in an L2 table that is made or copied if need be. */
  async #setEntry(cluster: number, change: (view: DataView, at: number) => void): Promise<void> {
    const l1 = this.#l1Entry(cluster)
    const [offset, isOwn] = await this.metadata.look(l1, (page, at) => [
      this.#tableOffset(page.view, at),
      (page.view.getUint32(at) & COPIED) !== 0,
    ])
    const table = offset !== 0 && isOwn ? offset : await this.#makeTable(l1, offset)
    const entry = table + (cluster % this.#perTable) * this.#entrySize
    await this.metadata.update(entry, STAGE.l2, (page, at) => change(page.view, at))
  }

  /** Makes an L2 table: of zeros, or a copy of one that a snapshot shares. */
  async #makeTable(l1: number, from: number): Promise<number> {
    const table = await this.refcounts.makeTable(1)
    if (from !== 0) {
      for (let at = 0; at < this.clusterSize; at += this.metadata.pageSize) {
        const bytes = await this.metadata.look(from + at, page => page.bytes.slice())
        await this.metadata.update(table + at, FRESH, page => page.bytes.set(bytes))
      }
      this.refcounts.dropTable(from, 1)
    }
    await this.metadata.update(l1, STAGE.l1, (page, at) => {
      writeU64(page.view, at, table)
      page.view.setUint32(at, page.view.getUint32(at) | COPIED)
    })
    return table
  }

  protected isFull(): boolean {
    return this.metadata.isFull
  }

  /**
   * Writes the tables. From the first of it to closing, version 3 is marked dirty, which makes everybody who opens it
   * count the references anew, so that refcounts and what they count are written at one go: a process that is killed
   * leaves nothing wrong. Version 2 has no such mark: there refcounts are on the medium before, and counted down after.
   */
  protected async commit(needsBarrier: boolean): Promise<void> {
    const { file, metadata, refcounts } = this
    if (!metadata.isChanged && !refcounts.hasDropped) return this.#flushFile()
    const canMark = this.header.version === 3
    const space = refcounts.space
    if (file.size < space.end * this.clusterSize) await file.truncate(space.end * this.clusterSize)
    const fresh = metadata.parts(FRESH)
    await file.writeInOrder(fresh)
    metadata.written(FRESH)
    const counts = metadata.parts(STAGE.refcounts)
    if (!canMark) await file.writeInOrder(counts)
    const mark = canMark && !this.#isMarkedDirty
    if (mark) await this.#mark(true)
    // Also zeros that are there only because the file reaches so far: an entry must not refer to what lies outside of it.
    const hasGrown = file.size > this.#durableSize
    if (needsBarrier || hasGrown || fresh.length > 0 || mark || !canMark) await this.#flushFile()
    const tables = [STAGE.refcountTable, STAGE.l2, STAGE.l1].flatMap(stage => metadata.parts(stage))
    const dropped = await refcounts.applyDropped()
    try {
      if (canMark) await file.writeInOrder([...counts, ...tables, ...dropped.parts])
      else await file.writeInOrder(tables)
      await this.#flushFile()
      if (!canMark && dropped.parts.length > 0) await file.writeInOrder(dropped.parts)
    } catch (error) {
      await dropped.undo()
      throw error
    }
    for (const stage of Object.values(STAGE)) metadata.written(stage)
    this.giveBack(dropped.done(), space, this.clusterSize)
    await this.#trimEnd()
  }

  async #flushFile(): Promise<void> {
    const { size } = this.file
    await this.file.flush()
    this.#durableSize = size
  }

  /** Cuts off what is free at the end of the file, which may reach the medium at any time. */
  async #trimEnd(): Promise<void> {
    const { space } = this.refcounts
    this.#durableSize = Math.min(this.#durableSize, space.end * this.clusterSize)
    await this.cut(space, this.clusterSize)
  }

  /** Says in the header whether refcounts may be wrong. */
  async #mark(isDirty: boolean): Promise<void> {
    const bytes = new Uint8Array(4)
    const features = isDirty
      ? this.header.incompatibleFeatures | INCOMPATIBLE.dirty
      : this.header.incompatibleFeatures & ~INCOMPATIBLE.dirty
    new DataView(bytes.buffer).setUint32(0, features)
    await this.metadata.look(0, page => page.view.setUint32(FIELD.incompatibleFeatures + 4, features))
    await this.file.write(FIELD.incompatibleFeatures + 4, bytes)
    this.header.incompatibleFeatures = features
    this.#isMarkedDirty = isDirty
  }

  protected override async finish(): Promise<void> {
    if (this.#prepared === undefined) return
    await this.#prepared
    await this.#trimEnd()
    if (!this.#isMarkedDirty || this.#isTorn) return
    await this.#mark(false)
    await this.file.flush()
  }

  /** Writes a cluster compressed, if it becomes smaller so: for a disk that is being made. It must have been absent. */
  async writePacked(cluster: number, bytes: Uint8Array): Promise<void> {
    await this.beforeWrite()
    const isZstd = this.header.compressionType === 'zstd'
    const packed = await (isZstd ? this.#compression.zstd! : this.#compression.deflateRaw)(bytes)
    if (packed.length >= this.clusterSize) {
      const start = cluster * this.clusterSize
      return this.write(start, bytes.subarray(0, this.size - start))
    }
    await this.exclusively(() => this.#linkPacked(cluster, packed))
    if (this.isFull()) await this.flush()
  }

  async #linkPacked(cluster: number, packed: Uint8Array): Promise<void> {
    const { space } = this.refcounts
    if (packed.length > this.#packedEnd - this.#packedAt) {
      const { start } = space.takeExactly(1)
      // It may begin in the last one's rest if this one follows that.
      if (start * this.clusterSize !== this.#packedEnd) this.#packedAt = start * this.clusterSize
      this.#packedEnd = (start + 1) * this.clusterSize
    }
    const offset = this.#packedAt
    const sectors = Math.floor((offset + packed.length - 1) / 512) - Math.floor(offset / 512)
    await this.file.write(offset, packed)
    this.#packedAt += packed.length
    const first = Math.floor(offset / this.clusterSize)
    const last = Math.floor((offset + (sectors + 1) * 512 - (offset % 512) - 1) / this.clusterSize)
    await this.#setEntry(cluster, () => {})
    await this.refcounts.add(first, last - first + 1)
    const shift = BigInt(62 - (Math.log2(this.clusterSize) - 8))
    const value = (1n << 62n) | (BigInt(sectors) << shift) | BigInt(offset)
    await this.#setEntry(cluster, (view, at) => {
      this.#drop(view, at)
      view.setBigUint64(at, value)
    })
  }

  /** The image's file, for those who look at its structure. */
  get underlying(): ByteFile {
    return this.file
  }

  /** Bytes of the file. */
  get fileSize(): number {
    return this.file.size
  }

  /** Makes the file's last cluster whole, with zeros. */
  async fillLastCluster(): Promise<void> {
    const { file, clusterSize } = this
    if (file.size % clusterSize !== 0) await file.truncate(Math.ceil(file.size / clusterSize) * clusterSize)
  }

  /** Reads a piece of the file as it is on the medium. */
  async readBytes(offset: number, length: number): Promise<DataView> {
    const bytes = new Uint8Array(length)
    await this.file.read(offset, bytes)
    return new DataView(bytes.buffer)
  }

  /** What part of the file an entry of an L2 table refers to; its length is 0 where that is none. */
  rangeOf(high: number, low: number): { offset: number; length: number; isPacked: boolean } {
    if (high & COMPRESSED) return { ...this.#packedRange(high, low), isPacked: true }
    const offset = (high & 0x00ffffff) * 2 ** 32 + ((low & ~511) >>> 0)
    return { offset, length: offset === 0 ? 0 : this.clusterSize, isPacked: false }
  }

  /** Sets right what a check found. Nothing else may be under way. */
  async repair({ counts, flags, dangling }: Qcow2Repairs): Promise<void> {
    // Free clusters are not known while refcounts are wrong: what is needed is taken behind the end.
    this.refcounts.assumeFull()
    for (const { at, table } of dangling) {
      await this.metadata.update(
        at,
        table === 'l2' ? STAGE.l2 : table === 'l1' ? STAGE.l1 : STAGE.refcountTable,
        page => this.#clearEntry(page.view, at - page.offset, table === 'l2' && this.#entrySize === 16),
      )
      if (this.isFull()) await this.commit(true)
    }
    // Counts behind the end come first, before a block that is made gets its place there.
    const end = this.refcounts.space.end
    for (const isBehind of [true, false])
      for (const [cluster, count] of counts) {
        if (cluster >= end !== isBehind) continue
        await this.refcounts.set(cluster, count)
        if (this.isFull()) await this.commit(true)
      }
    for (const { at, isOnly } of flags) {
      await this.metadata.update(at, STAGE.l2, (page, at) => {
        const high = page.view.getUint32(at)
        page.view.setUint32(at, isOnly ? high | COPIED : high & ~COPIED)
      })
      if (this.isFull()) await this.commit(true)
    }
    this.header.incompatibleFeatures &= ~INCOMPATIBLE.corrupt
    await this.#mark(true)
    await this.commit(true)
    this.reset()
    await this.beforeWrite()
  }

  /** Makes an entry refer to nothing. Subclusters that are zeros stay so. */
  #clearEntry(view: DataView, at: number, hasSubclusters: boolean): void {
    const isPacked = (view.getUint32(at) & COMPRESSED) !== 0
    writeU64(view, at, 0)
    if (!hasSubclusters) return
    if (isPacked) view.setUint32(at + 8, 0)
    view.setUint32(at + 12, 0)
  }

  /** Makes the next write find tables and free clusters anew: somebody changed them behind this object's back. */
  protected reset(): void {
    this.#prepared = undefined
    this.#isReady = false
  }
}
