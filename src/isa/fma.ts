/** FMA: multiplication and addition with one rounding (SDM vol. 2, VFMADD132PD to VFNMSUB231SS). */
import { FMA_SIGNS, type FmaKind, fma } from '../float/fma.ts'
import { HOST_FUSES } from '../float/fused.ts'
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Int, type Routine, routine, type Semantics, type VectorOperand } from './semantics.ts'
import { lanesOf as vectorOfLanes } from './simd-forms.ts'
import { allTogether, type FloatWidth, lanesTogether, writePacked, writeScalar, zeroLanes } from './sse-float-paths.ts'
import { Result, readYmm, writeXmm, writeYmm } from './vex.ts'

const hex = (opcode: number): string => opcode.toString(16).toUpperCase()

/** What each lane does, even lanes first. */
interface Kind {
  readonly name: string
  readonly lanes: readonly [even: FmaKind, odd: FmaKind]
  /** The low digit of the opcodes: packed; scalar is one more. */
  readonly opcode: number
  readonly scalar: boolean
}

const same = (name: FmaKind, opcode: number): Kind => ({ name, lanes: [name, name], opcode, scalar: true })
const KINDS: readonly Kind[] = [
  { name: 'MADDSUB', lanes: ['MSUB', 'MADD'], opcode: 6, scalar: false },
  { name: 'MSUBADD', lanes: ['MADD', 'MSUB'], opcode: 7, scalar: false },
  same('MADD', 8),
  same('MSUB', 10),
  same('NMADD', 12),
  same('NMSUB', 14),
]

/** The operands x, y and z of x · y + z by their places: the destination, the register of VEX.vvvv, register or memory. */
const ORDERS: readonly { digits: string; opcode: number; places: readonly [x: number, y: number, z: number] }[] = [
  { digits: '132', opcode: 0x90, places: [0, 2, 1] },
  { digits: '213', opcode: 0xa0, places: [1, 0, 2] },
  { digits: '231', opcode: 0xb0, places: [1, 2, 0] },
]

const WIDTHS = [
  { width: 32, packed: 'PS', scalar: 'SS', w: 'W0', letter: 'Wd' },
  { width: 64, packed: 'PD', scalar: 'SD', w: 'W1', letter: 'Wq' },
] as const

/** The host's multiply-add in all lanes. */
function quickly(code: Code, width: FloatWidth, { lanes }: Kind, x: Vector, y: Vector, z: Vector): Vector {
  const [even, odd] = lanes.map(lane => FMA_SIGNS[lane])
  let addend = z
  if (even.negatesAddend || odd.negatesAddend) {
    const sign = 1n << BigInt(width - 1)
    const signs = Array.from({ length: 128 / width }, (_, i) => ((i & 1 ? odd : even).negatesAddend ? sign : 0n))
    addend = z.xor(vectorOfLanes(code, (width / 8) as 4, signs))
  }
  const [add, subtract] =
    width === 32 ? [S.F32X4_RELAXED_MADD, S.F32X4_RELAXED_NMADD] : [S.F64X2_RELAXED_MADD, S.F64X2_RELAXED_NMADD]
  return x.op(even.negatesProduct ? subtract : add, [y, addend])
}

const packedRoutine = (width: FloatWidth, { name, lanes }: Kind): Routine =>
  routine(`f${width}x${128 / width}${name}`, [128, 128, 128], 128, (code, x, y, z) => {
    const result = code.vectorVariable(x)
    allTogether(code, () => {
      for (let i = 0; i < 128 / width; i++) {
        const value = code.call(fma[width][lanes[i & 1]], x.lane(width, i), y.lane(width, i), z.lane(width, i))
        result.value = result.value.withLane(i, value)
      }
    })
    return result.value
  })

/** Operands by the places that an order gives them. */
const ordered = <T>(all: readonly T[], places: readonly number[]): [x: T, y: T, z: T] =>
  places.map(place => all[place]) as [T, T, T]

const packed = WIDTHS.flatMap(({ width, packed: suffix, w }) =>
  KINDS.flatMap(kind => {
    const exact = packedRoutine(width, kind)
    const lane = (m: Semantics, to: VectorOperand, operands: [Vector, Vector, Vector]) => {
      if (!HOST_FUSES) {
        to.writeVector(m.callVector(exact, ...operands))
        m.exceptionCheck()
        return
      }
      const [x, y] = operands
      const quick = quickly(m, width, kind, ...operands)
      // A sum of zero is exact if the product is zero; else the product may be too small to be told from zero.
      const zeroIsExact = () => zeroLanes(m, width, x).or(zeroLanes(m, width, y))
      writePacked(m, to, width, quick, { zeroIsExact, exact }, operands, [undefined, undefined, undefined])
    }
    return ORDERS.flatMap(({ digits, opcode, places }) =>
      ([128, 256] as const).map(length =>
        instruction<[VectorOperand, VectorOperand, VectorOperand]>(`VF${kind.name}${digits}${suffix}`, {
          encodings: [`VEX.${length}.66.0F38.${w} ${hex(opcode + kind.opcode)} /r  Vx,Hx,Wx`],
          feature: 'fma',
          unit: 'avx',
          execute(m, destination, second, third) {
            const results = [new Result(destination), new Result(destination)]
            if (length === 128) {
              const last = third.readVector(true)
              lane(m, results[0], ordered([destination.readVector(), second.readVector(), last], places))
              writeXmm(m, destination, results[0].readVector())
              return
            }
            const operands = [third, second, destination].map(readYmm).reverse()
            lanesTogether(m, () => {
              for (const n of [0, 1] as const) {
                const all = operands.map(both => both[n])
                lane(m, results[n], ordered(all, places))
              }
            })
            writeYmm(destination, results[0].readVector(), results[1].readVector())
          },
        }),
      ),
    )
  }),
)

const scalar = WIDTHS.flatMap(({ width, scalar: suffix, w, letter }) =>
  KINDS.filter(kind => kind.scalar).flatMap(kind =>
    ORDERS.map(({ digits, opcode, places }) =>
      instruction<[VectorOperand, VectorOperand, VectorOperand]>(`VF${kind.name}${digits}${suffix}`, {
        encodings: [`VEX.LIG.66.0F38.${w} ${hex(opcode + kind.opcode + 1)} /r  Vdq,Hdq,${letter}`],
        feature: 'fma',
        unit: 'avx',
        execute(m, destination, second, third) {
          const result = new Result(destination)
          const last = third.readLow(width)
          const sources = ordered([destination, second, third], places)
          const operands = ordered([destination.readLow(width), second.readLow(width), last], places)
          const exact = fma[width][kind.lanes[0]]
          if (HOST_FUSES) {
            const [x, y, z] = operands.map(Vector.splat) as [Vector, Vector, Vector]
            const extract = width === 32 ? S.F32X4_EXTRACT_LANE : S.F64X2_EXTRACT_LANE
            const quick = quickly(m, width, kind, x, y, z).toFloat(extract, width, Uint8Array.of(0))
            const zero = (bits: Int) => bits.shl(1).isZero()
            const zeroIsExact = () => zero(operands[0]).or(zero(operands[1]))
            writeScalar(m, result, quick, { zeroIsExact, exact }, operands, sources)
          } else {
            result.writeLow(m.call(exact, ...operands))
            m.exceptionCheck()
          }
          writeXmm(m, destination, result.readVector())
        },
      }),
    ),
  ),
)

export const instructions: readonly Instruction[] = [...packed, ...scalar]
