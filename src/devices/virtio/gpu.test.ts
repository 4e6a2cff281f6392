import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Picture } from '../vga/picture.ts'
import { VirtioGpu } from './gpu.ts'
import { GPU_CMD, GPU_FORMAT, GPU_RESP } from './gpu-protocol.ts'
import { BAR, Driver, layout } from './test-driver.ts'

const RAM = 16 << 20
/** Where what stands behind pictures is, and where long commands are. */
const PIXELS = 0x400000
const ENTRIES = 0x100000
const { ERR_INVALID_PARAMETER, ERR_INVALID_RESOURCE_ID, ERR_OUT_OF_MEMORY, ERR_UNSPEC, OK_NODATA } = GPU_RESP
const F = GPU_FORMAT

/** A driver of the device, and the picture that it draws. */
class GpuDriver extends Driver {
  readonly gpu: VirtioGpu
  readonly picture = new Picture(() => {}, 4096)

  constructor() {
    let gpu!: VirtioGpu
    super(bus => {
      gpu = new VirtioGpu(bus)
      return gpu
    }, RAM)
    this.gpu = gpu
    this.useMsix()
    this.start(2, 1 << 1)
  }

  /** A command: its type and the words behind the header. @returns the answer */
  command(type: number, ...words: number[]): DataView {
    return this.send(type >= 0x300 ? 1 : 0, [type, 0, 0, 0, 0, 0].concat(words))
  }

  send(queue: number, words: number[], length = 4 * words.length, room = 2048): DataView {
    const { descriptors, buffers } = layout(queue)
    const at = length > 0x400 ? ENTRIES : buffers
    new Uint32Array(this.bus.ram.buffer, at, words.length).set(words.map(word => word >>> 0))
    const answer = 0x80000 + queue * 0x1000
    this.bus.ram.fill(0xee, answer, answer + room)
    this.describe(descriptors, 0, at, length, room > 0 ? 1 : 0, 1)
    this.describe(descriptors, 1, answer, room, 2)
    this.offer(queue, 0)
    return new DataView(this.bus.ram.buffer, answer, room)
  }

  /** @returns the type of the answer */
  do(type: number, ...words: number[]): number {
    return this.command(type, ...words).getUint32(0, true)
  }

  create(id: number, format: number, width: number, height: number): number {
    return this.do(GPU_CMD.RESOURCE_CREATE_2D, id, format, width, height)
  }

  attach(id: number, ...pieces: [address: number, length: number][]): number {
    const entries = pieces.flatMap(([address, length]) => [address, Math.floor(address / 2 ** 32), length, 0])
    const words = [GPU_CMD.RESOURCE_ATTACH_BACKING, 0, 0, 0, 0, 0, id, pieces.length].concat(entries)
    return this.send(0, words).getUint32(0, true)
  }

  transfer(id: number, rectangle: number[], offset = 0): number {
    return this.do(GPU_CMD.TRANSFER_TO_HOST_2D, ...rectangle, offset, Math.floor(offset / 2 ** 32), id, 0)
  }

  flush(id: number, ...rectangle: number[]): number {
    return this.do(GPU_CMD.RESOURCE_FLUSH, ...rectangle, id, 0)
  }

  scanout(id: number, ...rectangle: number[]): number {
    return this.do(GPU_CMD.SET_SCANOUT, ...rectangle, 0, id)
  }

  /** Writes words of memory. */
  poke(address: number, ...words: number[]): void {
    for (const [i, word] of words.entries())
      new DataView(this.bus.ram.buffer).setUint32(address + 4 * i, word >>> 0, true)
  }

  update() {
    return this.gpu.update(this.picture, false)
  }

  /** A pixel that was drawn: red, green, blue. */
  pixel(x: number, y: number): number[] {
    const value = this.picture.pixels[y * this.picture.width + x]
    assert.equal(value >>> 24, 0xff)
    return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff]
  }
}

