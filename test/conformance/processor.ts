/** A processor of ours set up like one that runs a process: paging, user mode, the pages of record.ts. */

import * as S from '../../src/cpu/state.ts'
import { F } from '../../src/cpu/state.ts'
import { Vcpu } from '../../src/cpu/vcpu.ts'
import type { MachineInterface } from '../../src/engines/contract.ts'
import { Interpreter } from '../../src/engines/interpreter/interpreter.ts'
import { Translator } from '../../src/engines/translator/translator.ts'
import { setMxcsr } from '../../src/float/mxcsr.ts'
import { PhysicalMemory } from '../../src/memory/physical.ts'
import {
  CODE,
  DATA,
  hashData,
  NO_FAULT,
  PAGE,
  pattern,
  RECORD_ADDRESS,
  RECORD_CODE,
  RECORD_END,
  RECORD_ERROR,
  RECORD_FLAGS,
  RECORD_FLAGS_MASK,
  RECORD_GPR,
  RECORD_HASH,
  RECORD_LENGTH,
  RECORD_MXCSR,
  RECORD_OFFSET,
  RECORD_RIP,
  RECORD_VECTOR,
  RECORD_WINDOW,
  RECORD_XMM,
  RECORD_YMM_HIGH,
  WINDOW,
} from './record.ts'

/** Guest-physical places. */
const TABLES = 0x1000
const DATA_FRAMES = 0x10000
const CODE_FRAMES = 0x20000
const RAM_SIZE = 0x100000

const PRESENT = 1n
const WRITABLE = 2n
const USER = 4n
const NO_EXECUTE = 1n << 63n

/** PE MP ET NE WP AM PG; PAE OSFXSR OSXMMEXCPT OSXSAVE; SCE LME LMA NXE: as Linux runs its processes. */
const CR0 = 0x80050033
const CR4 = 0x40620
const EFER = 0xd01

/** Steps of a repeated string instruction after which it is given up: more than two pages of bytes. */
const MOST_STEPS = 3 * PAGE

const machine: MachineInterface = {
  readPort: () => 0,
  writePort: () => {},
  readMmio: () => 0,
  writeMmio: () => {},
  timestamp: () => 0,
  stopRequested: false,
  acknowledgeInterrupt: () => -1,
  readTaskPriority: () => 0,
  writeTaskPriority: () => {},
  readMsr: () => undefined,
  writeMsr: () => false,
  logOnce: () => {},
}

/** Which engine a processor is to have. */
export type EngineName = 'interpreter' | 'translator'

/** Runs records one by one on an engine of ours. */
export class Processor {
  private readonly memory = new PhysicalMemory(RAM_SIZE)
  private readonly vcpu: Vcpu
  private readonly engine: Interpreter
  private readonly words: Uint32Array
  private fault: { vector: number; errorCode: number } | undefined
  private readonly breakpoints = new Uint8Array(2 * PAGE).fill(0xcc)

  constructor(bits: 32 | 64, engine: EngineName = 'interpreter') {
    this.vcpu = new Vcpu(this.memory, machine)
    this.setUp(bits)
    this.engine = new Interpreter(this.vcpu)
    // Everything is translated before it first runs.
    if (engine === 'translator') new Translator(this.engine, 1)
    // Exceptions end the record instead of entering a handler.
    this.vcpu.deliverFault = () => {
      const { state } = this.vcpu
      state.set32(F.fault, 0)
      this.fault = { vector: state.get32(F.faultVector), errorCode: state.get32(F.faultErrorCode) }
      state.set32(F.halted, 1)
    }
    this.words = new Uint32Array(this.memory.ram.buffer, this.memory.ram.byteOffset + DATA_FRAMES, (2 * PAGE) / 4)
  }

  /** Whether no INT3 is where execution would go on, because the instruction has overwritten it. */
  private goesOn(): boolean {
    const at = Number(this.vcpu.rip) - CODE
    return !this.fault && at >= 0 && at < 2 * PAGE && this.memory.ram[CODE_FRAMES + at] !== 0xcc
  }

  /** Read through a method, because the run changes it behind the type checker's back. */
  private faultNow(): { vector: number; errorCode: number } | undefined {
    return this.fault
  }

