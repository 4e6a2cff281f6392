/**
 * The machine's clock: guest time, the timers on it, and how far an engine may run before the next of them.
 *
 * Two kinds, one code. With `host`, guest time is the host's monotonic time while the machine is not paused, so a
 * guest counts the same seconds as its user even after the host process was stopped for a while. With `instructions`,
 * guest time is the number of executed instructions times a constant, plus what was skipped while the processor
 * waited: every run of the same guest sees the same time.
 */
import type { Clock, Timer } from '../devices/bus.ts'
import { HeapTimer, TimerHeap } from './timers.ts'

/** Where guest time comes from. */
export type ClockKind = 'host' | 'instructions'

/** Ticks of the time-stamp counter in a second of guest time. One a nanosecond, so that kvmclock's scale is exact. */
export const TSC_FREQUENCY = 1_000_000_000

/** Nanoseconds of guest time for each instruction where the clock counts instructions: 100 million a second. */
export const NANOSECONDS_PER_INSTRUCTION = 10

/** {@link Clock.wallTime} at guest time 0 where the clock counts instructions: 2026-01-01T00:00:00Z, milliseconds. */
export const SIMULATED_EPOCH = Date.UTC(2026, 0, 1)

/** Reads of a clock between which no more than so many instructions are executed are a wait: see {@link MachineClock.poll}. */
const POLL_INSTRUCTIONS = 150
/** What a read of such a clock takes where time is counted, as it does at a PC's slow bus, and longer when the guest has waited long. */
const POLL_NANOSECONDS = 1_000
const MOST_POLL_NANOSECONDS = 10_000
/** The part of a wait that one more read takes. */
const POLL_SHARE = 1 / 32
/** After so many nanoseconds of reading the host's time, a guest is taken to wait for longer. */
const LONG_POLLING = 100_000
/**
 * Until it has read it for so many nanoseconds, it may be measuring: GRUB counts the time-stamp counter's ticks in a millisecond. If the
 * host, busy with something else, comes back only after ten, all that GRUB ever waits for takes ten times as long.
 */
const MEASUREMENT = 2_000_000
/** Between two reads of a measurement no more nanoseconds pass than this: what the host did meanwhile is made up for later. */
const MOST_POLL_GAP = 20_000
/** And so many more than it asked for when it rested in between. */
const MOST_OVERSLEEP = 200_000
/** How far guest time may be behind the host's because of that, in nanoseconds. */
const MOST_BEHIND = 100_000_000
/** What is made up for of it, in parts of the time that passes. */
const CATCH_UP_SHARE = 1 / 4

/** What {@link MachineClock} asks of the world; tests replace it. */
export interface ClockSource {
  /** Milliseconds of a monotonic host clock. */
  hostTime(): number
  /** Milliseconds since the Unix epoch on the host. */
  hostWallTime(): number
}

const realSource: ClockSource = { hostTime: () => performance.now(), hostWallTime: () => Date.now() }

/** The clock of one machine. Created stopped: {@link start} lets host time pass. */
export class MachineClock implements Clock {
  readonly kind: ClockKind
  /** Called when a timer is armed with a deadline before every other: a running engine must come back earlier. */
  onEarlierDeadline: () => void = () => {}
  /** Called when a running engine must come back: time went on more than by executing, or the guest only waits. */
  onInterruption: () => void = () => {}
  readonly #source: ClockSource
  readonly #timers = new TimerHeap()
  /** Instructions executed so far; the processor supplies it. */
  #instructions: () => number = () => 0
  /** Guest nanoseconds that are no product of counting: skipped halts, or host time before the last pause. */
  #base = 0
  /** Host milliseconds when the clock was last started, or undefined while it is stopped. */
  #startedAt: number | undefined
  /** The largest value returned: a host clock's rounding must not run backwards. */
  #latest = 0
  /** Since when the guest has been reading a clock over and over, and when it last did. */
  #pollingSince = 0
  #pollInstructions = Number.NEGATIVE_INFINITY
  #polled = 0
  /** How many more nanoseconds may pass between two reads because the host rests. */
  #rest = 0
  /** How far guest time is behind the host's, and when of that was made up for last. */
  #behind = 0
  #caughtUpAt = 0

  /**
   * @param kind where guest time comes from
   * @param source the host's clocks
   */
  constructor(kind: ClockKind, source: ClockSource = realSource) {
    this.kind = kind
    this.#source = source
  }

  /** Connects the counter of executed instructions, which must be exact whenever a device is called. */
  countInstructions(counter: () => number): void {
    this.#instructions = counter
  }

  now(): number {
    if (this.kind === 'instructions') return this.#base + this.#instructions() * NANOSECONDS_PER_INSTRUCTION
    if (this.#startedAt !== undefined) {
      const now = this.#hostNow(this.#startedAt)
      if (now > this.#latest) this.#latest = now
    }
    return this.#latest
  }

  #hostNow(startedAt: number): number {
    return this.#base + Math.floor((this.#source.hostTime() - startedAt) * 1e6)
  }

