import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Dma8237 } from '../dma8237.ts'
import { TestBus } from '../test-bus.ts'
import { adpcmSamples, decodeAdpcm } from './sb-adpcm.ts'
import { Sb16 } from './sb16.ts'
import { residue, strongest, TestListener } from './test-signal.ts'

const BUFFER = 0x10000

function setUp() {
  const bus = new TestBus(0x40000)
  const dma = new Dma8237(bus)
  const listener = new TestListener(bus.clock)
  const card = new Sb16(bus, dma, listener.mixer)
  const command = (...bytes: number[]) => {
    for (const byte of bytes) {
      assert.equal(bus.in(0x22c) & 0x80, 0)
      bus.out(0x22c, byte)
    }
  }
  const mixer = (index: number, value?: number) => {
    bus.out(0x224, index)
    if (value !== undefined) bus.out(0x225, value)
    return bus.in(0x225)
  }
  /** Programs a channel for memory to device, auto-initialising. @param bytes of the buffer */
  const channel = (number: number, bytes: number, mode = 0x58) => {
    const wide = number > 3
    const port = (register: number) => (wide ? 0xc0 + 2 * register : register)
    const units = bytes / (wide ? 2 : 1) - 1
    const address = wide ? (BUFFER >> 1) & 0xffff : BUFFER & 0xffff
    bus.out(port(10), 4 | (number & 3))
    bus.out(port(12), 0)
    bus.out(port(11), mode | (number & 3))
    bus.out(port(2 * (number & 3)), address & 0xff)
    bus.out(port(2 * (number & 3)), address >> 8)
    bus.out(port(2 * (number & 3) + 1), units & 0xff)
    bus.out(port(2 * (number & 3) + 1), units >> 8)
    bus.out([0x87, 0x83, 0x81, 0x82, 0, 0x8b, 0x89, 0x8a][number], BUFFER >> 16)
    bus.out(port(10), number & 3)
  }
  const loud = () => {
    for (const index of [0x30, 0x31, 0x32, 0x33]) mixer(index, 0xf8)
  }
  return { bus, card, listener, command, mixer, channel, loud }
}

test('it is found: reset gives AAh, the version 4.05, inversion, the copyright', () => {
  const { bus, command } = setUp()
  bus.out(0x226, 1)
  bus.out(0x226, 0)
  assert.equal(bus.in(0x22e) & 0x80, 0x80)
  assert.equal(bus.in(0x22a), 0xaa)
  assert.equal(bus.in(0x22e) & 0x80, 0)
  command(0xe1)
  assert.deepEqual([bus.in(0x22a), bus.in(0x22a)], [4, 5])
  command(0xe0, 0x5a)
  assert.equal(bus.in(0x22a), 0xa5)
  command(0xe4, 0x77, 0xe8)
  assert.equal(bus.in(0x22a), 0x77)
  command(0xe3)
  let text = ''
  while (bus.in(0x22e) & 0x80) text += String.fromCharCode(bus.in(0x22a))
  assert.match(text, /^COPYRIGHT/)
})

test('the mixer says and takes IRQ and DMA; F2h tries the IRQ', () => {
  const { bus, mixer, command } = setUp()
  assert.equal(mixer(0x80), 2)
  assert.equal(mixer(0x81), 0x22)
  command(0xf2)
  assert.equal(bus.line(5), true)
  assert.equal(mixer(0x82), 1)
  bus.in(0x22e)
  assert.equal(bus.line(5), false)
  mixer(0x80, 4)
  command(0xf3)
  assert.deepEqual([bus.line(5), bus.line(7)], [false, true])
  bus.in(0x22f)
  assert.equal(bus.line(7), false)
  assert.equal(mixer(0x22, 0xa7), 0xa7)
  assert.equal(mixer(0x31), 0x78)
})

