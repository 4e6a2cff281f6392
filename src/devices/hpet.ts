import type { Bus, Clock, Device, InterruptLine, Timer } from './bus.ts'
import { dwordRegisters } from './registers.ts'
import { MINIMUM_PERIOD } from './ticks.ts'

/** Where the registers are (IA-PC HPET specification 1.0a). */
export const HPET_BASE = 0xfed00000
/** Nanoseconds of one tick: 100 MHz. */
const TICK = 10
const FEMTOSECONDS = TICK * 1e6
const TIMERS = 3

const GCAP_ID = 0x000
const GEN_CONF = 0x010
const GINTR_STA = 0x020
const MAIN_CNT = 0x0f0
const TIMER_CONFIG = 0x100

const ENABLE_CNF = 1
const LEG_RT_CNF = 2

const TN_INT_TYPE_LEVEL = 2
const TN_INT_ENB = 4
const TN_TYPE_PERIODIC = 8
const TN_PER_INT_CAP = 0x10
const TN_SIZE_CAP = 0x20
const TN_VAL_SET = 0x40
const TN_32MODE = 0x100
const TN_INT_ROUTE = 0x3e00
const TN_WRITABLE = TN_INT_TYPE_LEVEL | TN_INT_ENB | TN_TYPE_PERIODIC | TN_VAL_SET | TN_32MODE | TN_INT_ROUTE
/** Inputs of the I/O APIC that a timer may be routed to: 20 to 23. */
const ROUTES = [20, 21, 22, 23]
const ROUTE_CAP = ROUTES.reduce((mask, route) => mask | (1 << route), 0) >>> 0
/** Revision 1, three timers, 64-bit counter, legacy replacement, Intel. */
const CAPABILITIES = 0x8086a001 | ((TIMERS - 1) << 8)

/** How the timers are wired. */
export interface HpetOptions {
  /** Legacy replacement takes IRQ 0 and 8 from 8254 and RTC, or gives them back. */
  onLegacyReplacement?(taken: boolean): void
}

/** A 64-bit number in two halves. */
interface Wide {
  low: number
  high: number
}

interface HpetTimerState {
  config: number
  comparator: Wide
  period: Wide
  /** The low half of the comparator was written after TN_VAL_SET: the next low half is the period. */
  accumulated: boolean
  /** The counter value in ticks of the clock at which it fires next, or -1. */
  due: number
}

interface HpetState {
  config: number
  interruptStatus: number
  /** The counter while it stands; while it runs, its value at tick 0 of the clock. */
  counter: Wide
  timers: HpetTimerState[]
}

const WORD = 2 ** 32

function add(a: Wide, b: Wide): Wide {
  const low = a.low + b.low
  return { low: low >>> 0, high: (a.high + b.high + (low >= WORD ? 1 : 0)) >>> 0 }
}

function subtract(a: Wide, b: Wide): Wide {
  return { low: (a.low - b.low) >>> 0, high: (a.high - b.high - (a.low < b.low ? 1 : 0)) >>> 0 }
}

const wide = (value: number): Wide => ({ low: value % WORD, high: Math.floor(value / WORD) })
const narrow = ({ low, high }: Wide): number => high * WORD + low

/** A high precision event timer block of three timers at 100 MHz. */
export class Hpet implements Device {
  readonly name = 'hpet'
  readonly version = 1
  state: HpetState = this.#initial()
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #options: HpetOptions
  readonly #timers: Timer[]
  /** The wires by interrupt number: those of the legacy replacement and those of the routes. */
  readonly #lines = new Map<number, InterruptLine>()
  #legacy = false

  /** @throws if the kilobyte at fed00000h is taken. */
  constructor(bus: Bus, options: HpetOptions = {}) {
    this.#bus = bus
    this.#clock = bus.clock
    this.#options = options
    for (const line of [0, 8, ...ROUTES]) this.#lines.set(line, bus.interrupt(line))
    this.#timers = this.state.timers.map((_, index) => bus.clock.timer(() => this.#fire(index)))
    bus.mmio(HPET_BASE, 0x400, dwordRegisters(this))
  }

