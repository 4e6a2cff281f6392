/**
 * Blocks of decoded instructions: decoded when execution first comes to an address, found by address through the block
 * table, dropped when their bytes are written.
 */
import {
  MODE_CLASS,
  MODE_CODE_32,
  MODE_LONG,
  MODE_NAMES,
  MODE_SEGMENTED,
  MODE_STACK_32,
  MODE_WORDS,
} from '../../cpu/mode.ts'
import { DECODED, Decoded, type DecodeMode, MORE_BYTES, TOO_LONG } from '../../isa/decoder.ts'
import { decoder } from '../../isa/index.ts'
import type { Mode } from '../../isa/semantics.ts'
import { BLOCK_TABLE_BASE, CPU_MEMORY_SIZE, RECORDS_BASE } from '../../memory/layout.ts'
import { FRAME_SIZE, type PhysicalMemory } from '../../memory/physical.ts'
import { fillRecord } from './fill-record.ts'
import * as R from './record.ts'

/** A decoded block, as TypeScript remembers it. */
export interface Block {
  /** First record; another when the records were moved together. */
  record: number
  /** Address in memory 1 of its first byte. */
  readonly address: number
  readonly mode: number
  readonly instructions: number
  /** Bytes that it depends on; may reach beyond the frame. */
  readonly length: number
  /** Bytes that must lie within the limit of CS for it to run as it is. */
  readonly extent: number
  /** One instruction, decoded because the whole block reaches beyond the limit of CS: never in the table. */
  readonly limited: boolean
  /** Of an instruction that goes on in another frame: address in memory 1 of its first byte there; else -1. */
  readonly second: number
  /** Index of the function that runs in its place, 0: none. */
  region: number
}

/** How the cache gets handlers and bytes that it has not. */
export interface BlockSource {
  /** The handler of a decoded instruction: its index. */
  handler(decoded: Decoded, mode: Mode, modeClass: number, stackSize: 16 | 32 | 64, segmented: boolean): number
  /** The handler that raises an exception. */
  faultHandler(vector: number, errorCode: number): number
  /**
   * Address in memory 1 of the byte of code at RIP + distance, or -1 with F.fault set: beyond the limit of CS, or nothing is
   * there that may be executed.
   */
  fetch(distance: number): number
  /** The frame is about to hold decoded code: writes to it must be seen from now on. */
  protect(frameAddress: number): void
  /** There are so many handlers that everything should be dropped before more is decoded. */
  readonly full: boolean
  /** Everything decoded was dropped. */
  flushed(): void
}

/** The longest instruction (SDM vol. 2, 2.3.11). */
const MOST_BYTES = 15

/** The decode mode of a mode word. */
export function decodeMode(mode: number): DecodeMode & { modeClass: number; segmented: boolean } {
  const modeClass = mode & MODE_CLASS
  const long = modeClass === MODE_LONG
  return {
    mode: MODE_NAMES[modeClass],
    modeClass,
    codeSize: long ? 64 : mode & MODE_CODE_32 ? 32 : 16,
    stackSize: long ? 64 : mode & MODE_STACK_32 ? 32 : 16,
    segmented: (mode & MODE_SEGMENTED) !== 0 && !long,
  }
}

/** Instructions after which the next one is not simply the following one. */
const endsBlock = (decoded: Decoded): boolean => decoded.form.instruction.endsBlock === true

/**
 * Bytes of records from which on those of blocks that are not used any more are dropped. A boot of Debian decodes 12 MiB of
 * which nothing comes again. docs/footprint.md
 */
const RECORDS_KEPT = 8 << 20

/** The most that one block takes, with its header and its end: bytes. */
const LARGEST_BLOCK = (FRAME_SIZE + 2) * R.RECORD_SIZE

/** Blocks across two frames are kept for so many second frames each: a guest may map what it likes behind the first. */
const MOST_SECOND_FRAMES = 8

/** One number for address and mode. */
const keyOf = (address: number, mode: number): number => (address >>> 0) * MODE_WORDS + (mode & (MODE_WORDS - 1))

