import type { GuestMemory } from '../devices/bus.ts'
import { Arena, ArenaFullError } from './arena.ts'
import { APART, CPU_MEMORY_SIZE, FRAME_TABLE_BASE, JOINED, MAX_FRAMES, type RamPlacement, WASM_PAGE } from './layout.ts'

/** Bytes of a frame. */
export const FRAME_SIZE = 4096

/** Bits of a frame-table entry; the rest (bits 12–31) is the frame's address in memory 1. */
export const FRAME_PRESENT = 1
/** Writes may go to the frame as it is; without it they first get a frame of their own (copy-on-write). */
export const FRAME_WRITABLE = 2
/** Code was decoded from the frame: writes must be seen by the engines. */
export const FRAME_CODE = 4
/** Written since the dirty log was cleared. */
export const FRAME_DIRTY = 8

/** RAM below 4 GiB ends here when there is more of it: above is the hole for devices. */
export const LOW_RAM_LIMIT = 0xc0000000
/** Most bytes of a memory with addresses of 32 bits. */
const MOST_MEMORY = 0x100000000
const HIGH_RAM_START = 0x100000000
/** Bytes up to which a loop copies sooner than a call that needs views of both sides; V8 has arrays so small in its own heap. */
const SMALL = 64

/** A range of guest-physical RAM. */
export interface RamRegion {
  start: number
  length: number
}

/** What is to be told of changes that devices or other parts make under an engine's feet. */
export interface MemoryObserver {
  /**
   * Bytes `first` to `last` of a frame with FRAME_CODE are about to be written, or to be no longer what lies at the frame's
   * address in memory 1.
   */
  codeWritten(frame: number, first: number, last: number): void
  /** The frame moved in memory 1 or lost rights: what TLBs hold of it is wrong. */
  frameChanged(frame: number): void
  /** The same of `count` frames from `first`, at once; with `writesOnly` they are only to take the slow path when next written. */
  framesChanged?(first: number, count: number, writesOnly: boolean): void
}

/**
 * The guest's physical memory: frames of an arena (memory 1), found through the frame table in memory 0. Everything
 * that happens to guest RAM (copy-on-write, sharing, dirty logging, code tracking) is a bit or an address there.
 */
export class PhysicalMemory implements GuestMemory {
  /** Memory 0: CPU state, TLB, frame table, decoded code. */
  readonly cpuMemory: WebAssembly.Memory
  /** Memory 1: the arena of frames; the same, where {@link placement} says so. */
  readonly ramMemory: WebAssembly.Memory
  /** Where memory 1 lies. */
  readonly placement: RamPlacement
  /** The frame table by guest-physical frame number. */
  readonly frames: Uint32Array
  /** Memory 1 as bytes; another view after it has grown. */
  ram: Uint8Array
  /** Memory 1 as words; likewise. */
  ram32: Int32Array
  /** Memory 1's frames. */
  readonly arena: Arena
  /** Guest-physical frames by address in memory 1, where that is not the frame that had the address at the start. */
  private readonly owners = new Map<number, number[]>()
  /** Where writes go to frames that are mapped for reading only, by frame number: an address in memory 1. */
  private readonly writeTargets = new Map<number, number>()
  /** Takes the writes to read-only memory; nobody reads it. -1 until it is needed. */
  private nowhere = -1
  /** Bytes of RAM. */
  readonly size: number
  /** Where RAM below 4 GiB ends when there is more of it. */
  readonly lowLimit: number
  /** One past the highest guest-physical frame. */
  readonly frameCount: number
  observer: MemoryObserver | undefined

