/**
 * What storage controllers have in common: lists of guest memory, transfers, and when a request completes.
 *
 * A disk answers by promises, and some also at once (`Disk.immediate`): the fast way, straight between the host's
 * file and the guest's RAM. Otherwise what the guest wants written is copied when the request starts, and what it reads gets
 * into its memory all at once when the request completes, so that nothing of the host's timing is visible in between.
 *
 * When the guest hears of it: by the host's clock as soon as the disk is done, but never before the instruction that
 * started the request is over. Where time is counted in instructions, requests of a controller complete one behind the
 * other, each {@link REQUEST_NANOSECONDS} and a nanosecond a byte after its start or the one before; if the host is not
 * done by then the machine waits for it, and guest time stands. So a run is the same on every host.
 */
import type { Disk } from '../../disk/disk.ts'
import type { Clock, GuestMemory, Timer } from '../bus.ts'

/** Bytes of a sector, as the oldest and most common of media have it. */
export const SECTOR = 512

/** Guest time that a request takes where time is counted, besides a nanosecond a byte. */
export const REQUEST_NANOSECONDS = 20_000

/** Bytes that a controller moves without a break between two looks at the clock: a guest must not stop its machine's thread. */
const BURST_BYTES = 64 << 20

/** A piece of guest-physical memory. */
export interface Segment {
  address: number
  length: number
}

/** The host's part in requests that it does not answer at once. */
export interface HostWork {
  /** Guest time is counted, and requests complete at times of their own. */
  readonly repeatable: boolean
  /** Something has begun that the host will finish behind the machine's back: the event loop is wanted soon. */
  begin(): void
  /** Something that has begun is over. */
  end(): void
  /** The guest executes nothing before this resolves. */
  hold(until: Promise<void>): void
}

/** A host that is never late, for tests. */
export const IMMEDIATE_HOST: HostWork = { repeatable: false, begin() {}, end() {}, hold() {} }

/** How many bytes there are in a list. */
export function totalLength(segments: readonly Segment[]): number {
  let sum = 0
  for (const { length } of segments) sum += length
  return sum
}

/** The part of a list from byte `offset`, `length` bytes of it or what there is. Shares segments with the list. */
export function sliceSegments(segments: readonly Segment[], offset: number, length: number): Segment[] {
  const part: Segment[] = []
  for (const segment of segments) {
    if (length <= 0) break
    if (offset >= segment.length) {
      offset -= segment.length
      continue
    }
    const count = Math.min(segment.length - offset, length)
    part.push(count === segment.length ? segment : { address: segment.address + offset, length: count })
    length -= count
    offset = 0
  }
  return part
}

/** Views of a list's memory, for one transfer. */
export function viewsOf(memory: GuestMemory, segments: readonly Segment[], forWrite: boolean): Uint8Array[] {
  const views: Uint8Array[] = []
  for (let i = 0; i < segments.length; ) {
    // What lies behind one another is one piece.
    const { address } = segments[i]
    let length = 0
    do length += segments[i++].length
    while (i < segments.length && segments[i].address === address + length)
    for (const view of memory.views(address, length, forWrite)) views.push(view)
  }
  return views
}

/** Copies bytes into a list's memory, as far as there is room. @returns how many */
export function scatter(memory: GuestMemory, segments: readonly Segment[], bytes: Uint8Array): number {
  let done = 0
  for (const { address, length } of segments) {
    if (done >= bytes.length) break
    const count = Math.min(length, bytes.length - done)
    memory.write(address, bytes.subarray(done, done + count))
    done += count
  }
  return done
}

/** Copies a list's memory out. */
export function gather(memory: GuestMemory, segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(totalLength(segments))
  let done = 0
  for (const { address, length } of segments) {
    bytes.set(memory.read(address, length), done)
    done += length
  }
  return bytes
}

/** Fills a buffer from a disk, at once where it can. */
export function readDisk(disk: Disk, offset: number, buffer: Uint8Array): void | Promise<void> {
  if (!disk.immediate?.read(offset, [buffer])) return disk.read(offset, buffer)
}

/** Writes a buffer to a disk, at once where it can. */
export function writeDisk(disk: Disk, offset: number, buffer: Uint8Array): void | Promise<void> {
  if (!disk.immediate?.write(offset, [buffer])) return disk.write(offset, buffer)
}

/** One request of a controller. */
export interface BlockOperation {
  /** Bytes that it moves: what it costs. */
  bytes: number
  /** Does it. A throw or rejection is its failure. */
  run(): void | Promise<void>
  /** Hands over what was read, before {@link done}; not called after a failure. */
  deliver?(): void
  /** Tells the guest: the registers change, the interrupt comes. `error` is undefined if all went well. */
  done(error: Error | undefined): void
}

interface Started {
  operation: BlockOperation
  deadline: number
  finished: boolean
  error: Error | undefined
  /** Resolves when an operation that took a promise is finished. */
  settled: Promise<void> | undefined
}