/**
 * What the table has for a block's region: the index of its function; or {@link R.CAREFUL} where entering the block takes more than
 * finding it, because it depends on a second page or could reach beyond the limit of CS.
 */
const regionWord = ({ region, second, mode }: Block): number =>
  region || (second !== -1 || mode & MODE_SEGMENTED ? R.CAREFUL : 0)

/** The blocks of one processor. */
export class BlockCache {
  /** Blocks by the address of their frame in memory 1. */
  private readonly byFrame = new Map<number, Block[]>()
  private readonly byRecord = new Map<number, Block>()
  /** Every block within a frame by address and mode: the table has room for one of those that share an entry. */
  private readonly byKey = new Map<number, Block>()
  /** Blocks across two frames by address and mode: one for each second frame, the oldest first. */
  private readonly crossings = new Map<number, Block[]>()
  /** Single instructions in front of a limit, by address and mode. */
  private readonly limited = new Map<number, Block>()
  private next = RECORDS_BASE
  /** Where {@link next} may come before {@link trim} is due. */
  private bound = RECORDS_BASE + RECORDS_KEPT
  private readonly table: Int32Array
  readonly words: Int32Array
  readonly halves: Uint16Array
  readonly bytes: Uint8Array
  private readonly memory: PhysicalMemory
  private readonly source: BlockSource
  private readonly decoded = new Decoded()
  private readonly modes = new Map<number, ReturnType<typeof decodeMode>>()
  private readonly crossing = new Uint8Array(32)
  /** How often a block must be entered before it is reported as hot; huge: never. */
  heat = 0x7fffffff
  /** Instructions decoded so far. */
  decodedInstructions = 0
  flushes = 0
  invalidations = 0
  /** How often the unused blocks were dropped, and how many they were. */
  trims = 0
  trimmed = 0

  constructor(memory: PhysicalMemory, source: BlockSource) {
    this.memory = memory
    this.source = source
    const { buffer } = memory.cpuMemory
    this.table = new Int32Array(buffer, BLOCK_TABLE_BASE, (R.BLOCK_TABLE_ENTRIES * R.BLOCK_ENTRY_SIZE) >> 2)
    this.words = new Int32Array(buffer)
    this.halves = new Uint16Array(buffer)
    this.bytes = new Uint8Array(buffer)
    this.table.fill(-1)
  }

  /** The block whose first record this is. */
  find(record: number): Block | undefined {
    return this.byRecord.get(record)
  }

  /** Entry of the block table for an address, as an index of words. */
  private entry(address: number): number {
    return ((address ^ (address >>> 17)) & (R.BLOCK_TABLE_ENTRIES - 1)) * (R.BLOCK_ENTRY_SIZE >> 2)
  }

  /** Makes a region's function run whenever execution comes to the block, or no longer (0). */
  setRegion(block: Block, index: number): void {
    block.region = index
    const entry = this.entry(block.address)
    if (this.table[entry + 2] === block.record) this.table[entry + 3] = regionWord(block)
  }

  /**
   * The block at RIP in a mode, decoded now or earlier. What reaches beyond the limit of CS gives one instruction.
   * @param address of its first byte in memory 1
   * @param allowed bytes from RIP to the limit of CS, more than 0; Infinity where there is none
   * @returns its first record, or 0 with F.fault set
   */
  decode(address: number, mode: number, allowed: number): number {
    const block = this.known(address, mode) ?? this.decodeNew(address, mode, Infinity)
    if (!block) return 0
    if (block.extent > allowed) return this.decodeLimited(address, mode, allowed)
    this.enter(block)
    return block.record
  }

  /** The block that there is for an address, and for what follows the page now. May leave F.fault set. */
  private known(address: number, mode: number): Block | undefined {
    const key = keyOf(address, mode)
    const within = this.byKey.get(key)
    if (within) return within
    const crossings = this.crossings.get(key)
    if (!crossings) return undefined
    const second = this.source.fetch(FRAME_SIZE - (address & 0xfff)) | 0
    return crossings.find(block => block.second === second)
  }

