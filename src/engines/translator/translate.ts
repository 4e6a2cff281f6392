/** Makes a region's function from its blocks. */

import { type Label, OP_BLOCK, OP_LOOP } from '../../ir/node.ts'
import type { Int } from '../../ir/values.ts'
import type { Routine } from '../../isa/semantics.ts'
import type { RamPlacement } from '../../memory/layout.ts'
import { buildAfter } from '../checks.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import { shapeOf } from '../interpreter/handlers.ts'
import { constantXmms, windowsOf } from './deferred.ts'
import type { Known } from './flags.ts'
import { FLOAT_LEVELS, FloatBounds, type KnownMagnitudes } from './float-bounds.ts'
import { HeldPages } from './held-pages.ts'
import { liveAfter, type RegionPlan } from './plan.ts'
import { type Edge, type RegionBlock, type RegionInstruction, WIDEST_TABLE } from './region.ts'
import { RegionCode } from './region-code.ts'
import { type RegionUnit, relocatable } from './relocatable.ts'
import { TranslatorSemantics } from './semantics.ts'
import { jumpKind, outerLoop, type PlacedBlock } from './structure.ts'
import { wantsX87Locals, worksOnStack, type X87Assumption, type X87Known } from './x87.ts'

/**
 * Builds the function of a region.
 * @param index the region's number
 * @param counted its entries are to be counted (src/memory/layout.ts, REGION_HEAT_BASE)
 * @param ram where memory 1 lies
 * @param x87 what the region may count on, to have the x87 in locals
 * @param level how often the region counted on too much of its floating point; undefined: it is to count on nothing
 */
export function translateRegion(
  name: string,
  plan: RegionPlan,
  mode: number,
  info: ReturnType<typeof decodeMode>,
  index: number,
  counted: boolean,
  ram: RamPlacement,
  x87?: X87Assumption,
  level?: number,
): RegionUnit {
  return new RegionTranslator(plan, mode, info, x87, level).translate(name, index, counted, ram)
}

/** What is known where a block begins that is reached in one way only. */
interface Arrival {
  readonly flags: Known
  readonly pending: number
  /** Settled numbers of XMM registers. */
  readonly settled: readonly number[]
  readonly x87: X87Known | undefined
  readonly floats: KnownMagnitudes | undefined
}

class RegionTranslator {
  private readonly region: RegionCode
  private readonly plan: RegionPlan
  private readonly placed: readonly PlacedBlock[]
  private readonly indexOf: ReadonlyMap<RegionBlock, number>
  /** Numbers of the region's pages. */
  private readonly pages: readonly number[]
  /** Offset of the entry in its page. */
  private readonly offset: number
  private readonly mode: number
  private readonly info: ReturnType<typeof decodeMode>
  /** Labels in front of blocks, by index: the end of a WebAssembly block, or the start of a loop. */
  private readonly forward: (Label | undefined)[] = []
  private readonly loops: (Label | undefined)[] = []
  private readonly used = new Set<Routine>()
  /** By index: what the one way brings along in which a block is reached. */
  private readonly arrivals: (Arrival | undefined)[] = []

  constructor(
    plan: RegionPlan,
    mode: number,
    info: ReturnType<typeof decodeMode>,
    x87: X87Assumption | undefined,
    level: number | undefined,
  ) {
    this.mode = mode
    this.info = info
    const { found } = plan
    this.pages = [...found.pages.keys()]
    this.offset = plan.found.offset
    const all = found.blocks.flatMap(({ instructions }) => instructions)
    const wants = x87 && wantsX87Locals(all)
    const atOnce = found.blocks[0].instructions.some(worksOnStack)
    const assumed = wants ? { ...x87, fromEntry: x87.fromEntry && atOnce } : undefined
    const later = level === undefined ? undefined : { level, constants: constantXmms(all) }
    this.plan = plan
    const otherEntries = plan.wayIn.length ? this.offset : undefined
    this.region = new RegionCode(info.mode === 'long', !info.segmented, assumed, later, otherEntries)
    this.placed = plan.placed
    this.indexOf = plan.indexOf
    this.region.entersLoop = this.isMet(0)
    if (level !== undefined && level < FLOAT_LEVELS && FloatBounds.suits(all)) {
      const { region } = this
      const read = (number: number) => region.readXmm(number)
      region.floats = new FloatBounds(region.code, this.placed, level, read)
    }
    // Of segments with limits each access is checked.
    if (!info.segmented) this.region.held = new HeldPages(this.region.code, this.placed)
  }

