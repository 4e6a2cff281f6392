import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { codeStore, codeStoreOfProcess } from './code-store.ts'

function temporary(t: { after(end: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), 'typetwo-store-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Sources of nothing, in the folders that count. */
function sources(folder: string) {
  const root = join(folder, 'src')
  for (const room of ['cpu', 'engines', 'float', 'ir', 'isa', 'memory', 'wasm'])
    mkdirSync(join(root, room, 'inner'), { recursive: true })
  writeFileSync(join(root, 'isa', 'inner', 'a.ts'), 'one')
  return { root: pathToFileURL(`${root}/`), file: join(root, 'isa', 'inner', 'a.ts') }
}

test('what was written is read until a source changes, and then goes', t => {
  const folder = temporary(t)
  const { root, file } = sources(folder)
  const kept = join(folder, 'kept')
  const store = codeStore(kept, root)!
  assert.equal(store.read('x'), undefined)
  store.write('x', Uint8Array.of(1, 2, 3))
  store.write('y', Uint8Array.of(4))
  assert.deepEqual(codeStore(kept, root)!.read('x'), Uint8Array.of(1, 2, 3))
  writeFileSync(file, 'other')
  const later = codeStore(kept, root)!
  assert.equal(later.read('x'), undefined)
  later.write('x', Uint8Array.of(5))
  assert.deepEqual(later.read('x'), Uint8Array.of(5))
  assert.equal(readdirSync(kept).length, 1)
  for (let i = 0; i < 20; i++) later.write(`${i}`, Uint8Array.of(i))
  assert.ok(readdirSync(kept).length <= 8)
  assert.deepEqual(later.read('19'), Uint8Array.of(19))
})

test('where nothing can be written nothing is kept, and nothing is said', t => {
  const folder = temporary(t)
  const { root } = sources(folder)
  writeFileSync(join(folder, 'file'), '')
  const store = codeStore(join(folder, 'file', 'kept'), root)!
  store.write('x', Uint8Array.of(1))
  assert.equal(store.read('x'), undefined)
  assert.equal(codeStore(folder, pathToFileURL(`${folder}/nowhere/`)), undefined)
  assert.equal(codeStoreOfProcess({}), undefined)
})
