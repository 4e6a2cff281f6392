import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestBus } from '../test-bus.ts'
import { Ac97 } from './ac97.ts'
import { SAMPLE_RATE } from './mixer.ts'
import { residue, strongest, TestListener } from './test-signal.ts'

const NAM = 0xc000
const NABM = 0xc400
const RING = 0x1000
const BUFFERS = 0x2000
/** Frames of a buffer. */
const PERIOD = 1024

function setUp(listening = true) {
  const bus = new TestBus(0x40000)
  const listener = new TestListener(bus.clock)
  if (!listening) listener.mixer.listen(false)
  const card = new Ac97(bus, listener.mixer)
  let irq = false
  let edges = 0
  card.function.connect({
    set: level => {
      if (level && !irq) edges++
      irq = level
    },
  })
  card.function.write(0x10, 4, NAM)
  card.function.write(0x14, 4, NABM)
  card.function.write(0x04, 2, 5)
  return { bus, listener, card, irq: () => irq, edges: () => edges }
}

/** A driver that plays a sine through a ring of 32 buffers, as Linux's snd_intel8x0 does: always one behind is the last. */
function play({ bus, irq }: ReturnType<typeof setUp>, hertz: number, rate: number, seconds: number) {
  bus.out(NABM + 0x2c, 2, 4)
  assert.equal(bus.in(NABM + 0x30, 4) & 0x100, 0x100, 'the codec is ready')
  bus.out(NAM + 0x02, 0, 2)
  bus.out(NAM + 0x18, 0x0808, 2)
  bus.out(NAM + 0x2a, 1, 2)
  bus.out(NAM + 0x2c, rate, 2)
  assert.equal(bus.in(NAM + 0x2c, 2), rate)
  bus.out(NABM + 0x1b, 2)
  const view = new DataView(bus.ram.buffer)
  for (let i = 0; i < 32; i++) {
    view.setUint32(RING + 8 * i, BUFFERS + 4 * PERIOD * (i % 8), true)
    view.setUint32(RING + 8 * i + 4, 0x80000000 | (2 * PERIOD), true)
  }
  let frame = 0
  const fill = (buffer: number) => {
    for (let i = 0; i < PERIOD; i++, frame++) {
      const value = Math.round(16000 * Math.sin((2 * Math.PI * hertz * frame) / rate))
      view.setInt16(BUFFERS + 4 * PERIOD * (buffer % 8) + 4 * i, value, true)
      view.setInt16(BUFFERS + 4 * PERIOD * (buffer % 8) + 4 * i + 2, -value, true)
    }
  }
  for (let i = 0; i < 8; i++) fill(i)
  bus.out(NABM + 0x10, RING, 4)
  bus.out(NABM + 0x15, 7)
  bus.out(NABM + 0x1b, 0x11)
  let interrupts = 0
  for (let next = 8; bus.clock.now() < seconds * 1e9; ) {
    bus.clock.advance(1e6)
    if (!irq()) continue
    interrupts++
    assert.equal(bus.in(NABM + 0x30, 4) & 0x40, 0x40)
    const current = bus.in(NABM + 0x14)
    for (; next % 32 !== (current + 8) % 32; next++) fill(next)
    bus.out(NABM + 0x15, (next - 1) % 32)
    bus.out(NABM + 0x16, 0x1c, 2)
    assert.equal(irq(), false)
  }
  return interrupts
}

for (const rate of [48000, 44100, 22050])
  test(`440 Hz at ${rate} frames a second come out as 440 Hz, without gaps, at the driver's pace`, () => {
    const machine = setUp()
    const interrupts = play(machine, 440, rate, 2)
    assert.ok(Math.abs(interrupts - (2 * rate) / PERIOD) < 3, `${interrupts} interrupts`)
    const heard = machine.listener.channel(4800, 80_000)
    assert.equal(Math.round(strongest(heard)), 440)
    assert.ok(residue(heard, 440) < (rate === 48000 ? 0.0002 : 0.004), `${residue(heard, 440)}`)
    const right = machine.listener.channel(4800, 100, 1)
    assert.ok(Math.abs(heard[50] + right[50]) < 0.001)
  })

