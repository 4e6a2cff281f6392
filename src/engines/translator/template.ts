/**
 * The code of an instruction with holes in it, for what instructions of one shape differ in: registers, numbers, where they
 * lie. It is built once from the definition; every instruction of the shape is then a copy with its holes filled.
 */
import { F, RSP } from '../../cpu/state.ts'
import { Emitter, FunctionBuilder, type Linker } from '../../ir/function.ts'
import { Label, type Node, OP_HOLE, OP_LOCAL_GET } from '../../ir/node.ts'
import { distanceFrom } from '../../ir/sums.ts'
import { Int, Vector, type Width } from '../../ir/values.ts'
import { Decoded, isHighByte, NO_REGISTER, RIP_BASE } from '../../isa/decoder.ts'
import type { OperandKind, OperandSpec } from '../../isa/encoding.ts'
import { Code, type Context, type Routine, Variable } from '../../isa/semantics.ts'
import type { RamPlacement } from '../../memory/layout.ts'
import { TLB_WRITE } from '../../memory/tlb.ts'
import { F32, F64, type FunctionType, I32, I64, V128, type ValueType } from '../../wasm/types.ts'
import { buildAfter } from '../checks.ts'
import { REGION_TYPE } from '../interpreter/main.ts'
import { widthOf } from '../interpreter/semantics.ts'
import { FILL_TLB_ALONE, type SizeArgument, type Usage } from '../semantics.ts'
import { type Known, RegionFlags } from './flags.ts'
import { type AccessPart, type AccessShape, type InstructionShape, OPERAND_PART, STACK_PART } from './near-accesses.ts'
import { type RamPlace, type RegionPlace, TranslatorSemantics } from './semantics.ts'

/** Locals that hold values within one template: so many of each type of integers, and of each of the others. */
const MOST_INTEGERS = 24
const MOST_FLOATS = 16
/** The locals of every function that is made of templates, by number; parameter 0 is the vCPU's base. */
export const LOCALS = {
  /** The general-purpose registers. */
  gpr: 1,
  /** RIP where the region was entered, and where execution goes on outside of it. */
  entry: 17,
  rip: 18,
  /** The flags: a recipe's kind and operands. */
  a: 19,
  b: 20,
  kind: 21,
  budget: 22,
  bailing: 23,
  /** Nonzero on the way to where the region was entered, if that is not its first block; and nonzero there. */
  into: 24,
  came: 25,
  /** Where ranges are that several accesses go to (near-accesses.ts). */
  places: 26,
  /** Values within one template, of each type in turn. */
  integers: 32,
  /** The XMM registers, then the upper halves of the YMM registers. */
  xmm: 32 + 2 * MOST_INTEGERS,
  /** Values within one template, of each type in turn. */
  floats: 64 + 2 * MOST_INTEGERS,
} as const
const INTEGERS: readonly ValueType[] = [I64, I32]
const FLOATS: readonly ValueType[] = [V128, F64, F32]

/** The type of a local of {@link LOCALS}. */
function typeOfLocal(index: number): ValueType {
  if (index >= LOCALS.floats) return FLOATS[(index - LOCALS.floats) % 3]
  if (index >= LOCALS.xmm) return V128
  if (index >= LOCALS.integers) return INTEGERS[(index - LOCALS.integers) % 2]
  return index >= LOCALS.kind ? I32 : I64
}

/**
 * The declaration of locals. What V8 does for each place where ways meet it does for every local, so there are none more than are used.
 * @param count of locals, with the parameter
 */
export function declareLocals(count: number): Uint8Array {
  const groups: [count: number, type: ValueType][] = []
  for (let index = 1; index < count; index++) {
    const type = typeOfLocal(index)
    const last = groups.at(-1)
    if (last?.[1] === type) last[0]++
    else groups.push([1, type])
  }
  return Uint8Array.from([groups.length, ...groups.flat()])
}

