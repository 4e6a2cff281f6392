/** The differentiated system description: which devices this PC has that cannot be found by probing. */
import { SLEEP_TYPE } from '../../devices/acpi-pm.ts'
import { HPET_BASE } from '../../devices/hpet.ts'
import {
  type Aml,
  ARG0,
  device,
  eisaId,
  ifElse,
  integer,
  ioPorts,
  memory32Fixed,
  method,
  name,
  nameString,
  packageOf,
  resources,
  returns,
  scope,
  store,
  string,
  window,
} from './aml.ts'
import { type IsaOptions, isaDevices } from './isa-devices.ts'

/** What the description depends on. */
export interface SystemDescription extends IsaOptions {
  /** Local APIC identifiers of the processors. */
  processors: readonly number[]
  /** First byte of the memory window for PCI devices; it ends below the I/O APIC. */
  pciMemoryStart: number
  /** Where configuration space is in memory, if it is: 256 MiB. */
  configurationBase?: number
  /** GSI of a PCI device's interrupt pin (0 is INTA) through the I/O APIC. */
  pciInterrupt(slot: number, pin: number): number
  /** The same through the PIC: an ISA IRQ. */
  pciIrq(slot: number, pin: number): number
}

/** Bytes of memory-mapped configuration space. */
const CONFIGURATION_LENGTH = 0x10000000
/** Last byte of the memory window for PCI devices. */
const PCI_MEMORY_LAST = 0xfebfffff

function processor(apicId: number, index: number): Aml {
  const digits = index.toString(16).toUpperCase().padStart(3, '0')
  return device(`C${digits}`, name('_HID', string('ACPI0007')), name('_UID', integer(apicId)))
}

/** _PRT entries of every slot and pin, which name the interrupt itself instead of a link device. */
function routing(interrupt: (slot: number, pin: number) => number): Aml {
  const entries: Aml[] = []
  for (let slot = 0; slot < 32; slot++)
    for (let pin = 0; pin < 4; pin++)
      entries.push(packageOf(integer(slot * 0x10000 + 0xffff), integer(pin), integer(0), integer(interrupt(slot, pin))))
  return packageOf(...entries)
}

function pciHostBridge(system: SystemDescription): Aml {
  return device(
    'PCI0',
    // A root complex of PCI Express, or a host bridge of PCI.
    ...(system.configurationBase === undefined
      ? [name('_HID', eisaId('PNP0A03'))]
      : [name('_HID', eisaId('PNP0A08')), name('_CID', eisaId('PNP0A03'))]),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name(
      '_CRS',
      resources(
        window(2, 'bus', 0, 0xff),
        ioPorts(0xcf8, 8),
        window(2, 'io', 0x0000, 0x0cf7),
        window(2, 'io', 0x0d00, 0xffff),
        window(4, 'memory', 0xa0000, 0xbffff),
        window(4, 'memory', system.pciMemoryStart, PCI_MEMORY_LAST),
      ),
    ),
    name('PRTA', routing(system.pciInterrupt)),
    name('PRTP', routing(system.pciIrq)),
    method('_PRT', 0, ifElse(nameString('\\PICF'), returns(nameString('PRTA')), returns(nameString('PRTP')))),
    ...isaDevices(system),
  )
}

/** The AML of the DSDT, without its table header. */
export function dsdtBody(system: SystemDescription): Aml {
  return [
    // _PIC tells whether the guest uses the PIC (0) or the I/O APIC (1).
    ...name('\\PICF', integer(0)),
    ...method('\\_PIC', 1, store(ARG0, '\\PICF')),
    ...name('\\_S5', packageOf(integer(SLEEP_TYPE.S5), integer(SLEEP_TYPE.S5), integer(0), integer(0))),
    ...scope(
      '\\_SB',
      ...system.processors.map(processor),
      pciHostBridge(system),
      // What no device may be given.
      ...(system.configurationBase === undefined
        ? []
        : [
            device(
              'MBRD',
              name('_HID', eisaId('PNP0C02')),
              name('_UID', integer(1)),
              name('_CRS', resources(memory32Fixed(system.configurationBase, CONFIGURATION_LENGTH, true))),
            ),
          ]),
      device(
        'HPET',
        name('_HID', eisaId('PNP0103')),
        name('_UID', integer(0)),
        name('_CRS', resources(memory32Fixed(HPET_BASE, 0x400, true))),
      ),
    ),
  ]
}
