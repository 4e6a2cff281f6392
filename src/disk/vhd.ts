/**
 * VHD images, Virtual PC's: fixed (a raw disk and a footer), dynamic and differencing (blocks with a bitmap of their
 * sectors each, and a table of where they are).
 */
import type { ByteFile } from './byte-file.ts'
import type { Location, PartState, Place } from './cluster.ts'
import { type Disk, DiskError } from './disk.ts'
import type { OpenContext } from './formats.ts'
import { RawDisk } from './raw.ts'
import { type PlacesInUse, STAGE, TableDisk } from './table-disk.ts'

const SECTOR = 512
/** `conectix` */
export const VHD_COOKIE = [0x636f6e65, 0x63746978] as const
/** `cxsparse` */
const DYNAMIC_COOKIE = [0x63787370, 0x61727365] as const
const TYPE = { fixed: 2, dynamic: 3, differencing: 4 } as const
/** Entry of the table for a block that is not there. */
const ABSENT = 0xffffffff
/** Most blocks: the table then has 128 MiB. */
const BLOCKS_LIMIT = 2 ** 25
const DEFAULT_BLOCK = 2 ** 21
const DYNAMIC_HEADER_SIZE = 1024
/** Seconds from 1970 to 2000, since when the format counts. */
const EPOCH = 946684800

/** Offsets of the footer's fields. */
const FOOTER = {
  features: 8,
  version: 12,
  dataOffset: 16,
  timeStamp: 24,
  creator: 28,
  creatorVersion: 32,
  creatorHost: 36,
  originalSize: 40,
  currentSize: 48,
  geometry: 56,
  diskType: 60,
  checksum: 64,
  uniqueId: 68,
} as const

/** Offsets of the dynamic header's fields. */
const DYNAMIC = {
  dataOffset: 8,
  tableOffset: 16,
  version: 24,
  entries: 28,
  blockSize: 32,
  checksum: 36,
  parentId: 40,
  parentName: 64,
} as const

/** The checksum of a structure: the complement of the sum of its bytes, without the checksum's own. */
function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0
  for (const [i, byte] of bytes.entries()) if (i < at || i >= at + 4) sum += byte
  return ~sum >>> 0
}

function isFooter(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return (
    view.getUint32(0) === VHD_COOKIE[0] &&
    view.getUint32(4) === VHD_COOKIE[1] &&
    view.getUint32(FOOTER.checksum) === checksum(bytes, FOOTER.checksum)
  )
}

/** Whether a file begins as dynamic images do, or is named as a fixed one and ends as such do. */
export async function isVhd(start: DataView, file: ByteFile): Promise<boolean> {
  if (start.getUint32(0) === VHD_COOKIE[0] && start.getUint32(4) === VHD_COOKIE[1]) return true
  // Any raw disk could end so: only the name makes it one.
  if (!/\.(vhd|vpc)$/i.test(file.name) || file.size < SECTOR) return false
  const end = new Uint8Array(SECTOR)
  await file.read(file.size - SECTOR, end)
  return isFooter(end)
}

