import { JOINED, type RamPlacement } from '../memory/layout.ts'
import { ByteWriter } from '../wasm/bytes.ts'
import type { BranchHint } from '../wasm/module.ts'
import type { FunctionType, ValueType } from '../wasm/types.ts'
import { F32, F64, I32, I64, V128 } from '../wasm/types.ts'
import * as N from './node.ts'
import { Label, localBit, Node } from './node.ts'

/** Finds the index of a function by the name that a call uses, and of a type. */
export interface Linker {
  functionIndex(name: string): number
  typeIndex(type: FunctionType): number
  /** Where accesses to memory 1 go; in {@link JOINED} memory, if it does not say. */
  readonly ram?: RamPlacement
}

/**
 * What is known of a condition: nothing, that it hardly ever holds, or that it nearly always does. Engines lay unlikely code
 * out of line and keep registers for the rest (WebAssembly branch hinting proposal).
 */
export type Likelihood = 'even' | 'unlikely' | 'likely'
const LIKELIHOODS: readonly Likelihood[] = ['even', 'unlikely', 'likely']

/** A function's code as a module takes it. */
export interface EmittedBody {
  /** Local declarations and code. */
  readonly body: Uint8Array
  /** Offsets of branches in the body, with 0 for unlikely and 1 for likely, in ascending order. */
  readonly hints: readonly BranchHint[]
}

/** A value is computed in so many unlikely places rather than once in likely code. */
const MOST_COPIES = 6

const NONE: readonly Node[] = []

/** How integers come from floats and lanes, and how these are stored: reinterpretation, extractions, store. */
const FLOAT_32 = { bits: 0xbc, integerLane: 0xfd00 + 27, lane: 0xfd00 + 31, type: F32, store: 0x38 } as const
const FLOAT_64 = { bits: 0xbd, integerLane: 0xfd00 + 29, lane: 0xfd00 + 33, type: F64, store: 0x39 } as const

/**
 * A WebAssembly function under construction: values are nodes, effects keep their order, and {@link emit} turns it into
 * bytes. A value used once is computed where it is used, as on a stack machine, unless something it reads changes in
 * between; a value used more often lives in a local.
 */
export class FunctionBuilder {
  readonly type: FunctionType
  /** All nodes in the order of their creation. */
  readonly nodes: Node[] = []
  /** The functions called by name, with their types. */
  readonly calls = new Map<string, FunctionType>()
  protected readonly locals: ValueType[] = []
  /** How many unlikely parts are open. */
  private cold = 0

  constructor(type: FunctionType) {
    this.type = type
  }

  /** The types of its locals, without parameters. */
  get variables(): readonly ValueType[] {
    return this.locals
  }

  /** Appends a value that only depends on its arguments. */
  pure(op: number, type: ValueType, args: readonly Node[], imm = 0, imm2 = 0, extra: unknown = undefined): Node {
    let mask = 0
    for (const arg of args) if (!arg.isEffect) mask |= arg.mask
    const node = new Node(op, type, args, imm, imm2, extra, mask, this.cold > 0)
    this.nodes.push(node)
    return node
  }

  /** Appends a read of something that can change: it is computed before the next write that `mask` meets. */
  read(op: number, type: ValueType, args: readonly Node[], imm: number, imm2: number, reads: number): Node {
    let mask = reads
    for (const arg of args) if (!arg.isEffect) mask |= arg.mask
    const node = new Node(op, type, args, imm, imm2, undefined, mask, this.cold > 0)
    this.nodes.push(node)
    return node
  }

  /** Appends an effect that writes what `mask` says. */
  effect(
    op: number,
    type: ValueType | 0,
    args: readonly Node[],
    imm: number,
    imm2: number,
    extra: unknown,
    mask: number,
  ): Node {
    const node = new Node(op, type, args, imm, imm2, extra, mask, this.cold > 0)
    this.nodes.push(node)
    return node
  }

  /** A 32-bit constant. */
  const32(value: number): Node {
    return this.pure(N.OP_CONST, I32, NONE, value | 0)
  }

