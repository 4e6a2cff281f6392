/**
 * Pages that a region holds on to. Within a loop most accesses through one register go to the page that the last one went to. For
 * each such address (registers, a range of displacements) three words of the state say where that page is: what the
 * registers add up to where the range begins with it, for how many bytes all of the range is in it, and where it is in memory 1. One
 * subtraction and one comparison then stand for a probe of the TLB, and for several accesses at once while the registers stay
 * what they are. Where the comparison fails the TLB is probed as ever, and the words become the page that it gives. (They are no locals
 * because V8 would move them about at the edges of all loops.)
 *
 * A held page is a copy of an entry of the TLB, and like one it may be used until something invalidates it. Whatever does ends a
 * region: instructions that change translations or privilege are the last of their block, and a refill that has to call
 * TypeScript (for a frame that is copied, that holds code, that is watched …) makes the region bail.
 */
import { F, MOST_HELD_PAGES, RBP, RSP } from '../../cpu/state.ts'
import type { Node } from '../../ir/node.ts'
import { addedNumber, isLowHalf, isShiftedLeft, isSum, isZeroExtended } from '../../ir/sums.ts'
import { constantOf, Int, typeOf, type Width } from '../../ir/values.ts'
import { type Decoded, NO_REGISTER, RIP_BASE } from '../../isa/decoder.ts'
import type { OperandSpec } from '../../isa/encoding.ts'
import { type Code, Variable } from '../../isa/semantics.ts'
import { PAGE_MASK, TLB_ADDEND, TLB_WRITE } from '../../memory/tlb.ts'
import { I32, I64 } from '../../wasm/types.ts'
import { type RegionInstruction, successors } from './region.ts'
import type { PlacedBlock } from './structure.ts'

/** Displacements of one range are no further apart: what crosses into another page is probed each time. */
const FURTHEST = 256
/** The most that an access takes: displacements of decoded instructions are noted with so many bytes. */
const WIDEST = 32

/** A range of displacements from what registers add up to. */
interface Range {
  readonly low: number
  /** Behind its last byte. */
  high: number
  /** Some of its accesses write: reads make do with a page that may be written, too. */
  writes: boolean
}

/** What stands in locals once an access was checked. */
interface HeldVariables {
  /** How far the registers are beyond the start, and how far they may be. */
  readonly beyond: Variable
  readonly size: Variable
  /** Address in memory 1 of the lowest displacement, if they are not too far; of the last one that was probed, else. */
  readonly at: Variable
}

/** An access that was checked, for those that come after it in the block. */
interface Reached extends HeldVariables {
  readonly range: Range
  readonly key: string
  /** What was added to registers since the block began, when this was. */
  readonly added: number
}

/** An access: through these registers, at this displacement from their sum. */
interface Address {
  readonly key: string
  readonly displacement: number
  /** The sum, of 64 bits, or 32 where linear addresses are zero-extended. */
  readonly sum: Int
  /** The registers, and how often each is part of the sum. */
  readonly registers: ReadonlyMap<number, number>
}

/** What a read of RIP at the entry is called. */
const ENTRY = 'entry'

/** Held pages of a region while it is built. */
export class HeldPages {
  private readonly code: Code
  /** By index of the block, then by registers: displacements in order. */
  private readonly loops: (Map<string, Range[]> | undefined)[] = []
  /** Numbers of what is held for ranges. */
  private readonly numbers = new Map<Range, number>()
  private readonly reached = new Map<number, Reached>()
  /** What was added to registers in the block, as far as it was constants, and what registers stand in keys. */
  private readonly added = new Map<number, number>()
  private readonly registersOf = new Map<string, ReadonlyMap<number, number>>()
  private current: Map<string, Range[]> | undefined
  /** How many pages are held at most. */
  count = 0
  /** Reads of registers that were not written since. */
  private readonly names = new Map<Node, number | typeof ENTRY>()

