/** Floating-point comparison, minimum and maximum of SSE and SSE2 (SDM vol. 2, CMPPS, COMISS, MAXPS, MINPS, UCOMISS). */
import { F } from '../cpu/state.ts'
import { f32Compare, f64Compare, GREATER, LESS, UNORDERED } from '../float/sse.ts'
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import {
  type Code,
  type FloatVariable,
  type Operand,
  type Routine,
  routine,
  type Semantics,
  type VectorOperand,
} from './semantics.ts'
import { PACKED, SCALARS } from './sse-arithmetic.ts'
import {
  type Conditions,
  eitherWay,
  type FloatWidth,
  FORMATS,
  lanewise,
  notDenormal,
  ofOrdinary,
  unless,
} from './sse-float-paths.ts'

const COMPARE = { 32: f32Compare, 64: f64Compare }
const DAZ_BIT = 6

/** Two numbers that compare alike under every MXCSR, without any flag: neither denormal nor NaN. */
const comparable = (m: Semantics, a: Int, b: Int, first: VectorOperand, second: VectorOperand): Conditions => {
  const width = a.width as FloatWidth
  return [
    ...(m.isSettled(first, width) ? [] : [() => notDenormal(a)]),
    ...(m.isSettled(second, width) ? [] : [() => notDenormal(b)]),
    () => a.asFloat().eq(a.asFloat()),
    () => b.asFloat().eq(b.asFloat()),
  ]
}

/** GREATER, LESS, EQUAL or UNORDERED of src/float/sse.ts. */
function relation(m: Semantics, conditions: Conditions, a: Int, b: Int, signalling: Int): Int {
  const less = a.asFloat().lt(b.asFloat()).zeroExtend(32)
  const fast = less.or(a.asFloat().eq(b.asFloat()).zeroExtend(32).shl(1))
  return eitherWay(m, conditions, fast, COMPARE[a.width as FloatWidth], a, b, signalling)
}

/** Numbers that compare as a relation says: only then is the relation known by a routine. */
function asRelated(m: Semantics, a: FloatVariable, b: FloatVariable, order: Int): void {
  const { width } = a
  const number = (value: Int) => value.toFloatS(width)
  const unordered = order.eq(UNORDERED)
  const nan = m.const(width === 64 ? 0x7ff8000000000000n : 0x7fc00000n, width)
  a.value = unordered.select(nan, number(order.eq(GREATER).zeroExtend(32)).bits()).asFloat()
  b.value = unordered.select(nan, number(order.eq(LESS).zeroExtend(32)).bits()).asFloat()
}

