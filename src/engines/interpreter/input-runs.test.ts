/** REP INS, whose elements come in one go where nobody notices, against elements read one by one in TypeScript. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_WP } from '../../cpu/registers.ts'
import { ES, F, RCX, RDI, RDX } from '../../cpu/state.ts'
import { enterLongMode, poke64, type TestMachine, testVcpu } from '../../cpu/test-vcpu.ts'
import type { Vcpu } from '../../cpu/vcpu.ts'
import { Interpreter } from './interpreter.ts'

const CODE = 0x10000
const PORT = 0x1f0
const NO_STORE = 0x55

/** Every byte that comes from the port is the next number. */
function numbered(machine: TestMachine, after: (reads: number) => void = () => {}) {
  const seen = { bytes: 0, reads: 0 }
  machine.readPort = (port, size) => {
    assert.equal(port, PORT)
    let value = 0
    for (let i = 0; i < size; i++) value += (seen.bytes++ % 251) * 2 ** (8 * i)
    after(++seen.reads)
    return value
  }
  return seen
}

/** What is in memory from a linear address on, when so many bytes have come. */
function expectBytes(cpu: Vcpu, at: (element: number) => number, size: number, elements: number, what: string) {
  for (let i = 0; i < elements * size; i++)
    assert.equal(cpu.memory.ram[at(Math.floor(i / size)) + (i % size)], i % 251, `${what}: byte ${i}`)
}

let seed = 7
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

/** Runs one REP INS to its end. @returns after how many instructions as they are counted */
function run(cpu: Vcpu, engine: Interpreter, end: number, most = 5000): number {
  let executed = 0
  while (Number(cpu.rip) !== end && executed < most) {
    engine.run(1)
    executed++
  }
  assert.equal(Number(cpu.rip), end)
  return executed
}

test('in long mode, upwards and downwards, within pages and across them', () => {
  const { cpu, machine } = testVcpu()
  enterLongMode(cpu)
  const engine = new Interpreter(cpu)
  for (let round = 0; round < 200; round++) {
    const size = [1, 2, 4][random(3)]
    const down = random(6) === 0
    const count = random(3) === 0 ? random(8) : random(1500)
    const to = (down ? 0x28000 : 0x20000) + random(0x1800)
    const code = [...(size === 2 ? [0x66] : []), 0xf3, size === 1 ? 0x6c : 0x6d, 0xf4]
    const at = CODE + round * 16
    cpu.memory.ram.fill(NO_STORE, 0x20000, 0x30000)
    cpu.memory.ram.set(code, at)
    cpu.state.set64(F.gpr, BigInt(PORT), RDX)
    cpu.state.set64(F.gpr, BigInt(count), RCX)
    cpu.state.set64(F.gpr, BigInt(to), RDI)
    cpu.rip = BigInt(at)
    cpu.rflags = down ? 0x402 : 2
    const seen = numbered(machine)
    const executed = run(cpu, engine, at + code.length - 1)
    const step = down ? -size : size
    const what = `round ${round}: ${count} of ${size} bytes to ${to.toString(16)}${down ? ' downwards' : ''}`
    assert.equal(seen.reads, count, what)
    assert.equal(cpu.state.get64(F.gpr, RCX), 0n, what)
    assert.equal(cpu.state.get64(F.gpr, RDI), BigInt(to + count * step), what)
    expectBytes(cpu, element => to + element * step, size, count, what)
    const before = down ? to + size : to - 1
    assert.equal(cpu.memory.ram[before], NO_STORE, what)
    if (!down) assert.equal(cpu.memory.ram[to + count * size], NO_STORE, what)
    if (!down && count > 100) assert.ok(executed < 20, `${what}: ${executed} instructions`)
  }
})

