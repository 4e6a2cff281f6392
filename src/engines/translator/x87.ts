/**
 * The x87 in a region: registers, tags and status in locals, the top of the stack known as a distance from what it was at the entry.
 * What is known at a place (which registers are in use, that the control word is plain) is not asked again; ways of execution that
 * meet agree on it.
 */
import { CS, F } from '../../cpu/state.ts'
import type { InlineNumber } from '../../float/x87-inline.ts'
import { C0, C1, C2, C3, classify } from '../../float/x87-stack.ts'
import type { Int } from '../../ir/values.ts'
import { type Code, type MemoryOperand, Variable } from '../../isa/semantics.ts'
import type { X87Locals } from '../../isa/x87-locals.ts'
import { I32 } from '../../wasm/types.ts'
import type { RegionInstruction } from './region.ts'
import { linkedIndex } from './relocatable.ts'

/** All exceptions masked; rounding control to nearest, and precision control for each precision. */
const MASKS = 0x3f
const CONTROL = 0xf3f
const PLAIN = { 53: 0x23f, 64: 0x33f } as const
const STACK_TOP = 0x3800
const INEXACT = 0x20

/** What a region counts on: where it was made, the processor was so. */
export interface X87Assumption {
  readonly precision: 53 | 64
  /** The tag word turned so that the top of the stack comes first. */
  readonly tags: number
  /** Whether the region shall count on tags and control word from its entry on: else only where it needs them. */
  readonly fromEntry: boolean
}

/** What a region may count on in a state: control word, tag word, top as an offset; undefined where results are rounded in other ways. */
export function assumedOfX87(
  control: number,
  tags: number,
  top: number,
): Pick<X87Assumption, 'precision' | 'tags'> | undefined {
  const precision = ([64, 53] as const).find(precision => (control & CONTROL) === PLAIN[precision])
  const turn = top >> 3
  return precision && { precision, tags: ((tags >> turn) | (tags << (16 - turn))) & 0xffff }
}

/** What is known of the x87 at a place. Registers count from the one that was the top at the entry. */
export interface X87Known {
  /** How far the top is from where it was. */
  readonly top: number
  /** Bits of registers: in use, empty, and those whose tags in the local are not right. */
  readonly full: number
  readonly empty: number
  readonly stale: number
  readonly control: 'plain' | 'masked' | undefined
  /** Distance of the last instruction noted, if the local for it is not right. */
  readonly pointerAt: number | undefined
  /** The selectors noted are those of the code's segment and this one; undefined: they are what they were. */
  readonly selectors: string | undefined
}

/** Instructions that are done in locals, by mnemonic. */
const IN_LOCALS = new Set(
  (
    'FADD FADDP FIADD FMUL FMULP FIMUL FSUB FSUBP FISUB FSUBR FSUBRP FISUBR FDIV FDIVP FIDIV FDIVR FDIVRP FIDIVR ' +
    'FCOM FCOMP FICOM FICOMP FUCOM FUCOMP FCOMPP FUCOMPP FCOMI FUCOMI FCOMIP FUCOMIP FTST FXAM ' +
    'FCMOVB FCMOVE FCMOVBE FCMOVU FCMOVNB FCMOVNE FCMOVNBE FCMOVNU FCHS FABS FSQRT FRNDINT FXCH FFREE FDECSTP FINCSTP ' +
    'FLD FILD FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ FST FSTP FIST FISTP FISTTP ' +
    'FLDCW FNSTCW FNSTSW FNCLEX FNOP FNENI FNDISI FNSETPM'
  ).split(' '),
)

const usesX87 = ({ decoded }: RegionInstruction): boolean => {
  const { unit, mnemonic } = decoded.form.instruction
  return unit === 'x87' || unit === 'x87-no-wait' || unit === 'mmx' || /^F?X?(SAVE|RSTOR)/.test(mnemonic)
}

/**
 * Whether instructions of a region want the x87 in locals: some use it, and none in a way that only the state knows.
 */
export function wantsX87Locals(instructions: Iterable<RegionInstruction>): boolean {
  let any = false
  for (const instruction of instructions) {
    if (!usesX87(instruction)) continue
    const { unit, mnemonic } = instruction.decoded.form.instruction
    if (unit === 'mmx' || !IN_LOCALS.has(mnemonic)) return false
    any = true
  }
  return any
}

/** Whether an instruction works on the stack. */
export const worksOnStack = (instruction: RegionInstruction): boolean =>
  usesX87(instruction) && instruction.decoded.form.instruction.unit === 'x87'

