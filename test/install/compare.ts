/** How long a boot from the disk takes, in typetwo and in QEMU's TCG: without anything that an earlier start has left, and with it. */
import { constants, copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Console } from './console.ts'
import type { InstallPlan } from './installer.ts'
import type { Say } from './packages.ts'
import { qemuWords } from './qemu.ts'

const TYPETWO = join(new URL('../..', import.meta.url).pathname, 'bin/typetwo')
const MOST_SECONDS = 1800
/** Where typetwo keeps what it leaves to its next start. */
const CACHE = 'cache'

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

/** Seconds of the processor and of the clock. */
interface BootTime {
  cpu: number
  wall: number
}

/**
 * Boots up to the login.
 * @param copies where the disk is put, the same for all boots: typetwo finds its code of the one before by the disk's name; that code is there, too
 */
async function bootOnce(
  peer: Peer,
  firmware: InstallPlan['firmware'],
  copies: string,
  options: CompareOptions,
): Promise<BootTime> {
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
  // A folder of this comparison's own: no other run's code is found, and none of it is lost.
  const environment = [`NODE_COMPILE_CACHE=${join(copies, CACHE)}`, 'taskset', '-c', String(options.cpu)]
  const machine = new Console(peer, 'env', [...environment, ...words])
  try {
    await machine.until(/typetwo login: /, MOST_SECONDS)
    return { cpu: machine.seconds, wall: (Date.now() - start) / 1000 }
  } finally {
    machine.kill()
    await machine.ended(60)
  }
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]

/**
 * Boots in turns: QEMU, typetwo with an empty folder for its code, and typetwo once more with the code that is kept. Before the first of
 * those one start more fills that folder, since V8's code is there from the third start on only.
 * @returns lines for a table: medians of typetwo and QEMU, and their ratios
 */
export async function compareBoots(firmware: InstallPlan['firmware'], options: CompareOptions): Promise<string> {
  const copies = await mkdtemp(join(tmpdir(), 'typetwo-compare-'))
  const cache = join(copies, CACHE)
  const kept = join(copies, 'kept')
  const seen: Record<'QEMU' | 'first' | 'later', BootTime[]> = { QEMU: [], first: [], later: [] }
  const boot = async (peer: Peer, what: string) => {
    const time = await bootOnce(peer, firmware, copies, options)
    options.say(`${what}: login after ${time.cpu.toFixed(1)} s of the processor, ${time.wall.toFixed(1)} s`)
    return time
  }
  try {
    for (let i = 0; i < options.times; i++) {
      seen.QEMU.push(await boot('QEMU', 'QEMU'))
      seen.first.push(await boot('typetwo', 'typetwo, first start'))
      if (i === 0) await boot('typetwo', 'typetwo, second start')
      else {
        await rm(cache, { recursive: true })
        await rename(kept, cache)
      }
      seen.later.push(await boot('typetwo', 'typetwo, later start'))
      await rename(cache, kept)
    }
  } finally {
    await rm(copies, { recursive: true, force: true })
  }
  const column = (times: BootTime[], kind: keyof BootTime) => {
    const [own, other] = [times, seen.QEMU].map(list => median(list.map(time => time[kind])))
    return `${own.toFixed(1)} / ${other.toFixed(1)} = ${(own / other).toFixed(2)}`
  }
  const line = (which: string, times: BootTime[]) =>
    `| ${firmware}, ${options.bus}, ${which} | ${column(times, 'cpu')} | ${column(times, 'wall')} |\n`
  return line('first start', seen.first) + line('with what earlier ones left', seen.later)
}
