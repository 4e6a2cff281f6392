import type { Bus, Device, PortRegion, Timer } from './bus.ts'
import { byteRegisters } from './registers.ts'

/** Where the registers are behind the power management base, and how many bytes (ICH9 data sheet, 13.9). */
export const TCO_OFFSET = 0x60
const TCO_LENGTH = 0x20

const TCO_RLD = 0x00
const TCO_DAT_IN = 0x02
const TCO_DAT_OUT = 0x03
const TCO1_STS = 0x04
const TCO2_STS = 0x06
const TCO1_CNT = 0x08
const TCO2_CNT = 0x0a
const TCO_MESSAGE1 = 0x0c
const TCO_WDCNT = 0x0e
const SW_IRQ_GEN = 0x10
const TCO_TMR = 0x12

const TIMEOUT = 0x08
const TCO1_STS_BITS = 0x2f8f
const SECOND_TO_STS = 0x02
const TCO2_STS_BITS = 0x1f
const TCO_LOCK = 0x1000
const TCO_TMR_HALT = 0x0800
const TMR_BITS = 0x3ff
/** A tick of the timer, in nanoseconds. */
const TICK = 600_000_000
const LEAST_TICKS = 4

interface TcoState {
  /** What the timer is set to, in ticks, and guest time at which it was. */
  loaded: number
  since: number
  /** Ticks left, while it is halted. */
  left: number
  status: [number, number]
  control: [number, number]
  timer: number
  /** Registers that remember: data in and out, messages, counter, software interrupt. */
  bytes: number[]
}

/** What the timer does. */
export interface TcoOptions {
  /** It ran out twice. */
  onReset(): void
  /** Whether the chipset's NO_REBOOT bit keeps that from resetting the machine. */
  noReboot(): boolean
}

/**
 * The watchdog of the ICH9 ("total cost of ownership" timer): it counts down unless a system reloads it, and the second time that
 * it runs out resets the machine. It is halted until somebody starts it.
 */
export class TcoWatchdog implements Device {
  readonly name = 'tco'
  readonly version = 1
  state: TcoState = initial()
  readonly #bus: Bus
  readonly #options: TcoOptions
  readonly #alarm: Timer
  readonly #region: PortRegion
  #base = 0

  constructor(bus: Bus, options: TcoOptions) {
    this.#bus = bus
    this.#options = options
    this.#alarm = bus.clock.timer(() => this.#runOut())
    this.#region = bus.ports(undefined, TCO_LENGTH, {
      readPort: (port, size) => this.#bytes.readPort(port - this.#base, size),
      writePort: (port, size, value) => {
        const offset = port - this.#base
        // Words are written as wholes.
        if (size === 2 && (offset & 1) === 0) this.#writeWord(offset, value & 0xffff)
        else this.#bytes.writePort(offset, size, value)
      },
    })
  }

  /** Moves with the power management base, or undefined while that is off. */
  move(base: number | undefined): void {
    this.#base = (base ?? 0) + TCO_OFFSET
    this.#region.move(base === undefined ? undefined : this.#base)
  }

  reset(): void {
    // What happened stays to be seen: SECOND_TO_STS is in the battery's well.
    const [, second] = this.state.status
    this.state = initial()
    this.state.status[1] = second & SECOND_TO_STS
    this.#alarm.cancel()
  }

  restored(): void {
    this.#arm()
  }

  readonly #bytes = byteRegisters(0, TCO_LENGTH, {
    readByte: offset => (this.#readWord(offset & ~1) >> (8 * (offset & 1))) & 0xff,
    writeByte: (offset, value) => {
      const shift = 8 * (offset & 1)
      const word = offset & ~1
      // Bits that writing clears are not to be written back.
      const old = word === TCO1_STS || word === TCO2_STS ? 0 : this.#readWord(word)
      this.#writeWord(word, (old & ~(0xff << shift)) | (value << shift))
    },
  })

  get #halted(): boolean {
    return (this.state.control[0] & TCO_TMR_HALT) !== 0
  }

  #left(): number {
    const s = this.state
    if (this.#halted) return s.left
    return Math.max(0, s.loaded - Math.floor((this.#bus.clock.now() - s.since) / TICK))
  }

  #load(ticks: number): void {
    const s = this.state
    s.loaded = ticks
    s.left = ticks
    s.since = this.#bus.clock.now()
    this.#arm()
  }

  #arm(): void {
    if (this.#halted) this.#alarm.cancel()
    else this.#alarm.arm(this.state.since + this.state.loaded * TICK)
  }

  #runOut(): void {
    const s = this.state
    const again = (s.status[0] & TIMEOUT) !== 0
    s.status[0] |= TIMEOUT
    this.#load(Math.max(LEAST_TICKS, s.timer))
    if (!again) return
    s.status[1] |= SECOND_TO_STS
    if (!this.#options.noReboot()) this.#options.onReset()
  }

  #readWord(offset: number): number {
    const s = this.state
    switch (offset) {
      case TCO_RLD:
        return this.#left() & TMR_BITS
      case TCO1_STS:
        return s.status[0]
      case TCO2_STS:
        return s.status[1]
      case TCO1_CNT:
        return s.control[0]
      case TCO2_CNT:
        return s.control[1]
      case TCO_TMR:
        return s.timer
      default:
        return s.bytes[offset] | (s.bytes[offset + 1] << 8)
    }
  }

  #writeWord(offset: number, value: number): void {
    const s = this.state
    switch (offset) {
      case TCO_RLD:
        // Any write is one; it also takes back the first time that the timer ran out.
        s.status[0] &= ~TIMEOUT
        this.#load(Math.max(LEAST_TICKS, s.timer))
        break
      case TCO1_STS:
        s.status[0] &= ~(value & TCO1_STS_BITS)
        break
      case TCO2_STS:
        s.status[1] &= ~(value & TCO2_STS_BITS)
        break
      case TCO1_CNT: {
        const left = this.#left()
        s.control[0] = (value & (TCO_TMR_HALT | 0x0301)) | ((s.control[0] | value) & TCO_LOCK)
        this.#load(left)
        break
      }
      case TCO2_CNT:
        s.control[1] = value & 0x3f
        break
      case TCO_TMR:
        s.timer = value & TMR_BITS
        break
      case TCO_DAT_IN:
      case TCO_MESSAGE1:
      case TCO_WDCNT:
      case SW_IRQ_GEN:
        s.bytes[offset] = value & 0xff
        if (offset + 1 !== TCO_DAT_OUT) s.bytes[offset + 1] = value >> 8
        break
    }
  }
}

function initial(): TcoState {
  return {
    loaded: LEAST_TICKS,
    since: 0,
    left: LEAST_TICKS,
    status: [0, 0],
    control: [TCO_TMR_HALT, 8],
    timer: LEAST_TICKS,
    bytes: new Array(TCO_LENGTH).fill(0),
  }
}
