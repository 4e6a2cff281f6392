/** Software interrupts, IRET and the interrupt flag (SDM vol. 2, CLI INT INTO IRET STI). */
import { F, IF } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { withinIopl } from './privilege.ts'
import { BP, GP, OF_EXCEPTION, type Semantics } from './semantics.ts'

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
    m.service('interruptByNumber', vector.read())
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
    m.service('interruptReturn', m.context.operandSize / 8)
  },
})

/**
 * CLI and STI: within IOPL the flag itself, beyond it VIF where there is one. 64-bit code has no virtual-8086 extensions
 * worth a slow path.
 */
function changeInterruptFlag(m: Semantics, set: boolean, change: () => void): void {
  const { mode } = m.context
  if (mode === 'real') {
    change()
  } else if (mode === 'long') {
    m.raiseIf(withinIopl(m).isZero(), GP, 0)
    change()
  } else {
    m.if(withinIopl(m), change, () => m.service('changeVirtualInterrupts', set ? 1 : 0))
  }
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
