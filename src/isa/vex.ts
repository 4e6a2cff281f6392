/**
 * VEX forms of SSE instructions, made from the definitions that these have already. What VEX changes is the same for all
 * (SDM vol. 1, 14.1 and 14.3): the first source is a register of its own, the rest of the destination becomes zero, memory
 * need not be aligned, and 256 bits are two lanes of 128 that do not mix.
 */
import { Vector } from '../ir/values.ts'
import { type Feature, type Instruction, instruction } from './definition.ts'
import type { Int, Operand, Semantics, VectorOperand, Width } from './semantics.ts'
import { lanesTogether } from './sse-float-paths.ts'

/** What a derived form may differ in. */
export interface VexOptions {
  /** V before the legacy name by default. */
  readonly mnemonic?: string
  readonly feature?: Feature
  /** VEX.L by name; two lanes with 256. */
  readonly length?: 128 | 256 | 'LZ' | 'LIG'
  /** VEX.W by name, WIG by default; an empty text leaves it out, so that it is the operand size. */
  readonly w?: 'WIG' | 'W0' | 'W1' | ''
  /** A first source is named by VEX.vvvv: in place of the destination's old value. */
  readonly threeOperands?: boolean
  /** The encodings; those of the legacy instruction in VEX's words by default. */
  readonly encodings?: readonly string[]
  /** Only legacy encodings that this matches are taken over. */
  readonly only?: RegExp
  /** It may raise floating-point exceptions. */
  readonly floats?: boolean
  /** By how many bits the second lane's part of an immediate is further up. */
  readonly immediateShift?: number
  /**
   * Where the lanes' sources are: in the lanes of the last vector operand (by default), in the halves of a narrower one,
   * or the same for both.
   */
  readonly source?: 'lanes' | 'halves' | 'shared'
  /** Two lanes give 64 bits each, side by side in an XMM register. */
  readonly narrows?: boolean
  /** Two lanes give so many bits each of a general register. */
  readonly joins?: number
}

/** An encoding of an SSE instruction with a VEX prefix in place of its own. @throws Error when it has no mandatory prefix */
export function vexEncoding(legacy: string, options: VexOptions): string {
  const [bytes, operands = ''] = legacy.split(/ {2,}/)
  const parsed = /^(NP|66|F3|F2) (?:W[01] )?0F (38 |3A )?(.*)$/.exec(bytes)
  if (!parsed) throw new Error(`'${legacy}' has no VEX form`)
  const [, prefix, map = '', rest] = parsed
  const { length = 128, w = 'WIG', threeOperands = false, source = 'lanes' } = options
  const fields = ['VEX', length, ...(prefix === 'NP' ? [] : [prefix]), `0F${map.trim()}`, ...(w === '' ? [] : [w])]
  const words = operands.split(',')
  if (threeOperands) words.splice(words[0][0] === 'U' || words[0] === 'Wd' || words[0] === 'Wq' ? 0 : 1, 0, 'Hdq')
  let made = words
  if (length === 256) {
    made = words.map((word, i) => {
      const last = i === words.findLastIndex(other => /^[WUM]/.test(other)) && i > 0
      if (source !== 'lanes' && last) return source === 'shared' ? word : DOUBLE[word]
      if (/^W[qdw]$/.test(word)) return 'Wx'
      return options.narrows && i === 0 ? word : word.replace(/^([VWUHML])dq$/, '$1x')
    })
  }
  return `${fields.join('.')} ${rest}${operands === '' ? '' : `  ${made.join(',')}`}`
}

/** Twice the bytes. */
const DOUBLE: Readonly<Record<string, string>> = { Wq: 'Wdq', Wd: 'Wq', Ww: 'Wd' }

/** What an SSE definition sees as its destination: a value that is written once all lanes are known. */
export class Result implements VectorOperand {
  readonly kind = 'register'
  readonly bytes = 16
  /** What was written, if anything. */
  value: Vector | undefined
  private readonly before: VectorOperand

