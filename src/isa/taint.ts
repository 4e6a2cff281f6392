/**
 * Follows values through a function under construction: what state of the vCPU they were made from, where they go, and
 * under what conditions. The ground that src/isa/sensitivity.ts stands on.
 */
import { SERVICE_EFFECTS, type SensitiveState, type Trap } from '../cpu/services/effects.ts'
import * as S from '../cpu/state.ts'
import { F, type Field } from '../cpu/state.ts'
import { FunctionBuilder } from '../ir/function.ts'
import { type Node, OP_CONST, OP_LOCAL_GET } from '../ir/node.ts'
import { typeOf } from '../ir/values.ts'
import { type FunctionType, I32, type ValueType } from '../wasm/types.ts'
import { Code, GP, Int, type Routine, UD, Vector } from './semantics.ts'

/** Flags that are the system's; the others, DF AC ID among them, are the program's own. */
export const SYSTEM_FLAGS = S.IF | S.IOPL | S.VM | S.NT | S.TF | S.RF | S.VIF | S.VIP

/** The sensitive state that a word of the vCPU's state is part of; undefined: the program's own. */
function sensitiveState(field: Field, index: number | undefined): SensitiveState | undefined {
  switch (field) {
    case F.segmentBase:
    case F.segmentLimit:
    case F.segmentSelector:
    case F.segmentAttributes:
    case F.segmentCheck:
      if (index !== undefined && index >= S.LDTR) return 'descriptor table registers'
      // Programs own the bases of FS and GS in 64-bit mode; selectors show privilege.
      return field === F.segmentBase ? undefined : 'segment registers'
    case F.cr0:
    case F.cr2:
    case F.cr3:
    case F.cr4:
    case F.efer:
    case F.xcr0:
      return 'control registers'
    case F.cpl:
      return 'privilege level'
    case F.dr:
      return 'debug registers'
    case F.star:
    case F.lstar:
    case F.cstar:
    case F.sfmask:
    case F.kernelGsBase:
    case F.sysenterCs:
    case F.sysenterEsp:
    case F.sysenterEip:
    case F.tscAux:
      return 'model-specific registers'
    case F.tscOffset:
      return 'time-stamp counter'
    case F.halted:
      return 'activity'
    // The selectors that x87 instructions leave behind; FNSTENV and its like show them.
    case F.fcs:
    case F.fds:
      return 'segment registers'
    default:
      return undefined
  }
}

/** What a value was made from. */
export interface Taint {
  readonly states: ReadonlySet<SensitiveState>
  /** Bits of EFLAGS that stand in the value at their own places. */
  readonly flags: number
}

const NO_STATES: ReadonlySet<SensitiveState> = new Set()
export const CLEAN: Taint = { states: NO_STATES, flags: 0 }
const AND_OPCODES: ReadonlySet<number> = new Set([0x71, 0x83])
/** or, xor, and the changes of width: bits stay at their places. */
const KEEPS_PLACES: ReadonlySet<number> = new Set([0x72, 0x73, 0x84, 0x85, 0xa7, 0xac, 0xad, 0x1b])

/** What is gathered over one instruction, its routines included. */
export class Recording {
  readonly reads = new Set<SensitiveState>()
  readonly writes = new Set<SensitiveState>()
  traps: Trap | undefined
  /** Conditions that the code being built stands under. */
  readonly conditions: Taint[] = []

  trap(trap: Trap): void {
    if (this.traps !== 'always') this.traps = trap
  }
  /** A value, made under the conditions in force, reaches something that the program can see. */
  use(taint: Taint): void {
    for (const one of [taint, ...this.conditions]) for (const state of statesOf(one)) this.reads.add(state)
  }
  /** An exception under the conditions in force: a trap for privilege when one of them asks for it. */
  raise(vector: number): void {
    const states = new Set(this.conditions.flatMap(one => [...statesOf(one)]))
    if (states.has('privilege level') && (vector === GP || vector === UD)) {
      this.trap(states.has('control registers') ? 'configured' : 'always')
    }
  }
}

/** All states of a taint. */
function statesOf(taint: Taint): ReadonlySet<SensitiveState> {
  if (!(taint.flags & SYSTEM_FLAGS)) return taint.states
  return new Set([...taint.states, 'system flags'])
}

function union(a: Taint, b: Taint): Taint {
  if (a === CLEAN) return b
  if (b === CLEAN) return a
  return { states: new Set([...a.states, ...b.states]), flags: a.flags | b.flags }
}

/** Follows what values are made from, through nodes, locals and routines. */
class Tracer {
  private readonly taints = new Map<Node, Taint>()
  private readonly locals = new Map<number, Taint>()

  mark(node: Node, taint: Taint): void {
    this.taints.set(node, taint)
  }
  /** A local is made of everything that was ever assigned to it. */
  assign(local: number, value: Node): void {
    this.locals.set(local, union(this.locals.get(local) ?? CLEAN, this.of(value)))
  }
  of(node: Node): Taint {
    const known = this.taints.get(node)
    if (known) return known
    let taint = CLEAN
    if (node.op === OP_LOCAL_GET) taint = this.locals.get(node.imm) ?? CLEAN
    else if (node.op !== OP_CONST) {
      for (const arg of node.args) taint = union(taint, this.of(arg))
      if (taint.flags) {
        const mask = node.args.find(arg => arg.op === OP_CONST)
        if (AND_OPCODES.has(node.op) && mask) taint = { ...taint, flags: taint.flags & mask.imm }
        else if (!KEEPS_PLACES.has(node.op)) taint = { states: statesOf(taint), flags: 0 }
      }
    }
    // A local may still change; everything else is what it is.
    if (node.op !== OP_LOCAL_GET) this.taints.set(node, taint)
    return taint
  }
}

