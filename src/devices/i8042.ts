/** The keyboard controller with its two ports (Intel 8042 as programmed for the IBM PC/AT and PS/2). */
import type { Bus, Device, InterruptLine, Timer } from './bus.ts'
import type { Ps2Device } from './ps2/device.ts'
import { Ps2Keyboard } from './ps2/keyboard.ts'
import { Ps2Mouse } from './ps2/mouse.ts'
import { translate } from './ps2/scan-codes.ts'
import { attachBytes, withBit } from './registers.ts'

const DATA = 0x60
const COMMAND_STATUS = 0x64

const STATUS_OUTPUT_FULL = 1
const STATUS_SYSTEM = 4
const STATUS_COMMAND = 8
const STATUS_UNLOCKED = 0x10
const STATUS_AUX = 0x20
const STATUS_TIMEOUT = 0x40

const CONFIG_KEYBOARD_INTERRUPT = 1
const CONFIG_AUX_INTERRUPT = 2
const CONFIG_SYSTEM = 4
const CONFIG_KEYBOARD_DISABLED = 0x10
const CONFIG_AUX_DISABLED = 0x20
const CONFIG_TRANSLATE = 0x40

const OUTPUT_PORT_NOT_RESET = 1
const OUTPUT_PORT_A20 = 2

const SELF_TEST_PASSED = 0x55
const TEST_PASSED = 0
/** "Clock line stuck low": there is nothing at the port. */
const TEST_CLOCK_STUCK = 1
/** What the controller gives for a device that does not answer, together with the timeout status. */
const RESEND = 0xfe
/** The break prefix of what a keyboard sends, which translation makes the high bit of the next byte. */
const BREAK = 0xf0
/**
 * How long a byte of a device is on its way: nanoseconds, half of what the wire takes. Old programs read a key twice, their
 * own handler and then the BIOS's: the next must not be there yet.
 */
const BYTE_TIME = 500_000
/** Where an output byte comes from. */
const FROM_CONTROLLER = 0
const FROM_AUX = 2

/** What the controller's output port is wired to, and what is plugged in. */
export interface I8042Options {
  /** The guest pulsed the reset line. */
  onReset(): void
  /** The guest wrote the A20 gate. */
  onA20?(enabled: boolean): void
  /** Whether there are a keyboard and a mouse. */
  devices?: boolean
}

interface I8042State {
  /** The controller's command byte. */
  config: number
  outputPort: number
  /** The byte in the output buffer; it stays readable until another takes its place. */
  output: number
  /** The byte was not read yet. */
  full: boolean
  /** It came from the auxiliary port. */
  aux: boolean
  /** It stands for a device that did not answer. */
  timeout: boolean
  /** The command whose data byte is due, or -1. */
  command: number
  /** The last write went to the command port. */
  commandLast: boolean
  /** The keyboard's last byte was the break prefix. */
  breaking: boolean
  /** When the byte that is on its way arrives, or -1. */
  arrival: number
  /** The controller's memory behind commands 21h–3fh and 61h–7fh. */
  memory: number[]
  /** What is plugged in. */
  keyboard: object | undefined
  mouse: object | undefined
}

/**
 * A keyboard controller. Every command that answers does so at once; a byte for a device that is absent comes back as a
 * timeout, so that no driver waits.
 */
export class I8042 implements Device {
  readonly name = 'i8042'
  readonly version = 2
  /** What is plugged in. */
  readonly keyboard: Ps2Keyboard | undefined
  readonly mouse: Ps2Mouse | undefined
  #state: I8042State
  readonly #options: I8042Options
  readonly #keyboardLine: InterruptLine
  readonly #auxLine: InterruptLine
  readonly #bus: Bus
  readonly #timer: Timer