/** Opens an image. @throws DiskError */
export async function openVhd(file: ByteFile, context: OpenContext): Promise<Disk> {
  const corrupt = (text: string) => new DiskError('corrupt', `vhd image '${file.name}' is damaged: ${text}`)
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length)
    if (offset >= 0) await file.read(offset, bytes)
    return bytes
  }
  const [end, copy] = [await read(file.size - SECTOR, SECTOR), await read(0, SECTOR)]
  const footer = isFooter(end) ? end : isFooter(copy) ? copy : undefined
  if (footer === undefined) {
    const isNear = new DataView(copy.buffer).getUint32(0) === VHD_COOKIE[0]
    throw isNear ? corrupt('its footer is wrong') : new DiskError('format', `file '${file.name}' is no vhd image`)
  }
  const view = new DataView(footer.buffer)
  const type = view.getUint32(FOOTER.diskType)
  const size = sizeOf(view)
  if (!Number.isSafeInteger(size) || size % SECTOR !== 0) throw corrupt(`its size is ${size} bytes`)
  if (type === TYPE.fixed) {
    if (size > file.size - SECTOR) throw corrupt(`it was cut: its disk has ${size} bytes`)
    return new RawDisk(file, { size })
  }
  if (type !== TYPE.dynamic && type !== TYPE.differencing) {
    throw new DiskError('unsupported', `vhd image '${file.name}' is of the kind ${type}, which is not known`)
  }
  const dynamicOffset = view.getUint32(FOOTER.dataOffset) * 2 ** 32 + view.getUint32(FOOTER.dataOffset + 4)
  if (dynamicOffset + DYNAMIC_HEADER_SIZE > file.size) throw corrupt('its second header lies outside of the file')
  const dynamic = await read(dynamicOffset, DYNAMIC_HEADER_SIZE)
  const dynamicView = new DataView(dynamic.buffer)
  if (dynamicView.getUint32(0) !== DYNAMIC_COOKIE[0] || dynamicView.getUint32(4) !== DYNAMIC_COOKIE[1]) {
    throw corrupt('its second header is missing')
  }
  if (dynamicView.getUint32(DYNAMIC.checksum) !== checksum(dynamic, DYNAMIC.checksum)) {
    throw corrupt('its second header is wrong')
  }
  const header: VhdHeader = {
    footer,
    dynamicOffset,
    size,
    tableOffset: dynamicView.getUint32(DYNAMIC.tableOffset) * 2 ** 32 + dynamicView.getUint32(DYNAMIC.tableOffset + 4),
    blocks: dynamicView.getUint32(DYNAMIC.entries),
    blockSize: dynamicView.getUint32(DYNAMIC.blockSize),
    isDifferencing: type === TYPE.differencing,
  }
  const { blockSize, blocks, tableOffset } = header
  if (blockSize < 4096 || blockSize > 2 ** 28 || !Number.isInteger(Math.log2(blockSize))) {
    throw corrupt(`its blocks have ${blockSize} bytes`)
  }
  if (blocks > BLOCKS_LIMIT || blocks * blockSize < size) throw corrupt(`it has ${blocks} blocks for ${size} bytes`)
  if (tableOffset % SECTOR !== 0 || tableOffset + blocks * 4 > file.size)
    throw corrupt('its table lies outside of the file')
  const isDifferencing = type === TYPE.differencing && !context.isAlone
  const backing = isDifferencing ? await openParent(file, dynamic, context) : undefined
  return new VhdDisk(file, header, backing)
}

function sizeOf(footer: DataView): number {
  const size = footer.getUint32(FOOTER.currentSize) * 2 ** 32 + footer.getUint32(FOOTER.currentSize + 4)
  // Virtual PC and its like use the geometry, which may be less than the size that was asked for; it is rounded so.
  const geometry =
    footer.getUint16(FOOTER.geometry) *
    footer.getUint8(FOOTER.geometry + 2) *
    footer.getUint8(FOOTER.geometry + 3) *
    SECTOR
  const creator = String.fromCharCode(...new Uint8Array(footer.buffer, FOOTER.creator, 4))
  const usesGeometry = creator === 'vpc ' || creator === 'qemu' || creator === 'vs  '
  return usesGeometry && geometry > 0 && geometry < 65535 * 16 * 255 * SECTOR ? geometry : size
}

/** Opens the parent by the name that the header has, in UTF-16. */
async function openParent(file: ByteFile, dynamic: Uint8Array, context: OpenContext): Promise<Disk> {
  let name = ''
  for (let at = DYNAMIC.parentName; at < DYNAMIC.parentName + 512; at += 2) {
    const letter = (dynamic[at] << 8) | dynamic[at + 1]
    if (letter === 0) break
    name += String.fromCharCode(letter)
  }
  // On Windows, where it was made, names are written with backslashes; only the last part can mean something here.
  if (/^[a-z]:\\|\\/i.test(name)) name = name.slice(name.lastIndexOf('\\') + 1)
  if (name === '') throw new DiskError('corrupt', `vhd image '${file.name}' is damaged: it does not name its parent`)
  return context.openBacking(name, 'vhd')
}

