/** Translates hot code: regions become functions that the interpreter calls in place of blocks. */
import { MODE_USER } from '../../cpu/mode.ts'
import { F } from '../../cpu/state.ts'
import type { Decoded } from '../../isa/decoder.ts'
import { regionHeatAddress, regionPageAddress } from '../../memory/layout.ts'
import { setMarks } from '../code-marks.ts'
import type { Block } from '../interpreter/blocks.ts'
import { decodeMode } from '../interpreter/blocks.ts'
import { FIRST_REGION, type Interpreter } from '../interpreter/interpreter.ts'
import type { Usage } from '../semantics.ts'
import { hasWindows } from './deferred.ts'
import { describeRegion } from './describe-region.ts'
import { FLOAT_LEVELS } from './float-bounds.ts'
import type { KeptRegion, KeptRegions } from './kept-regions.ts'
import type { KeptDescription } from './kept-segment.ts'
import { listRegion, type TranslatedCode } from './listing.ts'
import { liveAfter, RegionPlan } from './plan.ts'
import {
  EAGER,
  type FoundRegion,
  findRegion,
  LARGE,
  type RegionHost,
  type RegionLimits,
  SMALL,
  WITHIN_PAGE,
} from './region.ts'
import type { RegionUnit } from './relocatable.ts'
import { TranslatorSemantics } from './semantics.ts'
import { assembleRegion } from './template-region.ts'
import { Templates } from './templates.ts'
import { translateRegion } from './translate.ts'
import { assumedOfX87, wantsX87Locals, type X87Assumption } from './x87.ts'

interface Extent {
  first: number
  last: number
  /** Its instructions, by bytes: the halves of the frame's marks (code-marks.ts). */
  marks: [low: number, high: number]
}

/** A translated region. */
interface Region {
  readonly block: Block
  readonly index: number
  /** Its code: by address of the frame in memory 1, first and last byte within the frame. */
  readonly extents: ReadonlyMap<number, Extent>
  /** The region in whose place, and under whose index, it is to be. */
  readonly replaces: Region | undefined
  /** Its entries are counted, so that a larger one may take its place. */
  readonly counted: boolean
  /** It is made with care, not of templates. */
  careful: boolean
  /** It counts on what the processor's state need not be. */
  assumes: boolean
  /** Where else it can be entered: addresses in memory 1. */
  entries: readonly number[]
  /** Blocks that it stands for besides its first. */
  readonly others: Block[]
  /** The larger region that is to take its place. */
  replacement: Region | undefined
  /** Its function is what the index stands for. */
  installed: boolean
  /** Its code changed, its block went, or another took its place. */
  dropped: boolean
}

/** A region whose function is not compiled yet. */
interface Waiting {
  readonly region: Region
  readonly unit: RegionUnit
  /** Where its pages are in memory 1. */
  readonly pages: readonly number[]
  /** What later runs are told of it. */
  readonly description: KeptDescription | undefined
}

/** So many regions are compiled as one module: each module costs V8 some 20 KB and 100 µs, whatever is in it. */
const BATCH = 24
/** Regions do not wait longer than so many instructions for others. */
const LONGEST_WAIT = 300_000

/** How often a block is entered before it is translated. */
export const DEFAULT_HEAT = 4000
/** What was entered this much less often than the entry of a region is not made part of it. */
const WARM_SHARE = 100

/** A function that was entered this much less often than a region that calls it is not made part of it. */
const CALLED_SHARE = 2

/** A region that was entered so often where it does not fit is made anew. */
export const MOST_UNFIT = 100
/** So many regions are remembered that did not fit. */
const MOST_UNFIT_KNOWN = 1000

/** A region in which so many long slices ended is made anew with what it calls, and with more care where that gains something. */
const OFTEN_SEEN = 32
/**
 * Likewise one that took another's place because it is entered again and again: what it does each time is little, for which care gains
 * little, and it has the code of all that it calls.
 */
