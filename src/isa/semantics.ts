import { EVENT_INTERRUPT } from '../cpu/events.ts'
import { F, type Field, TF } from '../cpu/state.ts'
import { FunctionBuilder, type Likelihood, type Linker } from '../ir/function.ts'
import { Label } from '../ir/node.ts'
import { Float, Int, int, type Operandish, typeOf, type ValueWidth, Vector, type Width } from '../ir/values.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../wasm/memory-opcodes.ts'
import { F32, F64, I32, I64, V128, type ValueType } from '../wasm/types.ts'
import type { DeferredChecks, MagnitudeChecks } from './sse-float-paths.ts'
import type { X87Locals } from './x87-locals.ts'

/** The execution mode classes that change what an instruction means (SDM vol. 1, 3.1; vol. 3, 20). */
export type Mode = 'real' | 'virtual-8086' | 'protected' | 'compatibility' | 'long'

/** What is known of an instruction while its meaning is built, besides its operands. */
export interface Context {
  readonly mode: Mode
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  /** Width of the stack pointer: by SS.B, 64 in 64-bit mode. */
  readonly stackSize: 16 | 32 | 64
  readonly rep: 'none' | 'rep' | 'repne'
  readonly lock: boolean
  /** Segment of memory operands that the instruction makes itself (string source, XLAT): DS or an override. */
  readonly segment: number
}

/** Exceptions by vector (SDM vol. 3, table 6-1). */
export const DE = 0
export const DB = 1
export const BP = 3
export const OF_EXCEPTION = 4
export const BR = 5
export const UD = 6
export const NM = 7
export const DF_EXCEPTION = 8
export const TS = 10
export const NP = 11
export const SS_EXCEPTION = 12
export const GP = 13
export const PF_EXCEPTION = 14
export const MF = 16
export const AC_EXCEPTION = 17
export const XM = 19

/** An operand of integer type: a register, a place in memory, an immediate. */
export interface Operand {
  readonly kind: 'register' | 'memory' | 'immediate'
  readonly width: Width
  /** The value. A memory operand that is written later in the same instruction is checked for writing already here. */
  read(): Int
  /** Writes the value, of the operand's width. A 32-bit register write clears the upper half in 64-bit mode. */
  write(value: Operandish): void
}

/** An operand in memory. */
export interface MemoryOperand extends Operand {
  readonly kind: 'memory'
  /** The effective address (offset within the segment), address size wide: what LEA gives. */
  readonly offset: Int
  /** The memory `bytes` further on, of another width if given: second elements of pairs, descriptor tables. */
  at(bytes: number | Int, width?: Width): MemoryOperand
  /** 128 bits. `aligned`: #GP(0) unless the address is a multiple of 16. */
  readVector(aligned?: boolean): Vector
  writeVector(value: Vector, aligned?: boolean): void
  /**
   * Raises the faults that writing `bytes` bytes would raise, without writing. `aligned`: #GP(0) first unless the address
   * is a multiple of `bytes`.
   */
  probeWrite(bytes: number, aligned?: boolean): void
  /** Raises #GP(0) unless the address is a multiple of `bytes`, a power of two. */
  requireAligned(bytes: number): void
}

/** An XMM or YMM register, or memory of 1 to 32 bytes in its place. All but {@link upper} is about the lower 16 bytes. */
export interface VectorOperand {
  readonly kind: 'register' | 'memory'
  /** Bits 128 to 255: the upper half of the YMM register, or the next 16 bytes of memory. */
  readonly upper: VectorOperand
  /** Bytes that a memory operand has. */
  readonly bytes: number
  /** All 128 bits; a memory operand of 16 bytes must be aligned (#GP(0)) unless `unaligned`. */
  readVector(unaligned?: boolean): Vector
  writeVector(value: Vector, unaligned?: boolean): void
  /** The low bits (8 to 64) as an integer: a register's low lane, or all of a memory operand. */
  readLow(width: Width): Int
  /** Writes only the low bits; the rest of a register stays. */
  writeLow(value: Int): void
  /** 64 bits at byte 0 or 8 of a register (or memory of 16 bytes). */
  readHalf(half: 0 | 1): Int
  writeHalf(half: 0 | 1, value: Int): void
  /** Of memory: raises the faults that writing so many bytes would raise. Nothing for registers. */
  probeWrite(bytes: number): void
  /** Of memory: raises #GP(0) unless the address is a multiple of `bytes`, a power of two. Nothing for registers. */
  requireAligned(bytes: number): void
}

