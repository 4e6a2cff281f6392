/** Task switches by hardware, 16- and 32-bit TSS (SDM vol. 3, chapter 7). */
import { raise } from './faults.ts'
import { readFlags, writeFlags } from './flags.ts'
import {
  probeLinearWrite,
  readSystem16,
  readSystem32,
  writeLinear8,
  writeLinear16,
  writeLinear32,
} from './memory-access.ts'
import { ACCESS_IMPLICIT, loadPdptes } from './paging.ts'
import { CR0_PG, CR0_TS, CR4_PAE, DR6_BT } from './registers.ts'
import {
  checkStackSegment,
  descriptorDpl,
  descriptorLimit,
  fillNull,
  fillSegment,
  fillVirtual,
  isCode,
  isConforming,
  isPresent,
  isSegment,
  loadDataSegment,
  markAccessed,
  readDescriptor,
  requireDescriptor,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_TS,
} from './segmentation.ts'
import { CS, DS, ES, F, FS, GS, LDTR, NT, SS, TR, VM } from './state.ts'
import { flushTlb } from './translation.ts'
import { updateMode } from './update-mode.ts'
import type { Vcpu } from './vcpu.ts'

/** What caused a switch: JMP; CALL; IRET from a nested task; an interrupt or exception. */
export const TASK_JUMP = 0
export const TASK_CALL = 1
export const TASK_RETURN = 2
export const TASK_INTERRUPT = 3

const BASE = F.segmentBase.offset >> 2
const LIMIT = F.segmentLimit.offset >> 2
const SELECTOR = F.segmentSelector.offset >> 2
const ATTRIBUTES = F.segmentAttributes.offset >> 2
const GPR = F.gpr.offset >> 2
const RIP = F.rip.offset >> 2
const NEXT_RIP = F.nextRip.offset >> 2
const CPL = F.cpl.offset >> 2
const CR0 = F.cr0.offset >> 2
const CR3 = F.cr3.offset >> 2
const DR7 = (F.dr.offset >> 2) + 14

/** Offsets within the TSS: the saved part begins with EIP (IP), which EFLAGS, the registers and the segments follow. */
const START_32 = 0x20
const START_16 = 0x0e
const SEGMENT_ORDER = [ES, CS, SS, DS, FS, GS]

/** What a TSS holds. */
interface TaskState {
  cr3: number
  eip: number
  eflags: number
  registers: number[]
  selectors: number[]
  ldt: number
  trap: boolean
}

/**
 * Switches to the task of a TSS descriptor that the caller has checked for privilege and type and whose words are in
 * `cpu.descriptor`.
 * @param external 1 when an external event causes it: EXT of the error codes
 * @param atNext the old task goes on behind the current instruction (`F.nextRip`), else at RIP
 * @throws GUEST_FAULT: before the switch with nothing changed, afterwards in the new task
 */
export function switchTask(cpu: Vcpu, selector: number, cause: number, external: number, atNext: boolean): void {
  const words = cpu.state.i32
  const { descriptor } = cpu
  const { low, high, addressLow } = descriptor
  const wide = (high & 0x800) !== 0
  const code = (selector & 0xfffc) | external
  if (!isPresent(high)) raise(cpu, VECTOR_NP, code)
  const limit = descriptorLimit(low, high)
  if (limit < (wide ? 0x67 : 0x2b)) raise(cpu, VECTOR_TS, code)
  const base = (low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)

  // Everything of both tasks' states that can fault is touched first.
  const oldBase = words[BASE + TR * 2]
  const oldWide = (words[ATTRIBUTES + TR] & 8) !== 0
  const oldStart = oldWide ? START_32 : START_16
  const oldLength = (oldWide ? 0x60 : 0x2a) - oldStart
  probeLinearWrite(cpu, (oldBase + oldStart) | 0, 0, ACCESS_IMPLICIT, oldLength)
  const next = readTask(cpu, base, wide)
  if (cause === TASK_CALL || cause === TASK_INTERRUPT) probeLinearWrite(cpu, base, 0, ACCESS_IMPLICIT, 2)

  let flags = readFlags(cpu.state)
  if (cause === TASK_JUMP || cause === TASK_RETURN) setBusy(cpu, words[SELECTOR + TR], false)
  if (cause === TASK_RETURN) flags &= ~NT
  saveTask(cpu, oldBase, oldWide, words[atNext ? NEXT_RIP : RIP], flags)
  if (cause === TASK_CALL || cause === TASK_INTERRUPT) {
    writeLinear16(cpu, base, 0, ACCESS_IMPLICIT, words[SELECTOR + TR])
    next.eflags |= NT
  }
  let newHigh = high
  if (cause !== TASK_RETURN) {
    newHigh |= 0x200
    writeLinear8(cpu, (addressLow + 5) | 0, descriptor.addressHigh, ACCESS_IMPLICIT, (newHigh >>> 8) & 0xff)
  }
  fillSegment(cpu, TR, selector, low, newHigh | 0x200)
  words[CR0] |= CR0_TS
  cpu.taskSwitched = true
  load(cpu, next, wide, external)
}

