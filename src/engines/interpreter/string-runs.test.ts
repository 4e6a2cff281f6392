/** REP SCAS and CMPS over buffers that are much alike, against elements compared one by one in TypeScript. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from '../../cpu/registers.ts'
import { CF, CS, F, RAX, RCX, RDI, RSI, SS, ZF } from '../../cpu/state.ts'
import { poke64, testVcpu } from '../../cpu/test-vcpu.ts'
import { Interpreter } from './interpreter.ts'

const CODE = 0x10000
const FIRST = 0x20000
const SECOND = 0x30000
const LENGTH = 0x3000

/** Long mode, the first 2 MiB mapped one to one. */
function processor() {
  const { cpu } = testVcpu()
  poke64(cpu, 0x1000, 0x2003n)
  poke64(cpu, 0x2000, 0x3003n)
  poke64(cpu, 0x3000, 0x83n)
  const { state } = cpu
  state.set32(F.cr0, CR0_PE | CR0_PG)
  state.set32(F.cr3, 0x1000)
  state.set32(F.cr4, CR4_PAE)
  state.set32(F.efer, EFER_LME | EFER_LMA)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b)
  cpu.setSegment(SS, 0, 0, 0xffffffff, 0xc093)
  cpu.updateMode()
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
