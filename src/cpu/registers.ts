/** Bits of control registers, EFER, DR6, DR7 and page-fault error codes, with the manual's names (SDM vol. 3, 2.5). */

export const CR0_PE = 1 << 0
export const CR0_MP = 1 << 1
export const CR0_EM = 1 << 2
export const CR0_TS = 1 << 3
export const CR0_ET = 1 << 4
export const CR0_NE = 1 << 5
export const CR0_WP = 1 << 16
export const CR0_AM = 1 << 18
export const CR0_NW = 1 << 29
export const CR0_CD = 1 << 30
export const CR0_PG = 1 << 31

export const CR4_VME = 1 << 0
export const CR4_PVI = 1 << 1
export const CR4_TSD = 1 << 2
export const CR4_DE = 1 << 3
export const CR4_PSE = 1 << 4
export const CR4_PAE = 1 << 5
export const CR4_MCE = 1 << 6
export const CR4_PGE = 1 << 7
export const CR4_PCE = 1 << 8
export const CR4_OSFXSR = 1 << 9
export const CR4_OSXMMEXCPT = 1 << 10
export const CR4_UMIP = 1 << 11
export const CR4_LA57 = 1 << 12
export const CR4_FSGSBASE = 1 << 16
export const CR4_PCIDE = 1 << 17
export const CR4_OSXSAVE = 1 << 18
export const CR4_SMEP = 1 << 20
export const CR4_SMAP = 1 << 21

export const XCR0_X87 = 1 << 0
export const XCR0_SSE = 1 << 1
export const XCR0_AVX = 1 << 2

export const EFER_SCE = 1 << 0
export const EFER_LME = 1 << 8
export const EFER_LMA = 1 << 10
export const EFER_NXE = 1 << 11

/** DR6: single step, task switch, general detect. */
export const DR6_BD = 1 << 13
export const DR6_BS = 1 << 14
export const DR6_BT = 1 << 15
/** Bits of DR6 that read as one. */
export const DR6_ONES = 0xffff0ff0
/** DR7: general detect enable, and the bit that reads as one. */
export const DR7_GD = 1 << 13
export const DR7_ONES = 1 << 10

/** Segment attributes as in `F.segmentAttributes`. */
export const ATTRIBUTE_S = 1 << 4
export const ATTRIBUTE_P = 1 << 7
export const ATTRIBUTE_L = 1 << 13
export const ATTRIBUTE_DB = 1 << 14
export const ATTRIBUTE_G = 1 << 15
export const ATTRIBUTE_UNUSABLE = 1 << 16

/** Bits of a physical address: CPUID leaf 80000008, reserved bits of page tables, MTRR masks. */
export const PHYSICAL_ADDRESS_BITS = 40
