/** AVX's and AVX2's permutes, shifts by lane, tests of signs, gathers (SDM vol. 2, VGATHERDPS to VTESTPS). */
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import {
  type Code,
  type Int,
  type Operand,
  type Routine,
  routine,
  type Semantics,
  type VectorMemoryOperand,
  type VectorOperand,
} from './semantics.ts'
import { splatOf } from './simd-forms.ts'
import { shuffleDoublewords } from './sse-shuffles.ts'
import { testBits } from './sse4-1.ts'
import { readYmm, writeXmm, writeYmm, zeroVector } from './vex.ts'

const BOTH = [false, true] as const
const LENGTHS = (wide: boolean): string => `VEX.${wide ? 256 : 128}`

/** The lanes of a source: one, or two. */
const lanesOf = (source: VectorOperand, wide: boolean): Vector[] => (wide ? readYmm(source) : [source.readVector(true)])

function writeLanes(m: Semantics, destination: VectorOperand, lanes: readonly Vector[]): void {
  if (lanes.length === 2) writeYmm(destination, lanes[0], lanes[1])
  else writeXmm(m, destination, lanes[0])
}

/** Two sources, lane by lane. */
const lanewise = (
  mnemonic: string,
  encoding: string,
  feature: Feature,
  op: (m: Semantics, a: Vector, b: Vector) => Vector,
): Instruction[] =>
  BOTH.map(wide =>
    instruction<[VectorOperand, VectorOperand, VectorOperand]>(mnemonic, {
      encodings: [`${LENGTHS(wide)}.66.0F38.${encoding} /r  Vx,Hx,Wx`],
      feature,
      unit: 'avx',
      execute(m, destination, first, second) {
        const b = lanesOf(second, wide)
        const a = lanesOf(first, wide)
        writeLanes(
          m,
          destination,
          a.map((lane, i) => op(m, lane, b[i])),
        )
      },
    }),
  )

/** Doublewords by the low two bits of each of the second source's. */
function permuteSingles(m: Semantics, value: Vector, control: Vector): Vector {
  const bytes = control
    .and(splatOf(m, 4, 3))
    .op(S.I32X4_MUL, [splatOf(m, 4, 0x04040404)])
    .op(S.I32X4_ADD, [splatOf(m, 4, 0x03020100)])
  return value.op(S.I8X16_SWIZZLE, [bytes])
}

/** Quadwords by bit 1 of each of the second source's. */
function permuteDoubles(m: Semantics, value: Vector, control: Vector): Vector {
  const high = control.op(S.I64X2_SHL, [m.const(62, 32)]).op(S.I64X2_SHR_S, [m.const(63, 32)])
  return high.choose(value.shuffle(8, value, [1, 1]), value.shuffle(8, value, [0, 0]))
}

const permutesByVector = [
  ...lanewise('VPERMILPS', 'W0 0C', 'avx', permuteSingles),
  ...lanewise('VPERMILPD', 'W0 0D', 'avx', permuteDoubles),
]

/** Quadwords of a lane by bits of an immediate. */
function chooseDoubles(value: Vector, bits: Int): Vector {
  const known = bits.constant
  if (known !== undefined) return value.shuffle(8, value, [Number(known) & 1, (Number(known) >> 1) & 1])
  const half = (bit: Int) => bit.select(value.lane(64, 1), value.lane(64, 0))
  return Vector.splat(half(bits.bit(0))).withLane(1, half(bits.bit(1)))
}

const permutesByImmediate = BOTH.flatMap(wide =>
  (
    [
      ['VPERMILPS', '04', (m, value, imm, _lane) => shuffleDoublewords(m, value, value, imm)],
      ['VPERMILPD', '05', (_m, value, imm, lane) => chooseDoubles(value, imm.shr(2 * lane))],
    ] as readonly [string, string, (m: Semantics, value: Vector, imm: Int, lane: number) => Vector][]
  ).map(([mnemonic, opcode, op]) =>
    instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
      encodings: [`${LENGTHS(wide)}.66.0F3A.W0 ${opcode} /r ib  Vx,Wx,Ib`],
      feature: 'avx',
      unit: 'avx',
      execute(m, destination, source, immediate) {
        const imm = immediate.read()
        writeLanes(
          m,
          destination,
          lanesOf(source, wide).map((value, lane) => op(m, value, imm, lane)),
        )
      },
    }),
  ),
)

