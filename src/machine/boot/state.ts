/** The processor as a boot loader leaves it: a plain description, and what loaders write to. */

/** Guest memory as a loader sees it. Addresses are guest-physical. */
export interface BootMemory {
  /** Copies bytes in. */
  write(address: number, bytes: Uint8Array): void
  /** Sets `length` bytes to zero. */
  clear(address: number, length: number): void
  /** Where RAM is, in ascending order. */
  readonly regions: readonly { readonly address: number; readonly length: number }[]
}

/** A segment register with its hidden part. */
export interface BootSegment {
  selector: number
  base: number
  /** The offset of the last byte, after granularity. */
  limit: number
  /** Bits 0–3 type, 4 S, 5–6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, as in the VMCS (SDM volume 3, 25.4.1). */
  attributes: number
}

/** The sixteen general registers by number (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 …), those that are not 0. */
export type BootRegisters = Partial<Record<'rax' | 'rcx' | 'rdx' | 'rbx' | 'rsp' | 'rbp' | 'rsi' | 'rdi', number>>

/** Everything that differs from the state after RESET#. All numbers are below 2^32. */
export interface BootState {
  /** How the guest was recognised, for the log: `'Linux, 64-bit entry'`. */
  description: string
  rip: number
  registers: BootRegisters
  /** CS, and one for all of DS, ES, FS, GS and SS. */
  code: BootSegment
  data: BootSegment
  /** The task register, where the protocol wants one. */
  task: BootSegment
  gdt: { base: number; limit: number }
  cr0: number
  cr3: number
  cr4: number
  efer: number
}

/** A kernel, initrd or command line that cannot be booted; the message says what is wrong and what to do. */
export class BootError extends Error {
  override name = 'BootError'
}

/** A file that a boot loader puts beside the kernel. */
export interface BootModule {
  bytes: Uint8Array
  /** Its command line as the kernel reads it: by custom its name first. */
  text: string
}

/** What to boot. */
export interface BootImage {
  /** bzImage, ELF or multiboot. */
  kernel: Uint8Array
  /** The initial RAM disk, or the first module of a multiboot or PVH kernel. */
  initrd?: Uint8Array
  /** Modules of a multiboot or PVH kernel, behind the initrd if there is one. */
  modules?: readonly BootModule[]
  /** Text of the kernel's command line, without the kernel's name. */
  commandLine: string
  /** Guest-physical address of the ACPI root pointer. */
  rsdp: number
  /** The display adapter shows text, 80 × 25 characters of 16 lines, as a BIOS leaves it. */
  textScreen?: boolean
}

/** CR0.PE and CR0.ET. */
export const CR0_PROTECTED = 0x11
/** CR0.PG, PE, ET. */
export const CR0_LONG = 0x80000011
/** CR4.PAE. */
export const CR4_PAE = 0x20
/** EFER.LME and LMA. */
export const EFER_LONG = 0x500

/** Access rights of a flat 32-bit code segment: G, D, present, ring 0, execute/read, accessed. */
const CODE32 = 0xc09b
/** Of a 64-bit code segment: G, L. */
const CODE64 = 0xa09b
/** Of a flat data segment: G, B, present, ring 0, read/write, accessed. */
const DATA = 0xc093
/** Of a busy 32-bit TSS. */
const TSS32_BUSY = 0x008b

/** Where a loader puts the GDT that its segments come from. */
export const GDT_ADDRESS = 0x500

/** A flat segment over 4 GiB. */
function flat(selector: number, attributes: number): BootSegment {
  return { selector, base: 0, limit: 0xffffffff, attributes }
}

/** The eight bytes of a segment's descriptor. */
function descriptor(segment: BootSegment): Uint8Array {
  const bytes = new Uint8Array(8)
  const granular = (segment.attributes & 0x8000) !== 0
  const limit = granular ? segment.limit >>> 12 : segment.limit
  const view = new DataView(bytes.buffer)
  view.setUint16(0, limit & 0xffff, true)
  view.setUint16(2, segment.base & 0xffff, true)
  bytes[4] = (segment.base >>> 16) & 0xff
  bytes[5] = segment.attributes & 0xff
  bytes[6] = ((segment.attributes >>> 8) & 0xf0) | ((limit >>> 16) & 0x0f)
  bytes[7] = segment.base >>> 24
  return bytes
}

/**
 * Flat segments with the selectors of the Linux boot protocol (CS 0x10, the others 0x18), whose descriptors are
 * written to memory as well, because a guest may reload them.
 */
export function flatSegments(memory: BootMemory, long: boolean): Pick<BootState, 'code' | 'data' | 'task' | 'gdt'> {
  const code = flat(0x10, long ? CODE64 : CODE32)
  const data = flat(0x18, DATA)
  const task: BootSegment = { selector: 0x20, base: 0, limit: 0x67, attributes: TSS32_BUSY }
  const gdt = new Uint8Array(0x30)
  for (const segment of [code, data, task]) gdt.set(descriptor(segment), segment.selector)
  memory.write(GDT_ADDRESS, gdt)
  return { code, data, task, gdt: { base: GDT_ADDRESS, limit: gdt.length - 1 } }
}
