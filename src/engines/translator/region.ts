/** Finds the blocks of a region: the code of one page that direct jumps reach from an entry, in one mode. */
import { DECODED, Decoded } from '../../isa/decoder.ts'
import { decoder } from '../../isa/index.ts'
import type { PhysicalMemory } from '../../memory/physical.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import type { Usage } from '../semantics.ts'

/** An instruction of a region. */
export interface RegionInstruction {
  readonly decoded: Decoded
  /** Bytes from the region's entry. */
  readonly distance: number
  readonly usage: Usage
}

/** A basic block. */
export interface RegionBlock {
  readonly distance: number
  readonly instructions: RegionInstruction[]
  /** Distances of successors within the region: fall-through first. */
  successors: number[]
  /** The instruction after the last is the interpreter's, at this distance; the block leaves there. */
  interpretAt: number | undefined
  /** Execution falls through to this distance, inside or outside of the region. */
  fallsTo: number | undefined
  /** The last instruction jumps to this distance. */
  jumpsTo: number | undefined
  /** After the last instruction mode or pending events may be others: the region is left to this distance. */
  leavesTo: number | undefined
}

/** What a region may grow to. */
export const MAXIMUM_INSTRUCTIONS = 300
export const MAXIMUM_BLOCKS = 64

/** What the search asks of the engine. */
export interface RegionHost {
  readonly memory: Pick<PhysicalMemory, 'ram'>
  /** How the instruction uses things, or undefined where it is not for the translator. */
  usage(decoded: Decoded): Usage | undefined
}

/**
 * The region that starts at an address in memory 1: its blocks by distance, the entry's being 0. Empty when the first
 * instruction is not for the translator.
 */
export function findRegion(
  host: RegionHost,
  address: number,
  info: ReturnType<typeof decodeMode>,
): Map<number, RegionBlock> {
  const start = address >>> 0
  const page = start - (start & 0xfff)
  const decoded = new Map<number, RegionInstruction | undefined>()
  const leaders = new Set<number>([0])
  const work = [0]
  let count = 0
  const at = (distance: number): RegionInstruction | undefined => {
    if (decoded.has(distance)) return decoded.get(distance)
    let found: RegionInstruction | undefined
    const position = start + distance
    if (position >= page && position < page + 4096 && count < MAXIMUM_INSTRUCTIONS) {
      const out = new Decoded()
      if (decoder.decode(host.memory.ram, position, page + 4096, info, out) === DECODED) {
        const usage = host.usage(out)
        if (usage) found = { decoded: out, distance, usage }
      }
    }
    if (found) count++
    decoded.set(distance, found)
    return found
  }
  const lead = (distance: number): void => {
    if (leaders.has(distance)) return
    if (leaders.size >= MAXIMUM_BLOCKS) return
    leaders.add(distance)
    work.push(distance)
  }
  while (work.length) {
    let distance = work.shift()!
    for (;;) {
      const instruction = at(distance)
      if (!instruction) break
      const next = distance + instruction.decoded.length
      if (instruction.usage.jumps) {
        const target = directTarget(instruction)
        if (target !== undefined) lead(target)
        if (target !== undefined && conditional(instruction)) lead(next)
        break
      }
      if (endsBlock(instruction)) break
      if (leaders.has(next)) break
      distance = next
    }
  }
  const blocks = new Map<number, RegionBlock>()
  for (const leader of leaders) {
    const block = makeBlock(leader, at, leaders)
    if (block.instructions.length > 0) blocks.set(leader, block)
  }
  for (const block of blocks.values()) {
    block.successors = [block.fallsTo, block.jumpsTo].filter(to => to !== undefined && blocks.has(to)) as number[]
  }
  return blocks
}

function makeBlock(
  leader: number,
  at: (distance: number) => RegionInstruction | undefined,
  leaders: ReadonlySet<number>,
): RegionBlock {
  const block: RegionBlock = {
    distance: leader,
    instructions: [],
    successors: [],
    interpretAt: undefined,
    fallsTo: undefined,
    jumpsTo: undefined,
    leavesTo: undefined,
  }
  let distance = leader
  for (;;) {
    const instruction = at(distance)
    if (!instruction) {
      block.interpretAt = distance
      return block
    }
    block.instructions.push(instruction)
    distance += instruction.decoded.length
    if (instruction.usage.jumps) {
      block.jumpsTo = directTarget(instruction)
      if (block.jumpsTo !== undefined && conditional(instruction)) block.fallsTo = distance
      return block
    }
    if (endsBlock(instruction)) {
      block.leavesTo = distance
      return block
    }
    if (leaders.has(distance)) {
      block.fallsTo = distance
      return block
    }
  }
}

const isRelative = ({ decoded }: RegionInstruction): boolean => decoded.form.operands[0]?.kind === 'relative'

/** The distance that a relative jump goes to. */
function directTarget(instruction: RegionInstruction): number | undefined {
  if (!isRelative(instruction) || instruction.usage.jumpsSometimes) return undefined
  return instruction.distance + instruction.decoded.length + instruction.decoded.immLow
}

const endsBlock = ({ decoded, usage }: RegionInstruction): boolean =>
  usage.endsBlock || decoded.form.instruction.endsBlock === true

/** A jump that may not be taken: all relative ones but JMP and CALL. */
function conditional({ decoded }: RegionInstruction): boolean {
  const { mnemonic } = decoded.form.instruction
  return mnemonic !== 'JMP' && mnemonic !== 'CALL'
}
