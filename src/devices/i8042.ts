import type { Bus, Device, InterruptLine } from './bus.ts'
import { attachBytes, withBit } from './registers.ts'

/** Ports of the keyboard controller (Intel 8042 as programmed for the IBM PC/AT). */
const DATA = 0x60
const COMMAND_STATUS = 0x64

const STATUS_OUTPUT_FULL = 1
const STATUS_SYSTEM = 4
const STATUS_COMMAND = 8
const STATUS_UNLOCKED = 0x10
const STATUS_TIMEOUT = 0x40

const CONFIG_KEYBOARD_INTERRUPT = 1
const CONFIG_SYSTEM = 4
const CONFIG_KEYBOARD_DISABLED = 0x10
const CONFIG_AUX_DISABLED = 0x20

const OUTPUT_PORT_NOT_RESET = 1
const OUTPUT_PORT_A20 = 2

const SELF_TEST_PASSED = 0x55
const TEST_PASSED = 0
/** "Clock line stuck low": there is no auxiliary port. */
const TEST_CLOCK_STUCK = 1
/** What the controller gives for a device that does not answer, together with the timeout status. */
const RESEND = 0xfe

/** What the controller's output port is wired to. */
export interface I8042Options {
  /** The guest pulsed the reset line. */
  onReset(): void
  /** The guest wrote the A20 gate. */
  onA20?(enabled: boolean): void
}

interface I8042State {
  /** The controller's command byte. */
  config: number
  outputPort: number
  /** The byte in the output buffer, or -1. */
  output: number
  /** It stands for a device that did not answer. */
  timeout: boolean
  /** The command whose data byte is due, or -1. */
  command: number
  /** The last write went to the command port. */
  commandLast: boolean
  /** The controller's memory behind commands 21h–3fh and 61h–7fh. */
  memory: number[]
}

/**
 * A keyboard controller with nothing plugged in. Every command that answers does so at once, and a byte for the absent
 * keyboard comes back as a timeout, so that no driver waits.
 */
export class I8042 implements Device {
  readonly name = 'i8042'
  readonly version = 1
  state: I8042State
  readonly #options: I8042Options
  readonly #line: InterruptLine
  readonly #bus: Bus

  /** @throws if port 60h or 64h is taken. */
  constructor(bus: Bus, options: I8042Options) {
    this.#bus = bus
    this.#options = options
    this.#line = bus.interrupt(1)
    this.state = this.#initial()
    attachBytes(bus, DATA, 1, this)
    attachBytes(bus, COMMAND_STATUS, 1, this)
  }

  #initial(): I8042State {
    return {
      config: CONFIG_KEYBOARD_DISABLED | CONFIG_AUX_DISABLED | CONFIG_SYSTEM,
      outputPort: OUTPUT_PORT_NOT_RESET | OUTPUT_PORT_A20,
      output: -1,
      timeout: false,
      command: -1,
      commandLast: false,
      memory: new Array(32).fill(0),
    }
  }

  reset(): void {
    this.state = this.#initial()
    this.#update()
  }

  restored(): void {
    this.#update()
  }

  readByte(port: number): number {
    const s = this.state
    if (port === COMMAND_STATUS)
      return (
        (s.output >= 0 ? STATUS_OUTPUT_FULL : 0) |
        (s.config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
        (s.commandLast ? STATUS_COMMAND : 0) |
        STATUS_UNLOCKED |
        (s.timeout ? STATUS_TIMEOUT : 0)
      )
    const value = Math.max(0, s.output)
    s.output = -1
    s.timeout = false
    this.#update()
    return value
  }

  writeByte(port: number, value: number): void {
    const s = this.state
    s.commandLast = port === COMMAND_STATUS
    if (port === COMMAND_STATUS) this.#command(value)
    else if (s.command >= 0) {
      const command = s.command
      s.command = -1
      this.#argument(command, value)
    } else {
      // For the keyboard, which a byte enables, and which is not there.
      s.config &= ~CONFIG_KEYBOARD_DISABLED
      this.#answer(RESEND, true)
    }
  }

  #command(value: number): void {
    const s = this.state
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
        case 0xa8: // There is no auxiliary port to enable: the bit stays, and drivers see that.
          break
        case 0xa9:
          this.#answer(TEST_CLOCK_STUCK)
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
        case 0xc0: // The input port: keyboard not locked, display colour.
          this.#answer(0x80)
          break
        case 0xd0:
          this.#answer(s.outputPort | (s.output >= 0 ? 0x10 : 0))
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
    const s = this.state
    if (command === 0x60) {
      s.config = value | CONFIG_AUX_DISABLED
      this.#update()
    } else if (command < 0x80) s.memory[command & 31] = value
    else if (command === 0xd1) this.#writeOutputPort(value)
    else if (command === 0xd2) this.#answer(value)
    // The loop-back of the auxiliary port comes back as if from the keyboard, which tells drivers that there is none.
    else if (command === 0xd3) this.#answer(value)
    else this.#answer(RESEND, true)
  }

  #writeOutputPort(value: number): void {
    this.state.outputPort = value | OUTPUT_PORT_NOT_RESET
    this.#options.onA20?.((value & OUTPUT_PORT_A20) !== 0)
    if ((value & OUTPUT_PORT_NOT_RESET) === 0) this.#options.onReset()
  }

  #answer(value: number, timeout = false): void {
    this.state.output = value
    this.state.timeout = timeout
    // A second answer over an unread first one is an edge too.
    this.#line.set(false)
    this.#update()
  }

  #update(): void {
    this.#line.set(this.state.output >= 0 && (this.state.config & CONFIG_KEYBOARD_INTERRUPT) !== 0)
  }
}
