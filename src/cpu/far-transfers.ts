/** Far JMP, CALL and RET: code segments, call gates, task gates, TSS (SDM vol. 3, 5.8, 7.3; vol. 2, CALL JMP RET). */
import { raise } from './faults.ts'
import { innerStack } from './gates.ts'
import { setStackPointer } from './iret.ts'
import { isCanonical, readSystem32 } from './memory-access.ts'
import {
  checkStackSegment,
  descriptorDpl,
  descriptorLimit,
  descriptorType,
  dropInaccessibleSegments,
  fillNullStack,
  fillReal,
  fillSegment,
  fillVirtual,
  is64Bit,
  isCode,
  isConforming,
  isLongModeActive,
  isPresent,
  isRealOrVirtual,
  isSegment,
  markAccessed,
  readUpperDescriptor,
  requireDescriptor,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_SS,
  VECTOR_TS,
} from './segmentation.ts'
import { type FarStack, LegacyStack, LongStack } from './stack.ts'
import { CS, F, RSP, SS, TR, VM } from './state.ts'
import { switchTask, TASK_CALL, TASK_JUMP } from './tasks.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

const RIP = F.rip.offset >> 2
const NEXT_RIP = F.nextRip.offset >> 2
const CPL = F.cpl.offset >> 2
const FLAGS = F.systemFlags.offset >> 2
const GPR_RSP = (F.gpr.offset >> 2) + RSP * 2
const LIMIT = F.segmentLimit.offset >> 2
const SELECTOR = F.segmentSelector.offset >> 2

const AVAILABLE_TSS_16 = 1
const CALL_GATE_16 = 4
const TASK_GATE = 5
const AVAILABLE_TSS_32 = 9
/** In IA-32e mode the 64-bit call gate, of 16 bytes. */
const CALL_GATE_32 = 12

const currentStack = (cpu: Vcpu): FarStack => (is64Bit(cpu) ? LongStack.current(cpu) : LegacyStack.current(cpu))

function setRip(cpu: Vcpu, low: number, high: number): void {
  const words = cpu.state.i32
  words[RIP] = low
  words[RIP + 1] = high
}

/** The offset against the limit of the segment whose descriptor is given, or canonical for 64-bit code. */
function checkTarget(cpu: Vcpu, low: number, high: number, codeLow: number, codeHigh: number): void {
  const to64 = isLongModeActive(cpu) && (codeHigh & 0x200000) !== 0
  const good = to64 ? isCanonical(cpu, high) : high === 0 && low >>> 0 <= descriptorLimit(codeLow, codeHigh)
  if (!good) raise(cpu, VECTOR_GP, 0)
}

/** A code segment that a direct far JMP or CALL may go to; its words are in `cpu.descriptor`. */
function checkDirectCode(cpu: Vcpu, selector: number): void {
  const { high } = cpu.descriptor
  const cpl = cpu.state.i32[CPL]
  const dpl = descriptorDpl(high)
  const good = isConforming(high) ? dpl <= cpl : (selector & 3) <= cpl && dpl === cpl
  if (!good) raise(cpu, VECTOR_GP, selector & 0xfffc)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, selector & 0xfffc)
  checkLongCode(cpu, selector, high)
}

/** L and D are not both set in IA-32e mode. */
function checkLongCode(cpu: Vcpu, selector: number, high: number): void {
  if (isLongModeActive(cpu) && (high & 0x600000) === 0x600000) raise(cpu, VECTOR_GP, selector & 0xfffc)
}

/** Whether a system descriptor's privilege admits the caller. */
function checkGatePrivilege(cpu: Vcpu, selector: number, high: number): void {
  const dpl = descriptorDpl(high)
  if (dpl < cpu.state.i32[CPL] || dpl < (selector & 3)) raise(cpu, VECTOR_GP, selector & 0xfffc)
}

function loadReal(cpu: Vcpu, selector: number, offset: number): void {
  if (cpu.state.i32[FLAGS] & VM) fillVirtual(cpu, CS, selector)
  else fillReal(cpu, CS, selector)
  setRip(cpu, offset, 0)
  updateMode(cpu)
}

