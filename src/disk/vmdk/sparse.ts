/** Hosted sparse extents of VMDK images: a header, a directory of grain tables, grains. */
import type { ByteFile } from '../byte-file.ts'
import type { Location, Place } from '../cluster.ts'
import type { Compression } from '../compression.ts'
import { type Disk, DiskError } from '../disk.ts'
import { type PlacesInUse, STAGE, TableDisk } from '../table-disk.ts'

const SECTOR = 512
/** `KDMV` */
export const VMDK_MAGIC = 0x4b444d56
/** `gdOffset` where the directory's place is known at the end only, and stands in a footer. */
const AT_END = 0xffffffff
/** Where the footer's copy of the header is, from the end of the file. */
const FOOTER = 2 * SECTOR

/** Bits of `flags`. */
export const FLAG = {
  newLines: 1 << 0,
  redundantTable: 1 << 1,
  zeroedGrain: 1 << 2,
  compressed: 1 << 16,
  markers: 1 << 17,
}

/** Most bytes of grain tables; the disk then has some 4 PB. */
const TABLES_LIMIT = 2 ** 28

/** The header of an extent, understood. Places and sizes are in sectors. */
export interface SparseHeader {
  version: number
  flags: number
  capacity: number
  grainSize: number
  descriptorOffset: number
  descriptorSize: number
  tableEntries: number
  redundantDirectory: number
  directory: number
  overhead: number
  isCompressed: boolean
}

/**
 * Reads the header of an extent.
 * @throws DiskError
 */
export async function readSparseHeader(file: ByteFile): Promise<SparseHeader> {
  const header = await parseHeader(file, 0)
  if (header.directory !== -1) return header
  if (file.size < 3 * SECTOR) throw new DiskError('corrupt', `vmdk image '${file.name}' is damaged: it was cut`)
  const footer = await parseHeader(file, file.size - FOOTER)
  if (footer.directory === -1) {
    throw new DiskError('corrupt', `vmdk image '${file.name}' is damaged: it does not say where its tables are`)
  }
  return { ...footer, descriptorOffset: header.descriptorOffset, descriptorSize: header.descriptorSize }
}

async function parseHeader(file: ByteFile, offset: number): Promise<SparseHeader> {
  const bytes = new Uint8Array(SECTOR)
  await file.read(offset, bytes)
  const view = new DataView(bytes.buffer)
  const corrupt = (text: string) => new DiskError('corrupt', `vmdk image '${file.name}' is damaged: ${text}`)
  if (view.getUint32(0) !== VMDK_MAGIC) throw corrupt('it was cut, or its header is missing')
  const u64 = (at: number) => view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
  const place = (at: number, what: string) => {
    const value = u64(at)
    if (!Number.isSafeInteger(value * SECTOR)) throw corrupt(`${what} is ${value} sectors`)
    return value
  }
  const version = view.getUint32(4, true)
  if (version < 1 || version > 3) {
    throw new DiskError('unsupported', `vmdk image '${file.name}' is of version ${version}: only 1 to 3 are known`)
  }
  const isAtEnd = view.getUint32(56, true) === AT_END && view.getUint32(60, true) === AT_END
  const header: SparseHeader = {
    version,
    flags: view.getUint32(8, true),
    capacity: place(12, 'its size'),
    grainSize: place(20, 'the size of its grains'),
    descriptorOffset: place(28, 'the place of its descriptor'),
    descriptorSize: place(36, 'the size of its descriptor'),
    tableEntries: view.getUint32(44, true),
    redundantDirectory: place(48, 'the place of its second directory'),
    directory: isAtEnd ? -1 : place(56, 'the place of its directory'),
    overhead: place(64, 'the place of its data'),
    isCompressed: false,
  }
  const { grainSize, tableEntries, flags } = header
  if (grainSize < 1 || grainSize > 2 ** 14 || !Number.isInteger(Math.log2(grainSize))) {
    throw corrupt(`its grains have ${grainSize} sectors`)
  }
  if (tableEntries < 1 || tableEntries > 2 ** 16) throw corrupt(`its grain tables have ${tableEntries} entries`)
  if (Math.ceil(header.capacity / grainSize) * 4 > TABLES_LIMIT) throw corrupt(`it has ${header.capacity} sectors`)
  header.isCompressed = (flags & FLAG.compressed) !== 0
  const algorithm = view.getUint16(77, true)
  if (header.isCompressed && algorithm !== 1) {
    throw new DiskError(
      'unsupported',
      `vmdk image '${file.name}' is compressed in a way that is not known (${algorithm})`,
    )
  }
  return header
}

