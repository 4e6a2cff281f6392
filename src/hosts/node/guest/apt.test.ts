import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { PrivateApt, packageTar } from './apt.ts'
import { GUEST_FILES } from './init.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-apt-'))
const path = process.env.PATH
after(() => {
  process.env.PATH = path
  rmSync(base, { recursive: true })
})

let count = 0
let folder = ''
/** Programs that stand for the host's, found before them. */
let programs = ''

beforeEach(() => {
  folder = join(base, `state${count}`)
  programs = join(base, `programs${count++}`)
  mkdirSync(folder)
  mkdirSync(programs)
  process.env.PATH = `${programs}:${path}`
})

function program(name: string, script: string): void {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}`, { mode: 0o755 })
}

/** An apt-get whose update and download do what is asked here. */
function aptGet(update: string, download: string): void {
  program('apt-get', `case " $* " in *' update '*) ${update} ;; *) ${download} ;; esac`)
}

/** What apt-cache shows of the metapackage. */
const KERNEL = 'printf "Package: linux-image-cloud-amd64\\nDepends: base, linux-image-6.1-cloud-amd64 (= 6.1.1)\\n"'
const open = (said: unknown[] = []) => PrivateApt.open(folder, 'amd64', (text, fraction) => said.push([text, fraction]))

test('the lists, the package behind a metapackage, and the packages', async () => {
  aptGet(
    'echo dlstatus:1:50.5:reading >&3',
    'touch linux-image-6.1-cloud-amd64_6.1.1_amd64.deb busybox-static_1%3a1.deb',
  )
  program('apt-cache', KERNEL)
  const said: unknown[] = []
  const apt = await open(said)
  assert.deepEqual(said.at(-1), ["Reading Debian's lists of packages", 0.505])
  const name = await apt.resolve('linux-image-cloud-amd64', /^linux-image-\d/)
  assert.equal(name, 'linux-image-6.1-cloud-amd64')
  const files = await apt.download([name, 'busybox-static'], () => {})
  assert.deepEqual(
    files.map(file => basename(file)),
    ['linux-image-6.1-cloud-amd64_6.1.1_amd64.deb', 'busybox-static_1%3a1.deb'],
  )
})

test("the state is ours and the host's hooks do not run", async () => {
  aptGet(`echo "$*" >${base}/words`, ':')
  program('apt-cache', `cat ${base}/words; echo "Depends: x-1"; exit 0`)
  const apt = await open()
  await apt.resolve('x', /^x-/)
  const words = spawnSync('cat', [join(base, 'words')], { encoding: 'utf8' }).stdout
  for (const setting of ['Dir::State', 'Dir::State::Lists', 'Dir::Cache']) {
    assert.ok(words.includes(`-o ${setting}=${folder}`), setting)
  }
  assert.match(
    spawnSync('cat', [join(folder, 'apt.conf')], { encoding: 'utf8' }).stdout,
    /#clear APT::Update::Post-Invoke;/,
  )
})

test('no network is one sentence with the reason apt gave', async () => {
  aptGet('echo "W: Failed to fetch http://x/InRelease" >&2', 'exit 100')
  program('apt-cache', 'echo "E: No packages found" >&2; exit 100')
  const apt = await open()
  await assert.rejects(apt.resolve('linux-image-cloud-amd64', /x/), {
    name: 'UserError',
    message:
      "apt cannot get Debian's package linux-image-cloud-amd64 (Failed to fetch http://x/InRelease): " +
      'look at the network and /etc/apt, or give a kernel and an initrd of your own with --kernel FILE --initrd FILE',
  })
})

test('a download that fails is one sentence', async () => {
  aptGet(':', 'echo "E: Hash Sum mismatch" >&2; exit 100')
  const apt = await open()
  await assert.rejects(
    apt.download(['busybox-static'], () => {}),
    /busybox-static \(Hash Sum mismatch\)/,
  )
})

test('a host without apt is told what to do instead', async () => {
  process.env.PATH = programs
  await assert.rejects(open(), /^UserError: .* this host has no apt-get: give a kernel and an initrd of your own/)
})

test('a package that cannot be unpacked is one sentence', async () => {
  program('dpkg-deb', 'echo "not a Debian format archive" >&2; exit 2')
  const unpack = async () => {
    for await (const _ of packageTar('/x.deb')) assert.fail('there is nothing in it')
  }
  await assert.rejects(unpack(), /^UserError: the package \/x\.deb cannot be unpacked \(not a Debian format archive\)/)
})

for (const { path: name, text } of GUEST_FILES.filter(file => file.text.startsWith('#!'))) {
  test(`the guest's ${name} is a shell script`, () => {
    const check = spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' })
    assert.equal(check.status, 0, check.stderr)
  })
}