/** The x87 of a region while it is built. */
export class RegionX87 implements X87Locals {
  readonly precision: 53 | 64
  private readonly code: Code
  private readonly assumption: X87Assumption
  private readonly long: boolean
  private readonly significands: (Variable | undefined)[] = new Array(8).fill(undefined)
  private readonly heads: (Variable | undefined)[] = new Array(8).fill(undefined)
  private readonly written = new Set<number>()
  /** The top at the entry, as an offset in F.fpr; tags turned by it. */
  private readonly entryTop: Variable
  private readonly tags: Variable
  private readonly control: Variable
  /** The status word but for the top, C1, and that results were inexact. */
  private readonly status: Variable
  private readonly c1: Variable
  private readonly rest: Variable
  private readonly instructionPointer: Variable
  private readonly dataPointer: Variable
  /** How far the top has moved, at a way out. */
  private readonly moved: Variable
  known: X87Known
  /** What is known where blocks begin that are reached in several ways, by index. */
  private readonly agreed: (X87Known | undefined)[] = []
  /** Of the instruction being built: how it is left to the interpreter, its distance from the entry, the segment of its operand. */
  private bail: () => void = () => {}
  private distance = 0
  private segment = 0
  private readonly ripAt: (distance: number) => Int

  constructor(code: Code, assumption: X87Assumption, long: boolean, ripAt: (distance: number) => Int) {
    this.code = code
    this.assumption = assumption
    this.precision = assumption.precision
    this.long = long
    this.ripAt = ripAt
    const variable = (width: 32 | 64) => new Variable(code.f, width)
    this.entryTop = variable(32)
    this.tags = variable(32)
    this.control = variable(32)
    this.status = variable(32)
    this.c1 = variable(32)
    this.rest = variable(64)
    this.instructionPointer = variable(64)
    this.dataPointer = variable(64)
    this.moved = variable(32)
    this.known = this.atEntry()
  }

  /** What is known at the entry. */
  private atEntry(): X87Known {
    const { fromEntry, tags } = this.assumption
    let empty = 0
    for (let i = 0; i < 8; i++) if (((tags >> (2 * i)) & 3) === 3) empty |= 1 << i
    return {
      top: 0,
      full: fromEntry ? ~empty & 0xff : 0,
      empty: fromEntry ? empty : 0,
      stale: 0,
      control: fromEntry ? 'plain' : undefined,
      pointerAt: undefined,
      selectors: undefined,
    }
  }

  /** Before an instruction. @param segment of its memory operand */
  begin(distance: number, segment: number, bail: () => void): void {
    this.distance = distance
    this.segment = segment
    this.bail = bail
  }

  private learn(changes: Partial<X87Known>): void {
    this.known = { ...this.known, ...changes }
  }

  private slot(register: number): number {
    return (this.known.top + register) & 7
  }

  private leaveIf(condition: Int): void {
    const leave = () => {
      this.tell()
      this.bail()
    }
    this.code.if(condition, leave, undefined, 'unlikely')
  }

  /** Tells the engine that the region does not fit. */
  private tell(): void {
    const { f } = this.code
    f.call('regionIsUnfit', { params: [I32], results: [] }, [linkedIndex(f)])
  }

  needMasked(): void {
    if (this.known.control) return
    this.leaveIf(this.control.value.and(MASKS).ne(MASKS))
    this.learn({ control: 'masked' })
  }

  private isPlain(): Int {
    return this.control.value.and(CONTROL).eq(PLAIN[this.precision])
  }

  needPlain(): void {
    if (this.known.control === 'plain') return
    this.leaveIf(this.isPlain().isZero())
    this.learn({ control: 'plain' })
  }

  /** Registers whose tags this region looks at. */
  private looked = 0

  needFull(...registers: number[]): void {
    const bits = registers.map(register => 1 << this.slot(register)).reduce((a, b) => a | b)
    this.looked |= bits
    const ask = bits & ~this.known.full
    if (!ask) return
    if (ask & this.known.empty) this.leaveIf(this.code.bool(true))
    else this.leaveIf(this.areNot(ask, 0))
    this.learn({ full: this.known.full | ask, empty: this.known.empty & ~ask })
  }

  needEmpty(register: number): void {
    const bit = 1 << this.slot(register)
    this.looked |= bit
    if (this.known.empty & bit) return
    if (this.known.full & bit) this.leaveIf(this.code.bool(true))
    else this.leaveIf(this.areNot(0, bit))
    this.learn({ empty: this.known.empty | bit, full: this.known.full & ~bit })
  }

