import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WebSocket } from 'ws'
import { ENCODING } from '../../../display/rfb/protocol.ts'
import { NOVNC_FORMAT, TestViewer } from '../../../display/rfb/test-viewer.ts'
import { TestMachine } from './test-machine.ts'
import { openWeb, type WebDisplay, type WebOptions } from './web.ts'
import { WebSocketConnection } from './web-socket-connection.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-media-'))
const displays: WebDisplay[] = []
const sockets: WebSocket[] = []
after(async () => {
  for (const socket of sockets) socket.terminate()
  await Promise.all(displays.map(display => display.close()))
  rmSync(folder, { recursive: true })
})

async function serve(options: Partial<WebOptions> = {}) {
  const machine = new TestMachine()
  const notes: string[] = []
  const display = await openWeb({ host: '127.0.0.1', port: 0, ...options }, sentence => void notes.push(sentence))
  displays.push(display)
  display.show(machine.shown())
  return { machine, notes, display, port: display.address.port }
}

/** A request by hand: fetch would not let the test say which host it means. */
function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body = '' as string | Buffer } = {},
): Promise<{ status: number; text: string; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, method, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', part => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode!, text, headers: response.headers }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** Opens a WebSocket. @returns it, or the status with which it was refused */
function connect(port: number, path: string, headers = {}): Promise<WebSocket | number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers })
  sockets.push(socket)
  socket.binaryType = 'nodebuffer'
  return new Promise(resolve => {
    socket.on('open', () => {
      // Until somebody listens.
      socket.pause()
      resolve(socket)
    })
    socket.on('unexpected-response', (_, response) => resolve(response.statusCode!))
    socket.on('error', () => {})
  })
}

/** A page's control connection: what it is told, and its questions. */
async function control(port: number, path = '/control') {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`)
  sockets.push(socket)
  const told: Record<string, unknown>[] = []
  let wake = () => {}
  socket.on('message', data => {
    told.push(JSON.parse(String(data)))
    wake()
  })
  const next = async (is: (told: Record<string, unknown>) => boolean) => {
    for (;;) {
      const found = told.find(is)
      if (found) return found
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }
  let id = 0
  const askFor = (asked: object) => {
    const own = id++
    socket.send(JSON.stringify({ ...asked, id: own }))
    return next(answer => answer.type === 'answer' && answer.id === own)
  }
  await next(({ type }) => type === 'machine')
  return { socket, told, next, askFor }
}

async function until(is: () => boolean): Promise<void> {
  while (!is()) await new Promise(resolve => setTimeout(resolve, 5))
}

test('the page and all that it imports is served, TypeScript without types', async () => {
  const { port } = await serve()
  const page = await ask(port, '/')
  assert.equal(page.status, 200)
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'; script-src 'self' 'sha256-/)
  const imports: Record<string, string> = JSON.parse(
    /<script type="importmap">([\s\S]*?)<\/script>/.exec(page.text)![1],
  ).imports
  const seen = new Set<string>()
  const visit = async (path: string) => {
    if (seen.has(path)) return
    seen.add(path)
    const { status, text, headers } = await ask(port, path)
    assert.equal(status, 200, path)
    if (!/javascript/.test(String(headers['content-type']))) return
    assert.doesNotMatch(text, /^import type/m, path)
    if (path.includes('/xterm/') || path.includes('/addon-fit/')) return
    for (const [, specifier] of text.matchAll(/^(?:import|export)\b[^;'"]*?from\s+['"]([^'"]+)['"]/gm))
      await visit(imports[specifier] ?? new URL(specifier, `http://x${path}`).pathname)
  }
  for (const [, path] of page.text.matchAll(/(?:src|href)="([^"]+)"/g)) await visit(path)
  assert.ok([...seen].some(path => path.endsWith('/rfb.js')) && seen.has('/shared/dom.ts') && seen.size > 40)
})

test('nothing else is', async () => {
  const { port } = await serve()
  for (const path of [
    '/console/',
    '/package.json',
    '/console/../../package.json',
    '/console/%2e%2e/shared/theme.css/',
    '//etc/passwd',
    '/vendor/novnc/../../ws/index.js',
    '/console/none.ts',
    '/shared/.git',
  ])
    assert.equal((await ask(port, path)).status, 404, path)
  assert.equal((await ask(port, '/', { method: 'POST' })).status, 405)
})