test('a driver learns of the display and the monitor, and of the size that a window wants', () => {
  const driver = new GpuDriver()
  assert.equal(driver.transport.function.read32(0), 0x10501af4)
  assert.equal(driver.transport.function.read32(8) >>> 8, 0x038000)
  const { bus } = driver
  const config = BAR + 0x2000
  assert.deepEqual([bus.load(config), bus.load(config + 8), bus.load(config + 12)], [0, 1, 0])
  const info = driver.command(GPU_CMD.GET_DISPLAY_INFO)
  const display = (view: DataView, n = 0) =>
    [0, 4, 8, 12, 16, 20].map(offset => view.getUint32(24 + 24 * n + offset, true))
  assert.equal(info.getUint32(0, true), GPU_RESP.OK_DISPLAY_INFO)
  assert.deepEqual(display(info), [0, 0, 1024, 768, 1, 0])
  assert.deepEqual(display(info, 1), [0, 0, 0, 0, 0, 0])
  assert.deepEqual(driver.used(0).last, [0, 24 + 16 * 24])
  const sizeOfEdid = () => {
    const answer = driver.command(GPU_CMD.GET_EDID, 0, 0)
    assert.equal(answer.getUint32(0, true), GPU_RESP.OK_EDID)
    assert.equal(answer.getUint32(24, true), 128)
    const edid = new Uint8Array(answer.buffer, answer.byteOffset + 32, 128)
    assert.equal(edid.reduce((sum, byte) => sum + byte, 0) & 0xff, 0)
    return [edid[56] | ((edid[58] >> 4) << 8), edid[59] | ((edid[61] >> 4) << 8)]
  }
  assert.deepEqual(sizeOfEdid(), [1024, 768])
  assert.equal(driver.do(GPU_CMD.GET_EDID, 1, 0), GPU_RESP.ERR_INVALID_SCANOUT_ID)
  driver.messages.length = 0
  driver.gpu.resize(1367, 771)
  assert.deepEqual(driver.messages, [0x50])
  assert.equal(bus.load(config), 1)
  driver.gpu.resize(1360, 768)
  assert.deepEqual(driver.messages, [0x50], 'the same size is no news')
  bus.store(config + 4, 1)
  assert.equal(bus.load(config), 0)
  assert.deepEqual(display(driver.command(GPU_CMD.GET_DISPLAY_INFO)), [0, 0, 1360, 768, 1, 0])
  assert.deepEqual(sizeOfEdid(), [1360, 768])
  for (const [width, height, expected] of [
    [0, -5, [320, 320]],
    [1e9, Number.POSITIVE_INFINITY, [4088, 4088]],
    [Number.NaN, 1000.7, [320, 1000]],
  ] as const) {
    driver.gpu.resize(width, height)
    assert.deepEqual(sizeOfEdid(), expected)
  }
})

test('pictures are copied from scattered memory, and shown when flushed', () => {
  const driver = new GpuDriver()
  assert.equal(driver.create(7, F.B8G8R8X8, 4, 3), OK_NODATA)
  // The second line begins in the middle of the second piece.
  assert.equal(driver.attach(7, [PIXELS, 12], [PIXELS + 0x1000, 24], [PIXELS + 0x2000, 12]), OK_NODATA)
  driver.poke(PIXELS, 0x00112233, 0x00445566, 0x00778899)
  driver.poke(PIXELS + 0x1000, 0xaabbcc, 0x010203, 0x040506, 0x070809, 0x0a0b0c, 0x0d0e0f)
  driver.poke(PIXELS + 0x2000, 0x101112, 0x131415, 0x161718)
  assert.equal(driver.transfer(7, [0, 0, 4, 3]), OK_NODATA)
  assert.equal(driver.gpu.enabled, false)
  assert.equal(driver.scanout(7, 0, 0, 4, 3), OK_NODATA)
  assert.equal(driver.gpu.enabled, true)
  assert.deepEqual(driver.update(), [[0, 0, 4, 3]])
  assert.deepEqual(driver.pixel(0, 0), [0x11, 0x22, 0x33])
  assert.deepEqual(driver.pixel(3, 0), [0xaa, 0xbb, 0xcc])
  assert.deepEqual(driver.pixel(0, 1), [1, 2, 3])
  assert.deepEqual(driver.pixel(3, 2), [0x16, 0x17, 0x18])
  // A rectangle has an offset of its own, and lines as far apart as the picture's.
  driver.poke(PIXELS + 0x1000 + 8, 0xff0000, 0x00ff00)
  driver.poke(PIXELS + 0x2000 - 0, 0x0000ff)
  assert.deepEqual(driver.update(), [], 'what was not transferred is not seen')
  assert.equal(driver.transfer(7, [1, 1, 1, 2], 20), OK_NODATA)
  assert.deepEqual(driver.update(), [], 'nor what was not flushed')
  assert.equal(driver.flush(7, 1, 1, 1, 2), OK_NODATA)
  assert.deepEqual(driver.update(), [[1, 1, 1, 2]])
  assert.deepEqual(
    [driver.pixel(1, 1), driver.pixel(2, 1), driver.pixel(1, 2)],
    [
      [255, 0, 0],
      [7, 8, 9],
      [0, 0, 255],
    ],
  )
  // A part of it.
  assert.equal(driver.scanout(7, 1, 1, 3, 1), OK_NODATA)
  driver.update()
  assert.deepEqual([driver.picture.width, driver.picture.height], [3, 1])
  assert.deepEqual(
    [driver.pixel(0, 0), driver.pixel(2, 0)],
    [
      [255, 0, 0],
      [10, 11, 12],
    ],
  )
  // Nothing.
  assert.equal(driver.scanout(0, 0, 0, 0, 0), OK_NODATA)
  driver.update()
  assert.deepEqual(driver.pixel(0, 0), [0, 0, 0])
  assert.equal(driver.gpu.enabled, true, 'the screen stays the device’s')
})

