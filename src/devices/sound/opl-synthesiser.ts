/** The eighteen channels of a YMF262 ("YMF262 Application Manual", Yamaha): what its registers sound like. */
import {
  advanceEnvelope,
  advancePhase,
  initialOperator,
  type OperatorSettings,
  type OperatorState,
  operatorSettings,
  phaseOf,
  QUIET,
  sample,
  setKey,
} from './opl-operator.ts'

/** Samples a second: 14.31818 MHz / 288. */
export const OPL_RATE = 315e6 / 22 / 288
const CHANNELS = 18
/** Samples of a step of tremolo and of vibrato, and steps of both. */
const TREMOLO_STEP = 64
const TREMOLO_STEPS = 210
const VIBRATO_STEP = 1024
/** Keys: a channel's own, and a drum's. */
const KEY_NOTE = 1
const KEY_DRUM = 2
/** Registers of both banks. */
const FOUR_OPERATORS = 0x104
const NEW = 0x105
const NOTE_SELECT = 0x08
const WAVE_SELECT = 0x01
const DRUMS = 0xbd
/** The first of the pairs of channels that can have four operators, in order of their bits. */
const PAIRS = [0, 1, 2, 9, 10, 11]
/** Full scale: four channels at their loudest. */
const SCALE = 1 / (4 * 4084)
/** The drums' bits in register BDh, and which operators they play: hi-hat, top cymbal, tom-tom, snare, bass. */
const DRUM_OPERATORS: readonly [bit: number, operators: readonly number[]][] = [
  [0x01, [14]],
  [0x02, [17]],
  [0x04, [16]],
  [0x08, [15]],
  [0x10, [12, 13]],
]

/** Everything that a synthesiser is. */
export interface OplState {
  /** Both banks. */
  registers: Uint8Array
  /** Of channel n, 2n and 2n + 1. */
  operators: OperatorState[]
  /** Samples so far, for tremolo and vibrato. */
  time: number
  noise: number
}

/** A synthesiser after a reset. */
export function initialOpl(): OplState {
  return {
    registers: new Uint8Array(512),
    operators: Array.from({ length: 2 * CHANNELS }, initialOperator),
    time: 0,
    noise: 1,
  }
}

/** The offset of an operator's registers in their groups. @param index of channel n, 2n and 2n + 1 */
export function operatorOffset(index: number): number {
  const channel = (index >> 1) % 9
  return Math.floor(channel / 3) * 8 + (channel % 3) + (index & 1 ? 3 : 0)
}

/** Turns registers into samples. */
export class OplSynthesiser {
  readonly #state: () => OplState
  #settings: OperatorSettings[] = []
  #tremolo = 0
  #vibrato = 0
  #deep = false

  constructor(state: () => OplState) {
    this.#state = state
    this.update()
  }

  /** Whether anything sounds, or is about to. */
  get sounding(): boolean {
    return this.#state().operators.some(({ envelope, keys }) => envelope < QUIET || keys !== 0)
  }

