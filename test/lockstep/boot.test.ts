/** The engines do the same over a whole boot: every register at every stop, memory, output, counts and time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { debianGuest, type GuestImages } from '../machine/debian.ts'
import { lockstep } from './lockstep.ts'

const guest = await debianGuest('amd64')
/** With the kernel's tests of its cryptography: they know the right results of much vector code. */
const selfTests = ' cryptomgr.notests=0'
const skip = typeof guest === 'string' ? guest : false

test("interpreter and translated code agree over a boot of Debian's kernel", { skip, timeout: 600_000 }, async () => {
  const script = 'cat /proc/interrupts | sha1sum; seq 300 | sort -n | gzip | cksum; echo done\npoweroff -f\n'
  const outcome = await lockstep({
    ...(guest as GuestImages),
    commandLine: (guest as GuestImages).commandLine + selfTests,
    memory: 256 << 20,
    input: new TextEncoder().encode(script),
    engine: 'auto',
    slice: 1_000_003,
    memoryEvery: 200,
    limit: 20_000_000_000,
    bisect: true,
  })
  assert.equal(outcome.difference, undefined)
  assert.equal(outcome.end?.kind, 'poweroff')
  assert.match(outcome.serial, /^done/m)
})
