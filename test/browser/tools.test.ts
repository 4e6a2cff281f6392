/** What `npm run web` serves, writes and refuses; without a browser. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findIn, serveSite } from '../../web/tools/server.ts'
import { pageSite } from '../../web/tools/site.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-web-'))
after(() => rmSync(base, { recursive: true, force: true }))
const root = new URL('../../', import.meta.url).pathname

test('the page is bundled with its workers, and names them as they are', async () => {
  const site = await pageSite()
  for (const name of [
    'index.html',
    'main.js',
    'style.css',
    'machine-worker.js',
    'disk-worker.js',
    'isolation.js',
    'example.js',
  ])
    assert.ok(site.has(name), name)
  const code = [...site].filter(([name]) => name.endsWith('.js')).map(([, bytes]) => Buffer.from(bytes).toString())
  assert.ok(code.some(text => text.includes('./machine-worker.js')))
  assert.ok(code.some(text => text.includes('./disk-worker.js')))
  // Nothing of Node is in it, and no worker is named by its source.
  for (const text of code) assert.doesNotMatch(text, /from ?["']node:|-worker\.ts/)
})

test('files are served isolated, anything else is refused', async () => {
  const site = new Map([
    ['index.html', new TextEncoder().encode('<p>here')],
    ['a b.js', new TextEncoder().encode('1')],
  ])
  const find = findIn(site)
  const server = await serveSite(
    async path => (path === 'bad' ? Promise.reject(new Error('it is not to be had')) : find(path)),
    {
      host: '127.0.0.1',
      port: 0,
    },
  )
  try {
    const get = (path: string, init?: RequestInit) => fetch(new URL(path, server.url), init)
    const page = await get('')
    assert.equal(await page.text(), '<p>here')
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.equal(page.headers.get('cross-origin-opener-policy'), 'same-origin')
    assert.equal(page.headers.get('cross-origin-embedder-policy'), 'require-corp')
    assert.equal((await get('a%20b.js')).headers.get('content-type'), 'text/javascript; charset=utf-8')
    const again = await get('', { headers: { 'If-None-Match': page.headers.get('etag')! } })
    assert.equal(again.status, 304)
    assert.equal((await get('', { method: 'POST' })).status, 405)
    assert.equal((await get('%2e%2e/%2e%2e/etc/passwd')).status, 404)
    assert.equal((await get('%ff')).status, 400)
    const bad = await get('bad')
    assert.deepEqual([bad.status, await bad.text()], [503, 'it is not to be had\n'])
  } finally {
    await server.close()
  }
})

test('what cannot be served or written is said in one sentence, with status 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const file = join(base, 'file')
  writeFileSync(file, '')
  const run = (...words: string[]) =>
    spawnSync(`${root}bin/node-new-enough`, [`${root}web/tools/main.ts`, ...words], {
      encoding: 'utf8',
      timeout: 120_000,
    })
  const cases: [string[], RegExp][] = [
    [['--port', 'x'], /--port x: give a number from 0 to 65535/],
    [['--port', '99999'], /--port 99999: give a number/],
    [['--nope'], /'--nope'; see npm run web -- --help/],
    [['--port', String(port)], /something else listens there: end it, or give another with --port/],
    [['--build', file], /cannot be written: something else is there/],
    [['--build', '/proc/nope'], /'\/proc\/nope\/_headers' cannot be written/],
  ]
  for (const [words, expected] of cases) {
    const { status, stderr } = run(...words)
    assert.match(stderr, expected)
    assert.equal(stderr.trim().split('\n').length, 1, stderr)
    assert.equal(status, 1)
  }
  taken.close()
  const out = join(base, 'site')
  const { status, stderr } = run('--build', out)
  assert.equal(status, 0, stderr)
  assert.match(readFileSync(join(out, '_headers'), 'utf8'), /^\/\*\n {2}Cross-Origin-Opener-Policy: same-origin\n/)
  assert.ok(readFileSync(join(out, 'guest/vmlinuz')).length > 1e6)
  assert.ok(readFileSync(join(out, 'firmware/bios-256k.bin')).length === 262144)
})
