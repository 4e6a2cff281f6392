/**
 * Finds the blocks of a region: the code that execution is known to go on to from an entry, in one mode. Direct jumps are
 * followed, also to other pages, and direct calls: a function called becomes part of the region once for each call, so
 * that its return has one place to go to.
 */
import { DECODED, Decoded, type DecodeOutcome, MAXIMUM_LENGTH, MORE_BYTES } from '../../isa/decoder.ts'
import { generalise } from '../../isa/general-forms.ts'
import { decoder } from '../../isa/index.ts'
import { REGION_PAGES } from '../../memory/layout.ts'
import type { PhysicalMemory } from '../../memory/physical.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import type { Usage } from '../semantics.ts'

/** An instruction of a region. */
export interface RegionInstruction {
  readonly decoded: Decoded
  /** Bytes from the region's entry. */
  readonly distance: number
  readonly usage: Usage
  /** It ends in the next page, which must be looked up again before it is executed. */
  readonly crosses: boolean
}

/** A call that was followed. */
export interface CallContext {
  /** Undefined for the region's entry. */
  readonly caller: CallContext | undefined
  /** Where the function called begins. */
  readonly callee: number
  /** Where it is expected to return to, in the caller's context. */
  readonly returnsTo: number
  readonly depth: number
  /** Its blocks by their distance. */
  readonly leaders: Set<number>
  readonly blocks: Map<number, RegionBlock>
}

/** Where execution goes on after a block: a block of the region, or a distance outside of it. */
export interface Edge {
  readonly distance: number
  readonly to: RegionBlock | undefined
  /** The target is in another page than its predecessor, which must be looked up again in the TLB. */
  readonly guarded: boolean
}

/**
 * A basic block; or, without instructions, the place where all jumps of a function through tables meet to be told apart by the
 * address that they go to.
 */
export interface RegionBlock {
  readonly context: CallContext
  readonly distance: number
  readonly instructions: RegionInstruction[]
  /** The instruction after the last is the interpreter's, at this distance; the block leaves there. */
  interpretAt: number | undefined
  /** After the last instruction mode or pending events may be others: the region is left to this distance. */
  leavesTo: number | undefined
  /** Execution falls through. */
  falls: Edge | undefined
  /** The last instruction jumps. */
  jumps: Edge | undefined
  /** The last instruction jumps to an address that is known only then: where it may be expected to come out. */
  expected: Edge[]
}

/** The blocks of the region that come after a block. */
export function successors(block: RegionBlock): RegionBlock[] {
  return [block.falls, block.jumps, ...block.expected].flatMap(edge => edge?.to ?? [])
}

/** What a region may grow to. */
export interface RegionLimits {
  readonly instructions: number
  readonly blocks: number
  /** How deep calls are followed. */
  readonly calls: number
  /** How often a function may be part of its own callers. */
  readonly recursion: number
  /** Pages of code. */
  readonly pages: number
}
/** Of the first region that is made of an entry: soon made, soon compiled. */
export const SMALL: RegionLimits = {
  instructions: 250,
  blocks: 80,
  calls: 0,
  recursion: 0,
  pages: REGION_PAGES.counted,
}
/** Of one whose pages cannot be looked up again: in segments with limits. */
export const WITHIN_PAGE: RegionLimits = { ...SMALL, pages: 1 }
/** Of a region made before its code was ever executed. */
export const EAGER: RegionLimits = { instructions: 100, blocks: 40, calls: 2, recursion: 1, pages: 4 }
/** Of the one that takes its place when the first turns out to be entered again and again. */
export const LARGE: RegionLimits = { instructions: 400, blocks: 120, calls: 4, recursion: 2, pages: REGION_PAGES.other }

/** What the search asks of the engine. */
export interface RegionHost {
  readonly memory: Pick<PhysicalMemory, 'ram'>
  /** How the instruction uses things, or undefined where it is not for the translator. */
  usage(decoded: Decoded): Usage | undefined
  /** Address in memory 1 of the page with this number, counted from the entry's; -1 where none is known. */
  page(number: number): number
  /** Whether execution came to an address in memory 1 often enough to be translated; always, where nobody counts. */
  isWarm(address: number): boolean
  /** Whether a function at an address in memory 1 is entered about as often as the region. */
  isCalledOften(address: number): boolean
  /** Addresses in memory 1 within a page of it that are warm. */
  warmIn(page: number): readonly number[]
}

