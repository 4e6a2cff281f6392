/** Delivering exceptions and interrupts: the way into a handler, and what happens when that fails (SDM vol. 3, chapter 6). */
import { GUEST_FAULT, raise } from './faults.ts'
import { readFlags } from './flags.ts'
import { enterGate } from './gates.ts'
import { enterGate64 } from './gates64.ts'
import { readSystem16 } from './memory-access.ts'
import { CR0_PE, CR4_VME, EFER_LMA } from './registers.ts'
import { fillReal } from './segmentation.ts'
import { LegacyStack } from './stack.ts'
import { AC, CS, F, IDTR, IF, IOPL, RF, TF, TR, VIF, VM } from './state.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

/** An exception: RIP is what the handler sees, failures combine to double and triple faults. */
export const KIND_EXCEPTION = 0
/** An external interrupt or NMI. */
export const KIND_EXTERNAL = 1
/** INT n, INT3, INTO: the gate's DPL is checked, the handler sees the next RIP. */
export const KIND_SOFTWARE = 2
/** INT1: as software, but the gate's DPL is not checked. */
export const KIND_PRIVILEGED_SOFTWARE = 3

const FAULT = F.fault.offset >> 2
const FAULT_VECTOR = F.faultVector.offset >> 2
const FAULT_ERROR_CODE = F.faultErrorCode.offset >> 2
const RIP = F.rip.offset >> 2
const NEXT_RIP = F.nextRip.offset >> 2
const CR0 = F.cr0.offset >> 2
const EFER = F.efer.offset >> 2
const FLAGS = F.systemFlags.offset >> 2
const SHADOW = F.interruptShadow.offset >> 2
const BASE = F.segmentBase.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const SELECTOR = F.segmentSelector.offset >> 2

/** The exceptions that combine to a double fault, by vector: divide, invalid TSS, not present, stack, protection. */
const CONTRIBUTORY = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13)
const isContributory = (vector: number): boolean => ((CONTRIBUTORY >>> vector) & 1) !== 0 && vector < 32

/**
 * Delivers an exception or external interrupt at RIP: the state afterwards is the handler's first instruction, or that
 * of the double fault's, or shutdown.
 * @param errorCode -1 for none; in real mode none is pushed anyway
 */
export function deliver(cpu: Vcpu, vector: number, errorCode: number, kind: number): void {
  const words = cpu.state.i32
  words[SHADOW] = 0
  for (;;) {
    try {
      enter(cpu, vector, errorCode, kind)
      return
    } catch (error) {
      if (error !== GUEST_FAULT) throw error
    }
    words[FAULT] = 0
    const second = words[FAULT_VECTOR]
    const secondCode = words[FAULT_ERROR_CODE]
    if (kind === KIND_EXCEPTION && vector === 8) {
      cpu.enterShutdown(`exception ${second} while the double fault at ${where(cpu)} was delivered`)
      return
    }
    const combine =
      kind === KIND_EXCEPTION &&
      ((isContributory(vector) && isContributory(second)) ||
        (vector === 14 && (isContributory(second) || second === 14)))
    vector = combine ? 8 : second
    errorCode = combine ? 0 : secondCode
    kind = KIND_EXCEPTION
  }
}

function where(cpu: Vcpu): string {
  return `${cpu.state.get32(F.segmentSelector, CS).toString(16)}:${cpu.rip.toString(16)}`
}

/**
 * INT n, INT3, INTO, INT1 from a service: enters the handler with the next RIP as return address.
 * @param byNumber it is INT n, which virtual-8086 mode may redirect or refuse
 * @throws GUEST_FAULT with nothing changed
 */
export function softwareInterrupt(cpu: Vcpu, vector: number, kind: number, byNumber = false): void {
  const words = cpu.state.i32
  // The handler's TF is clear, and no single-step trap is taken in front of it.
  cpu.stepSuppressed = true
  if (byNumber && words[CR0] & CR0_PE && words[FLAGS] & VM) {
    if (virtualInterrupt(cpu, vector)) return
  }
  enter(cpu, vector, -1, kind)
}

/** INT n in virtual-8086 mode. @returns whether it was redirected to the 8086 program's own handler */
function virtualInterrupt(cpu: Vcpu, vector: number): boolean {
  const words = cpu.state.i32
  const virtualized = cpu.state.get32(F.cr4) & CR4_VME
  if (virtualized && !redirectionBit(cpu, vector)) {
    enterRedirected(cpu, vector)
    return true
  }
  if ((words[FLAGS] & IOPL) !== IOPL) raise(cpu, 13, 0)
  return false
}

/** The bit of the interrupt redirection bitmap, which lies 32 bytes below the I/O permission bitmap. */
function redirectionBit(cpu: Vcpu, vector: number): boolean {
  const words = cpu.state.i32
  const limit = words[LIMIT + TR] >>> 0
  if (limit < 103) raise(cpu, 13, 0)
  const base = words[BASE + TR * 2]
  const offset = readSystem16(cpu, (base + 102) | 0, 0) - 32 + (vector >> 3)
  if (offset < 0 || offset > limit) raise(cpu, 13, 0)
  return ((readSystem16(cpu, (base + offset) | 0, 0) >>> (vector & 7)) & 1) !== 0
}

function enterRedirected(cpu: Vcpu, vector: number): void {
  const words = cpu.state.i32
  let image = readFlags(cpu.state) & ~(RF | VM)
  const privileged = (words[FLAGS] & IOPL) !== IOPL
  if (privileged) image = (image & ~IF) | (image & VIF ? IF : 0) | IOPL
  const offset = readSystem16(cpu, vector * 4, 0)
  const selector = readSystem16(cpu, vector * 4 + 2, 0)
  const stack = LegacyStack.current(cpu)
  stack.push(image & 0xffff, 2)
  stack.push(words[SELECTOR + CS], 2)
  stack.push(words[NEXT_RIP], 2)
  stack.commit()
  words[FLAGS] &= ~(TF | RF | (privileged ? VIF : IF))
  words[SELECTOR + CS] = selector
  words[BASE + CS * 2] = selector << 4
  words[RIP] = offset
  words[RIP + 1] = 0
  updateMode(cpu)
}

/** Enters the handler of a vector. @throws GUEST_FAULT with nothing changed (but after a task switch) */
function enter(cpu: Vcpu, vector: number, errorCode: number, kind: number): void {
  const words = cpu.state.i32
  if (words[EFER] & EFER_LMA) enterGate64(cpu, vector, errorCode, kind)
  else if (words[CR0] & CR0_PE) enterGate(cpu, vector, errorCode, kind)
  else enterReal(cpu, vector, kind)
}

/** Real mode: four bytes of the interrupt vector table, three words on the stack. */
function enterReal(cpu: Vcpu, vector: number, kind: number): void {
  const words = cpu.state.i32
  if (vector * 4 + 3 > words[LIMIT + IDTR] >>> 0) raise(cpu, 13, 0)
  const entry = (words[BASE + IDTR * 2] + vector * 4) | 0
  const offset = readSystem16(cpu, entry, 0)
  const selector = readSystem16(cpu, (entry + 2) | 0, 0)
  const stack = LegacyStack.current(cpu)
  stack.push(readFlags(cpu.state) & 0xffff, 2)
  stack.push(words[SELECTOR + CS], 2)
  stack.push(words[kind >= KIND_SOFTWARE ? NEXT_RIP : RIP], 2)
  stack.commit()
  words[FLAGS] &= ~(IF | TF | AC | RF)
  fillReal(cpu, CS, selector)
  words[RIP] = offset
  words[RIP + 1] = 0
  updateMode(cpu)
}