/** What fills a hole. A register's number of the decoded instruction: the next six, plus 1 for a high byte register. */
export const HOLE_GPR = 0
export const HOLE_XMM = 1
/** Numbers, as signed LEB128 of 5 bytes. */
export const HOLE_IMMEDIATE = 2
export const HOLE_DISPLACEMENT = 3
/** Distances from the entry: of the instruction, of the next one, and of what a RIP-relative operand names. */
export const HOLE_START = 4
export const HOLE_END = 5
export const HOLE_RELATIVE = 6
/** Instructions executed that the budget does not know of yet, in 2 bytes. */
export const HOLE_PENDING = 7
/** The TLB's address. */
export const HOLE_TLB = 8
/** The immediate in 10 bytes. */
export const HOLE_IMMEDIATE_64 = 9
/** A branch to where an instruction is left to the interpreter, in 2 bytes; the argument is how deep it lies in the template, more by {@link LEFT_BEHIND} for the region's end. */
export const HOLE_BAIL = 10
/** How much further out a region ends than where instructions are left to the interpreter. */
export const LEFT_BEHIND = 2
/** A function's index, in 3 bytes; the argument counts the template's calls. */
export const HOLE_CALL = 11

/** The distance that a relative jump goes to. */
export const HOLE_TARGET = 12

/** The address of the word that says where a page of the region's code was, in 5 bytes: of the page that the immediate counts. */
export const HOLE_PAGE = 13

/** Of one of the instruction's accesses that lie near others: the local with the place. The argument is which. */
export const HOLE_PLACE = 14
/** Likewise: how far from there, as the offset of an access and as a number, in 5 bytes. The argument is which, in bit 16, and what is to be added, more by PLACE_BIAS. */
export const HOLE_PLACE_OFFSET = 15
export const HOLE_PLACE_NUMBER = 16
export const PLACE_BIAS = 0x4000
/** The TLB's address and the argument, as the offset of an access, in 5 bytes. */
export const HOLE_TLB_OFFSET = 17
/** The instruction's distance from the entry, and behind it in {@link PENDING_BITS} bits those that the budget does not know of, in 8 bytes. */
export const HOLE_WHERE = 18
export const PENDING_BITS = 14

/** The fields that registers come from. */
const FIELDS = [
  'reg',
  'rm',
  'base',
  'index',
  'opcodeRegister',
  'vexRegister',
  'immediateRegister',
  'vectorIndex',
] as const
/** The number of a decoded instruction's register. */
export function fieldOf(decoded: Decoded, field: number): number {
  switch (field) {
    case 0:
      return decoded.reg
    case 1:
      return decoded.rm
    case 2:
      return decoded.base
    case 3:
      return decoded.index
    case 4:
      return decoded.opcodeRegister
    case 5:
      return decoded.vexRegister
    case 6:
      return decoded.immediateRegister
    default:
      return decoded.vectorIndex
  }
}
/** Numbers that stand for a field's register while a template is built; one more is the high byte register's. */
const GPR_MARKER = 32
/** Likewise for XMM registers; 16 more is the upper half's. */
const XMM_MARKER = 64
/** Locals that stand for markers. */
const MARKED_LOCAL = 1000

/** Locals that stand for the places of the instruction's accesses; offsets that stand for how far from there. */
const PLACE_LOCAL = 2000
const PLACE_OFFSET = 0x20000000
/** Offsets that are counted from the TLB's start. */
export const TLB_OFFSET = 0x30000000

/** Any two registers may be the same one: reads and writes of all keep their order. */
const GPR_BIT = 1 << 26
const XMM_BIT = 1 << 25

/** Why no template is made of an instruction. */
export class NoTemplate extends Error {}

/** The code of a template under construction. */
export class TemplateFunction extends FunctionBuilder {
  private readonly counts = new Map<ValueType, number>()

