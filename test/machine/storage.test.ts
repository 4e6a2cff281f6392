/** Debian's kernel with disks and CDs on every bus: what it writes is in the files, what lies there is what it reads. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { MemoryDisk, terminalWords } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'
import { debianGuest, type GuestImages, Transcript } from './debian.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-storage-'))
after(() => rmSync(folder, { recursive: true }))
const guests = { amd64: await debianGuest('amd64'), i386: await debianGuest('i386') }
const skip = (arch: keyof typeof guests) => {
  const guest = guests[arch]
  return typeof guest === 'string' ? guest : false
}
const timeout = 900_000
const MiB = 2 ** 20
const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest('hex')

/** A file of random bytes, and zeros up to its size. */
function image(name: string, size: number, random: number): { path: string; bytes: Buffer } {
  const path = join(folder, name)
  const bytes = randomBytes(random)
  writeFileSync(path, bytes)
  truncateSync(path, size)
  return { path, bytes }
}

/**
 * Runs the default guest with a script.
 * @param during changes the machine while it runs; what it returns is the rest of the script
 * @returns what the guest wrote
 */
async function run(
  arch: keyof typeof guests,
  options: object,
  script: string,
  during?: (machine: Machine, seen: Transcript) => Promise<string>,
) {
  const { kernel, initrd, commandLine } = guests[arch] as GuestImages
  const machine = await Machine.create({
    kernel,
    initrd,
    commandLine: [commandLine, ...terminalWords({ typed: false })].join(' '),
    holdInput: true,
    ...options,
  })
  const transcript = new Transcript(machine.serial[0].readable)
  const writer = machine.serial[0].writable.getWriter()
  const write = (text: string) => writer.write(new TextEncoder().encode(`${text}\n`))
  await write(script)
  await machine.start()
  if (during) await write(await during(machine, transcript))
  await write('poweroff -f')
  const end = await machine.stopped
  assert.equal(end.reason, 'poweroff', end.message ?? end.reason)
  return transcript.text
}

const amd64 = { skip: skip('amd64'), timeout }
test('IDE, NVMe, virtio and a CD: sums of what is read, what is written, a file system', amd64, async () => {
  const buses = ['ide', 'nvme', 'virtio'] as const
  // Each has a size of its own, by which the guest's names are known.
  const disks = buses.map((bus, i) => ({ bus, ...image(`${bus}.img`, (24 + i) * MiB, 4 * MiB) }))
  const cd = image('cd.iso', 2 * MiB, 2 * MiB)
  const served = new MemoryDisk(16 * MiB)
  await served.write(0, disks[0].bytes)
  const names = ['sda', 'nvme0n1', 'vda']
  const script = [
    'cd /tmp',
    ...names.map(
      name =>
        `echo "read $(($(cat /sys/block/${name}/size) / 2048)) $(dd if=/dev/${name} bs=1M count=4 2>/dev/null | sha1sum)"`,
    ),
    'echo "read cd $(sha1sum </dev/sr0)"',
    'echo "read served $(dd if=/dev/vdb bs=1M count=4 2>/dev/null | sha1sum)"',
    ...names.map(
      name =>
        `dd if=/dev/urandom of=r bs=1M count=3 2>/dev/null; dd if=r of=/dev/${name} bs=64k seek=128 conv=fsync 2>/dev/null; echo "wrote $(($(cat /sys/block/${name}/size) / 2048)) $(sha1sum <r)"`,
    ),
    'dd if=/dev/vda of=/dev/vdb bs=1M skip=1 seek=8 count=1 conv=fsync 2>/dev/null',
    'blkdiscard /dev/vda -o 0 -l 1048576 2>/dev/null; echo discarded',
    'cat /sys/block/vda/queue/write_cache; mke2fs -F /dev/vda >/dev/null 2>&1 || mkfs.vfat /dev/vda',
    'mount /dev/vda /mnt && echo content >/mnt/file && umount /mnt && mount /dev/vda /mnt && echo "file has $(cat /mnt/file)"; umount /mnt',
  ].join('\n')
  const text = await run(
    'amd64',
    {
      disks: [...disks.map(({ bus, path }) => ({ bus, image: path, format: 'raw' })), { image: served, bus: 'virtio' }],
      cdroms: [{ image: cd.path }],
    },
    script,
  )
  for (const [i, { bytes }] of disks.entries()) assert.match(text, new RegExp(`read ${24 + i} ${sha1(bytes)}`))
  assert.match(text, new RegExp(`read cd ${sha1(cd.bytes)}`))
  assert.match(text, new RegExp(`read served ${sha1(disks[0].bytes)}`))
  for (const [i, { path, bus }] of disks.entries()) {
    const written = readFileSync(path).subarray(8 * MiB, 11 * MiB)
    // There the file system came afterwards.
    if (bus !== 'virtio') assert.match(text, new RegExp(`wrote ${24 + i} ${sha1(written)}`))
  }
  assert.match(text, /file has content/)
  const there = new Uint8Array(MiB)
  await served.read(8 * MiB, there)
  assert.equal(sha1(there), sha1(disks[2].bytes.subarray(MiB, 2 * MiB)))
})

