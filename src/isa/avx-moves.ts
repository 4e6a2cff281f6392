/** AVX's and AVX2's moves: whole registers, masked elements, broadcasts, 128-bit lanes, VZEROALL (SDM vol. 2). */
import { F } from '../cpu/state.ts'
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import type { MemoryOperand, Operand, Semantics, VectorOperand } from './semantics.ts'
import { whole } from './sse-moves.ts'
import { readYmm, writeXmm, writeYmm, zeroVector } from './vex.ts'

/** Moves of all of a register, both ways; `aligned`: memory on a multiple of its size, else #GP(0). */
const wholeMove = (mnemonic: string, encodings: string[], aligned: boolean, wide: boolean, feature: Feature = 'avx') =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: encodings.map(encoding => `VEX.${wide ? 256 : 128}.${encoding}`),
    feature,
    unit: 'avx',
    execute(m, destination, source) {
      const bytes = wide ? 32 : 16
      if (aligned) {
        source.requireAligned(bytes)
        destination.requireAligned(bytes)
      }
      if (!wide) {
        const value = source.readVector(true)
        if (destination.kind === 'register') writeXmm(m, destination, value)
        else destination.writeVector(value, true)
        return
      }
      const [low, high] = readYmm(source)
      destination.probeWrite(bytes)
      destination.writeVector(low, true)
      destination.upper.writeVector(high, true)
    },
  })

/** The bytes before an opcode in VEX's words. */
const vexBytes = (legacy: string): string => {
  const [prefix, , opcode] = legacy.split(' ')
  return `${prefix === 'NP' ? '' : `${prefix}.`}0F.WIG ${opcode}`
}

const wholeMoves = [false, true].flatMap(wide => [
  ...whole.map(([mnemonic, load, store, , unaligned]) =>
    wholeMove(`V${mnemonic}`, [`${vexBytes(load)} /r  Vx,Wx`, `${vexBytes(store)} /r  Wx,Vx`], !unaligned, wide),
  ),
  wholeMove('VMOVNTPS', ['0F.WIG 2B /r mem  Wx,Vx'], true, wide),
  wholeMove('VMOVNTPD', ['66.0F.WIG 2B /r mem  Wx,Vx'], true, wide),
  wholeMove('VMOVNTDQ', ['66.0F.WIG E7 /r mem  Wx,Vx'], true, wide),
  wholeMove('VMOVNTDQA', ['66.0F38.WIG 2A /r mem  Vx,Wx'], true, wide, wide ? 'avx2' : 'avx'),
  wholeMove('VLDDQU', ['F2.0F.WIG F0 /r mem  Vx,Wx'], false, wide),
])

/** Puts a vector (both halves of a YMM register, or XMM) into a register. */
function writeBoth(m: Semantics, destination: VectorOperand, wide: boolean, value: Vector): void {
  if (wide) writeYmm(destination, value, value)
  else writeXmm(m, destination, value)
}

const broadcast = (
  mnemonic: string,
  fields: string,
  source: string,
  width: 8 | 16 | 32 | 64,
  wide: boolean,
  feature: Feature,
) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`VEX.${wide ? 256 : 128}.66.0F38.W0 ${fields}  Vx,${source}`],
    feature,
    unit: 'avx',
    execute(m, destination, from) {
      writeBoth(m, destination, wide, Vector.splat(from.readLow(width)))
    },
  })

const broadcasts = [
  ...[false, true].flatMap(wide => [
    broadcast('VBROADCASTSS', '18 /r mem', 'Wd', 32, wide, 'avx'),
    broadcast('VBROADCASTSS', '18 /r reg', 'Wd', 32, wide, 'avx2'),
    broadcast('VPBROADCASTB', '78 /r', 'Wb', 8, wide, 'avx2'),
    broadcast('VPBROADCASTW', '79 /r', 'Ww', 16, wide, 'avx2'),
    broadcast('VPBROADCASTD', '58 /r', 'Wd', 32, wide, 'avx2'),
    broadcast('VPBROADCASTQ', '59 /r', 'Wq', 64, wide, 'avx2'),
  ]),
  broadcast('VBROADCASTSD', '19 /r mem', 'Wq', 64, true, 'avx'),
  broadcast('VBROADCASTSD', '19 /r reg', 'Wq', 64, true, 'avx2'),
]

