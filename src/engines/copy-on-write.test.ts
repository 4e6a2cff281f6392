/** Guest programs that write frames which others use too: each gets a copy, and nobody else sees the write. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F, RAX, RBX, RCX, RDI, RSI } from '../cpu/state.ts'
import { enterLongMode, PAGE_TABLE, peek64, poke64, TestMachine } from '../cpu/test-vcpu.ts'
import { flushTlb } from '../cpu/translation.ts'
import { Vcpu } from '../cpu/vcpu.ts'
import { ArenaFullError } from '../memory/arena.ts'
import { FRAME_WRITABLE, PhysicalMemory } from '../memory/physical.ts'
import { Interpreter } from './interpreter/interpreter.ts'
import { Translator } from './translator/translator.ts'

const SIZE = 1 << 20
const CODE = 0x10000
/** Frames that are shared, and what they are shared with. */
const A = 0x60000
const B = 0x61000
const C = 0x62000
const D = 0x80000
const number = (address: number) => address / 4096

/** Long mode with 4 KiB pages, identity-mapped, with B sharing A's frame and C sharing D's. */
function guest(translates: boolean, limit = 2 * SIZE) {
  const memory = new PhysicalMemory(SIZE, limit)
  const cpu = new Vcpu(memory, new TestMachine())
  enterLongMode(cpu, { pages: 256 })
  const { state } = cpu
  const engine = new Interpreter(cpu)
  if (translates) new Translator(engine, 1)
  memory.write(A, new Uint8Array(4096).fill(0xaa))
  memory.write(D, new Uint8Array(4096).fill(0xdd))
  memory.shareFrames(number(A), number(B))
  memory.shareFrames(number(D), number(C))
  /** Runs code to the HLT that is put behind it. */
  const run = (code: readonly number[], at = CODE) => {
    memory.write(at, Uint8Array.from([...code, 0xf4]))
    cpu.rip = BigInt(at)
    state.set32(F.halted, 0)
    assert.equal(engine.run(100_000).kind, 'halt')
  }
  const bytes = (address: number, length: number) => [...memory.read(address, length)]
  /** The frame still has what it had, in every byte. */
  const untouched = (address: number, value: number) => assert.ok(bytes(address, 4096).every(byte => byte === value))
  return { memory, cpu, engine, run, bytes, untouched }
}

