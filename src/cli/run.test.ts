import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { MachineError } from '../machine/machine.ts'
import { FakeHost, NO_STATS } from './fake-host.ts'
import { program } from './program.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-run-'))
after(() => rmSync(folder, { recursive: true }))

const kernel = join(folder, 'kernel')
const initrd = join(folder, 'initrd')
writeFileSync(kernel, 'a kernel')
writeFileSync(initrd, 'an initrd')

/** Lets everything happen until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

let starts = 0

/** Starts `typetwo run` and waits until the machine runs. */
async function start(words: string[] = [], prepare: (host: FakeHost) => void = () => {}) {
  const host = new FakeHost()
  prepare(host)
  const status = program(['run', '--kernel', kernel, '--name', `run${starts++}`, ...words], host)
  await until(() => host.machine.started)
  return { host, status, machine: host.machine }
}

/** A person's terminal. */
function terminal(host: FakeHost): void {
  host.stdin.isTTY = host.stdout.isTTY = host.stderr.isTTY = true
  host.stdout.columns = 100
  host.stdout.rows = 30
}

for (const [end, status, sentence] of [
  [{ reason: 'poweroff' }, 0, /^$/],
  [{ reason: 'reset' }, 3, /^typetwo: the guest reset the machine, which --no-reboot makes its end\n$/],
  [{ reason: 'triple-fault', message: 'at 0x10' }, 4, /^typetwo: .* triple fault: at 0x10\n$/],
  [{ reason: 'debug-exit', code: 33 }, 33, /^$/],
  [{ reason: 'error', message: 'the engine broke' }, 1, /^typetwo: the engine broke\n$/],
] as const) {
  test(`the guest ends by ${end.reason}`, async () => {
    const { host, machine, status: promise } = await start()
    await machine.print('hello')
    machine.end(end)
    assert.equal(await promise, status)
    assert.equal(host.stdout.text, 'hello')
    assert.match(host.stderr.text, sentence)
  })
}

test('what the machine is made of', async () => {
  const words = ['--initrd', initrd, '--append', 'a=b', '--memory', '64M', '--engine', 'interpreter']
  const { host, machine, status } = await start([...words, '--clock', 'instructions', '--no-reboot'])
  machine.end({ reason: 'poweroff' })
  await status
  const { kernel: image, initrd: disk, ...rest } = host.request!
  assert.equal(Buffer.from(await image!()).toString(), 'a kernel')
  // A reset reads it anew.
  assert.equal(Buffer.from(await image!()).toString(), 'a kernel')
  assert.equal(Buffer.from(await disk!()).toString(), 'an initrd')
  assert.deepEqual(rest, {
    memory: 64 * 2 ** 20,
    commandLine: 'a=b',
    engine: 'interpreter',
    clock: 'instructions',
    reboot: false,
    boot: undefined,
    firmware: undefined,
    variables: undefined,
  })
})

test('a kernel that is not a bzImage gets modules, a bzImage an initrd of any name', async () => {
  const { host, machine, status } = await start(['--initrd', `${kernel} console=hvc0,${initrd}`])
  machine.end({ reason: 'poweroff' })
  await status
  const { modules = [] } = host.request!
  assert.deepEqual(
    modules.map(({ text }) => text),
    [`${kernel} console=hvc0`, initrd],
  )
  assert.equal(Buffer.from(await modules[1].image()).toString(), 'an initrd')
  assert.equal(host.request!.initrd, undefined)

  const linux = join(folder, 'bzImage')
  writeFileSync(linux, `${'\0'.repeat(0x202)}HdrS`)
  writeFileSync(join(folder, 'the initrd, for it'), 'another')
  const direct = await start(['--kernel', linux, '--initrd', join(folder, 'the initrd, for it')])
  direct.machine.end({ reason: 'poweroff' })
  await direct.status
  assert.equal(direct.host.request!.modules, undefined)
  assert.equal(Buffer.from(await direct.host.request!.initrd!()).toString(), 'another')
})

test('--uefi starts the machine in UEFI firmware, with its variables in a file', async () => {
  const host = new FakeHost()
  host.firmwareFiles.ovmf = [kernel, initrd]
  const status = program(['run', '--uefi', 'vars.fd'], host)
  while (!host.machine.started) await new Promise(resolve => setTimeout(resolve, 1))
  host.machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  assert.deepEqual(host.opened, [['vars.fd', initrd]])
  assert.equal((await host.request!.variables!.read()).length, 4096)
  assert.equal(Buffer.from(await host.request!.firmware!()).toString(), 'a kernel')
})

