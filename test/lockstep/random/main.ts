/**
 * Random programs in lock-step:
 *
 *     bin/node-new-enough test/lockstep/random/main.ts [--seed N] [--count N] [--mode NAME] [--stop-after N]
 *         [--seconds N]
 */
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { v8Flags } from '../../../src/engines/tiering.ts'
import { MODES } from './layout.ts'
import { Bench } from './run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000' },
    mode: { type: 'string' },
    'stop-after': { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
  },
})
const mode = values.mode === undefined ? undefined : MODES.find(m => m.name === values.mode)
if (values.mode !== undefined && !mode) {
  console.error(`random: there is no mode '${values.mode}'; there are ${MODES.map(m => `'${m.name}'`).join(', ')}`)
  process.exit(2)
}
v8Flags.set = flag => setFlagsFromString(flag)
v8Flags.inlining = !process.execArgv.includes('--no-wasm-inlining')
const bench = new Bench()
const first = Number(values.seed)
const count = Number(values.count)
let failures = 0
const started = performance.now()
const end = started + Number(values.seconds) * 1000
let seed = first
for (; seed < first + count && performance.now() < end; seed++) {
  const difference = bench.check(seed, mode)
  if (difference === undefined) continue
  console.log(`${difference}\n`)
  if (++failures >= Number(values['stop-after'])) break
}
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(
  `${seed - first} programs, ${bench.instructions} instructions, ${bench.checkpoints} comparisons, ${failures} failures, ${seconds} s`,
)
process.exit(failures ? 1 : 0)
