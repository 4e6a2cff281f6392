/**
 * CPUID's feature bits, and which of them the instruction set earns: a feature that brings instructions is there when
 * every one of them is defined. The names are those of /proc/cpuinfo.
 */
import type { Feature, Instruction } from './definition.ts'

/** A register of CPUID's answer. */
export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx'

/** Where a feature is reported, and what it brings. */
export interface FeatureBit {
  readonly leaf: number
  readonly subleaf: number
  readonly register: CpuidRegister
  readonly bit: number
  /**
   * The manual's list of instructions with this feature, by mnemonic (SDM vol. 1, chapter 5). Empty: the feature is of
   * paging, interrupts, timers … and whoever builds the processor says whether it is there.
   */
  readonly mnemonics: readonly string[]
}

const bit = (leaf: number, register: CpuidRegister, bit: number, mnemonics = '', subleaf = 0): FeatureBit => ({
  leaf,
  subleaf,
  register,
  bit,
  mnemonics: mnemonics === '' ? [] : mnemonics.split(/\s+/),
})

const CONDITIONS = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G']

const X87 =
  'FADD FMUL FCOM FCOMP FSUB FSUBR FDIV FDIVR FLD FST FSTP FLDENV FLDCW FNSTENV FNSTCW FXCH FNOP FCHS FABS FTST FXAM FLD1 FLDL2T ' +
  'FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ F2XM1 FYL2X FPTAN FPATAN FXTRACT FDECSTP FINCSTP FPREM FPREM1 FYL2XP1 FSQRT FRNDINT FSCALE ' +
  'FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR FILD FIST FISTP FNCLEX FNINIT FRSTOR FNSAVE FNSTSW FFREE FUCOM FUCOMP ' +
  'FUCOMPP FADDP FMULP FCOMPP FSUBRP FSUBP FDIVRP FDIVP FBLD FBSTP FSIN FCOS FSINCOS'

/** What MMX has and SSE2 repeats for XMM registers. */
const PACKED_INTEGERS =
  'PUNPCKLBW PUNPCKLWD PUNPCKLDQ PACKSSWB PCMPGTB PCMPGTW PCMPGTD PACKUSWB PUNPCKHBW PUNPCKHWD PUNPCKHDQ PACKSSDW MOVD MOVQ PSRLW ' +
  'PSRAW PSLLW PSRLD PSRAD PSLLD PSRLQ PSLLQ PCMPEQB PCMPEQW PCMPEQD PMULLW PSUBUSB PSUBUSW PAND PADDUSB PADDUSW PANDN PMULHW ' +
  'PSUBSB PSUBSW POR PADDSB PADDSW PXOR PMADDWD PSUBB PSUBW PSUBD PADDB PADDW PADDD'

/** What SSE adds to MMX and SSE2 repeats for XMM registers. */
const MORE_PACKED_INTEGERS = 'PINSRW PEXTRW PMOVMSKB PMINUB PMAXUB PAVGB PAVGW PMULHUW PMINSW PMAXSW PSADBW'

const SSE =
  'MOVUPS MOVSS MOVHLPS MOVLPS UNPCKLPS UNPCKHPS MOVLHPS MOVHPS PREFETCHNTA PREFETCHT0 PREFETCHT1 PREFETCHT2 MOVAPS CVTPI2PS ' +
  'CVTSI2SS MOVNTPS CVTTPS2PI CVTTSS2SI CVTPS2PI CVTSS2SI UCOMISS COMISS MOVMSKPS SQRTPS SQRTSS RSQRTPS RSQRTSS RCPPS RCPSS ANDPS ' +
  'ANDNPS ORPS XORPS ADDPS ADDSS MULPS MULSS SUBPS SUBSS MINPS MINSS DIVPS DIVSS MAXPS MAXSS PSHUFW LDMXCSR STMXCSR SFENCE CMPPS ' +
  `CMPSS SHUFPS MOVNTQ MASKMOVQ ${MORE_PACKED_INTEGERS}`

