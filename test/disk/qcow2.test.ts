import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { checkQcow2 } from '../../src/disk/qcow2/check.ts'
import { type CreateQcow2Options, createQcow2 } from '../../src/disk/qcow2/create.ts'
import type { Qcow2Disk } from '../../src/disk/qcow2/disk.ts'
import {
  applyQcow2Snapshot,
  createQcow2Snapshot,
  deleteQcow2Snapshot,
  hideBacking,
  listQcow2Snapshots,
  resizeQcow2,
} from '../../src/disk/qcow2/operations.ts'
import { openFile } from '../../src/hosts/node/byte-file.ts'
import { openDisk } from '../../src/hosts/node/disks.ts'
import { qemuCheck, qemuContent, qemuImg, qemuIo, scratch, withoutQemu } from './qemu.ts'
import { compareDisk, randomRequests } from './random.ts'

const { folder, remove } = scratch()
after(remove)
let count = 0
const newPath = () => join(folder, `${count++}.qcow2`)
const MiB = 2 ** 20

async function create(options: CreateQcow2Options): Promise<string> {
  const path = newPath()
  const file = await openFile(path, { create: true })
  await createQcow2(file, options)
  await file.close()
  return path
}

const KINDS: [string, Partial<CreateQcow2Options>][] = [
  ['version 3', {}],
  ['version 2', { version: 2 }],
  ['clusters of 512 bytes', { clusterSize: 512 }],
  ['clusters of 4 KiB, refcounts of 1 bit', { clusterSize: 4096, refcountBits: 1 }],
  ['refcounts of 4 bits', { refcountBits: 4 }],
  ['clusters of 2 MiB, refcounts of 64 bits', { clusterSize: 2 * MiB, refcountBits: 64 }],
  ['lazy refcounts, refcounts of 32 bits', { lazyRefcounts: true, refcountBits: 32 }],
  ['extended L2', { extendedL2: true }],
  ['extended L2, clusters of 16 KiB', { extendedL2: true, clusterSize: 16384 }],
]

for (const [name, options] of KINDS) {
  test(`random requests: ${name}`, { skip: withoutQemu }, async () => {
    // A size that is no multiple of the cluster's.
    const size = 24 * MiB + 512 * 5
    const path = await create({ size, ...options })
    qemuCheck(path, 'qcow2')
    const model = new Uint8Array(size)
    for (let seed = 1; seed <= 3; seed++) {
      const disk = await openDisk(path)
      await randomRequests(disk, model, { requests: 300, seed })
      await compareDisk(disk, model)
      await disk.close()
      qemuCheck(path, 'qcow2')
      assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0, 'qemu-img reads the same')
    }
    const report = await check(path)
    assert.deepEqual([report.errors, report.leaks], [0, 0])
    // QEMU goes on with what we wrote, and we with what it wrote.
    qemuIo(path, 'qcow2', 'write -P 0xaa 100k 300k', 'discard 1M 2M', 'write -z 5M 64k')
    model.fill(0xaa, 102400, 102400 + 307200)
    model.fill(0, 5 * MiB, 5 * MiB + 65536)
    const theirs = qemuContent(path, 'qcow2', folder)
    model.set(theirs.subarray(MiB, 3 * MiB), MiB)
    const disk = await openDisk(path)
    await compareDisk(disk, model)
    await disk.discard(0, Math.floor(size / 512) * 512)
    await disk.close()
    qemuCheck(path, 'qcow2')
    const least = 3 * MiB + 4 * (options.clusterSize ?? 65536)
    // Between clusters smaller than that lie tables.
    if (canPunch() && (options.clusterSize ?? 65536) > 8192)
      assert.ok(statSync(path).blocks * 512 < least, `${statSync(path).blocks} blocks after all is discarded`)
  })
}

/** Whether this host gives space back in the middle of files. */
function canPunch(): boolean {
  const path = join(folder, 'punched')
  writeFileSync(path, new Uint8Array(MiB))
  return spawnSync('fallocate', ['--punch-hole', '--length', `${MiB}`, path]).status === 0
}

