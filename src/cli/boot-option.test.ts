import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBoot } from './boot-option.ts'

test('--boot: order by names or letters, menu', () => {
  assert.deepEqual(parseBoot('order=cdrom:disk,menu=on'), { order: ['cdrom', 'disk'], menu: true })
  assert.deepEqual(parseBoot('order=dc'), { order: ['cdrom', 'disk'] })
  assert.deepEqual(parseBoot('menu=off'), { menu: false })
})

test('--boot: one sentence for what is wrong', () => {
  for (const [text, message] of [
    ['order=usb', /there is no device 'usb', but floppy, disk, cdrom, network with colons/],
    ['order=cc', /each once/],
    ['menu=yes', /menu is on or off, not 'yes'/],
    ['once=d', /there is no 'once', only order and menu/],
    ['cdrom', /'cdrom' is not order=… or menu=on, as in --boot order=cdrom:disk,menu=on$/],
  ] as const)
    assert.throws(() => parseBoot(text), message)
})
