import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteWriter } from './byte-writer.ts'
import { ENCODING } from './protocol.ts'
import { testServer } from './test-server.ts'

/** Numbers from a seed, below `most`. */
function random(seed: number): (most: number) => number {
  return most => {
    seed = (seed + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % most
  }
}

const ENCODINGS = Object.values(ENCODING)

/** A message that may be right, or nearly. */
function message(next: (most: number) => number): Uint8Array {
  const writer = new ByteWriter()
  const size = () => [0, 1, next(300), next(65536), 65535][next(5)]
  switch (next(11)) {
    case 0:
      writer.u8(0).u8(0).u16(0).u8([8, 16, 32][next(3)]).u8([8, 16, 24][next(3)]).u8(next(2)).u8(next(2))
      if (next(4)) writer.u16(7).u16(7).u16(3).u8(5).u8(2).u8(0)
      else writer.u16(size()).u16(size()).u16(size()).u8(next(40)).u8(next(40)).u8(next(40))
      writer.u8(0).u16(0)
      break
    case 1: {
      const count = next(12)
      writer.u8(2).u8(0).u16(count)
      for (let n = 0; n < count; n++) writer.u32((next(5) ? ENCODINGS[next(ENCODINGS.length)] : next(2 ** 31)) >>> 0)
      break
    }
    case 2:
    case 3:
      writer.u8(3).u8(next(2)).u16(size()).u16(size()).u16(size()).u16(size())
      break
    case 4:
      writer
        .u8(4)
        .u8(next(2))
        .u16(0)
        .u32(next(4) ? next(256) : 0xff00 + next(256))
      break
    case 5:
      writer.u8(5).u8(next(256)).u16(size()).u16(size())
      break
    case 6: {
      const length = next(50)
      writer
        .u8(6)
        .u8(0)
        .u16(0)
        .u32(next(20) ? length : next(2 ** 31))
        .bytes(new Uint8Array(length).fill(next(256)))
      break
    }
    case 7:
      writer.u8(150).u8(next(2)).u16(size()).u16(size()).u16(size()).u16(size())
      break
    case 8: {
      const length = next(70)
      writer
        .u8(248)
        .u8(0)
        .u16(0)
        .u32(next(2 ** 32))
        .u8(length)
        .bytes(new Uint8Array(length))
      break
    }
    case 9: {
      const screens = next(4)
      writer
        .u8(251)
        .u8(0)
        .u16(size())
        .u16(size())
        .u8(screens)
        .u8(0)
        .bytes(new Uint8Array(screens * 16))
      break
    }
    case 10:
      writer
        .u8(255)
        .u8(next(10) ? 0 : next(256))
        .u16(next(2))
        .u32(next(2 ** 32))
        .u32(next(300))
      break
  }
  const bytes = writer.take()
  // Now and then a byte is wrong.
  if (next(40) === 0) bytes[next(bytes.length)] = next(256)
  return bytes
}

test('messages at random, right and wrong, end in nothing worse than a viewer sent away', {
  timeout: 300_000,
}, async () => {
  const { connect, screen, server, said } = testServer()
  const changing = setInterval(() => screen.show({ x: 0, y: 0, width: 64, height: 64 }), 5)
  let size = 0
  const resizing = setInterval(() => screen.resize(100 + (size++ % 5) * 30, 80 + (size % 3) * 50), 70)
  try {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed)
      const { viewer, done } = connect({ peer: `10.1.0.${seed}:1`, isLocal: seed % 2 === 0 })
      let received = 0
      const reading = (async () => {
        for (let bytes: Uint8Array | undefined; (bytes = await viewer.read()); ) {
          received += bytes.length
          // Some read slowly.
          if (seed % 7 === 0) await new Promise(resolve => setTimeout(resolve, 2))
        }
      })()
      if (seed % 10 === 0) {
        // Before the handshake, too.
        await viewer.write(Uint8Array.from({ length: 1 + next(64) }, () => next(256))).catch(() => {})
      } else {
        await viewer.write(new TextEncoder().encode('RFB 003.008\n')).catch(() => {})
        await viewer.write(Uint8Array.of(1, 1)).catch(() => {})
        for (let n = 0; n < 60; n++)
          if (
            !(await viewer.write(message(next)).then(
              () => true,
              () => false,
            ))
          )
            break
      }
      await Promise.race([done, new Promise(resolve => setTimeout(resolve, 60))])
      viewer.close()
      await Promise.all([done, reading])
      assert.ok(received >= 12)
    }
  } finally {
    clearInterval(changing)
    clearInterval(resizing)
  }
  assert.equal(server.viewers, 0)
  // Errors of our own have other words than "was sent away".
  assert.deepEqual(
    said.filter(sentence => !/was sent away|could not be typed/.test(sentence)),
    [],
  )
  // And the next viewer sees the screen.
  const { viewer } = connect()
  assert.equal((await viewer.read())?.length, 12)
  viewer.close()
})
