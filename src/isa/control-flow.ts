/** Near jumps, calls and returns (SDM vol. 2, CALL JMP Jcc LOOP LOOPcc RET). */
import { RCX, RSP, SS } from '../cpu/state.ts'
import { CONDITIONS } from './conditional.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Int, Operand, Semantics } from './semantics.ts'

/** The sixteen conditional jumps, by condition code. */
export const JCC: readonly Instruction[] = CONDITIONS.map((condition, code) =>
  instruction<[Int]>(`J${condition}`, {
    encodings: [
      `${(0x70 + code).toString(16).toUpperCase()} cb f64  Jb`,
      `0F ${(0x80 + code).toString(16).toUpperCase()} cz f64  Jz`,
    ],
    execute(m, target) {
      m.branch(m.flags.condition(code), target)
    },
  }),
)

export const JMP = instruction<[Int]>('JMP', {
  encodings: ['EB cb f64  Jb', 'E9 cz f64  Jz'],
  execute(m, target) {
    m.jump(target)
  },
})

export const JMP_INDIRECT = instruction('JMP', {
  title: 'JMP indirect',
  encodings: ['FF /4 f64  Ev'],
  execute(m, target) {
    m.jump(target.read().zeroExtend(64))
  },
})

/** Jumps, storing the return address; the stack pointer moves when neither can fault any more. */
function call(m: Semantics, target: Int, checked: boolean): void {
  const { mode, operandSize, stackSize } = m.context
  const pointer = m.register(RSP, stackSize)
  const top = pointer.read().sub(operandSize / 8)
  const place = m.memory(SS, top, operandSize)
  const store = () => place.write(m.nextRip.truncate(operandSize))
  if (checked && mode === 'long') {
    // A target that is not canonical leaves the stack alone.
    place.probeWrite(operandSize / 8)
    m.jump(target)
    store()
  } else {
    store()
    m.jump(target)
  }
  pointer.write(top)
}

export const CALL = instruction<[Int]>('CALL', {
  encodings: ['E8 cz f64  Jz'],
  execute(m, target) {
    call(m, target, false)
  },
})

export const CALL_INDIRECT = instruction('CALL', {
  title: 'CALL indirect',
  encodings: ['FF /2 f64  Ev'],
  execute(m, target) {
    call(m, target.read().zeroExtend(64), true)
  },
})

export const RET = instruction<[Operand?]>('RET', {
  encodings: ['C3 f64', 'C2 iw f64  Iw'],
  execute(m, released) {
    const { operandSize, stackSize } = m.context
    m.jump(m.peek(operandSize).zeroExtend(64))
    const bytes = operandSize / 8
    m.drop(released ? released.read().zeroExtend(stackSize).add(bytes) : bytes)
  },
})

/** LOOPNE, LOOPE and LOOP count rCX of the address size down and go on while it and the condition hold. */
const loop = (mnemonic: string, opcode: string, condition?: (m: Semantics) => Int): Instruction =>
  instruction<[Int]>(mnemonic, {
    encodings: [`${opcode} cb f64  Jb`],
    execute(m, target) {
      const counter = m.register(RCX, m.context.addressSize)
      const left = counter.read().sub(1)
      const taken = left.isNonZero()
      m.branch(condition ? taken.and(condition(m)) : taken, target)
      counter.write(left)
    },
  })

export const LOOPNE = loop('LOOPNE', 'E0', m => m.flags.zero.isZero())
export const LOOPE = loop('LOOPE', 'E1', m => m.flags.zero)
export const LOOP = loop('LOOP', 'E2')

/** JCXZ, JECXZ or JRCXZ by address size. */
export const JCXZ = instruction<[Int]>('JCXZ', {
  title: 'JCXZ/JECXZ/JRCXZ',
  encodings: ['E3 cb f64  Jb'],
  execute(m, target) {
    m.branch(m.register(RCX, m.context.addressSize).read().isZero(), target)
  },
})

export const instructions: readonly Instruction[] = [
  ...JCC,
  JMP,
  JMP_INDIRECT,
  CALL,
  CALL_INDIRECT,
  RET,
  LOOPNE,
  LOOPE,
  LOOP,
  JCXZ,
]