  /**
   * @param size bytes of RAM, a multiple of 4096
   * @param limit most bytes of the arena, in which frames that are written get copies while somebody holds the old ones
   * @param lowLimit where RAM below 4 GiB ends when there is more of it
   * @throws RangeError when the host cannot give it.
   */
  constructor(size: number, limit = 2 * size, lowLimit = LOW_RAM_LIMIT) {
    this.size = size
    this.lowLimit = lowLimit
    this.placement = size <= MOST_MEMORY - JOINED.offset ? JOINED : APART
    const from = this.placement.offset
    const most = Math.min(Math.max(limit, size), MOST_MEMORY - from)
    this.ramMemory = sharedMemory(from + size, from + most)
    this.cpuMemory = from ? this.ramMemory : sharedMemory(CPU_MEMORY_SIZE, CPU_MEMORY_SIZE)
    this.arena = new Arena(this.ramMemory, from, size, most)
    this.ram = new Uint8Array(this.ramMemory.buffer, from)
    this.ram32 = new Int32Array(this.ramMemory.buffer, from)
    this.frames = new Uint32Array(this.cpuMemory.buffer, FRAME_TABLE_BASE, MAX_FRAMES)
    let arena = 0
    this.frameCount = 0
    for (const { start, length } of this.regions()) {
      const first = start / FRAME_SIZE
      const count = length / FRAME_SIZE
      if (first + count > MAX_FRAMES) throw new RangeError(`${size} bytes of RAM do not fit the frame table`)
      for (let i = 0; i < count; i++, arena += FRAME_SIZE) {
        this.frames[first + i] = arena | FRAME_PRESENT | FRAME_WRITABLE
      }
      this.frameCount = first + count
    }
  }

  /** Where RAM is: below the device hole, and from 4 GiB on what did not fit there. */
  regions(): RamRegion[] {
    if (this.size <= this.lowLimit) return [{ start: 0, length: this.size }]
    return [
      { start: 0, length: this.lowLimit },
      { start: HIGH_RAM_START, length: this.size - this.lowLimit },
    ]
  }

  /** The address in memory 1 of a guest-physical byte, or -1 where there is no RAM. */
  locate(address: number): number {
    const frame = Math.floor(address / FRAME_SIZE)
    const entry = frame < MAX_FRAMES ? this.frames[frame] : 0
    return entry & FRAME_PRESENT ? ((entry & ~0xfff) + (address & 0xfff)) >>> 0 : -1
  }

  /**
   * As {@link locate}, for a write of `length` bytes within the frame: marks it dirty, tells the observer, and gives the frame
   * a copy of its own where others use it too.
   * @throws ArenaFullError when there is no room for the copy; nothing has changed then
   */
  locateForWrite(address: number, length: number): number {
    const frame = Math.floor(address / FRAME_SIZE)
    const entry = frame < MAX_FRAMES ? this.frames[frame] : 0
    if (!(entry & FRAME_PRESENT)) return -1
    const offset = address & 0xfff
    if (!(entry & FRAME_WRITABLE) && this.writeTargets.has(frame)) return this.locateTarget(frame, offset, length)
    if (!(entry & FRAME_WRITABLE)) this.makeWritable(frame, offset, offset + length - 1)
    if (this.frames[frame] & FRAME_CODE) this.observer?.codeWritten(frame, offset, offset + length - 1)
    this.frames[frame] |= FRAME_DIRTY
    return ((this.frames[frame] & ~0xfff) + offset) >>> 0
  }

  /**
   * Gives a guest-physical frame the contents of another, without a copy: both are one frame of the arena until one of
   * them is written. What it held before is lost.
   * @param from frame number of what is kept
   * @param to frame number that gets it
   * @throws RangeError where one of them is no RAM
   */
  shareFrames(from: number, to: number): void {
    const address = this.addressOf(from)
    const old = this.addressOf(to)
    if (address === old) return
    this.protectFrame(from)
    this.dropCode(to)
    this.arena.retain(address)
    this.retarget(to, address, 0)
    this.arena.release(old)
  }

  /**
   * Holds what a guest-physical frame contains now: whoever writes the frame from now on gets a copy.
   * @returns the address in memory 1 where the contents stay until {@link releaseFrame}
   * @throws RangeError where there is no RAM
   */
  holdFrame(frame: number): number {
    const address = this.addressOf(frame)
    this.protectFrame(frame)
    this.arena.retain(address)
    return address
  }

  /** Ends what {@link holdFrame} began; the last user's next write finds the frame its own. */
  releaseFrame(address: number): void {
    this.arena.release(address)
  }

