/** How MMX registers lie in the x87 state (SDM vol. 3, 12.2). */
import { F } from '../cpu/state.ts'
import type { Code, Int } from './semantics.ts'

/** TOP in the x87 status word. */
const TOP = 0x3800

/**
 * The transition that every MMX instruction makes before anything else: TOP becomes 0, so that MMn is physical register n,
 * and all tags become valid. (EMMS then marks them empty.) To be done after `mmxCheck` and only if the instruction ends
 * without a fault, or again when it is restarted: it is idempotent and no fault depends on it.
 */
export function enterMmx(code: Code): void {
  code.set(F.fsw, code.get(F.fsw).and(0xffffffff & ~TOP))
  code.set(F.x87Top, 0)
  code.set(F.ftw, 0)
}

/** MMn: the significand of physical register n. */
export function readMmxRegister(code: Code, n: number | Int): Int {
  return code.get(F.fpr, n)
}

/** Writes MMn; sign and exponent become all ones. */
export function writeMmxRegister(code: Code, n: number | Int, value: Int): void {
  code.set(F.fpr, value, n)
  code.setPart(F.fpr, 8, code.const(0xffff, 16), n)
}
