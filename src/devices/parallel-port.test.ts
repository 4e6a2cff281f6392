import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ParallelPort } from './parallel-port.ts'
import { TestBus } from './test-bus.ts'

const DATA = 0x378
const STATUS = 0x379
const CONTROL = 0x37a
const FIFO = 0x778
const ECR = 0x77a

function setUp() {
  const bus = new TestBus()
  const printed: number[] = []
  const port = new ParallelPort(bus, { port: DATA, irq: 7, endpoint: { print: byte => void printed.push(byte) } })
  return { bus, port, printed }
}

/** Prints as the BIOS does: data, wait until not busy, strobe. */
function print(bus: TestBus, text: string, control = 0x0c): void {
  for (const byte of Buffer.from(text)) {
    bus.out(DATA, byte)
    assert.equal(bus.in(STATUS) & 0x80, 0x80)
    bus.out(CONTROL, control | 1)
    bus.out(CONTROL, control)
  }
}

test('the probe of a BIOS: the data latch gives back what was written', () => {
  const { bus } = setUp()
  bus.out(CONTROL, bus.in(CONTROL) & 0xdf)
  for (const value of [0xaa, 0x55]) {
    bus.out(DATA, value)
    assert.equal(bus.in(DATA), value)
  }
})

test('the printer acknowledges a byte, once', () => {
  const { bus } = setUp()
  bus.out(CONTROL, 1)
  bus.out(CONTROL, 0)
  assert.equal(bus.in(STATUS), 0x9e)
  assert.equal(bus.in(STATUS), 0xde)
})

test('a byte for each strobe, and no more for a strobe that stays', () => {
  const { bus, printed } = setUp()
  print(bus, 'Hello\f')
  assert.equal(Buffer.from(printed).toString(), 'Hello\f')
  bus.out(CONTROL, 0x0d)
  bus.out(CONTROL, 0x0d)
  assert.equal(printed.length, 7)
})

test('a printer is ready; an empty socket is busy and out of paper, and swallows nothing', () => {
  const { bus, port, printed } = setUp()
  assert.equal(bus.in(STATUS), 0xde)
  port.setConnected(false)
  assert.equal(bus.in(STATUS), 0x7e)
  bus.out(CONTROL, 1)
  assert.deepEqual(printed, [])
})

test('the acknowledge interrupts where it is asked to, each byte anew', () => {
  const { bus } = setUp()
  print(bus, 'a')
  assert.equal(bus.line(7), false)
  print(bus, 'b', 0x1c)
  assert.equal(bus.line(7), true)
  const edges = bus.edges[7]
  print(bus, 'c', 0x1c)
  assert.equal(bus.line(7), true)
  assert.equal(bus.edges[7], edges + 1)
  assert.equal(bus.in(STATUS), 0x9a, 'nIRQ, nACK')
  assert.equal(bus.line(7), false)
  assert.equal(bus.in(STATUS), 0xde)
  print(bus, 'd', 0x1c)
  bus.out(CONTROL, 0x0c)
  assert.equal(bus.line(7), false, 'gone with its enable')
})

test('backwards there is nobody: the data lines are high, except in the mode of old', () => {
  const { bus } = setUp()
  bus.out(DATA, 0x12)
  bus.out(CONTROL, 0x2c)
  assert.equal(bus.in(DATA), 0x12)
  bus.out(ECR, 0x34)
  assert.equal(bus.in(DATA), 0xff)
})

// What Linux's parport_pc does to find out what there is (drivers/parport/parport_pc.c), in facts: which values it expects.
test('the extended control register and its FIFO as drivers look for them', () => {
  const { bus, printed } = setUp()
  assert.equal(bus.in(ECR) & 3, 1)
  bus.out(ECR, 0x34)
  assert.equal(bus.in(ECR), 0x35)
  bus.out(ECR, 0)
  bus.out(ECR, 0xc0)
  let depth = 0
  while ((bus.in(ECR) & 2) === 0) {
    bus.out(FIFO, depth)
    depth++
  }
  assert.equal(depth, 16)
  bus.out(FIFO, 99)
  bus.out(ECR, 0xc4)
  bus.out(ECR, 0xc0)
  let taken = 0
  while ((bus.in(ECR) & 4) === 0) assert.equal(bus.in(FIFO), taken++)
  assert.equal(taken, 8)
  assert.equal(bus.line(7), true, 'service interrupt')
  bus.out(ECR, 0x20)
  bus.out(CONTROL, 0x2c)
  bus.out(ECR, 0xc4)
  bus.out(ECR, 0xc0)
  let given = 0
  for (; (bus.in(ECR) & 4) === 0; given++) bus.out(FIFO, 1)
  assert.equal(given, 8)
  bus.out(ECR, 0xf4)
  assert.equal((bus.in(FIFO) >> 4) & 7, 1, 'bytes')
  assert.equal((bus.in(FIFO + 1) >> 3) & 7, 1, 'IRQ 7')
  assert.deepEqual(printed, [])
})

test('the parallel port FIFO and the ECP print by themselves; an ECP address is not printed', () => {
  const { bus, printed } = setUp()
  for (const ecr of [0x54, 0x74]) {
    bus.out(ECR, 0x34)
    bus.out(ECR, ecr)
    bus.out(FIFO, ecr)
    assert.equal(bus.in(ECR) & 3, 1)
  }
  bus.out(DATA, 0x80)
  assert.deepEqual(printed, [0x54, 0x74])
})

test('EPP: nobody answers, the timeout says so and is cleared by writing it', () => {
  const { bus } = setUp()
  bus.in(0x37b)
  assert.equal(bus.in(STATUS) & 1, 0, 'there is no EPP in other modes')
  bus.out(ECR, 0x80)
  assert.equal(bus.in(STATUS) & 1, 0)
  assert.equal(bus.in(0x37b), 0xff)
  assert.equal(bus.in(STATUS) & 1, 1)
  bus.out(STATUS, 1)
  assert.equal(bus.in(STATUS) & 1, 0)
  bus.out(0x37c, 1, 4)
  assert.equal(bus.in(STATUS) & 1, 1)
})
