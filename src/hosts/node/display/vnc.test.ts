import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { desKey } from '../../../display/rfb/handshake.ts'
import { ENCODING } from '../../../display/rfb/protocol.ts'
import { NOVNC_FORMAT, TestViewer } from '../../../display/rfb/test-viewer.ts'
import { rgb, TestInput, TestScreen } from '../../../display/test-screen.ts'
import type { ShownMachine } from './display.ts'
import { SocketConnection } from './socket-connection.ts'
import { encryptDes, openVnc, type VncDisplay, type VncOptions } from './vnc.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-vnc-'))
const listeners: VncDisplay[] = []
after(async () => {
  await Promise.all(listeners.map(listener => listener.close()))
  rmSync(folder, { recursive: true })
})

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

async function serve(options: Partial<VncOptions> = {}) {
  const screen = TestScreen.picture(320, 200)
  const { keyboard, mouse } = new TestInput()
  const notes: string[] = []
  const listener = await openVnc({ host: '127.0.0.1', port: 0, ...options }, sentence => void notes.push(sentence))
  listener.show({
    machine: { screen, keyboard, mouse } as unknown as ShownMachine,
    name: 'test',
    ports: [],
    turnOff() {},
  })
  listeners.push(listener)
  return { listener, screen, notes, port: listener.address.port }
}

async function open(socket: Socket): Promise<TestViewer> {
  return TestViewer.create(new SocketConnection(socket, 'server', true))
}

/** A viewer that sees the screen. */
async function opened(port: number): Promise<TestViewer> {
  const socket = connectTcp(port, '127.0.0.1')
  await once(socket, 'connect')
  return TestViewer.open(new SocketConnection(socket, 'server', true))
}

const isShown = ({ picture }: TestViewer, { pixels }: TestScreen) =>
  Buffer.from(pixels.buffer).equals(Buffer.from(picture.data.buffer))

async function see(viewer: TestViewer, screen: TestScreen): Promise<void> {
  await viewer.setPixelFormat(NOVNC_FORMAT)
  await viewer.setEncodings(ENCODING.tight)
  await viewer.request(false)
  await viewer.update()
  assert.deepEqual(new Uint32Array(viewer.picture.data.buffer), screen.pixels)
}

async function authenticate(viewer: TestViewer, password: string): Promise<number> {
  const { reader } = viewer
  const challenge = await reader.bytes(16)
  const key = desKey(password)
  await viewer.send([...encryptDes(key, challenge.subarray(0, 8)), ...encryptDes(key, challenge.subarray(8))])
  await reader.need(4)
  return reader.u32()
}

test('single DES is that of FIPS 46', () => {
  const key = Buffer.from('0123456789abcdef', 'hex')
  assert.equal(Buffer.from(encryptDes(key, Buffer.from('Now is t'))).toString('hex'), '3fa40e8a984d4815')
  // VNC takes the bits of a password's characters the other way round, and zeros behind its end.
  assert.deepEqual([...desKey('a\x01\x80')], [0x86, 0x80, 0x01, 0, 0, 0, 0, 0])
})

test('a viewer comes by TCP, with a password', async () => {
  const { port, screen, notes } = await serve({ passwordFile: file('password', 'secret\n') })
  const viewer = await open(connectTcp(port, '127.0.0.1'))
  await viewer.reader.bytes(12)
  await viewer.send(new TextEncoder().encode('RFB 003.008\n'))
  await viewer.reader.bytes(2)
  await viewer.send([2])
  assert.equal(await authenticate(viewer, 'secret'), 0)
  await viewer.begin()
  await see(viewer, screen)
  assert.deepEqual(notes, [])
  viewer.close()
})

test('films are right in every viewer, whose pieces share buffers, one that reads late too', async () => {
  const { port, screen } = await serve()
  const viewers = [await opened(port), await opened(port), await opened(port)]
  screen.resize(1024, 768)
  screen.noise(0)
  for (const viewer of viewers) {
    await viewer.setPixelFormat(NOVNC_FORMAT)
    await viewer.setEncodings(ENCODING.tight, ENCODING.desktopSize)
    await viewer.request(false)
  }
  const shown = async (viewer: TestViewer) => {
    for (;;) {
      await viewer.update()
      if (isShown(viewer, screen)) return
      await viewer.request(true)
    }
  }
  const [late, ...others] = viewers
  for (const viewer of others) await shown(viewer)
  for (let n = 1; n <= 6; n++) {
    screen.noise(n)
    for (const viewer of others) await viewer.request(true)
    for (const viewer of others) await shown(viewer)
  }
  await shown(late)
  for (const viewer of viewers) viewer.close()
})