/** Memory operands of a gather. */
export interface VectorMemoryOperand {
  /** Base and displacement; of the width of an element. */
  readonly memory: MemoryOperand
  /** The register of indices. */
  readonly indices: VectorOperand
  /** How far indices are shifted left, 0 to 3; 32 bits. */
  readonly scale: Int
}

/** A segment, control or debug register operand: its number while building or a value at run time. */
export interface NumberedOperand {
  /** The number in the encoding (0–5 for segments, 0–15 for control and debug registers). */
  readonly number: Int
}

/** What `m.flags.set` can be told. What is left out keeps its value. */
export interface FlagChanges {
  /** ZF, SF and PF as of this result. */
  result?: Int
  carry?: Int
  parity?: Int
  adjust?: Int
  zero?: Int
  sign?: Int
  overflow?: Int
}

/** The flags as instructions see them. All are truth values (Int of width 1). */
export interface Flags {
  readonly carry: Int
  readonly parity: Int
  readonly adjust: Int
  readonly zero: Int
  readonly sign: Int
  readonly overflow: Int
  /** DF. */
  readonly direction: Int
  /** The condition of Jcc, SETcc, CMOVcc by its code 0–15 (SDM vol. 1, appendix B). */
  condition(code: number): Int
  /** All six as of `a + b (+ carry)` = result. */
  setAdd(a: Int, b: Int, result: Int, carry?: Int): void
  /** All six as of `a - b (- borrow)` = result. */
  setSub(a: Int, b: Int, result: Int, borrow?: Int): void
  /** ZF SF PF by the result; CF, OF and AF clear. */
  setLogic(result: Int): void
  set(changes: FlagChanges): void
  /** All but CF as of an operand plus 1 = result. */
  setIncrement(result: Int): void
  /** All but CF as of an operand minus 1 = result. */
  setDecrement(result: Int): void
  /** EFLAGS as an image of 32 bits (all bits: VM and RF too). */
  readImage(): Int
  /** Replaces the flags in `mask` (a constant) by those in the image. */
  writeImage(image: Int, mask: number): void
}

/** A variable of a function under construction. */
export class Variable {
  private readonly f: FunctionBuilder
  private readonly local: number
  readonly width: Width

  /** @param local its number, where that is settled */
  constructor(f: FunctionBuilder, width: Width, local: number = f.local(typeOf(width))) {
    this.f = f
    this.width = width
    this.local = local
  }
  /** Its value now. */
  get value(): Int {
    return new Int(this.f, this.f.getLocal(this.local, typeOf(this.width)), this.width)
  }
  set value(value: Int) {
    if (value.width !== this.width) throw new Error(`variable of ${this.width} bits set to ${value.width}`)
    this.f.setLocal(this.local, value.node)
  }
  /** Assigns a value or a constant. */
  set(value: Operandish): void {
    this.value = value instanceof Int ? value : int(this.f, value, this.width)
  }
}

/** A floating-point variable. */
export class FloatVariable {
  private readonly f: FunctionBuilder
  private readonly local: number
  readonly width: 32 | 64
  constructor(f: FunctionBuilder, width: 32 | 64, local: number) {
    this.f = f
    this.width = width
    this.local = local
  }
  get value(): Float {
    return new Float(this.f, this.f.getLocal(this.local, this.width === 64 ? F64 : F32), this.width)
  }
  set value(value: Float) {
    if (value.width !== this.width) throw new Error(`variable of ${this.width} bits set to ${value.width}`)
    this.f.setLocal(this.local, value.node)
  }
}

