/**
 * Direct boot of Linux: bzImage by the 32- and 64-bit boot protocols, and the boot_params that an ELF vmlinux takes.
 * Offsets are those of Linux's Documentation/arch/x86/boot.rst and zero-page.rst.
 */
import { type ElfFile, isElf, loadSegments, PT_LOAD, parseElf, physicalEntry } from './elf.ts'
import {
  COMMAND_LINE_ADDRESS,
  EXTENDED_START,
  extendedEnd,
  megabytes,
  memoryMap,
  onlyInitrd,
  PAGE_TABLES_ADDRESS,
  PARAMETERS_ADDRESS,
  placeInitrd,
  STACK_ADDRESS,
  writeCommandLine,
  writeIdentityTables,
} from './layout.ts'
import {
  BootError,
  type BootImage,
  type BootMemory,
  type BootState,
  CR0_LONG,
  CR0_PROTECTED,
  CR4_PAE,
  EFER_LONG,
  flatSegments,
} from './state.ts'
import { unpackPayload } from './unpack.ts'

/** Offsets in boot_params; those from 0x1f1 on are the setup header's, the same in the file. */
export const FIELD = {
  acpi_rsdp_addr: 0x070,
  orig_video_mode: 0x06,
  orig_video_cols: 0x07,
  orig_video_lines: 0x0e,
  orig_video_isVGA: 0x0f,
  orig_video_points: 0x10,
  alt_mem_k: 0x1e0,
  e820_entries: 0x1e8,
  setup_sects: 0x1f1,
  syssize: 0x1f4,
  boot_flag: 0x1fe,
  jump: 0x200,
  header: 0x202,
  version: 0x206,
  type_of_loader: 0x210,
  loadflags: 0x211,
  code32_start: 0x214,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  heap_end_ptr: 0x224,
  cmd_line_ptr: 0x228,
  initrd_addr_max: 0x22c,
  kernel_alignment: 0x230,
  relocatable_kernel: 0x234,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  payload_offset: 0x248,
  payload_length: 0x24c,
  pref_address: 0x258,
  init_size: 0x260,
  e820_table: 0x2d0,
} as const

export const LOADFLAGS_LOADED_HIGH = 0x01
export const LOADFLAGS_CAN_USE_HEAP = 0x80
const XLOADFLAGS_KERNEL_64 = 0x01
/** A loader without a number of its own. */
export const LOADER_TYPE_UNDEFINED = 0xff
/** The 64-bit entry is 0x200 bytes into the loaded kernel. */
const ENTRY_64_OFFSET = 0x200
const E820_MOST = 128

/** Whether `kernel` is a Linux image with a setup header. */
export function isLinuxImage(kernel: Uint8Array): boolean {
  return (
    kernel.length > FIELD.version + 2 &&
    String.fromCharCode(...kernel.subarray(FIELD.header, FIELD.header + 4)) === 'HdrS' &&
    kernel[FIELD.boot_flag] === 0x55 &&
    kernel[FIELD.boot_flag + 1] === 0xaa
  )
}

/**
 * Loads a bzImage with its initrd and command line.
 * @throws BootError with one sentence when it is truncated, too old, or does not fit
 */
