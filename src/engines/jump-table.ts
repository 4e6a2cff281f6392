/**
 * Translated code by linear address: how a region finds the next one. An entry holds for the mode and the epoch
 * (src/cpu/state.ts) in which it was made, and while the TLB takes the page to where it did then: so whatever drops the
 * page from the TLB drops the entry.
 */

import { F } from '../cpu/state.ts'
import type { Label } from '../ir/node.ts'
import { Int } from '../ir/values.ts'
import type { Code } from '../isa/semantics.ts'
import { JUMP_TABLE_BASE } from '../memory/layout.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_FETCH } from '../memory/tlb.ts'
import { I32, I64 } from '../wasm/types.ts'
import { tlbOffset } from './tlb-offset.ts'

/** An entry: linear address (i64), mode and epoch (two words), index of the function, address in memory 1 (i32 each). */
const ENTRIES = 8192
const ENTRY_SIZE = 32
const MODE_AND_EPOCH = 8
const INDEX = 16
const ADDRESS = 20

/** Address of the entry for a linear address, as an Int of 32 bits. */
function entryOf(linear: Int): Int {
  const low = linear.truncate(32)
  const hash = low.xor(low.shr(13)).and(ENTRIES - 1)
  return hash.mul(ENTRY_SIZE).add(JUMP_TABLE_BASE)
}

/** Mode and epoch as they are now. */
function modeAndEpoch(code: Code): Int {
  return new Int(code.f, code.f.load(0x29, I64, 0, code.base.node, F.mode.offset), 64)
}

/** Calls `found` with the index of the function for a linear address, if the table has one. @param tlb the TLB's address */
export function lookUpJump(code: Code, linear: Int, tlb: Int, found: (index: Int) => void): void {
  const { f } = code
  const low = linear.truncate(32)
  const entry = code.variable(32, entryOf(linear)).value
  const place = code.variable(32, tlb.add(tlbOffset(low))).value
  const wide = (address: Int, offset: number) => new Int(f, f.load(0x29, I64, 0, address.node, offset), 64)
  const word = (address: Int, offset: number) => new Int(f, f.load(0x28, I32, 0, address.node, offset), 32)
  // One branch each: as parts of one condition V8 makes numbers of them first.
  code.block(missing => {
    const need = (holds: Int) => code.leave(missing, holds.isZero(), 'unlikely')
    need(wide(entry, 0).eq(linear))
    need(wide(entry, MODE_AND_EPOCH).eq(modeAndEpoch(code)))
    need(wide(place, TLB_FETCH).eq(linear.and(PAGE_MASK)))
    need(word(place, TLB_ADDEND).add(low).eq(word(entry, ADDRESS)))
    found(word(entry, INDEX))
  })
}

/**
 * Whether the TLB takes a linear address of code into the page at an address in memory 1.
 * @param unknown where to go if the TLB does not have the address. Two branches are less than what makes one of two conditions.
 */
export function isMapped(code: Code, at: Int, page: Int, unknown: Label): Int {
  const { f } = code
  const linear = code.variable(64, at).value
  const low = linear.truncate(32)
  const entry = code.variable(32, code.get(F.tlb).add(tlbOffset(low))).value
  const tag = new Int(f, f.load(0x29, I64, 0, entry.node, TLB_FETCH), 64)
  code.leave(unknown, tag.ne(linear.and(PAGE_MASK)), 'unlikely')
  const addend = new Int(f, f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
  return addend.add(low.and(0xfffff000)).eq(page)
}

/** Enters a function into the table. @param address of the code in memory 1 */
export function enterJump(code: Code, linear: Int, address: Int, index: Int): void {
  const { f } = code
  const entry = code.variable(32, entryOf(linear)).value
  f.store(0x37, 0, entry.node, linear.node, 0)
  f.store(0x37, 0, entry.node, modeAndEpoch(code).node, MODE_AND_EPOCH)
  f.store(0x36, 0, entry.node, index.node, INDEX)
  f.store(0x36, 0, entry.node, address.node, ADDRESS)
}

/** Empties the table: after a reset epochs start anew. */
export function clearJumps(buffer: ArrayBufferLike): void {
  new Uint8Array(buffer, JUMP_TABLE_BASE, ENTRIES * ENTRY_SIZE).fill(0)
}
