/** Shuffles, unpacks, logic and lane insertion of SSE and SSE2 (SDM vol. 2, ANDPS, PSHUFD, SHUFPS, UNPCKLPS …). */
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import type { Code, Operand, VectorOperand } from './semantics.ts'
import { lanesOf, readMmx, splatOf } from './simd-forms.ts'

/** The four 2-bit fields of an immediate known while building. */
const fieldsOf = (known: bigint): number[] => [0, 2, 4, 6].map(shift => Number(known >> BigInt(shift)) & 3)

/** The four 2-bit fields of an immediate as doublewords. */
function fieldVector(code: Code, immediate: Int): Vector {
  const spread = Vector.splat(immediate.zeroExtend(32)).op(S.I32X4_MUL, [lanesOf(code, 4, [64, 16, 4, 1])])
  return spread.op(S.I32X4_SHR_U, [code.const(6, 32)]).and(splatOf(code, 4, 3))
}

/** Doublewords by the immediate's fields: lanes 0 and 1 of `a`, 2 and 3 of `b`. */
export function shuffleDoublewords(code: Code, a: Vector, b: Vector, immediate: Int): Vector {
  const known = immediate.constant
  if (known !== undefined) {
    const fields = fieldsOf(known)
    return a.shuffle(4, b, [fields[0], fields[1], fields[2] + 4, fields[3] + 4])
  }
  const indices = fieldVector(code, immediate)
    .op(S.I32X4_MUL, [splatOf(code, 4, 0x04040404)])
    .op(S.I32X4_ADD, [splatOf(code, 4, 0x03020100)])
  const fromA = a.op(S.I8X16_SWIZZLE, [indices])
  return a === b ? fromA : fromA.shuffle(8, b.op(S.I8X16_SWIZZLE, [indices]), [0, 3])
}

/** Words of the low (or high) half by the immediate's fields; the other half stays. */
function shuffleWords(code: Code, value: Vector, immediate: Int, high: boolean): Vector {
  const known = immediate.constant
  const same = [0, 1, 2, 3, 4, 5, 6, 7]
  if (known !== undefined) {
    const fields = fieldsOf(known)
    const lanes = high ? [...same.slice(0, 4), ...fields.map(field => field + 4)] : [...fields, ...same.slice(4)]
    return value.shuffle(2, value, lanes)
  }
  const fields = fieldVector(code, immediate)
  const indices = fields
    .op(S.I16X8_NARROW_I32X4_U, [fields])
    .op(S.I16X8_MUL, [splatOf(code, 2, 0x0202)])
    .op(S.I16X8_ADD, [splatOf(code, 2, high ? 0x0908 : 0x0100)])
  const shuffled = value.op(S.I8X16_SWIZZLE, [indices])
  return high ? value.shuffle(8, shuffled, [0, 3]) : shuffled.shuffle(8, value, [0, 3])
}

export const PSHUFD = instruction<[VectorOperand, VectorOperand, Operand]>('PSHUFD', {
  encodings: ['66 0F 70 /r ib  Vdq,Wdq,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const value = source.readVector()
    destination.writeVector(shuffleDoublewords(m, value, value, immediate.read()))
  },
})

const wordShuffles = (
  [
    ['PSHUFLW', 'F2', false],
    ['PSHUFHW', 'F3', true],
  ] as const
).map(([mnemonic, prefix, high]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`${prefix} 0F 70 /r ib  Vdq,Wdq,Ib`],
    feature: 'sse2',
    unit: 'sse',
    execute(m, destination, source, immediate) {
      destination.writeVector(shuffleWords(m, source.readVector(), immediate.read(), high))
    },
  }),
)

export const PSHUFW = instruction<[VectorOperand, VectorOperand, Operand]>('PSHUFW', {
  encodings: ['NP 0F 70 /r ib  Pq,Qq,Ib'],
  feature: 'sse',
  unit: 'mmx',
  execute(m, destination, source, immediate) {
    destination.writeLow(shuffleWords(m, readMmx(source), immediate.read(), false).lane(64, 0))
  },
})

export const SHUFPS = instruction<[VectorOperand, VectorOperand, Operand]>('SHUFPS', {
  encodings: ['NP 0F C6 /r ib  Vdq,Wdq,Ib'],
  feature: 'sse',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const b = source.readVector()
    destination.writeVector(shuffleDoublewords(m, destination.readVector(), b, immediate.read()))
  },
})

export const SHUFPD = instruction<[VectorOperand, VectorOperand, Operand]>('SHUFPD', {
  encodings: ['66 0F C6 /r ib  Vdq,Wdq,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(_m, destination, source, immediate) {
    const b = source.readVector()
    const a = destination.readVector()
    const imm = immediate.read()
    const known = imm.constant
    if (known !== undefined) {
      destination.writeVector(a.shuffle(8, b, [Number(known & 1n), 2 + Number((known >> 1n) & 1n)]))
      return
    }
    const low = imm.bit(0).select(a.lane(64, 1), a.lane(64, 0))
    const high = imm.bit(1).select(b.lane(64, 1), b.lane(64, 0))
    destination.writeVector(Vector.splat(low).withLane(1, high))
  },
})

