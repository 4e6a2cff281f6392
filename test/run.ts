/** Runs everything that CI runs: types, format and lint, then every test file beside the code and in test/ and bench/. */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'

const root = new URL('..', import.meta.url).pathname
const bin = (name: string) => `${root}node_modules/.bin/${name}`

function step(title: string, command: string, args: string[]): void {
  console.log(`\n== ${title}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    console.error(`${title}: failed`)
    process.exit(1)
  }
}

const only = process.argv.slice(2)
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'], { cwd: root })
  .sort()
  .filter(file => only.length === 0 || only.some(part => file.includes(part)))

if (only.length === 0) {
  step('types', bin('tsc'), ['--noEmit'])
  step('format and lint', bin('biome'), ['ci', '--error-on-warnings'])
}
step('tests', process.execPath, [
  '--disable-warning=ExperimentalWarning',
  // V8's, with which typetwo runs too (bin/node-new-enough).
  ...process.execArgv.filter(flag => flag.startsWith('--no-wasm-')),
  '--test',
  '--test-force-exit',
  // What hangs is named in the end, however busy the host is.
  `--test-timeout=${3_600_000}`,
  '--test-concurrency=2',
  ...files,
])
