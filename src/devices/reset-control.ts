import type { Bus, Device, PortHandler } from './bus.ts'
import { attachBytes, byteRegisters, withBit } from './registers.ts'

/** Port 92h, system control port A of the PS/2. */
const PORT_A = 0x92
const PORT_A_FAST_RESET = 1
const PORT_A_A20 = 2
/** Port cf9h, the reset control register of the chipset; PCI's configuration ports surround it. */
export const RESET_CONTROL = 0xcf9
const RESET_CONTROL_HARD = 2
const RESET_CONTROL_CPU = 4

/** What happens when the guest resets the machine or moves the A20 gate. */
export interface ResetControlOptions {
  /** The machine shall reset. Called within a port write: set a flag and stop the engine. */
  onReset(): void
  /** The processor alone shall reset: port 92h, or cf9h without its bit for a full reset. By default as {@link onReset}. */
  onResetProcessor?(): void
  /** Address line 20 passes (true) or is held low. Called on changes. */
  onA20?(enabled: boolean): void
}

/**
 * The ways to reset a PC but for the keyboard controller's, and the A20 gate that port 92h and the keyboard controller
 * share: who writes last decides, so that programs that know one of them only get what they want. Port cf9h is answered through {@link registerCf9}, as PCI's configuration address port lies across it.
 */
export class ResetControl implements Device {
  readonly name = 'reset-control'
  readonly version = 1
  state = { resetControl: 0, a20: true }
  /** Answers port cf9h. */
  readonly registerCf9: PortHandler
  readonly #options: ResetControlOptions
  #a20 = true

  /** @throws if port 92h is taken. */
  constructor(bus: Bus, options: ResetControlOptions) {
    this.#options = options
    attachBytes(bus, PORT_A, 1, {
      readByte: () => (this.state.a20 ? PORT_A_A20 : 0),
      writeByte: (_port, value) => {
        this.setA20((value & PORT_A_A20) !== 0)
        if (value & PORT_A_FAST_RESET) this.#resetProcessor()
      },
    })
    this.registerCf9 = byteRegisters(RESET_CONTROL, 1, {
      readByte: () => this.state.resetControl,
      writeByte: (_port, value) => {
        const rises = (value & ~this.state.resetControl & RESET_CONTROL_CPU) !== 0
        this.state.resetControl = value & (RESET_CONTROL_HARD | RESET_CONTROL_CPU)
        if (!rises) return
        this.state.resetControl = withBit(this.state.resetControl, RESET_CONTROL_CPU, false)
        if (value & RESET_CONTROL_HARD) options.onReset()
        else this.#resetProcessor()
      },
    })
  }

  #resetProcessor(): void {
    if (this.#options.onResetProcessor) this.#options.onResetProcessor()
    else this.#options.onReset()
  }

  /** Opens or closes the A20 gate, as the keyboard controller does. */
  setA20(enabled: boolean): void {
    this.state.a20 = enabled
    this.#updateA20()
  }

  reset(): void {
    this.state = { resetControl: 0, a20: true }
    this.#updateA20()
  }

  restored(): void {
    this.#updateA20()
  }

  #updateA20(): void {
    const { a20 } = this.state
    if (a20 === this.#a20) return
    this.#a20 = a20
    this.#options.onA20?.(a20)
  }
}
