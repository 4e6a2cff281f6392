/**
 * Which instructions a virtual machine monitor must see (Popek and Goldberg, "Formal requirements for virtualizable third
 * generation architectures", 1974), found by building each definition against a recorder: it keeps no code, but notes
 * what state the instruction reads and changes, and under what conditions it raises an exception.
 */
import { SERVICE_EFFECTS, type SensitiveState, type Trap } from '../cpu/services/effects.ts'
import * as S from '../cpu/state.ts'
import { F, type Field } from '../cpu/state.ts'
import { FunctionBuilder } from '../ir/function.ts'
import { type Node, OP_CONST, OP_LOCAL_GET } from '../ir/node.ts'
import { typeOf } from '../ir/values.ts'
import { type FunctionType, I32, V128, type ValueType } from '../wasm/types.ts'
import type { Instruction } from './definition.ts'
import { type Form, type OperandSpec, operandWidth, parseForms } from './encoding.ts'
import {
  Code,
  type Context,
  type FlagChanges,
  type Flags,
  GP,
  Int,
  type MemoryOperand,
  type Mode,
  type Operand,
  type Operandish,
  type Routine,
  Semantics,
  UD,
  Vector,
  type VectorOperand,
  type Width,
} from './semantics.ts'

/** What one definition does to the state that a monitor must control. */
export interface Sensitivity {
  /** What its results depend on, beyond the decision to trap. */
  readonly reads: ReadonlySet<SensitiveState>
  readonly writes: ReadonlySet<SensitiveState>
  /** Whether it traps in user mode; undefined: never for its privilege. */
  readonly traps: Trap | undefined
}

/** The classes of Popek and Goldberg. An instruction may be privileged and sensitive at once. */
export type SensitivityClass = 'privileged' | 'control sensitive' | 'behaviour sensitive' | 'innocuous'

/** Flags that are the system's; the others, DF AC ID among them, are the program's own. */
const SYSTEM_FLAGS = S.IF | S.IOPL | S.VM | S.NT | S.TF | S.RF | S.VIF | S.VIP

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
    default:
      return undefined
  }
}

/** What a value was made from. */
interface Taint {
  readonly states: ReadonlySet<SensitiveState>
  /** Bits of EFLAGS that stand in the value at their own places. */
  readonly flags: number
}

const NO_STATES: ReadonlySet<SensitiveState> = new Set()
const CLEAN: Taint = { states: NO_STATES, flags: 0 }
const AND_OPCODES: ReadonlySet<number> = new Set([0x71, 0x83])
/** or, xor, and the changes of width: bits stay at their places. */
const KEEPS_PLACES: ReadonlySet<number> = new Set([0x72, 0x73, 0x84, 0x85, 0xa7, 0xac, 0xad, 0x1b])

/** What is gathered over one instruction, its routines included. */
class Recording {
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
interface RoutineSummary {
  readonly recording: Recording
  readonly result: Taint
}
type Summaries = Map<Routine, RoutineSummary>

/** A function builder that follows values and notes what happens to the vCPU's state. */
class TracingBuilder extends FunctionBuilder {
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

/** The recorder: semantics whose code nobody runs. */
class Recorder extends Semantics {
  readonly context: Context
  readonly recording: Recording
  readonly flags: Flags

  constructor(context: Context, recording: Recording, summaries: Summaries) {
    const f = new TracingBuilder([I32], recording, summaries)
    super(f)
    f.code = this
    this.context = context
    this.recording = recording
    this.flags = this.makeFlags()
  }

  /** A value of which nothing is known and which shows nothing. */
  unknown(width: Width): Int {
    return new Int(this.f, this.f.getLocal(this.f.local(typeOf(width)), typeOf(width)), width)
  }
  unknownVector(): Vector {
    return new Vector(this.f, this.f.getLocal(this.f.local(V128), V128))
  }
  /** The program sees a value: if only a constant, then whether it was written. */
  see(value: Operandish | Vector): void {
    this.recording.use(value instanceof Int || value instanceof Vector ? this.taint(value) : CLEAN)
  }
  private taint(value: Int | Vector): Taint {
    return (this.f as TracingBuilder).tracer.of(value.node)
  }

