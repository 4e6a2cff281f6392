import type { Bus, Clock, Device, InterruptLine, Timer } from './bus.ts'
import { attachBytes, fromBcd, toBcd, withBit } from './registers.ts'
import { RTC_RATE } from './ticks.ts'

/** Ports of the MC146818 (Motorola data sheet) as the PC/AT wires it. */
const INDEX = 0x70
const DATA = 0x71

const SECONDS = 0
const SECONDS_ALARM = 1
const MINUTES = 2
const MINUTES_ALARM = 3
const HOURS = 4
const HOURS_ALARM = 5
const DAY_OF_WEEK = 6
const DATE = 7
const MONTH = 8
const YEAR = 9
const REGISTER_A = 0x0a
const REGISTER_B = 0x0b
const REGISTER_C = 0x0c
const REGISTER_D = 0x0d
/** Where the PC keeps the century; the ACPI FADT says so. */
export const CMOS_CENTURY = 0x32

const A_UPDATE_IN_PROGRESS = 0x80
const A_DIVIDER_RESET = 0x60
const A_DIVIDER = 0x70
const A_RATE = 0x0f
const A_INITIAL = 0x26
const B_SET = 0x80
const B_PERIODIC = 0x40
const B_ALARM = 0x20
const B_UPDATE = 0x10
const B_BINARY = 4
const B_24_HOURS = 2
const C_INTERRUPT = 0x80
const C_FLAGS = 0x70
const D_VALID = 0x80

const HOURS_PM = 0x80
/** Alarm values from here match always. */
const ALARM_ANY = 0xc0
const TIME_REGISTERS = [SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DATE, MONTH, YEAR, CMOS_CENTURY]
/** UIP is set for the 244 microseconds before an update and the 1984 that it takes. */
const UPDATE_MILLISECONDS = 2.228
const DAY = 86_400

/** How the clock is made. */
export interface RtcOptions {
  /** CMOS bytes by index after power-on, as from {@link cmosMemorySize}. Time and control registers are not taken. */
  cmos?: Readonly<Record<number, number>>
}

/**
 * CMOS bytes that tell firmware how much memory there is.
 * @param below bytes of RAM below 4 GiB, from address 0.
 * @param above bytes of RAM from 4 GiB.
 */
export function cmosMemorySize(below: number, above: number): Record<number, number> {
  const base = 640
  const extended = Math.min(0xffff, Math.max(0, Math.floor(below / 1024) - 1024))
  const from16M = Math.min(0xffff, Math.max(0, Math.floor(below / 65536) - 256))
  const high = Math.floor(above / 65536)
  return {
    21: base & 0xff,
    22: base >> 8,
    23: extended & 0xff,
    24: extended >> 8,
    48: extended & 0xff,
    49: extended >> 8,
    52: from16M & 0xff,
    53: from16M >> 8,
    91: high & 0xff,
    92: (high >> 8) & 0xff,
    93: (high >> 16) & 0xff,
  }
}

interface RtcState {
  index: number
  cmos: Uint8Array
  /** Guest time less wall time, in milliseconds. */
  offset: number
  /** The time stands in its registers: SET, or the divider is held in reset. */
  held: boolean
  /** Up to where updates, alarms and periodic ticks have been turned into flags. */
  seenSecond: number
  seenPeriod: number
}

/** The MC146818 real-time clock and its CMOS memory, computed from the clock when someone looks. IRQ 8. */
export class Rtc implements Device {
  readonly name = 'rtc'
  readonly version = 1
  state: RtcState
  readonly #clock: Clock
  readonly #line: InterruptLine
  readonly #timer: Timer
  #connected = true

  /** @throws if port 70h or 71h is taken. */
  constructor(bus: Bus, options: RtcOptions = {}) {
    this.#clock = bus.clock
    this.#line = bus.interrupt(8)
    this.#timer = bus.clock.timer(() => this.#update())
    const cmos = new Uint8Array(128)
    for (const [index, value] of Object.entries(options.cmos ?? {})) cmos[Number(index) & 127] = value
    cmos[REGISTER_A] = A_INITIAL
    cmos[REGISTER_B] = B_24_HOURS
    cmos[REGISTER_C] = 0
    cmos[REGISTER_D] = D_VALID
    this.state = { index: 0, cmos, offset: 0, held: false, seenSecond: 0, seenPeriod: 0 }
    this.state.seenSecond = this.#second()
    attachBytes(bus, INDEX, 2, this)
  }

