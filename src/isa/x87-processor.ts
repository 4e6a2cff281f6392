/** Test support: single instructions on the interpreter, the x87's state before and after as FSAVE images. */
import { CS, DS, ES, F, RDI, RDX, RSI, SS } from '../cpu/state.ts'
import { testVcpu } from '../cpu/test-vcpu.ts'
import { Interpreter } from '../engines/interpreter/interpreter.ts'

const CODE = 0x8000
const OPERAND = 0x9000
const BEFORE = 0xa000
const AFTER = 0xb000
/** FRSTOR [RSI] before, FNSAVE [RDX] after. */
const ENTER = [0xdd, 0x26]
const LEAVE = [0xdd, 0x32]

/**
 * A processor of ours in 64-bit mode, and a function that runs one instruction on it: it takes machine code, the x87's
 * state before, the memory at [RDI], and RAX; of several instructions their count.
 */
export function processor() {
  const { cpu } = testVcpu()
  const { state } = cpu
  const entry = (at: number, value: number) => cpu.memory.writeNumber(at, 4, value)
  entry(0x1000, 0x2003)
  entry(0x2000, 0x3003)
  entry(0x3000, 0x83)
  state.set32(F.cr0, 0x80000033)
  state.set32(F.cr4, 0x40620)
  state.set32(F.xcr0, 7)
  state.set32(F.efer, 0x500)
  state.set64(F.cr3, 0x1000n)
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b)
  for (const segment of [SS, DS, ES]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093)
  cpu.updateMode()
  const engine = new Interpreter(cpu)
  let fault = -1
  cpu.deliverFault = () => {
    fault = state.get32(F.faultVector)
    state.set32(F.fault, 0)
    state.set32(F.halted, 1)
  }
  const run = (code: readonly number[], image: Uint8Array, operand: Uint8Array, rax = 0, count = 1) => {
    cpu.memory.write(BEFORE, image)
    cpu.memory.write(OPERAND, operand)
    cpu.memory.write(CODE, new Uint8Array([...ENTER, ...code, ...LEAVE, 0xf4]))
    cpu.setRegister(RSI, BEFORE)
    cpu.setRegister(RDI, OPERAND)
    cpu.setRegister(RDX, AFTER)
    cpu.setRegister(0, rax)
    cpu.rflags = 0x203
    cpu.rip = BigInt(CODE)
    cpu.updateMode()
    state.set32(F.halted, 0)
    fault = -1
    for (let i = 0; i < count + 2 && fault < 0; i++) engine.run(1)
    const ram = cpu.memory.ram
    return {
      fault,
      image: ram.slice(AFTER, AFTER + 108),
      memory: ram.slice(OPERAND, OPERAND + 1024),
      rflags: cpu.rflags,
      rax: cpu.register(0),
    }
  }
  return { cpu, run }
}
