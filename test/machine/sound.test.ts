/** What a guest plays, as a program of the library and the command's file have it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { strongest } from '../../src/devices/sound/test-signal.ts'
import { Machine } from '../../src/hosts/node/index.ts'
import { debugExit, LOOP, multibootKernel, outb } from './tiny-kernel.ts'

const timeout = 240_000
/** The speaker at 1193181.8 Hz / 1193. */
const BEEP = [...outb(0x43, 0xb6), ...outb(0x42, 0xa9), ...outb(0x42, 0x04), ...outb(0x61, 3)]
/** `mov ecx, count; dec ecx; jnz -3`. */
const wait = (count: number) => [
  ...[0xb9, count & 0xff, (count >> 8) & 0xff, (count >> 16) & 0xff, count >>> 24],
  ...[0x49, 0x75, 0xfd],
]
const TYPETWO = new URL('../../bin/typetwo', import.meta.url).pathname

test('a busy guest beeps: pieces follow each other without a gap, at 1000 Hz; without the option there is no sound', {
  timeout,
}, async () => {
  const kernel = multibootKernel([...BEEP, ...LOOP])
  const machine = await Machine.create({ memory: 16 << 20, kernel, clock: 'instructions', sound: ['speaker'] })
  const reader = machine.sound!.chunks().getReader()
  await machine.start()
  const heard = new Float64Array(24_000)
  let next: number | undefined
  for (let at = 0; at < heard.length; ) {
    const { value } = await reader.read()
    assert.equal(value!.frame, next ?? value!.frame)
    next = value!.frame + value!.samples.length / 2
    for (let i = 0; i < value!.samples.length && at < heard.length; i += 2) heard[at++] = value!.samples[i] / 32767
  }
  assert.equal(Math.round(strongest(heard)), 1000)
  await machine.destroy()
  while (!(await reader.read()).done);
  const silent = await Machine.create({ memory: 16 << 20, kernel })
  assert.equal(silent.sound, undefined)
  await silent.destroy()
})

test('a name that is none of a sound device is refused', { timeout }, async () => {
  const options = { kernel: multibootKernel(LOOP), sound: ['gus'] as never }
  await assert.rejects(Machine.create(options), /no sound device 'gus': choose speaker, sb16, ac97/)
})

test('run --sound wav: the file has the beep, with a right header; one that cannot be made is named', {
  timeout,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sound-'))
  try {
    const kernel = join(folder, 'kernel')
    await writeFile(kernel, multibootKernel([...BEEP, ...wait(20_000_000), ...outb(0x61, 0), ...debugExit(0)]))
    const run = (path: string) =>
      spawnSync(TYPETWO, ['run', '--kernel', kernel, '--memory', '16M', '--clock', 'instructions', '--sound', path], {
        encoding: 'utf8',
        timeout,
      })
    const path = join(folder, 'a,b.wav')
    const { status, stderr } = run(`wav:${path.replaceAll(',', ',,')}`)
    assert.equal(status, 1, stderr)
    const bytes = await readFile(path)
    assert.equal(bytes.readUInt32LE(40), bytes.length - 44)
    const frames = (bytes.length - 44) / 4
    // 40 million instructions of 10 ns.
    assert.ok(Math.abs(frames - 19_200) < 1000, `${frames} frames`)
    const heard = Float64Array.from({ length: 18_000 }, (_, i) => bytes.readInt16LE(44 + 4 * i) / 32767)
    assert.equal(Math.round(strongest(heard)), 1000)
    const refused = run(`wav:${folder}/none/x.wav`)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /^typetwo: the sound cannot be recorded to .*none\/x\.wav: .*\n$/)
  } finally {
    await rm(folder, { recursive: true })
  }
})