  private makeFlags(): Flags {
    const bool = () => this.unknown(1)
    const see = (...values: (Int | undefined)[]): void => {
      for (const value of values) if (value) this.see(value)
    }
    return {
      carry: bool(),
      parity: bool(),
      adjust: bool(),
      zero: bool(),
      sign: bool(),
      overflow: bool(),
      direction: bool(),
      condition: bool,
      setAdd: (a, b, result, carry) => see(a, b, result, carry),
      setSub: (a, b, result, borrow) => see(a, b, result, borrow),
      setLogic: result => see(result),
      set: (changes: FlagChanges) => see(...(Object.values(changes) as (Int | undefined)[])),
      readImage: () => this.get(F.systemFlags),
      writeImage: (image, mask) => {
        const { states, flags } = this.taint(image)
        this.recording.use({ states, flags: flags & mask })
        if (mask & SYSTEM_FLAGS) this.recording.writes.add('system flags')
      },
    }
  }

  operand(kind: Operand['kind'], width: Width): Operand {
    return { kind, width, read: () => this.unknown(width), write: value => this.see(value) }
  }
  register(_number: number, width: Width): Operand {
    return this.operand('register', width)
  }
  highByte(): Operand {
    return this.operand('register', 8)
  }
  vectorOperand(kind: 'register' | 'memory', bytes: number): VectorOperand & { number: Int } {
    return {
      kind,
      bytes,
      number: this.unknown(32),
      readVector: () => this.unknownVector(),
      writeVector: value => this.see(value),
      readLow: width => this.unknown(width),
      writeLow: value => this.see(value),
      readHalf: () => this.unknown(64),
      writeHalf: (_half, value) => this.see(value),
    }
  }
  xmm(): VectorOperand {
    return this.vectorOperand('register', 16)
  }
  memory(_segment: number, _offset: Int, width: Width): MemoryOperand {
    const vector = this.vectorOperand('memory', 16)
    return {
      ...this.operand('memory', width),
      kind: 'memory',
      offset: this.unknown(this.context.addressSize),
      at: (_bytes, otherWidth = width) => this.memory(0, this.unknown(32), otherWidth),
      readVector: () => vector.readVector(),
      writeVector: value => vector.writeVector(value),
      probeWrite() {},
    }
  }

