/** A PS/2 keyboard with 105 keys: scan code sets 1 to 3, typematic, LEDs (IBM PS/2 Hardware Interface Technical Reference). */
import type { Clock, Timer } from '../bus.ts'
import { ACKNOWLEDGE, type Ps2Device, type Ps2Port, RESEND, SELF_TEST_PASSED } from './device.ts'
import { KEYS, type KeyType, type Modifiers, scanCodes } from './scan-codes.ts'

/** Bytes that a keyboard keeps for a controller that does not take them. */
const BUFFER = 16
const IDENTIFICATION = [0xab, 0x83]
const ECHO = 0xee
/** What overflow looks like in set 1, and in the others. */
const OVERFLOW_SET_1 = 0xff
const OVERFLOW = 0
/** Half a second, and 10.9 keys a second. */
const DEFAULT_TYPEMATIC = 0x2b
const MILLISECOND = 1_000_000
/** How long its self-test takes: drivers wait for it, and some send the next command too early where there is none. */
const SELF_TEST_TIME = 3 * MILLISECOND

const COMMAND = {
  SET_LEDS: 0xed,
  ECHO: 0xee,
  SCAN_CODE_SET: 0xf0,
  IDENTIFY: 0xf2,
  TYPEMATIC: 0xf3,
  ENABLE: 0xf4,
  DEFAULT_DISABLE: 0xf5,
  SET_DEFAULT: 0xf6,
  ALL_TYPEMATIC: 0xf7,
  ALL_MAKE_BREAK: 0xf8,
  ALL_MAKE: 0xf9,
  ALL_TYPEMATIC_MAKE_BREAK: 0xfa,
  KEY_TYPEMATIC: 0xfb,
  KEY_MAKE_BREAK: 0xfc,
  KEY_MAKE: 0xfd,
  RESEND: 0xfe,
  RESET: 0xff,
} as const

/** What the commands for all keys, and those for single keys, make of them. */
const TYPE_OF: Readonly<Record<number, KeyType>> = {
  [COMMAND.ALL_TYPEMATIC]: 'typematic',
  [COMMAND.ALL_MAKE_BREAK]: 'make-break',
  [COMMAND.ALL_MAKE]: 'make',
  [COMMAND.ALL_TYPEMATIC_MAKE_BREAK]: 'typematic-break',
  [COMMAND.KEY_TYPEMATIC]: 'typematic',
  [COMMAND.KEY_MAKE_BREAK]: 'make-break',
  [COMMAND.KEY_MAKE]: 'make',
}

interface KeyboardState {
  scanning: boolean
  set: number
  leds: number
  typematic: number
  /** The command whose argument is due, or 0. */
  command: number
  bytes: number[]
  /** The last byte sent, for RESEND. */
  last: number
  /** Keys that are down, in the order in which they were pressed. */
  down: string[]
  /** How keys report in set 3, where it is not their usual way, by their code there. */
  types: Record<number, KeyType>
  /** When its self-test ends, or -1. */
  testing: number
  /** The key that repeats, and when it does so next. */
  repeating: string
  repeatAt: number
}

/** Lights of a keyboard. */
export interface Leds {
  scroll: boolean
  num: boolean
  caps: boolean
}

/** A keyboard. */
export class Ps2Keyboard implements Ps2Device {
  state: KeyboardState
  readonly #port: Ps2Port
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #testTimer: Timer

  constructor(clock: Clock, port: Ps2Port) {
    this.#port = port
    this.#clock = clock
    this.#timer = clock.timer(() => this.#repeat())
    this.#testTimer = clock.timer(() => this.#tested())
    this.state = initial()
  }

  reset(): void {
    const { down } = this.state
    this.state = { ...initial(), down, bytes: [SELF_TEST_PASSED] }
    this.#timer.cancel()
    this.#testTimer.cancel()
    this.#port.onReady()
  }

  restored(): void {
    const { repeating, repeatAt, testing } = this.state
    if (repeating !== '') this.#timer.arm(repeatAt)
    else this.#timer.cancel()
    if (testing >= 0) this.#testTimer.arm(testing)
    else this.#testTimer.cancel()
  }

  get leds(): Leds {
    const { leds } = this.state
    return { scroll: (leds & 1) !== 0, num: (leds & 2) !== 0, caps: (leds & 4) !== 0 }
  }

  get ready(): boolean {
    return this.state.bytes.length > 0
  }

  take(): number {
    const byte = this.state.bytes.shift()!
    this.state.last = byte
    return byte
  }

  /** A key goes down. Unknown ones, and those that are down, do nothing. */
  press(name: string): void {
    const { down } = this.state
    if (!KEYS.has(name) || down.includes(name)) return
    down.push(name)
    this.#report(name, true)
    if (name === 'Pause') return
    const { typematic } = this.state
    this.#repeatFrom(name, ((typematic >> 5) + 1) * 250 * MILLISECOND)
  }

  /** A key goes up. */
  release(name: string): void {
    const { down } = this.state
    const at = down.indexOf(name)
    if (at < 0) return
    down.splice(at, 1)
    if (this.state.repeating === name) this.#stopRepeating()
    this.#report(name, false)
  }

