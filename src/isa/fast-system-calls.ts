/** SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM vol. 2). From and to 64-bit code they are built, because they are hot. */
import { ARITHMETIC_FLAGS, CS, F, RCX, RF, SS, TF, VM } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { refreshMode } from './privilege.ts'
import { systemEnterFlat, systemExitFlat } from './protected-transfers.ts'
import { type Int, type Semantics, UD } from './semantics.ts'

/** Flags that SYSRET takes from R11: all but RF, VM and what is reserved. */
const RETURNED_FLAGS = 0x3c7fd7
/** All flags there are. */
const ALL_FLAGS = 0x3f7fd5

function loadFlat(m: Semantics, segment: number, selector: Int, attributes: number): void {
  m.set(F.segmentSelector, selector.and(0xffff), segment)
  m.set(F.segmentBase, 0, segment)
  m.set(F.segmentLimit, -1, segment)
  m.set(F.segmentAttributes, attributes, segment)
}

function requireEnabled(m: Semantics): void {
  m.raiseIf(m.get(F.efer).and(1).isZero(), UD)
}

export const SYSCALL = instruction<[]>('SYSCALL', {
  encodings: ['0F 05'],
  feature: 'syscall',
  modes: ['protected', 'compatibility', 'long'],
  endsBlock: true,
  execute(m) {
    if (m.context.mode !== 'long') {
      m.service('systemCall')
      return
    }
    requireEnabled(m)
    m.jump(m.get(F.lstar))
    const flags = m.flags.readImage().and(~RF)
    m.register(RCX, 64).write(m.nextRip)
    m.register(11, 64).write(flags.zeroExtend(64))
    const selector = m.get(F.star).shr(32).truncate(32).and(0xfffc)
    loadFlat(m, CS, selector, 0xa09b)
    loadFlat(m, SS, selector.add(8), 0xc093)
    m.set(F.cpl, 0)
    m.flags.writeImage(flags.and(m.get(F.sfmask).truncate(32).not()), ALL_FLAGS)
    m.call(refreshMode)
  },
})

export const SYSRET = instruction<[]>('SYSRET', {
  encodings: ['0F 07'],
  feature: 'syscall',
  modes: ['protected', 'compatibility', 'long'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    if (m.context.operandSize !== 64) {
      m.service('systemReturn', 4)
      return
    }
    // With TF in R11 the trap comes before the first user instruction: the long way.
    m.if(
      m.register(11, 64).read().truncate(32).and(TF).isNonZero(),
      () => m.service('systemReturn', 8),
      () => returnToUser(m),
    )
  },
})

/** SYSRET to 64-bit code. */
function returnToUser(m: Semantics): void {
  requireEnabled(m)
  m.jump(m.register(RCX, 64).read())
  const selector = m.get(F.star).shr(48).truncate(32)
  loadFlat(m, CS, selector.add(16).or(3), 0xa0fb)
  loadFlat(m, SS, selector.add(8).or(3), 0xc0f3)
  m.set(F.cpl, 3)
  const image = m.register(11, 64).read().truncate(32).and(RETURNED_FLAGS)
  m.flags.writeImage(image, ALL_FLAGS | VM | ARITHMETIC_FLAGS)
  m.call(refreshMode)
}

export const SYSENTER = instruction<[]>('SYSENTER', {
  encodings: ['0F 34'],
  feature: 'sep',
  modes: ['virtual-8086', 'protected', 'compatibility', 'long'],
  endsBlock: true,
  execute(m) {
    if (m.context.mode === 'protected') systemEnterFlat(m)
    else m.service('systemEnter')
  },
})

export const SYSEXIT = instruction<[]>('SYSEXIT', {
  encodings: ['0F 35'],
  feature: 'sep',
  modes: ['protected', 'compatibility', 'long'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    if (m.context.mode === 'protected') systemExitFlat(m)
    else m.service('systemExit', m.context.operandSize === 64 ? 8 : 4)
  },
})

export const instructions: readonly Instruction[] = [SYSCALL, SYSRET, SYSENTER, SYSEXIT]
