/** `main.ts --count N --seed S [--bits 64|32] [--only MNEMONIC-REGEXP] [--engine interpreter|translator] [--strict]`: millions of cases. */
import { parseArgs } from 'node:util'
import { runConformance } from './conformance.ts'
import { nativeFeatures, nativeProcessor } from './native.ts'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    bits: { type: 'string' },
    only: { type: 'string' },
    engine: { type: 'string', default: 'interpreter' },
    strict: { type: 'boolean', default: false },
  },
})

const count = Number(values.count)
const seed = Number(values.seed)
const bitsWanted = values.bits === undefined ? [64, 32] : [Number(values.bits)]
if (!Number.isInteger(count) || count < 1) fail(`--count ${values.count} is not a positive whole number`)
if (!Number.isInteger(seed)) fail(`--seed ${values.seed} is not a whole number`)
if (bitsWanted.some(bits => bits !== 32 && bits !== 64)) fail(`--bits ${values.bits} is neither 32 nor 64`)
const { engine } = values
if (engine !== 'interpreter' && engine !== 'translator')
  fail(`--engine ${engine} is neither interpreter nor translator`)

function fail(sentence: string): never {
  console.error(`conformance: ${sentence}`)
  process.exit(2)
}

let failed = false
for (const bits of bitsWanted as (32 | 64)[]) {
  const native = nativeProcessor(bits)
  if (typeof native === 'string') fail(`${bits}-bit instructions cannot be compared: ${native}`)
  const { flags, amdZen } = nativeFeatures()
  if (values.strict && !amdZen)
    fail('--strict compares what is undefined, which follows AMD Zen: this processor is another')
  const only = values.only === undefined ? undefined : new RegExp(`^(${values.only})$`, 'i')
  const report = runConformance({ bits, engine, count, seed, native, features: flags, strict: values.strict, only })
  for (const failure of report.failures) console.log(failure)
  console.log(
    `${bits}-bit: ${report.compared} compared in ${report.forms} encodings, ${report.failed} failed, ${report.skipped} skipped`,
  )
  failed ||= report.failed > 0 || report.compared === 0
}
process.exit(failed ? 1 : 0)
