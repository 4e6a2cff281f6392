/**
 * typetwo against QEMU's TCG on the same guest work in the same run: `npm run bench -- --help`.
 *
 * The guests are those of ../shared/bench. Both peers run as whole processes, one after the other, on the same CPU.
 */
import { spawnSync } from 'node:child_process'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { commandOf, missing, type Peer, type Setup } from './guests.ts'
import { type Cell, type Conditions, emptyCell, measureBoot, measurePrograms, measureRest } from './measure.ts'
import { allRight, asMarkdown, asText, type Results } from './report.ts'

const HELP = `npm run bench -- [options]

Times typetwo and QEMU's TCG on the guests of ../shared/bench, alternating, and prints the medians and their ratios:
boot (start of the process to the line READY on COM1), the guest's programs (from BEGIN to END, checksums compared),
resident memory after boot, and the CPU that an idle guest takes.

  --bits 64|32         which guest; default 64
  --engine NAME        typetwo's engine: auto (default), interpreter, translator
  --parts LIST         of boot,programs,idle; default all of them
  --only LIST          these programs, by comma; default all that the guest has
  --repetitions N      runs of each; default 3
  --cpu N|none         the CPU that both are pinned to; default the last one. What other processes take of it is
                       watched: runs that lost over 5 % are set aside where there are others
  --idle-seconds N     how long an idle guest is watched; default 10
  --timeout N          seconds of silence after which a guest is given up; default 120
  --json               prints every sample as JSON
  --markdown           prints the table for docs/performance.md

Progress goes to standard error. The status is 1 when something failed or a checksum is not TCG's, 2 when nothing could
be measured.
`

const PARTS = ['boot', 'programs', 'idle'] as const

function refuse(sentence: string): never {
  console.error(`bench: ${sentence}`)
  process.exit(2)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) refuse(`--${name} ${text}: give a number above zero`)
  return value
}

function options() {
  try {
    return parseArgs({
      options: {
        bits: { type: 'string', default: '64' },
        engine: { type: 'string', default: 'auto' },
        parts: { type: 'string', default: PARTS.join() },
        only: { type: 'string' },
        repetitions: { type: 'string', default: '3' },
        cpu: { type: 'string', default: String(cpus().length - 1) },
        'idle-seconds': { type: 'string', default: '10' },
        timeout: { type: 'string', default: '120' },
        json: { type: 'boolean', default: false },
        markdown: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    refuse(`${(error as Error).message}; see npm run bench -- --help`)
  }
}

/** Runs every part that was asked for. */
async function measure(
  conditions: Conditions,
  parts: readonly string[],
  repetitions: number,
  only: readonly string[] | undefined,
  idleSeconds: number,
): Promise<Omit<Results, 'circumstances'>> {
  // TCG comes first: it tells which programs there are.
  const peers: Peer[] = ['tcg', 'typetwo']
  const boot: Record<string, Cell> = {}
  const programs: Record<Peer, Map<string, Cell>> = { tcg: new Map(), typetwo: new Map() }
  for (let i = 0; i < repetitions; i++) {
    for (const peer of peers) {
      if (parts.includes('boot')) await measureBoot(peer, conditions, (boot[peer] ??= emptyCell()))
    }
    for (const peer of peers) {
      const names = only ?? (programs.tcg.size > 0 ? [...programs.tcg.keys()] : undefined)
      if (parts.includes('programs')) await measurePrograms(peer, conditions, names, programs[peer])
    }
  }
  const rest: Results['rest'] = {}
  if (parts.includes('idle')) {
    for (const peer of peers) rest[peer] = await measureRest(peer, conditions, idleSeconds)
  }
  const names = new Set([...programs.tcg.keys(), ...programs.typetwo.keys()])
  const cells = (name: string) =>
    Object.fromEntries(peers.filter(peer => programs[peer].has(name)).map(peer => [peer, programs[peer].get(name)!]))
  return { boot, programs: Object.fromEntries([...names].map(name => [name, cells(name)])), rest }
}

/** The first line that a command prints, or undefined. */
function firstLine(command: string, ...words: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, words, { encoding: 'utf8', cwd: import.meta.dirname })
  return status === 0 ? stdout.split('\n')[0].trim() : undefined
}

function circumstances({ bits, engine }: Setup, cpu: number | undefined, repetitions: number): Record<string, string> {
  const processors = cpus()
  const changed = firstLine('git', 'status', '--porcelain', '--untracked-files=no')
  const commit = firstLine('git', 'rev-parse', '--short', 'HEAD')
  return {
    date: new Date().toISOString().slice(0, 10),
    typetwo: `${commit ?? 'unknown commit'}${changed ? ' with changes' : ''}, engine ${engine}`,
    Node: process.version,
    QEMU: firstLine('qemu-system-x86_64', '--version') ?? 'unknown',
    machine: `${processors[0]?.model ?? 'unknown processor'}, ${processors.length} CPUs, Linux ${release()}`,
    guest: `${bits} bits, 256 MiB`,
    runs: `median of ${repetitions}, ${cpu === undefined ? 'not pinned' : `both on CPU ${cpu}`}`,
  }
}

const given = options()
if (given.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
if (given.bits !== '32' && given.bits !== '64') refuse(`--bits ${given.bits}: there is a guest of 32 and one of 64`)
const parts = given.parts.split(',')
const foreign = parts.find(part => !(PARTS as readonly string[]).includes(part))
if (foreign !== undefined) refuse(`--parts ${foreign}: there is no such part; give some of ${PARTS.join()}`)
const cpu = given.cpu === 'none' ? undefined : Number(given.cpu)
if (cpu !== undefined && !(cpu >= 0 && cpu < cpus().length)) {
  refuse(`--cpu ${given.cpu}: give a number from 0 to ${cpus().length - 1}, or none`)
}
const repetitions = positive('repetitions', given.repetitions)
const setup: Setup = {
  guests: `${process.env.PEERS_CACHE ?? '/tmp/peers'}/out`,
  bits: Number(given.bits) as 32 | 64,
  engine: given.engine,
}
const lack = missing(setup, cpu !== undefined)
if (lack) refuse(lack)
const timeout = positive('timeout', given.timeout)
const conditions: Conditions = {
  command: (peer, bench) => commandOf(peer, setup, bench),
  cpu,
  timeout,
  progress: line => console.error(`  ${line}`),
}
const idleSeconds = positive('idle-seconds', given['idle-seconds'])
const found = await measure(conditions, parts, repetitions, given.only?.split(','), idleSeconds)
const results: Results = { circumstances: circumstances(setup, cpu, repetitions), ...found }
process.stdout.write(
  given.json ? `${JSON.stringify(results, undefined, 2)}\n` : given.markdown ? asMarkdown(results) : asText(results),
)
process.exitCode = allRight(results) ? 0 : 1
