/**
 * Blocks of decoded instructions: decoded when execution first comes to an address, found by address through chains that begin
 * in the block table, dropped when their bytes are written. All that is known of a block is its header in memory 0: most blocks are
 * decoded, run a few times and forgotten, and there are a hundred thousand of them.
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
import { generalise } from '../../isa/general-forms.ts'
import { decoder } from '../../isa/index.ts'
import type { Mode } from '../../isa/semantics.ts'
import { BLOCK_TABLE_BASE, RECORDS_BASE, TLB_BASE } from '../../memory/layout.ts'
import { FRAME_SIZE, type PhysicalMemory } from '../../memory/physical.ts'
import { CodeMarks } from '../code-marks.ts'
import { fillRecord } from './fill-record.ts'
import * as R from './record.ts'

/** A decoded block, as TypeScript sees it: made when somebody asks for it. One block is one object for as long as it is there. */
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
const endsBlock = (decoded: Decoded): boolean => decoded.form.endsBlock

/**
 * Bytes of records from which on those of blocks that are not used any more are dropped. A boot of Debian decodes 12 MiB of
 * which nothing comes again. docs/footprint.md
 */
const RECORDS_KEPT = 8 << 20

/** The most that one block takes, with its header and its end: bytes. */
const LARGEST_BLOCK = R.HEADER_SIZE + (FRAME_SIZE + 1) * R.RECORD_SIZE

/** The count of entries of a block that is never reported as hot begins here. */
const NEVER_HOT = 0x7fffffff
/** So often a block is entered that an earlier run had a region for, before that is asked for. */
const EXPECTED_HEAT = 8
/** Blocks across two frames are kept for so many second frames each: a guest may map what it likes behind the first. */
const MOST_SECOND_FRAMES = 8

/** One number for address and mode. */
const keyOf = (address: number, mode: number): number => (address >>> 0) * MODE_WORDS + (mode & (MODE_WORDS - 1))

// Words of a header, counted from the block's first record.
const word = (offset: number): number => (offset - R.HEADER_SIZE) >> 2
const HEAT = word(R.HEADER_HEAT)
const HEAT_THEN = word(R.HEADER_HEAT_THEN)
const COUNT = word(R.HEADER_COUNT)
const ADDRESS = word(R.HEADER_ADDRESS)
const MODE = word(R.HEADER_MODE)
const EXTENT = word(R.HEADER_EXTENT)
const SECOND = word(R.HEADER_SECOND)
const REGION = word(R.HEADER_REGION)
const NEXT = word(R.HEADER_NEXT)
const FELL = word(R.HEADER_FELL)
const LINKS_END = word(R.HEADER_SIZE)
const LENGTH = word(R.HEADER_LENGTH)
const FRAME_NEXT = word(R.HEADER_FRAME_NEXT)
const SECOND_FRAME_NEXT = word(R.HEADER_SECOND_FRAME_NEXT)
const STATE = word(R.HEADER_STATE)

/** What {@link MODE} holds of a dropped block: no mode word. */
const NO_MODE = -1

/** What {@link STATE} holds: it is in a chain; it is one of {@link BlockCache.limited}; it was dropped. */
const CHAINED = 0
const LIMITED = 1
const DROPPED = 2