  constructor(code: Code, placed: readonly PlacedBlock[]) {
    this.code = code
    const shared = new Map<string, Range[]>()
    const loops = innermost(placed)
    for (const loop of new Set(loops)) {
      if (!loop) continue
      const within = placed.slice(loop.first, loop.last + 1)
      const moving = unsteady(within.flatMap(({ block }) => block.instructions))
      const accesses = within.filter(({ index }) => loops[index] === loop).flatMap(({ block }) => block.instructions)
      const ranges = rangesOf(accesses, moving, shared)
      for (const { index } of within) if (loops[index] === loop) this.loops[index] = ranges
    }
    for (const ranges of shared.values()) merge(ranges)
  }

  /** At the start of a block. */
  startBlock({ index }: PlacedBlock): void {
    this.reached.clear()
    this.names.clear()
    this.added.clear()
    this.current = this.loops[index]
  }

  /** A general-purpose register, or RIP at the entry, was read. */
  read(node: Node, name: number | typeof ENTRY): void {
    if (this.current) this.names.set(node, name)
  }

  /** A general-purpose register is written. */
  written(number: number, value: Int): void {
    if (!this.current) return
    const step = this.stepOf(number, value.node)
    for (const [held, { key }] of this.reached) {
      const isWide = !key.endsWith(NARROW)
      if (this.registersOf.get(key)!.has(number) && (!step || (isWide && !step.isWide))) this.reached.delete(held)
    }
    if (step) this.added.set(number, (this.added.get(number) ?? 0) + step.by)
    for (const [node, name] of this.names) if (name === number) this.names.delete(node)
  }

  /** By how much a register's new value is more than the present one; of 32 bits, if it is not wide. */
  private stepOf(number: number, value: Node): { by: number; isWide: boolean } | undefined {
    const isWide = !isZeroExtended(value)
    const sum = isWide ? value : value.args[0]
    const by = addedNumber(sum)
    if (by === undefined || by > LARGEST_STEP || by < -LARGEST_STEP) return undefined
    const [start] = sum.args
    const before = !isWide && isLowHalf(start) ? start.args[0] : start
    return this.names.get(before) === number ? { by: Number(by), isWide } : undefined
  }

  private addedTo(registers: ReadonlyMap<number, number>): number {
    let sum = 0
    for (const [register, times] of registers) sum += times * (this.added.get(register) ?? 0)
    return sum
  }

  /**
   * Where an access goes, if a page may be held for it.
   * @param nesting how many conditional parts are open
   * @param probe builds a probe of the TLB that gives an address in memory 1; leaves where there is none
   * @returns an address in memory 1, and what is to be added to it
   */
  find(
    linear: Int,
    bytes: number,
    tag: number,
    nesting: number,
    probe: () => { address: Int; entry: Int },
  ): { address: Int; offset: number } | undefined {
    const address = this.current && this.addressOf(linear)
    if (!address) return undefined
    const { key, displacement, registers } = address
    const has = ({ low, high, writes }: Range, at: number) =>
      low <= at && at + bytes <= high && (tag !== TLB_WRITE || writes)
    const added = this.addedTo(registers)
    for (const reached of this.reached.values()) {
      const at = displacement + added - reached.added
      if (reached.key === key && has(reached.range, at)) return this.again(reached, at - reached.range.low, probe)
    }
    const range = this.current!.get(key)?.find(r => has(r, displacement))
    const held = range && nesting === 0 ? this.numberOf(range) : undefined
    if (!range || held === undefined) return undefined
    this.registersOf.set(key, registers)
    return this.reach(held, range, address, added, linear, tag, probe)
  }

  private again(
    { beyond, size, at }: Reached,
    offset: number,
    probe: () => { address: Int },
  ): { address: Int; offset: number } {
    const missed = () => {
      at.value = probe().address.sub(offset)
    }
    this.code.if(beyond.value.geU(size.value), missed, undefined, 'unlikely')
    return { address: at.value, offset }
  }