for (const translates of [false, true]) {
  const title = translates ? 'translator' : 'interpreter'

  test(`${title}: a store copies the frame, once`, () => {
    const { memory, cpu, run, bytes, untouched } = guest(translates)
    assert.equal(memory.locate(A), memory.locate(B))
    cpu.setRegister(RBX, B)
    // Read first, so that the TLB knows the frame: mov al, [rbx]; mov byte [rbx + 8], 0x11; mov ah, [rbx + 8]
    run([0x8a, 0x03, 0xc6, 0x43, 0x08, 0x11, 0x8a, 0x63, 0x08])
    assert.equal(Number(cpu.register(RAX)) & 0xffff, 0x11aa)
    assert.deepEqual(bytes(B + 7, 3), [0xaa, 0x11, 0xaa])
    untouched(A, 0xaa)
    const own = memory.locate(B)
    assert.notEqual(own, memory.locate(A))
    // A loop: inc dword [rbx]; dec ecx; jnz
    cpu.setRegister(RCX, 1000)
    run([0xff, 0x03, 0xff, 0xc9, 0x75, 0xfa])
    assert.equal(memory.readNumber(B, 4), (0xaaaaaaaa + 1000) >>> 0)
    assert.equal(memory.locate(B), own)
    // The other one is alone now: its frame is its own without a copy.
    const before = memory.locate(A)
    cpu.setRegister(RBX, A)
    run([0xc6, 0x03, 0x22])
    assert.deepEqual(bytes(A, 2), [0x22, 0xaa])
    assert.equal(memory.locate(A), before)
  })

  test(`${title}: a store across a page boundary into two shared frames`, () => {
    const { cpu, run, bytes, untouched } = guest(translates)
    cpu.setRegister(RBX, B + 0xffc)
    cpu.setRegister(RAX, 0x8877665544332211n)
    run([0x48, 0x89, 0x03])
    assert.deepEqual(bytes(B + 0xffb, 10), [0xaa, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0xdd])
    untouched(A, 0xaa)
    untouched(D, 0xdd)
  })

  test(`${title}: locked operations`, () => {
    const { memory, cpu, run, untouched } = guest(translates)
    cpu.setRegister(RBX, B)
    cpu.setRegister(RAX, 0xaaaaaaaa)
    cpu.setRegister(RCX, 0x12345678)
    // lock cmpxchg [rbx], ecx; lock xadd [rbx + 4], ecx; xchg [rbx + 8], ecx; lock inc dword [rbx + 12]
    const code = [0xf0, 0x0f, 0xb1, 0x0b, 0xf0, 0x0f, 0xc1, 0x4b, 0x04, 0x87, 0x4b, 0x08, 0xf0, 0xff, 0x43, 0x0c]
    run(code)
    assert.equal(memory.readNumber(B, 4), 0x12345678)
    assert.equal(memory.readNumber(B + 4, 4), (0xaaaaaaaa + 0x12345678) >>> 0)
    assert.equal(memory.readNumber(B + 8, 4), 0xaaaaaaaa)
    assert.equal(memory.readNumber(B + 12, 4), 0xaaaaaaab)
    untouched(A, 0xaa)
  })

  test(`${title}: string stores over frames of which some are shared`, () => {
    const { cpu, run, bytes, untouched } = guest(translates)
    // rep stosb from the end of A's neighbour below to the middle of C
    cpu.setRegister(RDI, B - 16 + 0x1000 - 0x1000)
    cpu.setRegister(RCX, 0x1000 + 32)
    cpu.setRegister(RAX, 0x77)
    run([0xf3, 0xaa])
    assert.ok(bytes(B, 4096).every(byte => byte === 0x77))
    assert.deepEqual(bytes(C + 15, 2), [0x77, 0xdd])
    assert.deepEqual(bytes(A + 0xfef, 2), [0xaa, 0x77])
    untouched(D, 0xdd)
    // rep movsq into the other half of what is still shared
    const again = guest(translates)
    again.cpu.setRegister(RSI, D)
    again.cpu.setRegister(RDI, B + 0x800)
    again.cpu.setRegister(RCX, 0x100)
    again.run([0xf3, 0x48, 0xa5])
    assert.deepEqual(again.bytes(B + 0x7ff, 2), [0xaa, 0xdd])
    assert.equal(again.bytes(B + 0xfff, 1)[0], 0xdd)
    again.untouched(A, 0xaa)
    again.untouched(D, 0xdd)
  })

  test(`${title}: accessed and dirty bits of a page table that is shared`, () => {
    const { memory, cpu, run, untouched } = guest(translates)
    const OTHER = 0x90000
    // The tables above are accessed from here on.
    run([0x90])
    for (let page = 0; page < 256; page++) poke64(cpu, PAGE_TABLE + page * 8, BigInt(page * 4096) | 3n)
    flushTlb(cpu, false)
    memory.shareFrames(number(PAGE_TABLE), number(OTHER))
    const entry = PAGE_TABLE + (B >> 12) * 8
    assert.equal(peek64(cpu, entry) & 0x60n, 0n)
    cpu.setRegister(RBX, B)
    run([0x88, 0x03])
    assert.equal(peek64(cpu, entry) & 0x60n, 0x60n)
    for (let page = 0; page < 256; page++) assert.equal(peek64(cpu, OTHER + page * 8), BigInt(page * 4096) | 3n)
    untouched(A, 0xaa)
  })

  test(`${title}: code of a shared frame runs under both addresses, and changes under one`, () => {
    const { memory, cpu, run, untouched } = guest(translates)
    untouched(A, 0xaa)
    // mov eax, 1; jmp rbx — first in A, then as B.
    memory.write(A, Uint8Array.of(0xb8, 1, 0, 0, 0, 0xff, 0xe3))
    memory.shareFrames(number(A), number(B))
    const value = (at: number, code: readonly number[] = []) => {
      cpu.setRegister(RBX, CODE + 0x800)
      memory.write(CODE + 0x800, Uint8Array.of(0xf4))
      cpu.setRegister(RSI, at)
      run([...code, 0xff, 0xe6])
      return Number(cpu.register(RAX))
    }
    for (let i = 0; i < 3; i++) assert.deepEqual([value(A), value(B)], [1, 1])
    // mov byte [B + 1], 2
    const store = [0xc6, 0x04, 0x25, 0x01, 0x10, 0x06, 0x00, 2]
    assert.equal(value(B, store), 2)
    for (let i = 0; i < 3; i++) assert.deepEqual([value(A), value(B)], [1, 2])
    const storeA = [0xc6, 0x04, 0x25, 0x01, 0x00, 0x06, 0x00, 3]
    assert.deepEqual([value(A, storeA), value(B)], [3, 2])
    // What a frame held when another's contents took its place is run no more.
    memory.shareFrames(number(B), number(A))
    assert.deepEqual([value(A), value(B)], [2, 2])
  })

  test(`${title}: code that one frame was decoded from is seen changing in the frame that is left with it`, () => {
    const { memory, cpu, run } = guest(translates)
    // mov eax, 1; jmp rbx
    memory.write(A, Uint8Array.of(0xb8, 1, 0, 0, 0, 0xff, 0xe3))
    const value = (at: number) => {
      cpu.setRegister(RBX, CODE + 0x800)
      memory.write(CODE + 0x800, Uint8Array.of(0xf4))
      cpu.setRegister(RSI, at)
      run([0xff, 0xe6])
      return Number(cpu.register(RAX))
    }
    assert.equal(value(A), 1)
    memory.shareFrames(number(A), number(B))
    // Not a byte of the code: the copy is A's, what was decoded stays with B.
    memory.writeNumber(A + 0x100, 1, 0)
    assert.deepEqual([value(A), value(B)], [1, 1])
    cpu.setRegister(RSI, B)
    // mov byte [rsi + 1], 2
    run([0xc6, 0x46, 1, 2])
    assert.deepEqual([value(A), value(B)], [1, 2])
  })

  test(`${title}: a block in a shared frame that overwrites itself`, () => {
    const { memory, cpu, engine } = guest(translates)
    // mov byte [rip + 1], 9; mov eax, 1 (whose immediate it is); hlt
    const code = [0xc6, 0x05, 1, 0, 0, 0, 9, 0xb8, 1, 0, 0, 0, 0xf4]
    memory.write(A, Uint8Array.from(code))
    memory.shareFrames(number(A), number(B))
    cpu.rip = BigInt(B)
    assert.equal(engine.run(1000).kind, 'halt')
    assert.equal(Number(cpu.register(RAX)), 9)
    assert.equal(memory.readNumber(A + 8, 1), 1)
    assert.equal(memory.readNumber(B + 8, 1), 9)
  })

  test(`${title}: the arena grows for copies while what was is held`, () => {
    const { memory, cpu, run, bytes } = guest(translates, 4 * SIZE)
    const held = Array.from({ length: 0x60 }, (_, i) => memory.holdFrame(number(0xa0000) + i))
    const before = memory.ram
    cpu.setRegister(RDI, 0xa0000)
    cpu.setRegister(RCX, 0x60000 / 8)
    cpu.setRegister(RAX, 0x1122334455667788n)
    run([0xf3, 0x48, 0xab])
    // 96 copies less the two frames that sharing had freed do not fit the 16 pages of one growth.
    assert.ok(memory.ram.length > SIZE)
    assert.notEqual(memory.ram, before)
    assert.deepEqual(bytes(0xa0000, 4), [0x88, 0x77, 0x66, 0x55])
    assert.deepEqual(bytes(0xffffc, 4), [0x44, 0x33, 0x22, 0x11])
    for (const address of held) assert.equal(memory.ram[address], 0)
    // mov rax, [0xffff8] by the engine, after everything moved; inc of it.
    cpu.setRegister(RBX, 0xffff8)
    run([0x48, 0xff, 0x03, 0x48, 0x8b, 0x03])
    assert.equal(cpu.register(RAX), 0x1122334455667789n)
    const used = memory.arena.used
    for (const address of held) memory.releaseFrame(address)
    assert.equal(memory.arena.used, used - 0x60 * 4096)
  })

  test(`${title}: an arena that is full refuses the copy and changes nothing`, () => {
    const { memory, cpu, engine, untouched } = guest(translates, SIZE)
    // Two frames were freed by sharing: both are taken, then there is none.
    for (const page of [0xa0000, 0xa1000, 0xa2000]) memory.holdFrame(number(page))
    memory.writeNumber(0xa0000, 4, 1)
    memory.writeNumber(0xa1000, 4, 1)
    assert.throws(() => memory.writeNumber(0xa2000, 4, 1), ArenaFullError)
    assert.equal(memory.readNumber(0xa2000, 4), 0)
    memory.write(CODE, Uint8Array.of(0xc6, 0x03, 0x01, 0xf4))
    cpu.setRegister(RBX, B)
    cpu.rip = BigInt(CODE)
    assert.throws(() => engine.run(100), /arena of 1 MiB has no room for its copy/)
    untouched(A, 0xaa)
    untouched(B, 0xaa)
  })
}

