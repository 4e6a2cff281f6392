/** What a region was made of, so that it can be found again: src/engines/translator/kept-regions.ts. */
import type { Block } from '../interpreter/blocks.ts'
import { keyOf } from './kept-regions.ts'
import type { KeptDescription, KeptRun } from './kept-segment.ts'
import type { FoundRegion } from './region.ts'

/**
 * Describes a region that was just found.
 * @param entries where else it can be entered: addresses in memory 1
 */
export function describeRegion(
  { blocks, pages }: FoundRegion,
  { address, mode }: Block,
  { counted, careful, assumes }: Pick<KeptDescription, 'counted' | 'careful' | 'assumes'>,
  entries: readonly number[],
  ram: Uint8Array,
): KeptDescription {
  const start = address & 0xfff
  const numbers = [...pages.keys()]
  return {
    mode,
    offset: start,
    key: keyOf(ram, address >>> 0, mode),
    counted,
    careful,
    assumes,
    instructions: blocks.reduce((sum, { instructions }) => sum + instructions.length, 0),
    pages: numbers,
    runs: runsOf(blocks, start).map(([from, to]): KeptRun => {
      const number = Math.floor(from / 4096)
      const at = (pages.get(number)! >>> 0) + (from & 0xfff)
      return { page: numbers.indexOf(number), offset: from & 0xfff, bytes: ram.slice(at, at + to - from) }
    }),
    blocks: blocks.flatMap(({ distance }) => (distance === 0 ? [] : [distance])),
    entries: entries.map(entry => (entry - address) | 0),
  }
}

/** Where code lies, counted from the start of the entry's page: from, to; in order, none across pages. */
function runsOf(blocks: FoundRegion['blocks'], start: number): [number, number][] {
  const pieces = blocks.flatMap(({ instructions }) =>
    instructions.map(({ distance, decoded }): [number, number] => [
      start + distance,
      start + distance + decoded.length,
    ]),
  )
  pieces.sort((a, b) => a[0] - b[0])
  const runs: [number, number][] = []
  for (const [first, to] of pieces) {
    for (let from = first; from < to; ) {
      const end = Math.min(to, (Math.floor(from / 4096) + 1) * 4096)
      const last = runs.at(-1)
      if (last && from <= last[1] && Math.floor(from / 4096) === Math.floor(last[0] / 4096))
        last[1] = Math.max(last[1], end)
      else runs.push([from, end])
      from = end
    }
  }
  return runs
}
