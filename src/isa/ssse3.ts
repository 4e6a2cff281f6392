/** SSSE3: horizontal sums, byte shuffles, signs (SDM vol. 2, PABSB to PSIGND). */
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Code, Operand, VectorOperand } from './semantics.ts'
import { bytesFrom, type PackedRow, packed, readMmx, splatOf } from './simd-forms.ts'

type Op = PackedRow['op']

const EVEN = [0, 2, 4, 6, 8, 10, 12, 14]
const ODD = EVEN.map(lane => lane + 1)

/** Even lanes of both sources, then odd lanes, combined. */
const horizontal =
  (size: 2 | 4, op: number): Op =>
  (a, b) => {
    const lanes = 16 / size
    const even = a.shuffle(size, b, EVEN.slice(0, lanes))
    return even.op(op, [a.shuffle(size, b, ODD.slice(0, lanes))])
  }

/** The first source negated, kept or cleared by the second's sign. */
const sign =
  (width: 8 | 16 | 32, shr: number, sub: number, eq: number): Op =>
  (a, b, code) => {
    const negative = b.op(shr, [code.const(width - 1, 32)])
    const zero = b.op(eq, [splatOf(code, 1, 0)])
    return a.xor(negative).op(sub, [negative]).andNot(zero)
  }

/** Absolute values of the second source. */
const absolute =
  (op: number): Op =>
  (_a, b) =>
    b.op(op)

/** Unsigned bytes times signed bytes, pairs added with signed saturation. */
const multiplyAddBytes: Op = (a, b, code) => {
  const eight = code.const(8, 32)
  const low = a
    .and(splatOf(code, 2, 0xff))
    .op(S.I16X8_MUL, [b.op(S.I16X8_SHL, [eight]).op(S.I16X8_SHR_S, [code.const(8, 32)])])
  const high = a.op(S.I16X8_SHR_U, [eight]).op(S.I16X8_MUL, [b.op(S.I16X8_SHR_S, [eight])])
  return low.op(S.I16X8_ADD_SAT_S, [high])
}

/** Rounded high halves of products; -1 times -1 wraps to -1, where WebAssembly saturates. */
const multiplyHighRound: Op = (a, b, code) => {
  const minimum = splatOf(code, 2, 0x8000)
  const wraps = a.op(S.I16X8_EQ, [minimum]).and(b.op(S.I16X8_EQ, [minimum]))
  return a.op(S.I16X8_Q15MULR_SAT_S, [b]).xor(wraps)
}

const rows: readonly [mnemonic: string, opcode: string, op: Op, form?: PackedRow['form']][] = [
  ['PHADDW', '01', horizontal(2, S.I16X8_ADD), 'joined'],
  ['PHADDD', '02', horizontal(4, S.I32X4_ADD), 'joined'],
  ['PHADDSW', '03', horizontal(2, S.I16X8_ADD_SAT_S), 'joined'],
  ['PMADDUBSW', '04', multiplyAddBytes],
  ['PHSUBW', '05', horizontal(2, S.I16X8_SUB), 'joined'],
  ['PHSUBD', '06', horizontal(4, S.I32X4_SUB), 'joined'],
  ['PHSUBSW', '07', horizontal(2, S.I16X8_SUB_SAT_S), 'joined'],
  ['PSIGNB', '08', sign(8, S.I8X16_SHR_S, S.I8X16_SUB, S.I8X16_EQ)],
  ['PSIGNW', '09', sign(16, S.I16X8_SHR_S, S.I16X8_SUB, S.I16X8_EQ)],
  ['PSIGND', '0A', sign(32, S.I32X4_SHR_S, S.I32X4_SUB, S.I32X4_EQ)],
  ['PMULHRSW', '0B', multiplyHighRound],
  ['PABSB', '1C', absolute(S.I8X16_ABS)],
  ['PABSW', '1D', absolute(S.I16X8_ABS)],
  ['PABSD', '1E', absolute(S.I32X4_ABS)],
]

const table = rows.flatMap(([mnemonic, opcode, op, form]) =>
  packed({ mnemonic, opcode: `0F 38 ${opcode}`, op, form, mmx: 'ssse3', xmm: 'ssse3' }),
)

export const PSHUFB = instruction<[VectorOperand, VectorOperand]>('PSHUFB', {
  encodings: ['66 0F 38 00 /r  Vdq,Wdq'],
  feature: 'ssse3',
  unit: 'sse',
  execute(m, destination, source) {
    const indices = source.readVector().and(splatOf(m, 1, 0x8f))
    destination.writeVector(destination.readVector().op(S.I8X16_SWIZZLE, [indices]))
  },
})

export const PSHUFB_MMX = instruction<[VectorOperand, VectorOperand]>('PSHUFB', {
  encodings: ['NP 0F 38 00 /r  Pq,Qq'],
  feature: 'ssse3',
  unit: 'mmx',
  execute(m, destination, source) {
    const indices = readMmx(source).and(splatOf(m, 1, 0x87))
    destination.writeLow(readMmx(destination).op(S.I8X16_SWIZZLE, [indices]).lane(64, 0))
  },
})

/** 16 bytes from byte `count` (8 bits, any value) of `low` and then `high`; zeros beyond. */
function align(code: Code, high: Vector, low: Vector, count: Int): Vector {
  const known = count.constant
  const zero = () => splatOf(code, 1, 0)
  if (known !== undefined) {
    const n = Number(known)
    if (n >= 32) return zero()
    const lanes = Array.from({ length: 16 }, (_, i) => (n % 16) + i)
    return n < 16 ? low.shuffle(1, high, lanes) : high.shuffle(1, zero(), lanes)
  }
  const n = count.gtU(31).select(code.const(32, 8), count)
  return bytesFrom(code, low, n).or(bytesFrom(code, high, n.sub(16)))
}

export const PALIGNR = instruction<[VectorOperand, VectorOperand, Operand]>('PALIGNR', {
  encodings: ['66 0F 3A 0F /r ib  Vdq,Wdq,Ib'],
  feature: 'ssse3',
  unit: 'sse',
  execute(m, destination, source, count) {
    const low = source.readVector()
    destination.writeVector(align(m, destination.readVector(), low, count.read()))
  },
})

export const PALIGNR_MMX = instruction<[VectorOperand, VectorOperand, Operand]>('PALIGNR', {
  encodings: ['NP 0F 3A 0F /r ib  Pq,Qq,Ib'],
  feature: 'ssse3',
  unit: 'mmx',
  execute(m, destination, source, count) {
    const both = Vector.low(source.readLow(64)).withLane(1, destination.readLow(64))
    destination.writeLow(align(m, splatOf(m, 1, 0), both, count.read()).lane(64, 0))
  },
})

export const instructions: readonly Instruction[] = [...table, PSHUFB, PSHUFB_MMX, PALIGNR, PALIGNR_MMX]
