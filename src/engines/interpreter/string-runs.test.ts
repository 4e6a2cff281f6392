/** REP SCAS and CMPS over buffers that are much alike, against elements compared one by one in TypeScript. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ENTRY_ACCESSED, ENTRY_DIRTY } from '../../cpu/paging.ts'
import { CR0_WP } from '../../cpu/registers.ts'
import { CF, F, RAX, RCX, RDI, RSI, ZF } from '../../cpu/state.ts'
import { enterLongMode, poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import { Interpreter } from './interpreter.ts'

const CODE = 0x10000
const FIRST = 0x20000
const SECOND = 0x30000
const LENGTH = 0x3000

/** Long mode, the first 2 MiB mapped one to one. */
function processor() {
  const { cpu } = testVcpu()
  enterLongMode(cpu)
  return { cpu, engine: new Interpreter(cpu) }
}

let seed = 1
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

for (const [name, opcode] of [
  ['SCAS', 0xae],
  ['CMPS', 0xa6],
] as const) {
  for (const rep of [0xf2, 0xf3]) {
    test(`${rep === 0xf2 ? 'REPNE' : 'REPE'} ${name}`, () => {
      const { cpu, engine } = processor()
      const { ram } = cpu.memory
      for (let round = 0; round < 300; round++) {
        const log = random(4)
        const size = 1 << log
        const common = random(2)
        // Mostly elements that let it go on: for REPE all alike, for REPNE all different.
        for (let i = 0; i < LENGTH; i++) {
          ram[FIRST + i] = common
          ram[SECOND + i] = rep === 0xf3 ? common : common ^ 0xff
        }
        for (let n = random(3); n > 0; n--) {
          const at = random(2000) & -size
          for (let i = 0; i < size; i++) ram[SECOND + at + i] ^= 0xff
        }
        const down = random(8) === 0
        const from = down ? 1500 & -size : random(600)
        const to = down ? 1500 & -size : random(600) & -size
        const counter = random(3) === 0 ? random(40) : random(1200)
        const prefix = log === 1 ? [0x66] : []
        const code = [...prefix, rep, ...(log === 3 ? [0x48] : []), opcode + (log ? 1 : 0), 0xf4]
        ram.set(code, CODE + round * 16)
        const accumulator = new Uint8Array(8).fill(common)
        const value = new DataView(accumulator.buffer).getBigUint64(0, true)
        const registers: [number, bigint][] = [
          [RAX, value],
          [RCX, BigInt(counter)],
          [RSI, BigInt(FIRST + from)],
          [RDI, BigInt(SECOND + to)],
        ]
        for (const [register, content] of registers) cpu.state.set64(F.gpr, content, register)
        cpu.rip = BigInt(CODE + round * 16)
        cpu.rflags = down ? 0x402 : 2
        const end = CODE + round * 16 + code.length - 1
        for (let i = 0; i < 100 && Number(cpu.rip) !== end; i++) engine.run(1)
        let left = counter
        let distance = 0
        const read = (at: number) => {
          let result = 0n
          for (let i = size - 1; i >= 0; i--) result = (result << 8n) | BigInt(ram[at + i])
          return result
        }
        const [carry, zero] = [CF, ZF]
        let flags = 0
        while (left > 0) {
          const a = name === 'SCAS' ? BigInt.asUintN(8 * size, value) : read(FIRST + from + distance)
          const b = read(SECOND + to + distance)
          flags = (a < b ? carry : 0) | (a === b ? zero : 0)
          distance += down ? -size : size
          left--
          if ((a === b) !== (rep === 0xf3)) break
        }
        const what = `round ${round}: ${code} count ${counter} from ${from} to ${to}`
        assert.equal(cpu.state.get64(F.gpr, RCX), BigInt(left), what)
        assert.equal(cpu.state.get64(F.gpr, RDI), BigInt(SECOND + to + distance), what)
        const source = name === 'SCAS' ? 0 : distance
        assert.equal(cpu.state.get64(F.gpr, RSI), BigInt(FIRST + from + source), what)
        if (counter > 0) assert.equal(cpu.rflags & (carry | zero), flags, what)
      }
    })
  }
}

/** One REP MOVSB or STOSB in pages that are not in the TLB. Its first fault ends the processor: there is no handler. */
function runCold(opcode: number, registers: readonly (readonly [number, number])[]) {
  const { cpu, engine } = processor()
  const { ram } = cpu.memory
  const table = 0x4000
  poke64(cpu, 0x3008, BigInt(table) | 3n)
  // Source pages 0 and 1, of which the second is not there; destination pages 2 and 3, of which the second is read-only.
  for (const [page, entry] of [0x40001n, 0n, 0x50003n, 0x51001n].entries()) poke64(cpu, table + 8 * page, entry)
  cpu.state.set32(F.cr0, cpu.state.get32(F.cr0) | CR0_WP)
  for (let i = 0; i < 0x1000; i++) ram[0x40000 + i] = i % 251
  ram.set([0xf3, opcode, 0xf4], CODE)
  for (const [register, content] of registers) cpu.state.set64(F.gpr, BigInt(content), register)
  cpu.rip = BigInt(CODE)
  for (let i = 0; i < 10 && cpu.state.get64(F.cr2) === 0n; i++) engine.run(1)
  const [left, from, to] = [RCX, RSI, RDI].map(register => Number(cpu.state.get64(F.gpr, register)))
  const flags = [0, 1, 2, 3].map(page => ram[table + 8 * page] & (ENTRY_ACCESSED | ENTRY_DIRTY))
  return { ram, left, from, to, fault: Number(cpu.state.get64(F.cr2)), flags }
}

test('REP MOVS and STOS whose pages are not in the TLB: what faults, what is dirty, what is left to do', () => {
  const pages = [0, 1, 2, 3].map(page => 0x200000 + page * 0x1000)
  const [accessed, written] = [ENTRY_ACCESSED, ENTRY_ACCESSED | ENTRY_DIRTY]
  // The source is not there from its first element on: nothing is written, and nothing is dirty.
  const gone = runCold(0xa4, [
    [RCX, 100],
    [RSI, pages[1]],
    [RDI, pages[2]],
  ])
  assert.deepEqual([gone.left, gone.from, gone.to, gone.fault], [100, pages[1], pages[2], pages[1]])
  assert.deepEqual(gone.flags, [0, 0, 0, 0])
  // 100 bytes are before the end of the destination's page; the next page is not to be written.
  const copied = runCold(0xa4, [
    [RCX, 300],
    [RSI, pages[0] + 0x10],
    [RDI, pages[3] - 100],
  ])
  assert.deepEqual([copied.left, copied.from, copied.to, copied.fault], [200, pages[0] + 0x74, pages[3], pages[3]])
  assert.deepEqual(copied.ram.subarray(0x51000 - 100, 0x51000), copied.ram.subarray(0x40010, 0x40010 + 100))
  assert.equal(copied.ram[0x51000], 0)
  assert.deepEqual(copied.flags.slice(0, 3), [accessed, 0, written])
  assert.equal(copied.flags[3] & ENTRY_DIRTY, 0)
  const filled = runCold(0xaa, [
    [RAX, 0x77],
    [RCX, 4096 + 5],
    [RDI, pages[2]],
  ])
  assert.deepEqual([filled.left, filled.to, filled.fault], [5, pages[3], pages[3]])
  assert.ok(filled.ram.subarray(0x50000, 0x51000).every(byte => byte === 0x77))
})
