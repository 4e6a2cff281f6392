/** Debian's own kernels boot to their shell, answer, and switch the machine off; twice the same where time is counted. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { terminalWords } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'
import { createPcProcessor } from '../../src/machine/create-processor.ts'
import { Pc } from '../../src/machine/pc.ts'
import { Runner } from '../../src/machine/runner.ts'
import { debianGuest, type GuestImages, Transcript } from './debian.ts'

const MEMORY = 256 << 20
const guests = { amd64: await debianGuest('amd64'), i386: await debianGuest('i386') }
/** What `uname -m` says of them. */
const machines = { amd64: 'x86_64', i386: 'i686' } as const
/** A boot takes seconds, or minutes on a busy host; one that hangs must not hold up everything else. Milliseconds. */
const timeout = 900_000

for (const engine of ['interpreter', 'auto'] as const)
  for (const arch of ['amd64', 'i386'] as const) {
    const guest = guests[arch]
    const skip = typeof guest === 'string' ? guest : false
    test(`Debian's ${arch} kernel reaches the shell by ${engine} and powers off`, { skip, timeout }, async () => {
      const machine = await Machine.create({ memory: MEMORY, ...(guest as GuestImages), engine })
      const transcript = new Transcript(machine.serial[0].readable)
      const writer = machine.serial[0].writable.getWriter()
      // Held until the guest listens.
      await writer.write(new TextEncoder().encode('echo $((6 * 7)) is the answer of $(uname -m)\npoweroff -f\n'))
      await machine.start()
      const end = await machine.stopped
      await transcript.until(`42 is the answer of ${machines[arch]}`)
      assert.equal(end.reason, 'poweroff', end.message ?? end.reason)
    })
  }

/** Runs a guest in this thread with input that is there from the start; its end in every detail. */
async function countedRun(guest: GuestImages) {
  const input = new TextEncoder().encode(
    'cat /proc/interrupts | sha1sum; date; head -c 16 /dev/urandom | od -x\npoweroff -f\n',
  )
  let given = 0
  let output = ''
  const feed = () => {
    given += pc.receivers[0].receive(input.subarray(given))
  }
  const pc = await Pc.create(
    {
      memory: MEMORY,
      commandLine: [guest.commandLine, ...terminalWords({ typed: false })].join(' '),
      engine: 'auto',
      clock: 'instructions',
      reboot: false,
      boot: {},
      cpu: 'max',
      machine: 'pc',
      holdInput: true,
    },
    guest,
    {
      transmit(port, byte) {
        if (port === 0) output += String.fromCharCode(byte)
      },
      transmitAll() {},
      receiveReady: feed,
      log() {},
      flush: () => true,
      createProcessor: createPcProcessor,
    },
  )
  feed()
  const event = await new Runner(pc).run()
  const memory = createHash('sha256').update(pc.memory.ram).digest('hex')
  return { event, output, instructions: pc.instructions(), time: pc.clock.now(), memory }
}

const counted = guests.amd64
test('two runs by counted time are the same to the byte', {
  skip: typeof counted === 'string' && counted,
}, async () => {
  const first = await countedRun(counted as GuestImages)
  assert.deepEqual(first.event, { kind: 'poweroff' })
  assert.deepEqual(await countedRun(counted as GuestImages), first)
  // Held until the terminal no longer echoes, the input is seen once, where the shell reads it.
  assert.equal(first.output.split('poweroff -f').length, 2, first.output)
})
