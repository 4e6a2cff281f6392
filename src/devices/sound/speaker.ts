/** The PC's speaker: what counter 2 of the timer and port 61h make of its cone. */
import type { Clock } from '../bus.ts'
import { type Counter, nextChange, outputAt } from '../pit-counter.ts'
import { frameAt, MOST_FRAMES, SAMPLE_RATE, type SoundMixer, type SoundSource } from './mixer.ts'

/** The timer's ticks in a frame. */
const TICKS = 315e6 / 264 / SAMPLE_RATE
/** Nanoseconds for which it sounds on after a change: games play samples by changes alone. */
const TAIL = 50e6
/** Periods that are shorter in ticks, 20 kHz, are heard as their mean only. */
const SHORTEST_PERIOD = 60
const LOUDNESS = 0.3
/** A cone that is pushed stays so, but nobody hears it: a first-order high pass at 16 Hz. */
const HIGH_PASS = 1 - (2 * Math.PI * 16) / SAMPLE_RATE

/** What drives it. */
export interface SpeakerInput {
  /** Counter 2. */
  readonly counter: Counter
  /** Bit 1 of port 61h lets it through. */
  readonly on: boolean
}

/** Plays what the timer does, exactly to its tick, as the mean over each frame: pulses of a microsecond count. */
export class Speaker implements SoundSource {
  readonly #mixer: SoundMixer
  readonly #clock: Clock
  readonly #input: () => SpeakerInput
  /** The frame that is being made, the tick up to which it is, and what it has so far in ticks. */
  #frame = 0
  #tick = 0
  #area = 0
  #changed = Number.NEGATIVE_INFINITY
  #last = 0
  #output = 0

  constructor(mixer: SoundMixer, clock: Clock, input: () => SpeakerInput) {
    this.#mixer = mixer
    this.#clock = clock
    this.#input = input
    mixer.add(this)
  }

  get playing(): boolean {
    if (this.#clock.now() - this.#changed < TAIL) return true
    const { counter, on } = this.#input()
    const audible = (counter.mode === 2 || counter.mode === 3) && counter.reload >= SHORTEST_PERIOD
    return on && audible && counter.start >= 0 && counter.stoppedAt < 0
  }

  /** Something that it follows is about to change: called before. */
  change(): void {
    const now = this.#clock.now()
    if (this.#mixer.running) this.render(now)
    this.#changed = now
    this.#mixer.wake(now)
  }

  render(now: number): number {
    const to = now * TICKS * (SAMPLE_RATE / 1e9)
    const earliest = frameAt(now) - MOST_FRAMES
    if (this.#frame < earliest) {
      this.#frame = earliest
      this.#tick = earliest * TICKS
      this.#area = 0
    }
    const { counter, on } = this.#input()
    while (this.#tick < to) {
      const frameEnd = (this.#frame + 1) * TICKS
      const whole = Math.floor(this.#tick)
      const periodic = (counter.mode === 2 || counter.mode === 3) && counter.start >= 0 && counter.stoppedAt < 0
      const fast = periodic && counter.reload < SHORTEST_PERIOD
      const change = fast || !on ? Number.POSITIVE_INFINITY : nextChange(counter, whole)
      const end = Math.min(to, frameEnd, Math.max(change, whole + 1))
      const level = !on ? 0 : fast ? 0.5 : outputAt(counter, whole) ? 1 : 0
      this.#area += level * (end - this.#tick)
      this.#tick = end
      if (end === frameEnd) this.#finish()
    }
    return now
  }

  #finish(): void {
    const value = this.#area / TICKS
    this.#area = 0
    this.#output = HIGH_PASS * (this.#output + value - this.#last)
    this.#last = value
    const sample = this.#output * LOUDNESS
    this.#mixer.mix(this.#frame++, sample, sample)
  }
}