  /** @param before the first source */
  constructor(before: VectorOperand) {
    this.before = before
  }
  get upper(): VectorOperand {
    throw new Error('a lane has no upper half')
  }
  readVector(): Vector {
    return this.value ?? this.before.readVector()
  }
  writeVector(value: Vector): void {
    this.value = value
  }
  readLow(width: Width): Int {
    return this.value ? this.value.lane(width, 0) : this.before.readLow(width)
  }
  writeLow(value: Int): void {
    this.value = this.readVector().withLane(0, value)
  }
  readHalf(half: 0 | 1): Int {
    return this.value ? this.value.lane(64, half) : this.before.readHalf(half)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.value = this.readVector().withLane(half, value)
  }
  probeWrite(): void {}
  requireAligned(): void {}
}

/** A lane of a source that was read before. */
class Lane extends Result {
  constructor(value: Vector) {
    super(undefined as unknown as VectorOperand)
    this.value = value
  }
  override writeVector(): void {
    throw new Error('a source is not written')
  }
}

/** Memory that need not be aligned. */
class Unaligned implements VectorOperand {
  readonly kind = 'memory'
  readonly bytes: number
  private readonly memory: VectorOperand

  constructor(memory: VectorOperand) {
    this.memory = memory
    this.bytes = memory.bytes
  }
  get upper(): VectorOperand {
    return new Unaligned(this.memory.upper)
  }
  readVector(): Vector {
    return this.memory.readVector(true)
  }
  writeVector(value: Vector): void {
    this.memory.writeVector(value, true)
  }
  readLow(width: Width): Int {
    return this.memory.readLow(width)
  }
  writeLow(value: Int): void {
    this.memory.writeLow(value)
  }
  readHalf(half: 0 | 1): Int {
    return this.memory.readHalf(half)
  }
  writeHalf(half: 0 | 1, value: Int): void {
    this.memory.writeHalf(half, value)
  }
  probeWrite(bytes: number): void {
    this.memory.probeWrite(bytes)
  }
  requireAligned(bytes: number): void {
    this.memory.requireAligned(bytes)
  }
}

type AnyOperand = Operand | VectorOperand

/** Which operands of an encoding are vector registers, or memory in place of one. */
const vectorOperands = (encoding: string): boolean[] =>
  (encoding.split(/ {2,}/)[1] ?? '').split(',').map(word => /^[VWUHL]/.test(word))

/** Zeros in all 128 bits. */
export const zeroVector = (m: Semantics): Vector => m.vector(new Uint8Array(16))

/** Writes an XMM register's 128 bits and clears the rest of its YMM register. */
export function writeXmm(m: Semantics, destination: VectorOperand, value: Vector): void {
  destination.writeVector(value)
  destination.upper.writeVector(zeroVector(m))
}

/** Writes all 256 bits of a register. */
export function writeYmm(destination: VectorOperand, low: Vector, high: Vector): void {
  destination.writeVector(low)
  destination.upper.writeVector(high)
}

/** The two lanes of a register or of memory, which need not be aligned. */
export function readYmm(source: VectorOperand): [low: Vector, high: Vector] {
  return [source.readVector(true), source.upper.readVector(true)]
}

/** A vector's bytes from `first` on, zeros behind them. */
function upperPart(m: Semantics, value: Vector, first: number): Vector {
  const lanes = Array.from({ length: 16 }, (_, i) => first + i)
  return value.shuffle(1, zeroVector(m), lanes)
}

/** What a form is made by, besides its options. */
interface Making extends VexOptions {
  readonly of: Instruction
  /** Operands that are vectors. */
  readonly vectors: readonly boolean[]
  /** Bytes of a half of a source that is narrower than the destination: what the legacy instruction reads. */
  readonly half: number
}

