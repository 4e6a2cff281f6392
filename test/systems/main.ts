/** Boots systems of all kinds, and tells how far they come: a check of the development, as it takes long. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { UserError } from '../../src/hosts/node/index.ts'
import { Console } from '../install/console.ts'
import { sayOnce } from '../install/packages.ts'
import { CHECKS, type Check } from './checks.ts'

const TYPETWO = join(new URL('../..', import.meta.url).pathname, 'bin/typetwo')

const USAGE = `bin/node-new-enough test/systems/main.ts [OPTION…] [NAME…]

Boots the systems named, or all of them, and writes a table of what came of it.

  --list         names them
  --engine NAME  what executes the guests
  --clock NAME   their time: host (default), or instructions, with which they do not notice how busy the host is
  --stats        prints where the time of each went, for those that end by themselves
  --show         shows what the guests write
  --verbose      shows what the machine notices of its guests
`

interface Outcome {
  check: Check
  error: string | undefined
  /** Of the processor, and of the clock. */
  seconds: [cpu: number, wall: number]
}

async function boot(
  check: Check,
  {
    engine,
    clock,
    stats,
    show,
    verbose,
  }: Record<'engine' | 'clock', string> & Record<'stats' | 'show' | 'verbose', boolean>,
): Promise<Outcome> {
  const say = sayOnce(text => void process.stderr.write(`${check.name}: ${text}\n`))
  const words = await check.words(say)
  const start = Date.now()
  const told = [...(verbose ? ['--verbose'] : []), ...(stats ? ['--stats'] : [])]
  const all = ['run', '--engine', check.engine ?? engine, '--clock', clock, ...told, ...words]
  const machine = new Console(check.name, TYPETWO, all, show ? text => void process.stdout.write(text) : undefined)
  const deadline = setTimeout(() => machine.kill(), 1000 * check.seconds)
  let error: string | undefined
  try {
    await check.talk(machine)
  } catch (caught) {
    error = (caught as Error).message
  } finally {
    clearTimeout(deadline)
    machine.kill()
    await machine.ended(60)
  }
  if (verbose || stats) process.stderr.write(machine.errors.replaceAll(/^typetwo: firmware: .*\n/gm, ''))
  return { check, error, seconds: [machine.seconds, (Date.now() - start) / 1000] }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      engine: { type: 'string', default: 'auto' },
      clock: { type: 'string', default: 'host' },
      stats: { type: 'boolean', default: false },
      show: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(USAGE)
  if (values.list)
    return void process.stdout.write(CHECKS.map(({ name, how }) => `${name.padEnd(18)} ${how}\n`).join(''))
  const unknown = positionals.find(name => !CHECKS.some(check => check.name.startsWith(name)))
  if (unknown !== undefined) throw new UserError(`there is no system '${unknown}': --list names them`)
  const chosen = CHECKS.filter(
    ({ name }) => positionals.length === 0 || positionals.some(start => name.startsWith(start)),
  )
  let failed = false
  for (const check of chosen) {
    const { error, seconds } = await boot(check, values)
    const times = `${seconds[0].toFixed(0)} s of the processor, ${seconds[1].toFixed(0)} s`
    process.stdout.write(
      `| ${check.name} | ${check.how} | ${error === undefined ? check.shows : 'FAILED'} | ${times} |\n`,
    )
    if (error !== undefined) process.stderr.write(`${error}\n`)
    failed ||= error !== undefined
  }
  process.exitCode = failed ? 1 : 0
}

main().catch(error => {
  process.stderr.write(`${error instanceof UserError ? error.message : error.stack}\n`)
  process.exitCode = 1
})
