import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CS, F, RSP, SS } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import { Interpreter } from '../engines/interpreter/interpreter.ts'
import { Translator } from '../engines/translator/translator.ts'
import { NumericError } from './numeric-error.ts'
import { Pic8259 } from './pic8259.ts'
import { TestBus } from './test-bus.ts'

const CODE = 0x1000
const HANDLER = 0x3000
const STACK = 0x8000
const IRQ13 = 0x75
const CR0_NE = 0x20
const IF = 0x200
const HLT = 0xf4
/** FNINIT, FLDCW [2000h] (division by zero unmasked), FLD1, FLDZ, FDIVP: an error that waits. FNOP meets it, then INC BX. */
const DIVIDE = [0xdb, 0xe3, 0xd9, 0x2e, 0x00, 0x20, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9]
const FNOP = [0xd9, 0xd0]
const FWAIT = [0x9b]
/** PXOR MM0, MM0. */
const PXOR = [0x0f, 0xef, 0xc0]
const INC_BX = [0x43]
const FNCLEX = [0xdb, 0xe2]
const OUT_F0 = [0xe6, 0xf0]
/** MOV AL, 20h; OUT A0h, AL; OUT 20h, AL. */
const END_OF_INTERRUPT = [0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20]
const INC_DX = [0x42]
const IRET = [0xcf]

/** A PC in real mode as far as it matters here. */
function pc(translates: boolean, code: readonly number[], handler: readonly number[], cr0 = 0, connected = true) {
  const bus = new TestBus()
  const { cpu, machine } = testVcpu()
  const pic = new Pic8259(bus, { set: level => cpu.setInterruptRequest(level) })
  bus.interrupts = number => ({ set: level => pic.setLine(number, level) })
  for (const [port, vector, wiring] of [
    [0x20, 0x08, 4],
    [0xa0, 0x70, 2],
  ]) {
    for (const [register, value] of [
      [0, 0x11],
      [1, vector],
      [1, wiring],
      [1, 1],
      [1, 0],
    ])
      bus.out(port + register, value)
  }
  const device = new NumericError(bus, { onIgnore: () => cpu.ignoreNumericError() })
  machine.writePort = (port, size, value) => bus.out(port, value, size)
  machine.acknowledgeInterrupt = () => pic.acknowledge()
  // Without it the machine has no IRQ 13.
  if (connected) Object.assign(machine, { numericError: () => device.report() })
  cpu.reset()
  cpu.setSegment(CS, 0, 0, 0xffff, 0x93)
  cpu.setSegment(SS, 0, 0, 0xffff, 0x93)
  cpu.state.set32(F.cr0, cr0)
  cpu.memory.writeNumber(IRQ13 * 4, 2, HANDLER)
  cpu.memory.write(CODE, Uint8Array.from(code))
  cpu.memory.write(HANDLER, Uint8Array.from(handler))
  cpu.memory.writeNumber(0x2000, 2, 0x37b)
  cpu.setRegister(RSP, STACK)
  cpu.rip = BigInt(CODE)
  cpu.rflags = 2 | IF
  cpu.updateMode()
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1)
  return { cpu, device, engine, pic }
}

for (const translates of [false, true]) {
  const on = translates ? 'translator' : 'interpreter'

  for (const [name, waiting] of Object.entries({ FNOP, FWAIT, PXOR })) {
    test(`${on}: an x87 error comes as IRQ 13 in front of ${name}`, () => {
      const code = [...DIVIDE, ...waiting, ...INC_BX, HLT]
      const { cpu, device, engine } = pc(translates, code, [
        ...OUT_F0,
        ...FNCLEX,
        ...END_OF_INTERRUPT,
        ...INC_DX,
        ...IRET,
      ])
      cpu.setRegister(2, 0)
      assert.equal(engine.run(100).kind, 'halt')
      assert.equal(cpu.rip, BigInt(CODE + code.length))
      assert.equal(cpu.register(3), 1n)
      assert.equal(cpu.register(2), 1n)
      assert.equal(device.state.request, false)
      // Where the handler returned to.
      assert.equal(cpu.memory.readNumber(STACK - 6, 2), CODE + DIVIDE.length)
    })
  }

  test(`${on}: the handler may use the x87 after a write to port F0h, until the error is cleared`, () => {
    // FXCH and FNOP wait, and pass. Behind FNCLEX another error is reported anew.
    const fxch = [0xd9, 0xc9]
    const handler = [...OUT_F0, ...fxch, ...FNOP, ...FNCLEX, ...END_OF_INTERRUPT, ...INC_DX, ...IRET]
    const code = [...DIVIDE, ...FNOP, ...DIVIDE, ...FNOP, ...INC_BX, HLT]
    const { cpu, engine } = pc(translates, code, handler)
    cpu.setRegister(2, 0)
    assert.equal(engine.run(200).kind, 'halt')
    assert.equal(cpu.register(3), 1n)
    assert.equal(cpu.register(2), 2n)
    assert.equal(cpu.memory.readNumber(STACK - 6, 2), CODE + DIVIDE.length * 2 + FNOP.length)
  })

  test(`${on}: with interrupts off it waits, and so does one whose handler cleared nothing`, () => {
    const code = [...DIVIDE, ...FNOP, ...INC_BX, HLT]
    const { cpu, device, engine, pic } = pc(translates, code, [...END_OF_INTERRUPT, ...INC_DX, ...IRET])
    cpu.rflags = 2
    assert.equal(engine.run(100).kind, 'halt')
    assert.equal(cpu.rip, BigInt(CODE + DIVIDE.length))
    assert.equal(device.state.request, true)
    assert.equal(pic.output, true)
    cpu.rflags = 2 | IF
    cpu.setRegister(2, 0)
    assert.equal(engine.run(100).kind, 'halt')
    assert.equal(cpu.register(2), 1n)
    assert.equal(cpu.rip, BigInt(CODE + DIVIDE.length))
  })

  test(`${on}: CR0.NE makes it exception 16, and port F0h does nothing without an error`, () => {
    const code = [...OUT_F0, ...DIVIDE, ...FNOP, ...INC_BX, HLT]
    const { cpu, device, engine } = pc(translates, code, [HLT], CR0_NE)
    cpu.memory.writeNumber(16 * 4, 2, 0x4000)
    cpu.memory.write(0x4000, Uint8Array.of(HLT))
    assert.equal(engine.run(100).kind, 'halt')
    assert.equal(cpu.rip, 0x4001n)
    assert.equal(device.state.request, false)
    const without = pc(translates, code, [HLT])
    assert.equal(without.engine.run(100).kind, 'halt')
    assert.equal(without.cpu.rip, BigInt(HANDLER + 1))
  })
}

test('a machine without IRQ 13 ignores the error', () => {
  const code = [...DIVIDE, ...FNOP, ...INC_BX, HLT]
  const { cpu, engine } = pc(false, code, [HLT], 0, false)
  assert.equal(engine.run(100).kind, 'halt')
  assert.equal(cpu.rip, BigInt(CODE + code.length))
})
