import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textOf } from './cells.ts'
import { dispi, indexed, MODES, makeAdapter, REGISTERS, SIZE, setMode } from './test-memory.ts'

/** What a color of {@link setMode}'s palette looks like. */
const color = (i: number) => {
  const wide = (value: number) => ((value & 63) << 2) | ((value & 63) >> 4)
  return [wide(i & 63), wide(i >> 2), wide(63 - (i & 63)), 255]
}

test('registers are read as they were written, what they have not is zero, and protection protects', () => {
  const { bus } = makeAdapter()
  setMode(bus, MODES.text)
  for (const [port, index, value, expected] of [
    [0x3c4, 2, 0xff, 0x0f],
    [0x3c4, 4, 0xff, 0x0e],
    [0x3ce, 5, 0xff, 0x7b],
    [0x3ce, 8, 0xa5, 0xa5],
    [0x3d4, 0xe, 0x12, 0x12],
  ]) {
    indexed(bus, port, index, value)
    assert.equal(bus.in(port + 1), expected, `${port.toString(16)} ${index}`)
  }
  indexed(bus, 0x3d4, 0x11, 0x8e)
  indexed(bus, 0x3d4, 0, 0x11)
  assert.equal(bus.in(0x3d5), 0x5f, 'protected')
  indexed(bus, 0x3d4, 7, 0)
  assert.equal(bus.in(0x3d5), 0x0f, 'but for bit 8 of line compare')
  assert.equal(bus.in(0x3cc), 0x67)
  assert.equal(bus.in(0x3b5), 0xff, 'a color adapter has no registers at 3B0h')
  bus.out(0x3c2, 0x66)
  assert.equal(bus.in(0x3d5), 0xff)
  assert.equal(bus.in(0x3b5), 0x0f)
})

test('the attribute controller takes index and data in turn; input status 1 begins anew', () => {
  const { bus } = makeAdapter()
  setMode(bus, MODES.text)
  bus.in(0x3da)
  bus.out(0x3c0, 0x03)
  bus.out(0x3c0, 0x15)
  bus.out(0x3c0, 0x04)
  bus.in(0x3da)
  bus.out(0x3c0, 0x03)
  assert.equal(bus.in(0x3c1), 0x15)
  bus.out(0x3c0, 0x2a)
  assert.equal(bus.in(0x3c1), 0x2a)
  bus.out(0x3c0, 0x23)
  bus.out(0x3c0, 0x01)
  assert.equal(bus.in(0x3c1), 0x2a, 'the display has the palette')
})

test('the palette counts up, reads and writes by themselves', () => {
  const { bus } = makeAdapter()
  bus.out(0x3c8, 0xff)
  for (const part of [1, 2, 3, 4, 5]) bus.out(0x3c9, part)
  assert.equal(bus.in(0x3c7), 0)
  bus.out(0x3c7, 0xff)
  assert.equal(bus.in(0x3c7), 3)
  assert.deepEqual(
    Array.from({ length: 6 }, () => bus.in(0x3c9)),
    [1, 2, 3, 0, 0, 0],
    'what is not whole is not written',
  )
  bus.out(0x3c9, 6)
  bus.out(0x3c7, 0)
  assert.deepEqual(
    Array.from({ length: 3 }, () => bus.in(0x3c9)),
    [4, 5, 6],
  )
})

test('input status 1 has the frames of the mode', () => {
  const { bus } = makeAdapter()
  for (const [mode, hertz, visible] of [
    [MODES.text, 70.09, 400 / 449],
    [MODES.planar, 59.94, 480 / 525],
  ] as const) {
    setMode(bus, mode)
    let retraces = 0
    let enabled = 0
    let before = 0
    const step = 5_000
    const steps = 400_000
    for (let i = 0; i < steps; i++) {
      bus.clock.advance(step)
      const status = bus.in(0x3da)
      if (status & 8 && !(before & 8)) retraces++
      if (!(status & 1)) enabled++
      else if (status & 8) assert.equal(status & 1, 1)
      before = status
    }
    const seconds = (step * steps) / 1e9
    assert.ok(Math.abs(retraces / seconds - hertz) < 1, `${retraces / seconds} Hz`)
    const share = visible * (80 / 100)
    assert.ok(Math.abs(enabled / steps - share) < 0.02, `${enabled / steps} of the time`)
  }
})

