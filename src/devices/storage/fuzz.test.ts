import { test } from 'node:test'
import { fuzzStorage } from './fuzz.ts'

// Millions: bin/node-new-enough test/devices/storage-fuzz.ts --count N --seed S
for (const seed of [1, 77, 20_261_121])
  test(`random guests of storage controllers, seed ${seed}`, async () => {
    await fuzzStorage(seed, 20_000)
  })
