/**
 * Kills processes that write to an image, at random instants: what was flushed must be there, and others must find
 * nothing wrong with the image, before typetwo has looked at it again.
 *
 * A writer's requests follow from its seed, so that the parent knows them too; the writer only tells which of them were
 * flushed.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createImage } from '../../src/disk/create.ts'
import type { Format } from '../../src/disk/format-names.ts'
import { openFile } from '../../src/hosts/node/byte-file.ts'
import { openDisk } from '../../src/hosts/node/disks.ts'
import { qemuCheck } from './qemu.ts'
import { randomNumbers } from './random.ts'

/** What is killed, and how often. */
export interface KillOptions {
  format: Format
  subformat?: string
  version?: 2 | 3
  rounds: number
  seed: number
  /** The image, which is made. */
  path: string
}

const SIZE = 48 * 2 ** 20
const SECTOR = 512
/** Requests between two flushes, at most. */
const BATCH = 12

/** A request of a writer. */
export interface WriterRequest {
  kind: 'write' | 'zero' | 'discard'
  offset: number
  length: number
  /** What the first bytes of each sector say. */
  value: number
  /** Whether a flush follows. */
  flush: boolean
}

/** The requests of the writer with that seed. */
export function* writerRequests(seed: number): Generator<WriterRequest, never> {
  const random = randomNumbers(seed)
  for (let value = 1; ; value++) {
    const kind = random()
    const large = random() < 0.1
    const length = (1 + Math.floor(random() ** 3 * (large ? 4000 : 200))) * SECTOR
    const offset = Math.floor(random() * ((SIZE - length) / SECTOR)) * SECTOR
    yield {
      kind: kind < 0.75 ? 'write' : kind < 0.9 ? 'zero' : 'discard',
      offset,
      length,
      value: (seed % 4096) * 2 ** 20 + value,
      flush: random() < 1 / BATCH,
    }
  }
}

/** Makes requests until it is killed: the writer. */
export async function writeUntilKilled(path: string, format: Format, seed: number): Promise<never> {
  const disk = await openDisk(path, { format })
  // What waits in this process is lost when it is killed.
  const tell = (text: string) => new Promise<void>(resolve => process.stdout.write(`${text}\n`, () => resolve()))
  await tell('ready')
  let count = 0
  for (const { kind, offset, length, value, flush } of writerRequests(seed)) {
    const request =
      kind === 'write'
        ? disk.write(offset, sectors(length, value))
        : kind === 'zero'
          ? disk.writeZeroes(offset, length)
          : disk.discard(offset, length)
    await request
    count++
    if (!flush) continue
    await disk.flush()
    await tell(`${count}`)
  }
  throw new Error('a writer ended')
}

function sectors(length: number, value: number): Uint8Array {
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < length; at += SECTOR) {
    view.setFloat64(at, value)
    view.setFloat64(at + SECTOR - 8, value)
  }
  return bytes
}

/** Kills writers. @param report hears of each round */
export async function killWriters(options: KillOptions, report: (text: string) => void = () => {}): Promise<void> {
  const { path, format, subformat, version, rounds, seed } = options
  rmSync(path, { force: true })
  const file = await openFile(path, { create: true })
  await createImage(
    file,
    { format, size: SIZE, subformat, version },
    name => openFile(join(dirname(path), name), { create: true }),
    0,
  )
  await file.close()
  const random = randomNumbers(seed)
  /** What each sector may hold: the flushed value last. */
  const allowed: Set<number>[] = Array.from({ length: SIZE / SECTOR }, () => new Set([0]))
  for (let round = 0; round < rounds; round++) {
    const writerSeed = Math.floor(random() * 2 ** 31)
    const flushed = await runWriter(path, format, writerSeed, random() * 400)
    if (format !== 'raw' && format !== 'vhd' && version !== 2) qemuCheck(path, format)
    let number = 0
    // Those that may have been made: what is under way when the writer is killed, and what was before that.
    for (const request of writerRequests(writerSeed)) {
      if (number >= flushed + 400) break
      const isFlushed = number++ < flushed
      for (let at = request.offset; at < request.offset + request.length; at += SECTOR) {
        const values = allowed[at / SECTOR]
        // A discarded sector is as it was, or zeros.
        if (isFlushed && request.kind !== 'discard') values.clear()
        values.add(request.kind === 'write' ? request.value : 0)
      }
    }
    const found = await verify(path, format, allowed)
    report(`${format} round ${round + 1}: ${flushed} requests flushed, ${found} sectors as they should be`)
  }
}

/** Runs a writer and kills it. @returns how many of its requests were flushed */
async function runWriter(path: string, format: Format, seed: number, milliseconds: number): Promise<number> {
  const script = new URL('./kill-writer.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, path, format, `${seed}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', bytes => (text += bytes))
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  await new Promise(resolve => setTimeout(resolve, milliseconds))
  assert.equal(child.exitCode, null, 'the writer runs until it is killed')
  child.kill('SIGKILL')
  await once(child, 'close')
  const lines = text.split('\n').slice(1, -1)
  return Number(lines.at(-1) ?? 0)
}

/** Compares each sector with what it may hold, which then is what it holds. @returns how many there are */
async function verify(path: string, format: Format, allowed: Set<number>[]): Promise<number> {
  const disk = await openDisk(path, { format, readOnly: true })
  const bytes = new Uint8Array(2 ** 20)
  const view = new DataView(bytes.buffer)
  for (let offset = 0; offset < SIZE; offset += bytes.length) {
    await disk.read(offset, bytes)
    for (let at = 0; at < bytes.length; at += SECTOR) {
      const [value, end] = [view.getFloat64(at), view.getFloat64(at + SECTOR - 8)]
      const values = allowed[(offset + at) / SECTOR]
      assert.equal(value, end, `sector at ${offset + at} is whole`)
      assert.ok(values.has(value), `sector at ${offset + at} is ${value}, not one of ${[...values]}`)
      values.clear()
      values.add(value)
    }
  }
  await disk.close()
  return allowed.length
}
