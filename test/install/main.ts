/**
 * Installs Debian from a CD onto a virtual disk and starts it from there, by BIOS and by UEFI, and then in QEMU: unattended, from
 * packages that apt downloads once.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { UserError } from '../../src/hosts/node/index.ts'
import { installationCd } from './cd.ts'
import { compareBoots } from './compare.ts'
import { Console } from './console.ts'
import { INSTALLED, type InstallPlan, planOf } from './installer.ts'
import { execute, sayOnce } from './packages.ts'
import { qemuWords } from './qemu.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const TYPETWO = join(ROOT, 'bin/typetwo')

const USAGE = `npm run test:install [-- OPTION…] [bios] [uefi]

Installs Debian from a CD of its own making and boots it, by BIOS and by UEFI unless one is named.

  --bus NAME     where the disk is: ide (default), sata, nvme or virtio
  --engine NAME  what executes the guest
  --clock NAME   its time: host (default), or instructions, with which it does not notice how busy the host is
  --keep DIR     keeps the disks there
  --from STEP    begins there, with the disks in --keep DIR of an earlier run: install (default), boot, or qemu
  --compare N    boots them in turns in QEMU's TCG and in typetwo, each N times from a fresh copy and pinned to one CPU, up to the login,
                 and prints the times of both: typetwo's first start, and a later one with the code that is kept
  --cpu N        the CPU for --compare; default: the last
  --stats        prints where the time of each run went, as typetwo run --stats does
  --quiet        does not show what the guests write
`

const STEPS = ['install', 'boot', 'qemu'] as const
type Step = (typeof STEPS)[number]

interface Options {
  bus: string
  engine: string
  clock: string
  folder: string
  quiet: boolean
  stats: boolean
  from: Step
}

const DISK_NAMES: Record<string, string> = {
  ide: '/dev/sda',
  sata: '/dev/sda',
  nvme: '/dev/nvme0n1',
  virtio: '/dev/vda',
}
const HOUR = 3600

const say = sayOnce(text => void process.stderr.write(`\n== ${text}\n`))

const show = (options: Options) => (options.quiet ? () => {} : (text: string) => void process.stdout.write(text))

/** Whether the host has a program. */
const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** A machine of typetwo's with the disk of a plan. */
function typetwo(name: string, words: readonly string[], options: Options): Console {
  const all = ['run', '--memory', '512M', '--engine', options.engine, '--clock', options.clock, ...words]
  if (options.stats) all.push('--stats')
  return new Console(name, TYPETWO, all, show(options))
}

/** What `--stats` wrote, behind typetwo's own messages. */
function tellStats(machine: Console, { stats }: Options): void {
  if (stats) process.stderr.write(machine.errors.replaceAll(/^typetwo: .*\n/gm, ''))
}

const since = (start: number) => `${((Date.now() - start) / 1000).toFixed(0)} s`

/** Boots the CD, which installs onto the disk and turns the machine off. */
async function install(plan: InstallPlan, disk: string, firmware: readonly string[], options: Options): Promise<void> {
  const cd = await installationCd(plan, say)
  await rm(disk, { force: true })
  await execute(TYPETWO, ['disk', 'create', disk, '--size', '2G'])
  say(`Installing (${plan.firmware}, ${options.bus})`)
  const start = Date.now()
  const words = ['--disk', `${disk},bus=${options.bus}`, '--cdrom', cd, '--boot', 'order=cdrom:disk', ...firmware]
  const machine = typetwo('the installation', words, options)
  await machine.until(new RegExp(`^${INSTALLED}`, 'm'), 2 * HOUR)
  const status = await machine.ended(600)
  if (status !== 0) throw new Error(`the installation ended with status ${status}: ${machine.errors}`)
  tellStats(machine, options)
  say(`Installed in ${since(start)}, ${machine.seconds.toFixed(0)} s of processor time`)
}