/** Doublewords of a register of 256 bits by number, 0 to 7. */
function permuteAll(code: Code, low: Vector, high: Vector, numbers: Vector): Vector {
  const bytes = numbers
    .and(splatOf(code, 4, 7))
    .op(S.I32X4_MUL, [splatOf(code, 4, 0x04040404)])
    .op(S.I32X4_ADD, [splatOf(code, 4, 0x03020100)])
  // What lies in the other lane is beyond 15, and gives 0.
  const others = bytes.op(S.I8X16_SUB, [splatOf(code, 1, 16)])
  return low.op(S.I8X16_SWIZZLE, [bytes]).or(high.op(S.I8X16_SWIZZLE, [others]))
}

const permutesAcross = (
  [
    ['VPERMPS', '16'],
    ['VPERMD', '36'],
  ] as const
).map(([mnemonic, opcode]) =>
  instruction<[VectorOperand, VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`VEX.256.66.0F38.W0 ${opcode} /r  Vqq,Hqq,Wqq`],
    feature: 'avx2',
    unit: 'avx',
    execute(m, destination, numbers, source) {
      const [low, high] = readYmm(source)
      const [first, second] = readYmm(numbers)
      writeYmm(destination, permuteAll(m, low, high, first), permuteAll(m, low, high, second))
    },
  }),
)

/** Two quadwords of four, by two bits each. */
function permuteQuadwords(m: Semantics, low: Vector, high: Vector, control: Int): Vector {
  const known = control.constant
  if (known !== undefined) {
    const number = Number(known)
    return low.shuffle(8, high, [number & 3, (number >> 2) & 3])
  }
  /** The numbers of a quadword's doublewords. */
  const pair = (number: Int) => number.and(3).zeroExtend(64).mul(0x0000000200000002n).add(0x0000000100000000n)
  return permuteAll(m, low, high, Vector.splat(pair(control)).withLane(1, pair(control.shr(2))))
}

const permutesOfQuadwords = (
  [
    ['VPERMQ', '00'],
    ['VPERMPD', '01'],
  ] as const
).map(([mnemonic, opcode]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`VEX.256.66.0F3A.W1 ${opcode} /r ib  Vqq,Wqq,Ib`],
    feature: 'avx2',
    unit: 'avx',
    execute(m, destination, source, immediate) {
      const [low, high] = readYmm(source)
      const imm = immediate.read()
      writeYmm(destination, permuteQuadwords(m, low, high, imm), permuteQuadwords(m, low, high, imm.shr(4)))
    },
  }),
)

/** Each element by a count of its own: WebAssembly's vector shifts have one for all. */
const shiftEach = (name: string, width: 32 | 64, op: (value: Int, count: Int) => Int, arithmetic = false): Routine =>
  routine(name, [128, 128], 128, (code, value, counts) => {
    const result = code.vectorVariable(value)
    for (let i = 0; i < 128 / width; i++) {
      const count = counts.lane(width, i)
      const beyond = count.gtU(width - 1)
      const known = arithmetic ? beyond.select(code.const(width - 1, width), count) : count
      const shifted = op(value.lane(width, i), known)
      result.value = result.value.withLane(i, arithmetic ? shifted : beyond.select(code.const(0, width), shifted))
    }
    return result.value
  })

const left = (value: Int, count: Int) => value.shl(count)
const right = (value: Int, count: Int) => value.shr(count)
const shifts = (
  [
    ['VPSRLVD', 'W0 45', shiftEach('shiftRightEach32', 32, right)],
    ['VPSRLVQ', 'W1 45', shiftEach('shiftRightEach64', 64, right)],
    ['VPSRAVD', 'W0 46', shiftEach('shiftArithmeticEach32', 32, (value, count) => value.sar(count), true)],
    ['VPSLLVD', 'W0 47', shiftEach('shiftLeftEach32', 32, left)],
    ['VPSLLVQ', 'W1 47', shiftEach('shiftLeftEach64', 64, left)],
  ] as const
).flatMap(([mnemonic, encoding, of]) => lanewise(mnemonic, encoding, 'avx2', (m, a, b) => m.callVector(of, a, b)))