/** Plays a sine from a buffer of two halves, of which the driver fills one while the other plays. */
function sine(
  machine: ReturnType<typeof setUp>,
  start: () => void,
  rate: number,
  kind: [bits: number, stereo: boolean],
) {
  const { bus } = machine
  const [bits, stereo] = kind
  const half = 1024
  const view = new DataView(bus.ram.buffer, BUFFER)
  let frame = 0
  const fill = (which: number) => {
    const channels = stereo ? 2 : 1
    for (let i = 0; i < half * channels; i++) {
      const value = Math.sin((2 * Math.PI * 440 * (frame + Math.floor(i / channels))) / rate) * 0.5
      const at = which * half * channels + i
      if (bits === 16) view.setInt16(2 * at, Math.round(value * 32768), true)
      else view.setUint8(at, 128 + Math.round(value * 128))
    }
    frame += half
  }
  fill(0)
  fill(1)
  start()
  let interrupts = 0
  while (bus.clock.now() < 1.5e9) {
    bus.clock.advance(1e6)
    if (!bus.line(5)) continue
    bus.in(bits === 16 ? 0x22f : 0x22e)
    fill(interrupts++ % 2)
  }
  assert.ok(Math.abs(interrupts - (1.5 * rate) / half) < 2, `${interrupts} interrupts`)
  const heard = machine.listener.channel(4800, 60_000)
  assert.equal(Math.round(strongest(heard)), 440)
  return residue(heard, 440)
}

test('440 Hz, 16 bits, stereo, auto-initialised on DMA 5: without gaps', () => {
  const machine = setUp()
  const { command, channel, loud } = machine
  loud()
  const start = () => {
    channel(5, 8192)
    command(0xd1, 0x41, 0xac, 0x44, 0xb6, 0x30, 0xff, 0x07)
  }
  assert.ok(sine(machine, start, 44100, [16, true]) < 0.004)
})

test('440 Hz, 8 bits on DMA 1, by the commands of the first card: time constant, block size, 1Ch', () => {
  const machine = setUp()
  const { command, channel, loud } = machine
  loud()
  const start = () => {
    channel(1, 2048)
    command(0xd1, 0x40, 256 - 50, 0x48, 0xff, 0x03, 0x1c)
  }
  assert.ok(sine(machine, start, 20000, [8, false]) < 0.03)
})

test('a single block ends with its interrupt and nothing more; pause and continue; the position is that of now', () => {
  const { bus, command, channel } = setUp()
  channel(1, 4096, 0x48)
  command(0x41, 0x1f, 0x40, 0xc0, 0, 0x3f, 0x01)
  bus.clock.advance(20e6)
  command(0xd0)
  bus.clock.advance(1e9)
  assert.equal(bus.line(5), false)
  bus.out(12, 0)
  const left = bus.in(3) | (bus.in(3) << 8)
  assert.ok(Math.abs(left - (4095 - 160)) <= 1, `${left}`)
  command(0xd4)
  bus.clock.advance(21e6)
  assert.equal(bus.line(5), true)
  bus.in(0x22e)
  bus.clock.advance(1e9)
  assert.equal(bus.line(5), false)
})

test('it waits for a masked channel', () => {
  const { bus, command, channel } = setUp()
  command(0x41, 0x1f, 0x40, 0xc0, 0, 0x4f, 0x00)
  bus.clock.advance(1e9)
  assert.equal(bus.line(5), false)
  channel(1, 80, 0x48)
  bus.clock.advance(11e6)
  assert.equal(bus.line(5), true)
})

test('silence of command 80h interrupts after its time; command 10h plays by itself', () => {
  const { bus, listener, command, loud } = setUp()
  command(0x41, 0x1f, 0x40, 0x80, 0x3f, 0x01)
  bus.clock.advance(38e6)
  assert.equal(bus.line(5), false)
  bus.clock.advance(3e6)
  assert.equal(bus.line(5), true)
  loud()
  const from = Math.round(bus.clock.now() * 48e-6)
  for (let i = 0; i < 8000; i++) {
    command(0x10, 128 + Math.round(60 * Math.sin((2 * Math.PI * 440 * i) / 8000)))
    bus.clock.advance(125_000)
  }
  assert.equal(Math.round(strongest(listener.channel(from + 4800, 38400), 2000)), 440)
})

