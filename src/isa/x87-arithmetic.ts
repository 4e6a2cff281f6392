/** x87 arithmetic, comparisons and moves within the stack (SDM vol. 2, FADD to FYL2XP1). */

import { F } from '../cpu/state.ts'
import {
  type Operation,
  x87Add,
  x87Divide,
  x87Multiply,
  x87SquareRoot,
  x87SquareRootValue,
  x87Subtract,
} from '../float/x87-arithmetic.ts'
import { x87Compare, x87Examine } from '../float/x87-compare.ts'
import { type InlineOperation, inlineAdd, inlineMultiply, inlineSubtract } from '../float/x87-inline.ts'
import { x87Operand32, x87Operand64, x87OperandInteger } from '../float/x87-loads.ts'
import { x87Remainder } from '../float/x87-remainder.ts'
import {
  x87ChangeSign,
  x87ConditionalMove,
  x87Exchange,
  x87Extract,
  x87RoundToInteger,
  x87RoundToIntegerValue,
  x87Scale,
} from '../float/x87-scale.ts'
import { MEMORY } from '../float/x87-stack.ts'
import { setStatusWord } from '../float/x87-status.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, MemoryOperand, NumberedOperand, Routine, Semantics } from './semantics.ts'
import {
  localArithmetic,
  localChangeSign,
  localCompare,
  localCompareFlags,
  localConditionalMove,
  localExamine,
  localExchange,
  localFunction,
  localMemoryArithmetic,
  localTest,
  type X87Locals,
} from './x87-locals.ts'
import { isMemory, notePointers, numberOf, type X87Operand } from './x87-unit.ts'

/** Makes a memory operand, floating point or integer, the operand of the routine that follows. */
function loadOperand(m: Semantics, operand: MemoryOperand, integer: boolean): void {
  const value = operand.read()
  notePointers(m, operand)
  if (integer) m.call(x87OperandInteger, value.signExtend(64))
  else m.call(value.width === 64 ? x87Operand64 : x87Operand32, value)
}

/** FADD, FADDP and FIADD, and their like. `row`: ModRM.reg of the D8 forms. */
function family(name: string, routines: Operation, inline: InlineOperation | undefined, row: number): Instruction[] {
  const operation = { ...routines, inline }
  const reversed = name.endsWith('R')
  const integer = name.replace('F', 'FI')
  // DC and DE have the reversed forms in the other's row.
  const other = row >= 4 ? row ^ 1 : row
  const inLocals = (m: Semantics, to: NumberedOperand | 0, from: NumberedOperand | 0, pop = false): boolean => {
    if (!m.x87) return false
    const number = (operand: NumberedOperand | 0) => (operand === 0 ? 0 : numberOf(operand))
    localArithmetic(m, m.x87, operation, number(to), number(from), reversed, pop)
    return true
  }
  return [
    instruction<[MemoryOperand]>(name, {
      encodings: [`D8 /${row}  Md`, `DC /${row}  Mq`],
      unit: 'x87',
      execute(m, a) {
        if (m.x87) {
          localMemoryArithmetic(m, m.x87, operation, a, reversed, false)
          return
        }
        const value = a.read()
        notePointers(m, a)
        if (value.width === 64) m.call(reversed ? operation.doubleReversed : operation.double, value)
        else m.call(reversed ? operation.singleReversed : operation.single, value)
      },
    }),
    instruction<[NumberedOperand, NumberedOperand]>(name, {
      encodings: [`D8 /${row} reg  ST,STi`],
      unit: 'x87',
      execute(m, _top, b) {
        if (inLocals(m, 0, b)) return
        notePointers(m)
        m.call(reversed ? operation.toTopReversed : operation.toTop, b.number)
      },
    }),
    instruction<[NumberedOperand, NumberedOperand]>(name, {
      encodings: [`DC /${other} reg  STi,ST`],
      unit: 'x87',
      execute(m, a) {
        if (inLocals(m, a, 0)) return
        notePointers(m)
        m.call(reversed ? operation.toOtherReversed : operation.toOther, a.number)
      },
    }),
    instruction<[NumberedOperand, NumberedOperand]>(`${name}P`, {
      encodings: [`DE /${other} reg  STi,ST`],
      unit: 'x87',
      execute(m, a) {
        if (inLocals(m, a, 0, true)) return
        notePointers(m)
        m.call(reversed ? operation.toOtherReversedPop : operation.toOtherPop, a.number)
      },
    }),
    instruction<[MemoryOperand]>(integer, {
      encodings: [`DA /${row}  Md`, `DE /${row}  Mw`],
      unit: 'x87',
      execute(m, a) {
        if (m.x87) {
          localMemoryArithmetic(m, m.x87, operation, a, reversed, true)
          return
        }
        loadOperand(m, a, true)
        const [zero, memory] = [m.const(0, 32), m.const(MEMORY, 32)]
        m.call(operation.general, zero, reversed ? memory : zero, reversed ? zero : memory, zero)
      },
    }),
  ]
}

