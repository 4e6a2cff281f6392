import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readTar, type TarEntry } from './tar.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-tar-'))
after(() => rmSync(folder, { recursive: true }))

const long = `${'deep/'.repeat(30)}${'n'.repeat(120)}`
mkdirSync(join(folder, 'tree', 'deep/'.repeat(30)), { recursive: true })
writeFileSync(join(folder, 'tree', 'small'), 'hello', { mode: 0o640 })
writeFileSync(join(folder, 'tree', 'empty'), '')
writeFileSync(join(folder, 'tree', 'skipped'), Buffer.alloc(3000, 0x55))
writeFileSync(join(folder, 'tree', long), 'far away')
symlinkSync('small', join(folder, 'tree', 'pointer'))

/** An archive of the tree, made by the host's own tar. */
function hostTar(format: string): Uint8Array {
  const run = spawnSync('tar', [`--format=${format}`, '-C', join(folder, 'tree'), '-cf', '-', '.'])
  assert.equal(run.status, 0, run.stderr.toString())
  return run.stdout
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size)
}

async function entries(bytes: Uint8Array, size = 700): Promise<Map<string, TarEntry>> {
  const found = new Map<string, TarEntry>()
  for await (const entry of readTar(inPieces(bytes, size), path => path !== 'skipped')) found.set(entry.path, entry)
  return found
}

for (const format of ['gnu', 'pax']) {
  test(`reads what the host's tar wrote in ${format} format`, async () => {
    const found = await entries(hostTar(format))
    const content = (path: string) => Buffer.from(found.get(path)!.content).toString()
    assert.equal(content('small'), 'hello')
    assert.equal(found.get('small')!.mode & 0o700, 0o600)
    assert.equal(content('empty'), '')
    assert.equal(content(long), 'far away')
    assert.equal(found.get('skipped')!.content.length, 0)
    assert.deepEqual([found.get('pointer')!.kind, found.get('pointer')!.target], ['link', 'small'])
  })
}

test('a truncated archive is refused', async () => {
  await assert.rejects(entries(hostTar('gnu').subarray(0, 1536 + 100)), /^Error: tar: the archive ends at byte/)
})

test('a damaged header is refused with its place', async () => {
  const archive = Uint8Array.from(hostTar('gnu'))
  archive[3] ^= 1
  await assert.rejects(entries(archive), /^Error: tar: the header at byte 0 is damaged$/)
})
