/** FXSAVE, XSAVE and their like against this machine's processor, and what they refuse. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { nativeRunner } from '../float/native.ts'
import { describe, fsaveImage, memoryFor, random } from '../float/x87-images.ts'
import { GP, UD } from './semantics.ts'
import { processor } from './x87-processor.ts'

const run = nativeRunner()
const skip = run ? false : 'needs gcc on x86-64 Linux'
const COUNT = Number(process.env.CASES ?? 30)
const ours = processor()

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const xmmOf = (n: number) => ours.cpu.state.u64.subarray((F.xmm.offset >> 3) + 2 * n, (F.xmm.offset >> 3) + 2 * n + 1)

/** A legacy area with a valid MXCSR, numbers in its registers, and an XSAVE header. */
function image(stateBv: number, compacted: boolean): Uint8Array {
  const bytes = new Uint8Array(1024)
  for (let i = 0; i < 512; i++) bytes[i] = random.below(256)
  for (let i = 0; i < 8; i++) bytes.set(memoryFor('f80'), 32 + 16 * i)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x37f | (random.below(4) << 10), true)
  view.setUint16(2, random.below(0x10000) & 0x7f00, true)
  view.setUint32(24, 0x1f80 | (random.below(4) << 13), true)
  view.setBigUint64(512, BigInt(stateBv), true)
  if (compacted) view.setBigUint64(520, (1n << 63n) | 3n, true)
  return bytes
}

/** What cannot be compared: pointers, MXCSR_MASK, registers that the test does not set. */
function forget(memory: Uint8Array): Uint8Array {
  const copy = memory.slice()
  copy.fill(0, 6, 24)
  copy.fill(0, 28, 32)
  for (let i = 0; i < 8; i++) copy.fill(0, 32 + 16 * i + 10, 48 + 16 * i)
  for (let i = 0; i < 16; i++) copy.fill(0, 160 + 16 * i + (i < 2 ? 8 : 0), 176 + 16 * i)
  copy.fill(0, 464, 512)
  return copy
}

const SAVES: [name: string, code: number[]][] = [
  ['FXSAVE', [0x0f, 0xae, 0x07]],
  ['FXSAVE64', [0x48, 0x0f, 0xae, 0x07]],
  ['XSAVE64', [0x48, 0x0f, 0xae, 0x27]],
  ['XSAVEC64', [0x48, 0x0f, 0xc7, 0x27]],
]
for (const [name, code] of SAVES)
  test(`${name} as on the processor`, { skip }, () => {
    const inputs = Array.from({ length: COUNT }, (_, i) => ({
      code,
      fsave: fsaveImage(),
      memory: image(i & 3, false),
      mxcsr: 0x1f80 | (random.below(4) << 13) | random.below(64),
      xmm: [random.bits(64), random.bits(64)] as [bigint, bigint],
      rax: [3n, 3n, 1n, 2n, 0n][i % 5],
    }))
    run!(inputs).forEach((native, i) => {
      const { fsave, memory, mxcsr, xmm, rax } = inputs[i]
      ours.cpu.state.set32(F.mxcsr, mxcsr)
      xmmOf(0)[0] = xmm[0]
      xmmOf(1)[0] = xmm[1]
      const mine = ours.run(code, fsave, memory, Number(rax))
      assert.equal(mine.fault, -1)
      assert.equal(hex(forget(mine.memory)), hex(forget(native.memory)), `${name} eax ${rax}\n${describe(fsave)}`)
    })
  })

const RESTORES: [name: string, code: number[], compacted: boolean][] = [
  ['FXRSTOR', [0x0f, 0xae, 0x0f], false],
  ['FXRSTOR64', [0x48, 0x0f, 0xae, 0x0f], false],
  ['XRSTOR64', [0x48, 0x0f, 0xae, 0x2f], false],
  ['XRSTOR64 compacted', [0x48, 0x0f, 0xae, 0x2f], true],
]
for (const [name, code, compacted] of RESTORES)
  test(`${name} as on the processor`, { skip }, () => {
    const inputs = Array.from({ length: COUNT }, (_, i) => ({
      code,
      fsave: fsaveImage(),
      memory: image(i & 3, compacted),
      mxcsr: 0x1f80 | (random.below(4) << 13) | random.below(64),
      xmm: [random.bits(64), random.bits(64)] as [bigint, bigint],
      rax: [3n, 3n, 1n, 2n, 0n][i % 5],
    }))
    run!(inputs).forEach((native, i) => {
      const { fsave, memory, mxcsr, xmm, rax } = inputs[i]
      ours.cpu.state.set32(F.mxcsr, mxcsr)
      xmmOf(0)[0] = xmm[0]
      xmmOf(1)[0] = xmm[1]
      const mine = ours.run(code, fsave, memory, Number(rax))
      assert.equal(mine.fault, -1)
      const show = (fsave: Uint8Array, mxcsr: number, a: bigint, b: bigint) =>
        `${describe(fsave)}\nmxcsr ${mxcsr.toString(16)} xmm ${a.toString(16)} ${b.toString(16)}`
      assert.equal(
        show(mine.image, ours.cpu.state.get32(F.mxcsr), xmmOf(0)[0], xmmOf(1)[0]),
        show(native.fsave, native.mxcsr, native.xmm[0], native.xmm[1]),
        `${name} eax ${rax}\n${describe(fsave)}\n${hex(memory.subarray(0, 576))}`,
      )
    })
  })

