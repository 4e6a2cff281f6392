/** Which addresses are canonical to what checks them: jumps through registers and writes of segment bases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR4_FSGSBASE, CR4_LA57 } from '../cpu/registers.ts'
import { F, FS, RAX } from '../cpu/state.ts'
import { enterLongMode, poke64, testVcpu } from '../cpu/test-vcpu.ts'
import { Interpreter } from '../engines/interpreter/interpreter.ts'
import { Translator } from '../engines/translator/translator.ts'

const CODE = 0x10000n
/** Where the table of the fifth level lies. */
const LEVEL_5 = 0x5000
const GP = 13
const JMP_RAX = [0xff, 0xe0]
const WRFSBASE_RAX = [0xf3, 0x48, 0x0f, 0xae, 0xd0]

/** An address whose bits from one on are all the same, but for the one below. */
const edge = (bit: number, ones: boolean) => BigInt.asUintN(64, ones ? -1n << BigInt(bit) : (1n << BigInt(bit)) - 1n)
const CANONICAL = { 4: [edge(47, false), edge(47, true)], 5: [edge(56, false), edge(56, true), 1n << 47n, 1n << 55n] }
const OTHERS = {
  4: [1n << 47n, edge(47, true) - 1n, 1n << 48n, 1n << 63n, edge(56, true)],
  5: [1n << 56n, edge(56, true) - 1n, 1n << 57n, 1n << 63n],
}

for (const translates of [false, true]) {
  for (const levels of [4, 5] as const) {
    test(`${translates ? 'translator' : 'interpreter'}: canonical addresses with ${levels} levels of paging`, () => {
      const { cpu } = testVcpu()
      const { state } = cpu
      enterLongMode(cpu, { cr4: CR4_FSGSBASE | (levels === 5 ? CR4_LA57 : 0) })
      poke64(cpu, LEVEL_5, 0x1003n)
      if (levels === 5) state.set32(F.cr3, LEVEL_5)
      const engine = new Interpreter(cpu)
      if (translates) new Translator(engine, 1)
      const faults: { vector: number; rip: bigint }[] = []
      cpu.deliverFault = () => {
        faults.push({ vector: state.get32(F.faultVector), rip: cpu.rip })
        state.set32(F.fault, 0)
        state.set32(F.halted, 1)
      }
      /** Executes one instruction at CODE; gives the fault that it raised, if it was that one. */
      const raised = (code: readonly number[], value: bigint) => {
        cpu.memory.write(Number(CODE), Uint8Array.from([...code, 0xf4]))
        cpu.setRegister(RAX, value)
        cpu.rip = CODE
        state.set32(F.halted, 0)
        faults.length = 0
        engine.run(10)
        return faults.find(({ rip }) => rip === CODE)?.vector
      }
      for (const address of CANONICAL[levels]) {
        // What is not mapped faults when it is fetched, not at the jump.
        assert.equal(raised(JMP_RAX, address), undefined, `jump to ${address.toString(16)}`)
        assert.equal(raised(WRFSBASE_RAX, address), undefined, `base ${address.toString(16)}`)
        assert.equal(state.get64(F.segmentBase, FS), address)
      }
      for (const address of OTHERS[levels]) {
        const before = state.get64(F.segmentBase, FS)
        assert.equal(raised(JMP_RAX, address), GP, `jump to ${address.toString(16)}`)
        assert.equal(raised(WRFSBASE_RAX, address), GP, `base ${address.toString(16)}`)
        assert.equal(state.get64(F.segmentBase, FS), before)
      }
    })
  }
}
