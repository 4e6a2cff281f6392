/** How regions that are kept lie in a file: what each was made of, and a module of all their functions. */

/** Bytes of code that lie together in a page. */
export interface KeptRun {
  /** Counts the region's pages. */
  readonly page: number
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What a region was made of. */
export interface KeptDescription {
  readonly mode: number
  /** Of the entry in its page. */
  readonly offset: number
  /** {@link keyOf} of the entry (kept-regions.ts). */
  readonly key: number
  /** Its entries are counted, so that a larger one can take its place. */
  readonly counted: boolean
  /** It was made with care, not of templates. */
  readonly careful: boolean
  /** It counts on what the processor's state need not be. */
  readonly assumes: boolean
  readonly instructions: number
  /** Numbers of its pages, counted from the entry's. */
  readonly pages: readonly number[]
  readonly runs: readonly KeptRun[]
  /** Distances from the entry of its other blocks, and of those at which it can be entered. */
  readonly blocks: readonly number[]
  readonly entries: readonly number[]
}

/** A file. */
export interface Segment {
  /** Index in the table of the first function. */
  readonly first: number
  readonly count: number
  readonly code: Uint8Array<ArrayBuffer>
  /** Indices of regions of earlier segments that others have taken the place of. */
  readonly dead: readonly number[]
  key(number: number): number
  describe(number: number): KeptDescription
}

const COUNTED = 1
const CAREFUL = 2
const ASSUMES = 4

/** Words in front of all: first index, regions, words of descriptions, bytes of code that they name, bytes of the module, where those that are dead are listed. */
const HEAD = 6

/** The bytes of a segment. @param dead as in {@link Segment} @param code the module */
export function writeSegment(
  first: number,
  descriptions: readonly KeptDescription[],
  dead: readonly number[],
  code: Uint8Array,
): Uint8Array {
  const words: number[] = []
  const starts: number[] = []
  const runs: Uint8Array[] = []
  let length = 0
  const list = (numbers: readonly number[]) => words.push(numbers.length, ...numbers)
  for (const {
    mode,
    offset,
    counted,
    careful,
    assumes,
    instructions,
    pages,
    runs: own,
    blocks,
    entries,
  } of descriptions) {
    starts.push(words.length)
    words.push(mode, offset, (counted ? COUNTED : 0) | (careful ? CAREFUL : 0) | (assumes ? ASSUMES : 0), instructions)
    list(pages)
    words.push(own.length)
    for (const { page, offset, bytes } of own) {
      words.push(page, offset, bytes.length, length)
      runs.push(bytes)
      length += bytes.length
    }
    list(blocks)
    list(entries)
  }
  const end = words.length
  list(dead)
  const all = [first, descriptions.length, words.length, length, code.length, end]
  for (const [i, { key }] of descriptions.entries()) all.push(key, starts[i])
  const head = new Int32Array([...all, ...words])
  const bytes = new Uint8Array(head.byteLength + length + code.length)
  bytes.set(new Uint8Array(head.buffer))
  let at = head.byteLength
  for (const run of runs) {
    bytes.set(run, at)
    at += run.length
  }
  bytes.set(code, at)
  return bytes
}

/** What {@link writeSegment} made, or undefined where the bytes are not whole. */
export function readSegment(bytes: Uint8Array<ArrayBuffer>): Segment | undefined {
  if (bytes.length < HEAD * 4) return undefined
  const whole = new Int32Array(bytes.slice(0, bytes.length & ~3).buffer)
  const [first, count, length, runBytes, codeBytes, deadAt] = whole
  const words = HEAD + count * 2
  const from = (words + length) * 4
  if (count < 0 || length < 0 || from + runBytes + codeBytes !== bytes.length) return undefined
  const dead = words + deadAt
  return {
    first,
    count,
    dead: [...whole.subarray(dead + 1, dead + 1 + whole[dead])],
    code: bytes.slice(from + runBytes),
    key: number => whole[HEAD + number * 2],
    describe(number) {
      let at = words + whole[HEAD + number * 2 + 1]
      const next = () => whole[at++]
      const list = () => Array.from({ length: next() }, next)
      const [mode, offset, bits, instructions] = [next(), next(), next(), next()]
      const [counted, careful, assumes] = [COUNTED, CAREFUL, ASSUMES].map(bit => (bits & bit) !== 0)
      const pages = list()
      const runs = Array.from({ length: next() }, (): KeptRun => {
        const [page, offset, length, start] = [next(), next(), next(), next()]
        return { page, offset, bytes: bytes.subarray(from + start, from + start + length) }
      })
      const key = whole[HEAD + number * 2]
      return {
        mode,
        offset,
        key,
        counted,
        careful,
        assumes,
        instructions,
        pages,
        runs,
        blocks: list(),
        entries: list(),
      }
    },
  }
}
