/** Loops that hold on to pages, while these are mapped elsewhere, taken away, protected, copied or executed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_WP, CR4_PAE } from '../../cpu/registers.ts'
import { F, RAX, RBX, RCX, RDI, RDX, RSI } from '../../cpu/state.ts'
import { enterLongMode, PAGE_TABLE, peek64, poke64, TestMachine } from '../../cpu/test-vcpu.ts'
import { flushTlb } from '../../cpu/translation.ts'
import { Vcpu } from '../../cpu/vcpu.ts'
import { PhysicalMemory } from '../../memory/physical.ts'
import { Interpreter } from '../interpreter/interpreter.ts'
import { Translator } from './translator.ts'

const SIZE = 2 << 20
const OSFXSR_OSXMMEXCPT = 0x600
const R8 = 8
const CODE = 0x10000
/** Pages of data, each with a frame of its own at the same address. */
const A = 0x60000
const B = 0x61000
const C = 0x65000
const entryOf = (page: number) => PAGE_TABLE + (page >> 12) * 8

function guest(translates: boolean) {
  const memory = new PhysicalMemory(SIZE, 2 * SIZE)
  const cpu = new Vcpu(memory, new TestMachine())
  enterLongMode(cpu, { pages: 512, cr0: CR0_WP })
  const { state } = cpu
  const faults: { vector: number; address: bigint; rip: bigint }[] = []
  cpu.deliverFault = () => {
    faults.push({ vector: state.get32(F.faultVector), address: state.get64(F.cr2), rip: cpu.rip })
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1).alwaysCareful = true
  const write32 = (address: number, value: number) =>
    memory.write(address, new Uint8Array(Uint32Array.of(value).buffer))
  const set = (values: Readonly<Record<number, number | bigint>>) => {
    for (const [register, value] of Object.entries(values)) cpu.setRegister(Number(register), value as number)
  }
  /** Runs code to the HLT that is put behind it, or to a fault. */
  const run = (code: readonly number[], at = CODE) => {
    memory.write(at, Uint8Array.from([...code, 0xf4]))
    cpu.rip = BigInt(at)
    state.set32(F.halted, 0)
    assert.equal(engine.run(1_000_000).kind, 'halt')
  }
  return { memory, cpu, state, engine, run, write32, set, faults, read: (register: number) => cpu.register(register) }
}

/** A loop of RCX turns around code. */
const loop = (...body: number[]): number[] => [...body, 0x48, 0xff, 0xc9, 0x75, 256 - body.length - 5]
const cmpRcx = (turn: number) => [0x48, 0x83, 0xf9, turn]
const jne = (over: number[]) => [0x75, over.length, ...over]
/** mov [r8], rdx; invlpg [rbx]: what the entry of RBX's page becomes. */
const REMAP = [0x49, 0x89, 0x10, 0x0f, 0x01, 0x3b]
/** add eax, [rbx + 8]; add eax, [rbx + 16] */
const SUM = [0x03, 0x43, 0x08, 0x03, 0x43, 0x10]

