/** A processor of ours in real mode that executes captured instructions one after another. */
import * as S from '../../src/cpu/state.ts'
import { F } from '../../src/cpu/state.ts'
import { TestMachine } from '../../src/cpu/test-vcpu.ts'
import { Vcpu } from '../../src/cpu/vcpu.ts'
import { Interpreter } from '../../src/engines/interpreter/interpreter.ts'
import { Translator } from '../../src/engines/translator/translator.ts'
import { FRAME_SIZE, PhysicalMemory } from '../../src/memory/physical.ts'
import { type Instruction, isString } from './instruction.ts'
import {
  AX,
  BP,
  BX,
  CS,
  CX,
  DI,
  DS,
  DX,
  ES,
  FLAGS,
  IP,
  type RamBytes,
  REGISTER_NAMES,
  SI,
  SP,
  SS,
  type VectorTest,
} from './moo.ts'

/** What is wrong about a register (by its name) or a byte (by its address). */
export interface Difference {
  readonly where: string
  readonly expected: number
  readonly found: number
}

/** Which bits of the final state count. */
export interface Comparison {
  /** Bits of the flags that count, in FLAGS and where flags were pushed. */
  readonly flags: number
  /** Where the instruction or exception pushed the flags: physical address, or -1. */
  readonly flagsAddress: number
  /** Physical address of a word that does not count, or -1. */
  readonly ignoredAddress: number
}

/** 1 MiB, and what real mode reaches beyond it. */
const RAM_SIZE = 0x110000
const MEGABYTE = 0x100000

/** Ones in the upper halves of the 32-bit registers, which nothing here may touch. */
const UPPER = 0xa5a50000

/** Steps allowed: 127 of a repeated string instruction, the instruction after it, HLT. */
const MOST_STEPS = 160

const HALT = 0xf4
const NOP = 0x90

/** Instead of an address: the test's RAM holds the HLT; there is none. */
const IN_TEST = -1
const NOWHERE = -2

/** General-purpose registers in the captured order: their place in ours. */
const PLACES: readonly [captured: number, ours: number][] = [
  [AX, S.RAX],
  [BX, S.RBX],
  [CX, S.RCX],
  [DX, S.RDX],
  [SP, S.RSP],
  [BP, S.RBP],
  [SI, S.RSI],
  [DI, S.RDI],
]
const SEGMENTS: readonly [captured: number, ours: number][] = [
  [CS, S.CS],
  [SS, S.SS],
  [DS, S.DS],
  [ES, S.ES],
]
/** Present, data, writable. */
const REAL_MODE_SEGMENT = 0x93

/** Executes tests of one kind of chip. */
export class VectorProcessor {
  readonly interpreter: Interpreter
  readonly translator: Translator | undefined
  private readonly vcpu: Vcpu
  private readonly memory = new PhysicalMemory(RAM_SIZE)
  /** What RAM ought to be in the end, zero outside of a test as RAM is. */
  private readonly expected = new Uint8Array(RAM_SIZE)
  private readonly zeros = new Uint8Array(RAM_SIZE)
  private readonly haltInTest: boolean

  /**
   * @param engine what executes
   * @param addressLines 20 for chips whose addresses wrap at 1 MiB (a PC's A20 gate closed), else 24
   * @param haltInTest whether the tests bring the HLT that ends them; else it is put where they end
   */
  constructor(engine: 'interpreter' | 'translator', addressLines: 20 | 24, haltInTest: boolean) {
    const { memory } = this
    if (addressLines === 20) {
      for (let frame = MEGABYTE / FRAME_SIZE; frame < RAM_SIZE / FRAME_SIZE; frame++) {
        memory.frames[frame] = memory.frames[frame - MEGABYTE / FRAME_SIZE]
      }
    }
    this.vcpu = new Vcpu(memory, new TestMachine())
    this.interpreter = new Interpreter(this.vcpu)
    if (engine === 'translator') this.translator = new Translator(this.interpreter, 1)
    this.haltInTest = haltInTest
  }

  private poke(address: number, value: number): void {
    const at = this.memory.locateForWrite(address, 1)
    this.memory.ram[at] = value
  }

  private pokeAll({ addresses, values }: RamBytes): void {
    for (let i = 0; i < addresses.length; i++) {
      this.poke(addresses[i], values[i])
      this.expected[addresses[i]] = values[i]
    }
  }

  private setRegisters(initial: Uint16Array): void {
    const { vcpu } = this
    const { state } = vcpu
    for (const [captured, ours] of PLACES) state.setHalves(F.gpr, UPPER | initial[captured], 0, ours)
    for (const [captured, ours] of SEGMENTS) {
      vcpu.setSegment(ours, initial[captured], initial[captured] << 4, 0xffff, REAL_MODE_SEGMENT)
    }
    vcpu.rflags = (initial[FLAGS] & 0xfff) | 2
    state.setHalves(F.rip, initial[IP], 0)
    state.set32(F.halted, 0)
    state.set32(F.fault, 0)
    state.set32(F.interruptShadow, 0)
    vcpu.events = 0
    vcpu.pendingDebug = 0
    vcpu.shutdown = undefined
    vcpu.updateMode()
  }

