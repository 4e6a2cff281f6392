/**
 * The body of a WebAssembly function as text: folded expressions, a line a statement, nested constructs indented. It is
 * WebAssembly's text format but for what would make every change a long diff: locals have the name of the state that
 * they are loaded with at the start, or numbers in the order of their appearance, and their declarations are counted;
 * a label is @ and the number of constructs around its own.
 */

import { OPERATIONS, type Operation, SATURATING, VECTOR_OPERATIONS } from './text-opcodes.ts'
import type { FunctionType, ValueType } from './types.ts'

/** What the numbers in the code mean. */
export interface Names {
  /** A function by its index: its name, and its type. */
  readonly functions: readonly { name: string; type: FunctionType }[]
  /** A type by its index. */
  readonly types: readonly FunctionType[]
  /** The name of what lies at an offset from the vCPU's base in memory 0, if it has one. */
  stateAt(offset: number): string | undefined
}

const TYPES: Record<number, string> = { 127: 'i32', 126: 'i64', 125: 'f32', 124: 'f64', 123: 'v128' }
const WIDTH = 120

/** An expression: what it is, and its operands. */
interface Expression {
  readonly head: string
  readonly args: readonly Expression[]
}

const leaf = (head: string): Expression => ({ head, args: [] })

/**
 * Prints a function's body as the code section holds it: locals, then code up to its `end`.
 * @throws Error for an opcode that is not known, code that does not end with its function or leaves values behind
 */
export function printBody(body: Uint8Array, type: FunctionType, names: Names): string {
  return new Printer(body, type, names).print()
}

class Printer {
  private at = 0
  private readonly body: Uint8Array
  private readonly type: FunctionType
  private readonly names: Names
  private readonly lines: string[] = []
  private readonly localNames = new Map<number, string>()
  private stack: Expression[] = []
  /** The open constructs, the function itself first: what is told at a branch. */
  private readonly open: ('func' | 'block' | 'loop' | 'if')[] = ['func']
  /** Of each of them whether it ends with a value, which branches to a block then bring along. */
  private readonly results: boolean[] = [false]

  constructor(body: Uint8Array, type: FunctionType, names: Names) {
    this.body = body
    this.type = type
    this.names = names
  }

  print(): string {
    this.locals()
    while (this.open.length > 0) {
      if (this.at >= this.body.length) throw new Error('the code ends before its function does')
      this.instruction()
    }
    if (this.at !== this.body.length) throw new Error(`${this.body.length - this.at} bytes follow the function's end`)
    return `${this.lines.join('\n')}\n`
  }

  private byte(): number {
    return this.body[this.at++]
  }