test('--bios and --boot start the machine in firmware, without a kernel', async () => {
  const host = new FakeHost()
  host.firmwareFiles.seabios = [kernel, initrd]
  const status = program(['run', '--boot', 'order=cdrom,menu=on'], host)
  while (!host.machine.started) await new Promise(resolve => setTimeout(resolve, 1))
  host.machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  assert.equal(host.request!.kernel, undefined)
  assert.deepEqual(host.request!.boot, { order: ['cdrom'], menu: true })
  assert.equal(Buffer.from(await host.request!.videoBios!()).toString(), 'an initrd')
  assert.equal(Buffer.from(await host.request!.firmware!()).toString(), 'a kernel')
})

for (const [words, sentence] of [
  [['--kernel', kernel, '--boot', 'menu=on'], /^typetwo: --boot is for firmware, and a kernel is loaded without/],
  [['--bios', kernel, '--append', 'x'], /^typetwo: --append is for a kernel, and firmware boots a disk/],
  [['--bios', 'nowhere'], /^typetwo: the firmware 'nowhere' cannot be read/],
] as const)
  test(`refused: ${words.join(' ')}`, async () => {
    const host = new FakeHost()
    assert.notEqual(await program(['run', ...words], host), 0)
    assert.match(host.stderr.text, sentence)
  })

test('a bzImage without a command line talks to the serial port, another kernel gets none', async () => {
  const image = Buffer.alloc(0x300)
  image.write('HdrS', 0x202)
  const path = join(folder, 'bzImage')
  writeFileSync(path, image)
  for (const [words, commandLine] of [
    [['--kernel', path], 'console=ttyS0'],
    [['--kernel', path, '--append', ''], ''],
    [['--kernel', kernel], ''],
  ] as const) {
    const { host, machine, status } = await start([...words])
    machine.end({ reason: 'poweroff' })
    await status
    assert.equal(host.request!.commandLine, commandLine)
  }
})

test('the default guest hears of the terminal', async () => {
  const piped = 'console=ttyS0 quiet TYPETWO_INPUT=pipe TERM=dumb'
  for (const [prepare, words, commandLine, holdInput] of [
    [
      terminal,
      ['--append', 'debug'],
      'console=ttyS0 quiet TYPETWO_ROWS=30 TYPETWO_COLUMNS=100 TERM=xterm debug',
      false,
    ],
    [() => {}, ['--append', 'debug'], `${piped} debug`, true],
    [() => {}, ['--append', 'a=b rdinit=/bin/sh'], `${piped} a=b rdinit=/bin/sh`, false],
    [() => {}, ['--initrd', initrd], piped, false],
  ] as const) {
    const host = new FakeHost()
    host.guest = { kernel, initrd, append: 'console=ttyS0 quiet' }
    prepare(host)
    const status = program(['run', ...words], host)
    await until(() => host.machine.started)
    host.machine.end({ reason: 'poweroff' })
    await status
    assert.equal(host.request!.commandLine, commandLine)
    assert.equal(host.request!.holdInput, holdInput, 'input waits for the guest that says when it listens')
  }
})

test('piped input waits for the guest, and its end does not end the guest', async () => {
  const listening = Promise.withResolvers<void>()
  const { host, machine, status } = await start([], host => {
    host.machine.deaf = listening.promise
  })
  let sent = ''
  for (let i = 0; i < 500; i++) {
    const line = `line ${i} ${'x'.repeat(i)}\n`
    sent += line
    host.stdin.push(line)
  }
  host.stdin.push(null)
  await turn()
  assert.equal(machine.received, '')
  listening.resolve()
  await until(() => machine.received.length === sent.length)
  assert.equal(machine.received, sent)
  assert.equal(machine.destroyed, false)
  machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  assert.equal(host.stderr.text, '')
})

test('empty input is worth a sentence', async () => {
  const { host, machine, status } = await start()
  host.stdin.push(null)
  await until(() => host.stderr.text !== '')
  assert.match(host.stderr.text, /^typetwo: standard input is empty and no terminal/)
  machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
})

test('keys go to the guest raw, the escape key quits, the terminal is restored', async () => {
  const { host, machine, status } = await start([], terminal)
  assert.equal(host.stdin.raw, true)
  assert.match(host.stderr.text, /^typetwo: Ctrl-\] quits/)
  host.stdin.push('ls\x03')
  await until(() => machine.received === 'ls\x03')
  await machine.print('\x1b[?1049h')
  host.stdin.push('a\x1db')
  assert.equal(await status, 0)
  assert.equal(machine.received, 'ls\x03a')
  assert.equal(machine.destroyed, true)
  assert.equal(host.stdin.raw, false)
  assert.equal(host.stdout.text, '\x1b[?1049h\x1b[?1049l')
  assert.equal(host.events.listenerCount('exit'), 0)
})

