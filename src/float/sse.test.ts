/** SSE arithmetic against this machine's processor: random operands of every kind, modes and masks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import type { Routine } from '../isa/semantics.ts'
import { generator, link, type NativeState, nativeRunner } from './native.ts'
import * as sse from './sse.ts'

const named = new Map(Object.values(sse).flatMap(r => (typeof r === 'object' ? [[r.name, r] as const] : [])))
const routineOf = (name: string): Routine => named.get(name) ?? assert.fail(name)

const run = nativeRunner()
const random = generator(20)

/** Numbers that find mistakes: near the edges of the format and of each other, special ones, any. */
function operand(width: 32 | 64, near?: bigint): bigint {
  const fraction = width === 64 ? 52 : 23
  const maximum = width === 64 ? 2047 : 255
  const sign = random.bits(1) << BigInt(width - 1)
  const exponents = [0, 0, 1, 2, maximum, maximum - 1, maximum >> 1, (maximum >> 1) + fraction, random.below(maximum)]
  const close = (maximum >> 1) + random.below(80) - 10
  const kind = random.below(12)
  if (near !== undefined && kind < 3) {
    const at = Number((near >> BigInt(fraction)) & BigInt(maximum)) + random.below(2 * fraction) - fraction
    return sign | (BigInt(Math.max(0, Math.min(maximum, at))) << BigInt(fraction)) | random.bits(fraction)
  }
  const exponent = BigInt(kind < 5 ? close : exponents[random.below(exponents.length)]) << BigInt(fraction)
  const fractions = [0n, 1n, (1n << BigInt(fraction)) - 1n, 1n << BigInt(fraction - 1), random.bits(fraction)]
  const few = random.bits(fraction) & (-1n << BigInt(random.below(fraction)))
  const f = random.below(2) ? fractions[random.below(fractions.length)] : random.below(2) ? few : random.bits(fraction)
  return sign | exponent | BigInt.asUintN(fraction, f)
}

/** MXCSR: mostly everything masked, all rounding modes, sometimes DAZ, FTZ, exceptions unmasked, flags set. */
function control(): number {
  if (random.below(3) === 0) return 0x1fa0 | Number(random.bits(6))
  let mxcsr = 0x1f80 | (random.below(4) << 13)
  if (random.below(4) === 0) mxcsr |= 0x8000
  if (random.below(4) === 0) mxcsr |= 0x40
  if (random.below(3) === 0) mxcsr &= ~(Number(random.bits(6)) << 7)
  if (random.below(4) === 0) mxcsr |= Number(random.bits(6)) & (mxcsr >> 7)
  return mxcsr
}

interface Case {
  routine: Routine
  code: readonly number[]
  from: 32 | 64
  to: 32 | 64
  /** Where the result is: XMM0, RAX, or the flags of a comparison. */
  result: 'xmm' | 'rax' | 'flags'
  operands: 1 | 2
  extra?: number
}

const cases: Case[] = []
for (const [name, opcode] of [
  ['Add', 0x58],
  ['Mul', 0x59],
  ['Sub', 0x5c],
  ['Div', 0x5e],
] as const) {
  cases.push({
    routine: routineOf(`f32${name}`),
    code: [0xf3, 0x0f, opcode, 0xc1],
    from: 32,
    to: 32,
    result: 'xmm',
    operands: 2,
  })
  cases.push({
    routine: routineOf(`f64${name}`),
    code: [0xf2, 0x0f, opcode, 0xc1],
    from: 64,
    to: 64,
    result: 'xmm',
    operands: 2,
  })
}
const one = (routine: Routine, code: readonly number[], from: 32 | 64, to: 32 | 64, extra?: number) =>
  cases.push({ routine, code, from, to, result: 'xmm', operands: 1, extra })