test('all formats', () => {
  const driver = new GpuDriver()
  const bytes: Record<keyof typeof F, number[]> = {
    B8G8R8A8: [3, 2, 1, 9],
    B8G8R8X8: [3, 2, 1, 9],
    A8R8G8B8: [9, 1, 2, 3],
    X8R8G8B8: [9, 1, 2, 3],
    R8G8B8A8: [1, 2, 3, 9],
    X8B8G8R8: [9, 3, 2, 1],
    A8B8G8R8: [9, 3, 2, 1],
    R8G8B8X8: [1, 2, 3, 9],
  }
  for (const [n, name] of (Object.keys(F) as (keyof typeof F)[]).entries()) {
    assert.equal(driver.create(n + 1, F[name], 1, 1), OK_NODATA)
    driver.bus.ram.set(bytes[name], PIXELS)
    driver.attach(n + 1, [PIXELS, 4])
    driver.transfer(n + 1, [0, 0, 1, 1])
    driver.scanout(n + 1, 0, 0, 1, 1)
    driver.update()
    assert.deepEqual(driver.pixel(0, 0), [1, 2, 3], name)
  }
  assert.equal(driver.create(99, 5, 1, 1), ERR_INVALID_PARAMETER)
})

test('a cursor is in front, half transparent where it is, and beyond the edges', () => {
  const driver = new GpuDriver()
  driver.create(1, F.B8G8R8X8, 100, 80)
  driver.attach(1, [PIXELS, 100 * 80 * 4])
  driver.poke(PIXELS, ...new Array(8000).fill(0x204060))
  driver.transfer(1, [0, 0, 100, 80])
  driver.scanout(1, 0, 0, 100, 80)
  driver.update()
  driver.create(2, F.B8G8R8A8, 64, 64)
  driver.attach(2, [PIXELS + 0x100000, 64 * 64 * 4])
  // Red, then half of green, multiplied; the rest is transparent.
  driver.poke(PIXELS + 0x100000, 0xffff0000, 0x80008000)
  driver.poke(PIXELS + 0x100000 + 63 * 64 * 4 + 63 * 4, 0xff0000ff)
  driver.transfer(2, [0, 0, 64, 64])
  assert.equal(driver.do(GPU_CMD.UPDATE_CURSOR, 0, 10, 20, 0, 2, 3, 3, 0), OK_NODATA)
  assert.deepEqual(driver.update(), [[10, 20, 2, 1]])
  assert.deepEqual(driver.pixel(10, 20), [255, 0, 0])
  assert.deepEqual(driver.pixel(11, 20), [0x10, 0x80 + 0x20, 0x30])
  assert.deepEqual(driver.pixel(12, 20), [0x20, 0x40, 0x60])
  assert.equal(driver.do(GPU_CMD.MOVE_CURSOR, 0, -63, -63, 0, 0, 0, 0, 0), OK_NODATA)
  driver.update()
  assert.deepEqual(driver.pixel(10, 20), [0x20, 0x40, 0x60])
  assert.deepEqual(driver.pixel(0, 0), [0, 0, 255])
  driver.do(GPU_CMD.MOVE_CURSOR, 0, 99, 79, 0, 0, 0, 0, 0)
  driver.update()
  assert.deepEqual(driver.pixel(99, 79), [255, 0, 0])
  assert.deepEqual(driver.pixel(0, 0), [0x20, 0x40, 0x60])
  for (const far of [0x7fffffff, 0x80000000]) {
    driver.do(GPU_CMD.MOVE_CURSOR, 0, far, far, 0, 0, 0, 0, 0)
    driver.update()
  }
  driver.do(GPU_CMD.MOVE_CURSOR, 0, 5, 5, 0, 0, 0, 0, 0)
  driver.update()
  assert.deepEqual(driver.pixel(5, 5), [255, 0, 0])
  assert.equal(driver.do(GPU_CMD.UPDATE_CURSOR, 0, 5, 5, 0, 0, 0, 0, 0), OK_NODATA)
  assert.deepEqual(driver.update(), [
    [5, 5, 2, 1],
    [68, 68, 1, 1],
  ])
  assert.deepEqual(driver.pixel(5, 5), [0x20, 0x40, 0x60])
  assert.equal(
    driver.do(GPU_CMD.UPDATE_CURSOR, 0, 0, 0, 0, 1, 0, 0, 0),
    ERR_INVALID_PARAMETER,
    'a cursor has 64 × 64 pixels',
  )
  assert.equal(driver.do(GPU_CMD.UPDATE_CURSOR, 0, 0, 0, 0, 3, 0, 0, 0), ERR_INVALID_RESOURCE_ID)
  assert.equal(driver.do(GPU_CMD.MOVE_CURSOR, 1, 0, 0, 0, 0, 0, 0, 0), GPU_RESP.ERR_INVALID_SCANOUT_ID)
})

