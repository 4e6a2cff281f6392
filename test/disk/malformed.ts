/** Damaged and lying images: whatever is in a file, opening and using it ends with data or one sentence. */
import assert from 'node:assert/strict'
import { type CreateImageOptions, createImage } from '../../src/disk/create.ts'
import { MemoryFile, MemoryFolder } from '../../src/disk/memory.ts'
import { openImage } from '../../src/disk/open.ts'
import { checkImage } from '../../src/disk/tools.ts'
import { nodeCompression } from '../../src/hosts/node/compression.ts'
import { type ByteFile, DiskError } from '../../src/index.ts'
import { randomNumbers } from './random.ts'

const MiB = 2 ** 20
const SIZE = 8 * MiB

/** The kinds of images that are damaged. */
export const KINDS: Omit<CreateImageOptions, 'size'>[] = [
  { format: 'qcow2' },
  { format: 'qcow2', version: 2, clusterSize: 512 },
  { format: 'qcow2', extendedL2: true, clusterSize: 16384 },
  { format: 'vmdk' },
  { format: 'vdi' },
  { format: 'vhd' },
  { format: 'vhdx' },
]

/** Numbers that are at the edges of something. */
const EDGES = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff]

/** A good image with some content, and where its tables mostly are. */
async function makeImage(options: Omit<CreateImageOptions, 'size'>): Promise<Uint8Array> {
  const file = new MemoryFile(`image.${options.format}`)
  await createImage(file, { ...options, size: SIZE }, () => Promise.reject(new Error('no parts')), 0)
  const disk = await openImage(file, hostOf(), {})
  for (let i = 0; i < 20; i++) await disk.write(((i * 7919) % 16000) * 512, new Uint8Array(6144).fill(i + 1))
  await disk.flush()
  await disk.close()
  const bytes = new Uint8Array(file.size)
  await file.read(0, bytes)
  return bytes
}

function hostOf() {
  return { folder: new MemoryFolder(), compression: nodeCompression }
}

/** Counts what is read of a file, so that a loop ends. */
function counted(file: ByteFile, most: number): ByteFile {
  let read = 0
  return new Proxy(file, {
    get(target, name) {
      if (name === 'read') {
        return async (offset: number, buffer: Uint8Array) => {
          read += buffer.length + 512
          assert.ok(read < most, `no more than ${most} bytes are read of an image of ${file.size}`)
          assert.ok(offset >= 0 && Number.isSafeInteger(offset), `nothing is read at ${offset}`)
          return target.read(offset, buffer)
        }
      }
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Damages images of a kind. @param count how many */
export async function damage(options: Omit<CreateImageOptions, 'size'>, count: number, seed: number): Promise<void> {
  const good = await makeImage(options)
  // Where there is something: only there a change can matter.
  const places: number[] = []
  for (let at = 0; at < good.length; at++) {
    if (good[at] !== 0 && places.at(-1) !== at - 1) places.push(at)
    else if (good[at] !== 0 && places.length < 100000) places.push(at)
  }
  const random = randomNumbers(seed)
  const pick = (most: number) => Math.floor(random() * most)
  for (let i = 0; i < count; i++) {
    const bytes = good.slice()
    const changes = 1 + pick(4)
    for (let j = 0; j < changes; j++) {
      const near = random() < 0.5 ? pick(Math.min(bytes.length, 1024)) : places[pick(places.length)] + pick(16) - 8
      const at = Math.max(0, Math.min(bytes.length - 8, near))
      const kind = random()
      if (kind < 0.4) bytes[at] = pick(256)
      else if (kind < 0.6) bytes[at] ^= 1 << pick(8)
      else if (kind < 0.8) bytes.fill(EDGES[pick(EDGES.length)], at, at + 1 + pick(8))
      else bytes.copyWithin(at, places[pick(places.length)] & ~7, (places[pick(places.length)] & ~7) + 8)
    }
    const length = random() < 0.15 ? pick(bytes.length) : bytes.length
    try {
      await use(options, bytes.subarray(0, length), random)
    } catch (error) {
      throw new Error(`image ${i}`, { cause: error })
    }
  }
}

/** Reads, checks, writes and repairs an image. */
async function use(options: Omit<CreateImageOptions, 'size'>, bytes: Uint8Array, random: () => number): Promise<void> {
  const mode = random()
  const file = new MemoryFile(`image.${options.format}`, { readOnly: false })
  await file.write(0, bytes)
  const opened = new MemoryFile(file.name, { readOnly: mode < 0.3, of: file })
  try {
    const isForRepair = mode > 0.8
    const most = 256 * MiB
    const disk = await openImage(counted(opened, most), hostOf(), {
      format: options.format,
      isForRepair,
      isAlone: isForRepair,
    })
    try {
      const buffer = new Uint8Array(65536)
      for (let i = 0; i < 12; i++) {
        const offset = Math.floor((random() * Math.min(disk.size, 16 * MiB)) / 65536) * 65536
        if (offset + buffer.length > disk.size) continue
        await orSentence(() => disk.read(offset, buffer))
        if (disk.readOnly) continue
        await orSentence(() => disk.write(offset, buffer.subarray(0, 4096)))
        if (i % 4 === 0) await orSentence(() => disk.discard(offset, 65536))
      }
      if (!disk.readOnly) await orSentence(() => disk.flush())
      await orSentence(() => checkImage(disk, isForRepair))
    } finally {
      await orSentence(() => disk.close())
    }
  } catch (error) {
    judge(error)
  }
}

async function orSentence(use: () => Promise<unknown>): Promise<void> {
  try {
    await use()
  } catch (error) {
    judge(error)
  }
}

/** Only a sentence will do. */
function judge(error: unknown): void {
  if (!(error instanceof DiskError)) throw error
  assert.match(error.message, /^[^\n]{10,400}$/)
}