const OFTEN_SEEN_AGAIN = 512
/** So many blocks are known to lie in the midst of regions. */
const MOST_AMIDST = 100_000
/** So many regions are counted for that. */
const MOST_SEEN = 1000

/** The last index of the function table. */
const LAST_REGION = 65535

/** How often a region is entered before it is made anew with what it calls. */
const REGION_HEAT = 100_000

/**
 * How an instruction uses things, or undefined where it is the interpreter's: privileged ones in user mode, those of a unit that
 * the mode does not vouch for, those that are services, and most that are repeated.
 * @param find gives the usage of the instruction's shape; not called where the instruction itself says no
 */
export function usageInRegion(decoded: Decoded, mode: number, find: () => Usage): Usage | undefined {
  const { instruction } = decoded.form
  const { privilege = 'user' } = instruction
  if (privilege !== 'user' && (privilege !== 'cpl0' || mode & MODE_USER)) return undefined
  if (!TranslatorSemantics.unitAllowed(instruction.unit, mode)) return undefined
  const usage = find()
  if (usage.callsService || (usage.restarts && !RESTARTED.test(instruction.mnemonic))) return undefined
  return usage
}

/** Repeated instructions that do as many elements at once as lie in a page, so that being left in between does not change their count. */
const RESTARTED = /^(MOVS|STOS)B?$/

/** Notes code from a first to a last byte, counted from the start of the entry's page, within one page. */
function noteExtent(extents: Map<number, Extent>, pages: ReadonlyMap<number, number>, from: number, to: number): void {
  const frame = pages.get(Math.floor(from / 4096))! | 0
  const [first, last] = [from & 0xfff, to & 0xfff]
  let extent = extents.get(frame)
  if (!extent) extents.set(frame, (extent = { first, last, marks: [0, 0] }))
  extent.first = Math.min(extent.first, first)
  extent.last = Math.max(extent.last, last)
  setMarks(extent.marks, 0, first, last)
}

/** Rotations leave most flags what they were: a template has to find those out each time, if anybody may look. */
const ROTATION = /^RO[LR]$/
/** With a rotation among so many instructions templates take up to twice the time of care, without any it takes a fifth longer. */
const ONE_ROTATION_IN = 128

/** Whether a region with a loop is better made with care (docs/performance.md). */
function gainsByCare({ blocks }: FoundRegion): boolean {
  let [all, rotations] = [0, 0]
  for (const block of blocks) {
    const live = liveAfter(block)
    for (const [i, { decoded }] of block.instructions.entries()) {
      all++
      if (live[i] && ROTATION.test(decoded.form.instruction.mnemonic)) rotations++
    }
  }
  return rotations * ONE_ROTATION_IN >= all && rotations > 0
}

/** The translator of one processor. */
export class Translator {
  readonly statistics = {
    regions: 0,
    regionInstructions: 0,
    translateMilliseconds: 0,
    dropped: 0,
    refused: 0,
    otherEntries: 0,
    keptRegions: 0,
  }
  private readonly interpreter: Interpreter
  private readonly byFrame = new Map<number, Region[]>()
  private readonly byIndex = new Map<number, Region>()
  /** Memory 0 as words, for the regions' counters. */
  private readonly heats: Int32Array
  private readonly modes = new Map<number, ReturnType<typeof decodeMode>>()
  private readonly free: number[] = []
  private next = FIRST_REGION
  private serial = 0
  private readonly templates: Templates
  private waiting: Waiting[] = []
  private waitingSince = 0
  private readonly batch: number
  private readonly kept: KeptRegions | undefined
  /** Whether regions that begin with x87 instructions count on its tags and control word from their entry on. */
  x87FromEntry: boolean
  /** How often regions count as having been entered where they did not fit, before they ever were. */
  unfitAtFirst = 0
  /** Whether every region is made with care at once: for tests. */
  alwaysCareful = false
  /** Gets a listing of each region that is translated (src/engines/translator/listing.ts). */
  onTranslated: ((code: TranslatedCode) => void) | undefined