/** An extent as a disk. */
export class SparseExtent extends TableDisk {
  readonly header: SparseHeader
  readonly #compression: Compression
  /** Where the directories are, in bytes: that which is read, then its copy if it has one. */
  readonly #directories: number[]
  readonly #canMarkZero: boolean
  /** Called before the first change. */
  onFirstWrite: () => Promise<void> = async () => {}

  constructor(file: ByteFile, header: SparseHeader, compression: Compression, backing?: Disk) {
    const clusterSize = header.grainSize * SECTOR
    const canMarkZero = (header.flags & FLAG.zeroedGrain) !== 0
    super({
      file,
      size: header.capacity * SECTOR,
      clusterSize,
      backing,
      canZero: canMarkZero,
      pageSize: SECTOR,
      unit: SECTOR,
    })
    this.header = header
    this.#compression = compression
    this.#canMarkZero = canMarkZero
    const hasCopy = (header.flags & FLAG.redundantTable) !== 0 && header.redundantDirectory !== 0
    this.#directories = [header.directory * SECTOR, ...(hasCopy ? [header.redundantDirectory * SECTOR] : [])]
  }

  override get readOnly(): boolean {
    return super.readOnly || this.header.isCompressed
  }

  protected corrupt(text: string): DiskError {
    return new DiskError('corrupt', `vmdk image '${this.name}' is damaged: ${text}`)
  }

  protected locate(cluster: number): Location | Promise<Location> {
    const [index, entry] = this.#place(cluster)
    const directory = this.#directories[0] + index * 4
    const page = this.metadata.peek(directory)
    if (page === undefined) return this.metadata.look(directory, () => {}).then(() => this.locate(cluster))
    const table = page.view.getUint32(directory - page.offset, true)
    if (table === 0) return { kind: 'absent' }
    const at = table * SECTOR + entry * 4
    if (at + 4 > this.end) throw this.corrupt(`a grain table lies outside of the file, which may have been cut`)
    const tablePage = this.metadata.peek(at)
    if (tablePage === undefined) return this.metadata.look(at, () => {}).then(() => this.locate(cluster))
    const sector = tablePage.view.getUint32(at - tablePage.offset, true)
    if (sector === 0) return { kind: 'absent' }
    if (sector === 1 && this.#canMarkZero) return { kind: 'zero' }
    if (this.header.isCompressed) return { kind: 'packed', unpack: () => this.#unpack(sector * SECTOR) }
    return { kind: 'data', offset: sector * SECTOR, isOwn: true }
  }

  /** The index of a grain's table in the directory, and of its entry in the table. */
  #place(cluster: number): [number, number] {
    const { tableEntries } = this.header
    return [Math.floor(cluster / tableEntries), cluster % tableEntries]
  }

  async #unpack(offset: number): Promise<Uint8Array> {
    const head = new Uint8Array(12)
    await this.file.read(offset, head)
    const length = new DataView(head.buffer).getUint32(8, true)
    if (length === 0 || length > 2 * this.clusterSize + 1024 || offset + 12 + length > this.file.size) {
      throw this.corrupt(`a compressed grain at ${offset} has ${length} bytes`)
    }
    const bytes = new Uint8Array(length)
    await this.file.read(offset + 12, bytes)
    let unpacked: Uint8Array
    try {
      unpacked = await this.#compression.inflate(bytes, this.clusterSize)
    } catch (error) {
      throw this.corrupt(`a compressed grain at ${offset} cannot be uncompressed (${(error as Error).message})`)
    }
    if (unpacked.length === this.clusterSize) return unpacked
    // The last grain may end with the disk.
    const whole = new Uint8Array(this.clusterSize)
    whole.set(unpacked)
    return whole
  }

  protected override async prepare(): Promise<void> {
    await this.onFirstWrite()
  }

