/** Moves to, from and between MMX and XMM registers (SDM vol. 2, LDDQU to MOVUPS). */
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import type { MemoryOperand, Operand, VectorOperand } from './semantics.ts'
import { needOsfxsr } from './simd-forms.ts'

/** 128 bits whole: mnemonic, prefix and opcode to load and to store, feature, whether memory may be unaligned. */
export const whole: readonly [mnemonic: string, load: string, store: string, feature: Feature, unaligned: boolean][] = [
  ['MOVUPS', 'NP 0F 10', 'NP 0F 11', 'sse', true],
  ['MOVUPD', '66 0F 10', '66 0F 11', 'sse2', true],
  ['MOVAPS', 'NP 0F 28', 'NP 0F 29', 'sse', false],
  ['MOVAPD', '66 0F 28', '66 0F 29', 'sse2', false],
  ['MOVDQA', '66 0F 6F', '66 0F 7F', 'sse2', false],
  ['MOVDQU', 'F3 0F 6F', 'F3 0F 7F', 'sse2', true],
]

const wholeMoves = whole.map(([mnemonic, load, store, feature, unaligned]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${load} /r  Vdq,Wdq`, `${store} /r  Wdq,Vdq`],
    feature,
    unit: 'sse',
    execute(m, destination, source) {
      destination.writeVector(source.readVector(unaligned), unaligned)
      m.magnitudes?.copy(destination, source)
      for (const width of [32, 64] as const) {
        for (const all of [true, false]) if (m.isSettled(source, width, all)) m.settle(destination, width, all)
      }
    },
  }),
)

/** Aligned 128 bits past the caches, to memory or from it. */
const nonTemporal = (
  [
    ['MOVNTPS', 'NP 0F 2B /r mem  Mdq,Vdq', 'sse'],
    ['MOVNTPD', '66 0F 2B /r mem  Mdq,Vdq', 'sse2'],
    ['MOVNTDQ', '66 0F E7 /r mem  Mdq,Vdq', 'sse2'],
  ] as const
).map(([mnemonic, encoding, feature]) =>
  instruction<[MemoryOperand, VectorOperand]>(mnemonic, {
    encodings: [encoding],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      destination.writeVector(source.readVector(), true)
    },
  }),
)

export const MOVNTDQA = instruction<[VectorOperand, MemoryOperand]>('MOVNTDQA', {
  encodings: ['66 0F 38 2A /r mem  Vdq,Mdq'],
  feature: 'sse4_1',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeVector(source.readVector(true))
  },
})

export const LDDQU = instruction<[VectorOperand, MemoryOperand]>('LDDQU', {
  encodings: ['F2 0F F0 /r mem  Vdq,Mdq'],
  feature: 'pni',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeVector(source.readVector(false))
  },
})

export const MOVNTQ = instruction<[MemoryOperand, VectorOperand]>('MOVNTQ', {
  encodings: ['NP 0F E7 /r mem  Mq,Pq'],
  feature: 'sse',
  unit: 'mmx',
  execute(_m, destination, source) {
    destination.write(source.readLow(64))
  },
})

/** Scalars: a load from memory clears the rest of the register, a move between registers keeps it. */
const scalar = (mnemonic: string, prefix: string, feature: Feature, width: 32 | 64, letter: string) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${prefix} 0F 10 /r  Vdq,${letter}`, `${prefix} 0F 11 /r  ${letter},Vdq`],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      const value = source.readLow(width)
      if (source.kind === 'memory') destination.writeVector(Vector.low(value))
      else destination.writeLow(value)
    },
  })

export const MOVSS = scalar('MOVSS', 'F3', 'sse', 32, 'Wd')
export const MOVSD = scalar('MOVSD', 'F2', 'sse2', 64, 'Wq')

/** Half of a register from or to memory: prefix and opcode to load; to store it is one more. */
const halves: readonly [mnemonic: string, load: string, store: string, feature: Feature, half: 0 | 1][] = [
  ['MOVLPS', 'NP 0F 12', 'NP 0F 13', 'sse', 0],
  ['MOVLPD', '66 0F 12', '66 0F 13', 'sse2', 0],
  ['MOVHPS', 'NP 0F 16', 'NP 0F 17', 'sse', 1],
  ['MOVHPD', '66 0F 16', '66 0F 17', 'sse2', 1],
]

const halfMoves = halves.flatMap(([mnemonic, load, store, feature, half]) => [
  instruction<[VectorOperand, MemoryOperand]>(mnemonic, {
    encodings: [`${load} /r mem  Vdq,Mq`],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      destination.writeHalf(half, source.read())
    },
  }),
  instruction<[MemoryOperand, VectorOperand]>(mnemonic, {
    encodings: [`${store} /r mem  Mq,Vdq`],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      destination.write(source.readHalf(half))
    },
  }),
])

export const MOVHLPS = instruction<[VectorOperand, VectorOperand]>('MOVHLPS', {
  encodings: ['NP 0F 12 /r reg  Vdq,Udq'],
  feature: 'sse',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeHalf(0, source.readHalf(1))
  },
})

export const MOVLHPS = instruction<[VectorOperand, VectorOperand]>('MOVLHPS', {
  encodings: ['NP 0F 16 /r reg  Vdq,Udq'],
  feature: 'sse',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeHalf(1, source.readHalf(0))
  },
})

