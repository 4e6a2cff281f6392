import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtioConsole } from './console.ts'
import { VirtioRng } from './rng.ts'
import { BAR, Driver, layout, SIZE } from './test-driver.ts'

const rng = () => new VirtioRng(bytes => new Uint8Array(bytes).fill(0xab))

test('the driver finds structures, features and queues', () => {
  const driver = new Driver(rng())
  const f = driver.transport.function
  assert.equal(f.read32(0), 0x10441af4)
  const types: number[] = []
  for (let at = f.capability(9); at !== 0; at = f.capability(9, at)) types.push(f.state.config[at + 3])
  assert.deepEqual(types, [1, 3, 4, 2, 5])
  const { bus } = driver
  assert.equal(bus.load(BAR + 4), 0x30000000)
  bus.store(BAR, 1)
  assert.equal(bus.load(BAR + 4), 1)
  assert.equal(bus.load(BAR + 0x12, 2), 1)
  assert.equal(bus.load(BAR + 0x18, 2), 64)
  driver.start(1, 0, 0)
  assert.equal(driver.status() & 8, 0, 'without VERSION_1 the features are refused')
  driver.start(1, 0x40, 1)
  assert.equal(driver.status() & 8, 0, 'nor with one that was not offered')
  driver.start(1)
  assert.equal(driver.status(), 15)
})

test('entropy by INTx: used ring, ISR, suppression', () => {
  const driver = new Driver(rng())
  const { bus } = driver
  driver.start(1)
  const q = layout(0)
  driver.describe(q.descriptors, 0, q.buffers, 10, 3, 5)
  driver.describe(q.descriptors, 5, q.buffers + 100, 20, 2)
  driver.offer(0, 0)
  assert.deepEqual(driver.used(0), { index: 1, last: [0, 30] })
  assert.equal(bus.ram[q.buffers + 9], 0xab)
  assert.equal(bus.ram[q.buffers + 10], 0)
  assert.equal(bus.ram[q.buffers + 119], 0xab)
  const line = 16 + ((2 + 1 + 2) & 3)
  assert.equal(bus.line(line), true)
  assert.equal(bus.load(BAR + 0x1000, 1), 1)
  assert.equal(bus.line(line), false)
  driver.set16(q.available, 1)
  driver.offer(0, 0)
  assert.equal(driver.used(0).index, 2)
  assert.equal(bus.line(line), false)
})

test('event indices decide about interrupts', () => {
  const driver = new Driver(rng())
  driver.useMsix()
  driver.start(1, 0x20000000)
  const q = layout(0)
  driver.describe(q.descriptors, 0, q.buffers, 4, 2)
  driver.set16(q.available + 4 + 2 * SIZE, 2)
  driver.offer(0, 0)
  driver.offer(0, 0)
  assert.deepEqual(driver.messages, [])
  assert.equal(driver.get16(q.used + 4 + 8 * SIZE), 2, 'avail_event')
  driver.offer(0, 0)
  assert.deepEqual(driver.messages, [0x51])
  driver.offer(0, 0)
  assert.deepEqual(driver.messages, [0x51])
})

test('indirect tables', () => {
  const driver = new Driver(rng())
  driver.start(1, 0x10000000)
  const q = layout(0)
  const table = q.buffers + 0x800
  driver.describe(table, 0, q.buffers, 8, 3, 1)
  driver.describe(table, 1, q.buffers + 64, 8, 2)
  driver.describe(q.descriptors, 3, table, 32, 4)
  driver.offer(0, 3)
  assert.deepEqual(driver.used(0), { index: 1, last: [3, 16] })
})

