import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { DiskError } from '../../disk/disk.ts'
import { NodeFolder, openFile } from './byte-file.ts'
import { lockBeside } from './file-lock.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-file-'))
after(() => rmSync(base, { recursive: true }))
let count = 0
const newPath = () => join(base, `file${count++}`)
const fails = (code: string, message: RegExp) => (error: DiskError) =>
  error.code === code && message.test(error.message)

test('small and large requests, behind the end, in shared memory', async () => {
  const file = await openFile(newPath(), { create: true })
  const large = new Uint8Array(new SharedArrayBuffer(2 ** 20)).fill(3)
  await file.write(1000, large)
  await file.write(0, new Uint8Array([1, 2]))
  await file.writeInOrder([
    { offset: 2, bytes: new Uint8Array([8, 8]) },
    { offset: 3, bytes: new Uint8Array([9]) },
  ])
  assert.equal(file.size, 1000 + 2 ** 20)
  const buffer = new Uint8Array(new SharedArrayBuffer(2 ** 20)).fill(7)
  await file.read(0, buffer)
  assert.deepEqual([...buffer.slice(0, 5)], [1, 2, 8, 9, 0])
  assert.equal(buffer[1000], 3)
  await file.read(2 ** 20, buffer)
  assert.deepEqual([buffer[999], buffer[1000], buffer[2 ** 20 - 1]], [3, 0, 0])
  await file.truncate(10)
  await file.truncate(2000)
  await file.read(0, buffer)
  assert.deepEqual([buffer[3], buffer[1500]], [9, 0])
  await file.flush()
  await file.close()
  await file.close()
  await assert.rejects(file.read(0, buffer), fails('closed', /closed/))
})

test('punching gives space back where the host can', async t => {
  const path = newPath()
  const file = await openFile(path, { create: true })
  await file.write(0, new Uint8Array(2 ** 20).fill(1))
  const before = await file.allocated()
  if (!(await file.punch(2 ** 18, 2 ** 19))) return t.skip('this host has no fallocate, or its file system no holes')
  assert.ok((await file.allocated())! < before!)
  assert.equal(statSync(path).size, 2 ** 20)
  const buffer = new Uint8Array(2 ** 20)
  await file.read(0, buffer)
  assert.deepEqual([buffer[2 ** 18 - 1], buffer[2 ** 18], buffer[2 ** 18 + 2 ** 19]], [1, 0, 1])
  await file.close()
})

test('what cannot be opened is one sentence', async () => {
  const open = (path: string, mode = {}) => openFile(path, mode)
  await assert.rejects(
    open(join(base, 'none')),
    fails('not-found', /^file '.*none' cannot be opened: it does not exist$/),
  )
  await assert.rejects(open(base), fails('format', /is a folder: give the path of a disk image$/))
  await assert.rejects(open('/dev/null'), fails('format', /neither a file nor a block device/))
  const path = newPath()
  writeFileSync(path, '')
  await assert.rejects(open(path, { create: true }), fails('exists', /cannot be made: something else is there/))
})

test('a writer keeps all others out, readers keep writers out', async () => {
  const path = newPath()
  const writer = await openFile(path, { create: true })
  await assert.rejects(openFile(path), fails('in-use', /is in use by another machine or program/))
  await assert.rejects(openFile(path, { readOnly: true }), fails('in-use', /is in use/))
  await writer.close()
  const readers = [await openFile(path, { readOnly: true }), await openFile(path, { readOnly: true })]
  await assert.rejects(openFile(path), fails('in-use', /open it read-only/))
  for (const reader of readers) await reader.close()
  await (await openFile(path)).close()
})

test('a lock ends with its process, also when that is killed', async () => {
  const path = newPath()
  writeFileSync(path, 'x')
  const module = new URL('./byte-file.ts', import.meta.url)
  const script = `await (await import('${module}')).openFile('${path}'); console.log('locked'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await assert.rejects(openFile(path), fails('in-use', /in use/))
  child.kill('SIGKILL')
  await once(child, 'exit')
  await (await openFile(path)).close()
})

test('without the system call a file beside it is the lock', () => {
  const path = `${newPath()}.lock`
  const lock = lockBeside(path)
  assert.notEqual(lock, 'taken')
  assert.equal(lockBeside(path), 'taken')
  if (lock !== 'taken') lock.release()
  assert.ok(!existsSync(path))
  writeFileSync(path, JSON.stringify({ pid: process.pid, started: 'another time' }))
  const second = lockBeside(path)
  assert.notEqual(second, 'taken')
  if (second !== 'taken') second.release()
  writeFileSync(path, 'cut o')
  assert.notEqual(lockBeside(path), 'taken')
})

test('names inside images lead nowhere else', async () => {
  const [inside, outside] = [join(base, 'inside'), join(base, 'outside')]
  mkdirSync(join(inside, 'deeper'), { recursive: true })
  mkdirSync(outside)
  for (const folder of [inside, join(inside, 'deeper'), outside]) writeFileSync(join(folder, 'f'), '')
  symlinkSync(join(outside, 'f'), join(inside, 'link'))
  symlinkSync(outside, join(inside, 'folder'))
  writeFileSync(join(inside, '..f'), '')
  const image = join(inside, 'image')
  const folder = new NodeFolder(image)
  for (const name of ['f', 'deeper/f', join(inside, 'f'), '..f']) {
    await (await folder.open(image, name, { readOnly: true })).close()
  }
  for (const name of ['../outside/f', join(outside, 'f'), 'link', 'folder/f', 'folder/new', '/etc/passwd', '..']) {
    await assert.rejects(folder.resolve(image, name), fails('denied', /outside of the image's folder/), name)
  }
  await (await new NodeFolder(image, true).open(image, '../outside/f', { readOnly: true })).close()
})
