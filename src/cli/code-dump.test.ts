import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { UserError } from '../hosts/node/user-error.ts'
import type { TranslatedCode } from '../index.ts'
import { CodeDump } from './code-dump.ts'
import { SymbolTable } from './symbols.ts'

const CODE: TranslatedCode = {
  address: 0xffffffff81000010n,
  mode: 'long, 64 bits, supervisor',
  instructions: 2,
  bytes: 3,
  wasmBytes: 44,
  listing: ['ffffffff81000010: 90   nop', 'ffffffff81000011  ebfe jmp 0xffffffff81000011'],
  text: '(func (param $state i32) (result i32)\n  (local.get $state)\n)\n',
}

const folder = async (context: { after(f: () => Promise<void>): void }) => {
  const path = await mkdtemp(join(tmpdir(), 'typetwo-'))
  context.after(() => rm(path, { recursive: true }))
  return path
}

test('a file for each region, with guest and WebAssembly side by side, and an index', async context => {
  const path = join(await folder(context), 'new', 'deep')
  const dump = await CodeDump.create(path)
  dump.add(CODE)
  dump.add({ ...CODE, address: 0x401000n })
  const address = { address: 0x401000n, user: false, samples: 4, translated: 4 }
  const rest = {
    samples: 4,
    milliseconds: 8,
    activities: [],
    elsewhere: 0,
    systemCallEntries: { lstar: 0n, sysenter: 0n },
  }
  await dump.finish({ ...rest, addresses: [address] }, new SymbolTable([[0xffffffff81000000n, 'start']]))
  assert.deepEqual((await readdir(path)).sort(), ['00001-ffffffff81000010.txt', '00002-00401000.txt', 'index.txt'])
  const lines = (await readFile(join(path, 'index.txt'), 'utf8')).split('\n')
  assert.match(lines[0], /^file +instructions +bytes +WebAssembly +share +entry, mode$/)
  assert.match(lines[1], /^00002-00401000\.txt +2 +3 +44 +100\.0 % +401000, long, 64 bits, supervisor$/)
  assert.match(lines[2], /^00001-ffffffff81000010\.txt +2 +3 +44 +0\.0 % +ffffffff81000010 start\+0x10, long/)
  assert.equal(
    await readFile(join(path, '00001-ffffffff81000010.txt'), 'utf8'),
    [
      'ffffffff81000010: long, 64 bits, supervisor; 2 instructions in 3 bytes; 44 bytes of WebAssembly',
      '',
      'ffffffff81000010: 90   nop                    | (func (param $state i32) (result i32)',
      'ffffffff81000011  ebfe jmp 0xffffffff81000011 |   (local.get $state)',
      '                                              | )',
      '',
    ].join('\n'),
  )
})

test('a folder that cannot be written is one sentence, before anything else', async context => {
  const path = await folder(context)
  await assert.rejects(CodeDump.create('/proc/typetwo'), (error: unknown) => {
    assert.ok(error instanceof UserError)
    assert.match(error.message, /^--dump-code \/proc\/typetwo: no listings can be written there: /)
    return true
  })
  const dump = await CodeDump.create(join(path, 'gone'))
  await rm(join(path, 'gone'), { recursive: true })
  dump.add(CODE)
  await assert.rejects(dump.finish(undefined, undefined), /--dump-code .*gone: not all listings could be written/)
})

test('no more files than the bound', async context => {
  const path = await folder(context)
  const dump = await CodeDump.create(path, 2)
  for (let i = 0; i < 5; i++) dump.add(CODE)
  await dump.finish(undefined, undefined)
  assert.equal((await readdir(path)).length, 3)
  assert.match(await readFile(join(path, 'index.txt'), 'utf8'), /further regions are not written: these are 2\n$/)
})
