/** Floating-point addition, subtraction, multiplication, division and square root of SSE, SSE2 and SSE3 (SDM vol. 2). */
import * as exact from '../float/sse.ts'
import type { Float, Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Routine, Semantics, VectorOperand } from './semantics.ts'
import {
  allLanes,
  eitherVector,
  eitherWay,
  type FloatWidth,
  insensitive,
  isZero,
  lanewise,
  notDenormal,
  ordinary,
  ordinaryLanes,
  ordinaryOrZeroLanes,
  zeroLanes,
} from './sse-float-paths.ts'

/** An operation of two operands, at both widths. */
interface Binary {
  readonly name: string
  readonly opcode: string
  readonly exact: Readonly<Record<FloatWidth, Routine>>
  readonly vector: Readonly<Record<FloatWidth, number>>
  readonly scalar: (a: Float, b: Float) => Float
  /** When a result of zero is exact: always (a sum of normal numbers), if an operand is zero, if the first is. */
  readonly exactZero: 'always' | 'either' | 'first'
}

const ADD: Binary = {
  name: 'ADD',
  opcode: '58',
  exact: { 32: exact.f32Add, 64: exact.f64Add },
  vector: { 32: S.F32X4_ADD, 64: S.F64X2_ADD },
  scalar: (a, b) => a.add(b),
  exactZero: 'always',
}
const MUL: Binary = {
  name: 'MUL',
  opcode: '59',
  exact: { 32: exact.f32Mul, 64: exact.f64Mul },
  vector: { 32: S.F32X4_MUL, 64: S.F64X2_MUL },
  scalar: (a, b) => a.mul(b),
  exactZero: 'either',
}
const SUB: Binary = {
  name: 'SUB',
  opcode: '5C',
  exact: { 32: exact.f32Sub, 64: exact.f64Sub },
  vector: { 32: S.F32X4_SUB, 64: S.F64X2_SUB },
  scalar: (a, b) => a.sub(b),
  exactZero: 'always',
}
const DIV: Binary = {
  name: 'DIV',
  opcode: '5E',
  exact: { 32: exact.f32Div, 64: exact.f64Div },
  vector: { 32: S.F32X4_DIV, 64: S.F64X2_DIV },
  scalar: (a, b) => a.div(b),
  exactZero: 'first',
}

/** One pair of numbers, by their bits. Infinities and NaNs give such results (or zero, as divisors), denormals need not. */
function scalarBinary(m: Semantics, op: Binary, a: Int, b: Int): Int {
  const fast = m.variable(a.width, op.scalar(a.asFloat(), b.asFloat()).bits()).value
  const zeros = {
    always: [() => isZero(fast)],
    either: [() => isZero(a).and(ordinary(b)), () => isZero(b).and(ordinary(a))],
    first: [() => isZero(a).and(ordinary(b))],
  }[op.exactZero]
  const quick = [() => insensitive(m), () => notDenormal(a), () => notDenormal(b), [() => ordinary(fast), ...zeros]]
  return eitherWay(m, quick, fast, op.exact[a.width as FloatWidth], a, b)
}

/** The lanes of two vectors for which WebAssembly's result `r` is the processor's (MXCSR permitting). */
function quickLanes(m: Semantics, width: FloatWidth, op: Binary, a: Vector, b: Vector, r: Vector): Vector {
  const operands = ordinaryOrZeroLanes(m, width, a).and(
    op.exactZero === 'first' ? ordinaryLanes(m, width, b) : ordinaryOrZeroLanes(m, width, b),
  )
  const zeros = op.exactZero === 'always' ? r : a
  let exactZeros = zeroLanes(m, width, zeros)
  if (op.exactZero === 'either') exactZeros = exactZeros.or(zeroLanes(m, width, b))
  return operands.and(ordinaryLanes(m, width, r).or(exactZeros))
}

const packedExact = (name: string, width: FloatWidth, of: (lane: number) => Routine): Routine =>
  lanewise(`f${width}x${128 / width}${name}`, width, 2, of)

const EXACT = new Map(
  [ADD, MUL, SUB, DIV].flatMap(op =>
    ([32, 64] as const).map(
      width => [`${op.name}${width}`, packedExact(op.name, width, () => op.exact[width])] as const,
    ),
  ),
)

/** All lanes of two vectors. */
function packedBinary(m: Semantics, width: FloatWidth, op: Binary, a: Vector, b: Vector): Vector {
  const fast = m.vectorVariable(a.op(op.vector[width], [b])).value
  const quick = [() => insensitive(m), () => allLanes(width, quickLanes(m, width, op, a, b, fast))]
  return eitherVector(m, quick, fast, EXACT.get(`${op.name}${width}`) as Routine, a, b)
}

/** Suffix, prefix, operand letter, feature of the four forms of an operation. */
export const SCALARS = [
  ['SS', 'F3', 'Wd', 'sse', 32],
  ['SD', 'F2', 'Wq', 'sse2', 64],
] as const
export const PACKED = [
  ['PS', 'NP', 'Wdq', 'sse', 32],
  ['PD', '66', 'Wdq', 'sse2', 64],
] as const