test('fences come back, and only where they were asked for', () => {
  const driver = new GpuDriver()
  const answer = driver.send(0, [GPU_CMD.GET_DISPLAY_INFO, 1, 0x89abcdef, 0x01234567, 42, 0])
  assert.deepEqual(
    [4, 8, 12, 16].map(at => answer.getUint32(at, true)),
    [1, 0x89abcdef, 0x01234567, 42],
  )
  const other = driver.send(0, [GPU_CMD.GET_DISPLAY_INFO, 2, 0x89abcdef, 0x01234567, 42, 0])
  assert.deepEqual(
    [4, 8, 12, 16].map(at => other.getUint32(at, true)),
    [0, 0, 0, 0],
  )
})

test('what a hostile driver sends is refused', () => {
  const driver = new GpuDriver()
  const refused = (expected: number, actual: number, what: string) =>
    assert.equal(actual.toString(16), expected.toString(16), what)
  refused(ERR_INVALID_RESOURCE_ID, driver.create(0, 1, 8, 8), 'resource 0')
  refused(OK_NODATA, driver.create(1, 1, 8, 8), 'a picture')
  refused(ERR_INVALID_RESOURCE_ID, driver.create(1, 1, 8, 8), 'twice')
  for (const [width, height] of [
    [0, 8],
    [8, 0],
    [4097, 8],
    [0xffffffff, 0xffffffff],
    [0x10000, 0x10000],
  ])
    refused(ERR_INVALID_PARAMETER, driver.create(2, 1, width, height), `${width} × ${height}`)
  refused(ERR_INVALID_RESOURCE_ID, driver.do(GPU_CMD.RESOURCE_UNREF, 5, 0), 'no such picture')
  refused(ERR_INVALID_RESOURCE_ID, driver.attach(5, [PIXELS, 4]), 'memory behind none')
  refused(ERR_UNSPEC, driver.do(GPU_CMD.RESOURCE_DETACH_BACKING, 1, 0), 'no memory to take away')
  refused(ERR_UNSPEC, driver.transfer(1, [0, 0, 8, 8]), 'no memory to copy')
  refused(
    ERR_INVALID_PARAMETER,
    driver.do(GPU_CMD.RESOURCE_ATTACH_BACKING, 1, 3, PIXELS, 0, 4, 0),
    'entries that are not there',
  )
  refused(ERR_INVALID_PARAMETER, driver.do(GPU_CMD.RESOURCE_ATTACH_BACKING, 1, 0), 'no entries')
  refused(
    ERR_OUT_OF_MEMORY,
    driver.do(GPU_CMD.RESOURCE_ATTACH_BACKING, 1, 0xffffffff, PIXELS, 0, 4, 0),
    'entries without end',
  )
  refused(ERR_INVALID_PARAMETER, driver.attach(1, [2 ** 52 - 4, 8]), 'an address that is none')
  refused(
    OK_NODATA,
    driver.attach(1, [0, 64], [RAM - 16, 0x8000_0000], [2 ** 40, 0xffffffff]),
    'memory that there is not',
  )
  refused(ERR_UNSPEC, driver.attach(1, [PIXELS, 4]), 'memory behind it twice')
  for (const rectangle of [
    [0, 0, 9, 8],
    [0, 0, 0, 8],
    [1, 0, 8, 8],
    [0, 0xfffffff8, 8, 16],
    [0xffffffff, 0, 1, 1],
    [0, 0, 0xffffffff, 1],
  ]) {
    refused(ERR_INVALID_PARAMETER, driver.transfer(1, rectangle), `transfer ${rectangle}`)
    refused(ERR_INVALID_PARAMETER, driver.flush(1, ...rectangle), `flush ${rectangle}`)
    refused(ERR_INVALID_PARAMETER, driver.scanout(1, ...rectangle), `scanout ${rectangle}`)
  }
  refused(OK_NODATA, driver.transfer(1, [0, 0, 8, 8], 0), 'what RAM does not have is ones')
  refused(OK_NODATA, driver.transfer(1, [0, 0, 8, 8], 2 ** 52), 'an offset beyond all memory')
  refused(OK_NODATA, driver.transfer(1, [0, 1, 8, 7], 2 ** 63), 'and beyond all numbers')
  driver.scanout(1, 0, 0, 8, 8)
  driver.update()
  assert.deepEqual(driver.pixel(0, 4), [255, 255, 255])
  refused(GPU_RESP.ERR_INVALID_SCANOUT_ID, driver.do(GPU_CMD.SET_SCANOUT, 0, 0, 8, 8, 1, 1), 'scanout 1')
  refused(ERR_INVALID_RESOURCE_ID, driver.scanout(9, 0, 0, 8, 8), 'no such picture to show')
  refused(ERR_INVALID_RESOURCE_ID, driver.flush(9, 0, 0, 8, 8), 'nor to flush')
  // What is shown goes away.
  refused(OK_NODATA, driver.do(GPU_CMD.RESOURCE_UNREF, 1, 0), 'unref')
  driver.update()
  assert.deepEqual(driver.pixel(0, 4), [0, 0, 0])
  // Commands that are none, too short, in the wrong queue, and without room for an answer.
  for (const type of [0, 0x108, 0x109, 0x10b, 0x200, 0x302, 0xffffffff])
    refused(ERR_UNSPEC, driver.do(type, 0, 0, 0, 0), `${type}`)
  for (const length of [0, 3, 23, 24, 39])
    refused(
      ERR_UNSPEC,
      driver.send(0, [GPU_CMD.RESOURCE_CREATE_2D, 0, 0, 0, 0, 0, 1, 1, 8, 8], length).getUint32(0, true),
      `${length} bytes`,
    )
  refused(
    ERR_UNSPEC,
    driver.send(1, [GPU_CMD.GET_DISPLAY_INFO, 0, 0, 0, 0, 0]).getUint32(0, true),
    'the cursor’s queue',
  )
  refused(
    ERR_UNSPEC,
    driver.send(0, [GPU_CMD.MOVE_CURSOR, 0, 0, 0, 0, 0, 0, 0, 0, 0]).getUint32(0, true),
    'the other’s',
  )
  driver.send(0, [GPU_CMD.GET_DISPLAY_INFO, 0, 0, 0, 0, 0], 24, 0)
  assert.deepEqual(driver.used(0).last, [0, 0])
  driver.send(0, [GPU_CMD.GET_DISPLAY_INFO, 0, 0, 0, 0, 0], 24, 30)
  assert.deepEqual(driver.used(0).last, [0, 30])
  assert.ok(driver.bus.log.size < 20, 'each kind is logged once')
  assert.equal(driver.status(), 15, 'and the device works on')
})

