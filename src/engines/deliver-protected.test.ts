/** Interrupts, exceptions and IRETD of flat 32-bit code: generated, against the same in TypeScript. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSystem32 } from '../cpu/memory-access.ts'
import { CR0_PE, CR0_PG } from '../cpu/registers.ts'
import { services } from '../cpu/services/index.ts'
import { CS, DS, ES, F, FS, GDTR, GS, IDTR, LDTR, RSP, SS, TR } from '../cpu/state.ts'
import { poke64, testVcpu } from '../cpu/test-vcpu.ts'
import type { Vcpu } from '../cpu/vcpu.ts'
import { randomSource } from '../isa/assembler.ts'
import { deliverProtected } from './deliver-protected.ts'
import { Interpreter } from './interpreter/interpreter.ts'
import {
  CODE,
  compareExceptions,
  GDT,
  IDT,
  pokeDescriptors,
  type Random,
  SYSTEM_CODE,
  SYSTEM_DATA,
  SYSTEM_STACK,
  spoil,
  TSS,
  USER_CODE,
  USER_DATA,
  USER_STACK,
  visible,
} from './test-delivery.ts'
import { Translator } from './translator/translator.ts'

function poke32(cpu: Vcpu, address: number, value: number): void {
  new DataView(cpu.memory.ram.buffer, cpu.memory.ram.byteOffset).setUint32(address, value, true)
}

/** Everything in place; the choices come from `random`, so that two processors get the same from two equal sources. */
function prepare(cpu: Vcpu, random: Random): void {
  const { state } = cpu
  cpu.memory.ram.fill(0, 0, 0x20000)
  poke32(cpu, 0x1000, 0x2027)
  for (let page = 0; page < 32; page++) poke32(cpu, 0x2000 + page * 4, (page << 12) | 0x63)
  for (const page of [0x14, 0x15]) poke32(cpu, 0x2000 + page * 4, (page << 12) | 0x67)
  pokeDescriptors(cpu, random, 'protected')
  const attributes = [0x8e00n, 0x8f00n, 0xee00n, 0xef00n][random(4)]
  for (let vector = 0; vector < 32; vector++) {
    const gate = 0x5800n | (BigInt(SYSTEM_CODE) << 16n) | (attributes << 32n) | (0x1n << 48n)
    poke64(cpu, IDT + vector * 8, spoil(random, gate, 64))
  }
  const pointer = SYSTEM_STACK + (random(3) ? 0x1000 : 0xc00 + random(0x400))
  poke64(cpu, TSS + 4, spoil(random, BigInt(pointer) | (BigInt(SYSTEM_DATA) << 32n), 48))
  state.set32(F.cr0, CR0_PE | CR0_PG)
  state.setHalves(F.cr3, 0x1000, 0)
  state.set32(F.cr4, 0)
  cpu.setDescriptorTable(GDTR, GDT, random(20) ? 0x3f : random(0x40))
  cpu.setDescriptorTable(IDTR, IDT, random(20) ? 0xff : random(0x100))
  cpu.setSegment(TR, 0x38, TSS, random(20) ? 0x67 : random(16), random(20) ? 0x8b : 0x83)
  cpu.setSegment(LDTR, 0, 0, 0, 0x10000)
  const user = random(2) === 1
  for (const index of [ES, DS, FS, GS]) {
    if (random(30) === 0) cpu.setSegment(index, 0, 0, 0, 0x10000)
    else cpu.setSegment(index, USER_DATA | 3, 0, 0xffffffff, random(30) ? 0xc0f3 : 0xc093)
  }
  cpu.setSegment(CS, user ? USER_CODE | 3 : SYSTEM_CODE, 0, 0xffffffff, user ? 0xc0fb : 0xc09b)
  cpu.setSegment(SS, user ? USER_DATA | 3 : SYSTEM_DATA, 0, random(30) ? 0xffffffff : 0xffff, user ? 0xc0f3 : 0xc093)
  state.set32(F.cpl, user ? 3 : 0)
  cpu.rflags = 2 | (random(0x1000) & 0x8d5) | (random(2) << 9) | (random(20) ? 0 : 1 << (8 + random(9)))
  for (let i = 0; i < 8; i++) state.setHalves(F.gpr, i * 0x1111, 0)
  const stack = BigInt((user ? USER_STACK : SYSTEM_STACK) + 0x400 + random(0x100) * 4)
  state.set64(F.gpr, BigInt.asUintN(32, random(20) ? stack : spoil(random, 0x14008n, 32, 2)), RSP)
  state.set64(F.rip, BigInt(CODE))
  cpu.nmiBlocked = random(10) === 0
  state.set32(F.dr, random(20) ? 0x400 : 0x10401, 7)
  cpu.updateMode()
  cpu.debugRegistersChanged()
  // Pages that the processor reads itself are mostly in the TLB already, as in the long run.
  for (const place of [GDT, IDT, TSS, SYSTEM_STACK]) if (random(20)) readSystem32(cpu, place, 0)
}