  /**
   * A new frame in memory 1 that lies nowhere in guest-physical space yet, for {@link placeFrame}: read-only memory and
   * the like.
   * @param contents up to 4096 bytes; the rest are ones
   * @throws ArenaFullError when there is no room
   */
  addFrame(contents: Uint8Array): number {
    const address = this.arena.allocate()
    if (address < 0) throw new ArenaFullError('the machine has no room for read-only memory: give it less --memory')
    this.refresh()
    this.ram.fill(0xff, address, address + FRAME_SIZE)
    this.ram.set(contents.subarray(0, FRAME_SIZE), address)
    return address
  }

  /** Gives back what {@link addFrame} gave; it must lie nowhere. */
  removeFrame(address: number): void {
    this.arena.release(address)
  }

  /**
   * Takes what lies at a guest-physical frame away from there: accesses find no RAM. Does nothing where there is none.
   * @returns its address in memory 1, for {@link placeFrame}, or -1
   */
  takeFrame(frame: number): number {
    const entry = this.frames[frame]
    if (!(entry & FRAME_PRESENT)) return -1
    const address = (entry & ~0xfff) >>> 0
    this.dropCode(frame)
    const left = this.framesAt(address).filter(other => other !== frame)
    this.owners.set(address, left)
    this.writeTargets.delete(frame)
    this.frames[frame] = 0
    this.observer?.frameChanged(frame)
    return address
  }

  /**
   * Lets a frame of memory 1 lie at a guest-physical frame where nothing does. It may lie at several.
   * @param writes where writes go: `here`, `nowhere`, to the `device` that answers this address on the bus (those of a device's
   * DMA are lost), or to another frame, by its address in memory 1
   */
  placeFrame(frame: number, address: number, writes: 'here' | 'nowhere' | 'device' | number): void {
    const there = this.ownersAt(address)
    this.owners.set(address, [...there, frame])
    const code = there.some(other => this.frames[other] & FRAME_CODE) ? FRAME_CODE : 0
    let rights = FRAME_DIRTY
    if (writes === 'device') this.writeTargets.set(frame, -1)
    else if (writes !== 'here') this.writeTargets.set(frame, writes === 'nowhere' ? this.lostWrites() : writes)
    else if (!this.arena.isShared(address)) rights |= FRAME_WRITABLE
    this.frames[frame] = address | FRAME_PRESENT | rights | code
    this.observer?.frameChanged(frame)
  }

  /**
   * Memory of a device, zeros: frames one behind the other in memory 1 that lie nowhere yet, for {@link placeRange}.
   * @returns the address of the first
   * @throws ArenaFullError when there is no room
   */
  addRange(count: number): number {
    const address = this.arena.allocateRange(count)
    if (address < 0) throw new ArenaFullError('the machine has no room for display memory: give it less --memory')
    this.refresh()
    return address
  }

  /** Lets frames that lie one behind the other in memory 1 lie at guest-physical frames from `first`, but where others do. */
  placeRange(first: number, count: number, address: number): void {
    for (let i = 0; i < count && first + i < MAX_FRAMES; i++) {
      if (this.frames[first + i] & FRAME_PRESENT) continue
      const at = address + i * FRAME_SIZE
      const there = this.ownersAt(at)
      this.owners.set(at, [...there, first + i])
      const code = there.some(other => this.frames[other] & FRAME_CODE) ? FRAME_CODE : 0
      this.frames[first + i] = at | FRAME_PRESENT | FRAME_WRITABLE | FRAME_DIRTY | code
    }
    this.rangeChanged(first, count, false)
  }

  /** Takes away what {@link placeRange} put there. */
  takeRange(first: number, count: number, address: number): void {
    for (let i = 0; i < count && first + i < MAX_FRAMES; i++) {
      const at = address + i * FRAME_SIZE
      const frame = first + i
      const entry = this.frames[frame]
      if (!(entry & FRAME_PRESENT) || (entry & ~0xfff) >>> 0 !== at) continue
      this.dropCode(frame)
      this.owners.set(
        at,
        this.framesAt(at).filter(other => other !== frame),
      )
      this.frames[frame] = 0
    }
    this.rangeChanged(first, count, false)
  }