/** What takes two vectors whole and no immediate: unpacks and logic of floating-point lanes. */
const simple: readonly [mnemonic: string, encoding: string, feature: Feature, op: (a: Vector, b: Vector) => Vector][] =
  [
    ['UNPCKLPS', 'NP 0F 14', 'sse', (a, b) => a.shuffle(4, b, [0, 4, 1, 5])],
    ['UNPCKLPD', '66 0F 14', 'sse2', (a, b) => a.shuffle(8, b, [0, 2])],
    ['UNPCKHPS', 'NP 0F 15', 'sse', (a, b) => a.shuffle(4, b, [2, 6, 3, 7])],
    ['UNPCKHPD', '66 0F 15', 'sse2', (a, b) => a.shuffle(8, b, [1, 3])],
    ['ANDPS', 'NP 0F 54', 'sse', (a, b) => a.and(b)],
    ['ANDPD', '66 0F 54', 'sse2', (a, b) => a.and(b)],
    ['ANDNPS', 'NP 0F 55', 'sse', (a, b) => b.andNot(a)],
    ['ANDNPD', '66 0F 55', 'sse2', (a, b) => b.andNot(a)],
    ['ORPS', 'NP 0F 56', 'sse', (a, b) => a.or(b)],
    ['ORPD', '66 0F 56', 'sse2', (a, b) => a.or(b)],
    ['XORPS', 'NP 0F 57', 'sse', (a, b) => a.xor(b)],
    ['XORPD', '66 0F 57', 'sse2', (a, b) => a.xor(b)],
  ]

const simpleInstructions = simple.map(([mnemonic, encoding, feature, op]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r  Vdq,Wdq`],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      const b = source.readVector()
      destination.writeVector(op(destination.readVector(), b))
    },
  }),
)

/** A mask of all ones in the lane `index` (8 bits, taken modulo the number of lanes) of `size` bytes. */
function laneMask(code: Code, size: 1 | 2 | 4, index: Int): Vector {
  const count = 16 / size
  const numbers = lanesOf(
    code,
    size,
    Array.from({ length: count }, (_, i) => i),
  )
  const wanted = Vector.splat(index.and(count - 1).zeroExtend((size * 8) as 8))
  return numbers.op({ 1: S.I8X16_EQ, 2: S.I16X8_EQ, 4: S.I32X4_EQ }[size], [wanted])
}

/** A vector with lane `index` (8 bits, modulo the number of lanes) replaced by the integer. */
export function insertLane(code: Code, vector: Vector, index: Int, value: Int): Vector {
  const known = index.constant
  const count = 128 / value.width
  if (known !== undefined) return vector.withLane(Number(known) & (count - 1), value)
  if (value.width === 64) {
    const high = vector.withLane(1, value)
    const low = vector.withLane(0, value)
    return Vector.splat(index.bit(0).select(code.const(-1, 64), 0)).choose(high, low)
  }
  return laneMask(code, (value.width / 8) as 4, index).choose(Vector.splat(value), vector)
}

/** Lane `index` (8 bits, modulo the number of lanes) of a vector. */
export function extractLane(code: Code, vector: Vector, index: Int, width: 8 | 16 | 32 | 64): Int {
  const known = index.constant
  const count = 128 / width
  if (known !== undefined) return vector.lane(width, Number(known) & (count - 1))
  if (width === 64) return index.bit(0).select(vector.lane(64, 1), vector.lane(64, 0))
  const first = index.and(count - 1).mul(width / 8)
  const iota = lanesOf(code, 1, [0, 1, 2, 3])
  return vector.op(S.I8X16_SWIZZLE, [iota.op(S.I8X16_ADD, [Vector.splat(first)])]).lane(width, 0)
}

export const PINSRW = instruction<[VectorOperand, Operand, Operand]>('PINSRW', {
  encodings: ['66 0F C4 /r ib reg  Vdq,Rd,Ib', '66 0F C4 /r ib mem  Vdq,Mw,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source, index) {
    const value = source.read().truncate(16)
    destination.writeVector(insertLane(m, destination.readVector(), index.read(), value))
  },
})

export const PINSRW_MMX = instruction<[VectorOperand, Operand, Operand]>('PINSRW', {
  encodings: ['NP 0F C4 /r ib reg  Pq,Rd,Ib', 'NP 0F C4 /r ib mem  Pq,Mw,Ib'],
  feature: 'sse',
  unit: 'mmx',
  execute(m, destination, source, index) {
    const value = source.read().truncate(16)
    destination.writeLow(insertLane(m, readMmx(destination), index.read().and(3), value).lane(64, 0))
  },
})

export const PEXTRW = instruction<[Operand, VectorOperand, Operand]>('PEXTRW', {
  encodings: ['66 0F C5 /r ib reg  Gd,Udq,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, source, index) {
    destination.write(extractLane(m, source.readVector(), index.read(), 16).zeroExtend(32))
  },
})

export const PEXTRW_MMX = instruction<[Operand, VectorOperand, Operand]>('PEXTRW', {
  encodings: ['NP 0F C5 /r ib reg  Gd,Nq,Ib'],
  feature: 'sse',
  unit: 'mmx',
  execute(m, destination, source, index) {
    destination.write(extractLane(m, readMmx(source), index.read().and(3), 16).zeroExtend(32))
  },
})

export const instructions: readonly Instruction[] = [
  PSHUFD,
  ...wordShuffles,
  PSHUFW,
  SHUFPS,
  SHUFPD,
  ...simpleInstructions,
  PINSRW,
  PINSRW_MMX,
  PEXTRW,
  PEXTRW_MMX,
]
