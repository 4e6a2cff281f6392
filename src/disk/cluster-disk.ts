/**
 * What images that grow have in common: the disk is divided into clusters (blocks, grains), and tables say where in the
 * file each of them lies, if anywhere. A format brings the tables; reading, writing, copying on write, zeroing,
 * discarding and the order in which things reach the medium are here.
 *
 * Writes to clusters that have a place of their own go there at once. Other clusters get a place: first the data is
 * written, then the tables in memory are changed. A flush writes the tables (see {@link Metadata}): what they refer to is
 * on the medium before they are.
 */
import type { ByteFile } from './byte-file.ts'
import { type ClusterDiskOptions, isInPlace, type Location, type PartState, type Place } from './cluster.ts'
import { immediateClusters } from './cluster-immediate.ts'
import { checkRange, checkWrite, type Disk, DiskError, type ImmediateAccess } from './disk.ts'
import { Mutex, RangeLocks } from './locks.ts'
import { type Extent, type FreeSpace, releaseExtents } from './space.ts'

/** Unpacked clusters that are kept, as they are mostly read in small pieces. */
const MOST_UNPACKED = 8
/** Bytes of zeros that are written at once. */
const ZEROES = 2 ** 20
/** Clusters that are discarded before others get their turn. */
const DISCARD_BATCH = 256

/** A disk of clusters. */
export abstract class ClusterDisk implements Disk {
  readonly name: string
  readonly size: number
  readonly sectorSize: number
  readonly clusterSize: number
  /** The disk below, or undefined. */
  readonly backing: Disk | undefined
  readonly immediate: ImmediateAccess | undefined
  protected readonly file: ByteFile
  /** See {@link ClusterDiskOptions}. */
  readonly partSize: number
  readonly #canZero: boolean
  readonly #keepsClusters: boolean
  readonly #isSerial: boolean
  readonly #locks = new RangeLocks()
  /** Who changes the tables. */
  readonly #tables = new Mutex()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #unpacked = new Map<number, Uint8Array>()
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #closed: Promise<void> | undefined
  /** Whether data must reach the medium before the tables do. */
  #needsBarrier = false

  protected constructor(options: ClusterDiskOptions) {
    this.file = options.file
    this.name = options.file.name
    this.size = options.size
    this.clusterSize = options.clusterSize
    this.partSize = options.partSize ?? options.clusterSize
    this.sectorSize = options.sectorSize ?? 512
    this.backing = options.backing
    this.#canZero = options.canZero ?? true
    this.#keepsClusters = options.keepsClusters ?? false
    this.#isSerial = options.isSerial ?? false
    const { immediate } = options.file
    this.immediate =
      immediate &&
      immediateClusters({
        clusterSize: options.clusterSize,
        file: immediate,
        locate: cluster => this.locate(cluster),
        checkRead: (offset, length) => this.#check(offset, length, false),
        end: () => this.end,
        checkWrite: (offset, length) => this.#check(offset, length, true),
        isZeroBelow: options.backing === undefined,
        isReady: () => this.isReady,
      })
  }

  get readOnly(): boolean {
    return this.file.readOnly
  }

