import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { inflateRaw, inflateZlib } from './inflate.ts'

const text = readFileSync(new URL('./inflate.ts', import.meta.url))
const noise = new Uint8Array(100_000)
crypto.getRandomValues(noise.subarray(0, 65536))
const samples: Record<string, Uint8Array> = {
  text,
  noise,
  zeros: new Uint8Array(65536),
  few: new Uint8Array([7]),
  nothing: new Uint8Array(0),
}
const plain = (bytes: Uint8Array) => Buffer.from(bytes)

test('what zlib compresses comes back, at every level and strategy, whatever follows', () => {
  for (const [name, bytes] of Object.entries(samples))
    for (const level of [0, 1, 6, 9])
      for (const strategy of [
        zlib.constants.Z_DEFAULT_STRATEGY,
        zlib.constants.Z_FIXED,
        zlib.constants.Z_HUFFMAN_ONLY,
      ]) {
        const options = { level, strategy }
        const raw = Buffer.concat([zlib.deflateRawSync(bytes, options), Buffer.alloc(300, 0xa5)])
        assert.deepEqual(plain(inflateRaw(raw, bytes.length)), plain(bytes), `${name} ${level} ${strategy}`)
        const wrapped = Buffer.concat([zlib.deflateSync(bytes, options), Buffer.alloc(3)])
        assert.deepEqual(plain(inflateZlib(wrapped, bytes.length)), plain(bytes), `${name} ${level} ${strategy}`)
      }
})

test('more than there is room for, and less than a stream, are refused', () => {
  const raw = zlib.deflateRawSync(text)
  assert.throws(() => inflateRaw(raw, text.length - 1), /more than/)
  for (const cut of [0, 1, 10, raw.length - 1])
    assert.throws(() => inflateRaw(raw.subarray(0, cut), text.length), RangeError)
  assert.throws(() => inflateZlib(new Uint8Array([1, 2, 3]), 10), /does not begin/)
  assert.throws(() => inflateRaw(new Uint8Array([7]), 10), /no known type/)
})

test('damaged streams end in an error or in other bytes, as with zlib', () => {
  const raw = zlib.deflateRawSync(text)
  for (let i = 0; i < 400; i++) {
    const damaged = Uint8Array.from(raw)
    damaged[(i * 7919) % raw.length] ^= 1 << (i % 8)
    let ours: Uint8Array | undefined
    let theirs: Uint8Array | undefined
    try {
      ours = inflateRaw(damaged, text.length * 2)
    } catch (error) {
      assert.ok(error instanceof RangeError, `${error}`)
    }
    try {
      theirs = zlib.inflateRawSync(damaged, { maxOutputLength: text.length * 2 })
    } catch {}
    // zlib also refuses some codes that leave bits unused.
    if (theirs) assert.deepEqual(plain(ours!), plain(theirs))
  }
})