test('exceptions through 32-bit gates', () => compareExceptions(deliverProtected, prepare))

/** Executes one instruction at CODE by the interpreter, and by hand by the service in its place. @returns how often the service was not asked */
function compare(
  name: 'interruptByNumber' | 'interruptReturn' | 'systemEnter' | 'systemExit' | 'loadSegment',
  bytes: readonly number[],
  values: readonly number[],
  rounds: number,
  frame: (cpu: Vcpu, random: Random) => void,
): number {
  const random = randomSource(815)
  const plain = testVcpu().cpu
  const generated = new Interpreter(testVcpu().cpu)
  const service = services[name]
  const { run } = service
  let fast = 0
  try {
    for (let round = 0; round < rounds; round++) {
      const seed = random(0x7fffffff)
      for (const cpu of [plain, generated.vcpu]) {
        cpu.reset()
        const source = randomSource(seed)
        prepare(cpu, source)
        frame(cpu, source)
        cpu.memory.write(CODE, Uint8Array.from(bytes))
      }
      generated.blocks.flush()
      fast++
      const counted = (cpu: Vcpu, ...values: number[]) => {
        fast--
        run(cpu, ...values)
      }
      Object.assign(service, { run: counted })
      generated.run(1)
      Object.assign(service, { run })
      if (plain.rflags & 0x100) continue
      plain.state.set64(F.nextRip, BigInt(CODE + bytes.length))
      if (name === 'loadSegment') plain.state.set64(F.rip, BigInt(CODE + bytes.length))
      run(plain, ...values)
      if (name === 'loadSegment' && plain.state.get32(F.fault)) plain.state.set64(F.rip, BigInt(CODE))
      if (plain.state.get32(F.fault)) plain.deliverFault()
      // A trap flag that was loaded is the engine's matter.
      if (plain.rflags & 0x100 || generated.vcpu.rflags & 0x100) continue
      assert.deepEqual(visible(generated.vcpu), visible(plain), `round ${round}`)
      assert.deepEqual(generated.memory.ram, plain.memory.ram, `round ${round}`)
    }
  } finally {
    Object.assign(service, { run })
  }
  return fast
}

test('INT in 32-bit code', () => {
  const rounds = 1500
  const fast = compare('interruptByNumber', [0xcd, 0x14], [0x14], rounds, () => {})
  assert.ok(fast > rounds / 5, `${fast} of ${rounds} took the fast way`)
})

