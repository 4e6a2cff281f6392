/**
 * What is known of the magnitudes of scalar floating-point numbers in a region, so that most results need no test. WebAssembly's
 * arithmetic is the processor's, flags of MXCSR included, while rounding is to nearest, the precision flag is set and masked, and no
 * operand or result is NaN, infinite, denormal or too small (src/float/mxcsr.ts). Numbers that come from elsewhere are tested when
 * they become operands: they are zero, or within a power of two that leaves room. What is computed of such numbers has bounds
 * that follow from theirs, and is tested only when it becomes an operand for which those are too far. What fails a test is
 * the interpreter's, from the instruction on that would have used it: everything before was exact.
 *
 * Where several ways meet, at the headers of loops above all, numbers that are operands later on must be within the bounds of a
 * tested one, whichever way execution came: they are tested on the way, unless they are known to be.
 */
import { F } from '../../cpu/state.ts'
import type { Int, Vector } from '../../ir/values.ts'
import type { Decoded } from '../../isa/decoder.ts'
import type { Code, VectorOperand } from '../../isa/semantics.ts'
import { alike, type FloatOperation, highest, type MagnitudeChecks } from '../../isa/sse-float-paths.ts'
import { I32 } from '../../wasm/types.ts'
import type { RegionInstruction } from './region.ts'
import { successors } from './region.ts'
import { linkedIndex } from './relocatable.ts'
import type { PlacedBlock } from './structure.ts'

/** Bounds of a number other than zero. */
export interface Bound {
  readonly width: 32 | 64
  /** Its magnitude is at least 2 to this … */
  readonly low: number
  /** … and less than 2 to this. */
  readonly high: number
  /** It is a multiple of 2 to this. */
  readonly unit: number
}

/** Formats: exponents of the least normal number and behind the greatest, bias, bits of the significand behind the first. */
const FORMATS = {
  32: { least: -126, most: 128, bias: 127, fraction: 23 },
  64: { least: -1022, most: 1024, bias: 1023, fraction: 52 },
} as const

export type Limits = Readonly<Record<32 | 64, Bound>>

/** Of numbers between two powers of two. */
export const limit = (width: 32 | 64, low: number, high: number): Bound => ({
  width,
  low,
  high,
  unit: low - FORMATS[width].fraction,
})

/**
 * Bounds of tested numbers: products of two must not underflow. The narrower ones are, the more operations are without tests: the
 * second are for regions in which there were numbers beyond the first.
 */
const LIMITS: readonly Limits[] = [
  { 32: limit(32, -60, 40), 64: limit(64, -200, 200) },
  { 32: limit(32, -62, 63), 64: limit(64, -480, 480) },
]
/** So many times a region may be unfit, each with wider bounds than before. */
export const FLOAT_LEVELS = LIMITS.length

export const isWithin = (bound: Bound, other: Bound): boolean =>
  bound.width === other.width && bound.low >= other.low && bound.high <= other.high && bound.unit >= other.unit

/** Bounds of a result, or undefined where it might be denormal or overflow; all operands are normal, or zero. */
export function boundOf(operation: FloatOperation, [a, b = a]: readonly Bound[]): Bound | undefined {
  const { width } = a
  const { least, most, fraction } = FORMATS[width]
  if (operation === 'add') {
    // A sum is a multiple of what both are multiples of: as small as that after a cancellation.
    const unit = Math.min(a.unit, b.unit)
    const high = Math.max(a.high, b.high) + 1
    return high < most && unit > least ? { width, low: unit, high, unit } : undefined
  }
  if (operation === 'root') {
    const low = Math.floor(a.low / 2)
    return { width, low, high: Math.ceil(a.high / 2) + 1, unit: low - fraction }
  }
  const low = operation === 'multiply' ? a.low + b.low : a.low - b.high
  const high = operation === 'multiply' ? a.high + b.high : a.high - b.low + 1
  return low > least && high < most ? { width, low, high, unit: low - fraction } : undefined
}

/** Instructions after which nothing may be counted on. */
const FOREIGN = /^V?(LDMXCSR|FXRSTOR|XRSTOR|ZEROALL|ZEROUPPER)|RSTOR/

const SCALAR = /^V?((ADD|SUB|MUL|DIV|SQRT|MIN|MAX)(SS|SD)|U?COMIS[SD])$/
const COPY = /^(MOVAPD|MOVAPS|MOVDQA|MOVUPS|MOVUPD|MOVDQU)$/

/** A register by number that has the width of an operand; MXCSR counts as one. */
const PLAIN = 32

/** The XMM register that an operand of an instruction is. */
function xmmOf(decoded: Decoded, operand: number): number | undefined {
  switch (decoded.form.operands[operand]?.kind) {
    case 'xmm':
      return decoded.reg
    case 'xmmRegister':
      return decoded.rm
    case 'xmmRm':
      return decoded.hasMemory ? undefined : decoded.rm
    case 'vexXmm':
      return decoded.vexRegister
  }
  return undefined
}

