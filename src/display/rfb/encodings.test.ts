import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rgb, TestScreen } from '../test-screen.ts'
import { ENCODING } from './protocol.ts'
import { testServer } from './test-server.ts'
import { NOVNC_FORMAT, type TestViewer } from './test-viewer.ts'

/** The viewer shows exactly what the screen does. */
function assertSame(viewer: TestViewer, screen: TestScreen): void {
  const { width, height, data } = viewer.picture
  assert.deepEqual([width, height], [screen.width, screen.height])
  const pixels = new Uint32Array(data.buffer)
  for (let n = 0; n < pixels.length; n++)
    if (pixels[n] !== screen.pixels[n])
      assert.fail(
        `pixel ${n % width},${Math.floor(n / width)} is ${pixels[n].toString(16)}, not ${screen.pixels[n].toString(16)}`,
      )
}

/** Numbers that look random and are the same in every run. */
function* noise(seed: number): Generator<number, never> {
  for (;;) {
    seed = (seed + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    yield (mixed ^ (mixed >>> 14)) >>> 8
  }
}

const PICTURES = {
  raw: ENCODING.raw,
  hextile: ENCODING.hextile,
  zrle: ENCODING.zrle,
  tight: ENCODING.tight,
}

for (const [name, encoding] of Object.entries(PICTURES))
  for (const isLocal of [false, true])
    test(`${name} shows bars, gradients, text, noise and what changes of them${isLocal ? ', on this host' : ''}`, async () => {
      const { screen, view } = testServer({}, TestScreen.picture(333, 217))
      const viewer = await view({ isLocal })
      await viewer.setPixelFormat(NOVNC_FORMAT)
      await viewer.setEncodings(encoding, ENCODING.compressionLevel0 + 6)
      await viewer.request(false)
      assert.ok(
        (await viewer.update()).encodings.every(sent => sent === encoding || (isLocal && sent === ENCODING.raw)),
      )
      assertSame(viewer, screen)
      const random = noise(7)
      for (let round = 0; round < 12; round++) {
        const next = (most: number) => random.next().value % most
        const [width, height] = [1 + next(screen.width), 1 + next(screen.height)]
        const area = { x: next(screen.width - width + 1), y: next(screen.height - height + 1), width, height }
        const colours = Array.from({ length: [1, 2, 3, 9, 60, 300][round % 6] }, () => next(1 << 24) | 0xff000000)
        const step = round % 3
        screen.draw(area, (x, y) =>
          step === 2
            ? ((random.next().value & 0xffffff) | 0xff000000) >>> 0
            : colours[(step ? x * y : x >> 3) % colours.length] >>> 0,
        )
        screen.show(area)
        await viewer.request(true)
        await viewer.update()
        assertSame(viewer, screen)
      }
    })

test('a scrolled screen is copied, and what is new is drawn', async () => {
  const screen = new TestScreen(320, 240)
  const random = noise(3)
  const line = (y: number, height: number) =>
    screen.draw({ x: 0, y, width: 320, height }, () => (random.next().value & 3 ? rgb(0, 0, 0) : rgb(200, 200, 200)))
  line(0, 240)
  const { view } = testServer({}, screen)
  const viewer = await view()
  await viewer.setPixelFormat(NOVNC_FORMAT)
  await viewer.setEncodings(ENCODING.copyRect, ENCODING.zrle)
  await viewer.request(false)
  const whole = await viewer.update()
  for (const dy of [-16, -48, 16]) {
    const before = screen.pixels.slice()
    for (let y = 0; y < 240; y++) {
      const from = y - dy
      if (from >= 0 && from < 240) screen.pixels.set(before.subarray(from * 320, (from + 1) * 320), y * 320)
    }
    if (dy < 0) line(240 + dy, -dy)
    else line(0, dy)
    // Something that did not scroll.
    screen.fill({ x: 100, y: 100, width: 20, height: 20 }, rgb(255, 0, 0))
    screen.show()
    await viewer.request(true)
    const { encodings, bytes } = await viewer.update()
    assert.equal(encodings[0], ENCODING.copyRect, `moved by ${dy}`)
    assert.ok(bytes < whole.bytes / 2, `${bytes} of ${whole.bytes} bytes`)
    assertSame(viewer, screen)
  }
})

test('moves that wait behind changes, and changes behind moves, come out right', async () => {
  const screen = new TestScreen(256, 192)
  const random = noise(11)
  const any = () => ((random.next().value & 0xffffff) | 0xff000000) >>> 0
  screen.draw({ x: 0, y: 0, width: 256, height: 192 }, any)
  const { view } = testServer({}, screen)
  // The other viewer takes every change, so that they are seen one by one while this one waits.
  const [viewer, other] = [await view(), await view()]
  for (const each of [viewer, other]) {
    await each.setPixelFormat(NOVNC_FORMAT)
    await each.setEncodings(ENCODING.copyRect, ENCODING.hextile)
    await each.request(false)
    await each.update()
  }
  for (let round = 0; round < 20; round++) {
    const steps = 1 + (random.next().value % 7)
    for (let step = 0; step < steps; step++) {
      if (random.next().value % 3) {
        const dy = 8 * (1 + (random.next().value % 5)) * (random.next().value % 2 ? 1 : -1)
        const before = screen.pixels.slice()
        for (let y = 0; y < 192; y++) {
          const from = y - dy
          if (from >= 0 && from < 192) screen.pixels.set(before.subarray(from * 256, (from + 1) * 256), y * 256)
        }
        screen.draw({ x: 0, y: dy < 0 ? 192 + dy : 0, width: 256, height: Math.abs(dy) }, any)
        screen.show()
      } else {
        const area = { x: random.next().value % 200, y: random.next().value % 150, width: 40, height: 30 }
        screen.draw(area, any)
        screen.show(area)
      }
      await other.request(true)
      await other.update()
      assertSame(other, screen)
    }
    await viewer.request(true)
    await viewer.update()
    assertSame(viewer, screen)
  }
})

test('pixels of 8 and 16 bits, big-endian and with a map of colours', async () => {
  const base = { depth: 16, bigEndian: false, trueColour: true, redMax: 31, greenMax: 63, blueMax: 31 }
  const formats = [
    { ...base, bitsPerPixel: 16, redShift: 11, greenShift: 5, blueShift: 0 },
    { ...base, bitsPerPixel: 16, bigEndian: true, redShift: 11, greenShift: 5, blueShift: 0 },
    {
      ...base,
      bitsPerPixel: 32,
      bigEndian: true,
      redMax: 255,
      greenMax: 255,
      blueMax: 255,
      redShift: 24,
      greenShift: 16,
      blueShift: 8,
    },
    {
      ...base,
      bitsPerPixel: 8,
      depth: 8,
      redMax: 7,
      greenMax: 7,
      blueMax: 3,
      redShift: 5,
      greenShift: 2,
      blueShift: 0,
    },
    { ...base, bitsPerPixel: 8, depth: 8, trueColour: false, redShift: 0, greenShift: 0, blueShift: 0 },
  ]
  const screen = new TestScreen(2, 1)
  screen.pixels.set([rgb(255, 0, 0), rgb(0, 255, 255)])
  const expected = [
    [0x00, 0xf8, 0xff, 0x07],
    [0xf8, 0x00, 0x07, 0xff],
    [0xff, 0, 0, 0, 0, 0xff, 0xff, 0],
    [0xe0, 0x1f],
    [0xe0, 0x1f],
  ]
  const { view } = testServer({}, screen)
  for (const [n, format] of formats.entries()) {
    const viewer = await view()
    await viewer.setPixelFormat(format)
    await viewer.setEncodings(ENCODING.raw)
    await viewer.request(false)
    if (!format.trueColour) {
      const event = await viewer.event()
      assert.equal(event.type, 'colours')
      assert.deepEqual(event.type === 'colours' && event.colours.slice(0xe0 * 3, 0xe0 * 3 + 3), [65535, 0, 0])
      assert.deepEqual(event.type === 'colours' && event.colours.slice(0x1f * 3, 0x1f * 3 + 3), [0, 65535, 65535])
    }
    assert.equal((await viewer.reader.bytes(4)).join(), '0,0,0,1')
    await viewer.reader.bytes(12)
    assert.deepEqual([...(await viewer.reader.bytes(expected[n].length))], expected[n])
  }
})
