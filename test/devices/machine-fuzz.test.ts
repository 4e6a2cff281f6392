import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzzMachine } from './machine-fuzz.ts'

for (const machine of ['pc', 'q35'] as const)
  test(`random guests at every device of a ${machine}`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const { devices, mostBytes } = await fuzzMachine({ seed, steps: 12_000, machine })
    assert.ok(devices.length > 20)
    assert.ok(mostBytes > 0)
  })
