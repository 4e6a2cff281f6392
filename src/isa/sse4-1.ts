/** SSE4.1's integer part: blends, extensions, minima and maxima, lane access, PTEST, MPSADBW (SDM vol. 2). */
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type Semantics, type VectorOperand } from './semantics.ts'
import { bytesFrom, lanesOf, type PackedRow, packed, splatOf } from './simd-forms.ts'
import { extractLane, insertLane } from './sse-shuffles.ts'

type Op = PackedRow['op']

const direct =
  (opcode: number): Op =>
  (a, b) =>
    a.op(opcode, [b])

/** Even doublewords multiplied as signed numbers. */
const evenSignedProducts: Op = (a, b, code) => {
  const extend = (v: Vector) => v.op(S.I64X2_SHL, [code.const(32, 32)]).op(S.I64X2_SHR_S, [code.const(32, 32)])
  return extend(a).op(S.I64X2_MUL, [extend(b)])
}

/** The smallest unsigned word in the low word, its lane number in the next. */
const horizontalMinimum: Op = (_a, b, code) => {
  const keyed = (extend: number, first: number) =>
    b
      .op(extend)
      .op(S.I32X4_SHL, [code.const(16, 32)])
      .or(lanesOf(code, 4, [first, first + 1, first + 2, first + 3]))
  let least = keyed(S.I32X4_EXTEND_LOW_I16X8_U, 0).op(S.I32X4_MIN_U, [keyed(S.I32X4_EXTEND_HIGH_I16X8_U, 4)])
  least = least.op(S.I32X4_MIN_U, [least.shuffle(8, least, [1, 0])])
  least = least.op(S.I32X4_MIN_U, [least.shuffle(4, least, [1, 0, 3, 2])])
  return Vector.low(least.lane(32, 0).rotl(16))
}

const rows: readonly [mnemonic: string, opcode: string, op: Op][] = [
  ['PMULDQ', '28', evenSignedProducts],
  ['PCMPEQQ', '29', direct(S.I64X2_EQ)],
  ['PACKUSDW', '2B', direct(S.I16X8_NARROW_I32X4_U)],
  ['PMINSB', '38', direct(S.I8X16_MIN_S)],
  ['PMINSD', '39', direct(S.I32X4_MIN_S)],
  ['PMINUW', '3A', direct(S.I16X8_MIN_U)],
  ['PMINUD', '3B', direct(S.I32X4_MIN_U)],
  ['PMAXSB', '3C', direct(S.I8X16_MAX_S)],
  ['PMAXSD', '3D', direct(S.I32X4_MAX_S)],
  ['PMAXUW', '3E', direct(S.I16X8_MAX_U)],
  ['PMAXUD', '3F', direct(S.I32X4_MAX_U)],
  ['PMULLD', '40', direct(S.I32X4_MUL)],
  ['PHMINPOSUW', '41', horizontalMinimum],
]

const table = rows.flatMap(([mnemonic, opcode, op]) =>
  packed({ mnemonic, opcode: `0F 38 ${opcode}`, op, xmm: 'sse4_1' }),
)

/** Extensions: the operations that make one vector out of the source's low lanes. */
const extensions: readonly [suffix: string, opcode: number, letter: 'Wq' | 'Wd' | 'Ww', bytes: 'B' | 'W' | 'D'][] = [
  ['BW', 0, 'Wq', 'B'],
  ['BD', 1, 'Wd', 'B'],
  ['BQ', 2, 'Ww', 'B'],
  ['WD', 3, 'Wq', 'W'],
  ['WQ', 4, 'Wd', 'W'],
  ['DQ', 5, 'Wq', 'D'],
]

const extendMoves = extensions.flatMap(([suffix, column, letter]) =>
  ([true, false] as const).map(signed => {
    const steps = {
      B: signed ? S.I16X8_EXTEND_LOW_I8X16_S : S.I16X8_EXTEND_LOW_I8X16_U,
      W: signed ? S.I32X4_EXTEND_LOW_I16X8_S : S.I32X4_EXTEND_LOW_I16X8_U,
      D: signed ? S.I64X2_EXTEND_LOW_I32X4_S : S.I64X2_EXTEND_LOW_I32X4_U,
    }
    const order = 'BWDQ'
    const path = order.slice(order.indexOf(suffix[0]), order.indexOf(suffix[1])) as string
    const width = ({ Wq: 64, Wd: 32, Ww: 16 } as const)[letter]
    return instruction<[VectorOperand, VectorOperand]>(`PMOV${signed ? 'SX' : 'ZX'}${suffix}`, {
      encodings: [`66 0F 38 ${signed ? 2 : 3}${column} /r  Vdq,${letter}`],
      feature: 'sse4_1',
      unit: 'sse',
      execute(_m, destination, source) {
        let value = source.kind === 'memory' ? Vector.low(source.readLow(width)) : source.readVector()
        for (const step of path) value = value.op(steps[step as 'B'])
        destination.writeVector(value)
      },
    })
  }),
)