test('text: fonts, colors, the ninth dot, cursor, and only what changed', () => {
  const { bus, memory, adapter } = makeAdapter()
  setMode(bus, MODES.text)
  // An 'A' of two lines, and a line character.
  memory.set((0x41 * 32 + 2) * 4 + 2, [0x81])
  memory.set((0xc4 * 32 + 2) * 4 + 2, [0x01])
  memory.set(0, [0x41, 0x1f, 0, 0, 0xc4, 0x1f, 0, 0])
  indexed(bus, 0x3d4, 0xa, 0x20)
  assert.deepEqual(adapter.update(), [[0, 0, 720, 400]])
  const { picture } = adapter
  const pixel = (x: number, y: number) => [
    ...new Uint8Array(picture.pixels.buffer, picture.pixels.byteOffset).subarray((y * 720 + x) * 4).slice(0, 4),
  ]
  assert.deepEqual(pixel(0, 2), color(0x3f), 'white')
  assert.deepEqual(pixel(1, 2), color(1), 'on blue')
  assert.deepEqual(pixel(7, 2), color(0x3f))
  assert.deepEqual(pixel(8, 2), color(1), 'a letter ends at its eighth dot')
  assert.deepEqual(pixel(16, 2), color(0x3f))
  assert.deepEqual(pixel(17, 2), color(0x3f), 'a line goes on')
  assert.equal(textOf(adapter.cells()!).slice(0, 3), 'A─\n')
  assert.equal(textOf(adapter.cells()!).split('\n').length, 25)
  assert.deepEqual(adapter.update(), [])
  memory.set(81 * 4, [0x41, 0x07])
  assert.deepEqual(adapter.update(), [[9, 18, 8, 1]])
  indexed(bus, 0x3d4, 0xa, 0x0d)
  indexed(bus, 0x3d4, 0xf, 2)
  memory.set(8, [0x20, 0x07])
  adapter.update()
  assert.deepEqual(pixel(18, 13), color(7), 'the cursor is a line in the color of the text')
  bus.clock.advance(8.5e9 / 70)
  assert.deepEqual(adapter.update(), [[18, 13, 9, 2]], 'it blinks')
})

test('text: the second font, the place of the cursor, a first row that is shown in part', () => {
  const { bus, memory, adapter } = makeAdapter()
  setMode(bus, MODES.text)
  const lit = (x: number, y: number) => adapter.picture.pixels[y * 720 + x] !== adapter.picture.pixels[y * 720 + 7]
  // Character map select: characters with bit 3 of their attribute in font 1, at 4000h, others in font 0.
  indexed(bus, 0x3c4, 3, 0x04)
  memory.set(0x41 * 32 * 4 + 2, [0x80])
  memory.set((0x4000 + 0x41 * 32) * 4 + 2, [0x40])
  memory.set(0, [0x41, 0x07, 0, 0, 0x41, 0x0f, 0, 0])
  indexed(bus, 0x3d4, 0xa, 0x0d)
  indexed(bus, 0x3d4, 0xe, 0)
  indexed(bus, 0x3d4, 0xf, 3 * 80 + 5)
  adapter.update()
  assert.deepEqual([lit(0, 0), lit(1, 0)], [true, false])
  assert.deepEqual([lit(9, 0), lit(10, 0)], [false, true])
  assert.deepEqual(adapter.cells()!.cursor, [5, 3])
  indexed(bus, 0x3d4, 0xa, 0x2d)
  assert.equal(adapter.cells()!.cursor, undefined)
  indexed(bus, 0x3d4, 8, 15)
  memory.set(80 * 4, [0x41, 0x07])
  adapter.update()
  assert.ok(!lit(0, 0) && lit(0, 1), 'its last line is the first of the picture')
})