test('with a certificate, viewers come by TLS, with or without a password, or not at all', async () => {
  const key = join(folder, 'key.pem')
  const cert = join(folder, 'cert.pem')
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-keyout', key, '-out', cert],
    ],
    { stdio: 'ignore' },
  )
  for (const [subtype, passwordFile] of [
    [260, undefined],
    [261, file('password2', 'secret')],
  ] as const) {
    const { port, screen, notes } = await serve({ certificate: { cert, key }, passwordFile })
    const socket = connectTcp(port, '127.0.0.1')
    const plain = new SocketConnection(socket, 'server', true)
    const read = async (count: number) => {
      const bytes: number[] = []
      while (bytes.length < count) bytes.push(...((await plain.read()) ?? assert.fail('the server has gone')))
      return bytes
    }
    await read(12)
    await plain.write(new TextEncoder().encode('RFB 003.008\n'))
    assert.deepEqual(await read(2), [1, 19])
    await plain.write(Uint8Array.of(19))
    assert.deepEqual(await read(2), [0, 2])
    await plain.write(Uint8Array.of(0, 2))
    assert.deepEqual(await read(6), [0, 1, 0, 0, subtype >> 8, subtype & 255])
    await plain.write(Uint8Array.of(0, 0, subtype >> 8, subtype & 255))
    assert.deepEqual(await read(1), [1])
    socket.removeAllListeners('data')
    const viewer = await open(connectTls({ socket, rejectUnauthorized: false }))
    if (passwordFile) assert.equal(await authenticate(viewer, 'secret'), 0)
    else assert.deepEqual([...(await viewer.reader.bytes(4))], [0, 0, 0, 0])
    await viewer.begin()
    await see(viewer, screen)
    viewer.close()
    // None but VeNCrypt was offered, so this is no way in.
    const other = await open(connectTcp(port, '127.0.0.1'))
    await other.reader.bytes(12)
    await other.send(new TextEncoder().encode('RFB 003.008\n'))
    await other.reader.bytes(2)
    await other.send([1])
    await assert.rejects(other.reader.bytes(1))
    assert.match(notes.join(), /chose security type 1, which was not offered/)
  }
})

test('a viewer that takes nothing is dropped in the end', async () => {
  const { promise, resolve } = Promise.withResolvers<Socket>()
  const server = createServer(resolve)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const silent = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  const connection = new SocketConnection(await promise, 'viewer', false, { stallTime: 100 })
  await assert.rejects(async () => {
    for (;;) await connection.write(new Uint8Array(1 << 20))
  }, /the viewer has gone/)
  silent.destroy()
  server.close()
})

test('what cannot be is one sentence', async () => {
  const taken = await serve()
  const noPassword = file('empty', '\nsecret\n')
  for (const [options, sentence] of [
    [
      { port: taken.port },
      /^--display vnc=127\.0\.0\.1:\d+: port \d+ is in use at 127\.0\.0\.1: choose another, or end what uses it$/,
    ],
    [
      { host: '0.0.0.0', port: 0 },
      /everyone who reaches this address could use the machine: add password-file=FILE, or listen at 127\.0\.0\.1$/,
    ],
    [{ host: '::' }, /everyone who reaches this address/],
    [{ host: '192.0.2.1', passwordFile: file('p', 'x') }, /this host has no address 192\.0\.2\.1$/],
    [{ host: 'no such host' }, /'no such host' is no address of this host: /],
    [{ passwordFile: join(folder, 'none') }, /the password file '.*none' cannot be read: it does not exist$/],
    [{ passwordFile: noPassword }, /begins with an empty line, not a password$/],
    [{ passwordFile: file('greek', 'αβγ') }, /has characters that VNC does not know: use Latin letters$/],
    [
      { certificate: { cert: join(folder, 'none'), key: 'x' } },
      /the certificate '.*none' cannot be read: it does not exist$/,
    ],
    [{ certificate: { cert: noPassword, key: noPassword } }, /are no certificate and its key, as PEM \(/],
  ] as const)
    await assert.rejects(serve(options), { name: 'UserError', message: sentence })
})

test('what is weak is noted', async () => {
  const path = file('long', 'more than eight')
  chmodSync(path, 0o644)
  const { notes } = await serve({ passwordFile: path })
  assert.match(
    notes.join('\n'),
    /others can read the password in '.*': chmod 600 it\n.*only the first 8 characters of the password count/,
  )
})

test('the picture is that of the screen after changes by TCP', async () => {
  const { port, screen } = await serve()
  const viewer = await TestViewer.open(new SocketConnection(connectTcp(port, '127.0.0.1'), 'server', true))
  await see(viewer, screen)
  screen.fill({ x: 10, y: 10, width: 100, height: 100 }, rgb(9, 8, 7))
  screen.show()
  await viewer.request(true)
  await viewer.update()
  assert.deepEqual(new Uint32Array(viewer.picture.data.buffer), screen.pixels)
  viewer.close()
})