/** A region's blocks, the entry's first; empty when the first instruction is not for the translator. */
export interface FoundRegion {
  readonly blocks: readonly RegionBlock[]
  /** Pages that it has code in: number counted from the entry's, address in memory 1. */
  readonly pages: ReadonlyMap<number, number>
  /** Where jumps through tables in the entry's page meet, outside of calls that are followed. */
  readonly meeting?: RegionBlock | undefined
  /** Of the entry in its page. */
  readonly offset: number
}

type Looked = RegionInstruction | 'interpreted' | 'outside'

/** @param start address of the entry in memory 1 */
export function findRegion(
  host: RegionHost,
  start: number,
  info: ReturnType<typeof decodeMode>,
  limits: RegionLimits,
): FoundRegion {
  return new Search(host, start >>> 0, info, limits).run()
}

class Search {
  private readonly host: RegionHost
  private readonly info: ReturnType<typeof decodeMode>
  private readonly limits: RegionLimits
  /** Offset of the entry within its page. */
  private readonly offset: number
  private readonly pages = new Map<number, number>()
  private readonly decoded = new Map<number, Looked>()
  private readonly work: [context: CallContext, distance: number][] = []
  private readonly blocks: RegionBlock[] = []
  private instructions = 0
  private leaders = 0
  /** Distances that blocks begin at, in whatever context. */
  private readonly led = new Set<number>()

  constructor(host: RegionHost, start: number, info: ReturnType<typeof decodeMode>, limits: RegionLimits) {
    this.host = host
    this.info = info
    this.limits = limits
    this.offset = start & 0xfff
    this.pages.set(0, start - this.offset)
  }

  run(): FoundRegion {
    const root = this.context(undefined, 0, 0)
    this.lead(root, 0)
    // Nearest first: what does not fit any more is what is furthest from the entry.
    for (let i = 0; i < this.work.length; i++) this.explore(...this.work[i])
    for (const [context, distance] of this.work) this.makeBlock(context, distance)
    for (const block of this.blocks) this.connect(block)
    const entry = root.blocks.get(0)
    const blocks = entry ? reachable(entry) : []
    const meeting = this.meetings.get(root)?.get(0)
    const reached = meeting && blocks.includes(meeting) ? meeting : undefined
    return { blocks, pages: this.pages, meeting: reached, offset: this.offset }
  }

  private context(caller: CallContext | undefined, callee: number, returnsTo: number): CallContext {
    const depth = caller ? caller.depth + 1 : 0
    return { caller, callee, returnsTo, depth, leaders: new Set(), blocks: new Map() }
  }

  private pageOf(distance: number): number {
    return Math.floor((this.offset + distance) / 4096)
  }

  /** Address in memory 1 of the code at a distance, or -1. */
  private address(distance: number): number {
    const number = this.pageOf(distance)
    let page = this.pages.get(number)
    if (page === undefined) {
      page = this.pages.size >= this.limits.pages ? -1 : this.host.page(number)
      if (page !== -1) page >>>= 0
      if (page !== -1) this.pages.set(number, page)
    }
    return page === -1 ? -1 : page + ((this.offset + distance) & 0xfff)
  }

  private at(distance: number): Looked {
    let looked = this.decoded.get(distance)
    if (looked === undefined) {
      looked = this.look(distance)
      this.decoded.set(distance, looked)
    }
    return looked
  }

  private look(distance: number): Looked {
    const address = this.address(distance)
    if (address === -1) return 'outside'
    const decoded = new Decoded()
    const { ram } = this.host.memory
    let outcome = decoder.decode(ram, address, address - (address & 0xfff) + 4096, this.info, decoded)
    const crosses = outcome === MORE_BYTES
    if (crosses) outcome = this.decodeAcross(distance, address, decoded)
    if (outcome !== DECODED) return 'interpreted'
    generalise(decoded)
    const usage = this.host.usage(decoded)
    return usage ? { decoded, distance, usage, crosses } : 'interpreted'
  }

  private decodeAcross(distance: number, address: number, decoded: Decoded): DecodeOutcome {
    const here = 4096 - (address & 0xfff)
    const second = this.address(distance + here)
    if (second === -1) return MORE_BYTES
    const { ram } = this.host.memory
    const bytes = new Uint8Array(MAXIMUM_LENGTH)
    bytes.set(ram.subarray(address, address + here))
    bytes.set(ram.subarray(second, second + MAXIMUM_LENGTH - here), here)
    return decoder.decode(bytes, 0, MAXIMUM_LENGTH, this.info, decoded)
  }