function compare(m: Semantics, with_: Int, quiet: boolean, pops: number): void {
  m.call(x87Compare, m.const(0, 32), with_, m.const(quiet ? 1 : 0, 32), m.const(pops, 32), m.const(1, 32))
}

/** FCOM and FCOMP with everything, FUCOM and FUCOMP with registers; the undocumented aliases among them. */
function comparison(name: string, encodings: readonly string[], quiet: boolean, pops: number, integer = false) {
  return instruction<[X87Operand]>(name, {
    encodings,
    unit: 'x87',
    execute(m, a) {
      if (m.x87) {
        localCompare(m, m.x87, isMemory(a) ? a : numberOf(a), quiet, pops, integer)
        return
      }
      if (isMemory(a)) loadOperand(m, a, integer)
      else notePointers(m)
      compare(m, isMemory(a) ? m.const(MEMORY, 32) : a.number, quiet, pops)
    },
  })
}

/** FCOMPP and FUCOMPP. */
const compareAndPopTwice = (name: string, encoding: string, quiet: boolean) =>
  instruction<[]>(name, {
    encodings: [encoding],
    unit: 'x87',
    execute(m) {
      if (m.x87) {
        localCompare(m, m.x87, 1, quiet, 2, false)
        return
      }
      notePointers(m)
      compare(m, m.const(1, 32), quiet, 2)
    },
  })

/** Comparisons that set EFLAGS. */
const compareFlags = (name: string, encoding: string, quiet: boolean, pops: number) =>
  instruction<[NumberedOperand]>(name, {
    encodings: [encoding],
    unit: 'x87',
    feature: 'cmov',
    execute(m, a) {
      if (m.x87) {
        localCompareFlags(m, m.x87, numberOf(a), quiet, pops)
        return
      }
      notePointers(m)
      const zero = m.const(0, 32)
      const found = m.call(x87Compare, zero, a.number, m.const(quiet ? 1 : 0, 32), m.const(pops, 32), zero)
      const no = m.bool(false)
      const [carry, parity, zeroFlag] = [found.bit(8), found.bit(10), found.bit(14)]
      m.flags.set({ carry, parity, zero: zeroFlag, adjust: no, sign: no, overflow: no })
    },
  })

/** FCMOVcc, by the code of the condition as in Jcc. */
const conditionalMove = (name: string, encoding: string, condition: number) =>
  instruction<[NumberedOperand]>(name, {
    encodings: [encoding],
    unit: 'x87',
    feature: 'cmov',
    execute(m, a) {
      if (m.x87) {
        localConditionalMove(m, m.x87, numberOf(a), m.flags.condition(condition))
        return
      }
      notePointers(m)
      m.call(x87ConditionalMove, a.number, m.flags.condition(condition).zeroExtend(32))
    },
  })

type InLocals = (m: Semantics, x87: X87Locals) => void

