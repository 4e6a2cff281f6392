import * as S from '../wasm/simd.ts'
import type { ValueType } from '../wasm/types.ts'
import { F32, F64, I32, I64, V128 } from '../wasm/types.ts'
import type { FunctionBuilder } from './function.ts'
import type { Node } from './node.ts'
import { OP_CONST, OP_LOAD } from './node.ts'

/** Width of an integer value in bits; 1 is a truth value. */
export type Width = 1 | 8 | 16 | 32 | 64

/** Width of a parameter or result of a routine: an integer's, or 128 for a vector. */
export type ValueWidth = Width | 128

/** What an operation takes beside values: a constant of the other operand's width. */
export type Operandish = Int | number | bigint

/** The WebAssembly type that holds a value: an integer of up to 32 bits in an i32, zero-extended. */
export const typeOf = (width: ValueWidth): ValueType => (width === 64 ? I64 : width === 128 ? V128 : I32)

const maskOf = (width: Width): number => (width === 32 ? -1 : width === 64 ? -1 : 2 ** width - 1)

/** The constant behind a node, unsigned, or undefined. */
export function constantOf(node: Node): bigint | undefined {
  if (node.op !== OP_CONST) return undefined
  if (node.type === I32) return BigInt(node.imm >>> 0)
  if (node.type === I64) return (BigInt(node.imm2 >>> 0) << 32n) | BigInt(node.imm >>> 0)
  return undefined
}

/** Whether the node is a load, with no effect after it: the same load by another opcode gives the same bits. */
function isFreshLoad(f: FunctionBuilder, node: Node): boolean {
  if (node.op !== OP_LOAD) return false
  for (let i = f.nodes.length - 1; i >= 0; i--) {
    if (f.nodes[i] === node) return true
    if (f.nodes[i].isEffect) return false
  }
  return false
}

/** A fresh load's bits, loaded by another opcode as another type. */
const loadAs = (f: FunctionBuilder, { args, imm2 }: Node, opcode: number, type: ValueType): Node =>
  f.load(opcode, type, (imm2 & 1) as 0 | 1, args[0], imm2 >>> 1)

/** Opcodes of an operation for i32 and i64. */
export type OpPair = readonly [i32: number, i64: number]

/** Addition. */
export const ADD: OpPair = [0x6a, 0x7c]
/** Subtraction. */
export const SUB: OpPair = [0x6b, 0x7d]
const MUL: OpPair = [0x6c, 0x7e]
const DIV_S: OpPair = [0x6d, 0x7f]
const DIV_U: OpPair = [0x6e, 0x80]
const REM_S: OpPair = [0x6f, 0x81]
const REM_U: OpPair = [0x70, 0x82]
const AND: OpPair = [0x71, 0x83]
const OR: OpPair = [0x72, 0x84]
const XOR: OpPair = [0x73, 0x85]
/** Shift to the left. */
export const SHL: OpPair = [0x74, 0x86]
const SHR_S: OpPair = [0x75, 0x87]
const SHR_U: OpPair = [0x76, 0x88]
const ROTL: OpPair = [0x77, 0x89]
const ROTR: OpPair = [0x78, 0x8a]
const EQZ: OpPair = [0x45, 0x50]
const EQ: OpPair = [0x46, 0x51]
const NE: OpPair = [0x47, 0x52]
const LT_S: OpPair = [0x48, 0x53]
const LT_U: OpPair = [0x49, 0x54]
const GT_S: OpPair = [0x4a, 0x55]
const GT_U: OpPair = [0x4b, 0x56]
const LE_S: OpPair = [0x4c, 0x57]
const LE_U: OpPair = [0x4d, 0x58]
const GE_S: OpPair = [0x4e, 0x59]
const GE_U: OpPair = [0x4f, 0x5a]
const CLZ: OpPair = [0x67, 0x79]
const CTZ: OpPair = [0x68, 0x7a]
const POPCNT: OpPair = [0x69, 0x7b]
/** The low half of an i64. */
export const WRAP = 0xa7
const BITS_OF_F32 = 0xbc
const BITS_OF_F64 = 0xbd
/** Number 0 of the SIMD opcode space. */
const SIMD = 0xfd00
const LOAD_32_ZERO = SIMD + 92
const LOAD_64_ZERO = SIMD + 93
const EXTEND_S = 0xac
/** An i32 zero-extended. */
export const EXTEND_U = 0xad

