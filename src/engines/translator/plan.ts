/** What is to be known of a region's blocks before code is made of them. */

import { type FoundRegion, type RegionBlock, successors } from './region.ts'
import { jumpKind, type PlacedBlock, placeBlocks } from './structure.ts'

/** A region's blocks in their places. All lists go by the blocks' index. */
export class RegionPlan {
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

  constructor({ blocks }: FoundRegion) {
    const placed = placeBlocks(blocks[0])
    this.placed = placed
    for (const { block, index } of placed) this.indexOf.set(block, index)
    this.ways = placed.map(() => 0)
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
    return index === 0 || loopEnd >= 0
  }
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