  constructor() {
    super(REGION_TYPE)
  }
  override local(type: ValueType): number {
    const count = this.counts.get(type) ?? 0
    const types = INTEGERS.includes(type) ? INTEGERS : FLOATS
    const isInteger = types === INTEGERS
    if (count === (isInteger ? MOST_INTEGERS : MOST_FLOATS)) throw new NoTemplate('too many values')
    this.counts.set(type, count + 1)
    return (isInteger ? LOCALS.integers : LOCALS.floats) + count * types.length + types.indexOf(type)
  }
  private mask(index: number): number {
    if (index >= PLACE_LOCAL) return 1 << 24
    if (index >= MARKED_LOCAL + XMM_MARKER) return XMM_BIT
    if (index >= MARKED_LOCAL || (index >= LOCALS.gpr && index < LOCALS.gpr + 16)) return GPR_BIT
    if (index >= LOCALS.xmm && index < LOCALS.xmm + 32) return XMM_BIT
    return 1 << (index % 25)
  }
  override getLocal(index: number, type: ValueType): Node {
    return this.read(OP_LOCAL_GET, type, [], index, 0, this.mask(index))
  }
  override setLocal(index: number, value: Node): void {
    super.setMasked(index, value, this.mask(index))
  }
  /** A number that a copy puts in. */
  hole(kind: number, width: 32 | 64, argument = 0): Int {
    return new Int(this, this.pure(OP_HOLE, width === 64 ? I64 : I32, [], kind, argument), width)
  }
  /** The registers of the instruction's operand. */
  baseRegister(): Int {
    return new Int(this, this.getLocal(MARKED_LOCAL + GPR_MARKER + 4, I64), 64)
  }
  indexRegister(): Int {
    return new Int(this, this.getLocal(MARKED_LOCAL + GPR_MARKER + 6, I64), 64)
  }
  /** The place of the instruction's accesses of a part. */
  place(part: number): Int {
    return new Int(this, this.getLocal(PLACE_LOCAL + part, I32), 32)
  }
  setPlace(value: Int): void {
    this.setLocal(PLACE_LOCAL, value.node)
  }
}

/** The flags in a template: what is known of the locals that hold them depends on what came before. */
export class TemplateFlags extends RegionFlags {
  private readonly initial: Known
  constructor(code: Code, known: number) {
    super(code, [LOCALS.kind, LOCALS.a, LOCALS.b])
    this.initial =
      known === KNOWN_NOTHING
        ? 'locals'
        : known === KNOWN_STATE
          ? 'state'
          : known === KNOWN_SETTLED
            ? 'settled'
            : this.knownLocals(known)
    this.known = this.initial
  }
  override toLocals(): void {
    if (this.known !== this.initial) super.toLocals()
  }
  /** What is known of the locals in the end: {@link Template.known}. */
  finish(): number {
    if (this.known === this.initial) return KNOWN_SAME
    const known = this.keep()
    return known === 'locals'
      ? KNOWN_NOTHING
      : known === 'state'
        ? KNOWN_STATE
        : known === 'settled'
          ? KNOWN_SETTLED
          : known
  }
}

/** What is known of the flags besides recipes' kinds: nothing but what the locals say; they are in the state; there and settled. */
export const KNOWN_NOTHING = 0
export const KNOWN_STATE = 21
export const KNOWN_SETTLED = 22
export const KNOWN_SAME = -1

/** How far a value is from RSP as it was read; undefined if it is anything else. */
const stackSum = (value: Node): number | undefined =>
  distanceFrom(value, ({ op, imm }) => op === OP_LOCAL_GET && imm === LOCALS.gpr + RSP)

class TemplatePlace implements RegionPlace {
  readonly f = new TemplateFunction()
  readonly code = new Code(this.f)
  readonly flags: TemplateFlags
  readonly rip = new Variable(this.f, 64, LOCALS.rip)
  readonly entry = new Variable(this.f, 64, LOCALS.entry)
  readonly budget = new Variable(this.f, 32, LOCALS.budget)
  readonly missed = new Label()
  readonly left = new Label()
  readonly x87 = undefined
  readonly settled: number[] = new Array(XMM_MARKER + 32).fill(0)
  /** What is added to RSP by its name: undefined as long as nothing is, NaN if it becomes anything. */
  stackStep: number | undefined

