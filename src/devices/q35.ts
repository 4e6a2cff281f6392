import type { AcpiPm } from './acpi-pm.ts'
import { PM_BASE } from './acpi-pm.ts'
import type { AccessSize, Bus, Device, MmioHandler, MmioRegion } from './bus.ts'
import { ShadowRegisters } from './pam.ts'
import type { PciBus } from './pci.ts'
import { type ConfigRegister, PciFunction } from './pci-function.ts'
import type { SmbusHost } from './smbus.ts'
import { TcoWatchdog } from './tco.ts'

const INTEL = 0x8086
const HOST_BRIDGE = 0x29c0
const LPC_BRIDGE = 0x2918
const SMBUS = 0x2930
const SUBSYSTEM_VENDOR = 0x1af4
const SUBSYSTEM = 0x1100
/** The slot of the ICH9's functions. */
export const LPC_SLOT = 31

/** Registers of the host bridge (Q35 data sheet, 5.1). */
const PCIEXBAR = 0x60
const PCIEXBAR_ENABLE = 1
const PAM0 = 0x90
const SMRAM = 0x9d
/** Bytes of the memory-mapped configuration space of 256 buses. */
export const ECAM_LENGTH = 0x10000000

/** Registers of the LPC bridge (ICH9 data sheet, 13.1). */
const PMBASE = 0x40
const ACPI_CNTL = 0x44
const ACPI_CNTL_ENABLE = 0x80
const PIRQ_A = 0x60
const PIRQ_E = 0x68
const PIRQ_DISABLED = 0x80
const RCBA = 0xf0
const RCBA_ENABLE = 1
const RCBA_LENGTH = 0x4000
/** Interrupt routes of the devices 25 to 31 in the chipset's configuration registers, as they are after reset. */
const D31IR = 0x3140
const DEVICE_ROUTES = 8
const ROUTE = 0x3210

/** General control and status: bit 5 keeps the watchdog from resetting the machine. */
const GCS = 0x3410
const GCS_NO_REBOOT = 0x20

const SMB_BASE = 0x20
const SMB_HOSTC = 0x40
const SMB_HOSTC_ENABLE = 1

/** Which of the eight wires PIRQA# to PIRQH# the pin (1 to 4) of a slot is on, 0 to 7. */
export function pirqOfQ35(slot: number, pin: number): number {
  return slot < 25 ? 4 + ((slot + pin - 1) & 3) : (pin - 1) & 3
}

/** What the chipset acts on. */
export interface Q35Options {
  pci: PciBus
  /** The power management block that PMBASE moves. */
  acpi: AcpiPm
  smbus: SmbusHost
  /** The ISA IRQs that the eight PCI interrupt wires lead to from the start, for a machine without firmware; 0 for none. */
  routes?: readonly number[]
  /** The watchdog has run out. */
  onWatchdog?(): void
  /** The host bridge's registers PAM0 to PAM6 and SMRAM may have changed. */
  onShadow?(registers: Uint8Array): void
}

/** The functions of Intel's Q35 with the ICH9. */
export interface Q35 {
  devices: Device[]
  /** Lets RAM answer wherever there is some, as firmware leaves it. */
  openShadow(): void
  /** Maps configuration space into memory, as firmware does. */
  mapConfiguration(base: number): void
  /** Where configuration space is in memory, or undefined. */
  configurationBase(): number | undefined
}

/** The chipset configuration registers behind RCBA: they remember. What is wired is wired. */
class ChipsetConfiguration implements Device, MmioHandler {
  readonly name = 'chipset-configuration'
  readonly version = 1
  state = { bytes: this.#initial() }
  readonly region: MmioRegion

  constructor(bus: Bus) {
    this.region = bus.mmio(undefined, RCBA_LENGTH, this)
  }

  #initial(): Uint8Array {
    const bytes = new Uint8Array(RCBA_LENGTH)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < DEVICE_ROUTES; i++) view.setUint16(D31IR + 2 * i, ROUTE, true)
    return bytes
  }

  reset(): void {
    this.state = { bytes: this.#initial() }
  }

  readMmio(offset: number, size: AccessSize): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.state.bytes[offset + i]
    return value >>> 0
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.state.bytes[offset + i] = value >>> (8 * i)
  }
}

/**
 * Puts host bridge (slot 0), LPC bridge (slot 31) and SMBus (slot 31 function 3) on the bus.
 * @throws if the slots are taken.
 */
