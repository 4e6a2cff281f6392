/** Conversions between integers and floating-point numbers, and rounding (SDM vol. 2, CVTDQ2PD to CVTTSS2SI, ROUNDPS …). */
import * as exact from '../float/sse.ts'
import { type Float, type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, type Routine, routine, type Semantics, type VectorOperand } from './semantics.ts'
import { needOsfxsr, splatOf } from './simd-forms.ts'
import { PACKED, SCALARS } from './sse-arithmetic.ts'
import {
  allLanes,
  allTogether,
  eitherVector,
  eitherWay,
  type FloatWidth,
  FORMATS,
  insensitive,
  isZero,
  notDenormal,
  ordinary,
  ordinaryOrZeroLanes,
} from './sse-float-paths.ts'

const FROM_INTEGER = {
  32: { 32: exact.i32ToF32, 64: exact.i32ToF64 },
  64: { 32: exact.i64ToF32, 64: exact.i64ToF64 },
}
const TO_INTEGER = {
  32: { 32: exact.f32ToI32, 64: exact.f32ToI64 },
  64: { 32: exact.f64ToI32, 64: exact.f64ToI64 },
}

/** The bits of 2^31 or 2^63 in a format. */
const LIMITS = {
  32: { 32: 0x4f000000n, 64: 0x5f000000n },
  64: { 32: 0x41e0000000000000n, 64: 0x43e0000000000000n },
}

/** An integer (32 or 64 bits) as the bits of a number. */
function fromInteger(m: Semantics, value: Int, width: FloatWidth): Int {
  const fast = value.toFloatS(width).bits()
  if (value.width === 32 && width === 64) return fast
  return eitherWay(m, [() => insensitive(m)], fast, FROM_INTEGER[value.width as 32][width], value)
}

/** A number, by its bits, as an integer: cut towards zero, or rounded as MXCSR says. */
function toInteger(m: Semantics, bits: Int, to: 32 | 64, truncate: boolean): Int {
  const from = bits.width as FloatWidth
  const number: Float = truncate ? bits.asFloat() : bits.asFloat().nearest()
  const fits = () =>
    number
      .bits()
      .shl(1)
      .ltU(LIMITS[from][to] << 1n)
  const flag = m.const(truncate ? 1 : 0, 32)
  return eitherWay(m, [() => insensitive(m), fits], number.toIntS(to), TO_INTEGER[from][to], bits, flag)
}

const scalarFromInteger = SCALARS.map(([suffix, prefix, , feature, width]) =>
  instruction<[VectorOperand, Operand]>(`CVTSI2${suffix}`, {
    encodings: [`${prefix} 0F 2A /r  Vdq,Ey`],
    feature,
    unit: 'sse',
    execute(m, destination, source) {
      const all = m.isSettled(destination, width, true)
      const value = source.read()
      destination.writeLow(fromInteger(m, value, width))
      m.magnitudes?.knowInteger(destination, width, value.width)
      m.settle(destination, width, all)
    },
  }),
)

const scalarToInteger = SCALARS.flatMap(([suffix, prefix, letter, feature, width]) =>
  ([true, false] as const).map(truncate =>
    instruction<[Operand, VectorOperand]>(`CVT${truncate ? 'T' : ''}${suffix}2SI`, {
      encodings: [`${prefix} 0F ${truncate ? '2C' : '2D'} /r  Gy,${letter}`],
      feature,
      unit: 'sse',
      execute(m, destination, source) {
        destination.write(toInteger(m, source.readLow(width), destination.width as 32 | 64, truncate))
      },
    }),
  ),
)

const widen = (m: Semantics, bits: Int): Int =>
  eitherWay(
    m,
    [() => notDenormal(bits), () => bits.asFloat().eq(bits.asFloat())],
    bits.asFloat().promote().bits(),
    exact.f32ToF64,
    bits,
  )

function narrow(m: Semantics, bits: Int): Int {
  const fast = m.floatVariable(bits.asFloat().demote()).value.bits()
  return eitherWay(
    m,
    [() => insensitive(m), () => notDenormal(bits), [() => ordinary(fast), () => isZero(bits)]],
    fast,
    exact.f64ToF32,
    bits,
  )
}