  /** @param kept what earlier runs left */
  constructor(interpreter: Interpreter, heat = DEFAULT_HEAT, kept?: KeptRegions) {
    this.interpreter = interpreter
    this.templates = new Templates(interpreter.memory.placement)
    this.kept = kept
    if (kept) {
      this.next = kept.end
      interpreter.blocks.expects = (address, mode) => kept.expects(address, mode) || this.entrances.has(address | 0)
    }
    interpreter.blocks.heat = heat
    interpreter.eager = heat <= 1
    this.x87FromEntry = heat > 1
    this.batch = heat <= 1 ? 1 : BATCH
    this.heats = new Int32Array(interpreter.memory.cpuMemory.buffer)
    interpreter.onHotBlock = block => this.blockIsHot(block)
    if (heat > 1) interpreter.onLongSlice = address => this.seenAt(address)
    interpreter.onHotRegion = index => this.regionIsHot(index)
    interpreter.onUnfitRegion = index => this.regionIsUnfit(index)
    interpreter.beforeRun = () => {
      this.compileOld()
      kept?.saveInTime()
    }
    interpreter.blocks.onDrop = block => this.blockDropped(block)
    interpreter.onFlush = () => this.flush()
    interpreter.onMarkCode = frame => this.markCode(frame)
    interpreter.onCodeWritten = (frame, first, last) => this.codeWritten(frame, first, last)
  }

  private info(mode: number): ReturnType<typeof decodeMode> {
    let info = this.modes.get(mode)
    if (!info) this.modes.set(mode, (info = decodeMode(mode)))
    return info
  }

  /** How an instruction of a region uses things, or undefined where the interpreter keeps it. */
  private usage(decoded: Decoded, mode: number): Usage | undefined {
    return usageInRegion(decoded, mode, () => {
      const info = this.info(mode)
      const index = this.interpreter.handler(decoded, info.mode, info.modeClass, info.stackSize, info.segmented)
      return this.interpreter.usages[index]
    })
  }

  /** By address in memory 1: the region in the midst of which a block lies, until the block is hot once more. */
  private readonly amidst = new Map<number, Region>()

  /**
   * A block was entered often. Where a region goes through it already, it was perhaps entered before there was that one: it
   * waits until it was entered as often again, so that a loop of many blocks does not become a region for each of them.
   */
  private blockIsHot(block: Block): void {
    if (this.enterThere(block) || (this.kept && this.enterKept(this.kept, block))) return
    const region = this.interpreter.eager ? undefined : this.amidst.get(block.address)
    if (region && !region.dropped && region.block.mode === block.mode) {
      // As long as it waits for its code nothing is known of how often it is entered there.
      if (region.installed) this.amidst.delete(block.address)
      this.interpreter.blocks.reheat(block)
    } else this.translate(block)
  }

  /**
   * Translates the region that a block begins.
   * @param replaces the one that there is already
   * @param isLoop the guest was often seen in it
   */
  translate(block: Block, replaces?: Region, isLoop = false): void {
    const from = this.translatingTime()
    const info = this.info(block.mode)
    const found = findRegion(this.host(block), block.address, info, this.limits(info, replaces))
    if (found.blocks.length === 0) {
      this.statistics.refused++
      return
    }
    const careful = this.alwaysCareful || (isLoop && gainsByCare(found))
    // What took another's place already goes through what it calls.
    if (isLoop && !replaces?.counted && !careful) return
    const region = this.register(block, found, replaces, careful)
    if (region) {
      this.onTranslated?.(listRegion(this.interpreter.vcpu, block, found, this.unit('region', found, region, false)))
      const { counted } = region
      const unit = this.unit(`region ${this.serial++}`, found, region)
      if (counted) this.heats[regionHeatAddress(region.index) >> 2] = REGION_HEAT
      const { ram } = this.interpreter.memory
      const keeps = this.kept && !info.segmented
      const description = keeps ? describeRegion(found, block, region, region.entries, ram) : undefined
      if (this.waiting.length === 0) this.waitingSince = this.interpreter.instructions
      this.waiting.push({ region, unit, pages: [...found.pages.values()], description })
      if (this.waiting.length >= this.batch) this.compile()
    }
    this.statistics.translateMilliseconds += this.translatingTime() - from
  }

