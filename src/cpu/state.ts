/**
 * The state of a virtual processor: plain words at fixed offsets from a base address in memory 0, the same for every
 * engine. Generated code reaches them by base + offset, TypeScript by {@link StateView}; a snapshot copies the range.
 */

/** How a field is stored. */
export type FieldType = 'i32' | 'i64' | 'v128'

/** Where a field lives: byte offset from the base of the state, element size and count. */
export interface Field {
  readonly name: string
  readonly type: FieldType
  readonly offset: number
  readonly count: number
  /** Bytes from one element to the next. */
  readonly stride: number
}

const SIZES = { i32: 4, i64: 8, v128: 16 } as const

let next = 0
const all: Field[] = []

function field(name: string, type: FieldType, count = 1, stride: number = SIZES[type]): Field {
  const align = SIZES[type]
  next = Math.ceil(next / align) * align
  const made: Field = { name, type, offset: next, count, stride }
  next += count * stride
  all.push(made)
  return made
}

/** Segment registers by their number in the instruction encoding, then the system ones. */
export const ES = 0
export const CS = 1
export const SS = 2
export const DS = 3
export const FS = 4
export const GS = 5
export const LDTR = 6
export const TR = 7
/** Only base and limit. */
export const GDTR = 8
export const IDTR = 9
/** Only a base, which is 0: the segment of an address that has none. */
export const NO_SEGMENT = 10

/** The most pages that a region holds on to. */
export const MOST_HELD_PAGES = 24

