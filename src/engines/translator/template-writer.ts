/** Puts a function together from templates and the few instructions of WebAssembly between them. */
import { RSP } from '../../cpu/state.ts'
import type { Likelihood } from '../../ir/function.ts'
import { Decoded } from '../../isa/decoder.ts'
import type { Routine } from '../../isa/semantics.ts'
import type { RamPlacement } from '../../memory/layout.ts'
import { ByteWriter } from '../../wasm/bytes.ts'
import type { FunctionType } from '../../wasm/types.ts'
import { type NearAccess, OPERAND_PART, type Reach, STACK_PART } from './near-accesses.ts'
import {
  fieldOf,
  HOLE_BAIL,
  HOLE_CALL,
  HOLE_DISPLACEMENT,
  HOLE_END,
  HOLE_GPR,
  HOLE_IMMEDIATE,
  HOLE_IMMEDIATE_64,
  HOLE_PAGE,
  HOLE_PENDING,
  HOLE_PLACE,
  HOLE_PLACE_NUMBER,
  HOLE_PLACE_OFFSET,
  HOLE_RELATIVE,
  HOLE_START,
  HOLE_TARGET,
  HOLE_TLB,
  HOLE_TLB_OFFSET,
  HOLE_WHERE,
  HOLE_XMM,
  LOCALS,
  PENDING_BITS,
  PLACE_BIAS,
  registerIn,
  type Template,
} from './template.ts'

/** A place of a writer's open constructs that branches go to: how many there are, itself with them. */
export type Depth = number

/** Carries the page of a guard. */
const GUARDED = new Decoded()

/** Carries what a range is made of. */
const REACHED = new Decoded()

/** Writes a function's code. */
export class TemplateWriter extends ByteWriter {
  /** General-purpose and XMM registers named, and those of them that are written: bits by number. */
  gprs = 0
  writtenGprs = 0
  xmms = 0
  writtenXmms = 0
  /** How many locals there are, with the parameter. */
  locals: number = LOCALS.integers
  /** Offsets of calls with what they call. */
  readonly calls: { readonly at: number; readonly name: string }[] = []
  /** Offsets of five bytes that the address of a word of the region's pages goes to, with the page's number, in turn. */
  readonly pages: number[] = []
  readonly callTypes = new Map<string, FunctionType>()
  readonly routines = new Set<Routine>()
  /** Offset of a branch, and 1 if it is likely, in turn. */
  readonly hints: number[] = []
  /** Blocks, loops and ifs that are open. */
  depth: Depth = 0
  private readonly tlb: number
  /** By part of the instruction that is copied: its place's local, and where it is from there. */
  private readonly nearLocals = [0, 0]
  private readonly nearOffsets = [0, 0]

  private readonly ramOffset: number

  /** @param tlb address of the TLB of the region's accesses @param ram where memory 1 lies */
  constructor(tlb: number, ram: RamPlacement) {
    super(8192)
    this.tlb = tlb
    this.ramOffset = ram.offset
  }

  /** Opens a block (2) or loop (3). @param result the type of what it ends with; 40h: nothing */
  open(opcode: 2 | 3, result = 0x40): Depth {
    this.byte(opcode)
    this.byte(result)
    return ++this.depth
  }
  /** Opens an if; its condition is on the stack. */
  if(likelihood: Likelihood): void {
    this.hint(likelihood)
    this.byte(4)
    this.byte(0x40)
    this.depth++
  }
  end(): void {
    this.byte(0x0b)
    this.depth--
  }
  branch(to: Depth): void {
    this.byte(0x0c)
    this.unsigned(this.depth - to)
  }
  /** Branches if what is on the stack is not zero. */
  branchIf(to: Depth, likelihood: Likelihood): void {
    this.hint(likelihood)
    this.byte(0x0d)
    this.unsigned(this.depth - to)
  }
  private hint(likelihood: Likelihood): void {
    if (likelihood !== 'even') this.hints.push(this.length, likelihood === 'likely' ? 1 : 0)
  }
  get(local: number): void {
    this.byte(0x20)
    this.byte(local)
  }
  set(local: number): void {
    this.byte(0x21)
    this.byte(local)
  }
  const32(value: number): void {
    this.byte(0x41)
    this.signed32(value)
  }
  /** A constant of 64 bits that a number is exact for. */
  const64(value: number): void {
    this.byte(0x42)
    this.signed64(value | 0, Math.floor(value / 2 ** 32))
  }
  /** A load from or a store to the vCPU's state, whose address is on the stack. */
  access(opcode: number, offset: number): void {
    if (opcode >= 0xfd00) {
      this.byte(0xfd)
      this.unsigned(opcode - 0xfd00)
    } else this.byte(opcode)
    this.byte(0)
    this.unsigned(offset)
  }

