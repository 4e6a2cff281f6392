/** How long a boot from the disk takes, in typetwo and in QEMU's TCG. */
import { constants, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Console } from './console.ts'
import type { InstallPlan } from './installer.ts'
import type { Say } from './packages.ts'
import { qemuWords } from './qemu.ts'

const TYPETWO = join(new URL('../..', import.meta.url).pathname, 'bin/typetwo')
const MOST_SECONDS = 1800

interface CompareOptions {
  bus: string
  engine: string
  clock: string
  /** With the installed disks. */
  folder: string
  /** How often each boots. */
  times: number
  /** The CPU that both are pinned to. */
  cpu: number
  say: Say
}

type Peer = 'typetwo' | 'QEMU'

/**
 * Boots up to the login.
 * @param copies where the disk is put, the same for all boots: typetwo finds its code of the one before by the disk's name
 * @returns seconds of the processor and of the clock
 */
async function bootOnce(peer: Peer, firmware: InstallPlan['firmware'], copies: string, options: CompareOptions) {
  const { folder, bus, engine, clock } = options
  const disk = join(copies, 'disk.qcow2')
  await copyFile(join(folder, `${firmware}.qcow2`), disk, constants.COPYFILE_FICLONE)
  const variables = join(copies, 'variables.fd')
  const uefi = firmware === 'uefi' ? ['--uefi', variables] : []
  if (firmware === 'uefi') await copyFile(join(folder, 'variables.fd'), variables)
  const own = ['run', '--memory', '512M', '--engine', engine, '--clock', clock, '--disk', `${disk},bus=${bus}`]
  const words =
    peer === 'typetwo'
      ? [TYPETWO, ...own, ...uefi]
      : ['qemu-system-x86_64', ...(await qemuWords(disk, { firmware, bus, folder: copies }))]
  const start = Date.now()
  const machine = new Console(peer, 'taskset', ['-c', String(options.cpu), ...words])
  try {
    await machine.until(/typetwo login: /, MOST_SECONDS)
    return { cpu: machine.seconds, wall: (Date.now() - start) / 1000 }
  } finally {
    machine.kill()
    await machine.ended(60)
  }
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]

/** Boots in turns. @returns a line for a table: medians of both, and their ratios */
export async function compareBoots(firmware: InstallPlan['firmware'], options: CompareOptions): Promise<string> {
  const seen: Record<Peer, { cpu: number; wall: number }[]> = { typetwo: [], QEMU: [] }
  const copies = await mkdtemp(join(tmpdir(), 'typetwo-compare-'))
  try {
    for (let i = 0; i < options.times; i++)
      for (const peer of ['QEMU', 'typetwo'] as const) {
        const time = await bootOnce(peer, firmware, copies, options)
        const which = peer === 'typetwo' ? (i === 0 ? ' (without code of an earlier boot)' : ' (with it)') : ''
        options.say(`${peer}${which}: login after ${time.cpu.toFixed(1)} s of the processor, ${time.wall.toFixed(1)} s`)
        seen[peer].push(time)
      }
  } finally {
    await rm(copies, { recursive: true, force: true })
  }
  const column = (kind: 'cpu' | 'wall') => {
    const [own, other] = (['typetwo', 'QEMU'] as const).map(peer => median(seen[peer].map(time => time[kind])))
    return `${own.toFixed(1)} / ${other.toFixed(1)} = ${(own / other).toFixed(2)}`
  }
  return `| ${firmware}, ${options.bus} | ${column('cpu')} | ${column('wall')} |\n`
}
