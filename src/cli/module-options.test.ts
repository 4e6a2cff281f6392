import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseModules } from './module-options.ts'

test('modules are separated by commas, their text by a blank', () => {
  assert.deepEqual(parseModules('vmlinuz console=hvc0 a=b,,c,initrd.img'), [
    { path: 'vmlinuz', text: 'vmlinuz console=hvc0 a=b,c' },
    { path: 'initrd.img', text: 'initrd.img' },
  ])
  assert.deepEqual(parseModules('a,,b one'), [{ path: 'a,b', text: 'a,b one' }])
})

test('a module without a name is refused', () => {
  for (const text of ['a, ,b', 'a b,', ',a'])
    assert.throws(() => parseModules(text), { message: /^--initrd '.*': a module has no name/ })
})