/** Before an instruction: which registers become operands, with their width, given those after it. */
function before({ decoded }: RegionInstruction, live: Map<number, 32 | 64>): void {
  const { mnemonic } = decoded.form.instruction
  const written = xmmOf(decoded, 0)
  const reads = SCALAR.test(mnemonic)
  const compares = /COMIS/.test(mnemonic)
  if (COPY.test(mnemonic)) {
    const from = xmmOf(decoded, 1)
    const width = written === undefined ? undefined : live.get(written)
    if (written !== undefined) live.delete(written)
    if (from !== undefined && width) live.set(from, width)
    return
  }
  if (written !== undefined && !compares) live.delete(written)
  if (!reads) return
  const width = /S$/.test(mnemonic) ? 32 : 64
  live.set(PLAIN, 32)
  const first = /SQRT/.test(mnemonic) || (mnemonic.startsWith('V') && !compares) ? 1 : 0
  for (let i = first; i < decoded.form.operands.length; i++) {
    const register = xmmOf(decoded, i)
    if (register !== undefined) live.set(register, width)
  }
}

/** By block: the registers that are operands later on, unless they are written before. */
function liveAtStarts(placed: readonly PlacedBlock[]): ReadonlyMap<number, 32 | 64>[] {
  const starts: Map<number, 32 | 64>[] = placed.map(() => new Map())
  const indexOf = new Map(placed.map(({ block, index }) => [block, index]))
  for (let changed = true; changed; ) {
    changed = false
    for (let index = placed.length - 1; index >= 0; index--) {
      const { block } = placed[index]
      const live = new Map<number, 32 | 64>()
      for (const to of successors(block)) for (const [r, width] of starts[indexOf.get(to)!]) live.set(r, width)
      for (let i = block.instructions.length - 1; i >= 0; i--) before(block.instructions[i], live)
      if (live.size !== starts[index].size) {
        starts[index] = live
        changed = true
      }
    }
  }
  return starts
}

/** What is known at a place. */
export interface KnownMagnitudes {
  readonly plain: boolean
  readonly bounds: ReadonlyMap<number, Bound>
}

/** The magnitudes of a region while it is built. */
export class FloatBounds implements MagnitudeChecks {
  private readonly code: Code
  /** By block in which several ways meet: what has to hold there. */
  private readonly starts: readonly ReadonlyMap<number, 32 | 64>[]
  private readonly vectorOf: (register: number) => Vector
  private bounds = new Map<number, Bound>()
  private plain = false
  /** Leaves for the interpreter to execute the present instruction. */
  bail: () => void = () => {
    throw new Error('no instruction is being built')
  }

  private readonly limits: Limits

  /**
   * @param level how often wider bounds were needed
   */
  constructor(code: Code, placed: readonly PlacedBlock[], level: number, vectorOf: (register: number) => Vector) {
    this.limits = LIMITS[level]
    this.code = code
    this.vectorOf = vectorOf
    this.starts = liveAtStarts(placed)
  }

  /** Whether a region's scalar arithmetic can be done so. */
  static suits(instructions: readonly RegionInstruction[]): boolean {
    return !instructions.some(({ decoded }) => FOREIGN.test(decoded.form.instruction.mnemonic))
  }

  get known(): KnownMagnitudes {
    return { plain: this.plain, bounds: new Map(this.bounds) }
  }

  /** At the start of a block that one way brings here, with what is known there, or several. */
  startBlock(index: number, arrival: KnownMagnitudes | undefined): void {
    const start = this.starts[index]
    this.copies.clear()
    this.plain = arrival ? arrival.plain : start.has(PLAIN)
    this.bounds = new Map(arrival?.bounds)
    if (!arrival)
      for (const [register, width] of start) if (register < PLAIN) this.bounds.set(register, this.limits[width])
  }

  /** Registers that hold the same as another one, by that. */
  private readonly copies = new Map<number, Set<number>>()

  /** A register is written. */
  written(register: number): void {
    this.bounds.delete(register)
    this.copies.get(register)?.delete(register)
    this.copies.delete(register)
  }

  private note(register: number | undefined, bound: Bound): void {
    if (register === undefined) return
    for (const same of this.copies.get(register) ?? [register]) this.bounds.set(same, bound)
  }

  /** Tests what has to hold at the start of a block where several ways meet. @param leave builds what leaves, where it does not hold */
  meet(index: number, leave: () => void): void {
    for (const [register, width] of this.starts[index]) {
      if (register === PLAIN) this.needPlain(leave)
      else {
        const bound = this.bounds.get(register)
        if (!bound || !isWithin(bound, this.limits[width])) {
          const lane = this.vectorOf(register).lane(width, 0)
          this.test(lane, leave)
        }
      }
    }
  }

