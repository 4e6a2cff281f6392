/**
 * A PS/2 mouse with three or five buttons and a wheel: the standard one until its driver knocks for IntelliMouse (sample rates
 * 200, 100, 80) or IntelliMouse Explorer (200, 200, 80).
 */
import type { Clock, Timer } from '../bus.ts'
import { ACKNOWLEDGE, type Ps2Device, type Ps2Port, RESEND, SELF_TEST_PASSED } from './device.ts'

const COMMAND = {
  SCALING_1: 0xe6,
  SCALING_2: 0xe7,
  RESOLUTION: 0xe8,
  STATUS: 0xe9,
  STREAM: 0xea,
  READ: 0xeb,
  RESET_WRAP: 0xec,
  WRAP: 0xee,
  REMOTE: 0xf0,
  IDENTIFY: 0xf2,
  SAMPLE_RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  RESEND: 0xfe,
  RESET: 0xff,
} as const

/** What it says it is. */
const STANDARD = 0
const INTELLIMOUSE = 3
const EXPLORER = 4
const KNOCKS = [
  { rates: [200, 100, 80], id: INTELLIMOUSE },
  { rates: [200, 200, 80], id: EXPLORER },
] as const

const RATES = [10, 20, 40, 60, 80, 100, 200]
const SECOND = 1e9
/** Motion that is not reported yet is at most this: whoever pushes a mouse that nobody reads does not push a counter for ever. */
const MOST_MOTION = 4096

interface MouseState {
  mode: 'stream' | 'remote'
  wrap: boolean
  reporting: boolean
  scaling: boolean
  resolution: number
  rate: number
  id: number
  /** The last three sample rates. */
  rates: number[]
  /** The command whose argument is due, or 0. */
  command: number
  bytes: number[]
  last: number[]
  buttons: number
  reportedButtons: number
  dx: number
  dy: number
  dz: number
  /** When the next report may be sent. */
  next: number
}

/** A mouse. */
export class Ps2Mouse implements Ps2Device {
  state: MouseState
  readonly #port: Ps2Port
  readonly #clock: Clock
  readonly #timer: Timer

  constructor(clock: Clock, port: Ps2Port) {
    this.#port = port
    this.#clock = clock
    this.#timer = clock.timer(() => this.#stream())
    this.state = initial()
  }

  reset(): void {
    this.state = { ...initial(), bytes: [SELF_TEST_PASSED, STANDARD] }
    this.#timer.cancel()
    this.#port.onReady()
  }

  restored(): void {
    this.#stream()
  }

  get ready(): boolean {
    return this.state.bytes.length > 0
  }

  take(): number {
    const byte = this.state.bytes.shift()!
    if (this.state.bytes.length === 0) this.#stream()
    return byte
  }

  /** Whether its driver takes motion as it comes. */
  get listened(): boolean {
    return this.state.reporting
  }

  /** Moves; right and down are positive. The wheel's `dz` is positive towards the user. */
  move(dx: number, dy: number, dz = 0): void {
    const s = this.state
    const bound = (value: number) => Math.max(-MOST_MOTION, Math.min(MOST_MOTION, value))
    s.dx = bound(s.dx + Math.trunc(dx) || 0)
    s.dy = bound(s.dy - Math.trunc(dy) || 0)
    s.dz = bound(s.dz + Math.trunc(dz) || 0)
    this.#stream()
  }

