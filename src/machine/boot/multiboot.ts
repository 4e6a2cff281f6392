/** Multiboot 1 kernels (Multiboot Specification 0.6.96): ELF32 or the a.out kludge, modules, memory map. */
import { isElf, loadSegments, parseElf, physicalEntry } from './elf.ts'
import {
  COMMAND_LINE_ADDRESS,
  checkRange,
  EXTENDED_START,
  extendedEnd,
  memoryMap,
  PARAMETERS_ADDRESS,
  placeModules,
  STACK_ADDRESS,
  writeCommandLine,
} from './layout.ts'
import { BootError, type BootImage, type BootMemory, type BootState, CR0_PROTECTED, flatSegments } from './state.ts'

const HEADER_MAGIC = 0x1badb002
const LOADER_MAGIC = 0x2badb002
/** The header lies in the first 8192 bytes, on a multiple of 4 (3.1). */
const SEARCH_LENGTH = 8192
/** Header flags that a loader must understand or refuse: bits 0 to 15. Known: page-aligned modules, memory, video. */
const UNKNOWN_REQUIREMENTS = 0xfff8
const FLAG_ADDRESSES_VALID = 1 << 16

const INFO_MEMORY = 1 << 0
const INFO_COMMAND_LINE = 1 << 2
const INFO_MODULES = 1 << 3
const INFO_MEMORY_MAP = 1 << 6
const INFO_LOADER_NAME = 1 << 9

/** Offsets behind the 88-byte information structure, within one page at {@link PARAMETERS_ADDRESS}; the memory map follows the modules. */
const LAYOUT = { loaderName: 0x80, modules: 0xa0 } as const
const MODULE_LENGTH = 16

/** The offset of the multiboot header in the file, or undefined. */
export function findMultibootHeader(kernel: Uint8Array): number | undefined {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  for (let at = 0; at + 12 <= Math.min(kernel.length, SEARCH_LENGTH); at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue
    const sum = HEADER_MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)
    if (sum % 2 ** 32 === 0) return at
  }
  return undefined
}

/** Loads a multiboot kernel; the initrd becomes its first module. The command line's first word is `kernel`. */
export function loadMultiboot(memory: BootMemory, image: BootImage, headerOffset: number): BootState {
  const { kernel } = image
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const flags = view.getUint32(headerOffset + 4, true)
  if ((flags & UNKNOWN_REQUIREMENTS) !== 0)
    throw new BootError(
      `the multiboot kernel requires features that multiboot 1 does not define (flags 0x${flags.toString(16)}): ` +
        'it may be for another loader',
    )
  let entry: number
  let kernelEnd: number
  if ((flags & FLAG_ADDRESSES_VALID) !== 0) ({ entry, kernelEnd } = loadByAddresses(memory, kernel, view, headerOffset))
  else if (isElf(kernel)) {
    const elf = parseElf(kernel)
    kernelEnd = loadSegments(memory, kernel, elf, { what: 'the multiboot kernel', long: false })
    entry = physicalEntry(elf)
  } else
    throw new BootError(
      'the multiboot kernel is no ELF file and its header gives no load addresses: it cannot be loaded',
    )
  writeInformation(memory, image, kernelEnd)
  return {
    description: 'multiboot',
    rip: entry,
    registers: { rax: LOADER_MAGIC, rbx: PARAMETERS_ADDRESS, rsp: STACK_ADDRESS },
    ...flatSegments(memory, false),
    cr0: CR0_PROTECTED,
    cr3: 0,
    cr4: 0,
    efer: 0,
  }
}

/** The a.out kludge: the header says where the file goes (3.1.3). */
function loadByAddresses(
  memory: BootMemory,
  kernel: Uint8Array,
  view: DataView,
  headerOffset: number,
): { entry: number; kernelEnd: number } {
  if (headerOffset + 32 > kernel.length) throw new BootError('the multiboot kernel is truncated within its header')
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map(offset =>
    view.getUint32(headerOffset + offset, true),
  )
  const start = headerOffset - (headerAddress - loadAddress)
  const length = loadEnd === 0 ? kernel.length - start : loadEnd - loadAddress
  if (loadAddress > headerAddress || start < 0 || length <= 0)
    throw new BootError('the multiboot kernel is damaged: the load addresses in its header contradict each other')
  if (start + length > kernel.length)
    throw new BootError(
      `the multiboot kernel is truncated: its header promises ${start + length} bytes, and it has ${kernel.length}: ` +
        'fetch or build it again',
    )
  const end = Math.max(loadAddress + length, bssEnd)
  checkRange(memory, { what: 'the multiboot kernel', address: loadAddress, end, long: false })
  memory.write(loadAddress, kernel.subarray(start, start + length))
  memory.clear(loadAddress + length, end - loadAddress - length)
  return { entry, kernelEnd: Math.max(EXTENDED_START, Math.ceil(end / 4096) * 4096) }
}

/** The information structure that EBX points at (3.3). */
function writeInformation(memory: BootMemory, image: BootImage, kernelEnd: number): void {
  const modules = placeModules(memory, image, kernelEnd)
  const map = memoryMap(memory.regions)
  const mapOffset = LAYOUT.modules + MODULE_LENGTH * modules.length
  const bytes = new Uint8Array(mapOffset + 24 * map.length)
  const info = new DataView(bytes.buffer)
  let flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MEMORY_MAP | INFO_LOADER_NAME
  info.setUint32(4, 639, true)
  info.setUint32(8, Math.floor((extendedEnd(memory.regions) - EXTENDED_START) / 1024), true)
  writeCommandLine(memory, `kernel ${image.commandLine}`.trimEnd(), Number.POSITIVE_INFINITY)
  info.setUint32(16, COMMAND_LINE_ADDRESS, true)
  if (modules.length > 0) {
    flags |= INFO_MODULES
    info.setUint32(20, modules.length, true)
    info.setUint32(24, PARAMETERS_ADDRESS + LAYOUT.modules, true)
  }
  modules.forEach(({ address, length, text }, i) => {
    const at = LAYOUT.modules + MODULE_LENGTH * i
    info.setUint32(at, address, true)
    info.setUint32(at + 4, address + length, true)
    info.setUint32(at + 8, text, true)
  })
  info.setUint32(44, 24 * map.length, true)
  info.setUint32(48, PARAMETERS_ADDRESS + mapOffset, true)
  map.forEach((entry, i) => {
    const at = mapOffset + 24 * i
    info.setUint32(at, 20, true)
    info.setBigUint64(at + 4, BigInt(entry.address), true)
    info.setBigUint64(at + 12, BigInt(entry.length), true)
    info.setUint32(at + 20, entry.type, true)
  })
  bytes.set(new TextEncoder().encode('typetwo'), LAYOUT.loaderName)
  info.setUint32(64, PARAMETERS_ADDRESS + LAYOUT.loaderName, true)
  info.setUint32(0, flags, true)
  memory.write(PARAMETERS_ADDRESS, bytes)
}
