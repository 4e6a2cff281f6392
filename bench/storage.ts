/**
 * Disk throughput in the guest, typetwo against QEMU's TCG at the same bus in the same run: `npm run bench-storage -- --help`.
 *
 * The guest is that of ../shared/bench with the programs of this folder added: the harness's `io` (64 MiB through the page cache,
 * written and flushed, and read), the same a second time, and requests past the page cache.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { type CpioEntry, writeCpio } from '../src/hosts/node/guest/cpio.ts'
import { DISK_BUSES, type DiskBus } from '../src/machine/drives.ts'
import type { Peer } from './guests.ts'
import { GuestProcess } from './process.ts'

const HELP = `npm run bench-storage -- [--buses LIST] [--repetitions N] [--cpu N|none] [--markdown]

Times what a guest reads from and writes to a disk, in typetwo and in QEMU's TCG, and prints CPU time (user and system, of the whole
process) and wall-clock time of each, medians.

  --buses LIST       of ${DISK_BUSES.join()}; default all
  --repetitions N    runs of each; default 3
  --cpu N|none       the CPU that both are pinned to; default the last one
  --markdown         prints the table for docs/storage.md
`
const CACHE = process.env.PEERS_CACHE ?? '/tmp/peers'
const TYPETWO = new URL('../bin/typetwo', import.meta.url).pathname
const PEERS: readonly Peer[] = ['tcg', 'typetwo']
const SILENCE = 300
const MODULES = [
  'kernel/drivers/ata/ahci.ko',
  'kernel/drivers/ata/libahci.ko',
  'kernel/drivers/nvme/host/nvme-core.ko',
  'kernel/drivers/nvme/host/nvme.ko',
]

function refuse(sentence: string): never {
  console.error(`bench-storage: ${sentence}`)
  process.exit(2)
}

/** The folder of the generic kernel's modules. */
function moduleFolder(): string {
  const unpacked = join(CACHE, 'x')
  const kernel = readdirSync(unpacked).find(name => /^linux-image-.*-amd64_/.test(name) && !name.includes('cloud'))
  if (!kernel) refuse(`${unpacked} has no linux-image: build the guests by ../shared/bench/build-guests.sh`)
  const modules = join(unpacked, kernel, 'lib/modules')
  return join(modules, readdirSync(modules)[0])
}

/** The guest's initial RAM file system with what is added here. @returns its path */
function makeInitrd(folder: string): string {
  const program = join(folder, 'direct')
  const source = new URL('./storage-direct.c', import.meta.url).pathname
  const { status, stderr } = spawnSync('gcc', ['-O2', '-static', '-o', program, source], { encoding: 'utf8' })
  if (status !== 0) refuse(`gcc is missing or failed: ${stderr}`)
  const modules = moduleFolder()
  const script = readFileSync(new URL('./storage-guest.sh', import.meta.url))
  const entries: CpioEntry[] = [
    { kind: 'file', path: 'run-io.sh', content: script, mode: 0o755 },
    { kind: 'file', path: 'direct', content: readFileSync(program), mode: 0o755 },
    ...MODULES.map((path): CpioEntry => {
      const name = path.slice(path.lastIndexOf('/') + 1)
      return { kind: 'file', path: `lib/modules/${name}`, content: readFileSync(join(modules, path)) }
    }),
  ]
  const initrd = join(folder, 'initrd.gz')
  writeFileSync(initrd, Buffer.concat([readFileSync(`${CACHE}/out/initrd64io.gz`), gzipSync(writeCpio(entries))]))
  return initrd
}

const QEMU_DRIVES: Record<DiskBus, string> = {
  ide: '-drive file=IMAGE,format=raw,if=ide,cache=writeback',
  virtio: '-drive file=IMAGE,format=raw,if=virtio,cache=writeback',
  nvme: '-drive file=IMAGE,format=raw,if=none,id=d,cache=writeback -device nvme,drive=d,serial=1',
  sata: '-drive file=IMAGE,format=raw,if=none,id=d,cache=writeback -device ahci,id=a -device ide-hd,drive=d,bus=a.0',
}