  #initial(): HpetState {
    const timers = Array.from({ length: TIMERS }, () => ({
      config: TN_PER_INT_CAP | TN_SIZE_CAP,
      comparator: { low: 0xffffffff, high: 0xffffffff },
      period: { low: 0, high: 0 },
      accumulated: false,
      due: -1,
    }))
    return { config: 0, interruptStatus: 0, counter: { low: 0, high: 0 }, timers }
  }

  reset(): void {
    this.state = this.#initial()
    for (const timer of this.#timers) timer.cancel()
    this.#updateLines()
  }

  restored(): void {
    this.#updateLines()
    for (const [index, { due }] of this.state.timers.entries()) {
      if (due < 0) this.#timers[index].cancel()
      else this.#timers[index].arm(due * TICK)
    }
  }

  #ticks(): number {
    return Math.floor(this.#clock.now() / TICK)
  }

  #counter(): Wide {
    const { config, counter } = this.state
    return config & ENABLE_CNF ? add(counter, wide(this.#ticks())) : counter
  }

  readDword(offset: number): number {
    const s = this.state
    switch (offset) {
      case GCAP_ID:
        return CAPABILITIES >>> 0
      case GCAP_ID + 4:
        return FEMTOSECONDS
      case GEN_CONF:
        return s.config
      case GINTR_STA:
        return s.interruptStatus
      case MAIN_CNT:
        return this.#counter().low
      case MAIN_CNT + 4:
        return this.#counter().high
      default: {
        const timer = s.timers[(offset - TIMER_CONFIG) >> 5]
        if (timer === undefined) return this.#unknown(offset)
        switch (offset & 0x1c) {
          case 0:
            return timer.config
          case 4:
            return ROUTE_CAP
          case 8:
            return timer.comparator.low
          case 0x0c:
            return timer.config & TN_32MODE ? 0 : timer.comparator.high
          default:
            return 0
        }
      }
    }
  }

  writeDword(offset: number, value: number): void {
    const s = this.state
    switch (offset) {
      case GEN_CONF:
        this.#configure(value & (ENABLE_CNF | LEG_RT_CNF))
        break
      case GINTR_STA:
        s.interruptStatus &= ~value
        this.#updateLines()
        break
      case MAIN_CNT:
      case MAIN_CNT + 4:
        // Only a counter that stands may be written.
        if (s.config & ENABLE_CNF) break
        s.counter = offset === MAIN_CNT ? { ...s.counter, low: value } : { ...s.counter, high: value }
        break
      default: {
        const index = (offset - TIMER_CONFIG) >> 5
        if (s.timers[index] === undefined) {
          this.#unknown(offset)
          break
        }
        if ((offset & 0x1c) === 0) this.#configureTimer(index, value)
        else if ((offset & 0x1c) === 8) this.#writeComparator(index, 'low', value)
        else if ((offset & 0x1c) === 0x0c) this.#writeComparator(index, 'high', value)
      }
    }
  }

  /** A narrow or unaligned write does nothing. */
  refuse(offset: number): void {
    this.#bus.logOnce(`hpet write ${offset}`, `HPET: a narrow write at offset 0x${offset.toString(16)} is ignored`)
  }

  #unknown(offset: number): number {
    // The high halves of the general registers are reserved.
    if (offset !== GEN_CONF + 4 && offset !== GINTR_STA + 4 && offset > GCAP_ID + 4)
      this.#bus.logOnce(`hpet ${offset}`, `HPET: there is no register at offset 0x${offset.toString(16)}`)
    return 0
  }

  #configure(config: number): void {
    const s = this.state
    if ((config ^ s.config) & ENABLE_CNF) {
      const now = wide(this.#ticks())
      s.counter = config & ENABLE_CNF ? subtract(s.counter, now) : add(s.counter, now)
    }
    s.config = config
    this.#updateLines()
    for (let index = 0; index < TIMERS; index++) this.#arm(index)
  }

  #configureTimer(index: number, value: number): void {
    const timer = this.state.timers[index]
    timer.config = (timer.config & ~TN_WRITABLE) | (value & TN_WRITABLE)
    if (!ROUTES.includes((timer.config & TN_INT_ROUTE) >> 9)) timer.config &= ~TN_INT_ROUTE
    // In 32-bit mode the high half of the comparator does not exist.
    if (timer.config & TN_32MODE) {
      timer.comparator.high = 0
      timer.period.high = 0
    }
    timer.accumulated = false
    if ((timer.config & TN_INT_TYPE_LEVEL) === 0) this.state.interruptStatus &= ~(1 << index)
    this.#updateLines()
    this.#arm(index)
  }

  /** A periodic timer's comparator takes the value after TN_VAL_SET, and its period takes it in any case. */
  #writeComparator(index: number, half: 'low' | 'high', value: number): void {
    const timer = this.state.timers[index]
    if (half === 'high' && timer.config & TN_32MODE) return
    const periodic = (timer.config & TN_TYPE_PERIODIC) !== 0
    if (half === 'low' && timer.accumulated) timer.config &= ~TN_VAL_SET
    if (!periodic || timer.config & TN_VAL_SET) timer.comparator = { ...timer.comparator, [half]: value }
    if (periodic) timer.period = { ...timer.period, [half]: value }
    // The bit clears itself; a 64-bit write comes as two, low first, but the high half may as well never come.
    if (half === 'high' || timer.config & TN_32MODE) timer.config &= ~TN_VAL_SET
    timer.accumulated = (timer.config & TN_VAL_SET) !== 0
    this.#arm(index)
  }

  /** The line a timer drives: the legacy ones first. */
  #lineOf(index: number): number {
    if (this.state.config & LEG_RT_CNF && index < 2) return index === 0 ? 0 : 8
    return (this.state.timers[index].config & TN_INT_ROUTE) >> 9
  }

  #updateLines(): void {
    const s = this.state
    const legacy = (s.config & LEG_RT_CNF) !== 0
    if (legacy !== this.#legacy) {
      this.#legacy = legacy
      this.#options.onLegacyReplacement?.(legacy)
    }
    const high = new Set<number>()
    for (const [index, { config }] of s.timers.entries())
      if (s.interruptStatus & (1 << index) && config & TN_INT_ENB && config & TN_INT_TYPE_LEVEL)
        high.add(this.#lineOf(index))
    for (const [number, line] of this.#lines) line.set(high.has(number))
  }

  /** Computes when a timer fires next, from counter and comparator, and arms it. */
  #arm(index: number): void {
    const s = this.state
    const timer = s.timers[index]
    timer.due = -1
    this.#timers[index].cancel()
    // Level-triggered timers set their status bit even while their interrupt is off; edges leave no trace.
    const silent = (timer.config & (TN_INT_ENB | TN_INT_TYPE_LEVEL)) === 0
    if ((s.config & ENABLE_CNF) === 0 || silent) return
    const left = subtract(timer.comparator, this.#counter())
    const ticks = timer.config & TN_32MODE ? left.low : narrow(left)
    const due = this.#ticks() + ticks
    // Beyond what the clock can count it will not happen.
    if (due * TICK >= Number.MAX_SAFE_INTEGER) return
    timer.due = due
    this.#timers[index].arm(due * TICK)
  }

  #fire(index: number): void {
    const s = this.state
    const timer = s.timers[index]
    if (timer.due < 0) return
    if (timer.config & TN_INT_TYPE_LEVEL) {
      s.interruptStatus |= 1 << index
      this.#updateLines()
    } else if (timer.config & TN_INT_ENB) {
      const line = this.#lines.get(this.#lineOf(index))
      line?.set(true)
      line?.set(false)
    }
    this.#again(index)
  }

  /** After firing: the next period, or the counter's next time around. */
  #again(index: number): void {
    const timer = this.state.timers[index]
    const modulus = timer.config & TN_32MODE ? WORD : 2 ** 64
    let step = modulus
    if (timer.config & TN_TYPE_PERIODIC) {
      const period = timer.config & TN_32MODE ? timer.period.low : narrow(timer.period)
      if (period > 0) {
        const late = this.#ticks() + MINIMUM_PERIOD / TICK - timer.due
        step = period * Math.max(1, Math.ceil(late / period))
        timer.comparator = add(timer.comparator, wide(step))
        if (timer.config & TN_32MODE) timer.comparator.high = 0
      }
    }
    const due = timer.due + step
    timer.due = due * TICK < Number.MAX_SAFE_INTEGER ? due : -1
    if (timer.due >= 0) this.#timers[index].arm(due * TICK)
  }
}