/** Every field of a vCPU's state. */
export const F = {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8–R15. */
  gpr: field('gpr', 'i64', 16),
  /** Always zero: what an absent base or index register reads as. Follows gpr, so it is its element 16. */
  zero: field('zero', 'i64'),
  /** Element 17 of gpr: RIP after the current instruction, only while one with RIP-relative addressing executes. */
  nextRip: field('nextRip', 'i64'),
  rip: field('rip', 'i64'),
  /**
   * Arithmetic flags in pieces, so that setting them costs little. ZF: flagResult is 0. SF: the sign of
   * flagResult XOR flagAdjust. PF: even parity of byte 0 of flagResult XOR byte 1 of flagAdjust. CF: bit 63 of
   * flagCarries. OF: bit 63 XOR bit 62 of flagCarries. AF: bit 4 of flagAdjust.
   */
  flagResult: field('flagResult', 'i64'),
  flagCarries: field('flagCarries', 'i64'),
  flagAdjust: field('flagAdjust', 'i64'),
  /**
   * Not 0: the arithmetic flags are those of an operation not yet looked at, a kind of src/engines/flag-recipe.ts with its operands;
   * the pieces above are stale. Only between regions of translated code.
   */
  flagKind: field('flagKind', 'i32'),
  flagA: field('flagA', 'i64'),
  flagB: field('flagB', 'i64'),
  /** EFLAGS but for CF PF AF ZF SF OF, which are 0 here; bit 1 is 1. */
  systemFlags: field('systemFlags', 'i32'),
  /** Nonzero for one instruction after STI, MOV SS and POP SS: interrupts wait. */
  interruptShadow: field('interruptShadow', 'i32'),
  /** Segment bases, by the numbers above; LDTR, TR, GDTR, IDTR and NO_SEGMENT too. */
  segmentBase: field('segmentBase', 'i64', 11),
  /** Limits in bytes, scaled by G already (unsigned). */
  segmentLimit: field('segmentLimit', 'i32', 10),
  segmentSelector: field('segmentSelector', 'i32', 8),
  /** Bits 0–3 type, 4 S, 5–6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable (null), as in the VMCS. */
  segmentAttributes: field('segmentAttributes', 'i32', 8),
  /**
   * Bit 0: an access through the segment needs the limit and type checks, because it is not a present, writable
   * expand-up data segment (or readable code segment for reads) with base 0 … limit 4 GiB. 0 in 64-bit mode.
   */
  segmentCheck: field('segmentCheck', 'i32', 8),
  cr0: field('cr0', 'i32'),
  cr2: field('cr2', 'i64'),
  cr3: field('cr3', 'i64'),
  /** PAE's page-directory-pointer registers, loaded with CR3. */
  pdptes: field('pdptes', 'i64', 4),
  cr4: field('cr4', 'i32'),
  efer: field('efer', 'i32'),
  cpl: field('cpl', 'i32'),
  xcr0: field('xcr0', 'i32'),
  /** The execution mode in one word, see src/cpu/mode.ts: what decoded and translated code was made for. */
  mode: field('mode', 'i32'),
  /**
   * Counts what makes earlier finds of code by linear address worthless: dropped translations. Follows mode,
   * which lies on a multiple of 8, so that one 64-bit load takes both.
   */
  epoch: field('epoch', 'i32'),
  /** Base address in memory 0 of the TLB for the current privilege, see src/memory/tlb.ts. */
  tlb: field('tlb', 'i32'),
  dr: field('dr', 'i64', 8),
  /** MSRs that live in the processor; the rest is in `Vcpu.msrs`. */
  star: field('star', 'i64'),
  lstar: field('lstar', 'i64'),
  cstar: field('cstar', 'i64'),
  sfmask: field('sfmask', 'i64'),
  kernelGsBase: field('kernelGsBase', 'i64'),
  sysenterCs: field('sysenterCs', 'i64'),
  sysenterEsp: field('sysenterEsp', 'i64'),
  sysenterEip: field('sysenterEip', 'i64'),
  tscAux: field('tscAux', 'i64'),
  tscOffset: field('tscOffset', 'i64'),
  /** x87: eight physical registers of 16 bytes: significand at +0, sign and exponent (16 bits) at +8. */
  fpr: field('fpr', 'i64', 8, 16),
  /** Element 8 of fpr: the operand from memory of the x87 instruction that executes (sign and exponent at +8). */
  x87Operand: field('x87Operand', 'i64', 1, 16),
  /** Control word, status word (TOP in bits 11–13), tag word with two bits a register, last opcode. */
  fcw: field('fcw', 'i32'),
  fsw: field('fsw', 'i32'),
  /**
   * TOP of the status word as the offset of a register in fpr: derived from fsw, for code that is to find registers before it is
   * known what the last result adds to fsw. Change both by src/float/x87-status.ts.
   */
  x87Top: field('x87Top', 'i32'),
  ftw: field('ftw', 'i32'),
  fop: field('fop', 'i32'),
  /** Exceptions (bits of the status word) that the current x87 instruction has met while not yet committed. */
  x87Flags: field('x87Flags', 'i32'),
  fip: field('fip', 'i64'),
  fdp: field('fdp', 'i64'),
  fcs: field('fcs', 'i32'),
  fds: field('fds', 'i32'),
  /** With everything below derived from it: change it by src/float/mxcsr.ts only. */
  mxcsr: field('mxcsr', 'i32'),
  floatLimit32: field('floatLimit32', 'v128'),
  floatLimit64: field('floatLimit64', 'v128'),
  /** Exceptions (bits of MXCSR) that the lanes of the current instruction of two lanes have met; only while it executes. */
  simdExceptions: field('simdExceptions', 'i32'),
  xmm: field('xmm', 'v128', 16),
  /** Upper halves of YMM0–YMM15. */
  ymmHigh: field('ymmHigh', 'v128', 16),
  /** What a service gives back to the instruction that called it. */
  serviceResult: field('serviceResult', 'i64'),
  serviceResult2: field('serviceResult2', 'i64'),
  /** Instructions still allowed in this run; counts down. */
  budget: field('budget', 'i32'),
  /** Instructions executed by translated code since the start, for statistics. */
  translatedInstructions: field('translatedInstructions', 'i64'),
  /** Bits of src/cpu/events.ts that are pending between instructions: interrupt request, NMI, INIT … */
  events: field('events', 'i32'),
  /** Nonzero while an exception is being raised by a slow path: the handler leaves without committing anything. */
  fault: field('fault', 'i32'),
  /** Vector, error code (-1: none) of that exception. */
  faultVector: field('faultVector', 'i32'),
  faultErrorCode: field('faultErrorCode', 'i32'),
  /** Nonzero while the processor is halted. */
  halted: field('halted', 'i32'),
  /** What the vCPU's thread does now: a number of src/cpu/activity.ts. */
  activity: field('activity', 'i32'),
  /** Pages that the region being executed holds on to (src/engines/translator/held-pages.ts). */
  heldStart: field('heldStart', 'i64', MOST_HELD_PAGES),
  heldSize: field('heldSize', 'i64', MOST_HELD_PAGES),
  heldPlace: field('heldPlace', 'i32', MOST_HELD_PAGES),
  /** Nonzero while NMIs wait for IRET. */
  nmiBlocked: field('nmiBlocked', 'i32'),
  /** Engine-private scratch words. */
  scratch: field('scratch', 'i64', 16),
  /**
   * IGNNE#, by which an x87 error that waits is ignored though CR0.NE is clear. 1: asserted until the error is cleared; 2: always,
   * because the machine has no IRQ for such errors.
   */
  ignoreNumericError: field('ignoreNumericError', 'i32'),
} as const

