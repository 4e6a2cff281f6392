/** PCLMULQDQ: the product of two polynomials over GF(2) (SDM vol. 2). */
import { type Int, Vector } from '../ir/values.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type VectorOperand } from './semantics.ts'
import { extractLane } from './sse-shuffles.ts'

/** Every fourth bit, from bit 0 on. */
const HOLES = 0x1111111111111111n

/**
 * The low 64 bits of a carry-less product, out of integer products of numbers with three zeros between bits: at most
 * 16 ones add up at a place, and only at the topmost place does their sum reach the next, which is beyond bit 63.
 */
const lowProduct = routine('carrylessLow', [64, 64], 64, (_code, x, y) => {
  const part = (value: Int, i: number) => value.and(HOLES << BigInt(i))
  let result: Int | undefined
  for (let i = 0; i < 4; i++) {
    let sum: Int | undefined
    for (let j = 0; j < 4; j++) {
      const product = part(x, j).mul(part(y, (i - j) & 3))
      sum = sum ? sum.xor(product) : product
    }
    const bits = part(sum!, i)
    result = result ? result.or(bits) : bits
  }
  return result!
})

/** All bits of a 64-bit value in reverse order. */
const reverseBits = routine('reverseBits64', [64], 64, (_code, value) => {
  let v = value
  for (const [shift, mask] of [
    [1, 0x5555555555555555n],
    [2, 0x3333333333333333n],
    [4, 0x0f0f0f0f0f0f0f0fn],
    [8, 0x00ff00ff00ff00ffn],
    [16, 0x0000ffff0000ffffn],
  ] as const) {
    v = v.shr(shift).and(mask).or(v.and(mask).shl(shift))
  }
  return v.rotl(32)
})

/** The 128-bit product: its upper half is the lower half of the product of the reversed factors, reversed. */
export const carrylessMultiply = routine('carrylessMultiply', [64, 64], 128, (code: Code, x, y) => {
  const low = code.call(lowProduct, x, y)
  const mirrored = code.call(lowProduct, code.call(reverseBits, x), code.call(reverseBits, y))
  const high = code.call(reverseBits, mirrored).shr(1)
  return Vector.splat(low).withLane(1, high)
})

export const PCLMULQDQ = instruction<[VectorOperand, VectorOperand, Operand]>('PCLMULQDQ', {
  encodings: ['66 0F 3A 44 /r ib  Vdq,Wdq,Ib'],
  feature: 'pclmulqdq',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const imm = immediate.read()
    const y = extractLane(m, source.readVector(), imm.shr(4), 64)
    const x = extractLane(m, destination.readVector(), imm, 64)
    destination.writeVector(m.callVector(carrylessMultiply, x, y))
  },
})

export const instructions: readonly Instruction[] = [PCLMULQDQ]
