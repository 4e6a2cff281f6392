/**
 * The tests that say nothing about a 386 or later, by rule: what has changed since (80386 Programmer's Reference Manual,
 * 14.7 "Differences from 8086" and 14.8 "Differences from 80286 Real-Address Mode"; SDM vol. 3, chapter "Architecture
 * Compatibility"; SDM vol. 2, the instructions' pages), and what those chips do that no manual defines.
 */
import { accesses, hasMemory, type Instruction, isRepeated, isString } from './instruction.ts'
import { AX, CS, CX, DX, FLAGS, IP, SP, SS, type VectorTest } from './moo.ts'
import { physicalAddress, raisesException } from './pushed-flags.ts'

/** The chips that tests were captured from. */
export type Chip = '8086' | '80286'

/** A kind of test that is left out. */
export interface Exclusion {
  readonly chip: Chip
  /** What it is about, a few words. */
  readonly title: string
  /** Why nothing can be learned from it. */
  readonly reason: string
  applies(instruction: Instruction, test: VectorTest): boolean
}

const isOneOf = (...opcodes: number[]) => {
  const set = new Set(opcodes)
  return ({ opcode }: Instruction) => set.has(opcode)
}
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)
const isSegmentMove = isOneOf(0x8c, 0x8e)
const isShift = isOneOf(0xd0, 0xd1, 0xd2, 0xd3)
const isShiftByCl = isOneOf(0xd2, 0xd3)
const isDivision = ({ opcode, reg }: Instruction) => (opcode === 0xf6 || opcode === 0xf7) && reg >= 6
const isSignedDivision = (i: Instruction) => isDivision(i) && i.reg === 7

/** Whether an operand goes on behind offset FFFFh of its segment. */
function wraps(i: Instruction, test: VectorTest): boolean {
  for (const { offset, size } of accesses(i, test)) if (offset + size > 0x10000) return true
  return false
}

/** Whether it goes through SS. */
function wrapsInStack(i: Instruction, test: VectorTest): boolean {
  for (const { segment, offset, size } of accesses(i, test)) if (segment === SS && offset + size > 0x10000) return true
  return false
}

/** The instructions that LOCK may stand before, all with a destination in memory (SDM vol. 2, LOCK). */
function isLockable(i: Instruction): boolean {
  const { opcode, reg } = i
  if (!hasMemory(i)) return false
  if (opcode < 0x38) return (opcode & 7) < 2
  if (opcode >= 0x80 && opcode <= 0x83) return reg !== 7
  if (opcode === 0x86 || opcode === 0x87) return true
  if (opcode === 0xf6 || opcode === 0xf7) return reg === 2 || reg === 3
  return (opcode === 0xfe || opcode === 0xff) && reg < 2
}

/** The quotient of an IDIV without regard to its size, NaN when it divides by 0. */
function signedQuotient(chip: Chip, i: Instruction, test: VectorTest): number {
  const { initial } = test
  const dividend = i.opcode === 0xf7 ? (initial[DX] << 16) | initial[AX] : (initial[AX] << 16) >> 16
  const divisor = signedDivisor(chip, i, test)
  return divisor === 0 ? Number.NaN : Math.trunc(dividend / divisor)
}

/** The least quotient that IDIV can give. */
const leastQuotient = (i: Instruction): number => (i.opcode === 0xf7 ? -0x8000 : -0x80)

/** The operand of IDIV. */
function signedDivisor(chip: Chip, i: Instruction, test: VectorTest): number {
  const { initial, initialRam } = test
  const wide = i.opcode === 0xf7
  let value: number
  if (hasMemory(i)) {
    const [{ segment, offset }] = accesses(i, test)
    const byte = (n: number): number => {
      const address = physicalAddress(chip, initial[segment], offset + n)
      return initialRam.values[initialRam.addresses.indexOf(address)] ?? 0
    }
    value = byte(0) | (wide ? byte(1) << 8 : 0)
  } else if (wide) value = initial[WORDS[i.rm]]
  else value = (initial[WORDS[i.rm & 3]] >> (i.rm & 4 ? 8 : 0)) & 0xff
  return wide ? (value << 16) >> 16 : (value << 24) >> 24
}

/** Whether the word pushed as CS by an exception or INT is SS, which is another. */
function pushesWrongSegment({ initial, final, finalRam }: VectorTest): boolean {
  const address = physicalAddress('80286', final[SS], final[SP] + 2)
  const index = finalRam.addresses.indexOf(address)
  if (index < 0 || initial[SS] === initial[CS]) return false
  const high = finalRam.values[finalRam.addresses.indexOf(address + 1)]
  return (finalRam.values[index] | (high << 8)) === initial[SS]
}

