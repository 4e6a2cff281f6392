/** The x87's tag word as programs see it (SDM vol. 1, 8.1.7): kept only as empty or not, the rest is derived. */
import { F } from '../cpu/state.ts'
import { routine } from '../isa/semantics.ts'
import { Extended } from './x87-stack.ts'

/** The tag word in full: two bits a register, 0 valid, 1 zero, 2 special, 3 empty. */
export const x87TagWord = routine('x87TagWord', [], 32, code => {
  const tags = code.variable(32, code.get(F.ftw))
  const word = code.variable(32, 0)
  const n = code.variable(32, 0)
  code.while(
    () => n.value.ltU(8),
    () => {
      const shift = n.value.shl(1)
      const a = new Extended(code, code.get(F.fpr, n.value), code.getPart(F.fpr, 8, 16, n.value).zeroExtend(32))
      const kind = code.variable(32, a.isNormal.select(code.const(0, 32), a.isZero.select(code.const(1, 32), 2)))
      const empty = tags.value.shr(shift).and(3).eq(3)
      word.value = word.value.or(empty.select(code.const(3, 32), kind.value).shl(shift))
      n.value = n.value.add(1)
    },
  )
  return word.value
})
