import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../test-bus.ts'
import { VmMouse } from '../vmmouse.ts'
import { Ps2Mouse } from './mouse.ts'

function setUp() {
  const clock = new ManualClock()
  const mouse = new Ps2Mouse(clock, { onReady() {} })
  const sent = () => {
    const bytes: number[] = []
    while (mouse.ready) bytes.push(mouse.take())
    return bytes
  }
  const ask = (...bytes: number[]) => {
    let answer: number[] = []
    for (const byte of bytes) {
      mouse.write(byte)
      answer = sent()
    }
    return answer
  }
  return { clock, mouse, sent, ask }
}

test('a mouse reports motion and buttons once it is enabled, at its rate', () => {
  const { clock, mouse, sent, ask } = setUp()
  mouse.move(1, 1)
  assert.deepEqual(sent(), [])
  assert.deepEqual(ask(0xf2), [0xfa, 0])
  assert.deepEqual(ask(0xf4), [0xfa])
  mouse.move(3, 5)
  assert.deepEqual(sent(), [0x28, 3, 0xfb], 'up is positive for it')
  mouse.move(-1, 0)
  mouse.move(-1, 0)
  assert.deepEqual(sent(), [], 'a hundredth of a second has not passed')
  clock.advance(10e6)
  assert.deepEqual(sent(), [0x18, 0xfe, 0])
  clock.advance(10e6)
  mouse.move(600, 0)
  const packets: number[][] = []
  for (let i = 0; i < 4; i++) {
    packets.push(sent())
    clock.advance(10e6)
  }
  assert.deepEqual(packets, [[8, 255, 0], [8, 255, 0], [8, 90, 0], []])
  mouse.button(0, true)
  mouse.button(0, false)
  mouse.button(1, true)
  clock.advance(50e6)
  assert.deepEqual(sent(), [9, 0, 0, 8, 0, 0, 10, 0, 0], 'a click is never lost')
})

test('IntelliMouse and Explorer answer their knocks', () => {
  const { clock, mouse, sent, ask } = setUp()
  const rates = (...values: number[]) => {
    for (const value of values) assert.deepEqual(ask(0xf3, value), [0xfa])
  }
  rates(200, 100, 80)
  assert.deepEqual(ask(0xf2), [0xfa, 3])
  ask(0xf4)
  mouse.move(0, 0, 1)
  assert.deepEqual(sent(), [8, 0, 0, 1], 'towards the user')
  rates(200, 200, 80)
  assert.deepEqual(ask(0xf2), [0xfa, 4])
  clock.advance(100e6)
  mouse.button(3, true)
  mouse.move(0, 0, -2)
  assert.deepEqual(sent(), [8, 0, 0, 0x10])
  clock.advance(100e6)
  assert.deepEqual(sent(), [8, 0, 0, 0x1e])
  assert.deepEqual(ask(0xf6, 0xf2), [0xfa, 4])
  assert.deepEqual(ask(0xff), [0xfa, 0xaa, 0])
  assert.deepEqual(ask(0xf2), [0xfa, 0])
})

test('remote mode, wrap mode, status, arguments that there are not', () => {
  const { mouse, sent, ask } = setUp()
  assert.deepEqual(ask(0xf0), [0xfa])
  mouse.move(2, 0)
  assert.deepEqual(sent(), [])
  assert.deepEqual(ask(0xeb), [0xfa, 8, 2, 0])
  assert.deepEqual(ask(0xee), [0xfa])
  assert.deepEqual(ask(0x42), [0x42])
  assert.deepEqual(ask(0xec), [0xfa])
  assert.deepEqual(ask(0xe8, 1), [0xfa])
  assert.deepEqual(ask(0xe7), [0xfa])
  mouse.button(2, true)
  assert.deepEqual(ask(0xe9), [0xfa, 0x52, 1, 100])
  assert.deepEqual(ask(0xf3, 33), [0xfe])
  assert.deepEqual(ask(40), [0xfa])
  assert.deepEqual(ask(0xea), [0xfa])
  assert.deepEqual(ask(0xaa), [0xfe])
})

test("VMware's pointer gives places to whoever knows the magic number", () => {
  let pokes = 0
  const pointer = new VmMouse(() => pokes++)
  const call = (command: number, argument = 0): number[] => {
    const registers: [number, number, number, number] = [0x564d5868, argument, command, 0x5658]
    assert.equal(pointer.call(registers), true)
    return registers
  }
  assert.equal(pointer.call([1, 2, 3, 4]), false)
  assert.equal(call(10)[1], 0x564d5868)
  assert.equal(call(40)[0], 0xffff0000)
  call(41, 0x45414552)
  assert.equal(call(40)[0], 1)
  assert.equal(call(39, 1)[0], 0x3442554a)
  assert.equal(pointer.listened, false)
  call(41, 0x53424152)
  assert.equal(pointer.listened, true)
  pointer.moveTo(0.25, 0.25)
  pointer.moveTo(0.5, 1)
  pointer.moveTo(0.5, 0.5)
  pointer.button(0, true)
  pointer.wheel(-1)
  assert.equal(call(40)[0], 16, 'motion that was not read yet is replaced')
  assert.deepEqual(call(39, 4), [0, 0x4000, 0x4000, 0])
  assert.ok(pokes > 0)
  for (let i = 0; i < 1000; i++) pointer.button(0, i % 2 === 0)
  assert.ok(pointer.state.words.length <= 256)
  assert.equal(call(39, 9)[0], 0xffff0000)
  assert.equal(pointer.listened, false, 'a driver out of step begins anew')
})
