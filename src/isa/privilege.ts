/** Privilege checks in generated code, and the part of the mode word that changes with privilege and flags. */
import { EVENT_CAREFUL } from '../cpu/events.ts'
import { MODE_SINGLE_STEP, MODE_TLB_SHIFT, MODE_USER } from '../cpu/mode.ts'
import { F, TF } from '../cpu/state.ts'
import { TLB_BASE } from '../memory/layout.ts'
import { TLB_SIZE } from '../memory/tlb.ts'
import { GP, type Int, routine, type Semantics } from './semantics.ts'

/**
 * Recomputes what of `F.mode` and `F.tlb` depends on CPL, TF and AC, after generated code changed one of them. Changes of
 * segments and control registers want `updateMode` (src/cpu/update-mode.ts).
 */
export const refreshMode = routine('refreshMode', [], undefined, code => {
  const user = code.get(F.cpl).eq(3)
  const flags = code.get(F.systemFlags)
  const aligned = flags.bit(18)
  // The numbers of src/memory/tlb.ts: user 1, with alignment checks 3; supervisor 0, with AC under SMAP 2.
  const userClass = aligned.and(code.get(F.cr0).bit(18)).zeroExtend(32).shl(1).or(1)
  const supervisorClass = aligned.and(code.get(F.cr4).bit(21)).zeroExtend(32).shl(1)
  const tlb = user.select(userClass, supervisorClass)
  const kept = code.get(F.mode).and(~(MODE_USER | (3 << MODE_TLB_SHIFT) | MODE_SINGLE_STEP))
  const mode = kept
    .or(user.zeroExtend(32).mul(MODE_USER))
    .or(tlb.shl(MODE_TLB_SHIFT))
    .or(flags.and(TF).mul(MODE_SINGLE_STEP / TF))
  code.set(F.mode, mode)
  code.if(flags.and(TF).isNonZero(), () => code.set(F.events, code.get(F.events).or(EVENT_CAREFUL)))
  code.set(F.tlb, tlb.mul(TLB_SIZE).add(TLB_BASE))
  return undefined
})

/** #GP(0) unless CPL is 0. */
export function checkCpl0(m: Semantics): void {
  if (m.context.mode !== 'real') m.raiseIf(m.privilegeLevel.isNonZero(), GP, 0)
}

/** Whether CPL is at most IOPL. */
export function withinIopl(m: Semantics): Int {
  const iopl = m.get(F.systemFlags).bits(12, 2)
  return m.privilegeLevel.leU(iopl)
}