/** A variable of 128 bits. */
export class VectorVariable {
  private readonly f: FunctionBuilder
  private readonly local: number
  constructor(f: FunctionBuilder, local: number) {
    this.f = f
    this.local = local
  }
  get value(): Vector {
    return new Vector(this.f, this.f.getLocal(this.local, V128))
  }
  set value(value: Vector) {
    this.f.setLocal(this.local, value.node)
  }
}

/** Control flow, constants, variables, the vCPU's state words and calls: what every piece of generated code can use. */
export class Code {
  readonly f: FunctionBuilder
  /** The base address of the vCPU's state in memory 0: parameter 0 of every generated function. */
  constructor(f: FunctionBuilder) {
    this.f = f
  }

  /** An integer constant. */
  const(value: number | bigint, width: Width): Int {
    return int(this.f, value, width)
  }
  /** A truth value. */
  bool(value: boolean): Int {
    return int(this.f, value ? 1 : 0, 1)
  }
  /** A vector constant of 16 bytes. */
  vector(bytes: Uint8Array): Vector {
    return Vector.constant(this.f, bytes)
  }
  /** A local for a variable. */
  protected local(type: ValueType): number {
    return this.f.local(type)
  }
  /** A variable with a first value. */
  variable(width: Width, initial: Operandish): Variable {
    const variable = new Variable(this.f, width, this.local(typeOf(width)))
    variable.set(initial)
    return variable
  }
  /** A floating-point variable with a first value. */
  floatVariable(initial: Float): FloatVariable {
    const variable = new FloatVariable(this.f, initial.width, this.local(initial.width === 64 ? F64 : F32))
    variable.value = initial
    return variable
  }
  /** A vector variable with a first value. */
  vectorVariable(initial: Vector): VectorVariable {
    const variable = new VectorVariable(this.f, this.local(V128))
    variable.value = initial
    return variable
  }
  /** Two ways. Values made inside are used only inside; carry results out in variables. */
  if(condition: Int, then: () => void, otherwise?: () => void, likelihood: Likelihood = 'even'): void {
    this.f.if(condition.node, then, otherwise, likelihood)
  }
  /** Repeats while the condition, built anew each time around, holds. */
  while(condition: () => Int, body: () => void): void {
    this.f.block(end => {
      this.f.loop(start => {
        this.f.branchIf(condition().isZero().node, end)
        body()
        this.f.branch(start)
      })
    })
  }
  /** A block whose end can be branched to with {@link leave}. */
  block(body: (end: Label) => void): void {
    this.f.block(body)
  }
  /** Branches to the end of an enclosing {@link block}, if the condition holds. */
  leave(end: Label, condition?: Int, likelihood: Likelihood = 'even'): void {
    if (condition) this.f.branchIf(condition.node, end, likelihood)
    else this.f.branch(end)
  }

