/** The commands that act on running machines, against `typetwo run` with a guest that is the test. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import type { Drive } from '../machine/machine.ts'
import { FakeHost } from './fake-host.ts'
import { formatSeconds } from './machines.ts'
import { program } from './program.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-cli-control-'))
after(() => rmSync(folder, { recursive: true }))
const kernel = join(folder, 'kernel')
writeFileSync(kernel, 'a kernel')

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 1))
}

let names = 0

/** A machine that runs. */
async function start(words: string[] = [], prepare: (host: FakeHost) => void = () => {}) {
  const host = new FakeHost()
  prepare(host)
  const name = `machine${names++}`
  const status = program(['run', '--kernel', kernel, '--name', name, ...words], host)
  await until(() => host.machine.started)
  return { name, host, machine: host.machine, status }
}

/** A command from another terminal. */
function command(words: string[], prepare: (host: FakeHost) => void = () => {}) {
  const host = new FakeHost()
  prepare(host)
  return { host, status: program(words, host) }
}

async function outcome(...words: string[]) {
  const { host, status } = command(words)
  return { status: await status, out: host.stdout.text, err: host.stderr.text }
}

/** A person's terminal. */
function terminal(host: FakeHost): void {
  host.stdin.isTTY = host.stdout.isTTY = true
  host.stdout.columns = 100
  host.stdout.rows = 30
}

test('ls and info tell of a machine; JSON has all of it', async () => {
  const { name, machine, status } = await start(['--memory', '64M', '--serial', 'none', '--serial', 'tcp::0'])
  const { out } = await outcome('ls')
  assert.match(out, /^NAME +PID +STATE +MEMORY +CPU +UP +BOOTS\n/)
  assert.match(out, new RegExp(`^${name} +${process.pid} +running +64M +[\\d.]+s +[\\d.]+s +${kernel}$`, 'm'))
  const listed = JSON.parse((await outcome('ls', '--json')).out)
  const told = JSON.parse((await outcome('info', name, '--json')).out)
  const strip = ({ cpuSeconds: _, residentBytes: __, ...rest }: Record<string, unknown>) => rest
  assert.deepEqual(strip(listed.find((machine: { name: string }) => machine.name === name)), strip(told))
  assert.equal(told.facts.memory, 64 << 20)
  const page = (await outcome('info', name)).out
  assert.match(page, /^state +running$/m)
  assert.match(page, /^COM2 +tcp:127\.0\.0\.1:\d+$/m)
  assert.match(page, /^LPT1 +none$/m)
  machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  assert.equal((await outcome('ls')).out.includes(name), false)
})

test('pause, resume, and the three things that power does', async () => {
  const { name, host, machine, status } = await start()
  for (const words of [
    ['pause', name],
    ['resume', name],
    ['power', name, 'reset'],
    ['power', name, 'press'],
  ])
    assert.deepEqual(await outcome(...words), { status: 0, out: '', err: '' })
  assert.deepEqual(machine.done, ['pause', 'resume', 'reset', 'power'])
  const off = new FakeHost()
  let waited = 0
  Object.assign(off.control, { processEnd: async (pid: number) => void (waited = pid) })
  assert.equal(await program(['power', name, 'off'], off), 0)
  assert.equal(waited, process.pid)
  assert.equal(await status, 0)
  assert.equal(machine.destroyed, true)
  assert.equal(host.stderr.text, "typetwo: turned off by 'typetwo power'\n")
})

test('several attach to a port, and all see the same; input of any reaches the guest', async () => {
  const { name, host, machine, status } = await start(['--serial', 'none'])
  await machine.print('before ')
  const first = command(['console', name], terminal)
  await until(() => first.host.stdout.text === 'before ')
  const second = command(['console', name])
  second.host.stdin.push('from a pipe\n')
  await until(() => machine.received === 'from a pipe\n')
  await machine.print('both')
  await until(() => second.host.stdout.text === 'both' && first.host.stdout.text === 'before both')
  assert.match(first.host.stderr.text, new RegExp(`^typetwo: Ctrl-\\] detaches from COM1 of machine '${name}'; every`))
  assert.equal(first.host.stdin.raw, true)
  await until(() => machine.sizes.length > 0)
  assert.deepEqual(machine.sizes, ['100x30'])
  first.host.stdout.columns = 80
  first.host.stdout.emit('resize')
  await until(() => machine.sizes.length > 1)
  assert.deepEqual(machine.sizes, ['100x30', '80x30'])
  first.host.stdin.push('typed\x03\x1dlost')
  assert.equal(await first.status, 0)
  await until(() => machine.received === 'from a pipe\ntyped\x03')
  assert.equal(first.host.stdin.raw, false)
  await machine.print(' more')
  machine.end({ reason: 'poweroff' })
  assert.equal(await second.status, 0)
  assert.equal(second.host.stdout.text, 'both more')
  assert.equal(second.host.stderr.text, `typetwo: machine '${name}' has ended\n`)
  assert.equal(await status, 0)
  assert.equal(host.stdout.text, '')
})

