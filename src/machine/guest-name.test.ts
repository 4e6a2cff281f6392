import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guestName } from './guest-name.ts'
import type { MachineConfiguration } from './messages.ts'

const configuration = (more: Partial<MachineConfiguration> = {}) => ({ machine: 'pc', ...more }) as MachineConfiguration

test('a kernel has a name by what it is, whatever else the machine has', () => {
  const kernel = new Uint8Array(10_000)
  const name = guestName(configuration(), { kernel })
  assert.match(name!, /^[0-9a-f]{8}$/)
  assert.equal(guestName(configuration({ drives: [] }), { kernel: kernel.slice() }), name)
  assert.notEqual(guestName(configuration(), { kernel: new Uint8Array(10_001) }), name)
  assert.notEqual(guestName(configuration(), { kernel: kernel.fill(1) }), name)
})

test('without a kernel it is the drives', () => {
  const firmware = new Uint8Array(4096)
  const drive = (image: string) => configuration({ drives: [{ name: 'disk0', medium: { image } }] as never })
  const name = guestName(drive('a.qcow2'), { firmware })
  assert.equal(guestName(drive('a.qcow2'), { firmware }), name)
  assert.notEqual(guestName(drive('b.qcow2'), { firmware }), name)
})

test('where code is listed nothing is kept', () => {
  assert.equal(guestName(configuration({ listCode: true }), { kernel: new Uint8Array(1) }), undefined)
})
