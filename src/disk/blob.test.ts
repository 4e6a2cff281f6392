import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCompression } from '../hosts/node/compression.ts'
import { blobFile } from './blob.ts'
import { DiskError } from './disk.ts'
import { MemoryFile } from './memory.ts'
import { openBlob } from './open-blob.ts'
import { createQcow2 } from './qcow2/create.ts'

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7) & 255)
}

const options = (readOnly: boolean) => ({
  readOnly,
  compression: nodeCompression,
  changes: async (name: string) => new MemoryFile(name),
})

test('any range of a blob reads as it is, and as zeros behind the end', async () => {
  const bytes = pattern(700_001)
  const file = blobFile(new Blob([bytes]))
  const expected = new Uint8Array(1_000_000)
  expected.set(bytes)
  for (const [offset, length] of [
    [0, 512],
    [131_000, 300],
    [0, 700_001],
    [699_900, 4096],
    [800_000, 100],
    [130_000, 400_000],
  ]) {
    const buffer = new Uint8Array(length).fill(0xee)
    await file.read(offset, buffer)
    assert.deepEqual(buffer, expected.slice(offset, offset + length), `${offset} ${length}`)
    // What was read is kept, and comes without a promise.
    const again = [new Uint8Array(100), new Uint8Array(length - 100)].filter(part => part.length > 0)
    if (file.immediate!.read(offset, again)) {
      const [first] = again
      assert.deepEqual(first, expected.slice(offset, offset + first.length))
    }
  }
})

test('a raw blob is a disk whose changes go elsewhere', async () => {
  const bytes = pattern(2 ** 20)
  const blob = new File([bytes], 'disk.img')
  const disk = await openBlob(blob, options(false))
  assert.equal(disk.size, 2 ** 20)
  assert.equal(disk.name, 'disk.img')
  await disk.write(65536 - 512, new Uint8Array(1024).fill(1))
  const read = new Uint8Array(2 ** 20)
  await disk.read(0, read)
  const expected = bytes.slice()
  expected.fill(1, 65536 - 512, 65536 + 512)
  assert.deepEqual(read, expected)
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), bytes, 'the blob is as it was')
  await disk.close()
})

test('read-only, nothing is written', async () => {
  const disk = await openBlob(new File([pattern(4096)], 'a.iso'), options(true))
  assert.equal(disk.readOnly, true)
  await assert.rejects(disk.write(0, new Uint8Array(512)), { code: 'read-only' })
})

test('an image of a format is one, and what it is not is said', async () => {
  const file = new MemoryFile('x')
  await createQcow2(file, { size: 2 ** 20 })
  const bytes = new Uint8Array(file.size)
  await file.read(0, bytes)
  const disk = await openBlob(new File([bytes], 'a.qcow2'), options(false))
  assert.equal(disk.size, 2 ** 20)
  await assert.rejects(openBlob(new File([pattern(600)], 'a.qcow2'), options(false)), { code: 'format' })
  await assert.rejects(openBlob(new File([pattern(600)], 'notes.pdf'), options(false)), (error: DiskError) => {
    return error instanceof DiskError && /notes\.pdf.*of no known format/.test(error.message)
  })
})

test('an image that needs other files is refused with what to do', async () => {
  const file = new MemoryFile('x')
  await createQcow2(file, { size: 2 ** 20, backingFile: 'base.img', backingFormat: 'raw' })
  const bytes = new Uint8Array(file.size)
  await file.read(0, bytes)
  await assert.rejects(openBlob(new File([bytes], 'a.qcow2'), options(true)), /needs the file 'base.img'.*convert/)
})

test('a file that is gone is an error that says so', async () => {
  const blob = new Blob([pattern(4096)])
  blob.slice = () =>
    ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) }) as unknown as Blob
  await assert.rejects(blobFile(blob, { name: 'x.iso' }).read(0, new Uint8Array(1)), /'x\.iso'.*choose it again/)
})
