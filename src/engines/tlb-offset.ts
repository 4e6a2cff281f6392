import type { Int } from '../ir/values.ts'
import { TLB_ENTRIES, TLB_ENTRY_SIZE } from '../memory/tlb.ts'

/** Bytes from the start of a class's TLB to the entry for a linear address, given its low 32 bits: as `tlbIndex`. */
export function tlbOffset(low: Int): Int {
  const shift = Math.log2(TLB_ENTRY_SIZE)
  return low
    .xor(low.shr(14))
    .shr(12 - shift)
    .and((TLB_ENTRIES - 1) * TLB_ENTRY_SIZE)
}
