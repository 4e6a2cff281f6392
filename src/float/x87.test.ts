/** The x87's routines against this machine's processor: random stacks, control words and operands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { type Linked, link, type NativeState, nativeRunner } from './native.ts'
import * as arithmetic from './x87-arithmetic.ts'
import { x87Compare, x87Examine } from './x87-compare.ts'
import { x87TagWord } from './x87-environment.ts'
import { describe, enter, fsaveImage, type MemoryKind, memoryFor } from './x87-images.ts'
import * as loads from './x87-loads.ts'
import { x87Remainder } from './x87-remainder.ts'
import * as scale from './x87-scale.ts'
import { STOPPED } from './x87-stack.ts'
import * as stores from './x87-stores.ts'

const run = nativeRunner()

function leaveImage(linked: Linked): Uint8Array {
  const { state } = linked
  const image = new Uint8Array(108)
  const view = new DataView(image.buffer)
  const fsw = state.get32(F.fsw)
  view.setUint16(0, state.get32(F.fcw), true)
  view.setUint16(4, fsw, true)
  view.setUint16(8, Number(linked.call(x87TagWord)), true)
  for (let i = 0; i < 8; i++) {
    const n = (i + (fsw >> 11)) & 7
    view.setBigUint64(28 + 10 * i, state.get64(F.fpr, n), true)
    view.setUint16(36 + 10 * i, state.get32({ ...F.fpr, offset: F.fpr.offset + 8 }, n), true)
  }
  return image
}

interface Case {
  name: string
  code: readonly number[]
  /** Kind of the memory operand at [rdi]. */
  memory?: MemoryKind
  /** Does the same with the routines; gives what a store put into memory. */
  execute(linked: Linked, memory: DataView): Uint8Array | undefined | number
}

const cases: Case[] = []
const add = (name: string, code: readonly number[], execute: Case['execute'], memory?: Case['memory']) =>
  cases.push({ name, code, execute, memory })

const operations = [
  ['FADD', arithmetic.x87Add.general, 0],
  ['FMUL', arithmetic.x87Multiply.general, 1],
  ['FSUB', arithmetic.x87Subtract.general, 4],
  ['FSUBR', arithmetic.x87Subtract.general, 5],
  ['FDIV', arithmetic.x87Divide.general, 6],
  ['FDIVR', arithmetic.x87Divide.general, 7],
] as const
for (const [name, routine, row] of operations) {
  const swap = name.endsWith('R')
  const i = 3
  const nothing = undefined
  const order = (a: number, b: number) => (swap ? [b, a] : [a, b])
  add(`${name} ST,ST3`, [0xd8, 0xc0 + row * 8 + i], l => {
    l.call(routine, 0, ...order(0, i), 0)
    return nothing
  })
  // In the DC and DE forms the rows of FSUB and FSUBR, FDIV and FDIVR are exchanged.
  const other = row >= 4 ? row ^ 1 : row
  add(`${name}P ST3,ST`, [0xde, 0xc0 + other * 8 + i], l => {
    l.call(routine, i, ...order(i, 0), 1)
    return nothing
  })
  add(
    `${name} m32`,
    [0xd8, row * 8 + 7],
    (l, memory) => {
      l.call(loads.x87Operand32, memory.getInt32(0, true))
      l.call(routine, 0, ...order(0, 8), 0)
      return nothing
    },
    'f32',
  )
  add(
    `${name} m64`,
    [0xdc, row * 8 + 7],
    (l, memory) => {
      l.call(loads.x87Operand64, memory.getBigInt64(0, true))
      l.call(routine, 0, ...order(0, 8), 0)
      return nothing
    },
    'f64',
  )
  add(
    `${name} m32int`,
    [0xda, row * 8 + 7],
    (l, memory) => {
      l.call(loads.x87OperandInteger, BigInt(memory.getInt32(0, true)))
      l.call(routine, 0, ...order(0, 8), 0)
      return nothing
    },
    'i32',
  )
}
const plain = (name: string, code: readonly number[], call: (l: Linked) => unknown) =>
  add(name, code, l => {
    call(l)
    return undefined
  })