  private decodeLimited(address: number, mode: number, allowed: number): number {
    const known = this.limited.get(keyOf(address, mode))
    if (known) {
      const second = known.second === -1 ? -1 : this.source.fetch(FRAME_SIZE - (address & 0xfff)) | 0
      if (known.second === second && known.extent <= allowed) return known.record
      this.forget(known)
    }
    return this.decodeNew(address, mode, allowed)?.record ?? 0
  }

  private enter(block: Block): void {
    const entry = this.entry(block.address)
    const { table } = this
    table[entry] = block.address
    table[entry + 1] = block.mode
    table[entry + 2] = block.record
    table[entry + 3] = regionWord(block)
  }

  private leaveTable(block: Block): void {
    const entry = this.entry(block.address)
    if (this.table[entry + 2] === block.record) this.table[entry + 1] = -1
  }

  /**
   * Decodes a block. @param allowed how many bytes may be looked at: Infinity, or what is left in front of the limit of CS for a
   * single instruction. @returns undefined with F.fault set
   */
  private decodeNew(address: number, mode: number, allowed: number): Block | undefined {
    if (this.source.full) this.flush()
    else if (this.next + LARGEST_BLOCK > this.bound) this.trim()
    let info = this.modes.get(mode)
    if (!info) this.modes.set(mode, (info = decodeMode(mode)))
    const header = this.next
    const first = header + R.RECORD_SIZE
    let at = first
    const { ram } = this.memory
    const frameEnd = (address & ~0xfff) + FRAME_SIZE
    const start = address >>> 0
    let position = start
    const limited = allowed !== Infinity
    const end = Math.min(frameEnd >>> 0 || 0x100000000, start + allowed)
    let count = 0
    let second = -1
    // Bytes behind the last instruction that what was decoded depends on: those of something that is no instruction.
    let looked = 0
    const { decoded } = this
    while (position < end) {
      let outcome: number = decoder.decode(ram, position, end, info, decoded)
      if (outcome === MORE_BYTES) {
        if (count > 0) break
        outcome = this.decodeAcross(address, end, info, allowed)
        if (outcome === MORE_BYTES) return undefined
        second = this.crossingSecond
      }
      let last = false
      if (outcome === DECODED) {
        fillRecord(
          this,
          at,
          this.source.handler(decoded, info.mode, info.modeClass, info.stackSize, info.segmented),
          decoded,
        )
        position += decoded.length
        last = endsBlock(decoded) || this.ends[this.halves[at >> 1]] === 1
      } else {
        this.words.fill(0, at >> 2, (at + R.RECORD_SIZE) >> 2)
        const [vector, code] = outcome === TOO_LONG ? [13, 0] : [6, -1]
        this.halves[at >> 1] = this.source.faultHandler(vector, code)
        last = true
        looked = MOST_BYTES
      }
      this.halves[(at + R.RECORD_END) >> 1] = position - start
      at += R.RECORD_SIZE
      count++
      if (last || second !== -1 || limited) break
    }
    this.words.fill(0, at >> 2, (at + R.RECORD_SIZE) >> 2)
    this.halves[(at + R.RECORD_END) >> 1] = position - start
    this.decodedInstructions += count
    const words = this.words
    // What goes on in another frame, or ends at a limit, is not translated.
    const heat = second === -1 && !limited ? this.heat : 0x7fffffff
    words[(header + R.HEADER_HEAT) >> 2] = heat
    words[(header + R.HEADER_HEAT_THEN) >> 2] = heat
    words[(header + R.HEADER_COUNT) >> 2] = count
    words[(header + R.HEADER_ADDRESS) >> 2] = address
    words[(header + R.HEADER_MODE) >> 2] = mode
    const extent = Math.min(position - start + looked, allowed)
    words[(header + R.HEADER_EXTENT) >> 2] = extent
    words[(header + R.HEADER_SECOND) >> 2] = second
    this.next = at + R.RECORD_SIZE
    const block: Block = {
      record: first,
      address: address | 0,
      mode,
      instructions: count,
      length: position - start + looked,
      extent,
      limited,
      second,
      region: 0,
    }
    this.add(block)
    return block
  }