test('a host that is none of ours is refused, which is what DNS rebinding needs', async () => {
  const { port, notes } = await serve()
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', '10.0.0.1']) {
    assert.equal((await ask(port, '/', { headers: { host } })).status, 421, host)
    assert.equal(await connect(port, '/control', { host }), 421, host)
  }
  for (const host of ['localhost', `127.0.0.1:${port}`, '[::1]:1234', 'typetwo.localhost'])
    assert.equal((await ask(port, '/', { headers: { host } })).status, 200, host)
  assert.match(
    notes[0],
    /a browser asked for the host "evil\.example", which is none of this host's names: if it is one, add host-name=NAME$/,
  )
  const named = await serve({ hostName: 'Box.example' })
  assert.equal((await ask(named.port, '/', { headers: { host: 'box.example:99' } })).status, 200)
})

test("another page's WebSocket is refused", async () => {
  const { port } = await serve()
  for (const origin of ['http://evil.example', `http://localhost:${port + 1}`, 'null', 'file://'])
    for (const path of ['/control', '/rfb', '/serial/COM1'])
      assert.equal(await connect(port, path, { origin }), 403, `${origin} ${path}`)
  assert.ok((await connect(port, '/control', { origin: `http://127.0.0.1:${port}` })) instanceof WebSocket)
  assert.equal(await connect(port, '/elsewhere'), 404)
  assert.equal(await connect(port, '/serial/LPT1'), 404)
})

test('beyond this host a token is asked for', async () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .some(address => !address!.internal)
  const { display, port, notes } = await serve({ host: '0.0.0.0' })
  assert.ok(display.token!.length >= 32)
  assert.equal(display.place, `http://127.0.0.1:${port}/?token=${display.token}`)
  assert.match(
    notes[0],
    /who listens to the network sees what you type: add tls-cert=FILE,tls-key=FILE, or go by ssh -L$/,
  )
  assert.equal((await ask(port, '/')).status, 403)
  assert.equal((await ask(port, '/?token=wrong')).status, 403)
  assert.equal((await ask(port, `/?token=${display.token}`)).status, 200)
  for (const path of ['/control', '/rfb', '/serial/COM1']) {
    assert.equal(await connect(port, path), 403)
    assert.ok((await connect(port, `${path}?token=${display.token}`)) instanceof WebSocket)
  }
  if (outside)
    assert.equal((await ask(port, `/?token=${display.token}`, { headers: { host: '192.0.2.7:1' } })).status, 200)
  assert.equal((await ask(port, `/?token=${display.token}`, { headers: { host: 'evil.example' } })).status, 421)
})

test('the screen comes by RFB in a WebSocket', async () => {
  const { machine, port } = await serve()
  const socket = (await connect(port, '/rfb')) as WebSocket
  const viewer = await TestViewer.open(new WebSocketConnection(socket, 'server', true))
  assert.equal(viewer.name, 'test machine')
  await viewer.setPixelFormat(NOVNC_FORMAT)
  await viewer.setEncodings(ENCODING.tight)
  await viewer.request(false)
  await viewer.update()
  assert.deepEqual(new Uint32Array(viewer.picture.data.buffer), machine.screen.pixels)
  await viewer.key(true, 0x61)
  await until(() => machine.input.events.includes('+KeyA'))
  socket.terminate()
  await until(() => machine.input.events.includes('-KeyA'))
})

test('a page is told of the machine and moves it', async () => {
  const { machine, port } = await serve()
  const { told, next, askFor } = await control(port)
  assert.deepEqual(told[0], {
    type: 'machine',
    name: 'test machine',
    state: 'running',
    hasScreen: true,
    drives: [
      { name: 'cdrom0', kind: 'cdrom' },
      { name: 'floppy0', kind: 'floppy' },
    ],
    ports: ['COM1'],
    hasMedia: false,
  })
  for (const type of ['pause', 'resume', 'power', 'reset']) assert.equal((await askFor({ type })).error, undefined)
  await next(({ type }) => type === 'restarted')
  await next(({ type, state }) => type === 'state' && state === 'running')
  assert.equal((await askFor({ type: 'type', text: 'ls\r\n' })).error, undefined)
  await askFor({ type: 'key', code: 'ControlLeft', pressed: true })
  assert.deepEqual(machine.input.events, ['type ls\n', '+ControlLeft'])
  await machine.print(1, 'hello')
  await next(({ type, name }) => type === 'port' && name === 'COM2')
  assert.match(String((await askFor({ type: 'eject', drive: 'cdrom0' })).error), /the guest holds the medium of cdrom0/)
  assert.equal((await askFor({ type: 'eject', drive: 'cdrom0', force: true })).error, undefined)
  await askFor({ type: 'off' })
  assert.deepEqual(await next(({ type }) => type === 'ended'), { type: 'ended', end: { reason: 'destroyed' } })
  assert.deepEqual(machine.done, ['paused', 'running', 'power', 'reset', 'eject cdrom0', 'off'])
})