async function check(path: string, repair = false) {
  const disk = (await openDisk(path, { readOnly: !repair, isForRepair: repair, isAlone: true })) as Qcow2Disk
  const report = await checkQcow2(disk, repair ? 'all' : 'none')
  await disk.close()
  return report
}

test('an image made by qemu-img, of each cluster size', { skip: withoutQemu }, async () => {
  for (const clusterSize of [512, 65536, 2 * MiB]) {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, '10M')
    const model = new Uint8Array(10 * MiB)
    const disk = await openDisk(path)
    await randomRequests(disk, model, { requests: 200, seed: clusterSize })
    await disk.close()
    qemuCheck(path, 'qcow2')
    assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
  }
})

for (const type of ['zlib', 'zstd']) {
  test(`compressed clusters: ${type}`, { skip: withoutQemu }, async () => {
    const [raw, path] = [join(folder, `${type}.raw`), newPath()]
    const model = new Uint8Array(8 * MiB)
    for (let i = 0; i < 5 * MiB; i++) model[i] = (i * i) >> 12
    writeFileSync(raw, model)
    qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', `compression_type=${type}`, raw, path)
    const disk = await openDisk(path)
    await compareDisk(disk, model)
    await randomRequests(disk, model, { requests: 200, seed: 5 })
    await disk.close()
    qemuCheck(path, 'qcow2')
    assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
    const ours = await create({ size: model.length, compressionType: type as 'zlib' | 'zstd' })
    const packed = (await openDisk(ours)) as Qcow2Disk
    for (let i = 0; i < model.length / 65536; i++) await packed.writePacked(i, model.slice(i * 65536, (i + 1) * 65536))
    await randomRequests(packed, model, { requests: 100, seed: 6 })
    await packed.close()
    qemuCheck(ours, 'qcow2')
    assert.equal(Buffer.compare(qemuContent(ours, 'qcow2', folder), model), 0)
  })
}

for (const options of [{}, { version: 2 as const }, { extendedL2: true }]) {
  test(`backing files: ${JSON.stringify(options)}`, { skip: withoutQemu }, async () => {
    const base = await create({ size: 8 * MiB })
    const model = new Uint8Array(12 * MiB)
    const below = await openDisk(base)
    await randomRequests(below, model.subarray(0, 8 * MiB), { requests: 100, seed: 9 })
    await below.close()
    const before = qemuContent(base, 'qcow2', folder)
    const path = await create({ size: 12 * MiB, backingFile: `${count - 1}.qcow2`, backingFormat: 'qcow2', ...options })
    const disk = await openDisk(path)
    await compareDisk(disk, model)
    await randomRequests(disk, model, { requests: 300, seed: 10 })
    await compareDisk(disk, model)
    await disk.close()
    qemuCheck(path, 'qcow2')
    assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
    assert.equal(Buffer.compare(qemuContent(base, 'qcow2', folder), before), 0, 'the backing file is as it was')
  })
}

