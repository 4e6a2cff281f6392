/** The answers of the CPUID instruction (SDM vol. 2, CPUID), made from the features that the processor has. */
import type { Feature } from './definition.ts'
import { type CpuidRegister, FEATURES } from './features.ts'

/** EAX, EBX, ECX, EDX, unsigned. */
export type CpuidLeaf = readonly [eax: number, ebx: number, ecx: number, edx: number]

/** A hypervisor's own leaves, from 0x40000000 on. */
export interface HypervisorLeaves {
  /** Twelve ASCII characters at most, as `KVMKVMKVM`. */
  readonly signature: string
  /** Leaves 0x40000001 and on, by number. */
  readonly leaves: ReadonlyMap<number, CpuidLeaf>
}

/** What the answers depend on besides the features. */
export interface CpuidOptions {
  /** Logical processors in the package, 1 by default. */
  readonly processors?: number
  /** Local APIC ID, 0 by default. */
  readonly apicId?: number
  /** Bits of a physical address, 40 by default. */
  readonly physicalAddressBits?: number
  /** Sets the hypervisor bit too. */
  readonly hypervisor?: HypervisorLeaves
  /** Leaf 1, EAX; that of the processor with everything by default. */
  readonly signature?: number
  /** The highest leaf, and the highest of 80000000h and on; 0 for none. */
  readonly highestBasic?: number
  readonly highestExtended?: number
  /** Leaf 2: descriptors of caches and TLBs; by default one that says that they are in leaf 4. */
  readonly descriptors?: CpuidLeaf
  /** Bits of XCR0 that may be set; x87, SSE and, with the feature, AVX by default. */
  readonly xcr0?: number
}

/** What changes while the processor runs. */
export interface CpuidState {
  /** CR4.OSXSAVE. */
  readonly osxsave: boolean
  /** The local APIC is enabled in its base MSR. */
  readonly apic: boolean
  readonly xcr0: number
  /** In 64-bit mode: SYSCALL exists only there on Intel's processors. */
  readonly is64: boolean
}

const VENDOR = 'GenuineIntel'
const BRAND = 'typetwo virtual processor'
/**
 * Family 6, model 36h, stepping 1. An Atom that executes in order: operating systems know that it has none of the flaws of
 * speculation, and no mitigation of them slows the guest down.
 */
const SIGNATURE = 0x0003_0661
const HIGHEST_BASIC = 0xd
const HIGHEST_EXTENDED = 0x8000_0008
const HYPERVISOR_BASE = 0x4000_0000
const OSXSAVE = 1 << 27
const APIC = 1 << 9
const SYSCALL = 1 << 11

const REGISTERS: readonly CpuidRegister[] = ['eax', 'ebx', 'ecx', 'edx']

/** Four characters as a register holds them; 0 bytes behind the end. */
const text32 = (text: string, at: number): number =>
  (text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)) >>>
  0

/** The XSAVE area's components beyond x87 and SSE: offset and size in bytes, by XCR0 bit. */
const XSAVE_COMPONENTS: readonly { bit: number; offset: number; size: number }[] = [{ bit: 2, offset: 576, size: 256 }]
/** The legacy area and the header. */
const XSAVE_HEADER_END = 576

/** Bytes of a standard (or compacted) XSAVE image with the components of an XCR0. */
export function xsaveSize(xcr0: number, compacted = false): number {
  let size = XSAVE_HEADER_END
  for (const component of XSAVE_COMPONENTS) {
    if (xcr0 & (1 << component.bit)) size = compacted ? size + component.size : component.offset + component.size
  }
  return size
}

/** One level of cache for leaf 4: type 1 data, 2 instruction, 3 unified; sizes in bytes, 64 in a line. */
const cache = (type: number, level: number, size: number, ways: number, processors: number): CpuidLeaf => [
  // Self-initialising; the last level is shared by all, and the package has `processors` cores.
  type | (level << 5) | (1 << 8) | ((level > 1 ? processors - 1 : 0) << 14) | ((processors - 1) << 26),
  63 | ((ways - 1) << 22),
  size / 64 / ways - 1,
  0,
]

/**
 * Makes the function that answers CPUID.
 * @param features names of {@link FEATURES}: those of `instructionFeatures` and those that the processor around has
 * @returns a function of EAX and ECX; without a state it answers as before any operating system ran
 * @throws Error for a feature that does not exist
 */