test('buffers end at their time whether or not somebody listens, and their position is that of now', () => {
  const machine = setUp(false)
  const interrupts = play(machine, 440, 48000, 1)
  assert.ok(Math.abs(interrupts - 48000 / PERIOD) < 3)
  const { bus } = machine
  const before = bus.in(NABM + 0x18, 2)
  bus.clock.advance(1e6)
  const moved = (before - bus.in(NABM + 0x18, 2) + 2 * PERIOD) % (2 * PERIOD)
  assert.ok(Math.abs(moved - (2 * SAMPLE_RATE) / 1000) <= 2, `${moved}`)
})

test('on a clock that goes on while registers are written, the first frame is heard, and all that follow', () => {
  const { bus, listener } = setUp()
  const { clock } = bus
  const now = clock.now.bind(clock)
  clock.now = () => {
    clock.jump(20_000)
    return now()
  }
  bus.out(NABM + 0x2c, 2, 4)
  bus.out(NAM + 0x02, 0, 2)
  bus.out(NAM + 0x18, 0x0808, 2)
  const view = new DataView(bus.ram.buffer)
  for (let i = 0; i < 2; i++) {
    view.setUint32(RING + 8 * i, BUFFERS + 960 * i, true)
    view.setUint32(RING + 8 * i + 4, 480, true)
  }
  const samples = Int16Array.from({ length: 960 }, (_, n) => 1000 + n)
  bus.ram.set(new Uint8Array(samples.buffer), BUFFERS)
  bus.out(NABM + 0x10, RING, 4)
  bus.out(NABM + 0x15, 1)
  bus.out(NABM + 0x1b, 1)
  for (let i = 0; i < 20; i++) clock.advance(1e6)
  const heard = () => listener.pieces.flatMap(piece => [...piece.samples]).filter(sample => sample !== 0)
  // What is played is a frame late, and the last is not heard where nothing follows it.
  assert.equal(heard().length, samples.length - 2)
  assert.ok(heard().every((sample, n) => Math.abs(sample - samples[n]) <= 1))
  // Silence that follows later begins with nothing of it.
  view.setUint32(RING + 16, BUFFERS + 0x2000, true)
  view.setUint32(RING + 20, 480, true)
  bus.out(NABM + 0x15, 2)
  for (let i = 0; i < 20; i++) clock.advance(1e6)
  assert.equal(heard().length, samples.length - 2)
})

test('a host that lets the guest wait now and then makes no gap, although its program takes a while to provide what follows', () => {
  const { bus, irq, listener } = setUp()
  bus.out(NABM + 0x2c, 2, 4)
  bus.out(NAM + 0x02, 0, 2)
  bus.out(NAM + 0x18, 0x0808, 2)
  const view = new DataView(bus.ram.buffer)
  // Four periods of 100 ms, of which the driver lets the card have all at any time.
  const period = 4800
  for (let i = 0; i < 32; i++) {
    view.setUint32(RING + 8 * i, BUFFERS + 4 * period * (i % 4), true)
    view.setUint32(RING + 8 * i + 4, 0x80000000 | (2 * period), true)
  }
  let filled = 0
  const fill = () => {
    for (let i = 0; i < period; i++) {
      const value = Math.round(16000 * Math.sin((2 * Math.PI * 440 * (filled * period + i)) / SAMPLE_RATE))
      view.setInt32(BUFFERS + 4 * ((filled % 4) * period + i), (value << 16) | (value & 0xffff), true)
    }
    filled++
  }
  for (let i = 0; i < 4; i++) fill()
  bus.out(NABM + 0x10, RING, 4)
  bus.out(NABM + 0x15, 31)
  bus.out(NABM + 0x1b, 0x11)
  // The program runs some milliseconds after the interrupt, and fills what is free.
  let interrupts = 0
  let wakes = Number.POSITIVE_INFINITY
  let stalls = 0
  for (let i = 0; bus.clock.now() < 20e9; i++) {
    if (i % 900 === 899) bus.clock.jump([40e6, 350e6, 1000e6, 1900e6][stalls++ % 4])
    else bus.clock.advance(1e6)
    if (irq()) {
      // Drivers ask for the position as often as they like.
      for (let n = 0; n < 8; n++) bus.in(NABM + 0x14)
      bus.in(NABM + 0x18, 2)
      bus.out(NABM + 0x16, 0x1c, 2)
      bus.out(NABM + 0x15, (bus.in(NABM + 0x14) + 31) % 32)
      interrupts++
      wakes = Math.min(wakes, bus.clock.now() + 5e6)
    }
    if (bus.clock.now() < wakes) continue
    wakes = Number.POSITIVE_INFINITY
    while (filled < interrupts + 4) fill()
  }
  const heard = listener.channel(4800, 17 * SAMPLE_RATE)
  assert.ok(residue(heard, 440) < 0.0005, `${residue(heard, 440)}`)
})