/** JMP to a far address: selector and offset in halves. @throws GUEST_FAULT */
export function farJump(cpu: Vcpu, selector: number, low: number, high: number): void {
  const words = cpu.state.i32
  if (isRealOrVirtual(cpu)) {
    if (low >>> 0 > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, 0)
    loadReal(cpu, selector, low)
    return
  }
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const { descriptor } = cpu
  if (isSegment(descriptor.high)) {
    if (!isCode(descriptor.high)) raise(cpu, VECTOR_GP, selector & 0xfffc)
    checkDirectCode(cpu, selector)
    checkTarget(cpu, low, high, descriptor.low, descriptor.high)
    markAccessed(cpu)
    fillSegment(cpu, CS, (selector & 0xfffc) | words[CPL], descriptor.low, descriptor.high)
    setRip(cpu, low, high)
    updateMode(cpu)
    return
  }
  const type = descriptorType(descriptor.high)
  if (!isLongModeActive(cpu) && (type === AVAILABLE_TSS_16 || type === AVAILABLE_TSS_32 || type === TASK_GATE)) {
    taskTransfer(cpu, selector, type, TASK_JUMP)
    return
  }
  const gate = readCallGate(cpu, selector)
  requireGateTarget(cpu, gate.selector)
  const code = cpu.descriptor
  const dpl = descriptorDpl(code.high)
  const cpl = words[CPL]
  if (isConforming(code.high) ? dpl > cpl : dpl !== cpl) raise(cpu, VECTOR_GP, gate.selector & 0xfffc)
  if (!isPresent(code.high)) raise(cpu, VECTOR_NP, gate.selector & 0xfffc)
  checkTarget(cpu, gate.low, gate.high, code.low, code.high)
  markAccessed(cpu)
  fillSegment(cpu, CS, (gate.selector & 0xfffc) | cpl, code.low, code.high)
  setRip(cpu, gate.low, gate.high)
  updateMode(cpu)
}

/** To the task of a TSS, or of the TSS that a task gate names. */
function taskTransfer(cpu: Vcpu, selector: number, type: number, cause: number): void {
  checkGatePrivilege(cpu, selector, cpu.descriptor.high)
  let target = selector
  if (type === TASK_GATE) {
    if (!isPresent(cpu.descriptor.high)) raise(cpu, VECTOR_NP, selector & 0xfffc)
    target = cpu.descriptor.low >>> 16
    if (!(target & 0xfffc) || target & 4) raise(cpu, VECTOR_GP, target & 0xfffc)
    requireDescriptor(cpu, target, VECTOR_GP)
    if ((cpu.descriptor.high & 0x1700) !== 0x0100) raise(cpu, VECTOR_GP, target & 0xfffc)
  } else if (selector & 4) raise(cpu, VECTOR_GP, selector & 0xfffc)
  switchTask(cpu, target, cause, 0, true)
}

/** What a call gate holds. */
interface CallGate {
  selector: number
  low: number
  high: number
  /** Bytes of what it pushes. */
  size: number
  parameters: number
}

/** Reads the call gate whose descriptor is in `cpu.descriptor`. @throws GUEST_FAULT if it is none or not to be used */
function readCallGate(cpu: Vcpu, selector: number): CallGate {
  const { low, high } = cpu.descriptor
  const type = descriptorType(high)
  const long = isLongModeActive(cpu)
  if (type !== CALL_GATE_32 && (long || type !== CALL_GATE_16)) raise(cpu, VECTOR_GP, selector & 0xfffc)
  checkGatePrivilege(cpu, selector, high)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, selector & 0xfffc)
  const gate = {
    selector: low >>> 16,
    low: type === CALL_GATE_32 ? (high & 0xffff0000) | (low & 0xffff) : low & 0xffff,
    high: 0,
    size: long ? 8 : type === CALL_GATE_32 ? 4 : 2,
    parameters: long ? 0 : high & 31,
  }
  if (long) {
    readUpperDescriptor(cpu, selector)
    gate.high = cpu.low | 0
  }
  return gate
}