/** VMOVUPS of YMM0 and YMM9 from, and to, what lies behind the image. */
const LOAD = [0xc5, 0xfc, 0x10, 0x87, 0x40, 3, 0, 0, 0xc5, 0x7c, 0x10, 0x8f, 0x60, 3, 0, 0]
const STORE = LOAD.map((byte, i) => (i === 2 || i === 10 ? 0x11 : byte))
/** VZEROALL, VZEROUPPER. */
const ZERO = [0xc5, 0xfc, 0x77]
const ZERO_UPPER = [0xc5, 0xf8, 0x77]
const AVX_CASES: [name: string, code: number[], compacted: boolean, count: number][] = [
  ['XSAVE64', [...LOAD, 0x48, 0x0f, 0xae, 0x27, ...ZERO], false, 4],
  ['XSAVEOPT64', [...ZERO_UPPER, 0x48, 0x0f, 0xae, 0x37], false, 2],
  ['XSAVEC64', [...LOAD, 0x48, 0x0f, 0xc7, 0x27, ...ZERO], false, 4],
  ['XSAVEC64 of zeros', [...ZERO_UPPER, 0x48, 0x0f, 0xc7, 0x27], false, 2],
  ['XRSTOR64', [...ZERO, ...LOAD, 0x48, 0x0f, 0xae, 0x2f, ...STORE, ...ZERO], false, 7],
  ['XRSTOR64 compacted', [...ZERO, ...LOAD, 0x48, 0x0f, 0xae, 0x2f, ...STORE, ...ZERO], true, 7],
]
for (const [name, code, compacted, count] of AVX_CASES)
  test(`${name} with the upper halves of YMM registers as on the processor`, { skip }, () => {
    const inputs = Array.from({ length: COUNT }, (_, i) => {
      const memory = image(i & 7, compacted)
      if (compacted) memory[520] = 7
      for (let at = 576; at < 1024; at++) memory[at] = random.below(256)
      const pair: [bigint, bigint] = [random.bits(64), random.bits(64)]
      return { code, fsave: fsaveImage(), memory, mxcsr: 0x1f80, xmm: pair, rax: [7n, 6n, 4n, 3n][i & 3] }
    })
    const theirs = run!(inputs)
    inputs.forEach(({ fsave, memory, mxcsr, xmm, rax }, i) => {
      ours.cpu.state.set32(F.mxcsr, mxcsr)
      xmmOf(0)[0] = xmm[0]
      xmmOf(1)[0] = xmm[1]
      const mine = ours.run(code, fsave, memory, Number(rax), count)
      assert.equal(mine.fault, -1)
      const parts = (bytes: Uint8Array) => {
        const copy = forget(bytes)
        // What the processor does not count as in use of x87 and SSE is its own affair.
        copy[512] |= Number(rax & 3n)
        // XMM registers that are not set have what the test before left there.
        copy.fill(0, 160, 416)
        return hex(copy)
      }
      assert.equal(
        parts(mine.memory),
        parts(theirs[i].memory),
        `${name} eax ${rax} of ${hex(memory.subarray(512, 528))}`,
      )
    })
  })

test('XCR0 has AVX only with SSE', () => {
  const { state } = ours.cpu
  // XSETBV of EAX, with ECX and EDX 0.
  const xsetbv = [0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xd1, 0xba, 0, 0xb0, 0, 0]
  const set = (value: number) => ours.run(xsetbv, fsaveImage(), image(0, false), value, 4).fault
  assert.equal(set(5), GP)
  assert.equal(set(4), GP)
  assert.equal(set(15), GP)
  assert.equal(state.get32(F.xcr0), 7)
  assert.equal(set(3), -1)
  assert.equal(ours.run(ZERO, fsaveImage(), image(0, false)).fault, UD)
  assert.equal(set(7), -1)
  assert.equal(ours.run(ZERO, fsaveImage(), image(0, false)).fault, -1)
})

test('images that are refused', () => {
  const refused = (code: number[], change: (bytes: Uint8Array) => void, vector = GP) => {
    const bytes = image(3, false)
    change(bytes)
    assert.equal(ours.run(code, fsaveImage(), bytes, 3).fault, vector)
  }
  const [fxrstor, xrstor] = [
    [0x0f, 0xae, 0x0f],
    [0x0f, 0xae, 0x2f],
  ]
  // MXCSR's reserved bits.
  const reservedMxcsr = (b: Uint8Array) => {
    b[26] = 1
  }
  refused(fxrstor, reservedMxcsr)
  refused(xrstor, reservedMxcsr)
  // A component that XCR0 does not have, and reserved bytes of the header.
  for (const at of [512, 520, 528])
    refused(xrstor, b => {
      b[at] = 8
    })
  // Not at multiples of 16 and 64: [RDI+8], [RDI+16].
  refused([0x0f, 0xae, 0x4f, 8], () => {})
  refused([0x0f, 0xae, 0x6f, 16], () => {})
  refused([0x0f, 0xae, 0x47, 8], () => {})
  refused([0x0f, 0xae, 0x67, 16], () => {})
  const { state } = ours.cpu
  const cr4 = state.get32(F.cr4)
  state.set32(F.cr4, 0x620)
  refused(xrstor, () => {}, UD)
  state.set32(F.cr4, cr4)
})
