import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { type CreateImageOptions, createImage } from '../../src/disk/create.ts'
import { MemoryFolder } from '../../src/disk/memory.ts'
import { type ImageHost, openImage, type ToolOptions } from '../../src/disk/open.ts'
import { checkImage } from '../../src/disk/tools.ts'
import { nodeCompression } from '../../src/hosts/node/compression.ts'
import { type ByteFile, type Disk, DiskError } from '../../src/index.ts'
import { VolatileFile } from './faulty-file.ts'
import { writerRequests } from './kill.ts'
import { compareDisk, randomNumbers, randomRequests } from './random.ts'

const MiB = 2 ** 20
const SECTOR = 512
/** The size of the disk that {@link writerRequests} are for. */
const SIZE = 48 * MiB

/** The disk below some images, whose sectors all begin with the same number. */
const BACKING = { file: 'base.img', format: 'raw' } as const
const BELOW = 0.5

const KINDS: Omit<CreateImageOptions, 'size'>[] = [
  { format: 'qcow2' },
  { format: 'qcow2', version: 2 },
  { format: 'qcow2', clusterSize: 4096, refcountBits: 1 },
  { format: 'qcow2', extendedL2: true },
  { format: 'qcow2', clusterSize: 4096, backing: BACKING },
  { format: 'qcow2', clusterSize: 4096, version: 2, backing: BACKING },
  { format: 'vmdk' },
  { format: 'vdi' },
  { format: 'vhd' },
  { format: 'vhdx' },
]

const folder = new MemoryFolder()
const host: ImageHost = { folder, compression: nodeCompression }

async function make(options: CreateImageOptions): Promise<VolatileFile> {
  const file = VolatileFile.make(`image.${options.format}`)
  await createImage(file, options, () => Promise.reject(new Error('no parts')), 0)
  return file
}

const open = (file: ByteFile, options: Partial<ToolOptions> = {}) => openImage(file, host, options)

/** The image must be right, or have lost no more than space in version 2, which has no mark for that. */
async function checkGood(file: ByteFile, options: Omit<CreateImageOptions, 'size'>): Promise<void> {
  const disk = await open(file)
  // Opening sets right what a crash left; a write makes it look.
  await disk.writeZeroes(0, 512)
  await disk.flush()
  const report = (await checkImage(disk, false))!
  assert.equal(report.errors, 0, report.findings[0])
  if (options.version !== 2) assert.equal(report.leaks, 0, report.findings[0])
  await disk.close()
}

before(async () => {
  const base = await folder.open('', BACKING.file, { create: true })
  await base.write(0, filled(SIZE, BELOW))
})

for (const options of KINDS) {
  const name = Object.values(options)
    .map(value => (value === BACKING ? 'above another disk' : value))
    .join(', ')
  test(`the power fails: ${name}`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    try {
      await failPower(options, seed)
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error })
    }
  })

  test(`the power fails while a disk grows: ${name}`, async () => {
    const random = randomNumbers(1)
    for (let left = 0; left < 12; left++)
      for (let times = 0; times < 10; times++) {
        let file = await make({ ...options, size: SIZE })
        const disk = await open(file)
        file.left = left
        try {
          await disk.write(3 * MiB, filled(SECTOR, 1))
          await disk.flush()
        } catch (error) {
          assert.match((error as Error).message, /the power has failed/)
        }
        file = await file.fail(random)
        // No entry refers to what the file has no room for.
        await checkGood(file, options)
      }
  })

  test(`the host's disk is full: ${name}`, async () => {
    const size = 16 * MiB
    const file = await make({ ...options, size })
    const model = options.backing ? filled(size, BELOW) : new Uint8Array(size)
    const disk = await open(file)
    await randomRequests(disk, model, { requests: 60, seed: 1 })
    await disk.flush()
    file.limit = file.size + MiB / 2
    // What fails may be written or not, nothing else may be.
    const random = randomNumbers(3)
    let failures = 0
    const unsure = new Set<number>()
    for (let i = 0; i < 150; i++) {
      const length = SECTOR * (1 + Math.floor(random() * 300))
      const offset = SECTOR * Math.floor((random() * (size - length)) / SECTOR)
      const bytes = new Uint8Array(length).fill(1 + i)
      try {
        await disk.write(offset, bytes)
        model.set(bytes, offset)
        for (let at = offset; at < offset + length; at += SECTOR) unsure.delete(at)
      } catch (error) {
        assert.ok(error instanceof DiskError && error.code === 'no-space', `${error}`)
        for (let at = offset; at < offset + length; at += SECTOR) unsure.add(at)
        failures++
      }
      if (i % 20 === 19) await disk.flush().catch(error => assert.equal(error.code, 'no-space'))
    }
    assert.ok(failures > 0, 'the disk was full')
    file.limit = Number.POSITIVE_INFINITY
    await disk.flush()
    for (const at of unsure) {
      const bytes = new Uint8Array(SECTOR).fill(0xcd)
      await disk.write(at, bytes)
      model.set(bytes, at)
    }
    await randomRequests(disk, model, { requests: 30, seed: 2 })
    await compareDisk(disk, model)
    await disk.close()
    const again = await open(file)
    await compareDisk(again, model)
    await again.close()
    await checkGood(file, options)
  })
}

async function failPower(options: Omit<CreateImageOptions, 'size'>, seed: number): Promise<void> {
  const random = randomNumbers(seed)
  const below = options.backing ? BELOW : 0
  let file = await make({ ...options, size: SIZE })
  const allowed: Set<number>[] = Array.from({ length: SIZE / SECTOR }, () => new Set([below]))
  for (let round = 0; round < 4; round++) {
    const disk = await open(file)
    file.left = Math.floor(random() * 150)
    const unflushed: [number, number][] = []
    try {
      for (const { kind, offset, length, value, flush } of writerRequests(Math.floor(random() * 2 ** 31))) {
        // Also what fails may have been done in part.
        for (let at = offset; at < offset + length; at += SECTOR) {
          allowed[at / SECTOR].add(kind === 'write' ? value : 0)
          unflushed.push([at / SECTOR, kind === 'write' ? value : kind === 'zero' ? 0 : -1])
        }
        if (kind === 'write') await disk.write(offset, filled(length, value))
        else if (kind === 'zero') await disk.writeZeroes(offset, length)
        else await disk.discard(offset, length)
        if (!flush) continue
        await disk.flush()
        for (const [sector, value] of unflushed) {
          if (value >= 0) allowed[sector].clear()
          allowed[sector].add(Math.max(0, value))
        }
        unflushed.length = 0
      }
    } catch (error) {
      assert.match((error as Error).message, /the power has failed/)
    }
    file = await file.fail(random)
    const after = await open(file)
    await verify(after, allowed)
    await after.close()
    await checkGood(file, options)
    allowed[0].clear()
    allowed[0].add(0)
  }
}

function filled(length: number, value: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += SECTOR) new DataView(bytes.buffer).setFloat64(at, value)
  return bytes
}

async function verify(disk: Disk, allowed: Set<number>[]): Promise<void> {
  const bytes = new Uint8Array(MiB)
  const view = new DataView(bytes.buffer)
  for (let offset = 0; offset < SIZE; offset += MiB) {
    await disk.read(offset, bytes)
    for (let at = 0; at < MiB; at += SECTOR) {
      const values = allowed[(offset + at) / SECTOR]
      const value = view.getFloat64(at)
      assert.ok(values.has(value), `sector at ${offset + at} is ${value}, not one of ${[...values]}`)
      values.clear()
      values.add(value)
    }
  }
}
