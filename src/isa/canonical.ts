import { CR4_LA57 } from '../cpu/registers.ts'
import { F } from '../cpu/state.ts'
import type { Int } from '../ir/values.ts'
import type { Code } from './semantics.ts'

/** Whether a 64-bit address is canonical, with four or five levels of paging (SDM 1, 3.3.7.1). */
export function isCanonical(code: Code, address: Int): Int {
  const unused = code.get(F.cr4).and(CR4_LA57).isZero().select(code.const(16, 64), 7)
  return address.shl(unused).sar(unused).eq(address)
}