  translate(name: string, index: number, counted: boolean, ram: RamPlacement): RegionUnit {
    const { region, placed } = this
    const { f } = region
    this.openForward(-1)
    this.goInto(-1)
    const openLoops: number[] = []
    for (const place of placed) {
      if (place.jumpedTo) f.end()
      if (place.loopEnd >= 0) {
        this.loops[place.index] = f.open(OP_LOOP)
        openLoops.push(place.index)
        this.openForward(place.index)
      }
      this.goInto(place.index)
      this.block(place)
      while (openLoops.length && placed[openLoops.at(-1)!].loopEnd === place.index) {
        f.end()
        openLoops.pop()
      }
    }
    region.finish(this.plan.extent, counted)
    for (const routine of region.code.used) this.used.add(routine)
    return relocatable(name, f, this.used, index, counted, ram)
  }

  /** From the start, or from the header of a loop: on the way to where the region was entered. */
  private goInto(from: number): void {
    const to = this.plan.wayInFrom(from)
    if (to !== undefined) this.region.code.leave(this.forward[to]!, this.region.into.value.isNonZero())
  }

  /** Opens WebAssembly blocks for all blocks directly inside a loop (−1: the region) that are jumped to, the last outermost. */
  private openForward(loop: number): void {
    const { placed } = this
    for (let i = placed.length - 1; i > loop; i--) {
      if (!placed[i].jumpedTo) continue
      const around = placed[i].loop === i ? outerLoop(placed, i) : placed[i].loop
      if (around === loop) this.forward[i] = this.region.f.open(OP_BLOCK)
    }
  }

  private block(place: PlacedBlock): void {
    const { region } = this
    const { block, index } = place
    const arrival = this.arrivals[index]
    region.flags.known = arrival ? arrival.flags : index === 0 && this.plan.ways[0] === 0 ? 'state' : 'locals'
    region.pending = arrival ? arrival.pending : 0
    region.unsettle()
    region.deferred?.forget()
    region.held?.startBlock(place)
    region.floats?.startBlock(index, arrival ? arrival.floats : this.isMet(index) ? undefined : NOTHING_KNOWN)
    if (arrival) region.settled = [...arrival.settled]
    if (arrival?.x87) region.x87!.known = arrival.x87
    else region.x87?.startBlock(index, index === 0)
    const meets = block.instructions.length === 0
    const entered = index === this.plan.wayIn.at(-1)
    if (entered) region.arrive()
    if (this.plan.asksBudget(place)) region.checkBudget(meets ? undefined : block.distance, this.plan.longest[index])
    if (meets) {
      this.goToExpected(index, this.plan.expectedAt(place))
      // Whoever thought that the region goes on there would enter it again.
      if (entered) region.code.if(region.came.value.isNonZero(), () => region.bailIndirect(), undefined, 'unlikely')
      region.exitIndirect()
      return
    }
    const live = liveAfter(block)
    const windows = region.deferred && windowsOf(block.instructions, region.floats !== undefined)
    let last: TranslatorSemantics | undefined
    block.instructions.forEach((instruction, i) => {
      if (windows?.[i].closes) region.deferred!.close()
      if (windows?.[i].opens) region.deferred!.open(instruction.distance)
      last = this.instruction(instruction, live[i])
      region.pending++
    })
    region.deferred?.close()
    this.endBlock(place, last!)
  }

  private instruction(instruction: RegionInstruction, live: boolean): TranslatorSemantics {
    const { decoded, distance, usage, crosses } = instruction
    const { region } = this
    region.f.releaseTemporaries()
    if (crosses) {
      const next = distance + 4096 - ((this.offset + distance) & 0xfff)
      region.leaveUnlessMapped(next, this.pageOf(next), () => region.bail(distance))
    }
    const { flags } = region
    flags.dead = !live
    const { mode: modeName, stackSize, segmented } = this.info
    const { context } = shapeOf(decoded, modeName, stackSize, segmented)
    const m = new TranslatorSemantics(region, decoded, context, usage, this.mode, distance + decoded.length)
    m.enter()
    // By a number that is known, a shift sets them always or never.
    const isKnown = decoded.form.operands.some(({ kind }) => kind === 'immediate' || kind === 'one')
    flags.begin(usage.setsFlagsSometimes && !isKnown)
    const definition = decoded.form.instruction
    const execute = definition.execute as (m: TranslatorSemantics, ...operands: unknown[]) => void
    execute.call(definition, m, ...m.operands())
    flags.end()
    buildAfter(m, definition)
    for (const routine of m.used) this.used.add(routine)
    return m
  }

