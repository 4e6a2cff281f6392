/**
 * VHDX images, Hyper-V's: dynamic and fixed. Changes of the table of blocks are made in place, in sectors whose entries
 * do not depend on each other, after the data is on the medium; the log, which is for changes that belong together, is
 * replayed where others left one, and stays empty here.
 */
import type { ByteFile } from '../byte-file.ts'
import type { Location, Place } from '../cluster.ts'
import { type Disk, DiskError } from '../disk.ts'
import { type PlacesInUse, STAGE, TableDisk } from '../table-disk.ts'
import { readLog, replayedFile, replayLog } from './log.ts'
import {
  MIB,
  NO_LOG,
  type Region,
  readParameters,
  readRegions,
  readVhdxHeader,
  VHDX_SIGNATURE,
  type VhdxHeader,
  type VhdxParameters,
  writeVhdxHeader,
} from './structures.ts'

/** States of a block. */
const STATE = { notPresent: 0, undefined: 1, zero: 2, unmapped: 3, full: 6, partial: 7 } as const
/** Largest disk there is. */
const SIZE_LIMIT = 64 * 2 ** 40

/** Opens an image. One that was not closed is completed first; where it is read-only, it is read as if it had been. */
export async function openVhdx(file: ByteFile): Promise<Disk> {
  const start = new Uint8Array(8)
  await file.read(0, start)
  const view = new DataView(start.buffer)
  if (view.getUint32(0) !== VHDX_SIGNATURE[0] || view.getUint32(4) !== VHDX_SIGNATURE[1]) {
    throw new DiskError('format', `file '${file.name}' is no vhdx image`)
  }
  let header = await readVhdxHeader(file)
  const replay = await readLog(file, header)
  if (replay && file.readOnly) file = replayedFile(file, replay)
  else if (replay) await replayLog(file, replay)
  if (header.logGuid !== NO_LOG && !file.readOnly) header = await writeVhdxHeader(file, header, false)
  const regions = await readRegions(file)
  const parameters = await readParameters(file, regions.metadata)
  const corrupt = (text: string) => new DiskError('corrupt', `vhdx image '${file.name}' is damaged: ${text}`)
  const { blockSize, sectorSize, size } = parameters
  if (parameters.hasParent) {
    throw new DiskError('unsupported', `vhdx image '${file.name}' is a difference to another, which is not supported`)
  }
  if (blockSize < MIB || blockSize > 256 * MIB || !Number.isInteger(Math.log2(blockSize))) {
    throw corrupt(`its blocks have ${blockSize} bytes`)
  }
  if (sectorSize !== 512 && sectorSize !== 4096) throw corrupt(`its sectors have ${sectorSize} bytes`)
  if (!(size <= SIZE_LIMIT) || size % sectorSize !== 0) throw corrupt(`its size is ${size} bytes`)
  const disk = new VhdxDisk(file, header, regions, parameters)
  if (disk.tableLength > regions.bat.length) throw corrupt('its table of blocks is too short')
  return disk
}

/** An open image. */
export class VhdxDisk extends TableDisk {
  #header: VhdxHeader
  readonly #regions: { bat: Region; metadata: Region }
  /** Blocks between two entries of bitmaps in the table. */
  readonly #chunk: number

  constructor(
    file: ByteFile,
    header: VhdxHeader,
    regions: { bat: Region; metadata: Region },
    parameters: VhdxParameters,
  ) {
    const { size, blockSize, sectorSize } = parameters
    super({ file, size, clusterSize: blockSize, sectorSize, pageSize: 4096, unit: MIB })
    this.#header = header
    this.#regions = regions
    this.#chunk = (2 ** 23 * sectorSize) / blockSize
  }

  /** Bytes that the table of blocks has to have. */
  get tableLength(): number {
    const blocks = Math.ceil(this.size / this.clusterSize)
    return (blocks + Math.floor(Math.max(0, blocks - 1) / this.#chunk)) * 8
  }

  protected corrupt(text: string): DiskError {
    return new DiskError('corrupt', `vhdx image '${this.name}' is damaged: ${text}`)
  }

  /** Where the entry of a block is. */
  #entry(cluster: number): number {
    return this.#regions.bat.offset + (cluster + Math.floor(cluster / this.#chunk)) * 8
  }

  protected locate(cluster: number): Location | Promise<Location> {
    const at = this.#entry(cluster)
    const page = this.metadata.peek(at)
    if (page === undefined) return this.metadata.look(at, () => {}).then(() => this.locate(cluster))
    const { state, offset } = decode(page.view, at - page.offset)
    if (state === STATE.full) return { kind: 'data', offset, isOwn: true }
    if (state <= STATE.unmapped) return { kind: 'absent' }
    throw this.corrupt(`block ${cluster} is in the state ${state}`)
  }

  protected async placesInUse(): Promise<PlacesInUse> {
    const { bat, metadata } = this.#regions
    const bytes = new Uint8Array(this.tableLength)
    await this.file.read(bat.offset, bytes)
    const view = new DataView(bytes.buffer)
    const places: number[] = []
    for (let at = 0; at < bytes.length; at += 8) {
      const { state, offset } = decode(view, at)
      if (state === STATE.full && (at / 8 + 1) % (this.#chunk + 1) !== 0) places.push(offset)
    }
    const log = { offset: this.#header.logOffset, length: this.#header.logLength }
    return {
      offsets: Float64Array.from(places),
      length: this.clusterSize,
      tables: [{ offset: 0, length: MIB }, bat, metadata, ...(log.length > 0 ? [log] : [])],
    }
  }

  protected override async prepare(): Promise<void> {
    this.#header = await writeVhdxHeader(this.file, this.#header, true)
  }

  protected allocate(count: number): Place {
    const units = this.clusterSize / MIB
    const { start, count: taken, isZero } = this.space.take(count * units)
    return { offset: start * MIB, count: taken / units, isZero }
  }

  protected unallocate(place: Place): void {
    this.space.release(place.offset / MIB, (place.count * this.clusterSize) / MIB)
  }

  protected async link(cluster: number, count: number, offset: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.metadata.look(this.#entry(cluster + i), () => {})
    for (let i = 0; i < count; i++) {
      const place = offset + i * this.clusterSize
      await this.metadata.update(this.#entry(cluster + i), STAGE.table, (page, at) =>
        encode(page.view, at, STATE.full, place),
      )
    }
  }

  protected async unlink(cluster: number): Promise<void> {
    const { offset } = await this.metadata.update(this.#entry(cluster), STAGE.table, (page, at) => {
      const old = decode(page.view, at)
      encode(page.view, at, STATE.zero, 0)
      return old
    })
    this.free(offset, this.clusterSize)
  }
}

/** An entry of the table: a state, and a place in MiB. */
function decode(view: DataView, at: number): { state: number; offset: number } {
  const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)]
  return { state: low & 7, offset: (high * 2 ** 12 + (low >>> 20)) * MIB }
}

function encode(view: DataView, at: number, state: number, offset: number): void {
  const megabytes = offset / MIB
  view.setUint32(at, (((megabytes % 2 ** 12) << 20) | state) >>> 0, true)
  view.setUint32(at + 4, Math.floor(megabytes / 2 ** 12), true)
}
