/** Random programs in every mode: engines, slices, interrupts and forgotten translations make no difference. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { F } from '../../src/cpu/state.ts'
import { v8Flags } from '../../src/engines/tiering.ts'
import { MODES } from './random/layout.ts'
import { Bench, VARIANTS, type Variant } from './random/run.ts'

v8Flags.set = flag => setFlagsFromString(flag)
v8Flags.inlining = !process.execArgv.includes('--no-wasm-inlining')
const bench = new Bench()
const PROGRAMS = 4

for (const mode of MODES) {
  test(`random programs agree: ${mode.name}`, () => {
    for (let seed = 1; seed <= PROGRAMS; seed++) assert.equal(bench.check(seed * 7919, mode), undefined)
  })
}

test('what faults for its alignment marks no page as accessed', () => {
  assert.equal(bench.check(36), undefined)
})

test('a register that is wrong after a slice is seen', () => {
  const wrong: Variant = {
    engine: VARIANTS[0].engine,
    slicing: {
      name: 'wrong',
      next: left => left,
      between: world => world.vcpu.state.set32(F.gpr, world.vcpu.state.get32(F.gpr, 9) ^ 1, 9),
    },
  }
  assert.match(bench.check(7919, MODES[0], [VARIANTS[0], wrong]) ?? '', /gpr\[9\]/)
})