  /** The address of the vCPU's state. */
  get base(): Int {
    return new Int(this.f, this.f.getLocal(0, I32), 32)
  }
  /** Reads a word of the vCPU's state. `index` picks an element, at building or at run time. */
  get(field: Field, index: number | Int = 0): Int {
    const [base, offset] = this.place(field, index)
    if (field.type === 'v128') throw new Error(`${field.name} is a vector`)
    return field.type === 'i64'
      ? new Int(this.f, this.f.load(0x29, I64, 0, base, offset), 64)
      : new Int(this.f, this.f.load(0x28, I32, 0, base, offset), 32)
  }
  /** Writes a word of the vCPU's state. */
  set(field: Field, value: Operandish, index: number | Int = 0): void {
    const [base, offset] = this.place(field, index)
    const width = field.type === 'i64' ? 64 : 32
    const v = value instanceof Int ? value : int(this.f, value, width)
    if (v.width !== width) throw new Error(`${field.name} is ${width} bits wide, not ${v.width}`)
    this.f.store(field.type === 'i64' ? 0x37 : 0x36, 0, base, v.node, offset)
  }
  /** Reads a vector of the state. */
  getVector(field: Field, index: number | Int = 0): Vector {
    const [base, offset] = this.place(field, index)
    return new Vector(this.f, this.f.load(0xfd00, V128, 0, base, offset))
  }
  /** Writes a vector of the state. */
  setVector(field: Field, value: Vector, index: number | Int = 0): void {
    const [base, offset] = this.place(field, index)
    this.f.store(0xfd0b, 0, base, value.node, offset)
  }
  /** Reads 8 to 64 bits at a byte offset into a field (a lane of a vector, half of a word). */
  getPart(field: Field, bytes: number, width: Width, index: number | Int = 0): Int {
    const [base, offset] = this.place(field, index)
    const opcode = LOAD_OPCODES[width]
    return new Int(this.f, this.f.load(opcode, typeOf(width), 0, base, offset + bytes), width)
  }
  /** Writes 8 to 64 bits at a byte offset into a field. */
  setPart(field: Field, bytes: number, value: Int, index: number | Int = 0): void {
    const [base, offset] = this.place(field, index)
    const opcode = STORE_OPCODES[value.width]
    this.f.store(opcode, 0, base, value.node, offset + bytes)
  }
  /** Reads 8 to 64 bits of a field at an address in place of the state's, which a number of bytes may have been added to. */
  getAt(field: Field, address: Int, bytes: number, width: Width): Int {
    return new Int(
      this.f,
      this.f.load(LOAD_OPCODES[width], typeOf(width), 0, address.node, field.offset + bytes),
      width,
    )
  }
  /** Writes likewise. */
  setAt(field: Field, address: Int, bytes: number, value: Int): void {
    this.f.store(STORE_OPCODES[value.width], 0, address.node, value.node, field.offset + bytes)
  }
  private place(field: Field, index: number | Int): [base: Int['node'], offset: number] {
    if (typeof index === 'number') return [this.base.node, field.offset + index * field.stride]
    return [this.base.add(index.zeroExtend(32).mul(field.stride)).node, field.offset]
  }

  /**
   * Calls a routine (see {@link routine}) with values; the result has the routine's width. A routine's first parameter,
   * the vCPU's base, is passed by itself.
   */
  call(routine: Routine, ...args: (Int | Vector)[]): Int {
    return new Int(this.f, this.callNode(routine, args), (routine.result ?? 32) as Width)
  }
  /** Calls a routine whose result is a vector. */
  callVector(routine: Routine, ...args: (Int | Vector)[]): Vector {
    if (routine.result !== 128) throw new Error(`${routine.name} does not give a vector`)
    return new Vector(this.f, this.callNode(routine, args))
  }
  private callNode(routine: Routine, args: readonly (Int | Vector)[]): Int['node'] {
    const types = routine.parameters.map(typeOf)
    args.forEach((arg, i) => {
      const width = arg instanceof Int ? arg.width : 128
      if (width !== routine.parameters[i]) throw new Error(`${routine.name}: argument ${i} is ${width} bits`)
    })
    const results = routine.result ? [typeOf(routine.result)] : []
    this.used.add(routine)
    const nodes = [this.base.node, ...args.map(arg => arg.node)]
    return this.f.call(routine.name, { params: [I32, ...types], results }, nodes)
  }
  /** Routines that this code calls. */
  readonly used = new Set<Routine>()
}

/**
 * A piece of generated code that instructions share: a WebAssembly function with the vCPU's base, integers and vectors
 * (width 128) for parameters. Results beyond one go through `F.serviceResult` and `F.serviceResult2`.
 */
export interface Routine {
  readonly name: string
  readonly parameters: readonly ValueWidth[]
  readonly result: ValueWidth | undefined
  build(code: Code, ...parameters: never[]): Int | Vector | undefined
}

/** What a routine's `build` gets for a parameter, or gives for its result, of a width. */
export type ValueOf<W> = W extends 128 ? Vector : W extends Width ? Int : Int | undefined

/** Defines a routine. Names are unique in the house. */
export function routine<const P extends readonly ValueWidth[], R extends ValueWidth | undefined>(
  name: string,
  parameters: P,
  result: R,
  build: (code: Code, ...parameters: { -readonly [K in keyof P]: ValueOf<P[K]> }) => ValueOf<R>,
): Routine {
  return { name, parameters, result, build: build as unknown as Routine['build'] }
}