for (const translates of [false, true]) {
  const title = translates ? 'translator' : 'interpreter'

  test(`${title}: a page that is mapped elsewhere within a loop`, () => {
    const { run, write32, set, read } = guest(translates)
    write32(A + 8, 1)
    write32(A + 16, 2)
    write32(C + 8, 1000)
    write32(C + 16, 2000)
    set({ [RAX]: 0, [RBX]: A, [RCX]: 20, [RDX]: C | 3, [R8]: entryOf(A) })
    run(loop(...SUM, ...cmpRcx(8), ...jne(REMAP)))
    assert.equal(read(RAX), 13n * 3n + 7n * 3000n)
  })

  test(`${title}: without INVLPG the old translation may stay, and the loop goes on`, () => {
    const { run, write32, set, read } = guest(translates)
    write32(A + 8, 1)
    write32(C + 8, 1000)
    set({ [RAX]: 0, [RBX]: A, [RCX]: 20, [RDX]: C | 3, [R8]: entryOf(A) })
    run(loop(...SUM, ...cmpRcx(8), ...jne([0x49, 0x89, 0x10])))
    assert.ok(read(RAX) >= 13n)
  })

  test(`${title}: a page that is taken away within a loop faults at its next access`, () => {
    const { run, set, read, faults } = guest(translates)
    set({ [RAX]: 0, [RBX]: A, [RCX]: 20, [RDX]: 0, [R8]: entryOf(A) })
    run(loop(...SUM, ...cmpRcx(8), ...jne(REMAP)))
    assert.deepEqual(faults, [{ vector: 14, address: BigInt(A + 8), rip: BigInt(CODE) }])
    assert.equal(read(RCX), 7n)
  })

  test(`${title}: a page that becomes read-only within a loop faults at its next write, not at reads`, () => {
    const { run, set, read, faults } = guest(translates)
    set({ [RAX]: 0, [RBX]: A, [RCX]: 20, [RDX]: A | 1, [R8]: entryOf(A) })
    // add eax, [rbx + 8]; inc dword [rbx + 8]
    run(loop(0x03, 0x43, 0x08, 0xff, 0x43, 0x08, ...cmpRcx(8), ...jne(REMAP)))
    assert.deepEqual(faults, [{ vector: 14, address: BigInt(A + 8), rip: BigInt(CODE + 3) }])
    assert.equal(read(RCX), 7n)
    assert.equal(read(RAX), BigInt((13 * 14) / 2))
  })

  test(`${title}: another address space within a loop`, () => {
    const { cpu, run, write32, set, read } = guest(translates)
    // A second set of tables in which A's page is C's frame.
    poke64(cpu, 0x5000, 0x6003n)
    poke64(cpu, 0x6000, 0x7003n)
    poke64(cpu, 0x7000, 0x8003n)
    for (let page = 0; page < 512; page++) poke64(cpu, 0x8000 + page * 8, BigInt(page * 4096) | 3n)
    poke64(cpu, 0x8000 + (A >> 12) * 8, BigInt(C) | 3n)
    write32(A + 8, 1)
    write32(C + 8, 1000)
    set({ [RAX]: 0, [RBX]: A, [RCX]: 20, [RDX]: 0x5000 })
    // mov cr3, rdx
    run(loop(...SUM, ...cmpRcx(8), ...jne([0x0f, 0x22, 0xda])))
    assert.equal(read(RAX), 13n + 7n * 1000n)
  })

  test(`${title}: a frame that is copied for a write is read where it is then`, () => {
    const { memory, run, write32, set, read } = guest(translates)
    write32(A + 8, 5)
    memory.shareFrames(A >> 12, B >> 12)
    set({ [RAX]: 0, [RBX]: B, [RSI]: B, [RCX]: 20, [RDX]: 7 })
    // On one turn mov [rsi + 8], edx: through another register than the one that reads.
    run(loop(...SUM, ...cmpRcx(8), ...jne([0x89, 0x56, 0x08])))
    assert.equal(read(RAX), 13n * 5n + 7n * 7n)
    assert.equal(memory.readNumber(A + 8, 4), 5)
    assert.equal(memory.readNumber(B + 8, 4), 7)
  })

  test(`${title}: a page table that is copied for an accessed bit is read where it is then`, () => {
    const { memory, run, set, read } = guest(translates)
    // On one turn mov edx, [rsi], which sets the accessed bit in what RBX reads.
    const code = loop(0x03, 0x43, 0x08, ...cmpRcx(8), ...jne([0x8b, 0x16]))
    // Accessed bits of everything else are set before the table's frame is shared.
    set({ [RBX]: entryOf(C) - 8, [RSI]: A, [RCX]: 20 })
    run(code)
    memory.shareFrames(PAGE_TABLE >> 12, B >> 12)
    set({ [RAX]: 0, [RBX]: entryOf(C) - 8, [RSI]: C, [RCX]: 20 })
    run(code)
    assert.equal(read(RAX), 20n * BigInt(C | 3) + 7n * 0x20n)
  })

  test(`${title}: a write through another address of the same frame is read`, () => {
    const { cpu, run, write32, set, read } = guest(translates)
    poke64(cpu, entryOf(B), BigInt(A) | 3n)
    write32(A + 8, 5)
    set({ [RAX]: 0, [RBX]: A, [RSI]: B, [RCX]: 20, [RDX]: 7 })
    run(loop(...SUM, ...cmpRcx(8), ...jne([0x89, 0x56, 0x08])))
    assert.equal(read(RAX), 13n * 5n + 7n * 7n)
  })

  test(`${title}: a loop that writes code in a page that it holds, and calls it`, () => {
    const { memory, run, set, read } = guest(translates)
    // mov edx, n; ret
    memory.write(A + 64, Uint8Array.of(0xba, 0, 0, 0, 0, 0xc3))
    set({ [RAX]: 0, [RBX]: A, [RCX]: 50, [RSI]: A + 64, 4: 0x9000 })
    // inc dword [rbx + 8]; mov [rbx + 65], ecx; call rsi; add eax, edx
    run(loop(0xff, 0x43, 0x08, 0x89, 0x4b, 65, 0xff, 0xd6, 0x01, 0xd0))
    assert.equal(read(RAX), BigInt((50 * 51) / 2))
    assert.equal(memory.readNumber(A + 8, 4), 50)
  })

  test(`${title}: a page is dirty once it is written, and not before`, () => {
    const { cpu, run, set } = guest(translates)
    const dirty = (page: number) => (peek64(cpu, entryOf(page)) & 0x40n) !== 0n
    set({ [RAX]: 0, [RBX]: A, [RSI]: A, [RCX]: 20, [RDX]: 7 })
    run(loop(...SUM, ...cmpRcx(30), ...jne([]), 0x90))
    assert.equal(dirty(A), false)
    set({ [RBX]: A, [RCX]: 20 })
    run(loop(...SUM, ...cmpRcx(8), ...jne([0x89, 0x53, 0x08])), CODE + 0x800)
    assert.equal(dirty(A), true)
    assert.equal(dirty(B), false)
  })

  test(`${title}: an address that is not canonical is #GP before any page is held, and after`, () => {
    for (const [first, expected] of [
      [0x8000000000000000n, 20n],
      [BigInt(A), 20n],
    ] as const) {
      const { run, set, read, faults } = guest(translates)
      set({ [RAX]: 0, [RBX]: first, [RCX]: 20, [RDX]: 0x8000000000000000n - 0x1000n })
      // add eax, [rbx + 8]; add rbx, rdx
      run(loop(0x03, 0x43, 0x08, 0x48, 0x01, 0xd3))
      assert.equal(faults.length, 1)
      assert.equal(faults[0].vector, 13)
      assert.equal(read(RCX), first === BigInt(A) ? 19n : expected)
    }
  })

  test(`${title}: misaligned MOVAPS is #GP in a page that is held`, () => {
    const { cpu, state, run, set, read, faults } = guest(translates)
    state.set32(F.cr4, CR4_PAE | OSFXSR_OSXMMEXCPT)
    cpu.updateMode()
    set({ [RBX]: A, [RCX]: 20 })
    // movaps xmm0, [rbx]; add rbx, 16; on one turn add rbx, 8
    run(loop(0x0f, 0x28, 0x03, 0x48, 0x83, 0xc3, 16, ...cmpRcx(8), ...jne([0x48, 0x83, 0xc3, 8])))
    assert.deepEqual(
      faults.map(({ vector }) => vector),
      [13],
    )
    assert.equal(read(RCX), 7n)
  })
}