  private endBlock(place: PlacedBlock, last: TranslatorSemantics): void {
    const { block, index } = place
    const { region } = this
    if (block.interpretAt !== undefined) {
      region.bail(block.interpretAt)
      return
    }
    const { ending } = last
    if (block.leavesTo !== undefined) {
      region.exit(block.leavesTo)
      return
    }
    if (ending.kind === 'indirect') {
      this.goToExpected(index, block.expected)
      const meeting = block.jumps?.to
      const meets = meeting?.instructions.length === 0
      if (meets && jumpKind(this.placed, index, this.indexOf.get(meeting)!) !== 'outside')
        this.goTo(index, block.jumps!)
      else region.exitIndirect()
      return
    }
    if (ending.kind === 'goto') {
      const go = () => this.goTo(index, block.jumps!)
      if (!ending.condition) {
        go()
        return
      }
      region.code.if(ending.condition.value, go, undefined, this.plan.likelihoodOfJump(place))
    }
    this.goTo(index, block.falls!)
  }

  /** Goes on where an address that is known only now is expected to be. */
  private goToExpected(from: number, expected: readonly Edge[]): void {
    const { region } = this
    if (expected.length <= FEW_TARGETS) {
      for (const edge of expected) {
        const is = region.rip.value.eq(region.ripAt(edge.distance))
        region.code.if(is, () => this.goTo(from, edge), undefined, 'likely')
      }
      return
    }
    const first = Math.min(...expected.map(({ distance }) => distance))
    let shift = 0
    while (shift < 4 && expected.every(({ distance }) => ((distance - first) & ((2 << shift) - 1)) === 0)) shift++
    const last = Math.max(...expected.map(({ distance }) => distance))
    if ((last - first) >> shift > WIDEST_TABLE) return
    // Whatever is no multiple of the step becomes a number beyond the table.
    const distance: Int = region.rip.value.sub(region.ripAt(first))
    const far = distance.shr(32).isNonZero()
    const slot = far.select(region.code.const(0xffffffff, 32), distance.truncate(32).rotr(shift))
    const { f } = region
    const outside = f.open(OP_BLOCK)
    const labels = new Map<Edge, Label>()
    for (const edge of expected) labels.set(edge, f.open(OP_BLOCK))
    const byDistance = new Map(expected.map(edge => [edge.distance, labels.get(edge)!]))
    const table: Label[] = []
    for (let at = first; at <= last; at += 1 << shift) table.push(byDistance.get(at) ?? outside)
    f.branchTable(slot.node, [...table, outside])
    for (const edge of expected.toReversed()) {
      f.end()
      this.goTo(from, edge)
    }
    f.end()
  }

  /** Which of the region's pages the code at a distance lies in. */
  private pageOf(distance: number): number {
    return this.pages.indexOf(Math.floor((this.offset + distance) / 4096))
  }

  /** Whether several ways meet where a block begins, or may. */
  private isMet(index: number): boolean {
    return index === 0 ? this.plan.ways[0] > 0 : this.plan.ways[index] !== 1 || this.placed[index].loopEnd >= 0
  }

  private goTo(from: number, edge: Edge): void {
    const { region } = this
    const to = edge.to && this.indexOf.get(edge.to)
    const kind = to === undefined ? 'outside' : jumpKind(this.placed, from, to)
    if (to === undefined || kind === 'outside') {
      region.exit(edge.distance)
      return
    }
    if (edge.guarded)
      region.leaveUnlessMapped(edge.distance, this.pageOf(edge.distance), () => region.exit(edge.distance))
    if (!this.isMet(to)) {
      this.arrivals[to] = {
        flags: region.flags.known,
        pending: region.pending,
        settled: [...region.settled],
        x87: region.x87?.known,
        floats: region.floats?.known,
      }
    } else {
      region.floats?.meet(to, () => region.exit(edge.distance))
      if (region.x87?.meet(to, () => region.exit(edge.distance)) === false) return
      region.settleBudget()
      if (this.plan.flagsMatter[to]) region.flags.toLocals()
    }
    region.f.branch(kind === 'back' ? this.loops[to]! : this.forward[to]!)
  }
}

const NOTHING_KNOWN: KnownMagnitudes = { plain: false, bounds: new Map() }

/** So many addresses are compared one after another. */
const FEW_TARGETS = 3