test('keys that a page held are released when it goes', async () => {
  const { machine, port } = await serve()
  const { socket, askFor } = await control(port)
  await askFor({ type: 'key', code: 'AltLeft', pressed: true })
  socket.terminate()
  await until(() => machine.input.events.includes('-AltLeft'))
})

test('what a page asks wrongly is a sentence, and what is no question ends it', async () => {
  const { port, machine } = await serve()
  const { socket, askFor } = await control(port)
  for (const [asked, sentence] of [
    [{ type: 'fly' }, /the page asks for what this typetwo does not know: reload it/],
    [{ type: 'insert', drive: 'cdrom0', name: 'x.iso' }, /no folder of media was allowed/],
    [{ type: 'eject', drive: 'disk0', force: true }, /there is no drive 'disk0' whose medium could be changed/],
    [{ type: 'eject', drive: { a: 1 } }, /there is no drive/],
    [{ type: 'type', text: 'x'.repeat(70_000) }, /at most 65536 characters are typed at once/],
  ] as const)
    assert.match(String((await askFor(asked)).error), sentence)
  await askFor({ type: 'key', code: 'x'.repeat(100_000), pressed: true })
  assert.deepEqual(machine.input.events, [])
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.send('no JSON')
  assert.equal(await closed, 1008)
  for (const text of ['null', '[]', '"x"', '{"type":7}', '{}']) {
    const { socket } = await control(port)
    const closed = new Promise(resolve => socket.on('close', resolve))
    socket.send(text)
    assert.equal(await closed, 1008, text)
  }
})

test('a serial port is shown with what it said before, and takes what is typed', async () => {
  const { machine, port } = await serve()
  await machine.print(0, 'x'.repeat(100_000))
  await machine.print(0, 'login: ')
  const socket = (await connect(port, '/serial/COM1')) as WebSocket
  let text = ''
  socket.on('message', data => {
    text += String(data)
  })
  socket.resume()
  await until(() => text.endsWith('login: '))
  assert.equal(text.length, 65_536)
  await machine.print(0, 'more')
  await until(() => text.endsWith('login: more'))
  socket.send(Buffer.from('root\r'))
  await until(() => machine.received[0] === 'root\r')
})

test('a page that reads no serial port does not hold the guest back for ever', async () => {
  const { machine, port } = await serve()
  assert.ok((await connect(port, '/serial/COM1')) instanceof WebSocket)
  for (let n = 0; n < 200; n++) await machine.print(0, 'x'.repeat(65_536))
})

