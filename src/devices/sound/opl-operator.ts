/** An operator of a YMF262: a wave, at a frequency, under an envelope. */
import { keyScaleLevel, MULTIPLES, waveSample } from './opl-tables.ts'

/** Attenuation at which nothing is heard any more. */
export const QUIET = 511
const ATTACK = 0
const DECAY = 1
const SUSTAIN = 2
const RELEASE = 3
/** Of the envelope's fraction: the slowest rate makes 2^3 of it a sample for a quarter of a step. */
const ENVELOPE_FRACTION = 32768
/** An attack at this rate is over at once. */
const INSTANT = 60
/** The phase has 19 bits, of which the 10 high ones are looked up. */
const PHASE_BITS = 9
const PHASE_MASK = 0x7ffff

/** What changes while an operator plays. */
export interface OperatorState {
  phase: number
  stage: number
  /** 0 to 511 in steps of 3/16 dB. */
  envelope: number
  /** Of a step, in 32768ths. */
  fraction: number
  /** Keys that hold it: its channel's, and that of a drum. */
  keys: number
  /** The last two samples. */
  last: number
  before: number
}

/** An operator after a reset. */
export function initialOperator(): OperatorState {
  return { phase: 0, stage: RELEASE, envelope: QUIET, fraction: 0, keys: 0, last: 0, before: 0 }
}

/** What the registers say of an operator. */
export interface OperatorSettings {
  tremolo: boolean
  vibrato: boolean
  sustained: boolean
  multiple: number
  attack: number
  decay: number
  sustainLevel: number
  release: number
  wave: number
  /** Total level and key scaling, in steps of 3/16 dB. */
  level: number
  /** What the note adds to rates. */
  rateOffset: number
  frequency: number
  block: number
}

/** An operator's settings from its five registers and its channel's note. @param split bit 6 of register 8 */
export function operatorSettings(
  [flags, levels, attackDecay, sustainRelease, wave]: readonly number[],
  { frequency, block, split }: { frequency: number; block: number; split: boolean },
): OperatorSettings {
  const note = (block << 1) | ((split ? frequency >> 8 : frequency >> 9) & 1)
  const sustain = sustainRelease >> 4
  return {
    tremolo: (flags & 0x80) !== 0,
    vibrato: (flags & 0x40) !== 0,
    sustained: (flags & 0x20) !== 0,
    multiple: MULTIPLES[flags & 15],
    attack: attackDecay >> 4,
    decay: attackDecay & 15,
    // Steps of 3 dB; the last is 93 dB.
    sustainLevel: (sustain === 15 ? 31 : sustain) << 4,
    release: sustainRelease & 15,
    wave,
    level: ((levels & 63) << 2) + keyScaleLevel(frequency, block, levels >> 6),
    rateOffset: flags & 0x10 ? note : note >> 2,
    frequency,
    block,
  }
}

/** A key is pressed or let go. @param key its bit */
export function setKey(state: OperatorState, key: number, on: boolean): void {
  const held = state.keys !== 0
  state.keys = on ? state.keys | key : state.keys & ~key
  if (!held && state.keys !== 0) {
    state.stage = ATTACK
    state.phase = 0
    state.fraction = 0
  } else if (held && state.keys === 0) state.stage = RELEASE
}

/** A sample's time goes by for the envelope. */
export function advanceEnvelope(state: OperatorState, settings: OperatorSettings): void {
  if (state.stage === SUSTAIN) {
    if (settings.sustained) return
    state.stage = RELEASE
  }
  if (state.stage === RELEASE && state.envelope >= QUIET) return
  const { stage } = state
  const own = stage === ATTACK ? settings.attack : stage === DECAY ? settings.decay : settings.release
  if (own > 0) {
    const rate = Math.min(63, 4 * own + settings.rateOffset)
    if (stage === ATTACK && rate >= INSTANT) state.envelope = 0
    else {
      state.fraction += (4 + (rate & 3)) << (rate >> 2)
      for (; state.fraction >= ENVELOPE_FRACTION; state.fraction -= ENVELOPE_FRACTION) step(state)
    }
  }
  if (state.stage === ATTACK && state.envelope <= 0) {
    state.envelope = 0
    state.stage = DECAY
  }
  if (state.stage === DECAY && state.envelope >= settings.sustainLevel) state.stage = SUSTAIN
}

/** The attack is fast at first; everything else is a straight line in decibels. */
function step(state: OperatorState): void {
  if (state.stage === ATTACK) state.envelope = Math.max(0, state.envelope - (state.envelope >> 3) - 1)
  else state.envelope = Math.min(QUIET, state.envelope + 1)
}

/** Moves the phase on by a sample. @param vibrato which eighth of a vibrato it is; @param deep whether it is 14 cents rather than 7 */
export function advancePhase(
  state: OperatorState,
  { frequency, block, multiple, vibrato: wanted }: OperatorSettings,
  vibrato: number,
  deep: boolean,
): void {
  let number = frequency
  if (wanted && vibrato & 3) {
    let shift = (frequency >> 7) & 7
    if (vibrato & 1) shift >>= 1
    if (!deep) shift >>= 1
    number += vibrato & 4 ? -shift : shift
  }
  state.phase = (state.phase + ((((number << block) >> 1) * multiple) >> 1)) & PHASE_MASK
}

/** The phase as waves are looked up by it, 0 to 1023. */
export function phaseOf(state: OperatorState): number {
  return state.phase >> PHASE_BITS
}

/** The sample that an operator gives. @param phase 0 to 1023 with what modulates it; @param tremolo in steps of 3/16 dB */
export function sample(state: OperatorState, settings: OperatorSettings, phase: number, tremolo: number): number {
  const attenuation = state.envelope + settings.level + (settings.tremolo ? tremolo : 0)
  const value = attenuation >= QUIET ? 0 : waveSample(settings.wave, phase, attenuation)
  state.before = state.last
  state.last = value
  return value
}
