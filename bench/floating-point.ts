/** Floating point, SIMD and strings against this machine's own processor: `bin/node-new-enough bench/floating-point.ts --help`. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { v8Flags } from '../src/engines/tiering.ts'
import { createPcProcessor } from '../src/machine/create-processor.ts'
import { Pc } from '../src/machine/pc.ts'
import { Runner } from '../src/machine/runner.ts'

const HELP = `bin/node-new-enough bench/floating-point.ts [options]

Compiles bench/floating-point/programs.c with the host's gcc for the host and for a guest without an operating system, runs
both on this processor (pin it: taskset -c 1), and prints the ratio of the machine's CPU time to the native one: of the first
run of each program, with everything that translation takes, and of the best of three. Checksums are compared.

  --only LIST      these programs, by comma
  --engine NAME    auto (default), interpreter, translator
  --markdown       prints the table for docs/performance.md
`

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    engine: { type: 'string', default: 'auto' },
    markdown: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}

function fail(sentence: string): never {
  console.error(`floating-point: ${sentence}`)
  process.exit(2)
}

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) fail(`${command} cannot be run: ${error.message}; it is needed to compile the programs`)
  if (status !== 0) fail(`${command} failed:\n${stderr}`)
  return stdout
}

const SOURCE = new URL('floating-point/', import.meta.url).pathname
const OPTIONS = ['-O2', '-w', '-fno-math-errno', '-fno-tree-vectorize']
const FREESTANDING =
  '-ffreestanding -fno-pic -fno-builtin -mno-red-zone -mcmodel=small -fno-stack-protector -fno-asynchronous-unwind-tables -c'.split(
    ' ',
  )

/** What the host's processor takes, and the guest's kernel. */
function build(folder: string): { native: Map<string, [seconds: number, sum: string]>; kernel: Uint8Array } {
  const file = (name: string) => join(folder, name)
  const programs = join(SOURCE, 'programs.c')
  run('gcc', ...OPTIONS, '-DNATIVE', '-o', file('native'), programs)
  const only = values.only ? [`-DONLY=" ${values.only.split(',').join(' ')} "`] : []
  run('gcc', ...OPTIONS, ...FREESTANDING, ...only, '-o', file('programs.o'), programs)
  run('gcc', '-c', '-o', file('start.o'), join(SOURCE, 'start.S'))
  const link = ['-n', '-z', 'noexecstack', '-T', join(SOURCE, 'link.ld'), '-o', file('kernel64')]
  run('ld', ...link, file('start.o'), file('programs.o'))
  // Multiboot loads 32-bit ELF files.
  run('objcopy', '-O', 'elf32-i386', file('kernel64'), file('kernel'))
  const lines = run(file('native')).trim().split('\n')
  const native = new Map(lines.map(line => line.split(' ')).map(([name, t, sum]) => [name, [Number(t), sum]] as const))
  return { native: native as Map<string, [number, string]>, kernel: readFileSync(file('kernel')) }
}

/** Seconds of this thread. */
function threadSeconds(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1e6
}

const folder = mkdtempSync(join(tmpdir(), 'floating-point-'))
const { native, kernel } = build(folder)
rmSync(folder, { recursive: true })
v8Flags.set = setFlagsFromString

const results = new Map<string, number[]>()
let wrong = false
let started = 0
let text = ''

function take(line: string): void {
  const [word, name, sum] = line.split(' ')
  if (word === 'BEGIN') started = threadSeconds()
  else if (word === 'END') {
    const times = results.get(name) ?? []
    times.push(threadSeconds() - started)
    results.set(name, times)
    if (times.length === 1 && native.get(name)?.[1] !== sum) {
      console.error(`floating-point: ${name} gives ${sum} in the guest and ${native.get(name)?.[1]} natively`)
      wrong = true
    }
    if (times.length === 3) report(name, times)
  } else if (word === 'DONE') process.exit(wrong ? 1 : 0)
}

function report(name: string, times: readonly number[]): void {
  const [seconds] = native.get(name)!
  const [first, best] = [times[0], Math.min(...times)].map(time => (time / seconds).toFixed(1))
  if (values.markdown) console.log(`| ${name} | ${seconds.toFixed(3)} | ${first} | ${best} |`)
  else
    console.log(
      `${name.padEnd(18)} native ${seconds.toFixed(4)} s  first run ${first.padStart(5)}  best ${best.padStart(5)}`,
    )
}

if (values.markdown) console.log('| program | native (s) | first run | best |\n|---|---:|---:|---:|')
const pc = await Pc.create(
  {
    memory: 64 << 20,
    commandLine: '',
    engine: values.engine as 'auto',
    clock: 'host',
    reboot: false,
    boot: {},
    holdInput: false,
    cpu: 'max',
    machine: 'pc',
  },
  { kernel } as Parameters<typeof Pc.create>[1],
  {
    transmit: (_port: number, byte: number) => {
      const character = String.fromCharCode(byte)
      if (character !== '\n') text += character
      else {
        take(text)
        text = ''
      }
    },
    transmitAll: () => {},
    receiveReady: () => {},
    log: (message: string) => console.error(message),
    flush: () => true,
    createProcessor: createPcProcessor,
  } as unknown as Parameters<typeof Pc.create>[2],
)
const event = await new Runner(pc).run()
fail(`the guest ended before it was done: ${JSON.stringify(event)}`)
