import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestBus } from './test-bus.ts'
import { Uart16550 } from './uart16550.ts'

function setUp(): { bus: TestBus; uart: Uart16550; sent: number[]; ready: () => number } {
  const bus = new TestBus()
  const sent: number[] = []
  let ready = 0
  const endpoint = { transmit: (byte: number) => void sent.push(byte), receiveReady: () => void ready++ }
  const uart = new Uart16550(bus, { port: 0x3f8, irq: 4, endpoint })
  return { bus, uart, sent, ready: () => ready }
}

/** What a driver does that enables reception: 115200 8N1, FIFO with trigger level 8, receive interrupt. */
function open(bus: TestBus): void {
  bus.out(0x3fb, 0x83)
  bus.out(0x3f8, 1)
  bus.out(0x3f9, 0)
  bus.out(0x3fb, 0x03)
  bus.out(0x3fc, 0x0b)
  bus.out(0x3f9, 0x05)
  bus.out(0x3fa, 0x81)
}

test('the transmitter empty interrupt: by enabling, by writing, gone by reading IIR', () => {
  const { bus, sent } = setUp()
  assert.equal(bus.in(0x3fa), 0x01)
  bus.out(0x3f9, 2)
  assert.equal(bus.line(4), true)
  assert.equal(bus.in(0x3fa), 0x02)
  assert.equal(bus.line(4), false)
  assert.equal(bus.in(0x3fa), 0x01)
  bus.out(0x3f8, 65)
  assert.equal(bus.line(4), true)
  const edges = bus.edges[4]
  bus.out(0x3f8, 66)
  assert.equal(bus.edges[4], edges + 1, 'a further byte makes a further edge')
  // Linux looks whether the interrupt comes back when its enable bit does (UART_BUG_THRE).
  bus.in(0x3fa)
  bus.out(0x3f9, 0)
  bus.out(0x3f9, 2)
  assert.equal(bus.in(0x3fa), 0x02)
  assert.deepEqual(sent, [65, 66])
  assert.equal(bus.in(0x3fd), 0x60)
})

test('input that is held waits for its release, and again after a reset', () => {
  const bus = new TestBus()
  const uart = new Uart16550(bus, { port: 0x3f8, irq: 4, held: true, endpoint: { transmit() {} } })
  for (const _ of [1, 2]) {
    open(bus)
    uart.receive(Uint8Array.of(7))
    for (let i = 0; i < 10; i++) assert.equal(bus.in(0x3fd) & 1, 0)
    uart.release()
    assert.equal(bus.in(0x3fd) & 1, 1)
    assert.equal(bus.in(0x3f8), 7)
    uart.reset()
  }
})

test('reception: timeout below the trigger level, data available from it', () => {
  const { bus, uart } = setUp()
  open(bus)
  uart.receive(Uint8Array.of(1, 2, 3))
  assert.equal(bus.in(0x3fd) & 1, 1)
  assert.equal(bus.line(4), false)
  bus.clock.advance(4 * 86_806 - 1000)
  assert.equal(bus.line(4), false)
  bus.clock.advance(3000)
  assert.equal(bus.in(0x3fa), 0xcc)
  assert.equal(bus.in(0x3f8), 1)
  assert.equal(bus.line(4), false, 'a read ends the timeout')
  assert.equal(bus.in(0x3f8), 2)
  assert.equal(bus.in(0x3f8), 3)
  bus.clock.advance(1e9)
  uart.receive(new Uint8Array(8).fill(7))
  assert.equal(bus.in(0x3fa), 0xc4)
})

test('nothing that was piped in is lost, however early, whatever the driver resets', () => {
  const { bus, uart, ready } = setUp()
  const input = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff)
  let offered = uart.receive(input)
  assert.equal(offered, 4096)
  // A driver's start: console output by polling, FIFO resets, and reading the port dry.
  bus.out(0x3fc, 3)
  for (let i = 0; i < 100; i++) {
    assert.equal(bus.in(0x3fd), 0x60)
    bus.out(0x3f8, i)
  }
  bus.out(0x3fa, 7)
  for (const port of [0x3fd, 0x3f8, 0x3fa, 0x3fe]) bus.in(port)
  open(bus)
  const got: number[] = []
  let told = 0
  for (let i = 0; i < 100_000 && got.length < input.length; i++) {
    if (bus.line(4)) while (bus.in(0x3fd) & 1) got.push(bus.in(0x3f8))
    if (i === 20) {
      // Reopening the port in the middle.
      bus.out(0x3f9, 0)
      bus.out(0x3fa, 7)
      bus.out(0x3fa, 0)
      for (const port of [0x3fd, 0x3f8, 0x3fa, 0x3fe]) bus.in(port)
      open(bus)
    }
    if (ready() > told) {
      told = ready()
      offered += uart.receive(input.subarray(offered))
    }
    bus.clock.advance(100_000)
    assert.equal(bus.in(0x3fd) & 0x1e, 0)
  }
  assert.deepEqual(Uint8Array.from(got), input)
  assert.ok(bus.clock.now() > 10_000 * 86_000, 'the rate of the line is kept')
})