function readTask(cpu: Vcpu, base: number, wide: boolean): TaskState {
  const word = (offset: number) => readSystem16(cpu, (base + offset) | 0, 0)
  const long = (offset: number) => readSystem32(cpu, (base + offset) | 0, 0)
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  if (wide) {
    return {
      cr3: long(0x1c),
      eip: long(START_32),
      eflags: long(0x24),
      registers: eight.map(i => long(0x28 + i * 4)),
      selectors: SEGMENT_ORDER.map((_, i) => word(0x48 + i * 4)),
      ldt: word(0x60),
      trap: (word(0x64) & 1) !== 0,
    }
  }
  return {
    cr3: 0,
    eip: word(START_16),
    eflags: word(0x10),
    registers: eight.map(i => word(0x12 + i * 2)),
    selectors: [...[0, 1, 2, 3].map(i => word(0x22 + i * 2)), 0, 0],
    ldt: word(0x2a),
    trap: false,
  }
}

function saveTask(cpu: Vcpu, base: number, wide: boolean, rip: number, flags: number): void {
  const words = cpu.state.i32
  const values = [rip, flags]
  for (let i = 0; i < 8; i++) values.push(words[GPR + i * 2])
  for (let i = 0; i < (wide ? 6 : 4); i++) values.push(words[SELECTOR + SEGMENT_ORDER[i]])
  const start = wide ? START_32 : START_16
  values.forEach((value, i) => {
    if (!wide) writeLinear16(cpu, (base + start + i * 2) | 0, 0, ACCESS_IMPLICIT, value & 0xffff)
    else if (i >= 10) writeLinear16(cpu, (base + start + i * 4) | 0, 0, ACCESS_IMPLICIT, value & 0xffff)
    else writeLinear32(cpu, (base + start + i * 4) | 0, 0, ACCESS_IMPLICIT, value)
  })
}

/** Changes the busy bit of a TSS descriptor in the GDT. */
function setBusy(cpu: Vcpu, selector: number, busy: boolean): void {
  if (!readDescriptor(cpu, selector)) return
  const { high, addressLow, addressHigh } = cpu.descriptor
  const access = (high >>> 8) & 0xff
  writeLinear8(cpu, (addressLow + 5) | 0, addressHigh, ACCESS_IMPLICIT, busy ? access | 2 : access & ~2)
}

/** Loads the new task's state. From here on faults belong to it. */
function load(cpu: Vcpu, task: TaskState, wide: boolean, external: number): void {
  const words = cpu.state.i32
  if (wide && words[CR0] & CR0_PG) {
    words[CR3] = task.cr3
    words[CR3 + 1] = 0
    if (cpu.state.get32(F.cr4) & CR4_PAE) loadPdptes(cpu, task.cr3)
    flushTlb(cpu, true)
  }
  words[RIP] = task.eip
  words[RIP + 1] = 0
  writeFlags(cpu.state, task.eflags)
  for (let i = 0; i < 8; i++) {
    // The manual leaves the upper halves after a 16-bit switch undefined; the 80386 fills them with ones.
    words[GPR + i * 2] = wide ? task.registers[i] : 0xffff0000 | task.registers[i]
    words[GPR + i * 2 + 1] = 0
  }
  // Local breakpoints end with the task.
  words[DR7] &= ~0x155
  SEGMENT_ORDER.forEach((index, i) => {
    fillNull(cpu, index, task.selectors[i])
  })
  fillNull(cpu, LDTR, task.ldt)
  const virtual = (task.eflags & VM) !== 0 && wide
  words[CPL] = virtual ? 3 : task.selectors[1] & 3
  updateMode(cpu)

  loadTaskLdt(cpu, task.ldt, external)
  if (virtual) {
    SEGMENT_ORDER.forEach((index, i) => {
      fillVirtual(cpu, index, task.selectors[i])
    })
  } else {
    loadTaskCode(cpu, task.selectors[1], external)
    checkStackSegment(cpu, task.selectors[2], words[CPL], VECTOR_TS, external)
    markAccessed(cpu)
    fillSegment(cpu, SS, task.selectors[2], cpu.descriptor.low, cpu.descriptor.high)
    for (const i of [0, 3, 4, 5]) loadDataSegment(cpu, SEGMENT_ORDER[i], task.selectors[i], VECTOR_TS)
  }
  updateMode(cpu)
  if (task.trap) cpu.addPendingDebug(DR6_BT)
  if (task.eip > words[LIMIT + CS] >>> 0) raise(cpu, VECTOR_GP, external)
}

function loadTaskLdt(cpu: Vcpu, selector: number, external: number): void {
  if (!(selector & 0xfffc)) return
  const code = (selector & 0xfffc) | external
  if (selector & 4) raise(cpu, VECTOR_TS, code)
  requireDescriptor(cpu, selector, VECTOR_TS, external)
  const { low, high } = cpu.descriptor
  if ((high & 0x1f00) !== 0x0200 || !isPresent(high)) raise(cpu, VECTOR_TS, code)
  fillSegment(cpu, LDTR, selector, low, high)
}

function loadTaskCode(cpu: Vcpu, selector: number, external: number): void {
  const code = (selector & 0xfffc) | external
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_TS, code)
  requireDescriptor(cpu, selector, VECTOR_TS, external)
  const { low, high } = cpu.descriptor
  const dpl = descriptorDpl(high)
  if (!isSegment(high) || !isCode(high)) raise(cpu, VECTOR_TS, code)
  if (isConforming(high) ? dpl > (selector & 3) : dpl !== (selector & 3)) raise(cpu, VECTOR_TS, code)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, code)
  markAccessed(cpu)
  fillSegment(cpu, CS, selector, low, cpu.descriptor.high)
}