test('in real mode offsets go on at 0', () => {
  const { cpu, machine } = testVcpu()
  const engine = new Interpreter(cpu)
  for (const [offset, count, segment] of [
    [0x100, 256, 0x2000],
    [0xfff0, 256, 0x2000],
    [0xfe02, 255, 0x2001],
    [0xffe0, 16, 0x2000],
  ]) {
    cpu.memory.ram.fill(NO_STORE, 0x20000, 0x40000)
    cpu.memory.ram.set([0xf3, 0x6d, 0xf4], 0x500)
    cpu.setSegment(1, 0, 0, 0xffff, 0x9b)
    cpu.setSegment(ES, segment, segment * 16, 0xffff, 0x93)
    cpu.state.set64(F.gpr, BigInt(PORT), RDX)
    cpu.state.set64(F.gpr, BigInt(count), RCX)
    cpu.state.set64(F.gpr, BigInt(offset), RDI)
    cpu.rip = 0x500n
    cpu.rflags = 2
    const seen = numbered(machine)
    run(cpu, engine, 0x502)
    assert.equal(seen.reads, count)
    assert.equal(Number(cpu.state.get64(F.gpr, RDI)), (offset + 2 * count) & 0xffff)
    expectBytes(cpu, element => segment * 16 + ((offset + 2 * element) & 0xffff), 2, count, `to ${offset}`)
  }
})

test('an event ends it after the element that raised it', () => {
  const { cpu, machine } = testVcpu()
  enterLongMode(cpu)
  const engine = new Interpreter(cpu)
  cpu.memory.ram.set([0xf3, 0x6d, 0xf4], CODE)
  cpu.state.set64(F.gpr, BigInt(PORT), RDX)
  cpu.state.set64(F.gpr, 256n, RCX)
  cpu.state.set64(F.gpr, 0x20000n, RDI)
  cpu.rip = BigInt(CODE)
  const seen = numbered(machine, reads => {
    machine.stopRequested = reads === 100
  })
  assert.deepEqual(engine.run(1000), { kind: 'stopped' })
  assert.deepEqual([seen.reads, cpu.state.get64(F.gpr, RCX), cpu.state.get64(F.gpr, RDI)], [100, 156n, 0x20190n])
})

test('a page that must not be written faults before the port is read', () => {
  const { cpu, machine } = testVcpu()
  enterLongMode(cpu)
  const engine = new Interpreter(cpu)
  poke64(cpu, 0x3008, 0x4003n)
  poke64(cpu, 0x4000, 0x40003n)
  poke64(cpu, 0x4008, 0x41001n)
  cpu.state.set32(F.cr0, cpu.state.get32(F.cr0) | CR0_WP)
  cpu.memory.ram.set([0xf3, 0x6d, 0xf4], CODE)
  cpu.state.set64(F.gpr, BigInt(PORT), RDX)
  cpu.state.set64(F.gpr, 300n, RCX)
  cpu.state.set64(F.gpr, 0x200e00n, RDI)
  cpu.rip = BigInt(CODE)
  const seen = numbered(machine)
  for (let i = 0; i < 300 && cpu.state.get64(F.cr2) === 0n; i++) engine.run(1)
  assert.equal(cpu.state.get64(F.cr2), 0x201000n)
  assert.deepEqual([seen.reads, cpu.state.get64(F.gpr, RCX), cpu.state.get64(F.gpr, RDI)], [128, 172n, 0x201000n])
  assert.equal(cpu.memory.ram[0x41000], 0)
})

test('code that it overwrites is executed as it is then', () => {
  const { cpu, machine } = testVcpu()
  enterLongMode(cpu)
  const engine = new Interpreter(cpu)
  // The bytes behind it become HLTs; what was decoded there were INC EAX.
  cpu.memory.ram.set([0xf3, 0x6c, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0], CODE)
  machine.readPort = () => 0xf4
  cpu.state.set64(F.gpr, BigInt(PORT), RDX)
  cpu.state.set64(F.gpr, 10n, RCX)
  cpu.state.set64(F.gpr, BigInt(CODE + 2), RDI)
  cpu.rip = BigInt(CODE)
  assert.deepEqual(engine.run(100), { kind: 'halt' })
  assert.equal(cpu.rip, BigInt(CODE + 3))
})