test('media of the allowed folder, and none from elsewhere', async () => {
  const mediaFolder = join(folder, 'media')
  mkdirSync(join(mediaFolder, 'sub.iso'), { recursive: true })
  for (const name of ['b.iso', 'a.img', '.hidden.iso', 'notes.txt'])
    writeFileSync(join(mediaFolder, name), 'x'.repeat(10))
  writeFileSync(join(folder, 'secret.iso'), 'secret')
  symlinkSync('../secret.iso', join(mediaFolder, 'out.iso'))
  symlinkSync('b.iso', join(mediaFolder, 'c.iso'))
  const { machine, port } = await serve({ mediaFolder })
  const { askFor } = await control(port)
  const list = async () => (await askFor({ type: 'media' })).media
  assert.deepEqual(await list(), [
    { name: 'a.img', size: 10 },
    { name: 'b.iso', size: 10 },
    { name: 'c.iso', size: 10 },
  ])
  assert.equal((await askFor({ type: 'insert', drive: 'cdrom0', name: 'b.iso' })).error, undefined)
  assert.deepEqual(machine.done, [`insert cdrom0 ${join(mediaFolder, 'b.iso')} {"readOnly":true}`])
  for (const name of [
    '../secret.iso',
    'out.iso',
    'sub.iso',
    '.hidden.iso',
    'notes.txt',
    '/etc/passwd',
    'none.iso',
    'a\0.iso',
    '',
  ])
    assert.match(String((await askFor({ type: 'insert', drive: 'cdrom0', name })).error), /^there is no image/)

  const put = (name: string, body: string, headers = {}) =>
    ask(port, `/media/${name}`, { method: 'PUT', body, headers })
  assert.equal((await put('new%20one.iso', 'new')).status, 201)
  assert.equal(readFileSync(join(mediaFolder, 'new one.iso'), 'utf8'), 'new')
  for (const [name, sentence] of [
    ['b.iso', /'b\.iso' is in the folder already/],
    ['x.txt', /is no name for an image/],
    ['..%2Fy.iso', /is no name for an image/],
    ['.z.iso', /is no name for an image/],
    ['%0A.iso', /is no name for an image/],
    ['%E0.iso', /URI malformed/],
  ] as const) {
    const { status, text } = await put(name, 'new')
    assert.equal(status, 409, name)
    assert.match(text, sentence)
  }
  assert.equal((await put('d.iso', 'x', { origin: 'http://evil.example' })).status, 403)
  // One that breaks off leaves nothing.
  await new Promise<void>(resolve => {
    const request = httpRequest({
      port,
      host: '127.0.0.1',
      path: '/media/half.iso',
      method: 'PUT',
      headers: { 'content-length': 1000 },
    })
    request.on('error', () => resolve())
    request.write('half')
    void until(() => readdirSync(mediaFolder).some(name => name.includes('half'))).then(() => request.destroy())
  })
  await until(() => !readdirSync(mediaFolder).some(name => name.includes('half')))
  const elsewhere = await serve()
  assert.equal((await ask(elsewhere.port, '/media/x.iso', { method: 'PUT', body: 'x' })).status, 404)
})

test('what cannot be is one sentence', async () => {
  const { port } = await serve()
  for (const [options, sentence] of [
    [
      { port },
      /^--display web=127\.0\.0\.1:\d+: port \d+ is in use at 127\.0\.0\.1: choose another, or end what uses it$/,
    ],
    [{ mediaFolder: '/no/where' }, /the folder of media '\/no\/where' cannot be used: it does not exist$/],
    [{ mediaFolder: import.meta.filename }, /' is no folder$/],
    [
      { certificate: { cert: '/no/cert', key: '/no/key' } },
      /the certificate '\/no\/cert' cannot be read: it does not exist$/,
    ],
  ] as const)
    await assert.rejects(serve(options), { name: 'UserError', message: sentence })
})

test('messages at random end in nothing worse than a closed page', async () => {
  const { machine, port } = await serve()
  let seed = 5
  const next = (most: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return (seed >>> 8) % most
  }
  const words = [
    'type',
    'power',
    'reset',
    'pause',
    'resume',
    'key',
    'insert',
    'eject',
    'media',
    'id',
    'code',
    'drive',
    'name',
    'text',
    'pressed',
    'cdrom0',
    'KeyA',
  ]
  const value = (depth: number): unknown =>
    [
      words[next(words.length)],
      next(1e9),
      null,
      true,
      [],
      depth > 2 ? 0 : { [words[next(words.length)]]: value(depth + 1) },
    ][next(6)]
  for (let round = 0; round < 40; round++) {
    const path = ['/control', '/rfb', '/serial/COM1'][round % 3]
    const socket = (await connect(port, path)) as WebSocket
    socket.resume()
    for (let n = 0; n < 30; n++) {
      if (socket.readyState !== socket.OPEN) break
      const asked = { type: words[next(9)], id: n, ...Object.fromEntries([[words[next(words.length)], value(0)]]) }
      socket.send(next(3) ? JSON.stringify(asked) : Buffer.from(Array.from({ length: next(200) }, () => next(256))))
    }
    socket.close()
  }
  const { askFor } = await control(port)
  assert.equal((await askFor({ type: 'power' })).error, undefined)
  assert.equal(machine.done.at(-1), 'power')
})

test('a message that is too long ends the page', async () => {
  const { port } = await serve()
  const { socket } = await control(port)
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.send('x'.repeat(2 << 20))
  assert.equal(await closed, 1009)
})