const i386 = { skip: skip('i386'), timeout }
test('SATA disk and CD, a floppy: sums of what is read and written; a medium is changed', i386, async () => {
  const disk = image('sata.img', 24 * MiB, 4 * MiB)
  const [first, second] = [image('first.iso', MiB, MiB), image('second.iso', MiB, MiB)]
  const floppy = image('floppy.img', 1474560, 1474560)
  const script = [
    'cd /tmp; modprobe floppy',
    'echo "floppy $(dd if=/dev/fd0 bs=18k count=4 2>/dev/null | sha1sum)"',
    'dd if=/dev/fd0 of=/dev/fd0 bs=512 count=20 seek=300 conv=fsync 2>/dev/null',
    'echo "read $(dd if=/dev/sda bs=1M count=4 2>/dev/null | sha1sum)"',
    'echo "first $(sha1sum </dev/sr0)"',
    'dd if=/dev/urandom of=r bs=1M count=3 2>/dev/null; dd if=r of=/dev/sda bs=1M seek=8 conv=fsync 2>/dev/null; echo "wrote $(sha1sum <r)"',
    'eject /dev/sr0; echo "ejec""ted"',
  ].join('\n')
  const options = { disks: [{ image: disk.path, bus: 'sata' }], cdroms: [{ image: first.path, bus: 'sata' }] }
  const floppies = [{ image: floppy.path }]
  const text = await run('i386', { ...options, floppies }, script, async (machine, seen) => {
    await seen.until('ejected')
    const drive = machine.drives.find(({ kind }) => kind === 'cdrom')!
    await assert.rejects(drive.insert('/nowhere.iso'), /nowhere.iso.*does not exist/)
    // The guest lets go of the tray when the last program has closed the device, which may be behind `eject`.
    await drive.insert(second.path, { wait: 120_000 })
    // Only now: whoever opens the device while the tray is out has the drive load the first medium again.
    return 'until dd if=/dev/sr0 of=/dev/null bs=2k count=1 2>/dev/null; do sleep 0.1; done; echo "second $(sha1sum </dev/sr0)"'
  })
  assert.match(text, new RegExp(`read ${sha1(disk.bytes)}`))
  assert.match(text, new RegExp(`floppy ${sha1(floppy.bytes.subarray(0, 73728))}`))
  assert.equal(sha1(readFileSync(floppy.path).subarray(153600, 163840)), sha1(floppy.bytes.subarray(0, 10240)))
  assert.match(text, new RegExp(`first ${sha1(first.bytes)}`))
  assert.match(text, new RegExp(`second ${sha1(second.bytes)}`))
  assert.match(text, new RegExp(`wrote ${sha1(readFileSync(disk.path).subarray(8 * MiB, 11 * MiB))}`))
})

test('by counted time a machine with disks does the same twice', amd64, async () => {
  const { path } = image('counted.img', 8 * MiB, MiB)
  const start = readFileSync(path)
  const outcomes: string[] = []
  for (let i = 0; i < 2; i++) {
    writeFileSync(path, start)
    const script =
      'dd if=/dev/vda of=/dev/vda bs=64k seek=16 count=16 conv=fsync 2>/dev/null; dd if=/dev/vda bs=4k skip=256 | sha1sum; cat /proc/interrupts /proc/diskstats | sha1sum; date +%N'
    const text = await run('amd64', { disks: [{ image: path, bus: 'virtio' }], clock: 'instructions' }, script)
    outcomes.push(text + sha1(readFileSync(path)))
  }
  assert.equal(outcomes[0], outcomes[1])
})
