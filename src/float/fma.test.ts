/** The exact multiply-add against this machine's processor: every rounding mode, flags, sums that cancel. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { FMA_SIGNS, type FmaKind, fma } from './fma.ts'
import { generator, link, nativeRunner } from './native.ts'

const run = nativeRunner()
const hasFma = run && / fma /.test(readFileSync('/proc/cpuinfo', 'latin1'))
const options = { skip: hasFma ? false : 'needs gcc and an x86-64 processor with FMA' }
const COUNT = Number(process.env.CASES ?? 1500)
const random = generator(Number(process.env.SEED ?? 3))
const linked = link([32, 64].flatMap(width => Object.values(fma[width as 32])))

/** The opcodes of VF…231SS and SD: xmm0 = ±(xmm1 · [rdi]) ± xmm0. */
const OPCODES: Record<FmaKind, number> = { MADD: 0xb9, MSUB: 0xbb, NMADD: 0xbd, NMSUB: 0xbf }

const view = new DataView(new ArrayBuffer(8))
function toNumber(bits: bigint, width: 32 | 64): number {
  view.setBigUint64(0, bits, true)
  return width === 32 ? view.getFloat32(0, true) : view.getFloat64(0, true)
}
function toBits(value: number, width: 32 | 64): bigint {
  view.setBigUint64(0, 0n, true)
  if (width === 32) view.setFloat32(0, value, true)
  else view.setFloat64(0, value, true)
  return view.getBigUint64(0, true)
}

/** Numbers of all sizes, near 1 for the most part; some are special. */
function number(width: 32 | 64): bigint {
  const [fraction, bias, exponents] = width === 32 ? [23, 127, 8] : [52, 1023, 11]
  const sign = random.bits(1) << BigInt(width - 1)
  const mantissa = random.below(3) ? random.bits(fraction) : random.bits(3) << BigInt(fraction - 3)
  const kind = random.below(12)
  if (kind === 0) return random.bits(width)
  if (kind === 1) return sign | mantissa
  if (kind === 2) return sign
  if (kind === 3)
    return sign | (((1n << BigInt(exponents)) - 1n) << BigInt(fraction)) | (random.below(2) ? mantissa : 0n)
  const spread = random.below(2) ? 3 : random.below(2) ? fraction * 2 : bias - 2
  return sign | (BigInt(bias + random.below(2 * spread) - spread) << BigInt(fraction)) | mantissa
}

/** An addend: any, or near to what makes the sum small. */
function addend(x: bigint, y: bigint, width: 32 | 64): bigint {
  if (random.below(3) === 0) return number(width)
  const product = toBits(-toNumber(x, width) * toNumber(y, width), width)
  return BigInt.asUintN(width, product + BigInt(random.below(5) - 2)) ^ (random.bits(1) << BigInt(width - 1))
}

function control(): number {
  if (random.below(3) === 0) return 0x1fa0
  let mxcsr = 0x1f80 | (random.below(4) << 13)
  if (random.below(4) === 0) mxcsr |= 0x8000
  if (random.below(4) === 0) mxcsr |= 0x40
  if (random.below(4) === 0) mxcsr &= ~(Number(random.bits(6)) << 7)
  return mxcsr
}

for (const width of [32, 64] as const) {
  for (const kind of Object.keys(FMA_SIGNS) as FmaKind[]) {
    test(`binary${width} ${kind} as on the processor`, options, () => {
      const code = [0xc4, 0xe2, width === 64 ? 0xf1 : 0x71, OPCODES[kind], 0x07]
      const cases = Array.from({ length: COUNT }, () => {
        const x = number(width)
        const y = number(width)
        return { x, y, z: addend(x, y, width), mxcsr: control() }
      })
      const theirs = run!(
        cases.map(({ x, y, z, mxcsr }) => {
          const memory = new Uint8Array(new BigUint64Array([y]).buffer)
          return { code, mxcsr, xmm: [z, x] as const, memory }
        }),
      )
      cases.forEach(({ x, y, z, mxcsr }, i) => {
        const { state } = linked
        state.set32(F.mxcsr, mxcsr)
        state.set32(F.cr4, 1 << 10)
        state.set32(F.fault, 0)
        const pass = (bits: bigint) => (width === 64 ? bits : Number(bits))
        const got = BigInt.asUintN(width, BigInt(linked.call(fma[width][kind], pass(x), pass(y), pass(z))))
        const fault = state.get32(F.fault) !== 0
        const native = theirs[i]
        const shown = (result: bigint, flags: number, trapped: boolean) =>
          `${trapped ? 'trapped' : result.toString(16)} flags ${(flags & 0x3f).toString(16)}`
        assert.equal(
          shown(got, state.get32(F.mxcsr), fault),
          shown(BigInt.asUintN(width, native.xmm[0]), native.mxcsr, native.trapped !== 0),
          `${x.toString(16)} · ${y.toString(16)}, ${z.toString(16)}, mxcsr ${mxcsr.toString(16)}`,
        )
      })
    })
  }
}