  /** LEB128, core specification 5.2.2. */
  private leb(signed: boolean): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte & 0x80) continue
      return signed && byte & 0x40 ? value - (1n << (shift + 7n)) : value
    }
  }
  private unsigned(): number {
    return Number(this.leb(false))
  }

  private line(expression: Expression): void {
    this.lines.push(...layOut(expression, '  '.repeat(this.open.length)))
  }

  private locals(): void {
    const { params, results } = this.type
    const head = params.map((type, i) => `(param ${this.local(i)} ${TYPES[type]})`)
    head.push(...results.map(type => `(result ${TYPES[type]})`))
    this.lines.push(`(func ${head.join(' ')}`)
    const counts = new Map<ValueType, number>()
    for (let groups = this.unsigned(); groups > 0; groups--) {
      const count = this.unsigned()
      const type = this.byte() as ValueType
      counts.set(type, (counts.get(type) ?? 0) + count)
    }
    for (const [type, count] of counts) this.lines.push(`  ;; ${count} locals of ${TYPES[type]}`)
  }

  /** The name of a local. The first parameter is the vCPU's base. */
  private local(index: number): string {
    let name = this.localNames.get(index)
    if (name === undefined) {
      name = index === 0 ? '$state' : `$${this.localNames.size}`
      this.localNames.set(index, name)
    }
    return name
  }

  /** Assigns a local. One that is loaded from the state before anything else happens has the name of what it holds. */
  private setLocal(index: number): void {
    const { head, args } = this.stack.at(-1) ?? leaf('')
    const field = /load offset=(\$.*)$/.exec(head)?.[1]
    if (field && this.lines.every(isPlain) && args[0]?.head === 'local.get $state' && !this.localNames.has(index)) {
      this.localNames.set(index, field)
    }
    this.emit(`local.set ${this.local(index)}`, 1, false)
  }

  private pop(count: number): Expression[] {
    if (count > this.stack.length) throw new Error(`a value is missing at byte ${this.at}`)
    return count === 0 ? [] : this.stack.splice(-count)
  }

  /** A value for who needs it, or a statement. */
  private emit(head: string, operands: number, result: boolean): void {
    const expression = { head, args: this.pop(operands) }
    if (result) this.stack.push(expression)
    else this.statement(expression)
  }

  private statement(expression: Expression): void {
    if (this.stack.length > 0) throw new Error(`values lie under the statement ${expression.head}`)
    this.line(expression)
  }

  private instruction(): void {
    const opcode = this.byte()
    switch (opcode) {
      case 0x00:
        this.statement(leaf('unreachable'))
        break
      case 0x02:
      case 0x03:
        this.construct(opcode === 0x02 ? 'block' : 'loop', [])
        break
      case 0x04:
        this.construct('if', this.pop(1))
        break
      case 0x05:
        this.lines.push(`${'  '.repeat(this.open.length - 1)}else`)
        break
      case 0x0b:
        this.end()
        break
      case 0x0c: {
        const { name, values } = this.branch()
        this.statement({ head: `br ${name}`, args: this.pop(values) })
        break
      }
      case 0x0d: {
        const { name, values } = this.branch()
        this.emit(`br_if ${name}`, values + 1, values > 0)
        break
      }
      case 0x0e: {
        const labels = Array.from({ length: this.unsigned() + 1 }, () => this.branch().name)
        this.statement({ head: `br_table ${labels.join(' ')}`, args: this.pop(1) })
        break
      }
      case 0x0f:
        this.statement({ head: 'return', args: this.pop(this.type.results.length) })
        break
      case 0x10:
      case 0x12: {
        const { name, type } = this.names.functions[this.unsigned()]
        const tail = opcode === 0x12
        this.emit(`${tail ? 'return_call' : 'call'} $${name}`, type.params.length, !tail && type.results.length > 0)
        break
      }
      case 0x11:
      case 0x13: {
        const type = this.names.types[this.unsigned()]
        this.byte()
        const tail = opcode === 0x13
        const name = tail ? 'return_call_indirect' : 'call_indirect'
        this.emit(name, type.params.length + 1, !tail && type.results.length > 0)
        break
      }
      case 0x20:
        this.emit(`local.get ${this.local(this.unsigned())}`, 0, true)
        break
      case 0x21:
        this.setLocal(this.unsigned())
        break
      case 0x22:
        this.emit(`local.tee ${this.local(this.unsigned())}`, 1, true)
        break
      case 0x41:
        this.emit(`i32.const ${this.leb(true)}`, 0, true)
        break
      case 0x42:
        this.emit(`i64.const ${this.leb(true)}`, 0, true)
        break
      case 0x43:
        this.emit(`f32.const ${this.view(4).getFloat32(0, true)}`, 0, true)
        break
      case 0x44:
        this.emit(`f64.const ${this.view(8).getFloat64(0, true)}`, 0, true)
        break
      case 0xfc: {
        const number = this.unsigned()
        if (number === 0x0a || number === 0x0b) this.bulk(number)
        else this.operation(SATURATING.get(number), opcode)
        break
      }
      case 0xfd:
        this.operation(VECTOR_OPERATIONS.get(this.unsigned()), opcode)
        break
      default:
        this.operation(OPERATIONS.get(opcode), opcode)
        break
    }
  }

  private operation(operation: Operation | undefined, opcode: number): void {
    if (!operation) throw new Error(`unknown opcode 0x${opcode.toString(16)} before byte ${this.at}`)
    const { name, operands, immediate, result } = operation
    this.emit(name + this.immediate(immediate, operands), operands, result)
  }

  /** memory.copy or memory.fill. */
  private bulk(number: number): void {
    const memories = Array.from({ length: number === 0x0a ? 2 : 1 }, () => (this.unsigned() ? '$ram' : '$state'))
    this.emit([number === 0x0a ? 'memory.copy' : 'memory.fill', ...memories].join(' '), 3, false)
  }

  private view(bytes: number): DataView {
    const view = new DataView(this.body.buffer, this.body.byteOffset + this.at, bytes)
    this.at += bytes
    return view
  }

  private immediate(kind: Operation['immediate'], operands: number): string {
    const bytes = () => Array.from(new Uint8Array(this.view(16).buffer, this.body.byteOffset + this.at - 16, 16))
    switch (kind) {
      case 'none':
        return ''
      case 'lane':
        return ` ${this.byte()}`
      case 'shuffle':
        return ` ${bytes().join(' ')}`
      case 'v128':
        return ` i8x16 ${bytes()
          .map(byte => `0x${byte.toString(16)}`)
          .join(' ')}`
      case 'memory':
        return this.memory(this.stack.at(-operands))
    }
  }

  /** A memory's offset; which memory it is follows where bit 6 of the alignment says so. */
  private memory(address: Expression | undefined): string {
    const alignment = this.unsigned()
    const memory = alignment & 0x40 ? this.unsigned() : 0
    const offset = this.unsigned()
    if (memory !== 0) return ` $ram${offset ? ` offset=${offset}` : ''}`
    const what = address?.head === 'local.get $state' ? this.names.stateAt(offset) : undefined
    // A name stays right when the state is laid out anew.
    return ` offset=${what ? `$${what}` : offset}`
  }

  private construct(kind: 'block' | 'loop' | 'if', args: readonly Expression[]): void {
    const type = this.byte()
    if (type !== 0x40 && (kind !== 'block' || !TYPES[type]))
      throw new Error(`a ${kind} with a type, before byte ${this.at}`)
    const label = `${kind} @${this.open.length}${type === 0x40 ? '' : ` (result ${TYPES[type]})`}`
    if (args.length > 0) {
      const condition = layOut(args[0], '  '.repeat(this.open.length + 1))
      const one = `${'  '.repeat(this.open.length)}${label} ${condition[0].trim()}`
      if (condition.length === 1 && one.length <= WIDTH) this.lines.push(one)
      else this.lines.push('  '.repeat(this.open.length) + label, ...condition)
    } else this.statement(leaf(label))
    this.open.push(kind)
    this.results.push(type !== 0x40)
  }

  private end(): void {
    if (this.stack.length > 0) throw new Error(`values are left at the end before byte ${this.at}`)
    this.open.pop()
    this.lines.push(this.open.length > 0 ? `${'  '.repeat(this.open.length)}end` : ')')
    if (this.results.pop()) this.stack.push(leaf(`the value of @${this.open.length}`))
  }

  /** A label by the number of constructs around the one it belongs to, and how many values a branch there takes. */
  private branch(): { name: string; values: number } {
    const depth = this.unsigned()
    const index = this.open.length - 1 - depth
    return { name: index === 0 ? '@func' : `@${index}`, values: this.results[index] ? 1 : 0 }
  }
}

/** A line in front of every construct. */
const isPlain = (line: string): boolean => line.startsWith('(func') || line.startsWith('  (') || line.startsWith('  ;;')

const oneLine = ({ head, args }: Expression): string => `(${[head, ...args.map(oneLine)].join(' ')})`

/** An expression in lines no wider than the page, where that can be done. */
function layOut(expression: Expression, indent: string): string[] {
  const { head, args } = expression
  if (args.length === 0 && !head.includes('.')) return [indent + head]
  const line = indent + oneLine(expression)
  if (line.length <= WIDTH || args.length === 0) return [line]
  const inner = args.flatMap(arg => layOut(arg, `${indent}  `))
  inner[inner.length - 1] += ')'
  return [`${indent}(${head}`, ...inner]
}