/** Captured numbers of AX CX DX BX SP BP SI DI. */
const WORDS = [0, 2, 3, 1, 8, 9, 10, 11]

/** Where AAA and AAS adjust. */
const adjusts = ({ initial }: VectorTest): boolean => (initial[AX] & 15) > 9 || (initial[FLAGS] & 0x10) !== 0

/** All rules; of those for a chip the first that applies counts. */
export const EXCLUSIONS: readonly Exclusion[] = [
  {
    chip: '8086',
    title: '60-6F, C0, C1, C8, C9',
    reason: 'they are aliases of 70-7F, C2, C3, CA, CB; since the 80186 and 80286 they are instructions of their own',
    applies: isOneOf(...range(0x60, 0x6f), 0xc0, 0xc1, 0xc8, 0xc9),
  },
  {
    chip: '8086',
    title: '0F',
    reason: 'POP CS; since the 80286 the first byte of two-byte opcodes',
    applies: ({ opcode }) => opcode >= 0xf00,
  },
  {
    chip: '8086',
    title: 'D8-DF',
    reason: 'ESC without a coprocessor does nothing; this processor has an x87 and executes them',
    applies: isOneOf(...range(0xd8, 0xdf)),
  },
  {
    chip: '8086',
    title: '8C and 8E with a register above 3, MOV CS',
    reason: 'only two bits of the register number count; since the 80286 #UD, since the 80386 FS and GS',
    applies: i => isSegmentMove(i) && (i.reg > 3 || (i.opcode === 0x8e && i.reg === 1)),
  },
  {
    chip: '8086',
    title: '8F, C6, C7 /1-/7',
    reason: 'undefined, the 8086 takes them for /0; #UD since the 80286',
    applies: i => isOneOf(0x8f, 0xc6, 0xc7)(i) && i.reg !== 0,
  },
  {
    chip: '8086',
    title: 'FE /2-/7, FF /7',
    reason: 'undefined; #UD since the 80286',
    applies: ({ opcode, reg }) => (opcode === 0xfe && reg > 1) || (opcode === 0xff && reg === 7),
  },
  {
    chip: '8086',
    title: 'LEA, LES, LDS with a register',
    reason: 'undefined; #UD since the 80286',
    applies: i => isOneOf(0x8d, 0xc4, 0xc5)(i) && !hasMemory(i),
  },
  {
    chip: '8086',
    title: 'D0-D3 /6',
    reason: 'SETMO, undocumented: all bits become ones; SAL since the 80186',
    applies: i => isShift(i) && i.reg === 6,
  },
  {
    chip: '8086',
    title: 'shifts by CL above 31',
    reason:
      'the 8086 takes counts as they are, its successors modulo 32 (SAL/SAR/SHL/SHR, IA-32 Architecture Compatibility)',
    applies: (i, { initial }) => isShiftByCl(i) && (initial[CX] & 0xff) > 31,
  },
  {
    chip: '8086',
    title: 'PUSH SP',
    reason:
      'pushes SP as it is after the decrement; since the 80286 as it was before (PUSH, IA-32 Architecture Compatibility)',
    applies: i => i.opcode === 0x54 || (i.opcode === 0xff && i.reg === 6 && i.modrm === 0xf4),
  },
  {
    chip: '8086',
    title: 'LOCK before what cannot be locked',
    reason: 'ignored by the 8086; #UD since the 80386 (LOCK)',
    applies: i => i.prefixes.includes(0xf0) && !isLockable(i),
  },
  {
    chip: '8086',
    title: 'IDIV with the quotient 80h or 8000h',
    reason: '#DE on the 8086, a result since the 80286 (80386 manual, 14.7)',
    applies: (i, test) => isSignedDivision(i) && signedQuotient('8086', i, test) === leastQuotient(i),
  },
  {
    chip: '8086',
    title: 'REP before IDIV that gives a result',
    reason: 'inverts the sign of the quotient, undocumented; meaningless since',
    applies: (i, test) => isSignedDivision(i) && isRepeated(i) && !raisesException('8086', i, test),
  },
  {
    chip: '8086',
    title: 'AAA with AL above F9h, AAS with AL below 6, when they adjust',
    reason: 'the 8086 adds to AL and to AH by itself, its successors 106h to AX (AAA, AAS)',
    applies: ({ opcode }, test) => {
      const al = test.initial[AX] & 0xff
      return ((opcode === 0x37 && al > 0xf9) || (opcode === 0x3f && al < 6)) && adjusts(test)
    },
  },
  {
    chip: '8086',
    title: 'DAS with AL below 6, AF set and CF clear',
    reason: 'the borrow of subtracting 6 reaches CF only since the 80286 (DAS)',
    applies: ({ opcode }, { initial }) =>
      opcode === 0x2f && (initial[AX] & 0xff) < 6 && (initial[FLAGS] & 0x11) === 0x10,
  },
  {
    chip: '8086',
    title: 'DAA and DAS with AL 9Ah-9Fh, AF set and CF clear',
    reason: 'the upper digit is adjusted above 9Fh when AF is set; since the 80286 above 99h always (DAA, DAS)',
    applies: ({ opcode }, { initial }) =>
      (opcode === 0x27 || opcode === 0x2f) &&
      (initial[AX] & 0xff) > 0x99 &&
      (initial[AX] & 0xff) < 0xa0 &&
      (initial[FLAGS] & 0x11) === 0x10,
  },
  {
    chip: '8086',
    title: 'operands across offset FFFFh',
    reason: 'they wrap around on the 8086; #GP or #SS since the 80286 (SDM vol. 3, Segment Wraparound)',
    applies: wraps,
  },
  {
    chip: '8086',
    title: 'code across offset FFFFh',
    reason: 'IP wraps around on the 8086; #GP since the 80286 (SDM vol. 3, Segment Wraparound)',
    applies: ({ length }, { initial }) => initial[IP] + length > 0xffff,
  },
  {
    chip: '80286',
    title: 'LOCK before what cannot be locked',
    reason: 'ignored in real mode by the 80286; #UD since the 80386 (LOCK)',
    applies: i => i.prefixes.includes(0xf0) && !isLockable(i),
  },
  {
    chip: '80286',
    title: 'instructions of more than 10 bytes',
    reason: '#GP on the 80286; the limit is 15 bytes since the 80386',
    applies: ({ length }) => length > 10,
  },
  {
    chip: '80286',
    title: '8C and 8E with registers 4 and 5',
    reason: '#UD on the 80286; FS and GS since the 80386',
    applies: i => isSegmentMove(i) && (i.reg === 4 || i.reg === 5),
  },
  {
    chip: '80286',
    title: 'exception 13 through the stack segment',
    reason: 'an operand across FFFFh in SS is interrupt 13 on the 80286 in real mode; #SS, 12, since the 80386',
    applies: (i, test) => test.exception?.vector === 13 && wrapsInStack(i, test),
  },
  {
    chip: '80286',
    title: 'exception 13 in a string instruction',
    reason:
      'the 80286 leaves SI and DI beyond the element that faulted; faults restore the state since (SDM vol. 3, 6.5 and 6.6)',
    applies: (i, test) => test.exception?.vector === 13 && isString(i),
  },
  {
    chip: '80286',
    title: 'exception 13 in POP to memory',
    reason: 'the 80286 leaves SP incremented; faults restore the state since (SDM vol. 3, 6.5 and 6.6)',
    applies: ({ opcode }, { exception }) => exception?.vector === 13 && opcode === 0x8f,
  },
  {
    chip: '80286',
    title: 'ESC with an operand across FFFFh',
    reason: 'without a coprocessor only its first word is checked; this processor has an x87 and reads it',
    applies: (i, test) => (i.opcode & 0xf8) === 0xd8 && wraps(i, test),
  },
  {
    chip: '80286',
    title: 'IDIV with a quotient that does not fit and no #DE',
    reason: 'the chip misses some overflows; the manual has #DE for all (IDIV)',
    applies: (i, test) => {
      if (!isSignedDivision(i) || test.exception) return false
      const quotient = signedQuotient('80286', i, test)
      return quotient < leastQuotient(i) || quotient >= -leastQuotient(i)
    },
  },
  {
    chip: '80286',
    title: 'interrupts that pushed SS where CS belongs',
    reason:
      'an error of the chip or of the capture, once in thousands; CS in the manual and in the other tests (INT n)',
    applies: (_, test) => test.exception !== undefined && pushesWrongSegment(test),
  },
]

/** The rule that leaves a test out, if any. */
export function exclusionOf(chip: Chip, instruction: Instruction, test: VectorTest): Exclusion | undefined {
  return EXCLUSIONS.find(rule => rule.chip === chip && rule.applies(instruction, test))
}
