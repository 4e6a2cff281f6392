import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { SerialChannel } from '../../machine/serial-channel.ts'
import { SerialHub } from '../../machine/serial-hub.ts'
import { openSerialLine, type SerialPlace } from './serial-line.ts'
import { connectUnix, listenUnix } from './unix-socket.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-serial-'))
after(() => rmSync(folder, { recursive: true }))

const encode = (text: string) => new TextEncoder().encode(text)
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 1))
}

/** A place plugged into a port whose guest is the test. */
async function setUp(place: SerialPlace) {
  const notes: string[] = []
  const line = await openSerialLine(place, sentence => void notes.push(sentence))
  const guest = { input: '', connected: true, credit: 0 }
  const channel = new SerialChannel(
    bytes => {
      guest.input += Buffer.from(bytes).toString()
    },
    count => {
      guest.credit += count
    },
    connected => {
      guest.connected = connected
    },
  )
  const hub = new SerialHub(channel)
  line.plug(hub)
  const print = (text: string) => channel.deliver(encode(text))
  return { line, notes, guest, channel, hub, print }
}

/** A client that keeps what it gets. */
function client(socket: Socket) {
  const got = { socket, text: '', closed: false }
  socket.on('data', bytes => {
    got.text += bytes
  })
  socket.on('close', () => {
    got.closed = true
  })
  socket.on('error', () => {})
  return got
}
const dial = (name: string) => client(createConnection(Number(name.split(':').at(-1)), '127.0.0.1'))

test('a file: made anew, or added to, complete when the line is closed', async () => {
  const path = join(folder, 'log')
  writeFileSync(path, 'before ')
  for (const [append, expected] of [
    [true, 'before 1'],
    [false, '1'],
  ] as const) {
    const { line, print, channel, hub, guest } = await setUp({ kind: 'file', path, append })
    assert.equal(guest.connected, true)
    print('1')
    channel.end()
    await hub.ended
    await line.close()
    assert.equal(readFileSync(path, 'utf8'), expected)
  }
})

test('a file keeps what it holds where no machine comes to be', async () => {
  const path = join(folder, 'kept')
  writeFileSync(path, 'precious')
  const line = await openSerialLine({ kind: 'file', path }, () => {})
  await line.close()
  assert.equal(readFileSync(path, 'utf8'), 'precious')
})

test('a file on a full disk is said once, and counted', { skip: !existsSync('/dev/full') }, async () => {
  const { line, print, channel, hub, notes } = await setUp({ kind: 'file', path: '/dev/full' })
  print('12')
  await until(() => notes.length > 0)
  print('345')
  channel.end()
  await hub.ended
  await line.close()
  assert.match(notes.join(), /^file '\/dev\/full' cannot be written \(the disk is full\)[^,]*$/)
  assert.equal(line.dropped, 5)
})

test('TCP: what nobody heard, then all that connect; without them the cable is out', async () => {
  const { line, print, guest, notes, channel, hub } = await setUp({ kind: 'tcp', host: '127.0.0.1', port: 0 })
  assert.match(line.name, /^tcp:127\.0\.0\.1:\d+$/)
  assert.deepEqual(notes, [`listens at ${line.name}`])
  assert.equal(guest.connected, false)
  print('early ')
  const first = dial(line.name)
  await until(() => first.text === 'early ')
  assert.equal(guest.connected, true)
  const second = dial(line.name)
  await until(() => line.connections === 2)
  print('both')
  await until(() => second.text === 'both' && first.text === 'early both')
  second.socket.end('x'.repeat(100_000))
  await until(() => guest.input.length === 100_000 && line.connections === 1)
  first.socket.resetAndDestroy()
  await until(() => !guest.connected)
  const last = dial(line.name)
  await until(() => line.connections === 1)
  print('bye')
  channel.end()
  await hub.ended
  await line.close()
  await until(() => last.closed)
  assert.equal(last.text, 'bye')
})

test('a client that stalls does not hold the guest for ever, nor make memory grow', async () => {
  const { line, print, guest, channel } = await setUp({ kind: 'tcp', host: '127.0.0.1', port: 0 })
  const stalled = createConnection(Number(line.name.split(':').at(-1)), '127.0.0.1')
  stalled.pause()
  await until(() => line.connections === 1)
  const piece = 'y'.repeat(64 * 1024)
  let sent = 0
  for (; line.dropped === 0; sent += piece.length) {
    print(piece)
    await until(() => guest.credit >= sent)
  }
  for (let i = 0; i < 100; i++) print(piece)
  sent += 100 * piece.length
  await until(() => guest.credit === sent)
  assert.ok(line.dropped >= 100 * piece.length)
  stalled.destroy()
  channel.end()
  await line.close()
})