  /** Whether the local's tags are others than these. */
  private areNot(full: number, empty: number): Int {
    return this.tags.value.and(tagsOf(full | empty)).ne(tagsOf(empty))
  }

  private significand(slot: number): Variable {
    return (this.significands[slot] ??= new Variable(this.code.f, 64))
  }
  private head(slot: number): Variable {
    return (this.heads[slot] ??= new Variable(this.code.f, 32))
  }

  read(register: number): InlineNumber {
    const slot = this.slot(register)
    return { significand: this.significand(slot).value, head: this.head(slot).value }
  }

  write(register: number, { significand, head }: InlineNumber): void {
    const slot = this.slot(register)
    this.significand(slot).value = significand
    this.head(slot).value = head
    this.written.add(slot)
    this.tag(1 << slot, true)
  }

  /** Notes that a register is in use or empty from now on. */
  private tag(bit: number, full: boolean): void {
    const { known } = this
    this.looked |= bit
    if (full ? known.full & bit : known.empty & bit) return
    this.learn({
      full: full ? known.full | bit : known.full & ~bit,
      empty: full ? known.empty & ~bit : known.empty | bit,
      stale: known.stale | bit,
    })
  }

  push(number: InlineNumber): void {
    this.moveTop(-1)
    this.write(0, number)
  }

  pop(): void {
    this.free(0)
    this.moveTop(1)
  }

  moveTop(by: number): void {
    this.learn({ top: (this.known.top + by) & 7 })
  }

  free(register: number): void {
    this.tag(1 << this.slot(register), false)
  }

  setInexact(rest: Int, up: Int): void {
    this.rest.value = this.rest.value.or(rest)
    this.c1.value = up
  }

  raise(flags: Int, setsC1 = true): void {
    this.status.value = this.status.value.or(flags.and(MASKS))
    if (setsC1) this.c1.value = flags.shr(9).and(1)
  }

  clearC1(): void {
    this.c1.set(0)
  }
  setC1(value: Int): void {
    this.c1.value = value
  }

  setConditions(bits: Int): void {
    this.status.value = this.status.value.and(0xffff & ~(C0 | C2 | C3)).or(bits)
  }

  private word(top: Int): Int {
    const inexact = this.rest.value.isNonZero().zeroExtend(32).mul(INEXACT)
    return this.status.value.or(top.shl(7)).or(this.c1.value.shl(9)).or(inexact)
  }

  private topMovedBy(by: Int | number): Int {
    const moved = typeof by === 'number' ? this.entryTop.value.add(by << 4) : this.entryTop.value.add(by.shl(4))
    return moved.and(0x70)
  }

  statusWord(): Int {
    return this.word(this.topMovedBy(this.known.top))
  }

  clearExceptions(): void {
    this.status.value = this.status.value.and(0x7f00)
    this.rest.set(0)
  }

  get controlWord(): Int {
    return this.control.value
  }

  setControlWord(value: Int): void {
    const { code } = this
    const word = code.variable(32, value.and(0x1f3f).or(0x40)).value
    // Inexact results may not have come to the status word.
    this.leaveIf(word.not().and(this.statusWord()).and(MASKS).isNonZero())
    this.control.value = word
    code.set(F.fcw, word)
    this.learn({ control: undefined })
  }

  notePointers(memory?: MemoryOperand): void {
    const { code, known, segment } = this
    this.learn({ pointerAt: this.distance })
    if (memory) this.dataPointer.value = memory.offset.zeroExtend(64)
    if (this.long) return
    const selectors = memory ? String(segment) : (known.selectors ?? '')
    if (known.selectors === selectors) return
    code.set(F.fcs, code.get(F.segmentSelector, CS))
    if (memory) code.set(F.fds, code.get(F.segmentSelector, segment))
    this.learn({ selectors })
  }

  /** Builds what takes tags to the local, of registers (bits) whose are not right there. */
  private settleTags(registers: number): void {
    const stale = registers & this.known.stale
    if (!stale) return
    const kept = this.tags.value.and(0xffff & ~tagsOf(stale))
    this.tags.value = kept.or(tagsOf(stale & this.known.empty))
  }

  private settlePointer(): void {
    const { pointerAt } = this.known
    if (pointerAt !== undefined) this.instructionPointer.value = this.ripAt(pointerAt)
  }

  /** Before a way out of the region. */
  leaving(): void {
    this.moved.set(this.known.top)
    this.settleTags(0xff)
    this.settlePointer()
  }