test('the terminal that the machine was started in stays connected', async () => {
  const { name, host, machine, status } = await start()
  const other = command(['console', name])
  other.host.stdin.push('x')
  await until(() => machine.received === 'x')
  await machine.print('seen')
  await until(() => other.host.stdout.text === 'seen' && host.stdout.text === 'seen')
  machine.end({ reason: 'poweroff' })
  await Promise.all([status, other.status])
})

test('a console with piped input ends when nothing has come for so long, or by a signal, or with its reader', async () => {
  const { name, machine, status } = await start()
  const idle = command(['console', name, '--idle', '0.05'])
  idle.host.stdin.push('ls\n')
  await until(() => machine.received === 'ls\n')
  await machine.print('a b c')
  await until(() => idle.host.stdout.text === 'a b c')
  idle.host.stdin.push(null)
  assert.equal(await idle.status, 0)
  assert.equal(idle.host.stdout.text, 'a b c')
  assert.equal(idle.host.stderr.text, '')
  const signalled = command(['console', name])
  await until(() => signalled.host.events.listenerCount('SIGTERM') > 0)
  signalled.host.events.emit('SIGTERM')
  assert.equal(await signalled.status, 143)
  const left = command(['console', name], host => {
    host.stdout.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
  })
  left.host.stdin.push('.')
  await until(() => machine.received === 'ls\n.')
  await machine.print('nobody')
  assert.equal(await left.status, 141)
  machine.end({ reason: 'poweroff' })
  await status
})

test('eject and insert: paths are those of whoever asks, a drive that is not there is a sentence', async () => {
  const calls: unknown[] = []
  const drive = {
    name: 'cdrom0',
    kind: 'cdrom',
    bus: 'ide',
    medium: '/a.iso',
    eject: async (options: object) => void calls.push(['eject', options]),
    insert: async (path: string, options: object) => {
      calls.push(['insert', path, options])
      if (path.endsWith('bad')) throw new Error('image is bad')
    },
  } as unknown as Drive
  const { name, machine, status } = await start([], host => Object.assign(host.machine, { drives: [drive] }))
  assert.match((await outcome('info', name)).out, /^cdrom0 +cdrom at ide: \/a\.iso$/m)
  assert.deepEqual(await outcome('eject', name, 'cdrom0'), { status: 0, out: '', err: '' })
  assert.equal((await outcome('insert', name, 'cdrom0', 'b.iso', '--force')).status, 0)
  assert.deepEqual(await outcome('insert', name, 'cdrom0', '/bad'), {
    status: 1,
    out: '',
    err: 'typetwo: image is bad\n',
  })
  const wait = 5000
  assert.deepEqual(calls, [
    ['eject', { force: undefined, wait }],
    ['insert', resolve('b.iso'), { readOnly: undefined, force: true, wait }],
    ['insert', '/bad', { readOnly: undefined, force: undefined, wait }],
  ])
  assert.equal(
    (await outcome('eject', name, 'disk0')).err,
    `typetwo: machine '${name}' has no drive 'disk0' whose medium can be changed: there are cdrom0\n`,
  )
  machine.end({ reason: 'poweroff' })
  await status
})

test('a name in use is one sentence, and nothing else is begun', async () => {
  const { name, machine, status } = await start()
  const file = join(folder, 'precious')
  writeFileSync(file, 'content')
  const { host, status: refused } = command(['run', '--kernel', kernel, '--name', name, '--serial', `file:${file}`])
  assert.equal(await refused, 1)
  assert.match(host.stderr.text, new RegExp(`^typetwo: a machine '${name}' runs already: .*\\n$`))
  assert.equal(host.request, undefined)
  assert.equal((await import('node:fs')).readFileSync(file, 'utf8'), 'content')
  machine.end({ reason: 'poweroff' })
  await status
})

