import type { Clock, Timer } from './bus.ts'
import { MINIMUM_PERIOD } from './ticks.ts'

/** The clock of the APIC timer before its divider, in Hz. One tick is a nanosecond. */
export const APIC_TIMER_FREQUENCY = 1e9

/** Timer modes of the LVT timer register, bits 18:17 (SDM volume 3, 11.5.4). */
export const TIMER_MODE = { ONE_SHOT: 0, PERIODIC: 1, TSC_DEADLINE: 2 } as const

/** The saved part of the timer. */
export interface ApicTimerState {
  mode: number
  masked: boolean
  /** The divide configuration register. */
  divide: number
  initialCount: number
  /** When the count was `initialCount` the last time, in nanoseconds. */
  base: number
  running: boolean
  deadlineLow: number
  deadlineHigh: number
}

/** The timer's state after a reset. */
export function initialTimer(): ApicTimerState {
  return {
    mode: TIMER_MODE.ONE_SHOT,
    masked: true,
    divide: 0,
    initialCount: 0,
    base: 0,
    running: false,
    deadlineLow: 0,
    deadlineHigh: 0,
  }
}

/** The local APIC's timer, computed from the clock; it is armed only while an interrupt may come of it. */
export class ApicTimer {
  state: ApicTimerState = initialTimer()
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #deadlineTime: (low: number, high: number) => number
  readonly #expire: () => void

  /**
   * @param deadlineTime the clock's nanoseconds at which the guest's time-stamp counter has a value.
   * @param expire called when the timer interrupts, if it is not masked.
   */
  constructor(clock: Clock, deadlineTime: (low: number, high: number) => number, expire: () => void) {
    this.#clock = clock
    this.#deadlineTime = deadlineTime
    this.#expire = expire
    this.#timer = clock.timer(() => this.#due())
  }

  /** Nanoseconds of one count. */
  get #tick(): number {
    const code = (this.state.divide & 3) | ((this.state.divide >> 1) & 4)
    return code === 7 ? 1 : 2 << code
  }

  /** The current count register. */
  currentCount(): number {
    const { mode, running, initialCount, base } = this.state
    if (!running || initialCount === 0 || mode === TIMER_MODE.TSC_DEADLINE) return 0
    const elapsed = Math.floor((this.#clock.now() - base) / this.#tick)
    if (mode === TIMER_MODE.PERIODIC) return initialCount - (elapsed % initialCount)
    return Math.max(0, initialCount - elapsed)
  }

  /** Writes the initial count register; nothing in TSC-deadline mode. */
  setInitialCount(value: number): void {
    const s = this.state
    if (s.mode === TIMER_MODE.TSC_DEADLINE) return
    s.initialCount = value
    s.base = this.#clock.now()
    s.running = value !== 0
    this.arm()
  }

  /** Writes the divide configuration register; a count under way goes on at the new rate. */
  setDivide(value: number): void {
    const s = this.state
    const left = this.currentCount()
    s.divide = value
    s.base = this.#clock.now() - (s.initialCount - left) * this.#tick
    if (left === 0) s.running = false
    this.arm()
  }

  /** Takes mode and mask from the LVT. */
  configure(mode: number, masked: boolean): void {
    const s = this.state
    // Mode 3 is reserved.
    if (mode > TIMER_MODE.TSC_DEADLINE) mode = TIMER_MODE.ONE_SHOT
    if (mode !== s.mode) {
      const left = this.currentCount()
      s.running = left !== 0
      if (mode === TIMER_MODE.TSC_DEADLINE || s.mode === TIMER_MODE.TSC_DEADLINE) {
        s.running = false
        s.initialCount = 0
        s.deadlineLow = s.deadlineHigh = 0
      } else if (s.running) {
        const period = s.initialCount * this.#tick
        if (s.mode === TIMER_MODE.PERIODIC) s.base += Math.floor((this.#clock.now() - s.base) / period) * period
      }
      s.mode = mode
    }
    s.masked = masked
    this.arm()
  }

  /** Writes IA32_TSC_DEADLINE; nothing in the other modes. */
  setDeadline(low: number, high: number): void {
    const s = this.state
    if (s.mode !== TIMER_MODE.TSC_DEADLINE) return
    s.deadlineLow = low
    s.deadlineHigh = high
    this.arm()
  }

  /** Sets the callback anew from the state: after a restore, or when the time-stamp counter was written. */
  arm(): void {
    const s = this.state
    this.#timer.cancel()
    const now = this.#clock.now()
    if (s.mode === TIMER_MODE.TSC_DEADLINE) {
      if (s.deadlineLow === 0 && s.deadlineHigh === 0) return
      const time = this.#deadlineTime(s.deadlineLow, s.deadlineHigh)
      if (time <= now) this.#due()
      else this.#timer.arm(time)
      return
    }
    if (!s.running || s.masked) return
    const period = s.initialCount * this.#tick
    const due = s.base + period
    if (s.mode === TIMER_MODE.ONE_SHOT) {
      // What expired while it was masked is gone.
      if (due > now) this.#timer.arm(due)
      else s.running = false
    } else this.#timer.arm(due > now ? due : due + Math.ceil((now - due + 1) / period) * period)
  }

  #due(): void {
    const s = this.state
    if (s.mode === TIMER_MODE.TSC_DEADLINE) {
      s.deadlineLow = s.deadlineHigh = 0
    } else if (s.mode === TIMER_MODE.ONE_SHOT) s.running = false
    else {
      const period = s.initialCount * this.#tick
      const now = this.#clock.now()
      s.base += Math.floor((now - s.base) / period) * period
      this.#timer.arm(s.base + Math.max(1, Math.ceil((now + MINIMUM_PERIOD - s.base) / period)) * period)
    }
    if (!s.masked) this.#expire()
  }
}
