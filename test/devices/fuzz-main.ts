/**
 * `npm run fuzz-devices -- [--count N] [--seed S]`: random guests at every device of both PCs, and at the storage controllers and
 * the GPU with structures that are mostly right.
 *
 * The guests run in a worker. This thread sees that they get on, and that neither heap nor resident memory grow.
 */
import { parseArgs } from 'node:util'
import v8 from 'node:v8'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { fuzzStorage } from '../../src/devices/storage/fuzz.ts'
import { fuzzGpu } from '../../src/devices/virtio/gpu-fuzz.ts'
import { fuzzMachine } from './machine-fuzz.ts'

/** Accesses with one seed. */
const PER_SEED = 50_000
/** Seconds without an access after which a guest has stopped its machine. */
const SILENCE = 120
/** What heap and resident memory may grow by after the first rounds: bytes. */
const MOST_HEAP = 32 << 20
const MOST_RESIDENT = 256 << 20
/** Rounds until everything is loaded, compiled and allocated. */
const WARM_UP = 6

/** What is run with each seed, in turn. */
const KINDS = ['pc', 'q35', 'storage', 'gpu'] as const

interface Work {
  count: number
  seed: number
  /** Kind, seed and step where the worker is. */
  place: Int32Array
}

async function work({ count, seed: first, place }: Work): Promise<void> {
  v8.setFlagsFromString('--expose-gc')
  const collect = (await import('node:vm')).runInNewContext('gc') as () => void
  let heap = 0
  for (let round = 0, left = count; left > 0; round++, left -= PER_SEED) {
    const seed = first + Math.floor(round / KINDS.length)
    const steps = Math.min(PER_SEED, left)
    const kind = KINDS[round % KINDS.length]
    place.set([round % KINDS.length, seed, 0])
    if (kind === 'storage') await fuzzStorage(seed, steps, step => Atomics.store(place, 2, step))
    else if (kind === 'gpu') fuzzGpu(seed, steps, step => Atomics.store(place, 2, step))
    else await fuzzMachine({ seed, steps, machine: kind, progress: step => Atomics.store(place, 2, step) })
    await new Promise(resolve => setTimeout(resolve, 20))
    collect()
    const { heapUsed } = process.memoryUsage()
    if (round === WARM_UP - 1) heap = heapUsed
    if (round >= WARM_UP && heapUsed > heap + MOST_HEAP)
      throw new Error(`the heap grew from ${heap} to ${heapUsed} bytes until ${kind}, seed ${seed}`)
    parentPort!.postMessage({ kind, seed, steps, heapUsed, round })
  }
}

function supervise(): void {
  const { values } = parseArgs({
    options: { count: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
  })
  const [count, seed] = [Number(values.count), Number(values.seed)]
  for (const [name, value] of Object.entries({ count, seed }))
    if (!Number.isSafeInteger(value) || value < 1) {
      console.error(`fuzz-devices: --${name} ${values[name as 'count' | 'seed']}: give a whole number above zero`)
      process.exit(2)
    }
  const place = new Int32Array(new SharedArrayBuffer(12))
  const worker = new Worker(new URL(import.meta.url), { workerData: { count, seed, place } })
  const where = () => `${KINDS[place[0]]}, seed ${place[1]}, step ${place[2]}`
  const fail = (sentence: string) => {
    console.error(`fuzz-devices: ${sentence}`)
    process.exit(1)
  }
  let before = ''
  let silent = 0
  const watch = setInterval(() => {
    silent = where() === before ? silent + 1 : 0
    before = where()
    if (silent >= SILENCE) fail(`an access does not end: ${where()}`)
  }, 1000)
  let resident = 0
  let done = 0
  worker.on('message', ({ kind, seed, steps, heapUsed, round }) => {
    const { rss } = process.memoryUsage()
    if (round === WARM_UP - 1) resident = rss
    if (round >= WARM_UP && rss > resident + MOST_RESIDENT)
      fail(`resident memory grew from ${resident} to ${rss} bytes until ${kind}, seed ${seed}`)
    done += steps
    const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
    console.log(`${kind}, seed ${seed}: ${done} accesses; heap ${megabytes(heapUsed)}, resident ${megabytes(rss)}`)
  })
  worker.on('error', error => fail(`${where()}: ${(error as Error).stack}`))
  worker.on('exit', () => clearInterval(watch))
}

if (isMainThread) supervise()
else await work(workerData as Work)
