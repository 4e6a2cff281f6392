/**
 * Kills whole machines whose guests write to a disk, at random instants: what the guest flushed must be in the image, and others must
 * find nothing wrong with it before typetwo has looked at it again.
 *
 * The guest is Debian's kernel, at a bus after the other, with `guest/writer.c`: three processes whose requests follow from a
 * seed, so that they are known here too. They tell only which of them were flushed.
 */
import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { createImage } from '../../src/disk/create.ts'
import { openFile } from '../../src/hosts/node/byte-file.ts'
import { openDisk } from '../../src/hosts/node/disks.ts'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { debianGuest } from '../machine/debian.ts'
import type { KillOptions } from './kill.ts'
import { qemuCheck } from './qemu.ts'
import { randomNumbers } from './random.ts'

const WRITERS = 3
const SECTOR = 512
const SIZE = 48 * 2 ** 20
const SECTORS = SIZE / SECTOR / WRITERS
/** Requests that a writer may have made after those that it has told of. */
const UNTOLD = 300
/** Milliseconds that a guest may take to its first flush. */
const PATIENCE = 900_000
const CLI = new URL('../../src/cli/main.ts', import.meta.url).pathname
/** The buses that the guest has drivers for, and what it calls the disk there. */
const DEVICES = { ide: 'sda', nvme: 'nvme0n1', virtio: 'vda' } as const
type Bus = keyof typeof DEVICES
const BUSES = Object.keys(DEVICES) as Bus[]

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
load-modules
read -r words </proc/cmdline
for word in $words; do case $word in writer.*=*) eval "\${word#writer.}" ;; esac; done
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/$device ] && break; sleep 0.2; done
/writer /dev/$device $seed >/dev/ttyS0
poweroff -f
`

/** The guest's images, with the writer. @throws Error with a sentence where it cannot be made here */
async function makeGuest(folder: string): Promise<{ kernel: string; initrd: string }> {
  const guest = await debianGuest('amd64')
  if (typeof guest === 'string') throw new Error(guest)
  const writer = join(folder, 'writer')
  const source = new URL('./guest/writer.c', import.meta.url).pathname
  const { status, stderr } = spawnSync('gcc', ['-O2', '-static', '-o', writer, source], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`gcc, which makes the guest's writer, is missing or failed: ${stderr}`)
  const additions = writeCpio([
    { kind: 'file', path: 'kill-init', content: new TextEncoder().encode(INIT), mode: 0o755 },
    { kind: 'file', path: 'writer', content: readFileSync(writer), mode: 0o755 },
  ])
  const [kernel, initrd] = [join(folder, 'vmlinuz'), join(folder, 'initrd')]
  writeFileSync(kernel, guest.kernel)
  writeFileSync(initrd, Buffer.concat([guest.initrd, additions]))
  return { kernel, initrd }
}

interface Request {
  kind: 'write' | 'zero' | 'discard'
  at: number
  length: number
  count: number
}