  /** Puts RIP at a distance from the entry on the stack. */
  ripAt(distance: number, long: boolean): void {
    this.get(LOCALS.entry)
    this.const64(distance)
    this.byte(0x7c)
    this.cut(long)
  }
  /** Cuts the address on the stack to 32 bits outside of 64-bit mode. */
  private cut(long: boolean): void {
    if (long) return
    this.const64(0xffffffff)
    this.byte(0x83)
  }
  /** Assigns RIP and the budget what is on the stack as {@link HOLE_WHERE}. */
  goWhere(long: boolean): void {
    this.set(LOCALS.rip)
    this.get(LOCALS.budget)
    this.get(LOCALS.rip)
    this.byte(0xa7)
    this.const32(2 ** PENDING_BITS - 1)
    this.byte(0x71)
    this.byte(0x6b)
    this.set(LOCALS.budget)
    this.get(LOCALS.entry)
    this.get(LOCALS.rip)
    this.const64(PENDING_BITS)
    this.byte(0x87)
    this.byte(0x7c)
    this.cut(long)
    this.set(LOCALS.rip)
  }
  /** Takes instructions off the budget. */
  spend(instructions: number): void {
    if (instructions === 0) return
    this.get(LOCALS.budget)
    this.const32(instructions)
    this.byte(0x6b)
    this.set(LOCALS.budget)
  }

  /**
   * Copies a template for an instruction.
   * @param distance of the instruction from the entry
   * @param pending instructions executed that the budget does not know of
   * @param missed where instructions are left to the interpreter
   * @param near its accesses that have places
   */
  copy(
    template: Template,
    decoded: Decoded,
    distance: number,
    pending: number,
    missed: Depth,
    near: readonly NearAccess[] = [],
  ): void {
    const at = this.length
    for (const { part, local, offset } of near) {
      this.nearLocals[part] = LOCALS.places + local
      this.nearOffsets[part] = offset
    }
    this.raw(template.bytes)
    this.gprs |= template.gprs
    this.writtenGprs |= template.writtenGprs
    this.xmms |= template.xmms
    this.writtenXmms |= template.writtenXmms
    this.locals = Math.max(this.locals, template.locals)
    const { holes, hints } = template
    for (let i = 0; i < holes.length; i += 3) {
      this.fill(at + holes[i], holes[i + 1], holes[i + 2], template, decoded, distance, pending, missed)
    }
    for (let i = 0; i < hints.length; i += 2) this.hints.push(at + hints[i], hints[i + 1])
    for (const routine of template.routines) this.routines.add(routine)
  }

  /** Looks a range up, and has its place in a local. */
  reach(template: Template, { decoded, part, local, displacement, bytes }: Reach): void {
    REACHED.base = part === STACK_PART ? RSP : decoded.base
    REACHED.index = decoded.index
    REACHED.displacement = displacement
    REACHED.immLow = bytes - 1
    this.copy(template, REACHED, 0, 0, 0, [{ part: OPERAND_PART, local, offset: 0 }])
  }

  /**
   * Opens what is done when the page at a distance is not where it was when the region was made.
   * @param page counts the region's pages
   */
  guard(template: Template, distance: number, page: number): void {
    const same = this.open(2)
    const unknown = this.open(2)
    GUARDED.immLow = page
    this.copy(template, GUARDED, distance, 0, unknown)
    this.branchIf(same, 'likely')
    this.end()
  }