/**
 * An integer of 1, 8, 16, 32 or 64 bits in a function under construction. Arithmetic is modulo 2^width; operands of
 * one operation have the same width, and a plain number or bigint stands for a constant of that width.
 */
export class Int {
  readonly f: FunctionBuilder
  readonly node: Node
  readonly width: Width

  constructor(f: FunctionBuilder, node: Node, width: Width) {
    this.f = f
    this.node = node
    this.width = width
  }

  /** The value if it is known while building, unsigned. */
  get constant(): bigint | undefined {
    return constantOf(this.node)
  }

  private with(node: Node, width: Width = this.width): Int {
    return new Int(this.f, node, width)
  }

  private constOf(value: number | bigint, width: Width = this.width): Int {
    return int(this.f, value, width)
  }

  private operand(value: Operandish): Int {
    if (!(value instanceof Int)) return this.constOf(value)
    if (value.width !== this.width) throw new Error(`operand widths differ: ${this.width} and ${value.width}`)
    return value
  }

  private op(pair: OpPair, other: Int): Node {
    const wide = this.width === 64
    return this.f.pure(wide ? pair[1] : pair[0], wide ? I64 : I32, [this.node, other.node])
  }

  private compare(pair: OpPair, other: Operandish, signed: boolean): Int {
    let a: Int = this
    let b = this.operand(other)
    if (signed && this.width < 32) {
      a = a.signed32()
      b = b.signed32()
    }
    const node = this.f.pure(this.width === 64 ? pair[1] : pair[0], I32, [a.node, b.node])
    return new Int(this.f, node, 1)
  }

  /** An i32 with the value sign-extended from 8 or 16 bits. */
  private signed32(): Int {
    const known = this.constant
    if (known !== undefined) return this.constOf(BigInt.asIntN(this.width, known), 32)
    if (this.width === 8) return this.with(this.f.pure(0xc0, I32, [this.node]), 32)
    if (this.width === 16) return this.with(this.f.pure(0xc1, I32, [this.node]), 32)
    if (this.width === 1) return this.constOf(0, 32).sub(this.with(this.node, 32))
    return this
  }

  /** The node cut to `width` bits where the operation may have gone beyond. */
  private cut(node: Node): Int {
    if (this.width >= 32) return this.with(node)
    return this.with(this.f.pure(AND[0], I32, [node, this.f.const32(maskOf(this.width))]))
  }

  add(other: Operandish): Int {
    const b = this.operand(other)
    const [x, y] = [this.constant, b.constant]
    if (x !== undefined && y !== undefined) return this.constOf(x + y)
    if (y === 0n) return this
    if (x === 0n) return b
    return this.cut(this.op(ADD, b))
  }
  sub(other: Operandish): Int {
    const b = this.operand(other)
    const [x, y] = [this.constant, b.constant]
    if (x !== undefined && y !== undefined) return this.constOf(x - y)
    if (y === 0n) return this
    return this.cut(this.op(SUB, b))
  }
  mul(other: Operandish): Int {
    return this.cut(this.op(MUL, this.operand(other)))
  }
  /** Unsigned quotient. The caller has excluded a zero divisor: WebAssembly traps. */
  divU(other: Operandish): Int {
    return this.with(this.op(DIV_U, this.operand(other)))
  }
  /** Unsigned remainder; as {@link divU}. */
  remU(other: Operandish): Int {
    return this.with(this.op(REM_U, this.operand(other)))
  }
  /** Signed quotient for 32 and 64 bits; zero divisor and overflow trap in WebAssembly and must be excluded. */
  divS(other: Operandish): Int {
    return this.with(this.op(DIV_S, this.operand(other)))
  }
  /** Signed remainder for 32 and 64 bits. */
  remS(other: Operandish): Int {
    return this.with(this.op(REM_S, this.operand(other)))
  }
  and(other: Operandish): Int {
    const b = this.operand(other)
    const [x, y] = [this.constant, b.constant]
    if (x !== undefined && y !== undefined) return this.constOf(x & y)
    if (y === 0n || x === 0n) return this.constOf(0)
    if (y !== undefined && y === BigInt.asUintN(this.width, -1n)) return this
    return this.with(this.op(AND, b))
  }
  or(other: Operandish): Int {
    const b = this.operand(other)
    const [x, y] = [this.constant, b.constant]
    if (x !== undefined && y !== undefined) return this.constOf(x | y)
    if (y === 0n) return this
    if (x === 0n) return b
    return this.with(this.op(OR, b))
  }
  xor(other: Operandish): Int {
    const b = this.operand(other)
    const [x, y] = [this.constant, b.constant]
    if (x !== undefined && y !== undefined) return this.constOf(x ^ y)
    if (y === 0n) return this
    if (x === 0n) return b
    return this.with(this.op(XOR, b))
  }
  not(): Int {
    return this.xor(BigInt.asUintN(this.width, -1n))
  }
  neg(): Int {
    return this.constOf(0).sub(this)
  }