/** Completes a request towards the guest. */
function tell({ operation, error }: Started): void {
  if (error === undefined) operation.deliver?.()
  operation.done(error)
}

/** A transfer between a disk and guest memory. */
export interface BlockTransfer {
  disk: Disk
  /** Where on the disk, in bytes. */
  offset: number
  /** Where in memory: as long as the transfer. */
  segments: readonly Segment[]
  /** From memory to the disk. */
  write: boolean
  /** As {@link BlockOperation.done}. */
  done(error: Error | undefined): void
}

/** The requests of one controller, or of one queue of it, and when each completes. */
export class BlockRequests {
  readonly #clock: Clock
  readonly #host: HostWork
  readonly #timer: Timer
  /** In the order of completion, which is that of the starts. */
  #started: Started[] = []
  /** What waits for its start because much was moved already. */
  #waiting: BlockOperation[] = []
  #burst = 0
  /** Asynchronous operations by the host's clock, which complete when they do. */
  #loose = new Set<Started>()

  constructor(clock: Clock, host: HostWork = IMMEDIATE_HOST) {
    this.#clock = clock
    this.#host = host
    this.#timer = clock.timer(() => this.#complete())
  }

  /** How many requests have begun or wait and are not complete. */
  get pending(): number {
    return this.#started.length + this.#waiting.length + this.#loose.size
  }

  /** Begins a transfer. */
  transfer(memory: GuestMemory, { disk, offset, segments, write, done }: BlockTransfer): void {
    const bytes = totalLength(segments)
    if (write) {
      const run = () => {
        if (disk.immediate?.write(offset, viewsOf(memory, segments, false))) return
        return disk.write(offset, gather(memory, segments))
      }
      this.start({ bytes, run, done })
      return
    }
    let buffer: Uint8Array | undefined
    const run = () => {
      // By counted time even what is there at once is seen only at its time, as it would be if it came later.
      if (!this.#host.repeatable && disk.immediate?.read(offset, viewsOf(memory, segments, true))) return
      buffer = new Uint8Array(bytes)
      if (disk.immediate?.read(offset, [buffer])) return
      return disk.read(offset, buffer)
    }
    const deliver = () => {
      if (buffer) scatter(memory, segments, buffer)
    }
    this.start({ bytes, run, deliver, done })
  }

  /** Begins a request. {@link BlockOperation.done} is never called before this returns. */
  start(operation: BlockOperation): void {
    if (this.#waiting.length > 0 || this.#burst > BURST_BYTES) {
      this.#waiting.push(operation)
      this.#arm()
    } else this.#begin(operation)
  }

  /** Forgets every request: nobody hears of it. What it was doing may still happen to the disk, but not to the guest. */
  cancel(): void {
    this.#started = []
    this.#waiting = []
    this.#loose.clear()
    this.#timer.cancel()
  }

  #begin(operation: BlockOperation): void {
    const { repeatable } = this.#host
    this.#burst += operation.bytes
    const started: Started = {
      operation,
      deadline: 0,
      finished: false,
      error: undefined,
      settled: undefined,
    }
    const { work, error } = attempt(operation)
    started.error = error
    const now = this.#clock.now()
    const before = this.#started.at(-1)?.deadline ?? now
    started.deadline = repeatable ? Math.max(now, before) + REQUEST_NANOSECONDS + operation.bytes : now
    if (work !== undefined) this.#follow(started, work)
    else started.finished = true
    if (work !== undefined && !repeatable) {
      this.#loose.add(started)
      return
    }
    this.#started.push(started)
    this.#arm()
  }

  #follow(started: Started, work: Promise<void>): void {
    this.#host.begin()
    started.settled = work.then(
      () => this.#finish(started, undefined),
      error => this.#finish(started, asError(error)),
    )
  }

  #finish(started: Started, error: Error | undefined): void {
    started.finished = true
    started.error = error
    this.#host.end()
    if (this.#loose.delete(started)) tell(started)
  }

  #arm(): void {
    if (this.#started.length + this.#waiting.length === 0) return
    const deadline = this.#started.length > 0 ? this.#started[0].deadline : this.#clock.now()
    this.#timer.arm(deadline)
  }

  /** The first deadline is here. */
  #complete(): void {
    this.#burst = 0
    while (this.#started.length > 0) {
      const [first] = this.#started
      if (first.deadline > this.#clock.now()) break
      if (!first.finished) {
        // By counted time the guest waits for the host; the timer is due again as soon as it goes on.
        this.#host.hold(first.settled!.then(() => this.#arm()))
        return
      }
      this.#started.shift()
      tell(first)
    }
    while (this.#waiting.length > 0 && this.#burst <= BURST_BYTES) this.#begin(this.#waiting.shift()!)
    this.#arm()
  }
}

/** Begins an operation. What it throws is an error as any other. */
function attempt(operation: BlockOperation): { work?: Promise<void>; error?: Error } {
  try {
    return { work: operation.run() ?? undefined }
  } catch (error) {
    return { error: asError(error) }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
