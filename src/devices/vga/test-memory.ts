/** Video memory for tests, and an adapter with it on a bus for tests. */
import { PCI_COMMAND, PCI_CONFIG } from '../pci-function.ts'
import { TestBus } from '../test-bus.ts'
import type { VideoMemory } from './planes.ts'
import { StdVga } from './stdvga.ts'

export const SIZE = 16 * 2 ** 20
/** Where BAR 2 is put. */
export const REGISTERS = 0xe2000000

/** Memory that is not the machine's; it tells where it was mapped. */
export class TestMemory implements VideoMemory {
  readonly ram = new Uint8Array(SIZE + 4096)
  readonly ram32 = new Int32Array(this.ram.buffer)
  readonly base = 4096
  readonly size = SIZE
  readonly dirty = new Uint8Array(SIZE / 4096)
  mapped: number | undefined
  windowed: number | undefined
  collect(): void {}
  map(address: number | undefined): void {
    this.mapped = address
  }
  window(offset: number | undefined): void {
    this.windowed = offset
  }
  /** A write of the processor's straight to memory. */
  set(offset: number, bytes: ArrayLike<number>): void {
    this.ram.set(bytes, this.base + offset)
    for (let page = offset >> 12; page <= (offset + bytes.length - 1) >> 12; page++) this.dirty[page] = 1
  }
}

/** An adapter as firmware finds it, with its second BAR mapped. */
export function makeAdapter() {
  const bus = new TestBus()
  const memory = new TestMemory()
  const adapter = new StdVga(bus, { memory, placed: () => {} })
  adapter.function.write(PCI_CONFIG.BASE_ADDRESS_0, 4, 0xe0000000)
  adapter.function.write(PCI_CONFIG.BASE_ADDRESS_0 + 8, 4, REGISTERS)
  adapter.function.write(PCI_CONFIG.COMMAND, 2, PCI_COMMAND.IO | PCI_COMMAND.MEMORY)
  return { bus, memory, adapter }
}

/** Writes an indexed register. */
export function indexed(bus: TestBus, port: number, index: number, value: number): void {
  bus.out(port, index)
  bus.out(port + 1, value)
}

/** Writes a register of the display interface. */
export function dispi(bus: TestBus, index: number, value: number): void {
  bus.out(0x1ce, index, 2)
  bus.out(0x1cf, value, 2)
}

/** Registers of a mode as the BIOS sets them: miscellaneous, sequencer, CRTC, graphics, attribute. */
interface Mode {
  miscellaneous: number
  sequencer: readonly number[]
  crtc: readonly number[]
  graphics: readonly number[]
  attribute: readonly number[]
}

const hex = (text: string) => text.split(' ').map(byte => Number.parseInt(byte, 16))

/** Text of 80 × 25 characters, 640 × 480 of 16 colors, 320 × 200 of 256 (IBM's tables of video parameters). */
export const MODES = {
  text: {
    miscellaneous: 0x67,
    sequencer: hex('03 00 03 00 02'),
    crtc: hex('5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff'),
    graphics: hex('00 00 00 00 00 10 0e 0f ff'),
    attribute: hex('00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 0c 00 0f 08 00'),
  },
  planar: {
    miscellaneous: 0xe3,
    sequencer: hex('03 01 0f 00 06'),
    crtc: hex('5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff'),
    graphics: hex('00 00 00 00 00 00 05 0f ff'),
    attribute: hex('00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 01 00 0f 00 00'),
  },
  palette: {
    miscellaneous: 0x63,
    sequencer: hex('03 01 0f 00 0e'),
    crtc: hex('5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff'),
    graphics: hex('00 00 00 00 00 40 05 0f ff'),
    attribute: hex('00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 41 00 0f 00 00'),
  },
} as const satisfies Record<string, Mode>

/** Sets a mode as a BIOS does, with a palette in which color `i` is red `i & 63`, green `i >> 2`, blue `63 - (i & 63)`. */
export function setMode(bus: TestBus, { miscellaneous, sequencer, crtc, graphics, attribute }: Mode): void {
  bus.out(0x3c2, miscellaneous)
  for (const [index, value] of sequencer.entries()) indexed(bus, 0x3c4, index, value)
  indexed(bus, 0x3d4, 0x11, 0)
  for (const [index, value] of crtc.entries()) indexed(bus, 0x3d4, index, value)
  for (const [index, value] of graphics.entries()) indexed(bus, 0x3ce, index, value)
  bus.in(0x3da)
  for (const [index, value] of attribute.entries()) {
    bus.out(0x3c0, index)
    bus.out(0x3c0, value)
  }
  bus.out(0x3c0, 0x20)
  bus.out(0x3c8, 0)
  for (let i = 0; i < 256; i++) for (const part of [i & 63, i >> 2, 63 - (i & 63)]) bus.out(0x3c9, part)
}
