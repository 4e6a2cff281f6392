/**
 * `npm run fuzz-images -- [--count N] [--seed S] [--format F]`: damaged images of every kind, so many of each. Whatever is in them, using
 * them ends with data or one sentence, after a bounded number of reads and with a bounded heap.
 */
import { parseArgs } from 'node:util'
import { damage, KINDS } from './malformed.ts'

/** Images with one seed. */
const PER_SEED = 500
/** Milliseconds of CPU that {@link PER_SEED} images may take at the most, before one of them is said to take too long. */
const MOST_TIME = 300_000

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    format: { type: 'string' },
  },
})
const [count, first] = [Number(values.count), Number(values.seed)]
const kinds = KINDS.filter(({ format }) => values.format === undefined || values.format === format)
if (!(count > 0) || !Number.isSafeInteger(first) || kinds.length === 0) {
  console.error(
    'fuzz-images: --count and --seed are whole numbers above zero, --format one of qcow2, vmdk, vdi, vhd, vhdx',
  )
  process.exit(2)
}
for (const kind of kinds) {
  const what = Object.values(kind).join(', ')
  for (let left = count, seed = first; left > 0; left -= PER_SEED, seed++) {
    const before = process.cpuUsage()
    try {
      await damage(kind, Math.min(PER_SEED, left), seed)
    } catch (error) {
      throw new Error(`${what}, seed ${seed}`, { cause: error })
    }
    const { user, system } = process.cpuUsage(before)
    const milliseconds = Math.round((user + system) / 1000)
    if (milliseconds > MOST_TIME) throw new Error(`${what}, seed ${seed}: ${milliseconds} ms of CPU`)
    const resident = Math.round(process.memoryUsage().rss / 2 ** 20)
    console.log(
      `${what}, seed ${seed}: ${Math.min(PER_SEED, left)} images, ${milliseconds} ms of CPU, resident ${resident} MiB`,
    )
  }
}