test("the CGA's mode of four colors: pairs of bits, even and odd lines apart", () => {
  const { bus, memory, adapter } = makeAdapter()
  // Mode 4 of IBM's table of video parameters.
  const hex = (text: string) => text.split(' ').map(byte => Number.parseInt(byte, 16))
  setMode(bus, {
    miscellaneous: 0x63,
    sequencer: hex('03 09 03 00 02'),
    crtc: hex('2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff'),
    graphics: hex('00 00 00 00 00 30 0f 00 ff'),
    attribute: hex('00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00 00'),
  })
  // Bytes as the processor writes them, odd ones in plane 1.
  bus.store(0xb8000, 0x1b, 1)
  bus.store(0xb8001, 0xc0, 1)
  bus.store(0xba000, 0x40, 1)
  adapter.update()
  const { width, pixels } = adapter.picture
  assert.equal(width, 640)
  const row = (y: number) => Array.from({ length: 8 }, (_, i) => pixels[y * width + 2 * i])
  const [black, first, second, third] = row(0)
  assert.equal(new Set([black, first, second, third]).size, 4)
  assert.deepEqual(row(0), [black, first, second, third, third, black, black, black])
  assert.deepEqual(row(1), row(0), 'every line twice')
  assert.deepEqual(row(2), [first, ...new Array(7).fill(black)])
  // Planes 2 and 3 are the upper two bits of a color, where the palette lets them through.
  bus.in(0x3da)
  bus.out(0x3c0, 0x32)
  bus.out(0x3c0, 0x0f)
  memory.set(0, [0, 0, 0x10, 0])
  adapter.update()
  const [, green] = row(0)
  assert.ok(![black, first, second, third].includes(green))
  assert.deepEqual(row(0), [black, green, ...new Array(6).fill(black)])
})

test("a kernel without firmware finds the BIOS's text mode in the BIOS's font", () => {
  const { bus, adapter } = makeAdapter()
  assert.equal(adapter.showText(new Uint8Array(40_000)), false)
  const bios = new Uint8Array(40_000)
  const letter = [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0]
  bios.set([...letter, 0, 0, 0xfc, 0x66, 0x66, 0x66, 0x7c, 0x66, 0x66, 0x66, 0x66, 0xfc, 0, 0, 0, 0], 10_000)
  assert.equal(adapter.showText(bios), true)
  bus.store(0xb8000, 0x0e41, 2)
  indexed(bus, 0x3d4, 0xa, 0x20)
  adapter.update()
  assert.equal(textOf(adapter.cells()!).split('\n')[0], 'A')
  const yellow = 0xff55ffff | 0
  const row = [...adapter.picture.pixels.subarray(7 * 720, 7 * 720 + 9)]
  assert.deepEqual(
    row.map(pixel => pixel === yellow),
    [true, true, true, true, true, true, true, false, false],
  )
})

test('planar and 256 colors: split screen, panning and start address', () => {
  const { bus, memory, adapter } = makeAdapter()
  setMode(bus, MODES.planar)
  memory.set(0, [0x80, 0x00, 0x80, 0x01])
  memory.set(1000 * 4, [0xff, 0xff, 0, 0])
  adapter.update()
  const pixel = (x: number, y: number) => [
    ...new Uint8Array(adapter.picture.pixels.buffer, adapter.picture.pixels.byteOffset)
      .subarray((y * adapter.picture.width + x) * 4)
      .slice(0, 4),
  ]
  assert.deepEqual(pixel(0, 0), color(5))
  assert.deepEqual(pixel(7, 0), color(8))
  indexed(bus, 0x3d4, 0xc, 1000 >> 8)
  indexed(bus, 0x3d4, 0xd, 1000 & 0xff)
  indexed(bus, 0x3d4, 0x18, 99)
  indexed(bus, 0x3d4, 7, 0x2e)
  indexed(bus, 0x3d4, 9, 0)
  bus.in(0x3da)
  bus.out(0x3c0, 0x33)
  bus.out(0x3c0, 1)
  assert.notDeepEqual(adapter.update(), [])
  assert.deepEqual(pixel(6, 0), color(3), 'shifted by a pixel')
  assert.deepEqual(pixel(7, 0), color(0))
  assert.deepEqual(pixel(6, 100), color(8), 'below the split from address 0')
  setMode(bus, MODES.palette)
  memory.set(320, [1, 2, 3, 4])
  adapter.update()
  assert.deepEqual([adapter.picture.width, adapter.picture.height], [640, 400])
  assert.deepEqual(pixel(3, 2), color(2))
  assert.deepEqual(pixel(3, 3), color(2), 'every line twice')
  memory.set(320 * 100 + 10, [9])
  assert.deepEqual(adapter.update(), [[20, 200, 2, 2]])
})

