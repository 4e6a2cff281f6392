/** The commands as a script uses them, on Debian's kernel in the background; and that nothing is left of a machine that was killed. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { debianGuest } from './debian.ts'
import { ECHO, multibootKernel, print } from './tiny-kernel.ts'

const typetwo = new URL('../../bin/typetwo', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'typetwo-control-'))
const env = { ...process.env, XDG_RUNTIME_DIR: folder }
after(async () => {
  for (const { pid } of JSON.parse((await run('ls', '--json')).out)) if (pid) process.kill(pid, 'SIGKILL')
  rmSync(folder, { recursive: true })
})
const timeout = 600_000

/** Runs a command to its end. */
function run(...words: string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise(resolve => {
    execFile(typetwo, words, { env, encoding: 'utf8' }, (error, out, err) => {
      resolve({ status: error ? Number(error.code) : 0, out, err })
    })
  })
}

/** Waits for something that comes soon, if the host is not very busy. */
async function until(condition: () => boolean, what: () => string): Promise<void> {
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 10_000, `waited in vain for ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** A console with its input open. */
function attach(...words: string[]) {
  const child = spawn(typetwo, ['console', ...words], { env })
  const seen = { text: '', ended: new Promise<number>(resolve => child.on('exit', code => resolve(code ?? -1))) }
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', bytes => {
      seen.text += bytes
    })
  return Object.assign(seen, {
    type: (text: string) => child.stdin.write(text),
    until: (pattern: RegExp) =>
      until(
        () => pattern.test(seen.text),
        () => `${pattern} in ${JSON.stringify(seen.text)}`,
      ),
  })
}

const guest = await debianGuest()
test('a machine in the background: consoles, a CD that is changed, a pause, its end', {
  skip: typeof guest === 'string' && guest,
  timeout,
}, async () => {
  const cds = ['one', 'two'].map(name => {
    const path = join(folder, `${name}.iso`)
    writeFileSync(path, Buffer.alloc(65536, `${name}\n`))
    return path
  })
  const log = join(folder, 'com3')
  // The kernel by name: with drives and nothing else firmware would look for a system there.
  const options = [
    '--append',
    'quiet',
    '--cdrom',
    cds[0],
    '--serial',
    'none',
    '--serial',
    'tcp::0',
    '--serial',
    `file:${log}`,
  ]
  assert.deepEqual(await run('run', '--name', 'web1', '--detach', ...options), { status: 0, out: 'web1\n', err: '' })
  const consoles = [attach('web1'), attach('web1')]
  // What one types all see; what was said before goes to the first of them.
  await Promise.race(consoles.map(console => console.until(/# .*$/)))
  consoles[0].type('echo $((6 * 7)); head -c 4 /dev/sr0; echo to com3 >/dev/ttyS2\n')
  for (const console of consoles) await console.until(/42\r\none\r\n/)
  await until(
    () => readFileSync(log, 'utf8') === 'to com3\r\n',
    () => 'com3',
  )

  const told = JSON.parse((await run('info', 'web1', '--json')).out)
  assert.equal(told.state, 'running')
  const port = Number(/:(\d+)$/.exec(told.ports[1].leads)![1])
  const client = createConnection(port, '127.0.0.1')
  let received = ''
  client.on('data', bytes => {
    received += bytes
  })
  await new Promise(resolve => client.once('connect', resolve))
  consoles[1].type('cat <$(echo /dev/ttyS1) & sleep 1; echo to com2 >/dev/ttyS1\n')
  await until(
    () => received.includes('to com2'),
    () => `com2 in ${received}`,
  )
  client.end('from com2\n')
  await consoles[0].until(/from com2\r\n/)

  // A mounted or open CD is locked: asked for, it stays; pulled, it goes.
  consoles[0].type('exec 7</dev/sr0; echo op""en\n')
  await consoles[0].until(/open\r\n/)
  const held = await run('eject', 'web1', 'cdrom0')
  assert.deepEqual([held.status, held.out], [1, ''])
  assert.match(held.err, /^typetwo: the guest holds the medium of drive 'cdrom0'; it was asked to let it go\n$/)
  consoles[0].type('exec 7<&-; echo clo""sed\n')
  await consoles[0].until(/closed\r\n/)
  assert.deepEqual(await run('insert', 'web1', 'cdrom0', cds[1]), { status: 0, out: '', err: '' })
  assert.match((await run('info', 'web1')).out, /^cdrom0 .*two\.iso$/m)
  consoles[0].type('until head -c 4 /dev/sr0 2>/dev/null; do sleep 0.1; done\n')
  await consoles[0].until(/two\r\n/)

  assert.equal((await run('pause', 'web1')).status, 0)
  assert.match((await run('ls')).out, /^web1 +\d+ +paused +256M /m)
  assert.equal((await run('resume', 'web1')).status, 0)
  assert.match((await run('run', '--name', 'web1', '--detach')).err, /^typetwo: a machine 'web1' runs already: .*\n$/)
  consoles[0].type('poweroff -f\n')
  for (const console of consoles) {
    assert.equal(await console.ended, 0)
    assert.match(console.text, /typetwo: machine 'web1' has ended\n$/)
  }
  assert.equal((await run('console', 'web1')).status, 1)
})

test('power off, and a machine that is killed', { timeout }, async () => {
  const kernel = join(folder, 'kernel')
  writeFileSync(kernel, multibootKernel([...print('up\n'), ...ECHO]))
  const start = async () => {
    const { out } = await run('run', '--detach', '--kernel', kernel, '--memory', '16M')
    assert.match(out, /^[a-z]+-[a-z]+\n$/)
    return out.trim()
  }
  const first = await start()
  const console = attach(first)
  await console.until(/up\n/)
  console.type('echo')
  await console.until(/up\necho$/)
  assert.equal((await run('power', first, 'reset')).status, 0)
  await console.until(/up\n.*up\n/s)
  assert.deepEqual(await run('power', first, 'off'), { status: 0, out: '', err: '' })
  assert.equal(await console.ended, 0)

  const second = await start()
  const { pid } = JSON.parse((await run('info', second, '--json')).out)
  process.kill(pid, 'SIGKILL')
  await until(
    () => !existing(pid),
    () => 'its end',
  )
  assert.equal((await run('ls')).out.includes(second), false)
  assert.match((await run('info', second)).err, /there is no running machine/)
  assert.equal(readdirSync(join(folder, 'typetwo')).includes(`${second}.socket`), false)
  const refused = await run('run', '--detach', '--kernel', join(folder, 'nothing'))
  assert.deepEqual([refused.status, refused.out], [1, ''])
  assert.match(refused.err, /^typetwo: the kernel '.*nothing' cannot be read: it does not exist\n$/)
})

function existing(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
