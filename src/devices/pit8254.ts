import type { Bus, Clock, Device, InterruptLine, Timer } from './bus.ts'
import {
  type Counter,
  countAt,
  initialCounter,
  loadCount,
  nextRise,
  outputAt,
  setGate,
  writeMode,
} from './pit-counter.ts'
import { attachBytes } from './registers.ts'
import { MINIMUM_PERIOD, PIT_RATE } from './ticks.ts'

/** Ports of the 8254 (Intel 82C54 data sheet) and of the board's port B. */
const COUNTER0 = 0x40
const CONTROL = 0x43
const PORT_B = 0x61

const CONTROL_READ_BACK = 3
const READ_BACK_NO_COUNT = 0x20
const READ_BACK_NO_STATUS = 0x10
const STATUS_OUTPUT = 0x80
const STATUS_NULL_COUNT = 0x40

const PORT_B_GATE2 = 1
const PORT_B_SPEAKER = 2
const PORT_B_REFRESH = 0x10
const PORT_B_OUT2 = 0x20
const PORT_B_WRITABLE = 0x0f
/** The refresh request toggles about every 15 microseconds. */
const REFRESH_NANOSECONDS = 15_085

/** How the timer is wired. */
export interface PitOptions {
  /** Is called before what the speaker gets changes: counter 2 or port 61h, while bit 1 of that lets it through. */
  onSpeaker?(): void
}

interface PitState {
  counters: Counter[]
  portB: number
  /** False while the HPET's legacy replacement has taken IRQ 0. */
  connected: boolean
}

/** The 8254 timer, computed from the clock when someone looks. Counter 0 drives IRQ 0. */
export class Pit8254 implements Device {
  readonly name = 'pit'
  readonly version = 1
  state: PitState
  readonly #clock: Clock
  readonly #line: InterruptLine
  readonly #timer: Timer
  readonly #onSpeaker: () => void

  /** @throws if the ports 40h to 43h or 61h are taken. */
  constructor(bus: Bus, options: PitOptions = {}) {
    this.#clock = bus.clock
    this.#line = bus.interrupt(0)
    this.#timer = bus.clock.timer(() => this.#rise())
    this.#onSpeaker = options.onSpeaker ?? (() => {})
    this.state = this.#initial()
    attachBytes(bus, COUNTER0, 4, this)
    attachBytes(bus, PORT_B, 1, this)
  }

  #initial(): PitState {
    return { counters: [initialCounter(true), initialCounter(true), initialCounter(false)], portB: 0, connected: true }
  }

  #now(): number {
    return PIT_RATE.at(this.#clock.now())
  }

  reset(): void {
    if (this.speaker.on) this.#onSpeaker()
    this.state = this.#initial()
    this.#update()
  }

  restored(): void {
    this.#update()
  }

  /** What drives the speaker. */
  get speaker(): { counter: Counter; on: boolean } {
    return { counter: this.state.counters[2], on: (this.state.portB & PORT_B_SPEAKER) !== 0 }
  }

  /** Connects counter 0 to IRQ 0, or not: the HPET's legacy replacement takes the wire. */
  connect(connected: boolean): void {
    this.state.connected = connected
    this.#update()
  }

  readByte(port: number): number {
    if (port === PORT_B) {
      const refresh = Math.floor(this.#clock.now() / REFRESH_NANOSECONDS) & 1
      const out2 = outputAt(this.state.counters[2], this.#now())
      return this.state.portB | (refresh ? PORT_B_REFRESH : 0) | (out2 ? PORT_B_OUT2 : 0)
    }
    // The control register cannot be read.
    if (port === CONTROL) return 0xff
    const counter = this.state.counters[port - COUNTER0]
    if (counter.latchedStatus >= 0) {
      const status = counter.latchedStatus
      counter.latchedStatus = -1
      return status
    }
    const count = counter.latchedCount >= 0 ? counter.latchedCount : countAt(counter, this.#now())
    const high = counter.access === 2 || (counter.access === 3 && counter.readHigh)
    if (counter.access === 3) counter.readHigh = !counter.readHigh
    if (counter.access !== 3 || !counter.readHigh) counter.latchedCount = -1
    return high ? count >> 8 : count & 0xff
  }

  writeByte(port: number, value: number): void {
    const now = this.#now()
    const heard = port === PORT_B ? value | this.state.portB : port === COUNTER0 ? 0 : this.state.portB
    if (heard & PORT_B_SPEAKER) this.#onSpeaker()
    if (port === PORT_B) {
      this.state.portB = value & PORT_B_WRITABLE
      setGate(this.state.counters[2], (value & PORT_B_GATE2) !== 0, now)
    } else if (port === CONTROL) this.#control(value, now)
    else {
      loadCount(this.state.counters[port - COUNTER0], value, now)
      if (port === COUNTER0) this.#update()
    }
  }

  #control(value: number, now: number): void {
    const { counters } = this.state
    const select = value >> 6
    if (select === CONTROL_READ_BACK) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue
        const counter = counters[i]
        if ((value & READ_BACK_NO_COUNT) === 0) this.#latch(counter, now)
        if ((value & READ_BACK_NO_STATUS) === 0 && counter.latchedStatus < 0)
          counter.latchedStatus =
            (outputAt(counter, now) ? STATUS_OUTPUT : 0) |
            (counter.loadedAt > now || counter.loadedAt < 0 ? STATUS_NULL_COUNT : 0) |
            (counter.access << 4) |
            (counter.control & 0x0f)
      }
      return
    }
    const counter = counters[select]
    if ((value & 0x30) === 0) {
      this.#latch(counter, now)
      return
    }
    writeMode(counter, value)
    if (select === 0) this.#update()
  }

  #latch(counter: Counter, now: number): void {
    if (counter.latchedCount < 0) counter.latchedCount = countAt(counter, now)
  }

  /** Counter 0's output has risen. It is an edge that interrupts: the fall before is made up here. */
  #rise(): void {
    if (this.state.connected) {
      this.#line.set(false)
      this.#line.set(true)
    }
    this.#arm(this.#clock.now() + MINIMUM_PERIOD)
  }

  #update(): void {
    this.#line.set(this.state.connected && outputAt(this.state.counters[0], this.#now()))
    this.#arm(0)
  }

  #arm(earliest: number): void {
    const counter = this.state.counters[0]
    const periodic = counter.mode === 2 || counter.mode === 3
    const after = periodic ? Math.max(this.#now(), PIT_RATE.at(earliest)) : this.#now()
    const rise = this.state.connected ? nextRise(counter, after) : undefined
    if (rise === undefined) this.#timer.cancel()
    else this.#timer.arm(PIT_RATE.timeOf(rise))
  }
}
