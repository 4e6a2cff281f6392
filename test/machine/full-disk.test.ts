/** A host without room: the machine waits for it, or the guest hears of an error, as it was asked for. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Disk, DiskError, MemoryDisk, terminalWords } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'
import { debianGuest, type GuestImages, Transcript } from './debian.ts'

const guest = await debianGuest('amd64')
const options = { skip: typeof guest === 'string' ? guest : false, timeout: 900_000 }
const MiB = 2 ** 20

/** Starts the default guest with a script. */
async function start(disks: object[], script: string) {
  const { kernel, initrd, commandLine } = guest as GuestImages
  const machine = await Machine.create({
    kernel,
    initrd,
    commandLine: [commandLine, ...terminalWords({ typed: false })].join(' '),
    holdInput: true,
    disks,
  } as Parameters<typeof Machine.create>[0])
  const transcript = new Transcript(machine.serial[0].readable)
  const writer = machine.serial[0].writable.getWriter()
  await writer.write(new TextEncoder().encode(`${script}\npoweroff -f\n`))
  return { machine, transcript }
}

/** What an event of a machine says. */
const event = (machine: Machine, name: string) =>
  new Promise<string>(resolve => machine.addEventListener(name, e => resolve(String((e as CustomEvent).detail))))

const write = (device: string) =>
  `dd if=/dev/urandom of=/tmp/r bs=1M count=6 2>/dev/null; dd if=/tmp/r of=/dev/${device} bs=64k conv=fsync 2>/dev/null; echo "${device} status $?"
   echo 3 >/proc/sys/vm/drop_caches; a=$(sha1sum </tmp/r); b=$(dd if=/dev/${device} bs=1M count=6 2>/dev/null | sha1sum); [ "$a" = "$b" ] && echo "${device} same" || echo "${device} other"`

/** A disk that has room for so many writes until it is told that there is more. */
function smallDisk(writes: number) {
  const disk = new MemoryDisk(16 * MiB)
  const room = { writes }
  const small: Disk = {
    name: 'small',
    size: disk.size,
    sectorSize: 512,
    readOnly: false,
    read: (offset, buffer) => disk.read(offset, buffer),
    async write(offset, buffer) {
      if (room.writes-- <= 0) throw new DiskError('no-space', "disk 'small' is full")
      await disk.write(offset, buffer)
    },
    writeZeroes: (offset, length) => disk.writeZeroes(offset, length),
    discard: (offset, length) => disk.discard(offset, length),
    flush: async () => {},
    close: async () => {},
  }
  return { small, room }
}

test(
  'while a disk is full the machine is paused, and nothing is lost; with werror=report the guest hears of it',
  options,
  async () => {
    const [patient, reporting] = [smallDisk(1), smallDisk(1)]
    const disks = [
      { image: patient.small, bus: 'virtio' },
      { image: reporting.small, bus: 'nvme', werror: 'report' },
    ]
    const { machine, transcript } = await start(disks, `cd /tmp\n${write('nvme0n1')}\n${write('vda')}`)
    const [full, room] = [event(machine, 'diskfull'), event(machine, 'diskroom')]
    await machine.start()
    assert.match(await full, /^disk 'small' is full$/)
    assert.equal(machine.state, 'paused')
    const { instructions } = await machine.stats()
    await new Promise(resolve => setTimeout(resolve, 200))
    assert.equal((await machine.stats()).instructions, instructions)
    patient.room.writes = Number.POSITIVE_INFINITY
    await room
    const end = await machine.stopped
    assert.equal(end.reason, 'poweroff')
    assert.match(transcript.text, /nvme0n1 status 1/)
    assert.match(transcript.text, /nvme0n1 other/)
    assert.match(transcript.text, /vda status 0/)
    assert.match(transcript.text, /vda same/)
  },
)

/** A file system in memory of 12 MiB, or why there is none. */
function smallFileSystem(): { folder: string } | string {
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-small-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12M', 'tmpfs', folder])
  after(() => {
    if (status === 0) spawnSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  })
  return status === 0 ? { folder } : 'only root may mount a small file system'
}

const small = process.platform === 'linux' ? smallFileSystem() : 'there is no tmpfs'
const real = { ...options, skip: options.skip || (typeof small === 'string' ? small : false) }
for (const [bus, device] of [
  ['virtio', 'vda'],
  ['ide', 'sda'],
] as const)
  test(`a file system of the host without room, ${bus}`, real, async () => {
    const { folder } = small as { folder: string }
    const [image, filler] = [join(folder, 'd.img'), join(folder, 'filler')]
    writeFileSync(image, '')
    truncateSync(image, 16 * MiB)
    writeFileSync(filler, new Uint8Array(9 * MiB))
    const { machine, transcript } = await start([{ image, bus, format: 'raw' }], `cd /tmp\n${write(device)}`)
    const full = event(machine, 'diskfull')
    await machine.start()
    assert.match(await full, /d\.img' cannot be written: .*(full|space)/)
    rmSync(filler)
    await event(machine, 'diskroom')
    const end = await machine.stopped
    assert.equal(end.reason, 'poweroff')
    assert.match(transcript.text, new RegExp(`${device} status 0`))
    assert.match(transcript.text, new RegExp(`${device} same`))
    assert.ok(statSync(image).blocks * 512 >= 6 * MiB)
    rmSync(image)
  })
