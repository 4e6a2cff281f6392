/** Random requests to a disk, side by side with a plain array of bytes. */
import assert from 'node:assert/strict'
import type { Disk } from '../../src/index.ts'

/** A generator of numbers from 0 to 1 (mulberry32), the same for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What {@link randomRequests} may do. */
export interface RandomOptions {
  requests: number
  seed: number
  /** Bytes of the largest request; default 200 KiB. */
  largest?: number
  /** Requests under way at a time, of ranges apart; default 6. */
  depth?: number
  /** Whether there are discards, which leave open what is read after them; default true. */
  discards?: boolean
}

/**
 * Makes random requests to a disk and the same changes to `model`; every read is compared.
 * @param model what the disk holds, and afterwards what it should
 */
export async function randomRequests(disk: Disk, model: Uint8Array, options: RandomOptions): Promise<void> {
  const random = randomNumbers(options.seed)
  const { largest = 200 * 1024, depth = 6, discards = true } = options
  const sectors = disk.size / 512
  const underWay = new Map<Promise<void>, { from: number; to: number }>()
  for (let i = 0; i < options.requests; i++) {
    const count = Math.max(1, Math.floor((random() ** 4 * largest) / 512))
    // Mostly near some places, so that requests meet again and again.
    const place = Math.floor(random() * 4) / 4 + random() * random() * 0.25
    const first = Math.min(Math.floor(place * sectors), sectors - 1)
    const aligned = random() < 0.3 ? first - (first % 128) : first
    const length = Math.min(random() < 0.2 ? 128 : count, sectors - aligned) * 512
    const [from, to] = [aligned * 512, aligned * 512 + length]
    const meets = [...underWay].filter(([, other]) => other.from < to && from < other.to).map(([request]) => request)
    await Promise.all(meets)
    if (underWay.size >= depth) await Promise.race(underWay.keys())
    const kind = random()
    const fill = 1 + Math.floor(random() * 255)
    const request = perform(disk, model, from, to, kind, fill, discards).finally(() => underWay.delete(request))
    underWay.set(request, { from, to })
    if (random() < 0.02) await Promise.race([disk.flush(), ...underWay.keys()])
    if (random() < 0.02) await disk.flush()
  }
  await Promise.all(underWay.keys())
}

async function perform(
  disk: Disk,
  model: Uint8Array,
  from: number,
  to: number,
  kind: number,
  fill: number,
  discards: boolean,
): Promise<void> {
  if (kind < 0.5) {
    const bytes = new Uint8Array(to - from)
    for (let i = 0; i < bytes.length; i++) bytes[i] = fill + (i >> 9)
    model.set(bytes, from)
    // Half of the requests as devices make them: at once where that can be, in two pieces.
    const half = (bytes.length >> 1) & ~511
    const pieces = [bytes.subarray(0, half), bytes.subarray(half)]
    if (fill % 2 === 0 || !disk.immediate?.write(from, pieces)) await disk.write(from, bytes)
  } else if (kind < 0.75) {
    const bytes = new Uint8Array(to - from).fill(0xee)
    const half = (bytes.length >> 1) & ~511
    const pieces = [bytes.subarray(0, half), bytes.subarray(half)]
    if (fill % 2 === 0 || !disk.immediate?.read(from, pieces)) await disk.read(from, bytes)
    compare(bytes, model.subarray(from, to), from)
  } else if (kind < 0.88 || !discards) {
    model.fill(0, from, to)
    await disk.writeZeroes(from, to - from)
  } else {
    await disk.discard(from, to - from)
    const bytes = new Uint8Array(to - from)
    await disk.read(from, bytes)
    for (let at = 0; at < bytes.length; at += 512) {
      const [now, before] = [bytes.subarray(at, at + 512), model.subarray(from + at, from + at + 512)]
      if (Buffer.compare(now, before) !== 0)
        assert.ok(
          now.every(byte => byte === 0),
          `discarded ${from + at} is zeros`,
        )
    }
    model.set(bytes, from)
  }
}

/** Compares a whole disk with what it should hold. */
export async function compareDisk(disk: Disk, model: Uint8Array): Promise<void> {
  assert.equal(disk.size, model.length)
  const bytes = new Uint8Array(2 ** 20)
  for (let at = 0; at < disk.size; at += bytes.length) {
    const piece = bytes.subarray(0, Math.min(bytes.length, disk.size - at))
    await disk.read(at, piece)
    compare(piece, model.subarray(at, at + piece.length), at)
  }
}

function compare(actual: Uint8Array, expected: Uint8Array, offset: number): void {
  if (Buffer.compare(actual, expected) === 0) return
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  assert.fail(`byte ${offset + at} is ${actual[at]}, not ${expected[at]}`)
}