test('a machine without a name is given one, or goes without', async () => {
  const host = new FakeHost()
  const status = program(['run', '--kernel', kernel], host)
  await until(() => host.machine.started)
  const [, name] = /^typetwo: this machine is called ([a-z]+-[a-z]+)\n$/.exec(host.stderr.text) ?? []
  assert.ok(name)
  assert.equal((await outcome('pause', name)).status, 0)
  host.machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  const { UserError } = await import('../hosts/node/user-error.ts')
  const without = new FakeHost()
  Object.assign(without.control, { open: () => Promise.reject(new UserError('there is no folder')) })
  const other = program(['run', '--kernel', kernel], without)
  await until(() => without.machine.started)
  assert.equal(without.stderr.text, 'typetwo: the machine gets no name and cannot be controlled: there is no folder\n')
  without.machine.end({ reason: 'poweroff' })
  assert.equal(await other, 0)
})

test('run --detach prints the name; in the background COM1 leads nowhere', async () => {
  const host = new FakeHost()
  Object.assign(host.control, { startInBackground: async () => ({ name: 'web1' }) })
  assert.equal(await program(['run', '--kernel', kernel, '--detach'], host), 0)
  assert.deepEqual([host.stdout.text, host.stderr.text, host.request], ['web1\n', '', undefined])
  Object.assign(host.control, { startInBackground: async () => ({ status: 3 }) })
  assert.equal(await program(['run', '--kernel', kernel, '--detach'], host), 3)
  const refused = await outcome('run', '--kernel', kernel, '--detach', '--serial', 'stdio')
  assert.equal(refused.status, 2)
  assert.match(refused.err, /^typetwo: --serial stdio is this terminal, which --detach leaves/)
  let told = ''
  const background = new FakeHost()
  terminal(background)
  background.guest = { kernel, initrd: kernel, append: 'console=ttyS0' }
  Object.assign(background.control, { background: (name: string) => void (told = name) })
  const status = program(['run', '--detach', '--name', 'behind'], background)
  await until(() => told !== '')
  assert.equal(told, 'behind')
  assert.equal(background.machine.started, true)
  await background.machine.print('unseen')
  assert.deepEqual([background.stdin.raw, background.stdout.text], [false, ''])
  // Whoever attaches is taken for a person.
  assert.equal(background.request!.commandLine, 'console=ttyS0 TERM=xterm')
  assert.equal(background.request!.holdInput, false)
  background.machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
})

for (const [words, status, sentence] of [
  [['console', 'nobody'], 1, /^typetwo: there is no running machine 'nobody': /],
  [['console', '../x'], 1, /^typetwo: '\.\.\/x' can be no machine's name/],
  [['console'], 2, /^typetwo console: NAME is missing/],
  [['console', 'x', '--port', '5'], 2, /^typetwo console: --port is 1, 2, 3 or 4, not '5'/],
  [['console', 'x', '--idle', 'soon'], 2, /^typetwo: --idle 'soon' is no number of seconds/],
  [['power', 'x', 'on'], 2, /^typetwo power: ACTION is off, reset or press, not 'on'/],
  [['power', 'x'], 2, /^typetwo power: ACTION is missing/],
  [['insert', 'x', 'cdrom0'], 2, /^typetwo insert: FILE is missing/],
  [['run', '--kernel', kernel, '--name', 'a b'], 1, /^typetwo: 'a b' can be no machine's name/],
] as const)
  test(`refused: ${words.join(' ').replace(folder, '')}`, async () => {
    const { status: actual, err, out } = await outcome(...words)
    assert.deepEqual([actual, out], [status, ''])
    assert.match(err, sentence)
    assert.equal(err.trim().split('\n').length, 1)
  })

test('times for people', () => {
  assert.deepEqual([0, 4.27, 59.9, 60, 3725, 93784].map(formatSeconds), [
    '0s',
    '4.2s',
    '59s',
    '1m 0s',
    '1h 2m',
    '1d 2h',
  ])
})
