import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InterruptSystem } from './interrupts.ts'
import { TestBus } from './test-bus.ts'

const BASE = 0xfee00000

function setUp(count = 1) {
  const bus = new TestBus()
  const events: string[] = []
  const requests: boolean[] = new Array(count).fill(false)
  const system = new InterruptSystem(bus, {
    processors: Array.from({ length: count }, (_, id) => ({
      id,
      // The time-stamp counter runs at 2 GHz.
      timestampTime: (low: number, high: number) => (high * 2 ** 32 + low) / 2,
      signals: {
        setInterruptRequest: (level: boolean) => {
          requests[id] = level
        },
        raiseNmi: () => void events.push(`nmi ${id}`),
        init: () => void events.push(`init ${id}`),
        startup: (vector: number) => void events.push(`startup ${id} ${vector}`),
        ignoreNumericError() {},
      },
    })),
  })
  const write = (register: number, value: number, cpu = 0) => {
    system.current = cpu
    bus.store(BASE + register, value)
  }
  const read = (register: number, cpu = 0) => {
    system.current = cpu
    return bus.load(BASE + register)
  }
  for (let cpu = 0; cpu < count; cpu++) write(0xf0, 0x1ff, cpu)
  return { bus, system, events, requests, write, read }
}

test('registers after reset, and the self IPI by priority', () => {
  const { system, requests, write, read } = setUp()
  assert.equal(read(0x30), 0x50014)
  assert.equal(read(0xe0), 0xffffffff)
  write(0x80, 0x50)
  for (const vector of [0x31, 0x61, 0x5f]) write(0x300, 0x40000 | vector)
  assert.equal(read(0x230), 2)
  assert.equal(requests[0], true)
  assert.equal(system.acknowledge(0), 0x61)
  assert.equal(read(0xa0), 0x60)
  assert.equal(read(0x130), 2)
  assert.equal(requests[0], false)
  write(0xb0, 0)
  assert.equal(requests[0], false, 'class 5 is not above the task priority 50h')
  assert.equal(system.acknowledge(0), -1)
  system.apics[0].priorityClass = 4
  assert.equal(system.acknowledge(0), 0x5f)
  write(0xb0, 0)
  write(0x80, 0)
  assert.equal(system.acknowledge(0), 0x31)
})

test('the timer: one-shot, periodic, and changes of mode as kvm-unit-tests makes them', () => {
  const { bus, system, requests, write, read } = setUp()
  write(0x3e0, 0x0b)
  write(0x320, 0x40)
  write(0x380, 1000)
  bus.clock.advance(400)
  assert.equal(read(0x390), 600)
  write(0x320, 0x20040)
  assert.equal(read(0x390), 600, 'the count goes on when the mode changes')
  bus.clock.advance(600)
  assert.equal(read(0x390), 1000)
  assert.equal(system.acknowledge(0), 0x40)
  bus.clock.advance(300)
  write(0x320, 0x40)
  assert.equal(read(0x390), 700)
  bus.clock.advance(10_000)
  assert.equal(read(0x390), 0)
  write(0xb0, 0)
  assert.equal(system.acknowledge(0), 0x40)
  write(0xb0, 0)
  write(0x320, 0x20040)
  bus.clock.advance(10_000)
  assert.equal(read(0x390), 0, 'a one-shot that is over stays over')
  assert.equal(requests[0], false)
  write(0x3e0, 0x03)
  write(0x380, 62_500)
  bus.clock.advance(1e6 - 1)
  assert.equal(requests[0], false)
  bus.clock.advance(1)
  assert.equal(requests[0], true)
  write(0x380, 1)
  const callbacks = bus.clock.callbacks
  bus.clock.advance(1e9)
  assert.ok(bus.clock.callbacks - callbacks <= 50_001)
})

test('TSC deadline: one interrupt, then zero; past deadlines at once; ignored in other modes', () => {
  const { bus, system, requests, write } = setUp()
  system.writeMsr(0, 0x6e0, 100, 0)
  assert.deepEqual(system.readMsr(0, 0x6e0), [0, 0])
  write(0x320, 0x40050)
  system.writeMsr(0, 0x6e0, 2_000_000, 0)
  assert.deepEqual(system.readMsr(0, 0x6e0), [2_000_000, 0])
  bus.clock.advance(999_999)
  assert.equal(requests[0], false)
  bus.clock.advance(1)
  assert.deepEqual(system.readMsr(0, 0x6e0), [0, 0])
  assert.equal(system.acknowledge(0), 0x50)
  write(0xb0, 0)
  system.writeMsr(0, 0x6e0, 5, 0)
  assert.equal(system.acknowledge(0), 0x50)
})

