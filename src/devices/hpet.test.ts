import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hpet } from './hpet.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const legacy: boolean[] = []
  new Hpet(bus, { onLegacyReplacement: taken => void legacy.push(taken) })
  const read = (offset: number) => bus.load(0xfed00000 + offset)
  const write = (offset: number, value: number) => bus.store(0xfed00000 + offset, value)
  return { bus, legacy, read, write }
}

test('identity, and a counter that stops and goes on', () => {
  const { bus, read, write } = setUp()
  assert.equal(read(0), 0x8086a201)
  assert.equal(read(4), 10_000_000)
  bus.clock.advance(1000)
  assert.equal(read(0xf0), 0)
  write(0xf0, 0xfffffff0)
  write(0xf4, 7)
  write(0x10, 1)
  bus.clock.advance(320)
  assert.deepEqual([read(0xf0), read(0xf4)], [16, 8])
  write(0xf0, 0)
  assert.equal(read(0xf0), 16, 'not while it runs')
  write(0x10, 0)
  bus.clock.advance(1e9)
  assert.deepEqual([read(0xf0), read(0xf4)], [16, 8])
})

test('legacy replacement: timer 0 periodic on IRQ 0 as Linux programs it', () => {
  const { bus, legacy, read, write } = setUp()
  write(0x10, 3)
  assert.deepEqual(legacy, [true])
  bus.clock.advance(12_345)
  write(0x100, 0x14c)
  write(0x108, read(0xf0) + 400_000)
  assert.equal(read(0x100) & 0x40, 0, 'VAL_SET clears itself')
  write(0x108, 400_000)
  bus.clock.advance(3600e9)
  assert.equal(bus.edges[0], 3600 * 250)
  assert.equal(bus.line(0), false)
  write(0x10, 1)
  assert.deepEqual(legacy, [true, false])
})

test('one-shot in 32 and 64 bits', () => {
  const { bus, write } = setUp()
  write(0x10, 1)
  write(0x120, 0x104 | (20 << 9))
  write(0x128, 1000)
  write(0x140, 0x004 | (21 << 9))
  write(0x14c, 1)
  write(0x148, 0)
  bus.clock.advance(9_999)
  assert.equal(bus.edges[20], undefined)
  bus.clock.advance(1)
  assert.equal(bus.edges[20], 1)
  bus.clock.advance(2 ** 32 * 10)
  assert.equal(bus.edges[20], 2, 'again when 32 bits wrap')
  assert.equal(bus.edges[21], 1)
})

test('a 64-bit periodic timer, written in halves or by its low half only', () => {
  for (const halves of [true, false]) {
    const { bus, read, write } = setUp()
    write(0x10, 1)
    write(0x100, 0x04c | (20 << 9))
    // All ones after reset, and this one is written low half only.
    if (!halves) {
      write(0x100, 0x044 | (20 << 9))
      write(0x108, 0)
      write(0x10c, 0)
      write(0x100, 0x04c | (20 << 9))
    }
    write(0x108, 5000)
    if (halves) write(0x10c, 0)
    write(0x108, 1000_000)
    if (halves) write(0x10c, 0)
    assert.equal(read(0x100) & 0x40, 0)
    bus.clock.advance(50_000 + 99 * 10_000_000)
    assert.equal(bus.edges[20], 100)
  }
})

test('level triggered: status bit, cleared by writing one', () => {
  const { bus, read, write } = setUp()
  write(0x10, 1)
  write(0x100, 0x106 | (22 << 9))
  write(0x108, 500)
  bus.clock.advance(5000)
  assert.equal(bus.line(22), true)
  assert.equal(read(0x20), 1)
  write(0x20, 1)
  assert.equal(bus.line(22), false)
  write(0x100, 0x106 | (5 << 9))
  assert.equal(read(0x100) & 0x3e00, 0, 'a route that is not offered is not taken')
})

test('a period of one tick is no storm', () => {
  const { bus, write } = setUp()
  write(0x10, 1)
  write(0x100, 0x14c | (20 << 9))
  write(0x108, 1)
  const before = bus.clock.callbacks
  bus.clock.advance(1e9)
  assert.ok(bus.clock.callbacks - before <= 50_001)
})