  /** @throws if port 60h or 64h is taken. */
  constructor(bus: Bus, options: I8042Options) {
    this.#bus = bus
    this.#options = options
    this.#keyboardLine = bus.interrupt(1)
    this.#auxLine = bus.interrupt(12)
    this.#timer = bus.clock.timer(() => this.#arrive())
    if (options.devices) {
      this.keyboard = new Ps2Keyboard(bus.clock, { onReady: () => this.#await() })
      this.mouse = new Ps2Mouse(bus.clock, { onReady: () => this.#await() })
    }
    this.#state = this.#initial()
    attachBytes(bus, DATA, 1, this)
    attachBytes(bus, COMMAND_STATUS, 1, this)
  }

  get state(): I8042State {
    return { ...this.#state, keyboard: this.keyboard?.state, mouse: this.mouse?.state }
  }
  set state(state: I8042State) {
    this.#state = state
    if (this.keyboard && state.keyboard) this.keyboard.state = state.keyboard as Ps2Keyboard['state']
    if (this.mouse && state.mouse) this.mouse.state = state.mouse as Ps2Mouse['state']
  }

  #initial(): I8042State {
    return {
      config: CONFIG_KEYBOARD_DISABLED | CONFIG_AUX_DISABLED | CONFIG_SYSTEM | (this.keyboard ? CONFIG_TRANSLATE : 0),
      outputPort: OUTPUT_PORT_NOT_RESET | OUTPUT_PORT_A20,
      output: 0,
      full: false,
      aux: false,
      timeout: false,
      command: -1,
      commandLast: false,
      breaking: false,
      arrival: -1,
      memory: new Array(32).fill(0),
      keyboard: undefined,
      mouse: undefined,
    }
  }

  reset(): void {
    this.#state = this.#initial()
    this.#timer.cancel()
    this.keyboard?.reset()
    this.mouse?.reset()
    this.#update()
  }

  /** Leaves what a BIOS would leave, for systems that are started without: the keyboard can be used, its keys are those of set 1. */
  enableKeyboard(): void {
    if (!this.keyboard) return
    while (this.keyboard.ready) this.keyboard.take()
    this.#state.config = CONFIG_KEYBOARD_INTERRUPT | CONFIG_AUX_DISABLED | CONFIG_SYSTEM | CONFIG_TRANSLATE
    this.#update()
  }

  restored(): void {
    this.keyboard?.restored()
    this.mouse?.restored()
    if (this.#state.arrival >= 0) this.#timer.arm(this.#state.arrival)
    else this.#timer.cancel()
    this.#update()
  }

  readByte(port: number): number {
    const s = this.#state
    if (port === COMMAND_STATUS)
      return (
        (s.full ? STATUS_OUTPUT_FULL : 0) |
        (s.config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
        (s.commandLast ? STATUS_COMMAND : 0) |
        STATUS_UNLOCKED |
        (s.full && s.aux ? STATUS_AUX : 0) |
        (s.timeout ? STATUS_TIMEOUT : 0)
      )
    s.full = false
    s.timeout = false
    this.#update()
    this.#await()
    return s.output
  }

  writeByte(port: number, value: number): void {
    const s = this.#state
    s.commandLast = port === COMMAND_STATUS
    if (port === COMMAND_STATUS) this.#command(value)
    else if (s.command >= 0) {
      const command = s.command
      s.command = -1
      this.#argument(command, value)
    } else {
      // For the keyboard, which a byte enables.
      s.config &= ~CONFIG_KEYBOARD_DISABLED
      this.#send(this.keyboard, value)
    }
    this.#await()
  }

  #send(device: Ps2Device | undefined, value: number): void {
    if (device) device.write(value)
    else this.#answer(RESEND, FROM_CONTROLLER, true)
  }

  #command(value: number): void {
    const s = this.#state
    s.command = -1
    if (value === 0x20) this.#answer(s.config)
    else if (value > 0x20 && value < 0x40) this.#answer(s.memory[value & 31])
    else if (value >= 0x60 && value < 0x80) s.command = value
    else if (value >= 0xf0) {
      // Pulses the low output port bits whose command bits are 0.
      if ((value & OUTPUT_PORT_NOT_RESET) === 0) this.#options.onReset()
    } else
      switch (value) {
        case 0xa4: // Is a password installed? No.
          this.#answer(0xf1)
          break
        case 0xa7:
          s.config |= CONFIG_AUX_DISABLED
          break
        case 0xa8: // Without an auxiliary port the bit stays, and drivers see that.
          if (this.mouse) s.config &= ~CONFIG_AUX_DISABLED
          break
        case 0xa9:
          this.#answer(this.mouse ? TEST_PASSED : TEST_CLOCK_STUCK)
          break
        case 0xaa:
          s.config |= CONFIG_SYSTEM
          this.#answer(SELF_TEST_PASSED)
          break
        case 0xab:
          this.#answer(TEST_PASSED)
          break
        case 0xad:
          s.config |= CONFIG_KEYBOARD_DISABLED
          break
        case 0xae:
          s.config &= ~CONFIG_KEYBOARD_DISABLED
          break
        case 0xc0: // The input port: keyboard not locked, display color.
          this.#answer(0x80)
          break
        case 0xd0:
          this.#answer(s.outputPort | (s.full ? (s.aux ? 0x20 : 0x10) : 0))
          break
        case 0xd1:
        case 0xd2:
        case 0xd3:
        case 0xd4:
          s.command = value
          break
        case 0xdd:
        case 0xdf:
          this.#writeOutputPort(withBit(s.outputPort, OUTPUT_PORT_A20, value === 0xdf))
          break
        case 0xe0: // Test inputs: clock and data lines high.
          this.#answer(3)
          break
        default:
          this.#bus.logOnce(`i8042 command ${value}`, `i8042: unknown command 0x${value.toString(16)} is ignored`)
      }
  }

  #argument(command: number, value: number): void {
    const s = this.#state
    if (command === 0x60) {
      s.config = this.mouse ? value : value | CONFIG_AUX_DISABLED
      this.#update()
    } else if (command < 0x80) s.memory[command & 31] = value
    else if (command === 0xd1) this.#writeOutputPort(value)
    else if (command === 0xd2) this.#answer(value)
    // Without an auxiliary port its loop-back comes as if from the keyboard, which tells drivers that there is none.
    else if (command === 0xd3) this.#answer(value, this.mouse ? FROM_AUX : FROM_CONTROLLER)
    else {
      if (this.mouse) s.config &= ~CONFIG_AUX_DISABLED
      this.#send(this.mouse, value)
    }
  }

  #writeOutputPort(value: number): void {
    this.#state.outputPort = value | OUTPUT_PORT_NOT_RESET
    this.#options.onA20?.((value & OUTPUT_PORT_A20) !== 0)
    if ((value & OUTPUT_PORT_NOT_RESET) === 0) this.#options.onReset()
  }

  /** The device whose byte comes next, if there is one that may send. */
  #sender(): Ps2Device | undefined {
    const { config } = this.#state
    if (this.keyboard?.ready && !(config & CONFIG_KEYBOARD_DISABLED)) return this.keyboard
    if (this.mouse?.ready && !(config & CONFIG_AUX_DISABLED)) return this.mouse
    return undefined
  }

  /** Lets the next byte of a device come, if there is room for it. */
  #await(): void {
    const s = this.#state
    if (s.full || s.arrival >= 0 || !this.#sender()) return
    s.arrival = this.#bus.clock.now() + BYTE_TIME
    this.#timer.arm(s.arrival)
  }

  #arrive(): void {
    const s = this.#state
    s.arrival = -1
    if (s.full) return
    const sender = this.#sender()
    if (sender === undefined) return
    const byte = sender.take()
    if (sender === this.mouse) this.#answer(byte, FROM_AUX)
    else if (!(s.config & CONFIG_TRANSLATE)) this.#answer(byte)
    else if (byte === BREAK) {
      s.breaking = true
      this.#await()
    } else {
      this.#answer(translate(byte) | (s.breaking ? 0x80 : 0))
      s.breaking = false
    }
  }

  #answer(value: number, source = FROM_CONTROLLER, timeout = false): void {
    const s = this.#state
    s.output = value
    s.full = true
    s.aux = source === FROM_AUX
    s.timeout = timeout
    // A second answer over an unread first one is an edge too.
    this.#keyboardLine.set(false)
    this.#auxLine.set(false)
    this.#update()
  }

  #update(): void {
    const { full, aux, config } = this.#state
    this.#keyboardLine.set(full && !aux && (config & CONFIG_KEYBOARD_INTERRUPT) !== 0)
    this.#auxLine.set(full && aux && (config & CONFIG_AUX_INTERRUPT) !== 0)
  }
}