  /** RESET#: interrupts off; the battery keeps time and memory. */
  reset(): void {
    const s = this.state
    s.index = 0
    s.cmos[REGISTER_B] &= ~(B_PERIODIC | B_ALARM | B_UPDATE | 8)
    s.cmos[REGISTER_C] = 0
    this.#update()
  }

  restored(): void {
    this.#update()
  }

  /** Connects the interrupt to IRQ 8, or not: the HPET's legacy replacement takes the wire. */
  connect(connected: boolean): void {
    this.#connected = connected
    this.#update()
  }

  readByte(port: number): number {
    const s = this.state
    if (port === INDEX) return s.index
    if (s.index === REGISTER_A) {
      const updating = !s.held && this.#time() % 1000 >= 1000 - UPDATE_MILLISECONDS
      return s.cmos[REGISTER_A] | (updating ? A_UPDATE_IN_PROGRESS : 0)
    }
    if (s.index === REGISTER_C) {
      this.#update()
      const flags = s.cmos[REGISTER_C]
      s.cmos[REGISTER_C] = 0
      this.#update()
      return flags
    }
    if (!s.held && TIME_REGISTERS.includes(s.index)) this.#calendar()
    return s.cmos[s.index]
  }

  writeByte(port: number, value: number): void {
    const s = this.state
    if (port !== DATA) {
      // Bit 7 masks NMIs, of which there are none.
      s.index = value & 0x7f
      return
    }
    // What has happened so far happened under the old settings.
    this.#update()
    switch (s.index) {
      case REGISTER_A:
      case REGISTER_B: {
        const wasReset = this.#dividerReset()
        if (s.index === REGISTER_A) s.cmos[REGISTER_A] = value & 0x7f
        else s.cmos[REGISTER_B] = value & B_SET ? value & ~B_UPDATE : value
        this.#hold(wasReset)
        s.seenPeriod = this.#period()
        break
      }
      case REGISTER_C:
      case REGISTER_D:
        break
      default:
        if (TIME_REGISTERS.includes(s.index)) {
          if (!s.held) this.#calendar()
          s.cmos[s.index] = value
          if (!s.held) this.#setTime(this.#time() % 1000)
        } else s.cmos[s.index] = value
    }
    this.#update()
  }

