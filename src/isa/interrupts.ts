/** Software interrupts, IRET and the interrupt flag (SDM vol. 2, CLI INT INTO IRET STI). */
import { F, IF, VIF, VIP, VM } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { interruptReturnLong, RETURNED_FLAGS } from './interrupt-return.ts'
import { withinIopl } from './privilege.ts'
import { interruptFlat, interruptReturnFlat } from './protected-transfers.ts'
import { BP, GP, OF_EXCEPTION, routine, type Semantics } from './semantics.ts'

export const INT3 = instruction<[]>('INT3', {
  encodings: ['CC'],
  endsBlock: true,
  execute(m) {
    m.service('softwareInterrupt', BP)
  },
})

export const INT = instruction('INT', {
  encodings: ['CD ib  Ib'],
  endsBlock: true,
  execute(m, vector) {
    if (m.context.mode === 'protected') interruptFlat(m, vector.read())
    else m.service('interruptByNumber', vector.read())
  },
})

export const INTO = instruction<[]>('INTO', {
  encodings: ['CE i64'],
  endsBlock: true,
  execute(m) {
    m.if(m.flags.overflow, () => m.service('softwareInterrupt', OF_EXCEPTION))
  },
})

export const INT1 = instruction<[]>('INT1', {
  encodings: ['F1'],
  endsBlock: true,
  execute(m) {
    m.service('debugInterrupt')
  },
})

/** IRET, IRETD and IRETQ by operand size. */
export const IRET = instruction<[]>('IRET', {
  encodings: ['CF'],
  endsBlock: true,
  execute(m) {
    const { mode, operandSize } = m.context
    if (mode === 'long' && operandSize === 64) interruptReturnLong(m)
    else if (mode === 'protected' && operandSize === 32) interruptReturnFlat(m, RETURNED_FLAGS)
    else m.service('interruptReturn', operandSize / 8)
  },
})

/**
 * CLI (0) and STI (1) beyond IOPL: VIF in place of IF for programs of CPL 3, where CR4.VME gives virtual-8086 code and CR4.PVI
 * other code one, else #GP(0). STI with an interrupt pending (VIP) is #GP(0) too, so that the monitor delivers it.
 */
const changeVirtualInterrupts = routine('changeVirtualInterrupts', [32], undefined, (code, set) => {
  const flags = code.variable(32, code.get(F.systemFlags)).value
  const cr4 = code.get(F.cr4)
  const enabled = flags.and(VM).isNonZero().select(cr4.bit(0), cr4.bit(1))
  const pending = set.isNonZero().and(flags.and(VIP).isNonZero())
  code.if(
    enabled.and(code.get(F.cpl).eq(3)).and(pending.not()),
    () => code.set(F.systemFlags, set.isNonZero().select(flags.or(VIF), flags.and(~VIF))),
    () => {
      code.set(F.fault, 1)
      code.set(F.faultVector, GP)
      code.set(F.faultErrorCode, 0)
    },
  )
  return undefined
})

/** CLI and STI: within IOPL the flag itself, beyond it VIF where there is one. */
function changeInterruptFlag(m: Semantics, set: boolean, change: () => void): void {
  if (m.context.mode === 'real') {
    change()
    return
  }
  m.if(withinIopl(m), change, () => {
    m.call(changeVirtualInterrupts, m.const(set ? 1 : 0, 32))
    m.faultCheck()
  })
}

export const CLI = instruction<[]>('CLI', {
  encodings: ['FA'],
  execute(m) {
    changeInterruptFlag(m, false, () => m.set(F.systemFlags, m.get(F.systemFlags).and(~IF)))
  },
})

/** Interrupts stay off until the next instruction is done, if they were off. */
export const STI = instruction<[]>('STI', {
  encodings: ['FB'],
  endsBlock: true,
  execute(m) {
    changeInterruptFlag(m, true, () => {
      const flags = m.get(F.systemFlags)
      m.if(flags.and(IF).isZero(), () => m.set(F.interruptShadow, 1))
      m.set(F.systemFlags, flags.or(IF))
    })
  },
})

export const instructions: readonly Instruction[] = [INT3, INT, INTO, INT1, IRET, CLI, STI]
