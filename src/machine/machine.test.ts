import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exit } from '../engines/contract.ts'
import { Machine, MachineError, type MachineOptions } from './machine.ts'
import type { Processor, ProcessorOptions } from './processor.ts'
import { serveMachine } from './worker.ts'
import type { WorkerLike } from './worker-like.ts'

/** What a test's guest does: one call is one instruction. */
type Guest = (machine: ProcessorOptions['machine'], step: number) => Exit['kind'] | undefined

/** A processor that runs a function instead of instructions. */
function scripted(guest: Guest) {
  return ({ machine }: ProcessorOptions): Processor => {
    let instructions = 0
    let step = 0
    return {
      signals: { setInterruptRequest() {}, raiseNmi() {}, init() {}, startup() {}, ignoreNumericError() {} },
      engine: {
        name: 'interpreter',
        run(budget) {
          for (let i = 0; i < budget; i++) {
            const kind = guest(machine, step++)
            instructions++
            if (kind === 'shutdown') return { kind, reason: 'the guest of a test gave up' }
            if (kind) return { kind }
            if (machine.stopRequested) return { kind: 'stopped' }
          }
          return { kind: 'budget' }
        },
      },
      instructions: () => instructions,
      timestampOffset: () => 0n,
      reset() {
        step = 0
      },
      identification: () => [0x600, 0],
      boot() {},
      stats: () => ({ regions: 7 }),
    }
  }
}

/** A worker in the same thread whose messages are cloned as by a real one. */
function localWorker(guest: Guest): WorkerLike {
  const toWorker: ((message: unknown) => void)[] = []
  const toHandle: ((message: unknown) => void)[] = []
  let alive = true
  const deliver = (
    listeners: ((message: unknown) => void)[],
    message: unknown,
    transfer: (ArrayBuffer | MessagePort)[] = [],
  ) => {
    const copy = structuredClone(message, { transfer })
    setImmediate(() => {
      if (alive) for (const listener of listeners) listener(copy)
    })
  }
  const stop = serveMachine(
    {
      postMessage: (message, transfer) => deliver(toHandle, message, transfer),
      onMessage: listener => toWorker.push(listener),
    },
    scripted(guest),
  )
  return {
    postMessage: (message, transfer) => deliver(toWorker, message, transfer),
    onMessage: listener => toHandle.push(listener),
    onError() {},
    async terminate() {
      alive = false
      stop()
    },
  }
}

/** A multiboot kernel that holds nothing. */
function kernel() {
  const view = new DataView(new ArrayBuffer(64))
  const flags = 0x10000
  const words = [0x1badb002, flags, -(0x1badb002 + flags) >>> 0, 0x100000, 0x100000, 0x100040, 0x100040, 0x100020]
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word, true)
  return new Uint8Array(view.buffer)
}

function create(guest: Guest, options: Partial<MachineOptions> = {}) {
  return Machine.create({ memory: 4 << 20, kernel: kernel(), worker: () => localWorker(guest), ...options })
}

/** Switches off by ACPI: SLP_TYP of S5 and SLP_EN. */
const powerOff: Guest = machine => void machine.writePort(0x604, 2, 0x2000)

async function readAll(stream: ReadableStream<Uint8Array>) {
  return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text()
}

test('a guest that switches off ends its machine', async () => {
  const machine = await create(powerOff)
  const states: string[] = []
  machine.addEventListener('statechange', () => states.push(machine.state))
  assert.equal(machine.state, 'created')
  await machine.start()
  const end = await machine.stopped
  assert.equal(end.reason, 'poweroff')
  assert.deepEqual(states, ['running', 'stopped'])
  assert.equal(end.stats?.instructions, 1)
  assert.equal((await machine.stats()).engineStats.regions, 7)
})

test('serial ports carry bytes both ways, and all of them before the end', async () => {
  const machine = await create((ports, step) => {
    if (step < 100_000) ports.writePort(0x3f8, 1, 0x41 + (step % 26))
    else if (ports.readPort(0x3f8 + 5, 1) & 1) {
      const byte = ports.readPort(0x3f8, 1)
      ports.writePort(0x2f8, 1, byte)
      if (byte === 0x0a) ports.writePort(0x604, 2, 0x2000)
    }
    return undefined
  })
  const writer = machine.serial[0].writable.getWriter()
  await writer.write(new TextEncoder().encode('uname -a\n'))
  const first = readAll(machine.serial[0].readable)
  const second = readAll(machine.serial[1].readable)
  await machine.start()
  assert.equal((await machine.stopped).reason, 'poweroff')
  assert.equal(await second, 'uname -a\n')
  const text = await first
  assert.equal(text.length, 100_000)
  assert.ok(text.startsWith('ABCDEFGHIJKLMNOPQRSTUVWXYZABC'))
  await writer.write(new TextEncoder().encode('lost'))
})

test('a reader that falls behind holds the guest, and nothing is lost', async () => {
  const total = 2_000_000
  let sent = 0
  const machine = await create(ports => {
    if (sent < total) ports.writePort(0x3f8, 1, sent++ & 0xff)
    else ports.writePort(0x604, 2, 0x2000)
    return undefined
  })
  const reader = machine.serial[0].readable.getReader()
  await machine.start()
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.ok(sent < total, 'the guest ran on although nobody read')
  let received = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    for (const byte of value) assert.equal(byte, received++ & 0xff)
  }
  assert.equal(received, total)
})

