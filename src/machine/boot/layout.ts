/** Where direct boot puts things in guest memory, and the memory map that the guest is told. */
import { BootError, type BootImage, type BootMemory, type BootModule } from './state.ts'

/** struct boot_params ("zero page"), or the start info of PVH or multiboot. */
export const PARAMETERS_ADDRESS = 0x7000
/** PML4, PDPT and four page directories that map the first 4 GiB onto themselves. */
export const PAGE_TABLES_ADDRESS = 0x9000
/** Bytes of those. */
const PAGE_TABLES_LENGTH = 6 * 4096
/** The kernel's command line, zero-terminated, up to {@link COMMAND_LINE_ROOM} bytes. */
export const COMMAND_LINE_ADDRESS = 0x20000
/** Bytes that a command line may take with its final zero. */
export const COMMAND_LINE_ROOM = 0x10000
/** Top of a small stack for entry points that use one. */
export const STACK_ADDRESS = 0x7000
/** End of conventional memory: what is above belongs to the extended BIOS data area. */
export const CONVENTIONAL_END = 0x9fc00
/** Start of the area in which ACPI tables are placed, and which is no RAM to the guest. */
export const FIRMWARE_START = 0xe0000
/** End of the room for those tables. Above it are 64 KiB that a PC's BIOS would fill, and that are empty here. */
export const TABLES_END = 0xf0000
/** Extended memory begins. */
export const EXTENDED_START = 0x100000

/** An entry of the memory map (ACPI 6.5, 15: system address map). Type 1 is RAM, 2 is reserved. */
export interface MapEntry {
  address: number
  length: number
  type: 1 | 2
}

/** The memory map of a PC with the given RAM. */
export function memoryMap(regions: BootMemory['regions']): MapEntry[] {
  const map: MapEntry[] = [
    { address: 0, length: CONVENTIONAL_END, type: 1 },
    { address: CONVENTIONAL_END, length: 0xa0000 - CONVENTIONAL_END, type: 2 },
    { address: FIRMWARE_START, length: EXTENDED_START - FIRMWARE_START, type: 2 },
  ]
  for (const { address, length } of regions) {
    const start = Math.max(address, EXTENDED_START)
    if (address + length > start) map.push({ address: start, length: address + length - start, type: 1 })
  }
  // I/O APIC, HPET and local APIC, and the room of the reset vector.
  map.push({ address: 0xfec00000, length: 0x400000, type: 2 })
  return map.sort((a, b) => a.address - b.address)
}

/** Bytes from 1 MiB to the end of the RAM that begins at or spans it, which is where a loader puts things. */
export function extendedEnd(regions: BootMemory['regions']): number {
  const region = regions.find(
    ({ address, length }) => address <= EXTENDED_START && address + length > EXTENDED_START && address < 2 ** 32,
  )
  if (!region)
    throw new BootError(
      'the machine has less than 1 MiB of memory, too little to load a kernel: give more with --memory, for example 256M',
    )
  return Math.min(region.address + region.length, 2 ** 32)
}

/**
 * Makes sure that a kernel may be loaded to `address` up to but not including `end`: RAM in which the machine has put
 * nothing. From 960 KiB on it is one range, because linkers put the headers of what is linked at 1 MiB a page below.
 * @param what the kernel, for the sentence
 * @param long whether {@link writeIdentityTables} will follow
 * @throws BootError with one sentence otherwise
 */
export function checkRange(
  memory: BootMemory,
  { what, address, end, long }: { what: string; address: number; end: number; long: boolean },
): void {
  const extended = extendedEnd(memory.regions)
  const free: readonly (readonly [start: number, end: number])[] = [
    [long ? PAGE_TABLES_ADDRESS + PAGE_TABLES_LENGTH : PARAMETERS_ADDRESS + 0x1000, COMMAND_LINE_ADDRESS],
    [COMMAND_LINE_ADDRESS + COMMAND_LINE_ROOM, CONVENTIONAL_END],
    [TABLES_END, extended],
  ]
  if (free.some(([first, last]) => address >= first && end <= last)) return
  const wanted = `${what} wants memory from 0x${address.toString(16)} to 0x${end.toString(16)}, and `
  throw new BootError(
    end > extended
      ? `${wanted}the machine's ends at ${megabytes(extended)}: give it more with --memory, or a kernel linked for a PC`
      : `${wanted}the machine itself needs some of that: give a kernel linked at 1 MiB or above`,
  )
}

/**
 * Writes the command line, zero-terminated, in UTF-8.
 * @param limit most bytes the kernel takes, without the final zero
 * @returns its length in bytes, without the final zero
 */
