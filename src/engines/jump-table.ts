/**
 * Translated code by linear address: how a region finds the next one without going through physical addresses. An entry
 * holds for the mode and the epoch (src/cpu/state.ts) in which it was made.
 */
import { F } from '../cpu/state.ts'
import { Int } from '../ir/values.ts'
import type { Code } from '../isa/semantics.ts'
import { JUMP_TABLE_BASE } from '../memory/layout.ts'
import { I32, I64 } from '../wasm/types.ts'

/** Number of entries; an entry is RIP (i64), mode and epoch (i64 of two words), index of the function (i32), 4 bytes unused. */
const ENTRIES = 2048
const ENTRY_SIZE = 32
const MODE_AND_EPOCH = 8
const INDEX = 16

/** Address of the entry for a RIP, as an Int of 32 bits. */
function entryOf(rip: Int): Int {
  const low = rip.truncate(32)
  const hash = low.xor(low.shr(11)).and(ENTRIES - 1)
  return hash.mul(ENTRY_SIZE).add(JUMP_TABLE_BASE)
}

/** Mode and epoch as they are now. */
function modeAndEpoch(code: Code): Int {
  return new Int(code.f, code.f.load(0x29, I64, 0, code.base.node, F.mode.offset), 64)
}

/** Calls `found` with the index of the function for a RIP, if the table has one. */
export function lookUpJump(code: Code, rip: Int, found: (index: Int) => void): void {
  const { f } = code
  const entry = code.variable(32, entryOf(rip)).value
  const word = (offset: number) => new Int(f, f.load(0x29, I64, 0, entry.node, offset), 64)
  const hit = word(0)
    .eq(rip)
    .and(word(MODE_AND_EPOCH).eq(modeAndEpoch(code)))
  code.if(hit, () => found(new Int(f, f.load(0x28, I32, 0, entry.node, INDEX), 32)))
}

/** Enters a function into the table. */
export function enterJump(code: Code, rip: Int, index: Int): void {
  const { f } = code
  const entry = code.variable(32, entryOf(rip)).value
  f.store(0x37, 0, entry.node, rip.node, 0)
  f.store(0x37, 0, entry.node, modeAndEpoch(code).node, MODE_AND_EPOCH)
  f.store(0x36, 0, entry.node, index.node, INDEX)
}

/** Empties the table: after a reset epochs start anew. */
export function clearJumps(buffer: ArrayBufferLike): void {
  new Uint8Array(buffer, JUMP_TABLE_BASE, ENTRIES * ENTRY_SIZE).fill(0)
}
