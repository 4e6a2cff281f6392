import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestBus } from '../devices/test-bus.ts'
import { hypervisorLeaves, KvmClock } from './kvmclock.ts'

function make(timestamp = 5_000n) {
  const bus = new TestBus()
  const clock = new KvmClock({ clock: bus.clock, memory: bus.memory, guestTimestamp: () => timestamp })
  return { bus, clock, view: new DataView(bus.ram.buffer) }
}

test('a guest computes the time as Linux does and gets the clock', () => {
  const { bus, clock, view } = make(2n ** 40n)
  bus.clock.advance(123_456_789)
  assert.ok(clock.writeMsr(0x4b564d01, 0x1001, 0))
  const at = 0x1000
  assert.equal(view.getUint32(at, true) % 2, 0)
  const later = 2n ** 40n + 777_777n
  const delta = later - view.getBigUint64(at + 8, true)
  const shift = view.getInt8(at + 28)
  const shifted = shift < 0 ? delta >> BigInt(-shift) : delta << BigInt(shift)
  const now = view.getBigUint64(at + 16, true) + ((shifted * BigInt(view.getUint32(at + 24, true))) >> 32n)
  assert.equal(now, 123_456_789n + 777_777n)
  assert.deepEqual(clock.readMsr(0x12), [0x1001, 0])
})

test('the wall clock is that of the moment when the system time was 0', () => {
  const { bus, clock, view } = make()
  bus.clock.advance(1_500_000_000)
  assert.ok(clock.writeMsr(0x11, 0x2000, 0))
  const milliseconds = view.getUint32(0x2004, true) * 1000 + view.getUint32(0x2008, true) / 1e6
  assert.equal(milliseconds, bus.clock.start)
})

test("a disabled clock writes nothing, a new version is told, other registers are not the clock's", () => {
  const { clock, view, bus } = make()
  clock.writeMsr(0x12, 0x3000, 0)
  assert.ok(bus.ram.every(byte => byte === 0))
  clock.writeMsr(0x12, 0x3001, 0)
  const version = view.getUint32(0x3000, true)
  clock.update()
  assert.notEqual(view.getUint32(0x3000, true), version)
  assert.equal(clock.readMsr(0x13), undefined)
  assert.equal(clock.writeMsr(0x10, 0, 0), false)
  // An address beyond memory is the guest's own loss.
  assert.ok(clock.writeMsr(0x12, 0xffffffff, 0xffffffff))
})

test('the leaves spell KVM and give the frequency', () => {
  const leaves = hypervisorLeaves()
  const [most, ...words] = leaves.get(0x40000000)!
  assert.equal(Buffer.from(new Uint32Array(words).buffer).toString(), 'KVMKVMKVM\0\0\0')
  assert.ok(leaves.has(most))
  assert.equal(leaves.get(0x40000010)![0] * 1000, 1_000_000_000)
})
