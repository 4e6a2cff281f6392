/** x87 control: initialisation, control and status words, environment and whole state (SDM vol. 1, 8.1.10; vol. 2). */

import { F } from '../cpu/state.ts'
import { x87TagWord } from '../float/x87-environment.ts'
import { BUSY, ERROR_SUMMARY } from '../float/x87-stack.ts'
import { setStatusWord } from '../float/x87-status.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Int, type MemoryOperand, type Operand, routine, type Semantics } from './semantics.ts'
import { checkWait } from './x87-unit.ts'

/** ES and B follow from exceptions and masks whenever one of them is loaded. */
export function summarise(code: Code, control: Int, status: Int): Int {
  const pending = status.and(control.not()).and(0x3f).isNonZero()
  const rest = status.and(0xffff & ~(ERROR_SUMMARY | BUSY))
  return rest.or(pending.select(code.const(ERROR_SUMMARY | BUSY, 32), 0))
}

/** FLDCW: writes the control word; bit 6 is always 1, bits 7 and 13–15 are 0. */
export const x87SetControl = routine('x87SetControl', [32], undefined, (code, value) => {
  const word = code.variable(32, value.and(0x1f3f).or(0x40))
  code.set(F.fcw, word.value)
  code.set(F.fsw, summarise(code, word.value, code.get(F.fsw)))
  return undefined
})

/** FNINIT (SDM vol. 2). */
export const x87Initialise = routine('x87Initialise', [], undefined, code => {
  code.set(F.fcw, 0x37f)
  setStatusWord(code, code.const(0, 32))
  code.set(F.ftw, 0xffff)
  code.set(F.fop, 0)
  code.set(F.fip, 0)
  code.set(F.fdp, 0)
  code.set(F.fcs, 0)
  code.set(F.fds, 0)
  return undefined
})

/** The environment's layout in memory, by operand size and mode. */
const isReal = (m: Semantics) => m.context.mode === 'real' || m.context.mode === 'virtual-8086'
const is16 = (m: Semantics) => m.context.operandSize === 16
/** Bytes of an environment. */
const environmentSize = (m: Semantics) => (is16(m) ? 14 : 28)

/** Stores the environment. The memory has been probed. */
function storeEnvironment(m: Semantics, a: MemoryOperand): void {
  const tags = m.variable(32, m.call(x87TagWord))
  const narrow = is16(m)
  const put = (index: number, value: Int, upper = 0xffff0000) => {
    if (narrow) a.at(index * 2, 16).write(value.truncate(16))
    else a.at(index * 4, 32).write(upper ? value.and(0xffff).or(upper) : value)
  }
  put(0, m.get(F.fcw))
  put(1, m.get(F.fsw))
  put(2, tags.value)
  const [ip, dp] = [m.get(F.fip).truncate(32), m.get(F.fdp).truncate(32)]
  const opcode = m.get(F.fop).and(0x7ff)
  if (isReal(m)) {
    const instruction = ip.add(m.get(F.fcs).shl(4))
    const data = dp.add(m.get(F.fds).shl(4))
    put(3, instruction)
    put(4, narrow ? instruction.shr(16).shl(12).or(opcode) : instruction.shr(16).shl(12).or(opcode), 0)
    put(5, data)
    put(6, data.shr(16).shl(12), 0)
  } else {
    put(3, ip, 0)
    put(4, narrow ? m.get(F.fcs) : m.get(F.fcs).or(opcode.shl(16)), 0)
    put(5, dp, 0)
    put(6, m.get(F.fds))
  }
}

/** Reads an environment: gives what commits it, so that everything has been read before. */
function readEnvironment(m: Semantics, a: MemoryOperand): () => void {
  const narrow = is16(m)
  const words = [0, 1, 2, 3, 4, 5, 6].map(i => {
    const value = narrow
      ? a
          .at(i * 2, 16)
          .read()
          .zeroExtend(32)
      : a.at(i * 4, 32).read()
    return m.variable(32, value)
  })
  return () => {
    const [control, status, tags, ip, code, dp, data] = words.map(word => word.value)
    const word = m.variable(32, control.and(0x1f3f).or(0x40))
    m.set(F.fcw, word.value)
    setStatusWord(m, summarise(m, word.value, status))
    // Only whether a register is empty is kept of its tag.
    m.set(F.ftw, tags.and(tags.shr(1)).and(0x5555).mul(3))
    if (isReal(m)) {
      const high = (value: Int) =>
        value
          .shr(12)
          .and(narrow ? 15 : 0xffff)
          .shl(16)
      m.set(F.fip, ip.and(0xffff).or(high(code)).zeroExtend(64))
      m.set(F.fdp, dp.and(0xffff).or(high(data)).zeroExtend(64))
      m.set(F.fcs, 0)
      m.set(F.fds, 0)
      m.set(F.fop, code.and(0x7ff))
    } else {
      m.set(F.fip, ip.zeroExtend(64))
      m.set(F.fdp, dp.zeroExtend(64))
      m.set(F.fcs, code.and(0xffff))
      m.set(F.fds, data.and(0xffff))
      m.set(F.fop, narrow ? 0 : code.shr(16).and(0x7ff))
    }
  }
}

