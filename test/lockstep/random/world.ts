/**
 * A small machine for random programs: memory, page tables, descriptor tables and handlers for every mode of the
 * processor, and an engine. Exceptions end in HLT, so that the test sees each of them; one interrupt has a handler that
 * counts and returns.
 */
import { F } from '../../../src/cpu/state.ts'
import { flushTlb } from '../../../src/cpu/translation.ts'
import { Vcpu } from '../../../src/cpu/vcpu.ts'
import type { MachineInterface } from '../../../src/engines/contract.ts'
import { Interpreter } from '../../../src/engines/interpreter/interpreter.ts'
import { clearJumps } from '../../../src/engines/jump-table.ts'
import { Translator } from '../../../src/engines/translator/translator.ts'
import { PhysicalMemory } from '../../../src/memory/physical.ts'
import {
  buildTables,
  CODE_FRAME,
  DATA_PAGES,
  DATA_START,
  enterMode,
  HANDLERS,
  INTERRUPT,
  PAGE_TABLES,
  RAM,
  type WorldMode,
} from './layout.ts'

/** How a world executes. */
export interface WorldEngine {
  readonly name: string
  /** How often a block is entered before it is translated; undefined: never. */
  readonly heat: number | undefined
  /** Its regions are made with care at once. */
  readonly careful?: boolean
}

/** One machine. */
export class World {
  readonly memory = new PhysicalMemory(RAM)
  readonly vcpu: Vcpu
  readonly engine: Interpreter
  readonly name: string
  private interrupts = 0

  constructor({ name, heat, careful = false }: WorldEngine) {
    this.name = name
    const machine: MachineInterface = {
      readPort: (port, size) => ((port * 0x9e3779b1) >>> 0) % 2 ** (size * 8),
      writePort: () => {},
      readMmio: address => address & 0xff,
      writeMmio: () => {},
      timestamp: () => this.engine.instructions,
      stopRequested: false,
      acknowledgeInterrupt: () => {
        this.vcpu.setInterruptRequest(false)
        return this.interrupts-- > 0 ? INTERRUPT : -1
      },
      readTaskPriority: () => 0,
      writeTaskPriority: () => {},
      readMsr: () => undefined,
      writeMsr: () => false,
      logOnce: () => {},
    }
    this.vcpu = new Vcpu(this.memory, machine)
    this.engine = new Interpreter(this.vcpu)
    if (heat !== undefined) new Translator(this.engine, heat).alwaysCareful = careful
  }

  /** Everything as at first, in a mode, with code at its place. */
  reset(mode: WorldMode, code: Uint8Array, fill: (address: number) => number): void {
    const { vcpu, memory } = this
    vcpu.interruptRequest = false
    vcpu.reset()
    clearJumps(memory.cpuMemory.buffer)
    const data = new Uint8Array(RAM)
    for (let i = DATA_START; i < DATA_START + DATA_PAGES * 4096; i++) data[i] = fill(i)
    data.set(code, CODE_FRAME)
    buildTables(data, mode)
    // Only what differs is written: what was made of the rest stays.
    for (let at = 0; at < RAM; at += 64) {
      const now = memory.ram.subarray(at, at + 64)
      const then = data.subarray(at, at + 64)
      if (Buffer.compare(now, then) !== 0) memory.write(at, then)
    }
    this.interrupts = 0
    enterMode(vcpu, mode)
    flushTlb(vcpu, false)
  }

  /** Makes the one interrupt pending. */
  interrupt(): void {
    this.interrupts = 1
    this.vcpu.setInterruptRequest(true)
  }

  /** The present bit of a page's entry in the tables of both kinds. */
  setPresent(page: number, present: boolean): void {
    for (const { base, bytes } of PAGE_TABLES) {
      const at = base + page * bytes
      const value = this.memory.readNumber(at, 1)
      this.memory.writeNumber(at, 1, present ? value | 1 : value & ~1)
    }
  }

  /** Forgets translations, as INVLPG or CR3 would. */
  flushTranslations(): void {
    flushTlb(this.vcpu, false)
  }

  /** Drops decoded and translated code of the program by writing it as it is. */
  rewriteCode(at: number, length: number): void {
    this.memory.write(CODE_FRAME + at, this.memory.read(CODE_FRAME + at, length))
  }

  /** After a halt in a handler: the vector, or undefined elsewhere. */
  get haltedVector(): number | undefined {
    const rip = this.vcpu.rip
    const offset = Number(rip) - HANDLERS - 1
    return offset >= 0 && offset < 512 && (offset & 1) === 0 ? offset >> 1 : undefined
  }

  /** Wakes the processor from HLT. */
  wake(): void {
    this.vcpu.state.set32(F.halted, 0)
  }
}