export function loadLinux(memory: BootMemory, image: BootImage): BootState {
  const { kernel } = image
  if (kernel.length < FIELD.init_size + 4)
    throw new BootError(`the kernel is truncated: it has only ${kernel.length} bytes, not even its setup header`)
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const version = view.getUint16(FIELD.version, true)
  if (version < 0x0204 || (kernel[FIELD.loadflags] & LOADFLAGS_LOADED_HIGH) === 0)
    throw new BootError(
      `the kernel uses Linux boot protocol ${version >> 8}.${version & 0xff} or is a zImage, ` +
        'which is loaded below 1 MiB: a bzImage of Linux 2.6 or newer is needed',
    )
  const setupLength = ((kernel[FIELD.setup_sects] || 4) + 1) * 512
  const codeLength = view.getUint32(FIELD.syssize, true) * 16
  // syssize counts whole paragraphs, and the last may be short in the file.
  if (kernel.length + 15 < setupLength + codeLength || codeLength === 0)
    throw new BootError(
      `the kernel is truncated: its header promises ${setupLength + codeLength} bytes, and it has ${kernel.length}: ` +
        'fetch or build it again',
    )
  const code = kernel.subarray(setupLength, setupLength + codeLength)
  const long = version >= 0x020c && (view.getUint16(FIELD.xloadflags, true) & XLOADFLAGS_KERNEL_64) !== 0
  const initSize = Math.max(code.length, version >= 0x020a ? view.getUint32(FIELD.init_size, true) : code.length * 3)
  const address = chooseAddress(view, version, initSize, {
    end: extendedEnd(memory.regions),
    initrdLength: image.initrd?.length ?? 0,
  })
  const unpacked = long ? unpackKernel(view, code, address, initSize) : undefined
  if (unpacked) loadSegments(memory, unpacked.file, unpacked.elf, { what: 'the kernel', long })
  else memory.write(address, code)

  const parameters = new Uint8Array(4096)
  // The header ends where the byte after the jump at its end says; what is beyond is not ours to copy.
  const headerEnd = Math.min(FIELD.header + kernel[FIELD.jump + 1], 0x290)
  parameters.set(kernel.subarray(FIELD.setup_sects, Math.max(headerEnd, FIELD.initrd_addr_max + 4)), FIELD.setup_sects)
  const limits = {
    initrd: version >= 0x0203 ? view.getUint32(FIELD.initrd_addr_max, true) + 1 : 0x38000000,
    commandLine: version >= 0x0206 ? view.getUint32(FIELD.cmdline_size, true) : 255,
  }
  fillParameters(memory, image, parameters, address + initSize, limits)
  new DataView(parameters.buffer).setUint32(FIELD.code32_start, address, true)
  memory.write(PARAMETERS_ADDRESS, parameters)
  if (unpacked) return linuxEntry(memory, unpacked.entry, long)
  return linuxEntry(memory, long ? address + ENTRY_64_OFFSET : address, long)
}

/**
 * The ELF file inside a 64-bit bzImage, if it can be unpacked here and entered as its own decompressor would do it: at the address
 * that it prefers. That takes a good tenth of a second, the decompressor half a second more. The kernel then is where it was linked,
 * as with `nokaslr`.
 */
function unpackKernel(
  view: DataView,
  code: Uint8Array,
  address: number,
  initSize: number,
): { file: Uint8Array; elf: ElfFile; entry: number } | undefined {
  const offset = view.getUint32(FIELD.payload_offset, true)
  const length = view.getUint32(FIELD.payload_length, true)
  if (view.getUint32(FIELD.pref_address, true) !== address || offset + length > code.length) return undefined
  const file = unpackPayload(code.subarray(offset, offset + length))
  if (!file || !isElf(file)) return undefined
  try {
    const elf = parseElf(file)
    const loaded = elf.segments.filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0)
    const within = loaded.every(
      ({ physicalAddress, memorySize, fileSize }) =>
        fileSize <= memorySize && physicalAddress >= address && physicalAddress + memorySize <= address + initSize,
    )
    if (elf.bits !== 64 || !within) return undefined
    return { file, elf, entry: physicalEntry(elf) }
  } catch (error) {
    if (error instanceof BootError) return undefined
    throw error
  }
}

/**
 * Where the kernel goes: where it will run, which is never below where it prefers. One that was loaded lower would move
 * itself up there before it looks at the memory map (boot.rst, "pref_address" and "init_size").
 * @param initrdLength bytes that go above the kernel, for the sentence that says how much memory would do
 */
function chooseAddress(
  view: DataView,
  version: number,
  initSize: number,
  { end, initrdLength }: { end: number; initrdLength: number },
): number {
  const relocatable = version >= 0x0205 && view.getUint8(FIELD.relocatable_kernel) !== 0
  const alignment = relocatable ? view.getUint32(FIELD.kernel_alignment, true) : 1
  if (alignment === 0 || (alignment & (alignment - 1)) !== 0 || alignment > 2 ** 30)
    throw new BootError(
      `the kernel's header asks for an alignment of 0x${alignment.toString(16)}, which is no power of two that makes sense: ` +
        'the image is damaged, fetch or build it again',
    )
  const preferred =
    version >= 0x020a
      ? view.getUint32(FIELD.pref_address, true) + view.getUint32(FIELD.pref_address + 4, true) * 2 ** 32
      : EXTENDED_START
  if (preferred < EXTENDED_START && !relocatable)
    throw new BootError(
      `the kernel's header asks to be loaded at 0x${preferred.toString(16)}, below 1 MiB: ` +
        'the image is damaged, fetch or build it again',
    )
  const address = Math.ceil(Math.max(preferred, EXTENDED_START) / alignment) * alignment
  if (address + initSize <= end) return address
  // The initrd is put on pages of its own.
  const needed = Math.ceil((address + initSize + Math.ceil(initrdLength / 4096) * 4096) / 2 ** 20)
  throw new BootError(
    `the kernel${initrdLength > 0 ? ' with its initrd' : ''} needs ${needed} MiB of memory to start at all ` +
      `(${megabytes(initSize)} from 0x${address.toString(16)} on), and the machine has ${megabytes(end)}: ` +
      'give it more with --memory',
  )
}