/** The instructions on 128-bit lanes come twice, for numbers and for integers. */
const twice = <T>(make: (letter: 'F' | 'I', feature: Feature) => T): T[] => [make('F', 'avx'), make('I', 'avx2')]

const laneBroadcasts = twice((letter, feature) =>
  instruction<[VectorOperand, VectorOperand]>(`VBROADCAST${letter}128`, {
    encodings: [`VEX.256.66.0F38.W0 ${letter === 'F' ? '1A' : '5A'} /r mem  Vqq,Wdq`],
    feature,
    unit: 'avx',
    execute(_m, destination, source) {
      const value = source.readVector(true)
      writeYmm(destination, value, value)
    },
  }),
)

/** One of two vectors, by a truth value. */
function either(condition: Int, yes: Vector, no: Vector): Vector {
  const known = condition.constant
  if (known !== undefined) return known ? yes : no
  return Vector.splat(condition.zeroExtend(32).neg()).choose(yes, no)
}

const extractLanes = twice((letter, feature) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(`VEXTRACT${letter}128`, {
    encodings: [`VEX.256.66.0F3A.W0 ${letter === 'F' ? '19' : '39'} /r ib  Wdq,Vqq,Ib`],
    feature,
    unit: 'avx',
    execute(m, destination, source, immediate) {
      const [low, high] = readYmm(source)
      const value = either(immediate.read().bit(0), high, low)
      if (destination.kind === 'register') writeXmm(m, destination, value)
      else destination.writeVector(value, true)
    },
  }),
)

const insertLanes = twice((letter, feature) =>
  instruction<[VectorOperand, VectorOperand, VectorOperand, Operand]>(`VINSERT${letter}128`, {
    encodings: [`VEX.256.66.0F3A.W0 ${letter === 'F' ? '18' : '38'} /r ib  Vqq,Hqq,Wdq,Ib`],
    feature,
    unit: 'avx',
    execute(_m, destination, first, second, immediate) {
      const value = second.readVector(true)
      const [low, high] = readYmm(first)
      const upper = immediate.read().bit(0)
      writeYmm(destination, either(upper, low, value), either(upper, value, high))
    },
  }),
)

/** Each lane is one of four, by two bits, or zero, by the bit two further up. */
const permuteLanes = twice((letter, feature) =>
  instruction<[VectorOperand, VectorOperand, VectorOperand, Operand]>(`VPERM2${letter}128`, {
    encodings: [`VEX.256.66.0F3A.W0 ${letter === 'F' ? '06' : '46'} /r ib  Vqq,Hqq,Wqq,Ib`],
    feature,
    unit: 'avx',
    execute(m, destination, first, second, immediate) {
      const [c, d] = readYmm(second)
      const [a, b] = readYmm(first)
      const lane = (control: Int): Vector => {
        const chosen = either(control.bit(1), either(control.bit(0), d, c), either(control.bit(0), b, a))
        return either(control.bit(3), zeroVector(m), chosen)
      }
      const imm = immediate.read()
      writeYmm(destination, lane(imm), lane(imm.shr(4)))
    },
  }),
)

/** Bits of the elements' signs of a register, lowest element first. */
function signs(mask: VectorOperand, width: 32 | 64, wide: boolean): Int {
  const op = width === 32 ? S.I32X4_BITMASK : S.I64X2_BITMASK
  const low = mask.readVector().toInt(op, 32)
  return wide
    ? low.or(
        mask.upper
          .readVector()
          .toInt(op, 32)
          .shl(128 / width),
      )
    : low
}

/** Elements side by side in the scratch words, to be reached by number. */
const buffer = (width: 32 | 64) => ({ ...F.scratch, stride: width / 8 })
const BUFFER = { ...F.scratch, type: 'v128', stride: 16 } as const

/** Does something with each element whose bit is set, by its number. */
function eachElement(m: Semantics, bits: Int, body: (index: Int) => void): void {
  const rest = m.variable(32, bits)
  m.while(
    () => rest.value.isNonZero(),
    () => {
      const index = m.variable(32, rest.value.ctz()).value
      rest.value = rest.value.and(rest.value.sub(1))
      body(index)
    },
  )
}

const elementAt = (memory: MemoryOperand, index: Int, width: 32 | 64): MemoryOperand =>
  memory.at(index.shl(width === 32 ? 2 : 3), width)