interface VhdHeader {
  footer: Uint8Array
  dynamicOffset: number
  size: number
  tableOffset: number
  blocks: number
  blockSize: number
  isDifferencing: boolean
}

/** An open dynamic or differencing image. */
export class VhdDisk extends TableDisk {
  readonly #header: VhdHeader
  /** Bytes of a block's bitmap, whole sectors. */
  readonly #bitmapSize: number

  constructor(file: ByteFile, header: VhdHeader, backing: Disk | undefined) {
    super({
      file,
      size: header.size,
      clusterSize: header.blockSize,
      partSize: SECTOR,
      backing,
      canZero: false,
      pageSize: SECTOR,
      unit: SECTOR,
      // The footer follows the last block.
      isSerial: true,
    })
    this.#header = header
    this.#bitmapSize = Math.ceil(header.blockSize / SECTOR / 8 / SECTOR) * SECTOR
  }

  protected corrupt(text: string): DiskError {
    return new DiskError('corrupt', `vhd image '${this.name}' is damaged: ${text}`)
  }

  protected locate(cluster: number): Location | Promise<Location> {
    const at = this.#header.tableOffset + cluster * 4
    const page = this.metadata.peek(at)
    if (page === undefined) return this.metadata.look(at, () => {}).then(() => this.locate(cluster))
    const sector = page.view.getUint32(at - page.offset)
    if (sector === ABSENT) return { kind: 'absent' }
    if (sector * SECTOR + this.#bitmapSize > this.end)
      throw this.corrupt(`block ${cluster} lies outside of the file, which may have been cut`)
    const bitmap: DataView[] = []
    for (let i = 0; i < this.#bitmapSize; i += SECTOR) {
      const offset = sector * SECTOR + i
      const part = this.metadata.peek(offset)
      if (part === undefined) return this.metadata.look(offset, () => {}).then(() => this.locate(cluster))
      bitmap.push(part.view)
    }
    const rest = this.#header.isDifferencing ? 'absent' : 'zero'
    const state = (part: number): PartState =>
      bitmap[part >> 12].getUint8((part & 4095) >> 3) & (0x80 >> (part & 7)) ? 'data' : rest
    return {
      kind: 'data',
      offset: sector * SECTOR + this.#bitmapSize,
      isOwn: true,
      state: bitmap.every(isFull) ? undefined : state,
    }
  }

  protected async placesInUse(): Promise<PlacesInUse> {
    const { tableOffset, blocks, dynamicOffset } = this.#header
    const bytes = new Uint8Array(blocks * 4)
    await this.file.read(tableOffset, bytes)
    const view = new DataView(bytes.buffer)
    const places: number[] = []
    for (let i = 0; i < blocks; i++) {
      const sector = view.getUint32(i * 4)
      if (sector !== ABSENT) places.push(sector * SECTOR)
    }
    return {
      offsets: Float64Array.from(places),
      length: this.#bitmapSize + this.clusterSize,
      tables: [
        { offset: 0, length: SECTOR },
        { offset: dynamicOffset, length: DYNAMIC_HEADER_SIZE },
        { offset: tableOffset, length: Math.ceil((blocks * 4) / SECTOR) * SECTOR },
      ],
    }
  }

  protected override endOfFile(): number {
    return this.space.end * SECTOR + SECTOR
  }

  /** Puts the footer where it belongs, for a process that was killed may have left something else there. */
  protected override async prepare(): Promise<void> {
    await this.#placeFooter()
  }

  async #placeFooter(): Promise<void> {
    const end = this.space.end * SECTOR
    await this.file.write(end, this.#header.footer)
    await this.file.truncate(end + SECTOR)
    this.noteCut(end + SECTOR)
    this.space.wasCut()
  }

  protected override async trimEnd(): Promise<void> {
    if (this.file.size > this.endOfFile()) await this.#placeFooter()
  }

  /** A place for one block: its bitmap lies before it. The footer is behind it before anything is where that was. */
  protected async allocate(): Promise<Place> {
    const length = this.#bitmapSize + this.clusterSize
    const { start, isZero } = this.space.take(length / SECTOR)
    const offset = start * SECTOR + this.#bitmapSize
    try {
      if (isZero) await this.file.write(this.space.end * SECTOR, this.#header.footer)
      // Without a parent all of a block counts as written: others do not look at its bitmap.
      else if (!this.#header.isDifferencing) await this.#clear(offset)
      this.metadata.fresh(start * SECTOR, this.#bitmapSize)
    } catch (error) {
      this.space.release(start, length / SECTOR)
      throw error
    }
    return { offset, count: 1, isZero: isZero || !this.#header.isDifferencing }
  }

  async #clear(offset: number): Promise<void> {
    if (await this.file.punch(offset, this.clusterSize)) return
    const zeroes = new Uint8Array(Math.min(this.clusterSize, 2 ** 20))
    for (let at = 0; at < this.clusterSize; at += zeroes.length) await this.file.write(offset + at, zeroes)
  }

  protected unallocate(place: Place): void {
    const start = place.offset - this.#bitmapSize
    this.metadata.forget(start, this.#bitmapSize)
    this.space.release(start / SECTOR, (this.#bitmapSize + this.clusterSize) / SECTOR)
  }

  protected async link(cluster: number, _count: number, offset: number, from: number, to: number): Promise<void> {
    const isWhole = !this.#header.isDifferencing
    await this.#mark(offset - this.#bitmapSize, isWhole ? 0 : from, isWhole ? this.clusterSize : to)
    await this.metadata.update(this.#header.tableOffset + cluster * 4, STAGE.directory, (page, at) =>
      page.view.setUint32(at, (offset - this.#bitmapSize) / SECTOR),
    )
  }

  protected override async addParts(cluster: number, from: number, to: number): Promise<void> {
    const table = this.#header.tableOffset + cluster * 4
    const bitmap = await this.metadata.look(table, (page, at) => page.view.getUint32(at) * SECTOR)
    await this.#mark(bitmap, from, to)
  }

  /** Marks the sectors of a range of a block as present. */
  async #mark(bitmap: number, from: number, to: number): Promise<void> {
    const last = Math.min(to, this.clusterSize) / SECTOR
    for (let sector = from / SECTOR; sector < last; ) {
      const next = Math.min(last, (Math.floor(sector / 4096) + 1) * 4096)
      const first = sector
      await this.metadata.update(bitmap + Math.floor(sector / 4096) * SECTOR, STAGE.table, page => {
        for (let i = first; i < next; i++) page.bytes[(i & 4095) >> 3] |= 0x80 >> (i & 7)
      })
      sector = next
    }
  }

  protected async unlink(cluster: number): Promise<void> {
    const table = this.#header.tableOffset + cluster * 4
    const place = await this.metadata.look(table, (page, at) => page.view.getUint32(at) * SECTOR)
    await this.metadata.update(table, STAGE.directory, (page, at) => page.view.setUint32(at, ABSENT))
    this.metadata.forget(place, this.#bitmapSize)
    this.free(place, this.#bitmapSize + this.clusterSize)
  }
}

function isFull(bitmap: DataView): boolean {
  for (let at = 0; at < SECTOR; at += 4) if (bitmap.getUint32(at) !== 0xffffffff) return false
  return true
}

/** Makes an empty file an image. Its disk has the size that was asked for, whatever the geometry says. */
export async function createVhd(
  file: ByteFile,
  options: {
    size: number
    subformat?: 'dynamic' | 'fixed'
    /** The parent's name, for a differencing image. */
    backingFile?: string
    /** Milliseconds since 1970. */
    date: number
  },
): Promise<void> {
  const { size, subformat = 'dynamic', backingFile } = options
  if (size > 2040 * 2 ** 30) {
    throw new DiskError(
      'unsupported',
      `vhd image '${file.name}' cannot be made: it is too large, 2040 GiB are the most`,
    )
  }
  const type = subformat === 'fixed' ? TYPE.fixed : backingFile === undefined ? TYPE.dynamic : TYPE.differencing
  const footer = new Uint8Array(SECTOR)
  const view = new DataView(footer.buffer)
  const u64 = (view: DataView, at: number, value: number) => {
    view.setUint32(at, Math.floor(value / 2 ** 32))
    view.setUint32(at + 4, value >>> 0)
  }
  for (const [i, word] of VHD_COOKIE.entries()) view.setUint32(i * 4, word)
  view.setUint32(FOOTER.features, 2)
  view.setUint32(FOOTER.version, 0x00010000)
  view.setUint32(FOOTER.timeStamp, Math.max(0, Math.floor(options.date / 1000) - EPOCH))
  // Other readers take the size from the geometry unless the creator is one of those that mean the size.
  footer.set(new TextEncoder().encode('win '), FOOTER.creator)
  view.setUint32(FOOTER.creatorVersion, 0x000a0000)
  footer.set(new TextEncoder().encode('Wi2k'), FOOTER.creatorHost)
  u64(view, FOOTER.originalSize, size)
  u64(view, FOOTER.currentSize, size)
  const [cylinders, heads, sectors] = geometryOf(size / SECTOR)
  view.setUint16(FOOTER.geometry, cylinders)
  view.setUint8(FOOTER.geometry + 2, heads)
  view.setUint8(FOOTER.geometry + 3, sectors)
  view.setUint32(FOOTER.diskType, type)
  crypto.getRandomValues(footer.subarray(FOOTER.uniqueId, FOOTER.uniqueId + 16))
  if (type === TYPE.fixed) u64(view, FOOTER.dataOffset, Number.MAX_VALUE)
  else u64(view, FOOTER.dataOffset, SECTOR)
  if (type === TYPE.fixed) footer.fill(0xff, FOOTER.dataOffset, FOOTER.dataOffset + 8)
  view.setUint32(FOOTER.checksum, checksum(footer, FOOTER.checksum))
  if (type === TYPE.fixed) {
    await file.truncate(size)
    await file.write(size, footer)
    return
  }
  const dynamic = new Uint8Array(DYNAMIC_HEADER_SIZE)
  const dynamicView = new DataView(dynamic.buffer)
  for (const [i, word] of DYNAMIC_COOKIE.entries()) dynamicView.setUint32(i * 4, word)
  dynamic.fill(0xff, DYNAMIC.dataOffset, DYNAMIC.dataOffset + 8)
  u64(dynamicView, DYNAMIC.tableOffset, SECTOR + DYNAMIC_HEADER_SIZE)
  dynamicView.setUint32(DYNAMIC.version, 0x00010000)
  const blocks = Math.ceil(size / DEFAULT_BLOCK)
  dynamicView.setUint32(DYNAMIC.entries, blocks)
  dynamicView.setUint32(DYNAMIC.blockSize, DEFAULT_BLOCK)
  for (const [i, letter] of [...(backingFile ?? '')].slice(0, 255).entries()) {
    dynamicView.setUint16(DYNAMIC.parentName + i * 2, letter.charCodeAt(0))
  }
  dynamicView.setUint32(DYNAMIC.checksum, checksum(dynamic, DYNAMIC.checksum))
  const table = new Uint8Array(Math.ceil((blocks * 4) / SECTOR) * SECTOR).fill(0xff)
  await file.write(SECTOR, dynamic)
  await file.write(SECTOR + DYNAMIC_HEADER_SIZE, table)
  await file.write(SECTOR + DYNAMIC_HEADER_SIZE + table.length, footer)
  await file.write(0, footer)
}

/** Cylinders, heads and sectors of a disk, by the appendix of the specification. */
function geometryOf(total: number): [number, number, number] {
  total = Math.min(total, 65535 * 16 * 255)
  if (total >= 65535 * 16 * 63) return [Math.floor(total / 255 / 16), 16, 255]
  let sectors = 17
  let tracks = Math.floor(total / sectors)
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024))
  for (const more of [31, 63]) {
    if (tracks < heads * 1024 && heads <= 16) break
    sectors = more
    heads = 16
    tracks = Math.floor(total / sectors)
  }
  return [Math.floor(tracks / heads), heads, sectors]
}