for (const options of [{}, { extendedL2: true }, { refcountBits: 8, clusterSize: 4096 }, { version: 2 as const }]) {
  test(`internal snapshots: ${JSON.stringify(options)}`, { skip: withoutQemu }, async () => {
    const size = 8 * MiB
    const path = await create({ size, ...options })
    const model = new Uint8Array(size)
    const states: Uint8Array[] = []
    const withDisk = async (use: (disk: Qcow2Disk) => Promise<void>) => {
      const disk = (await openDisk(path)) as Qcow2Disk
      await use(disk)
      await disk.close()
      qemuCheck(path, 'qcow2')
    }
    for (const [i, name] of ['one', 'two', 'three'].entries()) {
      await withDisk(disk => randomRequests(disk, model, { requests: 100, seed: 20 + i }))
      await withDisk(disk => createQcow2Snapshot(disk, name, 1e12))
      states.push(model.slice())
    }
    await withDisk(disk => randomRequests(disk, model, { requests: 100, seed: 30 }))
    assert.match(qemuImg('snapshot', '-l', path), /one\s.*two\s.*three\s/s)
    await withDisk(disk => applyQcow2Snapshot(disk, 'two'))
    model.set(states[1])
    assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
    await withDisk(disk => randomRequests(disk, model, { requests: 100, seed: 31 }))
    await withDisk(disk => deleteQcow2Snapshot(disk, 'two'))
    await withDisk(disk => randomRequests(disk, model, { requests: 100, seed: 32 }))
    qemuImg('snapshot', '-c', 'theirs', path)
    await withDisk(disk => applyQcow2Snapshot(disk, 'theirs'))
    await withDisk(async disk => {
      assert.deepEqual(
        (await listQcow2Snapshots(disk)).map(({ name }) => name),
        ['one', 'three', 'theirs'],
      )
      await assert.rejects(applyQcow2Snapshot(disk, 'two'), /has no snapshot 'two'/)
      await assert.rejects(createQcow2Snapshot(disk, 'one', 0), /has a snapshot 'one' already/)
    })
    assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
    for (const [i, name] of [
      ['0', 'one'],
      ['2', 'three'],
    ] as const) {
      qemuImg('snapshot', '-a', name, path)
      assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), states[Number(i)]), 0, name)
    }
    for (const name of ['one', 'three', 'theirs']) await withDisk(disk => deleteQcow2Snapshot(disk, name))
    await withDisk(disk => compareDisk(disk, states[2]))
  })
}

test('another size', { skip: withoutQemu }, async () => {
  const base = await create({ size: 4 * MiB })
  const below = await openDisk(base)
  await below.write(0, new Uint8Array(4 * MiB).fill(7))
  await below.close()
  const path = await create({ size: 3 * MiB, backingFile: base, backingFormat: 'qcow2', clusterSize: 512 })
  const resize = async (size: number, old: number) => {
    const disk = (await openDisk(path)) as Qcow2Disk
    await resizeQcow2(disk, size)
    await disk.close()
    const again = (await openDisk(path)) as Qcow2Disk
    await hideBacking(again, old)
    await again.close()
    qemuCheck(path, 'qcow2')
    return qemuContent(path, 'qcow2', folder)
  }
  const larger = await resize(64 * MiB, 3 * MiB)
  assert.equal(larger.length, 64 * MiB)
  assert.deepEqual([larger[3 * MiB - 1], larger[3 * MiB], larger[5 * MiB]], [7, 0, 0])
  const smaller = await resize(MiB + 1024, 64 * MiB)
  assert.equal(smaller.length, MiB + 1024)
  assert.equal(smaller[MiB + 1023], 7)
  const again = await resize(2 * MiB, MiB + 1024)
  assert.deepEqual([again[MiB + 1023], again[MiB + 1024]], [7, 0])
})

test('wrong refcounts and flags are found and repaired', { skip: withoutQemu }, async () => {
  const path = await create({ size: 8 * MiB })
  const model = new Uint8Array(8 * MiB)
  const disk = await openDisk(path)
  await randomRequests(disk, model, { requests: 100, seed: 40 })
  await disk.close()
  const file = await openFile(path)
  // The block of refcounts follows header and table.
  const counts = new Uint8Array(64)
  await file.read(2 * 65536, counts)
  counts[2 * 6 + 1] = 0
  counts[2 * 9 + 1] = 5
  await file.write(2 * 65536, counts)
  await file.close()
  const report = await check(path)
  assert.deepEqual([report.errors > 0, report.leaks, report.isGood], [true, 1, false])
  assert.ok((await check(path, true)).isGood)
  const after = await check(path)
  assert.deepEqual([after.errors, after.leaks], [0, 0])
  qemuCheck(path, 'qcow2')
  assert.equal(Buffer.compare(qemuContent(path, 'qcow2', folder), model), 0)
  assert.ok(!existsSync(`${path}.lock`))
})
