/** The flags that instructions leave undefined (SDM vol. 1, appendix A; vol. 2, each instruction's page). */
import type { Instruction } from './instruction.ts'
import { CX, type VectorTest } from './moo.ts'

const CF = 1 << 0
const PF = 1 << 2
const AF = 1 << 4
const ZF = 1 << 6
const SF = 1 << 7
const OF = 1 << 11
const ALL = CF | PF | AF | ZF | SF | OF

/** Why some flags of an instruction do not count. */
export interface UndefinedFlags {
  readonly mask: number
  readonly rule: string
}

const NONE: UndefinedFlags = { mask: 0, rule: '' }
const LOGIC = { mask: AF, rule: 'AND OR XOR TEST: AF' }
const MULTIPLY = { mask: SF | ZF | AF | PF, rule: 'MUL IMUL: SF ZF AF PF' }
const DIVIDE = { mask: ALL, rule: 'DIV IDIV: all' }
const DECIMAL = { mask: OF, rule: 'DAA DAS: OF' }
const ASCII_ADD = { mask: OF | SF | ZF | PF, rule: 'AAA AAS: OF SF ZF PF' }
const ASCII_MULTIPLY = { mask: OF | AF | CF, rule: 'AAM AAD: OF AF CF' }
/** AAM that raised #DE: Intel's page says nothing about flags, the chips compute some before they trap. */
const ASCII_DIVIDE_ERROR = { mask: ALL, rule: 'AAM with #DE: all' }
const ROTATE = { mask: OF, rule: 'rotates by more than one: OF' }
const SHIFT_ONE = { mask: AF, rule: 'shifts: AF' }
const SHIFT = { mask: AF | OF, rule: 'shifts by more than one: AF OF' }
const SHIFT_OUT = { mask: AF | OF | CF, rule: 'SHL SHR by the operand size or more: AF OF CF' }

function shiftFlags({ opcode, reg, immediate }: Instruction, count: number, width: 8 | 16): UndefinedFlags {
  const masked = (opcode === 0xc0 || opcode === 0xc1 ? immediate : opcode < 0xd2 ? 1 : count) & 31
  if (masked === 0) return NONE
  if (reg < 4) return masked === 1 ? NONE : ROTATE
  if (masked === 1) return SHIFT_ONE
  return masked >= width && reg !== 7 ? SHIFT_OUT : SHIFT
}

/** Which flags of a test's result are undefined. */
export function undefinedFlags(i: Instruction, { initial }: VectorTest): UndefinedFlags {
  const { opcode, reg } = i
  const logic = [1, 4, 6].includes(opcode < 0x40 ? opcode >> 3 : reg)
  if (opcode < 0x40 && (opcode & 7) < 6) return logic ? LOGIC : NONE
  switch (opcode) {
    case 0x27:
    case 0x2f:
      return DECIMAL
    case 0x37:
    case 0x3f:
      return ASCII_ADD
    case 0x69:
    case 0x6b:
      return MULTIPLY
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
      return logic ? LOGIC : NONE
    case 0x84:
    case 0x85:
    case 0xa8:
    case 0xa9:
      return LOGIC
    case 0xc0:
    case 0xc1:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return shiftFlags(i, initial[CX] & 0xff, opcode & 1 ? 16 : 8)
    case 0xd4:
      return i.immediate === 0 ? ASCII_DIVIDE_ERROR : ASCII_MULTIPLY
    case 0xd5:
      return ASCII_MULTIPLY
    case 0xf6:
    case 0xf7:
      if (reg < 2) return LOGIC
      return reg < 4 ? NONE : reg < 6 ? MULTIPLY : DIVIDE
  }
  return NONE
}