  /** By address of a region's first block: how often its x87 was not what the region counts on. */
  private readonly unfit = new Map<number, number>()

  /** What a region may count on of the x87; undefined where results do not come out as regions have them. */
  private x87({ block }: Region): X87Assumption | undefined {
    const { state } = this.interpreter.vcpu
    const unfit = this.unfit.get(block.address) ?? this.unfitAtFirst
    if (unfit >= 2 * MOST_UNFIT) return undefined
    const fromEntry = this.x87FromEntry && unfit < MOST_UNFIT
    const assumed = assumedOfX87(state.get32(F.fcw), state.get32(F.ftw), state.get32(F.x87Top))
    return assumed && { ...assumed, fromEntry }
  }

  /** How often a region counted on too much of its floating point (deferred.ts); undefined: it is to count on nothing. */
  private floatLevel({ block }: Region): number | undefined {
    const level = Math.floor((this.unfit.get(block.address) ?? this.unfitAtFirst) / MOST_UNFIT)
    return level <= FLOAT_LEVELS ? level : undefined
  }

  /** The x87 is not what a region counts on: after some times it is made anew so that it counts on less. */
  private regionIsUnfit(index: number): void {
    const region = this.byIndex.get(index)
    if (!region || region.dropped) return
    const { address } = region.block
    const unfit = (this.unfit.get(address) ?? this.unfitAtFirst) + 1
    if (this.unfit.size >= MOST_UNFIT_KNOWN) this.unfit.clear()
    this.unfit.set(address, unfit)
    if (unfit % MOST_UNFIT === 0) this.drop(region)
  }

  /** The function of a region: made of templates, or with more care. */
  private unit(name: string, found: FoundRegion, region: Region, counted = region.counted): RegionUnit {
    const { address, mode } = region.block
    const info = this.info(mode)
    const x87 = this.x87(region)
    const level = this.floatLevel(region)
    // Loops of floating point gain much by the better translation, and may turn without ever leaving the region.
    const isFloat = this.isFloat(found, x87)
    const plan = new RegionPlan(found, !info.segmented && !isFloat)
    region.entries = plan.otherEntries.map(distance => (address + distance) | 0)
    if (!info.segmented && !region.careful && !isFloat) {
      const unit = assembleRegion(name, plan, mode, info, this.templates, region.index, counted)
      if (unit) return unit
      this.statistics.refused++
    }
    region.careful = true
    region.assumes = isFloat
    const { placement } = this.interpreter.memory
    if (!isFloat) return translateRegion(name, plan, mode, info, region.index, counted, placement)
    return translateRegion(name, plan, mode, info, region.index, counted, placement, x87, level)
  }

  private isFloat({ blocks }: FoundRegion, x87: X87Assumption | undefined): boolean {
    return (x87 && wantsX87Locals(blocks.flatMap(({ instructions }) => instructions))) || hasWindows(blocks)
  }

  private limits(info: ReturnType<typeof decodeMode>, replaces: Region | undefined): RegionLimits {
    // A page behind a limit would have to be checked anew.
    if (info.segmented) return WITHIN_PAGE
    return this.interpreter.eager ? EAGER : replaces ? LARGE : SMALL
  }

  /** A region was entered so often that it is made anew with what it calls. */
  private regionIsHot(index: number): void {
    const region = this.byIndex.get(index)
    if (region && !region.dropped && !region.replacement) this.translate(region.block, region)
  }

  /** How often a long slice ended in a region. */
  private readonly seen = new Map<Region, number>()