test('modes of the display interface, by ports and by memory', () => {
  const { bus, memory, adapter } = makeAdapter()
  assert.equal(memory.mapped, 0xe0000000)
  for (const [depth, bytes, expected] of [
    [32, [0x11, 0x22, 0x33, 0], [0x33, 0x22, 0x11, 255]],
    [24, [0x11, 0x22, 0x33], [0x33, 0x22, 0x11, 255]],
    [16, [0x1f, 0xf8], [255, 0, 255, 255]],
    [15, [0xe0, 0x03], [0, 255, 0, 255]],
  ] as const) {
    dispi(bus, 4, 0)
    dispi(bus, 1, 800)
    dispi(bus, 2, 600)
    dispi(bus, 3, depth)
    dispi(bus, 4, 0x41)
    memory.set(0, bytes)
    adapter.update()
    assert.deepEqual([adapter.picture.width, adapter.picture.height], [800, 600])
    const { pixels } = adapter.picture
    assert.deepEqual([...new Uint8Array(pixels.buffer, pixels.byteOffset).subarray(0, 4)], expected, `${depth} bits`)
    assert.equal(adapter.cells(), undefined)
  }
  assert.equal(bus.load(REGISTERS + 0x502, 2), 800)
  bus.store(REGISTERS + 0x500 + 4 * 2, 0, 2)
  assert.equal(bus.in(0x1cf, 2), 0)
  const edid = Array.from({ length: 128 }, (_, i) => bus.load(REGISTERS + i, 1))
  assert.deepEqual(edid.slice(0, 8), [0, 255, 255, 255, 255, 255, 255, 0])
  assert.equal(edid.reduce((sum, byte) => sum + byte, 0) % 256, 0)
})

test('no mode reaches beyond memory, whatever the registers are set to', () => {
  const { bus, adapter } = makeAdapter()
  for (const [width, height, depth, virtual, x, y] of [
    [0xffff, 0xffff, 32, 0xffff, 0xffff, 0xffff],
    [2560, 1600, 32, 0, 0, 0],
    [2560, 1600, 32, 2560, 8, 1],
    [0, 0, 0, 0, 0, 0],
    [8, 1, 4, 0xffff, 0xffff, 0xffff],
    [640, 480, 24, 0xfff8, 0xffff, 0xffff],
    [1366, 768, 16, 1, 7, 9000],
  ]) {
    dispi(bus, 4, 0)
    dispi(bus, 1, width)
    dispi(bus, 2, height)
    dispi(bus, 3, depth)
    dispi(bus, 4, 0x41)
    dispi(bus, 6, virtual)
    dispi(bus, 8, x)
    dispi(bus, 9, y)
    adapter.update()
    const read = (index: number) => {
      bus.out(0x1ce, index, 2)
      return bus.in(0x1cf, 2)
    }
    const bytes = read(3) === 4 ? 0.5 : Math.ceil(read(3) / 8)
    const last = (read(9) + read(2) - 1) * read(6) * bytes + (read(8) + read(1)) * bytes
    assert.ok(last <= SIZE, `${[width, height, depth, virtual, x, y]}: ${last}`)
    assert.ok(adapter.picture.width <= 2560 && adapter.picture.height <= 1600)
    assert.ok(read(6) >= read(1))
  }
  dispi(bus, 5, 0xffff)
  bus.store(0xaffff, 0x42, 1)
})
