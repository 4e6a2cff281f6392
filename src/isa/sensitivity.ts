/**
 * Which instructions a virtual machine monitor must see (Popek and Goldberg, "Formal requirements for virtualizable third
 * generation architectures", 1974), found by building each definition against a recorder: it keeps no code, but notes
 * what state the instruction reads and changes, and under what conditions it raises an exception.
 */
import { SERVICE_EFFECTS, type SensitiveState, type Trap } from '../cpu/services/effects.ts'
import * as S from '../cpu/state.ts'
import { F } from '../cpu/state.ts'
import { typeOf } from '../ir/values.ts'
import { I32, V128 } from '../wasm/types.ts'
import type { Instruction } from './definition.ts'
import { type Form, type OperandSpec, operandWidth, parseForms } from './encoding.ts'
import {
  type Context,
  type FlagChanges,
  type Flags,
  Int,
  type MemoryOperand,
  type Mode,
  type Operand,
  type Operandish,
  Semantics,
  Vector,
  type VectorOperand,
  type Width,
} from './semantics.ts'
import { CLEAN, Recording, type Summaries, SYSTEM_FLAGS, type Taint, TracingBuilder } from './taint.ts'

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
      setIncrement: result => see(result),
      setDecrement: result => see(result),
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
  vectorOperand(kind: 'register' | 'memory', bytes: number): VectorOperand {
    return {
      kind,
      bytes,
      get upper() {
        return this
      },
      probeWrite() {},
      requireAligned() {},
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
      requireAligned() {},
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
  override interrupted(): Int {
    return this.bool(false)
  }
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
      case 'vectorMemory':
        return {
          memory: m.memory(S.DS, m.unknown(32), width),
          indices: m.vectorOperand('register', 16),
          scale: m.unknown(32),
        }
      case 'reg':
      case 'rmRegister':
      case 'vexRegister':
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
        return { number: m.const(0, 32) }
      case 'sti':
        return { number: m.unknown(32) }
      case 'mmx':
      case 'mmxRegister':
      case 'xmm':
      case 'xmmRegister':
      case 'xmm0':
      case 'vexXmm':
      case 'immediateXmm':
        return m.vectorOperand('register', bits / 8)
      case 'mmxRm':
      case 'xmmRm':
        return m.vectorOperand(memory ? 'memory' : 'register', bits / 8)
    }
  }
  return form.operands.map(one)
}

/** Routines are looked into once for all instructions of a {@link sensitivities} call. */
function record(instruction: Instruction, forms: readonly Form[], summaries: Summaries): Sensitivity {
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
  const summaries: Summaries = new Map()
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
