/** What firmware reads of the machine in fw_cfg: memory, tables, what to boot. */
import { FW_CFG, type FwCfg, littleEndian } from '../devices/fw-cfg.ts'
import { LOADER_FILE, loaderCommands, RSDP_FILE, TABLES_FILE } from './acpi/loader.ts'
import { type AcpiOptions, relocatableTables } from './acpi/tables.ts'
import { LINUX_ROM_FILE, LINUX_ROM_PATH, linuxRom } from './boot/linux-rom.ts'
import type { BootOptions } from './messages.ts'
import { smbios } from './smbios.ts'

/** What is described. */
export interface FirmwareDescription {
  /** Ranges of RAM by address. */
  regions: readonly { start: number; length: number }[]
  /** How the ACPI tables are made, at the moment at which the firmware reads them. */
  acpi: () => AcpiOptions
  boot: BootOptions
  /** CPUID leaf 1, EAX and EDX. */
  signature: number
  features: number
  /** The first port of the serial port that the firmware uses as its console, where there is no display. */
  consolePort?: number
  /** OpenFirmware paths of the devices to boot from, the first to try first. */
  bootPaths?: () => readonly string[]
}

/** How long the boot menu waits for a key: milliseconds. */
const MENU_WAIT = 10_000
/** An entry of the memory map in `etc/e820`: address, length and type. */
const E820_ENTRY = 20
const E820_RAM = 1

/** Fills fw_cfg for a machine of one processor. */
export function describeMachine(fwCfg: FwCfg, description: FirmwareDescription): void {
  const { regions, boot, signature, features } = description
  const total = regions.reduce((sum, { length }) => sum + length, 0)
  const numbers: [key: number, value: number, size: 2 | 4 | 8][] = [
    [FW_CFG.RAM_SIZE, total, 8],
    [FW_CFG.NO_GRAPHIC, description.consolePort === undefined ? 0 : 1, 2],
    [FW_CFG.PROCESSORS, 1, 2],
    [FW_CFG.MOST_PROCESSORS, 1, 2],
    [FW_CFG.BOOT_MENU, boot.menu ? 1 : 0, 2],
    [FW_CFG.IRQ0_OVERRIDE, 1, 4],
  ]
  for (const [key, value, size] of numbers) fwCfg.set(key, littleEndian(value, size))

  const e820 = new Uint8Array(regions.length * E820_ENTRY)
  for (const [i, { start, length }] of regions.entries()) {
    e820.set(littleEndian(start, 8), i * E820_ENTRY)
    e820.set(littleEndian(length, 8), i * E820_ENTRY + 8)
    e820.set(littleEndian(E820_RAM, 4), i * E820_ENTRY + 16)
  }
  fwCfg.setFile('etc/e820', e820)
  fwCfg.setFile('etc/boot-menu-wait', littleEndian(MENU_WAIT, 2))
  fwCfg.setFile('etc/max-cpus', littleEndian(1, 2))
  if (description.consolePort !== undefined) fwCfg.setFile('etc/sercon-port', littleEndian(description.consolePort, 2))

  // The firmware moves the chipset's registers before it reads these: they are made when they are read.
  const tables = () => relocatableTables(description.acpi())
  fwCfg.setFile(TABLES_FILE, () => tables().tables)
  fwCfg.setFile(RSDP_FILE, () => tables().rsdp)
  fwCfg.setFile(LOADER_FILE, () => loaderCommands(tables()))

  const [below, ...above] = regions
  const { anchor, tables: structures } = smbios({
    below: below.length,
    above: above.reduce((sum, { length }) => sum + length, 0),
    processors: 1,
    signature,
    features,
  })
  fwCfg.setFile('etc/smbios/smbios-anchor', anchor)
  fwCfg.setFile('etc/smbios/smbios-tables', structures)

  const { bootPaths } = description
  if (bootPaths) {
    const list = () => new TextEncoder().encode(`${bootPaths().join('\n')}\0`)
    fwCfg.setFile('bootorder', () => (bootPaths().length > 0 ? list() : new Uint8Array(0)))
  }
}

/**
 * Gives firmware a Linux kernel to boot: UEFI can load it itself, a BIOS by an option ROM of ours.
 * @param bios where RAM above 1 MiB ends, for a BIOS
 * @throws BootError with one sentence where a BIOS cannot boot it
 */
export function offerKernel(
  fwCfg: FwCfg,
  kernel: Uint8Array,
  { initrd, commandLine, bios }: { initrd?: Uint8Array; commandLine: string; bios?: { extendedEnd: number } },
): void {
  // Where the real-mode part ends and the kernel begins (Linux, Documentation/arch/x86/boot.rst: setup_sects).
  const setup = Math.min(kernel.length, ((kernel[0x1f1] || 4) + 1) * 512)
  const words = new TextEncoder().encode(`${commandLine}\0`)
  const item = (sizeKey: number, dataKey: number, bytes: Uint8Array) => {
    fwCfg.set(sizeKey, littleEndian(bytes.length, 4))
    fwCfg.set(dataKey, bytes)
  }
  const forBios = bios && linuxRom(kernel, { initrd, commandLine, ...bios })
  item(FW_CFG.SETUP_SIZE, FW_CFG.SETUP_DATA, forBios?.setup ?? kernel.slice(0, setup))
  if (forBios) {
    fwCfg.setFile(LINUX_ROM_FILE, forBios.rom)
    fwCfg.setFile('bootorder', new TextEncoder().encode(`${LINUX_ROM_PATH}\0`))
  }
  item(FW_CFG.KERNEL_SIZE, FW_CFG.KERNEL_DATA, kernel.slice(setup))
  if (initrd) item(FW_CFG.INITRD_SIZE, FW_CFG.INITRD_DATA, initrd.slice())
  item(FW_CFG.COMMAND_LINE_SIZE, FW_CFG.COMMAND_LINE_DATA, words)
}
