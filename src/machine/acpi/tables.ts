/**
 * The ACPI tables of the PC (ACPI 6.5, chapter 5): laid out in the area below 1 MiB where a guest scans for them, or as blocks that
 * firmware places.
 */
import {
  ACPI_DISABLE,
  ACPI_ENABLE,
  GPE0,
  GPE0_LENGTH,
  PM_TIMER,
  PM1_CONTROL,
  PM1_EVENT,
  SCI_IRQ,
  SMI_COMMAND,
} from '../../devices/acpi-pm.ts'
import { HPET_BASE } from '../../devices/hpet.ts'
import { IOAPIC_BASE } from '../../devices/ioapic.ts'
import { RESET_CONTROL } from '../../devices/reset-control.ts'
import { CMOS_CENTURY } from '../../devices/rtc.ts'
import { dsdtBody, type SystemDescription } from './dsdt.ts'

/** Addresses and numbers that tables and devices share. */
export const ACPI_HARDWARE = {
  /** Local APIC, I/O APIC and HPET register pages. */
  localApic: 0xfee00000,
  ioApic: IOAPIC_BASE,
  hpet: HPET_BASE,
  /** System control interrupt. */
  sci: SCI_IRQ,
  /** Reset control register and the value that resets. */
  resetPort: RESET_CONTROL,
  resetValue: 0x06,
  /** Index of the century in CMOS RAM. */
  century: CMOS_CENTURY,
} as const

/** Everything the tables depend on. */
export interface AcpiOptions extends SystemDescription {
  ioApicId: number
  /** It has a display adapter. */
  display?: boolean
  /** Where the power management block is: the firmware may have moved it. */
  powerManagementBase: number
  /** Low half of the HPET's general capabilities register. */
  hpetCapabilities: number
}

const HEADER = 36
const OEM_ID = 'TYPTWO'
const OEM_TABLE_ID = 'TYPETWO '
const CREATOR_ID = 'TYP2'

/** FADT flags (5.2.9.3): WBINVD works, C1 works, no sleep button, RTC wakes from nothing, 32-bit timer, reset register. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 8) | (1 << 10)
/** IA-PC boot flags (5.2.9.3): legacy devices are there; there is a keyboard controller; there is no VGA. */
const BOOT_LEGACY = 1 << 0
const BOOT_8042 = 1 << 1
const BOOT_NO_VGA = 1 << 2

function ascii(view: DataView, offset: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint8(offset + i, text.charCodeAt(i))
}

/** Sets the byte at `offset` so that the first `length` bytes add up to 0. */
function checksum(bytes: Uint8Array, offset: number, length = bytes.length): void {
  bytes[offset] = 0
  bytes[offset] = -bytes.subarray(0, length).reduce((a, b) => a + b, 0)
}

/** A table with its header (5.2.6) around `length` bytes that `fill` writes. */
function table(signature: string, revision: number, length: number, fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(HEADER + length)
  const view = new DataView(bytes.buffer)
  ascii(view, 0, signature)
  view.setUint32(4, bytes.length, true)
  view.setUint8(8, revision)
  ascii(view, 10, OEM_ID)
  ascii(view, 16, OEM_TABLE_ID)
  view.setUint32(24, 1, true)
  ascii(view, 28, CREATOR_ID)
  view.setUint32(32, 1, true)
  fill(view)
  checksum(bytes, 9)
  return bytes
}

/** A generic address structure (5.2.3.2). Space 0 is memory, 1 is I/O; access size 1 to 4 is byte to qword. */
function genericAddress(view: DataView, at: number, space: 0 | 1, bits: number, access: number, address: number): void {
  view.setUint8(at, space)
  view.setUint8(at + 1, bits)
  view.setUint8(at + 3, access)
  view.setBigUint64(at + 4, BigInt(address), true)
}

function dsdt(options: AcpiOptions): Uint8Array {
  const body = dsdtBody(options)
  return table('DSDT', 2, body.length, view => new Uint8Array(view.buffer).set(body, HEADER))
}

