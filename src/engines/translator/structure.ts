/**
 * Brings a region's blocks into an order in which WebAssembly's blocks and loops can express their jumps: reverse postorder,
 * each loop a contiguous run from its header.
 */
import { type RegionBlock, successors } from './region.ts'

/** A block in its place. */
export interface PlacedBlock {
  readonly block: RegionBlock
  readonly index: number
  /** Index of the last block of the loop that starts here, or -1. */
  loopEnd: number
  /** Index of the header of the innermost loop around the block (itself for a header), or -1. */
  loop: number
  /** Whether a jump from an earlier block, other than falling through, comes here. */
  jumpedTo: boolean
}

/** How a jump between two placed blocks is made. */
export type JumpKind = 'forward' | 'back' | 'outside'

/** The blocks that are reached from an entry, in order. */
export function placeBlocks(entry: RegionBlock): PlacedBlock[] {
  const order: RegionBlock[] = []
  const seen = new Set<RegionBlock>()
  // An explicit stack: a guest decides how deep this goes.
  const stack: { block: RegionBlock; next: RegionBlock[] }[] = []
  const enter = (block: RegionBlock) => {
    seen.add(block)
    stack.push({ block, next: successors(block) })
  }
  enter(entry)
  while (stack.length) {
    const { block, next } = stack.at(-1)!
    const to = next.shift()
    if (!to) {
      order.push(block)
      stack.pop()
    } else if (!seen.has(to)) enter(to)
  }
  order.reverse()
  const placed = order.map((block, index) => ({ block, index, loopEnd: -1, loop: -1, jumpedTo: false }))
  const indexOf = new Map(order.map((block, index) => [block, index]))
  for (const { block, index } of placed) {
    for (const to of successors(block)) {
      const target = indexOf.get(to)!
      if (target <= index) placed[target].loopEnd = Math.max(placed[target].loopEnd, index)
    }
  }
  nest(placed)
  for (const { block, index } of placed) {
    for (const to of successors(block)) {
      const target = indexOf.get(to)!
      if (target > index && jumpKind(placed, index, target) === 'forward') placed[target].jumpedTo = true
    }
  }
  return placed
}

/** Loops that overlap become nested: an inner one that reaches beyond an outer one stretches it. */
function nest(placed: PlacedBlock[]): void {
  for (let changed = true; changed; ) {
    changed = false
    for (let i = 0; i < placed.length; i++) {
      for (let j = i + 1; j <= placed[i].loopEnd; j++) {
        if (placed[j].loopEnd > placed[i].loopEnd) {
          placed[i].loopEnd = placed[j].loopEnd
          changed = true
        }
      }
    }
  }
  const open: number[] = []
  for (const place of placed) {
    while (open.length && placed[open.at(-1)!].loopEnd < place.index) open.pop()
    if (place.loopEnd >= 0) open.push(place.index)
    place.loop = open.at(-1) ?? -1
  }
}

/**
 * How to get from one block to another. A jump into the middle of a loop from outside cannot be expressed: it leaves the region.
 */
export function jumpKind(placed: readonly PlacedBlock[], from: number, to: number): JumpKind {
  if (to <= from) return placed[to].loopEnd >= from ? 'back' : 'outside'
  // The loop around the target (a header is entered from the loop around it) must hold the source too.
  let around = placed[to].loop
  if (around === to) around = outerLoop(placed, to)
  return around < 0 || (around <= from && placed[around].loopEnd >= from) ? 'forward' : 'outside'
}

/** The header of the loop around a header's loop, or -1. */
export function outerLoop(placed: readonly PlacedBlock[], header: number): number {
  for (let i = header - 1; i >= 0; i--) {
    if (placed[i].loopEnd >= placed[header].loopEnd) return i
  }
  return -1
}
