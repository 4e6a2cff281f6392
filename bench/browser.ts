/** typetwo in Chromium against typetwo in Node, on the same guest work in the same run: `npm run bench:browser -- --help`. */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { ensureFirmware, Machine } from '../src/hosts/node/index.ts'
import { findChromium, openPage, skipReason } from '../test/browser/chromium.ts'
import { bundle } from '../web/tools/bundle.ts'
import { findIn, serveSite } from '../web/tools/server.ts'
import { type GuestRun, runGuest } from './browser-guest.ts'
import { summary } from './echo.ts'
import { descendants, threadTime } from './thread-time.ts'

const HELP = `npm run bench:browser -- [options]

Times the guest of ../shared/bench in Node and in Chromium, alternating, and prints medians and ratios: its boot (from
making the machine to the line READY) and its programs. A ratio of 1 means as fast as in Node, 0.8 a quarter slower.

  --only LIST        these programs, by comma
  --repetitions N    runs of each; default 3
  --processor        counts seconds of the processor that the machine's thread has had, in place of seconds of the wall: for a host that
                     others use; Chromium's processes may have another priority there. Linux only
  --key              measures, in Chromium only, from pressing a key until the machine's screen tells its letter: a guest of 512 bytes that has the
                     BIOS read keys and print them
  --markdown         prints the table for docs/browser.md
`

const DEFAULT = 'fib,sieve,sha256,mandel,nbody,gzip,awk,shloop'
const BASE = 'console=ttyS0 quiet mitigations=off'
const FOLDER = `${process.env.PEERS_CACHE ?? '/tmp/peers'}/out`

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

function refuse(sentence: string): never {
  console.error(`bench: ${sentence}`)
  process.exit(2)
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: DEFAULT },
    repetitions: { type: 'string', default: '3' },
    processor: { type: 'boolean', default: false },
    key: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const repetitions = Number(values.repetitions)
if (!(repetitions >= 1)) refuse(`--repetitions ${values.repetitions}: give a number above zero`)
const reason = skipReason()
if (reason) refuse(reason)
let kernel: Uint8Array
let initrd: Uint8Array
try {
  kernel = readFileSync(`${FOLDER}/vmlinuz64`)
  initrd = readFileSync(`${FOLDER}/initrd64.gz`)
} catch {
  refuse(
    `the guests are not in ${FOLDER}: build them by ../shared/bench/build-guests.sh, and name the folder by PEERS_CACHE`,
  )
}

const commandLine = `${BASE} bench=${values.only}`
const site = await bundle([new URL('browser-page.ts', import.meta.url).pathname])
site.set(
  'index.html',
  new TextEncoder().encode('<!doctype html><title>bench</title><script type="module" src="browser-page.js"></script>'),
)
site.set('kernel', kernel)
site.set('ramdisk', initrd)
const server = await serveSite(findIn(site), { host: '127.0.0.1', port: 0 })

if (values.key) {
  const [bios, vga] = await ensureFirmware('seabios', { report: () => {} })
  site.set('bios', readFileSync(bios))
  site.set('vgabios', readFileSync(vga))
  const { page, close } = await openPage(server.url)
  await page.waitForFunction('globalThis.keys')
  const [median, most, longest] = summary(await page.evaluate('globalThis.keys()'))
  console.log(`key to letter: median ${median}, 95 of 100 within ${most}, longest ${longest}`)
  await close()
  await server.close()
  process.exit()
}

/** A run with seconds of the processor, where they are asked for. @param time of the thread, in seconds */
async function timed(time: () => number, run: (said: (name: string) => void) => Promise<GuestRun>): Promise<GuestRun> {
  const marks: [name: string, time: number][] = []
  const told = await run(name => void (values.processor && marks.push([name, time()])))
  marks.forEach(([name, at], n) => {
    if (name === 'boot') told.boot = at
    else told.programs[name] = at - marks[n - 1][1]
  })
  return told
}

const hosts: Record<'Node' | 'Chromium', () => Promise<GuestRun>> = {
  Node: () =>
    timed(
      () => threadTime('typetwo machine', [process.pid]),
      said => runGuest(options => Machine.create(options), { kernel, initrd, commandLine }, said),
    ),
  async Chromium() {
    const { page, close } = await openPage(server.url)
    try {
      await page.waitForFunction('globalThis.run')
      return await timed(
        () => threadTime('DedicatedWorker', descendants(process.pid)),
        async said => {
          await page.exposeFunction('said', said)
          return page.evaluate(
            line => (globalThis as unknown as { run(line: string): Promise<GuestRun> }).run(line),
            commandLine,
          )
        },
      )
    } finally {
      await close()
    }
  },
}
const runs: Record<string, GuestRun[]> = { Node: [], Chromium: [] }
let version = ''
for (let i = 0; i < repetitions; i++)
  for (const [host, run] of Object.entries(hosts)) {
    console.error(`  ${host}, run ${i + 1}`)
    runs[host].push(await run())
  }
{
  const { page, close } = await openPage('about:blank')
  version = page.context().browser()?.version() ?? ''
  await close()
}
await server.close()

const rows = ['boot', ...Object.keys(runs.Node[0].programs)].map(name => {
  const of = (host: string) => median(runs[host].map(run => (name === 'boot' ? run.boot : run.programs[name])))
  const [node, chromium] = [of('Node'), of('Chromium')]
  const checks = new Set(Object.values(runs).flatMap(list => list.map(run => run.checks[name])))
  return { name, node, chromium, ratio: node / chromium, same: checks.size === 1 }
})
const mean = Math.exp(rows.slice(1).reduce((sum, row) => sum + Math.log(row.ratio), 0) / (rows.length - 1))
const title = `Node ${process.version}, Chromium ${version} (${findChromium()}), ${cpus()[0].model}, medians of ${repetitions}${values.processor ? ', of the processor' : ''}`
if (values.markdown) {
  console.log(`${title}\n\n| | Node, s | Chromium, s | speed |\n|---|---:|---:|---:|`)
  for (const { name, node, chromium, ratio } of rows)
    console.log(`| ${name} | ${node.toFixed(2)} | ${chromium.toFixed(2)} | ${ratio.toFixed(2)} |`)
  console.log(`| programs, geometric mean | | | ${mean.toFixed(2)} |`)
} else {
  console.log(title)
  for (const { name, node, chromium, ratio } of rows)
    console.log(
      `${name.padEnd(10)} ${node.toFixed(2).padStart(7)} ${chromium.toFixed(2).padStart(7)}  ${ratio.toFixed(2)}`,
    )
  console.log(`geometric mean of programs ${mean.toFixed(2)}`)
}
const wrong = rows.filter(({ same }) => !same)
if (wrong.length > 0) {
  console.error(`bench: not the same results in both: ${wrong.map(({ name }) => name).join(', ')}`)
  process.exitCode = 1
}
