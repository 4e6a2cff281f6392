/** A region's function made of templates: in a hundredth of the time that building it from definitions takes. */
import { MODE_TLB_SHIFT } from '../../cpu/mode.ts'
import { F } from '../../cpu/state.ts'
import type { EmittedBody, Linker } from '../../ir/function.ts'
import { regionHeatAddress, regionPageAddress, TLB_BASE } from '../../memory/layout.ts'
import { TLB_SIZE } from '../../memory/tlb.ts'
import { type FunctionType, I64 } from '../../wasm/types.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import { REGION_TYPE } from '../interpreter/main.ts'
import type { Unit } from '../library.ts'
import { NearAccesses, type NearPlan } from './near-accesses.ts'
import { liveAfter, type RegionPlan } from './plan.ts'
import { type Edge, successors, WIDEST_TABLE } from './region.ts'
import type { RegionUnit } from './relocatable.ts'
import { jumpKind, outerLoop, type PlacedBlock } from './structure.ts'
import { declareLocals, KNOWN_NOTHING, KNOWN_SAME, LOCALS, type Template } from './template.ts'
import { type Depth, TemplateWriter } from './template-writer.ts'
import type { Templates } from './templates.ts'

/** An instruction for which there is a template. */
interface Prepared {
  readonly template: Template
  /** What is known of the flags in front of it. */
  readonly known: number
  /** Whether anybody looks at the flags that it sets. */
  readonly live: boolean
}

/** Above this an address to go on at is looked for one comparison after another. */
const MOST_COMPARED = 3

/**
 * Makes a region's function of templates.
 * @param index the region's number
 * @param counted its entries are to be counted (src/memory/layout.ts, REGION_HEAT_BASE)
 * @returns undefined when something in it is not for templates
 */
export function assembleRegion(
  name: string,
  plan: RegionPlan,
  mode: number,
  info: ReturnType<typeof decodeMode>,
  templates: Templates,
  index: number,
  counted = false,
): RegionUnit | undefined {
  const region = new TemplateRegion(plan, mode, info, templates)
  if (!region.write()) return undefined
  const at = region.finish(counted)
  return { name, f: at(index), uses: region.out.routines, at }
}

class TemplateRegion {
  readonly out: TemplateWriter
  private readonly plan: RegionPlan
  private readonly placed: readonly PlacedBlock[]
  private readonly templates: Templates
  private readonly long: boolean
  private readonly info: ReturnType<typeof decodeMode>
  private readonly pages: readonly number[]
  /** Offset of the entry in its page. */
  private readonly offset: number
  private readonly forward: Depth[] = []
  private readonly loops: Depth[] = []
  /** By index of a block that is reached in one way only: how many instructions on it the budget does not know of. */
  private readonly arrivals: (number | undefined)[] = []
  /** Ways out: to whatever is at RIP; for the interpreter to go on there; and where HOLE_WHERE says. */
  private readonly left: Depth
  private readonly bailed: Depth
  private readonly missed: Depth
  private pending = 0

  constructor(plan: RegionPlan, mode: number, info: ReturnType<typeof decodeMode>, templates: Templates) {
    this.pages = [...plan.found.pages.keys()]
    this.offset = plan.found.offset
    this.info = info
    this.long = info.mode === 'long'
    this.templates = templates
    this.plan = plan
    this.placed = plan.placed
    this.out = new TemplateWriter(TLB_BASE + ((mode >> MODE_TLB_SHIFT) & 3) * TLB_SIZE, templates.ram)
    this.left = this.out.open(2)
    this.bailed = this.out.open(2)
    this.missed = this.out.open(2, I64)
  }

  /** By index of the block: its instructions, and what is to be done about their accesses. */
  private readonly prepared: Prepared[][] = []
  private near: (NearPlan | undefined)[][] = []

  /** Finds the templates. @returns whether there are some for all */
  private prepare(): boolean {
    const { placed, plan } = this
    const before: (number | undefined)[] = []
    const after: number[] = []
    const near = new NearAccesses(this.long ? 64 : 32)
    for (const { block, index } of placed) {
      const from = before[index]
      let known = from === undefined ? KNOWN_NOTHING : after[from]
      const live = liveAfter(block)
      const prepared: Prepared[] = []
      for (const [i, instruction] of block.instructions.entries()) {
        const template = this.templates.get(instruction, this.info, known, live[i])
        if (!template) return false
        prepared.push({ template, known, live: live[i] })
        if (template.known !== KNOWN_SAME) known = template.known
      }
      after[index] = known
      this.prepared[index] = prepared
      near.block(
        index,
        block.instructions,
        prepared.map(({ template }) => template.shape),
        from,
      )
      for (const to of successors(block)) {
        const target = plan.indexOf.get(to)!
        if (this.isOnlyWay(target) && jumpKind(placed, index, target) !== 'outside') before[target] = index
      }
    }
    this.near = near.plan()
    return true
  }

