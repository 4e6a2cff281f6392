/** Machines and clients over real sockets: names, what is left behind, and clients that misbehave. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ControlTarget, controlCommand } from '../../control/command.ts'
import { CONTROL_COMMANDS } from '../../control/commands.ts'
import { connectMachine, listMachines } from './control-client.ts'
import { openControl } from './control-server.ts'
import { listenUnix } from './unix-socket.ts'

const root = mkdtempSync(join(tmpdir(), 'typetwo-control-'))
after(() => rmSync(root, { recursive: true }))

let folders = 0
/** A place of its own for machines. */
function place() {
  const runtime = join(root, String(folders++))
  mkdirSync(runtime)
  return {
    environment: { XDG_RUNTIME_DIR: runtime, XDG_CACHE_HOME: join(runtime, 'cache') },
    folder: join(runtime, 'typetwo'),
  }
}

/** A machine that is still being made. */
const target = (name: string): ControlTarget => ({
  name,
  machine: undefined,
  ports: [],
  facts: { boots: 'nothing' },
  started: new Date(0),
  usage: () => ({ pid: process.pid, cpuSeconds: 1, residentBytes: 2 }),
  powerOff() {},
})

const release: (() => void)[] = []
const commands = {
  ...CONTROL_COMMANDS,
  echo: controlCommand({ parameters: { text: 'string' }, run: async (_, { text }) => text }),
  never: controlCommand({ parameters: {}, run: () => new Promise(resolve => void release.push(() => resolve(1))) }),
}
for (const name of ['echo', 'never'] as const) Object.assign(commands[name], { early: true })

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 1))
}

/** A client without manners. */
function raw(path: string) {
  const got = { socket: createConnection(path), text: '', closed: false }
  got.socket.on('data', bytes => {
    got.text += bytes
  })
  got.socket.on('close', () => {
    got.closed = true
  })
  got.socket.on('error', () => {})
  return got
}

test('a machine is found by its name, and gone when it has ended', async () => {
  const { environment, folder } = place()
  const server = await openControl({ name: 'web1', target, environment })
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal(statSync(join(folder, 'web1.socket')).mode & 0o077, 0)
  const client = await connectMachine('web1', { environment })
  assert.deepEqual(client.greeting, { typetwo: 1, name: 'web1', pid: process.pid })
  const [listed] = await listMachines({ environment })
  assert.deepEqual({ ...listed }, await client.call('info'))
  assert.equal(listed.state, 'starting')
  await assert.rejects(client.call('pause'), /^Error: machine 'web1' is still being made: try again in a moment$/)
  await assert.rejects(client.call('puase'), /^Error: machine 'web1' knows no command 'puase', but info, /)
  await assert.rejects(client.call('power', {}), /needs a string as its parameter 'action'/)
  await assert.rejects(client.call('power', { action: 'of' }), /'off', 'reset' or 'press', not 'of'/)
  await assert.rejects(client.call('info', { x: 1 }), /has no parameter 'x'/)
  await server.close()
  await client.closed
  assert.deepEqual(readdirSync(folder), [])
  await assert.rejects(
    connectMachine('web1', { environment }),
    /^UserError: there is no running machine 'web1': none runs$/,
  )
  assert.deepEqual(await listMachines({ environment }), [])
})

