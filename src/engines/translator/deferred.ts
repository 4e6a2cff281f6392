/**
 * Floating-point checks of several instructions in one. Between two places of a block, a window, results are taken as WebAssembly
 * gives them and only noted; at its end one comparison tells whether all of them, and the operands, were in the range in which nobody
 * can tell the difference (src/float/mxcsr.ts). Where one was not, or an instruction within the window cannot go on, registers become
 * what they were at its beginning and the interpreter executes everything from there. So nothing within a window may change
 * memory or anything that is not put back.
 */
import { F } from '../../cpu/state.ts'
import { type Label, OP_BLOCK } from '../../ir/node.ts'
import { type Int, Vector } from '../../ir/values.ts'
import type { Code, VectorOperand, VectorVariable } from '../../isa/semantics.ts'
import { splatOf } from '../../isa/simd-forms.ts'
import type { DeferredChecks, FloatOperation, FloatWidth } from '../../isa/sse-float-paths.ts'
import * as S from '../../wasm/simd.ts'
import { I32, I64, V128 } from '../../wasm/types.ts'
import type { Known } from './flags.ts'
import { type Bound, boundOf, isWithin, type Limits, limit } from './float-bounds.ts'
import type { RegionInstruction } from './region.ts'
import { linkedIndex } from './relocatable.ts'

/** What a region makes of floating-point checks. */
export interface DeferredAssumption {
  /** How many times the region counted on too much: first on magnitudes (float-bounds.ts), then on windows. */
  readonly level: number
  /** XMM registers that no instruction of the region writes. */
  readonly constants: ReadonlySet<number>
}

/** The XMM registers, without upper halves, that no instruction writes. */
export function constantXmms(instructions: readonly RegionInstruction[]): ReadonlySet<number> {
  const constant = new Set(Array.from({ length: 16 }, (_, i) => i))
  for (const { decoded } of instructions) {
    const { operands, instruction } = decoded.form
    if (/GATHER|ZEROALL|^V?PCMP.STRM|RSTOR/.test(instruction.mnemonic)) return new Set()
    const { kind } = operands[0] ?? {}
    if (kind === 'xmm') constant.delete(decoded.reg)
    else if (kind === 'xmmRegister' || (kind === 'xmmRm' && !decoded.hasMemory)) constant.delete(decoded.rm)
    else if (kind === 'vexXmm') constant.delete(decoded.vexRegister)
    else if (kind === 'xmm0') constant.delete(0)
  }
  return constant
}

/** Instructions on general-purpose registers that a window may hold: they read memory at most, and set flags always or never. */
const PLAIN = new Set('MOV MOVZX MOVSX MOVSXD LEA ADD SUB AND OR XOR CMP TEST INC DEC NOP'.split(' '))
/** Those among SSE's and AVX's that may change something else, or that call routines which report exceptions. */
const EXCLUDED = /^V?(LDMXCSR|STMXCSR|P?MASKMOV|PCMP.STR|P?GATHER|ZERO|ROUND|DPP|CVTPH|CVTPS2PH|CVTPI|CVTT?P[SD]2PI)/
const ARITHMETIC =
  /^V?((ADD|SUB|MUL|DIV|SQRT|HADD|HSUB|ADDSUB)[SP][SD]|F(N?MADD|N?MSUB|MADDSUB|MSUBADD)\d\d\d[SP][SD])$/

type Kind = 'arithmetic' | 'allowed' | 'other'

function kindOf({ decoded, usage }: RegionInstruction): Kind {
  const { instruction, operands } = decoded.form
  const { unit, mnemonic } = instruction
  if (usage.jumps || usage.endsBlock || usage.setsFlagsSometimes || usage.writtenMemory.size > 0) return 'other'
  const first = operands[0]
  const toMemory = first && decoded.hasMemory && /^(rm|memory|absolute|xmmRm|mmxRm)$/.test(first.kind)
  if (toMemory || operands.some(({ kind }) => /^(segment|fixedSegment|control|debug|mmx|vectorMemory)/.test(kind)))
    return 'other'
  if (unit === 'sse' || unit === 'avx') {
    if (EXCLUDED.test(mnemonic)) return 'other'
    return ARITHMETIC.test(mnemonic) ? 'arithmetic' : 'allowed'
  }
  return unit === undefined && PLAIN.has(mnemonic) && !usage.readsFlags ? 'allowed' : 'other'
}

