import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSystem32 } from '../cpu/memory-access.ts'
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE } from '../cpu/registers.ts'
import { services } from '../cpu/services/index.ts'
import { CS, DS, ES, F, FS, GDTR, GS, IDTR, LDTR, RSP, SS, TR } from '../cpu/state.ts'
import { poke64, testVcpu } from '../cpu/test-vcpu.ts'
import type { Vcpu } from '../cpu/vcpu.ts'
import { randomSource } from '../isa/assembler.ts'
import { deliverLong } from './deliver-long.ts'
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

/** Everything in place; the choices come from `random`, so that two processors get the same from two equal sources. */
function prepare(cpu: Vcpu, random: Random): void {
  const { state } = cpu
  cpu.memory.ram.fill(0, 0, 0x20000)
  poke64(cpu, 0x1000, 0x2027n)
  poke64(cpu, 0x2000, 0x3027n)
  poke64(cpu, 0x3000, 0x4027n)
  for (let page = 0; page < 32; page++) poke64(cpu, 0x4000 + page * 8, BigInt((page << 12) | 0x63))
  for (const page of [0x14, 0x15]) poke64(cpu, 0x4000 + page * 8, BigInt((page << 12) | 0x67))
  pokeDescriptors(cpu, random, 'long')
  const offset = spoil(random, 0x15800n, 64)
  const attributes = spoil(random, random(2) ? 0x8e00n : 0x8f00n, 16)
  const gate = (offset & 0xffffn) | (BigInt(SYSTEM_CODE) << 16n) | (attributes << 32n) | ((offset & 0xffff0000n) << 32n)
  for (let vector = 0; vector < 32; vector++) {
    poke64(cpu, IDT + vector * 16, spoil(random, gate, 64))
    poke64(cpu, IDT + vector * 16 + 8, offset >> 32n)
  }
  for (let level = 0; level < 3; level++) {
    poke64(cpu, TSS + 4 + level * 8, spoil(random, BigInt(SYSTEM_STACK + 0xc00 + random(16)), 64))
  }
  state.set32(F.cr0, CR0_PE | CR0_PG)
  state.setHalves(F.cr3, 0x1000, 0)
  state.set32(F.cr4, CR4_PAE)
  state.set32(F.efer, EFER_LMA | EFER_LME | EFER_NXE)
  cpu.setDescriptorTable(GDTR, GDT, random(20) ? 0x3f : random(0x40))
  cpu.setDescriptorTable(IDTR, IDT, random(20) ? 0xfff : random(0x200))
  cpu.setSegment(TR, 0x38, TSS, random(20) ? 0x67 : random(16), 0x8b)
  cpu.setSegment(LDTR, 0, 0, 0, 0x10000)
  for (const index of [ES, DS, FS, GS]) {
    if (random(10)) cpu.setSegment(index, 0, index * 0x1000, 0, 0x10000)
    else cpu.setSegment(index, SYSTEM_DATA, index * 0x1000, 0xffffffff, random(2) ? 0xc0f3 : 0xc093)
  }
  const user = random(2) === 1
  cpu.setSegment(CS, user ? USER_CODE | 3 : SYSTEM_CODE, 0, 0xffffffff, user ? 0xa0fb : 0xa09b)
  cpu.setSegment(SS, user ? USER_DATA | 3 : SYSTEM_DATA, 0, 0xffffffff, user ? 0xc0f3 : 0xc093)
  state.set32(F.cpl, user ? 3 : 0)
  cpu.rflags = 2 | (random(0x1000) & 0x8d5) | (random(2) << 9) | (random(20) ? 0 : 1 << (8 + random(14)))
  for (let i = 0; i < 16; i++) state.setHalves(F.gpr, i * 0x1111, i, i)
  const stack = BigInt((user ? USER_STACK : SYSTEM_STACK) + 0x400 + random(0x100))
  state.set64(F.gpr, random(20) ? stack : spoil(random, 0x14008n, 64, 2), RSP)
  state.set64(F.rip, BigInt(CODE))
  cpu.nmiBlocked = random(10) === 0
  state.set32(F.dr, random(20) ? 0x400 : 0x10401, 7)
  cpu.debugRegistersChanged()
  // Pages that the processor reads itself are mostly in the TLB already, as in the long run.
  for (const place of [GDT, IDT, TSS, SYSTEM_STACK]) if (random(20)) readSystem32(cpu, place, 0)
}

test('exceptions through 64-bit gates: generated and in TypeScript', () => compareExceptions(deliverLong, prepare))

test('IRETQ from 64-bit code: generated and in TypeScript', () => {
  const random = randomSource(815)
  const plain = testVcpu().cpu
  const generated = new Interpreter(testVcpu().cpu)
  const cpus = [plain, generated.vcpu]
  let asked = 0
  const { interruptReturn } = services
  const { run } = interruptReturn
  const rounds = 1500
  try {
    for (let round = 0; round < rounds; round++) {
      const seed = random(0x7fffffff)
      const selector = random(2) ? USER_CODE | 3 : SYSTEM_CODE
      const stackSelector = selector & 3 ? (random(6) ? USER_DATA | 3 : 3) : random(3) ? SYSTEM_DATA : 0
      const frame = [
        random(10) ? 0x15900n : 0x15900n ^ (1n << BigInt(40 + random(24))),
        spoil(random, BigInt(selector), 16),
        spoil(random, 2n | BigInt(random(0x1000) & 0xcd5), 22),
        BigInt(random(0x10000)) * 0x12345n,
        spoil(random, BigInt(stackSelector), 16),
      ]
      for (const cpu of cpus) {
        cpu.reset()
        prepare(cpu, randomSource(seed))
        const { state } = cpu
        if (state.get32(F.cpl) === 0 && state.getHigh(F.gpr, RSP) === 0) {
          const at = state.get32(F.gpr, RSP)
          if (at < 0x16000) for (const [i, value] of frame.entries()) poke64(cpu, at + i * 8, value)
        }
        cpu.memory.write(CODE, new Uint8Array([0x48, 0xcf]))
      }
      generated.blocks.flush()
      asked++
      const counted = (cpu: Vcpu, ...values: number[]) => {
        asked--
        run(cpu, ...values)
      }
      Object.assign(interruptReturn, { run: counted })
      generated.run(1)
      Object.assign(interruptReturn, { run })
      // The same by hand.
      if (!(plain.rflags & 0x100)) {
        plain.state.set64(F.nextRip, BigInt(CODE + 2))
        interruptReturn.run(plain, 8)
        if (plain.state.get32(F.fault)) plain.deliverFault()
        const [a, b] = [visible(generated.vcpu), visible(plain)]
        // A trap flag that was loaded is the engine's matter.
        if (plain.rflags & 0x100 || generated.vcpu.rflags & 0x100) continue
        assert.deepEqual(a, b, `round ${round}`)
        assert.deepEqual(generated.memory.ram, plain.memory.ram)
      }
    }
  } finally {
    Object.assign(interruptReturn, { run })
  }
  assert.ok(asked > rounds / 8, `${asked} of ${rounds} took the fast way`)
})