  push(value: Int): void {
    this.see(value)
  }
  peek(width: Width): Int {
    return this.unknown(width)
  }
  drop(): void {}
  get nextRip(): Int {
    return this.unknown(64)
  }
  get thisRip(): Int {
    return this.unknown(64)
  }
  get privilegeLevel(): Int {
    return this.get(F.cpl)
  }
  jump(target: Int): void {
    this.see(target)
  }
  branch(condition: Int, target: Int): void {
    this.see(condition)
    this.see(target)
  }
  raise(vector: number): void {
    this.recording.raise(vector)
  }
  faultCheck(): void {}
  service(name: string, ...args: (Int | number)[]): void {
    const effects = SERVICE_EFFECTS[name]
    if (!effects)
      throw new Error(`service ${name} has no entry in src/cpu/services/effects.ts: say what it reads and writes`)
    for (const arg of args) this.see(arg)
    this.recording.use({ states: new Set(effects.reads), flags: 0 })
    for (const state of effects.writes ?? []) this.recording.writes.add(state)
    if (effects.traps) this.recording.trap(effects.traps)
  }
  serviceResult(width: Width): Int {
    return this.unknown(width)
  }
  endBlock(): void {}
  restart(): void {}
  systemFlag(mask: number): Int {
    return this.get(F.systemFlags).and(mask).isNonZero()
  }
}

/** Operands of a form for the recorder: for `rm` kinds, memory or a register. */
function operandsOf(m: Recorder, form: Form, memory: boolean, number: number): unknown[] {
  const one = (spec: OperandSpec): unknown => {
    const bits = operandWidth(spec, m.context.operandSize)
    const width = (bits > 64 || bits === 0 ? 64 : bits) as Width
    switch (spec.kind) {
      case 'rm':
        return memory ? m.memory(S.DS, m.unknown(32), width) : m.register(0, width)
      case 'memory':
      case 'absolute':
        return Object.assign(m.memory(S.DS, m.unknown(32), width), { bytes: bits / 8 })
      case 'reg':
      case 'rmRegister':
      case 'opcodeRegister':
      case 'register':
        return m.register(0, width)
      case 'immediate':
      case 'one':
      case 'farSelector':
      case 'farOffset':
        return m.operand('immediate', width)
      case 'relative':
        return m.unknown(64)
      case 'segment':
      case 'control':
      case 'debug':
        return { number: m.const(number, 32) }
      case 'fixedSegment':
        return { number: m.const(spec.number, 32) }
      case 'st':
      case 'sti':
      case 'mmx':
      case 'mmxRegister':
      case 'xmm':
      case 'xmmRegister':
      case 'xmm0':
        return m.vectorOperand('register', bits / 8)
      case 'mmxRm':
      case 'xmmRm':
        return m.vectorOperand(memory ? 'memory' : 'register', bits / 8)
    }
  }
  return form.operands.map(one)
}

/** Routines are looked into once for all instructions of a {@link sensitivities} call. */
function record(
  instruction: Instruction,
  forms: readonly Form[],
  summaries: Map<Routine, RoutineSummary>,
): Sensitivity {
  const recording = new Recording()
  if (instruction.privilege !== undefined && instruction.privilege !== 'user') recording.trap('always')
  if (instruction.privilege === 'io') recording.writes.add('ports')
  for (const form of forms) {
    for (const mode of ['protected', 'long'] as const satisfies Mode[]) {
      if (mode === 'long' ? form.not64 : form.only64) continue
      if (instruction.modes && !instruction.modes.includes(mode)) continue
      const size = mode === 'long' && (form.force64 || form.default64 || form.rexW === 1) ? 64 : 32
      const address = mode === 'long' ? 64 : 32
      const context: Context = {
        mode,
        operandSize: size,
        addressSize: address,
        stackSize: address,
        rep: 'none',
        lock: false,
        segment: S.DS,
      }
      const numbers =
        form.regCheck === 0
          ? [0]
          : form.regCheck === 3
            ? [0, 2, 3, 4, 8]
            : form.regCheck === 4
              ? [0, 6, 7]
              : [S.SS, S.DS]
      for (const number of numbers) {
        for (const memory of form.modKind === 'any' && form.modrm !== undefined
          ? [false, true]
          : [form.modKind === 'mem']) {
          const m = new Recorder(context, recording, summaries)
          instruction.execute(m, ...(operandsOf(m, form, memory, number) as never[]))
        }
      }
    }
  }
  return recording
}

/** The sensitivity of every instruction. @throws Error for a service that src/cpu/services/effects.ts does not know */
export function sensitivities(instructions: readonly Instruction[]): Map<Instruction, Sensitivity> {
  const summaries = new Map<Routine, RoutineSummary>()
  return new Map(instructions.map(one => [one, record(one, parseForms([one]), summaries)]))
}

/** The classes that follow. */
export function classesOf({ reads, writes, traps }: Sensitivity): SensitivityClass[] {
  const classes: SensitivityClass[] = []
  if (traps === 'always') classes.push('privileged')
  if (writes.size) classes.push('control sensitive')
  if (reads.size) classes.push('behaviour sensitive')
  return classes.length ? classes : ['innocuous']
}

/** Sensitive, and nothing tells the monitor when a program executes it: what keeps a processor from being virtualizable. */
export function isCritical({ reads, writes, traps }: Sensitivity): boolean {
  return reads.size + writes.size > 0 && traps !== 'always'
}