  /** Guest time in milliseconds since the Unix epoch. */
  #time(): number {
    return this.#clock.wallTime() + this.state.offset
  }

  #second(): number {
    return Math.floor(this.#time() / 1000)
  }

  #dividerReset(): boolean {
    return (this.state.cmos[REGISTER_A] & A_DIVIDER_RESET) === A_DIVIDER_RESET
  }

  /** Stops the time into its registers, or lets it go on from them. */
  #hold(wasReset: boolean): void {
    const s = this.state
    const held = (s.cmos[REGISTER_B] & B_SET) !== 0 || this.#dividerReset()
    if (held && !s.held) this.#calendar()
    // The first update comes half a second after the divider is let go.
    else if (!held && s.held) this.#setTime(wasReset ? 500 : this.#time() % 1000)
    s.held = held
  }

  #encode(value: number): number {
    return this.state.cmos[REGISTER_B] & B_BINARY ? value : toBcd(value)
  }

  #decode(value: number): number {
    return this.state.cmos[REGISTER_B] & B_BINARY ? value : fromBcd(value)
  }

  #decodeHours(value: number): number {
    if (this.state.cmos[REGISTER_B] & B_24_HOURS) return this.#decode(value)
    return (this.#decode(value & 0x7f) % 12) + (value & HOURS_PM ? 12 : 0)
  }

  /** Writes the present time into its registers. */
  #calendar(): void {
    const { cmos } = this.state
    const now = new Date(this.#time())
    const hours = now.getUTCHours()
    cmos[SECONDS] = this.#encode(now.getUTCSeconds())
    cmos[MINUTES] = this.#encode(now.getUTCMinutes())
    cmos[HOURS] =
      cmos[REGISTER_B] & B_24_HOURS
        ? this.#encode(hours)
        : this.#encode(hours % 12 || 12) | (hours >= 12 ? HOURS_PM : 0)
    cmos[DAY_OF_WEEK] = this.#encode(now.getUTCDay() + 1)
    cmos[DATE] = this.#encode(now.getUTCDate())
    cmos[MONTH] = this.#encode(now.getUTCMonth() + 1)
    cmos[YEAR] = this.#encode(now.getUTCFullYear() % 100)
    cmos[CMOS_CENTURY] = this.#encode(Math.floor(now.getUTCFullYear() / 100))
  }

  /** Makes the registers the present time, at `milliseconds` within their second. */
  #setTime(milliseconds: number): void {
    const s = this.state
    const { cmos } = s
    const year = this.#decode(cmos[CMOS_CENTURY]) * 100 + this.#decode(cmos[YEAR])
    const time = new Date(0)
    time.setUTCFullYear(year, this.#decode(cmos[MONTH]) - 1, this.#decode(cmos[DATE]))
    time.setUTCHours(this.#decodeHours(cmos[HOURS]), this.#decode(cmos[MINUTES]), this.#decode(cmos[SECONDS]))
    s.offset = time.getTime() + milliseconds - this.#clock.wallTime()
    s.seenSecond = this.#second()
  }

  /** Ticks of the 32.768 kHz crystal between periodic interrupts, or 0 for none. */
  #periodTicks(): number {
    const rate = this.state.cmos[REGISTER_A] & A_RATE
    if (rate === 0 || (this.state.cmos[REGISTER_A] & A_DIVIDER) >= A_DIVIDER_RESET) return 0
    return 1 << (rate <= 2 ? rate + 6 : rate - 1)
  }

  #period(): number {
    const ticks = this.#periodTicks()
    return ticks === 0 ? 0 : Math.floor(RTC_RATE.at(this.#clock.now()) / ticks)
  }

  /** The first second after `second` that the alarm registers match, or undefined. */
  #nextAlarm(second: number): number | undefined {
    const { cmos } = this.state
    const field = (register: number, decode: (value: number) => number, limit: number) => {
      if (cmos[register] >= ALARM_ANY) return { first: 0, last: limit - 1 }
      const value = decode(cmos[register])
      return { first: value, last: value < limit ? value : -1 }
    }
    const hours = field(HOURS_ALARM, value => this.#decodeHours(value), 24)
    const minutes = field(MINUTES_ALARM, value => this.#decode(value), 60)
    const seconds = field(SECONDS_ALARM, value => this.#decode(value), 60)
    const midnight = Math.floor((second + 1) / DAY) * DAY
    const from = second + 1 - midnight
    for (let h = hours.first; h <= hours.last; h++) {
      if (h * 3600 + 3599 < from) continue
      for (let m = minutes.first; m <= minutes.last; m++) {
        if (h * 3600 + m * 60 + 59 < from) continue
        const s = Math.max(seconds.first, from - h * 3600 - m * 60)
        if (s <= seconds.last) return midnight + h * 3600 + m * 60 + s
      }
    }
    const valid = hours.last >= 0 && minutes.last >= 0 && seconds.last >= 0
    return valid ? midnight + DAY + hours.first * 3600 + minutes.first * 60 + seconds.first : undefined
  }

  /** Turns what has happened into flags, drives the line and sets the timer for what may interrupt next. */
  #update(): void {
    const s = this.state
    const { cmos } = s
    const now = this.#clock.now()
    let flags = cmos[REGISTER_C] & C_FLAGS
    const period = this.#period()
    if (period > s.seenPeriod) flags |= B_PERIODIC
    s.seenPeriod = period
    const second = this.#second()
    let alarm: number | undefined
    if (!s.held) {
      alarm = this.#nextAlarm(s.seenSecond)
      if (second > s.seenSecond) flags |= B_UPDATE
      if (alarm !== undefined && alarm <= second) {
        flags |= B_ALARM
        alarm = this.#nextAlarm(second)
      }
    }
    s.seenSecond = second
    const enabled = cmos[REGISTER_B] & C_FLAGS
    const interrupt = (flags & enabled) !== 0
    cmos[REGISTER_C] = withBit(flags, C_INTERRUPT, interrupt)
    this.#line.set(this.#connected && interrupt)

    let next = Infinity
    const waits = enabled & ~flags
    const ticks = this.#periodTicks()
    if (waits & B_PERIODIC && ticks > 0) next = RTC_RATE.timeOf((period + 1) * ticks)
    if (!s.held) {
      // A microsecond more, as wall time has no more digits than that.
      const until = (to: number) => now + (to * 1000 - this.#time()) * 1e6 + 1000
      if (waits & B_UPDATE) next = Math.min(next, until(second + 1))
      if (waits & B_ALARM && alarm !== undefined) next = Math.min(next, until(alarm))
    }
    if (interrupt || next === Infinity) this.#timer.cancel()
    else this.#timer.arm(next)
  }
}