/**
 * For each instruction of a block whether a window begins at it, or ends before it.
 * @param packedOnly windows without packed arithmetic are not wanted
 */
export function windowsOf(
  instructions: readonly RegionInstruction[],
  packedOnly = false,
): { opens: boolean; closes: boolean }[] {
  const windows = instructions.map(() => ({ opens: false, closes: false }))
  if (!mayHaveWindow(instructions)) return windows
  const kinds = instructions.map(kindOf)
  let start = -1
  let count = 0
  let packed = !packedOnly
  const end = (at: number) => {
    if (count >= LEAST && packed) {
      windows[start].opens = true
      if (at < windows.length) windows[at].closes = true
    }
    start = -1
    count = 0
    packed = !packedOnly
  }
  kinds.forEach((kind, i) => {
    if (kind === 'other') end(i)
    else if (kind === 'arithmetic') {
      if (start < 0) start = i
      count++
      if (/P[SD]$/.test(instructions[i].decoded.form.instruction.mnemonic)) packed = true
    }
  })
  end(kinds.length)
  return windows
}

/** Whether there is enough of SSE or AVX for a window: most blocks have none of it. */
function mayHaveWindow(instructions: readonly RegionInstruction[]): boolean {
  let count = 0
  for (const { decoded } of instructions) {
    const { unit } = decoded.form.instruction
    if (unit === 'sse' || unit === 'avx') count++
  }
  return count >= LEAST
}

/** Whether any of these blocks has a window. */
export const hasWindows = (blocks: readonly { readonly instructions: readonly RegionInstruction[] }[]): boolean =>
  blocks.some(({ instructions }) => mayHaveWindow(instructions) && windowsOf(instructions).some(({ opens }) => opens))

/** A window has at least so many instructions of arithmetic: else their own checks are as good. */
const LEAST = 2

/** The number of the XMM register that an operand is. */
function numberOf(source: VectorOperand | undefined): number | undefined {
  return source?.kind === 'register' ? (source as { number?: number }).number : undefined
}

/** What a window needs of the region. */
export interface WindowHost {
  readonly code: Code
  flags: { known: Known }
  pending: number
  /** Locals of the registers by number; XMM registers from 16 on, upper halves from 32 on. */
  registerLocal(number: number): number
  bail(distance: number): void
}

interface Window {
  readonly distance: number
  readonly pending: number
  readonly known: Known
  readonly done: Label
  readonly back: Label
  /** Where its nodes begin. */
  readonly start: number
  /** Registers that it writes. */
  readonly saved: Set<number>
  /** Least and greatest numbers noted, by width and which lanes count. */
  readonly noted: Map<string, { width: FloatWidth; all: boolean; least: VectorVariable; greatest: VectorVariable }>
}

/** The windows of a region while it is built. */
export class DeferredFloat implements DeferredChecks {
  private readonly host: WindowHost
  private window: Window | undefined
  private readonly copies = new Map<number, number>()

  /** XMM registers that no instruction of the region writes. */
  private readonly constants: ReadonlySet<number>

  private readonly limits: Limits
  /** Whether results are known by their operands' bounds. */
  private readonly bounded: boolean

  constructor(host: WindowHost, { level, constants }: DeferredAssumption) {
    this.host = host
    this.bounded = level === 0
    this.limits = this.bounded ? NARROW : WIDE
    this.constants = constants
  }

  get isOpen(): boolean {
    return this.window !== undefined
  }

  /** Begins a window. @param distance of the next instruction */
  open(distance: number): void {
    const { host } = this
    const { f } = host.code
    const done = f.open(OP_BLOCK)
    const back = f.open(OP_BLOCK)
    const { pending } = host
    const { known } = host.flags
    const start = f.nodes.length
    this.window = { distance, pending, known, done, back, start, saved: new Set(), noted: new Map() }
    const isPlain = host.code.getPart(F.floatLimit64, 0, 32).ne(0x80000000)
    this.leaveIf(isPlain.isZero())
  }