  /** Whether there is one way only that leads to a block. */
  private isOnlyWay(index: number): boolean {
    return this.plan.ways[index] === 1 && this.placed[index].loopEnd < 0 && index !== 0
  }

  /** Writes the blocks. @returns whether there is a template for all that is in them */
  write(): boolean {
    if (!this.prepare()) return false
    const { out, placed } = this
    this.openForward(-1)
    this.goInto(-1)
    const openLoops: number[] = []
    for (const place of placed) {
      if (place.jumpedTo) out.end()
      if (place.loopEnd >= 0) {
        this.loops[place.index] = out.open(3)
        openLoops.push(place.index)
        this.openForward(place.index)
      }
      this.goInto(place.index)
      this.block(place)
      while (openLoops.length && placed[openLoops[openLoops.length - 1]].loopEnd === place.index) {
        out.end()
        openLoops.pop()
      }
    }
    return true
  }

  /** From the start, or from the header of a loop: on the way to where the region was entered. */
  private goInto(from: number): void {
    const to = this.plan.wayInFrom(from)
    if (to === undefined) return
    const { out } = this
    out.get(LOCALS.into)
    out.byte(0x0d)
    out.unsigned(out.depth - this.forward[to])
  }

  /** Opens WebAssembly blocks for all blocks directly inside a loop (−1: the region) that are jumped to, the last outermost. */
  private openForward(loop: number): void {
    const { placed } = this
    for (let i = placed.length - 1; i > loop; i--) {
      if (!placed[i].jumpedTo) continue
      const around = placed[i].loop === i ? outerLoop(placed, i) : placed[i].loop
      if (around === loop) this.forward[i] = this.out.open(2)
    }
  }

  private block(place: PlacedBlock): void {
    const { out, plan } = this
    const { block, index } = place
    this.pending = this.arrivals[index] ?? 0
    const { instructions } = block
    const meets = instructions.length === 0
    const entered = index === plan.wayIn.at(-1)
    if (entered) {
      out.get(LOCALS.into)
      out.set(LOCALS.came)
      out.const32(0)
      out.set(LOCALS.into)
    }
    if (plan.asksBudget(place)) this.checkBudget(meets ? undefined : block.distance, plan.longest[index])
    if (meets) {
      this.goToExpected(index, plan.expectedAt(place))
      if (entered) {
        // Whoever thought that the region goes on there would enter it again.
        out.get(LOCALS.came)
        out.if('unlikely')
        this.leave(this.bailed)
        out.end()
      }
      this.leave(this.left)
      return
    }
    let last: Template | undefined
    for (let i = 0; i < instructions.length; i++) {
      const { decoded, distance, crosses } = instructions[i]
      if (crosses) this.guard(distance + 4096 - ((this.offset + distance) & 0xfff), distance, this.bailed)
      const near = this.near[index][i]
      const { known, live, template: plain } = this.prepared[index][i]
      let template = plain
      if (near) {
        for (const reach of near.reaches) out.reach(this.templates.reach(reach, this.long ? 64 : 32), reach)
        let parts = 0
        for (const { part } of near.accesses) parts |= 1 << part
        template = this.templates.get(instructions[i], this.info, known, live, parts)!
      }
      out.copy(template, decoded, distance, this.pending, this.missed, near?.accesses)
      this.pending++
      last = template
    }
    this.endBlock(place, last!)
  }

  private endBlock(place: PlacedBlock, { ending }: Template): void {
    const { out, plan } = this
    const { index, block } = place
    if (block.interpretAt !== undefined) this.leaveTo(block.interpretAt, this.bailed)
    else if (block.leavesTo !== undefined) this.leaveTo(block.leavesTo, this.left)
    else if (ending === 'indirect') {
      this.goToExpected(index, block.expected)
      const meeting = block.jumps?.to
      const meets = meeting?.instructions.length === 0
      if (meets && jumpKind(this.placed, index, this.plan.indexOf.get(meeting)!) !== 'outside')
        this.goTo(index, block.jumps!)
      else this.leave(this.left)
    } else {
      if (ending === 'conditional') {
        out.if(plan.likelihoodOfJump(place))
        this.goTo(index, block.jumps!)
        out.end()
      }
      this.goTo(index, ending === 'goto' ? block.jumps! : block.falls!)
    }
  }

