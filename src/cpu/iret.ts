/** IRET in all its forms (SDM vol. 2, IRET; vol. 3, 6.12, 7.3, 20.2). */
import { raise } from './faults.ts'
import { readFlags, writeFlags } from './flags.ts'
import { currentAccess, isCanonical, locateForRead, readLinear32, readLinear64, readSystem16 } from './memory-access.ts'
import { CR0_PE, CR4_VME, EFER_LMA } from './registers.ts'
import {
  checkStackSegment,
  descriptorDpl,
  descriptorLimit,
  dropInaccessibleSegments,
  fillNullStack,
  fillReal,
  fillSegment,
  fillVirtual,
  is64Bit,
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
import {
  AC,
  ARITHMETIC_FLAGS,
  CS,
  DF,
  DS,
  ES,
  F,
  FS,
  GS,
  ID,
  IF,
  IOPL,
  NT,
  RF,
  RSP,
  SS,
  TF,
  TR,
  VIF,
  VIP,
  VM,
} from './state.ts'
import { switchTask, TASK_RETURN } from './tasks.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

const RIP = F.rip.offset >> 2
const CPL = F.cpl.offset >> 2
const CR0 = F.cr0.offset >> 2
const EFER = F.efer.offset >> 2
const FLAGS = F.systemFlags.offset >> 2
const GPR_RSP = (F.gpr.offset >> 2) + RSP * 2
const BASE = F.segmentBase.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const DR7 = (F.dr.offset >> 2) + 14

/** Flags that any privilege may change by IRET of 32 or 64 bits. */
const ANY_PRIVILEGE = ARITHMETIC_FLAGS | TF | DF | NT | RF | AC | ID

/** Takes the flags in `mask` over from an image. RF only lives where an instruction breakpoint could heed it. */
function loadFlags(cpu: Vcpu, image: number, mask: number): void {
  if (!(cpu.state.i32[DR7] & 0xff)) image &= ~RF
  writeFlags(cpu.state, (readFlags(cpu.state) & ~mask) | (image & mask))
}

/** The flags that IRET may change at a privilege level. */
function flagMask(cpu: Vcpu, cpl: number, size: number): number {
  let mask = ANY_PRIVILEGE
  if (cpl <= ((cpu.state.i32[FLAGS] >>> 12) & 3)) mask |= IF
  if (cpl === 0) mask |= IOPL | VIF | VIP
  return size === 2 ? mask & 0xffff : mask
}

/**
 * IRET, IRETD or IRETQ.
 * @param size of the operands: 2, 4 or 8 bytes
 * @throws GUEST_FAULT with nothing changed
 */
export function interruptReturn(cpu: Vcpu, size: number): void {
  const words = cpu.state.i32
  if (words[EFER] & EFER_LMA) returnLong(cpu, size)
  else if (!(words[CR0] & CR0_PE)) returnReal(cpu, size as 2 | 4)
  else if (words[FLAGS] & VM) returnVirtual(cpu, size as 2 | 4)
  else if (words[FLAGS] & NT) returnTask(cpu)
  else returnProtected(cpu, size as 2 | 4)
  if (cpu.nmiBlocked) cpu.unblockNmi()
  words[F.interruptShadow.offset >> 2] = 0
}

function returnReal(cpu: Vcpu, size: 2 | 4): void {
  const words = cpu.state.i32
  const stack = LegacyStack.current(cpu)
  const ip = stack.pop(size)
  const selector = stack.pop(size) & 0xffff
  const image = stack.pop(size)
  if (ip > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, 0)
  stack.commit()
  fillReal(cpu, CS, selector)
  words[RIP] = ip
  words[RIP + 1] = 0
  loadFlags(cpu, image, size === 2 ? 0x7fd5 : 0x257fd5)
  updateMode(cpu)
}

/** Within virtual-8086 mode: IOPL 3, or VME's virtual interrupt flag for the 16-bit form. */
function returnVirtual(cpu: Vcpu, size: 2 | 4): void {
  const words = cpu.state.i32
  const iopl3 = (words[FLAGS] & IOPL) === IOPL
  const virtualized = !iopl3 && size === 2 && (cpu.state.get32(F.cr4) & CR4_VME) !== 0
  if (!iopl3 && !virtualized) raise(cpu, VECTOR_GP, 0)
  const stack = LegacyStack.current(cpu)
  const ip = stack.pop(size)
  const selector = stack.pop(size) & 0xffff
  let image = stack.pop(size)
  if (ip > 0xffff) raise(cpu, VECTOR_GP, 0)
  let mask = (ANY_PRIVILEGE | IF) & (size === 2 ? 0xffff : -1)
  if (virtualized) {
    if (image & TF || (image & IF && words[FLAGS] & VIP)) raise(cpu, VECTOR_GP, 0)
    mask = (mask & ~IF) | VIF
    image = (image & ~VIF) | (image & IF ? VIF : 0)
  }
  stack.commit()
  fillVirtual(cpu, CS, selector)
  words[RIP] = ip
  words[RIP + 1] = 0
  loadFlags(cpu, image, mask)
  updateMode(cpu)
}

/** To the task that called or was interrupted: the back link of the current TSS. */
function returnTask(cpu: Vcpu): void {
  const words = cpu.state.i32
  const selector = readSystem16(cpu, words[BASE + TR * 2], 0)
  if (selector & 4 || !(selector & 0xfffc)) raise(cpu, VECTOR_TS, selector & 0xfffc)
  requireDescriptor(cpu, selector, VECTOR_TS)
  // A busy TSS.
  if ((cpu.descriptor.high & 0x1700) !== 0x0300) raise(cpu, VECTOR_TS, selector & 0xfffc)
  switchTask(cpu, selector, TASK_RETURN, 0, true)
}

/** The checks of the returned-to CS; its descriptor is left in `cpu.descriptor`. */
function checkReturnCode(cpu: Vcpu, selector: number): void {
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, 0)
  requireDescriptor(cpu, selector, VECTOR_GP)
  const { high } = cpu.descriptor
  const code = selector & 0xfffc
  const rpl = selector & 3
  if (!isCode(high) || rpl < cpu.state.i32[CPL]) raise(cpu, VECTOR_GP, code)
  const dpl = descriptorDpl(high)
  if (isConforming(high) ? dpl > rpl : dpl !== rpl) raise(cpu, VECTOR_GP, code)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, code)
}