  constructor(known: number) {
    this.flags = new TemplateFlags(this.code, known)
  }
  get base(): Int {
    return this.code.base
  }
  ripAt(): Int {
    throw new NoTemplate('a distance is asked for')
  }
  private gpr(number: number): number {
    return number < GPR_MARKER ? LOCALS.gpr + number : MARKED_LOCAL + number
  }
  readGpr(number: number): Int {
    return new Int(this.f, this.f.getLocal(this.gpr(number), I64), 64)
  }
  writeGpr(number: number, value: Int): void {
    if (number === RSP) {
      const sum = stackSum(value.node)
      this.stackStep = this.stackStep === undefined && sum !== undefined ? sum : Number.NaN
    }
    this.f.setLocal(this.gpr(number), value.node)
  }
  private xmm(number: number): number {
    return number < GPR_MARKER ? LOCALS.xmm + number : MARKED_LOCAL + number
  }
  readXmm(number: number): Vector {
    return new Vector(this.f, this.f.getLocal(this.xmm(number), V128))
  }
  writeXmm(number: number, value: Vector): void {
    this.f.setLocal(this.xmm(number), value.node)
    this.settled[number] = 0
  }
  unsettle(): void {
    this.settled.fill(0)
  }
  bail(): void {
    throw new NoTemplate('a distance is bailed to')
  }
  again(): void {
    throw new NoTemplate('a distance is left to')
  }
}

/** Kinds of operands whose numbers are part of the code. */
const EXACT_REG: ReadonlySet<OperandKind> = new Set(['segment', 'control', 'debug', 'mmx'])
const EXACT_RM: ReadonlySet<OperandKind> = new Set(['sti', 'mmxRegister', 'mmxRm'])

/** What of an instruction is part of its template: see {@link templateKey}. */
export interface Exactness {
  readonly reg: boolean
  readonly rm: boolean
  readonly immediate: boolean
}

/** What is exact in the templates of a form. */
export function exactness({ decoded, usage }: { decoded: Decoded; usage: Usage }): Exactness {
  const { operands, instruction, immediates } = decoded.form
  const small = operands.some(({ kind, size }) => kind === 'immediate' && size === 'b')
  const matters = usage.setsFlagsSometimes || instruction.unit !== undefined || immediates.length > 1
  return {
    reg: operands.some(({ kind }) => EXACT_REG.has(kind)),
    rm: operands.some(({ kind }) => EXACT_RM.has(kind)),
    immediate: small && matters,
  }
}

class TemplateSemantics extends TranslatorSemantics {
  private readonly home: TemplatePlace
  private readonly original: Decoded
  private readonly exact: Exactness
  /** Which of the accesses have places: bits by part. */
  private readonly near: number
  /** All accesses that may have. */
  readonly accesses: AccessShape[] = []
  /** The condition of a jump. */
  condition: Int | undefined

  constructor(
    home: TemplatePlace,
    pattern: Decoded,
    original: Decoded,
    exact: Exactness,
    context: Context,
    usage: Usage,
    near: number,
  ) {
    super(home, pattern, context, usage, 0, 0)
    this.near = near
    this.home = home
    this.original = original
    this.exact = exact
  }

  private get function(): TemplateFunction {
    return this.f as TemplateFunction
  }
  private fromEntry(kind: number): Int {
    const entry = new Int(this.f, this.f.getLocal(LOCALS.entry, I64), 64)
    const sum = entry.add(this.function.hole(kind, 64))
    return this.long ? sum : sum.and(0xffffffff)
  }
  override get nextRip(): Int {
    return this.fromEntry(HOLE_END)
  }
  override get thisRip(): Int {
    return this.fromEntry(HOLE_START)
  }
  override get privilegeLevel(): Int {
    return this.get(F.cpl)
  }
  override tlbBase(): Int {
    return this.function.hole(HOLE_TLB, 32)
  }
  protected override get tlbStart(): number {
    return TLB_OFFSET
  }

  /** What is called from a region must not change what places stand for. */
  protected override get refillName(): string {
    return FILL_TLB_ALONE
  }

