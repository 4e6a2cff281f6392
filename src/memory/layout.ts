/**
 * What lies where in memory 0, the memory of CPU state and everything derived from the guest. The guest's RAM is a memory of its own
 * (memory 1), which may lie behind this one in the same WebAssembly memory.
 */
import { STATE_SIZE } from '../cpu/state.ts'
import { TLB_CLASSES, TLB_LISTS_SIZE, TLB_SIZE } from './tlb.ts'

/** Bytes of a WebAssembly page. */
export const WASM_PAGE = 65536

/** The vCPU's state. Below it nothing is ever valid, so that a null address shows. */
export const STATE_BASE = 0x10000
/** How many more entries a region has until it is made anew, larger: four bytes a region. 192 KiB. */
export const REGION_HEAT_BASE = 0x90000
/** Where a region's entry in it lies. @param index of its function, at least 16384 */
export const regionHeatAddress = (index: number): number => REGION_HEAT_BASE + (index - 16384) * 4
/** Translated code by linear address (src/engines/jump-table.ts). 256 KiB. */
export const JUMP_TABLE_BASE = 0x100000
/** The frame table, four bytes a guest-physical frame; 8 MiB reach 8 GiB. */
export const FRAME_TABLE_BASE = 0x200000
/** The largest number of guest-physical frames. */
export const MAX_FRAMES = 0x200000
/** Where decoded blocks are found by address (src/engines/interpreter). 2 MiB. */
export const BLOCK_TABLE_BASE = FRAME_TABLE_BASE + MAX_FRAMES * 4
/** The most pages that a region has code in: one that is counted, and the one that takes its place while it may still be running. */
export const REGION_PAGES = { counted: 2, other: 8 } as const
const REGION_PAGES_EACH = REGION_PAGES.counted + REGION_PAGES.other
/** Where the pages of each region's code were when it was made: addresses in memory 1. 2 MiB. */
export const REGION_PAGES_BASE = BLOCK_TABLE_BASE + 0x200000
/** Where that of one page lies. @param index of the region's function, at least 16384 @param page counts the region's pages */
export const regionPageAddress = (index: number, counted: boolean, page: number): number =>
  REGION_PAGES_BASE + ((index - 16384) * REGION_PAGES_EACH + (counted ? 0 : REGION_PAGES.counted) + page) * 4
/** Decoded instructions (src/engines/interpreter). */
export const RECORDS_BASE = REGION_PAGES_BASE + 0x200000
/** The TLBs, one after another (src/memory/tlb.ts). 2 MiB. Decoded instructions end here. */
export const TLB_BASE = 0x7400000
/** Which of their entries are in use. 2 MiB. */
export const TLB_LISTS_BASE = 0x7600000
/**
 * Where code was decoded from, eight bytes for each frame of memory 1: bit n stands for bytes 64 n to 64 n + 63. Writes elsewhere in a
 * frame that holds code are nobody's concern.
 */
export const CODE_MARKS_BASE = 0x7800000
/** Bytes that a bit of those stands for, as a shift. */
export const CODE_MARK_SHIFT = 6
/** End of memory 0. Untouched pages cost the host nothing. */
export const CPU_MEMORY_SIZE = 0x8000000

/**
 * What WebAssembly memory the bytes of memory 1 (guest RAM) lie in, and where: with an offset in memory 0, which V8 keeps the
 * address of in a register, where both have room there. An address has 32 bits and the offset is added to it without
 * wrapping, so that no address, whatever the guest makes of it, is one of what lies in front.
 */
export interface RamPlacement {
  readonly memory: 0 | 1
  readonly offset: number
}
export const JOINED: RamPlacement = { memory: 0, offset: CPU_MEMORY_SIZE }
export const APART: RamPlacement = { memory: 1, offset: 0 }

if (TLB_BASE + TLB_CLASSES * TLB_SIZE > TLB_LISTS_BASE || TLB_LISTS_BASE + TLB_LISTS_SIZE > CODE_MARKS_BASE) {
  throw new Error('the TLBs do not fit their place')
}
if (STATE_BASE + STATE_SIZE > REGION_HEAT_BASE) throw new Error('the state of a vCPU does not fit its place')
