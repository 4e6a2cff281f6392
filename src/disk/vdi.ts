/**
 * VDI images, VirtualBox's: a header, a map of blocks, blocks in the order in which they were first written. Every
 * block up to their count is in use, so that a block once allocated stays: discarding one makes a hole in the file.
 */
import type { ByteFile } from './byte-file.ts'
import { CheckReport } from './check.ts'
import type { Location, Place } from './cluster.ts'
import { DiskError } from './disk.ts'
import type { FreeSpace } from './space.ts'
import { type PlacesInUse, STAGE, TableDisk } from './table-disk.ts'

const SECTOR = 512
/** `u32Signature`, at 64. */
export const VDI_SIGNATURE = 0xbeda107f
const VERSION = 0x00010001
/** Entries of the map that are no block: never written, and zeros. */
const [FREE, ZERO] = [0xffffffff, 0xfffffffe]
/** Most blocks, as the other implementations have it. */
const BLOCKS_LIMIT = 0x3fffffff / 4
/** A map up to this many bytes is written together with the header. */
const SMALL_MAP = 65536
const DEFAULT_BLOCK = 2 ** 20

/** Offsets of fields. */
const FIELD = {
  signature: 0x40,
  version: 0x44,
  headerSize: 0x48,
  imageType: 0x4c,
  offsetBlocks: 0x154,
  offsetData: 0x158,
  sectorSize: 0x168,
  diskSize: 0x170,
  blockSize: 0x178,
  blockExtra: 0x17c,
  blocksInImage: 0x180,
  blocksAllocated: 0x184,
  uuidImage: 0x188,
  uuidSnapshot: 0x198,
  uuidLink: 0x1a8,
  uuidParent: 0x1b8,
} as const

interface VdiHeader {
  size: number
  blockSize: number
  mapOffset: number
  dataOffset: number
  blocks: number
  allocated: number
}

/** Opens an image. @throws DiskError */
export async function openVdi(file: ByteFile): Promise<VdiDisk> {
  const bytes = new Uint8Array(SECTOR)
  await file.read(0, bytes)
  const view = new DataView(bytes.buffer)
  const corrupt = (text: string) => new DiskError('corrupt', `vdi image '${file.name}' is damaged: ${text}`)
  const unsupported = (text: string) => new DiskError('unsupported', `vdi image '${file.name}' ${text}`)
  const u32 = (at: number) => view.getUint32(at, true)
  if (u32(FIELD.signature) !== VDI_SIGNATURE) throw new DiskError('format', `file '${file.name}' is no vdi image`)
  if (u32(FIELD.version) !== VERSION) throw unsupported(`is of version ${u32(FIELD.version) >>> 16}: only 1.1 is known`)
  const isZero = (at: number, length: number) => bytes.subarray(at, at + length).every(byte => byte === 0)
  if (!isZero(FIELD.uuidLink, 16) || !isZero(FIELD.uuidParent, 16) || u32(FIELD.imageType) > 2) {
    throw unsupported('is a difference to another, which is not supported: convert it with what made it')
  }
  const header: VdiHeader = {
    size: u32(FIELD.diskSize + 4) * 2 ** 32 + u32(FIELD.diskSize),
    blockSize: u32(FIELD.blockSize),
    mapOffset: u32(FIELD.offsetBlocks),
    dataOffset: u32(FIELD.offsetData),
    blocks: u32(FIELD.blocksInImage),
    allocated: u32(FIELD.blocksAllocated),
  }
  const { size, blockSize, mapOffset, dataOffset, blocks, allocated } = header
  if (u32(FIELD.sectorSize) !== SECTOR || u32(FIELD.blockExtra) !== 0) throw unsupported('has blocks of an odd kind')
  if (blockSize < 4096 || blockSize > 2 ** 28 || !Number.isInteger(Math.log2(blockSize))) {
    throw corrupt(`its blocks have ${blockSize} bytes`)
  }
  if (!Number.isSafeInteger(size) || size % SECTOR !== 0) throw corrupt(`its size is ${size} bytes`)
  if (blocks > BLOCKS_LIMIT || blocks * blockSize < size) throw corrupt(`it has ${blocks} blocks for ${size} bytes`)
  if (
    mapOffset % SECTOR !== 0 ||
    mapOffset < SECTOR ||
    mapOffset + blocks * 4 > dataOffset ||
    dataOffset % SECTOR !== 0
  ) {
    throw corrupt('its map and its blocks lie on each other')
  }
  if (allocated > blocks) throw corrupt(`${allocated} of ${blocks} blocks are in use`)
  if (mapOffset + blocks * 4 > Math.ceil(file.size / SECTOR) * SECTOR) throw corrupt('its map was cut')
  return new VdiDisk(file, header)
}

