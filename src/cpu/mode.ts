/**
 * The execution mode in one word (field `mode`): everything that decoded and translated code depends on besides its
 * bytes. Code made under one word runs only under the same word.
 */
import type { Mode } from '../isa/semantics.ts'

/** Which of the five mode classes. */
export const MODE_CLASS = 7
export const MODE_REAL = 0
export const MODE_VIRTUAL_8086 = 1
export const MODE_PROTECTED = 2
export const MODE_COMPATIBILITY = 3
export const MODE_LONG = 4
/** CS.D: default operand and address size 32 (ignored in 64-bit mode). */
export const MODE_CODE_32 = 1 << 3
/** SS.B: stack pointer ESP (ignored in 64-bit mode). */
export const MODE_STACK_32 = 1 << 4
/** CPL 3. */
export const MODE_USER = 1 << 5
/** Some of CS DS ES SS needs checks or has a base: addresses take the careful way (never in 64-bit mode). */
export const MODE_SEGMENTED = 1 << 6
/** The number of the TLB in use, two bits: src/memory/tlb.ts. */
export const MODE_TLB_SHIFT = 7
/** x87 and MMX instructions raise no #NM or #UD (CR0.EM and TS clear), and no error is ignored by IGNNE#. */
export const MODE_X87 = 1 << 9
/** SSE instructions are allowed (CR4.OSFXSR, not CR0.EM nor TS). */
export const MODE_SSE = 1 << 10
/** EFLAGS.TF: every instruction is followed by #DB. */
export const MODE_SINGLE_STEP = 1 << 11
/** A breakpoint is enabled in DR7: the careful way. */
export const MODE_BREAKPOINTS = 1 << 12

/** AVX instructions are allowed (CR4.OSXSAVE, SSE and AVX in XCR0, not CR0.TS). */
export const MODE_AVX = 1 << 13
/** Mode words are less than this. */
export const MODE_WORDS = 1 << 14

/** The classes by number. */
export const MODE_NAMES: readonly Mode[] = ['real', 'virtual-8086', 'protected', 'compatibility', 'long']
