/**
 * What transfers between privileges read of the system's tables, as generated code for 64-bit mode: descriptors, gates and the
 * TSS as far as the TLB has their pages. Whatever is missing or unusual leaves for a label, with nothing changed: the same
 * transfer in TypeScript (src/cpu) has the rules in full.
 */

import { ATTRIBUTE_DB, ATTRIBUTE_UNUSABLE, CR4_LA57 } from '../cpu/registers.ts'
import { F, GDTR, SS } from '../cpu/state.ts'
import { tlbOffset } from '../engines/tlb-offset.ts'
import { TLB_BASE } from '../memory/layout.ts'
import { TLB_ADDEND, TLB_SIZE, TLB_SUPERVISOR } from '../memory/tlb.ts'
import { I32, I64 } from '../wasm/types.ts'
import { type Code, Int, type Label } from './semantics.ts'

/** The TLB of implicit accesses: what the processor reads of its tables itself. */
export const SYSTEM_TLB = TLB_BASE + TLB_SUPERVISOR * TLB_SIZE

const PAGE_MASK = 0xfffffffffffff000n

/**
 * The address in memory 1 of bytes at a linear address, or leaves if the TLB has not their page or they lie in two.
 * @param tlb address of the class's TLB
 * @param tag which right is wanted: TLB_READ or TLB_WRITE
 */
export function locateBytes(code: Code, tlb: Int, linear: Int, bytes: number, tag: number, otherwise: Label): Int {
  const { f } = code
  const low = linear.truncate(32)
  const entry = code.variable(32, tlb.add(tlbOffset(low))).value
  const stored = new Int(f, f.load(0x29, I64, 0, entry.node, tag), 64)
  code.leave(otherwise, stored.ne(linear.add(bytes - 1).and(PAGE_MASK)))
  const addend = new Int(f, f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
  return code.variable(32, addend.add(low)).value
}

/** 64 bits of guest RAM at an address in memory 1. */
export const ramWord = (code: Code, address: Int, offset = 0): Int =>
  new Int(code.f, code.f.load(0x29, I64, 1, address.node, offset), 64)

/** Leaves unless a 64-bit address is canonical. */
export function requireCanonical(code: Code, address: Int, otherwise: Label): void {
  const unused = code.get(F.cr4).and(CR4_LA57).isNonZero().select(code.const(7, 64), 16)
  code.leave(otherwise, address.shl(unused).sar(unused).ne(address))
}

/** A segment descriptor, by halves. */
export interface DescriptorWords {
  low: Int
  high: Int
}

/** The descriptor of a selector (32 bits) in the GDT. Leaves for null, the LDT, and what lies beyond the table. */
export function readSystemDescriptor(code: Code, selector: Int, tag: number, otherwise: Label): DescriptorWords {
  const offset = selector.and(0xfff8)
  const refused = selector.and(4).isNonZero().or(selector.and(0xfffc).isZero())
  code.leave(otherwise, refused.or(offset.add(7).gtU(code.get(F.segmentLimit, GDTR))))
  const linear = code.variable(64, code.get(F.segmentBase, GDTR).add(offset.zeroExtend(64))).value
  const at = locateBytes(code, code.const(SYSTEM_TLB, 32), linear, 8, tag, otherwise)
  const words = code.variable(64, ramWord(code, at)).value
  return { low: words.truncate(32), high: words.shr(32).truncate(32) }
}

/** Loads a segment register from a descriptor, as `fillSegment` of src/cpu/segmentation.ts. */
export function loadSegmentWords(code: Code, index: number, selector: Int, { low, high }: DescriptorWords): void {
  const base = low.shr(16).or(high.and(0xff).shl(16)).or(high.and(0xff000000))
  const limit = low.and(0xffff).or(high.and(0xf0000))
  code.set(F.segmentBase, base.zeroExtend(64), index)
  code.set(F.segmentLimit, high.and(0x800000).isNonZero().select(limit.shl(12).or(0xfff), limit), index)
  code.set(F.segmentSelector, selector, index)
  code.set(F.segmentAttributes, high.shr(8).and(0xf0ff), index)
}

/** SS as null with a privilege in its selector (32 bits), as `fillNullStack`. */
export function loadNullStack(code: Code, selector: Int): void {
  code.set(F.segmentBase, 0, SS)
  code.set(F.segmentLimit, 0, SS)
  code.set(F.segmentSelector, selector, SS)
  code.set(
    F.segmentAttributes,
    selector
      .and(3)
      .shl(5)
      .or(ATTRIBUTE_UNUSABLE | ATTRIBUTE_DB),
    SS,
  )
}