test('pictures, their bytes, and the pieces behind them have limits, which give back what is let go', () => {
  const driver = new GpuDriver()
  let count = 0
  while (driver.create(count + 1, 1, 4096, 2048) === OK_NODATA) count++
  assert.equal(count, 4, '128 MiB')
  assert.equal(driver.create(50, 1, 64, 64), ERR_OUT_OF_MEMORY)
  assert.equal(driver.do(GPU_CMD.RESOURCE_UNREF, 1, 0), OK_NODATA)
  count = 0
  while (driver.create(count + 100, 1, 1, 1) === OK_NODATA) count++
  assert.equal(count, 1024 - 3)
  // No two of these pieces lie one behind the other.
  const piece = (n: number): [number, number] => [PIXELS + 8 * n, 4]
  const most = Array.from({ length: 16384 }, (_, n) => piece(n))
  for (const id of [2, 3, 4, 100]) assert.equal(driver.attach(id, ...most), OK_NODATA)
  assert.equal(driver.attach(101, piece(0)), ERR_OUT_OF_MEMORY)
  assert.equal(driver.do(GPU_CMD.RESOURCE_DETACH_BACKING, 3, 0), OK_NODATA)
  assert.equal(driver.attach(101, ...most.slice(1)), OK_NODATA)
  assert.equal(driver.do(GPU_CMD.RESOURCE_UNREF, 100, 0), OK_NODATA)
  assert.equal(driver.attach(3, ...most), OK_NODATA)
  assert.equal(driver.attach(102, ...most, piece(0)), ERR_OUT_OF_MEMORY)
  driver.start(2, 1 << 1)
  assert.equal(driver.create(1, 1, 4096, 4096), OK_NODATA, 'a reset gives all back')
  assert.equal(driver.create(2, 1, 4096, 4096), OK_NODATA)
})

