import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Dma8237 } from './dma8237.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus(0x40000)
  return { bus, dma: new Dma8237(bus) }
}

/** Programs a channel of the first controller as a driver does: mask, mode, address, page, count, unmask. */
function program(bus: TestBus, channel: number, mode: number, address: number, count: number): void {
  const page = [0x87, 0x83, 0x81, 0x82][channel]
  bus.out(0x0a, 4 | channel)
  bus.out(0x0c, 0)
  bus.out(0x0b, mode | channel)
  bus.out(2 * channel, address & 0xff)
  bus.out(2 * channel, (address >> 8) & 0xff)
  bus.out(page, address >> 16)
  bus.out(2 * channel + 1, (count - 1) & 0xff)
  bus.out(2 * channel + 1, (count - 1) >> 8)
  bus.out(0x0a, channel)
}

test('a floppy read: bytes to memory up to terminal count, which masks the channel', () => {
  const { bus, dma } = setUp()
  let calls = 0
  const channel = dma.channel(2, () => calls++)
  channel.request(true)
  assert.deepEqual(channel.write(Uint8Array.of(1)), { count: 0, terminal: false })
  program(bus, 2, 0x44, 0x21000, 512)
  assert.ok(calls > 0, 'told when the channel was unmasked')
  assert.equal(bus.in(8) & 0x40, 0x40, 'DREQ2 shows')
  assert.deepEqual(channel.write(new Uint8Array(300).fill(0xaa)), { count: 300, terminal: false })
  bus.out(0x0c, 0)
  assert.equal(bus.in(4) | (bus.in(4) << 8), 0x1000 + 300)
  assert.equal(bus.in(5) | (bus.in(5) << 8), 511 - 300)
  assert.deepEqual(channel.write(new Uint8Array(300).fill(0xbb)), { count: 212, terminal: true })
  assert.equal(bus.ram[0x21000 + 299], 0xaa)
  assert.equal(bus.ram[0x21000 + 511], 0xbb)
  assert.equal(bus.ram[0x21000 + 512], 0)
  assert.equal(bus.in(8) & 4, 4)
  assert.equal(bus.in(8) & 4, 0, 'reading the status clears it')
  assert.equal(bus.in(0x0f), 0xff, 'masked again')
  assert.equal(channel.ready, false)
  bus.out(0x0c, 0)
  assert.equal(bus.in(5) | (bus.in(5) << 8), 0xffff)
})

test('memory to device, automatic initialisation, decrement, verify, wrap within the page', () => {
  const { bus, dma } = setUp()
  const channel = dma.channel(1)
  bus.ram.set([1, 2, 3, 4], 0x10000)
  program(bus, 1, 0x58, 0x10000, 4)
  const got = new Uint8Array(3)
  assert.deepEqual(channel.read(got), { count: 3, terminal: false })
  assert.deepEqual([...got], [1, 2, 3])
  assert.deepEqual(channel.read(got), { count: 1, terminal: true })
  assert.equal(got[0], 4)
  assert.deepEqual(channel.read(got), { count: 3, terminal: false }, 'it starts again')
  assert.deepEqual([...got], [1, 2, 3])

  program(bus, 1, 0x64, 0x10003, 4)
  assert.deepEqual(channel.write(Uint8Array.of(9, 8, 7)), { count: 3, terminal: false })
  assert.deepEqual([...bus.ram.subarray(0x10000, 0x10004)], [1, 7, 8, 9])

  program(bus, 1, 0x40, 0x10000, 4)
  assert.deepEqual(channel.write(Uint8Array.of(0, 0, 0, 0)), { count: 4, terminal: true })
  assert.equal(bus.ram[0x10003], 9, 'verify writes nothing')

  program(bus, 1, 0x44, 0x1fffe, 4)
  channel.write(Uint8Array.of(5, 6, 7, 8))
  assert.deepEqual([...bus.ram.subarray(0x1fffe, 0x20001)], [5, 6, 0])
  assert.deepEqual([...bus.ram.subarray(0x10000, 0x10002)], [7, 8])
})

test('16-bit channels: words, and an address of 17 bits below the page', () => {
  const { bus, dma } = setUp()
  const channel = dma.channel(5)
  bus.out(0xd8, 0)
  bus.out(0xd6, 0x45)
  bus.out(0x8b, 0x03)
  bus.out(0xc4, 0x00)
  bus.out(0xc4, 0x08)
  bus.out(0xc6, 1)
  bus.out(0xc6, 0)
  bus.out(0xd4, 1)
  assert.deepEqual(channel.write(Uint8Array.of(1, 2, 3, 4, 5, 6)), { count: 4, terminal: true })
  assert.deepEqual([...bus.ram.subarray(0x21000, 0x21006)], [1, 2, 3, 4, 0, 0])
})

test('master clear, controller disable, masks, page registers that only remember', () => {
  const { bus, dma } = setUp()
  const channel = dma.channel(3)
  bus.out(0x0e, 0)
  assert.equal(bus.in(0x0f), 0xf0)
  assert.equal(channel.ready, true)
  bus.out(0x08, 4)
  assert.equal(channel.ready, false)
  bus.out(0x0d, 0)
  assert.equal(bus.in(0x0f), 0xff)
  bus.out(0x0f, 7)
  assert.equal(channel.ready, true)
  bus.out(0x84, 0x5a)
  assert.equal(bus.in(0x84), 0x5a)
  assert.throws(() => dma.channel(4), /does not exist/)
  dma.reset()
  assert.equal(bus.in(0x84), 0)
  assert.equal(channel.ready, false)
})