  private count(n: Operandish): Int {
    if (!(n instanceof Int)) return this.constOf(n, this.width === 64 ? 64 : 32)
    return this.width === 64 ? n.zeroExtend(64) : n.width === 64 ? n.truncate(32) : n
  }
  private shift(pair: OpPair, n: Operandish): Node {
    const count = this.count(n)
    return this.f.pure(this.width === 64 ? pair[1] : pair[0], typeOf(this.width), [this.node, count.node])
  }
  /** Shift left; the count, of any width, is taken modulo 64 for 64-bit values and modulo 32 for all others. */
  shl(n: Operandish): Int {
    const x = this.constant
    if (n === 0) return this
    if (x !== undefined && !(n instanceof Int)) return this.constOf(x << (BigInt(n) & (this.width === 64 ? 63n : 31n)))
    return this.cut(this.shift(SHL, n))
  }
  /** Logical shift right; count as in {@link shl}. */
  shr(n: Operandish): Int {
    const x = this.constant
    if (n === 0) return this
    if (x !== undefined && !(n instanceof Int)) return this.constOf(x >> (BigInt(n) & (this.width === 64 ? 63n : 31n)))
    return this.with(this.shift(SHR_U, n))
  }
  /** Arithmetic shift right; count as in {@link shl}. */
  sar(n: Operandish): Int {
    if (this.width < 32) {
      const wide = this.signed32()
      return this.cut(wide.shift(SHR_S, n))
    }
    return this.with(this.shift(SHR_S, n))
  }
  /** Rotate left by a count of any width, modulo this width. */
  rotl(n: Operandish): Int {
    if (this.width >= 32) return this.with(this.shift(ROTL, n))
    const count = this.count(n).and(this.width - 1)
    const wide = this.with(this.node, 32)
    return this.cut(wide.shl(count).or(wide.shr(this.constOf(this.width, 32).sub(count))).node)
  }
  /** Rotate right by a count of any width, modulo this width. */
  rotr(n: Operandish): Int {
    if (this.width >= 32) return this.with(this.shift(ROTR, n))
    const count = this.count(n).and(this.width - 1)
    const wide = this.with(this.node, 32)
    return this.cut(wide.shr(count).or(wide.shl(this.constOf(this.width, 32).sub(count))).node)
  }