const SSE2 =
  'MOVUPD MOVSD MOVLPD UNPCKLPD UNPCKHPD MOVHPD MOVAPD CVTPI2PD CVTSI2SD MOVNTPD CVTTPD2PI CVTTSD2SI CVTPD2PI CVTSD2SI UCOMISD ' +
  'COMISD MOVMSKPD SQRTPD SQRTSD ANDPD ANDNPD ORPD XORPD ADDPD ADDSD MULPD MULSD CVTPS2PD CVTPD2PS CVTSS2SD CVTSD2SS CVTDQ2PS ' +
  'CVTPS2DQ CVTTPS2DQ SUBPD SUBSD MINPD MINSD DIVPD DIVSD MAXPD MAXSD PUNPCKLQDQ PUNPCKHQDQ MOVDQA MOVDQU PSHUFD PSHUFHW PSHUFLW ' +
  'PSRLDQ PSLLDQ LFENCE MFENCE CMPPD CMPSD MOVNTI SHUFPD PADDQ PSUBQ MOVQ2DQ MOVDQ2Q CVTTPD2DQ CVTDQ2PD CVTPD2DQ MOVNTDQ PMULUDQ ' +
  `MASKMOVDQU ${PACKED_INTEGERS} ${MORE_PACKED_INTEGERS}`

const SSE4_1 =
  'PBLENDVB BLENDVPS BLENDVPD PTEST PMOVSXBW PMOVSXBD PMOVSXBQ PMOVSXWD PMOVSXWQ PMOVSXDQ PMULDQ PCMPEQQ MOVNTDQA PACKUSDW ' +
  'PMOVZXBW PMOVZXBD PMOVZXBQ PMOVZXWD PMOVZXWQ PMOVZXDQ PMINSB PMINSD PMINUW PMINUD PMAXSB PMAXSD PMAXUW PMAXUD PMULLD PHMINPOSUW ' +
  'ROUNDPS ROUNDPD ROUNDSS ROUNDSD BLENDPS BLENDPD PBLENDW PEXTRB PEXTRW PEXTRD PEXTRQ EXTRACTPS PINSRB INSERTPS PINSRD PINSRQ ' +
  'DPPS DPPD MPSADBW'

const PNI = 'MOVSLDUP MOVDDUP MOVSHDUP HADDPD HADDPS HSUBPD HSUBPS ADDSUBPD ADDSUBPS LDDQU'
const SSSE3 =
  'PSHUFB PHADDW PHADDD PHADDSW PMADDUBSW PHSUBW PHSUBD PHSUBSW PSIGNB PSIGNW PSIGND PMULHRSW PABSB PABSW PABSD PALIGNR'
const AES = 'AESIMC AESENC AESENCLAST AESDEC AESDECLAST AESKEYGENASSIST'
const STRINGS = 'PCMPGTQ PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI'

/** What has no VEX form: all on MMX registers, and what is on none. */
const LEGACY_ONLY = /2PI|^CVTPI|^PREFETCH|FENCE$|^PSHUFW$|^MOVNT[IQ]$|^MASKMOVQ$|^MOVQ2DQ$|^MOVDQ2Q$/

/** The VEX forms of SSE instructions. */
const promoted = (mnemonics: string): string =>
  [...new Set(mnemonics.split(/\s+/))]
    .filter(mnemonic => !LEGACY_ONLY.test(mnemonic))
    .map(mnemonic => `V${mnemonic}`)
    .join(' ')

const AVX =
  'VPERMILPS VPERMILPD VTESTPS VTESTPD VBROADCASTSS VBROADCASTSD VBROADCASTF128 VMASKMOVPS VMASKMOVPD VPERM2F128 VINSERTF128 ' +
  `VEXTRACTF128 VZEROUPPER VZEROALL VPCLMULQDQ ${promoted([SSE, SSE2, PNI, SSSE3, SSE4_1, STRINGS, AES].join(' '))}`

/** What SSE2 to SSE4.2 have of integers that is not of 64 bits of a register, to or from it, or of words at an index. */
const AVX2_INTEGERS = promoted([SSE2, SSSE3, SSE4_1, STRINGS].join(' '))
  .split(' ')
  .filter(mnemonic => /^VP/.test(mnemonic) && !/^VP(EXTR|INSR|CMP.STR|TEST|HMINPOS)/.test(mnemonic))
  .join(' ')