  protected override nearPlace(
    linear: Int,
    bytes: number,
    tag: number,
    size: SizeArgument,
    aligned: () => void,
  ): RamPlace | undefined {
    const found = this.partOf(linear.node)
    if (!found) return undefined
    const { part, delta } = found
    const writes = tag === TLB_WRITE
    if (!this.accesses.some(a => a.part === part && a.delta === delta && a.bytes === bytes && a.writes === writes))
      this.accesses.push({ part, delta, bytes, writes })
    if (((this.near >> part) & 1) === 0) return undefined
    const argument = (part << 16) | (delta + PLACE_BIAS)
    const distance = this.function.hole(HOLE_PLACE_NUMBER, 32, argument)
    const address = this.variable(32, this.function.place(part))
    const missing = () => {
      aligned()
      this.missedPlace(address, linear, bytes, tag, size)
      address.value = address.value.sub(distance)
    }
    this.if(address.value.isZero(), missing, undefined, 'unlikely')
    return { address: address.value, offset: PLACE_OFFSET + argument, whole: address.value.add(distance) }
  }

  /** Which of the instruction's accesses a linear address is of, and how far it is from where that begins. */
  private partOf(linear: Node): { part: AccessPart; delta: number } | undefined {
    const stack = this.home.stackStep === undefined ? stackSum(linear) : undefined
    if (stack !== undefined) return Math.abs(stack) < PLACE_BIAS ? { part: STACK_PART, delta: stack } : undefined
    const operand = this.offset?.node
    const delta = operand && distanceFrom(linear, node => node === operand)
    return delta !== undefined && Math.abs(delta) < PLACE_BIAS ? { part: OPERAND_PART, delta } : undefined
  }

  protected override effectiveAddress(): Int {
    const { decoded, region } = this
    if (decoded.addressSize === 16) throw new NoTemplate('addresses of 16 bits')
    const width = decoded.addressSize
    if (decoded.base === RIP_BASE) return this.fromEntry(HOLE_RELATIVE).resize(width)
    let sum: Int | undefined
    if (decoded.base !== NO_REGISTER) sum = region.readGpr(decoded.base).truncate(width)
    if (decoded.index !== NO_REGISTER) {
      const index = region.readGpr(decoded.index).truncate(width).shl(decoded.scale)
      sum = sum ? sum.add(index) : index
    }
    if (sum && decoded.displacement === 0) return sum
    const displacement = this.function.hole(HOLE_DISPLACEMENT, width)
    return sum ? sum.add(displacement) : displacement
  }

  protected override gpr(spec: OperandSpec, number: number, width: Width) {
    const field = FIELDS[(number - GPR_MARKER) >> 1]
    if (spec.size === 'b' && isHighByte(this.original, this.original[field])) return this.highByte(number + 1)
    return this.register(number, width)
  }

  protected override operand(spec: OperandSpec): unknown {
    const { decoded, exact, context } = this
    const first = decoded.form.operands.find(other => other.kind === 'immediate')
    if (spec.kind === 'immediate' && !exact.immediate && spec === first) {
      const width = widthOf(spec, context)
      if (width < 64) {
        const value = this.function.hole(HOLE_IMMEDIATE, 32)
        return this.immediate(width, new Int(this.f, value.node, width))
      }
      return this.immediate(64, this.function.hole(isWide(this.original) ? HOLE_IMMEDIATE_64 : HOLE_IMMEDIATE, 64))
    }
    switch (spec.kind) {
      case 'relative':
        this.relative = this.fromEntry(HOLE_TARGET)
        return this.relative
      case 'xmm':
      case 'xmmRegister':
      case 'vexXmm':
      case 'immediateXmm':
        return this.xmm(XMM_MARKER + { xmm: 0, xmmRegister: 1, vexXmm: 5, immediateXmm: 6 }[spec.kind])
      case 'xmmRm':
        if (!decoded.hasMemory) return this.xmm(XMM_MARKER + 1)
        break
      case 'vectorMemory':
      case 'farOffset':
      case 'farSelector':
        throw new NoTemplate(spec.kind)
    }
    return super.operand(spec)
  }