/** The fixed description (5.2.9), in its form of ACPI 4. */
function fadt(facsAddress: number, dsdtAddress: number, options: AcpiOptions): Uint8Array {
  const { powerManagementBase: base, input, display } = options
  const bootFlags = BOOT_LEGACY | (input ? BOOT_8042 : 0) | (display ? 0 : BOOT_NO_VGA)
  // PM1a event block (4 bytes), control block (2 bytes), timer (4 bytes), general-purpose events.
  const blocks = {
    pm1Event: base + PM1_EVENT,
    pm1Control: base + PM1_CONTROL,
    pmTimer: base + PM_TIMER,
    gpe0: base + GPE0,
  }
  const io = { ...ACPI_HARDWARE, ...blocks }
  return table('FACP', 4, 244 - HEADER, view => {
    view.setUint32(36, facsAddress, true)
    view.setUint32(40, dsdtAddress, true)
    view.setUint8(45, 1)
    view.setUint16(46, io.sci, true)
    view.setUint32(48, SMI_COMMAND, true)
    view.setUint8(52, ACPI_ENABLE)
    view.setUint8(53, ACPI_DISABLE)
    view.setUint32(56, io.pm1Event, true)
    view.setUint32(64, io.pm1Control, true)
    view.setUint32(76, io.pmTimer, true)
    view.setUint32(80, io.gpe0, true)
    view.setUint8(88, 4)
    view.setUint8(89, 2)
    view.setUint8(91, 4)
    view.setUint8(92, GPE0_LENGTH)
    // Latencies above these limits say that C2 and C3 are not there.
    view.setUint16(96, 0xfff, true)
    view.setUint16(98, 0xfff, true)
    view.setUint8(108, io.century)
    view.setUint16(109, bootFlags, true)
    view.setUint32(112, FADT_FLAGS, true)
    genericAddress(view, 116, 1, 8, 1, io.resetPort)
    view.setUint8(128, io.resetValue)
    view.setBigUint64(140, BigInt(dsdtAddress), true)
    genericAddress(view, 148, 1, 32, 2, io.pm1Event)
    genericAddress(view, 172, 1, 16, 2, io.pm1Control)
    genericAddress(view, 208, 1, 32, 3, io.pmTimer)
    genericAddress(view, 220, 1, 8 * GPE0_LENGTH, 1, io.gpe0)
  })
}

/** The firmware control structure (5.2.10), which has no checksum. */
function facs(): Uint8Array {
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer)
  ascii(view, 0, 'FACS')
  view.setUint32(4, 64, true)
  view.setUint8(32, 1)
  return bytes
}

/** The interrupt controllers (5.2.12). */
function madt(options: AcpiOptions): Uint8Array {
  const entries: number[][] = options.processors.map(apicId => [0, 8, apicId, apicId, 1, 0, 0, 0])
  const u32 = (value: number) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]
  entries.push([1, 12, options.ioApicId, 0, ...u32(ACPI_HARDWARE.ioApic), ...u32(0)])
  // The PIT's IRQ 0 is wired to pin 2; the SCI is level-triggered and active high.
  entries.push([2, 10, 0, 0, ...u32(2), 0, 0])
  entries.push([2, 10, 0, ACPI_HARDWARE.sci, ...u32(ACPI_HARDWARE.sci), 0x0d, 0])
  // LINT1 of every processor is NMI.
  entries.push([4, 6, 0xff, 0, 0, 1])
  const bytes = entries.flat()
  return table('APIC', 3, 8 + bytes.length, view => {
    view.setUint32(36, ACPI_HARDWARE.localApic, true)
    // There are also two 8259s.
    view.setUint32(40, 1, true)
    new Uint8Array(view.buffer).set(bytes, 44)
  })
}

/** The HPET description (IA-PC HPET specification 1.0a, 3.2.4). */
function hpet(options: AcpiOptions): Uint8Array {
  return table('HPET', 1, 20, view => {
    view.setUint32(36, options.hpetCapabilities, true)
    genericAddress(view, 40, 0, 64, 0, ACPI_HARDWARE.hpet)
    view.setUint16(53, 128, true)
  })
}

/** Where configuration space is in memory (PCI Firmware Specification 3.2, 4.1.2): segment 0, all 256 buses. */
function mcfg(base: number): Uint8Array {
  return table('MCFG', 1, 24, view => {
    view.setBigUint64(44, BigInt(base), true)
    view.setUint8(55, 255)
  })
}

/** Windows' table of emulated devices that need no workarounds: RTC acknowledged once, PM timer read once. */
function waet(): Uint8Array {
  return table('WAET', 1, 4, view => view.setUint32(36, 3, true))
}

/** The root table with pointers of 4 (RSDT) or 8 (XSDT) bytes. */
function root(signature: 'RSDT' | 'XSDT', addresses: number[]): Uint8Array {
  const size = signature === 'RSDT' ? 4 : 8
  return table(signature, 1, addresses.length * size, view => {
    for (const [i, address] of addresses.entries())
      if (size === 4) view.setUint32(HEADER + 4 * i, address, true)
      else view.setBigUint64(HEADER + 8 * i, BigInt(address), true)
  })
}

/** The root pointer (5.2.5). */
function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const bytes = new Uint8Array(36)
  const view = new DataView(bytes.buffer)
  ascii(view, 0, 'RSD PTR ')
  ascii(view, 9, OEM_ID)
  view.setUint8(15, 2)
  view.setUint32(16, rsdtAddress, true)
  view.setUint32(20, 36, true)
  view.setBigUint64(24, BigInt(xsdtAddress), true)
  checksum(bytes, 8, 20)
  checksum(bytes, 32)
  return bytes
}

