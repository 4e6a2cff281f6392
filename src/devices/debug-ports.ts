import type { Bus, Device } from './bus.ts'
import { attachBytes } from './registers.ts'

/** Ports that virtual machines and bus analysers agreed on. */
const POST = 0x80
const DEBUG_CONSOLE = 0xe9
const DEBUG_EXIT = 0xf4
/** Where SeaBIOS and EDK II write what they do, if a read says that someone listens. */
const FIRMWARE_CONSOLE = 0x402
/** What a guest reads at {@link DEBUG_CONSOLE} to learn that it is there. */
const DEBUG_CONSOLE_PRESENT = 0xe9

/** What is done with what a guest says there. */
export interface DebugPortsOptions {
  /** A byte written to port e9h. */
  onDebugByte?(byte: number): void
  /** A byte written to port 402h. */
  onFirmwareByte?(byte: number): void
  /** A value of up to 32 bits written to port f4h: the guest wants the machine to end with `(value << 1) | 1`. */
  onDebugExit?(value: number): void
}

/** Port f4h ends the run, e9h is a console, 80h takes the codes of a power-on self test. */
export class DebugPorts implements Device {
  readonly name = 'debug-ports'
  readonly version = 1
  /** The last power-on self test code. */
  state = { post: 0 }

  /** @throws if one of the ports is taken. */
  constructor(bus: Bus, options: DebugPortsOptions) {
    attachBytes(bus, POST, 1, {
      readByte: () => this.state.post,
      writeByte: (_port, value) => {
        this.state.post = value
      },
    })
    attachBytes(bus, DEBUG_CONSOLE, 1, {
      readByte: () => DEBUG_CONSOLE_PRESENT,
      writeByte: (_port, value) => options.onDebugByte?.(value),
    })
    attachBytes(bus, FIRMWARE_CONSOLE, 1, {
      readByte: () => DEBUG_CONSOLE_PRESENT,
      writeByte: (_port, value) => options.onFirmwareByte?.(value),
    })
    bus.ports(DEBUG_EXIT, 4, {
      readPort: () => 0,
      writePort: (port, _size, value) => {
        if (port === DEBUG_EXIT) options.onDebugExit?.(value)
      },
    })
  }

  reset(): void {
    this.state = { post: 0 }
  }
}