  eq(other: Operandish): Int {
    const b = this.operand(other)
    if (b.constant === 0n) return this.isZero()
    return this.compare(EQ, b, false)
  }
  ne(other: Operandish): Int {
    const b = this.operand(other)
    if (b.constant === 0n) return this.isNonZero()
    return this.compare(NE, b, false)
  }
  ltU(other: Operandish): Int {
    return this.compare(LT_U, other, false)
  }
  leU(other: Operandish): Int {
    return this.compare(LE_U, other, false)
  }
  gtU(other: Operandish): Int {
    return this.compare(GT_U, other, false)
  }
  geU(other: Operandish): Int {
    return this.compare(GE_U, other, false)
  }
  ltS(other: Operandish): Int {
    return this.compare(LT_S, other, true)
  }
  leS(other: Operandish): Int {
    return this.compare(LE_S, other, true)
  }
  gtS(other: Operandish): Int {
    return this.compare(GT_S, other, true)
  }
  geS(other: Operandish): Int {
    return this.compare(GE_S, other, true)
  }
  isZero(): Int {
    const known = this.constant
    if (known !== undefined) return this.constOf(known === 0n ? 1 : 0, 1)
    return new Int(this.f, this.f.pure(this.width === 64 ? EQZ[1] : EQZ[0], I32, [this.node]), 1)
  }
  isNonZero(): Int {
    const known = this.constant
    if (known !== undefined) return this.constOf(known === 0n ? 0 : 1, 1)
    if (this.width === 1) return this
    return new Int(this.f, this.f.pure(this.width === 64 ? NE[1] : NE[0], I32, [this.node, this.constOf(0).node]), 1)
  }
  /** Whether the top bit is set. */
  isNegative(): Int {
    if (this.width >= 32) return this.ltS(0)
    return this.shr(this.width - 1).toBool()
  }
  /** The truth value of a value known to be 0 or 1. */
  toBool(): Int {
    return this.with(this.width === 64 ? this.f.pure(WRAP, I32, [this.node]) : this.node, 1)
  }
  /** Bit `n` as a truth value. */
  bit(n: number): Int {
    return this.shr(n).and(1).toBool()
  }
  /** `count` bits from bit `low`, in this width. */
  bits(low: number, count: number): Int {
    return this.shr(low).and((1n << BigInt(count)) - 1n)
  }

  /** Leading zeros; of 0 the width. */
  clz(): Int {
    const node = this.f.pure(this.width === 64 ? CLZ[1] : CLZ[0], typeOf(this.width), [this.node])
    return this.width < 32
      ? this.with(node, 32)
          .sub(32 - this.width)
          .truncate(this.width)
      : this.with(node)
  }
  /** Trailing zeros; of 0 the width. */
  ctz(): Int {
    if (this.width < 32)
      return this.with(this.node, 32)
        .or(1 << this.width)
        .ctz()
        .truncate(this.width)
    return this.with(this.f.pure(this.width === 64 ? CTZ[1] : CTZ[0], typeOf(this.width), [this.node]))
  }
  /** Number of one bits. */
  popcnt(): Int {
    return this.with(this.f.pure(this.width === 64 ? POPCNT[1] : POPCNT[0], typeOf(this.width), [this.node]))
  }

  /** The same value in more bits, zeros above. The same width is fine. */
  zeroExtend(width: Width): Int {
    if (width === this.width) return this
    if (width < this.width) throw new Error(`cannot extend ${this.width} bits to ${width}`)
    const known = this.constant
    if (known !== undefined) return this.constOf(known, width)
    return this.with(width === 64 ? this.f.pure(EXTEND_U, I64, [this.node]) : this.node, width)
  }
  /** The same value in more bits, copies of the sign above. */
  signExtend(width: Width): Int {
    if (width === this.width) return this
    if (width < this.width) throw new Error(`cannot extend ${this.width} bits to ${width}`)
    const known = this.constant
    if (known !== undefined) return this.constOf(BigInt.asIntN(this.width, known), width)
    const wide = this.signed32()
    if (width === 64) return this.with(this.f.pure(EXTEND_S, I64, [wide.node]), 64)
    return width === 32 ? wide : this.with(this.f.pure(AND[0], I32, [wide.node, this.f.const32(maskOf(width))]), width)
  }
  /** The low bits. The same width is fine. */
  truncate(width: Width): Int {
    if (width === this.width) return this
    if (width > this.width) throw new Error(`cannot truncate ${this.width} bits to ${width}`)
    const known = this.constant
    if (known !== undefined) return this.constOf(known, width)
    const low = this.width === 64 ? this.f.pure(WRAP, I32, [this.node]) : this.node
    if (width === 32) return this.with(low, 32)
    return this.with(this.f.pure(AND[0], I32, [low, this.f.const32(maskOf(width))]), width)
  }
  /** Truncated or zero-extended, whichever it takes. */
  resize(width: Width): Int {
    return width < this.width ? this.truncate(width) : this.zeroExtend(width)
  }

