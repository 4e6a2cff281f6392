/** Processors of the past: what CPUID tells of them, for systems that stumble over what came later. */
import type { CpuidLeaf } from './cpuid.ts'
import type { Feature } from './definition.ts'

/** A processor as CPUID describes it. The instructions that it had not are there all the same. */
export interface CpuModel {
  /** Leaf 1, EAX: family, model, stepping. */
  readonly signature: number
  /** The highest leaf, and the highest of 80000000h and on; 0 for none of those. */
  readonly highestBasic: number
  readonly highestExtended: number
  /** Leaf 2: descriptors of caches, where there is no leaf 4 for them. */
  readonly descriptors?: CpuidLeaf
  /** The features that it has, of those that the machine's processor has. */
  readonly features: readonly Feature[]
}

const I486 = ['fpu', 'vme'] as const
const PENTIUM = [...I486, 'de', 'pse', 'tsc', 'msr', 'mce', 'cx8', 'apic', 'mmx'] as const
const PENTIUM3 = [...PENTIUM, 'pae', 'sep', 'mtrr', 'pge', 'mca', 'cmov', 'pat', 'pse36', 'fxsr', 'sse'] as const
const CORE2 = [
  ...PENTIUM3,
  ...['clflush', 'sse2', 'pni', 'ssse3', 'cx16', 'lahf_lm', 'syscall', 'nx', 'lm', 'hypervisor'],
] as const

/** The models by name; `max` has everything and is none of them. */
export const CPU_MODELS = {
  /** Intel486 DX4: the first with CPUID. */
  '486': { signature: 0x0480, highestBasic: 1, highestExtended: 0, features: I486 },
  /** Pentium with MMX technology. */
  pentium: { signature: 0x0543, highestBasic: 1, highestExtended: 0, features: PENTIUM },
  /** Pentium III, Coppermine. */
  pentium3: {
    signature: 0x0683,
    highestBasic: 2,
    highestExtended: 0,
    descriptors: [0x0302_0101, 0, 0, 0x0c04_0882],
    features: PENTIUM3,
  },
  /** Core 2 Duo, Merom. */
  core2: { signature: 0x06fb, highestBasic: 0xa, highestExtended: 0x8000_0008, features: CORE2 },
} as const satisfies Record<string, CpuModel>

/** What may be asked for. */
export const CPU_NAMES = ['max', ...Object.keys(CPU_MODELS)] as readonly CpuName[]
export type CpuName = 'max' | keyof typeof CPU_MODELS