/** Logs in, looks around and turns the machine off. */
async function visit(machine: Console, plan: InstallPlan): Promise<void> {
  const start = Date.now()
  await machine.until(/typetwo login: /, HOUR / 2)
  say(`Login after ${since(start)}, ${machine.seconds.toFixed(1)} s of processor time`)
  machine.type('root\n')
  await machine.until(/Password: /, 300)
  machine.type(`${plan.password}\n`)
  await machine.until(/root@typetwo:~# /, 300)
  const expect = async (line: string, pattern: RegExp) => {
    const answer = await machine.command(line, 600)
    if (!pattern.test(answer)) throw new Error(`'${line}' gave '${answer}', not ${pattern}`)
    return answer
  }
  const state = await expect('systemctl is-system-running --wait', /^(running|degraded)/)
  if (/^degraded/.test(state)) say(`Units that failed: ${await machine.command('systemctl --failed --no-legend', 300)}`)
  await expect('systemctl is-active cron dbus', /^active\s+active$/)
  await expect('findmnt -n -o FSTYPE /', /ext4/)
  await expect('[ -d /sys/firmware/efi ] && echo uefi || echo bios', new RegExp(plan.firmware))
  await expect('cat /proc/cmdline', /BOOT_IMAGE=\/boot\/vmlinuz\S* root=UUID=/)
  await expect('date >>/root/visits && sync && wc -l </root/visits', /^\d+$/)
  machine.type('systemctl poweroff\n')
}

async function bootsInTypetwo(plan: InstallPlan, disk: string, firmware: readonly string[], options: Options) {
  say(`Booting from the disk (${plan.firmware}, ${options.bus})`)
  const machine = typetwo('typetwo', ['--disk', `${disk},bus=${options.bus}`, ...firmware], options)
  try {
    await visit(machine, plan)
    const status = await machine.ended(600)
    if (status !== 0) throw new Error(`it ended with status ${status}: ${machine.errors}`)
    tellStats(machine, options)
  } finally {
    machine.kill()
  }
}

async function bootsInQemu(plan: InstallPlan, disk: string, folder: string, options: Options) {
  if (!has('qemu-system-x86_64')) return say('This host has no qemu-system-x86_64: not booted there')
  say(`Booting the same disk in QEMU (${plan.firmware}, ${options.bus})`)
  const words = await qemuWords(disk, { firmware: plan.firmware, bus: options.bus, folder })
  const machine = new Console('QEMU', 'qemu-system-x86_64', words, show(options))
  try {
    await visit(machine, plan)
    await machine.ended(600)
  } finally {
    machine.kill()
  }
}

async function check(disk: string): Promise<void> {
  if (!has('qemu-img')) return say('This host has no qemu-img: the image is not checked')
  await execute('qemu-img', ['check', disk])
  say('qemu-img check finds nothing wrong with the disk')
}

async function whole(firmware: InstallPlan['firmware'], options: Options): Promise<void> {
  const { folder, bus } = options
  const plan = planOf(firmware, DISK_NAMES[bus])
  const disk = join(folder, `${firmware}.qcow2`)
  const words = firmware === 'uefi' ? ['--uefi', join(folder, 'variables.fd')] : []
  const first = STEPS.indexOf(options.from)
  if (first <= STEPS.indexOf('install')) await install(plan, disk, words, options)
  await check(disk)
  if (first <= STEPS.indexOf('boot')) {
    await bootsInTypetwo(plan, disk, words, options)
    await check(disk)
  }
  await bootsInQemu(plan, disk, folder, options)
  await check(disk)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bus: { type: 'string', default: 'ide' },
      engine: { type: 'string', default: 'auto' },
      clock: { type: 'string', default: 'host' },
      keep: { type: 'string' },
      from: { type: 'string', default: 'install' },
      compare: { type: 'string' },
      cpu: { type: 'string', default: String(cpus().length - 1) },
      quiet: { type: 'boolean', default: false },
      stats: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const kinds = positionals.length > 0 ? positionals : ['bios', 'uefi']
  const wrong = kinds.find(kind => kind !== 'bios' && kind !== 'uefi')
  if (wrong !== undefined) throw new UserError(`there is no firmware '${wrong}': say bios or uefi`)
  if (!(values.bus in DISK_NAMES))
    throw new UserError(`there is no bus '${values.bus}': choose ${Object.keys(DISK_NAMES).join(', ')}`)
  if (!STEPS.includes(values.from as Step))
    throw new UserError(`there is no step '${values.from}': choose ${STEPS.join(', ')}`)
  const only = values.from !== 'install' ? '--from' : values.compare === undefined ? undefined : '--compare'
  if (only !== undefined && values.keep === undefined)
    throw new UserError(`${only} boots what is in a folder: give it with --keep DIR`)
  if (values.compare !== undefined && !/^[1-9]\d?$/.test(values.compare))
    throw new UserError(`--compare takes how often each boots, from 1 to 99, not '${values.compare}'`)
  const cpu = Number(values.cpu)
  if (!/^\d+$/.test(values.cpu) || cpu >= cpus().length)
    throw new UserError(`--cpu takes one of this host's, from 0 to ${cpus().length - 1}, not '${values.cpu}'`)
  const folder = values.keep ?? (await mkdtemp(join(tmpdir(), 'typetwo-install-')))
  const { bus, engine, clock, quiet, stats } = values
  const options = { bus, engine, clock, folder, quiet, stats, from: values.from as Step }
  try {
    for (const kind of kinds as InstallPlan['firmware'][])
      if (values.compare === undefined) await whole(kind, options)
      else process.stdout.write(await compareBoots(kind, { ...options, times: Number(values.compare), cpu, say }))
    if (values.compare === undefined) say('All is well')
  } finally {
    if (values.keep === undefined) await rm(folder, { recursive: true, force: true })
  }
}

main().catch(error => {
  process.stderr.write(`\n${error instanceof UserError ? error.message : error.stack}\n`)
  process.exitCode = 1
})
