/** Limit and type checks of accesses through a segment, outside of 64-bit mode (SDM vol. 3, 5.3, 5.4). */
import { setFault } from './faults.ts'
import { ATTRIBUTE_DB, ATTRIBUTE_P, ATTRIBUTE_S, ATTRIBUTE_UNUSABLE, CR0_PE } from './registers.ts'
import { F, SS } from './state.ts'
import type { Vcpu } from './vcpu.ts'

const LIMIT = F.segmentLimit.offset >> 2
const ATTRIBUTES = F.segmentAttributes.offset >> 2
const CR0 = F.cr0.offset >> 2

/**
 * Checks an access of `size` bytes at an offset within a segment; a violation is noted as #SS(0) for SS, else #GP(0).
 * @param offset 32 bits of any sign
 */
export function segmentCheck(cpu: Vcpu, segment: number, offset: number, size: number, write: boolean): void {
  if (!isWithinSegment(cpu, segment, offset, size, write)) setFault(cpu, segment === SS ? 12 : 13, 0)
}

/** Whether an access as {@link segmentCheck} knows it is one that the segment allows. */
export function isWithinSegment(cpu: Vcpu, segment: number, offset: number, size: number, write: boolean): boolean {
  const words = cpu.state.i32
  const attributes = words[ATTRIBUTES + segment]
  const limit = words[LIMIT + segment] >>> 0
  let good = !(attributes & ATTRIBUTE_UNUSABLE) && (attributes & (ATTRIBUTE_P | ATTRIBUTE_S)) === 0x90
  if (words[CR0] & CR0_PE) {
    // Code: readable, never written. Data: the writable bit has the same place as the readable one.
    const code = attributes & 8
    if (write ? code || !(attributes & 2) : code && !(attributes & 2)) good = false
  }
  const first = offset >>> 0
  const last = first + size - 1
  if ((attributes & 0xc) === 4) {
    if (first <= limit || last > (attributes & ATTRIBUTE_DB ? 0xffffffff : 0xffff)) good = false
  } else if (last > limit) {
    // A segment of 4 GiB has no end: an access across it goes on at 0.
    if (limit !== 0xffffffff) good = false
  }
  return good
}