/** Blends by the top bits of XMM0's lanes; `spread` makes masks of them. */
const variableBlends = (
  [
    ['PBLENDVB', '10', S.I8X16_SHR_S, 7],
    ['BLENDVPS', '14', S.I32X4_SHR_S, 31],
    ['BLENDVPD', '15', S.I64X2_SHR_S, 63],
  ] as const
).map(([mnemonic, opcode, spread, bits]) =>
  instruction<[VectorOperand, VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`66 0F 38 ${opcode} /r  Vdq,Wdq,XMM0`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, selector) {
      const b = source.readVector()
      const mask = selector.readVector().op(spread, [m.const(bits, 32)])
      destination.writeVector(mask.choose(b, destination.readVector()))
    },
  }),
)

/** A mask of all ones in the lanes of `size` bytes whose bit in the immediate is set. */
export function maskByBits(code: Code, size: 2 | 4 | 8, immediate: Int): Vector {
  const known = immediate.constant
  const bits = Array.from({ length: 16 / size }, (_, i) => 1 << i)
  if (known !== undefined) {
    return lanesOf(
      code,
      size,
      bits.map(bit => (Number(known) & bit ? -1 : 0)),
    )
  }
  const numbers = lanesOf(code, size, bits)
  const spread = Vector.splat(immediate.zeroExtend((size * 8) as 16))
  return spread.and(numbers).op({ 2: S.I16X8_EQ, 4: S.I32X4_EQ, 8: S.I64X2_EQ }[size], [numbers])
}

const immediateBlends = (
  [
    ['BLENDPS', '0C', 4],
    ['BLENDPD', '0D', 8],
    ['PBLENDW', '0E', 2],
  ] as const
).map(([mnemonic, opcode, size]) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`66 0F 3A ${opcode} /r ib  Vdq,Wdq,Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, immediate) {
      const b = source.readVector()
      destination.writeVector(maskByBits(m, size, immediate.read()).choose(b, destination.readVector()))
    },
  }),
)

/**
 * ZF: no bit is set in both of two operands; CF: none is set in the second alone; the other flags are clear. Operands by their
 * lanes; `top`: only the top bits of elements count.
 */
export function testBits(
  m: Semantics,
  lanes: readonly (readonly [a: Vector, b: Vector])[],
  top: (value: Vector) => Int = value => value.toInt(S.V128_ANY_TRUE, 1),
): void {
  const none = (values: readonly Vector[]) => top(values.reduce((a, b) => a.or(b))).isZero()
  const no = m.bool(false)
  m.flags.set({
    zero: none(lanes.map(([a, b]) => a.and(b))),
    carry: none(lanes.map(([a, b]) => b.andNot(a))),
    parity: no,
    adjust: no,
    sign: no,
    overflow: no,
  })
}

export const PTEST = instruction<[VectorOperand, VectorOperand]>('PTEST', {
  encodings: ['66 0F 38 17 /r  Vdq,Wdq'],
  feature: 'sse4_1',
  unit: 'sse',
  execute(m, destination, source) {
    const b = source.readVector()
    testBits(m, [[destination.readVector(), b]])
  },
})

/** Lanes out to a general register or memory. */
const extracts = (
  [
    ['PEXTRB', '14', 8, 'Mb'],
    ['PEXTRW', '15', 16, 'Mw'],
    ['EXTRACTPS', '17', 32, 'Md'],
  ] as const
).map(([mnemonic, opcode, width, memory]) =>
  instruction<[Operand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`66 0F 3A ${opcode} /r ib reg  Rd,Vdq,Ib`, `66 0F 3A ${opcode} /r ib mem  ${memory},Vdq,Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, index) {
      const value = extractLane(m, source.readVector(), index.read(), width)
      destination.write(value.zeroExtend(destination.width))
    },
  }),
)