/** The two lanes' views of a source. Memory is read here, so that no fault comes after the first lane was computed. */
function lanesOf(m: Semantics, making: Making, number: number, operands: AnyOperand[]): [AnyOperand, AnyOperand] {
  const { immediateShift = 0, source = 'lanes', vectors } = making
  if (!vectors[number]) {
    const immediate = operands[number] as Operand
    if (!immediateShift) return [immediate, immediate]
    const read = () => immediate.read().shr(immediateShift)
    return [immediate, { kind: 'immediate', width: immediate.width, read, write: () => {} }]
  }
  const operand = operands[number] as VectorOperand
  if (source === 'lanes' || number !== vectors.lastIndexOf(true)) {
    if (operand.kind === 'register') return [operand, operand.upper]
    const [low, high] = readYmm(operand)
    return [new Lane(low), new Lane(high)]
  }
  const narrow = operand.kind === 'memory' && operand.bytes < 16
  const value = narrow ? Vector.low(operand.readLow((operand.bytes * 8) as Width)) : operand.readVector(true)
  if (source === 'shared') return [new Lane(value), new Lane(value)]
  return [new Lane(value), new Lane(upperPart(m, value, making.half))]
}

type Execute = (m: Semantics, ...operands: AnyOperand[]) => void

/** The numbers of the operands that are sources by themselves: the first of three is the destination's old value. */
const sourceNumbers = ({ threeOperands, vectors }: Making): number[] =>
  vectors.map((_, i) => i).slice(threeOperands ? 2 : 1)

/** A derived form of one lane. */
function executeOne(making: Making, m: Semantics, operands: AnyOperand[]): void {
  const { of, threeOperands, vectors } = making
  const execute = of.execute as unknown as Execute
  const free = (number: number): AnyOperand => {
    const operand = operands[number]
    return vectors[number] && operand.kind === 'memory' ? new Unaligned(operand as VectorOperand) : operand
  }
  const sources = sourceNumbers(making).map(free)
  const [destination] = operands
  if (!vectors[0] || destination.kind === 'memory') execute.call(of, m, free(0), ...sources)
  else {
    const result = new Result((threeOperands ? operands[1] : destination) as VectorOperand)
    execute.call(of, m, result, ...sources)
    if (result.value) writeXmm(m, destination as VectorOperand, result.value)
  }
}

/** A derived form of two lanes. */
function executeTwo(making: Making, m: Semantics, operands: AnyOperand[]): void {
  const { of, joins, narrows, floats } = making
  const execute = of.execute as unknown as Execute
  const sources = sourceNumbers(making).map(number => lanesOf(m, making, number, operands))
  const lane = (n: 0 | 1) => sources.map(both => both[n])
  if (joins !== undefined) {
    const general = operands[0] as Operand
    const parts = ([0, 1] as const).map(n => {
      let part: Int | undefined
      const write = (value: Int) => {
        part = value
      }
      execute.call(
        of,
        m,
        { kind: 'register', width: general.width, read: () => general.read(), write } as Operand,
        ...lane(n),
      )
      return part as unknown as Int
    })
    general.write(parts[0].or(parts[1].shl(joins)))
    return
  }
  const destination = operands[0] as VectorOperand
  const before = (making.threeOperands ? operands[1] : destination) as VectorOperand
  const results = [new Result(before), new Result(before.upper)]
  const both = () => {
    for (const n of [0, 1] as const) execute.call(of, m, results[n], ...lane(n))
  }
  if (floats) lanesTogether(m, both)
  else both()
  const [low, high] = results.map(result => result.value as Vector)
  if (narrows) writeXmm(m, destination, low.shuffle(8, high, [0, 2]))
  else writeYmm(destination, low, high)
}

/** The VEX form of an SSE instruction. */
export function vexForm(of: Instruction, options: VexOptions): Instruction {
  const { mnemonic = `V${of.mnemonic}`, length = 128, only } = options
  const taken = only ? of.encodings.filter(encoding => only.test(encoding)) : of.encodings
  const encodings = options.encodings ?? taken.map(encoding => vexEncoding(encoding, options))
  const half = { q: 8, d: 4, w: 2 }[/W([qdw])(,|$)/.exec(of.encodings[0])?.[1] as 'q'] ?? 16
  const making: Making = { ...options, of, half, vectors: vectorOperands(encodings[0]) }
  return instruction<AnyOperand[]>(mnemonic, {
    encodings,
    feature: options.feature ?? 'avx',
    unit: 'avx',
    execute(m, ...operands) {
      if (length === 256) executeTwo(making, m, operands)
      else executeOne(making, m, operands)
    },
  })
}