test('blocks of a sample make no storm', () => {
  const { bus, command, channel } = setUp()
  channel(1, 2)
  command(0x41, 0xac, 0x44, 0xc6, 0, 0, 0)
  for (let i = 0; i < 1000; i++) {
    bus.clock.advance(1e6)
    bus.in(0x22e)
  }
  assert.ok(bus.clock.callbacks < 60_000)
})

test('ADPCM: steps grow and shrink, and stay in their limits', () => {
  const state = { value: 128, level: 0 }
  const decode = (bits: 2 | 3 | 4, ...bytes: number[]) => bytes.flatMap(byte => decodeAdpcm(state, bits, byte))
  assert.deepEqual(decode(4, 0x77, 0x77, 0x77), [135, 150, 180, 240, 255, 255])
  assert.deepEqual(decode(4, 0xf8, 0x88), [195, 191, 189, 188])
  assert.deepEqual(state, { value: 188, level: 0 })
  state.value = 100
  // Two samples of three bits and one of two, to which a zero is added.
  assert.deepEqual(decode(3, 0b011_001_01), [103, 106, 111])
  assert.deepEqual(decode(3, 0b111_111_11), [104, 90, 70])
  Object.assign(state, { value: 128, level: 0 })
  assert.deepEqual(decode(2, 0b01_01_01_01, 0b11_00_10_00), [129, 132, 138, 150, 126, 142, 134, 138])
})

/** Codes whose decoding comes closest to samples. */
function encode(bits: 2 | 3 | 4, samples: number[]): number[] {
  const state = { value: samples[0], level: 0 }
  const bytes: number[] = []
  for (let at = 1; at + adpcmSamples(bits) <= samples.length; at += adpcmSamples(bits)) {
    const wanted = samples.slice(at, at + adpcmSamples(bits))
    let best = 0
    let least = Number.POSITIVE_INFINITY
    for (let byte = 0; byte < 256; byte++) {
      const decoded = decodeAdpcm({ ...state }, bits, byte)
      const error = decoded.reduce((sum, value, i) => sum + (value - wanted[i]) ** 2, 0)
      if (error < least) [best, least] = [byte, error]
    }
    decodeAdpcm(state, bits, best)
    bytes.push(best)
  }
  return bytes
}

for (const [bits, first, next, automatic, most] of [
  [4, 0x75, 0x74, 0x7d, 0.05],
  [3, 0x77, 0x76, 0x7f, 0.15],
  [2, 0x17, 0x16, 0x1f, 0.3],
] as const)
  test(`440 Hz as ADPCM of ${bits} bits: with a first sample, without, and without end`, () => {
    const rate = 11025
    const samples = Array.from(
      { length: 8000 },
      (_, i) => 128 + Math.round(60 * Math.sin((2 * Math.PI * 440 * i) / rate)),
    )
    const bytes = [samples[0], ...encode(bits, samples)]
    for (const way of ['blocks', 'automatic'] as const) {
      const { bus, command, channel, loud, listener } = setUp()
      loud()
      bus.ram.set(bytes, BUFFER)
      channel(1, bytes.length)
      command(0x41, rate >> 8, rate & 0xff)
      // Two blocks, of which the second goes on from the first.
      const half = bytes.length >> 1
      const block = (count: number) => [(count - 1) & 0xff, (count - 1) >> 8]
      if (way === 'blocks') command(first, ...block(half))
      else command(0x48, ...block(half), automatic)
      const ends: number[] = []
      while (ends.length < 2 && bus.clock.now() < 2e9) {
        bus.clock.advance(0.1e6)
        if (!bus.line(5)) continue
        ends.push(bus.clock.now())
        bus.in(0x22e)
        if (way === 'blocks' && ends.length === 1) command(next, ...block(bytes.length - half))
      }
      const expected = ((half - 1) * adpcmSamples(bits) * 1e9) / rate
      assert.ok(Math.abs(ends[0] - expected) < 1e6, `${ends[0]}, not ${expected}`)
      for (const from of [1200, Math.round(ends[0] * 48e-6) + 1200]) {
        const heard = listener.channel(from, 14_400)
        assert.equal(Math.round(strongest(heard)), 440)
        assert.ok(residue(heard, 440) < most, `${way}, from ${from}: ${residue(heard, 440)}`)
      }
    }
  })