  /** A 64-bit constant from its halves. */
  const64(low: number, high: number): Node {
    return this.pure(N.OP_CONST, I64, NONE, low | 0, high | 0)
  }

  /** A new local that starts as zero. @returns its index. */
  local(type: ValueType): number {
    return this.type.params.length + this.locals.push(type) - 1
  }

  /** A local that nothing is known of, which is given out anew after {@link releaseTemporaries}. @returns its index. */
  temporary(type: ValueType): number {
    const index = this.unused.get(type)?.pop() ?? this.local(type)
    this.inUse.push(index)
    return index
  }
  private readonly unused = new Map<ValueType, number[]>()
  private readonly inUse: number[] = []

  /** Values that were read from {@link temporary} locals stay what they are; the locals are for others now. */
  releaseTemporaries(): void {
    for (const index of this.inUse.splice(0)) {
      const type = this.locals[index - this.type.params.length]
      const unused = this.unused.get(type)
      if (unused) unused.push(index)
      else this.unused.set(type, [index])
    }
  }

  /** The value of a local or parameter now. */
  getLocal(index: number, type: ValueType): Node {
    return this.read(N.OP_LOCAL_GET, type, NONE, index, 0, localBit(index))
  }

  /** Assigns a local. */
  setLocal(index: number, value: Node): void {
    this.setMasked(index, value, localBit(index))
  }

  /** @param mask what reads of the local depend on */
  protected setMasked(index: number, value: Node, mask: number): void {
    this.effect(N.OP_LOCAL_SET, 0, [value], index, 0, undefined, mask)
  }

  /** A load by `opcode` from memory 0 (CPU state) or 1 (guest RAM). */
  load(opcode: number, type: ValueType, memory: 0 | 1, address: Node, offset: number): Node {
    return this.read(N.OP_LOAD, type, [address], opcode, offset * 2 + memory, memory ? N.READS_RAM : N.READS_STATE)
  }

  /** A store by `opcode`. Bits of floats and lanes are stored as floats, not by way of an integer register. */
  store(opcode: number, memory: 0 | 1, address: Node, value: Node, offset: number): void {
    const float = opcode === 0x37 ? FLOAT_64 : opcode === 0x36 ? FLOAT_32 : undefined
    if (float && value.op === float.bits) {
      this.store(float.store, memory, address, value.args[0], offset)
      return
    }
    if (float && value.op === float.integerLane) {
      const lane = this.pure(float.lane, float.type, value.args, 0, 0, value.extra)
      this.store(float.store, memory, address, lane, offset)
      return
    }
    const mask = memory ? N.READS_RAM : N.READS_STATE
    this.effect(N.OP_STORE, 0, [address, value], opcode, offset * 2 + memory, undefined, mask)
  }

  /** Fills bytes of guest RAM with the low byte of a value. */
  fillRam(address: Node, value: Node, length: Node): void {
    this.effect(N.OP_MEMORY_FILL, 0, [address, value, length], 0, 0, undefined, N.READS_RAM)
  }

  /** Copies bytes of guest RAM as if through a buffer. */
  copyRam(to: Node, from: Node, length: Node): void {
    this.effect(N.OP_MEMORY_COPY, 0, [to, from, length], 0, 0, undefined, N.READS_RAM)
  }

  /** Calls a function by name; it may change every memory. @returns its one result, or a node without a value. */
  call(name: string, type: FunctionType, args: readonly Node[]): Node {
    if (!this.calls.has(name)) this.calls.set(name, type)
    return this.effect(N.OP_CALL, type.results[0] ?? 0, args, 0, 0, name, N.READS_STATE | N.READS_RAM)
  }

  /** Calls through the table; the index is the last argument. */
  callIndirect(type: FunctionType, args: readonly Node[]): Node {
    return this.effect(N.OP_CALL_INDIRECT, type.results[0] ?? 0, args, 0, 0, type, N.READS_STATE | N.READS_RAM)
  }

