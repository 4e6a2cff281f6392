/**
 * What a kernel that is loaded without firmware finds where a BIOS would have been: the data area that says where conventional memory
 * ends, and interrupt vectors whose handlers say that there is no such function. Xen reads the one and calls the other.
 */
import { CONVENTIONAL_END, extendedEnd } from './layout.ts'
import type { BootMemory } from './state.ts'

const VECTORS = 256
const BIOS_DATA_AREA = 0x400
/** Offsets in the BIOS data area. */
const BDA = { serialPorts: 0x00, extendedArea: 0x0e, equipment: 0x10, memorySize: 0x13 } as const
/** COM1 to COM4. */
const SERIAL_PORTS = [0x3f8, 0x2f8, 0x3e8, 0x2e8] as const
/** Equipment: a coprocessor, colour text of 80 columns, four serial ports. */
const EQUIPMENT = 0x0822
/** Segment of the handlers. */
const SEGMENT = 0xf000

/** Handlers by their code, each up to {@link HANDLER_LENGTH} bytes. */
const HANDLER_LENGTH = 16
const HANDLERS = {
  // No such function: AH = 86h and the carry flag where the caller's flags lie.
  none: [0xb4, 0x86, 0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, 0xcf],
  // The memory's size in KiB, in AX.
  memory: [0xb8, (CONVENTIONAL_END >> 10) & 0xff, CONVENTIONAL_END >> 18, 0xcf],
  // An interrupt of the first controller, and of the second: its end.
  irq: [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf],
  irq2: [0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf],
  // An exception: there is nobody to handle it.
  exception: [0xf4, 0xeb, 0xfd],
} as const
const NAMES = Object.keys(HANDLERS) as (keyof typeof HANDLERS)[]

function handlerOf(vector: number): keyof typeof HANDLERS {
  if (vector === 0x12) return 'memory'
  if (vector >= 8 && vector < 0x10) return 'irq'
  if (vector >= 0x70 && vector < 0x78) return 'irq2'
  return vector < 8 ? 'exception' : 'none'
}

/** Writes vectors, data area and handlers; before the kernel, which may lie on the last. @throws BootError without 1 MiB of memory */
export function writeBiosArea(memory: BootMemory): void {
  extendedEnd(memory.regions)
  const handlers = new Uint8Array(NAMES.length * HANDLER_LENGTH)
  NAMES.forEach((name, i) => {
    handlers.set(HANDLERS[name], i * HANDLER_LENGTH)
  })
  memory.write(SEGMENT << 4, handlers)
  const low = new DataView(new ArrayBuffer(BIOS_DATA_AREA + 0x100))
  for (let vector = 0; vector < VECTORS; vector++) {
    low.setUint16(4 * vector, NAMES.indexOf(handlerOf(vector)) * HANDLER_LENGTH, true)
    low.setUint16(4 * vector + 2, SEGMENT, true)
  }
  SERIAL_PORTS.forEach((port, i) => {
    low.setUint16(BIOS_DATA_AREA + BDA.serialPorts + 2 * i, port, true)
  })
  low.setUint16(BIOS_DATA_AREA + BDA.extendedArea, CONVENTIONAL_END >> 4, true)
  low.setUint16(BIOS_DATA_AREA + BDA.equipment, EQUIPMENT, true)
  low.setUint16(BIOS_DATA_AREA + BDA.memorySize, CONVENTIONAL_END >> 10, true)
  memory.write(0, new Uint8Array(low.buffer))
  // The extended area begins with its size in KiB.
  memory.write(CONVENTIONAL_END, Uint8Array.of((0xa0000 - CONVENTIONAL_END) >> 10))
}
