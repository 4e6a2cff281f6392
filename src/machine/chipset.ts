/** The chipset of a PC by its name: bus, power management, what answers below 1 MiB. */
import type { AcpiPm } from '../devices/acpi-pm.ts'
import type { Bus, Device, PortHandler } from '../devices/bus.ts'
import { createChipset } from '../devices/i440fx.ts'
import { PciBus } from '../devices/pci.ts'
import { createQ35, LPC_SLOT, pirqOfQ35 } from '../devices/q35.ts'
import { SmbusHost } from '../devices/smbus.ts'
import { LOW_RAM_LIMIT } from '../memory/physical.ts'
import type { MachineName } from './messages.ts'

/** The ISA IRQs of the PCI interrupt wires where a guest uses the PIC: as firmware sets them. */
const PCI_IRQS = [10, 10, 11, 11, 10, 10, 11, 11] as const
/** The ICH9's SATA controller in the slot of its ISA bridge (ICH9 data sheet, table 5-1). */
const SATA_FUNCTION = 2
/** The i440FX's ISA bridge. */
const ISA_BRIDGE_SLOT = 1
/** Where a machine without firmware has its memory-mapped configuration space: as SeaBIOS puts it. */
const CONFIGURATION_BASE = 0xb0000000

/** Where RAM below 4 GiB ends in a machine of so many bytes: on the Q35 configuration space begins at B0000000h. */
export function lowRamLimit(machine: MachineName, size: number): number {
  if (machine === 'pc') return LOW_RAM_LIMIT
  return size <= CONFIGURATION_BASE ? CONFIGURATION_BASE : 0x80000000
}

/** What is the same of all chipsets. */
export interface PcChipset {
  pci: PciBus
  /** The chipset's devices but for the bus, for resets and snapshots. */
  devices: Device[]
  /** The slot with the ISA bridge, whose function 1 is for IDE. */
  isaBridgeSlot: number
  /** The function of that slot that is the chipset's own SATA controller, where it has one. */
  sataFunction?: number
  /** The first byte of the window that firmware gives memory BARs from. */
  pciMemoryStart: number
  /** ISA IRQs by PCI interrupt wire. */
  irqs: readonly number[]
  /** Where configuration space is in memory, or will be; undefined where the chipset cannot do that. */
  configurationBase(): number | undefined
  /** Leaves the chipset as firmware would: RAM below 1 MiB, configuration space in memory. */
  prepare(): void
}

/** What a chipset is made with. */
export interface PcChipsetOptions {
  machine: MachineName
  /** The machine starts in firmware, which sets the chipset up. */
  firmware: boolean
  /** Bytes of RAM below 4 GiB. */
  below: number
  acpi: AcpiPm
  registerCf9: PortHandler
  onShadow(registers: Uint8Array): void
  /** The chipset's watchdog has run out. */
  onWatchdog(): void
}

/** Makes the chipset of a machine. */
export function makeChipset(bus: Bus, options: PcChipsetOptions): PcChipset {
  const { machine, firmware, below, acpi, registerCf9, onShadow } = options
  const routes = firmware ? undefined : PCI_IRQS
  const smbus = new SmbusHost(bus)
  if (machine === 'q35') {
    const pci = new PciBus(bus, { registerCf9, wires: 8, wireOf: pirqOfQ35 })
    const q35 = createQ35(bus, { pci, acpi, smbus, routes, onShadow, onWatchdog: options.onWatchdog })
    return {
      pci,
      devices: q35.devices,
      isaBridgeSlot: LPC_SLOT,
      sataFunction: SATA_FUNCTION,
      pciMemoryStart: 0xc0000000,
      irqs: PCI_IRQS,
      // Firmware asks for the tables' size before it maps configuration space: they are not to change by that.
      configurationBase: () => q35.configurationBase() ?? CONFIGURATION_BASE,
      prepare() {
        q35.openShadow()
        q35.mapConfiguration(CONFIGURATION_BASE)
      },
    }
  }
  const pci = new PciBus(bus, { registerCf9 })
  const { hostBridge, isaBridge, powerManagement, openShadow } = createChipset(bus, {
    pci,
    acpi,
    smbus,
    routes,
    onShadow,
  })
  return {
    pci,
    devices: [hostBridge, isaBridge, powerManagement, smbus],
    isaBridgeSlot: ISA_BRIDGE_SLOT,
    // Firmware begins where RAM does not.
    pciMemoryStart: firmware && below <= 2 ** 31 ? 2 ** 31 : LOW_RAM_LIMIT,
    irqs: PCI_IRQS,
    configurationBase: () => undefined,
    prepare: openShadow,
  }
}