one(sse.f32Sqrt, [0xf3, 0x0f, 0x51, 0xc1], 32, 32)
one(sse.f64Sqrt, [0xf2, 0x0f, 0x51, 0xc1], 64, 64)
one(sse.f32ToF64, [0xf3, 0x0f, 0x5a, 0xc1], 32, 64)
one(sse.f64ToF32, [0xf2, 0x0f, 0x5a, 0xc1], 64, 32)
for (const imm of [0, 1, 2, 3, 4, 12]) {
  one(sse.f32Round, [0x66, 0x0f, 0x3a, 0x0a, 0xc1, imm], 32, 32, imm)
  one(sse.f64Round, [0x66, 0x0f, 0x3a, 0x0b, 0xc1, imm], 64, 64, imm)
}
for (const [prefix, from] of [
  [0xf3, 32],
  [0xf2, 64],
] as const)
  for (const to of [32, 64] as const)
    for (const truncate of [0, 1]) {
      const rex = to === 64 ? [0x48] : []
      const routine = routineOf(`f${from}ToI${to}`)
      const code = [prefix, ...rex, 0x0f, 0x2d - truncate, 0xc1]
      cases.push({ routine, code, from, to, result: 'rax', operands: 1, extra: truncate })
    }
for (const signalling of [0, 1]) {
  const opcode = 0x2e + signalling
  cases.push({
    routine: sse.f32Compare,
    code: [0x0f, opcode, 0xc1],
    from: 32,
    to: 32,
    result: 'flags',
    operands: 2,
    extra: signalling,
  })
  const code = [0x66, 0x0f, opcode, 0xc1]
  cases.push({ routine: sse.f64Compare, code, from: 64, to: 32, result: 'flags', operands: 2, extra: signalling })
}
for (const [prefix, to] of [
  [0xf3, 32],
  [0xf2, 64],
] as const)
  for (const from of [32, 64] as const) {
    const routine = routineOf(`i${from}ToF${to}`)
    // CVTSI2SS, CVTSI2SD xmm0, [rdi]
    const code = [prefix, ...(from === 64 ? [0x48] : []), 0x0f, 0x2a, 0x07]
    cases.push({ routine, code, from, to, result: 'xmm', operands: 1, extra: -1 })
  }

const name = (c: Case) => `${c.routine.name} ${c.code.map(b => b.toString(16)).join(' ')}`
const linked = link(cases.map(c => c.routine))
const COUNT = Number(process.env.CASES ?? 600)

for (const c of cases)
  test(`${name(c)} as on the processor`, { skip: run ? false : 'needs gcc on x86-64 Linux' }, () => {
    const inputs: { state: NativeState; a: bigint; b: bigint; mxcsr: number }[] = []
    for (let i = 0; i < COUNT; i++) {
      const mxcsr = control()
      const integer = c.extra === -1
      const a = integer ? random.bits(c.from) >> BigInt(random.below(c.from)) : operand(c.from)
      const b = random.below(20) === 0 ? a : operand(c.from, a)
      const memory = new Uint8Array(new BigUint64Array([a]).buffer)
      const xmm = c.operands === 2 ? ([a, b] as const) : ([0n, a] as const)
      inputs.push({ state: { code: c.code, mxcsr, xmm, memory }, a, b, mxcsr })
    }
    const results = run!(inputs.map(i => i.state))
    results.forEach((native, i) => {
      const { a, b, mxcsr } = inputs[i]
      const { state } = linked
      state.set32(F.mxcsr, mxcsr)
      state.set32(F.cr4, 1 << 10)
      state.set32(F.fault, 0)
      const pass = (x: bigint) => (c.from === 64 ? x : Number(x))
      const args = c.operands === 2 ? [pass(a), pass(b)] : [pass(a)]
      if (c.extra !== undefined && c.extra >= 0) args.push(c.extra)
      const got = BigInt.asUintN(c.to, BigInt(linked.call(c.routine, ...args)))
      const what = `${a.toString(16)} ${b.toString(16)} mxcsr ${mxcsr.toString(16)}`
      const shown = (result: bigint, status: number, trapped: boolean) =>
        `${trapped ? 'trapped' : result.toString(16)} flags ${(status & 0x3f).toString(16)}`
      let expected = BigInt.asUintN(c.to, c.result === 'rax' ? native.rax : native.xmm[0])
      if (c.result === 'flags') {
        const flags = Number(native.rflags) & 0x45
        expected = BigInt(flags === 0x45 ? sse.UNORDERED : flags === 0x40 ? sse.EQUAL : flags & 1)
      }
      const fault = state.get32(F.fault) !== 0
      if (fault) assert.equal(state.get32(F.faultVector), 19)
      assert.equal(shown(got, state.get32(F.mxcsr), fault), shown(expected, native.mxcsr, native.trapped !== 0), what)
    })
  })
