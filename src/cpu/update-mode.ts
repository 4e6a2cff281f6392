/** The words derived from control registers, segments and flags: `F.mode`, `F.tlb`, `F.segmentCheck`. */
import { TLB_BASE } from '../memory/layout.ts'
import { TLB_SIZE, TLB_SUPERVISOR, TLB_SUPERVISOR_AC, TLB_USER, TLB_USER_ALIGNMENT } from '../memory/tlb.ts'
import { EVENT_CAREFUL } from './events.ts'
import {
  MODE_AVX,
  MODE_BREAKPOINTS,
  MODE_CODE_32,
  MODE_COMPATIBILITY,
  MODE_LONG,
  MODE_PROTECTED,
  MODE_REAL,
  MODE_SEGMENTED,
  MODE_SINGLE_STEP,
  MODE_SSE,
  MODE_STACK_32,
  MODE_TLB_SHIFT,
  MODE_USER,
  MODE_VIRTUAL_8086,
  MODE_X87,
} from './mode.ts'
import {
  ATTRIBUTE_DB,
  ATTRIBUTE_L,
  ATTRIBUTE_P,
  ATTRIBUTE_S,
  ATTRIBUTE_UNUSABLE,
  CR0_AM,
  CR0_EM,
  CR0_PE,
  CR0_TS,
  CR4_OSFXSR,
  CR4_OSXSAVE,
  CR4_SMAP,
  EFER_LMA,
  XCR0_AVX,
  XCR0_SSE,
} from './registers.ts'
import { AC, CS, DS, ES, F, FS, GS, SS, TF, VM } from './state.ts'
import type { Vcpu } from './vcpu.ts'

/** Bits of `F.segmentCheck`: reads need the checks; writes do. */
export const CHECK_READS = 1
export const CHECK_WRITES = 2

const CR0 = F.cr0.offset >> 2
const CR4 = F.cr4.offset >> 2
const EFER = F.efer.offset >> 2
const XCR0 = F.xcr0.offset >> 2
const CPL = F.cpl.offset >> 2
const SYSTEM_FLAGS = F.systemFlags.offset >> 2
const ATTRIBUTES = F.segmentAttributes.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const BASE = F.segmentBase.offset >> 2
const CHECK = F.segmentCheck.offset >> 2
const IGNORE_NUMERIC_ERROR = F.ignoreNumericError.offset >> 2
const DR7 = (F.dr.offset >> 2) + 14

/** The checks that accesses through a segment need outside of 64-bit mode. */
function checksOf(words: Int32Array, segment: number): number {
  const attributes = words[ATTRIBUTES + segment]
  if (attributes & ATTRIBUTE_UNUSABLE || !(attributes & ATTRIBUTE_P) || !(attributes & ATTRIBUTE_S)) return 3
  if (words[LIMIT + segment] !== -1) return CHECK_READS | CHECK_WRITES
  if (attributes & 8) return attributes & 2 ? CHECK_WRITES : CHECK_READS | CHECK_WRITES
  if (attributes & 4) return CHECK_READS | CHECK_WRITES
  return attributes & 2 ? 0 : CHECK_WRITES
}

/**
 * Computes the mode word, the TLB in use and which segments need checks. To be called after every change of CR0, CR4,
 * EFER, XCR0, a segment register, CPL, VM, TF, AC or DR7.
 */
export function updateMode(cpu: Vcpu): void {
  const words = cpu.state.i32
  const cr0 = words[CR0]
  const cr4 = words[CR4]
  const flags = words[SYSTEM_FLAGS]
  const user = words[CPL] === 3
  const codeAttributes = words[ATTRIBUTES + CS]
  let mode: number
  if (words[EFER] & EFER_LMA) mode = codeAttributes & ATTRIBUTE_L ? MODE_LONG : MODE_COMPATIBILITY
  else if (!(cr0 & CR0_PE)) mode = MODE_REAL
  else mode = flags & VM ? MODE_VIRTUAL_8086 : MODE_PROTECTED
  if (mode === MODE_LONG) {
    for (let segment = ES; segment <= GS; segment++) words[CHECK + segment] = 0
  } else {
    if (codeAttributes & ATTRIBUTE_DB) mode |= MODE_CODE_32
    if (words[ATTRIBUTES + SS] & ATTRIBUTE_DB) mode |= MODE_STACK_32
    let segmented = 0
    for (let segment = ES; segment <= DS; segment++) {
      const checks = checksOf(words, segment)
      words[CHECK + segment] = checks
      // Code that reads through CS is common; nothing writes through it.
      segmented |= segment === CS ? checks & CHECK_READS : checks
      segmented |= words[BASE + segment * 2]
    }
    if (segmented) mode |= MODE_SEGMENTED
    words[CHECK + FS] = checksOf(words, FS)
    words[CHECK + GS] = checksOf(words, GS)
  }
  let tlb = TLB_SUPERVISOR
  if (user) {
    mode |= MODE_USER
    tlb = flags & AC && cr0 & CR0_AM ? TLB_USER_ALIGNMENT : TLB_USER
  } else if (cr4 & CR4_SMAP && flags & AC) tlb = TLB_SUPERVISOR_AC
  mode |= tlb << MODE_TLB_SHIFT
  words[F.tlb.offset >> 2] = TLB_BASE + tlb * TLB_SIZE
  if (!(cr0 & (CR0_EM | CR0_TS))) {
    if (words[IGNORE_NUMERIC_ERROR] !== 1) mode |= MODE_X87
    if (cr4 & CR4_OSFXSR) mode |= MODE_SSE
  }
  const avx = XCR0_SSE | XCR0_AVX
  if (!(cr0 & CR0_TS) && cr4 & CR4_OSXSAVE && (words[XCR0] & avx) === avx) mode |= MODE_AVX
  if (flags & TF) mode |= MODE_SINGLE_STEP
  if (words[DR7] & 0xff) mode |= MODE_BREAKPOINTS
  if (mode & (MODE_SINGLE_STEP | MODE_BREAKPOINTS)) words[F.events.offset >> 2] |= EVENT_CAREFUL
  words[F.mode.offset >> 2] = mode
}