  private reach(
    held: number,
    range: Range,
    { key, displacement, sum }: Address,
    added: number,
    linear: Int,
    tag: number,
    probe: () => { address: Int; entry: Int },
  ): { address: Int; offset: number } {
    const { code } = this
    const { f } = code
    const { width } = sum
    const offset = displacement - range.low
    // Added, because V8 folds a load into a subtraction or comparison and then loads twice.
    const { beyond, at, size } = this.variablesOf(held, width)
    beyond.value = sum.add(code.get(F.heldStart, held).resize(width))
    at.value = code.get(F.heldPlace, held).add(beyond.value.resize(32))
    size.value = code.get(F.heldSize, held).resize(width)
    const missed = () => {
      const { address, entry } = probe()
      at.value = address.sub(offset)
      // What of the range lies in another page than this access will be found to be too far.
      const page = this.temporary(linear.and(PAGE_MASK))
      const hold = () => {
        const addend = new Int(f, f.load(0x28, I32, 0, entry.node, TLB_ADDEND), 32)
        const start = this.temporary(code.const(range.low, width).sub(page.resize(width)))
        beyond.value = sum.add(start)
        size.set(4096 - (range.high - range.low) + 1)
        code.set(F.heldPlace, addend.add(page.truncate(32)), held)
        code.set(F.heldStart, start.zeroExtend(64), held)
        code.set(F.heldSize, size.value.zeroExtend(64), held)
      }
      if (tag === TLB_WRITE || !range.writes) hold()
      else code.if(new Int(f, f.load(0x29, I64, 0, entry.node, TLB_WRITE), 64).eq(page), hold)
    }
    code.if(beyond.value.geU(size.value), missed, undefined, 'unlikely')
    this.reached.set(held, { range, key, beyond, size, at, added })
    return { address: at.value, offset }
  }

  /** A value for several uses in this instruction. */
  private temporary(value: Int): Int {
    const { f } = this.code
    const variable = new Variable(f, value.width, f.temporary(typeOf(value.width)))
    variable.value = value
    return variable.value
  }

  /** The variables of a held page: the width is always the same. */
  private variablesOf(held: number, width: Width): HeldVariables {
    const { f } = this.code
    this.variables[held] ??= { beyond: new Variable(f, width), at: new Variable(f, 32), size: new Variable(f, width) }
    return this.variables[held]
  }
  private readonly variables: HeldVariables[] = []

  private numberOf(range: Range): number | undefined {
    let number = this.numbers.get(range)
    if (number === undefined) {
      if (this.count >= MOST_HELD_PAGES) return undefined
      this.numbers.set(range, (number = this.count++))
    }
    return number
  }

  /** At the entry of the region. */
  enter(): void {
    for (let i = 0; i < this.count; i++) this.code.set(F.heldSize, this.code.const(0, 64), i)
  }

  /** What registers a linear address is made of. */
  private addressOf(linear: Int): Address | undefined {
    const wide = !isZeroExtended(linear.node)
    let node = wide ? linear.node : linear.node.args[0]
    let displacement = 0n
    for (;;) {
      const by = addedNumber(node)
      if (by === undefined) break
      displacement += by
      node = node.args[0]
    }
    const registers = new Map<number, number>()
    const key = this.sumOf(node, registers, 1)
    if (key === undefined) return undefined
    return {
      key: keyName(key, wide),
      displacement: Number(BigInt.asIntN(wide ? 64 : 32, displacement)),
      sum: new Int(linear.f, node, wide ? 64 : 32),
      registers,
    }
  }

  private sumOf(node: Node, registers: Map<number, number>, times: number): string | undefined {
    const name = this.names.get(node)
    if (name !== undefined) {
      if (name !== ENTRY) registers.set(name, (registers.get(name) ?? 0) + times)
      return String(name)
    }
    const [a, b] = node.args
    if (isLowHalf(node)) return this.sumOf(a, registers, times)
    if (isShiftedLeft(node)) {
      const count = constantOf(b)
      const of = count === undefined ? undefined : this.sumOf(a, registers, times << Number(count))
      return of && `${of}<<${count}`
    }
    if (!isSum(node)) return undefined
    const first = this.sumOf(a, registers, times)
    const second = first && this.sumOf(b, registers, times)
    return second && `${first}+${second}`
  }
}