function commandOf(peer: Peer, bus: DiskBus, initrd: string, image: string): string[] {
  const append = 'console=ttyS0 quiet mitigations=off bench=io'
  const kernel = `${CACHE}/out/vmlinuz64g`
  if (peer === 'typetwo') {
    const boot = ['--kernel', kernel, '--initrd', initrd, '--append', append]
    return [TYPETWO, 'run', '--memory', '256M', '--disk', `${image},bus=${bus},format=raw`, ...boot]
  }
  const quiet = '-vga std -net none -display none -serial stdio -monitor none -no-reboot'.split(' ')
  const drive = QEMU_DRIVES[bus].replace('IMAGE', image).split(' ')
  const boot = ['-kernel', kernel, '-initrd', initrd, '-append', append]
  return ['qemu-system-x86_64', '-accel', 'tcg,thread=single', '-m', '256', ...quiet, ...drive, ...boot]
}

interface Times {
  cpu: number[]
  wall: number[]
}

/** One guest, from its first measurement to its last. */
async function measure(command: string[], cpu: number | undefined, times: Map<string, Times>): Promise<void> {
  const guest = new GuestProcess(command, cpu)
  let begun = { cpu: 0, time: 0 }
  for (;;) {
    const line = await guest.line(SILENCE)
    if (!line || line.text.includes('ALLDONE')) break
    const [, what, name] = /^(BEGIN|END) (\S+)/.exec(line.text) ?? []
    if (what === 'BEGIN') begun = { cpu: guest.cpuTime(), time: line.time }
    if (what !== 'END') continue
    const of = times.get(name) ?? { cpu: [], wall: [] }
    of.cpu.push(guest.cpuTime() - begun.cpu)
    of.wall.push(line.time - begun.time)
    times.set(name, of)
  }
  if (times.size === 0) refuse(`the guest of ${command[0]} measured nothing: ${guest.last.join(' | ')}`)
  await guest.end()
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN

const { values } = parseArgs({
  options: {
    buses: { type: 'string', default: DISK_BUSES.join() },
    repetitions: { type: 'string', default: '3' },
    cpu: { type: 'string', default: String(cpus().length - 1) },
    markdown: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const buses = values.buses.split(',') as DiskBus[]
for (const bus of buses) if (!DISK_BUSES.includes(bus)) refuse(`--buses ${bus}: there are ${DISK_BUSES.join(', ')}`)
const cpu = values.cpu === 'none' ? undefined : Number(values.cpu)
const folder = mkdtempSync(join(tmpdir(), 'typetwo-bench-'))
try {
  const initrd = makeInitrd(folder)
  const image = join(folder, 'disk.img')
  writeFileSync(image, crypto.getRandomValues(Buffer.alloc(65536)))
  truncateSync(image, 256 << 20)
  const rows: string[][] = []
  for (const bus of buses) {
    const times = { tcg: new Map<string, Times>(), typetwo: new Map<string, Times>() }
    for (let i = 0; i < Number(values.repetitions); i++)
      for (const peer of PEERS) {
        await measure(commandOf(peer, bus, initrd, image), cpu, times[peer])
        console.error(`  ${bus} ${peer}, run ${i + 1}`)
      }
    for (const [name, tcg] of times.tcg) {
      const typetwo = times.typetwo.get(name) ?? { cpu: [], wall: [] }
      const cells = (['cpu', 'wall'] as const).flatMap(kind => {
        const [a, b] = [median(tcg[kind]), median(typetwo[kind])]
        return [a.toFixed(2), b.toFixed(2), (b / a).toFixed(1)]
      })
      rows.push([bus, name, ...cells])
    }
  }
  const head = ['bus', 'what', 'TCG CPU s', 'typetwo CPU s', 'ratio', 'TCG wall s', 'typetwo wall s', 'ratio']
  if (values.markdown) for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`)
  else for (const row of [head, ...rows]) console.log(row.map((cell, i) => cell.padEnd(i < 2 ? 14 : 15)).join(''))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
