import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ensureDefaultGuest, type PackageSource } from './default-guest.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-guest-'))
after(() => rmSync(base, { recursive: true }))

const TREE = join(base, 'tree')
mkdirSync(join(TREE, 'boot'), { recursive: true })
mkdirSync(join(TREE, 'bin'))
writeFileSync(join(TREE, 'boot/vmlinuz-6.1'), 'a kernel')
writeFileSync(join(TREE, 'bin/busybox'), 'a busybox')

/** Packages that are plain tar archives, and a count of how often they were asked for. */
function fakeSource(): PackageSource & { downloads: number } {
  return {
    downloads: 0,
    async download(folder) {
      this.downloads++
      const file = join(folder, 'all.deb')
      assert.equal(spawnSync('tar', ['-C', TREE, '-cf', file, '.']).status, 0)
      return [file]
    },
    async *tar(file) {
      yield readFileSync(file)
    },
  }
}

let count = 0
const newCache = () => join(base, `cache${count++}`, 'typetwo')

test('the first start makes the guest, the second one finds it', async () => {
  const [cache, source] = [newCache(), fakeSource()]
  const guest = await ensureDefaultGuest({ cache, source })
  assert.equal(readFileSync(guest.kernel, 'utf8'), 'a kernel')
  assert.match(readFileSync(guest.initrd, 'latin1'), /^070701/)
  assert.ok(readFileSync(guest.initrd).includes('a busybox'))
  assert.match(guest.append, /console=ttyS0/)
  assert.deepEqual(await ensureDefaultGuest({ cache, source }), guest)
  assert.equal(source.downloads, 1)
  assert.deepEqual(readdirSync(cache), ['debian-amd64'])
})

test('a damaged image is found and made anew of the packages at hand', async () => {
  const [cache, source] = [newCache(), fakeSource()]
  const { kernel } = await ensureDefaultGuest({ cache, source })
  writeFileSync(kernel, 'A kernel')
  const said: string[] = []
  await ensureDefaultGuest({ cache, source, report: text => said.push(text) })
  assert.equal(readFileSync(kernel, 'utf8'), 'a kernel')
  assert.match(said[0], /vmlinuz is damaged and is made anew$/)
  assert.equal(source.downloads, 1)
})

test('damaged packages are downloaded again', async () => {
  const [cache, source] = [newCache(), fakeSource()]
  const { initrd } = await ensureDefaultGuest({ cache, source })
  writeFileSync(initrd, '')
  writeFileSync(join(cache, 'debian-amd64/all.deb'), 'garbage')
  await ensureDefaultGuest({ cache, source })
  assert.match(readFileSync(initrd, 'latin1'), /^070701/)
  assert.equal(source.downloads, 2)
})

test('a damaged manifest is found', async () => {
  const [cache, source] = [newCache(), fakeSource()]
  await ensureDefaultGuest({ cache, source })
  writeFileSync(join(cache, 'debian-amd64/manifest.json'), '{"recipe":')
  const said: string[] = []
  await ensureDefaultGuest({ cache, source, report: text => said.push(text) })
  assert.match(said[0], /debian-amd64 is damaged/)
  assert.equal(source.downloads, 2)
})

test('first starts at the same time do not disturb each other', async () => {
  const [cache, source] = [newCache(), fakeSource()]
  const guests = await Promise.all(Array.from({ length: 5 }, () => ensureDefaultGuest({ cache, source })))
  assert.equal(new Set(guests.map(guest => guest.kernel)).size, 1)
  assert.deepEqual(readdirSync(cache), ['debian-amd64'])
  const before = source.downloads
  await ensureDefaultGuest({ cache, source })
  assert.equal(source.downloads, before)
})

test('a failed download leaves nothing behind', async () => {
  const cache = newCache()
  const source = { ...fakeSource(), download: () => Promise.reject(new Error('no network')) }
  await assert.rejects(ensureDefaultGuest({ cache, source }), /no network/)
  assert.deepEqual(readdirSync(cache), [])
})

test('a cache that cannot be written is one sentence', async () => {
  const file = join(base, 'a-file')
  writeFileSync(file, '')
  await assert.rejects(ensureDefaultGuest({ cache: join(file, 'typetwo'), source: fakeSource() }), {
    name: 'UserError',
    message: `the cache folder '${file}/typetwo' cannot be written (a part of the path is not a folder): make it writable, or set XDG_CACHE_HOME to a folder that is`,
  })
})

const proc = existsSync('/proc/self')
test('a cache on /proc is one sentence', { skip: proc ? false : 'there is no /proc' }, async () => {
  await assert.rejects(
    ensureDefaultGuest({ cache: '/proc/nope/typetwo', source: fakeSource() }),
    /^UserError: the cache folder '\/proc\/nope\/typetwo' cannot be written \(it does not exist\)/,
  )
})

test('packages without a kernel are refused', async () => {
  const cache = newCache()
  const source: PackageSource = {
    ...fakeSource(),
    async *tar() {
      yield new Uint8Array(1024)
    },
  }
  await assert.rejects(ensureDefaultGuest({ cache, source }), /hold no kernel/)
})

const root = process.getuid?.() === 0
test('a read-only cache is one sentence', { skip: root ? 'root may write anywhere' : false }, async () => {
  const folder = join(base, 'read-only')
  mkdirSync(folder)
  chmodSync(folder, 0o500)
  await assert.rejects(
    ensureDefaultGuest({ cache: join(folder, 'typetwo'), source: fakeSource() }),
    /cannot be written \(permission denied\)/,
  )
})