  /** An error of this image: `vdi image 'a.vdi' is damaged: …`. */
  protected abstract corrupt(text: string): DiskError
  /** Where the file ends, or is going to end once what was allocated since the last flush is there: what is said to lie behind it was cut off. */
  protected get end(): number {
    return this.file.size
  }
  /** Where a cluster is. */
  protected abstract locate(cluster: number): Location | Promise<Location>
  /** The first cluster from `cluster` on that may be something else than absent. */
  protected async nextPresent(cluster: number): Promise<number> {
    return cluster
  }
  /** Finds a place for up to `count` clusters. Nothing is changed but in memory. */
  protected abstract allocate(count: number): Place | Promise<Place>
  /** Takes back a place that was not linked. */
  protected abstract unallocate(place: Place): void
  /**
   * Maps `count` clusters to the place at `offset`, which holds their data, and frees what they were mapped to.
   * @param from first byte that is there, counted from the beginning of the first cluster: a multiple of the size of parts
   * @param to end of what is there
   */
  protected abstract link(cluster: number, count: number, offset: number, from: number, to: number): Promise<void>
  /** Notes that more parts of a cluster that has its place are there now. */
  protected async addParts(_cluster: number, _from: number, _to: number): Promise<void> {
    throw new TypeError('a format without parts has none to add')
  }
  /** Unmaps a cluster, which is not absent, and frees what it was mapped to; it becomes `absent` or `zero`. */
  protected abstract unlink(cluster: number, to: 'absent' | 'zero'): Promise<void>
  /** Whether so many changes wait to be written that they should be before there are more. */
  protected abstract isFull(): boolean
  /**
   * Writes the tables, and returns when everything is on the medium.
   * @param needsBarrier whether the data has to be there before the tables that refer to it
   */
  protected abstract commit(needsBarrier: boolean): Promise<void>
  /** What is to be done between the last flush and closing the file. */
  protected async finish(): Promise<void> {}
  /** Whether {@link beforeWrite} has come back. */
  protected abstract get isReady(): boolean
  /** Called before the first change to the disk. */
  async beforeWrite(): Promise<void> {}

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#check(offset, buffer.length, false)
    await this.#track(this.#read(offset, buffer))
  }

  async #read(offset: number, buffer: Uint8Array): Promise<void> {
    const { clusterSize } = this
    for (let done = 0; done < buffer.length; ) {
      const cluster = Math.floor((offset + done) / clusterSize)
      const within = (offset + done) % clusterSize
      const found = this.locate(cluster)
      const location = found instanceof Promise ? await found : found
      if (location.kind === 'packed') {
        const length = Math.min(clusterSize - within, buffer.length - done)
        const bytes = await this.#unpack(cluster, location)
        buffer.set(bytes.subarray(within, within + length), done)
        done += length
      } else if (location.kind === 'data' && location.state) {
        const length = Math.min(clusterSize - within, buffer.length - done)
        await this.#readParts(location, location.state, offset + done, buffer.subarray(done, done + length))
        done += length
      } else {
        const end = await this.#runEnd(cluster, location, offset + buffer.length)
        const piece = buffer.subarray(done, Math.min(buffer.length, end - offset))
        if (location.kind === 'data') await this.#readFile(cluster, location.offset + within, piece)
        else if (location.kind === 'zero') piece.fill(0)
        else await this.#readBacking(offset + done, piece)
        done += piece.length
      }
    }
  }

  /** Reads data that begins in `cluster`; zeros in place of what a file lacks would be taken for the disk's content. */
  async #readFile(cluster: number, offset: number, buffer: Uint8Array): Promise<void> {
    if (offset + buffer.length > this.end)
      throw this.corrupt(`data from cluster ${cluster} on lies outside of the file, which may have been cut`)
    await this.file.read(offset, buffer)
  }

  /** Where on the disk the clusters that lie as `cluster` does come to an end. */
  async #runEnd(cluster: number, location: Location, end: number): Promise<number> {
    let next = cluster + 1
    for (; next * this.clusterSize < end; next++) {
      const found = this.locate(next)
      const other = found instanceof Promise ? await found : found
      if (other.kind !== location.kind) break
      if (other.kind !== 'data' || location.kind !== 'data') continue
      if (other.state || other.isOwn !== location.isOwn) break
      if (other.offset !== location.offset + (next - cluster) * this.clusterSize) break
    }
    return next * this.clusterSize
  }

  async #readParts(
    location: { offset: number },
    state: (part: number) => PartState,
    offset: number,
    buffer: Uint8Array,
  ): Promise<void> {
    const within = offset % this.clusterSize
    for (let done = 0; done < buffer.length; ) {
      const first = Math.floor((within + done) / this.partSize)
      const kind = state(first)
      let last = first
      while ((last + 1) * this.partSize < within + buffer.length && state(last + 1) === kind) last++
      const piece = buffer.subarray(done, (last + 1) * this.partSize - within)
      const cluster = Math.floor(offset / this.clusterSize)
      if (kind === 'data') await this.#readFile(cluster, location.offset + within + done, piece)
      else if (kind === 'zero') piece.fill(0)
      else await this.#readBacking(offset + done, piece)
      done += piece.length
    }
  }

  async #readBacking(offset: number, buffer: Uint8Array): Promise<void> {
    const { backing } = this
    const length = backing ? Math.max(0, Math.min(buffer.length, backing.size - offset)) : 0
    if (backing && length > 0) await backing.read(offset, buffer.subarray(0, length))
    buffer.fill(0, length)
  }

  async #unpack(cluster: number, location: Location & { kind: 'packed' }): Promise<Uint8Array> {
    let bytes = this.#unpacked.get(cluster)
    if (bytes === undefined) {
      bytes = await location.unpack()
      if (this.#unpacked.size >= MOST_UNPACKED) this.#unpacked.delete(this.#unpacked.keys().next().value!)
      this.#unpacked.set(cluster, bytes)
    }
    return bytes
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.#check(offset, buffer.length, true)
    await this.#track(this.#write(offset, buffer))
  }

  async #write(offset: number, buffer: Uint8Array): Promise<void> {
    await this.beforeWrite()
    const { clusterSize } = this
    const end = offset + buffer.length
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / clusterSize)
      const location = await this.locate(cluster)
      let next: number
      if (isInPlace(this, location, at, end)) {
        next = location.state ? (cluster + 1) * clusterSize : await this.#runEnd(cluster, location, end)
        const piece = buffer.subarray(at - offset, Math.min(buffer.length, next - offset))
        await this.file.write(location.offset + (at % clusterSize), piece)
      } else {
        let last = cluster
        while ((last + 1) * clusterSize < end) {
          const from = (last + 1) * clusterSize
          if (isInPlace(this, await this.locate(last + 1), from, end)) break
          last++
        }
        next = (last + 1) * clusterSize
        if (this.isFull()) await this.#flush()
        const piece = buffer.subarray(at - offset, Math.min(buffer.length, next - offset))
        const from = at
        const range: [number, number] = this.#isSerial ? [0, Number.POSITIVE_INFINITY] : [cluster, last]
        await this.#locks.run(...range, () => this.#writeAllocating(from, piece))
      }
      at = next
    }
  }

  /** Writes a range of which nobody else changes the mapping meanwhile. */
  async #writeAllocating(offset: number, buffer: Uint8Array): Promise<void> {
    const { clusterSize } = this
    const end = offset + buffer.length
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / clusterSize)
      const location = await this.locate(cluster)
      if (location.kind === 'data' && location.isOwn) {
        const next = Math.min(end, (cluster + 1) * clusterSize)
        const piece = buffer.subarray(at - offset, next - offset)
        // It may have got its place meanwhile.
        const isWhole: boolean = isInPlace(this, location, at, end)
        if (isWhole) await this.file.write(location.offset + (at % clusterSize), piece)
        else await this.#writeParts(location.offset, at, piece)
        at = next
        continue
      }
      let last = cluster
      while ((last + 1) * clusterSize < end) {
        const other = await this.locate(last + 1)
        if (other.kind === 'data' && other.isOwn) break
        last++
      }
      const place = await this.allocate(last - cluster + 1)
      const next = Math.min(end, (cluster + place.count) * clusterSize)
      await this.#writePlace(place, at, buffer.subarray(at - offset, next - offset))
      at = next
    }
  }

  /** Writes to clusters that get their places now: what the request has, and around it what was there before. */
  async #writePlace(place: Place, offset: number, buffer: Uint8Array): Promise<void> {
    const { clusterSize } = this
    const cluster = Math.floor(offset / clusterSize)
    const last = cluster + place.count - 1
    const start = cluster * clusterSize
    const from = offset - start
    const to = from + buffer.length
    // Of a cluster that was absent, parts that the request does not touch may stay so; of any other all must be there.
    const first = (await this.#isAbsent(cluster)) ? this.#down(from) : 0
    const end = (await this.#isAbsent(last)) ? this.#up(to) : place.count * clusterSize
    let head: Uint8Array | undefined
    let tail: Uint8Array | undefined
    try {
      head = await this.#before(cluster, start + first, start + from, place.isZero)
      tail = await this.#before(last, start + to, start + end, place.isZero)
      if (head) await this.file.write(place.offset + first, head)
      await this.file.write(place.offset + from, buffer)
      if (tail) await this.file.write(place.offset + to, tail)
    } catch (error) {
      this.unallocate(place)
      throw error
    }
    // Where the new data is not on the medium there are zeros: right only where that is what was there before.
    const mustBeThere = head || tail || !place.isZero || !(await this.#areZeros(cluster, last))
    await this.#tables.run(async () => {
      if (mustBeThere) this.#needsBarrier = true
      await this.link(cluster, place.count, place.offset, first, end)
    })
    for (let i = cluster; i <= last; i++) this.#unpacked.delete(i)
  }

  /** What `cluster` has between two offsets of the disk, or undefined where that need not be written. */
  async #before(cluster: number, from: number, to: number, isZeroThere: boolean): Promise<Uint8Array | undefined> {
    if (from >= to) return undefined
    const { kind } = await this.locate(cluster)
    const isZero = kind === 'zero' || (kind === 'absent' && !this.backing)
    if (isZero && isZeroThere) return undefined
    const bytes = new Uint8Array(to - from)
    // The last cluster may reach over the disk's end.
    const length = Math.max(0, Math.min(bytes.length, this.size - from))
    if (!isZero && length > 0) await this.#read(from, bytes.subarray(0, length))
    return bytes
  }

  /** Whether clusters read as zeros because nothing is there. */
  async #areZeros(first: number, last: number): Promise<boolean> {
    for (let cluster = first; cluster <= last; cluster++) {
      const { kind } = await this.locate(cluster)
      if (kind !== 'zero' && (kind !== 'absent' || this.backing)) return false
    }
    return true
  }

  async #isAbsent(cluster: number): Promise<boolean> {
    return (await this.locate(cluster)).kind === 'absent'
  }

  #down(at: number): number {
    return at - (at % this.partSize)
  }

  #up(at: number): number {
    return Math.ceil(at / this.partSize) * this.partSize
  }

  /** Writes to parts of a cluster that has its place, but not all of its parts. */
  async #writeParts(place: number, offset: number, buffer: Uint8Array): Promise<void> {
    const within = offset % this.clusterSize
    const [from, to] = [this.#down(within), this.#up(within + buffer.length)]
    const start = offset - within
    const bytes = new Uint8Array(to - from)
    const read = async (a: number, b: number) => {
      const length = Math.max(0, Math.min(b, this.size - start) - a)
      if (length > 0) await this.#read(start + a, bytes.subarray(a - from, a - from + length))
    }
    await read(from, within)
    await read(within + buffer.length, to)
    bytes.set(buffer, within - from)
    await this.file.write(place + from, bytes)
    await this.#tables.run(async () => {
      this.#needsBarrier = true
      await this.addParts(Math.floor(offset / this.clusterSize), from, to)
    })
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#check(offset, length, true)
    await this.#track(this.#clear(offset, length, true))
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#check(offset, length, true)
    await this.#track(this.#clear(offset, length, false))
  }

  /** Unmaps what are whole clusters; the rest is written with zeros if the range `mustBeZero`, or stays as it is. */
  async #clear(offset: number, length: number, mustBeZero: boolean): Promise<void> {
    await this.beforeWrite()
    const { clusterSize } = this
    const end = offset + length
    if (this.#keepsClusters) return this.#clearInPlace(offset, end, mustBeZero)
    const canUnmap = !this.backing || this.#canZero
    // A cluster at the end of the disk is whole though the disk ends within it.
    const first = Math.ceil(offset / clusterSize)
    const last = end === this.size ? Math.ceil(end / clusterSize) : Math.floor(end / clusterSize)
    if (last <= first || !canUnmap) {
      if (mustBeZero) await this.#zero(offset, end)
      return
    }
    if (mustBeZero) await this.#zero(offset, first * clusterSize)
    await this.#unmap(first, last)
    if (mustBeZero) await this.#zero(last * clusterSize, end)
  }

  /** Gives space back where clusters lie; where that cannot be done, writes zeros if the range `mustBeZero`. */
  async #clearInPlace(offset: number, end: number, mustBeZero: boolean): Promise<void> {
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / this.clusterSize)
      const location = await this.locate(cluster)
      const next = Math.min(end, await this.#runEnd(cluster, location, end))
      if (location.kind === 'data') {
        const isCleared = await this.file.punch(location.offset + (at % this.clusterSize), next - at)
        if (!isCleared && mustBeZero) await this.#zero(at, next)
      }
      at = next
    }
  }

  /** Unmaps clusters, in batches so that others get their turn. */
  async #unmap(first: number, last: number): Promise<void> {
    let cluster = first
    while (cluster < last) {
      if (!this.backing) cluster = Math.max(cluster, await this.nextPresent(cluster))
      if (cluster >= last) return
      if (this.isFull()) await this.#flush()
      const end = Math.min(last, cluster + DISCARD_BATCH)
      await this.#locks.run(cluster, end - 1, async () => {
        for (let i = cluster; i < end; i++) {
          const { kind } = await this.locate(i)
          if (kind === 'zero' || (kind === 'absent' && !this.backing)) continue
          await this.#tables.run(() => this.unlink(i, this.backing ? 'zero' : 'absent'))
          this.#unpacked.delete(i)
        }
      })
      cluster = end
    }
  }

  /** Writes zeros where there are none. */
  async #zero(offset: number, end: number): Promise<void> {
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / this.clusterSize)
      const next = Math.min(end, (cluster + 1) * this.clusterSize, at + ZEROES)
      const { kind } = await this.locate(cluster)
      const isZero = kind === 'zero' || (kind === 'absent' && !this.backing)
      if (!isZero) await this.#write(at, new Uint8Array(next - at))
      at = next
    }
  }

  async flush(): Promise<void> {
    this.#checkOpen()
    if (!this.readOnly) await this.#track(this.#flush())
  }

  /** Flushes that are asked for while one runs are one. */
  #flush(): Promise<void> {
    if (this.#next) return this.#next
    const before = this.#running
    this.#next = (async () => {
      await before?.catch(() => {})
      this.#running = this.#next
      this.#next = undefined
      await this.#tables.run(async () => {
        const needsBarrier = this.#needsBarrier
        this.#needsBarrier = false
        try {
          await this.commit(needsBarrier)
        } catch (error) {
          this.#needsBarrier ||= needsBarrier
          throw error
        }
      })
    })()
    return this.#next
  }

  /** Cuts the file at the end of what is in use, in units of `unit` bytes. */
  protected async cut(space: FreeSpace, unit: number): Promise<void> {
    if (this.file.size <= space.end * unit) return
    const cut = this.file.truncate(space.end * unit)
    space.wasCut()
    await cut
  }

  /**
   * Frees what nothing refers to any more, neither in memory nor on the medium, when nobody reads or writes it any more.
   * Large pieces are given back to the host.
   */
  protected giveBack(freed: readonly Extent[], space: FreeSpace, unit: number): void {
    if (freed.length === 0) return
    this.afterRequests(() => releaseExtents(this.file, freed, space, unit))
  }

  /** Runs `task` while nobody changes the tables. */
  protected exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#tables.run(task)
  }

  /** Calls `task` when all requests that are under way now are finished: none of them uses what they found any more. */
  protected afterRequests(task: () => void): void {
    if (this.#underWay.size === 0) task()
    else void Promise.allSettled(this.#underWay).then(task)
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underWay)
    try {
      if (!this.readOnly) {
        await this.#flush()
        await this.finish()
      }
    } finally {
      await this.file.close()
      await this.backing?.close()
    }
  }

  #check(offset: number, length: number, isWrite: boolean): void {
    this.#checkOpen()
    if (isWrite) checkWrite(this, offset, length)
    else checkRange(this, offset, length)
  }

  #checkOpen(): void {
    if (this.#closed) throw new DiskError('closed', `disk '${this.name}' is closed`)
  }

  async #track(request: Promise<void>): Promise<void> {
    this.#underWay.add(request)
    try {
      await request
    } finally {
      this.#underWay.delete(request)
    }
  }
}
