import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FakeHost } from './fake-host.ts'
import { program } from './program.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-disk-cli-'))
after(() => rmSync(folder, { recursive: true }))
const at = (name: string) => join(folder, name)

/** Runs `typetwo disk …`; a word that begins with @ is a file in the test's folder. */
async function disk(...words: string[]): Promise<{ status: number; out: string; err: string }> {
  const host = new FakeHost()
  const status = await program(['disk', ...words.map(word => word.replace(/^@/, `${folder}/`))], host)
  return {
    status,
    out: host.stdout.text.replaceAll(`${folder}/`, '@'),
    err: host.stderr.text.replaceAll(`${folder}/`, '@'),
  }
}

/** Runs what has to succeed. @returns what it printed */
async function succeed(...words: string[]): Promise<string> {
  const { status, out, err } = await disk(...words)
  assert.equal(status, 0, err)
  return out
}

const content = new Uint8Array(3 * 2 ** 20 + 512)
for (let i = 0; i < 2 ** 20; i++) content[i + 2 ** 20] = (i * i) >> 9

test('convert: there and back through every format', async () => {
  writeFileSync(at('source.img'), content)
  const ways: string[][] = [
    ['a.qcow2'],
    ['b.qcow2', '--compress'],
    ['c.qcow2', '--compress', '--compression', 'zstd'],
    ['d.qcow2', '--cluster-size', '4K', '--refcount-bits', '1'],
    ['e.qcow2', '--qcow2-version', '2'],
    ['f.qcow2', '--extended-l2', '--lazy-refcounts'],
    ['a.vmdk'],
    ['b.vmdk', '--kind', 'twoGbMaxExtentFlat'],
    ['c.vmdk', '--kind', 'streamOptimized'],
    ['a.vdi'],
    ['b.vdi', '--kind', 'static'],
    ['a.vhd'],
    ['b.vhd', '--kind', 'fixed'],
    ['a.vhdx'],
    ['b.vhdx', '--kind', 'fixed', '--cluster-size', '1M'],
    ['unnamed', '--to', 'vmdk'],
  ]
  for (const [name, ...options] of ways) {
    const out = await succeed('convert', '@source.img', `@${name}`, ...options)
    assert.match(out, new RegExp(`^@${name}: a disk of 3M, \\w+, takes [\\d.]+[KM]\n$`))
    if (!['b.vhd', 'b.vmdk'].includes(name)) {
      assert.match(await succeed('check', `@${name}`), /nothing is wrong; \d+ of \d+ clusters are in use\n$/)
    }
    await succeed('convert', `@${name}`, '@back.img', '--quiet')
    assert.equal(Buffer.compare(readFileSync(at('back.img')), content), 0, name)
    rmSync(at('back.img'))
  }
  assert.ok(statSync(at('b.qcow2')).size < statSync(at('a.qcow2')).size)
})

test('create and info', async () => {
  assert.equal(await succeed('create', '@new.qcow2', '--size', '1G'), '@new.qcow2: a disk of 1G, qcow2\n')
  assert.match(
    await succeed('info', '@new.qcow2'),
    /^image: +@new\.qcow2\nformat: +qcow2\ndisk size: +1G \(1073741824 bytes\)\n/,
  )
  assert.equal(
    await succeed('create', '@top.qcow2', '--backing', '@new.qcow2'),
    '@top.qcow2: a disk of 1G, qcow2 over @new.qcow2\n',
  )
  const about = JSON.parse(await succeed('info', '@top.qcow2', '--json'))
  assert.deepEqual(
    [about.format, about.size, about.clusterSize, about.backingFile, about.backingFormat, about.details.version],
    ['qcow2', 2 ** 30, 65536, 'new.qcow2', 'qcow2', 3],
  )
  assert.ok(about.allocated < 2 ** 20)
})

test('resize and snapshots', async () => {
  await succeed('create', '@s.qcow2', '--size', '8M')
  assert.equal(await succeed('resize', '@s.qcow2', '+8M'), '@s.qcow2: a disk of 16M\n')
  await succeed('snapshot', 'create', '@s.qcow2', 'one')
  assert.match(
    await succeed('snapshot', 'list', '@s.qcow2'),
    /^ {2}1 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC {2}16M {5}one\n$/,
  )
  await succeed('resize', '@s.qcow2', '4M', '--shrink')
  await succeed('snapshot', 'apply', '@s.qcow2', 'one')
  assert.equal(JSON.parse(await succeed('info', '@s.qcow2', '--json')).size, 16 * 2 ** 20)
  await succeed('snapshot', 'delete', '@s.qcow2', 'one')
  assert.equal(await succeed('snapshot', 'list', '@s.qcow2', '--json'), '[]\n')
  writeFileSync(at('s.img'), new Uint8Array(1024))
  await succeed('resize', '@s.img', '1M')
  assert.equal(statSync(at('s.img')).size, 2 ** 20)
})