test('x2APIC: transitions, identity, reserved bits, 64-bit ICR', () => {
  const { bus, system, events, requests } = setUp(2)
  const base = 0xfee00000
  assert.deepEqual(system.readMsr(0, 0x1b), [base + 0x900, 0])
  assert.equal(system.readMsr(0, 0x802), undefined)
  assert.equal(system.writeMsr(0, 0x1b, base + 0x500, 0), false, 'x2APIC without enable')
  assert.equal(system.writeMsr(0, 0x1b, base + 0x901, 0), false)
  assert.equal(system.writeMsr(0, 0x1b, base + 0x900, 0x100), false, 'beyond 40 bits')
  for (const cpu of [0, 1]) assert.equal(system.writeMsr(cpu, 0x1b, base + 0xc00, 0), true)
  assert.equal(system.writeMsr(0, 0x1b, base + 0x900, 0), false, 'not back to xAPIC directly')
  assert.equal(bus.load(BASE + 0x30), 0xffffffff)
  assert.deepEqual(system.readMsr(1, 0x802), [1, 0])
  assert.deepEqual(system.readMsr(1, 0x80d), [2, 0])
  assert.equal(system.writeMsr(0, 0x802, 3, 0), false)
  assert.equal(system.writeMsr(0, 0x80b, 1, 0), false)
  assert.equal(system.readMsr(0, 0x80b), undefined)
  assert.equal(system.readMsr(0, 0x80e), undefined)
  assert.equal(system.readMsr(0, 0x831), undefined)
  assert.equal(system.writeMsr(0, 0x808, 0x100, 0), false)
  assert.equal(system.writeMsr(0, 0x808, 0x20, 0), true)
  assert.equal(system.apics[0].priorityClass, 2)
  system.writeMsr(0, 0x830, 0x4055, 1)
  assert.deepEqual(system.readMsr(0, 0x830), [0x4055, 1])
  assert.deepEqual(requests, [false, true])
  assert.equal(system.acknowledge(1), 0x55)
  system.writeMsr(0, 0x83f, 0x66, 0)
  assert.equal(system.acknowledge(0), 0x66)
  system.writeMsr(0, 0x830, 0x400, 0xffffffff)
  assert.deepEqual(events, ['nmi 0', 'nmi 1'])
  assert.equal(system.writeMsr(0, 0x1b, base, 0), true)
  assert.equal(system.apics[0].enabled, false)
  assert.equal(system.writeMsr(0, 0x1b, base + 0xc00, 0), false, 'from disabled to x2APIC directly')
  assert.deepEqual(system.readMsr(0, 0x1b), [base + 0x100, 0])
})

test('the base moves; a disabled APIC has no registers', () => {
  const { bus, system } = setUp()
  system.writeMsr(0, 0x1b, 0xfed40800, 0)
  assert.equal(bus.load(0xfed40030), 0x50014)
  assert.equal(bus.load(BASE + 0x30), 0xffffffff)
  system.writeMsr(0, 0x1b, 0xfee00000, 0)
  assert.equal(bus.load(BASE + 0x30), 0xffffffff)
})

test('IPIs between processors: INIT and start-up, shorthands, logical destinations', () => {
  const { system, events, write, requests, read } = setUp(3)
  write(0x310, 1 << 24)
  write(0x300, 0x4500)
  write(0x300, 0x0608)
  assert.deepEqual(events, ['init 1', 'startup 1 8'])
  assert.equal(read(0xf0, 1), 0xff, 'INIT has reset it')
  write(0xf0, 0x1ff, 1)
  write(0x300, 0xc0041)
  assert.deepEqual([system.acknowledge(0), system.acknowledge(1), system.acknowledge(2)], [-1, 0x41, 0x41])
  for (const cpu of [0, 1, 2]) write(0xd0, (1 << (24 + cpu)) >>> 0, cpu)
  write(0x310, 0x06000000)
  write(0x300, 0x0851)
  assert.deepEqual(requests, [false, true, true])
  assert.equal(system.acknowledge(1), 0x51)
  write(0x310, 0x06000000)
  write(0x300, 0x0961)
  assert.equal(read(0x230, 1) + read(0x230, 2), 2, 'lowest priority reaches one')
  assert.equal(read(0x230, 1), 0, 'the one that serves nothing')
})