  /**
   * Which of `count` frames from `first` were written since this was last asked.
   * @param address of the frames in memory 1: others that lie there instead are not looked at
   * @param written gets a 1 for each
   */
  takeDirty(first: number, count: number, address: number, written: Uint8Array): void {
    let any = false
    for (let i = 0; i < count; i++) {
      const entry = this.frames[first + i]
      if (!(entry & FRAME_DIRTY) || (entry & ~0xfff) >>> 0 !== address + i * FRAME_SIZE) continue
      this.frames[first + i] = entry & ~FRAME_DIRTY
      written[i] = 1
      any = true
    }
    if (any) this.rangeChanged(first, count, true)
  }

  private rangeChanged(first: number, count: number, writesOnly: boolean): void {
    const { observer } = this
    if (observer?.framesChanged) observer.framesChanged(first, count, writesOnly)
    else for (let i = 0; i < count; i++) observer?.frameChanged(first + i)
  }

  private lostWrites(): number {
    if (this.nowhere < 0) this.nowhere = this.addFrame(new Uint8Array(0))
    return this.nowhere
  }

  /** The place of a write to a frame whose writes go elsewhere. */
  private locateTarget(frame: number, offset: number, length: number): number {
    const target = this.writeTargets.get(frame)!
    if (target < 0) return -1
    if (target === this.nowhere) return target + offset
    for (const other of this.ownersAt(target))
      if (this.frames[other] & FRAME_CODE) this.observer?.codeWritten(other, offset, offset + length - 1)
    return target + offset
  }

  /** Memory 1 may have grown. */
  private refresh(): void {
    if (this.ram.buffer === this.ramMemory.buffer) return
    this.ram = new Uint8Array(this.ramMemory.buffer, this.placement.offset)
    this.ram32 = new Int32Array(this.ramMemory.buffer, this.placement.offset)
  }

  /** The guest-physical frames that lie at a frame's address in memory 1. */
  framesAt(address: number): readonly number[] {
    const moved = this.owners.get(address)
    if (moved) return moved
    let passed = 0
    for (const { start, length } of this.regions()) {
      if (address < passed + length) return [(start + address - passed) / FRAME_SIZE]
      passed += length
    }
    return []
  }

  /** The address in memory 1 of a guest-physical frame. @throws RangeError where there is no RAM */
  private addressOf(frame: number): number {
    const entry = frame < MAX_FRAMES ? this.frames[frame] : 0
    if (!(entry & FRAME_PRESENT)) throw new RangeError(`guest-physical frame ${frame} is no RAM`)
    return (entry & ~0xfff) >>> 0
  }

  /** Makes the next write come here. */
  private protectFrame(frame: number): void {
    this.frames[frame] &= ~FRAME_WRITABLE
    this.observer?.frameChanged(frame)
  }

  /** Nothing decoded from the frame's bytes is to be used through it any more. */
  private dropCode(frame: number): void {
    if (this.frames[frame] & FRAME_CODE) this.observer?.codeWritten(frame, 0, FRAME_SIZE - 1)
  }

  /**
   * A frame that may not be written as it is gets a copy if others use it, and may be written.
   * @param first and last byte that are about to be written
   */
  private makeWritable(frame: number, first: number, last: number): void {
    const address = this.addressOf(frame)
    if (!this.arena.isShared(address)) {
      this.frames[frame] |= FRAME_WRITABLE
      return
    }
    const copy = this.arena.allocate()
    if (copy < 0)
      throw new ArenaFullError(
        `the guest wrote to a frame of memory that is shared, and the arena of ${this.arena.limit / 2 ** 20} MiB has no room for its copy`,
      )
    this.refresh()
    // Other frames go on with the code that was decoded there, but a block that overwrites itself ends.
    if (this.framesAt(address).length <= 1) this.dropCode(frame)
    else if (this.frames[frame] & FRAME_CODE) this.observer?.codeWritten(frame, first, last)
    this.ram.copyWithin(copy, address, address + FRAME_SIZE)
    this.retarget(frame, copy, FRAME_WRITABLE)
    this.arena.release(address)
  }

  /** Makes a guest-physical frame lie at another address. */
  private retarget(frame: number, address: number, rights: number): void {
    const old = this.addressOf(frame)
    const [left, there] = [this.framesAt(old), this.ownersAt(address)]
    this.owners.set(
      old,
      left.filter(other => other !== frame),
    )
    this.owners.set(address, [...there, frame])
    // Code that others had decoded there is to be seen being written, should all others leave.
    const code = there.some(other => this.frames[other] & FRAME_CODE) ? FRAME_CODE : 0
    this.frames[frame] = address | FRAME_PRESENT | FRAME_DIRTY | rights | code
    this.observer?.frameChanged(frame)
  }

