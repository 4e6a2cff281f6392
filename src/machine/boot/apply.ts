/** Puts a virtual processor into the state that a boot loader leaves. */
import { ATTRIBUTE_UNUSABLE } from '../../cpu/registers.ts'
import {
  CS,
  DS,
  ES,
  F,
  FS,
  GDTR,
  GS,
  IDTR,
  LDTR,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
  SS,
  TR,
} from '../../cpu/state.ts'
import type { Vcpu } from '../../cpu/vcpu.ts'
import type { BootState } from './state.ts'

const REGISTERS = { rax: RAX, rcx: RCX, rdx: RDX, rbx: RBX, rsp: RSP, rbp: RBP, rsi: RSI, rdi: RDI } as const

/** Applies `state` to a processor fresh from RESET#: interrupts off, and every register not named is 0. */
export function applyBootState(vcpu: Vcpu, state: BootState): void {
  vcpu.setRegister(RDX, 0)
  for (const [name, index] of Object.entries(REGISTERS))
    vcpu.setRegister(index, state.registers[name as keyof typeof REGISTERS] ?? 0)
  const { code, data, task } = state
  vcpu.setSegment(CS, code.selector, code.base, code.limit, code.attributes)
  for (const index of [DS, ES, FS, GS, SS])
    vcpu.setSegment(index, data.selector, data.base, data.limit, data.attributes)
  vcpu.setSegment(TR, task.selector, task.base, task.limit, task.attributes)
  vcpu.setSegment(LDTR, 0, 0, 0, ATTRIBUTE_UNUSABLE)
  vcpu.setDescriptorTable(GDTR, state.gdt.base, state.gdt.limit)
  vcpu.setDescriptorTable(IDTR, 0, 0)
  vcpu.state.set32(F.cr0, state.cr0)
  vcpu.state.setHalves(F.cr3, state.cr3, 0)
  vcpu.state.set32(F.cr4, state.cr4)
  vcpu.state.set32(F.efer, state.efer)
  vcpu.state.set32(F.cpl, 0)
  vcpu.rflags = 2
  vcpu.rip = BigInt(state.rip)
  vcpu.updateMode()
}