test('the escape key works though the guest does not read', async () => {
  const { host, status } = await start([], host => {
    terminal(host)
    host.machine.deaf = new Promise(() => {})
  })
  for (let i = 0; i < 20; i++) host.stdin.push('x'.repeat(100_000))
  await until(() => /is dropped\n/.test(host.stderr.text))
  host.stdin.push('\x1d')
  assert.equal(await status, 0)
})

test('the size of the window reaches the guest', async () => {
  const { host, machine, status } = await start([], terminal)
  host.stdout.columns = 80
  host.stdout.emit('resize')
  assert.deepEqual(machine.sizes, ['100x30', '80x30'])
  machine.end({ reason: 'poweroff' })
  await status
  assert.equal(host.stdout.listenerCount('resize'), 0)
})

test('a terminal that cannot be set is one sentence', async () => {
  const host = new FakeHost()
  terminal(host)
  host.stdin.rawFailure = new Error('setRawMode EIO')
  assert.equal(await program(['run', '--kernel', kernel], host), 1)
  assert.match(
    host.stderr.text,
    /^typetwo: the terminal at standard input cannot be set to raw keys \(setRawMode EIO\).*\n$/,
  )
  assert.equal(host.machine.destroyed, true)
})

for (const [signal, expected] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGINT', 130],
] as const) {
  test(`${signal} ends the machine and restores the terminal`, async () => {
    const { host, machine, status } = await start([], terminal)
    host.events.emit(signal)
    assert.equal(await status, expected)
    assert.equal(machine.destroyed, true)
    assert.equal(host.stdin.raw, false)
  })
}

test('the end of the process restores the terminal, whatever its reason', async () => {
  const { host, machine, status } = await start([], terminal)
  host.events.emit('exit')
  assert.equal(host.stdin.raw, false)
  machine.end({ reason: 'poweroff' })
  await status
})

test('a stopped process gives the terminal back and takes it again', async () => {
  const { host, machine, status } = await start([], terminal)
  host.events.emit('SIGTSTP')
  assert.deepEqual([host.stdin.raw, host.suspended], [false, 1])
  host.events.emit('SIGCONT')
  assert.equal(host.stdin.raw, true)
  machine.end({ reason: 'poweroff' })
  await status
})

test('a slow reader gets everything before typetwo ends', async () => {
  const reading = Promise.withResolvers<void>()
  const { host, machine, status } = await start([], host => {
    host.stdout.held = reading.promise
  })
  const text = 'y'.repeat(100_000)
  const printed = Promise.all([machine.print(text), machine.print(text), machine.print('end')])
  machine.end({ reason: 'poweroff' })
  for (let i = 0; i < 20; i++) await turn()
  assert.equal(host.stdout.text, '')
  reading.resolve()
  await printed
  assert.equal(await status, 0)
  assert.equal(host.stdout.text, `${text}${text}end`)
})

test('a reader who leaves ends the run', async () => {
  const { machine, status } = await start([], host => {
    host.stdout.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
  })
  machine.print('hello').catch(() => {})
  assert.equal(await status, 141)
  assert.equal(machine.destroyed, true)
})

test('statistics go to standard error at the end', async () => {
  const { host, machine, status } = await start(['--stats'])
  machine.end({ reason: 'poweroff', stats: { ...NO_STATS, instructions: 12345 } })
  assert.equal(await status, 0)
  assert.match(host.stderr.text, /^guest instructions +12,345$/m)
  assert.equal(host.stdout.text, '')
})

test('statistics also when a person quits', async () => {
  const { host, status } = await start(['--stats'], terminal)
  host.stdin.push('\x1d')
  assert.equal(await status, 0)
  assert.match(host.stderr.text, /^guest instructions +7$/m)
})

test('COM1 in a file: the terminal and its input are left alone', async () => {
  const path = join(folder, 'com1')
  const { host, machine, status } = await start(['--serial', `file:${path}`], terminal)
  await machine.print('hello')
  host.stdin.push('typed')
  machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  assert.equal(readFileSync(path, 'utf8'), 'hello')
  assert.deepEqual([host.stdin.raw, host.stdin.listenerCount('data'), machine.received], [false, 0, ''])
  assert.equal(host.stdout.text + host.stderr.text, '')
})

