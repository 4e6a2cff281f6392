/**
 * What transfers between privileges read of the system's tables, as generated code for 64-bit mode: descriptors, gates and the
 * TSS. Whatever is unusual leaves for a label, with nothing changed: the same
 * transfer in TypeScript (src/cpu) has the rules in full.
 */

import { ACCESS_WRITE } from '../cpu/paging.ts'
import { ATTRIBUTE_DB, ATTRIBUTE_UNUSABLE } from '../cpu/registers.ts'
import { DS, ES, F, FS, GDTR, GS, SS } from '../cpu/state.ts'
import { tlbOffset } from '../engines/tlb-offset.ts'
import { isCanonicalNow, REFILL, REFILL_FAULT, REFILL_TYPE, tlbAddress } from '../engines/tlb-refill.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_READ, TLB_SUPERVISOR, TLB_WRITE } from '../memory/tlb.ts'
import { I32, I64 } from '../wasm/types.ts'
import { type Code, Int, type Label } from './semantics.ts'

/**
 * The address in memory 1 of bytes at a linear address. Leaves if no RAM page is there that may be accessed so, or the bytes
 * lie in two.
 * @param tlbClass for whose privilege; by default the processor's own, with which it reads its tables
 */
export function locateBytes(
  code: Code,
  linear: Int,
  bytes: number,
  write: boolean,
  otherwise: Label,
  tlbClass = code.const(TLB_SUPERVISOR, 32),
): Int {
  const { f } = code
  const low = linear.truncate(32)
  const entry = code.variable(32, tlbAddress(tlbClass).add(tlbOffset(low))).value
  const page = code.variable(64, linear.add(bytes - 1).and(PAGE_MASK)).value
  const held = () => new Int(f, f.load(0x29, I64, 0, entry.node, write ? TLB_WRITE : TLB_READ), 64).eq(page)
  code.if(held().not(), () => {
    code.leave(otherwise, linear.and(PAGE_MASK).ne(page).or(isCanonicalNow(code, linear).not()))
    const access = code.const(write ? ACCESS_WRITE : 0, 32)
    const filled = f.call(REFILL, REFILL_TYPE, [linear.node, access.node, tlbClass.node])
    code.leave(otherwise, new Int(f, filled, 32).leU(REFILL_FAULT).or(held().not()))
  })
  const addend = new Int(f, f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
  return code.variable(32, addend.add(low)).value
}

/** 64 bits of guest RAM at an address in memory 1. */
export const ramWord = (code: Code, address: Int, offset = 0): Int =>
  new Int(code.f, code.f.load(0x29, I64, 1, address.node, offset), 64)

/** The same of 32 bits. */
export const ramWord32 = (code: Code, address: Int, offset = 0): Int =>
  new Int(code.f, code.f.load(0x28, I32, 1, address.node, offset), 32)

/** A segment descriptor, by halves. */
export interface DescriptorWords {
  low: Int
  high: Int
}

/** The descriptor of a selector (32 bits) in the GDT. Leaves for null, the LDT, and what lies beyond the table. */
export function readSystemDescriptor(code: Code, selector: Int, otherwise: Label): DescriptorWords {
  const offset = selector.and(0xfff8)
  const refused = selector.and(4).isNonZero().or(selector.and(0xfffc).isZero())
  code.leave(otherwise, refused.or(offset.add(7).gtU(code.get(F.segmentLimit, GDTR))))
  const linear = code.variable(64, code.get(F.segmentBase, GDTR).add(offset.zeroExtend(64))).value
  const at = locateBytes(code, linear, 8, false, otherwise)
  const words = code.variable(64, ramWord(code, at)).value
  return { low: words.truncate(32), high: words.shr(32).truncate(32) }
}

/** Loads a segment register from a descriptor, as `fillSegment` of src/cpu/segmentation.ts. */
export function loadSegmentWords(code: Code, index: number | Int, selector: Int, { low, high }: DescriptorWords): void {
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

/** Leaves if a return to CPL 3 would make DS, ES, FS or GS null: what an outer privilege may not use. */
export function leaveUnlessKept(code: Code, otherwise: Label): void {
  for (const index of [ES, DS, FS, GS]) {
    const attributes = code.get(F.segmentAttributes, index)
    const kept = attributes.and(ATTRIBUTE_UNUSABLE).isNonZero().or(attributes.and(0x60).eq(0x60))
    code.leave(otherwise, kept.not())
  }
}
