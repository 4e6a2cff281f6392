/** Floating-point addition, subtraction, multiplication, division and square root of SSE, SSE2 and SSE3 (SDM vol. 2). */
import * as exact from '../float/sse.ts'
import { type Float, type Int, int, type Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Routine, Semantics, VectorOperand } from './semantics.ts'
import {
  type FloatOperation,
  type FloatWidth,
  isZero,
  lanewise,
  writePacked,
  writeScalar,
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
  readonly operation: FloatOperation
}

const ADD: Binary = {
  name: 'ADD',
  opcode: '58',
  exact: { 32: exact.f32Add, 64: exact.f64Add },
  vector: { 32: S.F32X4_ADD, 64: S.F64X2_ADD },
  scalar: (a, b) => a.add(b),
  exactZero: 'always',
  operation: 'add',
}
const MUL: Binary = {
  name: 'MUL',
  opcode: '59',
  exact: { 32: exact.f32Mul, 64: exact.f64Mul },
  vector: { 32: S.F32X4_MUL, 64: S.F64X2_MUL },
  scalar: (a, b) => a.mul(b),
  exactZero: 'either',
  operation: 'multiply',
}
const SUB: Binary = {
  name: 'SUB',
  opcode: '5C',
  exact: { 32: exact.f32Sub, 64: exact.f64Sub },
  vector: { 32: S.F32X4_SUB, 64: S.F64X2_SUB },
  scalar: (a, b) => a.sub(b),
  exactZero: 'always',
  operation: 'add',
}
const DIV: Binary = {
  name: 'DIV',
  opcode: '5E',
  exact: { 32: exact.f32Div, 64: exact.f64Div },
  vector: { 32: S.F32X4_DIV, 64: S.F64X2_DIV },
  scalar: (a, b) => a.div(b),
  exactZero: 'first',
  operation: 'divide',
}

/** When a zero result for operands without denormals is exact, by the operands being zero; WebAssembly's sums always are. */
const zeroOf = (op: Binary, a: Int, b: Int): Int =>
  ({ always: () => int(a.f, 1, 1), either: () => isZero(a).or(isZero(b)), first: () => isZero(a) })[op.exactZero]()

const packedExact = (name: string, width: FloatWidth, of: (lane: number) => Routine): Routine =>
  lanewise(`f${width}x${128 / width}${name}`, width, 2, of)

const EXACT = new Map(
  [ADD, MUL, SUB, DIV].flatMap(op =>
    ([32, 64] as const).map(
      width => [`${op.name}${width}`, packedExact(op.name, width, () => op.exact[width])] as const,
    ),
  ),
)

/** All lanes of two vectors to a register. */
function writePackedBinary(
  m: Semantics,
  destination: VectorOperand,
  width: FloatWidth,
  op: Binary,
  [a, b]: readonly [Vector, Vector],
  sources: readonly (VectorOperand | undefined)[],
): void {
  const zeroIsExact = () => {
    if (op.exactZero === 'always') return undefined
    const first = zeroLanes(m, width, a)
    return op.exactZero === 'first' ? first : first.or(zeroLanes(m, width, b))
  }
  const ways = { zeroIsExact, exact: EXACT.get(`${op.name}${width}`) as Routine, operation: op.operation }
  writePacked(m, destination, width, a.op(op.vector[width], [b]), ways, [a, b], sources)
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
        const a = destination.readLow(width)
        const ways = { zeroIsExact: () => zeroOf(op, a, b), exact: op.exact[width], operation: op.operation }
        writeScalar(m, destination, op.scalar(a.asFloat(), b.asFloat()), ways, [a, b], [destination, source])
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
        writePackedBinary(m, destination, width, op, [destination.readVector(), b], [destination, source])
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
        const ways = { zeroIsExact: () => m.bool(true), exact: squareRoot[width], operation: 'root' as const }
        writeScalar(m, destination, a.asFloat().sqrt(), ways, [a], [source])
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
        const ways = { zeroIsExact: () => undefined, exact: packedSquareRoot[width], operation: 'root' as const }
        writePacked(m, destination, width, a.op(width === 32 ? S.F32X4_SQRT : S.F64X2_SQRT), ways, [a], [source])
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
        writePackedBinary(m, destination, width, op, [even, odd], [undefined, undefined])
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
      const ways = { zeroIsExact: () => undefined, exact: addSubExact[width], operation: 'add' as const }
      writePacked(m, destination, width, mixed, ways, [a, b], [destination, source])
    },
  }),
)

export const instructions: readonly Instruction[] = [...binaries, ...squareRoots, ...horizontal, ...addSubtract]
