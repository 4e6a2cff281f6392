import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DebugPorts } from './debug-ports.ts'
import { I8042 } from './i8042.ts'
import { ResetControl } from './reset-control.ts'
import { TestBus } from './test-bus.ts'

function setUp() {
  const bus = new TestBus()
  const events: string[] = []
  const control = new ResetControl(bus, {
    onReset: () => void events.push('reset'),
    onA20: on => void events.push(`a20 ${on}`),
  })
  const keyboard = new I8042(bus, {
    onReset: () => void events.push('reset'),
    onA20: enabled => control.setA20(enabled),
  })
  return { bus, events, control, keyboard }
}

test('what a driver asks while it probes is answered at once', () => {
  const { bus } = setUp()
  const ask = (command: number): number => {
    bus.out(0x64, command)
    assert.equal(bus.in(0x64) & 1, 1)
    return bus.in(0x60)
  }
  assert.equal(bus.in(0x64) & 1, 0)
  assert.equal(ask(0xaa), 0x55)
  assert.equal(ask(0xab), 0)
  bus.out(0x64, 0x60)
  bus.out(0x60, 0x45)
  assert.equal(ask(0x20), 0x65, 'no auxiliary port: it cannot be enabled')
  bus.out(0x64, 0xd3)
  bus.out(0x60, 0x5a)
  assert.equal(bus.in(0x64) & 0x21, 0x01, 'the loop comes back without AUXDATA')
  assert.equal(bus.in(0x60), 0x5a)
  assert.equal(ask(0xa9), 1)
  const edges = bus.edges[1]
  bus.out(0x60, 0xf2)
  assert.equal(bus.edges[1], edges + 1)
  assert.equal(bus.in(0x64) & 0x41, 0x41, 'no keyboard: a timeout')
  assert.equal(bus.in(0x60), 0xfe)
  assert.equal(bus.in(0x64) & 0x41, 0)
})

test('the reset line: FEh pulse, output port, port 92h, register cf9h', () => {
  const { bus, events, control } = setUp()
  bus.out(0x64, 0xff)
  assert.deepEqual(events, [])
  bus.out(0x64, 0xfe)
  bus.out(0x64, 0xd1)
  bus.out(0x60, 0xfe)
  bus.out(0x92, 3)
  control.registerCf9.writePort(0xcf9, 1, 2)
  assert.equal(events.length, 3)
  control.registerCf9.writePort(0xcf9, 1, 6)
  assert.deepEqual(events, ['reset', 'reset', 'reset', 'reset'])
})

test('port 92h and the keyboard controller are one gate: the last write counts', () => {
  const { bus, events } = setUp()
  bus.out(0x92, 0)
  assert.deepEqual(events, ['a20 false'])
  bus.out(0x64, 0xdf)
  assert.deepEqual(events, ['a20 false', 'a20 true'])
  assert.equal(bus.in(0x92), 2)
  bus.out(0x64, 0xdd)
  assert.equal(bus.in(0x92), 0)
  bus.out(0x64, 0xd1)
  bus.out(0x60, 3)
  assert.deepEqual(events, ['a20 false', 'a20 true', 'a20 false', 'a20 true'])
})

test('a system that is started without firmware finds a keyboard that can be used', () => {
  const bus = new TestBus()
  const controller = new I8042(bus, { onReset() {}, devices: true })
  controller.reset()
  controller.keyboard!.press('KeyA')
  bus.clock.advance(1e6)
  assert.equal(bus.in(0x64) & 1, 0, 'it is disabled')
  controller.reset()
  controller.enableKeyboard()
  bus.clock.advance(1e6)
  assert.equal(bus.in(0x64) & 1, 0, 'nothing is left of its self-test')
  controller.keyboard!.press('KeyB')
  bus.clock.advance(1e6)
  assert.equal(bus.line(1), true)
  assert.equal(bus.in(0x60), 0x30, 'of set 1')
  bus.out(0x64, 0x20)
  assert.equal(bus.in(0x60), 0x65)
  const none = new I8042(new TestBus(), { onReset() {} })
  none.enableKeyboard()
})

test('debug ports', () => {
  const bus = new TestBus()
  const seen: (number | string)[] = []
  new DebugPorts(bus, {
    onDebugByte: byte => void seen.push(byte),
    onDebugExit: value => void seen.push(`exit ${value}`),
  })
  assert.equal(bus.in(0xe9), 0xe9)
  bus.out(0xe9, 65)
  bus.out(0xf4, 0x12345678, 4)
  bus.out(0x80, 0x42)
  assert.equal(bus.in(0x80), 0x42)
  assert.deepEqual(seen, [65, `exit ${0x12345678}`])
})
