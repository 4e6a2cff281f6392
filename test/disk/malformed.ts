/** Damaged and lying images: whatever is in a file, opening and using it ends with data or one sentence. */
import assert from 'node:assert/strict'
import { type CreateImageOptions, createImage } from '../../src/disk/create.ts'
import { MemoryFile, MemoryFolder } from '../../src/disk/memory.ts'
import { openImage } from '../../src/disk/open.ts'
import { checkImage } from '../../src/disk/tools.ts'
import { crc32c } from '../../src/disk/vhdx/crc32c.ts'
import { nodeCompression } from '../../src/hosts/node/compression.ts'
import { type ByteFile, DiskError } from '../../src/index.ts'
import { randomNumbers } from './random.ts'

const MiB = 2 ** 20
const SIZE = 8 * MiB

/** An image that is made to be damaged. */
export type Kind = Omit<CreateImageOptions, 'size'>

/** The kinds of images that are damaged: those of one file. */
export const KINDS: Kind[] = [
  { format: 'qcow2' },
  { format: 'qcow2', version: 2, clusterSize: 512 },
  { format: 'qcow2', extendedL2: true, clusterSize: 16384 },
  { format: 'vmdk' },
  { format: 'vdi' },
  { format: 'vhd' },
  { format: 'vhdx' },
  { format: 'vmdk', subformat: 'twoGbMaxExtentSparse' },
  { format: 'vmdk', subformat: 'monolithicFlat' },
  { format: 'vdi', subformat: 'static' },
  { format: 'vhd', subformat: 'fixed' },
  { format: 'qcow2', compressionType: 'zstd', refcountBits: 1, lazyRefcounts: true },
]

/** Numbers that are at the edges of something. */
const EDGES = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff]

/** Whole fields of 4 and 8 bytes at the edges of something: signs, what a double holds, what is no multiple of anything. */
const EDGES_64 = [2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 512n, 2n ** 62n, 2n ** 53n, 2n ** 53n + 1n]
const EDGES_32 = [2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 40n, 2n ** 16n, 0n, 1n]
const FIELDS = [...EDGES_64, ...EDGES_32]

/** Most bytes that the buffers of one image may take: caches of 16 MiB, tables, and what the test itself holds. */
const MOST_BUFFERS = 512 * MiB

/** The files of a good image with some content; the first is the one that is opened. */
export async function makeImage(options: Kind): Promise<MemoryFolder> {
  const name = `image.${options.format}`
  const folder = new MemoryFolder()
  const part = (name: string) => folder.open('', name, { create: true })
  const file = await part(name)
  await createImage(file, { ...options, size: SIZE }, part, 0)
  const disk = await openImage(file, hostOf(folder), { format: options.format })
  for (let i = 0; i < 20; i++) await disk.write(((i * 7919) % 16000) * 512, new Uint8Array(6144).fill(i + 1))
  await disk.flush()
  // A VHDX that is still open has its log.
  if (options.format !== 'vhdx') await disk.close()
  return folder
}

export function hostOf(folder: MemoryFolder) {
  return { folder, compression: nodeCompression }
}

export async function contentOf(file: MemoryFile): Promise<Uint8Array> {
  const bytes = new Uint8Array(file.size)
  await file.read(0, bytes)
  return bytes
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
export async function damage(options: Kind, count: number, seed: number): Promise<void> {
  const folder = await makeImage(options)
  const files = [...folder.files.values()]
  // Of several files mostly the first, which says what the others are, and otherwise the first of them.
  const damaged = await Promise.all(files.slice(0, 2).map(contentOf))
  for (const [i, good] of damaged.entries())
    await damageFile(options, { folder, index: i, good }, Math.ceil(count / (damaged.length > 1 ? 2 : 1)), seed + i)
}

/** One file of a good image. */
interface Victim {
  folder: MemoryFolder
  index: number
  good: Uint8Array
}

async function damageFile(options: Kind, { folder, index, good }: Victim, count: number, seed: number): Promise<void> {
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
      if (kind < 0.3) bytes[at] = pick(256)
      else if (kind < 0.45) bytes[at] ^= 1 << pick(8)
      else if (kind < 0.65) {
        const field = FIELDS[pick(FIELDS.length)]
        const aligned = Math.min(at & ~3, (bytes.length - 8) & ~3)
        new DataView(bytes.buffer).setBigUint64(aligned, field, random() < 0.5)
      } else if (kind < 0.8) bytes.fill(EDGES[pick(EDGES.length)], at, at + 1 + pick(8))
      else bytes.copyWithin(at, places[pick(places.length)] & ~7, (places[pick(places.length)] & ~7) + 8)
    }
    // What is protected by checksums is looked at no further while they are wrong.
    if (options.format === 'vhdx' && random() < 0.8) correctChecksums(bytes)
    const length = random() < 0.15 ? pick(bytes.length) : bytes.length
    try {
      await use(options, await withFile(folder, index, bytes.subarray(0, length)), random)
    } catch (error) {
      throw new Error(`image ${i}`, { cause: error })
    }
  }
}

/** Where VHDX has structures with checksums: offset, length, offset of the checksum in it (MS-VHDX 2.2). */
const VHDX_PROTECTED = [
  [0x10000, 4096, 4],
  [0x20000, 4096, 4],
  [0x30000, 65536, 4],
  [0x40000, 65536, 4],
] as const
const VHDX_SECTOR = 4096

/** Makes the checksums of headers, region tables and entries of the log right. */
function correctChecksums(bytes: Uint8Array): void {
  const correct = (offset: number, length: number, field: number) => {
    if (offset + length > bytes.length) return
    const part = bytes.subarray(offset, offset + length)
    new DataView(part.buffer, part.byteOffset).setUint32(field, crc32c(part, field), true)
  }
  for (const [offset, length, field] of VHDX_PROTECTED) correct(offset, length, field)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0x100000; at + VHDX_SECTOR <= Math.min(bytes.length, 0x200000); at += VHDX_SECTOR)
    if (view.getUint32(at) === 0x6c6f6765) correct(at, Math.min(view.getUint32(at + 8, true), 0x100000), 4)
}

/** A copy of an image's files, one of them with another content. */
export async function withFile(folder: MemoryFolder, index: number, bytes: Uint8Array): Promise<MemoryFolder> {
  const copy = new MemoryFolder()
  for (const [i, [name, file]] of [...folder.files].entries())
    await (await copy.open('', name, { create: true })).write(0, i === index ? bytes : await contentOf(file))
  return copy
}

/** Reads, checks, writes and repairs an image. */
async function use(options: Kind, folder: MemoryFolder, random: () => number): Promise<void> {
  const mode = random()
  const [file] = folder.files.values()
  const { arrayBuffers } = process.memoryUsage()
  const opened = new MemoryFile(file.name, { readOnly: mode < 0.3, of: file })
  try {
    const isForRepair = mode > 0.8
    const most = 256 * MiB
    const disk = await openImage(counted(opened, most), hostOf(folder), {
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
      const grown = process.memoryUsage().arrayBuffers - arrayBuffers
      assert.ok(grown < MOST_BUFFERS, `an image of ${file.size} bytes made buffers grow by ${grown}`)
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