/** Fills in what the loader tells the kernel, and places initrd and command line. */
function fillParameters(
  memory: BootMemory,
  image: BootImage,
  parameters: Uint8Array,
  kernelEnd: number,
  limits: { initrd: number; commandLine: number },
): void {
  const view = new DataView(parameters.buffer)
  writeCommandLine(memory, image.commandLine, limits.commandLine)
  view.setUint32(FIELD.cmd_line_ptr, COMMAND_LINE_ADDRESS, true)
  const initrd = onlyInitrd(image)
  if (initrd) {
    view.setUint32(FIELD.ramdisk_image, placeInitrd(memory, initrd, kernelEnd, limits.initrd), true)
    view.setUint32(FIELD.ramdisk_size, initrd.length, true)
  }
  if (image.textScreen) {
    parameters[FIELD.orig_video_mode] = 3
    parameters[FIELD.orig_video_cols] = 80
    parameters[FIELD.orig_video_lines] = 25
    parameters[FIELD.orig_video_isVGA] = 1
    view.setUint16(FIELD.orig_video_points, 16, true)
  }
  parameters[FIELD.type_of_loader] = LOADER_TYPE_UNDEFINED
  parameters[FIELD.loadflags] |= LOADFLAGS_CAN_USE_HEAP
  view.setUint16(FIELD.heap_end_ptr, 0xfe00, true)
  view.setUint32(FIELD.acpi_rsdp_addr, image.rsdp, true)
  view.setUint32(FIELD.alt_mem_k, (extendedEnd(memory.regions) - EXTENDED_START) / 1024, true)
  const map = memoryMap(memory.regions).slice(0, E820_MOST)
  parameters[FIELD.e820_entries] = map.length
  map.forEach((entry, i) => {
    const at = FIELD.e820_table + 20 * i
    view.setBigUint64(at, BigInt(entry.address), true)
    view.setBigUint64(at + 8, BigInt(entry.length), true)
    view.setUint32(at + 16, entry.type, true)
  })
}

/**
 * The boot_params for a vmlinux that was loaded as ELF, whose file has no setup header.
 * @param kernelEnd first free byte above the kernel
 */
export function writeParameters(memory: BootMemory, image: BootImage, kernelEnd: number): void {
  const parameters = new Uint8Array(4096)
  const view = new DataView(parameters.buffer)
  view.setUint16(FIELD.boot_flag, 0xaa55, true)
  parameters.set(new TextEncoder().encode('HdrS'), FIELD.header)
  view.setUint16(FIELD.version, 0x020c, true)
  parameters[FIELD.loadflags] = LOADFLAGS_LOADED_HIGH
  fillParameters(memory, image, parameters, kernelEnd, { initrd: 0x80000000, commandLine: 2047 })
  memory.write(PARAMETERS_ADDRESS, parameters)
}

/** The state at Linux's 64-bit or 32-bit entry, which takes boot_params in (R)SI. */
export function linuxEntry(memory: BootMemory, entry: number, long: boolean): BootState {
  if (long) writeIdentityTables(memory)
  return {
    description: long ? 'Linux, 64-bit entry' : 'Linux, 32-bit entry',
    rip: entry,
    registers: { rsi: PARAMETERS_ADDRESS, rsp: STACK_ADDRESS },
    ...flatSegments(memory, long),
    cr0: long ? CR0_LONG : CR0_PROTECTED,
    cr3: long ? PAGE_TABLES_ADDRESS : 0,
    cr4: long ? CR4_PAE : 0,
    efer: long ? EFER_LONG : 0,
  }
}
