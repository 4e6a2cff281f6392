import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SerialChannel } from '../machine/serial-channel.ts'
import { SerialHub } from '../machine/serial-hub.ts'
import { ControlClient } from './client.ts'
import { type ControlTarget, controlCommand } from './command.ts'
import { CONTROL_COMMANDS } from './commands.ts'
import { type ByteStreams, LineReader, ProtocolError } from './protocol.ts'
import { serveControl } from './serve.ts'

const encode = (text: string) => new TextEncoder().encode(text)
const turn = () => new Promise(resolve => setTimeout(resolve, 1))

/** Two connected ends. */
function pair(): [ByteStreams, ByteStreams] {
  const [there, back] = [new TransformStream<Uint8Array, Uint8Array>(), new TransformStream<Uint8Array, Uint8Array>()]
  return [
    { readable: there.readable, writable: back.writable },
    { readable: back.readable, writable: there.writable },
  ]
}

/** A machine with a serial port whose guest is the test. */
function setUp() {
  let input = ''
  const channel = new SerialChannel(
    bytes => {
      input += Buffer.from(bytes).toString()
      channel.taken(bytes.length)
    },
    () => {},
    () => {},
  )
  const hub = new SerialHub(channel)
  const done: string[] = []
  const target = {
    name: 'test',
    machine: {
      state: 'running',
      drives: [],
      pause: async () => void done.push('pause'),
      stats: () => new Promise(() => {}),
    },
    ports: [{ name: 'COM1', leads: 'none', hub }],
    facts: {},
    started: new Date(0),
    usage: () => ({ pid: 1, cpuSeconds: 2, residentBytes: 3 }),
    powerOff: () => void done.push('off'),
  } as unknown as ControlTarget
  return { channel, hub, target, done, input: () => input }
}

/** A connection to it. */
function serve(target: ControlTarget, options: Partial<Parameters<typeof serveControl>[2]> = {}) {
  const [server, streams] = pair()
  const served = serveControl(server, target, { commands: CONTROL_COMMANDS, ...options })
  return { served, streams }
}

test('lines: in pieces, several at once, too long, not UTF-8', () => {
  const reader = new LineReader(10)
  for (const byte of encode('ä{"a"')) {
    reader.push(Uint8Array.of(byte))
    assert.equal(reader.next(), undefined)
  }
  reader.push(encode('}\n\n0123456789\nrest'))
  assert.deepEqual(
    [reader.next(), reader.next(), reader.next(), reader.next()],
    ['ä{"a"}', '', '0123456789', undefined],
  )
  assert.equal(new TextDecoder().decode(reader.rest()), 'rest')
  reader.push(encode('0123456789a'))
  assert.throws(() => reader.next(), /longer than 10 bytes/)
  const other = new LineReader(10)
  other.push(encode('0123456789a\n'))
  assert.throws(() => other.next(), ProtocolError)
  other.push(Uint8Array.of(0xc3, 10))
  assert.throws(() => other.next(), /not UTF-8/)
  const many = new LineReader(1e6)
  for (let i = 0; i < 5000; i++) many.push(encode('x'))
  many.push(encode('\n'))
  assert.equal(many.next(), 'x'.repeat(5000))
})

test('a console: bytes both ways from the line of the result on; nothing else goes with it', async () => {
  const { channel, hub, target, input } = setUp()
  const { streams, served } = serve(target)
  const client = await ControlClient.connect(streams)
  channel.deliver(encode('unheard '))
  const { result, streams: console } = await client.stream('console', { port: 'COM1' })
  assert.deepEqual(result, { port: 'COM1' })
  const reader = console.readable.getReader()
  const read = async () => Buffer.from((await reader.read()).value!).toString()
  assert.equal(await read(), 'unheard ')
  const writer = console.writable.getWriter()
  await writer.write(encode('{"id":2}\n\0\xff'))
  while (input() === '') await turn()
  assert.equal(input(), '{"id":2}\n\0\xff')
  channel.deliver(encode('last'))
  channel.end()
  assert.equal(await read(), 'last')
  assert.equal((await reader.read()).done, true)
  await served
  assert.equal(hub.peers, 0)
})

test('a console that is refused leaves the connection as it was; it is unplugged with its connection', async () => {
  const { hub, target, done } = setUp()
  const { streams, served } = serve(target)
  const client = await ControlClient.connect(streams)
  await assert.rejects(client.stream('console', { port: 'COM9' }), /has no serial port 'COM9'/)
  await client.call('pause')
  assert.deepEqual(done, ['pause'])
  await client.stream('console')
  assert.equal(hub.peers, 1)
  await client.close()
  await served
  assert.equal(hub.peers, 0)
})

test('a stream begins when everything before is answered', async () => {
  const { target } = setUp()
  const never = controlCommand({ parameters: {}, run: () => new Promise(resolve => setTimeout(() => resolve(1), 5)) })
  const { streams } = serve(target, { commands: { ...CONTROL_COMMANDS, never } })
  const client = await ControlClient.connect(streams)
  const slow = client.call('never')
  let answered = false
  void slow.then(() => (answered = true))
  await client.stream('console')
  assert.equal(answered, true)
  await client.close()
})

test('who asks for nothing is sent away; a console is not', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  const { target, channel } = setUp()
  const idle = await ControlClient.connect(serve(target, { idle: 20 }).streams)
  const busy = await ControlClient.connect(serve(target, { idle: 20 }).streams)
  const { streams } = await busy.stream('console')
  for (let i = 0; i < 3; i++) {
    mock.timers.tick(19)
    await idle.call('pause')
  }
  mock.timers.tick(20)
  await idle.closed
  await assert.rejects(idle.call('pause'), /machine 'test' has ended/)
  mock.timers.tick(1000)
  channel.deliver(encode('still'))
  const { value } = await streams.readable.getReader().read()
  assert.equal(Buffer.from(value!).toString(), 'still')
  await busy.close()
})

test('who does not take an answer is sent away', async () => {
  const { target } = setUp()
  const [server, client] = pair()
  const served = serveControl(server, target, { commands: CONTROL_COMMANDS, idle: 20 })
  const writer = client.writable.getWriter()
  writer.write(encode('{"id":1,"command":"power","parameters":{"action":"off"}}\n')).catch(() => {})
  await served
  void client
})

test('info is there though the machine does not tell its counts', async () => {
  const { target } = setUp()
  const client = await ControlClient.connect(serve(target).streams)
  const info = (await client.call('info')) as { guest: unknown; state: string }
  assert.deepEqual([info.guest, info.state], [null, 'running'])
  await client.call('power', { action: 'off' })
  await assert.rejects(client.call('resize', { columns: 0, rows: 5 }), /cannot have 0 columns and 5 rows/)
  await client.close()
})