  /** The guest was seen at an address in memory 1: the loops of a region count for nothing where its entries are counted. */
  private seenAt(address: number): void {
    const frame = (address & ~0xfff) | 0
    const mode = this.interpreter.vcpu.state.get32(F.mode)
    const offset = address & 0xfff
    const here = (this.byFrame.get(frame) ?? []).filter(
      ({ block, extents, installed, dropped, replacement, careful }) => {
        if (!installed || dropped || replacement || careful || block.mode !== mode) return false
        const { first, last } = extents.get(frame)!
        return first <= offset && offset <= last
      },
    )
    // Pages are counted from the one that RIP is in.
    const within = here.filter(({ block }) => (block.address & ~0xfff) === frame)
    const region = within.find(({ block }) => block.address >>> 0 === address) ?? within.at(0)
    if (!region) return
    const seen = (this.seen.get(region) ?? 0) + 1
    this.seen.set(region, seen)
    if (seen === (region.counted ? OFTEN_SEEN : OFTEN_SEEN_AGAIN)) this.translate(region.block, region, true)
    if (this.seen.size > MOST_SEEN) this.seen.clear()
  }

  /** What the search for a region is told of the processor that is about to execute its entry. */
  private host(block: Block): RegionHost {
    const { interpreter } = this
    const { blocks, eager } = interpreter
    const { mode } = block
    const warm = (address: number) => blocks.entered(address, mode) * WARM_SHARE >= blocks.heat
    return {
      memory: interpreter.memory,
      usage: decoded => this.usage(decoded, mode),
      page: number => interpreter.fetchedPage(number),
      isWarm: address => eager || warm(address),
      isCalledOften: address => eager || this.entered(blocks.regionAt(address, mode)) * CALLED_SHARE >= REGION_HEAT,
      warmIn: page => {
        if (eager) return []
        const here = blocks
          .inFrame(page)
          .filter(other => other.mode === mode && (other.address & ~0xfff) === (page | 0))
        return here.map(other => other.address >>> 0).filter(warm)
      },
    }
  }

  /** How often a region was entered since it was made. */
  private entered(index: number): number {
    const region = this.byIndex.get(index)
    if (!region) return 0
    return region.counted ? REGION_HEAT - this.heats[regionHeatAddress(index) >> 2] : REGION_HEAT
  }

  /** Milliseconds that pass while something is translated, but not while V8 compiles it: that is counted apart. */
  private translatingTime(): number {
    return performance.now() - this.interpreter.library.statistics.milliseconds
  }

  /** Compiles what has waited long enough. */
  private compileOld(): void {
    if (this.waiting.length === 0 || this.interpreter.instructions - this.waitingSince < LONGEST_WAIT) return
    const from = this.translatingTime()
    this.compile()
    this.statistics.translateMilliseconds += this.translatingTime() - from
  }

  private compile(): void {
    const wanted = this.waiting.filter(({ region }) => !region.dropped)
    this.waiting = []
    if (wanted.length === 0) return
    const made = this.interpreter.library.compile(
      wanted.map(({ unit }) => unit),
      false,
    )
    for (const { region, unit, pages, description } of wanted) {
      if (region.replaces) region.replaces.dropped = true
      if (description) this.kept?.note(region, region.replaces, description, unit)
      if (this.kept?.owns(region.index)) this.kept.hold(region.index)
      region.installed = true
      this.byIndex.set(region.index, region)
      this.setPages(region, pages)
      this.interpreter.table.set(region.index, made.get(unit.name)!)
      this.interpreter.blocks.setRegion(region.block, region.index)
    }
    // What is entered at more than one place may have regions among those that are entered at one.
    for (const { region } of wanted) this.enterElsewhere(region)
  }