  /** For a truth value: `a` if it holds, else `b`. Both are computed. */
  select(a: Int, b: Operandish): Int {
    const other = a.operand(b)
    const known = this.constant
    if (known !== undefined) return known ? a : other
    return new Int(this.f, this.f.pure(0x1b, typeOf(a.width), [a.node, other.node, this.node]), a.width)
  }

  /**
   * The bits as a floating-point number of the same width, 32 or 64. Where they come from a float, a lane or from memory,
   * they do not take the way through an integer register.
   */
  asFloat(): Float {
    const { f, node } = this
    const wide = this.width === 64
    const type = wide ? F64 : F32
    const made = (n: Node) => new Float(f, n, wide ? 64 : 32)
    if (node.op === (wide ? BITS_OF_F64 : BITS_OF_F32)) return made(node.args[0])
    if (node.op === SIMD + (wide ? S.I64X2_EXTRACT_LANE : S.I32X4_EXTRACT_LANE)) {
      const extract = SIMD + (wide ? S.F64X2_EXTRACT_LANE : S.F32X4_EXTRACT_LANE)
      return made(f.pure(extract, type, node.args, 0, 0, node.extra))
    }
    if (node.imm === (wide ? 0x29 : 0x28) && isFreshLoad(f, node)) {
      return made(loadAs(f, node, wide ? 0x2b : 0x2a, type))
    }
    return made(f.pure(wide ? 0xbf : 0xbe, type, [node]))
  }
  /** The signed integer (32 or 64 bits) rounded to nearest as a floating-point number. */
  toFloatS(width: 32 | 64): Float {
    const op = width === 64 ? (this.width === 64 ? 0xb9 : 0xb7) : this.width === 64 ? 0xb4 : 0xb2
    return new Float(this.f, this.f.pure(op, width === 64 ? F64 : F32, [this.node]), width)
  }
}

/** Whether an integer is the bits of a floating-point number at hand. */
export const isBitsOfFloat = ({ node, width }: Int): boolean =>
  width === 64 ? node.op === BITS_OF_F64 : width === 32 && node.op === BITS_OF_F32

/** An integer constant; negative numbers in two's complement. */
export function int(f: FunctionBuilder, value: number | bigint, width: Width): Int {
  if (width === 64) {
    if (typeof value === 'number' && value === (value | 0)) return new Int(f, f.const64(value, value >> 31), 64)
    const big = BigInt.asUintN(64, BigInt(value))
    return new Int(f, f.const64(Number(big & 0xffffffffn), Number(big >> 32n)), 64)
  }
  const low = typeof value === 'bigint' ? Number(BigInt.asIntN(32, value)) : value | 0
  return new Int(f, f.const32(low & maskOf(width)), width)
}

/** A binary32 or binary64 value. Operations are WebAssembly's: round to nearest even, any NaN. */
export class Float {
  readonly f: FunctionBuilder
  readonly node: Node
  readonly width: 32 | 64

  constructor(f: FunctionBuilder, node: Node, width: 32 | 64) {
    this.f = f
    this.node = node
    this.width = width
  }