let seed = 11
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

/** An access of 1, 2, 4, 8 or 16 bytes through RBX, RSI, RDI, or RBX + 4 RDX. */
function access(): number[] {
  const base = [RBX, RSI, RDI][random(3)]
  const displacement = [random(64), random(64), 200 + random(400), 4090 + random(16)][random(4)] - random(8)
  const bytes = [displacement & 255, (displacement >> 8) & 255, (displacement >> 16) & 255, (displacement >> 24) & 255]
  const modrm = random(4) === 0 ? [0x84, 0x93] : [0x80 | base]
  const opcode = [
    [0x02],
    [0x03],
    [0x66, 0x03],
    [0x48, 0x03],
    [0x88],
    [0x89],
    [0x48, 0x89],
    [0x00],
    [0x01],
    [0x48, 0x01],
    [0x0f, 0x10],
    [0x0f, 0x11],
    [0x66, 0x0f, 0xef],
  ]
  const chosen = opcode[random(random(3) === 0 ? 13 : 12)]
  return [...chosen, ...modrm, ...bytes]
}

/** Steps of a register in the midst of a loop. */
function step(): number[] {
  const base = [RBX, RSI, RDI][random(3)]
  switch (random(4)) {
    case 0:
      return [0x48, 0x81, 0xc0 | base, random(256), random(2), 0, 0]
    case 1:
      return [0x48, 0x83, 0xe8 | base, random(64)]
    case 2:
      return [0x48, 0xff, 0xc0 | base]
    default:
      return [0x83, 0xc0 | base, random(64)]
  }
}