const flagComparisons = (
  [
    ['UCOMISS', 'NP 0F 2E', 'Wd', 'sse', 32, 0],
    ['UCOMISD', '66 0F 2E', 'Wq', 'sse2', 64, 0],
    ['COMISS', 'NP 0F 2F', 'Wd', 'sse', 32, 1],
    ['COMISD', '66 0F 2F', 'Wq', 'sse2', 64, 1],
  ] as const
).map(([mnemonic, encoding, letter, feature, width, signalling]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r  Vdq,${letter}`],
    feature,
    unit: 'sse',
    execute(m, first, second) {
      const b = second.readLow(width)
      const a = first.readLow(width)
      const x = m.floatVariable(a.asFloat())
      const y = m.floatVariable(b.asFloat())
      const { magnitudes } = m
      if (magnitudes) magnitudes.operands([a, b], [first, second])
      else {
        unless(m, comparable(m, a, b, first, second), () => {
          const order = m.variable(32, m.call(COMPARE[width], a, b, m.const(signalling, 32)))
          m.exceptionCheck()
          asRelated(m, x, y, order.value)
        })
      }
      const [p, q] = [x.value, y.value]
      const parity = magnitudes ? m.bool(false) : p.ne(p)
      const no = m.bool(false)
      m.flags.set({ carry: p.ge(q).not(), zero: p.eq(q).or(parity), parity, adjust: no, sign: no, overflow: no })
    },
  }),
)

/**
 * For each predicate by its lower four bits, EQ_OQ first and TRUE_UQ last, four bits: whether it holds for GREATER, LESS, EQUAL,
 * UNORDERED (SDM vol. 2, CMPPD, table 3-1). SSE has the first eight.
 */
const PREDICATES = 0xf1530eac79db8624n

/** Predicates that raise invalid for quiet NaNs, by their lower three bits: LT, LE and their opposites; bit 4 turns it around. */
const SIGNALLING = 0b01100110

/** Whether a predicate (32 bits, 0 to 31) holds for a relation. */
const holds = (code: Code, predicate: Int, order: Int): Int =>
  code.const(PREDICATES, 64).shr(predicate.and(15).shl(2).add(order)).truncate(32).and(1)

const signals = (code: Code, predicate: Int): Int =>
  code.const(SIGNALLING, 32).shr(predicate.and(7)).xor(predicate.shr(4)).and(1)

/** SSE's forms take three bits of the immediate, AVX's five. */
const scalarCompares = (bits: 7 | 31) =>
  SCALARS.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand, Operand]>(`CMP${suffix}`, {
      encodings: [`${prefix} 0F C2 /r ib  Vdq,${letter},Ib`],
      feature,
      unit: 'sse',
      execute(m, destination, source, immediate) {
        const predicate = immediate.read().and(bits).zeroExtend(32)
        const b = source.readLow(width)
        const a = destination.readLow(width)
        const order = relation(m, comparable(m, a, b, destination, source), a, b, signals(m, predicate))
        destination.writeLow(
          m
            .const(0, 32)
            .sub(holds(m, predicate, order))
            .signExtend(width),
        )
      },
    }),
  )

const comparePacked = (width: FloatWidth): Routine =>
  routine(`f${width}x${128 / width}Compare`, [128, 128, 32], 128, (code, a, b, predicate) => {
    const result = code.vectorVariable(a)
    const signalling = code.variable(32, signals(code, predicate)).value
    for (let i = 0; i < 128 / width; i++) {
      const order = code.call(COMPARE[width], a.lane(width, i), b.lane(width, i), signalling)
      const mask = code
        .const(0, 32)
        .sub(holds(code, predicate, order))
        .signExtend(width)
      result.value = result.value.withLane(i, mask)
    }
    return result.value
  })

const packedCompareRoutines = { 32: comparePacked(32), 64: comparePacked(64) }

/** The predicate for lanes that are ordered: EQ, LT, LE or never, or the opposite (bit 2); there bits 3 and 4 make no difference. */
function orderedMask(m: Semantics, width: FloatWidth, predicate: Int, a: Vector, b: Vector): Vector {
  const { eq, lt, le } = FORMATS[width]
  const known = predicate.constant
  if (known !== undefined) {
    const kind = Number(known)
    const mask = [() => a.op(eq, [b]), () => a.op(lt, [b]), () => a.op(le, [b]), () => m.vector(new Uint8Array(16))][
      kind & 3
    ]()
    return kind & 4 ? mask.not() : mask
  }
  const all = (condition: Int) => Vector.splat(m.const(0, 32).sub(condition.zeroExtend(32)))
  const equal = a.op(eq, [b]).and(all(predicate.bit(0).isZero()))
  const less = a.op(lt, [b]).and(all(predicate.bit(0).xor(predicate.bit(1))))
  return equal.or(less).xor(all(predicate.bit(2)))
}

const packedCompares = (bits: 7 | 31) =>
  PACKED.map(([suffix, prefix, letter, feature, width]) =>
    instruction<[VectorOperand, VectorOperand, Operand]>(`CMP${suffix}`, {
      encodings: [`${prefix} 0F C2 /r ib  Vdq,${letter},Ib`],
      feature,
      unit: 'sse',
      execute(m, destination, source, immediate) {
        const predicate = immediate.read().and(bits).zeroExtend(32)
        const b = source.readVector()
        const a = destination.readVector()
        const fast = orderedMask(m, width, predicate, a, b)
        const operands = [[a, destination] as const, [b, source] as const]
        destination.writeVector(ofOrdinary(m, width, fast, operands, packedCompareRoutines[width], a, b, predicate))
      },
    }),
  )

/** With all 32 predicates: what AVX's forms mean. */
export const vexCompares: readonly Instruction[] = [...scalarCompares(31), ...packedCompares(31)]

/** Minimum or maximum: the second operand unless the first is less (greater), so also for NaNs and two zeros. */
const extreme = (name: string, width: FloatWidth, swap: boolean): Routine =>
  routine(`f${width}${name}`, [width, width], width, (code, a, b) => {
    const one = code.const(1, 32)
    const order = swap ? code.call(COMPARE[width], b, a, one) : code.call(COMPARE[width], a, b, one)
    const chosen = code.variable(width, order.eq(LESS).select(a, b)).value
    const { smallest, sign } = FORMATS[width]
    const denormal = chosen.and(sign - 1n).ltU(smallest)
    const flush = code.get(F.mxcsr).bit(DAZ_BIT).and(denormal)
    return flush.select(chosen.and(sign), chosen)
  })

/** WebAssembly's pmin(x, y) is y < x ? y : x, its pmax(x, y) x < y ? y : x. */
const extremes = (
  [
    ['MIN', '5D', false, S.F32X4_PMIN, S.F64X2_PMIN],
    ['MAX', '5F', true, S.F32X4_PMAX, S.F64X2_PMAX],
  ] as const
).flatMap(([name, opcode, swap, op32, op64]) => {
  const exact = { 32: extreme(name, 32, swap), 64: extreme(name, 64, swap) }
  const exactPacked = {
    32: lanewise(`f32x4${name}`, 32, 2, () => exact[32]),
    64: lanewise(`f64x2${name}`, 64, 2, () => exact[64]),
  }
  return [
    ...SCALARS.map(([suffix, prefix, letter, feature, width]) =>
      instruction<[VectorOperand, VectorOperand]>(name + suffix, {
        encodings: [`${prefix} 0F ${opcode} /r  Vdq,${letter}`],
        feature,
        unit: 'sse',
        execute(m, destination, source) {
          const b = source.readLow(width)
          const a = destination.readLow(width)
          const first = swap ? a.asFloat().gt(b.asFloat()) : a.asFloat().lt(b.asFloat())
          if (m.magnitudes) {
            const magnitude = m.magnitudes.operands([a, b], [destination, source])
            destination.writeLow(first.select(a, b))
            m.magnitudes.know(destination, magnitude)
            return
          }
          destination.writeLow(
            eitherWay(m, comparable(m, a, b, destination, source), first.select(a, b), exact[width], a, b),
          )
        },
      }),
    ),
    ...PACKED.map(([suffix, prefix, letter, feature, width]) =>
      instruction<[VectorOperand, VectorOperand]>(name + suffix, {
        encodings: [`${prefix} 0F ${opcode} /r  Vdq,${letter}`],
        feature,
        unit: 'sse',
        execute(m, destination, source) {
          const b = source.readVector()
          const a = destination.readVector()
          const fast = b.op(width === 32 ? op32 : op64, [a])
          const operands = [[a, destination] as const, [b, source] as const]
          destination.writeVector(ofOrdinary(m, width, fast, operands, exactPacked[width], a, b))
          if (m.deferred) m.settle(destination, width, true)
        },
      }),
    ),
  ]
})

export const instructions: readonly Instruction[] = [
  ...flagComparisons,
  ...scalarCompares(7),
  ...packedCompares(7),
  ...extremes,
]
