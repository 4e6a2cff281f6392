/** Which accesses share a probe of the TLB. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RSP } from '../../cpu/state.ts'
import { DECODED, Decoded } from '../../isa/decoder.ts'
import { decoder } from '../../isa/index.ts'
import { type AccessShape, type InstructionShape, NearAccesses, OPERAND_PART, STACK_PART } from './near-accesses.ts'
import type { RegionInstruction } from './region.ts'

const LONG = { mode: 'long', codeSize: 64, stackSize: 64 } as const

interface Step {
  bytes: string
  accesses?: AccessShape[]
  /** Written whatever the operands are, and as operands: register numbers. */
  always?: number[]
  operands?: number[]
  stackStep?: number
}

const operand = (bytes: number, writes: boolean): AccessShape => ({ part: OPERAND_PART, delta: 0, bytes, writes })
const PUSH_RBX: Step = {
  bytes: '53',
  accesses: [{ part: STACK_PART, delta: -8, bytes: 8, writes: true }],
  always: [RSP],
  stackStep: -8,
}
const POP_RBX: Step = {
  bytes: '5b',
  accesses: [{ part: STACK_PART, delta: 0, bytes: 8, writes: false }],
  always: [RSP],
  operands: [3],
  stackStep: 8,
}

const mask = (numbers: readonly number[] = []): number => numbers.reduce((bits, n) => bits | (1 << n), 0)

function block(near: NearAccesses, index: number, steps: readonly Step[], before?: number): void {
  const instructions = steps.map(({ bytes }) => {
    const decoded = new Decoded()
    const code = new Uint8Array(15)
    code.set(Buffer.from(bytes, 'hex'))
    assert.equal(decoder.decode(code, 0, 15, LONG, decoded), DECODED)
    return { decoded } as RegionInstruction
  })
  const shapes = steps.map(
    ({ accesses = [], always, operands, stackStep }): InstructionShape => ({
      accesses,
      stackStep,
      writtenAlways: mask(always),
      written: () => mask(operands),
    }),
  )
  near.block(index, instructions, shapes, before)
}

/** What is looked up, and how far from there each access is, instruction by instruction. */
function planOf(steps: readonly Step[]) {
  const near = new NearAccesses(64)
  block(near, 0, steps)
  return near
    .plan()[0]
    .map(
      plan =>
        plan && [
          plan.reaches.map(({ displacement, bytes, writes }) => [displacement, bytes, writes]),
          plan.accesses.map(({ offset }) => offset),
        ],
    )
}

test('what is pushed and popped is looked up once', () => {
  assert.deepEqual(planOf([PUSH_RBX, PUSH_RBX, POP_RBX]), [
    [[[-16, 16, true]], [16]],
    [[], [8]],
    [[], [0]],
  ])
})

test('one access alone takes its own probe', () => {
  assert.deepEqual(planOf([PUSH_RBX]), [undefined])
})

test('fields of a structure, until the register is another', () => {
  // mov rax, [rbx + 8]; mov [rbx + 16], rax; mov rbx, [rbx]; mov rax, [rbx + 8]
  const load8: Step = { bytes: '488b4308', accesses: [operand(8, false)], operands: [0] }
  const steps: Step[] = [
    load8,
    { bytes: '48894310', accesses: [operand(8, true)] },
    { bytes: '488b1b', accesses: [operand(8, false)], operands: [3] },
    load8,
  ]
  assert.deepEqual(planOf(steps), [[[[0, 24, true]], [8]], [[], [16]], [[], [0]], undefined])
})

test('a constant that is added to a register is taken account of', () => {
  // mov rax, [rbx]; add rbx, 16; mov rax, [rbx]
  const load: Step = { bytes: '488b03', accesses: [operand(8, false)], operands: [0] }
  assert.deepEqual(planOf([load, { bytes: '4883c310', operands: [3] }, load]), [
    [[[0, 24, false]], [0]],
    undefined,
    [[], [16]],
  ])
  // add ebx, 16 cuts the register to 32 bits.
  assert.deepEqual(planOf([load, { bytes: '83c310', operands: [3] }, load]), [undefined, undefined, undefined])
})

test('POP RSP makes it anything', () => {
  const popRsp: Step = { ...POP_RBX, bytes: '5c', operands: [RSP] }
  assert.deepEqual(planOf([popRsp, POP_RBX]), [undefined, undefined])
})

test('accesses far from each other are apart', () => {
  // mov rax, [rbx]; mov rax, [rbx + 1000]
  const load: Step = { bytes: '488b03', accesses: [operand(8, false)], operands: [0] }
  const far: Step = { bytes: '488b83e8030000', accesses: [operand(8, false)], operands: [0] }
  assert.deepEqual(planOf([load, far]), [undefined, undefined])
})

test('a block that is reached in one way only goes on with what is known', () => {
  const near = new NearAccesses(64)
  block(near, 0, [PUSH_RBX])
  block(near, 1, [POP_RBX], 0)
  block(near, 2, [POP_RBX])
  const [first, second, third] = near.plan()
  assert.equal(first[0]!.reaches.length, 1)
  assert.deepEqual(second[0], { reaches: [], accesses: [{ part: STACK_PART, local: 0, offset: 0 }] })
  assert.equal(third[0], undefined)
})

test('what an instruction needs for the last time is not taken by a range that begins with it', () => {
  // pushfq; pop [rbp - 20]; test [rbp - 20], 200h
  const near = new NearAccesses(64)
  const pop: Step = {
    bytes: '8f45ec',
    accesses: [{ part: STACK_PART, delta: 0, bytes: 8, writes: false }, operand(8, true)],
    always: [RSP],
    stackStep: 8,
  }
  const test: Step = { bytes: 'f745ec00020000', accesses: [operand(4, false)] }
  block(near, 0, [{ ...PUSH_RBX, bytes: '9c' }, pop, test])
  const [[, popped]] = near.plan()
  const [stack, written] = popped!.accesses
  assert.equal(popped!.reaches[0].local, written.local)
  assert.notEqual(stack.local, written.local)
})
