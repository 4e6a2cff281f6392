/** Exceptions and interrupts in 16- and 32-bit protected and virtual-8086 mode: interrupt, trap and task gates (SDM vol. 3, 6.12, 20.3). */
import { raise } from './faults.ts'
import { readFlags } from './flags.ts'
import { readSystem16, readSystem32 } from './memory-access.ts'
import {
  checkStackSegment,
  descriptorDpl,
  descriptorLimit,
  fillNull,
  fillSegment,
  isCode,
  isConforming,
  isPresent,
  markAccessed,
  requireDescriptor,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_TS,
} from './segmentation.ts'
import { LegacyStack } from './stack.ts'
import { CS, DS, ES, F, FS, GS, IDTR, IF, NT, RF, RSP, SS, TF, TR, VM } from './state.ts'
import { switchTask, TASK_INTERRUPT } from './tasks.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

const RIP = F.rip.offset >> 2
const NEXT_RIP = F.nextRip.offset >> 2
const CPL = F.cpl.offset >> 2
const FLAGS = F.systemFlags.offset >> 2
const GPR_RSP = (F.gpr.offset >> 2) + RSP * 2
const BASE = F.segmentBase.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const SELECTOR = F.segmentSelector.offset >> 2
const ATTRIBUTES = F.segmentAttributes.offset >> 2

const SOFTWARE = 2

/** Gate types by the low five bits of the access byte. */
const TASK_GATE = 5
const INTERRUPT_GATE_16 = 6
const TRAP_GATE_16 = 7
const INTERRUPT_GATE_32 = 14
const TRAP_GATE_32 = 15

const setsResumeFlag = (vector: number, kind: number): boolean =>
  kind === 0 && vector !== 1 && vector !== 3 && vector !== 4 && vector !== 8 && vector !== 18

/**
 * The stack of an inner privilege level, from the current TSS: its selector and pointer.
 * @throws GUEST_FAULT #TS(TR) when the TSS is too short
 */
export function innerStack(cpu: Vcpu, level: number, external: number): { selector: number; pointer: number } {
  const words = cpu.state.i32
  const wide = (words[ATTRIBUTES + TR] & 8) !== 0
  const offset = wide ? 4 + level * 8 : 2 + level * 4
  const limit = words[LIMIT + TR] >>> 0
  if (offset + (wide ? 5 : 3) > limit) raise(cpu, VECTOR_TS, (words[SELECTOR + TR] & 0xfffc) | external)
  const at = (words[BASE + TR * 2] + offset) | 0
  return wide
    ? { pointer: readSystem32(cpu, at, 0), selector: readSystem16(cpu, (at + 4) | 0, 0) }
    : { pointer: readSystem16(cpu, at, 0), selector: readSystem16(cpu, (at + 2) | 0, 0) }
}

/**
 * Enters the handler of a vector through the IDT of protected mode.
 * @throws GUEST_FAULT with nothing changed but by a task switch that had begun
 */
