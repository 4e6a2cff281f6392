/** Translates hot code: regions become functions that the interpreter calls in place of blocks. */
import { MODE_USER } from '../../cpu/mode.ts'
import type { Decoded } from '../../isa/decoder.ts'
import type { Block } from '../interpreter/blocks.ts'
import { decodeMode } from '../interpreter/blocks.ts'
import { FIRST_REGION, type Interpreter } from '../interpreter/interpreter.ts'
import type { Unit } from '../library.ts'
import type { Usage } from '../semantics.ts'
import { listRegion, type TranslatedCode } from './listing.ts'
import { findRegion, type RegionBlock } from './region.ts'
import { TranslatorSemantics } from './semantics.ts'
import { translateRegion } from './translate.ts'

/** A translated region. */
interface Region {
  readonly block: Block
  readonly index: number
  /** First and last byte of its code within the frame. */
  readonly first: number
  readonly last: number
  /** Its code changed, or its block went. */
  dropped: boolean
}

/** A region whose function is not compiled yet. */
interface Waiting {
  readonly region: Region
  readonly unit: Unit
}

/** So many regions are compiled as one module: each module costs V8 some 20 KB and 100 µs, whatever is in it. */
const BATCH = 24
/** Regions do not wait longer than so many instructions for others. */
const LONGEST_WAIT = 3_000_000

/** How often a block is entered before it is translated. */
export const DEFAULT_HEAT = 20000

/** The last index of the function table. */
const LAST_REGION = 65535

/**
 * How an instruction uses things, or undefined where it is the interpreter's: privileged ones in user mode, those of a unit that
 * the mode does not vouch for, those that are services, and repeated ones.
 * @param find gives the usage of the instruction's shape; not called where the instruction itself says no
 */
export function usageInRegion(decoded: Decoded, mode: number, find: () => Usage): Usage | undefined {
  const { instruction } = decoded.form
  const { privilege = 'user' } = instruction
  if (privilege !== 'user' && (privilege !== 'cpl0' || mode & MODE_USER)) return undefined
  if (!TranslatorSemantics.unitAllowed(instruction.unit, mode)) return undefined
  const usage = find()
  if (usage.callsService || usage.restarts) return undefined
  return usage
}

/** The translator of one processor. */
export class Translator {
  readonly statistics = { regions: 0, regionInstructions: 0, translateMilliseconds: 0, dropped: 0, refused: 0 }
  private readonly interpreter: Interpreter
  private readonly byFrame = new Map<number, Region[]>()
  private readonly modes = new Map<number, ReturnType<typeof decodeMode>>()
  private readonly free: number[] = []
  private next = FIRST_REGION
  private serial = 0
  private waiting: Waiting[] = []
  private waitingSince = 0
  private readonly batch: number
  /** Gets a listing of each region that is translated (src/engines/translator/listing.ts). */
  onTranslated: ((code: TranslatedCode) => void) | undefined

  constructor(interpreter: Interpreter, heat = DEFAULT_HEAT) {
    this.interpreter = interpreter
    interpreter.blocks.heat = heat
    interpreter.eager = heat <= 1
    this.batch = heat <= 1 ? 1 : BATCH
    interpreter.onHotBlock = block => this.translate(block)
    interpreter.beforeRun = () => this.compileOld()
    interpreter.blocks.onDrop = block => this.blockDropped(block)
    interpreter.onFlush = () => this.flush()
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

  /** Translates the region that a block begins. */
  translate(block: Block): void {
    const from = this.translatingTime()
    const info = this.info(block.mode)
    const host = {
      memory: this.interpreter.memory,
      usage: (decoded: Decoded) => this.usage(decoded, block.mode),
    }
    const blocks = findRegion(host, block.address, info)
    if (!blocks.has(0)) {
      this.statistics.refused++
      return
    }
    const unit = translateRegion(`region ${this.serial++}`, blocks, block.mode, info)
    this.onTranslated?.(listRegion(this.interpreter.vcpu, block, blocks))
    const region = this.register(block, blocks)
    if (region) {
      if (this.waiting.length === 0) this.waitingSince = this.interpreter.instructions
      this.waiting.push({ region, unit })
      if (this.waiting.length >= this.batch) this.compile()
    }
    this.statistics.translateMilliseconds += this.translatingTime() - from
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
    for (const { region, unit } of wanted) {
      this.interpreter.table.set(region.index, made.get(unit.name)!)
      this.interpreter.blocks.setRegion(region.block, region.index)
    }
  }

  /** Notes where the region's code lies. @returns undefined when there is no room for another region */
  private register(block: Block, blocks: ReadonlyMap<number, RegionBlock>): Region | undefined {
    const index = this.free.pop() ?? this.next++
    if (index > LAST_REGION) {
      this.interpreter.flushSoon()
      return undefined
    }
    const start = block.address & 0xfff
    let first = start
    let last = start
    let instructions = 0
    for (const { instructions: list } of blocks.values()) {
      instructions += list.length
      for (const { distance, decoded } of list) {
        first = Math.min(first, start + distance)
        last = Math.max(last, start + distance + decoded.length - 1)
      }
    }
    const region: Region = { block, index, first, last, dropped: false }
    const frame = block.address & ~0xfff
    const regions = this.byFrame.get(frame)
    if (regions) regions.push(region)
    else this.byFrame.set(frame, [region])
    this.statistics.regions++
    this.statistics.regionInstructions += instructions
    return region
  }

  /** A block goes, and with it the entry of its region. */
  private blockDropped(block: Block): void {
    this.dropWhere(block.address & ~0xfff, region => region.block === block)
  }

  /** Code changed: regions that hold any of it go, whether it was ever interpreted or not. @returns whether some are left */
  private codeWritten(frame: number, first: number, last: number): boolean {
    return this.dropWhere(frame, region => region.first <= last && region.last >= first)
  }

  /** Drops some of a frame's regions. @returns whether some are left */
  private dropWhere(frame: number, condition: (region: Region) => boolean): boolean {
    const regions = this.byFrame.get(frame)
    if (!regions) return false
    const kept = regions.filter(region => !condition(region) || !this.drop(region))
    if (kept.length) this.byFrame.set(frame, kept)
    else this.byFrame.delete(frame)
    return kept.length > 0
  }

  private drop(region: Region): boolean {
    region.dropped = true
    // Code that the region held besides its first block was written: the block may begin another region.
    this.interpreter.blocks.setRegion(region.block, 0)
    this.interpreter.blocks.reheat(region.block)
    this.interpreter.newEpoch()
    this.interpreter.table.set(region.index, null)
    this.free.push(region.index)
    this.statistics.dropped++
    return true
  }

  private flush(): void {
    for (const regions of this.byFrame.values()) for (const region of regions) this.drop(region)
    this.byFrame.clear()
    this.waiting = []
  }
}