  private setUp(bits: 32 | 64): void {
    const { vcpu, memory } = this
    const { state } = vcpu
    const entry = (table: number, index: number, value: bigint): void => {
      const bytes = new Uint8Array(8)
      new DataView(bytes.buffer).setBigUint64(0, value, true)
      memory.write(TABLES + table * PAGE + index * 8, bytes)
    }
    const down = PRESENT | WRITABLE | USER
    const table = (number: number): bigint => BigInt(TABLES + number * PAGE) | down
    entry(0, 0, table(1))
    entry(1, 0, table(2))
    entry(2, DATA / 0x200000, table(3))
    entry(2, CODE / 0x200000, table(4))
    for (let page = 0; page < 2; page++) {
      entry(3, page, BigInt(DATA_FRAMES + page * PAGE) | down | NO_EXECUTE)
      entry(4, page, BigInt(CODE_FRAMES + page * PAGE) | down)
    }
    state.set32(F.cr0, CR0)
    state.set32(F.cr4, CR4)
    state.set32(F.xcr0, 7)
    state.set32(F.efer, EFER)
    state.set64(F.cr3, BigInt(TABLES))
    state.set32(F.cpl, 3)
    // Present, non-system, DPL 3, G; code: execute-read and L or D; data: writable and B.
    vcpu.setSegment(S.CS, 0x33, 0, 0xffffffff, 0x80fb | (bits === 64 ? 0x2000 : 0x4000))
    for (const segment of [S.SS, S.DS, S.ES, S.FS, S.GS]) vcpu.setSegment(segment, 0x2b, 0, 0xffffffff, 0xc0f3)
    vcpu.updateMode()
  }

  /** Runs a record in place. @returns whether the native run would end there too: not when it loops, nor when it overwrites the INT3 behind it */
  run(record: DataView): boolean {
    const { vcpu, memory, engine } = this
    const { state } = vcpu
    const bytes = new Uint8Array(record.buffer, record.byteOffset, record.byteLength)
    const window = bytes.subarray(RECORD_WINDOW, RECORD_WINDOW + WINDOW)
    memory.ram.set(pattern, DATA_FRAMES)
    memory.ram.set(window, DATA_FRAMES + PAGE - WINDOW / 2)
    memory.ram.set(window.subarray(0, WINDOW / 2), DATA_FRAMES + 2 * PAGE - WINDOW / 2)
    // Whole pages, because a stray address may have hit them.
    memory.write(CODE_FRAMES, this.breakpoints)
    const offset = record.getUint32(RECORD_OFFSET, true)
    const length = record.getUint32(RECORD_LENGTH, true)
    memory.write(CODE_FRAMES + offset, bytes.subarray(RECORD_CODE, RECORD_CODE + length))
    const start = BigInt(CODE + offset)
    for (let i = 0; i < 16; i++) state.set64(F.gpr, record.getBigUint64(RECORD_GPR + i * 8, true), i)
    state.bytes.set(bytes.subarray(RECORD_XMM, RECORD_XMM + 256), F.xmm.offset)
    state.bytes.set(bytes.subarray(RECORD_YMM_HIGH, RECORD_YMM_HIGH + 256), F.ymmHigh.offset)
    setMxcsr(state, record.getUint32(RECORD_MXCSR, true))
    vcpu.rip = start
    vcpu.rflags = 0x202 | (Number(record.getBigUint64(RECORD_FLAGS, true)) & RECORD_FLAGS_MASK)
    vcpu.updateMode()
    state.set32(F.halted, 0)
    this.fault = undefined
    // A step of a repeated instruction counts as an instruction and leaves RIP where it was.
    let steps = 0
    do engine.run(1)
    while (!this.faultNow() && vcpu.rip === start && ++steps < MOST_STEPS)

    for (let i = 0; i < 16; i++) record.setBigUint64(RECORD_GPR + i * 8, state.get64(F.gpr, i), true)
    bytes.set(state.bytes.subarray(F.xmm.offset, F.xmm.offset + 256), RECORD_XMM)
    bytes.set(state.bytes.subarray(F.ymmHigh.offset, F.ymmHigh.offset + 256), RECORD_YMM_HIGH)
    record.setUint32(RECORD_MXCSR, state.get32(F.mxcsr), true)
    record.setBigUint64(RECORD_FLAGS, BigInt(vcpu.rflags >>> 0), true)
    record.setBigUint64(RECORD_RIP, vcpu.rip, true)
    const fault = this.faultNow()
    record.setUint32(RECORD_VECTOR, fault ? fault.vector : NO_FAULT, true)
    record.setUint32(RECORD_ERROR, fault ? fault.errorCode : 0, true)
    record.setBigUint64(RECORD_ADDRESS, state.get64(F.cr2), true)
    record.setBigUint64(RECORD_HASH, hashData(this.words), true)
    window.set(memory.ram.subarray(DATA_FRAMES + PAGE - WINDOW / 2, DATA_FRAMES + PAGE + WINDOW / 2))
    bytes.set(memory.ram.subarray(DATA_FRAMES + 2 * PAGE - WINDOW / 2, DATA_FRAMES + 2 * PAGE), RECORD_END)
    return steps < MOST_STEPS && !this.goesOn()
  }
}
