/** Samples that a converter plays at a rate of its own, in guest time, brought to the mixer's rate. */
import { MINIMUM_PERIOD } from '../ticks.ts'
import { frameAt, MOST_LATE, type SoundMixer, timeOfFrame } from './mixer.ts'

/** Nanoseconds that a converter may be behind: it then makes up for them, beyond it goes on from where it is. */
const MOST_LAG = MOST_LATE * 1e9

/**
 * While a converter that is behind catches up, the end of a block comes this part of a block after the end of the one before: the guest
 * has to see the interrupt, and a program of it to run and to provide what follows. It may not have much of the host meanwhile.
 */
const PAUSE = 1 / 4
/** At most so many nanoseconds. */
const MOST_PAUSE = 20e6
/** For so many nanoseconds after its last block a converter waits for a program that gives it block by block. */
const REACTION = 20e6

/**
 * A digital-to-analogue converter: tells how many frames were due, and mixes them where in time they belong. Between two
 * frames it goes in a straight line, one frame late.
 */
export class SampleStream {
  readonly #mixer: SoundMixer
  /** When frame 0 was due, nanoseconds. */
  #start = 0
  /** Nanoseconds of a frame. */
  #period = 1
  /** Frames that were played. */
  #played = 0
  /** The mixer's next frame. */
  #next = 0
  #left = 0
  #right = 0
  /** Frames that were played when a block ended last, and until when the next does not end. */
  #ended = 0
  #heldUntil = 0
  /** Until when what begins goes on where the last block ended. */
  #goesOnUntil = Number.NEGATIVE_INFINITY

  constructor(mixer: SoundMixer) {
    this.#mixer = mixer
  }

  /**
   * Begins at `now` with frames at so many a second; soon after {@link lastEnded} at the end of what was played: the interrupt was late and the
   * program that answers it later, while its samples follow each other.
   */
  begin(now: number, rate: number): void {
    if (this.waits(now)) {
      this.setRate(rate)
      return
    }
    // On the mixer's grid, so that its own rate passes through unchanged.
    this.#next = frameAt(now)
    this.#start = timeOfFrame(this.#next)
    this.#period = 1e9 / rate
    this.#played = 0
    this.#ended = 0
    this.#heldUntil = 0
    // What was played before has been over for a while.
    this.#left = this.#right = 0
  }

  /** Changes the rate from the next frame on. */
  setRate(rate: number): void {
    if (1e9 / rate === this.#period) return
    this.#start = this.timeOf(0)
    this.#ended -= this.#played
    this.#played = 0
    this.#period = 1e9 / rate
  }

  /** When the frame that comes `ahead` frames after the ones played is due: nanoseconds. */
  timeOf(ahead: number): number {
    return this.#start + (this.#played + ahead) * this.#period
  }

  /** A block has ended, and the guest was told. */
  blockEnded(now: number): void {
    const length = (this.#played - this.#ended) * this.#period
    this.#ended = this.#played
    this.#heldUntil = now + Math.max(MINIMUM_PERIOD, Math.min(MOST_PAUSE, length * PAUSE))
  }

  /** That block was the last that the guest has asked for. */
  lastEnded(now: number): void {
    this.#goesOnUntil = now + REACTION
  }

  /** Whether what the guest asks for now goes on where the last block ended. */
  waits(now: number): boolean {
    return now < this.#goesOnUntil
  }

  /** What has ended is over. */
  stop(): void {
    this.#goesOnUntil = Number.NEGATIVE_INFINITY
  }

  /** Whether the guest still has its moment for the block that ended last: the next does not end yet. */
  holds(now: number): boolean {
    return now < this.#heldUntil
  }

  /** When to look after a block that ends so many frames ahead: when its last is due, and it may end. */
  deadline(ahead: number, now: number): number {
    return Math.max(this.timeOf(ahead - 1), this.#heldUntil, now + MINIMUM_PERIOD)
  }

  /** Frames that are due. What is too long ago is not made up for. */
  due(now: number): number {
    const late = now - this.timeOf(0) - MOST_LAG
    if (late > 0) this.#start += late
    return Math.max(0, Math.floor((now - this.#start) / this.#period) + 1 - this.#played)
  }

  /** Frames go by that nobody hears: as many as are played at a time, with what was heard last gone. */
  skip(frames: number): void {
    this.stop()
    this.#played += frames
    this.#next = Math.max(this.#next, frameAt(this.timeOf(0)))
    this.#left = this.#right = 0
  }

  /** Plays a frame; full scale is 1. */
  play(left: number, right: number): void {
    const begins = this.timeOf(0)
    this.stop()
    this.#played++
    const ends = this.timeOf(0)
    // Behind a gap in time.
    if (timeOfFrame(this.#next) < begins - this.#period) this.#next = frameAt(begins)
    for (; timeOfFrame(this.#next) < ends; this.#next++) {
      const part = Math.max(0, (timeOfFrame(this.#next) - begins) / this.#period)
      this.#mixer.mix(this.#next, this.#left + (left - this.#left) * part, this.#right + (right - this.#right) * part)
    }
    this.#left = left
    this.#right = right
  }
}