  /** Before a register of {@link WindowHost.registerLocal} is written. */
  save(number: number): void {
    if (number >= 16 && this.constants.has(number - 16)) throw new Error(`XMM${number - 16} was not to be written`)
    if (number >= 16) this.known.delete(number - 16)
    this.window?.saved.add(number)
  }

  /** Builds what keeps the registers that the window writes, at its beginning. */
  private keep({ saved, start }: Window): void {
    const { host } = this
    const { f } = host.code
    const body = f.nodes.splice(start)
    for (const number of saved) {
      const type = number < 16 ? I64 : V128
      let copy = this.copies.get(number)
      if (copy === undefined) this.copies.set(number, (copy = f.local(type)))
      f.setLocal(copy, f.getLocal(host.registerLocal(number), type))
    }
    for (const node of body) f.nodes.push(node)
  }

  fail(): void {
    const { f } = this.host.code
    f.call('regionIsUnfit', { params: [I32], results: [] }, [linkedIndex(f)])
    this.goBack()
  }

  /** Goes back to the beginning of the window. */
  goBack(): void {
    this.host.code.f.branch(this.window!.back)
  }

  private leaveIf(condition: Int): void {
    this.host.code.if(condition, () => this.fail(), undefined, 'unlikely')
  }

  check(vector: Vector, width: FloatWidth, all: boolean): void {
    const { window, host } = this
    const [least, greatest] = bounds(host.code, vector, width)
    const key = `${width}${all}`
    const noted = window!.noted.get(key)
    if (noted) {
      noted.least.value = noted.least.value.op(S.I32X4_MIN_U, [least])
      noted.greatest.value = noted.greatest.value.op(S.I32X4_MAX_U, [greatest])
    } else {
      const first = { least: host.code.vectorVariable(least), greatest: host.code.vectorVariable(greatest) }
      window!.noted.set(key, { width, all, ...first })
    }
  }

  checkOperand(vector: Vector, source: VectorOperand | undefined, width: FloatWidth, all: boolean): void {
    const register = numberOf(source)
    if (register !== undefined && this.constants.has(register)) {
      this.atEntry.set(`${register} ${width} ${all}`, { register, width, all })
    } else this.check(vector, width, all)
  }

  /** By XMM register: bounds of its lowest number, or of all. */
  private readonly known = new Map<number, { readonly bound: Bound; readonly all: boolean }>()

  private knownBound(register: number | undefined, width: FloatWidth, all: boolean): Bound | undefined {
    const known = register === undefined ? undefined : this.known.get(register)
    return known?.bound.width === width && (known.all || !all) ? known.bound : undefined
  }

  /** Whether numbers are known to be in range. */
  isKnown(register: number, width: FloatWidth, all: boolean): boolean {
    const bound = this.knownBound(register, width, all)
    return bound !== undefined && isWithin(bound, this.limits[width])
  }
  know(register: number, width: FloatWidth, all: boolean): void {
    if (all || !this.isKnown(register, width, false)) this.known.set(register, { bound: this.limits[width], all })
  }

  operate(
    operation: FloatOperation,
    width: FloatWidth,
    all: boolean,
    operands: readonly (readonly [vector: Vector, source: VectorOperand | undefined])[],
  ): { magnitude: Bound; isTested: boolean } | undefined {
    if (!this.bounded) return undefined
    const limits = this.limits[width]
    const note = ([vector, source]: (typeof operands)[number]): Bound => {
      this.checkOperand(vector, source, width, all)
      const register = numberOf(source)
      if (register !== undefined) this.known.set(register, { bound: limits, all })
      return limits
    }
    const bounds = operands.map(operand => this.knownBound(numberOf(operand[1]), width, all) ?? note(operand))
    const bound = boundOf(operation, bounds)
    const isTested = operation === 'add' || operation === 'multiply'
    if (bound) return { magnitude: isTested ? bound : limits, isTested }
    // A sum that is zero is exact, and any other that is not in order will be found.
    if (operation === 'add') return { magnitude: limits, isTested: false }
    const near = operands.map((operand, i) => (isWithin(bounds[i], limits) ? bounds[i] : note(operand)))
    return { magnitude: isTested ? boundOf(operation, near)! : limits, isTested }
  }