test('names: made up, in use, impossible', async () => {
  const { environment } = place()
  const servers = await Promise.all(Array.from({ length: 5 }, () => openControl({ target, environment })))
  for (const { name } of servers) assert.match(name, /^[a-z]+-[a-z]+$/)
  assert.equal(new Set(servers.map(({ name }) => name)).size, 5)
  assert.deepEqual(
    (await listMachines({ environment })).map(({ name }) => name),
    servers.map(({ name }) => name).sort(),
  )
  const [{ name }] = servers
  await assert.rejects(
    openControl({ name, target, environment }),
    /^UserError: a machine '.*' runs already: give another name/,
  )
  // Also where the session has no runtime folder now.
  const { XDG_RUNTIME_DIR: _, ...other } = environment
  const elsewhere = await openControl({ name: 'elsewhere', target, environment: other })
  await assert.rejects(openControl({ name: 'elsewhere', target, environment }), /runs already/)
  await connectMachine('elsewhere', { environment })
  for (const bad of ['', '../x', 'a/b', '.hidden', '-x', 'a b', 'x'.repeat(64), 'ü'])
    await assert.rejects(openControl({ name: bad, target, environment }), /can be no machine's name/)
  await Promise.all([...servers, elsewhere].map(server => server.close()))
})

test('what a killed machine leaves is recognised and removed', async () => {
  const { environment, folder } = place()
  mkdirSync(folder)
  const kill = (name: string) => {
    const path = JSON.stringify(join(folder, `${name}.socket`))
    const script = `require('net').createServer().listen(${path}, () => process.kill(process.pid, 'SIGKILL'))`
    assert.throws(() => execFileSync(process.execPath, ['-e', script]))
  }
  kill('dead')
  assert.ok(existsSync(join(folder, 'dead.socket')))
  assert.deepEqual(await listMachines({ environment }), [])
  assert.deepEqual(readdirSync(folder), [])
  kill('dead')
  kill('other')
  await assert.rejects(connectMachine('dead', { environment }), /there is no running machine 'dead': none runs$/)
  kill('dead')
  // Of many who want the name one gets it.
  const claims = await Promise.allSettled(
    Array.from({ length: 8 }, () => openControl({ name: 'dead', target, environment })),
  )
  const servers = claims.filter(claim => claim.status === 'fulfilled').map(({ value }) => value)
  assert.equal(servers.length, 1)
  await connectMachine('dead', { environment })
  await servers[0].close()
})

test('a folder that others can open is closed to them; one that is no folder is refused', async () => {
  const { environment, folder } = place()
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  await (await openControl({ name: 'a', target, environment })).close()
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  rmSync(folder, { recursive: true })
  writeFileSync(folder, '')
  await assert.rejects(
    openControl({ target, environment }),
    /^UserError: the folder of running machines '.*' cannot be used: it is no folder$/,
  )
})

test('garbage, lines without end and clients that vanish do no harm', async () => {
  const { environment, folder } = place()
  const server = await openControl({ name: 'hard', target, environment, commands })
  const path = join(folder, 'hard.socket')
  for (const [sent, error] of [
    ['hello\n', 'a line is not JSON'],
    ['[]\n', 'a line is not a JSON object'],
    ['{"command":"info"}\n', 'a request needs a number as its id'],
    ['{"id":1}\n', 'a request needs the name of its command'],
    ['{"id":1,"command":"info","parameters":3}\n', 'parameters are an object'],
    [Buffer.of(0xff, 0xfe, 10), 'a line is not UTF-8'],
    ['x'.repeat(1.1 * 2 ** 20), `a line is longer than ${2 ** 20} bytes`],
  ] as const) {
    const client = raw(path)
    client.socket.write(sent)
    await until(() => client.closed)
    assert.deepEqual(
      client.text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
        .slice(1),
      [{ error }],
    )
  }
  for (const prototype of ['constructor', '__proto__', 'toString']) {
    const client = raw(path)
    client.socket.write(`{"id":1,"command":"${prototype}"}\n{"id":2,"command":"echo","parameters":{"text":"x"}}\n`)
    await until(() => client.text.includes('"id":2'))
    assert.match(client.text, /knows no command/)
    client.socket.destroy()
  }
  for (let i = 0; i < 200; i++) {
    const client = raw(path)
    client.socket.write('{"id":1,"command":"echo","parameters":{"text":"lost"}}\n{"id":2,"com', () =>
      client.socket.destroy(),
    )
    if (i % 20 === 0) await until(() => client.closed)
  }
  const client = await connectMachine('hard', { environment })
  assert.equal(await client.call('echo', { text: 'still there' }), 'still there')
  await client.close()
  await server.close()
})

test('who asks and ends gets the answer', async () => {
  const { environment, folder } = place()
  const server = await openControl({ name: 'half', target, environment, commands })
  const client = raw(join(folder, 'half.socket'))
  client.socket.end('{"id":1,"command":"echo","parameters":{"text":"x"}}\n')
  await until(() => client.closed)
  assert.match(client.text, /^\{"typetwo".*\n\{"id":1,"result":"x"\}\n$/)
  await server.close()
})

test('requests that wait, answers that nobody takes, and connections without end are bounded', async () => {
  const { environment, folder } = place()
  const server = await openControl({ name: 'busy', target, environment, commands })
  const path = join(folder, 'busy.socket')
  const client = raw(path)
  let line = ''
  for (let i = 0; i < 40; i++) line += `{"id":${i},"command":"never"}\n`
  client.socket.write(line)
  await until(() => release.length === 16)
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(release.length, 16, 'the others wait')
  await until(() => {
    release.shift()?.()
    return (client.text.match(/"result"/g) ?? []).length === 40
  })
  // Someone who asks and never reads: what is kept for them is bounded by the requests under way.
  const stalled = createConnection(path)
  stalled.pause()
  stalled.on('error', () => {})
  const echo = `{"id":1,"command":"echo","parameters":{"text":"${'y'.repeat(500_000)}"}}\n`
  let written = 0
  const more = () =>
    stalled.write(echo, () => {
      written++
      if (written < 100) more()
    })
  more()
  await new Promise(resolve => setTimeout(resolve, 300))
  assert.ok(written < 40, `${written} requests were taken of one who takes no answers`)
  const crowd: ReturnType<typeof raw>[] = []
  for (let i = 0; i < 70; i++) crowd.push(raw(path))
  await until(() => crowd.filter(({ closed }) => closed).length === 8)
  for (const { socket } of crowd) socket.destroy()
  stalled.destroy()
  client.socket.destroy()
  await server.close()
})

test('what answers in no time, or as no machine does', async () => {
  const { environment, folder } = place()
  mkdirSync(folder)
  const connections: Socket[] = []
  for (const [name, said] of [
    ['mute', ''],
    ['other', 'SSH-2.0\n'],
    ['newer', '{"typetwo":99,"name":"newer","pid":1}\n'],
    ['ends', undefined],
  ] as const) {
    const server = createServer(socket => {
      connections.push(socket)
      socket.on('error', () => {})
      if (said === undefined) socket.end()
      else socket.write(said)
    })
    await listenUnix(server, join(folder, `${name}.socket`))
    server.unref()
  }
  const connect = (name: string, patience = 60_000) => connectMachine(name, { environment, patience })
  await assert.rejects(connect('mute', 50), /^UserError: machine 'mute' does not answer: its process may be stopped/)
  await assert.rejects(connect('other'), /a line is not JSON/)
  await assert.rejects(connect('newer'), /version 99 of the protocol/)
  await assert.rejects(connect('ends'), /the connection ended before/)
  assert.deepEqual(
    (await listMachines({ environment, patience: 50 })).map(({ name, state }) => `${name} ${state}`),
    ['ends', 'mute', 'newer', 'other'].map(name => `${name} not answering`),
  )
  for (const socket of connections) socket.destroy()
})
