import type { Bus, Device, InterruptLine } from './bus.ts'
import { attachBytes } from './registers.ts'

/** Port f0h, the coprocessor error register of the PC/AT (82371AB data sheet, 4.1.7; SDM vol. 1, appendix D). */
const COPROCESSOR_ERROR = 0xf0
const COPROCESSOR_IRQ = 13

/** What the device does to the processor. */
export interface NumericErrorOptions {
  /** IGNNE# is asserted: the processor goes on, until the error is cleared. Called within a port write. */
  onIgnore(): void
}

/**
 * How a PC reports errors of the x87 to systems that leave CR0.NE clear: FERR# of the processor is latched as IRQ 13; a write to port
 * f0h takes the request back and asserts IGNNE#, so that the handler can use the x87.
 */
export class NumericError implements Device {
  readonly name = 'numeric-error'
  readonly version = 1
  /** IRQ 13 is requested. */
  state = { request: false }
  readonly #line: InterruptLine

  /** @throws if port f0h is taken. */
  constructor(bus: Bus, options: NumericErrorOptions) {
    this.#line = bus.interrupt(COPROCESSOR_IRQ)
    attachBytes(bus, COPROCESSOR_ERROR, 1, {
      readByte: () => 0xff,
      writeByte: () => {
        this.#request(false)
        options.onIgnore()
      },
    })
  }

  /** FERR#: the processor waits in front of an x87 instruction because of an error. */
  report(): void {
    this.#request(true)
  }

  reset(): void {
    this.#request(false)
  }

  restored(): void {
    this.#line.set(this.state.request)
  }

  #request(request: boolean): void {
    this.state.request = request
    this.#line.set(request)
  }
}