  setMagnitude(destination: VectorOperand, magnitude: Bound, all: boolean): void {
    const register = numberOf(destination)
    if (register !== undefined) this.known.set(register, { bound: magnitude, all })
  }

  /** At the start of a block. */
  forget(): void {
    this.known.clear()
  }

  /** What is asked of registers at the entry, because they stay what they are. */
  private readonly atEntry = new Map<string, { register: number; width: FloatWidth; all: boolean }>()

  /** Ends the window: everything is in range, or it was for nothing. */
  close(): void {
    const { window, host } = this
    if (!window) return
    this.keep(window)
    const { code } = host
    const { f } = code
    const bad = [...window.noted.values()].map(({ width, all, least, greatest }) =>
      isBeyond(code, this.limits[width], all, least.value, greatest.value),
    )
    if (bad.length > 0) this.leaveIf(bad.reduce((a, b) => a.or(b)))
    f.branch(window.done)
    f.end()
    this.window = undefined
    const { pending } = host
    const { known } = host.flags
    f.rarely(() => {
      for (const number of window.saved) {
        f.setLocal(host.registerLocal(number), f.getLocal(this.copies.get(number)!, number < 16 ? I64 : V128))
      }
      host.pending = window.pending
      host.flags.known = window.known
      host.bail(window.distance)
    })
    host.pending = pending
    host.flags.known = known
    f.end()
  }

  /**
   * At the entry of the region.
   * @param leave builds what leaves at once, where registers are not what the region counts on
   */
  load(leave: () => void): void {
    const { code } = this.host
    const { f } = code
    const bad = [...this.atEntry.values()].map(({ register, width, all }) => {
      const vector = new Vector(f, f.getLocal(this.host.registerLocal(16 + register), V128))
      return isBeyond(code, this.limits[width], all, ...bounds(code, vector, width))
    })
    if (bad.length > 0) {
      const tell = () => {
        f.call('regionIsUnfit', { params: [I32], results: [] }, [linkedIndex(f)])
        leave()
      }
      code.if(
        bad.reduce((a, b) => a.or(b)),
        tell,
        undefined,
        'unlikely',
      )
    }
  }
}

/**
 * The range of numbers. It is so much smaller than that of normal ones that no product and no quotient of two of them can be too
 * small or too large: a result of zero is exact then. In the narrower one even products of sums need not be noted.
 */
const WIDE: Limits = { 32: limit(32, -62, 62), 64: limit(64, -500, 500) }
const NARROW: Limits = { 32: limit(32, -36, 36), 64: limit(64, -200, 200) }
/** Bias and place of the exponent in the highest 32 bits shifted left by 1. */
const EXPONENTS = { 32: [127, 24], 64: [1023, 21] } as const

/** Of numbers what has to be at least the low end, which a zero is as well, and below the high end. */
function bounds(code: Code, vector: Vector, width: FloatWidth): [least: Vector, greatest: Vector] {
  const add = width === 64 ? S.I64X2_ADD : S.I32X4_ADD
  const twice = vector.op(add, [vector])
  return [twice.op(add, [splatOf(code, 1, 0xff)]), twice]
}

/** Whether any of the numbers, in the lanes that count, is beyond the range. */
function isBeyond(code: Code, bound: Bound, all: boolean, least: Vector, greatest: Vector): Int {
  const { width } = bound
  const [bias, shift] = EXPONENTS[width]
  const [low, high] = [bound.low, bound.high].map(exponent => ((bias + exponent) << shift) >>> 0)
  if (!all) {
    const lane = width === 64 ? 1 : 0
    return least.lane(32, lane).ltU(low).or(greatest.lane(32, lane).geU(high))
  }
  const below = least.op(S.I32X4_LT_U, [splatOf(code, 4, low)])
  const above = greatest.op(S.I32X4_GE_U, [splatOf(code, 4, high)])
  return below
    .or(above)
    .toInt(S.I32X4_BITMASK, 32)
    .and(width === 64 ? 0xa : 0xf)
    .isNonZero()
}
