/**
 * ELF kernels: reads program headers and notes (System V ABI, "Object Files"), loads the segments at their physical
 * addresses, and boots by PVH where the kernel has the note for it, else by the Linux boot protocol.
 */
import { checkRange, EXTENDED_START } from './layout.ts'
import { linuxEntry, writeParameters } from './linux.ts'
import { startPvh } from './pvh.ts'
import { BootError, type BootImage, type BootMemory, type BootState } from './state.ts'

/** A segment to be loaded. */
export const PT_LOAD = 1
const PT_NOTE = 4
const EM_386 = 3
const EM_X86_64 = 62
/** Type of the note, of owner "Xen", that holds the physical address of the PVH entry (Xen's elfnote.h). */
const XEN_ELFNOTE_PHYS32_ENTRY = 18

/** A program header. Numbers are checked to be within the file where they are offsets. */
export interface Segment {
  type: number
  offset: number
  virtualAddress: number
  physicalAddress: number
  fileSize: number
  memorySize: number
  alignment: number
}

/** What matters of an ELF executable. */
export interface ElfFile {
  bits: 32 | 64
  entry: number
  segments: Segment[]
}

/** Whether the file starts with ELF's magic. */
export function isElf(file: Uint8Array): boolean {
  return file.length >= 4 && file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46
}

/** Reads an ELF executable for x86. @throws BootError if it is damaged or for another machine. */
export function parseElf(file: Uint8Array): ElfFile {
  const bits = file[4] === 1 ? 32 : file[4] === 2 ? 64 : undefined
  if (bits === undefined || file.length < (bits === 64 ? 64 : 52))
    throw new BootError('the ELF kernel is truncated or damaged: its header is incomplete')
  if (file[5] !== 1) throw new BootError('the ELF kernel is big-endian, not for a PC: give one built for x86')
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const wide = bits === 64
  const word = (at: number) => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true))
  const machine = view.getUint16(18, true)
  if (machine !== EM_386 && machine !== EM_X86_64)
    throw new BootError(`the ELF kernel is for machine type ${machine}, not for x86 (3 or 62): give one built for x86`)
  const entry = word(24)
  const tableOffset = word(wide ? 32 : 28)
  const entrySize = view.getUint16(wide ? 54 : 42, true)
  const count = view.getUint16(wide ? 56 : 44, true)
  if (count === 0)
    throw new BootError('the ELF kernel has no program headers: give the linked kernel, not an object file')
  if (entrySize < (wide ? 56 : 32) || tableOffset + count * entrySize > file.length)
    throw new BootError('the ELF kernel is truncated or damaged: its program headers are beyond the end of the file')
  const segments: Segment[] = []
  for (let i = 0; i < count; i++) {
    const at = tableOffset + i * entrySize
    const segment: Segment = {
      type: view.getUint32(at, true),
      offset: word(at + (wide ? 8 : 4)),
      virtualAddress: word(at + (wide ? 16 : 8)),
      physicalAddress: word(at + (wide ? 24 : 12)),
      fileSize: word(at + (wide ? 32 : 16)),
      memorySize: word(at + (wide ? 40 : 20)),
      alignment: word(at + (wide ? 48 : 28)),
    }
    if (segment.type !== PT_LOAD && segment.type !== PT_NOTE) continue
    if (segment.offset + segment.fileSize > file.length)
      throw new BootError(
        `the ELF kernel is truncated: program header ${i} promises bytes up to ${segment.offset + segment.fileSize}, ` +
          `and the file has ${file.length}: fetch or build it again`,
      )
    segments.push(segment)
  }
  if (!segments.some(({ type }) => type === PT_LOAD)) throw new BootError('the ELF kernel has nothing to load')
  return { bits, entry, segments }
}

/**
 * Copies the segments to their physical addresses.
 * @param what the kernel, for sentences
 * @param long whether it will be entered in long mode, with page tables that must have their place
 * @returns the first free byte above them
 */
export function loadSegments(
  memory: BootMemory,
  file: Uint8Array,
  elf: ElfFile,
  { what, long }: { what: string; long: boolean },
): number {
  let top = EXTENDED_START
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD || segment.memorySize === 0) continue
    const { physicalAddress: address, memorySize, fileSize } = segment
    if (fileSize > memorySize)
      throw new BootError('the ELF kernel is damaged: a segment has more bytes in the file than in memory')
    checkRange(memory, { what, address, end: address + memorySize, long })
    memory.write(address, file.subarray(segment.offset, segment.offset + fileSize))
    memory.clear(address + fileSize, memorySize - fileSize)
    top = Math.max(top, address + memorySize)
  }
  return Math.ceil(top / 4096) * 4096
}

/** The physical address of the PVH entry from the kernel's notes, or undefined. */
export function pvhEntry(file: Uint8Array, elf: ElfFile): number | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  for (const segment of elf.segments) {
    if (segment.type !== PT_NOTE) continue
    const alignment = segment.alignment === 8 ? 8 : 4
    const align = (n: number) => Math.ceil(n / alignment) * alignment
    const end = segment.offset + segment.fileSize
    for (let at = segment.offset; at + 12 <= end; ) {
      const nameSize = view.getUint32(at, true)
      const contentSize = view.getUint32(at + 4, true)
      const type = view.getUint32(at + 8, true)
      const content = align(at + 12 + nameSize - segment.offset) + segment.offset
      if (content + contentSize > end) break
      const name = nameSize <= 16 ? String.fromCharCode(...file.subarray(at + 12, at + 12 + nameSize)) : ''
      if (name === 'Xen\0' && type === XEN_ELFNOTE_PHYS32_ENTRY && contentSize >= 4)
        return view.getUint32(content, true)
      at = align(content + contentSize - segment.offset) + segment.offset
    }
  }
  return undefined
}

/** The physical address of a virtual one by the segments, or the address itself when it is physical already. */
export function physicalEntry(elf: ElfFile): number {
  for (const { type, physicalAddress, memorySize } of elf.segments)
    if (type === PT_LOAD && elf.entry >= physicalAddress && elf.entry < physicalAddress + memorySize) return elf.entry
  for (const { type, virtualAddress, physicalAddress, memorySize } of elf.segments)
    if (type === PT_LOAD && elf.entry >= virtualAddress && elf.entry < virtualAddress + memorySize)
      return physicalAddress + (elf.entry - virtualAddress)
  throw new BootError(
    `the ELF kernel is damaged: its entry point 0x${elf.entry.toString(16)} is in none of its segments`,
  )
}

/** Loads an ELF kernel: by PVH if it has the entry note, else as a Linux vmlinux with boot_params. */
export function loadElf(memory: BootMemory, image: BootImage): BootState {
  const elf = parseElf(image.kernel)
  const pvh = pvhEntry(image.kernel, elf)
  const long = pvh === undefined && elf.bits === 64
  const kernelEnd = loadSegments(memory, image.kernel, elf, { what: 'the ELF kernel', long })
  if (pvh !== undefined) return startPvh(memory, image, pvh, kernelEnd)
  writeParameters(memory, image, kernelEnd)
  return linuxEntry(memory, physicalEntry(elf), long)
}