/** Elements whose mask has the top bit set; the others become zero, and their memory is not touched. */
const maskedLoad = (mnemonic: string, opcode: string, w: string, width: 32 | 64, wide: boolean, feature: Feature) =>
  instruction<[VectorOperand, VectorOperand, MemoryOperand]>(mnemonic, {
    encodings: [`VEX.${wide ? 256 : 128}.66.0F38.${w} ${opcode} /r  Vx,Hx,Mx`],
    feature,
    unit: 'avx',
    execute(m, destination, mask, source) {
      const bits = m.variable(32, signs(mask, width, wide)).value
      const low = m.vectorVariable(zeroVector(m))
      const high = m.vectorVariable(zeroVector(m))
      const all = 2 ** ((wide ? 256 : 128) / width) - 1
      m.if(
        bits.eq(all),
        () => {
          low.value = source.readVector()
          if (wide) high.value = source.at(16).readVector()
        },
        () => {
          m.setVector(BUFFER, zeroVector(m), 0)
          if (wide) m.setVector(BUFFER, zeroVector(m), 1)
          eachElement(m, bits, index => {
            m.setPart(buffer(width), 0, elementAt(source, index, width).read(), index)
          })
          low.value = m.getVector(BUFFER, 0)
          if (wide) high.value = m.getVector(BUFFER, 1)
        },
      )
      if (wide) writeYmm(destination, low.value, high.value)
      else writeXmm(m, destination, low.value)
    },
  })

/** Elements whose mask has the top bit set go to memory: all are checked before the first is written. */
const maskedStore = (mnemonic: string, opcode: string, w: string, width: 32 | 64, wide: boolean, feature: Feature) =>
  instruction<[MemoryOperand, VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`VEX.${wide ? 256 : 128}.66.0F38.${w} ${opcode} /r  Mx,Hx,Vx`],
    feature,
    unit: 'avx',
    execute(m, destination, mask, source) {
      const bits = m.variable(32, signs(mask, width, wide)).value
      const bytes = wide ? 32 : 16
      m.if(
        bits.eq(2 ** ((bytes * 8) / width) - 1),
        () => {
          const [low, high] = [source.readVector(), source.upper.readVector()]
          destination.probeWrite(bytes)
          destination.writeVector(low)
          if (wide) destination.at(16).writeVector(high)
        },
        () => {
          eachElement(m, bits, index => elementAt(destination, index, width).probeWrite(width / 8))
          m.setVector(BUFFER, source.readVector(), 0)
          if (wide) m.setVector(BUFFER, source.upper.readVector(), 1)
          eachElement(m, bits, index => {
            elementAt(destination, index, width).write(m.getPart(buffer(width), 0, width, index))
          })
        },
      )
    },
  })

const maskedMoves = [false, true].flatMap(wide =>
  (
    [
      ['VMASKMOVPS', '2C', '2E', 'W0', 32, 'avx'],
      ['VMASKMOVPD', '2D', '2F', 'W0', 64, 'avx'],
      ['VPMASKMOVD', '8C', '8E', 'W0', 32, 'avx2'],
      ['VPMASKMOVQ', '8C', '8E', 'W1', 64, 'avx2'],
    ] as const
  ).flatMap(([mnemonic, load, store, w, width, feature]) => [
    maskedLoad(mnemonic, load, w, width, wide, feature),
    maskedStore(mnemonic, store, w, width, wide, feature),
  ]),
)

/** Clears the YMM registers that the mode has, or their upper halves. */
const clear = (mnemonic: string, length: 128 | 256) =>
  instruction<[]>(mnemonic, {
    encodings: [`VEX.${length}.0F.WIG 77`],
    feature: 'avx',
    unit: 'avx',
    execute(m) {
      const zero = zeroVector(m)
      for (let i = 0; i < (m.context.mode === 'long' ? 16 : 8); i++) {
        const register = m.xmm(i)
        if (length === 256) register.writeVector(zero)
        register.upper.writeVector(zero)
      }
    },
  })

export const instructions: readonly Instruction[] = [
  ...wholeMoves,
  ...broadcasts,
  ...laneBroadcasts,
  ...extractLanes,
  ...insertLanes,
  ...permuteLanes,
  ...maskedMoves,
  clear('VZEROUPPER', 128),
  clear('VZEROALL', 256),
]