test('a host that is late gives the guest its moment for each block: nothing is played twice', () => {
  const machine = setUp()
  const { bus, command, channel, loud, listener } = machine
  loud()
  const view = new DataView(bus.ram.buffer, BUFFER)
  const half = 400
  let frame = 0
  const fill = (which: number) => {
    for (let i = 0; i < half; i++, frame++)
      view.setUint8(which * half + i, 128 + Math.round(60 * Math.sin((2 * Math.PI * 440 * frame) / 20000)))
  }
  fill(0)
  fill(1)
  channel(1, 2 * half)
  command(0x40, 256 - 50, 0x48, (half - 1) & 0xff, (half - 1) >> 8, 0x1c)
  let interrupts = 0
  for (let i = 0; bus.clock.now() < 1.2e9; i++) {
    // Now and then the clock jumps over three blocks before a timer is looked at.
    if (i % 800 === 799) bus.clock.jump(60e6)
    else bus.clock.advance(0.25e6)
    if (!bus.line(5)) continue
    bus.in(0x22e)
    fill(interrupts++ % 2)
  }
  const heard = listener.channel(4800, 48_000)
  assert.ok(residue(heard, 440) < 0.03, `${residue(heard, 440)}`)
})

for (const [name, single, dma] of [
  ['8 bits, command 14h', [0x14], 1],
  ['16 bits, command B0h', [0xb0, 0x10], 5],
] as const)
  test(`a program that gives block by block, late, on a host that is late: nothing is missing between them (${name})`, () => {
    const { bus, command, channel, loud, listener } = setUp()
    loud()
    const view = new DataView(bus.ram.buffer, BUFFER)
    const count = 400
    let frame = 0
    const give = () => {
      for (let i = 0; i < count; i++, frame++) {
        const value = 0.47 * Math.sin((2 * Math.PI * 440 * frame) / 20000)
        if (dma === 5) view.setInt16(2 * i, Math.round(value * 32768), true)
        else view.setUint8(i, 128 + Math.round(value * 128))
      }
      channel(dma, dma === 5 ? 2 * count : count, 0x48)
      command(...single, (count - 1) & 0xff, (count - 1) >> 8)
    }
    command(0x41, 20000 >> 8, 20000 & 0xff)
    give()
    let interrupts = 0
    for (let i = 0; bus.clock.now() < 1.2e9; i++) {
      // Now and then nothing runs on the host for a while.
      if (i % 300 === 299) bus.clock.jump(30e6)
      else bus.clock.advance(0.25e6)
      if (!bus.line(5)) continue
      bus.in(dma === 5 ? 0x22f : 0x22e)
      bus.clock.advance((interrupts++ % 4) * 1.3e6)
      give()
    }
    const heard = listener.channel(4800, 48_000)
    assert.ok(residue(heard, 440) < 0.03, `${residue(heard, 440)}`)
  })

test('a block that is asked for long after the last is heard when it is asked for', () => {
  const { bus, command, channel, loud, listener } = setUp()
  loud()
  const view = new Uint8Array(bus.ram.buffer, BUFFER)
  view.fill(255, 0, 80)
  command(0x41, 0x1f, 0x40)
  for (const at of [0, 200e6]) {
    bus.clock.advance(at - bus.clock.now())
    channel(1, 80, 0x48)
    command(0x14, 79, 0)
    bus.clock.advance(40e6)
    bus.in(0x22e)
  }
  bus.clock.advance(100e6)
  const sounds = [...listener.channel(0, 14_400)].map(value => value > 0.5)
  assert.ok(Math.abs(sounds.indexOf(true, 4800) - 9600) < 20, `at ${sounds.indexOf(true, 4800)}`)
  assert.ok(Math.abs(sounds.filter(Boolean).length - 960) < 40)
})