/** An instruction without operands: a call of a routine with constants, or what is done in an engine's variables. */
const plain = (name: string, encoding: string, locals: InLocals | undefined, routine: Routine, ...args: number[]) =>
  instruction<[]>(name, {
    encodings: [encoding],
    unit: 'x87',
    execute(m) {
      if (m.x87 && locals) {
        locals(m, m.x87)
        return
      }
      notePointers(m)
      m.call(routine, ...args.map(arg => m.const(arg, 32)))
    },
  })

export const FTST = instruction<[]>('FTST', {
  encodings: ['D9 /4 /rm4'],
  unit: 'x87',
  execute(m) {
    if (m.x87) {
      localTest(m, m.x87)
      return
    }
    notePointers(m)
    m.call(x87OperandInteger, m.const(0, 64))
    compare(m, m.const(MEMORY, 32), false, 0)
  },
})

export const FXCH = instruction<[NumberedOperand]>('FXCH', {
  encodings: ['D9 /1 reg  STi', 'DD /1 reg  STi', 'DF /1 reg  STi'],
  unit: 'x87',
  execute(m, a) {
    if (m.x87) {
      localExchange(m, m.x87, numberOf(a))
      return
    }
    notePointers(m)
    m.call(x87Exchange, a.number)
  },
})

/** FSIN and its like are services: rare, and long. See src/cpu/services/x87.ts. */
const transcendental = (name: string, encoding: string, service: string) =>
  instruction<[]>(name, {
    encodings: [encoding],
    unit: 'x87',
    execute(m) {
      notePointers(m)
      m.service(service)
    },
  })

/** Tag and top of the stack only. */
const moveTop = (name: string, encoding: string, by: number) =>
  instruction<[]>(name, {
    encodings: [encoding],
    unit: 'x87',
    execute(m) {
      if (m.x87) {
        m.x87.moveTop(by)
        m.x87.clearC1()
        return
      }
      const fsw = m.get(F.fsw)
      const top = fsw.add(by << 11).and(0x3800)
      // C1 is cleared.
      setStatusWord(m, fsw.and(0xffffffff & ~0x3a00).or(top))
    },
  })

export const FFREE = instruction<[NumberedOperand]>('FFREE', {
  encodings: ['DD /0 reg  STi'],
  unit: 'x87',
  execute(m, a) {
    if (m.x87) {
      m.x87.free(numberOf(a))
      m.x87.clearC1()
      return
    }
    const fsw = m.get(F.fsw)
    const n = fsw.shr(11).add(a.number).and(7)
    m.set(F.ftw, m.get(F.ftw).or(m.const(3, 32).shl(n.shl(1))))
    m.set(F.fsw, fsw.and(0xffffffff & ~0x200))
  },
})

/** Undocumented: FFREE and a pop. */
export const FFREEP = instruction<[NumberedOperand]>('FFREEP', {
  encodings: ['DF /0 reg  STi'],
  unit: 'x87',
  execute(m, a) {
    const fsw = m.get(F.fsw)
    const n = fsw.shr(11).add(a.number).and(7)
    const top = fsw.add(1 << 11).and(0x3800)
    const empty = m
      .const(3, 32)
      .shl(n.shl(1))
      .or(m.const(3, 32).shl(fsw.shr(11).and(7).shl(1)))
    m.set(F.ftw, m.get(F.ftw).or(empty))
    setStatusWord(m, fsw.and(0xffffffff & ~0x3a00).or(top))
  },
})

