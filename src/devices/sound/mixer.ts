/** Adds up what everything that sounds plays, at the pace of guest time, and hands it on in pieces. */
import type { Clock, Timer } from '../bus.ts'

/** Frames (a sample for the left and one for the right) a second of what is handed on. */
export const SAMPLE_RATE = 48_000
/** Frames a nanosecond. */
const FRAMES = SAMPLE_RATE / 1e9
/** Nanoseconds of guest time between two pieces. */
const PERIOD = 10e6
/**
 * Seconds for which the host may let the guest wait without anything being lost: what was not played meanwhile is played when
 * the guest can provide it, at the time at which it had been due.
 */
export const MOST_LATE = 2
/** Most frames of a piece: those, and what becomes due while the guest catches up. */
export const MOST_FRAMES = (MOST_LATE + 1) * SAMPLE_RATE
/** Frames beyond now that may be mixed: a sample of the slowest rate lasts for so long. */
const AHEAD = 64

/** Something that makes sound. */
export interface SoundSource {
  /** Whether it is to be heard, now or as soon as time passes. */
  readonly playing: boolean
  /**
   * Mixes what it plays until `now`.
   * @returns the time until which it is complete: earlier than now while the guest has to be asked for what comes
   */
  render(now: number): number
}

/** The sum of all sources. It costs nothing while nothing plays or nobody listens. */
export class SoundMixer {
  readonly #clock: Clock
  readonly #emit: (frame: number, samples: Int16Array) => void
  readonly #timer: Timer
  readonly #sources: SoundSource[] = []
  readonly #sum = new Float32Array(2 * (MOST_FRAMES + AHEAD))
  /** The number of the frame that is the first in `#sum`, and how many there may be something in. */
  #first = 0
  #used = 0
  #listening = false
  #running = false

  /** @param emit takes interleaved samples that follow each other without gaps from frame `frame` of guest time on */
  constructor(clock: Clock, emit: (frame: number, samples: Int16Array) => void) {
    this.#clock = clock
    this.#emit = emit
    this.#timer = clock.timer(() => this.#tick())
  }

  /** Adds a source. */
  add(source: SoundSource): void {
    this.#sources.push(source)
  }

  /** Whether what is mixed now is handed on. */
  get running(): boolean {
    return this.#running
  }

  /** Somebody listens, or nobody any more. */
  listen(on: boolean): void {
    this.#listening = on
    if (on) this.wake(this.#clock.now())
    else this.#stop()
  }

  /**
   * A source has begun to play: called as soon as its `playing` is true, before it mixes anything.
   * @param since when it began, in nanoseconds: a clock goes on meanwhile
   */
  wake(since: number): void {
    if (!this.#listening || this.#running || !this.#sources.some(({ playing }) => playing)) return
    this.#running = true
    this.#first = frameAt(since)
    this.#sum.fill(0, 0, 2 * this.#used)
    this.#used = 0
    this.#timer.arm(since + PERIOD)
  }

  /** Adds to a frame. Full scale is 1. A frame that is over, or too far ahead, is left as it is. */
  mix(frame: number, left: number, right: number): void {
    const at = 2 * (frame - this.#first)
    if (!this.#running || at < 0 || at >= this.#sum.length) return
    this.#sum[at] += left
    this.#sum[at + 1] += right
    if (at >= 2 * this.#used) this.#used = (at >> 1) + 1
  }

  #stop(): void {
    this.#running = false
    this.#timer.cancel()
  }

  #tick(): void {
    const now = this.#clock.now()
    const earliest = Math.floor(now * FRAMES) - MOST_FRAMES
    if (earliest > this.#first) {
      this.#drop(Math.min(earliest - this.#first, MOST_FRAMES + AHEAD))
      this.#first = earliest
    }
    let complete = now
    for (const source of this.#sources) complete = Math.min(complete, source.render(now))
    const end = Math.max(this.#first, Math.floor(complete * FRAMES))
    const frames = end - this.#first
    if (frames > 0) {
      const samples = new Int16Array(2 * frames)
      for (let i = 0; i < samples.length; i++) samples[i] = toSample(this.#sum[i])
      const first = this.#first
      this.#drop(frames)
      this.#first = end
      this.#emit(first, samples)
    }
    if (this.#sources.some(({ playing }) => playing)) this.#timer.arm(now + PERIOD)
    else this.#stop()
  }

  /** Takes frames off the beginning. */
  #drop(frames: number): void {
    const left = Math.max(0, this.#used - frames)
    this.#sum.copyWithin(0, 2 * frames, 2 * this.#used)
    this.#sum.fill(0, 2 * left, 2 * this.#used)
    this.#used = left
  }
}

/** A sample of 16 bits, at most as loud as there is. */
function toSample(value: number): number {
  return Math.round(Math.max(-1, Math.min(1, value)) * 32767)
}

/** The number of the first frame at or after a time in nanoseconds. */
export function frameAt(time: number): number {
  return Math.ceil(time * FRAMES)
}

/** The time of a frame in nanoseconds. */
export function timeOfFrame(frame: number): number {
  return frame / FRAMES
}