  /** Handlers after which a block ends, by index: filled by whoever makes handlers. */
  readonly ends = new Uint8Array(65536)

  private crossingSecond = -1

  /** Decodes an instruction that goes on behind the page, or behind what is allowed. MORE_BYTES: its fetch faults. */
  private decodeAcross(address: number, end: number, info: DecodeMode, allowed: number): number {
    const here = end - (address >>> 0)
    const { crossing } = this
    crossing.set(this.memory.ram.subarray(address >>> 0, end))
    const second = this.source.fetch(here)
    if (second < 0) return MORE_BYTES
    this.crossingSecond = second | 0
    const there = second >>> 0
    crossing.set(this.memory.ram.subarray(there, there + 16), here)
    const outcome = decoder.decode(crossing, 0, Math.min(here + 16, allowed), info, this.decoded)
    if (outcome === MORE_BYTES) this.source.fetch(allowed)
    return outcome
  }

  private add(block: Block): void {
    this.addToFrame(block, block.address & ~0xfff)
    if (block.second !== -1) this.addToFrame(block, block.second & ~0xfff)
    this.byRecord.set(block.record, block)
    const key = keyOf(block.address, block.mode)
    if (block.limited) this.limited.set(key, block)
    else if (block.second === -1) this.byKey.set(key, block)
    else {
      const others = this.crossings.get(key)
      if (!others) this.crossings.set(key, [block])
      else if (others.push(block) > MOST_SECOND_FRAMES) this.forget(others[0])
    }
  }

  private addToFrame(block: Block, frame: number): void {
    const blocks = this.byFrame.get(frame)
    if (blocks) blocks.push(block)
    else this.byFrame.set(frame, [block])
    this.source.protect(frame)
  }

  /**
   * Bytes `first` to `last` of the frame at an address in memory 1 were written: drops the blocks that hold any of them.
   * @returns whether blocks of the frame are left
   */
  invalidate(frameAddress: number, first: number, last: number): boolean {
    const blocks = this.byFrame.get(frameAddress | 0)
    if (!blocks) return false
    let kept = 0
    for (const block of blocks) {
      const from = block.address & 0xfff
      const holdsFirst = (block.address & ~0xfff) === (frameAddress | 0) && from <= last && from + block.length > first
      // The end of a block across two frames, if it lies in this one.
      const holdsSecond = block.second !== -1 && (block.second & ~0xfff) === (frameAddress | 0) && first < MOST_BYTES
      if (holdsFirst || holdsSecond) this.drop(block)
      else blocks[kept++] = block
    }
    blocks.length = kept
    if (kept === 0) this.byFrame.delete(frameAddress | 0)
    return kept > 0
  }

  /** Lets a block become hot anew, if it is still there. */
  reheat(block: Block): void {
    if (this.byRecord.get(block.record) !== block) return
    this.words[(block.record - R.RECORD_SIZE + R.HEADER_HEAT) >> 2] = this.heat
  }

  /** How often the block at an address in memory 1 was entered in a mode since it was decoded or became cold; 0 if there is none. */
  entered(address: number, mode: number): number {
    const block = this.byKey.get(keyOf(address, mode))
    return block ? this.heat - this.words[(block.record - R.RECORD_SIZE + R.HEADER_HEAT) >> 2] : 0
  }

  /** Index of the region that runs in the place of the block at an address in memory 1 in a mode, or 0. */
  regionAt(address: number, mode: number): number {
    return this.byKey.get(keyOf(address, mode))?.region ?? 0
  }

  /** The blocks that have code in a frame. */
  inFrame(frameAddress: number): readonly Block[] {
    return this.byFrame.get(frameAddress | 0) ?? []
  }

  /** Every block and how often it was entered. */
  *entries(): Iterable<[block: Block, entered: number]> {
    for (const block of this.byRecord.values()) {
      yield [block, this.heat - this.words[(block.record - R.RECORD_SIZE + R.HEADER_HEAT) >> 2]]
    }
  }

