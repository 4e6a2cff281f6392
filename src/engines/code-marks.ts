/** Which bytes of frames code was decoded from, to 64 bytes (src/memory/layout.ts): a store elsewhere in such a frame changes no code. */
import { CODE_MARK_SHIFT, CODE_MARKS_BASE } from '../memory/layout.ts'

/** Marks bytes `first` to `last` of a frame. @param at the first of the two words that are the frame's */
export function setMarks(words: number[] | Uint32Array, at: number, first: number, last: number): void {
  for (let bit = first >> CODE_MARK_SHIFT; bit <= last >> CODE_MARK_SHIFT; bit++)
    words[at + (bit >> 5)] |= 1 << (bit & 31)
}

/** The marks of all frames, as TypeScript sees them; generated code reads them in slow-paths.ts. */
export class CodeMarks {
  private readonly words: Uint32Array

  /** @param buffer memory 0 */
  constructor(buffer: ArrayBufferLike) {
    this.words = new Uint32Array(buffer, CODE_MARKS_BASE)
  }

  /** Marks bytes `first` to `last` of a frame. @param frame its number in memory 1 */
  add(frame: number, first: number, last: number): void {
    setMarks(this.words, frame * 2, first, last)
  }

  /** Marks what a region has in a frame. */
  addAll(frame: number, [low, high]: readonly [low: number, high: number]): void {
    this.words[frame * 2] |= low
    this.words[frame * 2 + 1] |= high
  }

  /** Whether code may have been decoded from any of bytes `first` to `last` of a frame. */
  has(frame: number, first: number, last: number): boolean {
    for (let bit = first >> CODE_MARK_SHIFT; bit <= last >> CODE_MARK_SHIFT; bit++) {
      if (this.words[frame * 2 + (bit >> 5)] & (1 << (bit & 31))) return true
    }
    return false
  }

  /** Takes the marks of a frame away. */
  clear(frame: number): void {
    this.words[frame * 2] = 0
    this.words[frame * 2 + 1] = 0
  }
}
