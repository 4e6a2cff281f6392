/**
 * The ADPCM of a Sound Blaster's DSP, in which a byte has two, three or four samples. Creative never said how it is decoded; this is what
 * programs of the time count on: each sample is a sign and a multiple of a step, plus half a step, which grows with large
 * multiples and shrinks with none.
 */

/** Bits of a sample; with 3 the last of each byte's three has its lowest bit cut off, which makes 2.6. */
export type AdpcmBits = 2 | 3 | 4

/** Half a step at each level but the lowest, where there are no halves and a step is one. */
const HALVES: Readonly<Record<AdpcmBits, readonly number[]>> = { 4: [1, 2, 4], 3: [1, 2, 4, 5], 2: [1, 2, 4, 8, 16] }
/** Where in a byte its samples are: by how much to shift right, or for one that lacks bits left. */
const SHIFTS: Readonly<Record<AdpcmBits, readonly number[]>> = { 4: [4, 0], 3: [5, 2, -1], 2: [6, 4, 2, 0] }

/** What goes on from byte to byte. */
export interface AdpcmState {
  /** The last sample, 0 to 255, and the level of the step. */
  value: number
  level: number
}

/** How many samples a byte has. */
export function adpcmSamples(bits: AdpcmBits): number {
  return SHIFTS[bits].length
}

/** Decodes a byte. @returns its samples, 0 to 255 */
export function decodeAdpcm(state: AdpcmState, bits: AdpcmBits, byte: number): number[] {
  const sign = 1 << (bits - 1)
  const halves = HALVES[bits]
  // What makes the step grow: 5 of 7, 3 of 3, 1 of 1.
  const large = 2 * bits - 3
  return SHIFTS[bits].map(shift => {
    const code = shift < 0 ? byte << -shift : byte >> shift
    const multiple = code & (sign - 1)
    const half = state.level === 0 ? 0 : halves[state.level - 1]
    const distance = half === 0 ? multiple : (2 * multiple + 1) * half
    state.value = Math.max(0, Math.min(255, state.value + (code & sign ? -distance : distance)))
    if (multiple >= large) state.level = Math.min(state.level + 1, halves.length)
    else if (multiple === 0) state.level = Math.max(state.level - 1, 0)
    return state.value
  })
}