plain('FSQRT', [0xd9, 0xfa], l => l.call(arithmetic.x87SquareRoot))
plain('FRNDINT', [0xd9, 0xfc], l => l.call(scale.x87RoundToInteger))
plain('FSCALE', [0xd9, 0xfd], l => l.call(scale.x87Scale))
plain('FXTRACT', [0xd9, 0xf4], l => l.call(scale.x87Extract))
plain('FPREM', [0xd9, 0xf8], l => l.call(x87Remainder, 0))
plain('FPREM1', [0xd9, 0xf5], l => l.call(x87Remainder, 1))
plain('FABS', [0xd9, 0xe1], l => l.call(scale.x87ChangeSign, 0x7fff, 0))
plain('FCHS', [0xd9, 0xe0], l => l.call(scale.x87ChangeSign, 0xffff, 0x8000))
plain('FXAM', [0xd9, 0xe5], l => l.call(x87Examine))
plain('FXCH ST3', [0xd9, 0xcb], l => l.call(scale.x87Exchange, 3))
plain('FLD ST3', [0xd9, 0xc3], l => l.call(loads.x87PushRegister, 3))
plain('FST ST3', [0xdd, 0xd3], l => l.call(stores.x87StoreRegister, 3, 0))
plain('FSTP ST3', [0xdd, 0xdb], l => l.call(stores.x87StoreRegister, 3, 1))
plain('FCOM ST3', [0xd8, 0xd3], l => l.call(x87Compare, 0, 3, 0, 0, 1))
plain('FCOMP ST3', [0xd8, 0xdb], l => l.call(x87Compare, 0, 3, 0, 1, 1))
plain('FCOMPP', [0xde, 0xd9], l => l.call(x87Compare, 0, 1, 0, 2, 1))
plain('FUCOM ST3', [0xdd, 0xe3], l => l.call(x87Compare, 0, 3, 1, 0, 1))
plain('FUCOMPP', [0xda, 0xe9], l => l.call(x87Compare, 0, 1, 1, 2, 1))
plain('FCMOVB ST3', [0xda, 0xc3], l => l.call(scale.x87ConditionalMove, 3, 1))
plain('FCMOVNB ST3', [0xdb, 0xc3], l => l.call(scale.x87ConditionalMove, 3, 0))
for (const [name, code, quiet, pops] of [
  ['FCOMI', [0xdb, 0xf1], 0, 0],
  ['FUCOMI', [0xdb, 0xe9], 1, 0],
  ['FCOMIP', [0xdf, 0xf1], 0, 1],
] as const)
  add(name, code, l => Number(l.call(x87Compare, 0, 1, quiet, pops, 0)))

add(
  'FCOM m32',
  [0xd8, 0x17],
  (l, m) => {
    l.call(loads.x87Operand32, m.getInt32(0, true))
    l.call(x87Compare, 0, 8, 0, 0, 1)
    return undefined
  },
  'f32',
)
add('FLD m32', [0xd9, 0x07], (l, m) => void l.call(loads.x87Push32, m.getInt32(0, true)), 'f32')
add('FLD m64', [0xdd, 0x07], (l, m) => void l.call(loads.x87Push64, m.getBigInt64(0, true)), 'f64')
add(
  'FLD m80',
  [0xdb, 0x2f],
  (l, m) => void l.call(loads.x87PushExtended, m.getBigInt64(0, true), m.getUint16(8, true)),
  'f80',
)
add('FILD m16', [0xdf, 0x07], (l, m) => void l.call(loads.x87PushInteger, BigInt(m.getInt16(0, true))), 'i16')
add('FILD m64', [0xdf, 0x2f], (l, m) => void l.call(loads.x87PushInteger, m.getBigInt64(0, true)), 'i64')
add('FBLD', [0xdf, 0x27], (l, m) => void l.call(loads.x87PushBcd, m.getBigInt64(0, true), m.getUint16(8, true)), 'bcd')

