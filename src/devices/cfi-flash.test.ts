import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CfiFlash } from './cfi-flash.ts'
import { TestBus } from './test-bus.ts'
import { randomBelow } from './test-random.ts'

const AT = 0xffc00000

function setUp() {
  const bus = new TestBus()
  const shown: (Uint8Array | undefined)[] = []
  const changes: [number, number[]][] = []
  const contents = new Uint8Array(0x4000).fill(0xff)
  contents.set([1, 2, 3, 4])
  const flash = new CfiFlash(bus, {
    name: 'variables',
    address: AT,
    contents,
    show: bytes => void shown.push(bytes?.slice()),
    changed: (offset, bytes) => void changes.push([offset, [...bytes]]),
  })
  const write = (offset: number, ...values: number[]) => {
    for (const value of values) bus.store(AT + offset, value, 1)
  }
  return { bus, flash, shown, changes, write }
}

test('UEFI finds out that it is flash, neither RAM nor ROM', () => {
  const { bus, write, shown } = setUp()
  assert.equal(bus.load(AT), 0x04030201)
  write(0, 0x50)
  assert.equal(bus.load(AT, 1), 1)
  write(0, 0x70)
  assert.equal(bus.load(AT, 1), 0)
  write(0, 0xff)
  assert.equal(bus.load(AT, 1), 1)
  assert.deepEqual(
    shown.map(bytes => bytes !== undefined),
    [true, false, true],
  )
})

test('programming clears bits, erasing sets those of a block; what changed is told once', () => {
  const { bus, write, shown, changes } = setUp()
  write(0x1000, 0x10, 0x5a)
  write(0x1001, 0x40, 0xa5)
  assert.equal(bus.load(AT + 0x1000, 1), 0x80, 'status')
  write(0x1001, 0xff)
  assert.deepEqual(changes, [[0x1000, [0x5a, 0xa5]]])
  assert.equal(shown.at(-1)![0x1000], 0x5a)
  write(0x1000, 0x10, 0x0f, 0xff)
  assert.equal(bus.load(AT + 0x1000, 1), 0x0a)
  write(0x1234, 0x20, 0xd0, 0xff)
  assert.equal(bus.load(AT + 0x1000, 1), 0xff)
  assert.equal(bus.load(AT, 1), 1)
  assert.deepEqual([changes[2][0], changes[2][1].length], [0x1000, 0x1000])
  write(0x1234, 0x20, 0x00)
  assert.equal(bus.load(AT, 1), 0xb0, 'not confirmed')
})

test('buffered writes, identifier, query, unknown commands, reset', () => {
  const { bus, flash, write, changes } = setUp()
  write(0x2000, 0xe8, 3)
  bus.store(AT + 0x2000, 0x44332211)
  write(0x2000, 0xd0)
  assert.equal(bus.load(AT, 1), 0x80)
  write(0, 0x90)
  assert.equal(bus.load(AT, 1), 0x89)
  write(0, 0x98)
  assert.equal(String.fromCharCode(bus.load(AT + 0x10, 1), bus.load(AT + 0x11, 1), bus.load(AT + 0x12, 1)), 'QRY')
  const query = (at: number) => bus.load(AT + at, 1)
  assert.deepEqual(
    [query(0x13), query(0x27), query(0x2a), query(0x2c)],
    [1, 14, 8, 1],
    "Intel's, 2^14 bytes, 2^8 buffered",
  )
  assert.deepEqual([query(0x2d), query(0x2f), query(0x30)], [3, 0x10, 0], 'four blocks of 4096 bytes')
  flash.reset()
  assert.equal(bus.load(AT + 0x2000), 0x44332211)
  assert.deepEqual(changes, [[0x2000, [0x11, 0x22, 0x33, 0x44]]])
  write(0, 0x77)
  assert.equal(bus.load(AT, 1), 1)
  assert.match([...bus.log.values()].join(), /unknown command 0x77/)
})

test('random writes end somewhere and grow nothing', () => {
  const { bus, flash, write } = setUp()
  const random = randomBelow(7)
  const commands = [0x10, 0x20, 0xe8, 0xd0, 0xff, 0x70, 0x50, 0x90, 0x98, 0x40]
  for (let i = 0; i < 20_000; i++) {
    const offset = random(0x4000)
    if (random(3)) write(offset, random(2) ? commands[random(commands.length)] : random(256))
    else assert.ok(bus.load(AT + (offset & ~3)) >= 0)
    assert.ok(flash.state.buffer.bytes.length <= 256)
  }
  assert.equal(flash.state.contents.length, 0x4000)
})