function requireGateTarget(cpu: Vcpu, selector: number): void {
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const { high } = cpu.descriptor
  if (!isCode(high)) raise(cpu, VECTOR_GP, selector & 0xfffc)
  // Through a 64-bit gate only into 64-bit code.
  if (isLongModeActive(cpu) && (high & 0x600000) !== 0x200000) raise(cpu, VECTOR_GP, selector & 0xfffc)
}

/**
 * CALL to a far address; the return address is `F.nextRip`.
 * @param size of the operand in bytes: 2, 4 or 8
 * @throws GUEST_FAULT
 */
export function farCall(cpu: Vcpu, selector: number, low: number, high: number, size: number): void {
  const words = cpu.state.i32
  const stack = currentStack(cpu)
  const pushReturn = (to: FarStack, bytes: number) => {
    to.push(words[SELECTOR + CS], bytes)
    to.push(words[NEXT_RIP], bytes, words[NEXT_RIP + 1])
  }
  if (isRealOrVirtual(cpu)) {
    pushReturn(stack, size)
    if (low >>> 0 > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, 0)
    stack.commit()
    loadReal(cpu, selector, low)
    return
  }
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const codeLow = cpu.descriptor.low
  const codeHigh = cpu.descriptor.high
  const cpl = words[CPL]
  if (isSegment(codeHigh)) {
    if (!isCode(codeHigh)) raise(cpu, VECTOR_GP, selector & 0xfffc)
    checkDirectCode(cpu, selector)
    markAccessed(cpu)
    pushReturn(stack, size)
    checkTarget(cpu, low, high, codeLow, codeHigh)
    stack.commit()
    fillSegment(cpu, CS, (selector & 0xfffc) | cpl, codeLow, codeHigh | 0x100)
    setRip(cpu, low, high)
    updateMode(cpu)
    return
  }
  const type = descriptorType(codeHigh)
  if (!isLongModeActive(cpu) && (type === AVAILABLE_TSS_16 || type === AVAILABLE_TSS_32 || type === TASK_GATE)) {
    taskTransfer(cpu, selector, type, TASK_CALL)
    return
  }
  const gate = readCallGate(cpu, selector)
  requireGateTarget(cpu, gate.selector)
  const target = { ...cpu.descriptor }
  const dpl = descriptorDpl(target.high)
  if (dpl > cpl) raise(cpu, VECTOR_GP, gate.selector & 0xfffc)
  if (!isPresent(target.high)) raise(cpu, VECTOR_NP, gate.selector & 0xfffc)
  markAccessed(cpu)
  const newCpl = isConforming(target.high) ? cpl : dpl
  checkTarget(cpu, gate.low, gate.high, target.low, target.high)
  if (newCpl < cpl) callInner(cpu, gate, newCpl, pushReturn)
  else {
    pushReturn(stack, gate.size)
    stack.commit()
  }
  words[CPL] = newCpl
  fillSegment(cpu, CS, (gate.selector & 0xfffc) | newCpl, target.low, target.high | 0x100)
  setRip(cpu, gate.low, gate.high)
  updateMode(cpu)
}