  /** The handlers of a block's instructions. */
  handlersOf({ record, instructions }: Block): number[] {
    return Array.from({ length: instructions }, (_, i) => this.halves[(record + i * R.RECORD_SIZE) >> 1])
  }

  /** Called for each block that is dropped. */
  onDrop: ((block: Block) => void) | undefined

  /** Drops a block that is in no frame's list any more, or may stay in the other's. */
  private drop(block: Block): void {
    this.invalidations++
    this.byRecord.delete(block.record)
    this.forgetKey(block)
    this.leaveTable(block)
    // Execution may be in the middle of it: every record becomes the end of the block.
    for (let i = 0, at = block.record; i < block.instructions; i++, at += R.RECORD_SIZE) {
      this.halves[at >> 1] = R.HANDLER_END
    }
    this.onDrop?.(block)
  }

  private forgetKey(block: Block): void {
    const key = keyOf(block.address, block.mode)
    if (this.byKey.get(key) === block) this.byKey.delete(key)
    if (this.limited.get(key) === block) this.limited.delete(key)
    const crossings = this.crossings.get(key)
    const at = crossings?.indexOf(block) ?? -1
    if (at < 0) return
    crossings!.splice(at, 1)
    if (crossings!.length === 0) this.crossings.delete(key)
  }

  /** Drops a block of which another has taken the place. */
  private forget(block: Block): void {
    for (const frame of [block.address & ~0xfff, block.second & ~0xfff]) {
      const blocks = this.byFrame.get(frame)
      if (blocks)
        this.byFrame.set(
          frame,
          blocks.filter(other => other !== block),
        )
    }
    this.drop(block)
  }

  /** Bytes that records take. */
  get recordBytes(): number {
    return this.next - RECORDS_BASE
  }

  /**
   * Drops blocks that were not entered since the last time this was done, unless regions stand for them, and moves the
   * records of the others together; they keep what they know of their heat. Only between blocks.
   */
  private trim(): void {
    this.trims++
    const kept: Block[] = []
    this.next = RECORDS_BASE
    const { words } = this
    // In the order of their records, so that moving one overwrites none that is still to be moved.
    for (const block of this.byRecord.values()) {
      const header = block.record - R.RECORD_SIZE
      const heat = words[(header + R.HEADER_HEAT) >> 2]
      if (block.region === 0 && heat === words[(header + R.HEADER_HEAT_THEN) >> 2]) {
        this.trimmed++
        this.forgetKey(block)
        this.onDrop?.(block)
        continue
      }
      words[(header + R.HEADER_HEAT_THEN) >> 2] = heat
      const size = (block.instructions + 2) * R.RECORD_SIZE
      this.bytes.copyWithin(this.next, header, header + size)
      block.record = this.next + R.RECORD_SIZE
      this.next += size
      kept.push(block)
    }
    this.byRecord.clear()
    this.byFrame.clear()
    this.table.fill(-1)
    for (const block of kept) {
      this.byRecord.set(block.record, block)
      this.addToFrame(block, block.address & ~0xfff)
      if (block.second !== -1) this.addToFrame(block, block.second & ~0xfff)
      if (!block.limited) this.enter(block)
    }
    // What is in use may be more than the bound: then it doubles, as far as there is memory.
    this.bound = Math.min(CPU_MEMORY_SIZE, Math.max(RECORDS_BASE + RECORDS_KEPT, this.next + this.recordBytes))
    if (this.next + LARGEST_BLOCK > this.bound) this.flush()
  }

  /** Drops everything. Only between blocks. */
  flush(): void {
    this.flushes++
    this.table.fill(-1)
    this.byFrame.clear()
    this.byRecord.clear()
    this.byKey.clear()
    this.limited.clear()
    this.crossings.clear()
    this.next = RECORDS_BASE
    this.bound = RECORDS_BASE + RECORDS_KEPT
    this.source.flushed()
  }
}