/** Builds a routine's function. @returns its body and the routines that it calls. */
export function buildRoutine(routine: Routine, linker: Linker): { body: Uint8Array; uses: Set<Routine> } {
  const { f, uses } = routineFunction(routine)
  return { body: f.emit(linker).body, uses }
}

/** A routine's function, not yet emitted, and the routines that it calls. */
export function routineFunction(routine: Routine): { f: FunctionBuilder; uses: Set<Routine> } {
  const params: ValueType[] = [I32, ...routine.parameters.map(typeOf)]
  const f = new FunctionBuilder({ params, results: routine.result ? [typeOf(routine.result)] : [] })
  const code = new Code(f)
  const parameters = routine.parameters.map((width, i) => {
    const node = f.getLocal(i + 1, typeOf(width))
    return width === 128 ? new Vector(f, node) : new Int(f, node, width)
  })
  const result = routine.build(code, ...(parameters as never[]))
  if (routine.result) f.return(result!.node)
  return { f, uses: code.used }
}

/**
 * What an instruction's `execute` is written against. Calls build code; nothing happens to a guest while they run.
 * The interpreter, the translator and the recorder of sensitivity each have their own kind.
 */
export abstract class Semantics extends Code {
  abstract readonly context: Context
  abstract readonly flags: Flags

  /** A general-purpose register by number, 8 to 64 bits wide (8: the low byte, never AH CH DH BH). */
  abstract register(number: number, width: Width): Operand
  /** AH, CH, DH or BH by 0–3. */
  abstract highByte(number: number): Operand
  /** rAX of the operand size, or of a width given. */
  accumulator(width: Width = this.context.operandSize): Operand {
    return this.register(0, width)
  }
  /** An XMM register by number. */
  abstract xmm(number: number): VectorOperand
  /** A place in memory: an offset within a segment, of the width of the context's address (or stack) size. */
  abstract memory(segment: number, offset: Int, width: Width): MemoryOperand

  /**
   * Whether the engine keeps account of XMM registers whose numbers are settled: not denormal, or it does not matter because
   * the denormal flag is set and masked in MXCSR and denormals count as what they are. Code that settles a number leaves with
   * F.fault where it is not so.
   */
  readonly settles: boolean = false
  /** Whether the lowest number of the register, or all of them, are settled as numbers of a width. */
  isSettled(_operand: VectorOperand, _width: 32 | 64, _all = false): boolean {
    return false
  }
  /** Notes that they are, after a register was written. Any write of a register ends what was known of it. */
  settle(_operand: VectorOperand, _width: 32 | 64, _all: boolean): void {}
  /** Ends what is known of all registers: MXCSR is another. */
  unsettle(): void {}

  /** The x87's registers, where the engine keeps them in variables: definitions then work on those and not on the state. */
  get x87(): X87Locals | undefined {
    return undefined
  }

  /** Takes the checks of floating-point results and operands, where the engine makes those of several instructions together. */
  get deferred(): DeferredChecks | undefined {
    return undefined
  }

  /** Keeps account of the magnitudes of scalar numbers, where the engine does. */
  get magnitudes(): MagnitudeChecks | undefined {
    return undefined
  }

  /** Pushes a value of its own width (16, 32 or 64): the stack pointer moves after the write succeeded. */
  abstract push(value: Int): void
  /** Reads the stack top plus `skip` bytes without moving the stack pointer. */
  abstract peek(width: Width, skip?: number): Int
  /** Moves the stack pointer up by bytes. */
  abstract drop(bytes: number | Int): void

  /** RIP of the next instruction, zero-extended to 64 bits (IP and EIP within CS). */
  abstract readonly nextRip: Int
  /** RIP of this instruction. */
  abstract readonly thisRip: Int
  /** The current privilege level, as an Int of 32 bits. */
  abstract readonly privilegeLevel: Int