export function makeCpuid(
  features: Iterable<Feature>,
  options: CpuidOptions = {},
): (leaf: number, subleaf: number, state?: CpuidState) => CpuidLeaf {
  const { processors = 1, apicId = 0, physicalAddressBits = 40, hypervisor, signature: leaf1 = SIGNATURE } = options
  const { highestBasic = HIGHEST_BASIC, highestExtended = HIGHEST_EXTENDED } = options
  const present = new Set(features)
  const { xcr0: xcr0Bits = present.has('avx') ? 7 : 3 } = options
  if (hypervisor) present.add('hypervisor')
  if (processors > 1) present.add('ht')
  const key = (leaf: number, subleaf: number): string => `${leaf.toString(16)}.${subleaf}`

  const table = new Map<string, [number, number, number, number]>()
  const set = (leaf: number, subleaf: number, values: CpuidLeaf): void => {
    table.set(key(leaf, subleaf), values.map(value => value >>> 0) as [number, number, number, number])
  }
  const [ebx, edx, ecx] = [text32(VENDOR, 0), text32(VENDOR, 4), text32(VENDOR, 8)]
  set(0, 0, [highestBasic, ebx, ecx, edx])
  // CLFLUSH lines of 8 × 8 bytes.
  set(1, 0, [leaf1, (8 << 8) | (processors << 16) | (apicId << 24), 0, 0])
  // FF: caches are in leaf 4; F0: prefetching by 64 bytes.
  set(2, 0, options.descriptors ?? [0x00f0_ff01, 0, 0, 0])
  set(4, 0, cache(1, 1, 32 << 10, 8, processors))
  set(4, 1, cache(2, 1, 32 << 10, 8, processors))
  set(4, 2, cache(3, 2, 1 << 20, 16, processors))
  // Topology: one thread a core, the cores of the package.
  const coreBits = Math.ceil(Math.log2(processors))
  set(0xb, 0, [0, 1, 1 << 8, apicId])
  set(0xb, 1, [coreBits, processors, (2 << 8) | 1, apicId])
  if (present.has('xsave')) {
    set(0xd, 0, [xcr0Bits, XSAVE_HEADER_END, xsaveSize(xcr0Bits), 0])
    set(0xd, 1, [0, present.has('xsavec') ? XSAVE_HEADER_END : 0, 0, 0])
    for (const { bit, offset, size } of XSAVE_COMPONENTS) if (xcr0Bits & (1 << bit)) set(0xd, bit, [size, offset, 0, 0])
  }
  set(0x8000_0000, 0, [highestExtended, 0, 0, 0])
  for (let i = 0; i < 3; i++) {
    const brand = BRAND.padEnd(48, '\0')
    set(0x8000_0002 + i, 0, [0, 4, 8, 12].map(at => text32(brand, i * 16 + at)) as unknown as CpuidLeaf)
  }
  // The second-level cache again: 1024 KiB, 16 ways (code 8), lines of 64.
  set(0x8000_0006, 0, [0, 0, (1024 << 16) | (8 << 12) | 64, 0])
  set(0x8000_0008, 0, [physicalAddressBits | ((present.has('la57') ? 57 : 48) << 8), 0, 0, 0])
  if (hypervisor) {
    const signature = hypervisor.signature.padEnd(12, '\0')
    const highest = Math.max(HYPERVISOR_BASE, ...hypervisor.leaves.keys())
    set(HYPERVISOR_BASE, 0, [highest, text32(signature, 0), text32(signature, 4), text32(signature, 8)])
    for (const [leaf, values] of hypervisor.leaves) set(leaf, 0, values)
  }
  for (const feature of present) {
    const place = FEATURES[feature]
    if (!place) throw new Error(`no CPUID feature is called ${feature}; see FEATURES in src/isa/features.ts`)
    const name = key(place.leaf, place.subleaf)
    const values = table.get(name) ?? [0, 0, 0, 0]
    const register = REGISTERS.indexOf(place.register)
    values[register] = (values[register] | (1 << place.bit)) >>> 0
    table.set(name, values)
  }

  const nothing: CpuidLeaf = [0, 0, 0, 0]
  return (leaf, subleaf, state) => {
    leaf >>>= 0
    subleaf >>>= 0
    const isHypervisor = hypervisor !== undefined && leaf >= HYPERVISOR_BASE && leaf <= HYPERVISOR_BASE + 0xff
    // A leaf that is too high answers as the highest basic one.
    if (!isHypervisor && leaf > highestBasic && (leaf < 0x8000_0000 || leaf > highestExtended)) leaf = highestBasic
    const hasSubleaves = leaf === 4 || leaf === 7 || leaf === 0xb || leaf === 0xd
    const found = table.get(key(leaf, hasSubleaves ? subleaf : 0))
    // The topology leaf echoes the level asked for, and ends with level type 0.
    if (leaf === 0xb && !found) return [0, 0, subleaf & 0xff, apicId]
    if (!found) return nothing
    if (!state) return found
    let [a, b, c, d] = found
    if (leaf === 1) {
      if (state.osxsave && present.has('xsave')) c |= OSXSAVE
      if (!state.apic) d &= ~APIC
    } else if (leaf === 0xd && subleaf === 0) b = xsaveSize(state.xcr0)
    else if (leaf === 0xd && subleaf === 1 && present.has('xsavec')) b = xsaveSize(state.xcr0, true)
    else if (leaf === 0x8000_0001 && !state.is64) d &= ~SYSCALL
    return [a, b, c >>> 0, d >>> 0]
  }
}
