/** Exceptions and interrupts in IA-32e mode: 16-byte gates, IST, SS:RSP always pushed (SDM vol. 3, 6.14). Hot. */
import { raise } from './faults.ts'
import { readFlags } from './flags.ts'
import { isCanonical, locateForWrite, probeLinearWrite, readSystem32, writeLinear32 } from './memory-access.ts'
import { ACCESS_USER } from './paging.ts'
import {
  fillNullStack,
  fillSegment,
  isConforming,
  isPresent,
  markAccessed,
  requireDescriptor,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_SS,
  VECTOR_TS,
} from './segmentation.ts'
import { CS, F, IDTR, IF, NT, RF, RSP, SS, TF, TR, VM } from './state.ts'
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

/** Kinds from this number on are software's: the handler sees the next RIP. */
const SOFTWARE = 2

/** Whether an exception is a fault, whose saved RFLAGS have RF set: all but #DB, #BP, #OF; traps have their own kinds. */
const setsResumeFlag = (vector: number, kind: number): boolean =>
  kind === 0 && vector !== 1 && vector !== 3 && vector !== 4 && vector !== 8 && vector !== 18

/** Adds without carry lost: the high half of `base + offset`. */
const carried = (low: number, high: number, offset: number): number =>
  (low >>> 0) + offset > 0xffffffff ? (high + 1) | 0 : high

/**
 * Enters the handler of a vector through the 64-bit IDT.
 * @throws GUEST_FAULT with nothing changed
 */
export function enterGate64(cpu: Vcpu, vector: number, errorCode: number, kind: number): void {
  const words = cpu.state.i32
  const external = kind >= SOFTWARE ? 0 : 1
  const gateCode = (vector << 3) | 2
  if (vector * 16 + 15 > words[LIMIT + IDTR] >>> 0) raise(cpu, VECTOR_GP, gateCode | external)
  const idtLow = words[BASE + IDTR * 2]
  const idtHigh = words[BASE + IDTR * 2 + 1]
  const at = (idtLow + vector * 16) | 0
  const atHigh = carried(idtLow, idtHigh, vector * 16)
  const gate0 = readSystem32(cpu, at, atHigh)
  const gate1 = readSystem32(cpu, (at + 4) | 0, atHigh)
  const targetHigh = readSystem32(cpu, (at + 8) | 0, atHigh)
  // An interrupt gate is 0xe, a trap gate 0xf.
  if ((gate1 & 0x1e00) !== 0x0e00) raise(cpu, VECTOR_GP, gateCode | external)
  const cpl = words[CPL]
  if (kind === SOFTWARE && ((gate1 >>> 13) & 3) < cpl) raise(cpu, VECTOR_GP, gateCode)
  if (!(gate1 & 0x8000)) raise(cpu, VECTOR_NP, gateCode | external)
  const targetLow = (gate1 & 0xffff0000) | (gate0 & 0xffff)

  const selector = gate0 >>> 16
  if (!(selector & 0xfffc)) raise(cpu, VECTOR_GP, external)
  requireDescriptor(cpu, selector, VECTOR_GP, external)
  const { descriptor } = cpu
  const { high } = descriptor
  const dpl = (high >>> 13) & 3
  const selectorCode = (selector & 0xfffc) | external
  if ((high & 0x1800) !== 0x1800 || dpl > cpl) raise(cpu, VECTOR_GP, selectorCode)
  // L set and D clear.
  if ((high & 0x600000) !== 0x200000) raise(cpu, VECTOR_GP, selectorCode)
  if (!isPresent(high)) raise(cpu, VECTOR_NP, selectorCode)
  const newCpl = isConforming(high) ? cpl : dpl
  if (!(high & 0x100)) markAccessed(cpu)

  const ist = gate1 & 7
  let stackLow = words[GPR_RSP]
  let stackHigh = words[GPR_RSP + 1]
  if (ist !== 0 || newCpl < cpl) {
    const offset = ist ? 0x1c + ist * 8 : 4 + newCpl * 8
    if (offset + 7 > words[LIMIT + TR] >>> 0) {
      raise(cpu, VECTOR_TS, (words[SELECTOR + TR] & 0xfffc) | external)
    }
    const tssLow = words[BASE + TR * 2]
    const tssHigh = carried(tssLow, words[BASE + TR * 2 + 1], offset)
    const tss = (tssLow + offset) | 0
    stackLow = readSystem32(cpu, tss, tssHigh)
    stackHigh = readSystem32(cpu, (tss + 4) | 0, carried(tss, tssHigh, 4))
  }
  if (!isCanonical(cpu, stackHigh)) raise(cpu, VECTOR_SS, external)
  if (!isCanonical(cpu, targetHigh)) raise(cpu, VECTOR_GP, external)

  const size = errorCode === -1 ? 40 : 48
  stackLow &= ~15
  const low = (stackLow - size) | 0
  const stackTop = stackHigh | 0
  const lowHigh = low >>> 0 > stackLow >>> 0 ? (stackTop - 1) | 0 : stackTop
  const access = newCpl === 3 ? ACCESS_USER : 0
  let flags = readFlags(cpu.state)
  if (setsResumeFlag(vector, kind)) flags |= RF
  const rip = kind >= SOFTWARE ? NEXT_RIP : RIP
  const place = (low & 0xfff) + size <= 4096 ? locateForWrite(cpu, low, lowHigh, access) : -1
  if (place >= 0 && (place & 3) === 0) {
    const { ram32 } = cpu
    let i = place >>> 2
    if (size === 48) {
      ram32[i] = errorCode
      ram32[i + 1] = 0
      i += 2
    }
    ram32[i] = words[rip]
    ram32[i + 1] = words[rip + 1]
    ram32[i + 2] = words[SELECTOR + CS]
    ram32[i + 3] = 0
    ram32[i + 4] = flags
    ram32[i + 5] = 0
    ram32[i + 6] = words[GPR_RSP]
    ram32[i + 7] = words[GPR_RSP + 1]
    ram32[i + 8] = words[SELECTOR + SS]
    ram32[i + 9] = 0
  } else {
    probeLinearWrite(cpu, low, lowHigh, access, size)
    const values = [words[rip], words[rip + 1], words[SELECTOR + CS], 0, flags, 0]
    values.push(words[GPR_RSP], words[GPR_RSP + 1], words[SELECTOR + SS], 0)
    if (size === 48) values.unshift(errorCode, 0)
    for (let i = 0; i < values.length; i++) {
      writeLinear32(cpu, (low + i * 4) | 0, carried(low, lowHigh, i * 4), access, values[i])
    }
  }

  words[GPR_RSP] = low
  words[GPR_RSP + 1] = lowHigh
  words[RIP] = targetLow
  words[RIP + 1] = targetHigh
  words[CPL] = newCpl
  fillSegment(cpu, CS, (selector & 0xfffc) | newCpl, descriptor.low, descriptor.high)
  if (newCpl !== cpl) fillNullStack(cpu, newCpl)
  words[FLAGS] &= gate1 & 0x100 ? ~(TF | NT | RF | VM) : ~(TF | NT | RF | VM | IF)
  updateMode(cpu)
}