const store = (name: string, code: readonly number[], bytes: number, pop: number, convert: (l: Linked) => bigint) =>
  add(name, code, (l, m) => {
    const value = convert(l)
    const out = new Uint8Array(m.buffer.slice(m.byteOffset, m.byteOffset + 16))
    if ((l.state.get32(F.x87Flags) & STOPPED) === 0)
      for (let i = 0; i < bytes; i++)
        out[i] = Number(
          (i < 8 ? value >> BigInt(8 * i) : l.state.get64(F.serviceResult2) >> BigInt(8 * i - 64)) & 0xffn,
        )
    l.call(stores.x87CommitStore, pop)
    return out
  })
store('FST m32', [0xd9, 0x17], 4, 0, l => BigInt(l.call(stores.x87Store32)))
store('FSTP m32', [0xd9, 0x1f], 4, 1, l => BigInt(l.call(stores.x87Store32)))
store('FST m64', [0xdd, 0x17], 8, 0, l => l.call(stores.x87Store64) as bigint)
store('FSTP m80', [0xdb, 0x3f], 10, 1, l => l.call(stores.x87StoreExtended) as bigint)
store('FBSTP', [0xdf, 0x37], 10, 1, l => l.call(stores.x87StoreBcd) as bigint)
store('FIST m16', [0xdf, 0x17], 2, 0, l => l.call(stores.x87StoreInteger, 16, 0) as bigint)
store('FIST m32', [0xdb, 0x17], 4, 0, l => l.call(stores.x87StoreInteger, 32, 0) as bigint)
store('FISTP m64', [0xdf, 0x3f], 8, 1, l => l.call(stores.x87StoreInteger, 64, 0) as bigint)
store('FISTTP m32', [0xdb, 0x0f], 4, 1, l => l.call(stores.x87StoreInteger, 32, 1) as bigint)
store('FISTTP m64', [0xdd, 0x0f], 8, 1, l => l.call(stores.x87StoreInteger, 64, 1) as bigint)

const routines = [
  ...[...Object.values(arithmetic), ...Object.values(loads), ...Object.values(scale), ...Object.values(stores)].flatMap(
    r => (typeof r !== 'object' ? [] : 'general' in r ? Object.values(r) : [r]),
  ),
  x87Compare,
  x87Examine,
  x87Remainder,
  x87TagWord,
]
const linked = link(routines)
const COUNT = Number(process.env.CASES ?? 400)

for (const c of cases)
  test(`${c.name} as on the processor`, { skip: run ? false : 'needs gcc on x86-64 Linux' }, () => {
    const inputs: NativeState[] = []
    for (let i = 0; i < COUNT; i++)
      inputs.push({ code: c.code, fsave: fsaveImage(), memory: memoryFor(c.memory), rflags: 0x203n })
    run!(inputs).forEach((native, i) => {
      const input = inputs[i]
      enter(linked.state, input.fsave!)
      const memory = new DataView(input.memory!.buffer)
      const out = c.execute(linked, memory)
      const before = `${describe(input.fsave!)}\nmemory ${Buffer.from(input.memory!).toString('hex')}`
      let expected = describe(native.fsave)
      let actual = describe(leaveImage(linked))
      if (out instanceof Uint8Array) {
        expected += `\n${Buffer.from(native.memory.subarray(0, 16)).toString('hex')}`
        actual += `\n${Buffer.from(out).toString('hex')}`
      }
      if (typeof out === 'number') {
        const flags = Number(native.rflags) & 0x45
        expected += `\nflags ${flags}`
        actual += `\nflags ${out >> 8}`
      }
      assert.equal(actual, expected, `${c.name} with\n${before}\ngave\n${actual}\ninstead of\n${expected}`)
    })
  })
