/** Instructions at the limit of CS, and beyond it: #GP(0) when they are fetched (SDM vol. 3, 5.3 and table 6-2). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE, CR0_PG } from '../../cpu/registers.ts'
import { CS, DS, ES, F, RAX, RBX, SS, VM } from '../../cpu/state.ts'
import { testVcpu } from '../../cpu/test-vcpu.ts'
import { Translator } from '../translator/translator.ts'
import { Interpreter } from './interpreter.ts'

const BASE = 0x10000

interface Processor {
  readonly cpu: ReturnType<typeof testVcpu>['cpu']
  /** Runs from an offset until a fault or HLT. @returns vector, error code and RIP of the fault; RIP behind HLT */
  run(offset: number): { fault?: [vector: number, errorCode: number]; rip: number }
  setLimit(limit: number, base?: number): void
}

type Mode = 'real' | 'virtual-8086' | 'protected, 16 bits' | 'protected, 32 bits' | 'compatibility'

function processor(mode: Mode, translates: boolean): Processor {
  const { cpu } = testVcpu()
  const { state } = cpu
  const wide = mode === 'protected, 32 bits' || mode === 'compatibility'
  const attributes = mode === 'real' ? 0x93 : mode === 'virtual-8086' ? 0xf3 : wide ? 0x409b : 0x9b
  if (mode !== 'real') state.set32(F.cr0, CR0_PE)
  if (mode === 'compatibility') {
    // 1 GiB pages, of which the first is mapped.
    cpu.memory.writeNumber(0x1000, 4, 0x2003)
    cpu.memory.writeNumber(0x2000, 4, 0x83)
    state.set32(F.cr3, 0x1000)
    state.set32(F.cr4, 0x20)
    state.set32(F.cr0, CR0_PE | CR0_PG)
    state.set32(F.efer, 0x500)
  }
  for (const segment of [SS, DS, ES]) cpu.setSegment(segment, 0, 0, 0xffffffff, wide ? 0x4093 : 0x93)
  cpu.rflags = mode === 'virtual-8086' ? 2 | VM : 2
  if (mode === 'virtual-8086') state.set32(F.cpl, 3)
  const setLimit = (limit: number, base = BASE) => {
    cpu.setSegment(CS, base >> 4, base, limit, attributes)
    cpu.updateMode()
  }
  setLimit(0xffff)
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1)
  let fault: [number, number] | undefined
  cpu.deliverFault = () => {
    fault = [state.get32(F.faultVector), state.get32(F.faultErrorCode) | 0]
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  const run = (offset: number) => {
    fault = undefined
    cpu.rip = BigInt(offset)
    cpu.setRegister(RAX, 0)
    cpu.setRegister(RBX, 0)
    state.set32(F.halted, 0)
    state.set32(F.cpl, mode === 'virtual-8086' ? 3 : 0)
    assert.equal(engine.run(10000).kind, 'halt')
    return fault ? { fault, rip: Number(cpu.rip) } : { rip: Number(cpu.rip) }
  }
  return { cpu, run, setLimit }
}

const write = ({ cpu }: Processor, offset: number, ...code: number[]) =>
  cpu.memory.write(BASE + offset, Uint8Array.from(code))
const GP = [13, 0]
const INC_AX = [0xff, 0xc0]

for (const translates of [false, true]) {
  for (const mode of ['real', 'virtual-8086', 'protected, 16 bits', 'protected, 32 bits', 'compatibility'] as const) {
    const title = `${mode}, ${translates ? 'translator' : 'interpreter'}`

    test(`${title}: the instruction that crosses the limit, and the one behind it`, () => {
      const p = processor(mode, translates)
      write(p, 0xfff8, ...INC_AX, ...INC_AX, ...INC_AX, 0xff)
      write(p, 0xffff, 0xc0)
      // inc, inc, inc, and FF C0 of which both bytes are within the limit; the next would be beyond.
      assert.deepEqual(p.run(0xfff8), { fault: GP, rip: 0x10000 })
      assert.equal(p.cpu.register(RAX), 4n)
      p.setLimit(0xfffe)
      assert.deepEqual(p.run(0xfff8), { fault: GP, rip: 0xfffe })
      assert.equal(p.cpu.register(RAX), 3n)
      p.setLimit(0xfffd)
      assert.deepEqual(p.run(0xfff8), { fault: GP, rip: 0xfffe })
      assert.equal(p.cpu.register(RAX), 3n)
      p.setLimit(0xfff8)
      assert.deepEqual(p.run(0xfff8), { fault: GP, rip: 0xfff8 })
      assert.equal(p.cpu.register(RAX), 0n)
      p.setLimit(0xffff)
      assert.deepEqual(p.run(0xfff8), { fault: GP, rip: 0x10000 })
      assert.equal(p.cpu.register(RAX), 4n)
    })

    test(`${title}: the same bytes where another base makes the limit another`, () => {
      const p = processor(mode, translates)
      write(p, 0x1000, ...INC_AX, ...INC_AX, ...INC_AX, 0xf4)
      for (let i = 0; i < 3; i++) {
        p.setLimit(0x1003)
        assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1004 })
        assert.equal(p.cpu.register(RAX), 2n)
        p.setLimit(0x1003, BASE + 0x10)
        // HLT is privileged.
        assert.deepEqual(p.run(0xff0).fault, mode === 'virtual-8086' ? GP : undefined)
        assert.equal(p.cpu.register(RAX), 3n)
      }
    })

    test(`${title}: within the limit, no byte behind it matters`, () => {
      const p = processor(mode, translates)
      // Behind INC an opcode of two bytes that no instruction has.
      write(p, 0x1000, ...INC_AX, 0x0f, 0x04, 0x90)
      p.setLimit(0x1001)
      assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1002 })
      p.setLimit(0x1002)
      assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1002 })
      p.setLimit(0x1003)
      assert.deepEqual(p.run(0x1000), { fault: [6, -1], rip: 0x1002 })
      p.setLimit(0x1002)
      assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1002 })
    })

    test(`${title}: bytes rewritten in front of a limit`, () => {
      const p = processor(mode, translates)
      p.setLimit(0x1003)
      write(p, 0x1000, ...INC_AX, ...INC_AX, 0x90)
      p.run(0x1000)
      assert.equal(p.cpu.register(RAX), 2n)
      // inc bx
      write(p, 0x1002, 0xff, 0xc3)
      assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1004 })
      assert.equal(p.cpu.register(RAX), 1n)
      assert.equal(p.cpu.register(RBX), 1n)
    })
  }

  test(`the limit comes before the page fault, ${translates ? 'translator' : 'interpreter'}`, () => {
    const p = processor('protected, 32 bits', translates)
    // Only what lies below 11000h is mapped.
    for (let page = 0; page < 17; page++) p.cpu.memory.writeNumber(0x3000 + page * 4, 4, (page << 12) | 3)
    p.cpu.memory.writeNumber(0x2000, 4, 0x3003)
    p.cpu.state.set32(F.cr3, 0x2000)
    p.cpu.state.set32(F.cr0, CR0_PE | CR0_PG)
    // mov eax, imm32, of which two bytes are in the page
    write(p, 0xffe, 0xb8, 1)
    p.setLimit(0xfff)
    assert.deepEqual(p.run(0xffe), { fault: GP, rip: 0xffe })
    assert.deepEqual(p.run(0x1000), { fault: GP, rip: 0x1000 })
    p.setLimit(0x2000)
    assert.deepEqual(p.run(0xffe), { fault: [14, 0], rip: 0xffe })
    assert.deepEqual(p.run(0x1000), { fault: [14, 0], rip: 0x1000 })
  })
}