test('writes of devices copy frames too', () => {
  const { memory, bytes, untouched } = guest(false)
  memory.write(B + 0xffe, Uint8Array.of(1, 2, 3, 4))
  assert.deepEqual(bytes(B + 0xffd, 6), [0xaa, 1, 2, 3, 4, 0xdd])
  untouched(A, 0xaa)
  untouched(D, 0xdd)
  memory.writeNumber(A + 4, 2, 0x1234)
  assert.equal(memory.readNumber(A + 4, 2), 0x1234)
  assert.equal(memory.readNumber(B + 4, 2), 0xaaaa)
})

test('three frames of one content, and holders', () => {
  const { memory, untouched } = guest(false)
  memory.shareFrames(number(A), number(C))
  const address = memory.holdFrame(number(A))
  assert.deepEqual([...memory.framesAt(address)].sort(), [number(A), number(B), number(C)])
  memory.writeNumber(A, 1, 1)
  memory.writeNumber(B, 1, 2)
  memory.writeNumber(C, 1, 3)
  assert.deepEqual(
    [A, B, C].map(frame => memory.readNumber(frame, 1)),
    [1, 2, 3],
  )
  assert.equal(memory.ram[address], 0xaa)
  assert.deepEqual(memory.framesAt(address), [])
  untouched(D, 0xdd)
  // D is alone since C left it.
  memory.writeNumber(D, 1, 4)
  assert.ok(memory.frames[number(D)] & FRAME_WRITABLE)
  memory.releaseFrame(address)
  memory.shareFrames(number(A), number(A))
  assert.throws(() => memory.shareFrames(number(A), number(SIZE)), RangeError)
  assert.throws(() => memory.holdFrame(5_000_000), RangeError)
})
