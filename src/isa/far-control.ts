/** Control transfers to other segments (SDM vol. 2, CALL JMP RET). */
import { type Instruction, instruction } from './definition.ts'
import type { MemoryOperand, Operand, Semantics } from './semantics.ts'

/** Selector and offset of a far pointer in memory: the offset, of operand size, comes first. */
function pointer(m: Semantics, place: MemoryOperand) {
  const { operandSize } = m.context
  const offset = place.at(0, operandSize).read().zeroExtend(64)
  return { offset, selector: place.at(operandSize / 8, 16).read() }
}

export const JMP_FAR = instruction<[Operand, Operand]>('JMP', {
  title: 'JMP far',
  encodings: ['EA ap i64  Ap'],
  endsBlock: true,
  execute(m, selector, offset) {
    m.service('farJump', selector.read(), offset.read().zeroExtend(64))
  },
})

export const JMP_FAR_INDIRECT = instruction<[MemoryOperand]>('JMP', {
  title: 'JMP far indirect',
  encodings: ['FF /5 mem  M'],
  endsBlock: true,
  execute(m, place) {
    const { selector, offset } = pointer(m, place)
    m.service('farJump', selector, offset)
  },
})

export const CALL_FAR = instruction<[Operand, Operand]>('CALL', {
  title: 'CALL far',
  encodings: ['9A ap i64  Ap'],
  endsBlock: true,
  execute(m, selector, offset) {
    m.service('farCall', selector.read(), offset.read().zeroExtend(64), m.context.operandSize / 8)
  },
})

export const CALL_FAR_INDIRECT = instruction<[MemoryOperand]>('CALL', {
  title: 'CALL far indirect',
  encodings: ['FF /3 mem  M'],
  endsBlock: true,
  execute(m, place) {
    const { selector, offset } = pointer(m, place)
    m.service('farCall', selector, offset, m.context.operandSize / 8)
  },
})

export const RET_FAR = instruction<[Operand?]>('RET', {
  title: 'RET far',
  encodings: ['CB', 'CA iw  Iw'],
  endsBlock: true,
  execute(m, released) {
    m.service('farReturn', m.context.operandSize / 8, released ? released.read() : 0)
  },
})

export const instructions: readonly Instruction[] = [JMP_FAR, JMP_FAR_INDIRECT, CALL_FAR, CALL_FAR_INDIRECT, RET_FAR]