  /** Notes where the region's code lies. @returns undefined when there is no room for another region */
  private register(
    block: Block,
    found: FoundRegion,
    replaces: Region | undefined,
    careful: boolean,
  ): Region | undefined {
    const { blocks, pages } = found
    const index = replaces?.index ?? this.free.pop() ?? this.next++
    if (index > LAST_REGION) {
      this.interpreter.flushSoon()
      return undefined
    }
    const start = block.address & 0xfff
    const extents = new Map<number, Extent>()
    const inside: number[] = []
    for (const { instructions, distance } of blocks) {
      if (distance !== 0) inside.push(distance)
      this.statistics.regionInstructions += instructions.length
      for (const { distance, decoded, crosses } of instructions) {
        const from = start + distance
        const last = from + decoded.length - 1
        noteExtent(extents, pages, from, crosses ? from | 0xfff : last)
        if (crosses) noteExtent(extents, pages, last & ~0xfff, last)
      }
    }
    const region: Region = {
      block,
      index,
      extents,
      replaces,
      counted: !this.interpreter.eager && !this.info(block.mode).segmented && !replaces,
      careful,
      assumes: false,
      entries: [],
      others: [],
      replacement: undefined,
      installed: false,
      dropped: false,
    }
    if (replaces) replaces.replacement = region
    else this.byIndex.set(index, region)
    this.watch(region, inside, pages)
    this.statistics.regions++
    return region
  }

  /** Sees to it that a region goes when its code is written. @param inside distances of its blocks besides the first */
  private watch(region: Region, inside: readonly number[], pages: ReadonlyMap<number, number>): void {
    const start = region.block.address & 0xfff
    if (this.amidst.size > MOST_AMIDST) this.amidst.clear()
    for (const distance of inside) {
      const at = start + distance
      this.amidst.set((pages.get(Math.floor(at / 4096))! + (at & 0xfff)) | 0, region)
    }
    for (const [frame, { marks }] of region.extents) {
      this.interpreter.protect(frame)
      this.interpreter.marks.addAll(frame >>> 12, marks)
      const regions = this.byFrame.get(frame)
      if (regions) regions.push(region)
      else this.byFrame.set(frame, [region])
    }
  }

  /** Tells a region where its pages are. */
  private setPages({ index, counted }: Region, pages: readonly number[]): void {
    for (const [page, address] of pages.entries()) this.heats[regionPageAddress(index, counted, page) >> 2] = address
  }

  /** Blocks for which an earlier run had regions, whose code was not there, or not known, when they were entered first. */
  private readonly notYet = new WeakSet<Block>()

  /** Lets a region of an earlier run stand for a block. @returns false: it is hot, and there is none */
  private enterKept(kept: KeptRegions, block: Block): boolean {
    const { address, mode } = block
    if (block.limited || !kept.expects(address, mode)) return false
    const fits = !this.unfit.has(address)
    const found = kept.take(address, mode, number => this.interpreter.fetchedPage(number), fits)
    if (found) this.install(block, found)
    else if (this.notYet.has(block)) return false
    else {
      this.notYet.add(block)
      this.interpreter.blocks.reheat(block)
    }
    return true
  }

  private install(block: Block, { index, description, pages }: KeptRegion): void {
    const { counted, careful, assumes, runs, entries, blocks } = description
    const byNumber = new Map(description.pages.map((number, i) => [number, pages[i]]))
    const extents = new Map<number, Extent>()
    for (const { page, offset, bytes } of runs) {
      const from = description.pages[page] * 4096 + offset
      noteExtent(extents, byNumber, from, from + bytes.length - 1)
    }
    const region: Region = {
      block,
      index,
      extents,
      replaces: undefined,
      counted,
      careful,
      assumes,
      entries: entries.map(distance => (block.address + distance) | 0),
      others: [],
      replacement: undefined,
      installed: true,
      dropped: false,
    }
    this.byIndex.set(index, region)
    this.heats[regionHeatAddress(index) >> 2] = REGION_HEAT
    this.setPages(region, pages)
    this.watch(region, blocks, byNumber)
    this.interpreter.blocks.setRegion(block, index)
    this.enterElsewhere(region)
    this.statistics.keptRegions++
  }

  /** A block goes, and with it the entry of its region. */
  private blockDropped(block: Block): void {
    this.dropWhere(block.address & ~0xfff, region => region.block === block)
  }