  override bail(): void {
    this.f.branch(this.home.missed, this.where)
  }
  protected override bailIf(condition: Int): void {
    this.f.branchIf(condition.node, this.home.missed, 'unlikely', this.where)
  }
  /** What is known only here of where the interpreter goes on. */
  private get where(): Node {
    return this.function.hole(HOLE_WHERE, 64).node
  }
  override restart(): void {
    const { home } = this
    home.rip.value = this.thisRip
    home.budget.value = home.budget.value.sub(this.function.hole(HOLE_PENDING, 32)).sub(1)
    this.f.branch(home.left)
  }

  override branch(condition: Int, target: Int): void {
    if (this.throughRip || target !== this.relative || this.nesting > 0) {
      super.branch(condition, target)
      return
    }
    this.condition = condition
    this.ending = { kind: 'goto', condition: undefined }
  }
}

/** Whether the immediate of 64 bits is more than 32 bits and a sign. */
export const isWide = ({ immLow, immHigh }: Decoded): boolean => immHigh !== immLow >> 31

/** An instruction's code with holes. */
export interface Template {
  readonly bytes: Uint8Array
  /** In groups of three: offset, kind, argument. */
  readonly holes: Int32Array
  /** Offset of a branch, and whether it is likely, in turn. */
  readonly hints: readonly number[]
  /** General-purpose and XMM registers that it names, whatever the instruction says: bits by number. */
  readonly gprs: number
  readonly writtenGprs: number
  readonly xmms: number
  readonly writtenXmms: number
  readonly calls: readonly (readonly [name: string, type: FunctionType])[]
  readonly routines: readonly Routine[]
  /** What is known of the flags behind it: {@link KNOWN_SAME}, {@link KNOWN_NOTHING} … or a recipe's kind. */
  readonly known: number
  /** How it ends; a conditional jump leaves its condition on the stack. */
  readonly ending: 'next' | 'goto' | 'conditional' | 'indirect'
  /** Locals that a function needs for it, with the parameter; those that all have may be left out. */
  readonly locals: number
  /** What it does to addresses. */
  readonly shape: InstructionShape
}

const noLinker = (ram?: RamPlacement): Linker => ({
  functionIndex() {
    throw new NoTemplate('a function is named')
  },
  typeIndex() {
    throw new NoTemplate('a call by type')
  },
  ...(ram && { ram }),
})

/** Labels of where regions are left from. */
interface Exits {
  readonly missed: Label
  readonly left?: Label
}

/** Turns a template's nodes into bytes. */
export class TemplateEmitter extends Emitter {
  private readonly f: TemplateFunction
  private readonly home: Exits | undefined
  private readonly holes: number[] = []
  private readonly callNames: string[] = []
  private gprs = 0
  private writtenGprs = 0
  private xmms = 0
  private writtenXmms = 0
  private needed = 0