test('check finds and repairs', async () => {
  await succeed('convert', '@source.img', '@damaged.qcow2')
  const bytes = readFileSync(at('damaged.qcow2'))
  // The refcount of the last cluster in use, in the block behind header and table.
  bytes[2 * 65536 + 2 * (bytes.length / 65536 - 1) + 1] = 9
  writeFileSync(at('damaged.qcow2'), bytes)
  const { status, out } = await disk('check', '@damaged.qcow2')
  assert.deepEqual([status, out.split('\n').length], [4, 3])
  assert.match(
    out,
    /^cluster \d+ has a refcount of 9, but 1 references\n@damaged\.qcow2: 0 errors, 1 lost clusters; 0 were/,
  )
  assert.match(await succeed('check', '@damaged.qcow2', '--repair'), /1 were repaired/)
  assert.equal(JSON.parse(await succeed('check', '@damaged.qcow2', '--json')).leaks, 0)
})

const refused: [string[], number, RegExp][] = [
  [[], 2, /^typetwo disk: makes, converts/],
  [['frob'], 2, /there is no command disk frob/],
  [['create'], 2, /^typetwo disk create: FILE is missing/],
  [['create', '@x.qcow2'], 2, /--size is missing, as in --size 10G/],
  [['create', '@x.qcow2', '--size', 'big'], 1, /--size 'big' is not a size/],
  [['create', '@source.img', '--size', '1G'], 1, /file '@source\.img' cannot be made: something else is there/],
  [
    ['create', '@x.vdi', '--size', '1G', '--backing', '@new.qcow2'],
    1,
    /images of the format vdi do not have backing files/,
  ],
  [['create', '@x.qcow2', '--size', '1G', '--kind', 'fixed'], 1, /format qcow2 do not have the kind 'fixed'/],
  [['create', '@x.qcow2', '--size', '1G', '--cluster-size', '3K'], 1, /clusters have 512 bytes to 2 MiB/],
  [['create', '@x.qcow2', '--size', '4000000T'], 1, /there is no disk of|too large/],
  [['create', '@x.qcow2', '--backing', '/dev/null'], 1, /'\/dev\/null' is neither a file nor a block device/],
  [['info', '@none.qcow2'], 1, /^typetwo: file '@none\.qcow2' cannot be opened: it does not exist\n$/],
  [['info', '@lie.qcow2'], 1, /is named as if it were qcow2, but is no qcow2 image/],
  [['info', '@lie.img'], 1, /is named as if it were raw, but begins as qcow2 does: say which format it has/],
  [['resize', '@unknown', '1M'], 1, /is of no known format: if it is a raw disk, say that its format is raw/],
  [['resize', '@a.vdi', '1G'], 1, /images of the format vdi cannot be resized/],
  [['resize', '@source.img', '1M'], 1, /--shrink allows/],
  [['check', '@source.img'], 1, /is raw, of a kind that has nothing to check/],
  [['snapshot', 'create', '@a.vdi', 'x'], 1, /only qcow2 images can/],
  [['snapshot', 'apply', '@a.qcow2', 'x'], 1, /has no snapshot 'x'/],
  [['snapshot', 'apply', '@a.qcow2'], 2, /apply needs the name of a snapshot/],
  [['snapshot', 'forget', '@a.qcow2'], 2, /ACTION is list, create, apply or delete, not 'forget'/],
  [['convert', '@source.img', '@x.vdi', '--compress'], 1, /images of the format vdi are not compressed/],
  [['convert', '@cut.qcow2', '@x.qcow2'], 1, /is damaged|no qcow2 image/],
]

test('what cannot be done is one sentence and changes nothing', async () => {
  writeFileSync(at('lie.qcow2'), content)
  writeFileSync(at('lie.img'), readFileSync(at('a.qcow2')))
  writeFileSync(at('unknown'), content)
  writeFileSync(at('cut.qcow2'), readFileSync(at('a.qcow2')).subarray(0, 300))
  const before = readdirSync(folder).sort()
  for (const [words, status, message] of refused) {
    const result = await disk(...words)
    assert.match(result.err, message, words.join(' '))
    assert.equal(result.status, status, words.join(' '))
    if (status === 1) assert.equal(result.err.split('\n').length, 2, result.err)
  }
  assert.deepEqual(readdirSync(folder).sort(), before)
  assert.ok(!existsSync(at('x.qcow2')))
})

test('every command has a page', async () => {
  for (const name of ['create', 'info', 'convert', 'check', 'resize', 'snapshot']) {
    const page = await succeed(name, '--help')
    assert.match(page, new RegExp(`^typetwo disk ${name}: .*\n\nUsage: typetwo disk ${name} `))
    for (const line of page.split('\n')) assert.ok(line.length <= 80, line)
  }
})
