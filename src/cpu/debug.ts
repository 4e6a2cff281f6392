/** Breakpoints in the debug registers (SDM vol. 3, 17.2). */
import { CR4_DE } from './registers.ts'
import { CS, F } from './state.ts'
import type { Vcpu } from './vcpu.ts'

/** Length of breakpoint `i` by its LEN field: 1, 2, 8 or 4 bytes. */
const LENGTHS = [1, 2, 8, 4]

/** A breakpoint's kind in DR7.R/W. */
const EXECUTE = 0
const WRITE = 1
const IO = 2

const enabled = (dr7: number, i: number): boolean => ((dr7 >>> (i * 2)) & 3) !== 0
const kindOf = (dr7: number, i: number): number => (dr7 >>> (16 + i * 4)) & 3
const lengthOf = (dr7: number, i: number): number => LENGTHS[(dr7 >>> (18 + i * 4)) & 3]

/** The breakpoints that the instruction at CS:RIP meets, as bits 0–3 of DR6. */
export function matchInstruction(cpu: Vcpu): number {
  const { state } = cpu
  const dr7 = state.get32(F.dr, 7)
  let hit = 0
  let linear = state.get64(F.rip) + state.get64(F.segmentBase, CS)
  linear = BigInt.asUintN(state.get32(F.efer) & (1 << 10) ? 64 : 32, linear)
  for (let i = 0; i < 4; i++) {
    if (enabled(dr7, i) && kindOf(dr7, i) === EXECUTE && state.get64(F.dr, i) === linear) hit |= 1 << i
  }
  return hit
}

/** Whether a data breakpoint touches the page of an address. */
export function watchedPage(cpu: Vcpu, low: number, high: number): boolean {
  const { state } = cpu
  const dr7 = state.get32(F.dr, 7)
  for (let i = 0; i < 4; i++) {
    if (!enabled(dr7, i) || !(kindOf(dr7, i) & 1)) continue
    if ((state.get32(F.dr, i) ^ low) >>> 12 === 0 && state.getHigh(F.dr, i) === high >>> 0) return true
  }
  return false
}

/** The data breakpoints that an access meets, as bits 0–3 of DR6. */
export function matchWatchpoints(cpu: Vcpu, low: number, high: number, size: number, write: boolean): number {
  const { state } = cpu
  const dr7 = state.get32(F.dr, 7)
  const first = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  let hit = 0
  for (let i = 0; i < 4; i++) {
    const kind = kindOf(dr7, i)
    if (!enabled(dr7, i) || !(kind & 1) || (kind === WRITE && !write)) continue
    const length = BigInt(lengthOf(dr7, i))
    const start = state.get64(F.dr, i) & ~(length - 1n)
    if (first < start + length && start < first + BigInt(size)) hit |= 1 << i
  }
  return hit
}

/** The I/O breakpoints (CR4.DE) that a port access meets, as bits 0–3 of DR6. */
export function matchPort(cpu: Vcpu, port: number, size: number): number {
  const { state } = cpu
  if (!(state.get32(F.cr4) & CR4_DE)) return 0
  const dr7 = state.get32(F.dr, 7)
  let hit = 0
  for (let i = 0; i < 4; i++) {
    if (!enabled(dr7, i) || kindOf(dr7, i) !== IO) continue
    const length = lengthOf(dr7, i)
    const start = (state.get32(F.dr, i) & ~(length - 1)) >>> 0
    if (port < start + length && start < port + size) hit |= 1 << i
  }
  return hit
}