function returnProtected(cpu: Vcpu, size: 2 | 4): void {
  const words = cpu.state.i32
  const cpl = words[CPL]
  const stack = LegacyStack.current(cpu)
  const ip = stack.pop(size)
  const selector = stack.pop(size) & 0xffff
  const image = stack.pop(size)
  if (size === 4 && image & VM && cpl === 0) {
    enterVirtual(cpu, stack, ip, selector, image)
    return
  }
  checkReturnCode(cpu, selector)
  const { low, high } = cpu.descriptor
  if (ip > descriptorLimit(low, high)) raise(cpu, VECTOR_GP, 0)
  const mask = flagMask(cpu, cpl, size)
  if ((selector & 3) === cpl) {
    markAccessed(cpu)
    stack.commit()
    fillSegment(cpu, CS, selector, low, cpu.descriptor.high)
  } else returnOuter(cpu, stack, selector, size)
  words[RIP] = ip
  words[RIP + 1] = 0
  loadFlags(cpu, image, mask)
  updateMode(cpu)
}

/** Loads CS and SS:ESP of an outer privilege level. */
function returnOuter(cpu: Vcpu, stack: LegacyStack, selector: number, size: 2 | 4): void {
  const words = cpu.state.i32
  const pointer = stack.pop(size)
  const stackSelector = stack.pop(size) & 0xffff
  const rpl = selector & 3
  markAccessed(cpu)
  const { low, high } = cpu.descriptor
  checkStackSegment(cpu, stackSelector, rpl, VECTOR_GP)
  markAccessed(cpu)
  fillSegment(cpu, CS, selector, low, high)
  fillSegment(cpu, SS, stackSelector, cpu.descriptor.low, cpu.descriptor.high)
  setStackPointer(cpu, pointer)
  words[CPL] = rpl
  dropInaccessibleSegments(cpu)
}

/** ESP, or SP alone for a 16-bit stack segment. */
export function setStackPointer(cpu: Vcpu, pointer: number): void {
  const words = cpu.state.i32
  const wide = cpu.state.get32(F.segmentAttributes, SS) & (1 << 14)
  words[GPR_RSP] = wide ? pointer : (words[GPR_RSP] & ~0xffff) | (pointer & 0xffff)
  words[GPR_RSP + 1] = 0
}

/** From ring 0 into virtual-8086 mode. */
function enterVirtual(cpu: Vcpu, stack: LegacyStack, ip: number, selector: number, image: number): void {
  const words = cpu.state.i32
  const pointer = stack.pop(4)
  const selectors = [SS, ES, DS, FS, GS].map(index => [index, stack.pop(4) & 0xffff])
  if (ip > 0xffff) raise(cpu, VECTOR_GP, 0)
  for (const [index, value] of selectors) fillVirtual(cpu, index, value)
  fillVirtual(cpu, CS, selector)
  words[GPR_RSP] = pointer
  words[GPR_RSP + 1] = 0
  words[RIP] = ip
  words[RIP + 1] = 0
  words[CPL] = 3
  loadFlags(cpu, image, ANY_PRIVILEGE | IF | IOPL | VIF | VIP | VM)
  updateMode(cpu)
}