/** An open image. */
export class VdiDisk extends TableDisk {
  readonly #header: VdiHeader
  /** Blocks that are being written for the first time, behind those in use. */
  #coming = 0

  constructor(file: ByteFile, header: VdiHeader) {
    super({
      file,
      size: header.size,
      clusterSize: header.blockSize,
      pageSize: SECTOR,
      unit: header.blockSize,
      keepsClusters: true,
      // Blocks are in use up to their count, so that none may be linked before those that precede it.
      isSerial: true,
    })
    this.#header = header
  }

  protected corrupt(text: string): DiskError {
    return new DiskError('corrupt', `vdi image '${this.name}' is damaged: ${text}`)
  }

  protected locate(cluster: number): Location | Promise<Location> {
    const at = this.#header.mapOffset + cluster * 4
    const page = this.metadata.peek(at)
    if (page === undefined) return this.metadata.look(at, () => {}).then(() => this.locate(cluster))
    const block = page.view.getUint32(at - page.offset, true)
    if (block === FREE) return { kind: 'absent' }
    if (block === ZERO) return { kind: 'zero' }
    if (block >= this.#header.blocks) throw this.corrupt(`block ${cluster} is number ${block} in the file`)
    return { kind: 'data', offset: this.#header.dataOffset + block * this.clusterSize, isOwn: true }
  }

  protected override async findSpace(): Promise<FreeSpace> {
    const space = await super.findSpace()
    const { numbers } = await this.#readMap()
    // A host that crashed may have left another count in the header than there are blocks.
    let end = 0
    for (const number of numbers) end = Math.max(end, number + 1)
    this.#header.allocated = end
    return space
  }

  /** The numbers of all blocks that are in use. @throws DiskError `corrupt` */
  async #readMap(): Promise<{ numbers: number[] }> {
    const { mapOffset, blocks } = this.#header
    const bytes = new Uint8Array(blocks * 4)
    await this.file.read(mapOffset, bytes)
    const view = new DataView(bytes.buffer)
    const numbers: number[] = []
    for (let i = 0; i < blocks; i++) {
      const number = view.getUint32(i * 4, true)
      if (number >= ZERO) continue
      if (number >= blocks) throw this.corrupt(`block ${i} is number ${number} in the file`)
      numbers.push(number)
    }
    return { numbers }
  }

  protected async placesInUse(): Promise<PlacesInUse> {
    const { numbers } = await this.#readMap()
    const { dataOffset } = this.#header
    return {
      offsets: Float64Array.from(numbers, number => dataOffset + number * this.clusterSize),
      length: this.clusterSize,
      tables: [{ offset: 0, length: dataOffset }],
    }
  }

  protected override endOfFile(): number {
    return this.#header.dataOffset + (this.#header.allocated + this.#coming) * this.clusterSize
  }

  protected override async trimEnd(): Promise<void> {}

  protected allocate(count: number): Place {
    this.#coming = count
    return { offset: this.#header.dataOffset + this.#header.allocated * this.clusterSize, count, isZero: true }
  }

  /** What was written there remains: the next one who gets the place must not take it for zeros. */
  protected unallocate(place: Place): void {
    this.#coming = 0
    void this.file.truncate(Math.min(this.file.size, place.offset)).catch(() => {})
    this.noteCut(place.offset)
  }

  protected async link(cluster: number, count: number, offset: number): Promise<void> {
    const number = (offset - this.#header.dataOffset) / this.clusterSize
    for (let i = 0; i < count; i++) await this.metadata.look(this.#header.mapOffset + (cluster + i) * 4, () => {})
    for (let i = 0; i < count; i++) {
      await this.metadata.update(this.#header.mapOffset + (cluster + i) * 4, STAGE.table, (page, at) =>
        page.view.setUint32(at, number + i, true),
      )
    }
    this.#header.allocated += count
    this.#coming = 0
    await this.metadata.update(FIELD.blocksAllocated, STAGE.table, (page, at) =>
      page.view.setUint32(at, this.#header.allocated, true),
    )
  }

  protected unlink(): Promise<void> {
    throw new TypeError('blocks of a vdi image stay')
  }

  /** The count of blocks and the map have to agree, so they are written at one go where that can be. */
  protected override async writeTables(): Promise<void> {
    const parts = this.metadata.parts(STAGE.table)
    const last = parts.at(-1)
    const end = last ? last.offset + last.bytes.length : 0
    if (end <= SMALL_MAP) {
      const bytes = new Uint8Array(end)
      for (let at = 0; at < end; at += SECTOR) {
        bytes.set(await this.metadata.look(at, page => page.bytes.slice()), at)
      }
      await this.file.writeInOrder([{ offset: 0, bytes }])
    } else {
      await this.file.writeInOrder(parts)
    }
    this.metadata.written(STAGE.table)
  }

  /** Looks for contradictions. @param repair whether the count of blocks is to be set right */
  async check(repair: boolean): Promise<CheckReport> {
    const report = new CheckReport()
    const { numbers } = await this.#readMap()
    const { allocated, blocks } = this.#header
    report.total = blocks
    report.allocated = numbers.length
    const seen = new Set<number>()
    for (const number of numbers) {
      if (seen.has(number)) report.error(`block ${number} of the file is used twice`)
      seen.add(number)
    }
    if (numbers.length === allocated) return report
    report.error(`the header says that ${allocated} blocks are in use, but ${numbers.length} are`)
    if (repair && seen.size === numbers.length) {
      await this.beforeWrite()
      await this.exclusively(() =>
        this.metadata.update(FIELD.blocksAllocated, STAGE.table, (page, at) =>
          page.view.setUint32(at, this.#header.allocated, true),
        ),
      )
      await this.flush()
      report.repaired++
    }
    return report
  }
}

/** Makes an empty file an image. */
export async function createVdi(
  file: ByteFile,
  options: { size: number; subformat?: 'dynamic' | 'static' },
): Promise<void> {
  const { size, subformat = 'dynamic' } = options
  const blockSize = DEFAULT_BLOCK
  const blocks = Math.ceil(size / blockSize)
  if (blocks > BLOCKS_LIMIT)
    throw new DiskError('unsupported', `vdi image '${file.name}' cannot be made: it is too large`)
  const dataOffset = Math.ceil((SECTOR + blocks * 4) / blockSize) * blockSize
  const isStatic = subformat === 'static'
  const bytes = new Uint8Array(SECTOR + Math.ceil((blocks * 4) / SECTOR) * SECTOR)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode('<<< typetwo virtual disk image >>>\n'))
  const fields: [number, number][] = [
    [FIELD.signature, VDI_SIGNATURE],
    [FIELD.version, VERSION],
    [FIELD.headerSize, 0x180],
    [FIELD.imageType, isStatic ? 2 : 1],
    [FIELD.offsetBlocks, SECTOR],
    [FIELD.offsetData, dataOffset],
    [FIELD.sectorSize, SECTOR],
    [FIELD.diskSize, size >>> 0],
    [FIELD.diskSize + 4, Math.floor(size / 2 ** 32)],
    [FIELD.blockSize, blockSize],
    [FIELD.blocksInImage, blocks],
    [FIELD.blocksAllocated, isStatic ? blocks : 0],
  ]
  for (const [at, value] of fields) view.setUint32(at, value, true)
  for (const at of [FIELD.uuidImage, FIELD.uuidSnapshot]) crypto.getRandomValues(bytes.subarray(at, at + 16))
  for (let i = 0; i < blocks; i++) view.setUint32(SECTOR + i * 4, isStatic ? i : FREE, true)
  await file.truncate(dataOffset + (isStatic ? blocks * blockSize : 0))
  await file.write(0, bytes)
}