test('a machine that was late gets what the line has delivered meanwhile, up to a bound', () => {
  const { bus, uart } = setUp()
  open(bus)
  const drain = () => {
    let count = 0
    for (; bus.in(0x3fd) & 1; count++) bus.in(0x3f8)
    return count
  }
  uart.receive(new Uint8Array(4000))
  drain()
  bus.clock.advance(20_000_000)
  // 230 characters' time, and what is in the FIFO already.
  assert.ok(Math.abs(drain() - 230) <= 32)
  bus.clock.advance(1_000_000_000)
  assert.ok(Math.abs(drain() - 576) <= 32)
})

test('a guest that polls LSR gets its input without interrupts', () => {
  const { bus, uart } = setUp()
  uart.receive(Uint8Array.of(9))
  let reads = 0
  while ((bus.in(0x3fd) & 1) === 0) assert.ok(++reads < 10)
  assert.equal(bus.in(0x3f8), 9)
})

test('loopback: data, modem lines and their deltas, overrun', () => {
  const { bus, sent } = setUp()
  bus.out(0x3fc, 0x10)
  assert.equal(bus.in(0x3fe), 0x0b, 'CTS, DSR and DCD went away')
  bus.out(0x3f9, 0x0c)
  bus.out(0x3fc, 0x14)
  assert.equal(bus.in(0x3fe), 0x40, 'RI begins without TERI')
  bus.out(0x3fc, 0x10)
  assert.equal(bus.in(0x3fa), 0x00)
  assert.equal(bus.in(0x3fe), 0x04)
  bus.out(0x3fc, 0x1a)
  assert.equal(bus.in(0x3fe) & 0xf0, 0x90, 'the probe of Linux')
  bus.out(0x3f8, 0x55)
  assert.equal(bus.in(0x3fd), 0x61)
  bus.out(0x3f8, 0x66)
  assert.equal(bus.in(0x3fa), 0x06, 'line status first')
  assert.equal(bus.in(0x3fd), 0x63)
  assert.equal(bus.in(0x3f8), 0x66)
  bus.out(0x3fa, 1)
  for (let i = 0; i < 20; i++) bus.out(0x3f8, i)
  let count = 0
  while (bus.in(0x3fd) & 1) assert.equal(bus.in(0x3f8), count++)
  assert.equal(count, 16)
  assert.deepEqual(sent, [])
})

test('an unplugged cable: no data set, no carrier, and an interrupt when it is plugged in', () => {
  const { bus, uart } = setUp()
  assert.equal(bus.in(0x3fe), 0xb0)
  uart.setConnected(false)
  assert.equal(bus.in(0x3fe), 0x1a, 'DSR and DCD went')
  uart.reset()
  assert.equal(bus.in(0x3fe), 0x10, 'a reset does not plug it in')
  bus.out(0x3f9, 8)
  uart.setConnected(true)
  assert.equal(bus.line(4), true)
  assert.equal(bus.in(0x3fa), 0x00)
  assert.equal(bus.in(0x3fe), 0xba)
  bus.out(0x3fc, 0x10)
  bus.in(0x3fe)
  uart.setConnected(false)
  assert.equal(bus.in(0x3fe), 0x00, 'not seen in loopback')
  bus.out(0x3fc, 0)
  assert.equal(bus.in(0x3fe) & 0xf0, 0x10)
})

test('the divisor latch and the scratch register', () => {
  const { bus } = setUp()
  bus.out(0x3fb, 0x80)
  bus.out(0x3f8, 0x0180, 2)
  assert.equal(bus.in(0x3f8, 2), 0x0180)
  bus.out(0x3fb, 3)
  assert.equal(bus.in(0x3f9), 0)
  bus.out(0x3ff, 0xa5)
  assert.equal(bus.in(0x3ff), 0xa5)
  bus.out(0x3fa, 0xc1)
  assert.equal(bus.in(0x3fa) & 0xc0, 0xc0, 'a 16550A')
})