const tests = BOTH.flatMap(wide =>
  (
    [
      ['VTESTPS', 'W0 0E', S.I32X4_BITMASK],
      ['VTESTPD', 'W0 0F', S.I64X2_BITMASK],
      ['VPTEST', 'WIG 17', undefined],
    ] as const
  ).map(([mnemonic, encoding, bitmask]) =>
    instruction<[VectorOperand, VectorOperand]>(mnemonic, {
      encodings: [`${LENGTHS(wide)}.66.0F38.${encoding} /r  Vx,Wx`],
      feature: 'avx',
      unit: 'avx',
      execute(m, first, second) {
        const b = lanesOf(second, wide)
        const pairs = lanesOf(first, wide).map((a, i) => [a, b[i]] as const)
        testBits(m, pairs, bitmask && (value => value.toInt(bitmask, 32).isNonZero()))
      },
    }),
  ),
)

/**
 * Elements from all over memory, those whose mask has the top bit set. Each is committed, and its element of the mask cleared,
 * before the next is looked at, so that a fault leaves the instruction to be resumed (SDM vol. 2, VPGATHERDD).
 */
const gather = (mnemonic: string, opcode: string, indexWidth: 32 | 64, width: 32 | 64, wide: boolean) => {
  const count = (wide ? 256 : 128) / Math.max(indexWidth, width)
  // Registers of indices and of elements: whichever has more bits is as long as VEX.L says.
  const wideIndices = count * indexWidth > 128
  const wideResult = count * width > 128
  const size = wideResult ? 'qq' : 'dq'
  const memory = `VM${width === 32 ? 'd' : 'q'}${wideIndices ? 'y' : 'x'}`
  return instruction<[VectorOperand, VectorMemoryOperand, VectorOperand]>(mnemonic, {
    encodings: [`${LENGTHS(wide)}.66.0F38.${width === 32 ? 'W0' : 'W1'} ${opcode} /r  V${size},${memory},H${size}`],
    feature: 'avx2',
    unit: 'avx',
    execute(m, destination, source, mask) {
      const zero = zeroVector(m)
      const half = (operand: VectorOperand, i: number, bits: number) =>
        (i * bits) % 256 >= 128 ? operand.upper : operand
      const { addressSize } = m.context
      for (let i = 0; i < count; i++) {
        const lane = (bits: number) => i % (128 / bits)
        const condition = half(mask, i, width).readVector().lane(width, lane(width)).isNegative()
        m.if(condition, () => {
          const index = half(source.indices, i, indexWidth).readVector().lane(indexWidth, lane(indexWidth))
          const wideIndex = indexWidth < addressSize ? index.signExtend(addressSize) : index.resize(addressSize)
          const value = source.memory.at(wideIndex.shl(source.scale), width).read()
          const to = half(destination, i, width)
          to.writeVector(to.readVector().withLane(lane(width), value))
        })
        const passed = half(mask, i, width)
        passed.writeVector(passed.readVector().withLane(lane(width), m.const(0, width)))
      }
      writeYmm(mask, zero, zero)
      if (count * width < 128) destination.writeHalf(1, m.const(0, 64))
      if (!wideResult) destination.upper.writeVector(zero)
    },
  })
}

const gathers = BOTH.flatMap(wide =>
  (
    [
      ['VPGATHERD*', '90', 32],
      ['VPGATHERQ*', '91', 64],
      ['VGATHERDP*', '92', 32],
      ['VGATHERQP*', '93', 64],
    ] as const
  ).flatMap(([mnemonic, opcode, indexWidth]) =>
    ([32, 64] as const).map(width => {
      const letter = mnemonic.includes('P*') ? (width === 32 ? 'S' : 'D') : width === 32 ? 'D' : 'Q'
      return gather(mnemonic.replace('*', letter), opcode, indexWidth, width, wide)
    }),
  ),
)

export const instructions: readonly Instruction[] = [
  ...permutesByVector,
  ...permutesByImmediate,
  ...permutesAcross,
  ...permutesOfQuadwords,
  ...shifts,
  ...tests,
  ...gathers,
]
