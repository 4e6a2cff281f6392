import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import { type CreateImageOptions, createImage } from '../../src/disk/create.ts'
import type { Format } from '../../src/disk/format-names.ts'
import { writeStreamOptimized } from '../../src/disk/vmdk/create.ts'
import type { VmdkDisk } from '../../src/disk/vmdk/open.ts'
import { openFile } from '../../src/hosts/node/byte-file.ts'
import { nodeCompression } from '../../src/hosts/node/compression.ts'
import { openDisk } from '../../src/hosts/node/disks.ts'
import type { Disk } from '../../src/index.ts'
import { qemuCheck, qemuContent, qemuImg, qemuIo, scratch, withoutQemu } from './qemu.ts'
import { compareDisk, randomRequests } from './random.ts'

const { folder, remove } = scratch()
after(remove)
let count = 0
const newPath = (format: Format) => join(folder, `${count++}.${format}`)
const MiB = 2 ** 20
const QEMU_NAME: Partial<Record<Format, string>> = { vhd: 'vpc' }
const qemuName = (format: Format) => QEMU_NAME[format] ?? format

async function create(options: CreateImageOptions): Promise<string> {
  const path = newPath(options.format)
  const file = await openFile(path, { create: true })
  await createImage(file, options, name => openFile(join(folder, name), { create: true }), 1e12)
  await file.close()
  return path
}

function compare(path: string, format: Format, model: Uint8Array): void {
  if (format !== 'vhd') qemuCheck(path, qemuName(format))
  const content = qemuContent(path, qemuName(format), folder)
  assert.equal(content.length, model.length)
  assert.equal(Buffer.compare(content, model), 0, 'qemu-img reads the same')
}

const KINDS: [Format, string][] = [
  ['vmdk', 'monolithicSparse'],
  ['vmdk', 'monolithicFlat'],
  ['vmdk', 'twoGbMaxExtentSparse'],
  ['vmdk', 'twoGbMaxExtentFlat'],
  ['vdi', 'dynamic'],
  ['vdi', 'static'],
  ['vhd', 'dynamic'],
  ['vhd', 'fixed'],
  ['vhdx', 'dynamic'],
  ['vhdx', 'fixed'],
]

for (const [format, subformat] of KINDS) {
  test(`random requests: ${format}, ${subformat}`, { skip: withoutQemu }, async () => {
    const size = 20 * MiB + 512 * 6
    const path = await create({ format, size, subformat })
    const model = new Uint8Array(size)
    compare(path, format, model)
    for (let seed = 1; seed <= 3; seed++) {
      const disk = await openDisk(path)
      await randomRequests(disk, model, { requests: 300, seed })
      await compareDisk(disk, model)
      await disk.close()
      compare(path, format, model)
    }
    qemuIo(path, qemuName(format), 'write -P 0xaa 100k 300k', 'write -P 0xbb 19M 64k', 'write -z 5M 64k')
    model.fill(0xaa, 102400, 102400 + 307200)
    model.fill(0xbb, 19 * MiB, 19 * MiB + 65536)
    model.fill(0, 5 * MiB, 5 * MiB + 65536)
    const disk = await openDisk(path)
    await compareDisk(disk, model)
    await randomRequests(disk, model, { requests: 100, seed: 9 })
    await disk.close()
    compare(path, format, model)
  })

  test(`an image made by qemu-img: ${format}, ${subformat}`, { skip: withoutQemu }, async () => {
    const path = newPath(format)
    const kind = format === 'vdi' ? `static=${subformat === 'static' ? 'on' : 'off'}` : `subformat=${subformat}`
    qemuImg('create', '-q', '-f', qemuName(format), '-o', kind, path, '24M')
    const opened = await openDisk(path)
    const model = new Uint8Array(opened.size)
    await randomRequests(opened, model, { requests: 300, seed: 7 })
    await opened.close()
    compare(path, format, model)
  })
}

