/** AES rounds (SDM vol. 2, AESDEC to AESKEYGENASSIST; FIPS 197). */
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type VectorOperand } from './semantics.ts'
import { splatOf } from './simd-forms.ts'

/** The substitution table (FIPS 197, 5.1.1): the inverse in GF(2^8), then an affine map. */
function substitution(): Uint8Array {
  const table = new Uint8Array(256)
  // Runs through all nonzero elements by the generator 3 and, in step, through their inverses.
  let element = 1
  let inverse = 1
  do {
    element ^= (element << 1) ^ (element & 0x80 ? 0x11b : 0)
    element &= 0xff
    inverse ^= inverse << 1
    inverse ^= inverse << 2
    inverse ^= inverse << 4
    inverse &= 0xff
    if (inverse & 0x80) inverse ^= 0x09
    const twice = inverse | (inverse << 8)
    table[element] = (inverse ^ (twice >> 7) ^ (twice >> 6) ^ (twice >> 5) ^ (twice >> 4) ^ 0x63) & 0xff
  } while (element !== 1)
  table[0] = 0x63
  return table
}

const S_BOX = substitution()
const INVERSE_S_BOX = new Uint8Array(256)
for (let i = 0; i < 256; i++) INVERSE_S_BOX[S_BOX[i]] = i

/**
 * All 16 bytes through a table of 256. Turning the upper four bits so that they are zero for one row of 16 leaves every
 * other byte beyond 15, where a swizzle gives zero.
 */
function substitute(code: Code, value: Vector, table: Uint8Array): Vector {
  let result = code.vector(table.slice(0, 16)).op(S.I8X16_SWIZZLE, [value])
  for (let row = 1; row < 16; row++) {
    const turned = value.xor(splatOf(code, 1, row << 4))
    result = result.or(code.vector(table.slice(row * 16, row * 16 + 16)).op(S.I8X16_SWIZZLE, [turned]))
  }
  return result
}

/** ShiftRows: row r of column c comes from column c + r; backwards for the inverse. */
const shiftRows = (direction: 1 | -1): number[] =>
  Array.from({ length: 16 }, (_, i) => (i + 4 * direction * (i & 3)) & 15)

/** Multiplies each byte by x in GF(2^8). */
function double(code: Code, value: Vector): Vector {
  const carry = value.op(S.I8X16_SHR_S, [code.const(7, 32)]).and(splatOf(code, 1, 0x1b))
  return value.op(S.I8X16_ADD, [value]).xor(carry)
}

/** Each column's bytes rotated: byte i comes from byte i + n. */
const rotateColumns = (value: Vector, n: number): Vector =>
  value.shuffle(
    1,
    value,
    Array.from({ length: 16 }, (_, i) => (i & 12) | ((i + n) & 3)),
  )

/** MixColumns: 2·a0 + 3·a1 + a2 + a3. */
function mixColumns(code: Code, value: Vector): Vector {
  const next = rotateColumns(value, 1)
  const pair = value.xor(next)
  return double(code, pair).xor(next).xor(rotateColumns(pair, 2))
}

/** InvMixColumns: MixColumns after adding 4·(a0 + a2) to a0 and a2, and likewise for a1 and a3. */
function inverseMixColumns(code: Code, value: Vector): Vector {
  const quadruple = double(code, double(code, value.xor(rotateColumns(value, 2))))
  return mixColumns(code, value.xor(quadruple))
}

const encryptLast = routine('aesEncryptLast', [128], 128, (code, state) => {
  const shifted = state.shuffle(1, state, shiftRows(1))
  return substitute(code, shifted, S_BOX)
})

const decryptLast = routine('aesDecryptLast', [128], 128, (code, state) => {
  const shifted = state.shuffle(1, state, shiftRows(-1))
  return substitute(code, shifted, INVERSE_S_BOX)
})

const encrypt = routine('aesEncrypt', [128], 128, (code, state) =>
  mixColumns(code, code.callVector(encryptLast, state)),
)

const decrypt = routine('aesDecrypt', [128], 128, (code, state) =>
  inverseMixColumns(code, code.callVector(decryptLast, state)),
)

const inverseMix = routine('aesInverseMixColumns', [128], 128, (code, state) => inverseMixColumns(code, state))

/** SubWord and RotWord of doublewords 1 and 3, before the round constant. */
const keyAssist = routine('aesKeyAssist', [128], 128, (code, key) => {
  const substituted = substitute(code, key, S_BOX)
  return substituted.shuffle(1, substituted, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12])
})

const rounds = (
  [
    ['AESENC', 'DC', encrypt],
    ['AESENCLAST', 'DD', encryptLast],
    ['AESDEC', 'DE', decrypt],
    ['AESDECLAST', 'DF', decryptLast],
  ] as const
).map(([mnemonic, opcode, round]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`66 0F 38 ${opcode} /r  Vdq,Wdq`],
    feature: 'aes',
    unit: 'sse',
    execute(m, destination, source) {
      const key = source.readVector()
      destination.writeVector(m.callVector(round, destination.readVector()).xor(key))
    },
  }),
)

export const AESIMC = instruction<[VectorOperand, VectorOperand]>('AESIMC', {
  encodings: ['66 0F 38 DB /r  Vdq,Wdq'],
  feature: 'aes',
  unit: 'sse',
  execute(m, destination, source) {
    destination.writeVector(m.callVector(inverseMix, source.readVector()))
  },
})

export const AESKEYGENASSIST = instruction<[VectorOperand, VectorOperand, Operand]>('AESKEYGENASSIST', {
  encodings: ['66 0F 3A DF /r ib  Vdq,Wdq,Ib'],
  feature: 'aes',
  unit: 'sse',
  execute(m, destination, source, constant) {
    const value = m.callVector(keyAssist, source.readVector())
    // The round constant goes into doublewords 1 and 3.
    const spread = Vector.splat(constant.read().zeroExtend(64).shl(32))
    destination.writeVector(value.xor(spread))
  },
})

export const instructions: readonly Instruction[] = [...rounds, AESIMC, AESKEYGENASSIST]