test('a driver that breaks the rules stops its queue, and a reset helps', () => {
  const q = layout(0)
  const attacks: [name: string, attack: (driver: Driver) => void][] = [
    ['a loop', d => d.describe(q.descriptors, 0, q.buffers, 4, 3, 0)],
    ['out of range', d => d.describe(q.descriptors, 0, q.buffers, 4, 3, SIZE)],
    [
      'read after write',
      d => {
        d.describe(q.descriptors, 0, q.buffers, 4, 3, 1)
        d.describe(q.descriptors, 1, q.buffers, 4, 0)
      },
    ],
    [
      'nested table',
      d => {
        d.describe(q.descriptors, 0, q.buffers, 16, 4)
        d.describe(q.buffers, 0, q.buffers, 16, 4)
      },
    ],
    ['odd table', d => d.describe(q.descriptors, 0, q.buffers, 17, 4)],
    ['index ahead', d => d.set16(q.available + 2, 100)],
  ]
  for (const [name, attack] of attacks) {
    const driver = new Driver(rng())
    driver.start(1, 0x10000000)
    attack(driver)
    if (name === 'index ahead') driver.bus.store(BAR + 0x3000, 0, 2)
    else driver.offer(0, 0)
    assert.equal(driver.status() & 0x40, 0x40, name)
    assert.equal(driver.used(0).index, 0, name)
    assert.equal(driver.bus.log.size, 1, name)
    driver.start(1)
    driver.describe(q.descriptors, 0, q.buffers, 4, 2)
    driver.offer(0, 0)
    assert.equal(driver.used(0).index, 1, name)
  }
  const driver = new Driver(rng())
  driver.start(1)
  driver.describe(q.descriptors, 0, 0x7fff0000, 0xffffffff, 2)
  driver.offer(0, 0)
  assert.deepEqual(driver.used(0).last, [0, 0x10000], 'a huge buffer gets what one request may')
})

test('the console: output, input that waits, window size', () => {
  const sent: number[] = []
  let ready = 0
  const terminal = new VirtioConsole({
    transmit: bytes => void sent.push(...bytes),
    receiveReady: () => void ready++,
  })
  terminal.resize(132, 43)
  const driver = new Driver(terminal)
  const { bus } = driver
  assert.equal(terminal.receive(Uint8Array.of(1, 2, 3)), 3)
  driver.useMsix()
  driver.start(2, 5)
  assert.equal(bus.load(BAR + 0x2000), 132 | (43 << 16))
  assert.equal(bus.load(BAR + 0x2004), 1)
  const [input, output] = [layout(0), layout(1)]
  driver.describe(input.descriptors, 0, input.buffers, 2, 2)
  driver.describe(input.descriptors, 1, input.buffers + 16, 2, 2)
  driver.offer(0, 0)
  driver.offer(0, 1)
  assert.deepEqual(driver.used(0), { index: 2, last: [1, 1] })
  assert.deepEqual([...bus.ram.subarray(input.buffers, input.buffers + 2), bus.ram[input.buffers + 16]], [1, 2, 3])
  assert.equal(driver.messages.at(-1), 0x51)
  bus.ram.set([72, 105], output.buffers)
  driver.describe(output.descriptors, 0, output.buffers, 2, 0)
  driver.offer(1, 0)
  assert.deepEqual(sent, [72, 105])
  assert.equal(driver.messages.at(-1), 0x52)
  bus.store(BAR + 0x2008, 33)
  assert.deepEqual(sent, [72, 105, 33])
  const generation = bus.load(BAR + 0x15, 1)
  terminal.resize(80, 24)
  assert.equal(bus.load(BAR + 0x15, 1), generation + 1)
  assert.equal(driver.messages.at(-1), 0x50)
  assert.equal(terminal.receive(new Uint8Array(100_000)), 65_536)
  driver.describe(input.descriptors, 0, input.buffers, 0xc000, 2)
  driver.offer(0, 0)
  assert.equal(ready, 1)
})

test('the window in configuration space reaches the structures', () => {
  const driver = new Driver(rng())
  const f = driver.transport.function
  let at = f.capability(9)
  while (f.state.config[at + 3] !== 5) at = f.capability(9, at)
  f.write(at + 8, 4, 0x12)
  f.write(at + 12, 4, 2)
  assert.equal(f.read(at + 16, 2), 1)
  f.write(at + 8, 4, 0x14)
  f.write(at + 12, 4, 1)
  f.write(at + 16, 1, 3)
  assert.equal(driver.status(), 3)
})

test('state is plain and complete', () => {
  const driver = new Driver(rng())
  driver.start(1)
  const saved = structuredClone(driver.transport.state)
  const q = layout(0)
  driver.describe(q.descriptors, 0, q.buffers, 4, 2)
  driver.transport.reset()
  assert.equal(driver.bus.load(BAR + 0x14, 1), 0xff, 'unmapped')
  driver.transport.state = saved
  driver.transport.restored()
  assert.equal(driver.status(), 15)
  driver.offer(0, 0)
  assert.equal(driver.used(0).index, 1)
})
