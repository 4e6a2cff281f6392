/**
 * Counters that tick at a fixed rate, computed from the clock when someone looks. Both directions are computed from time
 * 0, so rounding never accumulates.
 */

/** The shortest interval between two callbacks of a periodic timer, in nanoseconds: a guest cannot ask for a storm. */
export const MINIMUM_PERIOD = 20_000

/** A tick rate of `numerator / denominator` ticks a second. */
export class TickRate {
  readonly #perNanosecond: number
  readonly #nanoseconds: number

  constructor(numerator: number, denominator = 1) {
    this.#perNanosecond = numerator / (denominator * 1e9)
    this.#nanoseconds = (denominator * 1e9) / numerator
  }

  /** Whole ticks since time 0 at a time in nanoseconds. */
  at(nanoseconds: number): number {
    return Math.floor(nanoseconds * this.#perNanosecond)
  }

  /** The first time in whole nanoseconds at which {@link at} gives at least `ticks`. */
  timeOf(ticks: number): number {
    let time = Math.ceil(ticks * this.#nanoseconds)
    while (this.at(time) < ticks) time += Math.max(1, time * Number.EPSILON)
    return time
  }
}

/** The PC's 14.31818 MHz crystal, 315/22 MHz, over 12: the 8254's clock. */
export const PIT_RATE = new TickRate(315e6, 22 * 12)
/** The same crystal over 4: the ACPI power-management timer, 3.579545 MHz. */
export const PM_TIMER_RATE = new TickRate(315e6, 22 * 4)
/** The real-time clock's crystal. */
export const RTC_RATE = new TickRate(32768)