test('split vmdk images of several extents', { skip: withoutQemu }, async () => {
  for (const subformat of ['twoGbMaxExtentSparse', 'twoGbMaxExtentFlat']) {
    const path = await create({ format: 'vmdk', size: 5 * 2 ** 30, subformat })
    const disk = await openDisk(path)
    assert.equal((disk as VmdkDisk).parts.length, 3)
    const bytes = new Uint8Array(2 * MiB).fill(0x5a)
    const border = 4193280 * 512
    await disk.write(border - MiB, bytes)
    await disk.close()
    qemuCheck(path, 'vmdk')
    qemuIo(path, 'vmdk', `read -P 0x5a ${border - MiB} ${2 * MiB}`, `read -P 0 ${border + MiB} ${MiB}`)
  }
})

test('stream-optimized vmdk images', { skip: withoutQemu }, async () => {
  const size = 70 * MiB
  const model = new Uint8Array(size)
  for (let i = 0; i < 3 * MiB; i++) model[i] = (i * i) >> 11
  model.fill(3, 60 * MiB, 60 * MiB + 100)
  const raw = join(folder, 'stream.raw')
  writeFileSync(raw, model)
  const theirs = newPath('vmdk')
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized', raw, theirs)
  const disk = await openDisk(theirs, { readOnly: true })
  await compareDisk(disk, model)
  const ours = newPath('vmdk')
  const file = await openFile(ours, { create: true })
  await writeStreamOptimized(file, disk, nodeCompression)
  await file.close()
  await disk.close()
  compare(ours, 'vmdk', model)
  const again = await openDisk(ours, { readOnly: true })
  await compareDisk(again, model)
  await again.close()
  await assert.rejects(openDisk(ours), /stream-optimized, which is for transport: open it read-only, or convert it/)
})

for (const format of ['vhd', 'vmdk'] as const) {
  test(`differences: ${format}`, { skip: withoutQemu }, async () => {
    const size = 16 * MiB
    const base = await create({ format, size })
    const model = new Uint8Array(size)
    const below = await openDisk(base)
    await randomRequests(below, model, { requests: 200, seed: 3 })
    await below.close()
    const before = await openDisk(base, { readOnly: true })
    const cid = (before as Partial<VmdkDisk>).descriptor?.cid
    await before.close()
    const path = await create({ format, size, backing: { file: basename(base), format, cid } })
    for (let seed = 20; seed < 23; seed++) {
      const disk = await openDisk(path)
      await compareDisk(disk, model)
      await randomRequests(disk, model, { requests: 200, seed })
      await compareDisk(disk, model)
      await disk.close()
    }
    // qemu-img knows no parents of vhd images.
    if (format === 'vmdk') compare(path, format, model)
    const disk = await openDisk(path, { readOnly: true })
    await compareDisk(disk, model)
    await disk.close()
    if (format !== 'vmdk') return
    const changed = await openDisk(base)
    await changed.write(0, new Uint8Array(512))
    await changed.close()
    await assert.rejects(openDisk(path), /does not fit its parent '.*' any more/)
  })
}

test('a vhdx image that was not closed is completed by its log', { skip: withoutQemu }, async () => {
  const path = newPath('vhdx')
  qemuImg('create', '-q', '-f', 'vhdx', path, '64M')
  const { spawnSync } = await import('node:child_process')
  // qemu-io ends at once, with the log not yet emptied.
  spawnSync('qemu-io', ['-f', 'vhdx', '-c', 'write -P 0x77 3M 2M', '-c', 'write -P 0x78 40M 64k', '-c', 'abort', path])
  const model = new Uint8Array(64 * MiB)
  model.fill(0x77, 3 * MiB, 5 * MiB)
  model.fill(0x78, 40 * MiB, 40 * MiB + 65536)
  for (const readOnly of [true, false]) {
    const disk: Disk = await openDisk(path, { readOnly })
    await compareDisk(disk, model)
    await disk.close()
  }
  compare(path, 'vhdx', model)
})
