/** Which bits of the flags count, in the register and in images on the stack. */
import type { Chip } from './exclusions.ts'
import type { Instruction } from './instruction.ts'
import { CS, IP, SP, SS, type VectorTest } from './moo.ts'

/**
 * The bits of FLAGS that count. Bits 12–15 never do: they are ones on the 8086, zeros on the 80286 in real mode, while a
 * 386 and later lets real-mode programs change IOPL and NT (SDM vol. 3, "Using the FLAGS register to distinguish
 * processors").
 */
export const flagsMask = (undefinedFlags: number): number => 0xfff & ~undefinedFlags

/** The physical address of an offset in a segment: 20 lines on the 8086. */
export const physicalAddress = (chip: Chip, selector: number, offset: number): number =>
  (selector * 16 + (offset & 0xffff)) & (chip === '8086' ? 0xfffff : 0xffffff)

/** The physical address of a word on the stack, some bytes above the final SP. */
const onStack = (chip: Chip, { final }: VectorTest, above: number): number =>
  physicalAddress(chip, final[SS], final[SP] + above)

/** Whether the test ended in an exception's handler; the 8086's files only show it by the state. */
export function raisesException(chip: Chip, { opcode, reg }: Instruction, test: VectorTest): boolean {
  if (chip === '80286') return test.exception !== undefined
  const divides = opcode === 0xd4 || ((opcode === 0xf6 || opcode === 0xf7) && reg >= 6)
  return divides && test.final[CS] * 16 + test.final[IP] === DIVIDE_ERROR_HANDLER
}

/** What vector 0 points to in the 8086's tests. */
const DIVIDE_ERROR_HANDLER = 0x400

/** The physical address of a FLAGS image that a test pushed, or -1. */
export function pushedFlagsAddress(chip: Chip, instruction: Instruction, test: VectorTest): number {
  const { opcode } = instruction
  if (opcode === 0x9c && !test.exception) return onStack(chip, test, 0)
  const pushed = (test.initial[SP] - test.final[SP]) & 0xffff
  const interrupts = opcode >= 0xcc && opcode <= 0xce && pushed === 6
  return interrupts || raisesException(chip, instruction, test) ? onStack(chip, test, 4) : -1
}

/**
 * The physical address of a return address that does not count, or -1: divide errors of the 8086 return to the next
 * instruction, of its successors to the one that failed (80386 Programmer's Reference Manual, 14.7).
 */
export function ignoredReturnAddress(chip: Chip, instruction: Instruction, test: VectorTest): number {
  return chip === '8086' && raisesException(chip, instruction, test) ? onStack(chip, test, 0) : -1
}