export function createQ35(bus: Bus, options: Q35Options): Q35 {
  const { pci, acpi, smbus } = options
  const subsystem = { vendorId: INTEL, subsystemVendorId: SUBSYSTEM_VENDOR, subsystemId: SUBSYSTEM }

  const ecam = bus.mmio(undefined, ECAM_LENGTH, {
    readMmio: (offset, size) => pci.readConfiguration(offset, size),
    writeMmio: (offset, size, value) => pci.writeConfiguration(offset, size, value),
  })
  const configurationBase = () => {
    const low = hostBridge.read32(PCIEXBAR)
    if ((low & PCIEXBAR_ENABLE) === 0) return undefined
    return (low & 0xf0000000) >>> 0 || undefined
  }
  const shadow = new ShadowRegisters(PAM0, SMRAM, options.onShadow)
  const hostBridge: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'host-bridge',
    deviceId: HOST_BRIDGE,
    classCode: 0x060000,
    registers: [
      // Always 256 buses: firmware asks for nothing else.
      { name: 'PCIEXBAR', offset: PCIEXBAR, size: 4, writable: 0xf0000001 },
      { name: 'PCIEXBAR_HIGH', offset: PCIEXBAR + 4, size: 4 },
      ...shadow.registers,
      { name: 'ESMRAMC', offset: 0x9e, size: 1, value: 0x38, writable: 0x87 },
    ],
    onWrite: (offset, size) => {
      shadow.written(offset, size)
      if (offset < PCIEXBAR + 8 && offset + size > PCIEXBAR) ecam.move(configurationBase())
    },
    onReplaced: () => {
      shadow.replaced()
      ecam.move(configurationBase())
    },
  })
  shadow.attach(hostBridge)

  const configuration = new ChipsetConfiguration(bus)
  const watchdog = new TcoWatchdog(bus, {
    onReset: () => options.onWatchdog?.(),
    noReboot: () => (configuration.state.bytes[GCS] & GCS_NO_REBOOT) !== 0,
  })
  const update = () => {
    const { config } = lpc.state
    for (let pirq = 0; pirq < 8; pirq++) {
      const value = config[pirq < 4 ? PIRQ_A + pirq : PIRQ_E + pirq - 4]
      pci.route(pirq, value & PIRQ_DISABLED ? 0 : value & 15)
    }
    const base = lpc.read16(PMBASE) & 0xff80
    const blocks = config[ACPI_CNTL] & ACPI_CNTL_ENABLE && base !== 0 ? base : undefined
    acpi.move(blocks)
    watchdog.move(blocks)
    const rcba = lpc.read32(RCBA)
    configuration.region.move(rcba & RCBA_ENABLE && rcba >>> 14 ? (rcba & ~(RCBA_LENGTH - 1)) >>> 0 : undefined)
  }
  const lpc: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'lpc-bridge',
    deviceId: LPC_BRIDGE,
    revision: 2,
    classCode: 0x060100,
    registers: [
      { name: 'PMBASE', offset: PMBASE, size: 4, value: PM_BASE | 1, writable: 0xff80 },
      { name: 'ACPI_CNTL', offset: ACPI_CNTL, size: 1, value: ACPI_CNTL_ENABLE, writable: 0x87 },
      { name: 'GPIOBASE', offset: 0x48, size: 4, value: 1, writable: 0xff80 },
      { name: 'GPIO_CNTL', offset: 0x4c, size: 1, writable: 0x10 },
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((i): ConfigRegister => {
        const value = options.routes?.[i] || PIRQ_DISABLED
        const offset = i < 4 ? PIRQ_A + i : PIRQ_E + i - 4
        return { name: `PIRQ${'ABCDEFGH'[i]}_ROUT`, offset, size: 1, value, writable: 0x8f }
      }),
      { name: 'SIRQ_CNTL', offset: 0x64, size: 1, value: 0x10, writable: 0xff },
      { name: 'LPC_I/O_DEC', offset: 0x80, size: 2, writable: 0x1377 },
      { name: 'LPC_EN', offset: 0x82, size: 2, writable: 0x3fff },
      { name: 'GEN1_DEC', offset: 0x84, size: 4, writable: 0x00fcfffd },
      { name: 'GEN_PMCON_1', offset: 0xa0, size: 2, writable: 0x06bf },
      { name: 'BIOS_CNTL', offset: 0xdc, size: 1, writable: 0x1f },
      { name: 'RCBA', offset: RCBA, size: 4, writable: 0xffffc001 },
    ],
    onWrite: offset => {
      if (offset >= 0x40) update()
    },
    onReplaced: () => update(),
  })

  const moveSmbus = () => {
    const base = smbusFunction.read16(SMB_BASE) & 0xffe0
    const { config } = smbusFunction.state
    const enabled = (config[4] & 1) !== 0 && (config[SMB_HOSTC] & SMB_HOSTC_ENABLE) !== 0
    smbus.move(enabled && base !== 0 ? base : undefined)
  }
  const smbusFunction: PciFunction = new PciFunction(bus, {
    ...subsystem,
    name: 'smbus-function',
    deviceId: SMBUS,
    revision: 2,
    classCode: 0x0c0500,
    registers: [
      { name: 'SMB_BASE', offset: SMB_BASE, size: 4, value: 1, writable: 0xffffffe0 },
      { name: 'HOSTC', offset: SMB_HOSTC, size: 1, writable: 0x1f },
    ],
    onWrite: () => moveSmbus(),
    onReplaced: () => moveSmbus(),
  })

  pci.add(0, 0, hostBridge)
  pci.add(LPC_SLOT, 0, lpc)
  pci.add(LPC_SLOT, 3, smbusFunction)
  update()
  return {
    devices: [hostBridge, lpc, smbusFunction, configuration, watchdog, smbus],
    openShadow: () => shadow.open(),
    mapConfiguration: base => hostBridge.write(PCIEXBAR, 4, base | PCIEXBAR_ENABLE),
    configurationBase,
  }
}
