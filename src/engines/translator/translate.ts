/** Makes a region's function from its blocks. */

import { type Label, OP_BLOCK, OP_LOOP } from '../../ir/node.ts'
import type { Routine } from '../../isa/semantics.ts'
import { buildAfter } from '../checks.ts'
import type { decodeMode } from '../interpreter/blocks.ts'
import { shapeOf } from '../interpreter/handlers.ts'
import type { Unit } from '../library.ts'
import type { RegionBlock, RegionInstruction } from './region.ts'
import { RegionCode } from './region-code.ts'
import { TranslatorSemantics } from './semantics.ts'
import { jumpKind, outerLoop, type PlacedBlock, placeBlocks } from './structure.ts'

/** Builds the function of a region. */
export function translateRegion(
  name: string,
  blocks: ReadonlyMap<number, RegionBlock>,
  mode: number,
  info: ReturnType<typeof decodeMode>,
): Unit {
  return new RegionTranslator(blocks, mode, info).translate(name)
}

class RegionTranslator {
  private readonly region = new RegionCode()
  private readonly placed: PlacedBlock[]
  private readonly indexOf = new Map<number, number>()
  private readonly mode: number
  private readonly info: ReturnType<typeof decodeMode>
  /** Labels in front of blocks, by index: the end of a WebAssembly block, or the start of a loop. */
  private readonly forward: (Label | undefined)[] = []
  private readonly loops: (Label | undefined)[] = []
  private readonly used = new Set<Routine>()

  constructor(blocks: ReadonlyMap<number, RegionBlock>, mode: number, info: ReturnType<typeof decodeMode>) {
    this.mode = mode
    this.info = info
    this.placed = placeBlocks(blocks)
    for (const { block, index } of this.placed) this.indexOf.set(block.distance, index)
  }

  private get long(): boolean {
    return this.info.mode === 'long'
  }

  translate(name: string): Unit {
    const { region, placed } = this
    const { f } = region
    this.openForward(-1)
    const openLoops: number[] = []
    for (const place of placed) {
      if (place.jumpedTo) f.end()
      if (place.loopEnd >= 0) {
        this.loops[place.index] = f.open(OP_LOOP)
        openLoops.push(place.index)
        this.openForward(place.index)
      }
      this.block(place)
      while (openLoops.length && placed[openLoops.at(-1)!].loopEnd === place.index) {
        f.end()
        openLoops.pop()
      }
    }
    const ends = placed.flatMap(({ block }) =>
      block.instructions.map(({ distance, decoded }) => distance + decoded.length),
    )
    region.finish(this.long, !this.info.segmented, Math.max(...ends))
    for (const routine of region.code.used) this.used.add(routine)
    return { name, f, uses: this.used }
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

  /**
   * For each instruction of a block whether the flags after it matter. Those at its end always do: the next block's budget
   * check may leave, as the way out of the region does.
   */
  private liveAfter({ instructions }: RegionBlock): boolean[] {
    const after: boolean[] = []
    let live = true
    for (let i = instructions.length - 1; i >= 0; i--) {
      after[i] = live
      const { usage } = instructions[i]
      if (usage.setsFlags && !usage.readsFlags) live = false
      if (usage.readsFlags || usage.mayLeave) live = true
    }
    return after
  }

  private block(place: PlacedBlock): void {
    const { region } = this
    const { block } = place
    const count = block.instructions.length
    region.startBlock(block.distance, count)
    const liveAfter = this.liveAfter(block)
    let last: TranslatorSemantics | undefined
    block.instructions.forEach((instruction, i) => {
      last = this.instruction(instruction, liveAfter[i])
      region.remaining--
    })
    this.endBlock(place, last!)
  }

  private instruction(instruction: RegionInstruction, live: boolean): TranslatorSemantics {
    const { decoded, distance, usage } = instruction
    const { region } = this
    const { flags } = region
    flags.dead = !live
    flags.onlySometimes = usage.setsFlagsSometimes
    if (usage.setsFlagsSometimes && live) flags.usePieces()
    const { mode: modeName, stackSize, segmented } = this.info
    const { context } = shapeOf(decoded, modeName, stackSize, segmented)
    const m = new TranslatorSemantics(region, decoded, context, usage, this.mode, distance + decoded.length)
    m.enter()
    const definition = decoded.form.instruction
    const execute = definition.execute as (m: TranslatorSemantics, ...operands: unknown[]) => void
    execute.call(definition, m, ...m.operands())
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
      region.exit(block.leavesTo, this.long)
      return
    }
    if (ending.kind === 'indirect') {
      region.exitIndirect()
      return
    }
    if (ending.kind === 'goto') {
      const go = () => this.goTo(index, block.jumpsTo!)
      if (!ending.condition) {
        go()
        return
      }
      region.code.if(ending.condition.value, go)
    }
    this.goTo(index, block.fallsTo!)
  }

  private goTo(from: number, distance: number): void {
    const { region } = this
    const to = this.indexOf.get(distance)
    if (to === undefined) {
      region.exit(distance, this.long)
      return
    }
    const kind = jumpKind(this.placed, from, to)
    if (kind === 'back') region.f.branch(this.loops[to]!)
    else if (kind === 'outside') region.exit(distance, this.long)
    else region.f.branch(this.forward[to]!)
  }
}