test('what changes the stack in the same region is seen by what enters the system and leaves it', () => {
  for (const [name, bytes] of Object.entries({
    INT: [0x51, 0x50, 0xcd, 0x14],
    IRETD: [0x5a, 0x52, 0x51, 0x59, 0xcf],
    SYSENTER: [0x51, 0x0f, 0x34],
    SYSEXIT: [0x54, 0x59, 0x0f, 0x35],
  })) {
    const random = randomSource(42)
    const plain = new Interpreter(testVcpu().cpu)
    const translated = new Interpreter(testVcpu().cpu)
    const translator = new Translator(translated, 1)
    const engines = [plain, translated]
    for (let round = 0; round < 400; round++) {
      const seed = random(0x7fffffff)
      for (const { vcpu, blocks } of engines) {
        vcpu.reset()
        const source = randomSource(seed)
        prepare(vcpu, source)
        setFastCalls(vcpu, source)
        vcpu.memory.write(CODE, Uint8Array.from(bytes))
        blocks.flush()
      }
      const counts = engines.map(engine => engine.run(name === 'IRETD' ? 5 : name === 'SYSENTER' ? 2 : 3))
      assert.deepEqual(counts[1], counts[0])
      const [expected, seen] = engines.map(({ vcpu }) => visible(vcpu))
      assert.deepEqual(seen, expected, `${name}, round ${round}`)
      assert.deepEqual(translated.memory.ram, plain.memory.ram, `${name}, round ${round}`)
    }
    assert.ok(translator.statistics.regions > 200, `${name}: ${translator.statistics.regions} regions`)
  }
})

test('IRETD in 32-bit code', () => {
  const rounds = 1500
  const fast = compare('interruptReturn', [0xcf], [4], rounds, (cpu, random) => {
    const selector = random(2) ? USER_CODE | 3 : SYSTEM_CODE
    const words = [
      spoil(random, 0x15900n, 32),
      spoil(random, BigInt(selector), 16),
      spoil(random, 2n | BigInt(random(0x1000) & 0xcd5), 22),
      BigInt(random(0x10000)) * 0x1234n,
      spoil(random, BigInt(USER_DATA | 3), 16),
    ]
    const at = cpu.state.get32(F.gpr, RSP)
    if (cpu.state.get32(F.cpl) === 0 && at < 0x16000)
      for (const [i, value] of words.entries()) poke32(cpu, at + i * 4, Number(BigInt.asUintN(32, value)))
  })
  assert.ok(fast > rounds / 8, `${fast} of ${rounds} took the fast way`)
})

/** SYSENTER's registers; its selectors are those of {@link DESCRIPTORS}. */
function setFastCalls(cpu: Vcpu, random: Random): void {
  cpu.state.set64(F.sysenterCs, BigInt(random(10) ? SYSTEM_CODE : random(4)))
  cpu.state.set64(F.sysenterEip, 0x15a00n)
  cpu.state.set64(F.sysenterEsp, BigInt(SYSTEM_STACK + random(0x1000)))
}

test('SYSENTER in 32-bit code', () => {
  const rounds = 1000
  const fast = compare('systemEnter', [0x0f, 0x34], [], rounds, setFastCalls)
  assert.ok(fast > rounds / 4, `${fast} of ${rounds} took the fast way`)
})

test('SYSEXIT in 32-bit code', () => {
  const rounds = 1000
  const fast = compare('systemExit', [0x0f, 0x35], [4], rounds, setFastCalls)
  assert.ok(fast > rounds / 8, `${fast} of ${rounds} took the fast way`)
})

test('segment registers in 32-bit code', () => {
  for (const [index, modrm] of [
    [ES, 0xc0],
    [SS, 0xd0],
    [DS, 0xd8],
    [FS, 0xe0],
    [GS, 0xe8],
  ]) {
    for (const selector of [0, 3, SYSTEM_DATA, USER_DATA, USER_DATA | 3, USER_CODE | 3, 0x28 | 3, 0x2c]) {
      const rounds = 120
      const fast = compare('loadSegment', [0x8e, modrm], [index, selector], rounds, (cpu, random) => {
        // One with a base.
        poke64(cpu, GDT + 0x28, spoil(random, 0x12cff334_5678ffffn, 64, 5))
        cpu.state.set64(F.gpr, BigInt(selector), 0)
      })
      if (selector === (USER_DATA | 3) && index !== SS)
        assert.ok(fast > rounds / 4, `${fast} of ${rounds} took the fast way`)
    }
  }
})