test('errors: illegal vectors and registers, latched by a write to ESR', () => {
  const { system, write, read } = setUp()
  write(0x370, 0x39)
  write(0x300, 0x40005)
  assert.equal(system.acknowledge(0), 0x39)
  assert.equal(read(0x280), 0)
  write(0x280, 0)
  assert.equal(read(0x280), 0x20)
  assert.equal(read(0x3f0), 0)
  write(0x280, 0)
  assert.equal(read(0x280), 0x80)
})

test('software disable masks the LVT and takes no fixed interrupts', () => {
  const { write, read, requests, events } = setUp()
  write(0x320, 0x20)
  write(0xf0, 0xff)
  assert.equal(read(0x320), 0x10020)
  write(0x320, 0x20)
  assert.equal(read(0x320), 0x10020)
  write(0x300, 0x40044)
  assert.equal(requests[0], false)
  write(0x300, 0x80400)
  assert.deepEqual(events, ['nmi 0'])
})

test('PIC through LINT0, ISA lines to both controllers, IRQ 0 to input 2', () => {
  const { bus, system, requests, write } = setUp()
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 4],
    [0x21, 1],
    [0x21, 0xee],
  ])
    bus.out(port, value)
  write(0x350, 0x700)
  const timer = system.line(0)
  const [serial, other] = [system.line(4), system.line(4)]
  timer.set(true)
  assert.equal(requests[0], true)
  assert.equal(system.acknowledge(0), 0x20)
  bus.out(0x20, 0x20)
  write(0x350, 0x10700)
  const redirect = (pin: number, low: number, high = 0) => {
    for (const [register, value] of [
      [0x11 + 2 * pin, high],
      [0x10 + 2 * pin, low],
    ]) {
      bus.store(0xfec00000, register)
      bus.store(0xfec00010, value)
    }
  }
  redirect(2, 0x30)
  redirect(4, 0x8031)
  timer.set(false)
  timer.set(true)
  assert.equal(system.acknowledge(0), 0x30)
  write(0xb0, 0)
  other.set(true)
  serial.set(true)
  other.set(false)
  assert.equal(system.acknowledge(0), 0x31)
  bus.store(0xfec00000, 0x18)
  assert.equal(bus.load(0xfec00010), 0xc031, 'remote IRR')
  serial.set(false)
  other.set(true)
  assert.equal(system.acknowledge(0), -1)
  write(0xb0, 0)
  assert.equal(system.acknowledge(0), 0x31, 'still asserted at EOI')
  other.set(false)
  write(0xb0, 0)
  assert.equal(system.acknowledge(0), -1)
  assert.equal(bus.load(0xfec00010), 0x8031)
})

test('I/O APIC: version, masked edges are lost, masked levels are not, EOI register', () => {
  const { bus, system } = setUp()
  const reg = (index: number, value?: number): number => {
    bus.store(0xfec00000, index)
    if (value !== undefined) bus.store(0xfec00010, value)
    return bus.load(0xfec00010)
  }
  assert.equal(reg(1), 0x170020)
  assert.equal(reg(0, 0xffffffff), 0x0f000000)
  const line = system.line(20)
  line.set(true)
  assert.equal(reg(0x38, 0x61), 0x61)
  assert.equal(system.acknowledge(0), -1)
  assert.equal(reg(0x38, 0x18061), 0x18061)
  assert.equal(reg(0x38, 0x8061), 0xc061)
  assert.equal(system.acknowledge(0), 0x61)
  bus.store(0xfec00040, 0x61)
  assert.equal(bus.load(0xfec00010), 0xc061, 'served again')
  assert.equal(reg(0x38, 0x0061), 0x61, 'edge triggered now: remote IRR goes')
})

test('message-signalled interrupts and saved state', () => {
  const { bus, system, requests } = setUp(2)
  system.message(0xfee01000, 0, 0x77)
  assert.deepEqual(requests, [false, true])
  system.message(0xfee01000, 1, 0x78)
  system.message(0xfed01000, 0, 0x79)
  const saved = structuredClone(system.devices.map(device => device.state))
  assert.equal(system.acknowledge(1), 0x77)
  system.reset()
  assert.equal(requests[1], false)
  for (const [index, device] of system.devices.entries()) device.state = saved[index]
  for (const device of system.devices) device.restored?.()
  assert.equal(requests[1], true)
  assert.equal(system.acknowledge(1), 0x77)
  assert.equal(bus.log.size, 0)
})