/** MOVD, and MOVQ with REX.W, between general and MMX registers. */
export const MOVD_MMX = instruction<[VectorOperand, Operand]>('MOVD', {
  encodings: ['NP 0F 6E /r  Pq,Ey'],
  feature: 'mmx',
  unit: 'mmx',
  execute(_m, destination, source) {
    destination.writeLow(source.read().zeroExtend(64))
  },
})

export const MOVD_FROM_MMX = instruction<[Operand, VectorOperand]>('MOVD', {
  encodings: ['NP 0F 7E /r  Ey,Pq'],
  feature: 'mmx',
  unit: 'mmx',
  execute(_m, destination, source) {
    destination.write(source.readLow(64).resize(destination.width))
  },
})

/** MOVD, and MOVQ with REX.W, between general and XMM registers. */
export const MOVD_XMM = instruction<[VectorOperand, Operand]>('MOVD', {
  encodings: ['66 0F 6E /r  Vdq,Ey'],
  feature: 'sse2',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeVector(Vector.low(source.read()))
  },
})

export const MOVD_FROM_XMM = instruction<[Operand, VectorOperand]>('MOVD', {
  encodings: ['66 0F 7E /r  Ey,Vdq'],
  feature: 'sse2',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.write(source.readLow(destination.width))
  },
})

export const MOVQ_MMX = instruction<[VectorOperand, VectorOperand]>('MOVQ', {
  encodings: ['NP 0F 6F /r  Pq,Qq', 'NP 0F 7F /r  Qq,Pq'],
  feature: 'mmx',
  unit: 'mmx',
  execute(_m, destination, source) {
    destination.writeLow(source.readLow(64))
  },
})

/** 64 bits; a register's upper half is cleared. */
export const MOVQ_XMM = instruction<[VectorOperand, VectorOperand]>('MOVQ', {
  encodings: ['F3 0F 7E /r  Vdq,Wq', '66 0F D6 /r  Wq,Vdq'],
  feature: 'sse2',
  unit: 'sse',
  execute(_m, destination, source) {
    const value = source.readLow(64)
    if (destination.kind === 'register') destination.writeVector(Vector.low(value))
    else destination.writeLow(value)
  },
})

export const MOVQ2DQ = instruction<[VectorOperand, VectorOperand]>('MOVQ2DQ', {
  encodings: ['F3 0F D6 /r reg  Vdq,Nq'],
  feature: 'sse2',
  unit: 'mmx',
  execute(m, destination, source) {
    needOsfxsr(m)
    destination.writeVector(Vector.low(source.readLow(64)))
  },
})

export const MOVDQ2Q = instruction<[VectorOperand, VectorOperand]>('MOVDQ2Q', {
  encodings: ['F2 0F D6 /r reg  Pq,Udq'],
  feature: 'sse2',
  unit: 'mmx',
  execute(m, destination, source) {
    needOsfxsr(m)
    destination.writeLow(source.readLow(64))
  },
})

/** The lanes' signs as bits of a general register. */
const masks: readonly [mnemonic: string, encoding: string, feature: Feature, op: number][] = [
  ['MOVMSKPS', 'NP 0F 50', 'sse', S.I32X4_BITMASK],
  ['MOVMSKPD', '66 0F 50', 'sse2', S.I64X2_BITMASK],
  ['PMOVMSKB', '66 0F D7', 'sse2', S.I8X16_BITMASK],
]

const maskMoves = masks.map(([mnemonic, encoding, feature, op]) =>
  instruction<[Operand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r reg  Gd,Udq`],
    feature,
    unit: 'sse',
    execute(_m, destination, source) {
      destination.write(source.readVector().toInt(op, 32))
    },
  }),
)

export const PMOVMSKB_MMX = instruction<[Operand, VectorOperand]>('PMOVMSKB', {
  encodings: ['NP 0F D7 /r reg  Gd,Nq'],
  feature: 'sse',
  unit: 'mmx',
  execute(_m, destination, source) {
    destination.write(Vector.low(source.readLow(64)).toInt(S.I8X16_BITMASK, 32))
  },
})

/** Copies of some lanes over others. */
const duplicates: readonly [mnemonic: string, encoding: string, lanes: readonly number[]][] = [
  ['MOVSLDUP', 'F3 0F 12', [0, 0, 2, 2]],
  ['MOVSHDUP', 'F3 0F 16', [1, 1, 3, 3]],
]

const duplicateMoves = duplicates.map(([mnemonic, encoding, lanes]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`${encoding} /r  Vdq,Wdq`],
    feature: 'pni',
    unit: 'sse',
    execute(_m, destination, source) {
      const value = source.readVector()
      destination.writeVector(value.shuffle(4, value, lanes))
    },
  }),
)

export const MOVDDUP = instruction<[VectorOperand, VectorOperand]>('MOVDDUP', {
  encodings: ['F2 0F 12 /r  Vdq,Wq'],
  feature: 'pni',
  unit: 'sse',
  execute(_m, destination, source) {
    destination.writeVector(Vector.splat(source.readLow(64)))
  },
})

export const instructions: readonly Instruction[] = [
  ...wholeMoves,
  ...nonTemporal,
  MOVNTDQA,
  LDDQU,
  MOVNTQ,
  MOVSS,
  MOVSD,
  ...halfMoves,
  MOVHLPS,
  MOVLHPS,
  MOVD_MMX,
  MOVD_FROM_MMX,
  MOVD_XMM,
  MOVD_FROM_XMM,
  MOVQ_MMX,
  MOVQ_XMM,
  MOVQ2DQ,
  MOVDQ2Q,
  ...maskMoves,
  PMOVMSKB_MMX,
  ...duplicateMoves,
  MOVDDUP,
]
