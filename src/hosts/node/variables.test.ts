import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openVariables } from './variables.ts'

const folder = mkdtempSync(join(tmpdir(), 'typetwo-variables-'))
after(() => rmSync(folder, { recursive: true }))
const template = join(folder, 'template')
writeFileSync(template, new Uint8Array(8192).fill(0xff))

test('variables are made of the template, kept in their file, and one machine has them', async () => {
  const path = join(folder, 'vars')
  const store = await openVariables(path, template)
  assert.equal((await store.read()).length, 8192)
  await store.write(4096, Uint8Array.of(1, 2))
  assert.deepEqual([...readFileSync(path).subarray(4094, 4099)], [255, 255, 1, 2, 255])
  await assert.rejects(openVariables(path, template), /^UserError: the variables of UEFI .* in use by another machine/)
})

test('a folder that is not there, and a file that is too large, are told in a sentence', async () => {
  await assert.rejects(openVariables(join(folder, 'no', 'vars'), template), /^UserError: the variables of UEFI .*vars'/)
  const large = join(folder, 'large')
  writeFileSync(large, '')
  truncateSync(large, 2 ** 25)
  await assert.rejects(openVariables(large, template), /it has 33554432 bytes, which is no flash$/)
})
