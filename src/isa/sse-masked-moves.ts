/** MASKMOVQ and MASKMOVDQU: chosen bytes to memory at rDI (SDM vol. 2). */
import { RDI } from '../cpu/state.ts'
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Semantics, VectorOperand } from './semantics.ts'

/** Writes the bytes of `value` whose mask has the top bit; all are checked before the first is written. */
function store(m: Semantics, value: Vector, mask: Vector, count: 8 | 16): void {
  const { segment, addressSize } = m.context
  const base = m.variable(addressSize, m.register(RDI, addressSize).read())
  const bytes = m.vectorVariable(value)
  const bits = m.variable(32, mask.toInt(S.I8X16_BITMASK, 32).and(2 ** count - 1))
  const each = (step: (place: ReturnType<Semantics['memory']>, index: ReturnType<typeof m.const>) => void) => {
    const rest = m.variable(32, bits.value)
    m.while(
      () => rest.value.isNonZero(),
      () => {
        const index = m.variable(32, rest.value.ctz())
        rest.value = rest.value.and(rest.value.sub(1))
        step(m.memory(segment, base.value.add(index.value.resize(addressSize)), 8), index.value)
      },
    )
  }
  each(place => place.probeWrite(1))
  each((place, index) => {
    const shifted = bytes.value.op(S.I8X16_SWIZZLE, [Vector.splat(index.truncate(8))])
    place.write(shifted.lane(8, 0))
  })
}

export const MASKMOVDQU = instruction<[VectorOperand, VectorOperand]>('MASKMOVDQU', {
  encodings: ['66 0F F7 /r reg  Vdq,Udq'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, value, mask) {
    store(m, value.readVector(), mask.readVector(), 16)
  },
})

export const MASKMOVQ = instruction<[VectorOperand, VectorOperand]>('MASKMOVQ', {
  encodings: ['NP 0F F7 /r reg  Pq,Nq'],
  feature: 'sse',
  unit: 'mmx',
  execute(m, value, mask) {
    store(m, Vector.low(value.readLow(64)), Vector.low(mask.readLow(64)), 8)
  },
})

export const instructions: readonly Instruction[] = [MASKMOVDQU, MASKMOVQ]
