/**
 * Accesses that lie near each other. Between two changes of a register most of the accesses through it, and nearly all through RSP,
 * go to one page: fields of a structure, what a function pushes and pops. One probe of the TLB then stands for all of
 * them: where the first one comes, the whole range is looked up, and a local has its place in memory 1 from then on, or 0 if the
 * range is in two pages or its page is not in the TLB. Each access asks that local alone; where it is 0, a function
 * that regions share finds the place (PLACE_RAM of engines/semantics.ts).
 *
 * What is found holds until a register changes by anything but a constant, on all ways that lead to one block only. Nothing that a
 * region does in between changes translations: such instructions end it, and refills that need TypeScript make it bail.
 */
import { RSP } from '../../cpu/state.ts'
import { type Decoded, NO_REGISTER, RIP_BASE } from '../../isa/decoder.ts'
import type { RegionInstruction } from './region.ts'

/** Which of an instruction's accesses: that of its ModRM operand, or that at the stack's top. */
export type AccessPart = 0 | 1
export const OPERAND_PART = 0
export const STACK_PART = 1

/** An access of an instruction: how far from its operand's address, or from RSP as the instruction finds it. */
export interface AccessShape {
  readonly part: AccessPart
  readonly delta: number
  readonly bytes: number
  readonly writes: boolean
}

/** What of an instruction's code tells what it does to addresses. */
export interface InstructionShape {
  readonly accesses: readonly AccessShape[]
  /** The general-purpose registers that it writes whatever its operands are, and those that are operands: bits by number. */
  readonly writtenAlways: number
  written(decoded: Decoded): number
  /** What it adds to RSP whatever its operands are, if it does and if this is known. */
  readonly stackStep: number | undefined
}

/** Accesses that one probe stands for. */
interface Group {
  /** Its range, counted from what the registers added up to where it begins. */
  low: number
  /** Behind its last byte. */
  high: number
  writes: boolean
  /** Its accesses that {@link NearAccesses.plan} has not come to. */
  members: number
}

/** What an instruction is to do about one of its accesses. */
export interface NearAccess {
  readonly part: AccessPart
  /** The local with the range's place, by number from 0. */
  readonly local: number
  /** From the range's lowest byte to the operand's address, or to where RSP points. */
  readonly offset: number
}

/** A range to be looked up in front of an instruction. */
export interface Reach {
  /** Registers and scale are those of the instruction's operand, or RSP. */
  readonly decoded: Decoded
  readonly part: AccessPart
  readonly local: number
  /** From what the registers add up to, to the range's lowest byte. */
  readonly displacement: number
  readonly bytes: number
  readonly writes: boolean
}

/** What is to be done at an instruction. */
export interface NearPlan {
  readonly reaches: readonly Reach[]
  readonly accesses: readonly NearAccess[]
}

/** Displacements of one range are no further apart: the further, the more often it lies in two pages. */
const FURTHEST = 256
/** So many ranges may be known at once. */
export const MOST_RANGES = 6
/** Wider accesses take their own probes. */
const WIDEST = 32

/** What is known where an instruction begins. */
class State {
  /** By number: changes whenever a register becomes something else. */
  readonly versions: number[]
  /** What was added to registers since. */
  readonly added: number[]
  readonly groups: Map<string, Group[]>

  constructor(from?: State) {
    this.versions = from ? [...from.versions] : new Array(16).fill(0)
    this.added = from ? [...from.added] : new Array(16).fill(0)
    this.groups = new Map(from ? [...from.groups].map(([key, list]) => [key, [...list]]) : [])
  }
}

interface Member {
  readonly group: Group
  readonly part: AccessPart
  readonly decoded: Decoded
  /** What was added to its registers since the group's range begins to count. */
  readonly added: number
  /** Of the operand's address from those registers. */
  readonly displacement: number
}

/** Finds the groups of a region's blocks. */
export class NearAccesses {
  private readonly width: 32 | 64
  private readonly after: (State | undefined)[] = []
  private readonly found: (Member[] | undefined)[][] = []
  private readonly befores: (number | undefined)[] = []
  private nextVersion = 1

  /** @param width of registers in the mode */
  constructor(width: 32 | 64) {
    this.width = width
  }

  /**
   * Takes a block, after the one that it is reached from if that is the only way to it.
   * @param before that one's index
   */
  block(
    index: number,
    instructions: readonly RegionInstruction[],
    shapes: readonly InstructionShape[],
    before: number | undefined,
  ): void {
    const from = before === undefined ? undefined : this.after[before]
    const state = new State(from)
    if (!from) for (let n = 0; n < 16; n++) state.versions[n] = this.nextVersion++
    this.found[index] = instructions.map(({ decoded }, i) => this.instruction(decoded, shapes[i], state))
    this.after[index] = state
    this.befores[index] = before
  }