  /** Ends the function with a call through the table, in place of returning; the index is the last argument. */
  returnCallIndirect(type: FunctionType, args: readonly Node[]): void {
    this.effect(N.OP_RETURN_CALL_INDIRECT, 0, args, 0, 0, type, N.READS_ALL)
  }

  /** Returns from the function. */
  return(...values: Node[]): void {
    this.effect(N.OP_RETURN, 0, values, 0, 0, undefined, 0)
  }

  /** Marks what is never reached: the end of a function that returns everywhere. */
  unreachable(): void {
    this.effect(N.OP_UNREACHABLE, 0, NONE, 0, 0, undefined, N.READS_ALL)
  }

  /** A block; `body` may branch to its end. */
  block(body: (end: Label) => void): void {
    const label = new Label()
    this.effect(N.OP_BLOCK, 0, NONE, 0, 0, label, N.READS_ALL)
    body(label)
    this.end()
  }

  /** A loop; `body` may branch to its start. It ends when the body falls out of it. */
  loop(body: (start: Label) => void): void {
    const label = new Label()
    this.effect(N.OP_LOOP, 0, NONE, 0, 0, label, N.READS_ALL)
    body(label)
    this.end()
  }

  /** Opens a block or loop without a closure; {@link end} closes it. */
  open(op: typeof N.OP_BLOCK | typeof N.OP_LOOP): Label {
    const label = new Label()
    this.effect(op, 0, NONE, 0, 0, label, N.READS_ALL)
    return label
  }

  /** Closes the innermost block, loop or if. */
  end(): void {
    this.effect(N.OP_END, 0, NONE, 0, 0, undefined, N.READS_ALL)
  }

  /** Two ways by an i32 condition. @param likelihood which of them the compiler should expect, by a branch hint */
  if(condition: Node, then: () => void, otherwise?: () => void, likelihood: Likelihood = 'even'): void {
    this.effect(N.OP_IF, 0, [condition], LIKELIHOODS.indexOf(likelihood), 0, new Label(), N.READS_ALL)
    this.part(likelihood === 'unlikely', then)
    if (otherwise) {
      this.effect(N.OP_ELSE, 0, NONE, 0, 0, undefined, N.READS_ALL)
      this.part(likelihood === 'likely', otherwise)
    }
    this.end()
  }

  /** Builds code that is hardly ever reached. */
  rarely(build: () => void): void {
    this.part(true, build)
  }

  private part(isCold: boolean, build: () => void): void {
    if (isCold) this.cold++
    build()
    if (isCold) this.cold--
  }

  /** Branches to a label of an enclosing construct. @param value what that construct ends with, if it has a result */
  branch(label: Label, value?: Node): void {
    this.effect(N.OP_BRANCH, 0, value ? [value] : NONE, 0, 0, label, N.READS_ALL)
  }

  /**
   * Branches if the i32 condition is not zero.
   * @param likelihood whether the compiler should expect it, by a branch hint
   * @param value what the construct ends with, if it has a result
   */
  branchIf(condition: Node, label: Label, likelihood: Likelihood = 'even', value?: Node): void {
    const args = value ? [value, condition] : [condition]
    this.effect(N.OP_BRANCH_IF, 0, args, LIKELIHOODS.indexOf(likelihood), 0, label, N.READS_ALL)
  }

  /** Branches to the label with the number `index`, or to the last. */
  branchTable(index: Node, labels: readonly Label[]): void {
    this.effect(N.OP_BRANCH_TABLE, 0, [index], 0, 0, labels, N.READS_ALL)
  }

  /** The function's body: local declarations and code. Nodes without use and effect are left out. */
  emit(linker: Linker): EmittedBody {
    return new Emitter(this.type, this.locals, this.nodes, linker).emit()
  }
}

