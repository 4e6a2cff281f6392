/** Block devices and partitions of the host as disks, and what reaches the host's disk when: seen by strace. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openDisk } from '../../src/hosts/node/disks.ts'
import { withoutQemu } from './qemu.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-device-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const MiB = 2 ** 20

/** Runs a command. @returns its output, or undefined when it failed */
function run(command: string, ...words: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, words, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** A loop device with one partition of 8 MiB from 1 MiB on, or undefined where that may not be made. */
function loopDevice(): string | undefined {
  const image = join(folder, 'loop.img')
  const table = new Uint8Array(512)
  const view = new DataView(table.buffer)
  table[446 + 4] = 0x83
  view.setUint32(446 + 8, MiB / 512, true)
  view.setUint32(446 + 12, (8 * MiB) / 512, true)
  view.setUint16(510, 0xaa55, true)
  writeFileSync(image, table)
  truncateSync(image, 16 * MiB)
  const device = run('losetup', '-f', '--show', image)
  if (!device) return undefined
  // What `losetup -P` does needs help of udev's in some sandboxes.
  run('addpart', device, '1', String(MiB / 512), String((8 * MiB) / 512))
  after(() => {
    run('delpart', device, '1')
    run('losetup', '-d', device)
  })
  return device
}

const device = process.platform === 'linux' && process.getuid?.() === 0 ? loopDevice() : undefined
const skip = device === undefined ? 'only root has loop devices, and not everywhere' : false

/** Writes and reads a pattern through a disk at a path. */
async function exercise(path: string, size: number): Promise<void> {
  const disk = await openDisk(path)
  assert.equal(disk.size, size)
  await assert.rejects(openDisk(path), /is in use by another machine or program/)
  const bytes = new Uint8Array(65536).map((_, i) => i * 31)
  await disk.write(size - bytes.length, bytes)
  await disk.writeZeroes(0x200000, 65536)
  await disk.discard(0x300000, 65536)
  await disk.flush()
  await assert.rejects(disk.write(size, bytes.subarray(0, 512)), /within|beyond|outside|of range|end/)
  await disk.close()
  const again = await openDisk(path, { readOnly: true })
  const read = new Uint8Array(bytes.length)
  await again.read(size - read.length, read)
  assert.deepEqual(read, bytes)
  await assert.rejects(again.write(0, read), /read-only/)
  await again.close()
}

test('a block device is a disk, without a format being said', { skip }, () => exercise(device!, 16 * MiB))

test('a partition is a disk, and lies where the table says', { skip }, async t => {
  const partition = `${device}p1`
  // In a sandbox without udev nobody makes the node.
  const numbers = readNumbers(partition)
  if (!numbers) return t.skip('the kernel has not read the partition table')
  const path = join(folder, 'partition')
  if (run('mknod', path, 'b', ...numbers) === undefined) return t.skip('no device nodes can be made here')
  await exercise(path, 8 * MiB)
  const whole = await openDisk(device!, { readOnly: true })
  const bytes = new Uint8Array(512)
  await whole.read(9 * MiB - 65536, bytes)
  assert.equal(bytes[1], 31)
  await whole.close()
})

function readNumbers(partition: string): string[] | undefined {
  const name = partition.slice('/dev/'.length)
  try {
    return readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim().split(':')
  } catch {
    return undefined
  }
}

/** A program that writes to an image, says so, flushes and says so. */
const WRITER = `
const { openDisk } = await import(${JSON.stringify(new URL('../../src/hosts/node/disks.ts', import.meta.url).href)})
const disk = await openDisk(process.argv[1], { format: process.argv[2] })
const { writeSync } = await import('node:fs')
for (let i = 0; i < 3; i++) {
  const bytes = new Uint8Array(4096).fill(i + 1)
  if (!disk.immediate?.write(i * 0x100000, [bytes])) await disk.write(i * 0x100000, bytes)
  writeSync(2, 'MARK written\\n')
  await disk.flush()
  writeSync(2, 'MARK flushed\\n')
}
process.exit(0)
`

const noStrace = run('strace', '-V') === undefined ? 'there is no strace' : false
for (const format of ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd', 'vhdx'])
  test(`a flush of ${format} ends after the host's fdatasync of all that was written`, {
    skip: noStrace || withoutQemu,
  }, () => {
    const image = join(folder, `sync.${format}`)
    const name = format === 'vhd' ? 'vpc' : format
    assert.notEqual(run('qemu-img', 'create', '-f', name, image, '16M'), undefined)
    const trace = join(folder, `trace-${format}`)
    const node = [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      WRITER,
      image,
      format,
    ]
    const calls = 'trace=write,pwrite64,pwritev,pwritev2,fdatasync,fsync,ftruncate'
    const { status, stderr } = spawnSync('strace', ['-f', '-y', '-o', trace, '-e', calls, ...node], {
      encoding: 'utf8',
    })
    if (/ptrace|Operation not permitted/.test(stderr) && status !== 0) return
    assert.equal(status, 0, stderr)
    // What was written since the last sync of the file must be nothing when the flush has ended.
    let unsynced = 0
    let flushes = 0
    for (const line of readFileSync(trace, 'utf8').split('\n')) {
      if (line.includes('MARK flushed')) {
        flushes++
        assert.equal(unsynced, 0, `${unsynced} writes were not on the disk when flush ${flushes} ended`)
      } else if (!line.includes(image) && !/<\.\.\. f(data)?sync resumed>/.test(line)) continue
      else if (/ (pwrite\w*|write|ftruncate)\(/.test(line)) unsynced++
      // A sync counts when it has come back.
      else if (/f(data)?sync\(.*\) += 0|f(data)?sync resumed>.*= 0/.test(line)) unsynced = 0
    }
    assert.equal(flushes, 3)
    assert.match(readFileSync(trace, 'utf8'), /pwrite/)
  })
