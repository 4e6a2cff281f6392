/** Whole x87 instructions on the interpreter against this machine's processor: every opcode from D8 to DF. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NativeResult, nativeRunner } from '../float/native.ts'
import { describe, fsaveImage, type MemoryKind, memoryFor } from '../float/x87-images.ts'
import { processor } from './x87-processor.ts'

const run = nativeRunner()
const skip = run ? false : 'needs gcc on x86-64 Linux'
const COUNT = Number(process.env.CASES ?? 12)

const ours = processor()

/** Kind of the memory operand by opcode and ModRM.reg. */
const MEMORY: Record<number, MemoryKind[]> = {
  216: Array(8).fill('f32'),
  217: ['f32', 'f32', 'f32', 'f32', 'i64', 'i16', 'i64', 'i16'],
  218: Array(8).fill('i32'),
  219: ['i32', 'i32', 'i32', 'i32', 'i64', 'f80', 'i64', 'f80'],
  220: Array(8).fill('f64'),
  221: ['f64', 'i64', 'f64', 'f64', 'i64', 'i64', 'i64', 'i16'],
  222: Array(8).fill('i16'),
  223: ['i16', 'i16', 'i16', 'i16', 'bcd', 'i64', 'bcd', 'i64'],
}

/** D9 F0–F3, F9, FB, FE, FF: not every chip gives the same last bit. */
const isTranscendental = (code: readonly number[]) =>
  code[0] === 0xd9 && [0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff].includes(code[1])

function operandFor(code: readonly number[]): Uint8Array {
  const memory = new Uint8Array(128)
  const reg = (code[1] >> 3) & 7
  if ((code[0] === 0xd9 || code[0] === 0xdd) && reg === 4) memory.set(fsaveImage())
  else memory.set(memoryFor(MEMORY[code[0]][reg]))
  return memory
}

function compare(code: readonly number[]): void {
  const inputs = Array.from({ length: COUNT }, () => ({
    code,
    fsave: fsaveImage(),
    memory: operandFor(code),
    rflags: 0x203n,
  }))
  run!(inputs).forEach((native: NativeResult, i) => {
    const { fsave, memory } = inputs[i]
    const mine = ours.run(code, fsave, memory)
    const illegal = native.trapped === 4
    const name = code.map(b => b.toString(16)).join(' ')
    const before = `${name} with\n${describe(fsave)}\nmemory ${Buffer.from(memory.subarray(0, 32)).toString('hex')}`
    assert.equal(mine.fault === 6, illegal, `${before}: ${illegal ? '#UD there' : `fault ${mine.fault} here`}`)
    if (illegal) return
    assert.equal(mine.fault, -1, before)
    const [expectedImage, actualImage] = [native.fsave.slice(), mine.image.slice()]
    const [expectedMemory, actualMemory] = [native.memory.slice(), mine.memory.slice()]
    // FNSTENV, FNSAVE: the pointers.
    const reg = (code[1] >> 3) & 7
    if (code[1] < 0xc0 && reg === 6 && (code[0] === 0xd9 || code[0] === 0xdd)) {
      expectedMemory.fill(0, 12, 26)
      actualMemory.fill(0, 12, 26)
    }
    const show = (image: Uint8Array, memory: Uint8Array, flags: number, rax: bigint) =>
      `${describe(image)}\nmemory ${Buffer.from(memory).toString('hex')}\nflags ${(flags & 0x8d5).toString(16)} ax ${rax & 0xffffn}`
    assert.equal(
      show(actualImage, actualMemory, mine.rflags, mine.rax),
      show(expectedImage, expectedMemory, Number(native.rflags), native.rax),
      before,
    )
  })
}

for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
  test(`${opcode.toString(16)} with a memory operand`, { skip }, () => {
    for (let reg = 0; reg < 8; reg++) compare([opcode, (reg << 3) | 7])
  })
  test(`${opcode.toString(16)} with registers`, { skip }, () => {
    for (let modrm = 0xc0; modrm <= 0xff; modrm++) if (!isTranscendental([opcode, modrm])) compare([opcode, modrm])
  })
}

/** An extended number as an integer in which neighbours differ by one. */
const ordinal = (image: Uint8Array, i: number): bigint => {
  const view = new DataView(image.buffer)
  const head = view.getUint16(36 + 10 * i, true)
  const magnitude = (BigInt(head & 0x7fff) << 63n) + BigInt.asUintN(63, view.getBigUint64(28 + 10 * i, true))
  return head & 0x8000 ? -magnitude : magnitude
}

const TRANSCENDENTAL: [name: string, modrm: number][] = [
  ['F2XM1', 0xf0],
  ['FYL2X', 0xf1],
  ['FPTAN', 0xf2],
  ['FPATAN', 0xf3],
  ['FYL2XP1', 0xf9],
  ['FSINCOS', 0xfb],
  ['FSIN', 0xfe],
  ['FCOS', 0xff],
]
for (const [name, modrm] of TRANSCENDENTAL)
  test(`${name}: within one unit in the last place of the processor's`, { skip }, () => {
    const code = [0xd9, modrm]
    const inputs = Array.from({ length: COUNT * 20 }, () => ({
      code,
      fsave: fsaveImage(),
      memory: new Uint8Array(128),
    }))
    run!(inputs).forEach((native, i) => {
      const { fsave, memory } = inputs[i]
      // F2XM1 and FYL2XP1 are undefined beyond 1 and 1 - sqrt(1/2).
      const exponent = (fsave[36] | (fsave[37] << 8)) & 0x7fff
      if (exponent >= 0x3ffd && exponent < 0x7fff && (name === 'F2XM1' || name === 'FYL2XP1')) return
      const mine = ours.run(code, fsave, memory)
      const [expected, actual] = [native.fsave.slice(), mine.image]
      const before = `${name} with\n${describe(fsave)}\ngave\n${describe(actual)}\ninstead of\n${describe(expected)}`
      for (let n = 0; n < 2; n++) {
        const difference = ordinal(actual, n) - ordinal(expected, n)
        if (difference === 1n || difference === -1n)
          expected.set(actual.subarray(28 + 10 * n, 38 + 10 * n), 28 + 10 * n)
      }
      // Which way it was rounded is not comparable.
      expected[5] = (expected[5] & ~2) | (actual[5] & 2)
      assert.equal(describe(actual), describe(expected), before)
    })
  })
