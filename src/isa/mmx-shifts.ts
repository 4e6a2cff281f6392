/** Packed shifts of MMX and SSE2 by a count in a register, in memory or in the instruction (SDM vol. 2, PSLLW to PSRLQ). */
import { type Int, int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Code, Operand, VectorOperand } from './semantics.ts'
import { bytesFrom, readMmx, splatOf } from './simd-forms.ts'

interface ShiftRow {
  mnemonic: string
  /** The opcode with a variable count. */
  variable: string
  /** The opcode with an immediate count, and the number in ModRM.reg. */
  immediate: string
  lane: 16 | 32 | 64
  op: number
  arithmetic?: boolean
}

const rows: readonly ShiftRow[] = [
  { mnemonic: 'PSRLW', variable: 'D1', immediate: '71 /2', lane: 16, op: S.I16X8_SHR_U },
  { mnemonic: 'PSRLD', variable: 'D2', immediate: '72 /2', lane: 32, op: S.I32X4_SHR_U },
  { mnemonic: 'PSRLQ', variable: 'D3', immediate: '73 /2', lane: 64, op: S.I64X2_SHR_U },
  { mnemonic: 'PSRAW', variable: 'E1', immediate: '71 /4', lane: 16, op: S.I16X8_SHR_S, arithmetic: true },
  { mnemonic: 'PSRAD', variable: 'E2', immediate: '72 /4', lane: 32, op: S.I32X4_SHR_S, arithmetic: true },
  { mnemonic: 'PSLLW', variable: 'F1', immediate: '71 /6', lane: 16, op: S.I16X8_SHL },
  { mnemonic: 'PSLLD', variable: 'F2', immediate: '72 /6', lane: 32, op: S.I32X4_SHL },
  { mnemonic: 'PSLLQ', variable: 'F3', immediate: '73 /6', lane: 64, op: S.I64X2_SHL },
]

/** Shifts by any count: beyond the lane's width all bits go, or all become the sign. WebAssembly takes counts modulo. */
function shift(code: Code, row: ShiftRow, value: Vector, count: Int): Vector {
  const beyond = count.gtU(row.lane - 1)
  const count32 = count.resize(32)
  const known = beyond.constant
  if (row.arithmetic) return value.op(row.op, [beyond.select(code.const(row.lane - 1, 32), count32)])
  if (known === 1n || (count.constant ?? 0n) >= row.lane) return splatOf(code, 1, 0)
  const shifted = value.op(row.op, [count32])
  if (count.constant !== undefined) return shifted
  return shifted.and(Vector.splat(beyond.select(code.const(0, 32), code.const(-1, 32))))
}

const shifts = rows.flatMap(row => {
  const { mnemonic, variable, immediate } = row
  return [
    instruction<[VectorOperand, VectorOperand]>(mnemonic, {
      encodings: [`NP 0F ${variable} /r  Pq,Qq`],
      feature: 'mmx',
      unit: 'mmx',
      execute(m, destination, source) {
        const count = source.readLow(64)
        destination.writeLow(shift(m, row, readMmx(destination), count).lane(64, 0))
      },
    }),
    instruction<[VectorOperand, Operand]>(mnemonic, {
      encodings: [`NP 0F ${immediate} ib  Nq,Ib`],
      feature: 'mmx',
      unit: 'mmx',
      execute(m, destination, count) {
        destination.writeLow(shift(m, row, readMmx(destination), count.read()).lane(64, 0))
      },
    }),
    instruction<[VectorOperand, VectorOperand]>(mnemonic, {
      encodings: [`66 0F ${variable} /r  Vdq,Wdq`],
      feature: 'sse2',
      unit: 'sse',
      execute(m, destination, source) {
        const count = source.readVector().lane(64, 0)
        destination.writeVector(shift(m, row, destination.readVector(), count))
      },
    }),
    instruction<[VectorOperand, Operand]>(mnemonic, {
      encodings: [`66 0F ${immediate} ib  Udq,Ib`],
      feature: 'sse2',
      unit: 'sse',
      execute(m, destination, count) {
        destination.writeVector(shift(m, row, destination.readVector(), count.read()))
      },
    }),
  ]
})

/** A byte shift's count: 16 stands for all beyond. */
const byteCount = (count: Int): Int => {
  const known = count.constant
  if (known !== undefined) return int(count.f, known > 15n ? 16 : known, 8)
  return count.gtU(15).select(int(count.f, 16, 8), count)
}

/** Shifts all 128 bits left by bytes. */
export const PSLLDQ = instruction<[VectorOperand, Operand]>('PSLLDQ', {
  encodings: ['66 0F 73 /7 ib  Udq,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, count) {
    const n = byteCount(count.read())
    destination.writeVector(shiftBytes(m, destination.readVector(), n, true))
  },
})

/** Shifts all 128 bits right by bytes. */
export const PSRLDQ = instruction<[VectorOperand, Operand]>('PSRLDQ', {
  encodings: ['66 0F 73 /3 ib  Udq,Ib'],
  feature: 'sse2',
  unit: 'sse',
  execute(m, destination, count) {
    const n = byteCount(count.read())
    destination.writeVector(shiftBytes(m, destination.readVector(), n, false))
  },
})

function shiftBytes(code: Code, value: Vector, count: Int, left: boolean): Vector {
  const known = count.constant
  if (known === undefined) return bytesFrom(code, value, left ? count.neg() : count)
  const first = left ? 16 - Number(known) : Number(known)
  const zero = splatOf(code, 1, 0)
  const lanes = Array.from({ length: 16 }, (_, i) => first + i)
  return left ? zero.shuffle(1, value, lanes) : value.shuffle(1, zero, lanes)
}

export const instructions: readonly Instruction[] = [...shifts, PSLLDQ, PSRLDQ]
