/** Random guests against the storage controllers for as many accesses as one wants: `--count N --seed S`. */
import { parseArgs } from 'node:util'
import { fuzzStorage } from '../../src/devices/storage/fuzz.ts'

const { values } = parseArgs({
  options: { count: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
})
const PER_SEED = 100_000
let seed = Number(values.seed)
for (let left = Number(values.count); left > 0; left -= PER_SEED, seed++) {
  await fuzzStorage(seed, Math.min(PER_SEED, left))
  console.log(`seed ${seed}: ${Math.min(PER_SEED, left)} accesses`)
}