/** In IA-32e mode: from 64-bit code with five values always, from compatibility code as in protected mode. */
function returnLong(cpu: Vcpu, size: number): void {
  const words = cpu.state.i32
  if (words[FLAGS] & NT) raise(cpu, VECTOR_GP, 0)
  const cpl = words[CPL]
  const from64 = is64Bit(cpu)
  let ripLow: number
  let ripHigh = 0
  let selector: number
  let image: number
  let spLow = 0
  let spHigh = 0
  let stackSelector = 0
  let stack: LegacyStack | undefined
  if (from64 && size === 8) {
    const access = currentAccess(cpu)
    const low = words[GPR_RSP]
    const high = words[GPR_RSP + 1]
    const place = (low & 0xfff) + 40 <= 4096 ? locateForRead(cpu, low, high, access) : -1
    if (place >= 0 && (place & 3) === 0) {
      const i = place >>> 2
      const { ram32 } = cpu
      ripLow = ram32[i]
      ripHigh = ram32[i + 1]
      selector = ram32[i + 2] & 0xffff
      image = ram32[i + 4]
      spLow = ram32[i + 6]
      spHigh = ram32[i + 7]
      stackSelector = ram32[i + 8] & 0xffff
    } else {
      const words64 = [0, 8, 16, 24, 32].map(offset => {
        readLinear64(cpu, (low + offset) | 0, (low >>> 0) + offset > 0xffffffff ? (high + 1) | 0 : high, access)
        return [cpu.low, cpu.high]
      })
      ;[[ripLow, ripHigh], [selector], [image], [spLow, spHigh], [stackSelector]] = words64
      selector &= 0xffff
      stackSelector &= 0xffff
    }
  } else if (from64) {
    const bytes = size as 2 | 4
    const access = currentAccess(cpu)
    const values = [0, 1, 2, 3, 4].map(i => {
      const low = words[GPR_RSP]
      const offset = i * bytes
      const high = words[GPR_RSP + 1] + ((low >>> 0) + offset > 0xffffffff ? 1 : 0)
      const value = readLinear32(cpu, (low + offset) | 0, high | 0, access)
      return bytes === 2 ? value & 0xffff : value
    })
    ;[ripLow, selector, image, spLow, stackSelector] = values
    selector &= 0xffff
    stackSelector &= 0xffff
  } else {
    const bytes = size as 2 | 4
    stack = LegacyStack.current(cpu)
    ripLow = stack.pop(bytes)
    selector = stack.pop(bytes) & 0xffff
    image = stack.pop(bytes)
  }

  checkReturnCode(cpu, selector)
  const codeLow = cpu.descriptor.low
  const codeDescriptor = cpu.descriptor.high
  const rpl = selector & 3
  const to64 = (codeDescriptor & 0x200000) !== 0
  if (to64 && codeDescriptor & 0x400000) raise(cpu, VECTOR_GP, selector & 0xfffc)
  if (to64 ? !isCanonical(cpu, ripHigh) : ripLow >>> 0 > descriptorLimit(codeLow, codeDescriptor)) {
    raise(cpu, VECTOR_GP, 0)
  }
  if (!(codeDescriptor & 0x100)) markAccessed(cpu)
  const codeHigh = cpu.descriptor.high
  const mask = flagMask(cpu, cpl, size)
  const loadStack = from64 || rpl !== cpl
  if (stack && loadStack) {
    spLow = stack.pop(size as 2 | 4)
    stackSelector = stack.pop(size as 2 | 4) & 0xffff
  }
  if (loadStack) {
    if (stackSelector & 0xfffc) {
      checkStackSegment(cpu, stackSelector, rpl, VECTOR_GP)
      if (!(cpu.descriptor.high & 0x100)) markAccessed(cpu)
      fillSegment(cpu, SS, stackSelector, cpu.descriptor.low, cpu.descriptor.high)
    } else {
      if (!to64 || rpl === 3 || (stackSelector & 3) !== rpl) raise(cpu, VECTOR_GP, 0)
      fillNullStack(cpu, stackSelector)
    }
    if (to64 || from64) {
      words[GPR_RSP] = spLow
      words[GPR_RSP + 1] = spHigh
    } else setStackPointer(cpu, spLow)
  } else stack?.commit()
  fillSegment(cpu, CS, selector, codeLow, codeHigh)
  words[CPL] = rpl
  if (rpl !== cpl) dropInaccessibleSegments(cpu)
  words[RIP] = ripLow
  words[RIP + 1] = to64 ? ripHigh : 0
  loadFlags(cpu, image, mask)
  updateMode(cpu)
}