export const instructions: readonly Instruction[] = [
  ...family('FADD', x87Add, inlineAdd, 0),
  ...family('FMUL', x87Multiply, inlineMultiply, 1),
  ...family('FSUB', x87Subtract, inlineSubtract, 4),
  ...family('FSUBR', x87Subtract, inlineSubtract, 5),
  ...family('FDIV', x87Divide, undefined, 6),
  ...family('FDIVR', x87Divide, undefined, 7),
  comparison('FCOM', ['D8 /2  Md', 'DC /2  Mq', 'D8 /2 reg  STi', 'DC /2 reg  STi'], false, 0),
  comparison('FCOMP', ['D8 /3  Md', 'DC /3  Mq', 'D8 /3 reg  STi', 'DC /3 reg  STi', 'DE /2 reg  STi'], false, 1),
  comparison('FICOM', ['DA /2  Md', 'DE /2  Mw'], false, 0, true),
  comparison('FICOMP', ['DA /3  Md', 'DE /3  Mw'], false, 1, true),
  comparison('FUCOM', ['DD /4 reg  STi'], true, 0),
  comparison('FUCOMP', ['DD /5 reg  STi'], true, 1),
  compareAndPopTwice('FCOMPP', 'DE /3 /rm1', false),
  compareAndPopTwice('FUCOMPP', 'DA /5 /rm1', true),
  compareFlags('FCOMI', 'DB /6 reg  STi', false, 0),
  compareFlags('FUCOMI', 'DB /5 reg  STi', true, 0),
  compareFlags('FCOMIP', 'DF /6 reg  STi', false, 1),
  compareFlags('FUCOMIP', 'DF /5 reg  STi', true, 1),
  conditionalMove('FCMOVB', 'DA /0 reg  STi', 2),
  conditionalMove('FCMOVE', 'DA /1 reg  STi', 4),
  conditionalMove('FCMOVBE', 'DA /2 reg  STi', 6),
  conditionalMove('FCMOVU', 'DA /3 reg  STi', 10),
  conditionalMove('FCMOVNB', 'DB /0 reg  STi', 3),
  conditionalMove('FCMOVNE', 'DB /1 reg  STi', 5),
  conditionalMove('FCMOVNBE', 'DB /2 reg  STi', 7),
  conditionalMove('FCMOVNU', 'DB /3 reg  STi', 11),
  plain('FCHS', 'D9 /4 /rm0', (m, x87) => localChangeSign(m, x87, 0xffff, 0x8000), x87ChangeSign, 0xffff, 0x8000),
  plain('FABS', 'D9 /4 /rm1', (m, x87) => localChangeSign(m, x87, 0x7fff, 0), x87ChangeSign, 0x7fff, 0),
  FTST,
  plain('FXAM', 'D9 /4 /rm5', localExamine, x87Examine),
  plain('FXTRACT', 'D9 /6 /rm4', undefined, x87Extract),
  plain('FPREM1', 'D9 /6 /rm5', undefined, x87Remainder, 1),
  plain('FPREM', 'D9 /7 /rm0', undefined, x87Remainder, 0),
  plain('FSQRT', 'D9 /7 /rm2', (m, x87) => localFunction(m, x87, x87SquareRootValue), x87SquareRoot),
  plain('FRNDINT', 'D9 /7 /rm4', (m, x87) => localFunction(m, x87, x87RoundToIntegerValue), x87RoundToInteger),
  plain('FSCALE', 'D9 /7 /rm5', undefined, x87Scale),
  FXCH,
  FFREE,
  FFREEP,
  moveTop('FDECSTP', 'D9 /6 /rm6', 7),
  moveTop('FINCSTP', 'D9 /6 /rm7', 1),
  transcendental('F2XM1', 'D9 /6 /rm0', 'f2xm1'),
  transcendental('FYL2X', 'D9 /6 /rm1', 'fyl2x'),
  transcendental('FPTAN', 'D9 /6 /rm2', 'fptan'),
  transcendental('FPATAN', 'D9 /6 /rm3', 'fpatan'),
  transcendental('FYL2XP1', 'D9 /7 /rm1', 'fyl2xp1'),
  transcendental('FSINCOS', 'D9 /7 /rm3', 'fsincos'),
  transcendental('FSIN', 'D9 /7 /rm6', 'fsin'),
  transcendental('FCOS', 'D9 /7 /rm7', 'fcos'),
]
