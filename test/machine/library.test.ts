/** The library as a program uses it: several machines, their whole life, and a caller that is never held up. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { Machine, MachineError, type MachineOptions, type TranslatedCode } from '../../src/hosts/node/index.ts'
import { Transcript } from './debian.ts'
import { debugExit, ECHO, ENTRY, LOOP, multibootKernel, outb, print } from './tiny-kernel.ts'

const timeout = 120_000
const encode = (text: string) => new TextEncoder().encode(text)

/** A machine with 16 MiB. */
const create = (code: readonly number[], options: Partial<MachineOptions> = {}) =>
  Machine.create({ memory: 16 << 20, kernel: multibootKernel(code), ...options })

test('two machines at once do not know of each other', { timeout }, async () => {
  const machines = await Promise.all([create(ECHO), create(ECHO, { engine: 'interpreter' })])
  const transcripts = machines.map(machine => new Transcript(machine.serial[0].readable))
  await Promise.all(machines.map(machine => machine.start()))
  for (const [i, machine] of machines.entries()) {
    const writer = machine.serial[0].writable.getWriter()
    for (let n = 0; n < 20; n++) await writer.write(encode(`machine ${i} line ${n}\n`))
  }
  await Promise.all(transcripts.map((transcript, i) => transcript.until(`machine ${i} line 19\n`)))
  await machines[0].destroy()
  assert.equal((await machines[0].stopped).reason, 'destroyed')
  assert.equal(machines[1].state, 'running')
  const writer = machines[1].serial[0].writable
  assert.equal(writer.locked, true)
  await machines[1].destroy()
  for (const [i, { text }] of transcripts.entries())
    assert.equal(text, Array.from({ length: 20 }, (_, n) => `machine ${i} line ${n}\n`).join(''))
})

test('start, pause, resume, reset, destroy', { timeout }, async () => {
  const machine = await create([...print('up\n'), ...ECHO])
  const states: string[] = []
  machine.addEventListener('statechange', () => states.push(machine.state))
  const transcript = new Transcript(machine.serial[0].readable)
  const writer = machine.serial[0].writable.getWriter()
  assert.equal(machine.state, 'created')
  await machine.start()
  await transcript.until('up\n')
  await machine.pause()
  // What was under way when the pause came counts; from then on nothing does.
  const { instructions } = await machine.stats()
  await writer.write(encode('a'))
  assert.equal((await machine.stats()).instructions, instructions)
  assert.equal(transcript.text, 'up\n')
  await machine.resume()
  await transcript.until('a')
  const restarted = new Promise(resolve => machine.addEventListener('restart', resolve, { once: true }))
  await machine.reset()
  assert.equal(((await restarted) as CustomEvent).detail, 'reset')
  await transcript.until('up\n', 4)
  await machine.destroy()
  assert.deepEqual(await machine.stopped, { reason: 'destroyed' })
  assert.deepEqual(states, ['running', 'paused', 'running', 'stopped'])
  assert.equal(transcript.text, 'up\naup\n')
})

test('a guest that never rests does not hold up the caller', { timeout }, async () => {
  const machine = await create(LOOP)
  await machine.start()
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  // Both go on: the guest's count grows while this thread's timer keeps ticking.
  let { instructions } = await machine.stats()
  for (let i = 0; i < 20; i++) {
    const before = ticks
    while (ticks < before + 3) await new Promise(resolve => setTimeout(resolve, 1))
    const now = (await machine.stats()).instructions
    assert.ok(now >= instructions)
    instructions = now
  }
  clearInterval(timer)
  assert.ok(instructions > 0)
  await machine.destroy()
})