  private leave(to: Depth): void {
    this.out.spend(this.pending)
    this.out.branch(to)
  }
  private leaveTo(distance: number, to: Depth): void {
    this.out.ripAt(distance, this.long)
    this.out.set(LOCALS.rip)
    this.leave(to)
  }

  private checkBudget(distance: number | undefined, instructions: number): void {
    const { out } = this
    out.get(LOCALS.budget)
    out.const32(instructions)
    out.byte(0x48)
    out.if('unlikely')
    if (distance === undefined) this.leave(this.bailed)
    else this.leaveTo(distance, this.bailed)
    out.end()
  }

  /** Leaves unless a page is where it was when the region was found. @param distance of something in it @param to where execution goes on */
  private guard(distance: number, to: number, by: Depth): void {
    const { out } = this
    const page = this.pages.indexOf(Math.floor((this.offset + distance) / 4096))
    out.guard(this.templates.guard(this.long), distance, page)
    this.leaveTo(to, by)
    out.end()
  }

  private goTo(from: number, { distance, to: target, guarded }: Edge): void {
    const { plan, out } = this
    const to = target && plan.indexOf.get(target)
    const kind = to === undefined ? 'outside' : jumpKind(this.placed, from, to)
    if (to === undefined || kind === 'outside') {
      this.leaveTo(distance, this.left)
      return
    }
    if (guarded) this.guard(distance, distance, this.left)
    if (this.isOnlyWay(to)) this.arrivals[to] = this.pending
    else out.spend(this.pending)
    out.branch(kind === 'back' ? this.loops[to] : this.forward[to])
  }

  private distanceFrom(first: number): void {
    const { out } = this
    out.get(LOCALS.rip)
    out.ripAt(first, this.long)
  }

  /** Goes on where an address that is known only now is expected to be. */
  private goToExpected(from: number, expected: readonly Edge[]): void {
    const { out } = this
    if (expected.length <= MOST_COMPARED) {
      for (const edge of expected) {
        this.distanceFrom(edge.distance)
        out.byte(0x51)
        out.if('likely')
        this.goTo(from, edge)
        out.end()
      }
      return
    }
    const distances = expected.map(({ distance }) => distance)
    const first = Math.min(...distances)
    const last = Math.max(...distances)
    if (last - first > WIDEST_TABLE) return
    const outside = out.open(2)
    const labels = new Map(expected.map(edge => [edge.distance, out.open(2)]))
    // What lies far away becomes a number beyond the table.
    out.const32(-1)
    this.distanceFrom(first)
    out.byte(0x7d)
    out.byte(0xa7)
    this.distanceFrom(first)
    out.byte(0x7d)
    out.const64(32)
    out.byte(0x88)
    out.byte(0x50)
    out.byte(0x45)
    out.byte(0x1b)
    out.byte(0x0e)
    out.unsigned(last - first + 1)
    for (let at = first; at <= last; at++) out.unsigned(out.depth - (labels.get(at) ?? outside))
    out.unsigned(out.depth - outside)
    for (const edge of expected.toReversed()) {
      out.end()
      this.goTo(from, edge)
    }
    out.end()
  }

  /** Ends the code, when all blocks are written. @returns what makes functions of it, for an index; it keeps nothing of the region else */
  finish(counted: boolean): (index: number) => Unit['f'] {
    const { out, info, plan, offset, templates } = this
    // No block falls through to here, which the ends of loops hide.
    out.byte(0x00)
    out.end()
    out.goWhere(info.mode === 'long')
    out.end()
    out.const32(1)
    out.set(LOCALS.bailing)
    out.end()
    out.trim()
    const calls = new Map(out.callTypes)
    if (counted) calls.set(REGION_IS_HOT, REGION_IS_HOT_TYPE)
    const entered = plan.wayIn.length ? offset : undefined
    const long = info.mode === 'long'
    return index => ({
      type: REGION_TYPE,
      calls,
      emit: linker => emitRegion(out, templates, long, index, counted, linker, entered),
    })
  }
}

const REGION_IS_HOT = 'regionIsHot'
const REGION_IS_HOT_TYPE: FunctionType = { params: [0x7f], results: [] }