export function writeCommandLine(memory: BootMemory, commandLine: string, limit: number): number {
  const bytes = new TextEncoder().encode(commandLine)
  const most = Math.min(limit, COMMAND_LINE_ROOM - 1)
  if (bytes.includes(0)) throw new BootError('the command line contains a zero byte: remove it')
  if (bytes.length > most)
    throw new BootError(`the command line has ${bytes.length} bytes, but this kernel takes at most ${most}: shorten it`)
  memory.clear(COMMAND_LINE_ADDRESS, bytes.length + 1)
  memory.write(COMMAND_LINE_ADDRESS, bytes)
  return bytes.length
}

/** Writes page tables that map the first 4 GiB onto themselves with 2 MiB pages. */
export function writeIdentityTables(memory: BootMemory): void {
  const tables = new Uint8Array(PAGE_TABLES_LENGTH)
  const view = new DataView(tables.buffer)
  const presentWritable = 3
  view.setUint32(0, (PAGE_TABLES_ADDRESS + 4096) | presentWritable, true)
  for (let gigabyte = 0; gigabyte < 4; gigabyte++) {
    view.setUint32(4096 + 8 * gigabyte, (PAGE_TABLES_ADDRESS + 4096 * (2 + gigabyte)) | presentWritable, true)
    for (let i = 0; i < 512; i++) {
      const page = gigabyte * 2 ** 30 + i * 2 ** 21
      view.setUint32(4096 * (2 + gigabyte) + 8 * i, page + 0x80 + presentWritable, true)
    }
  }
  memory.write(PAGE_TABLES_ADDRESS, tables)
}

/**
 * Puts the initrd as high as it may be, on a page of its own.
 * @param above first free byte above the kernel
 * @param limit one more than the last address it may use
 * @param what it is, for the sentence
 * @returns its address
 */
export function placeInitrd(
  memory: BootMemory,
  initrd: Uint8Array,
  above: number,
  limit: number,
  what = 'the initrd',
): number {
  const address = Math.floor((Math.min(limit, extendedEnd(memory.regions)) - initrd.length) / 4096) * 4096
  if (address < above) {
    const room = Math.max(0, Math.min(limit, extendedEnd(memory.regions)) - above)
    throw new BootError(
      `${what} has ${megabytes(initrd.length)}, but only ${megabytes(room)} of memory are free above the kernel: ` +
        'give the machine more with --memory',
    )
  }
  memory.write(address, initrd)
  return address
}

/** A module as it lies in memory: addresses of its bytes and of its zero-terminated text. */
export interface PlacedModule {
  address: number
  length: number
  text: number
}

/** How many modules a kernel may get: their list lies in the page of the information structure. */
export const MOST_MODULES = 64

/** What a kernel is given beside itself: the initrd, under that name, and the modules. */
export function modulesOf({ initrd, modules = [] }: BootImage): readonly BootModule[] {
  return initrd && initrd.length > 0 ? [{ bytes: initrd, text: 'initrd' }, ...modules] : modules
}

/**
 * The initrd of a kernel that takes no more than one: given as such, or as the only module.
 * @throws BootError where there are several
 */
export function onlyInitrd(image: BootImage): Uint8Array | undefined {
  const modules = modulesOf(image)
  if (modules.length > 1)
    throw new BootError(
      `the kernel takes one initrd, and there are ${modules.length} modules: modules are for multiboot and PVH kernels`,
    )
  return modules[0]?.bytes
}

/**
 * Puts modules at the top of memory, each on pages of its own, in ascending order, and their texts behind the command line.
 * @param above first free byte above the kernel
 * @throws BootError with one sentence where there is no room
 */
export function placeModules(memory: BootMemory, image: BootImage, above: number): PlacedModule[] {
  const modules = modulesOf(image)
  if (modules.length > MOST_MODULES)
    throw new BootError(`there are ${modules.length} modules for the kernel: give at most ${MOST_MODULES}`)
  const encoder = new TextEncoder()
  let text = COMMAND_LINE_ADDRESS + COMMAND_LINE_ROOM
  let limit = 2 ** 32
  const last = COMMAND_LINE_ADDRESS + encoder.encode(image.commandLine).length + 16
  return modules
    .toReversed()
    .map(({ bytes, text: words }) => {
      const what = words === 'initrd' ? 'the initrd' : `the initrd's module '${words}'`
      const line = encoder.encode(`${words}\0`)
      text -= line.length
      if (text < last) throw new BootError(`${what} has a command line for which there is no room any more: shorten it`)
      memory.write(text, line)
      limit = placeInitrd(memory, bytes, above, limit, what)
      return { address: limit, length: bytes.length, text }
    })
    .toReversed()
}

/** A size for people: `'12.3 MiB'`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
