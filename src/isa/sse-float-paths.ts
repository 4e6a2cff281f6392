/**
 * The two ways of SSE arithmetic: WebAssembly's own operations where nobody can tell the difference (see src/float/sse.ts),
 * else the exact routines.
 */

import { F } from '../cpu/state.ts'
import { changeMxcsr, FLOAT_RANGES, MXCSR_DAZ, MXCSR_DE, MXCSR_DM } from '../float/mxcsr.ts'
import type { Label } from '../ir/node.ts'
import { OP_LOAD } from '../ir/node.ts'
import { type Float, Int, isBitsOfFloat, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { I32 } from '../wasm/types.ts'
import { type Code, type Routine, routine, type Semantics, type VectorOperand, type Width } from './semantics.ts'
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

/**
 * Whether MXCSR says that results come out as WebAssembly's where no denormals are about: to nearest, precision masked and its
 * flag set.
 */
export const insensitive = (code: Code): Int => code.getPart(F.floatLimit64, 0, 32).ne(0x80000000)

/** Whether a number, by its bits, has a magnitude between the smallest normal number and infinity, both excluded. */
export function ordinary(bits: Int): Int {
  const { smallest, infinity } = FORMATS[bits.width as FloatWidth]
  return bits
    .shl(1)
    .sub(2n * smallest + 1n)
    .ltU(2n * (infinity - smallest) - 1n)
}

/** The highest 32 bits of a number; of a lane straight from the vector, of what was just loaded from memory. */
export function highest(bits: Int): Int {
  const { op, args, extra, imm, imm2 } = bits.node
  if (bits.width === 64 && op === OP_LOAD && imm === 0x29) {
    return new Int(bits.f, bits.f.load(0x28, I32, (imm2 & 1) as 0 | 1, args[0], (imm2 >>> 1) + 4), 32)
  }
  if (bits.width === 64 && op === 0xfd00 + S.I64X2_EXTRACT_LANE) {
    return new Vector(bits.f, args[0]).lane(32, 2 * (extra as Uint8Array)[0] + 1)
  }
  return (bits.width === 64 ? bits.shr(32) : bits).truncate(32)
}

/** Whether a result, by its bits, is in the range of src/float/mxcsr.ts: WebAssembly's, and no exception to be reported. */
export function inRange(code: Code, bits: Int): Int {
  const { bias, limit } = FLOAT_RANGES[bits.width as FloatWidth]
  return highest(bits)
    .shl(1)
    .add(bias)
    .ltS(code.getPart(limit, 0, 32))
}

/** Leaves if an operand is denormal and that is to be reported, or changes what it counts for. */
export function leaveIfDenormal(m: Code, slow: Label, bits: Int): void {
  const exponent = bits.width === 64 ? 0x7ff00000 : 0x7f800000
  m.if(highest(bits).and(exponent).isZero(), () => m.leave(slow, isZero(bits).isZero()), undefined, 'unlikely')
}

/** Whether two values, just made, are the same because they are made alike. */
export function alike(a: Int, b: Int): boolean {
  const same = (x: Int['node'], y: Int['node']): boolean =>
    x === y ||
    (x.op === y.op &&
      x.imm === y.imm &&
      x.imm2 === y.imm2 &&
      x.args.length === y.args.length &&
      !x.isEffect &&
      String(x.extra) === String(y.extra) &&
      x.args.every((arg, i) => same(arg, y.args[i])))
  return same(a.node, b.node)
}

/** Where an engine takes the checks of several instructions together: whatever turns out wrong later, nothing was done. */
export interface DeferredChecks {
  /**
   * Notes that numbers have to be zero, or in a range in which operations on such numbers are exact where they give zero.
   * @param all all lanes, not only the lowest
   */
  check(vector: Vector, width: FloatWidth, all: boolean): void
  /** The same of an operand. */
  checkOperand(vector: Vector, source: VectorOperand | undefined, width: FloatWidth, all: boolean): void
  /**
   * Notes what an operation's operands have to be, as far as that is not known: of a register whose bounds are, nothing.
   * @returns what is known of the result, which is to be noted as well if it is not tested; undefined where that always is
   */
  operate(
    operation: FloatOperation,
    width: FloatWidth,
    all: boolean,
    operands: readonly (readonly [vector: Vector, source: VectorOperand | undefined])[],
  ): { readonly magnitude: Magnitude; readonly isTested: boolean } | undefined
  /** Notes what is known of a register that was written. */
  setMagnitude(destination: VectorOperand, magnitude: Magnitude, all: boolean): void
  /** Builds what gives up: nothing was done. Operands may be wrong already, so no routine may report exceptions of them. */
  fail(): void
}

/** Operations of arithmetic, as far as the magnitudes of their results go. */
export type FloatOperation = 'add' | 'multiply' | 'divide' | 'root'

/** Where an engine keeps account of the magnitudes of scalar numbers: results of small numbers need no test. */
export interface MagnitudeChecks {
  /** Makes sure that numbers, by their bits, are neither NaN nor infinite nor denormal; leaves otherwise. @returns what all are */
  operands(values: readonly Int[], sources: readonly (VectorOperand | undefined)[]): Magnitude
  /**
   * Makes sure of the operands of an operation.
   * @returns what is known of the result, which is exact then: unless it is not tested and a test says otherwise
   */
  compute(
    operation: FloatOperation,
    values: readonly Int[],
    sources: readonly (VectorOperand | undefined)[],
  ): { readonly magnitude: Magnitude; readonly isTested: boolean }
  /** Makes sure of a result; leaves otherwise. */
  testResult(value: Int): Magnitude
  /** Notes what is known of a register that was written. */
  know(destination: VectorOperand, magnitude: Magnitude): void
  /** Notes that a register that was written has an integer of so many bits. */
  knowInteger(destination: VectorOperand, width: FloatWidth, bits: number): void
  /** Notes that a register was written with what is in another. */
  copy(destination: VectorOperand, source: VectorOperand): void
}

/** What is known of a number: the engine's own. */
export interface Magnitude {
  readonly width: FloatWidth
  readonly low: number
  readonly high: number
  readonly unit: number
}

/** A number's bits in the lowest lane of a vector. */
function vectorOf(bits: Int): Vector {
  const { op, args, extra } = bits.node
  const extract = 0xfd00 + (bits.width === 64 ? S.I64X2_EXTRACT_LANE : S.I32X4_EXTRACT_LANE)
  if (op === extract && (extra as Uint8Array)[0] === 0) return new Vector(bits.f, args[0])
  return Vector.from(bits.asFloat(), bits.width === 64 ? S.F64X2_SPLAT : S.F32X4_SPLAT)
}

/** Notes the checks of one operation's operands and result. */
function checkLater(
  later: DeferredChecks,
  width: FloatWidth,
  all: boolean,
  operands: readonly (readonly [vector: Vector, source: VectorOperand | undefined])[],
  result: Vector,
): void {
  for (const [vector, source] of operands) later.checkOperand(vector, source, width, all)
  later.check(result, width, all)
}

/** A result that is computed in two ways: by WebAssembly, and by a routine for all that is out of the ordinary. */
export interface TwoWays {
  /** Whether a zero that WebAssembly's operation gives for operands without denormals is exact. */
  readonly zeroIsExact: () => Int
  /** The routine for the operands' bits. */
  readonly exact: Routine
  /** What it is, if it is one operation. */
  readonly operation?: FloatOperation
}

/**
 * The result of a scalar operation, written to the low part of a register: WebAssembly's, unless it or one of the
 * operands is out of the ordinary, else the exact routine's; leaves on an unmasked exception.
 * @param sources the operands that `operands` are the low numbers of
 */
export function writeScalar(
  m: Semantics,
  destination: VectorOperand,
  quick: Float,
  { zeroIsExact, exact, operation }: TwoWays,
  operands: readonly Int[],
  sources: readonly VectorOperand[],
): void {
  const { width } = quick
  if (m.magnitudes && operation) {
    writeBounded(m, m.magnitudes, destination, quick, operation, operands, sources)
    return
  }
  const unsettled = operands.filter(
    (operand, i) => !m.isSettled(sources[i], width) && !operands.slice(0, i).some(other => alike(operand, other)),
  )
  const all = m.isSettled(destination, width, true)
  const settle = () => {
    for (const source of sources) if (source.kind === 'register') m.settle(source, width, false)
    m.settle(destination, width, all)
  }
  const later = m.deferred
  if (later) {
    const given = operands.map((operand, i) => [vectorOf(operand), sources[i]] as const)
    const known = operation && later.operate(operation, width, false, given)
    if (known) {
      const result = m.floatVariable(quick)
      const vector = Vector.from(result.value, width === 64 ? S.F64X2_SPLAT : S.F32X4_SPLAT)
      if (!known.isTested) later.check(vector, width, false)
      destination.writeLow(result.value.bits())
      m.settle(destination, width, all)
      later.setMagnitude(destination, known.magnitude, false)
      return
    }
    const vectors = unsettled.map(operand => [vectorOf(operand), sources[operands.indexOf(operand)]] as const)
    const result = m.floatVariable(quick)
    const low = Vector.from(result.value, width === 64 ? S.F64X2_SPLAT : S.F32X4_SPLAT)
    checkLater(later, width, false, vectors, low)
    destination.writeLow(result.value.bits())
    settle()
    return
  }
  const result = m.floatVariable(quick)
  m.block(done => {
    m.block(slow => {
      m.if(inRange(m, result.value.bits()).isZero(), () => {
        m.leave(slow, isZero(result.value.bits()).and(insensitive(m)).and(zeroIsExact()).isZero(), 'unlikely')
      })
      for (const operand of unsettled) leaveIfDenormal(m, slow, operand)
      m.leave(done)
    })
    result.value = m.call(m.settles ? settling(exact) : exact, ...operands).asFloat()
    m.exceptionCheck()
  })
  destination.writeLow(result.value.bits())
  settle()
}

/** {@link writeScalar} where magnitudes are known: a quotient or a root may still be of zero or of a negative number. */
function writeBounded(
  m: Semantics,
  magnitudes: MagnitudeChecks,
  destination: VectorOperand,
  quick: Float,
  operation: FloatOperation,
  operands: readonly Int[],
  sources: readonly VectorOperand[],
): void {
  const { width } = quick
  const { magnitude, isTested } = magnitudes.compute(operation, operands, sources)
  const all = m.isSettled(destination, width, true)
  const result = m.floatVariable(quick)
  const known = isTested ? magnitude : magnitudes.testResult(result.value.bits())
  destination.writeLow(result.value.bits())
  magnitudes.know(destination, known)
  m.settle(destination, width, all)
}

/** Denormals of a vector's lanes, as a mask. */
function denormalLanes(code: Code, width: FloatWidth, vector: Vector): Vector {
  const { bytes, smallest } = FORMATS[width]
  const sign = 1n << BigInt(width - 1)
  const shifted = vector.op(width === 32 ? S.I32X4_ADD : S.I64X2_ADD, [vector])
  const biased = shifted.op(width === 32 ? S.I32X4_ADD : S.I64X2_ADD, [splatOf(code, bytes, sign - 1n)])
  return biased.op(width === 32 ? S.I32X4_LT_S : S.I64X2_LT_S, [splatOf(code, bytes, sign + 2n * smallest - 1n)])
}

/** A mask of the lanes that are in the range of src/float/mxcsr.ts; of doubles only the upper halves of lanes count. */
function inRangeLanes(code: Code, width: FloatWidth, vector: Vector): Vector {
  const { bias, limit } = FLOAT_RANGES[width]
  const biased = vector.op(S.I32X4_ADD, [vector]).op(S.I32X4_ADD, [splatOf(code, 4, BigInt(bias))])
  return biased.op(S.I32X4_LT_S, [code.getVector(limit)])
}

/** The top bits of lanes, and what they are where all are set. */
const topBits = (width: FloatWidth, mask: Vector): Int =>
  mask.toInt(width === 32 ? S.I32X4_BITMASK : S.I64X2_BITMASK, 32)
const allTopBits = (width: FloatWidth): number => (width === 32 ? 15 : 3)

/** {@link TwoWays} of packed operations. */
export interface PackedWays extends Omit<TwoWays, 'zeroIsExact'> {
  readonly zeroIsExact: () => Vector | undefined
}

/** {@link writeScalar} for all lanes; zeroIsExact is a mask of lanes. */
export function writePacked(
  m: Semantics,
  destination: VectorOperand,
  width: FloatWidth,
  quick: Vector,
  { zeroIsExact, exact, operation }: PackedWays,
  operands: readonly Vector[],
  sources: readonly (VectorOperand | undefined)[],
): void {
  const unsettled = operands.filter((_, i) => {
    const source = sources[i]
    return !(source && m.isSettled(source, width, true))
  })
  const result = m.vectorVariable(quick)
  const settle = () => {
    for (const source of sources) if (source?.kind === 'register') m.settle(source, width, true)
    m.settle(destination, width, true)
  }
  const later = m.deferred
  if (later) {
    const given = operands.map((operand, i) => [operand, sources[i]] as const)
    const known = operation && later.operate(operation, width, true, given)
    if (known) {
      if (!known.isTested) later.check(result.value, width, true)
      destination.writeVector(result.value)
      m.settle(destination, width, true)
      later.setMagnitude(destination, known.magnitude, true)
      return
    }
    const vectors = unsettled.map(operand => [operand, sources[operands.indexOf(operand)]] as const)
    checkLater(later, width, true, vectors, result.value)
    destination.writeVector(result.value)
    settle()
    return
  }
  const good = m.vectorVariable(inRangeLanes(m, width, result.value))
  m.block(done => {
    m.block(slow => {
      m.if(topBits(width, good.value).ne(allTopBits(width)), () => {
        m.leave(slow, insensitive(m).isZero(), 'unlikely')
        const exactly = zeroIsExact()
        const zeros = zeroLanes(m, width, result.value)
        const either = good.value.or(exactly ? zeros.and(exactly) : zeros)
        m.leave(slow, topBits(width, either).ne(allTopBits(width)), 'unlikely')
      })
      if (unsettled.length > 0) {
        const denormal = unsettled.map(operand => denormalLanes(m, width, operand)).reduce((a, b) => a.or(b))
        m.leave(slow, topBits(width, denormal).isNonZero(), 'unlikely')
      }
      m.leave(done)
    })
    result.value = m.callVector(m.settles ? settling(exact) : exact, ...operands)
    m.exceptionCheck()
  })
  destination.writeVector(result.value)
  settle()
}

const settlingRoutines = new WeakMap<Routine, Routine>()

/**
 * A routine with F.fault set in the end where an operand or the result is denormal and that matters still, as it does
 * unless the denormal flag is set and masked: what code that counts on settled numbers has to leave for.
 */
function settling(exact: Routine): Routine {
  let made = settlingRoutines.get(exact)
  if (made) return made
  const denormal = (code: Code, value: Int | Vector): Int =>
    value instanceof Vector
      ? topBits(64, denormalLanes(code, 64, value))
          .or(topBits(32, denormalLanes(code, 32, value)))
          .isNonZero()
      : notDenormal(value).isZero()
  const parameters = exact.parameters as (32 | 64 | 128)[]
  made = routine(`${exact.name}Settling`, parameters, exact.result as 128, (code, ...operands) => {
    const values = operands as unknown as (Int | Vector)[]
    const give = <V extends Int | Vector>(result: V): V => {
      const reported = code
        .get(F.mxcsr)
        .and(MXCSR_DE | MXCSR_DM | MXCSR_DAZ)
        .eq(MXCSR_DE | MXCSR_DM)
      const any = [...values, result].map(value => denormal(code, value)).reduce((a, b) => a.or(b))
      code.if(any.and(reported.not()), () => code.set(F.fault, 1))
      return result
    }
    if (exact.result === 128) return give(code.vectorVariable(code.callVector(exact, ...values)).value)
    const result = code.variable(exact.result as Width, code.call(exact, ...values))
    return give(result.value) as never
  })
  settlingRoutines.set(exact, made)
  return made
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
export function unless(m: Semantics, conditions: Conditions, slow: () => void): void {
  const later = m.deferred
  const otherwise = later ? () => later.fail() : slow
  m.block(done => {
    m.block(exact => {
      conditions.forEach((condition, i) => {
        const last = i === conditions.length - 1
        if (!last && typeof condition !== 'function') throw new Error('only the last condition may have alternatives')
        const alternatives = typeof condition === 'function' ? [condition] : condition
        const final = alternatives.length - 1
        for (const one of alternatives.slice(0, final)) m.leave(done, one())
        m.leave(exact, alternatives[final]().isZero(), 'unlikely')
      })
      if (conditions.length > 0) m.leave(done)
    })
    otherwise()
  })
}

/** A quick result if the conditions hold, else the exact routine's; leaves on an unmasked exception. */
export function eitherWay(m: Semantics, quick: Conditions, fast: Int, exact: Routine, ...args: Int[]): Int {
  const slow = () => {
    const result = m.call(exact, ...args)
    m.exceptionCheck()
    return result
  }
  if (isBitsOfFloat(fast)) {
    const result = m.floatVariable(fast.asFloat())
    unless(m, quick, () => {
      result.value = slow().asFloat()
    })
    return result.value.bits()
  }
  const result = m.variable(fast.width, fast)
  unless(m, quick, () => {
    result.value = slow()
  })
  return result.value
}

/**
 * The result of a packed operation that is exact where operands are ordinary or zero: they are checked later where the engine does,
 * else here, and the exact routine does the rest.
 */
export function ofOrdinary(
  m: Semantics,
  width: FloatWidth,
  fast: Vector,
  operands: readonly (readonly [vector: Vector, source: VectorOperand])[],
  exact: Routine,
  ...args: (Int | Vector)[]
): Vector {
  const later = m.deferred
  if (later) {
    for (const [vector, source] of operands) {
      if (!m.isSettled(source, width, true)) later.checkOperand(vector, source, width, true)
    }
    return fast
  }
  const lanes = operands.map(([vector]) => ordinaryOrZeroLanes(m, width, vector)).reduce((a, b) => a.and(b))
  return eitherVector(m, [() => allLanes(width, lanes)], fast, exact, ...args)
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
  // While everything is masked, flags need not be told from those there were.
  const masked = before.value.and(FLAGS << 7).eq(FLAGS << 7)
  code.set(F.mxcsr, before.value.and(masked.select(code.const(-1, 32), 0xffffffff & ~FLAGS)))
  lanes()
  const raised = code.variable(32, code.get(F.mxcsr).and(FLAGS))
  const stopped = raised.value.and(before.value.shr(7).not()).and(BEFORE).isNonZero()
  code.call(changeMxcsr, before.value.or(stopped.select(raised.value.and(BEFORE), raised.value)))
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
    m.call(changeMxcsr, m.get(F.mxcsr).and(kept))
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