  private binary(op32: number, op64: number, b: Float): Float {
    const wide = this.width === 64
    return new Float(this.f, this.f.pure(wide ? op64 : op32, wide ? F64 : F32, [this.node, b.node]), this.width)
  }
  private unary(op32: number, op64: number): Float {
    const wide = this.width === 64
    return new Float(this.f, this.f.pure(wide ? op64 : op32, wide ? F64 : F32, [this.node]), this.width)
  }
  private compare(op32: number, op64: number, b: Float): Int {
    return new Int(this.f, this.f.pure(this.width === 64 ? op64 : op32, I32, [this.node, b.node]), 1)
  }
  add(b: Float): Float {
    return this.binary(0x92, 0xa0, b)
  }
  sub(b: Float): Float {
    return this.binary(0x93, 0xa1, b)
  }
  mul(b: Float): Float {
    return this.binary(0x94, 0xa2, b)
  }
  div(b: Float): Float {
    return this.binary(0x95, 0xa3, b)
  }
  sqrt(): Float {
    return this.unary(0x91, 0x9f)
  }
  abs(): Float {
    return this.unary(0x8b, 0x99)
  }
  neg(): Float {
    return this.unary(0x8c, 0x9a)
  }
  ceil(): Float {
    return this.unary(0x8d, 0x9b)
  }
  floor(): Float {
    return this.unary(0x8e, 0x9c)
  }
  trunc(): Float {
    return this.unary(0x8f, 0x9d)
  }
  /** To the nearest integer, ties to even. */
  nearest(): Float {
    return this.unary(0x90, 0x9e)
  }
  eq(b: Float): Int {
    return this.compare(0x5b, 0x61, b)
  }
  ne(b: Float): Int {
    return this.compare(0x5c, 0x62, b)
  }
  lt(b: Float): Int {
    return this.compare(0x5d, 0x63, b)
  }
  gt(b: Float): Int {
    return this.compare(0x5e, 0x64, b)
  }
  le(b: Float): Int {
    return this.compare(0x5f, 0x65, b)
  }
  ge(b: Float): Int {
    return this.compare(0x60, 0x66, b)
  }
  /** The bits as an integer. */
  bits(): Int {
    const { f, node } = this
    const wide = this.width === 64
    const type = wide ? I64 : I32
    const made = (n: Node) => new Int(f, n, wide ? 64 : 32)
    if (node.op === (wide ? 0xbf : 0xbe)) return made(node.args[0])
    if (node.op === SIMD + (wide ? S.F64X2_EXTRACT_LANE : S.F32X4_EXTRACT_LANE)) {
      const extract = SIMD + (wide ? S.I64X2_EXTRACT_LANE : S.I32X4_EXTRACT_LANE)
      return made(f.pure(extract, type, node.args, 0, 0, node.extra))
    }
    return made(f.pure(wide ? BITS_OF_F64 : BITS_OF_F32, type, [node]))
  }
  /** binary32 to binary64, exact but for signalling NaNs. */
  promote(): Float {
    return new Float(this.f, this.f.pure(0xbb, F64, [this.node]), 64)
  }
  /** binary64 to binary32, to nearest. */
  demote(): Float {
    return new Float(this.f, this.f.pure(0xb6, F32, [this.node]), 32)
  }
  /** Towards zero to a signed integer, saturating; NaN gives 0. */
  toIntS(width: 32 | 64): Int {
    const op = 0xfc00 + (width === 64 ? 4 : 0) + (this.width === 64 ? 2 : 0)
    return new Int(this.f, this.f.pure(op, width === 64 ? I64 : I32, [this.node]), width)
  }
}

/** A 128-bit vector. Operations go by their number in the SIMD opcode space; src/wasm/simd.ts names them. */
export class Vector {
  readonly f: FunctionBuilder
  readonly node: Node

  constructor(f: FunctionBuilder, node: Node) {
    this.f = f
    this.node = node
  }

  /** A vector operation of this and other vectors; `bytes` are immediate bytes (lanes of a shuffle). */
  op(opcode: number, others: readonly (Vector | Int | Float)[] = [], bytes?: Uint8Array): Vector {
    const args = [this.node, ...others.map(other => other.node)]
    return new Vector(this.f, this.f.pure(0xfd00 + opcode, V128, args, 0, 0, bytes))
  }

  /** An operation that gives an integer of `width` bits (extract lane, bitmask, any true …). */
  toInt(opcode: number, width: Width, bytes?: Uint8Array): Int {
    return new Int(this.f, this.f.pure(0xfd00 + opcode, typeOf(width), [this.node], 0, 0, bytes), width)
  }

