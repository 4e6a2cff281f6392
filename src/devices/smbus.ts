import type { Bus, Device, PortRegion } from './bus.ts'
import { byteRegisters } from './registers.ts'

/** Registers of the host controller (82371AB data sheet, chapter 11; ICH9 data sheet, chapter 20). */
const HOST_STATUS = 0
const HOST_CONTROL = 2
const STATUS_INTERRUPT = 2
const STATUS_DEVICE_ERROR = 4
/** INTR, DEV_ERR, BUS_ERR, FAILED, and of the ICH9 SMBALERT and INUSE: cleared by writing ones. */
const STATUS_WRITABLE = 0x7e
const CONTROL_START = 0x40
const REGISTERS = 16

/** An SMBus host controller with nothing on its bus: every transfer ends at once, without an answer. */
export class SmbusHost implements Device {
  readonly name = 'smbus'
  readonly version = 1
  state = { base: -1, registers: new Uint8Array(REGISTERS) }
  readonly #region: PortRegion

  constructor(bus: Bus) {
    const registers = byteRegisters(0, REGISTERS, {
      readByte: offset => this.state.registers[offset],
      writeByte: (offset, value) => this.#write(offset, value),
    })
    this.#region = bus.ports(undefined, REGISTERS, {
      readPort: (port, size) => registers.readPort(port - this.state.base, size),
      writePort: (port, size, value) => registers.writePort(port - this.state.base, size, value),
    })
  }

  /** The chipset's base register was written: the first port, or undefined while it is off. */
  move(base: number | undefined): void {
    this.state.base = base ?? -1
    this.#region.move(base)
  }

  reset(): void {
    this.state.registers = new Uint8Array(REGISTERS)
  }

  restored(): void {
    this.#region.move(this.state.base < 0 ? undefined : this.state.base)
  }

  #write(offset: number, value: number): void {
    const { registers } = this.state
    if (offset === HOST_STATUS) registers[HOST_STATUS] &= ~(value & STATUS_WRITABLE)
    else registers[offset] = value & ~(offset === HOST_CONTROL ? CONTROL_START : 0)
    // Nobody acknowledges the address.
    if (offset === HOST_CONTROL && value & CONTROL_START)
      registers[HOST_STATUS] |= STATUS_DEVICE_ERROR | STATUS_INTERRUPT
  }
}
