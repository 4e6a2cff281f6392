/** Moves a command's data by DMA: what bus-master IDE and AHCI have in common. */
import type { GuestMemory } from '../bus.ts'
import type { AtaAction, AtaDevice, PacketAction } from './ata.ts'
import { type BlockRequests, gather, readDisk, type Segment, scatter, totalLength } from './block.ts'

/** Bytes that are moved as one request. */
const PIECE = 4 << 20
const CD_SECTOR = 2048

/** A list of guest memory that a controller reads from its descriptors as far as it is needed. */
export class DmaCursor {
  /** Bytes taken so far. */
  moved = 0
  /** What was received for a `data-out`. */
  bytes: Uint8Array = new Uint8Array(0)
  readonly #next: () => Segment | undefined
  #rest: Segment | undefined

  /** @param next gives the next descriptor's memory, undefined after the last; it bounds their number */
  constructor(next: () => Segment | undefined) {
    this.#next = next
  }

  /** The next `length` bytes of the list, or what is left of it. */
  take(length: number): Segment[] {
    const segments: Segment[] = []
    while (length > 0) {
      const rest = this.#rest ?? this.#next()
      if (rest === undefined) break
      const count = Math.min(length, rest.length)
      if (count === rest.length) {
        this.#rest = undefined
        if (count > 0) segments.push(rest)
      } else {
        segments.push({ address: rest.address, length: count })
        this.#rest = { address: rest.address + count, length: rest.length - count }
      }
      length -= count
      this.moved += count
    }
    return segments
  }

  /** Whether the list is at its end. */
  get exhausted(): boolean {
    this.#rest ??= this.#next()
    return this.#rest === undefined
  }
}

/** How a transfer went: `short` if the list ended before the data, `accepted` if the cursor has the bytes of a `data-out`. */
export type DmaResult = 'done' | 'short' | 'accepted' | 'failed'

/** What a transfer is made with. */
export interface DmaJob {
  requests: BlockRequests
  memory: GuestMemory
  cursor: DmaCursor
  done(result: DmaResult): void
}

/** Does the data part of a command that has one. `done` is called later, when the guest may know. */
export function moveByDma(device: AtaDevice, action: AtaAction | PacketAction, job: DmaJob): void {
  switch (action.kind) {
    case 'data-in':
      give(action.bytes, job)
      break
    case 'data-out': {
      const segments = job.cursor.take(action.length)
      const short = totalLength(segments) < action.length
      if (!short) job.cursor.bytes = gather(job.memory, segments)
      later(job, short ? 'short' : 'accepted')
      break
    }
    case 'transfer':
      transfer(device, { ...action, flush: action.flush }, job)
      break
    case 'read':
      if (action.sectorBytes === CD_SECTOR) {
        const where = { write: false, offset: action.lba * CD_SECTOR, length: action.count * CD_SECTOR, flush: false }
        transfer(device, where, job)
      } else frames(device, { ...action }, job)
      break
    default:
      later(job, 'done')
  }
}

function later({ requests, done }: DmaJob, result: DmaResult, bytes = 0): void {
  requests.start({ bytes, run() {}, done: () => done(result) })
}

/** Bytes that the device has at hand. */
function give(bytes: Uint8Array, job: DmaJob): void {
  const segments = job.cursor.take(bytes.length)
  const run = () => {}
  const deliver = () => void scatter(job.memory, segments, bytes)
  const result = totalLength(segments) < bytes.length ? 'short' : 'done'
  job.requests.start({ bytes: bytes.length, run, deliver, done: () => job.done(result) })
}

/** Sectors, piece by piece. */
function transfer(
  device: AtaDevice,
  where: { write: boolean; offset: number; length: number; flush: boolean },
  job: DmaJob,
): void {
  const { disk } = device
  if (disk === undefined || where.offset + where.length > disk.size) {
    later(job, 'failed')
    return
  }
  const wanted = Math.min(where.length, PIECE)
  let segments = job.cursor.take(wanted)
  const available = totalLength(segments)
  const whole = available - (available % disk.sectorSize)
  if (whole < available) segments = cut(segments, whole)
  const { offset, write } = where
  const next = (error: Error | undefined) => {
    if (error) job.done('failed')
    else if (available < wanted) job.done('short')
    else if (where.length > wanted) {
      transfer(device, { ...where, offset: offset + wanted, length: where.length - wanted }, job)
    } else if (where.flush) {
      job.requests.start({ bytes: 0, run: () => disk.flush(), done: late => job.done(late ? 'failed' : 'done') })
    } else job.done('done')
  }
  if (whole === 0) later(job, 'short')
  else job.requests.transfer(job.memory, { disk, offset, segments, write, done: next })
}

function cut(segments: Segment[], length: number): Segment[] {
  const kept: Segment[] = []
  for (const segment of segments) {
    const count = Math.min(segment.length, length)
    if (count > 0) kept.push({ address: segment.address, length: count })
    length -= count
  }
  return kept
}

/** Sectors of a CD that are framed first. */
function frames(device: AtaDevice, where: { lba: number; count: number; sectorBytes: number }, job: DmaJob): void {
  const { disk, packet } = device
  const count = Math.min(where.count, 16)
  const buffer = new Uint8Array(count * CD_SECTOR)
  const segments = job.cursor.take(count * where.sectorBytes)
  const short = totalLength(segments) < count * where.sectorBytes
  job.requests.start({
    bytes: count * where.sectorBytes,
    run() {
      if (disk === undefined) throw new Error('there is no medium')
      const offset = where.lba * CD_SECTOR
      return readDisk(disk, offset, buffer)
    },
    deliver: () => void scatter(job.memory, segments, packet!.frame(buffer, where.lba)),
    done: error => {
      if (error) job.done('failed')
      else if (short) job.done('short')
      else if (where.count > count) {
        frames(device, { ...where, lba: where.lba + count, count: where.count - count }, job)
      } else job.done('done')
    },
  })
}