/** Puts the way in and the way out around a region's blocks. @param offset the entry's in its page, if there are other entries */
function emitRegion(
  written: TemplateWriter,
  templates: Templates,
  long: boolean,
  index: number,
  counted: boolean,
  linker: Linker,
  offset: number | undefined,
): EmittedBody {
  const out = new TemplateWriter(0, templates.ram)
  const wayOut = templates.wayOut(long, linker.typeIndex(REGION_TYPE))
  out.raw(declareLocals(Math.max(written.locals, wayOut.locals)))
  if (counted) count(out, index, linker)
  const load = (local: number, opcode: number, offset: number) => {
    out.get(0)
    out.access(opcode, offset)
    out.set(local)
  }
  load(LOCALS.entry, 0x29, F.rip.offset)
  if (offset !== undefined) findEntry(out, offset)
  load(LOCALS.budget, 0x28, F.budget.offset)
  out.const32(-1)
  out.set(LOCALS.kind)
  for (let n = 0; n < 16; n++) {
    if ((written.gprs >>> n) & 1) load(LOCALS.gpr + n, 0x29, F.gpr.offset + n * F.gpr.stride)
  }
  for (let n = 0; n < 32; n++) {
    if ((written.xmms >>> n) & 1) load(LOCALS.xmm + n, 0xfd00, placeOfXmm(n))
  }
  const body = out.length
  out.raw(written.bytes.subarray(0, written.length))
  for (const { at, name } of written.calls) {
    const callee = linker.functionIndex(name)
    out.bytes[body + at] = (callee & 0x7f) | 0x80
    out.bytes[body + at + 1] = ((callee >> 7) & 0x7f) | 0x80
    out.bytes[body + at + 2] = callee >> 14
  }
  const { pages } = written
  for (let i = 0; i < pages.length; i += 2) out.number(body + pages[i], regionPageAddress(index, counted, pages[i + 1]))
  for (let i = 0; i < written.hints.length; i += 2) out.hints.push(body + written.hints[i], written.hints[i + 1])
  for (let n = 0; n < 16; n++) {
    if (((written.writtenGprs >>> n) & 1) === 0) continue
    out.get(0)
    out.get(LOCALS.gpr + n)
    out.access(0x37, F.gpr.offset + n * F.gpr.stride)
  }
  for (let n = 0; n < 32; n++) {
    if (((written.writtenXmms >>> n) & 1) === 0) continue
    out.get(0)
    out.get(LOCALS.xmm + n)
    out.access(0xfd0b, placeOfXmm(n))
  }
  const { bytes, hints } = wayOut
  for (let i = 0; i < hints.length; i += 2) out.hints.push(out.length + hints[i], hints[i + 1])
  out.raw(bytes)
  out.byte(0x0b)
  return { body: out.finish(), hints: pairs(out.hints) }
}

/** RIP may be that of another entry in the page: distances are from the first all the same. */
function findEntry(out: TemplateWriter, offset: number): void {
  out.get(LOCALS.entry)
  out.set(LOCALS.rip)
  out.get(LOCALS.entry)
  out.const64(-4096)
  out.byte(0x83)
  out.const64(offset)
  out.byte(0x84)
  out.set(LOCALS.entry)
  out.get(LOCALS.entry)
  out.get(LOCALS.rip)
  out.byte(0x52)
  out.set(LOCALS.into)
}

const placeOfXmm = (n: number): number => (n < 16 ? F.xmm : F.ymmHigh).offset + (n & 15) * F.xmm.stride

function pairs(hints: readonly number[]): EmittedBody['hints'] {
  const list: { offset: number; likely: boolean }[] = []
  for (let i = 0; i < hints.length; i += 2) list.push({ offset: hints[i], likely: hints[i + 1] === 1 })
  return list
}

/** Counts an entry down and tells when there were as many as were to be. */
function count(out: TemplateWriter, index: number, linker: Linker): void {
  const address = regionHeatAddress(index)
  const scratch = LOCALS.bailing
  out.const32(address)
  out.const32(address)
  out.access(0x28, 0)
  out.const32(1)
  out.byte(0x6b)
  out.byte(0x22)
  out.byte(scratch)
  out.access(0x36, 0)
  out.get(scratch)
  out.byte(0x45)
  out.if('unlikely')
  out.const32(index)
  out.byte(0x10)
  out.unsigned(linker.functionIndex(REGION_IS_HOT))
  out.end()
  out.const32(0)
  out.set(scratch)
}