/** Element and field at each offset of the vCPU's state. */
const FIELD_AT = new Map<number, { field: Field; index: number }>()
for (const field of S.FIELDS) {
  for (let index = 0; index < field.count; index++) FIELD_AT.set(field.offset + index * field.stride, { field, index })
}
const ADD_OPCODE = 0x6a

/** What a routine does, found once a routine. */
export interface RoutineSummary {
  readonly recording: Recording
  readonly result: Taint
}
export type Summaries = Map<Routine, RoutineSummary>

/** A function builder that follows values and notes what happens to the vCPU's state. */
export class TracingBuilder extends FunctionBuilder {
  readonly tracer = new Tracer()
  readonly recording: Recording
  private readonly summaries: Summaries
  /** The code that builds with it, which knows its routines by name. */
  code: Code | undefined

  constructor(parameters: readonly ValueType[], recording: Recording, summaries: Summaries) {
    super({ params: parameters, results: [] })
    this.recording = recording
    this.summaries = summaries
  }

  override setLocal(index: number, value: Node): void {
    super.setLocal(index, value)
    this.tracer.assign(index, value)
  }
  override if(condition: Node, then: () => void, otherwise?: () => void): void {
    this.recording.conditions.push(this.tracer.of(condition))
    super.if(condition, then, otherwise)
    this.recording.conditions.pop()
  }
  override load(opcode: number, type: ValueType, memory: 0 | 1, address: Node, offset: number): Node {
    const node = super.load(opcode, type, memory, address, offset)
    const place = stateAt(address, offset)
    if (place?.field === F.systemFlags) this.tracer.mark(node, { states: NO_STATES, flags: -1 })
    else if (place) {
      const state = sensitiveState(place.field, place.index)
      if (state) this.tracer.mark(node, { states: new Set([state]), flags: 0 })
    }
    return node
  }
  override store(opcode: number, memory: 0 | 1, address: Node, value: Node, offset: number): void {
    super.store(opcode, memory, address, value, offset)
    const place = stateAt(address, offset)
    if (place?.field === F.fault || place?.field === F.faultErrorCode) return
    // Nobody sees these before they are read.
    if (place?.field === F.fcs || place?.field === F.fds) return
    if (place?.field === F.faultVector) {
      this.recording.raise(value.op === OP_CONST ? value.imm : -1)
      return
    }
    this.recording.use(this.tracer.of(value))
    if (!place) return
    const state = place.field === F.systemFlags ? 'system flags' : sensitiveState(place.field, place.index)
    if (state) this.recording.writes.add(state)
  }
  override call(name: string, type: FunctionType, args: readonly Node[]): Node {
    const node = super.call(name, type, args)
    for (const routine of this.code?.used ?? []) {
      if (routine.name !== name) continue
      const { recording, result } = summarize(this.summaries, routine)
      for (const state of recording.reads) this.recording.reads.add(state)
      for (const state of recording.writes) this.recording.writes.add(state)
      if (recording.traps) this.recording.trap(recording.traps)
      this.tracer.mark(node, args.map(arg => this.tracer.of(arg)).reduce(union, result))
    }
    return node
  }
}

/** Which word of the vCPU's state an access goes to; the index is undefined where only the run decides. */
function stateAt(address: Node, offset: number): { field: Field; index: number | undefined } | undefined {
  // Parts of a word: its beginning is at most 15 bytes before.
  const at = (from: number) => {
    for (let back = 0; back < 16; back++) {
      const found = FIELD_AT.get(from - back)
      if (found) return found
    }
    return undefined
  }
  if (address.op === OP_LOCAL_GET && address.imm === 0) return at(offset)
  if (address.op !== ADD_OPCODE) return undefined
  const constant = address.args.find(arg => arg.op === OP_CONST)
  if (constant) return at(offset + constant.imm)
  const found = at(offset)
  return found && { field: found.field, index: undefined }
}

function summarize(summaries: Summaries, routine: Routine): RoutineSummary {
  const known = summaries.get(routine)
  if (known) return known
  const recording = new Recording()
  const declared = SERVICE_EFFECTS[routine.name]
  if (declared) {
    for (const state of declared.reads ?? []) recording.reads.add(state)
    for (const state of declared.writes ?? []) recording.writes.add(state)
    if (declared.traps) recording.trap(declared.traps)
    const summary = { recording, result: CLEAN }
    summaries.set(routine, summary)
    return summary
  }
  const f = new TracingBuilder([I32, ...routine.parameters.map(typeOf)], recording, summaries)
  const code = new Code(f)
  f.code = code
  const values = routine.parameters.map((width, i) => {
    const node = f.getLocal(i + 1, typeOf(width))
    return width === 128 ? new Vector(f, node) : new Int(f, node, width)
  })
  const result = routine.build(code, ...(values as never[]))
  const summary = { recording, result: result ? f.tracer.of(result.node) : CLEAN }
  summaries.set(routine, summary)
  return summary
}
