/** The devices at fixed ports that every PC has, as ACPI describes them; systems that know ACPI look for them nowhere else. */
import { type Aml, buffer, device, dma, eisaId, integer, ioPorts, irq, name, packageOf, resources } from './aml.ts'

/** Ports and IRQs of COM1 to COM4. */
export const SERIAL_PORTS: readonly { port: number; irq: number }[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
]

/** Ports and IRQ of LPT1; the registers of the ECP are 400h above. */
export const PRINTER_PORT = { port: 0x378, irq: 7 } as const

/** A floppy drive, as _FDI tells of it (ACPI 6.5, 9.9.2). */
export interface FloppyDescription {
  /** As CMOS register 10h has it. */
  type: number
  cylinders: number
  heads: number
  sectors: number
}

/** What a machine may have or not. */
export interface IsaOptions {
  /** Its floppy drives; undefined without a controller. */
  floppies?: readonly FloppyDescription[]
  /** It has a keyboard and a mouse. */
  input?: boolean
}

function simple(path: string, id: string, ...descriptors: Aml[]): Aml {
  return device(path, name('_HID', eisaId(id)), name('_CRS', resources(...descriptors)))
}

function serialPort({ port, irq: line }: { port: number; irq: number }, index: number): Aml {
  return device(
    `COM${index + 1}`,
    name('_HID', eisaId('PNP0501')),
    name('_UID', integer(index + 1)),
    name('_CRS', resources(ioPorts(port, 8), irq(line))),
  )
}

/** What _FDI has behind number, type and geometry, as in the BIOS's table of a 1.44 MB drive: specify bytes, motor, gaps. */
const FLOPPY_TIMINGS = [0xaf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08]
/** _FDE: a word for each of four drives, and that there is no tape. */
const FDE_TAPE_NEVER = 2

function floppyController(floppies: readonly FloppyDescription[]): Aml {
  const there = [0, 1, 2, 3].flatMap(drive => [drive < floppies.length ? 1 : 0, 0, 0, 0])
  return device(
    'FDC0',
    name('_HID', eisaId('PNP0700')),
    name('_CRS', resources(ioPorts(0x3f2, 4), ioPorts(0x3f7, 1), irq(6), dma(2))),
    name('_FDE', buffer([...there, FDE_TAPE_NEVER, 0, 0, 0])),
    ...floppies.map(({ type, cylinders, heads, sectors }, drive) =>
      device(
        `FLP${'AB'[drive]}`,
        name('_ADR', integer(drive)),
        name('_FDI', packageOf(...[drive, type, cylinders - 1, sectors, heads - 1, ...FLOPPY_TIMINGS].map(integer))),
      ),
    ),
  )
}

/** The devices behind the ISA bridge. */
export function isaDevices({ floppies, input }: IsaOptions): Aml[] {
  return [
    simple('PIC', 'PNP0000', ioPorts(0x20, 2), ioPorts(0xa0, 2), ioPorts(0x4d0, 2), irq(2)),
    simple('DMAC', 'PNP0200', ioPorts(0x00, 16), ioPorts(0x81, 15), ioPorts(0xc0, 32), dma(4)),
    simple('TIMR', 'PNP0100', ioPorts(0x40, 4), irq(0)),
    simple('RTC', 'PNP0B00', ioPorts(0x70, 8), irq(8)),
    simple('SPKR', 'PNP0800', ioPorts(0x61, 1)),
    simple('FPU', 'PNP0C04', ioPorts(0xf0, 1), irq(13)),
    ...(input
      ? [simple('KBD', 'PNP0303', ioPorts(0x60, 1), ioPorts(0x64, 1), irq(1)), simple('MOU', 'PNP0F13', irq(12))]
      : []),
    ...SERIAL_PORTS.map(serialPort),
    simple(
      'LPT1',
      'PNP0401',
      ioPorts(PRINTER_PORT.port, 8),
      ioPorts(PRINTER_PORT.port + 0x400, 3),
      irq(PRINTER_PORT.irq),
    ),
    ...(floppies ? [floppyController(floppies)] : []),
  ]
}