  /** An operation that gives a float (extract lane). */
  toFloat(opcode: number, width: 32 | 64, bytes?: Uint8Array): Float {
    const type = width === 64 ? F64 : F32
    return new Float(this.f, this.f.pure(0xfd00 + opcode, type, [this.node], 0, 0, bytes), width)
  }

  /** A vector made of scalars by an operation (splat). */
  static from(value: Int | Float, opcode: number): Vector {
    return new Vector(value.f, value.f.pure(0xfd00 + opcode, V128, [value.node]))
  }

  /** Every lane the same integer; lanes as wide as it is (8 to 64 bits). */
  static splat(value: Int): Vector {
    return Vector.from(value, SPLATS[value.width as 8])
  }

  /** A vector whose low bits are the integer (8 to 64 bits) and whose other bits are zero. */
  static low(value: Int): Vector {
    const { f, node, width } = value
    if (width >= 32 && node.imm === (width === 64 ? 0x29 : 0x28) && isFreshLoad(f, node)) {
      return new Vector(f, loadAs(f, node, width === 64 ? LOAD_64_ZERO : LOAD_32_ZERO, V128))
    }
    const zero = Vector.constant(value.f, new Uint8Array(16))
    return value.width === 64 ? zero.withLane(0, value) : zero.withLane(0, value.zeroExtend(32))
  }

  /** Lane `n` of `width` bits, 8 to 64. */
  lane(width: Width, n: number): Int {
    return this.toInt(EXTRACTS[width as 8], width, S.laneImmediate(n))
  }

  /** This vector with lane `n` of the integer's width replaced. */
  withLane(n: number, value: Int): Vector {
    const { op, args } = value.node
    if (op === BITS_OF_F64 || op === BITS_OF_F32) {
      const replace = op === BITS_OF_F64 ? S.F64X2_REPLACE_LANE : S.F32X4_REPLACE_LANE
      const vector = this.f.pure(SIMD + replace, V128, [this.node, args[0]], 0, 0, S.laneImmediate(n))
      return new Vector(this.f, vector)
    }
    return this.op(REPLACES[value.width as 8], [value], S.laneImmediate(n))
  }

  /** Lanes of `size` bytes chosen from this vector and, by numbers beyond its own, from the other. */
  shuffle(size: 1 | 2 | 4 | 8, other: Vector, lanes: readonly number[]): Vector {
    return this.op(S.I8X16_SHUFFLE, [other], S.shuffleImmediate(size, lanes))
  }

  and(other: Vector): Vector {
    return this.op(S.V128_AND, [other])
  }
  or(other: Vector): Vector {
    return this.op(S.V128_OR, [other])
  }
  xor(other: Vector): Vector {
    return this.op(S.V128_XOR, [other])
  }
  not(): Vector {
    return this.op(S.V128_NOT)
  }
  /** This vector's bits where the other has none. */
  andNot(other: Vector): Vector {
    return this.op(S.V128_ANDNOT, [other])
  }
  /** This vector as a mask: bits of `ones` where it has ones, of `zeros` where it has zeros. */
  choose(ones: Vector, zeros: Vector): Vector {
    return ones.op(S.V128_BITSELECT, [zeros, this])
  }

  /** A constant of 16 bytes. */
  static constant(f: FunctionBuilder, bytes: Uint8Array): Vector {
    return new Vector(f, f.pure(OP_CONST, V128, [], 0, 0, bytes))
  }
}

const SPLATS = { 8: S.I8X16_SPLAT, 16: S.I16X8_SPLAT, 32: S.I32X4_SPLAT, 64: S.I64X2_SPLAT }
const EXTRACTS = {
  8: S.I8X16_EXTRACT_LANE_U,
  16: S.I16X8_EXTRACT_LANE_U,
  32: S.I32X4_EXTRACT_LANE,
  64: S.I64X2_EXTRACT_LANE,
}
const REPLACES = {
  8: S.I8X16_REPLACE_LANE,
  16: S.I16X8_REPLACE_LANE,
  32: S.I32X4_REPLACE_LANE,
  64: S.I64X2_REPLACE_LANE,
}