  /** Notes that a block begins, if there is room. */
  private lead(context: CallContext, distance: number): boolean {
    if (context.leaders.has(distance)) return true
    if (this.leaders >= this.limits.blocks || this.instructions >= this.limits.instructions) return false
    if (typeof this.at(distance) === 'string') return false
    context.leaders.add(distance)
    this.leaders++
    this.led.add(distance)
    this.work.push([context, distance])
    return true
  }

  private isWarm(distance: number): boolean {
    const address = this.address(distance)
    return address !== -1 && this.host.isWarm(address)
  }

  private isCalledOften(distance: number): boolean {
    const address = this.address(distance)
    return address !== -1 && this.host.isCalledOften(address)
  }

  private explore(context: CallContext, distance: number): void {
    for (;;) {
      const instruction = this.at(distance)
      if (typeof instruction === 'string') return
      if (++this.instructions > this.limits.instructions) return
      const next = distance + instruction.decoded.length
      if (instruction.usage.jumps) {
        this.follow(context, instruction, next)
        return
      }
      if (endsBlock(instruction) || context.leaders.has(next)) return
      if (this.pageOf(next) !== this.pageOf(distance)) {
        // Whether the page is still the same is asked on the way to a block.
        this.lead(context, next)
        return
      }
      distance = next
    }
  }

  private follow(context: CallContext, instruction: RegionInstruction, next: number): void {
    const target = directTarget(instruction)
    if (target === undefined) {
      if (isReturn(instruction) && context.caller) this.lead(context.caller, context.returnsTo)
      else if (isIndirectJump(instruction)) for (const to of this.tableTargets(instruction)) this.lead(context, to)
      return
    }
    if (isCall(instruction)) {
      if (!this.mayFollow(context, target) || !this.isCalledOften(target)) return
      const callee = this.context(context, target, next)
      if (this.lead(callee, target)) this.callees.set(instruction, [...(this.callees.get(instruction) ?? []), callee])
      return
    }
    if (conditional(instruction)) {
      if (this.isWarm(next)) this.lead(context, next)
      if (this.isWarm(target)) this.lead(context, target)
    } else this.lead(context, target)
  }

  /** The contexts that a call was followed in, by the caller's. */
  private readonly callees = new Map<RegionInstruction, CallContext[]>()

  private mayFollow(context: CallContext, target: number): boolean {
    if (context.depth >= this.limits.calls) return false
    let within = 0
    for (let outer: CallContext | undefined = context; outer; outer = outer.caller) {
      if (outer.callee === target) within++
    }
    return within <= this.limits.recursion
  }

  /** Where a jump through a table may go: what is warm in its page and those beside it, and not reached otherwise. */
  private tableTargets(instruction: RegionInstruction): number[] {
    const number = this.pageOf(instruction.distance)
    const targets = [number - 1, number, number + 1].flatMap(number => {
      const page = this.pages.get(number) ?? this.host.page(number)
      if (page === -1) return []
      return this.host.warmIn(page).map(address => number * 4096 + (address - (page >>> 0)) - this.offset)
    })
    return nearest(
      targets.filter(to => !this.decodedWithin(to)),
      instruction.distance,
    )
  }

  private decodedWithin(distance: number): boolean {
    return typeof this.decoded.get(distance) === 'object' && !this.led.has(distance)
  }

  private emptyBlock(context: CallContext, distance: number): RegionBlock {
    return {
      context,
      distance,
      instructions: [],
      interpretAt: undefined,
      leavesTo: undefined,
      falls: undefined,
      jumps: undefined,
      expected: [],
    }
  }

  private makeBlock(context: CallContext, leader: number): void {
    const block = this.emptyBlock(context, leader)
    let distance = leader
    for (;;) {
      const instruction = this.decoded.get(distance) ?? 'outside'
      if (typeof instruction === 'string') {
        if (instruction === 'interpreted') block.interpretAt = distance
        else block.leavesTo = distance
        break
      }
      block.instructions.push(instruction)
      distance += instruction.decoded.length
      if (instruction.usage.jumps) break
      if (endsBlock(instruction)) {
        block.leavesTo = distance
        break
      }
      if (context.leaders.has(distance)) break
      if (this.pageOf(distance) !== this.pageOf(instruction.distance)) {
        block.leavesTo = distance
        break
      }
    }
    if (block.instructions.length === 0) return
    context.blocks.set(leader, block)
    this.blocks.push(block)
  }