  /** At the entry of the region, which is where block 0 begins, on the way to it. */
  enter(leave: () => void): void {
    this.plain = false
    this.bounds.clear()
    this.meet(0, leave)
  }

  private fail(leave: () => void): void {
    const { f } = this.code
    f.call('regionIsUnfit', { params: [I32], results: [] }, [linkedIndex(f)])
    leave()
  }

  private needPlain(leave: () => void): void {
    if (this.plain) return
    const { code } = this
    const not = code.getPart(F.floatLimit64, 0, 32).eq(0x80000000)
    code.if(not, () => this.fail(leave), undefined, 'unlikely')
  }

  /** Leaves unless a number, by its bits, is zero or one with the bounds of tested ones. */
  private test(bits: Int, leave: () => void): void {
    const { code } = this
    const width = bits.width as 32 | 64
    const { low, high } = this.limits[width]
    const shift = width === 64 ? 21 : 24
    const magnitude = highest(bits).shl(1)
    const above = magnitude.sub((FORMATS[width].bias + low) << shift)
    if (width === 32) {
      // A zero is told without a branch: they may come in any order.
      const chosen = magnitude.isZero().select(code.const(0, 32), above)
      code.if(chosen.geU((high - low) << shift), () => this.fail(leave), undefined, 'unlikely')
      return
    }
    const beyond = above.geU((high - low) << shift)
    const unlessZero = () => code.if(bits.shl(1).isNonZero(), () => this.fail(leave), undefined, 'unlikely')
    code.if(beyond, unlessZero, undefined, 'unlikely')
  }

  private numberOf(source: VectorOperand | undefined): number | undefined {
    return source?.kind === 'register' ? (source as unknown as { number: number }).number : undefined
  }

  /** Makes sure that a number, by its bits, is neither NaN nor infinite nor denormal. */
  private operand(bits: Int, source: VectorOperand | undefined): Bound {
    const width = bits.width as 32 | 64
    const register = this.numberOf(source)
    const known = register === undefined ? undefined : this.bounds.get(register)
    return known?.width === width ? known : this.tested(bits, register)
  }

  private tested(bits: Int, register: number | undefined): Bound {
    const bound = this.limits[bits.width as 32 | 64]
    this.test(bits, this.bail)
    this.note(register, bound)
    return bound
  }

  private all(values: readonly Int[], sources: readonly (VectorOperand | undefined)[]): Bound[] {
    this.needPlain(this.bail)
    this.plain = true
    const same = values.length > 1 && alike(values[0], values[1])
    const bounds = values.slice(0, same ? 1 : 2).map((value, i) => this.operand(value, sources[i]))
    return same ? [bounds[0], bounds[0]] : bounds
  }

  operands(values: readonly Int[], sources: readonly (VectorOperand | undefined)[]): Bound {
    const [a, b = a] = this.all(values, sources)
    const [low, unit] = [Math.min(a.low, b.low), Math.min(a.unit, b.unit)]
    return { width: a.width, low, high: Math.max(a.high, b.high), unit }
  }

  compute(
    operation: FloatOperation,
    values: readonly Int[],
    sources: readonly (VectorOperand | undefined)[],
  ): { magnitude: Bound; isTested: boolean } {
    const bounds = this.all(values, sources)
    const limits = this.limits[bounds[0].width]
    const bound = boundOf(operation, bounds)
    // Of a quotient or root it remains to be seen whether it was of zero, or of a negative number.
    if (bound) return { magnitude: bound, isTested: operation === 'add' || operation === 'multiply' }
    // A sum that is zero is exact, and any other that is not in order will be found.
    if (operation === 'add') return { magnitude: limits, isTested: false }
    const near = values.map((value, i) =>
      isWithin(bounds[i], limits) ? bounds[i] : this.tested(value, this.numberOf(sources[i])),
    )
    return { magnitude: boundOf(operation, near)!, isTested: operation === 'multiply' }
  }

  testResult(value: Int): Bound {
    this.test(value, this.bail)
    return this.limits[value.width as 32 | 64]
  }

  know(destination: VectorOperand, bound: Bound): void {
    const register = this.numberOf(destination)
    if (register !== undefined) this.bounds.set(register, bound)
  }

  knowInteger(destination: VectorOperand, width: 32 | 64, bits: number): void {
    this.know(destination, { width, low: 0, high: bits, unit: 0 })
  }

  copy(destination: VectorOperand, source: VectorOperand): void {
    const [to, from] = [this.numberOf(destination), this.numberOf(source)]
    if (to === undefined || from === undefined || to === from) return
    const same = this.copies.get(from) ?? new Set([from])
    same.add(to)
    this.copies.set(from, same).set(to, same)
    const bound = this.bounds.get(from)
    if (bound) this.bounds.set(to, bound)
  }
}
