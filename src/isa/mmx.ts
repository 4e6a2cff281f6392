/** Packed integer arithmetic, comparison, logic and packing of MMX, SSE and SSE2 (SDM vol. 2, PACKSSWB to PXOR). */

import { F } from '../cpu/state.ts'
import type { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { enterMmx } from './mmx-unit.ts'
import type { Code } from './semantics.ts'
import { type PackedRow, packed, splatOf } from './simd-forms.ts'

type Op = PackedRow['op']

/** One SIMD operation of WebAssembly. */
const direct =
  (opcode: number): Op =>
  (a, b) =>
    a.op(opcode, [b])

/** The high 16 bits of 16-bit products. */
const highProduct =
  (low: number, high: number): Op =>
  (a, b) =>
    a.op(low, [b]).shuffle(2, a.op(high, [b]), [1, 3, 5, 7, 9, 11, 13, 15])

/** Interleaves the low (or high) lanes of `size` bytes. */
const unpack =
  (size: 1 | 2 | 4 | 8, high: boolean): Op =>
  (a, b) => {
    const count = 16 / size
    const first = high ? count / 2 : 0
    const lanes = Array.from({ length: count }, (_, i) => first + (i >> 1) + (i & 1) * count)
    return a.shuffle(size, b, lanes)
  }

const evenProducts: Op = (a, b, code) => {
  const low = splatOf(code, 8, 0xffffffff)
  return a.and(low).op(S.I64X2_MUL, [b.and(low)])
}

/** The sums of each eight absolute differences of bytes. */
function sumOfAbsoluteDifferences(a: Vector, b: Vector, code: Code): Vector {
  const difference = a.op(S.I8X16_MAX_U, [b]).op(S.I8X16_SUB, [a.op(S.I8X16_MIN_U, [b])])
  const words = difference.op(S.I16X8_EXTADD_PAIRWISE_I8X16_U)
  const doublewords = words.op(S.I32X4_EXTADD_PAIRWISE_I16X8_U)
  const shifted = doublewords.op(S.I64X2_SHR_U, [code.const(32, 32)])
  return doublewords.op(S.I64X2_ADD, [shifted]).and(splatOf(code, 8, 0xffffffff))
}

type Row = [mnemonic: string, opcode: string, op: Op, mmx?: string, form?: PackedRow['form']]

/** Opcodes after 0F. The XMM form is SSE2's; the MMX form MMX's own, but for what SSE and SSE2 added. */
const rows: readonly Row[] = [
  ['PUNPCKLBW', '60', unpack(1, false)],
  ['PUNPCKLWD', '61', unpack(2, false)],
  ['PUNPCKLDQ', '62', unpack(4, false)],
  ['PACKSSWB', '63', direct(S.I8X16_NARROW_I16X8_S), 'mmx', 'joined'],
  ['PCMPGTB', '64', direct(S.I8X16_GT_S)],
  ['PCMPGTW', '65', direct(S.I16X8_GT_S)],
  ['PCMPGTD', '66', direct(S.I32X4_GT_S)],
  ['PACKUSWB', '67', direct(S.I8X16_NARROW_I16X8_U), 'mmx', 'joined'],
  ['PUNPCKHBW', '68', unpack(1, true), 'mmx', 'high'],
  ['PUNPCKHWD', '69', unpack(2, true), 'mmx', 'high'],
  ['PUNPCKHDQ', '6A', unpack(4, true), 'mmx', 'high'],
  ['PACKSSDW', '6B', direct(S.I16X8_NARROW_I32X4_S), 'mmx', 'joined'],
  ['PUNPCKLQDQ', '6C', unpack(8, false), ''],
  ['PUNPCKHQDQ', '6D', unpack(8, true), ''],
  ['PCMPEQB', '74', direct(S.I8X16_EQ)],
  ['PCMPEQW', '75', direct(S.I16X8_EQ)],
  ['PCMPEQD', '76', direct(S.I32X4_EQ)],
  ['PADDQ', 'D4', direct(S.I64X2_ADD), 'sse2'],
  ['PMULLW', 'D5', direct(S.I16X8_MUL)],
  ['PSUBUSB', 'D8', direct(S.I8X16_SUB_SAT_U)],
  ['PSUBUSW', 'D9', direct(S.I16X8_SUB_SAT_U)],
  ['PMINUB', 'DA', direct(S.I8X16_MIN_U), 'sse'],
  ['PAND', 'DB', direct(S.V128_AND)],
  ['PADDUSB', 'DC', direct(S.I8X16_ADD_SAT_U)],
  ['PADDUSW', 'DD', direct(S.I16X8_ADD_SAT_U)],
  ['PMAXUB', 'DE', direct(S.I8X16_MAX_U), 'sse'],
  ['PANDN', 'DF', (a, b) => b.andNot(a)],
  ['PAVGB', 'E0', direct(S.I8X16_AVGR_U), 'sse'],
  ['PAVGW', 'E3', direct(S.I16X8_AVGR_U), 'sse'],
  ['PMULHUW', 'E4', highProduct(S.I32X4_EXTMUL_LOW_I16X8_U, S.I32X4_EXTMUL_HIGH_I16X8_U), 'sse'],
  ['PMULHW', 'E5', highProduct(S.I32X4_EXTMUL_LOW_I16X8_S, S.I32X4_EXTMUL_HIGH_I16X8_S)],
  ['PSUBSB', 'E8', direct(S.I8X16_SUB_SAT_S)],
  ['PSUBSW', 'E9', direct(S.I16X8_SUB_SAT_S)],
  ['PMINSW', 'EA', direct(S.I16X8_MIN_S), 'sse'],
  ['POR', 'EB', direct(S.V128_OR)],
  ['PADDSB', 'EC', direct(S.I8X16_ADD_SAT_S)],
  ['PADDSW', 'ED', direct(S.I16X8_ADD_SAT_S)],
  ['PMAXSW', 'EE', direct(S.I16X8_MAX_S), 'sse'],
  ['PXOR', 'EF', direct(S.V128_XOR)],
  ['PMULUDQ', 'F4', evenProducts, 'sse2'],
  ['PMADDWD', 'F5', direct(S.I32X4_DOT_I16X8_S)],
  ['PSADBW', 'F6', sumOfAbsoluteDifferences, 'sse'],
  ['PSUBB', 'F8', direct(S.I8X16_SUB)],
  ['PSUBW', 'F9', direct(S.I16X8_SUB)],
  ['PSUBD', 'FA', direct(S.I32X4_SUB)],
  ['PSUBQ', 'FB', direct(S.I64X2_SUB), 'sse2'],
  ['PADDB', 'FC', direct(S.I8X16_ADD)],
  ['PADDW', 'FD', direct(S.I16X8_ADD)],
  ['PADDD', 'FE', direct(S.I32X4_ADD)],
]

/** The instructions of the table, MMX and XMM. */
export const packedInteger: readonly Instruction[] = rows.flatMap(([mnemonic, opcode, op, mmx = 'mmx', form]) =>
  packed({
    mnemonic,
    opcode: `0F ${opcode}`,
    op,
    mmx: mmx || undefined,
    form,
    mmxSource: mnemonic.startsWith('PUNPCKL') ? 'Qd' : undefined,
    xmm: 'sse2',
  }),
)

/** Marks all x87 registers empty: the end of a stretch of MMX code. */
export const EMMS = instruction('EMMS', {
  encodings: ['NP 0F 77'],
  feature: 'mmx',
  unit: 'mmx',
  execute(m) {
    enterMmx(m)
    m.set(F.ftw, 0xffff)
  },
})

export const instructions: readonly Instruction[] = [...packedInteger, EMMS]