  /**
   * Continues at a near target: cut to the operand size, checked against the limit of CS, or canonical in 64-bit mode, with
   * #GP(0). Nothing may follow but commits of the same path.
   */
  abstract jump(target: Int): void
  /** Continues at the target if the condition holds, else with the next instruction. */
  abstract branch(condition: Int, target: Int): void
  /** Raises an exception with this instruction's RIP and ends it. Use it inside an {@link if} before anything is committed. */
  abstract raise(vector: number, errorCode?: number): void
  /** Raises an exception if the condition holds. */
  raiseIf(condition: Int, vector: number, errorCode?: number): void {
    this.if(condition, () => this.raise(vector, errorCode), undefined, 'unlikely')
  }
  /** Leaves the instruction if a routine has set F.fault (with F.faultVector and F.faultErrorCode). Before anything is committed. */
  abstract faultCheck(): void
  /** While the lanes of an instruction are built that must all be computed before an exception of one of them is raised. */
  exceptionsWait = false
  /** Leaves the instruction if a floating-point routine has met an unmasked exception, or later if {@link exceptionsWait}. */
  exceptionCheck(): void {
    if (!this.exceptionsWait) this.faultCheck()
  }
  /**
   * Calls a service of src/cpu/services by name: TypeScript that may read and change all state, raise exceptions and change
   * RIP. 64-bit arguments arrive as two numbers, low and high half (unsigned); narrower as one. Results come back in `F.serviceResult`, read by {@link serviceResult}.
   * RIP in the state is this instruction's while it runs; if the service leaves RIP alone, the next instruction follows.
   */
  abstract service(name: string, ...args: (Int | number)[]): void
  /** What the last service left in serviceResult, as a value of a width. */
  abstract serviceResult(width: Width): Int
  /** After this instruction nothing that was known of mode, privilege, paging or pending interrupts holds any more. */
  abstract endBlock(): void
  /** One step of a repeated string instruction was committed: interrupts may come in, and the instruction is to be started again. */
  abstract restart(): void
  /**
   * Whether a repeated string instruction is to start again after this step though it could go on: an event waits that is
   * no mere interrupt request, or every instruction is traced.
   */
  interrupted(): Int {
    return this.get(F.events).and(~EVENT_INTERRUPT).or(this.get(F.systemFlags).and(TF)).isNonZero()
  }
  /**
   * How many elements of `width` bits a repeated string instruction does before it starts again, at most: from the state that a
   * guest sees alone, so that instructions are counted alike wherever they run. At least 1; 32 bits.
   * @param pointers segments and offsets
   */
  elementsInPage(_pointers: readonly (readonly [segment: number, offset: Int])[], _width: Width): Int {
    return this.const(512, 32)
  }
  /**
   * Stores a value in so many elements (32 bits, not more than {@link elementsInPage}) from an offset on in one go.
   * @returns whether it did: not where that would not come to the same
   */
  fillRun(_segment: number, _offset: Int, _elements: Int, _value: Int): Int {
    return this.bool(false)
  }
  /** Likewise copies elements of `width` bits upwards, from one offset to another in ES. */
  copyRun(_segment: number, _from: Int, _to: Int, _elements: Int, _width: Width): Int {
    return this.bool(false)
  }
  /**
   * How many elements (32 bits) from an offset in ES on, at most `elements` (not more than {@link elementsInPage}), are unlike
   * the value, or if `alike` is wanted like it: as far as that can be seen in one go, which may be not at all.
   */
  scanRun(_offset: Int, _elements: Int, _value: Int, _alike: boolean): Int {
    return this.const(0, 32)
  }
  /** Likewise how many elements of `width` bits at two offsets, the second in ES, are unlike, or alike. */
  compareRun(_segment: number, _first: Int, _second: Int, _elements: Int, _width: Width, _alike: boolean): Int {
    return this.const(0, 32)
  }
  /**
   * Reads so many elements of `width` bits from a port, upwards to an offset on, in one go: not more than {@link elementsInPage}.
   * @returns how many it were (32 bits), from the state that a guest sees alone: 0 where they have to come one by one
   */
  inputRun(_port: Int, _segment: number, _offset: Int, _elements: Int, _width: Width): Int {
    return this.const(0, 32)
  }
  /** Whether the DF, IF … bit of the system flags is set (masks of src/cpu/state.ts). */
  abstract systemFlag(mask: number): Int
}

export type { Likelihood, Operandish, Width }
export { Float, Int, Label, Vector }
