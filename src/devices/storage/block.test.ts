import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryDisk } from '../../disk/memory.ts'
import { TestBus } from '../test-bus.ts'
import { BlockRequests, type HostWork, IMMEDIATE_HOST, REQUEST_NANOSECONDS, sliceSegments } from './block.ts'

/** A host that notes what it is told. */
function recordingHost(repeatable: boolean) {
  const calls: string[] = []
  let held: Promise<void> | undefined
  const host: HostWork = {
    repeatable,
    begin: () => void calls.push('begin'),
    end: () => void calls.push('end'),
    hold: until => {
      calls.push('hold')
      held = until
    },
  }
  return { host, calls, held: () => held }
}

test('by the host clock a request is over when the disk is, and not before the instruction is', async () => {
  const bus = new TestBus()
  const requests = new BlockRequests(bus.clock, IMMEDIATE_HOST)
  const done: unknown[] = []
  requests.start({ bytes: 0, run() {}, done: () => void done.push('now') })
  assert.equal(done.length, 0)
  bus.clock.advance(0)
  assert.deepEqual(done, ['now'])
  const gate = Promise.withResolvers<void>()
  requests.start({ bytes: 0, run: () => gate.promise, done: error => void done.push(`later ${error?.message}`) })
  bus.clock.advance(1e9)
  assert.equal(requests.pending, 1)
  gate.reject(new Error('broken'))
  await gate.promise.catch(() => {})
  await Promise.resolve()
  assert.deepEqual(done, ['now', 'later broken'])
})

test('by counted time requests complete at times that the host does not change', async () => {
  for (const late of [false, true]) {
    const bus = new TestBus()
    const { host, calls, held } = recordingHost(true)
    const requests = new BlockRequests(bus.clock, host)
    const done: number[] = []
    const gate = Promise.withResolvers<void>()
    requests.start({ bytes: 100, run: () => gate.promise, done: () => void done.push(bus.clock.now()) })
    requests.start({ bytes: 50, run() {}, done: () => void done.push(bus.clock.now()) })
    if (!late) {
      gate.resolve()
      await new Promise(resolve => setImmediate(resolve))
    }
    bus.clock.advance(REQUEST_NANOSECONDS + 99)
    assert.deepEqual(done, [])
    bus.clock.advance(1)
    if (late) {
      assert.deepEqual(calls, ['begin', 'hold'])
      assert.deepEqual(done, [], 'the guest waits')
      gate.resolve()
      await held()
      bus.clock.advance(0)
    } else assert.ok(!calls.includes('hold'))
    bus.clock.advance(1e6)
    assert.deepEqual(done, [REQUEST_NANOSECONDS + 100, 2 * REQUEST_NANOSECONDS + 150])
  }
})

test('what is read by a promise is in memory when the request completes, not before', async () => {
  const bus = new TestBus()
  const disk = new MemoryDisk(4096)
  await disk.write(0, new Uint8Array(4096).fill(7))
  for (const repeatable of [false, true]) {
    bus.ram.fill(0)
    const requests = new BlockRequests(bus.clock, recordingHost(repeatable).host)
    let over = false as boolean
    const segments = [
      { address: 100, length: 412 },
      { address: 5000, length: 612 },
    ]
    const done = () => {
      over = true
      assert.equal(bus.ram[5611], 7)
    }
    requests.transfer(bus.memory, { disk, offset: 1024, segments, write: false, done })
    assert.equal(bus.ram[100], 0)
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
    if (repeatable) assert.equal(bus.ram[100], 0)
    bus.clock.advance(1e6)
    assert.ok(over)
    assert.deepEqual([bus.ram[99], bus.ram[100], bus.ram[511], bus.ram[512]], [0, 7, 7, 0])
  }
})

test('a cancelled request changes neither memory nor registers', async () => {
  const bus = new TestBus()
  const requests = new BlockRequests(bus.clock, IMMEDIATE_HOST)
  const disk = new MemoryDisk(512)
  await disk.write(0, new Uint8Array(512).fill(7))
  const segments = [{ address: 0, length: 512 }]
  requests.transfer(bus.memory, { disk, offset: 0, segments, write: false, done: () => assert.fail() })
  requests.start({ bytes: 0, run() {}, done: () => assert.fail() })
  requests.cancel()
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  bus.clock.advance(1e9)
  assert.equal(bus.ram[0], 0)
})

test('parts of lists', () => {
  const list = [
    { address: 10, length: 4 },
    { address: 100, length: 0 },
    { address: 20, length: 6 },
  ]
  assert.deepEqual(sliceSegments(list, 3, 4), [
    { address: 13, length: 1 },
    { address: 20, length: 3 },
  ])
  assert.deepEqual(sliceSegments(list, 20, 4), [])
})