if (F.mode.offset % 8 !== 0 || F.epoch.offset !== F.mode.offset + 4) throw new Error('mode and epoch are not one word')

/** Bytes of one vCPU's state. */
export const STATE_SIZE = Math.ceil(next / 64) * 64

/** All fields in order of their offsets, for snapshots and debuggers. */
export const FIELDS: readonly Field[] = all

/** General-purpose registers by their encoding. */
export const RAX = 0
export const RCX = 1
export const RDX = 2
export const RBX = 3
export const RSP = 4
export const RBP = 5
export const RSI = 6
export const RDI = 7

/** Bits of EFLAGS (SDM vol. 1, 3.4.3). */
export const CF = 1 << 0
export const PF = 1 << 2
export const AF = 1 << 4
export const ZF = 1 << 6
export const SF = 1 << 7
export const TF = 1 << 8
export const IF = 1 << 9
export const DF = 1 << 10
export const OF = 1 << 11
export const IOPL = 3 << 12
export const NT = 1 << 14
export const RF = 1 << 16
export const VM = 1 << 17
export const AC = 1 << 18
export const VIF = 1 << 19
export const VIP = 1 << 20
export const ID = 1 << 21
/** The flags that live in flagResult, flagCarries and flagAdjust. */
export const ARITHMETIC_FLAGS = CF | PF | AF | ZF | SF | OF

/** Typed access from TypeScript to one vCPU's state; 64-bit fields by halves or as bigint. */
export class StateView {
  readonly base: number
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly u64: BigUint64Array
  readonly bytes: Uint8Array

  constructor(buffer: ArrayBufferLike, base: number) {
    this.base = base
    this.i32 = new Int32Array(buffer, base, STATE_SIZE / 4)
    this.u32 = new Uint32Array(buffer, base, STATE_SIZE / 4)
    this.u64 = new BigUint64Array(buffer, base, STATE_SIZE / 8)
    this.bytes = new Uint8Array(buffer, base, STATE_SIZE)
  }

  /** An i32 field, or the low half of an i64 one, unsigned. */
  get32(f: Field, index = 0): number {
    return this.u32[(f.offset + index * f.stride) >> 2]
  }
  set32(f: Field, value: number, index = 0): void {
    this.i32[(f.offset + index * f.stride) >> 2] = value
  }
  /** The high half of an i64 field, unsigned. */
  getHigh(f: Field, index = 0): number {
    return this.u32[((f.offset + index * f.stride) >> 2) + 1]
  }
  /** Both halves of an i64 field. */
  setHalves(f: Field, low: number, high: number, index = 0): void {
    const at = (f.offset + index * f.stride) >> 2
    this.i32[at] = low
    this.i32[at + 1] = high
  }
  /** An i64 field, unsigned. */
  get64(f: Field, index = 0): bigint {
    return this.u64[(f.offset + index * f.stride) >> 3]
  }
  set64(f: Field, value: bigint, index = 0): void {
    this.u64[(f.offset + index * f.stride) >> 3] = value
  }
}