  /** As {@link framesAt}, for an address that a copy may have just got: nothing lies there then. */
  private ownersAt(address: number): readonly number[] {
    return this.framesAt(address).filter(frame => (this.frames[frame] & ~0xfff) >>> 0 === address)
  }

  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    if (length <= SMALL && (address & 0xfff) + length <= FRAME_SIZE) {
      const at = this.locate(address)
      if (at < 0) return bytes.fill(0xff)
      const { ram } = this
      for (let i = 0; i < length; i++) bytes[i] = ram[at + i]
      return bytes
    }
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, FRAME_SIZE - ((address + done) & 0xfff))
      const at = this.locate(address + done)
      if (at < 0) bytes.fill(0xff, done, done + part)
      else bytes.set(this.ram.subarray(at, at + part), done)
      done += part
    }
    return bytes
  }

  write(address: number, bytes: Uint8Array): void {
    if (bytes.length <= SMALL && (address & 0xfff) + bytes.length <= FRAME_SIZE) {
      const at = bytes.length > 0 ? this.locateForWrite(address, bytes.length) : -1
      if (at < 0) return
      const { ram } = this
      for (let i = 0; i < bytes.length; i++) ram[at + i] = bytes[i]
      return
    }
    // Frames that lie one behind the other are copied at once.
    let from = 0
    let to = -1
    const flush = (done: number) => {
      if (to >= 0 && done > from) this.ram.set(bytes.subarray(from, done), to)
    }
    for (let done = 0; done < bytes.length; ) {
      const part = Math.min(bytes.length - done, FRAME_SIZE - ((address + done) & 0xfff))
      const at = this.locateForWrite(address + done, part)
      if (at < 0 || to < 0 || at !== to + done - from) {
        flush(done)
        from = done
        to = at
      }
      done += part
    }
    flush(bytes.length)
  }

  views(address: number, length: number, forWrite: boolean): Uint8Array[] {
    const views: Uint8Array[] = []
    let start = -1
    let end = -1
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, FRAME_SIZE - ((address + done) & 0xfff))
      const at = forWrite ? this.locateForWrite(address + done, part) : this.locate(address + done)
      // Frames that lie one behind the other are one view.
      if (at < 0 || at !== end) {
        if (start >= 0) views.push(this.ram.subarray(start, end))
        start = at
        if (at < 0) views.push(new Uint8Array(part).fill(0xff))
      }
      end = at < 0 ? -1 : at + part
      done += part
    }
    if (start >= 0) views.push(this.ram.subarray(start, end))
    return views
  }

  /** A little-endian number of 1, 2 or 4 bytes; all ones where there is no RAM. */
  readNumber(address: number, size: 1 | 2 | 4): number {
    if ((address & 0xfff) + size <= FRAME_SIZE) {
      const at = this.locate(address)
      const { ram } = this
      if (at < 0) return size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff
      if (size === 1) return ram[at]
      if (size === 2) return ram[at] | (ram[at + 1] << 8)
      return (ram[at] | (ram[at + 1] << 8) | (ram[at + 2] << 16) | (ram[at + 3] << 24)) >>> 0
    }
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.readNumber(address + i, 1)
    return value
  }

  /** Writes a little-endian number of 1, 2 or 4 bytes. */
  writeNumber(address: number, size: 1 | 2 | 4, value: number): void {
    if ((address & 0xfff) + size <= FRAME_SIZE) {
      const at = this.locateForWrite(address, size)
      if (at < 0) return
      for (let i = 0; i < size; i++, value >>>= 8) this.ram[at + i] = value
      return
    }
    for (let i = 0; i < size; i++, value >>>= 8) this.writeNumber(address + i, 1, value & 0xff)
  }
}

function sharedMemory(minimum: number, maximum: number): WebAssembly.Memory {
  const pages = (bytes: number) => Math.ceil(bytes / WASM_PAGE)
  return new WebAssembly.Memory({ initial: pages(minimum), maximum: pages(maximum), shared: true })
}
