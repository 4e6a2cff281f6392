import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeFolder } from './files.ts'

const base = mkdtempSync(join(tmpdir(), 'typetwo-files-'))
after(() => rmSync(base, { recursive: true, force: true }))

test('a folder is made by many at the same time', async () => {
  for (let round = 0; round < 50; round++) {
    const paths = Array.from({ length: 8 }, (_, i) => join(base, `${round}`, 'a', 'b', `${i & 1}`))
    await Promise.all(paths.map(makeFolder))
    for (const path of paths) assert.ok(statSync(path).isDirectory())
  }
})

test('where a folder cannot be made the error is the system’s', async () => {
  const file = join(base, 'a-file')
  writeFileSync(file, '')
  await assert.rejects(makeFolder(file), { code: 'EEXIST' })
  await assert.rejects(makeFolder(join(file, 'a')), { code: 'ENOTDIR' })
  await assert.rejects(makeFolder('/proc/a/b'), { code: 'ENOENT' })
})