  private instruction(decoded: Decoded, shape: InstructionShape, state: State): Member[] | undefined {
    let members: Member[] | undefined
    for (const access of shape.accesses) {
      const member = this.access(decoded, access, state)
      if (member) (members ??= []).push(member)
    }
    const { writtenAlways, stackStep } = shape
    const operands = shape.written(decoded)
    for (let left = writtenAlways | operands; left; left &= left - 1) {
      const n = 31 - Math.clz32(left & -left)
      const always = (writtenAlways >>> n) & 1
      const isOperand = (operands >>> n) & 1
      let step: number | undefined
      if (!always) step = stepOf(decoded, n, this.width)
      else if (n === RSP && !isOperand) step = stackStep
      if (step === undefined || Math.abs(state.added[n] + step) > LARGEST_STEP) {
        state.versions[n] = this.nextVersion++
        state.added[n] = 0
      } else state.added[n] += step
    }
    return members
  }

  private access(decoded: Decoded, { part, delta, bytes, writes }: AccessShape, state: State): Member | undefined {
    if (bytes > WIDEST) return undefined
    const registers = registersOf(decoded, part, this.width)
    if (!registers) return undefined
    const { base, index, scale, narrow, displacement } = registers
    const added = state.added[base] + (index < 0 ? 0 : state.added[index] * (1 << scale))
    const key = `${state.versions[base]} ${index < 0 ? '' : state.versions[index]} ${scale} ${narrow}`
    const low = displacement + added + delta
    const high = low + bytes
    let list = state.groups.get(key)
    if (!list) state.groups.set(key, (list = []))
    let group = list.find(g => Math.max(g.high, high) - Math.min(g.low, low) <= FURTHEST)
    if (!group) list.push((group = { low, high, writes, members: 0 }))
    group.low = Math.min(group.low, low)
    group.high = Math.max(group.high, high)
    group.writes ||= writes
    group.members++
    return { group, part, decoded, added, displacement }
  }

  /** What is to be done, when all blocks were taken: by index of the block, then of the instruction. */
  plan(): (NearPlan | undefined)[][] {
    const known: (Group | undefined)[][] = []
    return this.found.map((list, index) => {
      const before = this.befores[index]
      // What stands in which local.
      const locals = before === undefined ? [] : [...known[before]]
      known[index] = locals
      return list.map(members => members && planned(members, locals))
    })
  }
}

function planned(members: readonly Member[], locals: (Group | undefined)[]): NearPlan | undefined {
  const reaches: Reach[] = []
  const accesses: NearAccess[] = []
  for (const { group, part, decoded, added, displacement } of members) {
    let local = locals.indexOf(group)
    if (local < 0 && group.members > 1) {
      local = 0
      while (local < MOST_RANGES && locals[local] && locals[local]!.members > 0) local++
      if (local === MOST_RANGES) local = -1
      else {
        locals[local] = group
        const { low, high, writes } = group
        reaches.push({ decoded, part, local, displacement: low - added, bytes: high - low, writes })
      }
    }
    if (local >= 0) accesses.push({ part, local, offset: displacement + added - group.low })
  }
  // Not before: what one of the instruction's accesses needs for the last time another's range must not take.
  for (const { group } of members) group.members--
  return accesses.length ? { reaches, accesses } : undefined
}

/** A register that moved further than this from where a range begins is another. */
const LARGEST_STEP = 4096

interface Registers {
  readonly base: number
  /** -1: none */
  readonly index: number
  readonly scale: number
  /** Addresses are of 32 bits. */
  readonly narrow: boolean
  readonly displacement: number
}

/** What an access's address is made of, if that is registers and a number. */
function registersOf(decoded: Decoded, part: AccessPart, width: 32 | 64): Registers | undefined {
  if (part === STACK_PART) return { base: RSP, index: -1, scale: 0, narrow: width === 32, displacement: 0 }
  const { base, index, scale, displacement, addressSize } = decoded
  if (base === NO_REGISTER || base === RIP_BASE) return undefined
  const narrow = addressSize !== 64
  if (index === NO_REGISTER) return { base, index: -1, scale: 0, narrow, displacement }
  return { base, index, scale, narrow, displacement }
}

/** By how much an instruction makes a register more, if that is known. @param width of registers in the mode */
function stepOf(decoded: Decoded, n: number, width: 32 | 64): number | undefined {
  const { form, operandSize, hasMemory, rm, immLow, reg, base, index, displacement, addressSize } = decoded
  const { instruction, operands } = form
  if (operandSize !== width || operands[0]?.size === 'b') return undefined
  const target = operands[0]?.kind === 'rm' && !hasMemory && rm === n
  switch (instruction.mnemonic) {
    case 'ADD':
    case 'SUB':
      if (!target || operands[1].kind !== 'immediate') return undefined
      return instruction.mnemonic === 'ADD' ? immLow : -immLow
    case 'INC':
      return target ? 1 : undefined
    case 'DEC':
      return target ? -1 : undefined
    case 'LEA':
      if (reg !== n || base !== n || index !== NO_REGISTER || addressSize !== width) return undefined
      return displacement
  }
  return undefined
}