/** Registers that become more by more than this are taken to have become anything. */
const LARGEST_STEP = 1n << 20n

/** Ends the keys of sums of 32 bits. */
const NARROW = ' 32'
const keyName = (registers: string, wide: boolean): string => `${registers}${wide ? '' : NARROW}`

/** Sorts ranges and makes one of those that lie close to each other. */
function merge(ranges: Range[]): void {
  ranges.sort((a, b) => a.low - b.low)
  const merged: Range[] = []
  for (const range of ranges) {
    const last = merged.at(-1)
    if (last && Math.max(last.high, range.high) - last.low <= FURTHEST) {
      last.high = Math.max(last.high, range.high)
      last.writes ||= range.writes
    } else merged.push({ ...range })
  }
  ranges.splice(0, ranges.length, ...merged)
}

/** A run of blocks with a jump from the last back to the first. */
interface Loop {
  readonly first: number
  readonly last: number
}

/**
 * The innermost loop around each block. A region that is entered in the midst of loops has one header for several of them: the jump
 * that goes back the least tells them apart.
 */
function innermost(placed: readonly PlacedBlock[]): (Loop | undefined)[] {
  const indexOf = new Map(placed.map(({ block, index }) => [block, index]))
  const loops: Loop[] = []
  for (const { block, index } of placed) {
    for (const to of successors(block)) {
      const first = indexOf.get(to)!
      if (first <= index) loops.push({ first, last: index })
    }
  }
  loops.sort((a, b) => a.last - a.first - (b.last - b.first))
  return placed.map(({ index }) => loops.find(({ first, last }) => first <= index && index <= last))
}

/** What a register is changed by within a loop: steps, or what other registers become. */
interface Change {
  readonly register: number
  /** Registers that must stay what they are for this to be a step. */
  readonly by?: readonly number[]
  /** Registers that the new value is made of. */
  readonly from?: readonly number[]
  /** It can become anything. */
  readonly anything?: boolean
}

/**
 * The registers, by number, that a loop changes by anything else than steps: an address made of others stays in a page for some
 * turns. RSP is taken to move little, and what is loaded from the stack to be what was put there.
 */
function unsteady(instructions: readonly RegionInstruction[]): ReadonlySet<number> {
  const changes = instructions.flatMap(({ decoded }) => changesOf(decoded))
  const changed = new Set(changes.map(({ register }) => register))
  const found = new Set<number>()
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const { register, by, from, anything } of changes) {
      if (anything || by?.some(r => changed.has(r)) || from?.some(r => found.has(r))) found.add(register)
    }
    found.delete(RSP)
  }
  return found
}

/** Instructions that change no general-purpose register by an explicit operand. */
const READ_ONLY = /^(CMP|TEST|PUSH|JMP|J[A-Z]+|CALL|BT|NOP)$/

