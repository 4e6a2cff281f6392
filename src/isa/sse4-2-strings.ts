/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: comparisons of strings in vectors (SDM vol. 1, 10.10; vol. 2, 4.1). */
import { RAX, RCX, RDX } from '../cpu/state.ts'
import { type Int, Vector } from '../ir/values.ts'
import * as S from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type Semantics, type VectorOperand } from './semantics.ts'
import { lanesOf, splatOf } from './simd-forms.ts'

/** Aggregation operations: bits 3–2 of the immediate. */
const EQUAL_ANY = 0
const RANGES = 1
const EQUAL_EACH = 2

/** Operations on elements of one size. */
interface Elements {
  readonly count: 8 | 16
  readonly eq: number
  readonly geU: number
  readonly leU: number
  readonly bitmask: number
  readonly signs: (code: Code) => Vector
  /** Element number `index` (32 bits) in all lanes. */
  all(code: Code, vector: Vector, index: Int): Vector
}

const BYTES: Elements = {
  count: 16,
  eq: S.I8X16_EQ,
  geU: S.I8X16_GE_U,
  leU: S.I8X16_LE_U,
  bitmask: S.I8X16_BITMASK,
  signs: code => splatOf(code, 1, 0x80),
  all: (_code, vector, index) => vector.op(S.I8X16_SWIZZLE, [Vector.splat(index.truncate(8))]),
}

const WORDS: Elements = {
  count: 8,
  eq: S.I16X8_EQ,
  geU: S.I16X8_GE_U,
  leU: S.I16X8_LE_U,
  bitmask: S.I16X8_BITMASK,
  signs: code => splatOf(code, 2, 0x8000),
  all: (_code, vector, index) => vector.op(S.I8X16_SWIZZLE, [Vector.splat(index.mul(0x202).add(0x100).truncate(16))]),
}

/** IntRes2 (a bit an element) for elements of one size; `lengthA` and `lengthB` are at most the number of elements. */
function compare(code: Code, size: Elements, a0: Vector, b0: Vector, lengthA: Int, lengthB: Int, imm: Int): Int {
  const { count } = size
  const all = 2 ** count - 1
  const one = code.const(1, 32)
  const validA = code.variable(32, one.shl(lengthA).sub(1))
  const validB = code.variable(32, one.shl(lengthB).sub(1))
  // Signed comparisons become unsigned ones when the sign bits are turned; equality does not care.
  const turned = Vector.splat(imm.bit(1).select(code.const(-1, 32), 0)).and(size.signs(code))
  const a = code.vectorVariable(a0.xor(turned))
  const b = code.vectorVariable(b0.xor(turned))
  const aggregation = imm.bits(2, 2)
  const result = code.variable(32, 0)
  const index = code.variable(32, 0)
  const matches = (op: number, at: Int) => b.value.op(op, [size.all(code, a.value, at)]).toInt(size.bitmask, 32)
  const each = (step: number, body: () => void) =>
    code.while(
      () => index.value.add(step - 1).ltU(lengthA),
      () => {
        body()
        index.value = index.value.add(step)
      },
    )
  code.if(
    aggregation.eq(EQUAL_ANY),
    () => each(1, () => (result.value = result.value.or(matches(size.eq, index.value)))),
    () =>
      code.if(
        aggregation.eq(RANGES),
        () =>
          each(2, () => {
            const inside = matches(size.geU, index.value).and(matches(size.leU, index.value.add(1)))
            result.value = result.value.or(inside)
          }),
        () =>
          code.if(
            aggregation.eq(EQUAL_EACH),
            () => {
              const equal = a.value.op(size.eq, [b.value]).toInt(size.bitmask, 32)
              const neither = validA.value.or(validB.value).xor(all)
              // Valid in both is cut below by validB; valid in B alone must not match.
              result.value = equal.and(validA.value).and(validB.value).or(neither)
            },
            () => {
              result.set(all)
              each(1, () => {
                const found = matches(size.eq, index.value).and(validB.value).shr(index.value)
                const beyond = code.const(all, 32).shl(code.const(count, 32).sub(index.value))
                result.value = result.value.and(found.or(beyond))
              })
            },
          ),
      ),
  )
  const anyOrRanges = aggregation.leU(RANGES)
  const first = anyOrRanges.select(result.value.and(validB.value), result.value).and(all)
  const inverted = imm.bit(5).select(validB.value, code.const(all, 32))
  return imm.bit(4).select(first.xor(inverted), first)
}

