import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiskError } from './disk.ts'
import { MemoryDisk, MemoryFile } from './memory.ts'
import { RawDisk } from './raw.ts'
import { type Channel, remoteDisk, serveDisk } from './remote.ts'

const fails = (code: string) => (error: DiskError) => error.name === 'DiskError' && error.code === code

test('a memory disk reads what was written, zeros elsewhere', async () => {
  const disk = new MemoryDisk(2 ** 40)
  await disk.write(2 ** 39 - 512, new Uint8Array(1024).fill(7))
  const buffer = new Uint8Array(2048).fill(1)
  await disk.read(2 ** 39 - 1024, buffer)
  assert.deepEqual([buffer[511], buffer[512], buffer[1535], buffer[1536]], [0, 7, 7, 0])
  await disk.writeZeroes(2 ** 39, 512)
  await disk.read(2 ** 39 - 1024, buffer)
  assert.deepEqual([buffer[1023], buffer[1024]], [7, 0])
})

test('requests outside of the disk, in parts of sectors and on read-only or closed disks are refused', async () => {
  const disk = new MemoryDisk(4096)
  await assert.rejects(disk.read(4096, new Uint8Array(512)), fails('out-of-range'))
  await assert.rejects(disk.read(-512, new Uint8Array(512)), fails('out-of-range'))
  await assert.rejects(disk.write(100, new Uint8Array(512)), fails('out-of-range'))
  await assert.rejects(disk.write(0, new Uint8Array(100)), fails('out-of-range'))
  await assert.rejects(disk.discard(0, Number.NaN), fails('out-of-range'))
  await assert.rejects(new MemoryDisk(4096, { readOnly: true }).write(0, new Uint8Array(512)), fails('read-only'))
  await disk.close()
  await disk.close()
  await assert.rejects(disk.read(0, new Uint8Array(512)), fails('closed'))
})

test('the last sector of a raw file is made whole with zeros', async () => {
  const file = new MemoryFile('odd')
  await file.write(0, new Uint8Array(700).fill(5))
  const disk = new RawDisk(file)
  assert.equal(disk.size, 1024)
  const buffer = new Uint8Array(1024).fill(1)
  await disk.read(0, buffer)
  assert.deepEqual([buffer[699], buffer[700], buffer[1023]], [5, 0, 0])
})

/** Two ends whose messages are cloned, as between threads. */
function channels(): [Channel, Channel] {
  const { port1, port2 } = new MessageChannel()
  const end = (port: MessagePort): Channel => ({
    postMessage: (message, transfer = []) => port.postMessage(message, transfer),
    onMessage: listener => {
      port.onmessage = event => listener(event.data)
      ;(port as unknown as { unref(): void }).unref()
    },
  })
  return [end(port1), end(port2)]
}

test('a disk is served over a channel, errors included', async t => {
  const keepAlive = setInterval(() => {}, 1000)
  t.after(() => clearInterval(keepAlive))
  const [here, there] = channels()
  serveDisk(new MemoryDisk(2 ** 20, { name: 'mine' }), there)
  const disk = await remoteDisk(here)
  assert.deepEqual([disk.name, disk.size, disk.sectorSize, disk.readOnly], ['mine', 2 ** 20, 512, false])
  await disk.write(512, new Uint8Array(new SharedArrayBuffer(512)).fill(9))
  const [a, b] = [new Uint8Array(512), new Uint8Array(512)]
  await Promise.all([disk.read(512, a), disk.read(1024, b)])
  assert.deepEqual([a[0], b[0]], [9, 0])
  await disk.writeZeroes(0, 1024)
  await disk.discard(0, 1024)
  await disk.read(512, a)
  assert.equal(a[0], 0)
  await disk.flush()
  await assert.rejects(disk.read(2 ** 20, a), fails('out-of-range'))
  await disk.close()
  await assert.rejects(disk.read(0, a), fails('closed'))
})
