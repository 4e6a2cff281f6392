/** Instructions that lie across two pages, of which the second is now this frame and now that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F, RAX, RBX, RCX, RDI, RDX } from '../../cpu/state.ts'
import { enterLongMode, PAGE_TABLE, poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import { Translator } from '../translator/translator.ts'
import { Interpreter } from './interpreter.ts'

/** The frames behind the first, and the first one itself. */
const FIRST = 0x20000
const SECONDS = [0x30000, 0x31000, 0x32000]
/** Two bytes of MOV EAX, imm32 are in the first frame, three in the second; JMP RDX follows. */
const ACROSS = 0xffe
const mapped = (frame: number): bigint => BigInt(frame) | 3n

/** Long mode with 4 KiB pages, identity-mapped. The first frame is also at 40000h and 50000h, another second frame behind each. */
function pages(translates: boolean) {
  const { cpu } = testVcpu()
  enterLongMode(cpu, { pages: 256 })
  map(0x40000, FIRST)
  map(0x50000, FIRST)
  map(0x41000, SECONDS[0])
  map(0x51000, SECONDS[1])
  function map(page: number, frame: number): void {
    poke64(cpu, PAGE_TABLE + (page >> 12) * 8, mapped(frame))
  }
  cpu.memory.write(FIRST + ACROSS, Uint8Array.of(0xb8, 0x11))
  for (const [i, frame] of SECONDS.entries()) cpu.memory.write(frame, Uint8Array.of(0x10 + i, 0, 0, 0xff, 0xe2))
  const { state } = cpu
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1)
  cpu.memory.write(0x10000, Uint8Array.of(0xf4))
  cpu.setRegister(RDX, 0x10000)
  /** Runs from an address to HLT, and gives EAX. */
  const run = (rip: number): number => {
    cpu.rip = BigInt(rip)
    state.set32(F.halted, 0)
    cpu.setRegister(RAX, 0)
    assert.equal(engine.run(1000).kind, 'halt')
    return Number(cpu.register(RAX))
  }
  return { cpu, engine, run, map }
}

for (const translates of [false, true]) {
  const title = translates ? 'translator' : 'interpreter'

  test(`${title}: two aliases of the first page with different second pages, in turns`, () => {
    const { run } = pages(translates)
    for (let i = 0; i < 4; i++) {
      assert.equal(run(0x40000 + ACROSS), 0x1011)
      assert.equal(run(0x50000 + ACROSS), 0x1111)
    }
  })

  test(`${title}: two aliases within one run`, () => {
    const { cpu, run } = pages(translates)
    // lea ebx, [rax + rbx]; mov edx, 10000h; jmp rdi: back from the first alias, into the second.
    const code = [0x8d, 0x1c, 0x18, 0xba, 0x00, 0x00, 0x01, 0x00, 0xff, 0xe7]
    cpu.memory.write(0x11000, Uint8Array.from(code))
    for (let i = 1; i <= 3; i++) {
      cpu.setRegister(RBX, 0)
      cpu.setRegister(RDX, 0x11000)
      cpu.setRegister(RDI, 0x50000 + ACROSS)
      assert.equal(run(0x40000 + ACROSS), 0x1111)
      assert.equal(cpu.register(RBX), 0x1011n)
    }
  })

  test(`${title}: INVLPG of the second page shows what it was remapped to`, () => {
    const { cpu, run, map } = pages(translates)
    // mov [rdi], rax; invlpg [rbx]; jmp rcx
    cpu.memory.write(0x11000, Uint8Array.of(0x48, 0x89, 0x37, 0x0f, 0x01, 0x3b, 0xff, 0xe1))
    for (let i = 0; i < 6; i++) {
      const second = i % 3
      cpu.setRegister(6, mapped(SECONDS[second]))
      cpu.setRegister(RDI, PAGE_TABLE + 0x41 * 8)
      cpu.setRegister(RBX, 0x41000)
      cpu.setRegister(RCX, 0x40000 + ACROSS)
      assert.equal(run(0x11000), 0x1011 + second * 0x100)
      assert.equal(run(0x40000 + ACROSS), 0x1011 + second * 0x100)
    }
    map(0x41000, SECONDS[0])
  })

  test(`${title}: a second page that is no longer mapped faults, and is found again`, () => {
    const { cpu, engine, run } = pages(translates)
    assert.equal(run(0x40000 + ACROSS), 0x1011)
    poke64(cpu, PAGE_TABLE + 0x41 * 8, 0n)
    // invlpg [rbx]; jmp rcx
    cpu.memory.write(0x11000, Uint8Array.of(0x0f, 0x01, 0x3b, 0xff, 0xe1))
    cpu.setRegister(RBX, 0x41000)
    cpu.setRegister(RCX, 0x40000 + ACROSS)
    let faults = 0
    cpu.deliverFault = () => {
      faults++
      assert.equal(cpu.state.get32(F.faultVector), 14)
      assert.equal(cpu.state.get64(F.cr2), 0x41000n)
      assert.equal(cpu.rip, BigInt(0x40000 + ACROSS))
      cpu.state.set32(F.fault, 0)
      cpu.state.set32(F.halted, 1)
    }
    cpu.rip = 0x11000n
    cpu.state.set32(F.halted, 0)
    assert.equal(engine.run(1000).kind, 'halt')
    assert.equal(faults, 1)
    poke64(cpu, PAGE_TABLE + 0x41 * 8, mapped(SECONDS[2]))
    assert.equal(run(0x40000 + ACROSS), 0x1211)
  })

  test(`${title}: writes to either page are seen`, () => {
    const { cpu, run } = pages(translates)
    assert.equal(run(0x40000 + ACROSS), 0x1011)
    assert.equal(run(0x50000 + ACROSS), 0x1111)
    cpu.memory.write(SECONDS[0], Uint8Array.of(0x77))
    assert.equal(run(0x40000 + ACROSS), 0x7711)
    assert.equal(run(0x50000 + ACROSS), 0x1111)
    cpu.memory.write(FIRST + 0xfff, Uint8Array.of(0x66))
    assert.equal(run(0x40000 + ACROSS), 0x7766)
    assert.equal(run(0x50000 + ACROSS), 0x1166)
  })

  test(`${title}: more second frames than blocks are kept for`, () => {
    const { cpu, run, map } = pages(translates)
    const frames = Array.from({ length: 20 }, (_, i) => 0x80000 + i * 4096)
    frames.forEach((frame, i) => {
      cpu.memory.write(frame, Uint8Array.of(i, 0, 0, 0xff, 0xe2))
      map(0x60000 + i * 0x2000, FIRST)
      map(0x61000 + i * 0x2000, frame)
    })
    for (let round = 0; round < 2; round++) {
      for (const i of frames.keys()) assert.equal(run(0x60000 + i * 0x2000 + ACROSS), 0x11 + i * 0x100)
    }
  })
}