const AVX2 =
  'VMOVNTDQA VMPSADBW VPERMPS VPERMD VPERMQ VPERMPD VPSRLVD VPSRLVQ VPSRAVD VPSLLVD VPSLLVQ VPBROADCASTB VPBROADCASTW ' +
  'VPBROADCASTD VPBROADCASTQ VBROADCASTI128 VBROADCASTSS VBROADCASTSD VPMASKMOVD VPMASKMOVQ VPGATHERDD VPGATHERDQ VPGATHERQD ' +
  'VPGATHERQQ VGATHERDPS VGATHERDPD VGATHERQPS VGATHERQPD VPBLENDD VINSERTI128 VEXTRACTI128 VPERM2I128 ' +
  AVX2_INTEGERS

const FMA = ['132', '213', '231']
  .flatMap(order => [
    ...['MADD', 'MSUB', 'NMADD', 'NMSUB'].flatMap(kind => ['PS', 'PD', 'SS', 'SD'].map(type => kind + order + type)),
    ...['MADDSUB', 'MSUBADD'].flatMap(kind => ['PS', 'PD'].map(type => kind + order + type)),
  ])
  .map(rest => `VF${rest}`)
  .join(' ')

const EXTENDED = 0x80000001

/** Every feature bit that the house knows of. */
export const FEATURES: Readonly<Record<Feature, FeatureBit>> = {
  fpu: bit(1, 'edx', 0, X87),
  vme: bit(1, 'edx', 1),
  de: bit(1, 'edx', 2),
  pse: bit(1, 'edx', 3),
  tsc: bit(1, 'edx', 4, 'RDTSC'),
  msr: bit(1, 'edx', 5, 'RDMSR WRMSR'),
  pae: bit(1, 'edx', 6),
  mce: bit(1, 'edx', 7),
  cx8: bit(1, 'edx', 8, 'CMPXCHG8B'),
  apic: bit(1, 'edx', 9),
  sep: bit(1, 'edx', 11, 'SYSENTER SYSEXIT'),
  mtrr: bit(1, 'edx', 12),
  pge: bit(1, 'edx', 13),
  mca: bit(1, 'edx', 14),
  cmov: bit(
    1,
    'edx',
    15,
    `${CONDITIONS.map(condition => `CMOV${condition}`).join(' ')} FCMOVB FCMOVE FCMOVBE FCMOVU FCMOVNB FCMOVNE FCMOVNBE FCMOVNU FUCOMI ` +
      'FCOMI FUCOMIP FCOMIP',
  ),
  pat: bit(1, 'edx', 16),
  pse36: bit(1, 'edx', 17),
  clflush: bit(1, 'edx', 19, 'CLFLUSH'),
  mmx: bit(1, 'edx', 23, `EMMS ${PACKED_INTEGERS}`),
  fxsr: bit(1, 'edx', 24, 'FXSAVE FXRSTOR'),
  sse: bit(1, 'edx', 25, SSE),
  sse2: bit(1, 'edx', 26, SSE2),
  ss: bit(1, 'edx', 27),
  ht: bit(1, 'edx', 28),

  pni: bit(1, 'ecx', 0, `${PNI} FISTTP`),
  pclmulqdq: bit(1, 'ecx', 1, 'PCLMULQDQ'),
  ssse3: bit(1, 'ecx', 9, SSSE3),
  fma: bit(1, 'ecx', 12, FMA),
  cx16: bit(1, 'ecx', 13, 'CMPXCHG16B'),
  pcid: bit(1, 'ecx', 17),
  sse4_1: bit(1, 'ecx', 19, SSE4_1),
  sse4_2: bit(1, 'ecx', 20, `CRC32 ${STRINGS}`),
  x2apic: bit(1, 'ecx', 21),
  movbe: bit(1, 'ecx', 22, 'MOVBE'),
  popcnt: bit(1, 'ecx', 23, 'POPCNT'),
  tsc_deadline_timer: bit(1, 'ecx', 24),
  aes: bit(1, 'ecx', 25, AES),
  xsave: bit(1, 'ecx', 26, 'XGETBV XSETBV XSAVE XRSTOR'),
  avx: bit(1, 'ecx', 28, AVX),
  f16c: bit(1, 'ecx', 29, 'VCVTPH2PS VCVTPS2PH'),
  rdrand: bit(1, 'ecx', 30, 'RDRAND'),
  hypervisor: bit(1, 'ecx', 31),

  arat: bit(6, 'eax', 2),

  fsgsbase: bit(7, 'ebx', 0, 'RDFSBASE RDGSBASE WRFSBASE WRGSBASE'),
  tsc_adjust: bit(7, 'ebx', 1),
  bmi1: bit(7, 'ebx', 3, 'ANDN BEXTR BLSI BLSMSK BLSR TZCNT'),
  avx2: bit(7, 'ebx', 5, AVX2),
  smep: bit(7, 'ebx', 7),
  bmi2: bit(7, 'ebx', 8, 'BZHI MULX PDEP PEXT RORX SARX SHLX SHRX'),
  erms: bit(7, 'ebx', 9),
  invpcid: bit(7, 'ebx', 10, 'INVPCID'),
  rdseed: bit(7, 'ebx', 18, 'RDSEED'),
  smap: bit(7, 'ebx', 20, 'CLAC STAC'),
  clflushopt: bit(7, 'ebx', 23, 'CLFLUSHOPT'),
  clwb: bit(7, 'ebx', 24, 'CLWB'),
  sha_ni: bit(7, 'ebx', 29, 'SHA1NEXTE SHA1MSG1 SHA1MSG2 SHA256RNDS2 SHA256MSG1 SHA256MSG2 SHA1RNDS4'),
  umip: bit(7, 'ecx', 2),
  la57: bit(7, 'ecx', 16),
  rdpid: bit(7, 'ecx', 22, 'RDPID'),
  fsrm: bit(7, 'edx', 4),
  arch_capabilities: bit(7, 'edx', 29),

  xsaveopt: bit(0xd, 'eax', 0, 'XSAVEOPT', 1),
  xsavec: bit(0xd, 'eax', 1, 'XSAVEC', 1),
  xgetbv1: bit(0xd, 'eax', 2, '', 1),

  lahf_lm: bit(EXTENDED, 'ecx', 0, 'LAHF SAHF'),
  abm: bit(EXTENDED, 'ecx', 5, 'LZCNT'),
  '3dnowprefetch': bit(EXTENDED, 'ecx', 8, 'PREFETCHW'),
  syscall: bit(EXTENDED, 'edx', 11, 'SYSCALL SYSRET'),
  nx: bit(EXTENDED, 'edx', 20),
  pdpe1gb: bit(EXTENDED, 'edx', 26),
  rdtscp: bit(EXTENDED, 'edx', 27, 'RDTSCP'),
  lm: bit(EXTENDED, 'edx', 29, 'MOVSXD SWAPGS'),

  nonstop_tsc: bit(0x80000007, 'edx', 8),
}

