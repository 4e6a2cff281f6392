/**
 * Compares a line of a picture with what is there and stores what differs, four pixels at a time: a screen whose every pixel changes
 * 60 times a second is 47 million pixels, for which JavaScript takes three times as long.
 */
import { ByteWriter } from '../../wasm/bytes.ts'
import { LOAD_OPCODES, STORE_OPCODES } from '../../wasm/memory-opcodes.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import * as S from '../../wasm/simd.ts'
import { type FunctionType, I32, V128, type ValueType } from '../../wasm/types.ts'

/**
 * Stores `count` pixels from byte address `from` at byte address `to`.
 * @returns 0 where they were there already, else the first that differs, and in the upper half the one behind the last
 */
export type StoreLine = (from: number, to: number, count: number) => number

/** The functions of one memory. */
export interface LineStores {
  /** Stores pixels as they are. */
  plain: StoreLine
  /** Stores pixels with blue in the lowest byte and something in the highest as pictures have them. */
  swapped: StoreLine
}

/** Most pages of the memory: what the largest picture takes, and its line. */
export const MOST_PAGES = 2048

const TYPE: FunctionType = { params: [I32, I32, I32], results: [I32] }
const [FROM, TO, COUNT, AT, FIRST, LAST, BITS, WIDE_END, PIXEL, FOUR] = Array.from({ length: 10 }, (_, index) => index)
/** Of the locals behind the parameters, in their order. */
const LOCALS: readonly ValueType[] = [I32, I32, I32, I32, I32, I32, V128]
const ALPHA = 0xff000000

/** Instructions of WebAssembly (core specification, chapter 5.4). */
const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  constant: 0x41,
  isZero: 0x45,
  equal: 0x46,
  lessSigned: 0x48,
  greaterOrEqual: 0x4f,
  leadingZeros: 0x67,
  trailingZeros: 0x68,
  add: 0x6a,
  subtract: 0x6b,
  and: 0x71,
  or: 0x72,
  shiftLeft: 0x74,
  shiftRight: 0x76,
  vector: 0xfd,
} as const
const NO_RESULT = 0x40
const V128_LOAD = 0
const V128_STORE = 11
const V128_CONST = 12

/** The body of one function. */
function body(swapped: boolean): Uint8Array {
  const w = new ByteWriter()
  const get = (...locals: number[]) => {
    for (const local of locals) w.raw([OP.get, local])
  }
  const set = (local: number) => w.raw([OP.set, local])
  const constant = (value: number) => {
    w.byte(OP.constant)
    w.signed32(value)
  }
  const op = (...bytes: number[]) => w.raw(bytes)
  const vector = (opcode: number) => {
    w.byte(OP.vector)
    w.unsigned(opcode)
  }
  /** Alignment 0: lines lie anywhere. */
  const address = (alignment: number) => w.raw([alignment, 0])
  const at = (base: number) => {
    get(base, AT)
    op(OP.add)
  }
  const load = (base: number) => {
    at(base)
    op(LOAD_OPCODES[32])
    address(0)
  }
  const loadFour = (base: number) => {
    at(base)
    vector(V128_LOAD)
    address(0)
  }
  /** Notes that pixel `AT / 4` and more differs: the address is made a number of pixels, and `more` adds to it. */
  const note = (local: number, more: () => void) => {
    get(AT)
    constant(2)
    op(OP.shiftRight)
    more()
    op(OP.add)
    set(local)
  }
  const noteFirst = (more: () => void) => {
    get(FIRST)
    constant(0)
    op(OP.lessSigned, OP.if, NO_RESULT)
    note(FIRST, more)
    op(OP.end)
  }
  const step = (bytes: number) => {
    get(AT)
    constant(bytes)
    op(OP.add)
    set(AT)
  }

  w.unsigned(LOCALS.length)
  for (const type of LOCALS) op(1, type)
  constant(-1)
  set(FIRST)
  get(COUNT)
  constant(2)
  op(OP.shiftLeft, OP.tee, COUNT)
  constant(-16)
  op(OP.and)
  set(WIDE_END)
  // Four pixels at a time.
  op(OP.block, NO_RESULT, OP.loop, NO_RESULT)
  get(AT, WIDE_END)
  op(OP.greaterOrEqual, OP.branchIf, 1)
  loadFour(FROM)
  if (swapped) {
    op(OP.tee, FOUR)
    get(FOUR)
    vector(S.I8X16_SHUFFLE)
    for (let pixel = 0; pixel < 16; pixel += 4) op(pixel + 2, pixel + 1, pixel, pixel + 3)
    vector(V128_CONST)
    for (let pixel = 0; pixel < 4; pixel++) op(0, 0, 0, 0xff)
    vector(S.V128_OR)
  }
  op(OP.tee, FOUR)
  loadFour(TO)
  vector(S.I32X4_NE)
  vector(S.I32X4_BITMASK)
  op(OP.tee, BITS, OP.if, NO_RESULT)
  at(TO)
  get(FOUR)
  vector(V128_STORE)
  address(0)
  noteFirst(() => {
    get(BITS)
    op(OP.trailingZeros)
  })
  note(LAST, () => {
    constant(32)
    get(BITS)
    op(OP.leadingZeros, OP.subtract)
  })
  op(OP.end)
  step(16)
  op(OP.branch, 0, OP.end, OP.end)
  // What is left, one by one.
  op(OP.block, NO_RESULT, OP.loop, NO_RESULT)
  get(AT, COUNT)
  op(OP.greaterOrEqual, OP.branchIf, 1)
  load(FROM)
  if (swapped) {
    set(PIXEL)
    const part = (mask: number, shift: number) => {
      get(PIXEL)
      if (shift < 0) {
        constant(-shift)
        op(OP.shiftRight)
      }
      constant(mask)
      op(OP.and)
      if (shift > 0) {
        constant(shift)
        op(OP.shiftLeft)
      }
    }
    part(0xff, 16)
    part(0xff00, 0)
    part(0xff, -16)
    op(OP.or, OP.or)
    constant(ALPHA)
    op(OP.or)
  }
  op(OP.tee, PIXEL)
  load(TO)
  op(OP.equal, OP.isZero, OP.if, NO_RESULT)
  at(TO)
  get(PIXEL)
  op(STORE_OPCODES[32])
  address(0)
  noteFirst(() => constant(0))
  note(LAST, () => constant(1))
  op(OP.end)
  step(4)
  op(OP.branch, 0, OP.end, OP.end)
  get(FIRST)
  constant(0)
  op(OP.lessSigned, OP.if, I32)
  constant(0)
  op(OP.else)
  get(LAST)
  constant(16)
  op(OP.shiftLeft)
  get(FIRST)
  op(OP.or, OP.end, OP.end)
  return w.finish()
}

/** Makes the functions for a memory of at most {@link MOST_PAGES}. */
export function lineStores(memory: WebAssembly.Memory): LineStores {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'picture', name: 'memory', minimum: 1, maximum: MOST_PAGES })
  for (const name of ['plain', 'swapped'] as const) {
    const index = module.declare(TYPE, name)
    module.define(index, body(name === 'swapped'))
    module.export(name, index)
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { picture: { memory } })
  return exports as unknown as LineStores
}