  /** Code changed: regions that hold any of it go, whether it was ever interpreted or not. @returns whether some are left */
  private codeWritten(frame: number, first: number, last: number): boolean {
    return this.dropWhere(frame, ({ extents }) => {
      const extent = extents.get(frame)!
      return extent.first <= last && extent.last >= first
    })
  }

  /** Marks what a frame's regions were made of. */
  private markCode(frame: number): void {
    for (const { dropped, extents } of this.byFrame.get(frame) ?? []) {
      if (!dropped) this.interpreter.marks.addAll(frame >>> 12, extents.get(frame)!.marks)
    }
  }

  /** Drops some of a frame's regions. @returns whether some are left */
  private dropWhere(frame: number, condition: (region: Region) => boolean): boolean {
    const regions = this.byFrame.get(frame)
    if (!regions) return false
    const kept = regions.filter(region => !region.dropped && (!condition(region) || !this.drop(region)))
    if (kept.length) this.byFrame.set(frame, kept)
    else this.byFrame.delete(frame)
    return kept.length > 0
  }

  /** By address in memory 1: the region that can be entered there, where that is not its first block. */
  private readonly entrances = new Map<number, Region>()

  /** Lets a region stand for a block at which it can be entered, and which was decoded later. @returns whether there is one */
  private enterThere(block: Block): boolean {
    const region = this.entrances.get(block.address)
    if (!region) return false
    if (region.dropped) {
      this.entrances.delete(block.address)
      return false
    }
    if (region.block.mode !== block.mode || block.second !== -1 || block.limited) return false
    this.interpreter.blocks.setRegion(block, region.index)
    region.others.push(block)
    return true
  }

  /** Lets a region stand for all blocks at which it can be entered. */
  private enterElsewhere(region: Region): void {
    if (region.dropped) return
    const { blocks } = this.interpreter
    const before = region.replaces?.others ?? []
    if (this.entrances.size > MOST_AMIDST) this.entrances.clear()
    for (const address of region.entries) {
      this.entrances.set(address, region)
      const block = blocks.blockAt(address, region.block.mode)
      if (!block || block.second !== -1) continue
      const other = this.byIndex.get(block.region)
      if (other && other !== region && other.block === block) {
        if (other.careful && !region.careful) continue
        this.kept?.forget(other, other.index)
        this.drop(other)
      }
      blocks.setRegion(block, region.index)
      region.others.push(block)
      this.statistics.otherEntries++
    }
    const lost = before.filter(block => block.region === region.index && !region.others.includes(block))
    if (lost.length) this.leaveBlocks(lost)
    // Jumps know entries of the one before also for blocks that belong to others by now.
    else if (region.replaces?.entries.some(address => !region.entries.includes(address))) this.interpreter.newEpoch()
  }

  /** Blocks for which no region stands any more: they may begin others. */
  private leaveBlocks(blocks: readonly Block[]): void {
    for (const block of blocks) {
      this.interpreter.blocks.setRegion(block, 0)
      this.interpreter.blocks.reheat(block)
    }
    this.interpreter.newEpoch()
  }

  private drop(region: Region): boolean {
    region.dropped = true
    this.leaveBlocks(region.others.filter(block => block.region === region.index))
    // One that was to take another's place leaves it to that.
    if (region.replaces && !region.installed) return true
    if (region.replacement) region.replacement.dropped = true
    this.byIndex.delete(region.index)
    // Code that the region held besides its first block was written: the block may begin another region.
    this.interpreter.blocks.setRegion(region.block, 0)
    this.interpreter.blocks.reheat(region.block)
    this.interpreter.newEpoch()
    if (this.kept?.owns(region.index)) this.kept.giveBack(region.index)
    else {
      this.interpreter.table.set(region.index, null)
      this.free.push(region.index)
    }
    this.statistics.dropped++
    return true
  }

  private flush(): void {
    for (const regions of this.byFrame.values()) {
      for (const region of regions) if (!region.dropped) this.drop(region)
    }
    this.byFrame.clear()
    this.waiting = []
    this.templates.clear()
  }
}
