/** What the chapters of packed instructions share: MMX and XMM forms from one row, masks, lane numbers known late. */

import { F } from '../cpu/state.ts'
import { type Int, Vector } from '../ir/values.ts'
import { I8X16_ADD, I8X16_SWIZZLE, laneBytes, splatBytes } from '../wasm/simd.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import { type Code, type Semantics, UD, type VectorOperand } from './semantics.ts'

const CR4_OSFXSR = 9

/** #UD for instructions on both MMX and XMM registers, whose unit is MMX, where the system does not save XMM registers. */
export const needOsfxsr = (m: Semantics): void => m.raiseIf(m.get(F.cr4).bit(CR4_OSFXSR).isZero(), UD)

/** A vector whose lanes of `size` bytes all have one value. */
export const splatOf = (code: Code, size: 1 | 2 | 4 | 8, value: number | bigint): Vector =>
  code.vector(splatBytes(size, value))

/** A vector by its lanes of `size` bytes. */
export const lanesOf = (code: Code, size: 1 | 2 | 4 | 8, lanes: readonly (number | bigint)[]): Vector =>
  code.vector(laneBytes(size, lanes))

/** The bytes 0 to 15. */
export const IOTA: readonly number[] = Array.from({ length: 16 }, (_, i) => i)

/** An MMX operand (or memory of 4 or 8 bytes in its place) in both halves of a vector. */
export function readMmx(operand: VectorOperand): Vector {
  const width = operand.kind === 'memory' && operand.bytes === 4 ? 32 : 64
  return Vector.splat(operand.readLow(width).zeroExtend(64))
}

/** Where the result of an operation on vectors made by {@link readMmx} is to be found. */
export type MmxForm =
  /** In the low half: lanes do not mix. */
  | 'lanes'
  /** In the high half: the instruction takes the high halves of its operands. */
  | 'high'
  /** In the low half, if the operation is given both operands in one vector, twice: they end up side by side. */
  | 'joined'

/** A packed instruction with two sources, the first of which is the destination. */
export interface PackedRow {
  mnemonic: string
  /** Bytes after the mandatory prefix, as in `0F FC`. */
  opcode: string
  op(a: Vector, b: Vector, code: Code): Vector
  /** Feature of the MMX form; none if there is no such form. */
  mmx?: Feature
  form?: MmxForm
  /** The MMX form's second operand if it is not Qq. */
  mmxSource?: 'Qd'
  /** Feature of the XMM form; none if there is no such form. */
  xmm?: Feature
}

/** The instructions of a row: the MMX form without prefix, the XMM form with prefix 66. */
export function packed(row: PackedRow): Instruction[] {
  const made: Instruction[] = []
  const { mnemonic, opcode, op, form = 'lanes' } = row
  if (row.mmx) {
    made.push(
      instruction<[VectorOperand, VectorOperand]>(mnemonic, {
        encodings: [`NP ${opcode} /r  Pq,${row.mmxSource ?? 'Qq'}`],
        feature: row.mmx,
        unit: 'mmx',
        execute(m, destination, source) {
          const a = readMmx(destination)
          const b = readMmx(source)
          let result: Vector
          if (form === 'joined') {
            const both = a.shuffle(8, b, [0, 2])
            result = op(both, both, m)
          } else result = op(a, b, m)
          destination.writeLow(result.lane(64, form === 'high' ? 1 : 0))
        },
      }),
    )
  }
  if (row.xmm) {
    made.push(
      instruction<[VectorOperand, VectorOperand]>(mnemonic, {
        encodings: [`66 ${opcode} /r  Vdq,Wdq`],
        feature: row.xmm,
        unit: 'sse',
        execute(m, destination, source) {
          const b = source.readVector()
          destination.writeVector(op(destination.readVector(), b, m))
        },
      }),
    )
  }
  return made
}

/** Bytes `index`, `index + 1` … of a vector; zeros where the number, as a byte, is beyond 15. `index` has 8 bits. */
export function bytesFrom(code: Code, vector: Vector, index: Int): Vector {
  return vector.op(I8X16_SWIZZLE, [lanesOf(code, 1, IOTA).op(I8X16_ADD, [Vector.splat(index)])])
}
