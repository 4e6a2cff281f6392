/** What viewers that stall and vanish cost a whole guest: `bin/node-new-enough bench/viewers.ts --help`. */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { ENCODING } from '../src/display/rfb/protocol.ts'
import { openVnc } from '../src/hosts/node/display/vnc.ts'
import { startShell } from './shell.ts'
import { threadTime } from './thread-time.ts'
import { startViewer } from './viewer.ts'

const HELP = `bin/node-new-enough bench/viewers.ts [options]

Boots the default guest with a screen, and has its shell count and write every hundredth number there, while nobody looks, while one
viewer looks, while 50 more have asked for the screen and read nothing, and while 50 more do so for half a second to a second and a
half, break off and come again. Viewers are in processes of their own. For each: time of the machine's thread and of the whole process for
one count, in seconds of the processor, and on the wall; the process's resident memory after it.

  --rounds N    by turns; default 3
  --viewers N   default 50
`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    viewers: { type: 'string', default: '50' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const many = Number(values.viewers)

/** What is measured: a loop of the shell, which writes to the screen in every hundredth turn; the console scrolls. */
const LINE = 'line $i: what a console has to tell, some eighty characters of it, more or less'
const WORK = `i=0; while [ $i -lt 60000 ]; do i=$((i+1)); case $i in *00) echo "${LINE}" >/dev/tty0;; esac; done`

/** The machine's thread, as it is named. */
const THREAD = 'typetwo machine'
const MIB = 2 ** 20

interface Measured {
  thread: number
  all: number
  wall: number
}

async function count(): Promise<Measured> {
  const [thread, all, wall] = [threadTime(THREAD), process.cpuUsage(), performance.now()]
  await run(WORK)
  const { user, system } = process.cpuUsage(all)
  return { thread: threadTime(THREAD) - thread, all: (user + system) / 1e6, wall: (performance.now() - wall) / 1000 }
}

const SCENES: Readonly<Record<string, { stalled?: number; vanishing?: number } | undefined>> = {
  'nobody looks': undefined,
  'one viewer': {},
  [`and ${many} that stall`]: { stalled: many },
  [`and ${many} that stall and vanish`]: { vanishing: many },
}

console.error(`${cpus()[0].model}, Node ${process.versions.node}`)
const { machine, run } = await startShell({ display: true })
// Until what the loop is made of is translated.
await run(WORK)
const display = await openVnc({ host: '127.0.0.1', port: 0 }, sentence => console.error(sentence))
display.show({ machine, name: 'bench', ports: [], turnOff() {} })
const { port } = display.address
const encodings = [ENCODING.copyRect, ENCODING.tight]
const measured = new Map<string, Measured[]>()
const memory = new Map<string, number>()
for (let round = 0; round < Number(values.rounds); round++)
  for (const [name, scene] of Object.entries(SCENES)) {
    const { width, height } = await machine.screen!.image()
    const viewer = scene && (await startViewer({ port, encodings, width, height, ...scene }))
    await new Promise(resolve => setTimeout(resolve, 2000))
    const one = await count()
    console.error(`${name}: ${one.thread.toFixed(2)} s, ${one.all.toFixed(2)} s, ${one.wall.toFixed(1)} s`)
    measured.set(name, [...(measured.get(name) ?? []), one])
    memory.set(name, process.memoryUsage.rss())
    viewer?.stop()
    await new Promise(resolve => setTimeout(resolve, 1000))
  }
const median = (name: string, of: keyof Measured) => {
  const sorted = measured
    .get(name)!
    .map(one => one[of])
    .toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1].toFixed(2)
}
console.log("| | the machine's thread, s | the process, s | wall, s | resident after it, MiB |")
console.log('|---|---:|---:|---:|---:|')
for (const name of Object.keys(SCENES)) {
  const cells = [median(name, 'thread'), median(name, 'all'), median(name, 'wall')]
  console.log(`| ${name} | ${cells.join(' | ')} | ${(memory.get(name)! / MIB).toFixed(0)} |`)
}
process.exit()