test('a driver that copies without end gives others their time', () => {
  const driver = new GpuDriver()
  driver.create(1, 1, 2048, 2048)
  driver.attach(1, [PIXELS, 12 << 20], [0, 4 << 20])
  const { descriptors, buffers, used } = layout(0)
  const command = [GPU_CMD.TRANSFER_TO_HOST_2D, 0, 0, 0, 0, 0, 0, 0, 2048, 2048, 0, 0, 1, 0]
  driver.poke(buffers, ...command)
  driver.describe(descriptors, 0, buffers, 4 * command.length, 1, 1)
  driver.describe(descriptors, 1, 0x80000, 24, 2)
  const before = driver.get16(used + 2)
  for (let i = 0; i < 6; i++) driver.offer(0, 0, i === 5)
  const done = () => driver.get16(used + 2) - before
  assert.equal(done(), 1, 'the first has made the pixels too')
  driver.bus.store(BAR + 0x3000, 0, 2)
  assert.equal(done(), 1, 'to ask again does not help')
  driver.bus.clock.advance(40e6)
  assert.equal(done(), 4)
  driver.bus.clock.advance(60e6)
  assert.equal(done(), 6)
  for (let i = 0; i < 5; i++) driver.offer(0, 0, i === 4)
  driver.start(2, 1 << 1)
  driver.bus.clock.advance(100e6)
  assert.equal(driver.get16(used + 2), 0, 'nothing goes on behind a reset')
})

test('state is plain and complete', () => {
  const driver = new GpuDriver()
  driver.create(1, F.B8G8R8X8, 100, 80)
  driver.attach(1, [PIXELS, 100 * 80 * 4])
  driver.poke(PIXELS, 0x123456)
  driver.transfer(1, [0, 0, 100, 80])
  driver.scanout(1, 0, 0, 100, 80)
  driver.create(2, F.B8G8R8A8, 64, 64)
  driver.attach(2, [PIXELS + 0x100000, 64 * 64 * 4])
  driver.poke(PIXELS + 0x100000, 0xffff0000)
  driver.transfer(2, [0, 0, 64, 64])
  driver.do(GPU_CMD.UPDATE_CURSOR, 0, 1, 1, 0, 2, 0, 0, 0)
  driver.gpu.resize(800, 600)
  const saved = structuredClone(driver.transport.state)
  driver.bus.store(BAR + 0x14, 0, 1)
  driver.update()
  assert.equal(driver.gpu.enabled, false)
  driver.transport.state = saved
  driver.transport.restored()
  driver.gpu.restored()
  driver.update()
  assert.equal(driver.gpu.enabled, true)
  assert.deepEqual(driver.pixel(0, 0), [0x12, 0x34, 0x56])
  assert.deepEqual(driver.pixel(1, 1), [255, 0, 0])
  assert.equal(driver.bus.load(BAR + 0x2000), 1)
  assert.equal(driver.create(2, 1, 1, 1), ERR_INVALID_RESOURCE_ID)
})
