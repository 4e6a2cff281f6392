import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FunctionBuilder } from '../ir/function.ts'
import { type Names, printBody } from './text.ts'
import { OPERATIONS, VECTOR_OPERATIONS } from './text-opcodes.ts'
import { I32, I64 } from './types.ts'

const names: Names = {
  functions: [{ name: 'half', type: { params: [I64, I64], results: [I64] } }],
  types: [],
  stateAt: offset => (offset === 144 ? 'rip' : undefined),
}
const print = (...body: number[]) => printBody(Uint8Array.from(body), { params: [I32], results: [I64] }, names)

test('opcodes have the names of the specification', () => {
  const known: [number, string][] = [
    [0x35, 'i64.load32_u'],
    [0x3e, 'i64.store32'],
    [0x4f, 'i32.ge_u'],
    [0x5a, 'i64.ge_u'],
    [0x60, 'f32.ge'],
    [0x66, 'f64.ge'],
    [0x78, 'i32.rotr'],
    [0x83, 'i64.and'],
    [0x8a, 'i64.rotr'],
    [0x98, 'f32.copysign'],
    [0xa6, 'f64.copysign'],
    [0xab, 'i32.trunc_f64_u'],
    [0xad, 'i64.extend_i32_u'],
    [0xb1, 'i64.trunc_f64_u'],
    [0xb6, 'f32.demote_f64'],
    [0xbb, 'f64.promote_f32'],
    [0xbf, 'f64.reinterpret_i64'],
    [0xc4, 'i64.extend32_s'],
  ]
  for (const [opcode, name] of known) assert.equal(OPERATIONS.get(opcode)?.name, name)
  assert.deepEqual(VECTOR_OPERATIONS.get(0x5d)?.name, 'v128.load64_zero')
  assert.deepEqual(VECTOR_OPERATIONS.get(0xae), {
    name: 'i32x4.add',
    operands: 2,
    immediate: 'none',
    result: true,
  })
  assert.equal(VECTOR_OPERATIONS.get(0x1f)?.immediate, 'lane')
})

test('expressions are folded, locals and labels have names, constants are signed', () => {
  const text = print(
    ...[1, 2, 0x7e], // locals: two i64
    ...[0x20, 0, 0x29, 0, 0x90, 1, 0x21, 1], // local 1 from the state
    ...[0x02, 0x40, 0x03, 0x40], // block, loop
    ...[0x20, 0, 0x45, 0x0d, 1], // br_if 1 (i32.eqz (local.get 0))
    ...[0x20, 1, 0x42, 0x7f, 0x7c, 0x21, 1], // local 1 plus −1
    ...[0x0c, 0, 0x0b, 0x0b], // br 0, two ends
    ...[0x20, 0, 0x20, 1, 0x37, 0, 0x90, 1], // i64.store offset=144
    ...[0x20, 0, 0x29, 0x40, 1, 0, 0x20, 2, 0x10, 0, 0x0f, 0x0b], // memory 1, call, return
  )
  assert.equal(
    text,
    `(func (param $state i32) (result i64)
  ;; 2 locals of i64
  (local.set $rip (i64.load offset=$rip (local.get $state)))
  block @1
    loop @2
      (br_if @1 (i32.eqz (local.get $state)))
      (local.set $rip (i64.add (local.get $rip) (i64.const -1)))
      br @2
    end
  end
  (i64.store offset=$rip (local.get $state) (local.get $rip))
  (return (call $half (i64.load $ram (local.get $state)) (local.get $2)))
)
`,
  )
})

test("what the house's function builder emits is read back", () => {
  const f = new FunctionBuilder({ params: [I32], results: [I64] })
  f.if(f.pure(0x45, I32, [f.getLocal(0, I32)]), () => f.return(f.const64(-1, -1)))
  f.return(f.const64(5, 1))
  f.unreachable()
  const { body } = f.emit({ functionIndex: () => 0, typeIndex: () => 0 })
  assert.equal(
    printBody(body, f.type, names),
    `(func (param $state i32) (result i64)
  if @1 (i32.eqz (local.get $state))
    (return (i64.const -1))
  end
  (return (i64.const 4294967301))
  unreachable
)
`,
  )
})

test('code that is none is refused', () => {
  assert.throws(() => print(0, 0xff, 0x0b), /unknown opcode 0xff/)
  assert.throws(() => print(0, 0x0b, 0x01), /1 bytes follow/)
  assert.throws(() => print(0, 0x41, 1), /ends before/)
  assert.throws(() => print(0, 0x41, 1, 0x0b), /values are left/)
  assert.throws(() => print(0, 0x6a, 0x0b), /a value is missing/)
})
