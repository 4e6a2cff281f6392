import type { Bus, Device, InterruptLine } from './bus.ts'
import { attachBytes, byteRegisters } from './registers.ts'

/** Where kvm-unit-tests expects the parts of its "pc-testdev". */
const SCRATCH = 0xe0
const SCRATCH_PORTS = 4
const LINES = 0x2000
const LINE_COUNT = 24
const MEMORY = 0xff000000
const MEMORY_BYTES = 0x10000

/** What kvm-unit-tests needs besides a PC: a scratch port, a page of MMIO that remembers, and wires it can pull. */
export class TestDevice implements Device {
  readonly name = 'test-device'
  readonly version = 1
  state = { scratch: new Uint8Array(SCRATCH_PORTS), memory: new Uint8Array(MEMORY_BYTES), lines: 0 }
  readonly #lines: InterruptLine[]

  /** @throws if ports e0h–e3h, 2000h–2017h or the memory at ff000000h are taken. */
  constructor(bus: Bus) {
    this.#lines = Array.from({ length: LINE_COUNT }, (_, gsi) => bus.interrupt(gsi))
    attachBytes(bus, SCRATCH, SCRATCH_PORTS, {
      readByte: port => this.state.scratch[port - SCRATCH],
      writeByte: (port, value) => {
        this.state.scratch[port - SCRATCH] = value
      },
    })
    // A write of any size pulls one wire.
    bus.ports(LINES, LINE_COUNT, {
      readPort: () => 0,
      writePort: (port, _size, value) => {
        const bit = 1 << (port - LINES)
        this.state.lines = value & 1 ? this.state.lines | bit : this.state.lines & ~bit
        this.restored()
      },
    })
    const memory = byteRegisters(0, MEMORY_BYTES, {
      readByte: offset => this.state.memory[offset],
      writeByte: (offset, value) => {
        this.state.memory[offset] = value
      },
    })
    bus.mmio(MEMORY, MEMORY_BYTES, {
      readMmio: (offset, size) => memory.readPort(offset, size),
      writeMmio: (offset, size, value) => memory.writePort(offset, size, value),
    })
  }

  reset(): void {
    this.state.scratch.fill(0)
    this.state.memory.fill(0)
    this.state.lines = 0
    this.restored()
  }

  restored(): void {
    for (const [gsi, line] of this.#lines.entries()) line.set((this.state.lines & (1 << gsi)) !== 0)
  }
}