const binaries = [ADD, MUL, SUB, DIV].flatMap(op => [
  ...SCALARS.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand]>(op.name + suffix, {
      encodings: [`${prefix} 0F ${op.opcode} /r  Vdq,${letter}`],
      feature,
      unit: 'sse',
      execute(m, destination, source) {
        const b = source.readLow(width)
        destination.writeLow(scalarBinary(m, op, destination.readLow(width), b))
      },
    }),
  ),
  ...PACKED.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand]>(op.name + suffix, {
      encodings: [`${prefix} 0F ${op.opcode} /r  Vdq,${letter}`],
      feature,
      unit: 'sse',
      execute(m, destination, source) {
        const b = source.readVector()
        destination.writeVector(packedBinary(m, width, op, destination.readVector(), b))
      },
    }),
  ),
])

const squareRoot = { 32: exact.f32Sqrt, 64: exact.f64Sqrt }
const packedSquareRoot = {
  32: lanewise('f32x4Sqrt', 32, 1, () => exact.f32Sqrt),
  64: lanewise('f64x2Sqrt', 64, 1, () => exact.f64Sqrt),
}

const squareRoots = [
  ...SCALARS.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand]>(`SQRT${suffix}`, {
      encodings: [`${prefix} 0F 51 /r  Vdq,${letter}`],
      feature,
      unit: 'sse',
      execute(m, destination, source) {
        const a = source.readLow(width)
        const fast = m.variable(width, a.asFloat().sqrt().bits()).value
        // A root of an ordinary number is ordinary; of a negative one it is a NaN.
        const quick = [() => insensitive(m), () => ordinary(a), () => ordinary(fast)]
        destination.writeLow(eitherWay(m, quick, fast, squareRoot[width], a))
      },
    }),
  ),
  ...PACKED.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand]>(`SQRT${suffix}`, {
      encodings: [`${prefix} 0F 51 /r  Vdq,${letter}`],
      feature,
      unit: 'sse',
      execute(m, destination, source) {
        const a = source.readVector()
        const fast = m.vectorVariable(a.op(width === 32 ? S.F32X4_SQRT : S.F64X2_SQRT)).value
        const lanes = ordinaryOrZeroLanes(m, width, a).and(ordinaryOrZeroLanes(m, width, fast))
        const quick = [() => insensitive(m), () => allLanes(width, lanes)]
        destination.writeVector(eitherVector(m, quick, fast, packedSquareRoot[width], a))
      },
    }),
  ),
]

/** Even and odd lanes of two vectors, those of the first before those of the second. */
const evenAndOdd = (width: FloatWidth, a: Vector, b: Vector): [even: Vector, odd: Vector] =>
  width === 32
    ? [a.shuffle(4, b, [0, 2, 4, 6]), a.shuffle(4, b, [1, 3, 5, 7])]
    : [a.shuffle(8, b, [0, 2]), a.shuffle(8, b, [1, 3])]

/** SSE3's forms have 66 for doubles and F2 for singles. */
const SSE3_FORMS = [
  ['PS', 'F2', 32],
  ['PD', '66', 64],
] as const

const horizontal = (
  [
    ['HADD', '7C', ADD],
    ['HSUB', '7D', SUB],
  ] as const
).flatMap(([name, opcode, op]) =>
  SSE3_FORMS.map(([suffix, prefix, width]) =>
    instruction<[VectorOperand, VectorOperand]>(name + suffix, {
      encodings: [`${prefix} 0F ${opcode} /r  Vdq,Wdq`],
      feature: 'pni',
      unit: 'sse',
      execute(m, destination, source) {
        const b = source.readVector()
        const [even, odd] = evenAndOdd(width, destination.readVector(), b)
        destination.writeVector(packedBinary(m, width, op, even, odd))
      },
    }),
  ),
)

const addSubExact = {
  32: packedExact('AddSub', 32, lane => (lane & 1 ? exact.f32Add : exact.f32Sub)),
  64: packedExact('AddSub', 64, lane => (lane & 1 ? exact.f64Add : exact.f64Sub)),
}

const addSubtract = SSE3_FORMS.map(([suffix, prefix, width]) =>
  instruction<[VectorOperand, VectorOperand]>(`ADDSUB${suffix}`, {
    encodings: [`${prefix} 0F D0 /r  Vdq,Wdq`],
    feature: 'pni',
    unit: 'sse',
    execute(m, destination, source) {
      const b = source.readVector()
      const a = destination.readVector()
      const sum = a.op(ADD.vector[width], [b])
      const difference = a.op(SUB.vector[width], [b])
      const mixed = width === 32 ? difference.shuffle(4, sum, [0, 5, 2, 7]) : difference.shuffle(8, sum, [0, 3])
      const fast = m.vectorVariable(mixed).value
      const quick = [() => insensitive(m), () => allLanes(width, quickLanes(m, width, ADD, a, b, fast))]
      destination.writeVector(eitherVector(m, quick, fast, addSubExact[width], a, b))
    },
  }),
)

export const instructions: readonly Instruction[] = [...binaries, ...squareRoots, ...horizontal, ...addSubtract]