/** The blocks of one processor. */
export class BlockCache {
  /** The first record of a block of each frame, by the frame's number in memory 1; 0: there is none. The next is in its header. */
  private readonly byFrame: Int32Array
  /** The blocks that somebody asked for. */
  private readonly objects = new Map<number, Block>()
  /** Single instructions in front of a limit, by address and mode. */
  private readonly limited = new Map<number, number>()
  private next = RECORDS_BASE
  /** Where {@link next} may come before {@link trim} is due. */
  private bound = RECORDS_BASE + RECORDS_KEPT
  private readonly table: Int32Array
  private readonly marks: CodeMarks
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
  /** Whether there may be a region for the code at an address in memory 1 already: it is reported as hot very soon. */
  expects: ((address: number, mode: number) => boolean) | undefined
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
    this.table = new Int32Array(buffer, BLOCK_TABLE_BASE, R.BLOCK_TABLE_ENTRIES)
    this.byFrame = new Int32Array(Math.ceil(memory.arena.limit / FRAME_SIZE))
    this.words = new Int32Array(buffer)
    this.marks = new CodeMarks(buffer)
    this.halves = new Uint16Array(buffer)
    this.bytes = new Uint8Array(buffer)
    this.table.fill(0)
  }

  /** The block whose first record this is. */
  find(record: number): Block {
    let block = this.objects.get(record)
    if (!block) {
      const { words } = this
      const at = record >> 2
      block = {
        record,
        address: words[at + ADDRESS],
        mode: words[at + MODE],
        instructions: words[at + COUNT],
        length: words[at + LENGTH],
        extent: words[at + EXTENT],
        limited: words[at + STATE] === LIMITED,
        second: words[at + SECOND],
        region: Math.max(0, words[at + REGION]),
      }
      this.objects.set(record, block)
    }
    return block
  }

  /** Makes a region's function run whenever execution comes to the block, or no longer (0). */
  setRegion(block: Block, index: number): void {
    block.region = index
    if (this.objects.get(block.record) === block)
      this.words[(block.record >> 2) + REGION] = index || this.care(block.record)
  }

  /** {@link R.CAREFUL} where entering the block takes more than finding it: it depends on a second page, or there are limits. */
  private care(record: number): number {
    const { words } = this
    const at = record >> 2
    return words[at + SECOND] !== -1 || words[at + MODE] & MODE_SEGMENTED ? R.CAREFUL : 0
  }

  /**
   * The block at RIP in a mode, decoded now or earlier. What reaches beyond the limit of CS gives one instruction.
   * @param address of its first byte in memory 1
   * @param allowed bytes from RIP to the limit of CS, more than 0; Infinity where there is none
   * @returns its first record, or 0 with F.fault set
   */
  decode(address: number, mode: number, allowed: number): number {
    const record = this.known(address, mode) || this.decodeNew(address, mode, Infinity)
    if (record === 0) return 0
    if (this.words[(record >> 2) + EXTENT] > allowed) return this.decodeLimited(address, mode, allowed)
    return record
  }

  /** The block within a frame for an address, or 0. */
  private within(address: number, mode: number): number {
    const { words } = this
    for (let record = this.table[R.blockTableIndex(address)]; record !== 0; record = words[(record >> 2) + NEXT]) {
      const at = record >> 2
      if (words[at + ADDRESS] === (address | 0) && words[at + MODE] === mode && words[at + SECOND] === -1) return record
    }
    return 0
  }

  /** The block that there is for an address, and for what follows the page now, or 0. May leave F.fault set. */
  private known(address: number, mode: number): number {
    const { words, table } = this
    let second = -1
    let before = 0
    for (let record = table[R.blockTableIndex(address)]; record !== 0; record = words[(record >> 2) + NEXT]) {
      const at = record >> 2
      if (words[at + ADDRESS] === (address | 0) && words[at + MODE] === mode) {
        if (words[at + SECOND] === -1) return record
        if (second === -1) second = this.source.fetch(FRAME_SIZE - (address & 0xfff)) | 0
        if (words[at + SECOND] === second) {
          // Generated code looks at the first only.
          if (before !== 0) {
            words[(before >> 2) + NEXT] = words[at + NEXT]
            this.chain(record)
          }
          return record
        }
      }
      before = record
    }
    return 0
  }

  /** Puts a block at the beginning of its chain. */
  private chain(record: number): void {
    const at = record >> 2
    const index = R.blockTableIndex(this.words[at + ADDRESS])
    this.words[at + NEXT] = this.table[index]
    this.table[index] = record
  }

  /** Takes a block out of its chain. */
  private unchain(record: number): void {
    const { words, table } = this
    const index = R.blockTableIndex(words[(record >> 2) + ADDRESS])
    const next = words[(record >> 2) + NEXT]
    if (table[index] === record) {
      table[index] = next
      return
    }
    for (let at = table[index] >> 2; at !== 0; at = words[at + NEXT] >> 2) {
      if (words[at + NEXT] === record) {
        words[at + NEXT] = next
        return
      }
    }
  }

  private decodeLimited(address: number, mode: number, allowed: number): number {
    const known = this.limited.get(keyOf(address, mode))
    if (known !== undefined) {
      const at = known >> 2
      const second = this.words[at + SECOND] === -1 ? -1 : this.source.fetch(FRAME_SIZE - (address & 0xfff)) | 0
      if (this.words[at + SECOND] === second && this.words[at + EXTENT] <= allowed) return known
      this.forget(known)
    }
    return this.decodeNew(address, mode, allowed)
  }

  /**
   * Decodes a block. @param allowed how many bytes may be looked at: Infinity, or what is left in front of the limit of CS for a
   * single instruction. @returns its first record, or 0 with F.fault set
   */
  private decodeNew(address: number, mode: number, allowed: number): number {
    if (this.source.full) this.flush()
    else if (this.next + LARGEST_BLOCK > this.bound) this.trim()
    let info = this.modes.get(mode)
    if (!info) this.modes.set(mode, (info = decodeMode(mode)))
    const header = this.next
    const first = header + R.HEADER_SIZE
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
        if (outcome === MORE_BYTES) return 0
        second = this.crossingSecond
      }
      let last = false
      if (outcome === DECODED) {
        generalise(decoded)
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
    const expected = !limited && this.expects?.(address, mode)
    const heat = limited ? NEVER_HOT : expected ? Math.min(EXPECTED_HEAT, this.heat) : this.heat
    const to = first >> 2
    words[to + HEAT] = heat
    words[to + HEAT_THEN] = heat
    words[to + COUNT] = count
    words[to + ADDRESS] = address
    words[to + MODE] = mode
    words[to + EXTENT] = Math.min(position - start + looked, allowed)
    words[to + SECOND] = second
    words[to + LENGTH] = position - start + looked
    words[to + STATE] = limited ? LIMITED : CHAINED
    words.fill(0, to + FELL, to + LINKS_END)
    words[to + REGION] = this.care(first)
    this.next = at + R.RECORD_SIZE
    if (limited) this.limited.set(keyOf(address, mode), first)
    else {
      if (second !== -1) this.limitCrossings(address, mode)
      this.chain(first)
    }
    this.addToFrames(first)
    return first
  }

  /** Drops the block across two frames that was used longest ago, if there are as many for this address as there may be. */
  private limitCrossings(address: number, mode: number): void {
    const { words } = this
    let others = 0
    let last = 0
    for (let record = this.table[R.blockTableIndex(address)]; record !== 0; record = words[(record >> 2) + NEXT]) {
      const at = record >> 2
      if (words[at + ADDRESS] !== (address | 0) || words[at + MODE] !== mode) continue
      others++
      last = record
    }
    if (others >= MOST_SECOND_FRAMES) this.forget(last)
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

  /** Number of the frame in memory 1. */
  private frameOf(address: number): number {
    return address >>> 12
  }

  /** The frame behind the first that a block has code in, or -1. */
  private secondFrame(at: number): number {
    const { words } = this
    if (words[at + SECOND] === -1) return -1
    const frame = this.frameOf(words[at + SECOND])
    return frame === this.frameOf(words[at + ADDRESS]) ? -1 : frame
  }

  private addToFrames(record: number): void {
    const at = record >> 2
    this.addToFrame(record, this.frameOf(this.words[at + ADDRESS]), FRAME_NEXT)
    const second = this.secondFrame(at)
    if (second !== -1) this.addToFrame(record, second, SECOND_FRAME_NEXT)
  }

  private addToFrame(record: number, frame: number, link: number): void {
    const first = this.byFrame[frame]
    this.words[(record >> 2) + link] = first
    this.byFrame[frame] = record
    this.source.protect((frame << 12) | 0)
    this.mark(record, frame)
  }

  /** Marks the bytes of a frame that a block was decoded from. */
  private mark(record: number, frame: number): void {
    const { words, marks } = this
    const at = record >> 2
    if (this.frameOf(words[at + ADDRESS]) === frame) {
      const first = words[at + ADDRESS] & 0xfff
      marks.add(frame, first, Math.min(first + words[at + LENGTH], FRAME_SIZE) - 1)
    }
    if (words[at + SECOND] !== -1 && this.frameOf(words[at + SECOND]) === frame) marks.add(frame, 0, MOST_BYTES)
  }

  /** Marks what the blocks that are left in a frame were decoded from. */
  markAll(frameAddress: number): void {
    const frame = this.frameOf(frameAddress)
    for (let record = this.byFrame[frame]; record !== 0; ) {
      this.mark(record, frame)
      record = this.words[(record >> 2) + this.linkIn(frame, record >> 2)]
    }
  }

  /** Which word of a block's header leads to the next in the list of a frame. */
  private linkIn(frame: number, at: number): number {
    return this.frameOf(this.words[at + ADDRESS]) === frame ? FRAME_NEXT : SECOND_FRAME_NEXT
  }

  /**
   * Bytes `first` to `last` of the frame at an address in memory 1 were written: drops the blocks that hold any of them.
   * @returns whether blocks of the frame are left
   */
  invalidate(frameAddress: number, first: number, last: number): boolean {
    const { words } = this
    const frame = this.frameOf(frameAddress)
    let kept = 0
    for (let record = this.byFrame[frame]; record !== 0; ) {
      const at = record >> 2
      const link = this.linkIn(frame, at)
      const next = words[at + link]
      const from = words[at + ADDRESS] & 0xfff
      const holdsFirst = link === FRAME_NEXT && from <= last && from + words[at + LENGTH] > first
      // The end of a block across two frames, if it lies in this one.
      const holdsSecond = words[at + SECOND] !== -1 && this.frameOf(words[at + SECOND]) === frame && first < MOST_BYTES
      if (holdsFirst || holdsSecond) {
        if (kept === 0) this.byFrame[frame] = next
        else words[(kept >> 2) + this.linkIn(frame, kept >> 2)] = next
        // It may be in the list of another frame too.
        const other = link === FRAME_NEXT ? this.secondFrame(at) : this.frameOf(words[at + ADDRESS])
        if (other !== -1) this.leaveFrame(record, other)
        this.drop(record)
      } else kept = record
      record = next
    }
    return kept !== 0
  }

  private leaveFrame(record: number, frame: number): void {
    const { words } = this
    let before = 0
    for (let other = this.byFrame[frame]; other !== 0; ) {
      const next = words[(other >> 2) + this.linkIn(frame, other >> 2)]
      if (other === record) {
        if (before === 0) this.byFrame[frame] = next
        else words[(before >> 2) + this.linkIn(frame, before >> 2)] = next
        return
      }
      before = other
      other = next
    }
  }

  /** Lets a block become hot anew, if it is still there; it stays warm. */
  reheat(block: Block): void {
    if (this.objects.get(block.record) !== block) return
    this.words[(block.record >> 2) + HEAT] = (this.heat + 1) >> 1
  }

  /** How often the block at an address in memory 1 was entered in a mode since it was decoded or became cold; 0 if there is none. */
  entered(address: number, mode: number): number {
    const { words, heat } = this
    let most = 0
    for (let record = this.table[R.blockTableIndex(address)]; record !== 0; record = words[(record >> 2) + NEXT]) {
      const at = record >> 2
      if (words[at + ADDRESS] !== (address | 0) || words[at + MODE] !== mode) continue
      // Some are never reported as hot: they count down from another number.
      const left = words[at + HEAT]
      most = Math.max(most, (left > heat ? NEVER_HOT : heat) - left)
    }
    return most
  }

  /** The block at an address in memory 1 in a mode that lies in one page, if it was decoded. */
  blockAt(address: number, mode: number): Block | undefined {
    const record = this.within(address, mode)
    return record === 0 ? undefined : this.find(record)
  }

  /** Index of the region that runs in the place of the block at an address in memory 1 in a mode, or 0. */
  regionAt(address: number, mode: number): number {
    const record = this.within(address, mode)
    return record === 0 ? 0 : Math.max(0, this.words[(record >> 2) + REGION])
  }

  /** The blocks that have code in a frame. */
  inFrame(frameAddress: number): readonly Block[] {
    const frame = this.frameOf(frameAddress)
    const blocks: Block[] = []
    for (let record = this.byFrame[frame]; record !== 0; ) {
      blocks.push(this.find(record))
      record = this.words[(record >> 2) + this.linkIn(frame, record >> 2)]
    }
    return blocks
  }

  /** The records of all blocks, dropped ones too, in their order. */
  private *records(): Iterable<number> {
    for (let header = RECORDS_BASE; header < this.next; ) {
      const record = header + R.HEADER_SIZE
      header = record + (this.words[(record >> 2) + COUNT] + 1) * R.RECORD_SIZE
      yield record
    }
  }

  /** Every block and how often it was entered. */
  *entries(): Iterable<[block: Block, entered: number]> {
    for (const record of this.records()) {
      if (this.words[(record >> 2) + STATE] === DROPPED) continue
      yield [this.find(record), this.heat - this.words[(record >> 2) + HEAT]]
    }
  }

  /** The handlers of a block's instructions. */
  handlersOf({ record, instructions }: Block): number[] {
    return Array.from({ length: instructions }, (_, i) => this.halves[(record + i * R.RECORD_SIZE) >> 1])
  }

  /** Called for each block that is dropped. */
  onDrop: ((block: Block) => void) | undefined

  /** Drops a block that is in no frame's list any more. */
  private drop(record: number): void {
    this.invalidations++
    const at = record >> 2
    this.forgetKey(record)
    this.words[at + STATE] = DROPPED
    // No block that leads here finds it any more.
    this.words[at + MODE] = NO_MODE
    // Execution may be in the middle of it: every record becomes the end of the block.
    for (let i = this.words[at + COUNT], half = record >> 1; i > 0; i--, half += R.RECORD_SIZE >> 1) {
      this.halves[half] = R.HANDLER_END
    }
    this.forgetObject(record)
  }

  private forgetObject(record: number): void {
    const block = this.objects.get(record)
    if (!block) return
    this.objects.delete(record)
    this.onDrop?.(block)
  }

  private forgetKey(record: number): void {
    const at = record >> 2
    if (this.words[at + STATE] === CHAINED) this.unchain(record)
    else this.limited.delete(keyOf(this.words[at + ADDRESS], this.words[at + MODE]))
  }

  /** Drops a block of which another has taken the place. */
  private forget(record: number): void {
    const at = record >> 2
    this.leaveFrame(record, this.frameOf(this.words[at + ADDRESS]))
    const second = this.secondFrame(at)
    if (second !== -1) this.leaveFrame(record, second)
    this.drop(record)
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
    const { words } = this
    const end = this.next
    const objects = [...this.objects.values()]
    this.objects.clear()
    const byRecord = new Map(objects.map(block => [block.record, block]))
    this.table.fill(0)
    this.byFrame.fill(0)
    this.limited.clear()
    this.next = RECORDS_BASE
    // In the order of their records, so that moving one overwrites none that is still to be moved.
    for (let header = RECORDS_BASE; header < end; ) {
      const record = header + R.HEADER_SIZE
      const at = record >> 2
      const size = R.HEADER_SIZE + (words[at + COUNT] + 1) * R.RECORD_SIZE
      const from = header
      header += size
      if (words[at + STATE] === DROPPED) continue
      const heat = words[at + HEAT]
      const block = byRecord.get(record)
      if (words[at + REGION] <= 0 && heat === words[at + HEAT_THEN]) {
        this.trimmed++
        if (block) this.onDrop?.(block)
        continue
      }
      words[at + HEAT_THEN] = heat
      words.fill(0, at + FELL, at + LINKS_END)
      if (from !== this.next) this.bytes.copyWithin(this.next, from, from + size)
      const moved = this.next + R.HEADER_SIZE
      this.next += size
      if (block) {
        block.record = moved
        this.objects.set(moved, block)
      }
      this.enter(moved)
    }
    // What is in use may be more than the bound: then it doubles, as far as there is memory.
    this.bound = Math.min(TLB_BASE, Math.max(RECORDS_BASE + RECORDS_KEPT, this.next + this.recordBytes))
    if (this.next + LARGEST_BLOCK > this.bound) this.flush()
  }

  /** Makes a block known by its address and in its frames, as its header has them. */
  private enter(record: number): void {
    const at = record >> 2
    if (this.words[at + STATE] === CHAINED) this.chain(record)
    else this.limited.set(keyOf(this.words[at + ADDRESS], this.words[at + MODE]), record)
    this.addToFrames(record)
  }

  /** Drops everything. Only between blocks. */
  flush(): void {
    this.flushes++
    this.table.fill(0)
    this.byFrame.fill(0)
    this.objects.clear()
    this.limited.clear()
    this.next = RECORDS_BASE
    this.bound = RECORDS_BASE + RECORDS_KEPT
    this.source.flushed()
  }
}