  /** Where jumps through tables meet, by context and page. */
  private readonly meetings = new Map<CallContext, Map<number, RegionBlock>>()

  private meeting(context: CallContext, instruction: RegionInstruction): RegionBlock {
    let byPage = this.meetings.get(context)
    if (!byPage) this.meetings.set(context, (byPage = new Map()))
    const page = this.pageOf(instruction.distance)
    let meeting = byPage.get(page)
    if (!meeting) {
      meeting = this.emptyBlock(context, instruction.distance)
      const all = this.tableTargets(instruction).map(to => this.edge(instruction, to, context))
      meeting.expected = all.filter(({ to }) => to)
      byPage.set(page, meeting)
    }
    return meeting
  }

  private connect(block: RegionBlock): void {
    if (block.interpretAt !== undefined || block.leavesTo !== undefined) return
    const { context } = block
    const last = block.instructions.at(-1)!
    const next = last.distance + last.decoded.length
    if (!last.usage.jumps) {
      block.falls = this.edge(last, next, context)
      return
    }
    const target = directTarget(last)
    if (target !== undefined) {
      const callee = this.callees.get(last)?.find(({ caller }) => caller === context)
      if (isCall(last))
        block.jumps = callee ? this.edge(last, target, callee) : { distance: target, to: undefined, guarded: false }
      else block.jumps = this.edge(last, target, context)
      if (conditional(last)) block.falls = this.edge(last, next, context)
    } else if (isReturn(last)) {
      // The page of the caller was looked up when execution came through it.
      const to = context.caller?.blocks.get(context.returnsTo)
      if (to) block.expected = [{ distance: context.returnsTo, to, guarded: false }]
    } else if (isIndirectJump(last)) {
      const meeting = this.meeting(context, last)
      if (meeting.expected.length > 0) block.jumps = { distance: last.distance, to: meeting, guarded: false }
    }
  }

  private edge(from: RegionInstruction, distance: number, context: CallContext): Edge {
    const to = context.blocks.get(distance)
    const page = this.pageOf(distance)
    return { distance, to, guarded: to !== undefined && page !== 0 && page !== this.pageOf(from.distance) }
  }
}

/** A table with more targets than this is left to the table of all regions. */
const MOST_TABLE_TARGETS = 48
/** The first and the last target of a table are no further apart, in bytes. */
export const WIDEST_TABLE = 2048

/**
 * The distances nearest to a jump that one table can have: cases lie together, with their jump among them or near them. What else is
 * warm in the page is something else: another switch, stubs of a linker.
 */
function nearest(distances: readonly number[], jump: number): number[] {
  const taken: number[] = []
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const to of distances.toSorted((a, b) => Math.abs(a - jump) - Math.abs(b - jump))) {
    if (Math.max(high, to) - Math.min(low, to) > WIDEST_TABLE) continue
    ;[low, high] = [Math.min(low, to), Math.max(high, to)]
    if (taken.push(to) === MOST_TABLE_TARGETS) break
  }
  return taken
}

/** What is reachable from the entry. */
function reachable(entry: RegionBlock): RegionBlock[] {
  const seen = new Set([entry])
  for (const block of seen) for (const to of successors(block)) seen.add(to)
  return [...seen]
}

const mnemonicOf = ({ decoded }: RegionInstruction): string => decoded.form.instruction.mnemonic
const isRelative = ({ decoded }: RegionInstruction): boolean => decoded.form.operands[0]?.kind === 'relative'
const isCall = (instruction: RegionInstruction): boolean => mnemonicOf(instruction) === 'CALL'
const isReturn = (instruction: RegionInstruction): boolean => mnemonicOf(instruction) === 'RET'
const isIndirectJump = (instruction: RegionInstruction): boolean =>
  mnemonicOf(instruction) === 'JMP' && !isRelative(instruction)

/** The distance that a relative jump goes to. */
function directTarget(instruction: RegionInstruction): number | undefined {
  if (!isRelative(instruction) || instruction.usage.jumpsSometimes) return undefined
  return instruction.distance + instruction.decoded.length + instruction.decoded.immLow
}

const endsBlock = ({ decoded, usage }: RegionInstruction): boolean =>
  usage.endsBlock || decoded.form.instruction.endsBlock === true

/** A jump that may not be taken: all relative ones but JMP and CALL. */
function conditional(instruction: RegionInstruction): boolean {
  const mnemonic = mnemonicOf(instruction)
  return mnemonic !== 'JMP' && mnemonic !== 'CALL'
}