test('random loops over pages whose frames lie anywhere, some of them not there: as the interpreter', () => {
  for (let round = 0; round < 30; round++) {
    const body: number[] = []
    const count = 3 + random(8)
    for (let i = 0; i < count; i++) body.push(...(random(3) === 0 ? step() : access()))
    const code = [...body, 0x48, 0xff, 0xc9, 0x0f, 0x85, ...new Uint8Array(Int32Array.of(-body.length - 9).buffer)]
    const state = seed
    const ends = [false, true].map(translates => {
      seed = state
      const { cpu, state: registers, memory, engine, set, faults } = guest(translates)
      registers.set32(F.cr4, CR4_PAE | OSFXSR_OSXMMEXCPT)
      cpu.updateMode()
      // Pages of data are shuffled frames; some are not there, or read-only.
      for (let page = 0x80; page < 0x1f0; page++) {
        const frame = 0x80 + ((page * 37) % 0x170)
        const bits = random(40) > 0 ? 3 : random(3) > 0 ? 1 : 0
        poke64(cpu, PAGE_TABLE + page * 8, BigInt(frame * 4096) | BigInt(bits))
        for (let i = 0; i < 4096; i += 512) poke64(cpu, frame * 4096 + i, BigInt(random(1 << 30)))
      }
      memory.write(CODE, Uint8Array.from([...code, 0xf4]))
      const at = () => 0x100000 + random(0x60000)
      set({ [RAX]: 1, [RBX]: at(), [RSI]: at(), [RDI]: at(), [RDX]: random(4000), [RCX]: 500 })
      cpu.rip = BigInt(CODE)
      const kinds: string[] = []
      for (let i = 0; i < 12 && !registers.get32(F.halted); i++) {
        kinds.push(engine.run(random(3000)).kind)
        const changed = PAGE_TABLE + (0x80 + random(0x170)) * 8
        poke64(cpu, changed, peek64(cpu, PAGE_TABLE + (0x80 + random(0x170)) * 8))
        flushTlb(cpu, false)
        if (random(4) === 0) cpu.setRegister(RBX, BigInt(at()))
      }
      const bytes = memory.read(0x80000, 0x170000)
      let hash = 0
      for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0
      const all = Array.from({ length: 16 }, (_, i) => cpu.register(i))
      return { kinds, hash, all, rip: cpu.rip, faults, rflags: cpu.rflags & 0x8d5 }
    })
    assert.deepEqual(ends[1], ends[0], `round ${round}: ${Buffer.from(body).toString('hex')}`)
  }
})