  /**
   * Runs a test and puts RAM back.
   * @returns what differs, nothing when the test passed
   */
  run(test: VectorTest, instruction: Instruction, comparison: Comparison): Difference[] {
    const { initial, initialRam, finalRam } = test
    this.pokeAll(initialRam)
    const { addresses, values } = finalRam
    for (let i = 0; i < addresses.length; i++) this.expected[addresses[i]] = values[i]
    const halt = this.placeHalt(test, instruction)
    this.setRegisters(initial)
    const halted = halt === NOWHERE ? this.step(instruction) : this.runToHalt(instruction)
    const differences = this.compare(test, comparison, halt !== NOWHERE)
    if (!halted) differences.unshift({ where: 'HLT not reached', expected: 1, found: 0 })
    this.restore(initialRam)
    this.restore(finalRam)
    if (halt >= 0) {
      this.poke(halt, 0)
      this.expected[halt] = 0
    }
    return differences
  }

  /**
   * Puts an HLT where the test ends, unless it brings one.
   * @returns its address; or {@link IN_TEST}; or {@link NOWHERE} when what lies there matters
   */
  private placeHalt({ initial, final, initialRam, finalRam }: VectorTest, { length }: Instruction): number {
    if (this.haltInTest) return IN_TEST
    const end = (final[CS] * 16 + final[IP]) % MEGABYTE
    const start = initial[CS] * 16 + initial[IP]
    if ((end - start + MEGABYTE) % MEGABYTE < length) return NOWHERE
    for (const { addresses, values } of [initialRam, finalRam]) {
      const index = addresses.indexOf(end)
      if (index >= 0 && values[index] !== NOP) return NOWHERE
    }
    this.poke(end, HALT)
    this.expected[end] = HALT
    return end
  }

  private runToHalt({ prefixes }: Instruction): boolean {
    return this.interpreter.run(prefixes.length > 0 ? MOST_STEPS : 2).kind === 'halt'
  }

  /** Executes only the instruction. */
  private step(instruction: Instruction): boolean {
    const { vcpu } = this
    const start = vcpu.rip
    let steps = 0
    do this.interpreter.run(1)
    while (isString(instruction) && vcpu.rip === start && ++steps < MOST_STEPS)
    return true
  }

  private restore({ addresses }: RamBytes): void {
    for (let i = 0; i < addresses.length; i++) {
      this.poke(addresses[i], 0)
      this.expected[addresses[i]] = 0
    }
  }

  private compare(
    { final, initialRam, finalRam }: VectorTest,
    { flags, flagsAddress, ignoredAddress }: Comparison,
    halted: boolean,
  ): Difference[] {
    const { state } = this.vcpu
    const found: Difference[] = []
    const check = (where: string, expected: number, value: number) => {
      if (expected !== value) found.push({ where, expected, found: value })
    }
    for (const [captured, ours] of PLACES)
      check(REGISTER_NAMES[captured], (UPPER | final[captured]) >>> 0, state.get32(F.gpr, ours))
    for (const [captured, ours] of SEGMENTS)
      check(REGISTER_NAMES[captured], final[captured], state.get32(F.segmentSelector, ours))
    // Where the test brings no HLT, its final IP is that of ours, not the one after it.
    check('ip', (final[IP] + (halted && !this.haltInTest ? 1 : 0)) & 0xffff, state.get32(F.rip) & 0xffff)
    check('flags', final[FLAGS] & flags, this.vcpu.rflags & flags)
    for (const { addresses } of [initialRam, finalRam]) {
      for (let i = 0; i < addresses.length; i++) {
        const address = addresses[i]
        let mask = 0xff
        if (address === flagsAddress) mask = flags & 0xff
        else if (address === flagsAddress + 1 && flagsAddress >= 0) mask = flags >> 8
        else if (address === ignoredAddress || (address === ignoredAddress + 1 && ignoredAddress >= 0)) mask = 0
        const at = this.memory.locate(address)
        check(hex(address, 5), this.expected[address] & mask, this.memory.ram[at] & mask)
      }
    }
    return found
  }

  /**
   * Looks for bytes that were written where no test said so, and clears them.
   * @returns their addresses: none if all is well
   */
  strayWrites(): number[] {
    const { ram } = this.memory
    if (Buffer.compare(ram.subarray(0, RAM_SIZE), this.zeros) === 0) return []
    const strays: number[] = []
    for (let address = 0; address < RAM_SIZE; address++) {
      if (ram[address] === 0) continue
      strays.push(address)
      this.poke(address, 0)
    }
    return strays
  }
}

/** A number as hexadecimal digits. */
export const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')