test('a guest that nobody listens to is not held', async () => {
  let sent = 0
  const machine = await create(ports => {
    if (sent++ < 3_000_000) ports.writePort(0x3f8, 1, 0x2e)
    else ports.writePort(0x604, 2, 0x2000)
    return undefined
  })
  await machine.start()
  assert.equal((await machine.stopped).reason, 'poweroff')
  const kept = await readAll(machine.serial[0].readable)
  assert.ok(kept.length > 500_000 && kept.length <= 1 << 20)
})

test('a kernel that a function gives is asked for at every start, and nobody keeps it', async () => {
  const given: Uint8Array[] = []
  const image = async () => {
    if (given.length === 3) throw new Error('the file is gone')
    given.push(kernel())
    return given.at(-1)!
  }
  const machine = await create(ports => void ports.writePort(0xcf9, 1, 6), { kernel: image })
  assert.equal(given.length, 1)
  await machine.start()
  const end = await machine.stopped
  assert.equal(end.reason, 'error')
  assert.equal(end.message, 'the guest was reset and cannot start again: the file is gone')
  assert.deepEqual(
    given.map(bytes => bytes.length),
    [0, 0, 0],
  )
  await assert.rejects(create(powerOff, { kernel: () => Promise.reject(new Error('no file')) }), /no file/)
})

test('a reset starts the guest again, or ends the machine if asked', async () => {
  let resets = 0
  const guest: Guest = ports => {
    if (resets++ < 3) ports.writePort(0xcf9, 1, 6)
    else ports.writePort(0x604, 2, 0x2000)
    return undefined
  }
  const machine = await create(guest)
  const restarts: string[] = []
  machine.addEventListener('restart', event => restarts.push((event as CustomEvent).detail))
  await machine.start()
  assert.equal((await machine.stopped).reason, 'poweroff')
  assert.deepEqual(restarts, ['reset', 'reset', 'reset'])
  resets = 0
  const once = await create(guest, { reboot: false })
  await once.start()
  assert.equal((await once.stopped).reason, 'reset')
})

test('a triple fault, a debug exit and an error each end one machine with their reason', async () => {
  const faulty = await create(() => 'shutdown', { reboot: false })
  await faulty.start()
  assert.deepEqual((({ reason, message }) => ({ reason, message }))(await faulty.stopped), {
    reason: 'triple-fault',
    message: 'the guest of a test gave up',
  })
  const exiting = await create(ports => void ports.writePort(0xf4, 4, 0x10))
  await exiting.start()
  const { reason, code } = await exiting.stopped
  assert.deepEqual([reason, code], ['debug-exit', 0x21])
  const broken = await create(() => {
    throw new Error('a bug')
  })
  await broken.start()
  const end = await broken.stopped
  assert.equal(end.reason, 'error')
  assert.match(end.message!, /a bug/)
})

test('pause stops the guest and its time, resume goes on, destroy ends', async () => {
  let steps = 0
  const machine = await create(() => {
    steps++
    return 'halt'
  })
  await machine.start()
  await machine.pause()
  assert.equal(machine.state, 'paused')
  const { guestSeconds } = await machine.stats()
  const before = steps
  await new Promise(resolve => setTimeout(resolve, 30))
  assert.equal(steps, before)
  assert.equal((await machine.stats()).guestSeconds, guestSeconds)
  await machine.resume()
  await machine.stats()
  assert.ok(steps > before)
  await machine.destroy()
  assert.equal((await machine.stopped).reason, 'destroyed')
  assert.equal(machine.state, 'stopped')
})

test('two machines do not know of each other', async () => {
  const ends: string[] = []
  const machines = await Promise.all([create(powerOff), create(() => 'shutdown', { reboot: false })])
  for (const machine of machines) await machine.start()
  for (const machine of machines) ends.push((await machine.stopped).reason)
  assert.deepEqual(ends, ['poweroff', 'triple-fault'])
})

test('what cannot be made is refused with a sentence', async () => {
  const refused = (options: Partial<MachineOptions>, pattern: RegExp) =>
    assert.rejects(create(powerOff, options), (error: unknown) => {
      assert.ok(error instanceof MachineError)
      assert.match(error.message, pattern)
      return true
    })
  await refused({ memory: 5 * 2 ** 30 }, /memory is 5 GiB:/)
  await refused({ memory: 0 }, /memory is 0 bytes/)
  await refused({ memory: 1e15 }, /give a multiple of 4096 bytes from 1 MiB to 4 GiB/)
  await refused({ kernel: undefined }, /nothing to boot/)
  await refused({ kernel: new Uint8Array(3) }, /a file of only 3 bytes/)
  await refused({ engine: 'warp' as 'auto' }, /no engine 'warp'/)
  await refused({ memory: 1 << 20 }, /less than 1 MiB|wants memory/)
})

test('where time is counted, the same guest executes the same', async () => {
  const run = async () => {
    const times: number[] = []
    const machine = await create(
      (ports, step) => {
        // The PIT, read in the middle of slices of any length, and the RTC's clock.
        if (step === 0)
          for (const [port, value] of [
            [0x43, 0x34],
            [0x40, 0],
            [0x40, 0x10],
          ])
            ports.writePort(port, 1, value)
        if (step % 1000 === 0) {
          ports.writePort(0x43, 1, 0)
          times.push(ports.readPort(0x40, 1), ports.readPort(0x40, 1), ports.timestamp())
        }
        if (step === 500_000) return 'halt'
        if (step > 900_000) ports.writePort(0x604, 2, 0x2000)
        return undefined
      },
      { clock: 'instructions' },
    )
    await machine.start()
    return { times, instructions: (await machine.stopped).stats!.instructions }
  }
  assert.deepEqual(await run(), await run())
})
