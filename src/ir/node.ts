import type { ValueType } from '../wasm/types.ts'

/**
 * A constant that a copy of the code will put in (src/engines/translator/template.ts); `extra` says which. Numbers below
 * OP_LOCAL_SET are values.
 */
export const OP_HOLE = 0xffff
/** Operations that are not plain WebAssembly opcodes. Plain opcodes stand for themselves (SIMD as 0xfd00 + number). */
export const OP_CONST = 0x10000
export const OP_LOCAL_GET = 0x10001
export const OP_LOCAL_SET = 0x10002
export const OP_LOAD = 0x10003
export const OP_STORE = 0x10004
export const OP_CALL = 0x10005
export const OP_CALL_INDIRECT = 0x10006
export const OP_IF = 0x10007
export const OP_ELSE = 0x10008
export const OP_END = 0x10009
export const OP_BLOCK = 0x1000a
export const OP_LOOP = 0x1000b
export const OP_BRANCH = 0x1000c
export const OP_BRANCH_IF = 0x1000d
export const OP_BRANCH_TABLE = 0x1000e
export const OP_RETURN = 0x1000f
export const OP_RETURN_CALL = 0x10010
export const OP_RETURN_CALL_INDIRECT = 0x10011
export const OP_UNREACHABLE = 0x10012
export const OP_MEMORY_FILL = 0x10013
export const OP_MEMORY_COPY = 0x10014

/** What a pending read depends on: bits 0–26 stand for locals (by number modulo 27), the rest for memories. */
export const READS_LOCALS = 0x07ffffff
export const READS_STATE = 1 << 27
export const READS_RAM = 1 << 28
export const READS_ALL = 0x1fffffff
/** The dependency bit of a local. */
export const localBit = (index: number): number => 1 << (index % 27)

/** A place that a branch goes to: the end of a block or if, the start of a loop. */
export class Label {
  depth = -1
}

/** One operation of a function under construction. Nodes are listed in the order of their creation. */
export class Node {
  readonly op: number
  readonly type: ValueType | 0
  readonly args: readonly Node[]
  /** Immediate: constant (low half of an i64), local index, load/store opcode, lane … */
  readonly imm: number
  /** Second immediate: high half of an i64 constant, offset of a load or store, memory index << 30 … */
  readonly imm2: number
  /** Labels, function names, shuffle lanes. */
  readonly extra: unknown
  /** What the value, with everything inlined into it, reads. For an effect: what it writes. */
  readonly mask: number
  /** How many nodes use the value. */
  uses = 0
  /** How many of them are in likely code. */
  hotUses = 0
  /** Made in unlikely code. */
  readonly isCold: boolean
  /** Used in unlikely code only: computed there, each time anew. */
  isSunk = false
  /** The local holding the value once it was computed, else -1. */
  temp = -1
  /** The emission pass that visited it last, to find what belongs to a statement. */
  mark = 0
  emitted = false
  loopDepth = 0
  /** Whether it does something besides giving a value, so that it must stay in its place. */
  readonly isEffect: boolean

  constructor(
    op: number,
    type: ValueType | 0,
    args: readonly Node[],
    imm: number,
    imm2: number,
    extra: unknown,
    mask: number,
    isCold: boolean,
  ) {
    this.op = op
    this.isCold = isCold
    this.type = type
    this.args = args
    this.imm = imm
    this.imm2 = imm2
    this.extra = extra
    this.mask = mask
    this.isEffect = op >= OP_LOCAL_SET && op !== OP_LOAD
    for (let i = 0; i < args.length; i++) {
      args[i].uses++
      if (!isCold) args[i].hotUses++
    }
  }
}