for (const engine of ['interpreter', 'translator'] as const) {
  test(`a profiler sees a loop in the ${engine}, and what leads out of it`, { timeout }, async context => {
    // Ten million turns of a loop, then one access to a port, and so on.
    const code = [...[0xb9, 0x80, 0x96, 0x98, 0x00], ...[0x49, 0x75, 0xfd], ...[0xe4, 0x80], ...[0xeb, 0xf4]]
    const machine = await create(code, { engine })
    context.after(() => machine.destroy())
    const profiler = machine.profiler()!
    await machine.start()
    const timer = setInterval(() => profiler.sample(), 1)
    const counted = async () => (await machine.stats()).activities.find(({ name }) => name === 'port I/O')!.count
    while ((await counted()) < 3 || profiler.profile().samples < 100)
      await new Promise(resolve => setTimeout(resolve, 20))
    clearInterval(timer)
    const { activities } = await machine.stats()
    const { addresses, ...profile } = profiler.profile()
    const group = engine === 'interpreter' ? 'interpreter' : 'translator'
    const inside = activities.map((a, i) => (a.group === group ? profile.activities[i] : 0)).reduce((a, b) => a + b)
    assert.ok(inside > 0, `${inside} of ${profile.samples} samples in the ${engine}`)
    assert.equal(addresses[0].user, false)
    const place = Number(addresses[0].address) - ENTRY
    assert.ok(place >= 0 && place < code.length, addresses[0].address.toString(16))
    assert.ok(engine === 'translator' ? addresses[0].translated > 0 : addresses[0].translated === 0)
  })
}

test('a machine tells of its translated code', { timeout }, async context => {
  // mov ecx, 10; dec ecx; jnz; jmp to itself
  const code = [0xb9, 10, 0, 0, 0, 0x49, 0x75, 0xfd, 0xeb, 0xfe]
  const machine = await create(code, { engine: 'translator', listCode: true })
  context.after(() => machine.destroy())
  const listed = new Promise<TranslatedCode>(resolve =>
    machine.addEventListener('code', event => resolve((event as CustomEvent<TranslatedCode>).detail), { once: true }),
  )
  await machine.start()
  const { listing, text, ...rest } = await listed
  const { wasmBytes, ...plain } = rest
  const expected = { address: BigInt(ENTRY), mode: 'protected, 32 bits, supervisor', instructions: 4, bytes: 10 }
  assert.deepEqual(plain, expected)
  assert.ok(wasmBytes > 50)
  assert.match(listing.join('\n'), /100020: b90a000000 +mov ecx, 0xa\n100025: 49 +dec ecx\n100026 +75fd/)
  assert.match(text, /^\(func \(param \$state i32\) \(result i32\)\n/)
})

test('a guest that faults at once for ever still hears its caller', { timeout }, async () => {
  const machine = await create([0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b])
  let restarts = 0
  const again = new Promise<void>(resolve =>
    machine.addEventListener('restart', () => {
      if (++restarts === 3) resolve()
    }),
  )
  await machine.start()
  await again
  assert.ok((await machine.stats()).instructions > 0)
  await machine.destroy()
})

test('ends: the debug exit port, a reset, a triple fault', { timeout }, async () => {
  const end = async (code: readonly number[]) => {
    const machine = await create(code, { reboot: false })
    await machine.start()
    return machine.stopped
  }
  const { reason, code } = await end(debugExit(5))
  assert.deepEqual({ reason, code }, { reason: 'debug-exit', code: 11 })
  assert.equal((await end(outb(0xcf9, 6))).reason, 'reset')
  assert.equal((await end(outb(0x64, 0xfe))).reason, 'reset')
  // lidt of an empty table, then ud2
  const fault = await end([0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b])
  assert.equal(fault.reason, 'triple-fault')
  assert.ok(fault.message)
})

test('a worker that fails before the machine is made is one error', { timeout }, async () => {
  const { nodeWorker } = await import('../../src/hosts/node/index.ts')
  for (const source of ['throw new Error("no luck")', '', 'process.exit(3)']) {
    const worker = () => nodeWorker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
    await assert.rejects(create(LOOP, { worker }), error => error instanceof MachineError && error.message.length > 0)
  }
})

test("the README's example is a program that runs", async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
  const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]
  const { ensureDefaultGuest } = await import('../../src/hosts/node/index.ts')
  const guest = await ensureDefaultGuest().catch(() => undefined)
  // Without Debian's apt there is no default guest to run it with.
  if (!guest) return
  const { spawnSync } = await import('node:child_process')
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module-typescript', '--eval', example],
    { cwd: new URL('../..', import.meta.url).pathname, encoding: 'utf8', timeout: 300_000 },
  )
  assert.equal(status, 0, stderr)
  assert.match(stdout, /\nLinux typetwo .* x86_64 GNU\/Linux\r?\n/)
})
