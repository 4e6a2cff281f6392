/** `npm run vectors -- DIR [--engine interpreter|translator]`: runs the hardware-captured tests in a folder. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { failureText, summaryLines } from './report.ts'
import { VectorRunner } from './runner.ts'

const USAGE = `usage: npm run vectors -- DIR [--engine interpreter|translator] [--every K] [--failures N] [--audit]
  DIR         a folder with files *.MOO.gz or *.MOO, at any depth; or one such file
  --every     only each K-th test of a file
  --failures  how many failures are shown for each file (3)
  --audit     runs the excluded tests too, and shows how many of them would have passed`

function stop(message: string): never {
  console.error(`vectors: ${message}`)
  process.exit(2)
}

function options() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        engine: { type: 'string', default: 'interpreter' },
        every: { type: 'string', default: '1' },
        failures: { type: 'string', default: '3' },
        audit: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    return stop(`${(error as Error).message}\n${USAGE}`)
  }
}

const { values, positionals } = options()
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}
const { engine } = values
if (engine !== 'interpreter' && engine !== 'translator') stop(`--engine is interpreter or translator, not "${engine}"`)
const every = Number(values.every)
if (!(Number.isInteger(every) && every > 0)) stop(`--every wants a whole number above 0, not "${values.every}"`)
const shown = Number(values.failures)
if (!(shown >= 0)) stop(`--failures wants a number, not "${values.failures}"`)
if (positionals.length !== 1) stop(`it takes one folder\n${USAGE}`)
const [folder] = positionals
if (!existsSync(folder)) stop(`${folder} is not there`)
const files = statSync(folder).isDirectory()
  ? globSync('**/*.{MOO,MOO.gz,moo,moo.gz}', { cwd: folder })
      .sort()
      .map(file => join(folder, file))
  : [folder]
if (files.length === 0) stop(`${folder} holds no *.MOO or *.MOO.gz`)

const terminal = process.stderr.isTTY
let failuresOfFile = 0
const runner = new VectorRunner({
  engine,
  every,
  audit: values.audit,
  onFailure: failure => {
    if (failuresOfFile++ >= shown) return
    if (terminal) process.stderr.write('\r\x1b[K')
    console.log(failureText(failure))
  },
})
files.forEach((file, index) => {
  if (terminal) process.stderr.write(`\r\x1b[K${index + 1}/${files.length} ${file}`)
  failuresOfFile = 0
  try {
    const packed = readFileSync(file)
    runner.runFile(file, basename(file).toLowerCase().endsWith('.gz') ? gunzipSync(packed) : packed)
  } catch (error) {
    if (terminal) process.stderr.write('\r\x1b[K')
    stop(`${file}: ${(error as Error).message}`)
  }
  if (failuresOfFile > shown) console.log(`${file}: ${failuresOfFile - shown} more failures`)
})
if (terminal) process.stderr.write('\r\x1b[K')
for (const line of summaryLines(runner)) console.log(line)
process.exitCode = runner.totals.failed > 0 ? 1 : 0
