import type { AcpiPm } from './acpi-pm.ts'
import { PM_BASE } from './acpi-pm.ts'
import type { Bus } from './bus.ts'
import { ShadowRegisters } from './pam.ts'
import type { PciBus } from './pci.ts'
import { type ConfigRegister, PciFunction } from './pci-function.ts'
import type { SmbusHost } from './smbus.ts'

const INTEL = 0x8086
const HOST_BRIDGE = 0x1237
const ISA_BRIDGE = 0x7000
const POWER_MANAGEMENT = 0x7113
const CLASS_HOST_BRIDGE = 0x060000
const CLASS_ISA_BRIDGE = 0x060100
const CLASS_OTHER_BRIDGE = 0x068000
/** The subsystem that virtual machines' chipsets carry, by which drivers know them. */
const SUBSYSTEM_VENDOR = 0x1af4
const SUBSYSTEM = 0x1100

/** Registers of the host bridge (82441FX data sheet, 3.2): which memory answers, and system management RAM. */
const PAM0 = 0x59
const SMRAM = 0x72

/** Wired bits of the status registers of the PIIX's functions. */
const MEDIUM_DEVSEL = 0x0200
const FAST_BACK_TO_BACK = 0x0080

/** PIIX registers. */
const PIRQRC = 0x60
const PIRQRC_DISABLED = 0x80
const PMBA = 0x40
const PMREGMISC = 0x80
const PMREGMISC_ENABLE = 1
const SMBBA = 0x90
const SMBHSTCFG = 0xd2
const SMBHSTCFG_ENABLE = 1

/** What the chipset acts on. */
export interface ChipsetOptions {
  pci: PciBus
  /** The power management block that the PIIX4's base register moves. */
  acpi?: AcpiPm
  /** The SMBus host controller that its other base register moves. */
  smbus?: SmbusHost
  /** The ISA IRQs that the four PCI interrupt wires lead to from the start, for a machine without firmware; 0 for none. */
  routes?: readonly number[]
  /** The host bridge's registers PAM0 to PAM6 and SMRAM, 59h–5fh and 72h, may have changed. */
  onShadow?(registers: Uint8Array): void
}

/** The functions of a chipset like Intel's 440FX with PIIX3 and the PIIX4's power management. */
export interface Chipset {
  /** Lets RAM answer wherever there is some, as firmware leaves it. */
  openShadow(): void
  hostBridge: PciFunction
  isaBridge: PciFunction
  powerManagement: PciFunction
}

/**
 * Puts host bridge (slot 0), ISA bridge (slot 1 function 0) and power management (function 3) on the bus.
 * @throws if the slots are taken.
 */
export function createChipset(bus: Bus, options: ChipsetOptions): Chipset {
  const { pci, acpi } = options
  const subsystem = { vendorId: INTEL, subsystemVendorId: SUBSYSTEM_VENDOR, subsystemId: SUBSYSTEM }

  const shadow = new ShadowRegisters(PAM0, SMRAM, options.onShadow)
  const hostBridge: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'host-bridge',
    deviceId: HOST_BRIDGE,
    revision: 2,
    classCode: CLASS_HOST_BRIDGE,
    registers: [{ name: 'PMCCFG', offset: 0x50, size: 2, writable: 0xffff }, ...shadow.registers],
    onWrite: (offset, size) => shadow.written(offset, size),
    onReplaced: () => shadow.replaced(),
  })
  shadow.attach(hostBridge)

  const updateRoutes = () => {
    for (let pirq = 0; pirq < 4; pirq++) {
      const value = isaBridge.state.config[PIRQRC + pirq]
      pci.route(pirq, value & PIRQRC_DISABLED ? 0 : value & 15)
    }
  }
  const isaBridge: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'isa-bridge',
    deviceId: ISA_BRIDGE,
    status: MEDIUM_DEVSEL,
    classCode: CLASS_ISA_BRIDGE,
    multifunction: true,
    registers: [
      { name: 'IORT', offset: 0x4c, size: 1, value: 0x4d, writable: 0xff },
      { name: 'XBCS', offset: 0x4e, size: 2, value: 3, writable: 0x07ff },
      ...[0, 1, 2, 3].map((i): ConfigRegister => {
        const value = options.routes?.[i] || PIRQRC_DISABLED
        return { name: `PIRQRC${'ABCD'[i]}`, offset: PIRQRC + i, size: 1, value, writable: 0x8f }
      }),
      { name: 'TOM', offset: 0x69, size: 1, value: 2, writable: 0xfe },
    ],
    onWrite: (offset, size) => {
      if (offset < PIRQRC + 4 && offset + size > PIRQRC) updateRoutes()
    },
    onReplaced: () => updateRoutes(),
  })

  const movePm = () => {
    const base = powerManagement.read16(PMBA) & 0xffc0
    const enabled = (powerManagement.state.config[PMREGMISC] & PMREGMISC_ENABLE) !== 0
    acpi?.move(enabled && base !== 0 ? base : undefined)
    const smbus = powerManagement.read16(SMBBA) & 0xfff0
    const { config } = powerManagement.state
    options.smbus?.move(config[SMBHSTCFG] & SMBHSTCFG_ENABLE && smbus !== 0 ? smbus : undefined)
  }
  const powerManagement: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'piix4-pm',
    deviceId: POWER_MANAGEMENT,
    status: MEDIUM_DEVSEL | FAST_BACK_TO_BACK,
    revision: 3,
    classCode: CLASS_OTHER_BRIDGE,
    registers: [
      { name: 'PMBA', offset: PMBA, size: 4, value: PM_BASE | 1, writable: 0xffc0 },
      // APMC_EN, which says that writes of the SMI command port are answered: as they are, without system management mode.
      { name: 'DEVACTB', offset: 0x58, size: 4, value: 0x02000000, writable: 0xffffffff },
      { name: 'PMREGMISC', offset: PMREGMISC, size: 1, value: PMREGMISC_ENABLE, writable: PMREGMISC_ENABLE },
      { name: 'SMBBA', offset: SMBBA, size: 4, value: 1, writable: 0xfff0 },
      { name: 'SMBHSTCFG', offset: SMBHSTCFG, size: 1, writable: 0x0f },
    ],
    onWrite: (offset, size) => {
      if (offset + size > PMBA) movePm()
    },
    onReplaced: () => movePm(),
  })

  pci.add(0, 0, hostBridge)
  pci.add(1, 0, isaBridge)
  pci.add(1, 3, powerManagement)
  updateRoutes()
  return { openShadow: () => shadow.open(), hostBridge, isaBridge, powerManagement }
}
