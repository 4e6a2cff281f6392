/** Uses systems by their screens, keyboards and mice, and compares what is seen: a check of the development, as it takes long. */
import { mkdir } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { UserError } from '../../src/hosts/node/index.ts'
import { CHECKS, type Check } from './checks.ts'
import { Seat } from './seat.ts'

const USAGE = `npm run test:display [-- OPTION…] [NAME…]

Uses the systems named, or all of them, and writes a table of what came of it.

  --list         names them
  --keep DIR     leaves screenshots there
  --show         shows what the guests write to COM1
`

async function use(check: Check, { keep, show }: { keep?: string; show: boolean }): Promise<string | undefined> {
  const say = (text: string) => void process.stderr.write(`${check.name}: ${text.slice(0, 200)}\n`)
  const seats: Seat[] = []
  const options = { keep, show: show ? (text: string) => void process.stdout.write(text) : undefined }
  const start = Date.now()
  let error: string | undefined
  try {
    await check.use({
      say,
      async start(words, name = check.name) {
        const seat = await Seat.start(name, words, options)
        seats.push(seat)
        return seat
      },
    })
  } catch (caught) {
    error = `${(caught as Error).message}\n${seats.map(({ com1 }) => com1.errors.slice(-500)).join('')}`
  }
  for (const seat of seats) await seat.close()
  const cpu = seats.reduce((sum, { com1 }) => sum + com1.seconds, 0)
  const times = `${cpu.toFixed(0)} s of the processor, ${((Date.now() - start) / 1000).toFixed(0)} s`
  process.stdout.write(
    `| ${check.name} | ${check.how} | ${error === undefined ? check.shows : 'FAILED'} | ${times} |\n`,
  )
  return error
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      keep: { type: 'string' },
      show: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(USAGE)
  if (values.list)
    return void process.stdout.write(CHECKS.map(({ name, how }) => `${name.padEnd(20)} ${how}\n`).join(''))
  const unknown = positionals.find(name => !CHECKS.some(check => check.name.startsWith(name)))
  if (unknown !== undefined) throw new UserError(`there is no system '${unknown}': --list names them`)
  if (values.keep !== undefined) await mkdir(values.keep, { recursive: true })
  const chosen = CHECKS.filter(
    ({ name }) => positionals.length === 0 || positionals.some(start => name.startsWith(start)),
  )
  for (const check of chosen) {
    const error = await use(check, values)
    if (error === undefined) continue
    process.stderr.write(`${error}\n`)
    process.exitCode = 1
  }
}

main().catch(error => {
  process.stderr.write(`${error instanceof UserError ? error.message : error.stack}\n`)
  process.exitCode = 1
})
