import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F } from '../cpu/state.ts'
import { generator, link } from '../float/native.ts'
import { divide128, divideSigned128 } from './multiply.ts'

const bits = BigInt.asUintN
/** Values at which quotients, carries and signs turn. */
const EDGES = [0n, 1n, 2n, 3n, 0x7fff_ffffn, 0xffff_ffffn, 1n << 32n, 1n << 63n, (1n << 63n) - 1n, (1n << 64n) - 1n]

test('128 by 64 bits divides as big integers do', () => {
  const { state, call } = link([divide128, divideSigned128])
  const random = generator(1)
  const any = () => (random.below(3) ? random.bits(64) >> BigInt(random.below(64)) : EDGES[random.below(EDGES.length)])
  for (let i = 0; i < 20000; i++) {
    const divisor = any()
    const low = any()
    // Half of the quotients fit; these are the ones with a high half below the divisor.
    const high = i & 1 && divisor > 0n ? any() % divisor : any()
    const what = `${high.toString(16)}:${low.toString(16)} / ${divisor.toString(16)}`

    const dividend = (high << 64n) | low
    const failed = divisor === 0n || (dividend / divisor) >> 64n !== 0n
    assert.equal(call(divide128, high, low, divisor), failed ? 1 : 0, what)
    if (!failed) {
      assert.equal(state.get64(F.serviceResult), dividend / divisor, what)
      assert.equal(state.get64(F.serviceResult2), dividend % divisor, what)
    }

    const signed = BigInt.asIntN(128, dividend)
    const by = BigInt.asIntN(64, divisor)
    const fits = by !== 0n && BigInt.asIntN(64, signed / by) === signed / by
    assert.equal(call(divideSigned128, high, low, divisor), fits ? 0 : 1, `signed ${what}`)
    if (fits) {
      assert.equal(state.get64(F.serviceResult), bits(64, signed / by), `signed ${what}`)
      assert.equal(state.get64(F.serviceResult2), bits(64, signed % by), `signed ${what}`)
    }
  }
})

test('the quotients next to the limits of signed division', () => {
  const { call, state } = link([divideSigned128])
  const minimum = 1n << 63n
  // -2^63 fits, 2^63 does not.
  assert.equal(call(divideSigned128, bits(64, -1n), minimum, 1n), 0)
  assert.equal(state.get64(F.serviceResult), minimum)
  assert.equal(call(divideSigned128, bits(64, -1n), minimum, bits(64, -1n)), 1)
  assert.equal(call(divideSigned128, 0n, minimum, 1n), 1)
})
