/**
 * The commands by which firmware places ACPI tables that it reads as files: allocate, add pointer, add checksum. The
 * format is that of the file `etc/table-loader` which SeaBIOS and EDK II know.
 */
import type { RelocatableTables } from './tables.ts'

/** Names of the files. */
export const TABLES_FILE = 'etc/acpi/tables'
export const RSDP_FILE = 'etc/acpi/rsdp'
export const LOADER_FILE = 'etc/table-loader'

const ENTRY = 128
const NAME = 56
const ALLOCATE = 1
const ADD_POINTER = 2
const ADD_CHECKSUM = 3
/** Allocation zones: anywhere below 4 GiB, or the segment F000h where guests scan. */
const ZONE_HIGH = 1
const ZONE_F_SEGMENT = 2

const FILES = { tables: TABLES_FILE, rsdp: RSDP_FILE } as const

function entry(command: number, fill: (view: DataView, name: (at: number, text: string) => void) => void): Uint8Array {
  const bytes = new Uint8Array(ENTRY)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, command, true)
  fill(view, (at, text) => bytes.set(new TextEncoder().encode(text).subarray(0, NAME - 1), at))
  return bytes
}

/** The contents of {@link LOADER_FILE} for these tables. */
export function loaderCommands({ pointers, checksums }: RelocatableTables): Uint8Array {
  const allocate = (file: string, align: number, zone: number) =>
    entry(ALLOCATE, (view, name) => {
      name(4, file)
      view.setUint32(4 + NAME, align, true)
      view.setUint8(8 + NAME, zone)
    })
  const commands = [
    allocate(RSDP_FILE, 16, ZONE_F_SEGMENT),
    allocate(TABLES_FILE, 64, ZONE_HIGH),
    ...pointers.map(({ part, at, size }) =>
      entry(ADD_POINTER, (view, name) => {
        name(4, FILES[part])
        name(4 + NAME, TABLES_FILE)
        view.setUint32(4 + 2 * NAME, at, true)
        view.setUint8(8 + 2 * NAME, size)
      }),
    ),
    ...checksums.map(({ part, at, start, length }) =>
      entry(ADD_CHECKSUM, (view, name) => {
        name(4, FILES[part])
        view.setUint32(4 + NAME, at, true)
        view.setUint32(8 + NAME, start, true)
        view.setUint32(12 + NAME, length, true)
      }),
    ),
  ]
  const bytes = new Uint8Array(commands.length * ENTRY)
  for (const [i, command] of commands.entries()) bytes.set(command, i * ENTRY)
  return bytes
}
