/**
 * The two ways of SSE arithmetic: WebAssembly's own operations where nobody can tell the difference (see src/float/sse.ts),
 * else the exact routines.
 */

import { F } from '../cpu/state.ts'
import { SSE_INSENSITIVE, SSE_SENSITIVE } from '../float/sse.ts'
import type { Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Code, type Routine, routine, type Semantics } from './semantics.ts'
import { splatOf } from './simd-forms.ts'

/** Width of a floating-point lane. */
export type FloatWidth = 32 | 64

/** Per width: the smallest normal number's and infinity's bits, the sign, and WebAssembly's vector operations. */
export const FORMATS = {
  32: {
    bytes: 4,
    smallest: 0x00800000n,
    infinity: 0x7f800000n,
    sign: 0x80000000n,
    abs: S.F32X4_ABS,
    eq: S.F32X4_EQ,
    gt: S.F32X4_GT,
    lt: S.F32X4_LT,
    le: S.F32X4_LE,
    allTrue: S.I32X4_ALL_TRUE,
  },
  64: {
    bytes: 8,
    smallest: 0x0010000000000000n,
    infinity: 0x7ff0000000000000n,
    sign: 0x8000000000000000n,
    abs: S.F64X2_ABS,
    eq: S.F64X2_EQ,
    gt: S.F64X2_GT,
    lt: S.F64X2_LT,
    le: S.F64X2_LE,
    allTrue: S.I64X2_ALL_TRUE,
  },
} as const

/** Whether MXCSR says that results come out as WebAssembly's: to nearest, no flushing, precision masked and its flag set. */
export const insensitive = (code: Code): Int => code.get(F.mxcsr).and(SSE_SENSITIVE).eq(SSE_INSENSITIVE)

/** Whether a number, by its bits, has a magnitude between the smallest normal number and infinity, both excluded. */
export function ordinary(bits: Int): Int {
  const { smallest, infinity } = FORMATS[bits.width as FloatWidth]
  return bits
    .shl(1)
    .sub(2n * smallest + 1n)
    .ltU(2n * (infinity - smallest) - 1n)
}

/** Whether a number is zero. */
export const isZero = (bits: Int): Int => bits.shl(1).isZero()

/** Whether a number is not denormal. */
export function notDenormal(bits: Int): Int {
  const { smallest } = FORMATS[bits.width as FloatWidth]
  return bits
    .shl(1)
    .sub(1)
    .geU(2n * smallest - 1n)
}

/** A mask of the lanes that are {@link ordinary}. */
export function ordinaryLanes(code: Code, width: FloatWidth, vector: Vector): Vector {
  const { bytes, smallest, infinity, abs, gt, lt } = FORMATS[width]
  const magnitude = vector.op(abs)
  const above = magnitude.op(gt, [splatOf(code, bytes, smallest)])
  return above.and(magnitude.op(lt, [splatOf(code, bytes, infinity)]))
}

/** A mask of the lanes that are zero. */
export const zeroLanes = (code: Code, width: FloatWidth, vector: Vector): Vector =>
  vector.op(FORMATS[width].eq, [splatOf(code, 1, 0)])

/** A mask of the lanes that are {@link ordinary} or zero. */
export const ordinaryOrZeroLanes = (code: Code, width: FloatWidth, vector: Vector): Vector =>
  ordinaryLanes(code, width, vector).or(zeroLanes(code, width, vector))

/** Whether all lanes of a mask hold. */
export const allLanes = (width: FloatWidth, mask: Vector): Int => mask.toInt(FORMATS[width].allTrue, 1)

/**
 * What must hold for a quick result: each of the conditions, and of those in a list at least one. They are built where
 * they are tested, so that every one becomes a comparison and a branch.
 */
export type Conditions = readonly ((() => Int) | readonly (() => Int)[])[]