  /** Presses or releases a button: 0 left, 1 right, 2 middle, 3 and 4 at the side. */
  button(number: number, pressed: boolean): void {
    const mask = 1 << number
    const { buttons } = this.state
    // A click must not be over before it is reported.
    if (buttons !== this.state.reportedButtons && this.#reports()) this.#packet()
    this.state.buttons = pressed ? buttons | mask : buttons & ~mask
    this.#stream()
  }

  /** Reports that nothing moved, so that a driver looks where VMware's pointer is. */
  poke(): void {
    if (!this.#reports() || this.state.bytes.length > 0) return
    this.#packet()
    this.#port.onReady()
  }

  #reports(): boolean {
    const { mode, reporting, wrap, bytes } = this.state
    return mode === 'stream' && reporting && !wrap && bytes.length < 16
  }

  /** Reports what there is to report, no oftener than the sample rate and one report after another. */
  #stream(): void {
    const s = this.state
    if (!this.#reports() || s.bytes.length > 0) return
    if (s.dx === 0 && s.dy === 0 && s.dz === 0 && s.buttons === s.reportedButtons) return
    const now = this.#clock.now()
    if (now < s.next) {
      this.#timer.arm(s.next)
      return
    }
    s.next = now + SECOND / s.rate
    this.#packet()
    this.#port.onReady()
  }

  /** A report of motion since the last one, as much of it as fits. */
  #packet(): void {
    const s = this.state
    const take = (value: number, least: number, most: number) => Math.max(least, Math.min(most, value))
    const dx = take(s.dx, -255, 255)
    const dy = take(s.dy, -255, 255)
    const dz = take(s.dz, -8, 7)
    s.dx -= dx
    s.dy -= dy
    s.dz = s.id === STANDARD ? 0 : s.dz - dz
    s.reportedButtons = s.buttons
    const [x, y] = s.scaling && s.mode === 'stream' ? [scaled(dx), scaled(dy)] : [dx, dy]
    const bytes = [(s.buttons & 7) | 8 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0), x & 0xff, y & 0xff]
    if (s.id === INTELLIMOUSE) bytes.push(dz & 0xff)
    else if (s.id === EXPLORER) bytes.push((dz & 15) | ((s.buttons & 0x18) << 1))
    s.last = bytes
    s.bytes.push(...bytes)
  }

  write(byte: number): void {
    const s = this.state
    if (byte !== COMMAND.RESEND) s.bytes = []
    if (s.wrap && byte !== COMMAND.RESET && byte !== COMMAND.RESET_WRAP) this.#answer(byte)
    else if (s.command !== 0) this.#argument(byte)
    else this.#command(byte)
    this.#port.onReady()
  }

  #argument(byte: number): void {
    const s = this.state
    const { command } = s
    s.command = 0
    if (command === COMMAND.RESOLUTION) {
      if (byte > 3) {
        this.#refuse(command)
        return
      }
      s.resolution = byte
    } else {
      if (!RATES.includes(byte)) {
        this.#refuse(command)
        return
      }
      s.rate = byte
      s.rates = [...s.rates, byte].slice(-3)
      for (const { rates, id } of KNOCKS) if (rates.every((rate, i) => rate === s.rates[i])) s.id = id
    }
    this.#answer(ACKNOWLEDGE)
  }

  /** An argument that it does not know: it waits for another one. */
  #refuse(command: number): void {
    this.state.command = command
    this.#answer(RESEND)
  }

  #command(byte: number): void {
    const s = this.state
    switch (byte) {
      case COMMAND.SCALING_1:
      case COMMAND.SCALING_2:
        s.scaling = byte === COMMAND.SCALING_2
        break
      case COMMAND.RESOLUTION:
      case COMMAND.SAMPLE_RATE:
        s.command = byte
        break
      case COMMAND.STATUS:
        this.#answer(ACKNOWLEDGE, this.#status(), s.resolution, s.rate)
        return
      case COMMAND.STREAM:
        s.mode = 'stream'
        this.#forget()
        break
      case COMMAND.READ:
        this.#answer(ACKNOWLEDGE)
        this.#packet()
        return
      case COMMAND.RESET_WRAP:
        s.wrap = false
        break
      case COMMAND.WRAP:
        s.wrap = true
        break
      case COMMAND.REMOTE:
        s.mode = 'remote'
        this.#forget()
        break
      case COMMAND.IDENTIFY:
        this.#answer(ACKNOWLEDGE, s.id)
        return
      case COMMAND.ENABLE:
      case COMMAND.DISABLE:
        s.reporting = byte === COMMAND.ENABLE
        this.#forget()
        break
      case COMMAND.DEFAULTS:
        this.state = { ...initial(), id: s.id, buttons: s.buttons, reportedButtons: s.reportedButtons }
        break
      case COMMAND.RESEND:
        s.bytes.push(...s.last)
        return
      case COMMAND.RESET:
        this.state = { ...initial(), buttons: s.buttons, bytes: [ACKNOWLEDGE, SELF_TEST_PASSED, STANDARD] }
        return
      default:
        this.#answer(RESEND)
        return
    }
    this.#answer(ACKNOWLEDGE)
  }

  /** Motion that nobody asked for is not told later. */
  #forget(): void {
    const s = this.state
    s.dx = s.dy = s.dz = 0
  }

  #status(): number {
    const { buttons, scaling, reporting, mode } = this.state
    const order = (buttons & 1 ? 4 : 0) | (buttons & 4 ? 2 : 0) | (buttons & 2 ? 1 : 0)
    return order | (scaling ? 0x10 : 0) | (reporting ? 0x20 : 0) | (mode === 'remote' ? 0x40 : 0)
  }

  #answer(...bytes: number[]): void {
    this.state.last = bytes
    this.state.bytes.push(...bytes)
  }
}

/** Motion at a scaling of 2:1. */
function scaled(value: number): number {
  const size = Math.abs(value)
  const bent = size > 5 ? Math.min(size * 2, 255) : [0, 1, 1, 3, 6, 9][size]
  return value < 0 ? -bent : bent
}

function initial(): MouseState {
  return {
    mode: 'stream',
    wrap: false,
    reporting: false,
    scaling: false,
    resolution: 2,
    rate: 100,
    id: STANDARD,
    rates: [],
    command: 0,
    bytes: [],
    last: [],
    buttons: 0,
    reportedButtons: 0,
    dx: 0,
    dy: 0,
    dz: 0,
    next: 0,
  }
}