  /** @param home has the labels of where regions are left from */
  constructor(f: TemplateFunction, home?: Exits, linker = noLinker()) {
    super(f.type, [], f.nodes, linker, 256)
    this.f = f
    this.home = home
  }
  private note(kind: number, argument: number): void {
    this.holes.push(this.out.length, kind, argument)
  }
  protected override offset(offset: number, base: number): void {
    if (offset < PLACE_OFFSET) {
      super.offset(offset, base)
      return
    }
    if (offset >= TLB_OFFSET) this.note(HOLE_TLB_OFFSET, offset - TLB_OFFSET)
    else this.note(HOLE_PLACE_OFFSET, offset - PLACE_OFFSET)
    for (let i = 0; i < 5; i++) this.out.byte(0)
  }
  protected override local(index: number, sets: boolean): void {
    if (index >= PLACE_LOCAL) {
      this.note(HOLE_PLACE, index - PLACE_LOCAL)
      this.out.byte(0)
      return
    }
    if (index >= MARKED_LOCAL + XMM_MARKER) {
      this.note(HOLE_XMM, (index - MARKED_LOCAL - XMM_MARKER) * 2 + (sets ? 1 : 0))
      this.needs(LOCALS.floats)
      this.out.byte(0)
      return
    }
    if (index >= MARKED_LOCAL) {
      this.note(HOLE_GPR, (index - MARKED_LOCAL - GPR_MARKER) * 2 + (sets ? 1 : 0))
      this.out.byte(0)
      return
    }
    if (index >= LOCALS.integers) this.needs(index < LOCALS.xmm ? index + 1 : Math.max(LOCALS.floats, index + 1))
    if (index >= LOCALS.gpr && index < LOCALS.gpr + 16) {
      this.gprs |= 1 << (index - LOCALS.gpr)
      if (sets) this.writtenGprs |= 1 << (index - LOCALS.gpr)
    } else if (index >= LOCALS.xmm && index < LOCALS.xmm + 32) {
      this.xmms |= 1 << (index - LOCALS.xmm)
      if (sets) this.writtenXmms |= 1 << (index - LOCALS.xmm)
    }
    this.out.unsigned(index)
  }
  private needs(locals: number): void {
    this.needed = Math.max(this.needed, locals)
  }
  protected override hole(node: Node): void {
    const { out } = this
    const kind = node.imm
    out.byte(node.type === I64 ? 0x42 : 0x41)
    this.note(kind, node.imm2)
    const bytes = kind === HOLE_IMMEDIATE_64 ? 10 : kind === HOLE_WHERE ? 8 : kind === HOLE_PENDING ? 2 : 5
    for (let i = 0; i < bytes; i++) out.byte(0)
  }
  protected override label(label: Label, depth: number): void {
    if (label !== this.home?.missed && label !== this.home?.left) {
      super.label(label, depth)
      return
    }
    this.note(HOLE_BAIL, label === this.home.left ? depth + LEFT_BEHIND : depth)
    this.out.byte(0)
    this.out.byte(0)
  }
  protected override callee(name: string): void {
    this.note(HOLE_CALL, this.callNames.push(name) - 1)
    for (let i = 0; i < 3; i++) this.out.byte(0)
  }
  protected override another(type: ValueType): number {
    return this.f.local(type)
  }

  /** @param last what is left on the stack */
  template(
    last: Node | undefined,
    known: number,
    ending: Template['ending'],
    routines: Iterable<Routine>,
    accesses: readonly AccessShape[] = [],
    stackStep?: number,
  ): Template {
    if (last) {
      last.uses++
      last.hotUses++
    }
    this.code()
    if (last) this.value(last)
    return {
      bytes: this.out.finish(),
      holes: Int32Array.from(this.holes),
      hints: this.hints.flatMap(({ offset, likely }) => [offset, likely ? 1 : 0]),
      gprs: this.gprs,
      writtenGprs: this.writtenGprs,
      xmms: this.xmms,
      writtenXmms: this.writtenXmms,
      calls: this.callNames.map(name => [name, this.f.calls.get(name)!] as const),
      routines: [...routines],
      known,
      ending,
      locals: this.needed,
      shape: { accesses, stackStep, writtenAlways: this.writtenGprs, written: writtenByHoles(this.holes) },
    }
  }
}

/** The registers that fill holes in which they are written, by the instruction. */
function writtenByHoles(holes: readonly number[]): (decoded: Decoded) => number {
  const set = new Set<number>()
  for (let i = 0; i < holes.length; i += 3) if (holes[i + 1] === HOLE_GPR && holes[i + 2] & 1) set.add(holes[i + 2])
  const list = [...set]
  if (list.length === 0) return () => 0
  return decoded => {
    let written = 0
    for (const argument of list) written |= 1 << registerIn(decoded, argument)
    return written
  }
}

/** The general-purpose register that fills a hole. */
export const registerIn = (decoded: Decoded, argument: number): number =>
  fieldOf(decoded, argument >> 2) - (argument & 2 ? 4 : 0)