test('COM1 by TCP', async () => {
  const { host, machine, status } = await start(['--serial', 'tcp::0'])
  await until(() => /^typetwo: COM1: listens at tcp:127\.0\.0\.1:\d+\n$/.test(host.stderr.text))
  const socket = createConnection(Number(/:(\d+)\n/.exec(host.stderr.text)![1]), '127.0.0.1')
  let text = ''
  socket.on('data', bytes => {
    text += bytes
  })
  socket.write('ls\n')
  await until(() => machine.received === 'ls\n')
  await machine.print('a b c')
  machine.end({ reason: 'poweroff' })
  assert.equal(await status, 0)
  await until(() => socket.closed)
  assert.equal(text, 'a b c')
})

test('a port that cannot be opened: a sentence, and no machine', async () => {
  const host = new FakeHost()
  const words = ['--serial', 'stdio', '--serial', 'unix:/no/where/socket']
  assert.equal(await program(['run', '--kernel', kernel, ...words], host), 1)
  assert.match(host.stderr.text, /^typetwo: unix:\/no\/where\/socket cannot be listened at: .*\n$/)
  assert.equal(host.request, undefined)
})

for (const [words, text] of [
  [[], ''],
  [['--verbose'], 'typetwo: unknown port 0x1234\ntypetwo: the guest starts again (reset)\n'],
] as const)
  test(`what the machine notices, ${words.length ? 'where asked for' : 'is not said unasked'}`, async () => {
    const { host, machine, status } = await start([...words])
    machine.dispatchEvent(new CustomEvent('log', { detail: 'unknown port 0x1234' }))
    machine.dispatchEvent(new CustomEvent('restart', { detail: 'reset' }))
    machine.end({ reason: 'poweroff' })
    await status
    assert.equal(host.stderr.text, text)
  })

test('a reset after a panic tells what the kernel said', async () => {
  const { host, machine, status } = await start(['--no-reboot'])
  await machine.print('[ 1.0] Kernel panic - not syncing: no init found\r\n')
  machine.end({ reason: 'reset' })
  assert.equal(await status, 3)
  assert.match(host.stderr.text, /^typetwo: .*--no-reboot.*'Kernel panic - not syncing: no init found'\n$/)
})

test('a signal while the machine is made ends typetwo', async () => {
  const host = new FakeHost()
  host.createMachine = () => {
    host.events.emit('SIGTERM')
    return new Promise(() => {})
  }
  assert.equal(await program(['run', '--kernel', kernel], host), 143)
})

test('a machine that cannot be made is one sentence', async () => {
  const host = new FakeHost()
  host.refusal = new Error('the kernel is no kernel')
  assert.equal(await program(['run', '--kernel', kernel], host), 1)
  assert.equal(host.stderr.text, 'typetwo: the kernel is no kernel\n')
})

test('what is wrong with a kernel or an initrd names the file', async () => {
  for (const [sentence, named] of [
    ['the ELF kernel is truncated', `--kernel ${kernel}: `],
    ['the initrd is empty', `--initrd ${kernel}: `],
    ['the command line is too long for this kernel', ''],
  ]) {
    const host = new FakeHost()
    host.refusal = new MachineError(sentence)
    assert.equal(await program(['run', '--kernel', kernel, '--initrd', kernel], host), 1)
    assert.equal(host.stderr.text, `typetwo: ${named}${sentence}\n`)
  }
})

for (const [words, status, message] of [
  [['run'], 1, /^typetwo: there is no default guest\n$/],
  [['run', '--kernel', join(folder, 'none')], 1, /^typetwo: the kernel '.*none' cannot be read: it does not exist\n$/],
  [['run', '--kernel', kernel, '--initrd', folder], 1, /^typetwo: the initrd '.*' cannot be read: it is a folder\n$/],
  [['run', '--memory', '2G'], 1, /^typetwo: --memory '2G' is more than this host has free \(1G\).*\n$/],
  [['run', '--engine', 'x'], 2, /^typetwo run: --engine is auto, .*\n$/],
  [['rnu'], 2, /^typetwo: there is no command rnu; did you mean run\? \(.*\n$/],
  [['--stats'], 2, /^typetwo: there is no option --stats; options come after a command, .*\n$/],
  [[], 2, /^typetwo: a type 2 hypervisor/],
] as const) {
  test(`typetwo ${words.join(' ').replaceAll(folder, '')}: a message and status ${status}`, async () => {
    const host = new FakeHost()
    assert.equal(await program(words, host), status)
    assert.match(host.stderr.text, message)
    assert.equal(host.stdout.text, '')
  })
}

for (const words of [['--help'], ['-h'], ['help'], ['help', 'run'], ['run', '--help'], ['--version']]) {
  test(`typetwo ${words.join(' ')} prints to standard output`, async () => {
    const host = new FakeHost()
    assert.equal(await program(words, host), 0)
    assert.match(host.stdout.text, /^typetwo/)
    assert.equal(host.stderr.text, '')
  })
}