export const CVTSS2SD = instruction<[VectorOperand, VectorOperand]>('CVTSS2SD', {
  encodings: ['F3 0F 5A /r  Vdq,Wd'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source) {
    destination.writeLow(widen(m, source.readLow(32)))
  },
})

export const CVTSD2SS = instruction<[VectorOperand, VectorOperand]>('CVTSD2SS', {
  encodings: ['F2 0F 5A /r  Vdq,Wq'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source) {
    destination.writeLow(narrow(m, source.readLow(64)))
  },
})

const widenExact = routine('f32x2ToF64', [64], 128, (code, pair) => {
  const result = code.vectorVariable(Vector.splat(pair))
  allTogether(code, () => {
    const low = code.call(exact.f32ToF64, pair.truncate(32))
    const high = code.call(exact.f32ToF64, pair.shr(32).truncate(32))
    result.value = Vector.splat(low).withLane(1, high)
  })
  return result.value
})

export const CVTPS2PD = instruction<[VectorOperand, VectorOperand]>('CVTPS2PD', {
  encodings: ['NP 0F 5A /r  Vdq,Wq'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source) {
    const pair = source.readLow(64)
    const both = Vector.splat(pair)
    const quick = [() => allLanes(32, ordinaryOrZeroLanes(m, 32, both))]
    destination.writeVector(eitherVector(m, quick, both.op(S.F64X2_PROMOTE_LOW_F32X4), widenExact, pair))
  },
})

const narrowExact = routine('f64x2ToF32', [128], 128, (code, pair) => {
  const result = code.vectorVariable(pair)
  allTogether(code, () => {
    const low = code.call(exact.f64ToF32, pair.lane(64, 0))
    const high = code.call(exact.f64ToF32, pair.lane(64, 1))
    result.value = Vector.low(low).withLane(1, high)
  })
  return result.value
})

export const CVTPD2PS = instruction<[VectorOperand, VectorOperand]>('CVTPD2PS', {
  encodings: ['66 0F 5A /r  Vdq,Wdq'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source) {
    const pair = source.readVector()
    const fast = m.vectorVariable(pair.op(S.F32X4_DEMOTE_F64X2_ZERO)).value
    // A zero that was no zero before is no longer ordinary as a single; both tests together find it.
    const back = fast.op(S.F64X2_PROMOTE_LOW_F32X4)
    const lanes = ordinaryOrZeroLanes(m, 64, pair).and(ordinaryLike(m, pair, back))
    destination.writeVector(eitherVector(m, [() => insensitive(m), () => allLanes(64, lanes)], fast, narrowExact, pair))
  },
})

/** Lanes of doubles made from singles by promotion that were normal singles above the smallest, or zero as `before` was. */
function ordinaryLike(code: Code, before: Vector, after: Vector): Vector {
  const magnitude = after.op(S.F64X2_ABS)
  const above = magnitude.op(S.F64X2_GT, [splatOf(code, 8, 0x3810000000000000n)])
  const finite = magnitude.op(S.F64X2_LT, [splatOf(code, 8, FORMATS[64].infinity)])
  return above.and(finite).or(before.op(S.F64X2_EQ, [splatOf(code, 1, 0)]))
}

const fromPackedExact = routine('i32x4ToF32', [128], 128, (code, value) => {
  const result = code.vectorVariable(value)
  for (let i = 0; i < 4; i++) result.value = result.value.withLane(i, code.call(exact.i32ToF32, value.lane(32, i)))
  return result.value
})

export const CVTDQ2PS = instruction<[VectorOperand, VectorOperand]>('CVTDQ2PS', {
  encodings: ['NP 0F 5B /r  Vdq,Wdq'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source) {
    const value = source.readVector()
    destination.writeVector(
      eitherVector(m, [() => insensitive(m)], value.op(S.F32X4_CONVERT_I32X4_S), fromPackedExact, value),
    )
  },
})