/** Turns nodes into bytes, once. */
export class Emitter {
  protected readonly out: ByteWriter
  private readonly ram: RamPlacement
  private readonly type: FunctionType
  private readonly locals: ValueType[]
  private readonly nodes: readonly Node[]
  private readonly linker: Linker
  private readonly labels: (Label | undefined)[] = []
  protected readonly hints: BranchHint[] = []
  private readonly free = new Map<ValueType, number[]>()
  private pending: Node[] = []
  /** The node after the one that is visited. */
  private next: Node | undefined
  private loopDepth = 0
  private currentMark = 0

  constructor(type: FunctionType, locals: readonly ValueType[], nodes: readonly Node[], linker: Linker, room = 2048) {
    this.out = new ByteWriter(room)
    this.type = type
    this.locals = [...locals]
    this.nodes = nodes
    this.linker = linker
    this.ram = linker.ram ?? JOINED
  }

  emit(): EmittedBody {
    this.code()
    this.out.byte(0x0b)
    return this.withLocals()
  }

  /** All of the code but the end of the function. */
  protected code(): void {
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const node = this.nodes[i]
      if (node.isEffect) continue
      if (node.uses === 0) {
        for (const arg of node.args) arg.uses--
        if (!node.isCold) for (const arg of node.args) arg.hotUses--
      } else if (!node.isCold && node.hotUses === 0 && node.uses <= MOST_COPIES) {
        node.isSunk = true
        for (const arg of node.args) {
          arg.hotUses--
          arg.uses += node.uses - 1
        }
      }
    }
    const { nodes } = this
    for (let i = 0; i < nodes.length; i++) {
      this.next = nodes[i + 1]
      this.visit(nodes[i])
    }
  }

  private withLocals(): EmittedBody {
    const head = new ByteWriter(64)
    const groups: [count: number, type: ValueType][] = []
    for (const type of this.locals) {
      const last = groups.at(-1)
      if (last?.[1] === type) last[0]++
      else groups.push([1, type])
    }
    head.unsigned(groups.length)
    for (const [count, type] of groups) {
      head.unsigned(count)
      head.byte(type)
    }
    const start = head.length
    head.raw(this.out.bytes.subarray(0, this.out.length))
    return { body: head.finish(), hints: this.hints.map(({ offset, likely }) => ({ offset: start + offset, likely })) }
  }

  private visit(node: Node): void {
    if (!node.isEffect) {
      if (node.uses === 0 || isConstant(node)) return
      node.loopDepth = this.loopDepth
      if (node.isSunk) {
        if (node.mask !== 0) this.pending.push(node)
      } else if (node.uses > 1) this.toTemp(node)
      else if (node.mask !== 0) this.pending.push(node)
      return
    }
    this.flush(node)
    this.statement(node)
  }

  /** Computes what is pending and would change by `effect`, except what belongs to the effect itself. */
  private flush(effect: Node): void {
    if (this.pending.length === 0) return
    const mark = ++this.currentMark
    markTree(effect, mark)
    const keep: Node[] = []
    for (const node of this.pending) {
      if (node.isSunk) {
        if ((node.mask & effect.mask) === 0) keep.push(node)
        else this.pin(node)
      } else if (!node.emitted) {
        if ((node.mask & effect.mask) === 0 || node.mark === mark) keep.push(node)
        else this.toTemp(node)
      }
    }
    this.pending = keep
  }

  /** Keeps what a sunk value is made of, so that it can be computed later. */
  private pin(node: Node): void {
    if (node.temp >= 0 || node.mask === 0) return
    if (node.op === N.OP_LOCAL_GET || node.op === N.OP_LOAD || !node.isSunk) this.toTemp(node)
    else for (const arg of node.args) if (!arg.isEffect) this.pin(arg)
  }

  private toTemp(node: Node): void {
    this.compute(node)
    node.temp = this.allocate(node.type as ValueType)
    this.out.byte(0x21)
    this.local(node.temp, true)
  }

  /** The number of a local in an instruction that reads or sets it. */
  protected local(index: number, _sets: boolean): void {
    this.out.unsigned(index)
  }

  /** A constant of {@link N.OP_HOLE}. */
  protected hole(_node: Node): void {
    throw new Error('code with holes is emitted by its own emitter')
  }

  /** The number of a label in a branch. @param depth of what is open here */
  protected label(label: Label, depth: number): void {
    this.out.unsigned(depth - label.depth)
  }

  /** The number of a function in a call. */
  protected callee(name: string): void {
    this.out.unsigned(this.linker.functionIndex(name))
  }

  /** The number of a type in an indirect call. */
  protected typeNumber(type: FunctionType): void {
    this.out.unsigned(this.linker.typeIndex(type))
  }

  protected allocate(type: ValueType): number {
    const free = this.free.get(type)
    if (free?.length) return free.pop()!
    return this.another(type)
  }

  /** One more local. */
  protected another(type: ValueType): number {
    return this.type.params.length + this.locals.push(type) - 1
  }

  /** Puts the value on the stack. */
  protected value(node: Node): void {
    if (isConstant(node)) {
      this.constant(node)
      return
    }
    if (node === this.left) {
      this.left = undefined
      return
    }
    if (node.temp >= 0) {
      this.out.byte(0x20)
      this.local(node.temp, false)
      if (--node.uses === 0 && node.loopDepth === this.loopDepth) this.release(node)
      return
    }
    this.compute(node)
  }

  private release(node: Node): void {
    const type = node.type as ValueType
    const free = this.free.get(type)
    if (free) free.push(node.temp)
    else this.free.set(type, [node.temp])
  }

  private constant(node: Node): void {
    const { out } = this
    if (node.op === N.OP_HOLE) {
      this.hole(node)
      return
    }
    switch (node.type) {
      case I32:
        out.byte(0x41)
        out.signed32(node.imm)
        break
      case I64:
        out.byte(0x42)
        out.signed64(node.imm, node.imm2)
        break
      case F32:
        out.byte(0x43)
        out.raw(node.extra as Uint8Array)
        break
      case F64:
        out.byte(0x44)
        out.raw(node.extra as Uint8Array)
        break
      case V128:
        out.byte(0xfd)
        out.unsigned(12)
        out.raw(node.extra as Uint8Array)
        break
    }
  }

  private compute(node: Node): void {
    const { out } = this
    node.emitted = true
    for (const arg of node.args) this.value(arg)
    switch (node.op) {
      case N.OP_LOCAL_GET:
        out.byte(0x20)
        this.local(node.imm, false)
        break
      case N.OP_LOAD:
        this.memoryAccess(node)
        break
      default:
        this.opcode(node)
    }
  }

  private opcode(node: Node): void {
    const { out } = this
    if (node.op >= 0xfd00) {
      out.byte(0xfd)
      out.unsigned(node.op - 0xfd00)
      if (node.extra) out.raw(node.extra as Uint8Array)
    } else if (node.op >= 0xfc00) {
      out.byte(0xfc)
      out.unsigned(node.op - 0xfc00)
    } else out.byte(node.op)
  }

  /** The offset of a memory access. @param base where the memory begins */
  protected offset(offset: number, base: number): void {
    this.out.unsigned(base + offset)
  }

  private memoryAccess(node: Node): void {
    const { out } = this
    if (node.imm >= 0xfd00) {
      out.byte(0xfd)
      out.unsigned(node.imm - 0xfd00)
    } else out.byte(node.imm)
    const { memory, offset } = node.imm2 & 1 ? this.ram : STATE
    if (memory) {
      out.byte(0x40)
      out.byte(memory)
    } else out.byte(0)
    this.offset(node.imm2 >>> 1, offset)
  }

  private statement(node: Node): void {
    const { out } = this
    const addresses = node.op === N.OP_MEMORY_FILL ? 1 : node.op === N.OP_MEMORY_COPY ? 2 : 0
    for (let i = 0; i < node.args.length; i++) {
      this.value(node.args[i])
      if (i < addresses) this.ramAddress()
    }
    switch (node.op) {
      case N.OP_LOCAL_SET:
        out.byte(0x21)
        this.local(node.imm, true)
        break
      case N.OP_STORE:
        this.memoryAccess(node)
        break
      case N.OP_CALL:
      case N.OP_RETURN_CALL:
        out.byte(node.op === N.OP_CALL ? 0x10 : 0x12)
        this.callee(node.extra as string)
        this.result(node)
        break
      case N.OP_CALL_INDIRECT:
      case N.OP_RETURN_CALL_INDIRECT:
        out.byte(node.op === N.OP_CALL_INDIRECT ? 0x11 : 0x13)
        this.typeNumber(node.extra as FunctionType)
        out.byte(0)
        this.result(node)
        break
      case N.OP_IF:
      case N.OP_BLOCK:
      case N.OP_LOOP:
        if (node.op === N.OP_IF && node.imm !== 0) this.hints.push({ offset: out.length, likely: node.imm === 2 })
        out.byte(node.op === N.OP_IF ? 0x04 : node.op === N.OP_BLOCK ? 0x02 : 0x03)
        out.byte(0x40)
        this.labels.push(node.extra as Label)
        ;(node.extra as Label).depth = this.labels.length
        // Whatever is computed once outside and used in a loop must stay: no local is reused across loop levels.
        if (node.op === N.OP_LOOP) this.loopDepth++
        this.opened.push(node.op)
        break
      case N.OP_ELSE:
        out.byte(0x05)
        break
      case N.OP_END:
        out.byte(0x0b)
        this.labels.pop()
        if (this.opened.pop() === N.OP_LOOP) this.loopDepth--
        break
      case N.OP_BRANCH:
        out.byte(0x0c)
        this.label(node.extra as Label, this.labels.length)
        break
      case N.OP_BRANCH_IF:
        if (node.imm !== 0) this.hints.push({ offset: out.length, likely: node.imm === 2 })
        out.byte(0x0d)
        this.label(node.extra as Label, this.labels.length)
        // What was for the construct's end is not needed here.
        if (node.args.length > 1) out.byte(0x1a)
        break
      case N.OP_BRANCH_TABLE: {
        const labels = node.extra as Label[]
        out.byte(0x0e)
        out.unsigned(labels.length - 1)
        for (const label of labels) this.label(label, this.labels.length)
        break
      }
      case N.OP_RETURN:
        out.byte(0x0f)
        break
      case N.OP_MEMORY_FILL:
        out.raw([0xfc, 0x0b, this.ram.memory])
        break
      case N.OP_MEMORY_COPY:
        out.raw([0xfc, 0x0a, this.ram.memory, this.ram.memory])
        break
      case N.OP_UNREACHABLE:
        out.byte(0x00)
        break
    }
  }

  /** An address in memory 1 on the stack becomes one of the memory that holds it. */
  private ramAddress(): void {
    const { out, ram } = this
    if (ram.offset === 0) return
    out.byte(0x41)
    out.signed32(ram.offset)
    out.byte(0x6a)
  }

  private readonly opened: number[] = []

  /** A call's result goes to a local, or away. */
  private result(node: Node): void {
    if (node.type === 0 || node.op === N.OP_RETURN_CALL || node.op === N.OP_RETURN_CALL_INDIRECT) return
    if (node.uses === 0) {
      this.out.byte(0x1a)
      return
    }
    // What is assigned at once stays on the stack until then.
    if (node.uses === 1 && this.next?.op === N.OP_LOCAL_SET && this.next.args[0] === node) {
      this.left = node
      return
    }
    node.loopDepth = this.loopDepth
    node.temp = this.allocate(node.type)
    this.out.byte(0x21)
    this.local(node.temp, true)
  }
  /** What the last statement left on the stack for this one. */
  private left: Node | undefined
}

/** Memory 0. */
const STATE: RamPlacement = { memory: 0, offset: 0 }

/** What costs nothing to be computed again. */
const isConstant = ({ op }: Node): boolean => op === N.OP_CONST || op === N.OP_HOLE

function markTree(node: Node, mark: number): void {
  for (const arg of node.args) {
    if (arg.temp >= 0 || arg.mark === mark) continue
    arg.mark = mark
    markTree(arg, mark)
  }
}