  /**
   * What a guest that waits in a loop reads. Where time is counted, the read itself takes some: else the guest would execute a hundred
   * thousand instructions for each millisecond that passes. By the host's time the run loop hears of it: {@link takePolling}.
   */
  poll(): number {
    const instructions = this.#instructions()
    const goesOn = instructions - this.#pollInstructions <= POLL_INSTRUCTIONS
    this.#pollInstructions = instructions
    return this.kind === 'instructions' ? this.#pollCounted(goesOn) : this.#pollHost(goesOn)
  }

  #pollCounted(goesOn: boolean): number {
    const now = this.now()
    if (!goesOn) this.#pollingSince = now
    const passes = Math.round(
      Math.min(MOST_POLL_NANOSECONDS, Math.max(POLL_NANOSECONDS, (now - this.#pollingSince) * POLL_SHARE)),
    )
    this.#base += passes
    if (this.#timers.earliest() <= now + passes) this.onInterruption()
    return now + passes
  }

  #pollHost(goesOn: boolean): number {
    if (goesOn) this.#hide()
    const now = this.now()
    if (!goesOn) this.#pollingSince = now
    if (now - this.#pollingSince >= LONG_POLLING) {
      this.#polled = now - this.#pollingSince
      this.onInterruption()
    }
    return now
  }

  /** In a measurement: what the host did since guest time was last looked at did not happen, for now. */
  #hide(): void {
    const most = MOST_POLL_GAP + this.#rest
    this.#rest = 0
    if (this.#startedAt === undefined || this.#latest - this.#pollingSince >= MEASUREMENT) return
    const gap = this.#hostNow(this.#startedAt) - this.#latest
    const hidden = Math.min(gap - most, MOST_BEHIND - this.#behind)
    if (hidden <= 0) return
    this.#base -= hidden
    this.#behind += hidden
  }

  /** Between slices: makes up for some of what the host's time is ahead, unless the guest is in the midst of a wait. */
  #catchUp(): void {
    const waits = this.#instructions() - this.#pollInstructions <= POLL_INSTRUCTIONS
    if (waits) this.#hide()
    const now = this.now()
    const amount = waits ? 0 : Math.min(this.#behind, Math.floor((now - this.#caughtUpAt) * CATCH_UP_SHARE))
    this.#caughtUpAt = now
    this.#behind -= amount
    this.#base += amount
  }

  /** For how many nanoseconds the guest has been reading the host's time over and over; 0 unless that is long, and it did since this was last asked. */
  takePolling(): number {
    const polled = this.#polled
    this.#polled = 0
    return polled
  }

  /** The host is about to rest for so many nanoseconds, because the guest waits. */
  resting(nanoseconds: number): void {
    this.#rest = nanoseconds + MOST_OVERSLEEP
  }

  wallTime(): number {
    if (this.kind === 'instructions') return SIMULATED_EPOCH + Math.floor(this.now() / 1e6)
    return this.#source.hostWallTime()
  }

  timer(callback: () => void): Timer {
    return new HeapTimer(this.#timers, callback, () => this.onEarlierDeadline())
  }

  /** The time-stamp counter: ticks at {@link TSC_FREQUENCY} since the machine was created. */
  timestamp(): number {
    return this.now() * (TSC_FREQUENCY / 1e9)
  }

  /** Lets host time pass. Does nothing if it does already. */
  start(): void {
    this.#startedAt ??= this.#source.hostTime()
  }

  /** Stops guest time where it is, as while the machine is paused. */
  stop(): void {
    this.#base = this.kind === 'host' ? this.now() : this.#base
    this.#startedAt = undefined
  }

  /** The earliest armed deadline in nanoseconds of {@link now}, or Infinity. */
  nextDeadline(): number {
    return this.#timers.earliest()
  }

  /** Nanoseconds until {@link nextDeadline}; 0 if it has passed, Infinity if nothing is armed. */
  untilDeadline(): number {
    return Math.max(0, this.nextDeadline() - this.now())
  }

  /**
   * Runs the callbacks of every timer that is due, in order of deadline, those armed meanwhile included.
   * A device that keeps arming a timer in the past gets a bounded number of calls, then the guest runs on.
   * @returns whether any was due
   */
  runTimers(): boolean {
    if (this.kind === 'host') this.#catchUp()
    for (let calls = 0; calls < 1000; calls++) {
      if (this.#timers.earliest() > this.now()) return calls > 0
      this.#timers.takeEarliest()?.fire()
    }
    return true
  }

  /** While the processor waits and time is counted in instructions: goes straight to `deadline`. */
  skipTo(deadline: number): void {
    if (this.kind !== 'instructions') throw new Error('only a clock that counts instructions can skip')
    const now = this.now()
    if (deadline > now) this.#base += deadline - now
  }

  /**
   * How many instructions an engine may execute before guest time reaches `nanoseconds` from now: exact where time
   * counts instructions, otherwise from `rate`, an estimate in instructions a nanosecond. At least 1.
   */
  instructionsWithin(nanoseconds: number, rate: number): number {
    const exact = this.kind === 'instructions' ? 1 / NANOSECONDS_PER_INSTRUCTION : rate
    return Math.max(1, Math.ceil(nanoseconds * exact))
  }
}