  /** What is known where a block begins that is reached in several ways. @param entry the block is the region's first */
  startBlock(index: number, entry: boolean): void {
    if (entry) this.agreed[index] ??= this.atEntry()
    this.known = this.agreed[index] ?? { ...this.atEntry(), full: 0, empty: 0, control: undefined }
  }

  /**
   * Builds what a way to a block that is reached in several ways has to bring along. What is known stays as it is.
   * @param leave builds a way out of the region in place of it, where what the others bring does not hold
   * @returns false where it never does: the way out is all that was built
   */
  meet(index: number, leave: () => void): boolean {
    const { known, code } = this
    const agreed = this.agreed[index]
    if (!agreed) {
      this.settlePointer()
      this.settleTags(0xff)
      this.agreed[index] = { ...known, stale: 0, pointerAt: undefined }
      return true
    }
    const fails = agreed.top !== known.top || (agreed.full & known.empty) !== 0 || (agreed.empty & known.full) !== 0
    if (fails) {
      leave()
      return false
    }
    const full = agreed.full & ~known.full
    const empty = agreed.empty & ~known.empty
    if (full | empty) code.if(this.areNot(full, empty), leave, undefined, 'unlikely')
    if (agreed.control && !known.control) {
      const isPlain = agreed.control === 'plain' ? this.isPlain() : this.control.value.and(MASKS).eq(MASKS)
      code.if(isPlain.isZero(), leave, undefined, 'unlikely')
    } else if (agreed.control === 'plain' && known.control === 'masked') {
      code.if(this.isPlain().isZero(), leave, undefined, 'unlikely')
    }
    this.settleTags(0xff)
    this.settlePointer()
    if (agreed.selectors !== undefined && agreed.selectors !== known.selectors) {
      code.set(F.fcs, code.get(F.segmentSelector, CS))
      if (agreed.selectors) code.set(F.fds, code.get(F.segmentSelector, Number(agreed.selectors)))
    }
    return true
  }

  /** The end of the function: everything goes to the state. */
  store(): void {
    const { code } = this
    const top = this.topMovedBy(this.moved.value)
    code.set(F.x87Top, top)
    code.set(F.fsw, this.word(top))
    // Turned back: both halves are alike, so that a rotation of 32 bits will do.
    const twice = this.tags.value.or(this.tags.value.shl(16))
    code.set(F.ftw, twice.rotl(this.entryTop.value.shr(3)).and(0xffff))
    code.set(F.fip, this.instructionPointer.value)
    code.set(F.fdp, this.dataPointer.value)
    for (const slot of this.written) {
      const place = code.base.add(this.entryTop.value.add(slot << 4).and(0x70))
      code.setAt(F.fpr, place, 0, this.significand(slot).value)
      code.setAt(F.fpr, place, 8, this.head(slot).value.truncate(16))
    }
  }

  /**
   * The beginning of the function.
   * @param leave builds what leaves at once, where the processor is not what the region counts on
   */
  load(leave: () => void): void {
    const { code, assumption } = this
    this.entryTop.value = code.get(F.x87Top)
    const tags = code.get(F.ftw)
    this.tags.value = tags.or(tags.shl(16)).rotr(this.entryTop.value.shr(3)).and(0xffff)
    this.control.value = code.get(F.fcw)
    if (assumption.fromEntry) {
      const mask = tagsOf(this.looked)
      const others = this.tags.value.and(mask).ne(assumption.tags & mask)
      const tell = () => {
        this.tell()
        leave()
      }
      code.if(others.or(this.isPlain().isZero()), tell, undefined, 'unlikely')
    }
    const status = code.get(F.fsw)
    this.status.value = status.and(0xffff & ~(STACK_TOP | C1))
    this.c1.value = status.shr(9).and(1)
    this.rest.set(0)
    this.instructionPointer.value = code.get(F.fip)
    this.dataPointer.value = code.get(F.fdp)
    this.significands.forEach((significand, slot) => {
      if (!significand) return
      const place = code.base.add(this.entryTop.value.add(slot << 4).and(0x70))
      significand.value = code.getAt(F.fpr, place, 0, 64)
      const head = code.getAt(F.fpr, place, 8, 16).zeroExtend(32)
      this.head(slot).value = classify(code, significand.value, head)
    })
  }
}

/** Tags of registers (bits), all of them empty. */
function tagsOf(registers: number): number {
  let tags = 0
  for (let i = 0; i < 8; i++) if (registers & (1 << i)) tags |= 3 << (2 * i)
  return tags
}