  /** Takes all registers over: they were written. */
  update(): void {
    const { registers } = this.#state()
    const isNew = (registers[NEW] & 1) !== 0
    const waves = isNew ? 7 : registers[WAVE_SELECT] & 0x20 ? 3 : 0
    const split = (registers[NOTE_SELECT] & 0x40) !== 0
    this.#settings = this.#state().operators.map((_, index) => {
      const channel = this.#noteChannel(index >> 1)
      const low = registers[channelRegister(0xa0, channel)]
      const high = registers[channelRegister(0xb0, channel)]
      const bank = index >= CHANNELS ? 0x100 : 0
      const own = [0x20, 0x40, 0x60, 0x80, 0xe0].map(group => registers[bank + group + operatorOffset(index)])
      own[4] &= waves
      return operatorSettings(own, { frequency: low | ((high & 3) << 8), block: (high >> 2) & 7, split })
    })
  }

  /** Takes the keys over: a register of keys was written. */
  updateKeys(): void {
    const { registers, operators } = this.#state()
    for (let index = 0; index < operators.length; index++) {
      const channel = this.#noteChannel(index >> 1)
      setKey(operators[index], KEY_NOTE, (registers[channelRegister(0xb0, channel)] & 0x20) !== 0)
    }
    const drums = registers[DRUMS]
    for (const [bit, played] of DRUM_OPERATORS)
      for (const index of played) setKey(operators[index], KEY_DRUM, (drums & 0x20) !== 0 && (drums & bit) !== 0)
  }

  /** Makes one frame; full scale is 1. @param out gets left and right */
  next(out: Float64Array): void {
    const state = this.#state()
    const { registers, operators } = state
    this.#lowFrequencies(state)
    let left = 0
    let right = 0
    const isNew = (registers[NEW] & 1) !== 0
    for (let channel = 0; channel < CHANNELS; channel++) {
      const one = 2 * channel
      const fourth = isNew ? this.#isFirstOfFour(channel) : false
      if (isNew && channel % 9 > 2 && channel % 9 < 6 && this.#isFirstOfFour(channel - 3)) continue
      const drum = channel >= 6 && channel < 9 && (registers[DRUMS] & 0x20) !== 0
      const silent = (index: number) => operators[index].envelope >= QUIET && operators[index].keys === 0
      if (!drum && silent(one) && silent(one + 1) && (!fourth || (silent(one + 6) && silent(one + 7)))) continue
      const value = drum ? this.#drum(channel) : fourth ? this.#four(channel) : this.#two(channel)
      const pan = isNew ? registers[channelRegister(0xc0, channel)] : 0x30
      if (pan & 0x10) left += value
      if (pan & 0x20) right += value
    }
    out[0] = left * SCALE
    out[1] = right * SCALE
    state.noise = (state.noise >> 1) | (((state.noise ^ (state.noise >> 14)) & 1) << 22)
  }

  #lowFrequencies(state: OplState): void {
    state.time = (state.time + 1) % (TREMOLO_STEP * TREMOLO_STEPS * VIBRATO_STEP)
    const depth = state.registers[DRUMS]
    const at = Math.floor(state.time / TREMOLO_STEP) % TREMOLO_STEPS
    this.#tremolo = (at < TREMOLO_STEPS / 2 ? at : TREMOLO_STEPS - at) >> (depth & 0x80 ? 2 : 4)
    this.#vibrato = Math.floor(state.time / VIBRATO_STEP) & 7
    this.#deep = (depth & 0x40) !== 0
  }

  /** Whether it is the first of two channels that are one with four operators. */
  #isFirstOfFour(channel: number): boolean {
    const bit = PAIRS.indexOf(channel)
    return bit >= 0 && (this.#state().registers[FOUR_OPERATORS] & (1 << bit)) !== 0
  }

  /** The channel whose note an operator of `channel` plays. */
  #noteChannel(channel: number): number {
    const { registers } = this.#state()
    const isSecond = (registers[NEW] & 1) !== 0 && channel >= 3 && this.#isFirstOfFour(channel - 3)
    return isSecond ? channel - 3 : channel
  }

  /** Plays an operator, with what modulates it added to its phase. */
  #operator(index: number, modulation: number): number {
    return this.#at(index, phase => phase + modulation)
  }

  /** Plays an operator at a phase that may be made of its own. */
  #at(index: number, phase: (own: number) => number): number {
    const state = this.#state().operators[index]
    const settings = this.#settings[index]
    advanceEnvelope(state, settings)
    const value = sample(state, settings, phase(phaseOf(state)), this.#tremolo)
    advancePhase(state, settings, this.#vibrato, this.#deep)
    return value
  }

  /** The first operator of a channel, which modulates itself. */
  #first(channel: number): number {
    const { operators, registers } = this.#state()
    const { last, before } = operators[2 * channel]
    const feedback = (registers[channelRegister(0xc0, channel)] >> 1) & 7
    return this.#operator(2 * channel, feedback === 0 ? 0 : (last + before) >> (9 - feedback))
  }

  #isParallel(channel: number): boolean {
    return (this.#state().registers[channelRegister(0xc0, channel)] & 1) !== 0
  }

  #two(channel: number): number {
    const one = this.#first(channel)
    return this.#isParallel(channel) ? one + this.#operator(2 * channel + 1, 0) : this.#operator(2 * channel + 1, one)
  }

  #four(channel: number): number {
    const [a, b] = [2 * channel, 2 * channel + 6]
    const one = this.#first(channel)
    if (this.#isParallel(channel)) {
      const two = this.#operator(a + 1, 0)
      const three = this.#operator(b, two)
      return this.#isParallel(channel + 3) ? one + three + this.#operator(b + 1, 0) : one + this.#operator(b + 1, three)
    }
    const two = this.#operator(a + 1, one)
    if (this.#isParallel(channel + 3)) return two + this.#operator(b + 1, this.#operator(b, 0))
    return this.#operator(b + 1, this.#operator(b, two))
  }

  /** The channels 6 to 8 as drums; they are twice as loud. */
  #drum(channel: number): number {
    const { operators, noise } = this.#state()
    if (channel === 6) {
      const one = this.#first(6)
      return 2 * this.#operator(13, this.#isParallel(6) ? 0 : one)
    }
    const bit = (phase: number, number: number) => (phase >> number) & 1
    const hat = phaseOf(operators[14])
    const cymbal = phaseOf(operators[17])
    const metal = (bit(hat, 2) ^ bit(hat, 7)) | (bit(hat, 3) ^ bit(cymbal, 5)) | (bit(cymbal, 3) ^ bit(cymbal, 5))
    const random = noise & 1
    if (channel === 7) {
      const snare = (bit(hat, 8) << 9) | ((bit(hat, 8) ^ random) << 8)
      const hiHat = this.#at(14, () => (metal << 9) | (metal ^ random ? 0xd0 : 0x34))
      return 2 * (hiHat + this.#at(15, () => snare))
    }
    return 2 * (this.#operator(16, 0) + this.#at(17, () => (metal << 9) | 0x80))
  }
}

/** Where a channel has a register of a group of nine. */
export function channelRegister(group: number, channel: number): number {
  return channel < 9 ? group + channel : 0x100 + group + channel - 9
}