/** Does `slow` unless the conditions hold. */
function unless(m: Semantics, conditions: Conditions, slow: () => void): void {
  m.block(done => {
    m.block(exact => {
      conditions.forEach((condition, i) => {
        if (i < conditions.length - 1 && typeof condition === 'function') m.leave(exact, condition().isZero())
        else if (i < conditions.length - 1) throw new Error('only the last condition may have alternatives')
        else for (const one of typeof condition === 'function' ? [condition] : condition) m.leave(done, one())
      })
    })
    slow()
  })
}

/** A quick result if the conditions hold, else the exact routine's; leaves on an unmasked exception. */
export function eitherWay(m: Semantics, quick: Conditions, fast: Int, exact: Routine, ...args: Int[]): Int {
  const result = m.variable(fast.width, fast)
  unless(m, quick, () => {
    result.value = m.call(exact, ...args)
    m.exceptionCheck()
  })
  return result.value
}

/** {@link eitherWay} for vectors. */
export function eitherVector(
  m: Semantics,
  quick: Conditions,
  fast: Vector,
  exact: Routine,
  ...args: (Int | Vector)[]
): Vector {
  const result = m.vectorVariable(fast)
  unless(m, quick, () => {
    result.value = m.callVector(exact, ...args)
    m.exceptionCheck()
  })
  return result.value
}

/** The flags of MXCSR, and those of exceptions found before computing: IE, DE, ZE. */
const FLAGS = 0x3f
const BEFORE = 0x07

/**
 * Runs the exact routines for all lanes of one instruction. The flags of all are reported; but where an exception that
 * is found before computing is unmasked in any lane, no lane is computed, so that OE, UE and PE do not arise.
 */
export function allTogether(code: Code, lanes: () => void): void {
  const before = code.variable(32, code.get(F.mxcsr))
  code.set(F.mxcsr, before.value.and(0xffffffff & ~FLAGS))
  lanes()
  const raised = code.variable(32, code.get(F.mxcsr).and(FLAGS))
  const stopped = raised.value.and(before.value.shr(7).not()).and(BEFORE).isNonZero()
  code.set(F.mxcsr, before.value.or(stopped.select(raised.value.and(BEFORE), raised.value)))
  code.set(F.simdExceptions, code.get(F.simdExceptions).or(raised.value))
}

/**
 * Both lanes of an instruction of 256 bits, each of which may take the quick way or the exact one: as in
 * {@link allTogether}, an exception found before computing in one keeps the other from being computed.
 */
export function lanesTogether(m: Semantics, lanes: () => void): void {
  const before = m.variable(32, m.get(F.mxcsr))
  m.set(F.simdExceptions, 0)
  m.exceptionsWait = true
  lanes()
  m.exceptionsWait = false
  m.if(m.get(F.fault).isNonZero(), () => {
    const stopped = m.get(F.simdExceptions).and(before.value.shr(7).not()).and(BEFORE).isNonZero()
    const kept = stopped.select(before.value.or(0xffffffff & ~(FLAGS & ~BEFORE)), m.const(-1, 32))
    m.set(F.mxcsr, m.get(F.mxcsr).and(kept))
    m.faultCheck()
  })
}

/** A routine that applies a scalar routine (or one of several, by lane number) of one or two operands to every lane. */
export function lanewise(name: string, width: FloatWidth, operands: 1 | 2, of: (lane: number) => Routine): Routine {
  const body = (code: Code, a: Vector, b: Vector | undefined): Vector => {
    const result = code.vectorVariable(a)
    allTogether(code, () => {
      for (let i = 0; i < 128 / width; i++) {
        const lane = a.lane(width, i)
        const value = b ? code.call(of(i), lane, b.lane(width, i)) : code.call(of(i), lane)
        result.value = result.value.withLane(i, value)
      }
    })
    return result.value
  }
  return operands === 2
    ? routine(name, [128, 128], 128, (code, a, b) => body(code, a, b))
    : routine(name, [128], 128, (code, a) => body(code, a, undefined))
}