/** A decoded instruction with markers in the place of registers. */
function patternOf(decoded: Decoded, exact: Exactness): Decoded {
  const pattern = Object.assign(new Decoded(), decoded)
  const mark = (field: number) => GPR_MARKER + field * 2
  if (!exact.reg) pattern.reg = mark(0)
  if (!exact.rm) pattern.rm = mark(1)
  if (decoded.hasMemory) {
    if (decoded.base < NO_REGISTER) pattern.base = mark(2)
    if (decoded.index < NO_REGISTER) pattern.index = mark(3)
  }
  pattern.opcodeRegister = mark(4)
  pattern.vexRegister = mark(5)
  return pattern
}

/**
 * Builds the template of an instruction.
 * @param known what is known of the flags in front of it
 * @param live whether anybody looks at the flags that it sets
 * @param near which of its accesses have places: bits by part
 * @param ram where memory 1 lies
 * @throws NoTemplate when it is not for templates
 */
export function makeTemplate(
  decoded: Decoded,
  context: Context,
  usage: Usage,
  exact: Exactness,
  known: number,
  live: boolean,
  near: number,
  ram: RamPlacement,
): Template {
  const place = new TemplatePlace(known)
  const { flags } = place
  flags.dead = !live
  const m = new TemplateSemantics(place, patternOf(decoded, exact), decoded, exact, context, usage, near)
  m.enter()
  const isKnown = exact.immediate || decoded.form.operands.some(({ kind }) => kind === 'one')
  flags.begin(usage.setsFlagsSometimes && !isKnown)
  const definition = decoded.form.instruction
  const execute = definition.execute as (m: TemplateSemantics, ...operands: unknown[]) => void
  execute.call(definition, m, ...m.operands())
  flags.end()
  buildAfter(m, definition)
  const after = flags.finish()
  const { kind } = m.ending
  const ending = kind === 'goto' && m.condition ? 'conditional' : kind
  const routines = new Set([...m.used, ...place.code.used])
  const step = place.stackStep
  return new TemplateEmitter(place.f, place, noLinker(ram)).template(
    m.condition?.node,
    after,
    ending,
    routines,
    m.accesses,
    Number.isNaN(step) ? undefined : step,
  )
}

/** Bits of an instruction that its template depends on, besides its shape; below 2^32. */
export function templateKey(decoded: Decoded, exact: Exactness, known: number, live: boolean): number {
  let bits = known | (live ? 32 : 0)
  if (decoded.hasMemory) {
    if (decoded.base !== NO_REGISTER) bits |= 64
    if (decoded.displacement !== 0) bits |= 128
    // The stack's exceptions are others, and FS and GS have bases of their own.
    bits |= (decoded.scale << 8) | (decoded.segment << 10)
  }
  if (decoded.rex === 0) bits |= highBytes(decoded)
  if (isWide(decoded)) bits |= 1 << 16
  let rest = 0
  if (exact.immediate) rest |= decoded.immLow & 0xff
  if (exact.reg) rest |= (decoded.reg & 15) << 8
  if (exact.rm) rest |= (decoded.rm & 7) << 12
  return rest * 131072 + bits
}

/** Which of the byte registers are AH CH DH BH. */
function highBytes(decoded: Decoded): number {
  const { operands } = decoded.form
  let bits = 0
  for (let i = 0; i < operands.length; i++) {
    const { kind, size } = operands[i]
    if (size !== 'b') continue
    if (kind === 'reg') bits |= decoded.reg >= 4 ? 1 << 13 : 0
    else if (kind === 'rm' || kind === 'rmRegister') bits |= !decoded.hasMemory && decoded.rm >= 4 ? 1 << 14 : 0
    else if (kind === 'opcodeRegister') bits |= decoded.opcodeRegister >= 4 ? 1 << 15 : 0
  }
  return bits
}

/** Whether an instruction's displacement fits into its hole. */
export const hasPlainAddress = ({ hasMemory, displacement, displacementHigh }: Decoded): boolean =>
  !hasMemory || displacementHigh === displacement >> 31
