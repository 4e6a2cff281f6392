/** The SMBIOS tables of the PC (DMTF DSP0134 2.8), for firmware to place. */

const MIB = 2 ** 20

/** What the tables tell. */
export interface SmbiosOptions {
  /** Bytes of RAM below 4 GiB, and from there on. */
  below: number
  above: number
  /** How many processors there are. */
  processors: number
  /** CPUID leaf 1, EAX and EDX. */
  signature: number
  features: number
}

/** One structure: its formatted part behind the header, and its strings. */
function structure(type: number, handle: number, fields: number[], strings: string[] = []): number[] {
  const text = strings.length === 0 ? [0] : strings.flatMap(string => [...new TextEncoder().encode(string), 0])
  return [type, 4 + fields.length, handle & 0xff, handle >> 8, ...fields, ...text, 0]
}

const word = (value: number) => [value & 0xff, (value >>> 8) & 0xff]
const dword = (value: number) => [...word(value & 0xffff), ...word(value >>> 16)]
const quad = (value: number) => [...dword(value % 2 ** 32), ...dword(Math.floor(value / 2 ** 32))]

/** The files that firmware reads: entry point and structures. */
export interface Smbios {
  anchor: Uint8Array
  tables: Uint8Array
}

/** Makes the tables. The firmware gives the entry point the tables' address and makes its checksums. */
export function smbios(options: SmbiosOptions): Smbios {
  const { below, above, processors, signature, features } = options
  const megabytes = Math.ceil((below + above) / MIB)
  const maker = 'typetwo'
  const product = 'typetwo virtual machine'
  const structures = [
    // BIOS information: characteristics unknown to this table, a virtual machine.
    structure(0, 0, [1, 2, 0, 0xe8, 3, 0, ...quad(8), 0, 0x14, 0, 0, 0xff, 0xff], [maker, '0.1', '01/01/2024']),
    // System information, with no UUID; woken by the power switch.
    structure(1, 0x100, [1, 2, 3, 0, ...new Array(16).fill(0), 6, 0, 0], [maker, product, '0.1']),
    // An enclosure of unknown kind, all of it safe.
    structure(3, 0x300, [1, 1, 0, 0, 0, 3, 3, 3, 2, ...dword(0), 0, 0, 0, 0], [maker]),
    ...Array.from({ length: processors }, (_, i) =>
      structure(
        4,
        0x400 + i,
        [
          ...[1, 3, 1, 2, ...dword(signature), ...dword(features), 0, 0],
          ...[...word(0), ...word(0), ...word(0), 0x41, 1, ...word(0xffff), ...word(0xffff), ...word(0xffff)],
          ...[0, 0, 0, 1, 1, 1, ...word(2), ...word(1)],
        ],
        [`CPU ${i}`, maker],
      ),
    ),
    // One array of memory on the system board with one device, without error correction, at both of its ranges.
    structure(16, 0x1000, [1, 3, 6, ...dword(megabytes * 1024), ...word(0xfffe), ...word(1), ...quad(0)]),
    structure(
      17,
      0x1100,
      [
        ...[...word(0x1000), ...word(0xfffe), ...word(0xffff), ...word(0xffff)],
        ...[...word(Math.min(megabytes, 0x7fff)), 9, 0, 1, 0, 7, ...word(2), ...word(0), 2, 0, 0, 0, 0],
        ...[...dword(megabytes >= 0x7fff ? megabytes : 0), ...word(0), ...word(0), ...word(0), ...word(0)],
      ],
      ['DIMM 0', maker],
    ),
    range(0x1300, 0, below),
    ...(above > 0 ? [range(0x1301, 2 ** 32, above)] : []),
    structure(32, 0x2000, [0, 0, 0, 0, 0, 0, 0]),
    structure(127, 0x7f00, []),
  ]
  const tables = Uint8Array.from(structures.flat())
  const anchor = new Uint8Array(31)
  const view = new DataView(anchor.buffer)
  anchor.set(new TextEncoder().encode('_SM_'))
  anchor.set([31, 2, 8], 5)
  view.setUint16(8, Math.max(...structures.map(bytes => bytes.length)), true)
  anchor.set(new TextEncoder().encode('_DMI_'), 16)
  view.setUint16(22, tables.length, true)
  view.setUint16(28, structures.length, true)
  anchor[30] = 0x28
  anchor[21] = -anchor.subarray(16, 31).reduce((a, b) => a + b, 0)
  anchor[4] = -anchor.reduce((a, b) => a + b, 0)
  return { anchor, tables }
}

/** A range of addresses that the array of memory answers. */
function range(handle: number, start: number, length: number): number[] {
  const kibibytes = (start + length) / 1024 - 1
  const fits = kibibytes < 0xffffffff
  return structure(19, handle, [
    ...[...dword(fits ? start / 1024 : 0xffffffff), ...dword(fits ? kibibytes : 0xffffffff), ...word(0x1000), 1],
    ...[...quad(fits ? 0 : start), ...quad(fits ? 0 : start + length - 1)],
  ])
}