/** Exact. */
export const CVTDQ2PD = instruction<[VectorOperand, VectorOperand]>('CVTDQ2PD', {
  encodings: ['F3 0F E6 /r  Vdq,Wq'],
  feature: 'sse2',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeVector(Vector.splat(source.readLow(64)).op(S.F64X2_CONVERT_LOW_I32X4_S))
  },
})

/** All lanes to doublewords; those beyond the doubles' number are zero. Parameter: 1 to cut. */
const toPackedExact = (from: FloatWidth): Routine =>
  routine(`f${from}x${128 / from}ToI32`, [128, 32], 128, (code, value, truncate) => {
    const result = code.vectorVariable(splatOf(code, 1, 0))
    allTogether(code, () => {
      for (let i = 0; i < 128 / from; i++) {
        const lane = code.call(TO_INTEGER[from][32], value.lane(from, i), truncate)
        result.value = result.value.withLane(i, lane)
      }
    })
    return result.value
  })
const TO_PACKED = { 32: toPackedExact(32), 64: toPackedExact(64) }

/** Numbers to doublewords in the low lanes of a vector. */
function toDoublewords(m: Semantics, value: Vector, from: FloatWidth, truncate: boolean): Vector {
  const rounded = truncate ? value : value.op(from === 32 ? S.F32X4_NEAREST : S.F64X2_NEAREST)
  const fast = rounded.op(from === 32 ? S.I32X4_TRUNC_SAT_F32X4_S : S.I32X4_TRUNC_SAT_F64X2_S_ZERO)
  const { bytes, abs, lt } = FORMATS[from]
  const fits = rounded.op(abs).op(lt, [splatOf(m, bytes, LIMITS[from][32])])
  const quick = [() => insensitive(m), () => allLanes(from, fits)]
  return eitherVector(m, quick, fast, TO_PACKED[from], value, m.const(truncate ? 1 : 0, 32))
}

const packedToInteger = (
  [
    ['CVTPS2DQ', '66 0F 5B', 32, false],
    ['CVTTPS2DQ', 'F3 0F 5B', 32, true],
    ['CVTPD2DQ', 'F2 0F E6', 64, false],
    ['CVTTPD2DQ', '66 0F E6', 64, true],
  ] as const
).map(([mnemonic, encoding, from, truncate]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r  Vdq,Wdq`],
    feature: 'sse2',
    unit: 'sse',
    execute(m, destination, source) {
      destination.writeVector(toDoublewords(m, source.readVector(), from, truncate))
    },
  }),
)

export const CVTPI2PS = instruction<[VectorOperand, VectorOperand]>('CVTPI2PS', {
  encodings: ['NP 0F 2A /r  Vdq,Qq'],
  feature: 'sse',
  unit: 'mmx',
  execute(m, destination, source) {
    needOsfxsr(m)
    // The same pair twice raises the same flags.
    const value = Vector.splat(source.readLow(64))
    const fast = value.op(S.F32X4_CONVERT_I32X4_S)
    const result = eitherVector(m, [() => insensitive(m)], fast, fromPackedExact, value)
    destination.writeHalf(0, result.lane(64, 0))
  },
})

/** Exact. From memory it has nothing to do with MMX, and leaves the x87 state alone. */
const doublesFromDoublewords = (
  [
    ['reg', 'Nq', 'mmx'],
    ['mem', 'Wq', 'sse'],
  ] as const
).map(([kind, letter, unit]) =>
  instruction<[VectorOperand, VectorOperand]>('CVTPI2PD', {
    encodings: [`66 0F 2A /r ${kind}  Vdq,${letter}`],
    feature: 'sse2',
    unit,
    execute(m, destination, source) {
      if (unit === 'mmx') needOsfxsr(m)
      destination.writeVector(Vector.splat(source.readLow(64)).op(S.F64X2_CONVERT_LOW_I32X4_S))
    },
  }),
)

const packedToMmx = (
  [
    ['CVTTPS2PI', 'NP 0F 2C', 'Wq', 'sse', 32, true],
    ['CVTPS2PI', 'NP 0F 2D', 'Wq', 'sse', 32, false],
    ['CVTTPD2PI', '66 0F 2C', 'Wdq', 'sse2', 64, true],
    ['CVTPD2PI', '66 0F 2D', 'Wdq', 'sse2', 64, false],
  ] as const
).map(([mnemonic, encoding, letter, feature, from, truncate]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r  Pq,${letter}`],
    feature,
    unit: 'mmx',
    execute(m, destination, source) {
      needOsfxsr(m)
      const value = from === 32 ? Vector.splat(source.readLow(64)) : source.readVector()
      destination.writeLow(toDoublewords(m, value, from, truncate).lane(64, 0))
    },
  }),
)

