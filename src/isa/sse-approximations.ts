/** Reciprocals and dot products (SDM vol. 2, RCPPS, RSQRTPS, DPPS, DPPD). */
import { F } from '../cpu/state.ts'
import * as exact from '../float/sse.ts'
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, type Routine, routine, type VectorOperand } from './semantics.ts'
import { splatOf } from './simd-forms.ts'
import { allTogether, type FloatWidth } from './sse-float-paths.ts'

const ONE = 0x3f800000
const SIGN = 0x80000000
const QUIET = 0x00400000
const SMALLEST_NORMAL = 0x00800000
const DEFAULT_NAN = 0xffc00000

/** Lanes with denormal numbers made zeros of the same sign. */
function flush(code: Code, value: Vector): Vector {
  const denormal = value.op(S.F32X4_ABS).op(S.F32X4_LT, [splatOf(code, 4, SMALLEST_NORMAL)])
  return denormal.choose(value.and(splatOf(code, 4, SIGN)), value)
}

/** NaN lanes of the operand, quieted, over the result's. */
function propagate(code: Code, operand: Vector, result: Vector): Vector {
  const nan = operand.op(S.F32X4_NE, [operand])
  return nan.choose(operand.or(splatOf(code, 4, QUIET)), result)
}

/**
 * 1 / x, better than the 12 bits that the manual asks for. Denormal operands are zeros, denormal results become zeros, and
 * MXCSR neither matters nor changes.
 */
const reciprocal = routine('f32x4Reciprocal', [128], 128, (code, x) => {
  const quotient = splatOf(code, 4, ONE).op(S.F32X4_DIV, [flush(code, x)])
  return propagate(code, x, flush(code, quotient))
})

/** 1 / √x likewise; of a negative number, the default NaN. */
const reciprocalRoot = routine('f32x4ReciprocalRoot', [128], 128, (code, x) => {
  const flushed = flush(code, x)
  const negative = flushed.op(S.F32X4_LT, [splatOf(code, 1, 0)])
  const quotient = splatOf(code, 4, ONE).op(S.F32X4_DIV, [flushed.op(S.F32X4_SQRT)])
  return propagate(code, x, negative.choose(splatOf(code, 4, DEFAULT_NAN), quotient))
})

const approximations = (
  [
    ['RCP', '53', reciprocal],
    ['RSQRT', '52', reciprocalRoot],
  ] as const
).flatMap(([name, opcode, of]) => [
  instruction<[VectorOperand, VectorOperand]>(`${name}PS`, {
    encodings: [`NP 0F ${opcode} /r  Vdq,Wdq`],
    feature: 'sse',
    unit: 'sse',
    execute(m, destination, source) {
      destination.writeVector(m.callVector(of, source.readVector()))
    },
  }),
  instruction<[VectorOperand, VectorOperand]>(`${name}SS`, {
    encodings: [`F3 0F ${opcode} /r  Vdq,Wd`],
    feature: 'sse',
    unit: 'sse',
    execute(m, destination, source) {
      destination.writeLow(m.callVector(of, Vector.low(source.readLow(32))).lane(32, 0))
    },
  }),
])

/**
 * Products of the lanes chosen by bits 7–4 of the immediate, their sum into the lanes chosen by bits 3–0. Products, sums
 * of pairs and their sum are steps: an unmasked exception in one keeps the next from happening.
 */
const dotProduct = (width: FloatWidth, multiply: Routine, add: Routine): Routine =>
  routine(`f${width}DotProduct`, [128, 128, 32], 128, (code, a, b, immediate) => {
    const count = 128 / width
    const products = Array.from({ length: count }, () => code.variable(width, 0))
    const sum = code.variable(width, 0)
    code.block(end => {
      const step = (body: () => void) => {
        allTogether(code, body)
        code.leave(end, code.get(F.fault).isNonZero())
      }
      step(() => {
        products.forEach((product, i) => {
          code.if(immediate.bit(4 + i), () => {
            product.value = code.call(multiply, a.lane(width, i), b.lane(width, i))
          })
        })
      })
      step(() => {
        for (let i = 0; i < count; i += 2) {
          products[i].value = code.call(add, products[i].value, products[i + 1].value)
        }
      })
      sum.value = products[0].value
      if (count === 4) step(() => (sum.value = code.call(add, products[0].value, products[2].value)))
    })
    let result = splatOf(code, 1, 0)
    for (let i = 0; i < count; i++) {
      result = result.withLane(i, immediate.bit(i).select(sum.value, code.const(0, width)))
    }
    return result
  })

const dotProducts = (
  [
    ['DPPS', '40', dotProduct(32, exact.f32Mul, exact.f32Add)],
    ['DPPD', '41', dotProduct(64, exact.f64Mul, exact.f64Add)],
  ] as const
).map(([mnemonic, opcode, of]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`66 0F 3A ${opcode} /r ib  Vdq,Wdq,Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, immediate) {
      const b = source.readVector()
      const result = m.callVector(of, destination.readVector(), b, immediate.read().zeroExtend(32))
      m.exceptionCheck()
      destination.writeVector(result)
    },
  }),
)

export const instructions: readonly Instruction[] = [...approximations, ...dotProducts]