/** IntRes2 of both element sizes. */
const compareStrings = routine('pcmpstr', [128, 128, 32, 32, 32], 32, (code, a, b, lengthA, lengthB, imm) => {
  const result = code.variable(32, 0)
  code.if(
    imm.bit(0),
    () => (result.value = compare(code, WORDS, a, b, lengthA, lengthB, imm)),
    () => (result.value = compare(code, BYTES, a, b, lengthA, lengthB, imm)),
  )
  return result.value
})

/** The elements before the first that is zero. */
const implicitLength = (code: Code, value: Vector, words: Int): Int => {
  const zero = splatOf(code, 1, 0)
  const bytes = value.op(S.I8X16_EQ, [zero]).toInt(S.I8X16_BITMASK, 32).or(0x10000).ctz()
  const wide = value.op(S.I16X8_EQ, [zero]).toInt(S.I16X8_BITMASK, 32).or(0x100).ctz()
  return words.select(wide, bytes)
}

/** The absolute value of a register, at most the number of elements. */
const explicitLength = (m: Semantics, register: number, words: Int): Int => {
  const length = m.register(register, m.context.operandSize === 64 ? 64 : 32).read()
  const most = words.select(m.const(8, 32), 16)
  const absolute = length.isNegative().select(length.neg(), length)
  return absolute.gtU(most.zeroExtend(length.width)).select(most, absolute.resize(32))
}

/** A mask vector out of bits, an element each: zero-extended bits, or elements of all ones (bit 6 of the immediate). */
const expandMask = routine('pcmpstrMask', [32, 32], 128, (code, bits, imm) => {
  const result = code.vectorVariable(Vector.low(bits))
  code.if(imm.bit(6), () => {
    const byteBits = lanesOf(code, 8, [0x8040201008040201n, 0x8040201008040201n])
    const wordBits = lanesOf(code, 2, [1, 2, 4, 8, 16, 32, 64, 128])
    const low = lanesOf(code, 1, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    code.if(
      imm.bit(0),
      () => {
        const spread = Vector.splat(bits.truncate(16)).and(wordBits)
        result.value = spread.op(S.I16X8_EQ, [wordBits])
      },
      () => {
        const spread = Vector.low(bits).op(S.I8X16_SWIZZLE, [low]).and(byteBits)
        result.value = spread.op(S.I8X16_EQ, [byteBits])
      },
    )
  })
  return result.value
})

const stringInstruction = (mnemonic: string, opcode: string, explicit: boolean, mask: boolean) =>
  instruction<[VectorOperand, VectorOperand, Operand]>(mnemonic, {
    encodings: [`66 0F 3A ${opcode} /r ib  Vdq,Wdq,Ib`],
    feature: 'sse4_2',
    unit: 'sse',
    execute(m, first, second, immediate) {
      const imm = immediate.read().zeroExtend(32)
      const b = second.readVector(true)
      const a = first.readVector()
      const words = imm.bit(0)
      const lengthA = explicit ? explicitLength(m, RAX, words) : implicitLength(m, a, words)
      const lengthB = explicit ? explicitLength(m, RDX, words) : implicitLength(m, b, words)
      const bits = m.call(compareStrings, a, b, lengthA, lengthB, imm)
      const count = words.select(m.const(8, 32), 16)
      if (mask) m.xmm(0).writeVector(m.callVector(expandMask, bits, imm))
      else {
        const last = m.const(31, 32).sub(bits.clz())
        const index = bits.isZero().select(count, imm.bit(6).select(last, bits.ctz()))
        m.register(RCX, 32).write(index)
      }
      m.flags.set({
        carry: bits.isNonZero(),
        zero: lengthB.ltU(count),
        sign: lengthA.ltU(count),
        overflow: bits.and(1).toBool(),
        adjust: m.bool(false),
        parity: m.bool(false),
      })
    },
  })

export const PCMPESTRM = stringInstruction('PCMPESTRM', '60', true, true)
export const PCMPESTRI = stringInstruction('PCMPESTRI', '61', true, false)
export const PCMPISTRM = stringInstruction('PCMPISTRM', '62', false, true)
export const PCMPISTRI = stringInstruction('PCMPISTRI', '63', false, false)

export const instructions: readonly Instruction[] = [PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI]