/** ROUNDxx's immediate: bits 1–0 the mode, bit 2 to take MXCSR's instead, bit 3 not to report imprecision. */
const ROUND = { 32: exact.f32Round, 64: exact.f64Round }
const VECTOR_ROUND = {
  32: [S.F32X4_NEAREST, S.F32X4_FLOOR, S.F32X4_CEIL, S.F32X4_TRUNC],
  64: [S.F64X2_NEAREST, S.F64X2_FLOOR, S.F64X2_CEIL, S.F64X2_TRUNC],
} as const
const SCALAR_ROUND: readonly ((value: Float) => Float)[] = [
  value => value.nearest(),
  value => value.floor(),
  value => value.ceil(),
  value => value.trunc(),
]

/** The mode to use WebAssembly's rounding with, and whether MXCSR allows it; undefined when nothing is known. */
function quickRounding(m: Semantics, immediate: Int): { mode: number; allowed: () => Int } | undefined {
  const known = immediate.constant
  if (known === undefined) return undefined
  const imm = Number(known)
  const mode = imm & 4 ? 0 : imm & 3
  const quiet = (imm & 12) === 8
  return { mode, allowed: () => (quiet ? m.bool(true) : insensitive(m)) }
}

const scalarRounds = SCALARS.map(([suffix, , letter, , width]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(`ROUND${suffix}`, {
    encodings: [`66 0F 3A ${width === 32 ? '0A' : '0B'} /r ib  Vdq,${letter},Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, immediate) {
      const imm = immediate.read()
      const bits = source.readLow(width)
      const control = imm.zeroExtend(32)
      const known = quickRounding(m, imm)
      if (known) {
        const fast = SCALAR_ROUND[known.mode](bits.asFloat()).bits()
        const quick = [known.allowed, [() => ordinary(bits), () => isZero(bits)]]
        destination.writeLow(eitherWay(m, quick, fast, ROUND[width], bits, control))
      } else destination.writeLow(eitherWay(m, [], bits, ROUND[width], bits, control))
    },
  }),
)

const roundExact = (width: FloatWidth): Routine =>
  routine(`f${width}x${128 / width}Round`, [128, 32], 128, (code, value, control) => {
    const result = code.vectorVariable(value)
    allTogether(code, () => {
      for (let i = 0; i < 128 / width; i++) {
        result.value = result.value.withLane(i, code.call(ROUND[width], value.lane(width, i), control))
      }
    })
    return result.value
  })
const PACKED_ROUND = { 32: roundExact(32), 64: roundExact(64) }

const packedRounds = PACKED.map(([suffix, , letter, , width]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(`ROUND${suffix}`, {
    encodings: [`66 0F 3A ${width === 32 ? '08' : '09'} /r ib  Vdq,${letter},Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, immediate) {
      const imm = immediate.read()
      const value = source.readVector()
      const control = imm.zeroExtend(32)
      const known = quickRounding(m, imm)
      const fast = known ? value.op(VECTOR_ROUND[width][known.mode]) : value
      const quick = known ? [known.allowed, () => allLanes(width, ordinaryOrZeroLanes(m, width, value))] : []
      destination.writeVector(eitherVector(m, quick, fast, PACKED_ROUND[width], value, control))
    },
  }),
)

export const instructions: readonly Instruction[] = [
  ...scalarFromInteger,
  ...scalarToInteger,
  CVTSS2SD,
  CVTSD2SS,
  CVTPS2PD,
  CVTPD2PS,
  CVTDQ2PS,
  CVTDQ2PD,
  ...packedToInteger,
  CVTPI2PS,
  ...doublesFromDoublewords,
  ...packedToMmx,
  ...scalarRounds,
  ...packedRounds,
]