/**
 * The instructions that a feature lacks, by mnemonic. One counts when a definition of it carries the feature, or none (or
 * the x87's): MMX's PADDB does not stand for SSE2's.
 * @throws Error for a feature that {@link FEATURES} does not have
 */
export function missingInstructions(feature: Feature, instructions: readonly Instruction[]): string[] {
  const entry = FEATURES[feature]
  if (!entry) throw new Error(`no CPUID feature is called ${feature}; see FEATURES in src/isa/features.ts`)
  const defined = new Set<string>()
  for (const instruction of instructions) {
    const of = instruction.feature
    if (of === feature || of === undefined || of === 'fpu') defined.add(instruction.mnemonic)
  }
  return entry.mnemonics.filter(mnemonic => !defined.has(mnemonic))
}

/**
 * The features whose instructions are all defined.
 * @throws Error when a definition names a feature that {@link FEATURES} does not have
 */
export function instructionFeatures(instructions: readonly Instruction[]): Set<Feature> {
  for (const { mnemonic, feature } of instructions) {
    if (feature !== undefined && !FEATURES[feature]) {
      throw new Error(`${mnemonic} belongs to ${feature}, which is no CPUID feature of src/isa/features.ts`)
    }
  }
  const present = new Set<Feature>()
  for (const feature in FEATURES) {
    if (FEATURES[feature].mnemonics.length && missingInstructions(feature, instructions).length === 0)
      present.add(feature)
  }
  return present
}