  protected async placesInUse(): Promise<PlacesInUse> {
    const { header } = this
    const grains = Math.ceil(header.capacity / header.grainSize)
    const tableCount = Math.ceil(grains / header.tableEntries)
    const tableBytes = Math.ceil((header.tableEntries * 4) / SECTOR) * SECTOR
    const places: number[] = []
    const tables = [{ offset: 0, length: SECTOR }]
    if (header.descriptorOffset > 0) {
      tables.push({ offset: header.descriptorOffset * SECTOR, length: header.descriptorSize * SECTOR })
    }
    for (const [number, directory] of this.#directories.entries()) {
      tables.push({ offset: directory, length: Math.ceil((tableCount * 4) / SECTOR) * SECTOR })
      const bytes = new Uint8Array(tableCount * 4)
      await this.file.read(directory, bytes)
      const view = new DataView(bytes.buffer)
      for (let i = 0; i < tableCount; i++) {
        const table = view.getUint32(i * 4, true)
        if (table === 0) continue
        tables.push({ offset: table * SECTOR, length: tableBytes })
        if (number > 0) continue
        const entries = new Uint8Array(header.tableEntries * 4)
        await this.file.read(table * SECTOR, entries)
        const entryView = new DataView(entries.buffer)
        for (let j = 0; j < header.tableEntries; j++) {
          const sector = entryView.getUint32(j * 4, true)
          if (sector > 1 || (sector === 1 && !this.#canMarkZero)) places.push(sector * SECTOR)
        }
      }
    }
    // What is in front of the data belongs to the tables, also what of it is free: a file that ends there is cut off for others.
    const last = tables.reduce((end, { offset, length }) => Math.max(end, offset + length), 0)
    const data = header.overhead * SECTOR
    if (last < data && data <= this.file.size && places.every(place => place >= data))
      tables.push({ offset: last, length: data - last })
    // Of compressed grains each has a length of its own, a sector at least.
    return { offsets: Float64Array.from(places), length: header.isCompressed ? SECTOR : this.clusterSize, tables }
  }

  protected allocate(count: number): Place {
    const { grainSize } = this.header
    const { start, count: sectors, isZero } = this.space.take(count * grainSize)
    if ((start + sectors) * SECTOR >= 2 ** 32 * SECTOR) {
      this.space.release(start, sectors)
      throw new DiskError('no-space', `vmdk image '${this.name}' cannot grow beyond 2 TiB`)
    }
    return { offset: start * SECTOR, count: sectors / grainSize, isZero }
  }

  protected unallocate(place: Place): void {
    this.space.release(place.offset / SECTOR, place.count * this.header.grainSize)
  }

  protected async link(cluster: number, count: number, offset: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#set(cluster + i, offset / SECTOR + i * this.header.grainSize)
  }

  protected async unlink(cluster: number, to: 'absent' | 'zero'): Promise<void> {
    await this.#set(cluster, to === 'zero' ? 1 : 0)
  }

  /** Sets a grain's entry, in the tables of both directories. */
  async #set(cluster: number, sector: number): Promise<void> {
    const [index, entry] = this.#place(cluster)
    const tables = await this.#tables(index)
    const old = await this.metadata.look(tables[0] + entry * 4, (page, at) => page.view.getUint32(at, true))
    // The copy first: it is the one that nobody reads unless the other is broken.
    for (const table of tables.toReversed()) {
      await this.metadata.update(table + entry * 4, STAGE.table, (page, at) => page.view.setUint32(at, sector, true))
    }
    if (old > 1) this.free(old * SECTOR, this.clusterSize)
  }

  /** Where the tables with that index are, made if they are missing. */
  async #tables(index: number): Promise<number[]> {
    const places = await Promise.all(
      this.#directories.map(directory =>
        this.metadata.look(directory + index * 4, (page, at) => page.view.getUint32(at, true) * SECTOR),
      ),
    )
    if (places[0] !== 0) return places.filter(place => place !== 0)
    const length = Math.ceil((this.header.tableEntries * 4) / SECTOR) * SECTOR
    // Whole grains, so that what is free stays a number of them.
    const grains = Math.ceil((length * places.length) / this.clusterSize)
    const { start } = this.space.takeExactly(grains * this.header.grainSize)
    this.metadata.fresh(start * SECTOR, length * places.length)
    for (const [number, directory] of this.#directories.entries()) {
      const place = start * SECTOR + number * length
      await this.metadata.update(directory + index * 4, STAGE.directory, (page, at) =>
        page.view.setUint32(at, place / SECTOR, true),
      )
      places[number] = place
    }
    return places
  }
}
