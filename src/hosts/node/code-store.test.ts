import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { codeStore, codeStoreOfProcess } from './code-store.ts'
import { nativeCode } from './native-code.ts'

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
})

test('what was used longest ago goes where there is too much', t => {
  const folder = temporary(t)
  const { root } = sources(folder)
  const kept = join(folder, 'kept')
  const store = codeStore(kept, root, 1000)!
  const age = (name: string, seconds: number) => {
    const file = readdirSync(kept).find(file => file.endsWith(`-${name}`))!
    utimesSync(join(kept, file), seconds, seconds)
  }
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    store.write(name, new Uint8Array(280))
    age(name, 1000 + i)
  }
  assert.equal(store.read('a')?.length, 280)
  store.write('d', new Uint8Array(280))
  assert.equal(store.read('b'), undefined)
  for (const name of ['a', 'c', 'd']) assert.equal(store.read(name)?.length, 280, name)
})

test('what is damaged is not read', t => {
  const folder = temporary(t)
  const { root } = sources(folder)
  const kept = join(folder, 'kept')
  const store = codeStore(kept, root)!
  store.write('x', Uint8Array.of(1, 2, 3, 4))
  const file = join(kept, readdirSync(kept).find(file => file.endsWith('-x'))!)
  const whole = readFileSync(file)
  for (const [at, length] of [
    [0, whole.length],
    [whole.length - 1, whole.length],
    [1, whole.length - 1],
    [0, 10],
  ]) {
    const damaged = whole.subarray(0, length)
    damaged[at] ^= 1
    writeFileSync(file, damaged)
    assert.equal(store.read('x'), undefined)
    damaged[at] ^= 1
  }
})

/** A module whose function `f` adds one; `small` does nothing. */
const MODULE = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 9, 2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0, 3, 3, 2, 0, 1],
  ...[7, 13, 2, 1, 0x66, 0, 0, 5, 0x73, 0x6d, 0x61, 0x6c, 0x6c, 0, 1],
  ...[10, 12, 2, 7, 0, 0x20, 0, 0x41, 1, 0x6a, 0x0b, 2, 0, 0x0b],
)

test('a module is what its bytes say, with machine code or without', t => {
  const folder = temporary(t)
  const { root } = sources(folder)
  const store = codeStore(folder, root)!
  const run = (module: WebAssembly.Module) => (new WebAssembly.Instance(module).exports.f as (n: number) => number)(41)
  const module = store.module('m', MODULE)
  assert.equal(run(module), 42)
  store.keepModule('m', module, MODULE, new WebAssembly.Instance(module).exports.small as CallableFunction)
  assert.equal(run(codeStore(folder, root)!.module('m', MODULE)), 42)
})

test('machine code is another process’s, where this version of Node gives it', { skip: !nativeCode() }, () => {
  const native = nativeCode()!
  const module = new WebAssembly.Module(MODULE)
  const { small } = new WebAssembly.Instance(module).exports
  const code = new Uint8Array(native.write(module, small as CallableFunction))
  const again = native.read(code, MODULE)
  assert.ok(again)
  assert.equal((new WebAssembly.Instance(again).exports.f as (n: number) => number)(1), 2)
  // Made with other flags, or of something else.
  setFlagsFromString('--no-wasm-loop-unrolling')
  assert.equal(native.read(code, MODULE), undefined)
  setFlagsFromString('--wasm-loop-unrolling')
  assert.ok(native.read(code, MODULE))
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