/** How an instruction changes registers, as far as its addresses tell: of what is not listed accesses are a bit slower. */
function changesOf(decoded: Decoded): Change[] {
  const { instruction, operands } = decoded.form
  const { mnemonic } = instruction
  const registerOf = (spec: OperandSpec | undefined): number | undefined => {
    switch (spec?.kind) {
      case 'rm':
        return decoded.hasMemory ? undefined : decoded.rm
      case 'rmRegister':
        return decoded.rm
      case 'reg':
        return decoded.reg
      case 'opcodeRegister':
        return decoded.opcodeRegister
      case 'vexRegister':
        return decoded.vexRegister
      case 'register':
        return spec.number
    }
    return undefined
  }
  const anything = (...registers: (number | undefined)[]): Change[] =>
    registers.filter(register => register !== undefined).map(register => ({ register, anything: true }))
  if (READ_ONLY.test(mnemonic)) return []
  if (IMPLICIT.test(mnemonic)) return anything(0, 1, 2, 3)
  if (/^(MUL|IMUL|DIV|IDIV)$/.test(mnemonic) && operands.length === 1) return anything(0, 2)
  const [first, second] = operands
  const register = registerOf(first)
  if (/^(XCHG|XADD|MULX)$/.test(mnemonic)) return anything(register, registerOf(second))
  if (/^CMPXCHG/.test(mnemonic)) return anything(register, 0, 2)
  if (register === undefined) return []
  const source = registerOf(second)
  switch (mnemonic) {
    case 'ADD':
    case 'SUB':
    case 'INC':
    case 'DEC':
    case 'SHL':
      if (!second || second.kind === 'immediate' || second.kind === 'one') return [{ register }]
      return mnemonic === 'SHL' || source === undefined ? anything(register) : [{ register, by: [source] }]
    case 'MOV':
    case 'MOVSXD':
    case 'MOVSX':
    case 'MOVZX': {
      const fromStack = decoded.hasMemory && (decoded.base === RSP || decoded.base === RBP)
      if (fromStack || second?.kind === 'immediate') return [{ register }]
      return source === undefined ? anything(register) : [{ register, from: [source] }]
    }
    case 'LEA': {
      const parts = [decoded.base, decoded.index].filter(part => part !== NO_REGISTER && part !== RIP_BASE)
      if (!parts.includes(register)) return [{ register, from: parts }]
      if (decoded.index === register && decoded.scale > 0) return anything(register)
      return [{ register, by: parts.filter(part => part !== register) }]
    }
    case 'POP':
      return [{ register }]
  }
  return anything(register)
}

/** Instructions that change registers that they do not name. */
const IMPLICIT = /^(CPUID|RDTSCP?|XGETBV|RDMSR|RDPMC|CWD|CDQ|CQO|CBW|CWDE|CDQE|LAHF|XLATB?|LODS[BWDQ]?)$/

/** The ranges of a loop's accesses by registers, in lists that all loops share. */
function rangesOf(
  instructions: readonly RegionInstruction[],
  moving: ReadonlySet<number>,
  shared: Map<string, Range[]>,
): Map<string, Range[]> {
  const wanted = new Map<string, Range[]>()
  const note = (key: string, displacement: number, writes: boolean) => {
    let ranges = shared.get(key)
    if (!ranges) shared.set(key, (ranges = []))
    wanted.set(key, ranges)
    ranges.push({ low: displacement, high: displacement + WIDEST, writes })
  }
  for (const { decoded, distance } of instructions) {
    const { instruction, operands } = decoded.form
    const { mnemonic } = instruction
    const wide = decoded.addressSize === 64
    if (/^(PUSH|CALL)/.test(mnemonic)) note(keyName(String(RSP), wide), -8, true)
    if (/^(POP|RET|LEAVE)/.test(mnemonic)) note(keyName(String(RSP), wide), 0, false)
    if (!decoded.hasMemory || decoded.addressSize === 16 || mnemonic === 'LEA') continue
    const inMemory = operands.findIndex(({ kind }) => /^(rm|memory|xmmRm|mmxRm)$/.test(kind))
    const writes = mnemonic === 'XCHG' || (inMemory === 0 && !READ_ONLY.test(mnemonic))
    const { base, index, scale, displacement } = decoded
    if (base === RIP_BASE) {
      note(keyName(ENTRY, wide), distance + decoded.length + displacement, writes)
      continue
    }
    const parts: string[] = []
    if (base !== NO_REGISTER) parts.push(String(base))
    if (index !== NO_REGISTER) parts.push(scale ? `${index}<<${scale}` : String(index))
    const registers = [base, index].filter(register => register !== NO_REGISTER)
    if (parts.length === 0 || registers.some(register => moving.has(register))) continue
    note(keyName(parts.join('+'), wide), displacement, writes)
  }
  return wanted
}