/** The requests of one of the guest's writers; the same as in writer.c. */
function* requestsOf(seed: number, number: number): Generator<Request, never> {
  let state = (seed * 4 + number + 1) >>> 0
  const next = (limit: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
  for (let count = 1; ; count++) {
    const kind = next(20)
    const most = next(8) === 0 ? 256 : 24
    const length = 1 + next(most)
    const at = number * SECTORS + next(SECTORS - length)
    next(8)
    yield { kind: kind < 16 ? 'write' : kind < 18 ? 'zero' : 'discard', at, length, count }
  }
}

/** What a sector says, as one number. */
const contentOf = (seed: number, count: number) => seed * 2 ** 32 + count

/** Instants at which one machine is looked at, the last of them its end: a boot takes longer than everything else. */
const INSTANTS = 34

/**
 * Kills machines, and stops others: a process that is stopped has left its files as one that is killed, since both end between two
 * system calls. So most instants are copies of the image of a machine that goes on, and every {@link INSTANTS}th is a kill.
 * @param report hears of each instant
 */
export async function killGuests(options: KillOptions, report: (text: string) => void = () => {}): Promise<void> {
  const { path, format, subformat, version, rounds, seed } = options
  const guest = await makeGuest(dirname(path))
  rmSync(path, { force: true })
  const file = await openFile(path, { create: true })
  const extent = (name: string) => openFile(join(dirname(path), name), { create: true })
  await createImage(file, { format, size: SIZE, subformat, version }, extent, 0)
  await file.close()
  const random = randomNumbers(seed)
  const copy = join(dirname(path), `copy-${basename(path)}`)
  /** What each sector holds. */
  let content: Float64Array = new Float64Array(SIZE / SECTOR)
  for (let done = 0, machine = 0; done < rounds; machine++) {
    const bus = BUSES[machine % BUSES.length]
    const run = new GuestRun({ ...guest, path, format, bus, seed: 1 + Math.floor(random() * 2 ** 20) })
    try {
      if (!(await run.begun())) {
        report(`${format} ${done + 1}, ${bus}: the guest did not get as far as writing; another is tried`)
        continue
      }
      for (let i = 0; i < INSTANTS && done < rounds; i++, done++) {
        await run.goOn(random() * 400)
        const kill = i === INSTANTS - 1 || done === rounds - 1
        if (kill) await run.kill()
        else {
          await run.stop()
          copySparse(path, copy)
        }
        const image = kill ? path : copy
        const flushed = run.flushed()
        if (!kill) run.signal('SIGCONT')
        if (format !== 'raw' && format !== 'vhd' && version !== 2) qemuCheck(image, format)
        const found = await verify(image, format, contentsAllowed(content, run.seed, flushed))
        if (kill) content = found
        const how = kill ? 'killed' : 'stopped'
        report(`${format} ${done + 1}, ${bus}: ${how} after ${flushed.join(' + ')} flushed requests; all there`)
      }
    } finally {
      run.signal('SIGKILL')
    }
  }
}

function copySparse(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['--sparse=always', from, to], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

/** What each sector may hold after so many requests of each writer were flushed. */
function contentsAllowed(before: Float64Array, seed: number, flushed: readonly number[]): Set<number>[] {
  const allowed = Array.from(before, value => new Set([value]))
  for (const [number, told] of flushed.entries())
    for (const { kind, at, length, count } of requestsOf(seed, number)) {
      if (count > told + UNTOLD) break
      for (let sector = at; sector < at + length; sector++) {
        const values = allowed[sector]
        // A discarded sector is as it was, or zeros.
        if (count <= told && kind !== 'discard') values.clear()
        values.add(kind === 'write' ? contentOf(seed, count) : 0)
      }
    }
  return allowed
}

/** A machine whose guest writes. */
class GuestRun {
  readonly seed: number
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #over: Promise<unknown>
  #text = ''
  #errors = ''
  readonly #began = Promise.withResolvers<void>()

  constructor(guest: { kernel: string; initrd: string; path: string; format: string; bus: Bus; seed: number }) {
    const { kernel, initrd, path, format, bus, seed } = guest
    this.seed = seed
    const append = `console=ttyS0 quiet mitigations=off rdinit=/kill-init writer.device=${DEVICES[bus]} writer.seed=${seed}`
    const words = ['run', '--memory', '128M', '--kernel', kernel, '--initrd', initrd, '--append', append]
    const disk = ['--disk', `${path},bus=${bus},format=${format}`]
    this.#child = spawn(process.execPath, [CLI, ...words, ...disk], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stdout.on('data', bytes => {
      this.#text += bytes
      if (/^F \d/m.test(this.#text)) this.#began.resolve()
    })
    this.#child.stderr.on('data', bytes => (this.#errors += bytes))
    this.#over = once(this.#child, 'close')
  }

  #assertRuns(): void {
    const { exitCode, signalCode } = this.#child
    const last = `${this.#text.slice(-500)}${this.#errors.slice(-500)}`
    assert.ok(exitCode === null && signalCode === null, `the guest writes until it is killed: ${last}`)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Waits until the guest has flushed for the first time. @returns false when it has not, on a host that is too busy, and will not */
  async begun(): Promise<boolean> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.signal('SIGKILL')
    }, PATIENCE)
    await Promise.race([this.#began.promise, this.#over])
    clearTimeout(timer)
    if (!late) this.#assertRuns()
    else await this.#over
    return !late
  }

  async goOn(milliseconds: number): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, milliseconds))
    this.#assertRuns()
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#over
  }

  /** Stops all threads; what was said until then has arrived. */
  async stop(): Promise<void> {
    this.signal('SIGSTOP')
    const tasks = `/proc/${this.#child.pid}/task`
    const state = (task: string) => readFileSync(join(tasks, task, 'stat'), 'latin1').replace(/.*\) /s, '')[0]
    while (readdirSync(tasks).some(task => state(task) !== 'T')) await new Promise(resolve => setTimeout(resolve, 5))
    await new Promise(resolve => setTimeout(resolve, 50))
  }

  /** How many requests of each writer were flushed, as far as it was told. */
  flushed(): number[] {
    const flushed = new Array<number>(WRITERS).fill(0)
    for (const [, number, count] of this.#text.matchAll(/^F (\d) (\d+)\r?\n/gm)) flushed[Number(number)] = Number(count)
    return flushed
  }
}

/** Compares each sector with what it may hold. @returns what it holds */
async function verify(path: string, format: string, allowed: readonly Set<number>[]): Promise<Float64Array> {
  const disk = await openDisk(path, { format: format as KillOptions['format'], readOnly: true })
  const found = new Float64Array(allowed.length)
  const bytes = new Uint8Array(2 ** 20)
  const view = new DataView(bytes.buffer)
  for (let offset = 0; offset < SIZE; offset += bytes.length) {
    await disk.read(offset, bytes)
    for (let at = 0; at < bytes.length; at += SECTOR) {
      const read = (from: number) => contentOf(view.getUint32(from, true), view.getUint32(from + 4, true))
      const value = read(at)
      const sector = (offset + at) / SECTOR
      assert.equal(value, read(at + SECTOR - 8), `sector ${sector} is whole`)
      assert.ok(allowed[sector].has(value), `sector ${sector} is ${value}, not one of ${[...allowed[sector]]}`)
      found[sector] = value
    }
  }
  await disk.close()
  return found
}
