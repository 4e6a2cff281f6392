/** Images with one field that lies, each by name: every one is refused with a sentence, before anything is allocated or written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createImage } from '../../src/disk/create.ts'
import { MemoryFile, MemoryFolder } from '../../src/disk/memory.ts'
import { openImage } from '../../src/disk/open.ts'
import { nodeCompression } from '../../src/hosts/node/compression.ts'
import { DiskError } from '../../src/index.ts'
import type { Kind } from './malformed.ts'

const SIZE = 8 * 2 ** 20
const TOO_LARGE = 2n ** 63n

/** What is written where: a number of 4 bytes, a bigint of 8, or text. */
type Lie = readonly [at: number, value: number | bigint | string]

/** Field offsets: the qcow2 specification; VDI as VirtualBox has it; the VHD specification, dynamic disk header at 512. */
const CASES: readonly [what: string, kind: Kind, bigEndian: boolean, ...lies: Lie[]][] = [
  ['qcow2: zero cluster bits', { format: 'qcow2' }, true, [20, 0]],
  ['qcow2: 63 cluster bits', { format: 'qcow2' }, true, [20, 63]],
  ['qcow2: a size of almost 2^64', { format: 'qcow2' }, true, [24, 2n ** 64n - 512n]],
  ['qcow2: a size of 2^63', { format: 'qcow2' }, true, [24, TOO_LARGE]],
  ['qcow2: an L1 table of 2^32 - 1 entries', { format: 'qcow2' }, true, [36, 0xffffffff]],
  ['qcow2: an L1 table that is too short', { format: 'qcow2' }, true, [24, 2n ** 40n], [36, 1]],
  ['qcow2: an L1 table at 2^63', { format: 'qcow2' }, true, [40, TOO_LARGE]],
  ['qcow2: an L1 table in the middle of a sector', { format: 'qcow2' }, true, [40, 3n]],
  ['qcow2: a refcount table behind the end', { format: 'qcow2' }, true, [48, 2n ** 50n]],
  ['qcow2: a refcount table of 2^32 - 1 clusters', { format: 'qcow2' }, true, [56, 0xffffffff]],
  ['qcow2: 2^32 - 1 snapshots', { format: 'qcow2' }, true, [60, 0xffffffff]],
  ['qcow2: a backing name of 2^31 bytes', { format: 'qcow2' }, true, [8, 512n], [16, 2 ** 31]],
  ['qcow2: an unknown incompatible feature', { format: 'qcow2' }, true, [72, 2n ** 40n]],
  ['qcow2: refcounts of 2^32 bits', { format: 'qcow2' }, true, [96, 32]],
  ['qcow2: a header of 2^32 - 8 bytes', { format: 'qcow2' }, true, [100, 0xfffffff8]],
  ['vdi: blocks of no bytes', { format: 'vdi' }, false, [0x178, 0]],
  ['vdi: blocks of 3 bytes', { format: 'vdi' }, false, [0x178, 3]],
  ['vdi: 2^32 - 1 blocks', { format: 'vdi' }, false, [0x180, 0xffffffff]],
  ['vdi: a size of 2^63', { format: 'vdi' }, false, [0x170, TOO_LARGE]],
  ['vdi: a table behind the end', { format: 'vdi' }, false, [0x154, 0xfffffe00]],
  ['vmdk: grains of no sectors', { format: 'vmdk' }, false, [20, 0n]],
  ['vmdk: grains of 2^63 sectors', { format: 'vmdk' }, false, [20, TOO_LARGE]],
  ['vmdk: a capacity of 2^63 sectors', { format: 'vmdk' }, false, [12, TOO_LARGE]],
  ['vmdk: tables of no entries', { format: 'vmdk' }, false, [44, 0]],
  ['vmdk: tables of 2^32 - 1 entries', { format: 'vmdk' }, false, [44, 0xffffffff]],
  ['vmdk: a grain directory at 2^62', { format: 'vmdk' }, false, [56, 2n ** 62n], [48, 2n ** 62n]],
  ['vmdk: a descriptor of 2^55 sectors', { format: 'vmdk' }, false, [36, 2n ** 55n]],
]

/** Makes an image and lets it lie. */
async function lying(kind: Kind, bigEndian: boolean, lies: readonly Lie[]): Promise<MemoryFolder> {
  const folder = new MemoryFolder()
  const part = (name: string) => folder.open('', name, { create: true })
  const file = (await part(`image.${kind.format}`)) as MemoryFile
  await createImage(file, { ...kind, size: SIZE }, part, 0)
  for (const [at, value] of lies) {
    const bytes = new Uint8Array(typeof value === 'bigint' ? 8 : 4)
    const view = new DataView(bytes.buffer)
    if (typeof value === 'string') await file.write(at, new TextEncoder().encode(value))
    else if (typeof value === 'bigint') view.setBigUint64(0, value, !bigEndian)
    else view.setUint32(0, value, !bigEndian)
    if (typeof value !== 'string') await file.write(at, bytes)
  }
  return folder
}

/** Opens an image, and reads all that there is. */
async function readAll(folder: MemoryFolder, format: Kind['format']): Promise<void> {
  const [file] = folder.files.values()
  const disk = await openImage(
    new MemoryFile(file.name, { of: file }),
    { folder, compression: nodeCompression },
    { format },
  )
  try {
    const buffer = new Uint8Array(65536)
    assert.ok(disk.size <= 2 ** 53)
    for (let at = 0; at < Math.min(disk.size, SIZE); at += buffer.length) await disk.read(at, buffer)
  } finally {
    await disk.close()
  }
}

for (const [what, kind, bigEndian, ...lies] of CASES)
  test(what, async () => {
    const folder = await lying(kind, bigEndian, lies)
    const before = process.memoryUsage().arrayBuffers
    await assert.rejects(readAll(folder, kind.format), (error: Error) => {
      assert.ok(error instanceof DiskError, `${error.stack}`)
      assert.match(error.message, /^\w+ image '[^\n]+' [^\n]{10,300}$/)
      return true
    })
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 2 ** 20)
  })

test('a vmdk descriptor whose extents lie outside of its folder, or are devices', async () => {
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs')
  const { join } = await import('node:path')
  const { tmpdir } = await import('node:os')
  const { openDisk } = await import('../../src/hosts/node/disks.ts')
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-vmdk-'))
  try {
    for (const name of ['../../../../etc/passwd', '/etc/passwd', '..\\\\..\\\\x', '/dev/zero']) {
      const path = join(folder, 'out.vmdk')
      const lines = [
        '# Disk DescriptorFile',
        'version=1',
        'CID=fffffffe',
        'parentCID=ffffffff',
        'createType="monolithicFlat"',
      ]
      writeFileSync(path, [...lines, `RW 2048 FLAT "${name}" 0`, ''].join('\n'))
      await assert.rejects(openDisk(path, { format: 'vmdk' }), (error: Error) => {
        assert.ok(error instanceof DiskError, `${error.stack}`)
        assert.match(error.message, /outside of the image's folder|cannot be opened|does not exist/)
        return true
      })
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