test('more connections than there may be are closed', async () => {
  const { line } = await setUp({ kind: 'tcp', host: '127.0.0.1', port: 0 })
  const clients = Array.from({ length: 20 }, () => dial(line.name))
  await until(() => clients.filter(({ closed }) => closed).length === 4 && line.connections === 16)
  await line.close()
  await until(() => clients.every(({ closed }) => closed))
})

test('a Unix socket: only its owner, replaced where its process is gone, gone at the end', async () => {
  const path = join(folder, 'socket')
  const { line, guest } = await setUp({ kind: 'unix', path })
  assert.equal(statSync(path).mode & 0o077, 0)
  const peer = client(await connectUnix(path))
  peer.socket.write('hello')
  await until(() => guest.input === 'hello')
  await assert.rejects(
    openSerialLine({ kind: 'unix', path }, () => {}),
    /^UserError: unix:.*another program listens there/,
  )
  await line.close()
  assert.equal(existsSync(path), false)
  // A process that was killed leaves its socket.
  const { execFileSync } = await import('node:child_process')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  assert.throws(() => execFileSync(process.execPath, ['-e', script]))
  assert.ok(existsSync(path))
  const { line: again } = await setUp({ kind: 'unix', path })
  await again.close()
})

test('a path that is longer than the address of a socket', { skip: process.platform !== 'linux' }, async () => {
  const deep = join(folder, 'a'.repeat(100), 'b'.repeat(100))
  mkdirSync(deep, { recursive: true })
  const path = join(deep, 'socket')
  const { line, print } = await setUp({ kind: 'unix', path })
  const peer = client(await connectUnix(path))
  await until(() => line.connections === 1)
  print('far')
  await until(() => peer.text === 'far')
  await line.close()
  assert.equal(existsSync(path), false)
})

test('connecting, and again after the other side went', async () => {
  const path = join(folder, 'outside')
  const accepted: Socket[] = []
  const serve = async () => {
    const server = createServer(socket => void accepted.push(socket))
    assert.ok(await listenUnix(server, path))
    return server
  }
  const close = (server: Server) => new Promise(resolve => server.close(resolve))
  const server = await serve()
  const { line, print, notes, guest } = await setUp({ kind: 'unix', path, connect: true })
  await until(() => accepted.length === 1)
  const first = client(accepted[0])
  print('1')
  await until(() => first.text === '1')
  first.socket.destroy()
  await close(server)
  await until(() => notes.length > 0)
  assert.match(notes[0], /^the connection to unix:.*,connect is gone; it is tried again every 2 seconds$/)
  assert.equal(guest.connected, false)
  const server2 = await serve()
  await until(() => accepted.length === 2)
  await line.close()
  await close(server2)
})

const busy = createServer()
await new Promise<void>(resolve => busy.listen(0, '127.0.0.1', resolve))
const { port } = busy.address() as AddressInfo
after(() => busy.close())
writeFileSync(join(folder, 'plain'), 'precious')
for (const [place, sentence] of [
  [
    { kind: 'tcp', host: '127.0.0.1', port },
    /^tcp:127\.0\.0\.1:\d+ cannot be listened at: it is in use: choose another port/,
  ],
  [{ kind: 'tcp', host: '203.0.113.77', port: 0 }, /cannot be listened at: this host has no such address$/],
  [{ kind: 'tcp', host: '127.0.0.1', port: 1, connect: true }, /cannot be connected to: nobody listens there$/],
  [{ kind: 'unix', path: join(folder, 'nobody'), connect: true }, /cannot be connected to: it does not exist$/],
  [{ kind: 'unix', path: join(folder, 'plain') }, /something else than a socket is at '.*plain': remove it/],
  [{ kind: 'unix', path: join(folder, 'no', 'folder') }, /cannot be listened at: /],
  [{ kind: 'file', path: join(folder, 'no', 'folder') }, /^file '.*' cannot be written: it does not exist$/],
  [{ kind: 'file', path: folder }, /^file '.*' cannot be written: it is a folder$/],
] as [SerialPlace, RegExp][])
  test(`refused: ${JSON.stringify(place).replaceAll(folder, '').replace(String(port), 'busy')}`, async () => {
    await assert.rejects(
      openSerialLine(place, () => {}),
      error => {
        assert.ok(error instanceof Error && error.name === 'UserError', String(error))
        assert.match(error.message, sentence)
        return true
      },
    )
    assert.equal(readFileSync(join(folder, 'plain'), 'utf8'), 'precious')
  })
