import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCdrom, parseDisk, parseFloppy } from './drive-options.ts'

test('a path and what follows it', () => {
  assert.deepEqual(parseDisk('a.img'), { image: 'a.img' })
  assert.deepEqual(parseDisk('/x/a,,b.img,bus=virtio,cache=unsafe,readonly,format=raw,serial=S1'), {
    image: '/x/a,b.img',
    bus: 'virtio',
    cache: 'unsafe',
    readOnly: true,
    format: 'raw',
    serial: 'S1',
  })
  assert.deepEqual(parseDisk('a=b,readonly=off'), { image: 'a=b' })
  assert.deepEqual(parseDisk('a,,,readonly'), { image: 'a,', readOnly: true })
  assert.deepEqual(parseCdrom('none,bus=sata'), { bus: 'sata' })
  assert.deepEqual(parseFloppy('f,readonly'), { image: 'f', readOnly: true })
})

test('wrong words are named', () => {
  for (const [text, message] of [
    [',bus=ide', /the path of an image comes first/],
    ['a,buss=ide', /no 'buss'; did you mean bus\?/],
    ['a,bus=scsi', /bus is ide, sata, nvme or virtio, not 'scsi'/],
    ['a,bus', /bus needs a value/],
    ['a,readonly=yes', /readonly is on or off, not 'yes'/],
  ] as const)
    assert.throws(() => parseDisk(text), { name: 'UserError', message })
})