/** PEXTRQ is PEXTRD with REX.W. */
const wideExtracts = (
  [
    ['PEXTRD', 'W0', 'Ed', 32],
    ['PEXTRQ', 'W1', 'Eq', 64],
  ] as const
).map(([mnemonic, rexW, letter, width]) =>
  instruction<[Operand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`66 ${rexW} 0F 3A 16 /r ib  ${letter},Vdq,Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, index) {
      destination.write(extractLane(m, source.readVector(), index.read(), width))
    },
  }),
)

export const PINSRB = instruction<[VectorOperand, Operand, Operand]>('PINSRB', {
  encodings: ['66 0F 3A 20 /r ib reg  Vdq,Rd,Ib', '66 0F 3A 20 /r ib mem  Vdq,Mb,Ib'],
  feature: 'sse4_1',
  unit: 'sse',
  execute(m, destination, source, index) {
    const value = source.read().truncate(8)
    destination.writeVector(insertLane(m, destination.readVector(), index.read(), value))
  },
})

/** PINSRQ is PINSRD with REX.W. */
const wideInserts = (
  [
    ['PINSRD', 'W0', 'Ed'],
    ['PINSRQ', 'W1', 'Eq'],
  ] as const
).map(([mnemonic, rexW, letter]) =>
  instruction<[VectorOperand, Operand, Operand]>(mnemonic, {
    encodings: [`66 ${rexW} 0F 3A 22 /r ib  Vdq,${letter},Ib`],
    feature: 'sse4_1',
    unit: 'sse',
    execute(m, destination, source, index) {
      const value = source.read()
      destination.writeVector(insertLane(m, destination.readVector(), index.read(), value))
    },
  }),
)

/** Immediate: bits 7–6 the source lane (registers only), 5–4 the destination lane, 3–0 the lanes to clear. */
export const INSERTPS = instruction<[VectorOperand, VectorOperand, Operand]>('INSERTPS', {
  encodings: ['66 0F 3A 21 /r ib  Vdq,Wd,Ib'],
  feature: 'sse4_1',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const imm = immediate.read()
    const value = source.kind === 'memory' ? source.readLow(32) : extractLane(m, source.readVector(), imm.shr(6), 32)
    const inserted = insertLane(m, destination.readVector(), imm.shr(4).and(3), value)
    destination.writeVector(inserted.andNot(maskByBits(m, 4, imm.and(15))))
  },
})

/** Eight sums of four absolute differences: bytes of `a` from 4·imm[2] on, against four of `b` from 4·imm[1:0]. */
const multipleSums = routine('mpsadbw', [128, 128, 32], 128, (code, a, b, immediate) => {
  const first = immediate.bits(2, 1).shl(2)
  const block = immediate.bits(0, 2).shl(2)
  let sum = splatOf(code, 1, 0)
  for (let k = 0; k < 4; k++) {
    const window = bytesFrom(code, a, first.add(k).truncate(8)).op(S.I16X8_EXTEND_LOW_I8X16_U)
    const one = b.op(S.I8X16_SWIZZLE, [Vector.splat(block.add(k).truncate(8))]).op(S.I16X8_EXTEND_LOW_I8X16_U)
    sum = sum.op(S.I16X8_ADD, [window.op(S.I16X8_SUB, [one]).op(S.I16X8_ABS)])
  }
  return sum
})

export const MPSADBW = instruction<[VectorOperand, VectorOperand, Operand]>('MPSADBW', {
  encodings: ['66 0F 3A 42 /r ib  Vdq,Wdq,Ib'],
  feature: 'sse4_1',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const b = source.readVector()
    const a = destination.readVector()
    destination.writeVector(m.callVector(multipleSums, a, b, immediate.read().zeroExtend(32)))
  },
})

/** Of SSE4.2, but a row like the others. */
export const PCMPGTQ = packed({ mnemonic: 'PCMPGTQ', opcode: '0F 38 37', op: direct(S.I64X2_GT_S), xmm: 'sse4_2' })

export const instructions: readonly Instruction[] = [
  ...table,
  ...extendMoves,
  ...variableBlends,
  ...immediateBlends,
  PTEST,
  ...extracts,
  ...wideExtracts,
  PINSRB,
  ...wideInserts,
  INSERTPS,
  MPSADBW,
  ...PCMPGTQ,
]