test('a ring that runs out halts, says so, and goes on with a new last buffer', () => {
  const machine = setUp()
  const { bus, irq } = machine
  bus.out(NABM + 0x2c, 2, 4)
  const view = new DataView(bus.ram.buffer)
  for (let i = 0; i < 32; i++) {
    view.setUint32(RING + 8 * i, BUFFERS, true)
    view.setUint32(RING + 8 * i + 4, 480, true)
  }
  bus.out(NABM + 0x10, RING, 4)
  bus.out(NABM + 0x15, 1)
  bus.out(NABM + 0x1b, 5)
  assert.equal(bus.in(NABM + 0x14), 0)
  assert.equal(bus.in(NABM + 0x1a), 1)
  bus.clock.advance(7e6)
  assert.equal(bus.in(NABM + 0x14), 1)
  assert.equal(irq(), false)
  bus.clock.advance(4e6)
  assert.equal(bus.in(NABM + 0x16, 2), 7)
  assert.equal(irq(), true)
  bus.out(NABM + 0x16, 4, 2)
  assert.equal(irq(), false)
  bus.out(NABM + 0x15, 2)
  assert.equal(bus.in(NABM + 0x14), 2)
  assert.equal(bus.in(NABM + 0x16, 2), 2)
  bus.clock.advance(6e6)
  assert.equal(bus.in(NABM + 0x16, 2), 7)
})

test('empty buffers and single samples make no storm', () => {
  const { bus } = setUp()
  const view = new DataView(bus.ram.buffer)
  for (let i = 0; i < 32; i++) view.setUint32(RING + 8 * i + 4, 0x80000000 | (i & 1), true)
  bus.out(NABM + 0x2c, 2, 4)
  for (const box of [0, 0x10, 0x20]) {
    bus.out(NABM + box, RING, 4)
    bus.out(NABM + box + 5, 31)
    bus.out(NABM + box + 0xb, 0x1d)
  }
  for (let i = 0; i < 1000; i++) {
    bus.clock.advance(1e6)
    for (const box of [0, 0x10, 0x20]) bus.out(NABM + box + 5, i & 31)
  }
  assert.ok(bus.clock.callbacks < 60_000, `${bus.clock.callbacks}`)
})

test('the codec: its identity, what is muted at first, rates only with VRA, the semaphore', () => {
  const { bus } = setUp()
  assert.equal(bus.in(NAM + 0x7c, 2), 0x8384)
  assert.equal(bus.in(NAM + 0x02, 2), 0x8000)
  bus.out(NAM + 0x2c, 22050, 2)
  assert.equal(bus.in(NAM + 0x2c, 2), 48000)
  bus.out(NAM + 0x2a, 1, 2)
  bus.out(NAM + 0x2c, 1, 2)
  assert.equal(bus.in(NAM + 0x2c, 2), 8000)
  assert.equal(bus.in(NABM + 0x34), 0)
  assert.equal(bus.in(NABM + 0x34), 1)
  bus.in(NAM, 2)
  assert.equal(bus.in(NABM + 0x34), 0)
  bus.out(NAM, 0, 2)
  assert.equal(bus.in(NAM + 0x2a, 2), 0)
  assert.equal(bus.in(NAM + 0x82, 2), 0xffff, 'no second codec')
  assert.equal(bus.in(NABM + 0x30, 4) & 0x8000, 0x8000)
})