  #repeatFrom(name: string, after: number): void {
    this.state.repeating = name
    this.state.repeatAt = this.#clock.now() + after
    this.#timer.arm(this.state.repeatAt)
  }

  #stopRepeating(): void {
    this.state.repeating = ''
    this.#timer.cancel()
  }

  #repeat(): void {
    const { repeating, typematic, down } = this.state
    if (!down.includes(repeating)) return
    // Nobody takes the keys: none is lost by repeating one.
    if (this.state.bytes.length === 0) this.#report(repeating, true)
    const period = (8 + (typematic & 7)) * 2 ** ((typematic >> 3) & 3) * 4.17 * MILLISECOND
    this.#repeatFrom(repeating, period)
  }

  #modifiers(): Modifiers {
    const { down } = this.state
    return {
      control: down.includes('ControlLeft') || down.includes('ControlRight'),
      shift: down.includes('ShiftLeft') || down.includes('ShiftRight'),
      alt: down.includes('AltLeft') || down.includes('AltRight'),
    }
  }

  /** Sends a key, unless the guest has not asked for keys. */
  #report(name: string, pressed: boolean): void {
    const { scanning, set, bytes, types, repeating } = this.state
    if (!scanning) return
    const key = KEYS.get(name)!
    if (set === 3) {
      const type = types[key.set3] ?? key.type
      const again = pressed && repeating === name
      if (!pressed && (type === 'make' || type === 'typematic')) return
      if (again && (type === 'make' || type === 'make-break')) return
    }
    const codes = scanCodes(set, name, key, pressed, this.#modifiers())
    if (bytes.length + codes.length > BUFFER) {
      const overflow = set === 1 ? OVERFLOW_SET_1 : OVERFLOW
      if (bytes.at(-1) !== overflow) bytes.push(overflow)
    } else bytes.push(...codes)
    this.#port.onReady()
  }

  write(byte: number): void {
    const s = this.state
    const { command } = s
    s.command = 0
    // What it was about to say is forgotten for a command.
    if (byte !== COMMAND.RESEND) s.bytes = []
    // A command in place of an argument is a command.
    if (command !== 0 && byte < (command >= COMMAND.KEY_TYPEMATIC ? 0xe0 : 0x80)) this.#argument(command, byte)
    else this.#command(byte)
    this.#port.onReady()
  }

  #command(byte: number): void {
    const s = this.state
    switch (byte) {
      case COMMAND.SET_LEDS:
      case COMMAND.SCAN_CODE_SET:
      case COMMAND.TYPEMATIC:
      case COMMAND.KEY_TYPEMATIC:
      case COMMAND.KEY_MAKE_BREAK:
      case COMMAND.KEY_MAKE:
        s.command = byte
        this.#answer(ACKNOWLEDGE)
        break
      case COMMAND.ECHO:
        this.#answer(ECHO)
        break
      case COMMAND.IDENTIFY:
        this.#answer(ACKNOWLEDGE, ...IDENTIFICATION)
        break
      case COMMAND.ENABLE:
        s.scanning = true
        this.#answer(ACKNOWLEDGE)
        break
      case COMMAND.DEFAULT_DISABLE:
      case COMMAND.SET_DEFAULT:
        s.typematic = DEFAULT_TYPEMATIC
        s.set = 2
        s.types = {}
        s.scanning = byte === COMMAND.SET_DEFAULT
        this.#stopRepeating()
        this.#answer(ACKNOWLEDGE)
        break
      case COMMAND.ALL_TYPEMATIC:
      case COMMAND.ALL_MAKE_BREAK:
      case COMMAND.ALL_MAKE:
      case COMMAND.ALL_TYPEMATIC_MAKE_BREAK:
        for (const { set3 } of KEYS.values()) s.types[set3] = TYPE_OF[byte]
        this.#answer(ACKNOWLEDGE)
        break
      case COMMAND.RESEND:
        s.bytes.unshift(s.last)
        break
      case COMMAND.RESET:
        this.#reset()
        break
      default:
        this.#answer(RESEND)
    }
  }

  #argument(command: number, byte: number): void {
    const s = this.state
    if (command === COMMAND.SET_LEDS) s.leds = byte & 7
    else if (command === COMMAND.TYPEMATIC) s.typematic = byte & 0x7f
    else if (command === COMMAND.SCAN_CODE_SET) {
      if (byte > 3) {
        s.command = command
        this.#answer(RESEND)
        return
      }
      if (byte === 0) {
        this.#answer(ACKNOWLEDGE, s.set)
        return
      }
      s.set = byte
    } else {
      // More keys may follow, until a command comes.
      s.types[byte] = TYPE_OF[command]
      s.command = command
    }
    this.#answer(ACKNOWLEDGE)
  }

  /** Its own reset, which is heard of when it is done. */
  #reset(): void {
    this.state = { ...initial(), down: this.state.down, testing: this.#clock.now() + SELF_TEST_TIME }
    this.#timer.cancel()
    this.#answer(ACKNOWLEDGE)
    this.#testTimer.arm(this.state.testing)
  }

  #tested(): void {
    this.state.testing = -1
    this.#answer(SELF_TEST_PASSED)
    this.#port.onReady()
  }

  #answer(...bytes: number[]): void {
    this.state.bytes.push(...bytes)
  }
}

function initial(): KeyboardState {
  return {
    scanning: true,
    set: 2,
    leds: 0,
    typematic: DEFAULT_TYPEMATIC,
    command: 0,
    bytes: [],
    last: 0,
    down: [],
    types: {},
    testing: -1,
    repeating: '',
    repeatAt: 0,
  }
}
