/** What is to be known of a region's blocks before code is made of them. */

import type { Likelihood } from '../../ir/function.ts'
import { type Edge, type FoundRegion, type RegionBlock, successors, WIDEST_TABLE } from './region.ts'
import { jumpKind, type PlacedBlock, placeBlocks } from './structure.ts'

/** A region's blocks in their places. All lists go by the blocks' index. */
export class RegionPlan {
  readonly found: FoundRegion
  readonly placed: readonly PlacedBlock[]
  readonly indexOf = new Map<RegionBlock, number>()
  /** In how many ways a block is reached within the region. */
  readonly ways: number[]
  /** Whether anybody may look at the flags that a block begins with. */
  readonly flagsMatter: boolean[] = []
  /** Instructions from the start of a block until the budget is asked again, at most. */
  readonly longest: number[] = []
  /** Bytes from the entry to the end of the code. */
  readonly extent: number
  /**
   * How the region is entered at what its jumps through a table go to: by index, the headers of the loops around where those meet,
   * outermost first, and last that place itself.
   */
  readonly wayIn: readonly number[]

  /** The distances of those. */
  readonly otherEntries: readonly number[]

  /** @param entered whether the region may be entered elsewhere than at its first block */
  constructor(found: FoundRegion, entered = false) {
    this.found = found
    const placed = placeBlocks(found.blocks[0])
    this.placed = placed
    for (const { block, index } of placed) this.indexOf.set(block, index)
    this.ways = placed.map(() => 0)
    this.otherEntries = entered ? this.entriesAt(found.meeting) : []
    this.wayIn = this.otherEntries.length ? wayTo(placed, this.indexOf.get(found.meeting!)!) : []
    for (const index of this.wayIn) {
      this.ways[index]++
      if (index > 0) placed[index].jumpedTo = true
    }
    let extent = 0
    for (const { block, index } of placed) {
      for (const to of successors(block)) {
        const target = this.indexOf.get(to)!
        if (jumpKind(placed, index, target) !== 'outside') this.ways[target]++
      }
      for (const { distance, decoded } of block.instructions) extent = Math.max(extent, distance + decoded.length)
    }
    this.extent = extent
    for (let index = placed.length - 1; index >= 0; index--) {
      const { block } = placed[index]
      let ahead = 0
      for (const to of successors(block)) {
        const target = this.indexOf.get(to)!
        if (target > index && placed[target].loopEnd < 0) ahead = Math.max(ahead, this.longest[target])
      }
      this.longest[index] = block.instructions.length + ahead
      this.flagsMatter[index] = placed[index].loopEnd >= 0 || index === 0 || flagsMatterAt(block)
    }
  }

  /** Whether a block asks the budget before it begins. */
  asksBudget({ index, loopEnd }: PlacedBlock): boolean {
    return index === 0 || loopEnd >= 0 || index === this.wayIn.at(-1)
  }

  /** Whether a way out of a block leaves the region. */
  private leaves(from: number, { to }: Edge): boolean {
    return !to || jumpKind(this.placed, from, this.indexOf.get(to)!) === 'outside'
  }

  /** Of a conditional jump at a block's end: a way that leaves the region was hardly ever gone when the region was found. */
  likelihoodOfJump({ block: { jumps, falls }, index }: PlacedBlock): Likelihood {
    const leaves = this.leaves(index, jumps!)
    if (leaves === this.leaves(index, falls!)) return 'even'
    return leaves ? 'unlikely' : 'likely'
  }

  private entriesAt(meeting: RegionBlock | undefined): number[] {
    if (!meeting) return []
    const all = meeting.expected.map(({ distance }) => distance)
    if (Math.max(...all) - Math.min(...all) > WIDEST_TABLE) return []
    const at = this.indexOf.get(meeting)!
    const reached = meeting.expected.filter(({ to }) => jumpKind(this.placed, at, this.indexOf.get(to!)!) !== 'outside')
    const inPage = (distance: number) => Math.floor((this.found.offset + distance) / 4096) === 0
    return reached.map(({ distance }) => distance).filter(distance => distance !== 0 && inPage(distance))
  }

  /** What may be expected where jumps through a table meet: where the region is entered too, nothing for which it would be left. */
  expectedAt({ block: { expected }, index }: PlacedBlock): readonly Edge[] {
    if (index !== this.wayIn.at(-1)) return expected
    return expected.filter(({ to }) => jumpKind(this.placed, index, this.indexOf.get(to!)!) !== 'outside')
  }

  /** Where the way in goes on behind a block, or from the function's start (-1); undefined where it does not come by. */
  wayInFrom(index: number): number | undefined {
    const { wayIn } = this
    if (index < 0) return wayIn[0] === 0 ? undefined : wayIn[0]
    const at = wayIn.indexOf(index)
    return at < 0 ? undefined : wayIn[at + 1]
  }
}

/** The headers of the loops around a block, outermost first, and the block. */
function wayTo(placed: readonly PlacedBlock[], index: number): number[] {
  const headers = placed.slice(0, index).filter(({ loopEnd }) => loopEnd >= index)
  return [...headers.map(header => header.index), index]
}

/** Whether the flags after each instruction of a block may be looked at. */
export function liveAfter({ instructions }: RegionBlock): boolean[] {
  const after: boolean[] = []
  let live = true
  for (let i = instructions.length - 1; i >= 0; i--) {
    after[i] = live
    const { usage, crosses } = instructions[i]
    if (usage.setsFlags && !usage.readsFlags) live = false
    if (usage.readsFlags || usage.mayLeave || crosses) live = true
  }
  return after
}

function flagsMatterAt({ instructions }: RegionBlock): boolean {
  for (const { usage, crosses } of instructions) {
    if (usage.readsFlags || usage.mayLeave || crosses) return true
    if (usage.setsFlags) return false
  }
  return true
}