  private fill(
    at: number,
    kind: number,
    argument: number,
    template: Template,
    decoded: Decoded,
    distance: number,
    pending: number,
    missed: Depth,
  ): void {
    const { bytes } = this
    switch (kind) {
      case HOLE_GPR: {
        const number = registerIn(decoded, argument)
        bytes[at] = LOCALS.gpr + number
        this.gprs |= 1 << number
        if (argument & 1) this.writtenGprs |= 1 << number
        break
      }
      case HOLE_XMM: {
        const field = argument >> 1
        const number = fieldOf(decoded, field & 15) + (field & 16)
        bytes[at] = LOCALS.xmm + number
        this.xmms |= 1 << number
        if (argument & 1) this.writtenXmms |= 1 << number
        break
      }
      case HOLE_IMMEDIATE:
        this.number(at, decoded.immLow)
        break
      case HOLE_PAGE:
        this.pages.push(at, decoded.immLow)
        break
      case HOLE_DISPLACEMENT:
        this.number(at, decoded.displacement)
        break
      case HOLE_START:
        this.number(at, distance)
        break
      case HOLE_END:
        this.number(at, distance + decoded.length)
        break
      case HOLE_RELATIVE:
        this.number(at, distance + decoded.length + decoded.displacement)
        break
      case HOLE_TARGET:
        this.number(at, distance + decoded.length + decoded.immLow)
        break
      case HOLE_PENDING:
        bytes[at] = (pending & 0x7f) | 0x80
        bytes[at + 1] = (pending >> 7) & 0x3f
        break
      case HOLE_WHERE:
        this.longNumber(at, distance * 2 ** PENDING_BITS + pending)
        break
      case HOLE_TLB:
        this.number(at, this.tlb)
        break
      case HOLE_TLB_OFFSET:
        this.number(at, this.tlb + argument)
        break
      case HOLE_IMMEDIATE_64:
        this.wideNumber(at, decoded.immLow, decoded.immHigh)
        break
      case HOLE_BAIL: {
        const depth = this.depth + argument - missed
        bytes[at] = (depth & 0x7f) | 0x80
        bytes[at + 1] = depth >> 7
        break
      }
      case HOLE_PLACE:
        bytes[at] = this.nearLocals[argument]
        break
      case HOLE_PLACE_OFFSET:
        this.number(at, this.ramOffset + this.nearOffsets[argument >> 16] + (argument & 0xffff) - PLACE_BIAS)
        break
      case HOLE_PLACE_NUMBER:
        this.number(at, this.nearOffsets[argument >> 16] + (argument & 0xffff) - PLACE_BIAS)
        break
      case HOLE_CALL: {
        const [name, type] = template.calls[argument]
        this.calls.push({ at, name })
        this.callTypes.set(name, type)
        break
      }
    }
  }

  /** A number of at most 34 bits and a sign in five bytes. */
  number(at: number, value: number): void {
    const { bytes } = this
    bytes[at] = (value & 0x7f) | 0x80
    bytes[at + 1] = ((value >> 7) & 0x7f) | 0x80
    bytes[at + 2] = ((value >> 14) & 0x7f) | 0x80
    bytes[at + 3] = ((value >> 21) & 0x7f) | 0x80
    bytes[at + 4] = Math.floor(value / 0x10000000) & 0x7f
  }

  /** A number that is exact, of 55 bits at most and a sign, in eight bytes. */
  private longNumber(at: number, value: number): void {
    const { bytes } = this
    for (let i = 0; i < 7; i++) {
      bytes[at + i] = (value & 0x7f) | 0x80
      value = Math.floor(value / 128)
    }
    bytes[at + 7] = value & 0x7f
  }

  private wideNumber(at: number, low: number, high: number): void {
    for (let i = 0; i < 9; i++) {
      this.bytes[at + i] = (low & 0x7f) | 0x80
      low = (low >>> 7) | (high << 25)
      high >>= 7
    }
    this.bytes[at + 9] = low & 0x7f
  }
}