/** For all registers, from ST(0): the offset of its image and the number of the physical register. */
function eachRegister(m: Semantics, base: number, body: (offset: Int, physical: Int) => void): void {
  const i = m.variable(32, 0)
  const top = m.variable(32, m.get(F.fsw).shr(11))
  m.while(
    () => i.value.ltU(8),
    () => {
      body(i.value.mul(10).add(base), top.value.add(i.value).and(7))
      i.value = i.value.add(1)
    },
  )
}

export const FNSTENV = instruction<[MemoryOperand]>('FNSTENV', {
  encodings: ['D9 /6  M'],
  unit: 'x87-no-wait',
  execute(m, a) {
    a.probeWrite(environmentSize(m))
    storeEnvironment(m, a)
    // All exceptions become masked.
    m.call(x87SetControl, m.get(F.fcw).or(0x3f))
  },
})

export const FLDENV = instruction<[MemoryOperand]>('FLDENV', {
  encodings: ['D9 /4  M'],
  unit: 'x87',
  execute(m, a) {
    readEnvironment(m, a)()
  },
})

export const FNSAVE = instruction<[MemoryOperand]>('FNSAVE', {
  encodings: ['DD /6  M'],
  unit: 'x87-no-wait',
  execute(m, a) {
    const size = environmentSize(m)
    a.probeWrite(size + 80)
    storeEnvironment(m, a)
    eachRegister(m, size, (offset, physical) => {
      a.at(offset, 64).write(m.get(F.fpr, physical))
      a.at(offset.add(8), 16).write(m.getPart(F.fpr, 8, 16, physical))
    })
    m.call(x87Initialise)
  },
})

export const FRSTOR = instruction<[MemoryOperand]>('FRSTOR', {
  encodings: ['DD /4  M'],
  unit: 'x87',
  execute(m, a) {
    const size = environmentSize(m)
    const commit = readEnvironment(m, a)
    // Everything is read before anything is written: an engine may start the instruction again after any access.
    const registers = Array.from({ length: 8 }, (_, i) => ({
      significand: m.variable(64, a.at(size + i * 10, 64).read()),
      exponent: m.variable(16, a.at(size + i * 10 + 8, 16).read()),
    }))
    commit()
    const top = m.get(F.fsw).bits(11, 3)
    registers.forEach(({ significand, exponent }, i) => {
      const physical = top.add(i).and(7)
      m.set(F.fpr, significand.value, physical)
      m.setPart(F.fpr, 8, exponent.value, physical)
    })
  },
})

export const FLDCW = instruction<[MemoryOperand]>('FLDCW', {
  encodings: ['D9 /5  Mw'],
  unit: 'x87',
  execute(m, a) {
    const value = a.read().zeroExtend(32)
    if (m.x87) m.x87.setControlWord(value)
    else m.call(x87SetControl, value)
  },
})

export const FNSTCW = instruction<[MemoryOperand]>('FNSTCW', {
  encodings: ['D9 /7  Mw'],
  unit: 'x87-no-wait',
  execute(m, a) {
    a.write((m.x87?.controlWord ?? m.get(F.fcw)).truncate(16))
  },
})

export const FNSTSW = instruction<[MemoryOperand]>('FNSTSW', {
  encodings: ['DD /7  Mw'],
  unit: 'x87-no-wait',
  execute(m, a) {
    a.write((m.x87?.statusWord() ?? m.get(F.fsw)).truncate(16))
  },
})

export const FNSTSW_AX = instruction<[]>('FNSTSW', {
  title: 'AX',
  encodings: ['DF /4 /rm0'],
  unit: 'x87-no-wait',
  execute(m) {
    m.accumulator(16).write((m.x87?.statusWord() ?? m.get(F.fsw)).truncate(16))
  },
})

export const FNCLEX = instruction<[]>('FNCLEX', {
  encodings: ['DB /4 /rm2'],
  unit: 'x87-no-wait',
  execute(m) {
    if (m.x87) m.x87.clearExceptions()
    else m.set(F.fsw, m.get(F.fsw).and(0x7f00))
  },
})

export const FNINIT = instruction<[]>('FNINIT', {
  encodings: ['DB /4 /rm3'],
  unit: 'x87-no-wait',
  execute(m) {
    m.call(x87Initialise)
  },
})

export const FNOP = instruction<[]>('FNOP', {
  encodings: ['D9 /2 /rm0'],
  unit: 'x87',
  execute() {},
})

/** The 8087's interrupt switches and the 287's protected mode switch: nothing since the 387. */
const nothing = (name: string, encoding: string) =>
  instruction<[]>(name, { encodings: [encoding], unit: 'x87-no-wait', execute() {} })

/** WAIT, also called FWAIT. */
export const FWAIT = instruction<Operand[]>('WAIT', {
  encodings: ['9B'],
  execute(m) {
    checkWait(m)
  },
})

export const instructions: readonly Instruction[] = [
  FNSTENV,
  FLDENV,
  FNSAVE,
  FRSTOR,
  FLDCW,
  FNSTCW,
  FNSTSW,
  FNSTSW_AX,
  FNCLEX,
  FNINIT,
  FNOP,
  nothing('FNENI', 'DB /4 /rm0'),
  nothing('FNDISI', 'DB /4 /rm1'),
  nothing('FNSETPM', 'DB /4 /rm4'),
  FWAIT,
]
