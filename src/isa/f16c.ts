/** F16C: conversions between half and single precision (SDM vol. 1, 14.4; vol. 2, VCVTPH2PS, VCVTPS2PH). */
import { f32ToF16, raiseInvalid } from '../float/half.ts'
import { Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type Semantics, type VectorOperand } from './semantics.ts'
import { splatOf } from './simd-forms.ts'
import { allTogether, lanesTogether } from './sse-float-paths.ts'
import { writeXmm, writeYmm } from './vex.ts'

/** Halves in the low words of doublewords as singles: exact, denormals too, whatever MXCSR says; signalling NaNs become quiet. */
function toSingles(code: Code, halves: Vector): { singles: Vector; signalling: Vector } {
  const sign = halves.and(splatOf(code, 4, 0x8000)).op(S.I32X4_SHL, [code.const(16, 32)])
  const magnitude = halves.and(splatOf(code, 4, 0x7fff))
  // With the bits in place the number is too small by 2^112; infinities and NaNs get the rest of their exponent.
  const scaled = magnitude.op(S.I32X4_SHL, [code.const(13, 32)]).op(S.F32X4_MUL, [splatOf(code, 4, 0x77800000)])
  const special = magnitude.op(S.I32X4_GT_S, [splatOf(code, 4, 0x7bff)]).and(splatOf(code, 4, 0x7f800000))
  const nan = magnitude.op(S.I32X4_GT_S, [splatOf(code, 4, 0x7c00)])
  const quiet = nan.and(splatOf(code, 4, 0x00400000))
  const signalling = splatOf(code, 4, 0x7e00).op(S.I32X4_GT_S, [magnitude]).and(nan)
  return { singles: scaled.or(special).or(quiet).or(sign), signalling }
}

/** The words of a vector from `first` on as doublewords. */
const words = (value: Vector, high: boolean): Vector =>
  value.op(high ? S.I32X4_EXTEND_HIGH_I16X8_U : S.I32X4_EXTEND_LOW_I16X8_U)

const fromHalves = ([false, true] as const).map(wide =>
  instruction<[VectorOperand, VectorOperand]>('VCVTPH2PS', {
    encodings: [wide ? 'VEX.256.66.0F38.W0 13 /r  Vqq,Wdq' : 'VEX.128.66.0F38.W0 13 /r  Vdq,Wq'],
    feature: 'f16c',
    unit: 'avx',
    execute(m, destination, source) {
      const value = wide ? source.readVector(true) : Vector.low(source.readLow(64))
      const low = toSingles(m, words(value, false))
      const high = wide ? toSingles(m, words(value, true)) : low
      const signalling = wide ? low.signalling.or(high.signalling) : low.signalling
      const results = [m.vectorVariable(low.singles).value, m.vectorVariable(high.singles).value] as const
      m.if(signalling.toInt(S.V128_ANY_TRUE, 1), () => {
        m.call(raiseInvalid)
        m.exceptionCheck()
      })
      if (wide) writeYmm(destination, results[0], results[1])
      else writeXmm(m, destination, results[0])
    },
  }),
)

/** Four singles to halves in the low 64 bits; bits 1 to 0 of the control are the mode, bit 2 takes MXCSR's. */
const toHalves = routine('f32x4ToF16', [128, 32], 128, (code, value, control) => {
  const result = code.vectorVariable(splatOf(code, 1, 0))
  allTogether(code, () => {
    for (let i = 0; i < 4; i++) {
      const half = code.call(f32ToF16, value.lane(32, i), control)
      result.value = result.value.withLane(i, half)
    }
  })
  return result.value
})

const toHalfInstructions = ([false, true] as const).map(wide =>
  instruction<[VectorOperand, VectorOperand, Operand]>('VCVTPS2PH', {
    encodings: [wide ? 'VEX.256.66.0F3A.W0 1D /r ib  Wdq,Vqq,Ib' : 'VEX.128.66.0F3A.W0 1D /r ib  Wq,Vdq,Ib'],
    feature: 'f16c',
    unit: 'avx',
    execute(m: Semantics, destination, source, immediate) {
      const control = immediate.read().zeroExtend(32)
      // What cannot be written raises no floating-point exception.
      destination.probeWrite(wide ? 16 : 8)
      const convert = (value: Vector) => m.callVector(toHalves, value, control)
      if (!wide) {
        const result = m.vectorVariable(convert(source.readVector())).value
        m.exceptionCheck()
        if (destination.kind === 'memory') destination.writeLow(result.lane(64, 0))
        else writeXmm(m, destination, result)
        return
      }
      const [low, high] = [m.vectorVariable(source.readVector()), m.vectorVariable(source.upper.readVector())]
      lanesTogether(m, () => {
        for (const half of [low, high]) {
          half.value = convert(half.value)
          m.exceptionCheck()
        }
      })
      const result = low.value.shuffle(8, high.value, [0, 2])
      if (destination.kind === 'memory') destination.writeVector(result, true)
      else writeXmm(m, destination, result)
    },
  }),
)

export const instructions: readonly Instruction[] = [...fromHalves, ...toHalfInstructions]