/** The tables as one block of bytes. */
export interface AcpiTables {
  /** Where the block belongs. */
  address: number
  bytes: Uint8Array
  /** Address of the root pointer, on 16 bytes within the block. */
  rsdp: number
  /** Each table's place, for tests and tools. */
  tables: { signature: string; address: number; length: number }[]
}

/** Tables before they have an address: pointers hold offsets within {@link tables}, there are no checksums. */
export interface RelocatableTables {
  /** All tables but the root pointer; to be placed on 64 bytes. */
  tables: Uint8Array
  /** The root pointer; to be placed on 16 bytes where a guest scans for it. */
  rsdp: Uint8Array
  /** Little-endian pointers into {@link tables} that want its address added. */
  pointers: { part: 'tables' | 'rsdp'; at: number; size: 4 | 8 }[]
  /** Bytes that are to make the sum of a range 0, once the pointers are right; 0 until then. */
  checksums: { part: 'tables' | 'rsdp'; at: number; start: number; length: number }[]
  /** Each table's place. */
  list: { signature: string; offset: number; length: number }[]
}

/** Makes the tables for whoever places them. */
export function relocatableTables(options: AcpiOptions): RelocatableTables {
  const placed: { signature: string; offset: number; bytes: Uint8Array }[] = []
  let next = 0
  const place = (bytes: Uint8Array) => {
    const offset = next
    placed.push({ signature: String.fromCharCode(...bytes.subarray(0, 4)), offset, bytes })
    next = Math.ceil((offset + bytes.length) / 64) * 64
    return offset
  }
  const fadtOffset = place(fadt(place(facs()), place(dsdt(options)), options))
  const listed = [fadtOffset, place(madt(options)), place(hpet(options)), place(waet())]
  const { configurationBase } = options
  if (configurationBase !== undefined) listed.push(place(mcfg(configurationBase)))
  const rsdt = place(root('RSDT', listed))
  const xsdt = place(root('XSDT', listed))
  const tables = new Uint8Array(next)
  for (const { offset, bytes } of placed) tables.set(bytes, offset)
  const pointers: RelocatableTables['pointers'] = [
    { part: 'rsdp', at: 16, size: 4 },
    { part: 'rsdp', at: 24, size: 8 },
    { part: 'tables', at: fadtOffset + 36, size: 4 },
    { part: 'tables', at: fadtOffset + 40, size: 4 },
    { part: 'tables', at: fadtOffset + 140, size: 8 },
  ]
  for (const i of listed.keys()) {
    pointers.push({ part: 'tables', at: rsdt + HEADER + 4 * i, size: 4 })
    pointers.push({ part: 'tables', at: xsdt + HEADER + 8 * i, size: 8 })
  }
  const checksums: RelocatableTables['checksums'] = placed
    .filter(({ signature }) => signature !== 'FACS')
    .map(({ offset, bytes }) => ({ part: 'tables', at: offset + 9, start: offset, length: bytes.length }))
  checksums.push({ part: 'rsdp', at: 8, start: 0, length: 20 }, { part: 'rsdp', at: 32, start: 0, length: 36 })
  const list = placed.map(({ signature, offset, bytes }) => ({ signature, offset, length: bytes.length }))
  const parts = { tables, rsdp: rsdp(rsdt, xsdt) }
  // EDK II adds what is there to the sum.
  for (const { part, at } of checksums) parts[part][at] = 0
  return { ...parts, pointers, checksums, list }
}

/** Makes the tables for a block at `address`, which is a multiple of 64 between 0xe0000 and 0xfffff. */
export function acpiTables(address: number, options: AcpiOptions): AcpiTables {
  const { tables, rsdp, pointers, checksums, list } = relocatableTables(options)
  // The root pointer comes first.
  const base = address + 64
  if (base + tables.length > 0x100000) throw new Error('the ACPI tables do not fit below 1 MiB')
  const parts = { tables, rsdp }
  for (const { part, at, size } of pointers) {
    const view = new DataView(parts[part].buffer)
    if (size === 4) view.setUint32(at, view.getUint32(at, true) + base, true)
    else view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(base), true)
  }
  for (const { part, at, start, length } of checksums) checksum(parts[part].subarray(start, start + length), at - start)
  const bytes = new Uint8Array(64 + tables.length)
  bytes.set(rsdp)
  bytes.set(tables, 64)
  const placed = list.map(({ signature, offset, length }) => ({ signature, address: base + offset, length }))
  return { address, bytes, rsdp: address, tables: placed }
}