export function enterGate(cpu: Vcpu, vector: number, errorCode: number, kind: number): void {
  const words = cpu.state.i32
  const external = kind >= SOFTWARE ? 0 : 1
  const gateCode = (vector << 3) | 2
  if (vector * 8 + 7 > words[LIMIT + IDTR] >>> 0) raise(cpu, VECTOR_GP, gateCode | external)
  const at = (words[BASE + IDTR * 2] + vector * 8) | 0
  const gate0 = readSystem32(cpu, at, 0)
  const gate1 = readSystem32(cpu, (at + 4) | 0, 0)
  const type = (gate1 >>> 8) & 0x1f
  const isGate =
    type === TASK_GATE ||
    type === INTERRUPT_GATE_16 ||
    type === TRAP_GATE_16 ||
    type === INTERRUPT_GATE_32 ||
    type === TRAP_GATE_32
  if (!isGate) raise(cpu, VECTOR_GP, gateCode | external)
  const cpl = words[CPL]
  if (kind === SOFTWARE && ((gate1 >>> 13) & 3) < cpl) raise(cpu, VECTOR_GP, gateCode)
  if (!(gate1 & 0x8000)) raise(cpu, VECTOR_NP, gateCode | external)
  const selector = gate0 >>> 16
  if (type === TASK_GATE) {
    enterTask(cpu, selector, errorCode, kind, external)
    return
  }

  const target = type & 8 ? (gate1 & 0xffff0000) | (gate0 & 0xffff) : gate0 & 0xffff
  const size = type & 8 ? 4 : 2
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, external)
  requireDescriptor(cpu, selector, VECTOR_GP, external)
  const codeLow = cpu.descriptor.low
  const codeHigh = cpu.descriptor.high
  const selectorCode = (selector & 0xfffc) | external
  const dpl = descriptorDpl(codeHigh)
  if (!isCode(codeHigh) || dpl > cpl) raise(cpu, VECTOR_GP, selectorCode)
  if (!isPresent(codeHigh)) raise(cpu, VECTOR_NP, selectorCode)
  markAccessed(cpu)
  const virtual = (words[FLAGS] & VM) !== 0
  const newCpl = isConforming(codeHigh) ? cpl : dpl
  if (virtual && newCpl !== 0) raise(cpu, VECTOR_GP, selectorCode)

  let stack: LegacyStack
  let stackSelector = -1
  let stackLow = 0
  let stackHigh = 0
  if (newCpl < cpl) {
    const inner = innerStack(cpu, newCpl, external)
    stackSelector = inner.selector
    checkStackSegment(cpu, stackSelector, newCpl, VECTOR_TS, external)
    markAccessed(cpu)
    stackLow = cpu.descriptor.low
    stackHigh = cpu.descriptor.high
    stack = LegacyStack.of(cpu, stackLow, stackHigh, inner.pointer, newCpl, (stackSelector & 0xfffc) | external)
    if (virtual) for (const index of [GS, FS, DS, ES]) stack.push(words[SELECTOR + index], size)
    stack.push(words[SELECTOR + SS], size)
    stack.push(words[GPR_RSP], size)
  } else {
    stack = LegacyStack.current(cpu)
  }
  let flags = readFlags(cpu.state)
  if (setsResumeFlag(vector, kind)) flags |= RF
  stack.push(flags, size)
  stack.push(words[SELECTOR + CS], size)
  stack.push(words[kind >= SOFTWARE ? NEXT_RIP : RIP], size)
  if (errorCode !== -1) stack.push(errorCode, size)
  if (target >>> 0 > descriptorLimit(codeLow, codeHigh)) raise(cpu, VECTOR_GP, external)

  if (stackSelector >= 0) {
    fillSegment(cpu, SS, stackSelector, stackLow, stackHigh)
    words[GPR_RSP + 1] = 0
  }
  stack.commit()
  if (virtual) for (const index of [GS, FS, DS, ES]) fillNull(cpu, index, 0)
  words[CPL] = newCpl
  fillSegment(cpu, CS, (selector & 0xfffc) | newCpl, codeLow, codeHigh)
  words[RIP] = target
  words[RIP + 1] = 0
  words[FLAGS] &= type & 1 ? ~(TF | NT | RF | VM) : ~(TF | NT | RF | VM | IF)
  updateMode(cpu)
}

function enterTask(cpu: Vcpu, selector: number, errorCode: number, kind: number, external: number): void {
  const words = cpu.state.i32
  const code = (selector & 0xfffc) | external
  if (!(selector & 0xfffc) || selector & 4) raise(cpu, VECTOR_GP, code)
  requireDescriptor(cpu, selector, VECTOR_GP, external)
  const { high } = cpu.descriptor
  // Available TSS of 16 or 32 bits: busy is #GP.
  if ((high & 0x1700) !== 0x0100) raise(cpu, VECTOR_GP, code)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, code)
  switchTask(cpu, selector, TASK_INTERRUPT, external, kind >= SOFTWARE)
  if (errorCode !== -1) {
    const stack = LegacyStack.current(cpu)
    stack.push(errorCode, words[ATTRIBUTES + TR] & 8 ? 4 : 2)
    stack.commit()
  }
  if (words[RIP] >>> 0 > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, external)
}