/** Switches to the stack of an inner level, pushes the old one, the gate's parameters and the return address. */
function callInner(cpu: Vcpu, gate: CallGate, newCpl: number, pushReturn: (to: FarStack, bytes: number) => void): void {
  const words = cpu.state.i32
  if (isLongModeActive(cpu)) {
    const offset = 4 + newCpl * 8
    if (offset + 7 > words[LIMIT + TR] >>> 0) raise(cpu, VECTOR_TS, words[SELECTOR + TR] & 0xfffc)
    const at = cpu.state.get64(F.segmentBase, TR) + BigInt(offset)
    const half = (address: bigint) =>
      BigInt(readSystem32(cpu, Number(address & 0xffffffffn) | 0, Number((address >> 32n) & 0xffffffffn) | 0))
    const stack = new LongStack(cpu, half(at) | (half(at + 4n) << 32n), newCpl)
    if (!isCanonical(cpu, Number(stack.pointer >> 32n) | 0)) raise(cpu, VECTOR_SS, 0)
    stack.push(words[SELECTOR + SS], 8)
    stack.push(words[GPR_RSP], 8, words[GPR_RSP + 1])
    pushReturn(stack, 8)
    stack.commit()
    fillNullStack(cpu, newCpl)
    return
  }
  const inner = innerStack(cpu, newCpl, 0)
  checkStackSegment(cpu, inner.selector, newCpl, VECTOR_TS)
  markAccessed(cpu)
  const { low, high } = cpu.descriptor
  const stack = LegacyStack.of(cpu, low, high, inner.pointer, newCpl, inner.selector & 0xfffc)
  const old = LegacyStack.current(cpu)
  stack.push(words[SELECTOR + SS], gate.size)
  stack.push(words[GPR_RSP], gate.size)
  for (let i = gate.parameters - 1; i >= 0; i--) stack.push(old.peek(i * gate.size, gate.size), gate.size)
  pushReturn(stack, gate.size)
  fillSegment(cpu, SS, inner.selector, low, high)
  stack.commit()
}

/**
 * RET far.
 * @param size of the operands in bytes: 2, 4 or 8
 * @param release bytes of parameters to drop
 * @throws GUEST_FAULT with nothing changed
 */
export function farReturn(cpu: Vcpu, size: number, release: number): void {
  const words = cpu.state.i32
  const stack = currentStack(cpu)
  const low = stack.pop(size)
  const high = cpu.high | 0
  const selector = stack.pop(size) & 0xffff
  if (isRealOrVirtual(cpu)) {
    if (low > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, 0)
    stack.skip(release)
    stack.commit()
    loadReal(cpu, selector, low)
    return
  }
  const cpl = words[CPL]
  const rpl = selector & 3
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const codeLow = cpu.descriptor.low
  const codeHigh = cpu.descriptor.high
  const code = selector & 0xfffc
  if (!isCode(codeHigh) || rpl < cpl) raise(cpu, VECTOR_GP, code)
  const dpl = descriptorDpl(codeHigh)
  if (isConforming(codeHigh) ? dpl > rpl : dpl !== rpl) raise(cpu, VECTOR_GP, code)
  if (!isPresent(codeHigh)) raise(cpu, VECTOR_NP, code)
  checkLongCode(cpu, selector, codeHigh)
  checkTarget(cpu, low, high, codeLow, codeHigh)
  markAccessed(cpu)
  stack.skip(release)
  if (rpl === cpl) stack.commit()
  else {
    const pointer = stack.pop(size)
    const pointerHigh = cpu.high | 0
    const stackSelector = stack.pop(size) & 0xffff
    const to64 = isLongModeActive(cpu) && (codeHigh & 0x200000) !== 0
    if (!(stackSelector & 0xfffc)) {
      if (!to64 || rpl === 3 || (stackSelector & 3) !== rpl) raise(cpu, VECTOR_GP, 0)
      fillNullStack(cpu, stackSelector)
    } else {
      checkStackSegment(cpu, stackSelector, rpl, VECTOR_GP)
      markAccessed(cpu)
      fillSegment(cpu, SS, stackSelector, cpu.descriptor.low, cpu.descriptor.high)
    }
    if (to64) {
      words[GPR_RSP] = pointer
      words[GPR_RSP + 1] = pointerHigh
    } else setStackPointer(cpu, pointer)
  }
  fillSegment(cpu, CS, selector, codeLow, codeHigh | 0x100)
  words[CPL] = rpl
  if (rpl !== cpl) {
    // Parameters are dropped from the outer stack too.
    if (is64Bit(cpu)) {
      const stackAfter = LongStack.current(cpu)
      stackAfter.skip(release)
      stackAfter.commit()
    } else setStackPointer(cpu, words[GPR_RSP] + release)
    dropInaccessibleSegments(cpu)
  }
  setRip(cpu, low, high)
  updateMode(cpu)
}
